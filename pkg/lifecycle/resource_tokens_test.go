package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

func wantedBot(change func(*lifecycle.ResourceSpec)) lifecycle.ResourceSpec {
	spec := lifecycle.ResourceSpec{Spec: lifecycle.Spec{Name: "deploy", Description: "d", Scopes: scope.Set{"api"}}}
	if change != nil {
		change(&spec)
	}
	return spec
}

// bot makes a token of a resource as its owner does.
func (f *fixture) bot(t testing.TB, kind principal.ResourceKind, resource token.ResourceID, level token.Level) token.Token {
	t.Helper()
	f.join(resource, other, token.Owner)
	issued, err := f.issuer.CreateForResource(t.Context(), f.callerOf(t, other), kind, resource.String(),
		wantedBot(func(s *lifecycle.ResourceSpec) { s.Level = level }))
	checkErr(t, err, nil)
	f.writes = 0
	return issued.Token
}

func TestATokenOfAResourceHasABotOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		kind principal.ResourceKind
		id   token.ResourceID
		ref  string
	}{{principal.Project, web, "8"}, {principal.Project, web, "acme/web"}, {principal.Group, acme, "7"}, {principal.Group, acme, "acme"}} {
		t.Run(string(c.kind)+" "+c.ref, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerAt(t, c.id, token.Owner)
			made, err := f.issuer.CreateForResource(t.Context(), by, c.kind, c.ref, wantedBot(nil))
			checkErr(t, err, nil)
			want := token.Token{
				ID: made.Token.ID, Kind: c.kind.TokenKind(), Owner: firstBot, Name: "deploy", Description: "d", Scopes: scope.Set{"api"},
				CreatedAt: now, CreatedBy: owner, ExpiresOn: today.AddDays(token.MaxLifetimeDays), Family: made.Token.ID,
				Resource: c.id, Level: token.Maintainer, Digest: f.issuer.Pepper.Digest(made.Bearer),
			}
			if !reflect.DeepEqual(made.Token, want) {
				t.Errorf("made %+v, want %+v", made.Token, want)
			}
			if hint, _ := made.Bearer.OwnerHint(); !strings.HasPrefix(made.Bearer.Reveal(), "lkprj_") || token.OwnerID(hint) != firstBot {
				t.Errorf("the bearer hints at owner %d", hint)
			}
			bot := f.users[firstBot]
			if bot.Name != "deploy" || !bot.Bot || bot.Admin || bot.State != principal.Active || bot.CreatedBy != owner || !bot.CreatedAt.Equal(now) {
				t.Errorf("bot %+v", bot)
			}
		})
	}
}

// Who may make a token of which level. If this fails, somebody gets more
// rights in a project than they have, or a bot breeds.
func TestWhoMayMakeATokenOfAResource(t *testing.T) {
	const project, group = principal.Project, principal.Group
	type wants = map[token.Level]error
	refused, below := lifecycle.ErrNotManager, lifecycle.ErrOwnerLevel
	for _, c := range []struct {
		name   string
		kind   principal.ResourceKind
		member token.ResourceID // where the caller is a member
		level  token.Level
		want   wants // by the level that is asked for
	}{
		{"no member of the project", project, 0, token.NoLevel, wants{token.Guest: principal.ErrNoProject}},
		{"no member of the group", group, 0, token.NoLevel, wants{token.Guest: principal.ErrNoGroup}},
		{"a member of another project", project, apps, token.Owner, wants{token.Guest: principal.ErrNoProject}},
		{"a member of a project in the group", group, web, token.Owner, wants{token.Guest: principal.ErrNoGroup}},
		{"a guest", project, web, token.Guest, wants{token.Guest: refused}},
		{"a developer", project, web, token.Developer, wants{token.Guest: refused, token.Owner: refused}},
		{"a maintainer", project, web, token.Maintainer, wants{token.Guest: nil, token.Maintainer: nil, token.Owner: below, token.NoLevel: nil}},
		{"an owner", project, web, token.Owner, wants{token.Guest: nil, token.Owner: nil}},
		{"a maintainer of the group above", project, acme, token.Maintainer, wants{token.Maintainer: nil, token.Owner: below}},
		{"a maintainer of the group", group, acme, token.Maintainer, wants{token.Guest: refused, token.Owner: refused}},
		{"an owner of the group", group, acme, token.Owner, wants{token.Guest: nil, token.Owner: nil}},
	} {
		for level, want := range c.want {
			t.Run(fmt.Sprintf("%s, level %d", c.name, level), func(t *testing.T) {
				f := newFixture(t)
				by := f.callerAt(t, c.member, c.level)
				ref := map[principal.ResourceKind]string{project: "8", group: "7"}[c.kind]
				_, err := f.issuer.CreateForResource(t.Context(), by, c.kind, ref, wantedBot(func(s *lifecycle.ResourceSpec) { s.Level = level }))
				checkErr(t, err, want)
				if (f.writes == 0) != (want != nil) {
					t.Errorf("%d writes", f.writes)
				}
			})
		}
	}

	t.Run("an administrator may ask for any level without being a member", func(t *testing.T) {
		f := newFixture(t)
		for _, level := range token.Levels {
			_, err := f.issuer.CreateForResource(t.Context(), f.callerOf(t, admin), project, "8", wantedBot(func(s *lifecycle.ResourceSpec) { s.Level = level }))
			checkErr(t, err, nil)
		}
	})
	t.Run("a bot may not, whatever its level", func(t *testing.T) {
		f := newFixture(t)
		by := f.caller(f.bot(t, project, web, token.Owner))
		_, err := f.issuer.CreateForResource(t.Context(), by, project, "8", wantedBot(nil))
		checkErr(t, err, refused)
		_, err = f.issuer.CreateForResource(t.Context(), f.caller(f.bot(t, group, acme, token.Owner)), project, "8", wantedBot(nil))
		checkErr(t, err, refused)
	})
	t.Run("a membership counts until its last second", func(t *testing.T) {
		f := newFixture(t)
		by := f.callerAt(t, web, token.Maintainer)
		m := f.members[web][owner]
		m.ExpiresOn = tomorrow
		f.members[web][owner] = m
		_, err := f.issuer.CreateForResource(t.Context(), by, project, "8", wantedBot(nil))
		checkErr(t, err, nil)
		f.clock.Set(now.Add(time.Second))
		_, err = f.issuer.CreateForResource(t.Context(), by, project, "8", wantedBot(nil))
		checkErr(t, err, principal.ErrNoProject)
	})
	t.Run("a project is no group and a group no project", func(t *testing.T) {
		f := newFixture(t)
		by := f.callerOf(t, admin)
		_, err := f.issuer.CreateForResource(t.Context(), by, group, "8", wantedBot(nil))
		checkErr(t, err, principal.ErrNoGroup)
		_, err = f.issuer.CreateForResource(t.Context(), by, project, "7", wantedBot(nil))
		checkErr(t, err, principal.ErrNoProject)
	})
}

func TestRulesOfAResourcesToken(t *testing.T) {
	f := newFixture(t)
	by := f.callerAt(t, web, token.Owner)
	for name, c := range map[string]struct {
		change func(*lifecycle.ResourceSpec)
		want   string
	}{
		"blank name":               {func(s *lifecycle.ResourceSpec) { s.Name = " " }, "Name can't be blank"},
		"longest name":             {func(s *lifecycle.ResourceSpec) { s.Name = strings.Repeat("é", 255) }, ""},
		"longer name":              {func(s *lifecycle.ResourceSpec) { s.Name = strings.Repeat("é", 256) }, "Name is too long (maximum is 255 characters)"},
		"longer description":       {func(s *lifecycle.ResourceSpec) { s.Description = strings.Repeat("é", 256) }, "Description is too long (maximum is 255 characters)"},
		"no scopes":                {func(s *lifecycle.ResourceSpec) { s.Scopes = nil }, "Scopes can't be blank"},
		"a scope that people have": {func(s *lifecycle.ResourceSpec) { s.Scopes = scope.Set{"read_user"} }, "Scopes can only contain available scopes"},
		"the last day":             {func(s *lifecycle.ResourceSpec) { s.ExpiresOn = today.AddDays(365) }, ""},
		"the day after it":         {func(s *lifecycle.ResourceSpec) { s.ExpiresOn = today.AddDays(366) }, "Expiration date must be before " + today.AddDays(365).String()},
		"tomorrow":                 {func(s *lifecycle.ResourceSpec) { s.ExpiresOn = tomorrow }, ""},
		"today": {func(s *lifecycle.ResourceSpec) { s.ExpiresOn = today },
			"Expiration date must be after " + today.String() + ", because a token is dead from 00:00 UTC of that date"},
	} {
		t.Run(name, func(t *testing.T) {
			f.writes = 0
			_, err := f.issuer.CreateForResource(t.Context(), by, principal.Project, "8", wantedBot(c.change))
			if c.want == "" {
				checkErr(t, err, nil)
				return
			}
			if fault := (*lifecycle.Fault)(nil); !errors.As(err, &fault) || fault.Error() != c.want || f.writes > 0 {
				t.Errorf("%v, %d writes", err, f.writes)
			}
		})
	}
}

type gate func(principal.Resource) error

func (g gate) Allows(_ context.Context, res principal.Resource) error { return g(res) }

func TestTheGateIsAskedOfThoseWhoMay(t *testing.T) {
	f := newFixture(t)
	asked := 0
	f.issuer.Gate = gate(func(res principal.Resource) error {
		if asked++; res.ID == web {
			return token.ErrSwitchedOff
		}
		return nil
	})
	_, err := f.issuer.CreateForResource(t.Context(), f.callerAt(t, web, token.Developer), principal.Project, "8", wantedBot(nil))
	checkErr(t, err, lifecycle.ErrNotManager)
	if asked != 0 {
		t.Error("the gate was asked of somebody who may not")
	}
	_, err = f.issuer.CreateForResource(t.Context(), f.callerAt(t, web, token.Owner), principal.Project, "8", wantedBot(nil))
	checkErr(t, err, token.ErrSwitchedOff)
	if asked != 1 || f.writes != 0 {
		t.Errorf("asked %d times, %d writes", asked, f.writes)
	}
	_, err = f.issuer.CreateForResource(t.Context(), f.callerAt(t, apps, token.Owner), principal.Project, "9", wantedBot(nil))
	checkErr(t, err, nil)
}

// Promise 9: the retry gets the first reply, whatever has changed since.
func TestACreationForAResourceIsRepeatedByItsKey(t *testing.T) {
	f := newFixture(t)
	by := f.callerAt(t, web, token.Owner)
	spec := wantedBot(func(s *lifecycle.ResourceSpec) { s.Key = lifecycle.Key{Key: "k", Body: []byte("b")} })
	first, err := f.issuer.CreateForResource(t.Context(), by, principal.Project, "8", spec)
	checkErr(t, err, nil)
	writes := f.writes
	f.join(web, owner, token.Guest)
	f.issuer.Gate = gate(func(principal.Resource) error { return token.ErrSwitchedOff })
	again, err := f.issuer.CreateForResource(t.Context(), by, principal.Project, "8", spec)
	checkErr(t, err, nil)
	if !reflect.DeepEqual(again.Token, first.Token) || again.Bearer.Reveal() != first.Bearer.Reveal() || f.writes != writes {
		t.Errorf("again %+v, first %+v", again.Token, first.Token)
	}
	spec.Key.Body = []byte("other")
	_, err = f.issuer.CreateForResource(t.Context(), by, principal.Project, "8", spec)
	checkErr(t, err, lifecycle.ErrKeyReused)
}

// The bearer and what is stored of the key belong to the bot that the store
// ends up with, not to the first that it tried.
func TestAKeyIsStoredForTheBotThatGotTheToken(t *testing.T) {
	f := newFixture(t)
	by := f.callerAt(t, web, token.Owner)
	spec := wantedBot(func(s *lifecycle.ResourceSpec) { s.Key = lifecycle.Key{Key: "k", Body: []byte("b")} })
	f.createResourceToken = func(mint func(token.OwnerID) (secret.Digest, *secret.Use, error)) (token.Token, error) {
		var digests []secret.Digest
		for _, bot := range []token.OwnerID{firstBot, firstBot + 1} {
			digest, use, err := mint(bot)
			checkErr(t, err, nil)
			if token.OwnerID(use.Owner) != bot || use.Prefix != "lkprj_" {
				t.Errorf("for bot %s the use names %d", bot, use.Owner)
			}
			digests = append(digests, digest)
		}
		return token.Token{Owner: firstBot + 1, Digest: digests[1]}, nil
	}
	made, err := f.issuer.CreateForResource(t.Context(), by, principal.Project, "8", spec)
	checkErr(t, err, nil)
	if hint, _ := made.Bearer.OwnerHint(); token.OwnerID(hint) != firstBot+1 || f.issuer.Pepper.Digest(made.Bearer) != made.Token.Digest {
		t.Errorf("the bearer hints at %d", hint)
	}
}

func TestAResourceThatVanishesMeanwhileIsNotThere(t *testing.T) {
	for kind, want := range map[principal.ResourceKind]error{principal.Project: principal.ErrNoProject, principal.Group: principal.ErrNoGroup} {
		f := newFixture(t)
		f.createResourceToken = func(func(token.OwnerID) (secret.Digest, *secret.Use, error)) (token.Token, error) {
			return token.Token{}, token.ErrNotFound
		}
		ref := map[principal.ResourceKind]string{principal.Project: "8", principal.Group: "7"}[kind]
		_, err := f.issuer.CreateForResource(t.Context(), f.callerOf(t, admin), kind, ref, wantedBot(nil))
		checkErr(t, err, want)
	}
}

func TestRotatingATokenOfAResource(t *testing.T) {
	f := newFixture(t)
	old := f.bot(t, principal.Project, web, token.Developer)
	made, err := f.issuer.RotateOfResource(t.Context(), f.callerAt(t, web, token.Maintainer), principal.Project, "acme/web", old.ID, lifecycle.Rotation{})
	checkErr(t, err, nil)
	want := token.Token{
		ID: made.Token.ID, Kind: token.Project, Owner: old.Owner, Name: "deploy", Description: "d", Scopes: old.Scopes,
		CreatedAt: now, CreatedBy: owner, ExpiresOn: today.AddDays(7), Family: old.ID, Previous: old.ID,
		Resource: web, Level: token.Developer, Digest: f.issuer.Pepper.Digest(made.Bearer),
	}
	if !reflect.DeepEqual(made.Token, want) || !strings.HasPrefix(made.Bearer.Reveal(), "lkprj_") {
		t.Errorf("made %+v, want %+v", made.Token, want)
	}
	f.writes = 0

	ofGroup := f.bot(t, principal.Group, acme, token.Guest)
	ofOwner := f.bot(t, principal.Project, web, token.Owner)
	ofOther := f.bot(t, principal.Project, apps, token.Guest)
	personal := f.give(t, owner, nil)
	ended := f.bot(t, principal.Project, web, token.Guest)
	checkErr(t, f.revoker.RevokeByConsole(t.Context(), ended.ID), nil)
	lost := f.bot(t, principal.Project, web, token.Guest)
	delete(f.users, lost.Owner)
	maintainer := f.callerAt(t, web, token.Maintainer)
	for name, c := range map[string]struct {
		by   principal.Principal
		id   token.ID
		want error
	}{
		"a predecessor":                       {maintainer, old.ID, lifecycle.ErrAlreadyRevoked},
		"one that was revoked":                {maintainer, ended.ID, lifecycle.ErrAlreadyRevoked},
		"one whose bot is gone":               {maintainer, lost.ID, lifecycle.ErrAlreadyRevoked},
		"one with a level above the caller's": {maintainer, ofOwner.ID, token.ErrInput},
		"one of the group above":              {maintainer, ofGroup.ID, lifecycle.ErrNoResourceToken},
		"one of another project":              {maintainer, ofOther.ID, lifecycle.ErrNoResourceToken},
		"one's own personal one":              {maintainer, personal.ID, lifecycle.ErrNoResourceToken},
		"one that is not there":               {maintainer, made.Token.ID + 1, lifecycle.ErrNoResourceToken},
		"no id":                               {maintainer, 0, lifecycle.ErrNoResourceToken},
	} {
		t.Run(name, func(t *testing.T) {
			f.writes = 0
			_, err := f.issuer.RotateOfResource(t.Context(), c.by, principal.Project, "8", c.id, lifecycle.Rotation{})
			checkErr(t, err, c.want)
			if f.writes != 0 {
				t.Error("something was written")
			}
		})
	}
	t.Run("by a developer", func(t *testing.T) {
		for _, id := range []token.ID{made.Token.ID, old.ID, 0} { // nothing is learned of which there are
			_, err := f.issuer.RotateOfResource(t.Context(), f.callerAt(t, web, token.Developer), principal.Project, "8", id, lifecycle.Rotation{})
			checkErr(t, err, lifecycle.ErrNotManager)
		}
	})
	t.Run("of any level by an administrator", func(t *testing.T) {
		_, err := f.issuer.RotateOfResource(t.Context(), f.callerOf(t, admin), principal.Project, "8", ofOwner.ID, lifecycle.Rotation{})
		checkErr(t, err, nil)
	})
	t.Run("by an administrator without naming the resource", func(t *testing.T) {
		next, err := f.issuer.Rotate(t.Context(), f.callerOf(t, admin), ofOther.ID, lifecycle.Rotation{})
		checkErr(t, err, nil)
		if next.Token.Resource != apps || next.Token.Level != token.Guest || next.Token.Kind != token.Project {
			t.Errorf("successor %+v", next.Token)
		}
	})
	t.Run("that its bot has lost meanwhile", func(t *testing.T) {
		f.rotateToken = func(token.Token, token.Token, *secret.Use) (token.Token, error) {
			return token.Token{}, token.ErrNotFound
		}
		defer func() { f.rotateToken = nil }()
		_, err := f.issuer.RotateSelf(t.Context(), f.caller(made.Token), lifecycle.Rotation{})
		checkErr(t, err, lifecycle.ErrAlreadyRevoked)
	})
}

func TestATokenOfAResourceRotatesItself(t *testing.T) {
	f := newFixture(t)
	const project, group = principal.Project, principal.Group
	ofProject, ofGroup := f.bot(t, project, web, token.Guest), f.bot(t, group, acme, token.Maintainer)
	f.join(web, owner, token.Owner)
	for name, c := range map[string]struct {
		by   principal.Principal
		kind principal.ResourceKind
		ref  string
		want error
	}{
		"in another project":                    {f.caller(ofProject), project, "9", token.ErrNotFound},
		"in a project that is not there":        {f.caller(ofProject), project, "99", token.ErrNotFound},
		"in the group above":                    {f.caller(ofProject), group, "7", token.ErrNotFound},
		"in a project below the group":          {f.caller(ofGroup), project, "8", lifecycle.ErrNotManager},
		"a person's":                            {f.callerOf(t, owner), project, "8", lifecycle.ErrNotOfResource},
		"a person's, where there is no project": {f.callerOf(t, owner), project, "99", lifecycle.ErrNotOfResource},
		"an impersonation token":                {f.caller(f.give(t, owner, impersonates(admin))), project, "8", lifecycle.ErrNotOfResource},
		"an administrator's by sudo to the bot": {f.callerOf(t, admin).As(f.users[ofProject.Owner]), project, "8", lifecycle.ErrNotOfResource},
		"in its project":                        {f.caller(ofProject), project, "acme/web", nil},
		"in its group":                          {f.caller(ofGroup), group, "7", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f.writes = 0
			made, err := f.issuer.RotateSelfOfResource(t.Context(), c.by, c.kind, c.ref, lifecycle.Rotation{})
			checkErr(t, err, c.want)
			if c.want != nil && f.writes > 0 || c.want == nil && (made.Token.Owner != c.by.User.ID || made.Token.Previous != c.by.Token.ID) {
				t.Errorf("%d writes, made %+v", f.writes, made.Token)
			}
		})
	}
}

func TestListingAndGettingTokensOfAResource(t *testing.T) {
	f := newFixture(t)
	good := f.bot(t, principal.Project, web, token.Developer)
	ended := f.bot(t, principal.Project, web, token.Guest)
	checkErr(t, f.revoker.RevokeByConsole(t.Context(), ended.ID), nil)
	bulk := f.bot(t, principal.Project, web, token.Guest)
	checkErr(t, f.RevokeEverything(t.Context(), bulk.Owner), nil)
	lost := f.bot(t, principal.Project, web, token.Guest)
	delete(f.users, lost.Owner)
	foreign := f.bot(t, principal.Project, apps, token.Guest)
	by := f.callerAt(t, web, token.Maintainer)

	wants := []lifecycle.View{
		{Token: f.tokens[good.ID], Active: true},
		{Token: f.tokens[ended.ID], Revoked: true, Gone: true},
		{Token: f.tokens[bulk.ID], Revoked: true},
		{Token: f.tokens[lost.ID], Revoked: true, Gone: true},
	}
	list := func(filter lifecycle.Filter, s lifecycle.Sort, offset, limit int) lifecycle.Listing {
		t.Helper()
		listing, err := f.lister.ListOfResource(t.Context(), by, principal.Project, "acme/web", filter, s, offset, limit)
		checkErr(t, err, nil)
		return listing
	}
	if got := list(lifecycle.Filter{}, lifecycle.Sort{}, 0, 20); !reflect.DeepEqual(got, lifecycle.Listing{Views: wants, Total: 4}) {
		t.Errorf("list %+v", got)
	}
	if got := list(lifecycle.Filter{}, lifecycle.Sort{Descending: true}, 1, 2); !reflect.DeepEqual(got, lifecycle.Listing{Views: []lifecycle.View{wants[2], wants[1]}, Total: 4}) {
		t.Errorf("second page %+v", got)
	}
	active := true
	if got := list(lifecycle.Filter{Active: &active}, lifecycle.Sort{}, 0, 20); !reflect.DeepEqual(got, lifecycle.Listing{Views: wants[:1], Total: 1}) {
		t.Errorf("active ones %+v", got)
	}
	for _, want := range wants {
		got, err := f.lister.GetOfResource(t.Context(), by, principal.Project, "8", want.Token.ID)
		checkErr(t, err, nil)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for _, id := range []token.ID{foreign.ID, by.Token.ID, good.ID + 1, 0} {
		_, err := f.lister.GetOfResource(t.Context(), by, principal.Project, "8", id)
		checkErr(t, err, lifecycle.ErrNoResourceToken)
	}
	for level, want := range map[token.Level]error{token.Developer: lifecycle.ErrNotManager, token.Guest: lifecycle.ErrNotManager} {
		by := f.callerAt(t, web, level)
		_, err := f.lister.ListOfResource(t.Context(), by, principal.Project, "8", lifecycle.Filter{}, lifecycle.Sort{}, 0, 20)
		checkErr(t, err, want)
		_, err = f.lister.GetOfResource(t.Context(), by, principal.Project, "8", 0)
		checkErr(t, err, want)
	}
	_, err := f.lister.ListOfResource(t.Context(), by, principal.Project, "9", lifecycle.Filter{}, lifecycle.Sort{}, 0, 20)
	checkErr(t, err, principal.ErrNoProject)
}

func TestRevokingATokenOfAResource(t *testing.T) {
	f := newFixture(t)
	revoke := func(by principal.Principal, id token.ID) error {
		return f.revoker.RevokeOfResource(t.Context(), by, principal.Project, "8", id)
	}
	tok, foreign := f.bot(t, principal.Project, web, token.Owner), f.bot(t, principal.Project, apps, token.Guest)
	guest := f.callerAt(t, web, token.Guest)
	err := revoke(guest, tok.ID)
	checkErr(t, err, lifecycle.ErrNotManager)
	if refused := (*lifecycle.NotManager)(nil); !errors.As(err, &refused) || refused.Token.ID != tok.ID || strings.Contains(err.Error(), tok.Name) {
		t.Errorf("err = %v", err)
	}
	checkErr(t, revoke(guest, foreign.ID), lifecycle.ErrNoResourceToken) // the token comes before the right
	checkErr(t, revoke(f.callerOf(t, other), guest.Token.ID), lifecycle.ErrNoResourceToken)
	if f.writes != 0 {
		t.Error("something was written")
	}
	checkErr(t, f.revoker.RevokeOfResource(t.Context(), guest, principal.Project, "9", foreign.ID), principal.ErrNoProject)

	maintainer := f.callerAt(t, web, token.Maintainer)
	checkErr(t, revoke(maintainer, tok.ID), nil)
	if got := f.tokens[tok.ID]; !got.RevokedAt.Equal(now) || got.RevokedReason != token.ReasonRequest {
		t.Errorf("token %+v", got)
	}
	checkErr(t, revoke(maintainer, tok.ID), nil)
}

// A bot must not outlive its token: the store is asked even where the record
// has ended, unless a successor has taken its place.
func TestABotLeftBehindIsEndedByTheRetry(t *testing.T) {
	f := newFixture(t)
	tok := f.bot(t, principal.Project, web, token.Guest)
	for reason, asks := range map[token.Reason]int{token.ReasonRequest: 1, token.ReasonRotated: 0} {
		ended := f.tokens[tok.ID]
		ended.RevokedAt, ended.RevokedReason = now, reason
		f.tokens[tok.ID], f.writes = ended, 0
		checkErr(t, f.revoker.RevokeByConsole(t.Context(), tok.ID), nil)
		if f.writes != asks {
			t.Errorf("ended as %s: the store was asked %d times", reason, f.writes)
		}
	}
}
