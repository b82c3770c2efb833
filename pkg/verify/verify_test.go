package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

const (
	prefix   = "lkpat_"
	owner    = token.OwnerID(58)
	interval = 10 * time.Minute
)

var (
	midnight = time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)
	noon     = midnight.Add(-12 * time.Hour)
)

type mark struct{ at, before time.Time }

// fakeStore answers like the table and counts what it is asked.
type fakeStore struct {
	check    func(context.Context, secret.Digest, token.OwnerID) (token.Token, principal.User, error)
	markUsed func(context.Context) error
	checks   int
	hints    []token.OwnerID
	marks    []mark
	policy   token.Policy
	policies int // how often it was asked for the policy
}

func (f *fakeStore) Check(ctx context.Context, digest secret.Digest, hint token.OwnerID, policy *token.Policy) (token.Token, principal.User, error) {
	f.checks++
	if policy != nil {
		f.policies++
		*policy = f.policy
	}
	f.hints = append(f.hints, hint)
	return f.check(ctx, digest, hint)
}

func (f *fakeStore) MarkUsed(ctx context.Context, _ secret.Digest, at, before time.Time) error {
	f.marks = append(f.marks, mark{at, before})
	if f.markUsed != nil {
		return f.markUsed(ctx)
	}
	return nil
}

type fixture struct {
	*verify.Verifier
	store    *fakeStore
	clock    *clock.Fake
	bearer   string
	token    token.Token
	user     principal.User
	unmarked []error
}

// newFixture has one active token of an active owner; the store knows no other.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	pepper, err := secret.NewPepper("pepper-of-thirty-two-bytes-12345")
	if err != nil {
		t.Fatal(err)
	}
	bearer, err := secret.New(prefix, int64(owner), bytes.NewReader([]byte("twenty random bytes!")))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clock: clock.NewFake(noon), bearer: bearer.Reveal()}
	f.token = token.Token{
		ID: token.ID(int64(owner)<<22 + 7), Kind: token.Personal, Owner: owner, Name: "nightly-export",
		ExpiresOn: token.DayOf(midnight), Digest: pepper.Digest(bearer),
	}
	f.user = principal.User{ID: owner, Username: "owner", State: principal.Active}
	f.store = &fakeStore{policy: token.Policy{LastUsedInterval: interval}, check: func(_ context.Context, digest secret.Digest, _ token.OwnerID) (token.Token, principal.User, error) {
		if digest != f.token.Digest {
			return token.Token{}, principal.User{}, token.ErrNotFound
		}
		return f.token, f.user, nil
	}}
	f.Verifier = &verify.Verifier{
		Store: f.store, Pepper: pepper, Format: secret.Format{Prefixes: []string{prefix}}, Clock: f.clock, Kept: &verify.Kept{},
		Unmarked: func(_ context.Context, id token.ID, err error) {
			if id != f.token.ID {
				t.Errorf("told about token %s, not %s", id, f.token.ID)
			}
			f.unmarked = append(f.unmarked, err)
		},
	}
	return f
}

func TestAGoodBearerIsItsOwner(t *testing.T) {
	f := newFixture(t)
	p, err := f.Verify(t.Context(), f.bearer)
	if err != nil {
		t.Fatal(err)
	}
	if p.User != f.user || !reflect.DeepEqual(p.Token, f.token) {
		t.Errorf("principal = %+v", p)
	}
	if f.store.checks != 1 || f.store.hints[0] != owner {
		t.Errorf("%d checks with hints %v, want one with %d", f.store.checks, f.store.hints, owner)
	}
}

func TestAChosenBearerIsReadWithoutHint(t *testing.T) {
	f := newFixture(t)
	const chosen = "token-string-here123"
	bearer, err := f.Format.Choose(chosen)
	if err != nil {
		t.Fatal(err)
	}
	f.token.Digest = f.Pepper.Digest(bearer)
	if _, err := f.Verify(t.Context(), chosen); err != nil {
		t.Fatal(err)
	}
	if f.store.checks != 1 || f.store.hints[0] != 0 {
		t.Errorf("%d checks with hints %v, want one without", f.store.checks, f.store.hints)
	}
}

// What cannot be a bearer must cost nothing, or guessing would be an attack on
// the bill.
func TestAValueThatIsNoBearerCostsNoRequest(t *testing.T) {
	good := newFixture(t).bearer
	last := good[len(good)-1]
	for name, test := range map[string]struct {
		value string
		want  error
	}{
		"no value":            {"", token.ErrMissing},
		"a wrong checksum":    {good[:len(good)-1] + string(last^1), token.ErrUnknown},
		"another case":        {prefix + strings.ToUpper(good[len(prefix):]), token.ErrUnknown},
		"a space behind":      {good + " ", token.ErrUnknown},
		"too short":           {good[:19], token.ErrUnknown},
		"the prefix alone":    {prefix, token.ErrUnknown},
		"too long":            {strings.Repeat("x", 256), token.ErrUnknown},
		"not ASCII":           {strings.Repeat("é", 20), token.ErrUnknown},
		"white space":         {strings.Repeat(" ", 30), token.ErrUnknown},
		"a header put inside": {good + "\r\nx: y", token.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			p, err := f.Verify(t.Context(), test.value)
			if !errors.Is(err, test.want) || !isNobody(p) {
				t.Errorf("Verify() = %+v, %v, want %v", p, err, test.want)
			}
			if f.store.checks+len(f.store.marks) != 0 {
				t.Errorf("%d checks and %d marks", f.store.checks, len(f.store.marks))
			}
			if refusal := new(verify.Refusal); errors.As(err, &refusal) {
				t.Error("an unknown value is refused as a known token")
			}
		})
	}
}

func isNobody(p principal.Principal) bool { return reflect.DeepEqual(p, principal.Principal{}) }

// Each case is a way in that must stay shut.
func TestARefusedBearerIsNobody(t *testing.T) {
	revoked := func(f *fixture) { f.token.RevokedAt = noon.Add(-time.Hour) }
	at := func(now time.Time) func(*fixture) { return func(f *fixture) { f.clock.Set(now) } }
	state := func(s principal.State) func(*fixture) { return func(f *fixture) { f.user.State = s } }
	all := func(changes ...func(*fixture)) func(*fixture) {
		return func(f *fixture) {
			for _, change := range changes {
				change(f)
			}
		}
	}
	tests := []struct {
		name   string
		change func(*fixture)
		want   error // nil for allowed
		marked bool
	}{
		{"a second before the day it expires on it is good", at(midnight.Add(-time.Second)), nil, true},
		{"at midnight it is expired", at(midnight), token.ErrExpired, false},
		{"a second later it is expired", at(midnight.Add(time.Second)), token.ErrExpired, false},
		{"revoked", revoked, token.ErrRevoked, false},
		{"revoked in bulk", func(f *fixture) { f.user.TokensValidFrom = 8 }, token.ErrRevoked, false},
		{"made after everything was revoked in bulk it is good", func(f *fixture) { f.user.TokensValidFrom = 7 }, nil, true},
		{"expired and revoked is expired", all(revoked, at(midnight)), token.ErrExpired, false},
		{"expired and revoked in bulk is expired", all(func(f *fixture) { f.user.TokensValidFrom = 8 }, at(midnight)), token.ErrExpired, false},
		{"a blocked owner", state(principal.Blocked), principal.ErrBlocked, true},
		{"a deactivated owner", state(principal.Deactivated), principal.ErrDeactivated, true},
		{"an owner in an unknown state", state("banned"), principal.ErrInactive, true},
		{"an owner without a state", state(""), principal.ErrInactive, true},
		{"a blocked administrator", all(state(principal.Blocked), func(f *fixture) { f.user.Admin = true }), principal.ErrBlocked, true},
		{"revoked before blocked", all(revoked, state(principal.Blocked)), token.ErrRevoked, false},
		{"expired before blocked", all(at(midnight), state(principal.Blocked)), token.ErrExpired, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			test.change(f)
			p, err := f.Verify(t.Context(), f.bearer)
			if (test.want == nil) != (err == nil) || !errors.Is(err, test.want) {
				t.Fatalf("Verify() error = %v, want %v", err, test.want)
			}
			if (len(f.store.marks) == 1) != test.marked {
				t.Errorf("use recorded %d times, want it: %t", len(f.store.marks), test.marked)
			}
			if err == nil {
				return
			}
			if !isNobody(p) {
				t.Errorf("principal = %+v", p)
			}
			var refusal *verify.Refusal
			if !errors.As(err, &refusal) || !reflect.DeepEqual(refusal.Token, f.token) || refusal.User != f.user {
				t.Errorf("the refusal does not carry the token and its owner: %v", err)
			}
			checkText(t, f, err)
		})
	}
}

// An error text ends in a log.
func checkText(t *testing.T, f *fixture, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v %s %q", err, err, err, err, err)
	for what, part := range map[string]string{"bearer": f.bearer[len(prefix):], "digest": f.token.Digest.Key()} {
		if strings.Contains(text, part) {
			t.Errorf("the error shows the %s: %s", what, text)
		}
	}
}

// What cannot be decided is refused, whatever the reason.
func TestWhatCannotBeDecidedIsRefused(t *testing.T) {
	answer := func(tok func(token.Token) token.Token, user func(principal.User) principal.User, err error) func(*fixture) {
		return func(f *fixture) {
			f.store.check = func(context.Context, secret.Digest, token.OwnerID) (token.Token, principal.User, error) {
				return tok(f.token), user(f.user), err
			}
		}
	}
	none := func(token.Token) token.Token { return token.Token{} }
	same, sameUser := func(t token.Token) token.Token { return t }, func(u principal.User) principal.User { return u }
	odd := errors.New("something nobody expected")
	tests := []struct {
		name   string
		change func(*fixture)
		want   error
	}{
		{"no record", answer(none, sameUser, token.ErrNotFound), token.ErrUnknown},
		{"no record, wrapped", answer(none, sameUser, fmt.Errorf("get: %w", token.ErrNotFound)), token.ErrUnknown},
		{"the record of another digest whose owner is gone", answer(func(t token.Token) token.Token {
			t.Digest = secret.DigestFromKey("another")
			return t
		}, sameUser, token.ErrNotFound), token.ErrUnknown},
		{"unavailable", answer(same, sameUser, token.ErrUnavailable), token.ErrUnavailable},
		{"a malformed item", answer(same, sameUser, fmt.Errorf("read: %w", token.ErrCorrupt)), token.ErrCorrupt},
		{"an error of an unknown kind beside a good record", answer(same, sameUser, odd), odd},
		{"a deadline", answer(same, sameUser, context.DeadlineExceeded), context.DeadlineExceeded},
		{"the end of a stream", answer(same, sameUser, io.EOF), io.EOF},
		{"the record of another digest", answer(func(t token.Token) token.Token {
			t.Digest = secret.DigestFromKey("another")
			return t
		}, sameUser, nil), token.ErrCorrupt},
		{"a record without a digest", answer(func(t token.Token) token.Token {
			t.Digest = secret.Digest{}
			return t
		}, sameUser, nil), token.ErrCorrupt},
		{"the record of another owner", answer(func(t token.Token) token.Token {
			t.Owner++
			return t
		}, sameUser, nil), token.ErrCorrupt},
		{"the profile of another user", answer(same, func(u principal.User) principal.User {
			u.ID++
			return u
		}, nil), token.ErrCorrupt},
		{"nothing at all and no error", answer(func(token.Token) token.Token { return token.Token{} },
			func(principal.User) principal.User { return principal.User{} }, nil), token.ErrCorrupt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			test.change(f)
			p, err := f.Verify(t.Context(), f.bearer)
			if !errors.Is(err, test.want) || !isNobody(p) {
				t.Errorf("Verify() = %+v, %v, want %v", p, err, test.want)
			}
			var refusal *verify.Refusal
			if errors.As(err, &refusal) {
				t.Error("the answer tells that there is a token")
			}
			// Only what was decided may be answered as a bad bearer.
			if errors.Is(err, token.ErrInvalid) != errors.Is(test.want, token.ErrInvalid) {
				t.Errorf("%v is in the wrong family", err)
			}
			if len(f.store.marks) != 0 {
				t.Error("a use was recorded")
			}
			checkText(t, f, err)
		})
	}
}

func TestAUseIsRecordedOncePerInterval(t *testing.T) {
	tests := []struct {
		name string
		last time.Time
		want bool
	}{
		{"never used", time.Time{}, true},
		{"used just now", noon, false},
		{"used a second less than an interval ago", noon.Add(-interval + time.Second), false},
		{"used an interval ago", noon.Add(-interval), true},
		{"used a second more than an interval ago", noon.Add(-interval - time.Second), true},
		{"used long ago", noon.AddDate(-1, 0, 0), true},
		{"used in the future, by a clock that is ahead", noon.Add(time.Hour), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.token.LastUsedAt = test.last
			if _, err := f.Verify(t.Context(), f.bearer); err != nil {
				t.Fatal(err)
			}
			var want []mark
			if test.want {
				want = []mark{{noon, noon.Add(-interval)}}
			}
			if !reflect.DeepEqual(f.store.marks, want) {
				t.Errorf("recorded %v, want %v", f.store.marks, want)
			}
		})
	}
}

// A use is bookkeeping: whatever happens to it, the caller gets the answer,
// and soon.
func TestAUseThatCannotBeRecordedChangesNothing(t *testing.T) {
	failed := errors.New("throttled")
	tests := []struct {
		name     string
		markUsed func(context.Context) error
		want     error
		took     time.Duration
	}{
		{"a failure", func(context.Context) error { return failed }, failed, 0},
		{"a record that is gone", func(context.Context) error { return token.ErrNotFound }, token.ErrNotFound, 0},
		{"a hang", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, context.DeadlineExceeded, 500 * time.Millisecond},
	}
	for _, test := range tests {
		for _, silent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, told to nobody: %t", test.name, silent), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t)
					f.store.markUsed = test.markUsed
					if silent {
						f.Unmarked = nil
					}
					start := time.Now()
					p, err := f.Verify(t.Context(), f.bearer)
					if err != nil || p.User != f.user {
						t.Errorf("Verify() = %+v, %v", p, err)
					}
					if took := time.Since(start); took != test.took {
						t.Errorf("took %v, want %v", took, test.took)
					}
					if !silent && (len(f.unmarked) != 1 || !errors.Is(f.unmarked[0], test.want)) {
						t.Errorf("told of %v, want %v", f.unmarked, test.want)
					}
				})
			})
		}
	}
}

// The caller's own deadline holds for bookkeeping too.
func TestAUseIsNotRecordedBeyondTheRequestsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.store.markUsed = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := f.Verify(ctx, f.bearer); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// Breaks if anything is remembered between two checks: a revocation that was
// answered holds for the very next request.
func TestNothingIsRemembered(t *testing.T) {
	f := newFixture(t)
	if _, err := f.Verify(t.Context(), f.bearer); err != nil {
		t.Fatal(err)
	}
	f.token.RevokedAt = noon
	if _, err := f.Verify(t.Context(), f.bearer); !errors.Is(err, token.ErrRevoked) {
		t.Errorf("after the revocation: %v", err)
	}
	f.token.RevokedAt = time.Time{}
	f.user.State = principal.Blocked
	if _, err := f.Verify(t.Context(), f.bearer); !errors.Is(err, principal.ErrBlocked) {
		t.Errorf("after the block: %v", err)
	}
	f.user.State = principal.Active
	if _, err := f.Verify(t.Context(), f.bearer); err != nil || f.store.checks != 4 {
		t.Errorf("after the unblock: %v, %d checks", err, f.store.checks)
	}
}
