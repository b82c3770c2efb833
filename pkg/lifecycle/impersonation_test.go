package lifecycle_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

func impersonates(by account.ID) func(*token.Token) {
	return func(tok *token.Token) { tok.Kind, tok.CreatedBy = token.Impersonation, by }
}

func TestAnImpersonationTokenIsMadeByAnAdministrator(t *testing.T) {
	f := newFixture(t)
	spec := lifecycle.Spec{Name: "n", Description: "d", Scopes: scope.Set{"api"}}
	by := f.callerOf(t, admin)
	made, err := f.issuer.CreateImpersonation(t.Context(), by, owner, spec)
	checkErr(t, err, nil)
	want := token.Token{
		ID: made.Token.ID, Kind: token.Impersonation, Owner: owner, Name: "n", Description: "d", Scopes: spec.Scopes, CreatedAt: now,
		CreatedBy: admin, ExpiresOn: today.AddDays(settings.MaxLifetimeDays), Family: made.Token.ID, Digest: f.parts.Pepper.Digest(made.Bearer), Generation: f.parts.Pepper.Generation(0),
		Parent: by.Token.ID, ParentKind: token.Personal, Depth: 1,
	}
	if !reflect.DeepEqual(made.Token, want) || !strings.HasPrefix(made.Bearer.Reveal(), "lkimp_") {
		t.Errorf("made %+v, want %+v", made.Token, want)
	}
	next, err := f.issuer.Rotate(t.Context(), f.callerOf(t, admin), made.Token.ID, lifecycle.Rotation{})
	checkErr(t, err, nil)
	if next.Token.Kind != token.Impersonation || !strings.HasPrefix(next.Bearer.Reveal(), "lkimp_") {
		t.Errorf("successor %+v", next.Token)
	}
	for name, c := range map[string]struct {
		by, owner account.ID
		want      error
	}{
		"by somebody else": {other, owner, fault.ErrForbidden},
		"by its owner":     {owner, owner, fault.ErrForbidden},
		"for nobody":       {admin, 999, fault.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			by := f.callerOf(t, c.by)
			_, err := f.issuer.CreateImpersonation(t.Context(), by, c.owner, spec)
			checkErr(t, err, c.want)
			if f.writes != 0 {
				t.Error("something was written")
			}
		})
	}
}

func TestBrokenRulesAreNamedByField(t *testing.T) {
	f := newFixture(t)
	_, err := f.issuer.CreateImpersonation(t.Context(), f.callerOf(t, admin), owner, lifecycle.Spec{
		Scopes: scope.Set{"sudo", "everything"}, Description: strings.Repeat("x", 256), ExpiresOn: today.AddDays(366),
	})
	want := "name blank, scopes not in the list, description too long 255, scopes for administrators only sudo, expires_on too late " + today.AddDays(365).String()
	if got := brokenBy(err); got != want {
		t.Errorf("broken: %s", got)
	}
}

// What is made with an impersonation token has to end with it. If this fails,
// an administrator keeps a bearer of somebody's after the impersonation was
// revoked, and it looks like that person's own.
func TestAnImpersonationTokenMakesNoOrdinaryOneForItsOwner(t *testing.T) {
	f := newFixture(t)
	spec := lifecycle.Spec{Name: "n", Scopes: scope.Set{"api"}}
	ordinary := f.give(t, owner, nil)
	by := f.caller(f.give(t, owner, impersonates(admin)))
	ofAdmin := f.caller(f.give(t, admin, impersonates(admin)))
	_, err := f.issuer.CreateForSelf(t.Context(), by, spec)
	checkErr(t, err, lifecycle.ErrImpersonated)
	_, err = f.issuer.Rotate(t.Context(), by, ordinary.ID, lifecycle.Rotation{})
	checkErr(t, err, lifecycle.ErrImpersonated)
	_, err = f.issuer.CreateFor(t.Context(), ofAdmin, admin, spec)
	checkErr(t, err, lifecycle.ErrImpersonated)
	_, err = f.issuer.CreateForSelf(t.Context(), ofAdmin.As(f.accts[owner]), spec) // by sudo on top
	checkErr(t, err, lifecycle.ErrImpersonated)
	if f.writes != 0 {
		t.Error("something was written")
	}
	_, err = f.issuer.CreateFor(t.Context(), ofAdmin, other, spec)
	checkErr(t, err, nil)
	_, err = f.issuer.CreateImpersonation(t.Context(), ofAdmin, admin, spec)
	checkErr(t, err, nil)
}

// Who impersonates stays known however often the token rotates itself.
func TestASelfRotationKeepsTheImpersonator(t *testing.T) {
	f := newFixture(t)
	by := f.caller(f.give(t, owner, impersonates(other)))
	for range 2 {
		next, err := f.issuer.RotateSelf(t.Context(), by, lifecycle.Rotation{})
		checkErr(t, err, nil)
		if next.Token.CreatedBy != other {
			t.Fatalf("created by %s", next.Token.CreatedBy)
		}
		by = f.caller(next.Token)
	}
}

func TestImpersonationTokensAreFoundUnderTheirOwnerOnly(t *testing.T) {
	f := newFixture(t)
	root := f.callerOf(t, admin)
	imp, ordinary := f.give(t, owner, impersonates(admin)), f.give(t, owner, nil)
	for name, c := range map[string]struct {
		by    principal.Principal
		owner account.ID
		id    token.ID
		want  error
	}{
		"there":              {root, owner, imp.ID, nil},
		"an ordinary one":    {root, owner, ordinary.ID, lifecycle.ErrNoImpersonation},
		"a missing one":      {root, owner, ordinary.ID + 1, lifecycle.ErrNoImpersonation},
		"under another user": {root, other, imp.ID, lifecycle.ErrNoImpersonation},
		"no id":              {root, owner, 0, lifecycle.ErrNoImpersonation},
		"under nobody":       {root, 999, imp.ID, fault.ErrNotFound},
		"by its owner":       {f.caller(ordinary), owner, imp.ID, fault.ErrForbidden},
		"with itself":        {f.caller(imp), owner, imp.ID, fault.ErrForbidden},
		"by sudo":            {root.As(f.accts[owner]), owner, imp.ID, fault.ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			view, err := f.lister.GetImpersonation(t.Context(), c.by, c.owner, c.id)
			checkErr(t, err, c.want)
			if err == nil && (view.Token.ID != imp.ID || !view.Active) {
				t.Errorf("view = %+v", view)
			}
			f.writes = 0
			if c.want != nil {
				checkErr(t, errOf(f.revoker.RevokeImpersonation(t.Context(), c.by, c.owner, c.id, time.Time{}, lifecycle.Alone)), c.want)
				if f.writes != 0 {
					t.Error("something was written")
				}
			}
		})
	}
	part, err := f.lister.List(t.Context(), root, lifecycle.Filter{Owner: owner, Kind: token.Impersonation}, lifecycle.Sort{}, listing.ByNumber(0, 20))
	checkErr(t, err, nil)
	if part.Total != 1 || part.Entries[0].Token.ID != imp.ID {
		t.Errorf("part = %+v", part)
	}
}

func TestARevocationMayDependOnTheLastChange(t *testing.T) {
	for name, c := range map[string]struct {
		changed time.Time // how the token came to be so
		since   time.Time
		want    error
	}{
		"no condition":               {now, time.Time{}, nil},
		"one second before":          {now, now.Add(-time.Second), lifecycle.ErrChanged},
		"at the second of creation":  {now, now, nil},
		"one second after":           {now, now.Add(time.Second), nil},
		"long before it was changed": {now, now.AddDate(-1, 0, 0), lifecycle.ErrChanged},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			root := f.callerOf(t, admin)
			for part, give := range map[string]func(*token.Token){
				"created": func(tok *token.Token) { tok.CreatedAt = c.changed },
				"revoked": func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = c.changed, token.ReasonRequest },
			} {
				imp := f.give(t, owner, func(tok *token.Token) { impersonates(admin)(tok); give(tok) })
				_, err := f.revoker.RevokeImpersonation(t.Context(), root, owner, imp.ID, c.since, lifecycle.Alone)
				checkErr(t, err, c.want)
				if ended := !f.tokens[imp.ID].RevokedAt.IsZero(); part == "created" && ended != (c.want == nil) {
					t.Errorf("ended is %t", ended)
				}
			}
		})
	}
}
