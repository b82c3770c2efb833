package lifecycle_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// overlapping rotates a token with an overlap of an hour and returns both.
func overlapping(t *testing.T, f *fixture, tok token.Token) (old, next token.Token) {
	t.Helper()
	issued, err := f.issuer.RotateSelf(t.Context(), f.caller(tok), lifecycle.Rotation{Overlap: time.Hour})
	checkErr(t, err, nil)
	return f.tokens[tok.ID], issued.Token
}

func stateOf(f *fixture, tok token.Token) token.State {
	return f.tokens[tok.ID].StateAt(f.clock.Now(), f.accts[tok.Owner].TokensValidFrom, settings.Settings{})
}

func TestBothTokensWorkUntilTheOverlapEnds(t *testing.T) {
	for name, rotate := range map[string]func(*fixture, token.Token, lifecycle.Rotation) (lifecycle.Issued, error){
		"by itself": func(f *fixture, tok token.Token, r lifecycle.Rotation) (lifecycle.Issued, error) {
			return f.issuer.RotateSelf(t.Context(), f.caller(tok), r)
		},
		"by id": func(f *fixture, tok token.Token, r lifecycle.Rotation) (lifecycle.Issued, error) {
			return f.issuer.Rotate(t.Context(), f.callerOf(t, admin), tok.ID, r)
		},
	} {
		for _, overlap := range []time.Duration{time.Second, time.Hour, token.MaxOverlap} {
			t.Run(name+" "+overlap.String(), func(t *testing.T) {
				f := newFixture(t)
				old := f.give(t, owner, nil)
				next, err := rotate(f, old, lifecycle.Rotation{Overlap: overlap, ExpiresOn: today.AddDays(20)})
				checkErr(t, err, nil)
				if stored := f.tokens[old.ID]; !stored.WorksUntil.Equal(now.Add(overlap)) || !stored.RevokedAt.IsZero() || stored.RevokedReason != "" {
					t.Errorf("predecessor = %+v", stored)
				}
				if !next.Token.WorksUntil.IsZero() || next.Token.Previous != old.ID {
					t.Errorf("successor = %+v", next.Token)
				}
				f.clock.Advance(overlap - time.Second)
				if state := stateOf(f, old); state != token.Active {
					t.Errorf("a second before the end it is %s", state)
				}
				view, err := f.lister.Get(t.Context(), f.callerOf(t, owner), old.ID)
				if err != nil || !view.Active || view.Revoked {
					t.Errorf("shown as %+v, %v", view, err)
				}
				f.clock.Advance(time.Second)
				if state := stateOf(f, old); state != token.Revoked {
					t.Errorf("at the end it is %s", state)
				}
				view, err = f.lister.Get(t.Context(), f.callerOf(t, owner), old.ID)
				if err != nil || view.Active || !view.Revoked {
					t.Errorf("shown as %+v, %v", view, err)
				}
				if state := stateOf(f, next.Token); state != token.Active {
					t.Errorf("the successor is %s", state)
				}
			})
		}
	}
}

// Breaks if one token gets two successors, or ends its successor by asking for
// another while it may.
func TestATokenInItsOverlapIsNotRotatedAgain(t *testing.T) {
	f := newFixture(t)
	old, next := overlapping(t, f, f.give(t, owner, nil))
	for _, overlap := range []time.Duration{0, time.Minute} {
		_, err := f.issuer.Rotate(t.Context(), f.callerOf(t, owner), old.ID, lifecycle.Rotation{Overlap: overlap})
		checkErr(t, err, lifecycle.ErrAlreadyRevoked)
		_, err = f.issuer.RotateSelf(t.Context(), f.caller(old), lifecycle.Rotation{Overlap: overlap})
		checkErr(t, err, lifecycle.ErrAlreadyRotated)
	}
	if f.writes != 0 || stateOf(f, old) != token.Active || stateOf(f, next) != token.Active {
		t.Errorf("%d writes, %s, %s", f.writes, stateOf(f, old), stateOf(f, next))
	}
	f.clock.Advance(time.Hour) // while the request runs
	_, err := f.issuer.RotateSelf(t.Context(), f.caller(old), lifecycle.Rotation{})
	checkErr(t, err, lifecycle.ErrAlreadyRotated)

	// The loser of two rotations at once is told the same.
	by := f.callerOf(t, owner)
	f.rotateToken = func(token.Token, token.Token, *secret.Use) (token.Token, error) {
		return token.Token{}, token.ErrSuperseded
	}
	_, err = f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{})
	checkErr(t, err, lifecycle.ErrAlreadyRotated)
	_, err = f.issuer.Rotate(t.Context(), by, by.Token.ID, lifecycle.Rotation{})
	checkErr(t, err, lifecycle.ErrAlreadyRotated)
	_, err = f.issuer.Rotate(t.Context(), f.callerOf(t, owner), by.Token.ID, lifecycle.Rotation{})
	checkErr(t, err, lifecycle.ErrAlreadyRevoked)
}

// The reply was lost, and the token works on: its owner must get the successor
// and not be told that there is one.
func TestARetryWithinTheOverlapGetsTheFirstReply(t *testing.T) {
	f := newFixture(t)
	old := f.give(t, owner, nil)
	rotation := lifecycle.Rotation{Overlap: time.Hour, Key: keyed("k", "b")}
	first, err := f.issuer.RotateSelf(t.Context(), f.caller(old), rotation)
	checkErr(t, err, nil)
	for _, late := range []time.Duration{0, time.Hour - time.Second} {
		f.clock.Advance(late)
		again, err := f.issuer.RotateSelf(t.Context(), f.caller(old), rotation)
		checkErr(t, err, nil)
		if !reflect.DeepEqual(again.Token, first.Token) || again.Bearer.Reveal() != first.Bearer.Reveal() {
			t.Errorf("reply = %+v, want %+v", again.Token, first.Token)
		}
	}
	_, err = f.issuer.RotateSelf(t.Context(), f.caller(old), lifecycle.Rotation{Key: keyed("k", "B")})
	checkErr(t, err, lifecycle.ErrKeyReused)
	_, err = f.issuer.RotateSelf(t.Context(), f.caller(old), lifecycle.Rotation{Key: keyed("K", "b")})
	checkErr(t, err, lifecycle.ErrAlreadyRotated)

	// Also when the successor was rotated with an overlap itself by then.
	overlapping(t, f, first.Token)
	again, err := f.issuer.Replay(t.Context(), f.tokens[old.ID], rotation.Key)
	checkErr(t, err, nil)
	if !reflect.DeepEqual(again.Token, first.Token) {
		t.Errorf("reply = %+v, want %+v", again.Token, first.Token)
	}
}

func TestRevokingWithinAnOverlap(t *testing.T) {
	t.Run("the old token ends at once and alone", func(t *testing.T) {
		f := newFixture(t)
		old, next := overlapping(t, f, f.give(t, owner, nil))
		checkErr(t, errOf(f.revoker.Revoke(t.Context(), f.callerOf(t, owner), old.ID, lifecycle.Alone)), nil)
		if f.tokens[old.ID].RevokedReason != token.ReasonRequest || stateOf(f, old) != token.Revoked || stateOf(f, next) != token.Active {
			t.Errorf("%+v, successor %s", f.tokens[old.ID], stateOf(f, next))
		}
	})
	t.Run("the successor ends alone", func(t *testing.T) {
		f := newFixture(t)
		old, next := overlapping(t, f, f.give(t, owner, nil))
		checkErr(t, errOf(f.revoker.Revoke(t.Context(), f.callerOf(t, owner), next.ID, lifecycle.Alone)), nil)
		if stateOf(f, old) != token.Active || stateOf(f, next) != token.Revoked {
			t.Errorf("%s, successor %s", stateOf(f, old), stateOf(f, next))
		}
		f.clock.Advance(time.Hour)
		if stateOf(f, old) != token.Revoked {
			t.Error("the old token outlives its overlap")
		}
	})
	t.Run("a token whose overlap is over is left as it is", func(t *testing.T) {
		f := newFixture(t)
		old, _ := overlapping(t, f, f.give(t, owner, nil))
		f.clock.Advance(time.Hour)
		f.writes = 0
		checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", old.ID)), nil)
		if f.writes != 0 {
			t.Errorf("%d writes", f.writes)
		}
	})
	t.Run("a bot outlives its old token and not its newest", func(t *testing.T) {
		f := newFixture(t)
		issued, err := f.issuer.CreateForProject(t.Context(), f.callerAt(t, web, project.Maintainer), project.KindProject, "8",
			lifecycle.ProjectSpec{Spec: spec()})
		checkErr(t, err, nil)
		old, next := overlapping(t, f, issued.Token)
		checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", old.ID)), nil)
		if _, there := f.accts[old.Owner]; !there || stateOf(f, old) != token.Revoked || stateOf(f, next) != token.Active {
			t.Errorf("bot %t, %s, successor %s", there, stateOf(f, old), stateOf(f, next))
		}
		checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", next.ID)), nil)
		if _, there := f.accts[old.Owner]; there {
			t.Error("the bot outlives its last token")
		}
	})
}

// Breaks if a thief keeps a token in its overlap after the reuse of the chain was noticed.
func TestRevokeFamilyEndsOverlaps(t *testing.T) {
	f := newFixture(t)
	live := func(toks ...token.Token) []bool {
		states := make([]bool, len(toks))
		for i, tok := range toks {
			states[i] = stateOf(f, tok) == token.Active
		}
		return states
	}
	want := func(t *testing.T, got []bool, want ...bool) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("working: %v, want %v", got, want)
		}
	}
	// first works an hour together with second. third replaces second at once, and works an hour
	// together with fourth.
	made := func(t *testing.T) (first, second, third, fourth token.Token) {
		t.Helper()
		f = newFixture(t)
		first, second = overlapping(t, f, f.give(t, owner, nil))
		issued, err := f.issuer.RotateSelf(t.Context(), f.caller(second), lifecycle.Rotation{})
		checkErr(t, err, nil)
		third, fourth = overlapping(t, f, issued.Token)
		return first, second, third, fourth
	}

	t.Run("before and behind the one that is presented", func(t *testing.T) {
		first, second, third, fourth := made(t)
		want(t, live(first, second, third, fourth), true, false, true, true)
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[second.ID]), nil)
		want(t, live(first, second, third, fourth), false, false, false, false)
		for _, tok := range []token.Token{first, third, fourth} {
			if f.tokens[tok.ID].RevokedReason != token.ReasonReuse {
				t.Errorf("%+v", f.tokens[tok.ID])
			}
		}
		if f.tokens[second.ID].RevokedReason != token.ReasonRotated {
			t.Errorf("%+v", f.tokens[second.ID])
		}
	})
	t.Run("also when the newest had been revoked", func(t *testing.T) {
		first, second, third, fourth := made(t)
		checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", fourth.ID)), nil)
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[fourth.ID]), nil)
		want(t, live(first, second, third, fourth), false, false, false, false)
		if f.tokens[fourth.ID].RevokedReason != token.ReasonRequest {
			t.Errorf("%+v", f.tokens[fourth.ID])
		}
	})
	t.Run("in the last second of the longest overlap", func(t *testing.T) {
		f = newFixture(t)
		first := f.give(t, owner, nil)
		issued, err := f.issuer.RotateSelf(t.Context(), f.caller(first), lifecycle.Rotation{Overlap: token.MaxOverlap})
		checkErr(t, err, nil)
		second, third := overlapping(t, f, issued.Token)
		f.clock.Advance(token.MaxOverlap - time.Second)
		want(t, live(first, second, third), true, false, true)
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[second.ID]), nil)
		want(t, live(first, second, third), false, false, false)
	})
	t.Run("and looks no further than the longest overlap", func(t *testing.T) {
		_, second, _, fourth := made(t)
		f.clock.Advance(token.MaxOverlap + time.Second)
		f.writes = 0
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[second.ID]), nil)
		if f.writes != 1 || f.tokens[fourth.ID].RevokedReason != token.ReasonReuse {
			t.Errorf("%d writes, newest %+v", f.writes, f.tokens[fourth.ID])
		}
	})
	t.Run("and passes over what clean-up has taken", func(t *testing.T) {
		first, second, third, fourth := made(t)
		delete(f.tokens, second.ID)
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, second), nil)
		want(t, live(third, fourth), false, false)
		want(t, live(first), true) // nobody can follow the chain beyond a gap
	})
	t.Run("and reports what it could not end", func(t *testing.T) {
		_, second, third, _ := made(t)
		odd := errors.New("throttled")
		f.revokeToken = func(ended token.Token) error {
			if ended.ID == third.ID {
				return odd
			}
			f.tokens[ended.ID] = ended
			return nil
		}
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[second.ID]), odd)
		f.revokeToken = nil
		checkErr(t, f.revoker.RevokeFamily(t.Context(), principal.Principal{}, f.tokens[second.ID]), nil)
		if stateOf(f, third) == token.Active {
			t.Error("the retry did not end it")
		}
	})
}
