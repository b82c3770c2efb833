package lifecycle_test

import (
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// limited returns a change of a token to these scopes and networks.
func limited(t *testing.T, scopes scope.Set, texts ...string) func(*token.Token) {
	n := networks(t, texts...)
	return func(tok *token.Token) { tok.Scopes, tok.Networks = scopes, n }
}

// ofProject turns a token into one of the project web.
func ofProject(tok *token.Token) {
	tok.Kind, tok.Project, tok.Level = token.Project, web, project.Guest
}

// Breaks if a token with limits obtains one without by rotating a sibling.
func TestAWiderTokenCannotBeRotated(t *testing.T) {
	api := scope.Set{"api"}
	for _, test := range []struct {
		name   string
		held   scope.Set
		from   []string
		wanted scope.Set
		to     []string
		want   error
	}{
		{"the same", api, nil, api, nil, nil},
		{"what api implies", api, nil, scope.Set{"read_repository", "self_rotate"}, nil, nil},
		{"another scope", api, nil, scope.Set{"api", "sudo"}, nil, lifecycle.ErrWider},
		{"narrower networks", api, nil, api, []string{"10.0.0.0/8"}, nil},
		{"the same networks", api, []string{"10.0.0.0/8"}, api, []string{"10.0.0.0/8"}, nil},
		{"no networks", api, []string{"10.0.0.0/8"}, api, nil, lifecycle.ErrWider},
		{"other networks, as narrow", api, []string{"10.0.0.0/8"}, api, []string{"11.0.0.0/8"}, lifecycle.ErrWider},
		{"one network more", api, []string{"10.0.0.0/8"}, api, []string{"10.0.0.0/8", "2001:db8::/32"}, lifecycle.ErrWider},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, expired := range []bool{false, true} {
				f := newFixture(t)
				by := f.caller(f.give(t, admin, limited(t, test.held, test.from...)))
				old := f.give(t, admin, func(tok *token.Token) {
					limited(t, test.wanted, test.to...)(tok)
					if expired {
						tok.ExpiresOn = today
					}
				})
				next, err := f.issuer.Rotate(t.Context(), by, old.ID, lifecycle.Rotation{})
				checkErr(t, err, test.want)
				if err != nil {
					checkErr(t, err, fault.ErrForbidden)
					if f.writes > 0 || !f.tokens[old.ID].RevokedAt.IsZero() {
						t.Error("something was written")
					}
				} else if next.Token.Scopes.String() != test.wanted.String() {
					t.Errorf("scopes %s", next.Token.Scopes)
				}
			}
		})
	}
}

// Breaks if a project's token goes beyond the token that makes or rotates it, whoever presents that
// one: a member, a bot of the project, an administrator, or one who acts as a member.
func TestATokenOfAProjectStaysWithinThePresentedOne(t *testing.T) {
	narrow := func(f *fixture, id account.ID) func(*testing.T) principal.Principal {
		return func(t *testing.T) principal.Principal {
			return f.caller(f.give(t, id, limited(t, scope.Set{"api", "sudo"}, "10.0.0.0/8")))
		}
	}
	f := newFixture(t)
	f.join(web, owner, project.Maintainer)
	bot := f.bot(t, project.KindProject, web, project.Maintainer)
	for name, presented := range map[string]func(*testing.T) principal.Principal{
		"a member":         narrow(f, owner),
		"an administrator": narrow(f, admin),
		"by sudo": func(t *testing.T) principal.Principal {
			return narrow(f, admin)(t).As(f.accts[owner])
		},
		"a bot": func(t *testing.T) principal.Principal {
			return f.caller(f.give(t, bot.Owner, func(tok *token.Token) {
				ofProject(tok)
				limited(t, scope.Set{"api"}, "10.0.0.0/8")(tok)
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			by := presented(t)
			if name != "a bot" { // makes none
				made, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", lifecycle.ProjectSpec{Spec: spec()})
				checkErr(t, err, nil)
				if got := made.Token.Networks.Texts(); len(got) != 1 || got[0] != "10.0.0.0/8" {
					t.Errorf("networks %v, want those of the presented token", got)
				}
				wide := spec()
				wide.Networks = networks(t, "0.0.0.0/0")
				_, err = f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", lifecycle.ProjectSpec{Spec: wide})
				checkErr(t, err, lifecycle.ErrNetworksBeyondCaller)
			}
			for name, c := range map[string]struct {
				of   func(*token.Token)
				want error
			}{
				"within":    {limited(t, scope.Set{"read_repository"}, "10.1.0.0/16"), nil},
				"elsewhere": {limited(t, scope.Set{"api"}), lifecycle.ErrWider},
			} {
				t.Run(name, func(t *testing.T) {
					id := firstBot + 100 + account.ID(len(f.accts))
					f.accts[id] = account.Account{ID: id, State: account.Active, Bot: true, NextNumber: 1}
					sibling := f.give(t, id, func(tok *token.Token) { ofProject(tok); c.of(tok) })
					_, err := f.issuer.RotateOfProject(t.Context(), by, project.KindProject, "8", sibling.ID, lifecycle.Rotation{})
					checkErr(t, err, c.want)
					if by.Account.Admin && c.want != nil { // the other route to the same token
						_, err = f.issuer.Rotate(t.Context(), by, sibling.ID, lifecycle.Rotation{})
						checkErr(t, err, c.want)
					}
				})
			}
		})
	}
	t.Run("scopes", func(t *testing.T) {
		by := f.caller(f.give(t, owner, limited(t, scope.Set{"read_api", "self_rotate"})))
		wide := spec()
		wide.Scopes = scope.Set{"api"}
		_, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", lifecycle.ProjectSpec{Spec: wide})
		checkErr(t, err, lifecycle.ErrScopeBeyondCaller)
	})
}

// An administrator can make any token for an account, and make an administrator too. Terraform and
// Vault need these routes.
func TestAdministratorsRoutesForAccountsAreNotBound(t *testing.T) {
	f := newFixture(t)
	by := f.caller(f.give(t, admin, limited(t, scope.Set{"api"}, "10.0.0.0/8")))
	wanted := spec()
	wanted.Scopes = scope.Set{"read_service_ping", "api"}
	for name, c := range map[string]struct {
		by     principal.Principal
		create func(by principal.Principal) (lifecycle.Issued, error)
	}{
		"a token for an account": {by, func(by principal.Principal) (lifecycle.Issued, error) {
			return f.issuer.CreateFor(t.Context(), by, admin, wanted)
		}},
		"an impersonation token": {by, func(by principal.Principal) (lifecycle.Issued, error) {
			return f.issuer.CreateImpersonation(t.Context(), by, admin, wanted)
		}},
		"the rotation of other people's": {by, func(by principal.Principal) (lifecycle.Issued, error) {
			return f.issuer.Rotate(t.Context(), by, f.give(t, owner, limited(t, scope.Set{"api", "read_user"})).ID, lifecycle.Rotation{})
		}},
		"the same by sudo": {by.As(f.accts[owner]), func(by principal.Principal) (lifecycle.Issued, error) {
			return f.issuer.Rotate(t.Context(), by, f.give(t, owner, limited(t, scope.Set{"api", "read_user"})).ID, lifecycle.Rotation{})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			issued, err := c.create(c.by)
			checkErr(t, err, nil)
			if len(issued.Token.Networks) > 0 || len(issued.Token.Scopes) != 2 {
				t.Errorf("%s from %v", issued.Token.Scopes, issued.Token.Networks)
			}
		})
	}
}

// Breaks if rotation gives back a scope that its owner may hold no longer.
func TestASuccessorHasTheScopesThatCount(t *testing.T) {
	for _, test := range []struct {
		name   string
		stored scope.Set
		admin  bool
		want   string
	}{
		{"an administrator keeps all", scope.Set{"api", "sudo", "admin_mode"}, true, "api sudo admin_mode"},
		{"a former one keeps the rest", scope.Set{"sudo", "api", "admin_mode"}, false, "api"},
		{"a scope that no longer exists goes", scope.Set{"api", "gone"}, true, "api"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			acct := f.accts[owner]
			acct.Admin = test.admin
			f.accts[owner] = acct
			old := f.give(t, owner, limited(t, test.stored))
			view := f.lister.Self(f.caller(old))
			if view.Token.Scopes.String() != test.stored.String() || view.Scopes.String() != test.want {
				t.Errorf("stored %s, effective %s", view.Token.Scopes, view.Scopes)
			}
			next, err := f.issuer.RotateSelf(t.Context(), f.caller(old), lifecycle.Rotation{})
			checkErr(t, err, nil)
			if next.Token.Scopes.String() != test.want || next.Scopes.String() != test.want {
				t.Errorf("scopes %s, effective %s, want %s", next.Token.Scopes, next.Scopes, test.want)
			}
		})
	}
	t.Run("a token none of whose scopes count has no successor", func(t *testing.T) {
		f := newFixture(t)
		old := f.give(t, owner, limited(t, scope.Set{"sudo"}))
		_, err := f.issuer.Rotate(t.Context(), f.callerOf(t, admin), old.ID, lifecycle.Rotation{})
		checkErr(t, err, lifecycle.ErrUnfit)
		if f.writes > 0 || !f.tokens[old.ID].RevokedAt.IsZero() {
			t.Error("something was written")
		}
	})
}

// Breaks if a former administrator's token hands on what it no longer opens.
func TestAScopeThatCountsNoLongerIsNotHandedOn(t *testing.T) {
	f := newFixture(t)
	by := f.caller(f.give(t, owner, limited(t, scope.Set{"api", "admin_mode"})))
	wanted := spec()
	wanted.Scopes = scope.Set{"admin_mode"}
	_, err := f.issuer.CreateForSelf(t.Context(), by, wanted)
	checkErr(t, err, lifecycle.ErrScopeBeyondCaller)
	issued, err := f.issuer.CreateFor(t.Context(), f.callerOf(t, admin), owner, wanted) // anybody may have it stored
	checkErr(t, err, nil)
	if issued.Token.Scopes.String() != "admin_mode" || len(issued.Scopes) > 0 {
		t.Errorf("scopes %s, effective %s", issued.Token.Scopes, issued.Scopes)
	}
}

// Breaks if a token that has a successor gets itself a longer life before its overlap ends.
func TestATokenInItsOverlapMakesNoneThatOutlivesIt(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		until, expires, want clock.Day
	}{
		{tomorrow, today.AddDays(30), tomorrow.AddDays(1)},
		{tomorrow, clock.Day{}, tomorrow.AddDays(1)},
		{tomorrow, tomorrow, tomorrow},
		{clock.Day{}, today.AddDays(30), today.AddDays(30)},
	} {
		by := f.caller(f.give(t, owner, func(tok *token.Token) {
			tok.ExpiresOn = test.expires
			if !test.until.IsZero() {
				tok.WorksUntil = test.until.Start().Add(time.Hour)
			}
		}))
		wanted := spec()
		wanted.ExpiresOn = clock.Day{}
		issued, err := f.issuer.CreateForSelf(t.Context(), by, wanted)
		checkErr(t, err, nil)
		if issued.Token.ExpiresOn != test.want {
			t.Errorf("expires on %s, want %s", issued.Token.ExpiresOn, test.want)
		}
		wanted.ExpiresOn = test.want.AddDays(1)
		_, err = f.issuer.CreateForSelf(t.Context(), by, wanted)
		checkErr(t, err, lifecycle.ErrUnfit)
	}
}
