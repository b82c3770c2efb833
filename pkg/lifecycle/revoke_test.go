package lifecycle_test

import (
	"errors"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Breaks if somebody can end, or learn of, a token that is not theirs.
func TestWhoMayRevokeWhat(t *testing.T) {
	impersonation := func(tok *token.Token) { tok.Kind = token.Impersonation }
	tests := []struct {
		name   string
		by, of account.ID
		change func(*token.Token)
		want   error
	}{
		{"one's own", owner, owner, nil, nil},
		{"one's own that has expired", owner, owner, func(tok *token.Token) { tok.ExpiresOn = today.AddDays(-1) }, nil},
		{"somebody else's", owner, other, nil, fault.ErrNotFound},
		{"an administrator's", owner, admin, nil, fault.ErrNotFound},
		{"one's own impersonation token", owner, owner, impersonation, fault.ErrNotFound},
		{"an administrator, somebody's", admin, owner, nil, nil},
		{"an administrator, an impersonation token", admin, owner, impersonation, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerOf(t, test.by)
			target := f.give(t, test.of, test.change)
			checkErr(t, errOf(f.revoker.Revoke(t.Context(), by, target.ID, lifecycle.Alone)), test.want)
			ended := f.tokens[target.ID]
			if done := !ended.RevokedAt.IsZero(); done != (test.want == nil) || done && (!ended.RevokedAt.Equal(now) || ended.RevokedReason != token.ReasonRequest) {
				t.Errorf("token = %+v", ended)
			}
		})
	}
	t.Run("none that there is", func(t *testing.T) {
		f := newFixture(t)
		for _, id := range []account.ID{admin, owner} {
			checkErr(t, errOf(f.revoker.Revoke(t.Context(), f.callerOf(t, id), 99<<22+1, lifecycle.Alone)), fault.ErrNotFound)
		}
	})
}

func TestRevokingTwiceKeepsTheFirst(t *testing.T) {
	f := newFixture(t)
	by := f.callerOf(t, owner)
	target := f.give(t, owner, nil)
	for range 2 {
		checkErr(t, errOf(f.revoker.Revoke(t.Context(), by, target.ID, lifecycle.Alone)), nil)
		f.clock.Advance(time.Hour)
	}
	if ended := f.tokens[target.ID]; !ended.RevokedAt.Equal(now) || f.writes != 1 {
		t.Errorf("revoked at %v by %d writes", ended.RevokedAt, f.writes)
	}
}

func TestATokenRevokesItself(t *testing.T) {
	f := newFixture(t)
	for _, kind := range []token.Kind{token.Personal, token.Impersonation} {
		by := f.caller(f.give(t, owner, func(tok *token.Token) { tok.Kind = kind }))
		bystander := f.give(t, owner, nil)
		checkErr(t, errOf(f.revoker.RevokeSelf(t.Context(), by, lifecycle.Alone)), nil)
		if f.tokens[by.Token.ID].RevokedReason != token.ReasonRequest || !f.tokens[bystander.ID].RevokedAt.IsZero() {
			t.Errorf("%s token is not the one that ended", kind)
		}
	}
}

func TestRevokeByValue(t *testing.T) {
	f := newFixture(t)
	root := f.callerOf(t, admin)
	issued, err := f.issuer.CreateFor(t.Context(), root, owner, spec())
	checkErr(t, err, nil)
	value := issued.Bearer.Reveal()

	// Breaks if somebody without rights can end a token whose value they
	// found, or find out whether a value is one.
	for _, v := range []string{value, "token-string-here123", "x"} {
		_, err = f.revoker.RevokeValue(t.Context(), f.callerOf(t, owner), v, lifecycle.Alone)
		checkErr(t, err, fault.ErrForbidden)
		_, err = f.lister.Identify(t.Context(), f.callerOf(t, owner), v)
		checkErr(t, err, fault.ErrForbidden)
	}
	for _, unknown := range []string{"", "x", "token-string-here123", value + "0", value[:len(value)-1] + "~"} {
		for _, revoke := range []func() (lifecycle.Revocation, error){
			func() (lifecycle.Revocation, error) {
				return f.revoker.RevokeValue(t.Context(), root, unknown, lifecycle.Alone)
			},
			func() (lifecycle.Revocation, error) { return f.revoker.RevokeValueByConsole(t.Context(), "", unknown) },
		} {
			done, err := revoke()
			checkErr(t, err, fault.ErrNotFound)
			if done.Token.ID != 0 {
				t.Errorf("revoked %+v", done)
			}
		}
	}
	view, err := f.lister.Identify(t.Context(), root, value)
	if err != nil || view.Token.ID != issued.Token.ID || !view.Active {
		t.Errorf("Identify() = %+v, %v", view, err)
	}
	for _, value := range []string{value, " " + value + "\r\n"} {
		done, err := f.revoker.RevokeValue(t.Context(), root, value, lifecycle.Alone)
		checkErr(t, err, nil)
		if id := done.Token.ID; id != issued.Token.ID || f.tokens[id].RevokedAt.IsZero() {
			t.Errorf("ended %s", id)
		}
	}
	view, err = f.lister.Identify(t.Context(), root, value+"\n")
	if err != nil || view.Active || !view.Revoked {
		t.Errorf("Identify() after the revocation = %+v, %v", view, err)
	}
}

func TestTheConsoleRevokes(t *testing.T) {
	f := newFixture(t)
	target := f.give(t, owner, func(tok *token.Token) { tok.Kind = token.Impersonation })
	checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", target.ID)), nil)
	if f.tokens[target.ID].RevokedAt.IsZero() {
		t.Error("the token is not revoked")
	}
	checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", target.ID+1)), fault.ErrNotFound)

	checkErr(t, f.revoker.RevokeEverythingByConsole(t.Context(), "", f.accts[other]), nil)
	checkErr(t, f.revoker.RevokeEverythingByConsole(t.Context(), "", account.Account{ID: 99}), fault.ErrNotFound)
	checkErr(t, f.revoker.RevokeEverythingByConsole(t.Context(), "", account.Account{ID: other, Bot: true}), lifecycle.ErrBot)
}

// Breaks if somebody can end what another has, or a bot is left without a
// token that could be seen to end.
func TestWhoMayRevokeEverythingOfWhom(t *testing.T) {
	for _, test := range []struct {
		name   string
		by, of account.ID
		bot    bool
		want   error
	}{
		{"one's own", owner, owner, false, nil},
		{"somebody else's", owner, other, false, fault.ErrForbidden},
		{"an administrator's", owner, admin, false, fault.ErrForbidden},
		{"nobody's", owner, 99, false, fault.ErrForbidden},
		{"an administrator, somebody's", admin, owner, false, nil},
		{"an administrator, nobody's", admin, 99, false, fault.ErrNotFound},
		{"an administrator, a bot's", admin, other, true, lifecycle.ErrBot},
		{"a bot, its own", other, other, true, lifecycle.ErrBot},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			if test.bot {
				u := f.accts[test.of]
				u.Bot = true
				f.accts[test.of] = u
			}
			by := f.callerOf(t, test.by)
			before := f.accts[test.of]
			checkErr(t, f.revoker.RevokeEverything(t.Context(), by, test.of), test.want)
			after := f.accts[test.of]
			if ended := after.TokensValidFrom == after.NextNumber && after.NextNumber > 0; ended != (test.want == nil) {
				t.Errorf("account before %+v, after %+v", before, after)
			}
		})
	}
	f := newFixture(t)
	checkErr(t, f.revoker.RevokeEverything(t.Context(), f.callerOf(t, admin).As(f.accts[owner]), owner), nil)
	checkErr(t, f.revoker.RevokeEverything(t.Context(), f.callerOf(t, admin).As(f.accts[owner]), other), fault.ErrForbidden)
}

// chain gives the tokens of a rotation chain, the last of them live.
func chain(t *testing.T, f *fixture, length int) []token.ID {
	t.Helper()
	first := f.give(t, owner, nil)
	ids := []token.ID{first.ID}
	for range length - 1 {
		next, err := f.issuer.RotateSelf(t.Context(), f.caller(f.tokens[ids[len(ids)-1]]), lifecycle.Rotation{})
		checkErr(t, err, nil)
		ids = append(ids, next.Token.ID)
	}
	f.writes = 0
	return ids
}

// Breaks if somebody who found an old token and rotates it leaves its thief,
// or themselves, with a live successor.
func TestRevokeFamily(t *testing.T) {
	t.Run("ends the live token, whichever ancestor is presented", func(t *testing.T) {
		for presented := range 3 {
			f := newFixture(t)
			ids := chain(t, f, 4)
			bystander := f.give(t, owner, nil)
			checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[presented]]), nil)
			if last := f.tokens[ids[3]]; last.RevokedReason != token.ReasonReuse || !last.RevokedAt.Equal(now) {
				t.Errorf("presented %d: the live token is %+v", presented, last)
			}
			for _, id := range ids[:3] {
				if f.tokens[id].RevokedReason != token.ReasonRotated {
					t.Errorf("presented %d: token %s was touched", presented, id)
				}
			}
			if !f.tokens[bystander.ID].RevokedAt.IsZero() {
				t.Error("a token of another family ended")
			}
		}
	})
	t.Run("leaves a token that was never rotated alone", func(t *testing.T) {
		f := newFixture(t)
		tok := f.give(t, owner, nil)
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, tok), nil)
		if f.writes != 0 {
			t.Errorf("%d writes", f.writes)
		}
	})
	t.Run("leaves the presented token alone when it is the newest", func(t *testing.T) {
		f := newFixture(t)
		ids := chain(t, f, 3)
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[2]]), nil)
		if f.writes != 0 {
			t.Errorf("%d writes", f.writes)
		}
	})
	t.Run("does nothing when the newest has ended", func(t *testing.T) {
		f := newFixture(t)
		ids := chain(t, f, 3)
		checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", ids[2])), nil)
		f.writes = 0
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[0]]), nil)
		if f.writes != 0 || f.tokens[ids[2]].RevokedReason != token.ReasonRequest {
			t.Errorf("%d writes, %+v", f.writes, f.tokens[ids[2]])
		}
	})
	t.Run("follows a rotation that comes in between", func(t *testing.T) {
		f := newFixture(t)
		ids := chain(t, f, 2)
		races := 3
		f.revokeToken = func(ended token.Token) error {
			if races--; races >= 0 { // the thief is faster: the token was rotated before it could be ended
				next, err := f.issuer.RotateSelf(t.Context(), f.caller(ended), lifecycle.Rotation{})
				checkErr(t, err, nil)
				ids = append(ids, next.Token.ID)
				return token.ErrSuperseded
			}
			f.revokeToken = nil
			return f.RevokeToken(t.Context(), ended, audit.Event{})
		}
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[0]]), nil)
		for _, id := range ids {
			if f.tokens[id].RevokedAt.IsZero() {
				t.Errorf("token %s of %d lives on", id, len(ids))
			}
		}
	})
	t.Run("looks again when it saw a token that was replaced meanwhile", func(t *testing.T) {
		f := newFixture(t)
		ids := chain(t, f, 3)
		stale := f.tokens[ids[1]]
		f.newest = func(first token.ID) (token.Token, error) {
			f.newest = nil
			return stale, nil
		}
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[0]]), nil)
		if f.tokens[ids[2]].RevokedReason != token.ReasonReuse {
			t.Error("the live token lives on")
		}
	})
	t.Run("never says done while a token lives", func(t *testing.T) {
		f := newFixture(t)
		ids := chain(t, f, 2)
		f.revokeToken = func(token.Token) error { return token.ErrSuperseded }
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[0]]), fault.ErrUnavailable)
	})
	t.Run("reports what it could not do", func(t *testing.T) {
		f := newFixture(t)
		ids := chain(t, f, 2)
		odd := errors.New("throttled")
		f.revokeToken = func(token.Token) error { return odd }
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[0]]), odd)
		f.newest = func(token.ID) (token.Token, error) { return token.Token{}, odd }
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[ids[0]]), odd)
	})
}

func TestGetShowsOnlyWhatIsTheCallers(t *testing.T) {
	f := newFixture(t)
	root, person := f.callerOf(t, admin), f.callerOf(t, owner)
	own, foreign := f.give(t, owner, nil), f.give(t, other, nil)
	hidden := f.give(t, owner, func(tok *token.Token) { tok.Kind = token.Impersonation })
	for _, test := range []struct {
		name string
		by   principal.Principal
		id   token.ID
		want error
	}{
		{"one's own", person, own.ID, nil},
		{"somebody else's", person, foreign.ID, fault.ErrNotFound},
		{"one's own impersonation token", person, hidden.ID, fault.ErrNotFound},
		{"none that there is", person, 99<<22 + 1, fault.ErrNotFound},
		{"an administrator, somebody's", root, foreign.ID, nil},
		{"an administrator, an impersonation token", root, hidden.ID, nil},
		{"an administrator, none that there is", root, 99<<22 + 1, fault.ErrNotFound},
	} {
		view, err := f.lister.Get(t.Context(), test.by, test.id)
		if !errors.Is(err, test.want) || err == nil && (view.Token.ID != test.id || !view.Active || view.Revoked) {
			t.Errorf("%s: Get() = %+v, %v, want %v", test.name, view, err, test.want)
		}
		if err != nil && view.Token.ID != 0 {
			t.Errorf("%s: the refusal comes with a token", test.name)
		}
	}
	checkErr(t, f.RevokeEverything(t.Context(), other, audit.Event{}), nil)
	if view, err := f.lister.Get(t.Context(), root, foreign.ID); err != nil || view.Active || !view.Revoked {
		t.Errorf("after a revocation in bulk: %+v, %v", view, err)
	}
	if view := f.lister.Self(person); view.Token.ID != person.Token.ID || !view.Active {
		t.Errorf("Self() = %+v", view)
	}
}
