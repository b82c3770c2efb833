package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

func spec() lifecycle.Spec {
	return lifecycle.Spec{Name: "nightly-export", Description: "pulls usage figures", Scopes: scope.Set{"read_api", "self_rotate"}, ExpiresOn: today.AddDays(90)}
}

func TestAnIssuedTokenIsWhatWasAskedFor(t *testing.T) {
	f := newFixture(t)
	by := f.callerOf(t, admin)
	issued, err := f.issuer.CreateFor(t.Context(), by, owner, spec())
	checkErr(t, err, nil)
	id, _ := token.NewID(owner, 1)
	want := token.Token{
		ID: id, Family: id, Kind: token.Personal, Owner: owner, CreatedBy: admin, CreatedAt: now,
		Name: "nightly-export", Description: "pulls usage figures", Scopes: scope.Set{"read_api", "self_rotate"},
		ExpiresOn: today.AddDays(90), Digest: f.parts.Pepper.Digest(issued.Bearer), Generation: f.parts.Pepper.Generation(0),
		Parent: by.Token.ID, ParentKind: token.Personal, Depth: 1,
	}
	if !reflect.DeepEqual(issued.Token, want) || !reflect.DeepEqual(f.tokens[id], want) {
		t.Errorf("issued %+v, want %+v", issued.Token, want)
	}
	bearer, err := f.parts.Format.Parse(issued.Bearer.Reveal())
	if hint, _ := bearer.OwnerHint(); err != nil || hint != int64(owner) || !strings.HasPrefix(bearer.Reveal(), prefix) {
		t.Errorf("bearer with hint %d: %v", hint, err)
	}
	again, err := f.issuer.CreateFor(t.Context(), by, owner, spec())
	checkErr(t, err, nil)
	if again.Bearer.Reveal() == issued.Bearer.Reveal() || again.Token.ID <= issued.Token.ID {
		t.Error("two tokens share a bearer or an id")
	}
}

// Breaks if somebody who is no administrator can make a token for anybody, or
// an account that may not use tokens gets one.
func TestWhoMayCreateFor(t *testing.T) {
	tests := []struct {
		name   string
		by, to account.ID
		state  account.State
		want   error
	}{
		{"an administrator for somebody", admin, owner, account.Active, nil},
		{"an administrator for themselves", admin, admin, account.Active, nil},
		{"an administrator for nobody", admin, 99, account.Active, fault.ErrNotFound},
		{"an administrator for a blocked account", admin, owner, account.Blocked, account.ErrBlocked},
		{"an administrator for a deactivated account", admin, owner, account.Deactivated, account.ErrDeactivated},
		{"an administrator for an account in an unknown state", admin, owner, "banned", account.ErrInactive},
		{"a person for themselves", owner, owner, account.Active, fault.ErrForbidden},
		{"a person for somebody else", owner, other, account.Active, fault.ErrForbidden},
		{"a person for nobody learns nothing", owner, 99, account.Active, fault.ErrForbidden},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerOf(t, test.by)
			if acct, ok := f.accts[test.to]; ok && test.to != test.by {
				acct.State = test.state
				f.accts[test.to] = acct
			}
			_, err := f.issuer.CreateFor(t.Context(), by, test.to, spec())
			checkErr(t, err, test.want)
			if want := map[bool]int{true: 1, false: 0}[test.want == nil]; f.writes != want {
				t.Errorf("%d writes, want %d", f.writes, want)
			}
		})
	}
}

// day d of the tests is d days from today, one second before midnight; a
// second later it is one day less.
func TestDatesThatATokenMayEndOn(t *testing.T) {
	const (
		dead = "expires_on too early 2026-03-04"
		far  = "expires_on too late 2027-03-04"
	)
	tests := []struct {
		name string
		on   clock.Day
		late time.Duration // after now
		want string        // the fault, or the day
	}{
		{"a year ahead when nothing is asked for", clock.Day{}, 0, "2027-03-04"},
		{"a year ahead of the new day a second later", clock.Day{}, time.Second, "2027-03-05"},
		{"tomorrow", tomorrow, 0, "2026-03-05"},
		{"tomorrow is refused once it is today", tomorrow, time.Second, strings.ReplaceAll(dead, "03-04", "03-05")},
		{"today is refused", today, 0, dead},
		{"yesterday is refused", today.AddDays(-1), 0, dead},
		{"long ago is refused", today.AddDays(-5000), 0, dead},
		{"the last day of the limit", today.AddDays(365), 0, "2027-03-04"},
		{"one day beyond the limit is refused", today.AddDays(366), 0, far},
		{"one day beyond the limit is good a second later", today.AddDays(366), time.Second, "2027-03-05"},
		{"the last day of the calendar is refused", clock.DayOf(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)), 0, far},
	}
	for _, test := range tests {
		ways := map[string]func(*fixture, principal.Principal, lifecycle.Spec) (lifecycle.Issued, error){
			"by an administrator": func(f *fixture, by principal.Principal, s lifecycle.Spec) (lifecycle.Issued, error) {
				return f.issuer.CreateFor(t.Context(), by, owner, s)
			},
			"by the console": func(f *fixture, _ principal.Principal, s lifecycle.Spec) (lifecycle.Issued, error) {
				return f.issuer.CreateByConsole(t.Context(), "", f.accts[owner], s, "")
			},
			"with a token that never ends": func(f *fixture, by principal.Principal, s lifecycle.Spec) (lifecycle.Issued, error) {
				by.Token.ExpiresOn = clock.Day{}
				return f.issuer.CreateForSelf(t.Context(), by, s)
			},
			"with a token that ends later than the limit": func(f *fixture, by principal.Principal, s lifecycle.Spec) (lifecycle.Issued, error) {
				by.Token.ExpiresOn = today.AddDays(400)
				return f.issuer.CreateForSelf(t.Context(), by, s)
			},
		}
		for way, create := range ways {
			t.Run(test.name+", "+way, func(t *testing.T) {
				f := newFixture(t)
				by := f.callerOf(t, admin)
				f.clock.Advance(test.late)
				wanted := spec()
				wanted.ExpiresOn = test.on
				issued, err := create(f, by, wanted)
				checkOutcome(t, issued, err, test.want)
			})
		}
	}
}

// brokenBy returns the rules that err says are broken, as "field rule limit".
func brokenBy(err error) string {
	var broken fault.Breaches
	errors.As(err, &broken)
	texts := make([]string, len(broken))
	for i, b := range broken {
		if texts[i] = fmt.Sprintf("%s %s", b.Field, b.Rule); b.Limit != nil {
			texts[i] += fmt.Sprintf(" %v", b.Limit)
		}
	}
	return strings.Join(texts, ", ")
}

// checkOutcome compares with the rules that are broken, or with the day on which
// the issued token ends.
func checkOutcome(t *testing.T, issued lifecycle.Issued, err error, want string) {
	t.Helper()
	got := issued.Token.ExpiresOn.String()
	if err != nil {
		got = brokenBy(err)
		if !errors.Is(err, lifecycle.ErrUnfit) || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v is no fault of the caller", err)
		}
		if issued.Bearer.Reveal() != "" {
			t.Error("a refusal comes with a bearer")
		}
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFaultsAreNamedTogether(t *testing.T) {
	const (
		blank    = "name blank"
		long     = "description too long 255"
		sudo     = "scopes for administrators only sudo"
		tooFar   = "expires_on too late 2027-03-04"
		noScopes = "scopes blank"
	)
	tests := []struct {
		name   string
		change func(*lifecycle.Spec)
		want   string // "" for none
	}{
		{"none", func(*lifecycle.Spec) {}, ""},
		{"a blank name", func(s *lifecycle.Spec) { s.Name = "" }, blank},
		{"a name of white space", func(s *lifecycle.Spec) { s.Name = " \t\n\u00a0" }, blank},
		{"a name of 255 characters is possible", func(s *lifecycle.Spec) { s.Name = strings.Repeat("é", 255) }, ""},
		{"a name of 256 characters", func(s *lifecycle.Spec) { s.Name = strings.Repeat("é", 256) }, "name too long 255"},
		{"no description is possible", func(s *lifecycle.Spec) { s.Description = "" }, ""},
		{"a description of 255 characters is possible", func(s *lifecycle.Spec) { s.Description = strings.Repeat("語", 255) }, ""},
		{"a description of 256 characters", func(s *lifecycle.Spec) { s.Description = strings.Repeat("語", 256) }, long},
		{"no scopes", func(s *lifecycle.Spec) { s.Scopes = nil }, noScopes},
		{"sudo for a person", func(s *lifecycle.Spec) { s.Scopes = scope.Set{"api", "sudo"} }, sudo},
		{"two faults", func(s *lifecycle.Spec) { s.Name, s.ExpiresOn = "", today.AddDays(366) }, blank + ", " + tooFar},
		{"three faults", func(s *lifecycle.Spec) {
			s.Name, s.Description, s.ExpiresOn = "", strings.Repeat("x", 256), today.AddDays(366)
		}, blank + ", " + long + ", " + tooFar},
		{"four faults", func(s *lifecycle.Spec) {
			*s = lifecycle.Spec{Description: strings.Repeat("x", 256), Scopes: scope.Set{"sudo"}, ExpiresOn: today.AddDays(366)}
		}, blank + ", " + long + ", " + sudo + ", " + tooFar},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			wanted := spec()
			test.change(&wanted)
			want := test.want
			if want == "" {
				want = wanted.ExpiresOn.String()
			}
			issued, err := f.issuer.CreateFor(t.Context(), f.callerOf(t, admin), owner, wanted)
			checkOutcome(t, issued, err, want)
			issued, err = f.issuer.CreateByConsole(t.Context(), "", f.accts[owner], wanted, "")
			checkOutcome(t, issued, err, want)
		})
	}
	t.Run("sudo for an administrator is possible", func(t *testing.T) {
		f := newFixture(t)
		wanted := spec()
		wanted.Scopes = scope.Set{"sudo", "admin_mode"}
		_, err := f.issuer.CreateFor(t.Context(), f.callerOf(t, admin), admin, wanted)
		checkErr(t, err, nil)
	})
}

// Breaks if a token can be used to get a stronger or a longer one.
func TestSelfServiceMakesOnlyWeakerTokens(t *testing.T) {
	tests := []struct {
		name   string
		held   scope.Set
		until  clock.Day
		scopes scope.Set
		on     clock.Day
		want   string
	}{
		{"the same scope until the same day", scope.Set{"api"}, tomorrow, scope.Set{"api"}, tomorrow, "2026-03-05"},
		{"a weaker scope", scope.Set{"api"}, today.AddDays(30), scope.Set{"read_user"}, tomorrow, "2026-03-05"},
		{"as long as the one presented when nothing is asked for", scope.Set{"api"}, today.AddDays(30), scope.Set{"read_user"}, clock.Day{}, "2026-04-03"},
		{"a day longer than the one presented is refused", scope.Set{"api"}, today.AddDays(30), scope.Set{"api"}, today.AddDays(31), "expires_on too late 2026-04-03"},
		{"a stronger scope is refused", scope.Set{"read_api"}, tomorrow, scope.Set{"api"}, tomorrow, "beyond"},
		{"a further scope is refused", scope.Set{"api"}, tomorrow, scope.Set{"api", "sudo"}, tomorrow, "beyond"},
		{"today is refused", scope.Set{"api"}, today.AddDays(30), scope.Set{"api"}, today, "expires_on too early 2026-03-04"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			by := f.caller(f.give(t, owner, func(tok *token.Token) { tok.Scopes, tok.ExpiresOn = test.held, test.until }))
			wanted := spec()
			wanted.Scopes, wanted.ExpiresOn = test.scopes, test.on
			issued, err := f.issuer.CreateForSelf(t.Context(), by, wanted)
			if test.want == "beyond" {
				checkErr(t, err, lifecycle.ErrScopeBeyondCaller)
				return
			}
			checkOutcome(t, issued, err, test.want)
			if err == nil && (issued.Token.Owner != owner || issued.Token.CreatedBy != owner || issued.Token.ExpiresOn.After(test.until)) {
				t.Errorf("issued %+v", issued.Token)
			}
		})
	}
	t.Run("an account that is blocked meanwhile gets none", func(t *testing.T) {
		f := newFixture(t)
		by := f.callerOf(t, owner)
		by.Account.State = account.Blocked
		_, err := f.issuer.CreateForSelf(t.Context(), by, lifecycle.Spec{Name: "n", Scopes: scope.Set{"api"}})
		checkErr(t, err, account.ErrBlocked)
	})
}

func TestCreateByConsole(t *testing.T) {
	tests := []struct {
		name, value string
		state       account.State
		want        error
	}{
		{"a generated value", "", account.Active, nil},
		{"a chosen value", "token-string-here123", account.Active, nil},
		{"a chosen value that is too short", "token-string-here12", account.Active, secret.ErrMalformed},
		{"a chosen value with a reserved prefix", prefix + "string-here123", account.Active, secret.ErrReserved},
		{"a value that is taken", "value-that-is-taken-1", account.Active, fault.ErrTaken},
		{"a blocked owner", "", account.Blocked, account.ErrBlocked},
		{"a blocked owner and a chosen value", "token-string-here123", account.Blocked, account.ErrBlocked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			_, err := f.issuer.CreateByConsole(t.Context(), "", f.accts[other], spec(), "value-that-is-taken-1")
			checkErr(t, err, nil)
			acct := f.accts[owner]
			acct.State = test.state
			issued, err := f.issuer.CreateByConsole(t.Context(), "", acct, spec(), test.value)
			checkErr(t, err, test.want)
			if errors.Is(err, secret.ErrMalformed) && !errors.Is(err, fault.ErrInput) {
				t.Errorf("%v is not the caller's to mend", err)
			}
			if err == nil && (issued.Token.CreatedBy != 0 || test.value != "" && issued.Bearer.Reveal() != test.value ||
				issued.Token.Digest != f.parts.Pepper.Digest(issued.Bearer)) {
				t.Errorf("issued %+v", issued.Token)
			}
		})
	}
}

func TestWithoutEntropyNothingIsIssued(t *testing.T) {
	broken := errors.New("no entropy")
	for name, key := range map[string]lifecycle.Key{"without key": {}, "with key": {Key: "k"}} {
		f := newFixture(t)
		by := f.callerOf(t, admin)
		f.parts.Random = iotest.ErrReader(broken)
		f.make(t)
		wanted := spec()
		wanted.Key = key
		issued, err := f.issuer.CreateFor(t.Context(), by, owner, wanted)
		if !errors.Is(err, broken) || issued.Bearer.Reveal() != "" || f.writes != 0 {
			t.Errorf("%s: %+v, %v, %d writes", name, issued, err, f.writes)
		}
	}
}

func keyed(key, body string) lifecycle.Key { return lifecycle.Key{Key: key, Body: []byte(body)} }

// keyedWays are the calls that take an idempotency key.
func keyedWays(f *fixture, by principal.Principal, target token.ID) map[string]func(context.Context, lifecycle.Key) (lifecycle.Issued, error) {
	with := func(key lifecycle.Key) lifecycle.Spec {
		s := lifecycle.Spec{Name: "keyed", Scopes: scope.Set{"read_user"}, ExpiresOn: tomorrow.AddDays(3), Key: key}
		return s
	}
	return map[string]func(context.Context, lifecycle.Key) (lifecycle.Issued, error){
		"create for somebody": func(ctx context.Context, key lifecycle.Key) (lifecycle.Issued, error) {
			return f.issuer.CreateFor(ctx, by, owner, with(key))
		},
		"create for oneself": func(ctx context.Context, key lifecycle.Key) (lifecycle.Issued, error) {
			return f.issuer.CreateForSelf(ctx, by, with(key))
		},
		"rotate by id": func(ctx context.Context, key lifecycle.Key) (lifecycle.Issued, error) {
			return f.issuer.Rotate(ctx, by, target, lifecycle.Rotation{Key: key})
		},
	}
}

// A client that lost a reply must get it again, bearer included, and nothing
// may be made twice.
func TestAKeyStandsForOneReply(t *testing.T) {
	for _, way := range []string{"create for somebody", "create for oneself", "rotate by id"} {
		t.Run(way, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerOf(t, admin)
			target := f.give(t, owner, nil)
			call := keyedWays(f, by, target.ID)[way]

			first, err := call(t.Context(), keyed("k", "b"))
			checkErr(t, err, nil)
			same := func(what string) {
				t.Helper()
				again, err := call(t.Context(), keyed("k", "b"))
				if err != nil || !reflect.DeepEqual(again.Token, first.Token) || again.Bearer.Reveal() != first.Bearer.Reveal() {
					t.Errorf("%s: the reply is %+v, %v, want %+v", what, again.Token, err, first.Token)
				}
			}
			same("at once")
			f.settings.Prefix = "new_"
			same("after the prefix was changed")
			f.settings.Prefix = prefix
			used := f.tokens[first.Token.ID]
			used.LastUsedAt = now
			f.tokens[used.ID] = used
			same("after a use")
			checkErr(t, errOf(f.revoker.Revoke(t.Context(), by, first.Token.ID, lifecycle.Alone)), nil)
			same("after it was revoked")
			f.clock.Advance(24*time.Hour - time.Second)
			same("a second before the end of the day")
			if f.writes != 2 { // one that issued, one that revoked
				t.Errorf("%d writes, want 2", f.writes)
			}

			_, err = call(t.Context(), keyed("k", "B"))
			checkErr(t, err, lifecycle.ErrKeyReused)
			if !errors.Is(err, fault.ErrConflict) {
				t.Errorf("%v is no conflict", err)
			}

			f.clock.Advance(time.Second)
			again, err := call(t.Context(), keyed("k", "b"))
			if way == "rotate by id" { // the target has been rotated
				checkErr(t, err, lifecycle.ErrAlreadyRevoked)
				return
			}
			checkErr(t, err, nil)
			if again.Bearer.Reveal() == first.Bearer.Reveal() || again.Token.ID == first.Token.ID {
				t.Error("after 24 hours the key still stands for the first reply")
			}
			f.clock.Advance(time.Second)
			if third, err := call(t.Context(), keyed("k", "b")); err != nil || third.Bearer.Reveal() != again.Bearer.Reveal() {
				t.Errorf("the key does not stand for its second use: %v", err)
			}
		})
	}
}

// Breaks if a client is refused although an earlier try of its request is just making a token: nobody would ever get
// the bearer of that.
func TestAKeyFindsATryThatIsUnderWay(t *testing.T) {
	for _, way := range []string{"create for somebody", "create for oneself", "rotate by id"} {
		t.Run(way, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerOf(t, admin)
			target := f.give(t, owner, nil)
			call := keyedWays(f, by, target.ID)[way]
			var first lifecycle.Issued
			f.use = func(string) (secret.Use, error) { // this try looks before the other one writes
				f.use = nil
				var err error
				first, err = call(t.Context(), keyed("k", "b"))
				checkErr(t, err, nil)
				for _, id := range []account.ID{owner, admin} {
					acct := f.accts[id]
					acct.State = account.Blocked
					f.accts[id] = acct
				}
				return secret.Use{}, fault.ErrNotFound
			}
			again, err := call(t.Context(), keyed("k", "b"))
			checkErr(t, err, nil)
			if again.Bearer.Reveal() != first.Bearer.Reveal() || again.Bearer.Reveal() == "" || f.writes != 1 {
				t.Errorf("another token after %d writes", f.writes)
			}
			refused, err := call(t.Context(), keyed("another", "b"))
			if way != "create for oneself" && (err == nil || refused.Bearer.Reveal() != "") { // the caller was read before
				t.Errorf("made although the owner is blocked: %v", err)
			}
		})
	}
}

// Breaks if one caller's key reaches another caller's secret.
func TestAKeyBelongsToTheTokenThatSentIt(t *testing.T) {
	f := newFixture(t)
	first, second := f.callerOf(t, owner), f.callerOf(t, owner)
	wanted := lifecycle.Spec{Name: "keyed", Scopes: scope.Set{"read_user"}, Key: keyed("k", "b")}
	a, err := f.issuer.CreateForSelf(t.Context(), first, wanted)
	checkErr(t, err, nil)
	_, err = f.issuer.Replay(t.Context(), second.Token, wanted.Key)
	checkErr(t, err, fault.ErrNotFound)
	b, err := f.issuer.CreateForSelf(t.Context(), second, wanted)
	checkErr(t, err, nil)
	if a.Bearer.Reveal() == b.Bearer.Reveal() || a.Token.ID == b.Token.ID {
		t.Error("two callers got one token")
	}
}

func TestWithoutAKeyNothingIsReplayed(t *testing.T) {
	f := newFixture(t)
	by := f.callerOf(t, owner)
	f.use = func(string) (secret.Use, error) {
		t.Error("a use is looked up")
		return secret.Use{}, fault.ErrNotFound
	}
	_, err := f.issuer.Replay(t.Context(), by.Token, lifecycle.Key{Body: []byte("b")})
	checkErr(t, err, fault.ErrNotFound)
	_, err = f.issuer.CreateForSelf(t.Context(), by, lifecycle.Spec{Name: "n", Scopes: scope.Set{"api"}})
	checkErr(t, err, nil)
	if len(f.uses) != 0 {
		t.Error("a use was stored")
	}
}

// Two retries at once: the one that loses the write gets the winner's reply.
func TestTheLoserOfARaceForAKeyGetsTheWinnersReply(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       error
	}{{"with the same request", "b", nil}, {"with another request", "B", lifecycle.ErrKeyReused}} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerOf(t, owner)
			wanted := lifecycle.Spec{Name: "keyed", Scopes: scope.Set{"read_user"}, ExpiresOn: tomorrow, Key: keyed("k", test.body)}
			var winner lifecycle.Issued
			f.createToken = func(tok token.Token, use *secret.Use) (token.Token, error) {
				f.createToken = nil
				rival := wanted
				rival.Key = keyed("k", "b")
				var err error
				winner, err = f.issuer.CreateForSelf(t.Context(), by, rival)
				checkErr(t, err, nil)
				return f.CreateToken(t.Context(), by.Account, tok, use, audit.Event{})
			}
			got, err := f.issuer.CreateForSelf(t.Context(), by, wanted)
			checkErr(t, err, test.want)
			if err == nil && (got.Bearer.Reveal() != winner.Bearer.Reveal() || !reflect.DeepEqual(got.Token, winner.Token)) {
				t.Error("the loser got something else")
			}
			if f.writes != 1 {
				t.Errorf("%d writes, want 1", f.writes)
			}
		})
	}
}

func TestAFailedLookupOfAKeyMakesNothing(t *testing.T) {
	f := newFixture(t)
	by := f.callerOf(t, owner)
	f.use = func(string) (secret.Use, error) { return secret.Use{}, fault.ErrUnavailable }
	issued, err := f.issuer.CreateForSelf(t.Context(), by, lifecycle.Spec{Name: "n", Scopes: scope.Set{"api"}, Key: keyed("k", "b")})
	checkErr(t, err, fault.ErrUnavailable)
	_, err = f.issuer.Rotate(t.Context(), by, by.Token.ID, lifecycle.Rotation{Key: keyed("k", "b")})
	checkErr(t, err, fault.ErrUnavailable)
	if f.writes != 0 || issued.Bearer.Reveal() != "" {
		t.Errorf("%d writes", f.writes)
	}
}

func TestErrorsOfTheStoreReachTheCaller(t *testing.T) {
	for _, want := range []error{fault.ErrTaken, fault.ErrMoved, token.ErrOutOfNumbers, fault.ErrUnavailable, account.ErrBlocked, fault.ErrNotFound} {
		f := newFixture(t)
		by := f.callerOf(t, owner)
		f.createToken = func(token.Token, *secret.Use) (token.Token, error) { return token.Token{}, want }
		_, err := f.issuer.CreateForSelf(t.Context(), by, lifecycle.Spec{Name: "n", Scopes: scope.Set{"api"}})
		checkErr(t, err, want)
	}
}
