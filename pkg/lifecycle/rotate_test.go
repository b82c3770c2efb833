package lifecycle_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

func TestASuccessorIsItsPredecessorAgain(t *testing.T) {
	for _, kind := range []token.Kind{token.Personal, token.Impersonation} {
		t.Run(string(kind), func(t *testing.T) {
			f := newFixture(t)
			by := f.callerOf(t, admin)
			old := f.give(t, owner, func(tok *token.Token) {
				tok.Kind, tok.Description, tok.Scopes, tok.LastUsedAt = kind, "d", scope.Set{"read_user", "read_registry"}, now
			})
			next, err := f.issuer.Rotate(t.Context(), by, old.ID, lifecycle.Rotation{})
			checkErr(t, err, nil)
			want := token.Token{
				ID: old.ID + 1, Kind: kind, Owner: owner, Name: old.Name, Description: "d", Scopes: old.Scopes,
				CreatedAt: now, CreatedBy: admin, ExpiresOn: today.AddDays(7), Family: old.ID, Previous: old.ID,
				Digest: f.parts.Pepper.Digest(next.Bearer), Generation: f.parts.Pepper.Generation(0),
			}
			if !reflect.DeepEqual(next.Token, want) {
				t.Errorf("successor = %+v, want %+v", next.Token, want)
			}
			ended := f.tokens[old.ID]
			if ended.RevokedReason != token.ReasonRotated || !ended.RevokedAt.Equal(now) {
				t.Errorf("predecessor = %+v", ended)
			}
			third, err := f.issuer.Rotate(t.Context(), by, next.Token.ID, lifecycle.Rotation{})
			checkErr(t, err, nil)
			if third.Token.Family != old.ID || third.Token.Previous != next.Token.ID {
				t.Errorf("family %s after %s", third.Token.Family, third.Token.Previous)
			}
		})
	}
}

// Breaks if somebody gets the successor, and with it the rights, of a token
// that is not theirs; or a revoked token comes to life again.
func TestWhoMayRotateWhat(t *testing.T) {
	revoke := func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = now.Add(-time.Hour), token.ReasonRequest }
	expire := func(tok *token.Token) { tok.ExpiresOn = today }
	tests := []struct {
		name   string
		by     account.ID
		of     account.ID
		change func(*token.Token)
		acct   func(*account.Account)
		want   error
	}{
		{"one's own", owner, owner, nil, nil, nil},
		{"one's own that has expired", owner, owner, expire, nil, nil},
		{"one's own that was revoked", owner, owner, revoke, nil, lifecycle.ErrAlreadyRevoked},
		{"one's own that expired and was revoked", owner, owner, func(tok *token.Token) { expire(tok); revoke(tok) }, nil, lifecycle.ErrAlreadyRevoked},
		{"somebody else's", owner, other, nil, nil, fault.ErrNotFound},
		{"somebody else's that was revoked is not told apart", owner, other, revoke, nil, fault.ErrNotFound},
		{"one's own impersonation token", owner, owner, func(tok *token.Token) { tok.Kind = token.Impersonation }, nil, fault.ErrNotFound},
		{"an administrator, somebody's", admin, owner, nil, nil, nil},
		{"an administrator, somebody's impersonation token", admin, owner, func(tok *token.Token) { tok.Kind = token.Impersonation }, nil, nil},
		{"an administrator, somebody's that was revoked", admin, owner, revoke, nil, lifecycle.ErrAlreadyRevoked},
		{"an administrator, one that was revoked in bulk", admin, owner, nil, func(u *account.Account) { u.TokensValidFrom = u.NextNumber }, lifecycle.ErrAlreadyRevoked},
		{"an administrator, one of a blocked account", admin, owner, nil, func(u *account.Account) { u.State = account.Blocked }, account.ErrBlocked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			target := f.give(t, test.of, test.change)
			by := f.callerOf(t, test.by)
			if test.acct != nil {
				acct := f.accts[test.of]
				test.acct(&acct)
				f.accts[test.of] = acct
			}
			issued, err := f.issuer.Rotate(t.Context(), by, target.ID, lifecycle.Rotation{})
			checkErr(t, err, test.want)
			if err != nil && (f.writes != 0 || issued.Bearer.Reveal() != "") {
				t.Errorf("%d writes with bearer %t", f.writes, issued.Bearer.Reveal() != "")
			}
		})
	}
	t.Run("none that there is", func(t *testing.T) {
		f := newFixture(t)
		_, err := f.issuer.Rotate(t.Context(), f.callerOf(t, admin), 99<<22+1, lifecycle.Rotation{})
		checkErr(t, err, fault.ErrNotFound)
	})
	t.Run("a token made after everything was revoked in bulk", func(t *testing.T) {
		f := newFixture(t)
		checkErr(t, f.RevokeEverything(t.Context(), owner, audit.Event{}), nil)
		by := f.callerOf(t, owner)
		_, err := f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{})
		checkErr(t, err, nil)
	})
}

func TestATokenRotatesItself(t *testing.T) {
	f := newFixture(t)
	for _, kind := range []token.Kind{token.Personal, token.Impersonation} {
		by := f.caller(f.give(t, owner, func(tok *token.Token) { tok.Kind = kind }))
		next, err := f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{ExpiresOn: today.AddDays(20)})
		checkErr(t, err, nil)
		if next.Token.Previous != by.Token.ID || next.Token.Kind != kind || next.Token.ExpiresOn != today.AddDays(20) {
			t.Errorf("successor = %+v", next.Token)
		}
		_, err = f.issuer.RotateSelf(t.Context(), f.caller(by.Token), lifecycle.Rotation{})
		checkErr(t, err, lifecycle.ErrAlreadyRotated)
		// It was rotated after it was checked, and before it was read by its id.
		_, err = f.issuer.Rotate(t.Context(), by, by.Token.ID, lifecycle.Rotation{})
		checkErr(t, err, map[bool]error{true: lifecycle.ErrAlreadyRotated, false: fault.ErrNotFound}[kind == token.Personal])
	}
	by := f.callerOf(t, owner)
	by.Account.TokensValidFrom = by.Token.ID.Number() + 1
	_, err := f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{})
	checkErr(t, err, lifecycle.ErrAlreadyRevoked)
}

func TestDatesThatASuccessorMayEndOn(t *testing.T) {
	for _, test := range []struct {
		name string
		on   clock.Day
		late time.Duration
		want string
	}{
		{"a week ahead when nothing is asked for", clock.Day{}, 0, "2026-03-11"},
		{"a week ahead of the new day a second later", clock.Day{}, time.Second, "2026-03-12"},
		{"tomorrow", tomorrow, 0, "2026-03-05"},
		{"today is refused", today, 0, "expires_on too early 2026-03-04"},
		{"the last day of the limit", today.AddDays(365), 0, "2027-03-04"},
		{"one day beyond the limit is refused", today.AddDays(366), 0, "expires_on too late 2027-03-04"},
		{"one day beyond the limit is good a second later", today.AddDays(366), time.Second, "2027-03-05"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerOf(t, owner)
			f.clock.Advance(test.late)
			issued, err := f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{ExpiresOn: test.on})
			checkOutcome(t, issued, err, test.want)
		})
	}
}

// The reply to a rotation got lost, so the caller holds nothing but a token
// that its own request has revoked.
func TestACallerThatRotatedItselfGetsItsReplyAgain(t *testing.T) {
	f := newFixture(t)
	by := f.callerOf(t, owner)
	first, err := f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{Key: keyed("k", "b")})
	checkErr(t, err, nil)

	revoked := f.caller(by.Token)
	if revoked.Token.RevokedAt.IsZero() {
		t.Fatal("the caller is not revoked")
	}
	again, err := f.issuer.Replay(t.Context(), revoked.Token, keyed("k", "b"))
	checkErr(t, err, nil)
	if !reflect.DeepEqual(again.Token, first.Token) || again.Bearer.Reveal() != first.Bearer.Reveal() {
		t.Errorf("reply = %+v, want %+v", again, first)
	}
	_, err = f.issuer.Replay(t.Context(), revoked.Token, keyed("k", "B"))
	checkErr(t, err, lifecycle.ErrKeyReused)
	_, err = f.issuer.Replay(t.Context(), revoked.Token, keyed("K", "b"))
	checkErr(t, err, fault.ErrNotFound)
	f.clock.Advance(24 * time.Hour)
	_, err = f.issuer.Replay(t.Context(), revoked.Token, keyed("k", "b"))
	checkErr(t, err, fault.ErrNotFound)
}

// Exactly one of two rotations at once wins, and the loser learns it.
func TestTheLoserOfARotationIsToldThatTheTokenIsRevoked(t *testing.T) {
	f := newFixture(t)
	by := f.callerOf(t, owner)
	f.rotateToken = func(token.Token, token.Token, *secret.Use) (token.Token, error) {
		return token.Token{}, token.ErrRevoked
	}
	for name, rotate := range map[string]func() (lifecycle.Issued, error){
		"by id": func() (lifecycle.Issued, error) {
			return f.issuer.Rotate(t.Context(), by, by.Token.ID, lifecycle.Rotation{})
		},
		"self": func() (lifecycle.Issued, error) {
			return f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{Key: keyed("k", "b")})
		},
	} {
		issued, err := rotate()
		if !errors.Is(err, lifecycle.ErrAlreadyRevoked) || issued.Bearer.Reveal() != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.rotateToken = func(token.Token, token.Token, *secret.Use) (token.Token, error) {
		return token.Token{}, fault.ErrUnavailable
	}
	_, err := f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{})
	checkErr(t, err, fault.ErrUnavailable)
}
