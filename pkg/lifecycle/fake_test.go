package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

const (
	prefix = "lkpat_"
	admin  = token.OwnerID(1)
	owner  = token.OwnerID(58)
	other  = token.OwnerID(59)

	firstBot = token.OwnerID(1000)

	acme = token.ResourceID(7) // a group
	web  = token.ResourceID(8) // a project in it
	apps = token.ResourceID(9) // a project that lies elsewhere
)

// now is a second before midnight in UTC, so that a day more or less shows.
var (
	now      = time.Date(2026, 3, 4, 23, 59, 59, 0, time.UTC)
	today    = token.DayOf(now)
	tomorrow = today.AddDays(1)
)

// fakeStore is a table in memory. A function field, if set, runs in place of
// the write it is named after.
type fakeStore struct {
	mu     sync.Mutex // of what ends tokens, which a report of leaks does several at a time
	tokens map[token.ID]token.Token
	users  map[token.OwnerID]principal.User
	uses   map[string]secret.Use
	writes int
	// policy has the prefix of this package's tests and is otherwise the
	// strictest.
	policy    token.Policy
	policyErr error

	resources map[token.ResourceID]principal.Resource
	members   map[token.ResourceID]map[token.OwnerID]principal.Member
	bots      token.OwnerID // how many there were

	createToken func(token.Token, *secret.Use) (token.Token, error)
	rotateToken func(old, next token.Token, use *secret.Use) (token.Token, error)
	use         func(handle string) (secret.Use, error)
	revokeToken func(token.Token) error
	// tokensByDigest fails the lookup; lookups are those that were made.
	tokensByDigest func() error
	lookups        [][]secret.Digest
	lookup         func() []token.Token // what is found, instead of what there is
	events         []audit.Event        // what revocations were to be recorded as
	newest         func(token.ID) (token.Token, error)
	pageOfOwner    func(token.OwnerID, token.Page)

	createResourceToken func(mint func(token.OwnerID) (secret.Digest, *secret.Use, error)) (token.Token, error)
}

func (s *fakeStore) Resource(_ context.Context, id token.ResourceID) (principal.Resource, error) {
	res, ok := s.resources[id]
	if !ok {
		return res, token.ErrNotFound
	}
	return res, nil
}

func (s *fakeStore) ResourceByPath(_ context.Context, path string) (principal.Resource, error) {
	for _, res := range s.resources {
		if res.FullPath == path {
			return res, nil
		}
	}
	return principal.Resource{}, token.ErrNotFound
}

func (s *fakeStore) Standing(_ context.Context, res principal.Resource, user token.OwnerID) (principal.Standing, error) {
	standing := principal.Standing{Direct: s.members[res.ID][user]}
	for _, id := range res.Ancestors {
		if m, ok := s.members[id][user]; ok {
			standing.Inherited = append(standing.Inherited, m)
		}
	}
	return standing, nil
}

func (s *fakeStore) CreateResourceToken(_ context.Context, res principal.Resource, bot principal.User, t token.Token,
	mint func(token.OwnerID) (secret.Digest, *secret.Use, error)) (token.Token, error) {
	if s.createResourceToken != nil {
		return s.createResourceToken(mint)
	}
	if _, ok := s.resources[res.ID]; !ok {
		return token.Token{}, token.ErrNotFound
	}
	bot.ID = firstBot + s.bots
	s.bots++
	var use *secret.Use
	var err error
	if t.Digest, use, err = mint(bot.ID); err != nil {
		return token.Token{}, err
	}
	bot.NextNumber, t.Owner = 1, bot.ID
	s.users[bot.ID] = bot
	if s.members[res.ID] == nil {
		s.members[res.ID] = map[token.OwnerID]principal.Member{}
	}
	s.members[res.ID][bot.ID] = principal.Member{Resource: res.ID, User: bot.ID, Level: t.Level, ExpiresOn: t.ExpiresOn}
	return s.add(bot.ID, t, use)
}

func (s *fakeStore) TokensOfResource(_ context.Context, resource token.ResourceID) ([]token.Token, error) {
	var tokens []token.Token
	for _, t := range s.tokens {
		if t.Resource == resource {
			tokens = append(tokens, t)
		}
	}
	slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	return tokens, nil
}

func (s *fakeStore) Users(_ context.Context, ids []token.OwnerID, each func(principal.User)) error {
	for _, id := range ids {
		if u, ok := s.users[id]; ok {
			each(u)
		}
	}
	return nil
}

func (s *fakeStore) Policy(context.Context) (token.Policy, error) { return s.policy, s.policyErr }

func (s *fakeStore) Token(_ context.Context, id token.ID) (token.Token, error) {
	t, ok := s.tokens[id]
	if !ok {
		return t, token.ErrNotFound
	}
	return t, nil
}

func (s *fakeStore) TokenByDigest(_ context.Context, digest secret.Digest) (token.Token, error) {
	for _, t := range s.tokens {
		if t.Digest == digest {
			return t, nil
		}
	}
	return token.Token{}, token.ErrNotFound
}

func (s *fakeStore) User(_ context.Context, id token.OwnerID) (principal.User, error) {
	u, ok := s.users[id]
	if !ok {
		return u, token.ErrNotFound
	}
	return u, nil
}

func (s *fakeStore) CreateToken(_ context.Context, by principal.User, t token.Token, use *secret.Use) (token.Token, error) {
	if s.createToken != nil {
		return s.createToken(t, use)
	}
	return s.add(by.ID, t, use)
}

func (s *fakeStore) add(id token.OwnerID, t token.Token, use *secret.Use) (token.Token, error) {
	if _, err := s.TokenByDigest(context.Background(), t.Digest); err == nil {
		return token.Token{}, token.ErrTaken
	}
	if use != nil {
		if earlier, ok := s.uses[use.Handle]; ok && earlier.Good(use.At) {
			return token.Token{}, token.ErrKeyUsed
		}
		s.uses[use.Handle] = *use
	}
	s.writes++
	user := s.users[id]
	t.ID, _ = token.NewID(user.ID, user.NextNumber)
	if t.Family == 0 {
		t.Family = t.ID
	}
	user.NextNumber++
	s.users[user.ID], s.tokens[t.ID] = user, t
	return t, nil
}

func (s *fakeStore) RotateToken(_ context.Context, by principal.User, old, next token.Token, use *secret.Use) (token.Token, error) {
	if s.rotateToken != nil {
		return s.rotateToken(old, next, use)
	}
	stored := s.tokens[old.ID]
	switch {
	case !stored.RevokedAt.IsZero():
		return token.Token{}, token.ErrRevoked
	case stored.Superseded():
		return token.Token{}, token.ErrSuperseded
	}
	next, err := s.add(by.ID, next, use)
	if err == nil {
		if stored.WorksUntil = old.WorksUntil; old.WorksUntil.IsZero() {
			stored.RevokedAt, stored.RevokedReason = next.CreatedAt, token.ReasonRotated
		}
		s.tokens[old.ID] = stored
	}
	return next, err
}

func (s *fakeStore) Use(_ context.Context, handle string) (secret.Use, error) {
	if s.use != nil {
		return s.use(handle)
	}
	use, ok := s.uses[handle]
	if !ok {
		return use, token.ErrNotFound
	}
	return use, nil
}

func (s *fakeStore) RevokeToken(ctx context.Context, ended token.Token) error {
	if s.revokeToken != nil {
		return s.revokeToken(ended)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, audit.Expected(ctx)...)
	stored, ok := s.tokens[ended.ID]
	if !ok {
		return token.ErrNotFound
	}
	s.writes++
	if stored.RevokedAt.IsZero() {
		s.tokens[ended.ID] = ended
	}
	if stored.Kind.OfResource() && !stored.Superseded() {
		delete(s.users, ended.Owner)
		delete(s.members[ended.Resource], ended.Owner)
	}
	return nil
}

func (s *fakeStore) TokensByDigest(_ context.Context, digests []secret.Digest) ([]token.Token, error) {
	s.lookups = append(s.lookups, digests)
	if s.tokensByDigest != nil {
		return nil, s.tokensByDigest()
	}
	if s.lookup != nil {
		return s.lookup(), nil
	}
	var found []token.Token
	for _, t := range s.tokens {
		if slices.Contains(digests, t.Digest) {
			found = append(found, t)
		}
	}
	return found, nil
}

func (s *fakeStore) RevokeEverything(_ context.Context, id token.OwnerID) error {
	user, ok := s.users[id]
	if !ok {
		return token.ErrNotFound
	}
	s.writes++
	user.TokensValidFrom = user.NextNumber
	s.users[id] = user
	return nil
}

func (s *fakeStore) Newest(_ context.Context, first token.ID) (token.Token, error) {
	if s.newest != nil {
		return s.newest(first)
	}
	var newest token.Token
	for _, t := range s.tokens {
		if t.Family == first && t.ID != first && t.ID > newest.ID {
			newest = t
		}
	}
	if newest.ID == 0 {
		return newest, token.ErrNotFound
	}
	return newest, nil
}

// counting yields other bytes at each read, the same in every run.
type counting struct{ n byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i) ^ c.n
	}
	c.n++
	return len(p), nil
}

type fixture struct {
	*fakeStore
	clock   *clock.Fake
	issuer  *lifecycle.Issuer
	revoker *lifecycle.Revoker
	lister  *lifecycle.Lister
	scopes  *scope.Catalog
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	pepper, err := secret.NewPepper("pepper-of-thirty-two-bytes-12345")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeStore{tokens: map[token.ID]token.Token{}, users: map[token.OwnerID]principal.User{}, uses: map[string]secret.Use{}, policy: token.Policy{Prefix: prefix}}
	s.resources = map[token.ResourceID]principal.Resource{
		acme: {ID: acme, Kind: principal.Group, Path: "acme", FullPath: "acme"},
		web:  {ID: web, Kind: principal.Project, Path: "web", FullPath: "acme/web", Ancestors: []token.ResourceID{acme}},
		apps: {ID: apps, Kind: principal.Project, Path: "apps", FullPath: "other/apps"},
	}
	s.members = map[token.ResourceID]map[token.OwnerID]principal.Member{}
	for _, id := range []token.OwnerID{admin, owner, other} {
		s.users[id] = principal.User{ID: id, State: principal.Active, Admin: id == admin, NextNumber: 1}
	}
	fake, format := clock.NewFake(now), secret.Format{Prefixes: []string{prefix}}
	scopes := scope.GitLab()
	return &fixture{
		fakeStore: s, clock: fake, scopes: scopes,
		issuer: &lifecycle.Issuer{Store: s, Reader: s, Resources: s, Bots: s, Scopes: scopes, Pepper: pepper, Format: format,
			Policies: s, ImpersonationPrefix: "lkimp_", ResourcePrefix: "lkprj_", Clock: fake, Random: io.Reader(&counting{})},
		revoker: &lifecycle.Revoker{Store: s, Reader: s, Resources: s, Pepper: pepper, Format: format, Clock: fake},
		lister:  &lifecycle.Lister{Store: s, Reader: s, Resources: s, Pepper: pepper, Format: format, Clock: fake},
	}
}

// give stores a token of owner as if it had been made long ago.
func (f *fixture) give(t testing.TB, id token.OwnerID, change func(*token.Token)) token.Token {
	t.Helper()
	bearer, err := secret.New(prefix, int64(id), f.issuer.Random)
	if err != nil {
		t.Fatal(err)
	}
	tok := token.Token{
		Kind: token.Personal, Owner: id, Name: "given", Scopes: scope.Set{"api"},
		CreatedAt: now.AddDate(0, -1, 0), ExpiresOn: today.AddDays(30), Digest: f.issuer.Pepper.Digest(bearer),
	}
	if change != nil {
		change(&tok)
	}
	tok, err = f.add(id, tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.writes = 0
	return tok
}

// join makes somebody a member of a resource.
func (f *fixture) join(resource token.ResourceID, user token.OwnerID, level token.Level) {
	if f.members[resource] == nil {
		f.members[resource] = map[token.OwnerID]principal.Member{}
	}
	f.members[resource][user] = principal.Member{Resource: resource, User: user, Level: level}
}

// callerAt is somebody with a level in a resource.
func (f *fixture) callerAt(t testing.TB, resource token.ResourceID, level token.Level) principal.Principal {
	t.Helper()
	if level != token.NoLevel {
		f.join(resource, owner, level)
	}
	return f.callerOf(t, owner)
}

// caller is the principal of a token as it is stored now.
func (f *fixture) caller(t token.Token) principal.Principal {
	return principal.Principal{User: f.users[t.Owner], Token: f.tokens[t.ID]}
}

func (f *fixture) callerOf(t testing.TB, id token.OwnerID) principal.Principal {
	t.Helper()
	return f.caller(f.give(t, id, nil))
}

func checkErr(t testing.TB, got, want error) {
	t.Helper()
	if (got == nil) != (want == nil) || !errors.Is(got, want) {
		t.Fatalf("error = %v, want %v", got, want)
	}
}
