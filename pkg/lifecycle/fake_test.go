package lifecycle_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

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
	tokens map[token.ID]token.Token
	users  map[token.OwnerID]principal.User
	uses   map[string]secret.Use
	writes int

	createToken func(token.Token, *secret.Use) (token.Token, error)
	rotateToken func(old, next token.Token, use *secret.Use) (token.Token, error)
	use         func(handle string) (secret.Use, error)
	revokeToken func(token.Token) error
	newest      func(token.ID) (token.Token, error)
	pageOfOwner func(token.OwnerID, token.Page)
}

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
	if !stored.RevokedAt.IsZero() {
		return token.Token{}, token.ErrRevoked
	}
	next, err := s.add(by.ID, next, use)
	if err == nil {
		stored.RevokedAt, stored.RevokedReason = next.CreatedAt, token.ReasonRotated
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

func (s *fakeStore) RevokeToken(_ context.Context, ended token.Token) error {
	if s.revokeToken != nil {
		return s.revokeToken(ended)
	}
	stored, ok := s.tokens[ended.ID]
	if !ok {
		return token.ErrNotFound
	}
	s.writes++
	if stored.RevokedAt.IsZero() {
		s.tokens[ended.ID] = ended
	}
	return nil
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
	s := &fakeStore{tokens: map[token.ID]token.Token{}, users: map[token.OwnerID]principal.User{}, uses: map[string]secret.Use{}}
	for _, id := range []token.OwnerID{admin, owner, other} {
		s.users[id] = principal.User{ID: id, State: principal.Active, Admin: id == admin, NextNumber: 1}
	}
	fake, format := clock.NewFake(now), secret.Format{Prefixes: []string{prefix}}
	scopes := scope.GitLab()
	return &fixture{
		fakeStore: s, clock: fake, scopes: scopes,
		issuer: &lifecycle.Issuer{Store: s, Reader: s, Scopes: scopes, Pepper: pepper, Format: format,
			Prefix: prefix, ImpersonationPrefix: "lkimp_", Clock: fake, Random: io.Reader(&counting{})},
		revoker: &lifecycle.Revoker{Store: s, Reader: s, Pepper: pepper, Format: format, Clock: fake},
		lister:  &lifecycle.Lister{Store: s, Reader: s, Pepper: pepper, Format: format, Clock: fake},
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
