package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

const (
	prefix   = "lkpat_"
	owner    = account.ID(58)
	interval = 10 * time.Minute
)

var (
	midnight = time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)
	noon     = midnight.Add(-12 * time.Hour)
)

type mark struct {
	at, before time.Time
	from       []netip.Addr
}

// fakeStore answers like the table and counts what it is asked.
type fakeStore struct {
	check    func(context.Context, []secret.Digest, account.ID) (token.Token, account.Account, error)
	markUsed func(context.Context) error
	checks   int
	hints    []account.ID
	marks    []mark
	settings settings.Settings
	ended    []audit.Event
	endErr   error
	reads    int // how often it was asked for the settings
}

func (f *fakeStore) Check(ctx context.Context, digests []secret.Digest, hint account.ID, set *settings.Settings) (token.Token, account.Account, error) {
	f.checks++
	if set != nil {
		f.reads++
		*set = f.settings
	}
	f.hints = append(f.hints, hint)
	return f.check(ctx, digests, hint)
}

func (f *fakeStore) EndOverlap(_ context.Context, t token.Token, _ time.Time, ended audit.Event) error {
	f.ended = append(f.ended, ended)
	return f.endErr
}

func (f *fakeStore) MarkUsed(ctx context.Context, _ secret.Digest, at, before time.Time, from []netip.Addr) error {
	f.marks = append(f.marks, mark{at, before, from})
	if f.markUsed != nil {
		return f.markUsed(ctx)
	}
	return nil
}

type fixture struct {
	*verify.Verifier
	parts    verify.Parts // that it is made of
	store    *fakeStore
	clock    *clock.Fake
	bearer   string
	token    token.Token
	acct     account.Account
	unmarked []error
}

// make makes the verifier anew.
func (f *fixture) make(t *testing.T) {
	t.Helper()
	var err error
	if f.Verifier, err = verify.New(f.parts); err != nil {
		t.Fatal(err)
	}
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
		ExpiresOn: clock.DayOf(midnight), Digest: pepper.Digest(bearer), Generation: pepper.Generation(0),
	}
	f.acct = account.Account{ID: owner, Username: "owner", State: account.Active}
	f.store = &fakeStore{settings: settings.Settings{LastUsedInterval: interval}, check: func(_ context.Context, digests []secret.Digest, _ account.ID) (token.Token, account.Account, error) {
		if !slices.Contains(digests, f.token.Digest) {
			return token.Token{}, account.Account{}, fault.ErrNotFound
		}
		return f.token, f.acct, nil
	}}
	f.parts = verify.Parts{
		Store: f.store, Pepper: pepper, Format: secret.Format{Prefixes: []string{prefix}}, Scopes: scope.GitLab(), Clock: f.clock, Kept: &verify.Kept{},
		Unmarked: func(_ context.Context, id token.ID, err error) {
			if id != f.token.ID {
				t.Errorf("told about token %s, not %s", id, f.token.ID)
			}
			f.unmarked = append(f.unmarked, err)
		},
	}
	f.make(t)
	return f
}

func TestAGoodBearerIsItsOwner(t *testing.T) {
	f := newFixture(t)
	p, err := f.Verify(t.Context(), f.bearer, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Account != f.acct || !reflect.DeepEqual(p.Token, f.token) {
		t.Errorf("principal = %+v", p)
	}
	if f.store.checks != 1 || f.store.hints[0] != owner {
		t.Errorf("%d checks with hints %v, want one with %d", f.store.checks, f.store.hints, owner)
	}
}

func TestAChosenBearerIsReadWithoutHint(t *testing.T) {
	f := newFixture(t)
	const chosen = "token-string-here123"
	bearer, err := f.parts.Format.Choose(chosen)
	if err != nil {
		t.Fatal(err)
	}
	f.token.Digest = f.parts.Pepper.Digest(bearer)
	if _, err := f.Verify(t.Context(), chosen, netip.Addr{}); err != nil {
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
			p, err := f.Verify(t.Context(), test.value, netip.Addr{})
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
	state := func(s account.State) func(*fixture) { return func(f *fixture) { f.acct.State = s } }
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
		{"revoked in bulk", func(f *fixture) { f.acct.TokensValidFrom = 8 }, token.ErrRevoked, false},
		{"made after everything was revoked in bulk it is good", func(f *fixture) { f.acct.TokensValidFrom = 7 }, nil, true},
		{"expired and revoked is expired", all(revoked, at(midnight)), token.ErrExpired, false},
		{"expired and revoked in bulk is expired", all(func(f *fixture) { f.acct.TokensValidFrom = 8 }, at(midnight)), token.ErrExpired, false},
		{"a blocked owner", state(account.Blocked), account.ErrBlocked, true},
		{"a deactivated owner", state(account.Deactivated), account.ErrDeactivated, true},
		{"an owner in an unknown state", state("banned"), account.ErrInactive, true},
		{"an owner without a state", state(""), account.ErrInactive, true},
		{"a blocked administrator", all(state(account.Blocked), func(f *fixture) { f.acct.Admin = true }), account.ErrBlocked, true},
		{"revoked before blocked", all(revoked, state(account.Blocked)), token.ErrRevoked, false},
		{"expired before blocked", all(at(midnight), state(account.Blocked)), token.ErrExpired, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			test.change(f)
			p, err := f.Verify(t.Context(), f.bearer, netip.Addr{})
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
			if !errors.As(err, &refusal) || !reflect.DeepEqual(refusal.Token, f.token) || refusal.Account != f.acct {
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
	answer := func(tok func(token.Token) token.Token, acct func(account.Account) account.Account, err error) func(*fixture) {
		return func(f *fixture) {
			f.store.check = func(context.Context, []secret.Digest, account.ID) (token.Token, account.Account, error) {
				return tok(f.token), acct(f.acct), err
			}
		}
	}
	none := func(token.Token) token.Token { return token.Token{} }
	same, sameAccount := func(t token.Token) token.Token { return t }, func(u account.Account) account.Account { return u }
	odd := errors.New("something nobody expected")
	tests := []struct {
		name   string
		change func(*fixture)
		want   error
	}{
		{"no record", answer(none, sameAccount, fault.ErrNotFound), token.ErrUnknown},
		{"no record, wrapped", answer(none, sameAccount, fmt.Errorf("get: %w", fault.ErrNotFound)), token.ErrUnknown},
		{"the record of another digest whose owner is gone", answer(func(t token.Token) token.Token {
			t.Digest = secret.DigestFromKey("another")
			return t
		}, sameAccount, fault.ErrNotFound), token.ErrUnknown},
		{"unavailable", answer(same, sameAccount, fault.ErrUnavailable), fault.ErrUnavailable},
		{"a malformed item", answer(same, sameAccount, fmt.Errorf("read: %w", fault.ErrCorrupt)), fault.ErrCorrupt},
		{"an error of an unknown kind beside a good record", answer(same, sameAccount, odd), odd},
		{"a deadline", answer(same, sameAccount, context.DeadlineExceeded), context.DeadlineExceeded},
		{"the end of a stream", answer(same, sameAccount, io.EOF), io.EOF},
		{"the record of another digest", answer(func(t token.Token) token.Token {
			t.Digest = secret.DigestFromKey("another")
			return t
		}, sameAccount, nil), fault.ErrCorrupt},
		{"a record without a digest", answer(func(t token.Token) token.Token {
			t.Digest = secret.Digest{}
			return t
		}, sameAccount, nil), fault.ErrCorrupt},
		{"the record of another owner", answer(func(t token.Token) token.Token {
			t.Owner++
			return t
		}, sameAccount, nil), fault.ErrCorrupt},
		{"the profile of another user", answer(same, func(u account.Account) account.Account {
			u.ID++
			return u
		}, nil), fault.ErrCorrupt},
		{"nothing at all and no error", answer(func(token.Token) token.Token { return token.Token{} },
			func(account.Account) account.Account { return account.Account{} }, nil), fault.ErrCorrupt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			test.change(f)
			p, err := f.Verify(t.Context(), f.bearer, netip.Addr{})
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
			if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil {
				t.Fatal(err)
			}
			var want []mark
			if test.want {
				want = []mark{{noon, noon.Add(-interval), nil}}
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
		{"a record that is gone", func(context.Context) error { return fault.ErrNotFound }, fault.ErrNotFound, 0},
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
						f.parts.Unmarked = nil
						f.make(t)
					}
					start := time.Now()
					p, err := f.Verify(t.Context(), f.bearer, netip.Addr{})
					if err != nil || p.Account != f.acct {
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
		if _, err := f.Verify(ctx, f.bearer, netip.Addr{}); err != nil {
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
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	f.token.RevokedAt = noon
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, token.ErrRevoked) {
		t.Errorf("after the revocation: %v", err)
	}
	f.token.RevokedAt = time.Time{}
	f.acct.State = account.Blocked
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, account.ErrBlocked) {
		t.Errorf("after the block: %v", err)
	}
	f.acct.State = account.Active
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil || f.store.checks != 4 {
		t.Errorf("after the unblock: %v, %d checks", err, f.store.checks)
	}
}

// Breaks if a scope opens something after its owner lost the right to it. The check itself decides,
// so that a demotion holds everywhere at once.
func TestScopesCountWhileTheOwnerMayHoldThem(t *testing.T) {
	f := newFixture(t)
	f.token.Scopes = scope.Set{"sudo", "read_api", "admin_mode"}
	for _, test := range []struct {
		admin bool
		want  string
	}{{true, "sudo read_api admin_mode"}, {false, "read_api"}} {
		f.acct.Admin = test.admin
		p, err := f.Verify(t.Context(), f.bearer, netip.Addr{})
		if err != nil || p.Scopes.String() != test.want || p.Token.Scopes.String() != "sudo read_api admin_mode" {
			t.Errorf("administrator %t: scopes %q of %q, error %v; want %q", test.admin, p.Scopes, p.Token.Scopes, err, test.want)
		}
	}
	f.token.Scopes = scope.Set{"sudo"}
	if p, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil || len(p.Scopes) > 0 {
		t.Errorf("scopes %q, error %v, want a good bearer that opens nothing", p.Scopes, err)
	}
	if f.store.checks != 3 {
		t.Errorf("%d checks, want 3: a cut costs no request", f.store.checks)
	}
}

// Breaks if a failure to end a predecessor refuses its successor, or if every check tries to end one.
func TestFirstUseEndsThePredecessor(t *testing.T) {
	f := newFixture(t)
	f.token.Previous, f.token.EndsOnUse, f.token.CreatedAt = f.token.ID-1, secret.DigestFromKey("predecessor"), noon
	f.store.endErr = fault.ErrUnavailable
	for range 2 {
		if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.store.ended) != 2 || f.store.ended[0].Token != f.token.Previous || f.store.ended[0].Name != audit.TokenRevoked || len(f.unmarked) != 2 {
		t.Errorf("ended %+v, reported %v", f.store.ended, f.unmarked)
	}
	f.clock.Set(noon.Add(token.MaxOverlap)) // it has ended by itself
	f.token.ExpiresOn = clock.DayOf(noon).AddDays(9)
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil || len(f.store.ended) != 2 {
		t.Errorf("after a day: %v, ended %d times", err, len(f.store.ended))
	}
	f.token.EndsOnUse = secret.Digest{}
	f.clock.Set(noon)
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil || len(f.store.ended) != 2 {
		t.Errorf("without a mark: %v, ended %d times", err, len(f.store.ended))
	}
	f.token.EndsOnUse, f.token.RevokedAt, f.token.RevokedReason = secret.DigestFromKey("predecessor"), noon, token.ReasonRequest
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err == nil || len(f.store.ended) != 2 {
		t.Errorf("refused: %v, ended %d times", err, len(f.store.ended))
	}
}
