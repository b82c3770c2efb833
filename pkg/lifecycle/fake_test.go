package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

const (
	prefix = "lkpat_"
	admin  = account.ID(1)
	owner  = account.ID(58)
	other  = account.ID(59)

	firstBot = account.ID(1000)

	acme = project.ID(7) // a group
	web  = project.ID(8) // a project in it
	apps = project.ID(9) // a project that lies elsewhere
)

// now is a second before midnight in UTC, so that a day more or less shows.
var (
	now      = time.Date(2026, 3, 4, 23, 59, 59, 0, time.UTC)
	today    = clock.DayOf(now)
	tomorrow = today.AddDays(1)
)

// fakeStore is a table in memory. A function field, if set, runs in place of
// the write it is named after.
type fakeStore struct {
	mu     sync.Mutex // of what ends tokens, which a report of leaks does several at a time
	tokens map[token.ID]token.Token
	accts  map[account.ID]account.Account
	uses   map[string]secret.Use
	writes int
	// settings have the prefix of this package's tests and are otherwise the
	// strictest.
	settings    settings.Settings
	settingsErr error

	projects map[project.ID]project.Project
	members  map[project.ID]map[account.ID]project.Member
	bots     account.ID // how many there were
	children map[token.ID][]token.Child

	createToken func(token.Token, *secret.Use) (token.Token, error)
	rotateToken func(old, next token.Token, use *secret.Use) (token.Token, error)
	use         func(handle string) (secret.Use, error)
	revokeToken func(token.Token) error
	// tokensByDigest fails the lookup; lookups are those that were made.
	tokensByDigest func() error
	lookups        [][]secret.Digest
	lookup         func() []token.Token // what is found, instead of what there is
	events         []audit.Event        // of all changes
	newest         func(token.ID) (token.Token, error)
	walked         func(account.ID, token.Walk)
	incomplete     bool // an earlier release has written the table

	createProjectToken func(mint func(account.ID) (secret.Digest, *secret.Use, error)) (token.Token, error)
}

func (s *fakeStore) Project(_ context.Context, id project.ID) (project.Project, error) {
	proj, ok := s.projects[id]
	if !ok {
		return proj, fault.ErrNotFound
	}
	return proj, nil
}

func (s *fakeStore) ProjectByPath(_ context.Context, path string) (project.Project, error) {
	for _, proj := range s.projects {
		if proj.FullPath == path {
			return proj, nil
		}
	}
	return project.Project{}, fault.ErrNotFound
}

func (s *fakeStore) Standing(_ context.Context, proj project.Project, acct account.ID) (project.Standing, error) {
	standing := project.Standing{Direct: s.members[proj.ID][acct]}
	for _, id := range proj.Ancestors {
		if m, ok := s.members[id][acct]; ok {
			standing.Inherited = append(standing.Inherited, m)
		}
	}
	return standing, nil
}

func (s *fakeStore) CreateProjectToken(_ context.Context, proj project.Project, bot account.Account, t token.Token,
	mint func(account.ID) (secret.Digest, *secret.Use, error), issued audit.Event) (token.Token, error) {
	s.events = append(s.events, issued)
	if s.createProjectToken != nil {
		return s.createProjectToken(mint)
	}
	if _, ok := s.projects[proj.ID]; !ok {
		return token.Token{}, fault.ErrNotFound
	}
	bot.ID = firstBot + s.bots
	s.bots++
	var use *secret.Use
	var err error
	if t.Digest, use, err = mint(bot.ID); err != nil {
		return token.Token{}, err
	}
	bot.NextNumber, t.Owner = 1, bot.ID
	s.accts[bot.ID] = bot
	if s.members[proj.ID] == nil {
		s.members[proj.ID] = map[account.ID]project.Member{}
	}
	s.members[proj.ID][bot.ID] = project.Member{Project: proj.ID, Account: bot.ID, Level: t.Level, ExpiresOn: t.ExpiresOn}
	return s.add(bot.ID, t, use)
}

func (s *fakeStore) TokensOfProject(_ context.Context, pid project.ID) ([]token.Token, error) {
	var tokens []token.Token
	for _, t := range s.tokens {
		if t.Project == pid {
			tokens = append(tokens, t)
		}
	}
	slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	return tokens, nil
}

func (s *fakeStore) Accounts(_ context.Context, ids []account.ID, each func(account.Account)) error {
	for _, id := range ids {
		if u, ok := s.accts[id]; ok {
			each(u)
		}
	}
	return nil
}

func (s *fakeStore) TokenSettings(context.Context) (settings.Settings, error) {
	return s.settings, s.settingsErr
}

func (s *fakeStore) Token(_ context.Context, id token.ID) (token.Token, error) {
	t, ok := s.tokens[id]
	if !ok {
		return t, fault.ErrNotFound
	}
	return t, nil
}

func (s *fakeStore) TokenByDigest(_ context.Context, digest secret.Digest) (token.Token, error) {
	for _, t := range s.tokens {
		if t.Digest == digest {
			return t, nil
		}
	}
	return token.Token{}, fault.ErrNotFound
}

func (s *fakeStore) Account(_ context.Context, id account.ID) (account.Account, error) {
	u, ok := s.accts[id]
	if !ok {
		return u, fault.ErrNotFound
	}
	return u, nil
}

func (s *fakeStore) CreateToken(_ context.Context, by account.Account, t token.Token, use *secret.Use, issued audit.Event, without ...secret.Digest) (token.Token, error) {
	s.events = append(s.events, issued)
	for _, digest := range without {
		if _, err := s.TokenByDigest(context.Background(), digest); err == nil {
			return token.Token{}, fault.ErrTaken
		}
	}
	if s.createToken != nil {
		return s.createToken(t, use)
	}
	return s.add(by.ID, t, use)
}

func (s *fakeStore) add(id account.ID, t token.Token, use *secret.Use) (token.Token, error) {
	if _, err := s.TokenByDigest(context.Background(), t.Digest); err == nil {
		return token.Token{}, fault.ErrTaken
	}
	if use != nil {
		if earlier, ok := s.uses[use.Handle]; ok && earlier.Good(use.At) {
			return token.Token{}, token.ErrKeyUsed
		}
		s.uses[use.Handle] = *use
	}
	s.writes++
	t.Maker = token.Maker{}
	acct := s.accts[id]
	t.ID, _ = token.NewID(acct.ID, acct.NextNumber)
	if t.Family == 0 {
		t.Family = t.ID
	}
	acct.NextNumber++
	s.accts[acct.ID], s.tokens[t.ID] = acct, t
	return t, nil
}

func (s *fakeStore) RotateToken(_ context.Context, by account.Account, old, next token.Token, use *secret.Use, rotated audit.Event) (token.Token, error) {
	s.events = append(s.events, rotated)
	if s.rotateToken != nil {
		return s.rotateToken(old, next, use)
	}
	stored := s.tokens[old.ID]
	switch {
	case stored.RotatedAway():
		return token.Token{}, token.ErrSuperseded
	case !stored.RevokedAt.IsZero():
		return token.Token{}, token.ErrRevoked
	}
	next, err := s.add(by.ID, next, use)
	if err == nil {
		if stored.WorksUntil = old.WorksUntil; old.WorksUntil.IsZero() {
			stored.RevokedAt, stored.RevokedReason = next.CreatedAt, token.ReasonRotated
		} else {
			stored.SupersededAt = next.CreatedAt
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
		return use, fault.ErrNotFound
	}
	return use, nil
}

func (s *fakeStore) RevokeToken(_ context.Context, ended token.Token, revoked audit.Event) error {
	if s.revokeToken != nil {
		return s.revokeToken(ended)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, revoked)
	stored, ok := s.tokens[ended.ID]
	if !ok {
		return fault.ErrNotFound
	}
	if stored.Superseded() && !ended.Superseded() {
		return token.ErrSuperseded
	}
	s.writes++
	if stored.RevokedAt.IsZero() {
		s.tokens[ended.ID] = ended
	}
	if stored.Kind.OfProject() && !stored.Superseded() {
		delete(s.accts, ended.Owner)
		delete(s.members[ended.Project], ended.Owner)
	}
	return nil
}

func (s *fakeStore) ReportToken(_ context.Context, reported token.Token, event audit.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, ok := s.tokens[reported.ID]
	switch {
	case !ok:
		return false, fault.ErrNotFound
	case slices.Contains(stored.Notices, token.MarkReported):
		return false, nil
	}
	s.writes++
	s.events = append(s.events, event)
	stored.Notices = append(stored.Notices, token.MarkReported)
	s.tokens[reported.ID] = stored
	return true, nil
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

func (s *fakeStore) RevokeEverything(_ context.Context, id account.ID, revoked audit.Event) error {
	s.events = append(s.events, revoked)
	acct, ok := s.accts[id]
	if !ok {
		return fault.ErrNotFound
	}
	s.writes++
	acct.TokensValidFrom = acct.NextNumber
	s.accts[id] = acct
	return nil
}

func (s *fakeStore) Children(_ context.Context, first token.ID) ([]token.Child, error) {
	return s.children[first], nil
}

func (s *fakeStore) Mark(_ context.Context, t token.Token, mark string, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t = s.tokens[t.ID]
	t.Notices = append(t.Notices, mark)
	s.tokens[t.ID] = t
	return nil
}

type noQueue struct{}

func (noQueue) AddEnding(context.Context, lifecycle.Unfinished) error { return nil }

func (noQueue) EndingDone(context.Context, lifecycle.Unfinished) error { return nil }

func (noQueue) Endings(context.Context, time.Time) ([]lifecycle.Unfinished, error) { return nil, nil }

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
		return newest, fault.ErrNotFound
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
	parts   lifecycle.IssuerParts
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
	s := &fakeStore{tokens: map[token.ID]token.Token{}, accts: map[account.ID]account.Account{}, uses: map[string]secret.Use{}, settings: settings.Settings{Prefix: prefix}}
	s.projects = map[project.ID]project.Project{
		acme: {ID: acme, Kind: project.KindGroup, Path: "acme", FullPath: "acme"},
		web:  {ID: web, Kind: project.KindProject, Path: "web", FullPath: "acme/web", Ancestors: []project.ID{acme}},
		apps: {ID: apps, Kind: project.KindProject, Path: "apps", FullPath: "other/apps"},
	}
	s.members = map[project.ID]map[account.ID]project.Member{}
	for _, id := range []account.ID{admin, owner, other} {
		s.accts[id] = account.Account{ID: id, State: account.Active, Admin: id == admin, NextNumber: 1}
	}
	fake, format := clock.NewFake(now), secret.Format{Prefixes: []string{prefix}}
	scopes := scope.GitLab()
	f := &fixture{fakeStore: s, clock: fake, scopes: scopes, parts: lifecycle.IssuerParts{
		Store: s, Reader: s, Projects: s, Bots: s, Scopes: scopes, Pepper: pepper, Format: format,
		Gate:     gate(func(project.Project) error { return nil }),
		Settings: s, ImpersonationPrefix: "lkimp_", ProjectPrefix: "lkprj_", Clock: fake, Random: &counting{},
	}}
	f.make(t)
	return f
}

// make makes the use cases anew, of parts.
func (f *fixture) make(t testing.TB) {
	t.Helper()
	s, p := f.fakeStore, f.parts
	var errs [3]error
	f.issuer, errs[0] = lifecycle.NewIssuer(p)
	f.revoker, errs[1] = lifecycle.NewRevoker(lifecycle.RevokerParts{Store: s, Reader: s, Projects: s, Pepper: p.Pepper, Format: p.Format, Clock: p.Clock, Queue: noQueue{}, Settings: s})
	f.lister, errs[2] = lifecycle.NewLister(lifecycle.ListerParts{Store: s, Reader: s, Projects: s, Scopes: p.Scopes, Pepper: p.Pepper, Format: p.Format, Clock: p.Clock})
	checkErr(t, errors.Join(errs[:]...), nil)
}

// give stores a token of owner as if it had been made long ago.
func (f *fixture) give(t testing.TB, id account.ID, change func(*token.Token)) token.Token {
	t.Helper()
	bearer, err := secret.New(prefix, int64(id), f.parts.Random)
	if err != nil {
		t.Fatal(err)
	}
	tok := token.Token{
		Kind: token.Personal, Owner: id, Name: "given", Scopes: scope.Set{"api"},
		CreatedAt: now.AddDate(0, -1, 0), ExpiresOn: today.AddDays(30), Digest: f.parts.Pepper.Digest(bearer), Generation: f.parts.Pepper.Generation(0),
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

// join makes somebody a member of a project.
func (f *fixture) join(pid project.ID, acct account.ID, level project.Level) {
	if f.members[pid] == nil {
		f.members[pid] = map[account.ID]project.Member{}
	}
	f.members[pid][acct] = project.Member{Project: pid, Account: acct, Level: level}
}

// callerAt is somebody with a level in a project.
func (f *fixture) callerAt(t testing.TB, pid project.ID, level project.Level) principal.Principal {
	t.Helper()
	if level != project.NoLevel {
		f.join(pid, owner, level)
	}
	return f.callerOf(t, owner)
}

// caller is the principal of a token as it is stored now.
func (f *fixture) caller(t token.Token) principal.Principal {
	t = f.tokens[t.ID]
	return principal.Principal{Account: f.accts[t.Owner], Token: t, Scopes: t.EffectiveScopes(f.scopes, f.accts[t.Owner])}
}

func (f *fixture) callerOf(t testing.TB, id account.ID) principal.Principal {
	t.Helper()
	return f.caller(f.give(t, id, nil))
}

func checkErr(t testing.TB, got, want error) {
	t.Helper()
	if (got == nil) != (want == nil) || !errors.Is(got, want) {
		t.Fatalf("error = %v, want %v", got, want)
	}
}

func errOf(_ lifecycle.Revocation, err error) error { return err }
