package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

func wantedBot(change func(*lifecycle.ProjectSpec)) lifecycle.ProjectSpec {
	spec := lifecycle.ProjectSpec{Spec: lifecycle.Spec{Name: "deploy", Description: "d", Scopes: scope.Set{"api"}}}
	if change != nil {
		change(&spec)
	}
	return spec
}

// bot makes a token of a project as its owner does.
func (f *fixture) bot(t testing.TB, kind project.Kind, pid project.ID, level project.Level) token.Token {
	t.Helper()
	f.join(pid, other, project.Owner)
	issued, err := f.issuer.CreateForProject(t.Context(), f.callerOf(t, other), kind, pid.String(),
		wantedBot(func(s *lifecycle.ProjectSpec) { s.Level = level }))
	checkErr(t, err, nil)
	f.writes = 0
	return issued.Token
}

func TestATokenOfAProjectHasABotOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		kind project.Kind
		id   project.ID
		ref  string
	}{{project.KindProject, web, "8"}, {project.KindProject, web, "acme/web"}, {project.KindGroup, acme, "7"}, {project.KindGroup, acme, "acme"}} {
		t.Run(string(c.kind)+" "+c.ref, func(t *testing.T) {
			f := newFixture(t)
			by := f.callerAt(t, c.id, project.Owner)
			made, err := f.issuer.CreateForProject(t.Context(), by, c.kind, c.ref, wantedBot(nil))
			checkErr(t, err, nil)
			want := token.Token{
				ID: made.Token.ID, Kind: token.KindIn(c.kind), Owner: firstBot, Name: "deploy", Description: "d", Scopes: scope.Set{"api"},
				CreatedAt: now, CreatedBy: owner, ExpiresOn: today.AddDays(settings.MaxLifetimeDays), Family: made.Token.ID,
				Project: c.id, Level: project.Maintainer, Digest: f.parts.Pepper.Digest(made.Bearer), Generation: f.parts.Pepper.Generation(0),
				Parent: by.Token.ID, ParentKind: token.Personal, Depth: 1,
			}
			if !reflect.DeepEqual(made.Token, want) {
				t.Errorf("made %+v, want %+v", made.Token, want)
			}
			if hint, _ := made.Bearer.OwnerHint(); !strings.HasPrefix(made.Bearer.Reveal(), "lkprj_") || account.ID(hint) != firstBot {
				t.Errorf("the bearer hints at owner %d", hint)
			}
			bot := f.accts[firstBot]
			if bot.Name != "deploy" || !bot.Bot || bot.Admin || bot.State != account.Active || bot.CreatedBy != owner || !bot.CreatedAt.Equal(now) {
				t.Errorf("bot %+v", bot)
			}
		})
	}
}

// Who may make a token of which level. If this fails, somebody gets more
// rights in a project than they have, or a bot breeds.
func TestWhoMayMakeATokenOfAProject(t *testing.T) {
	const inProject, inGroup = project.KindProject, project.KindGroup
	type wants = map[project.Level]error
	refused, below := lifecycle.ErrNotManager, lifecycle.ErrOwnerLevel
	for _, c := range []struct {
		name   string
		kind   project.Kind
		member project.ID // where the caller is a member
		level  project.Level
		want   wants // by the level that is asked for
	}{
		{"no member of the project", inProject, 0, project.NoLevel, wants{project.Guest: project.ErrNoProject}},
		{"no member of the group", inGroup, 0, project.NoLevel, wants{project.Guest: project.ErrNoGroup}},
		{"a member of another project", inProject, apps, project.Owner, wants{project.Guest: project.ErrNoProject}},
		{"a member of a project in the group", inGroup, web, project.Owner, wants{project.Guest: project.ErrNoGroup}},
		{"a guest", inProject, web, project.Guest, wants{project.Guest: refused}},
		{"a developer", inProject, web, project.Developer, wants{project.Guest: refused, project.Owner: refused}},
		{"a maintainer", inProject, web, project.Maintainer, wants{project.Guest: nil, project.Maintainer: nil, project.Owner: below, project.NoLevel: nil}},
		{"an owner", inProject, web, project.Owner, wants{project.Guest: nil, project.Owner: nil}},
		{"a maintainer of the group above", inProject, acme, project.Maintainer, wants{project.Maintainer: nil, project.Owner: below}},
		{"a maintainer of the group", project.KindGroup, acme, project.Maintainer, wants{project.Guest: refused, project.Owner: refused}},
		{"an owner of the group", project.KindGroup, acme, project.Owner, wants{project.Guest: nil, project.Owner: nil}},
	} {
		for level, want := range c.want {
			t.Run(fmt.Sprintf("%s, level %d", c.name, level), func(t *testing.T) {
				f := newFixture(t)
				by := f.callerAt(t, c.member, c.level)
				ref := map[project.Kind]string{inProject: "8", inGroup: "7"}[c.kind]
				_, err := f.issuer.CreateForProject(t.Context(), by, c.kind, ref, wantedBot(func(s *lifecycle.ProjectSpec) { s.Level = level }))
				checkErr(t, err, want)
				if (f.writes == 0) != (want != nil) {
					t.Errorf("%d writes", f.writes)
				}
			})
		}
	}

	t.Run("an administrator may ask for any level without being a member", func(t *testing.T) {
		f := newFixture(t)
		for _, level := range project.Levels {
			_, err := f.issuer.CreateForProject(t.Context(), f.callerOf(t, admin), project.KindProject, "8", wantedBot(func(s *lifecycle.ProjectSpec) { s.Level = level }))
			checkErr(t, err, nil)
		}
	})
	t.Run("a bot may not, whatever its level", func(t *testing.T) {
		f := newFixture(t)
		by := f.caller(f.bot(t, project.KindProject, web, project.Owner))
		_, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", wantedBot(nil))
		checkErr(t, err, refused)
		_, err = f.issuer.CreateForProject(t.Context(), f.caller(f.bot(t, project.KindGroup, acme, project.Owner)), project.KindProject, "8", wantedBot(nil))
		checkErr(t, err, refused)
	})
	t.Run("a membership counts until its last second", func(t *testing.T) {
		f := newFixture(t)
		by := f.callerAt(t, web, project.Maintainer)
		m := f.members[web][owner]
		m.ExpiresOn = tomorrow
		f.members[web][owner] = m
		_, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", wantedBot(nil))
		checkErr(t, err, nil)
		f.clock.Set(now.Add(time.Second))
		_, err = f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", wantedBot(nil))
		checkErr(t, err, project.ErrNoProject)
	})
	t.Run("a project is no group and a group no project", func(t *testing.T) {
		f := newFixture(t)
		by := f.callerOf(t, admin)
		_, err := f.issuer.CreateForProject(t.Context(), by, project.KindGroup, "8", wantedBot(nil))
		checkErr(t, err, project.ErrNoGroup)
		_, err = f.issuer.CreateForProject(t.Context(), by, project.KindProject, "7", wantedBot(nil))
		checkErr(t, err, project.ErrNoProject)
	})
}

func TestRulesOfAProjectsToken(t *testing.T) {
	f := newFixture(t)
	by := f.callerAt(t, web, project.Owner)
	for name, c := range map[string]struct {
		change func(*lifecycle.ProjectSpec)
		want   string
	}{
		"blank name":               {func(s *lifecycle.ProjectSpec) { s.Name = " " }, "name blank"},
		"longest name":             {func(s *lifecycle.ProjectSpec) { s.Name = strings.Repeat("é", 255) }, ""},
		"longer name":              {func(s *lifecycle.ProjectSpec) { s.Name = strings.Repeat("é", 256) }, "name too long 255"},
		"longer description":       {func(s *lifecycle.ProjectSpec) { s.Description = strings.Repeat("é", 256) }, "description too long 255"},
		"no scopes":                {func(s *lifecycle.ProjectSpec) { s.Scopes = nil }, "scopes blank"},
		"a scope that people have": {func(s *lifecycle.ProjectSpec) { s.Scopes = scope.Set{"read_user"} }, "scopes not in the list"},
		"the last day":             {func(s *lifecycle.ProjectSpec) { s.ExpiresOn = today.AddDays(365) }, ""},
		"the day after it":         {func(s *lifecycle.ProjectSpec) { s.ExpiresOn = today.AddDays(366) }, "expires_on too late " + today.AddDays(365).String()},
		"tomorrow":                 {func(s *lifecycle.ProjectSpec) { s.ExpiresOn = tomorrow }, ""},
		"today": {func(s *lifecycle.ProjectSpec) { s.ExpiresOn = today },
			"expires_on too early " + today.String()},
	} {
		t.Run(name, func(t *testing.T) {
			f.writes = 0
			_, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", wantedBot(c.change))
			if c.want == "" {
				checkErr(t, err, nil)
				return
			}
			if !errors.Is(err, lifecycle.ErrUnfit) || brokenBy(err) != c.want || f.writes > 0 {
				t.Errorf("%v, %d writes", err, f.writes)
			}
		})
	}
}

type gate func(project.Project) error

func (g gate) Allows(_ context.Context, proj project.Project) error { return g(proj) }

func TestTheGateIsAskedOfThoseWhoMay(t *testing.T) {
	f := newFixture(t)
	asked := 0
	f.parts.Gate = gate(func(proj project.Project) error {
		if asked++; proj.ID == web {
			return fault.ErrSwitchedOff
		}
		return nil
	})
	f.make(t)
	_, err := f.issuer.CreateForProject(t.Context(), f.callerAt(t, web, project.Developer), project.KindProject, "8", wantedBot(nil))
	checkErr(t, err, lifecycle.ErrNotManager)
	if asked != 0 {
		t.Error("the gate was asked of somebody who may not")
	}
	_, err = f.issuer.CreateForProject(t.Context(), f.callerAt(t, web, project.Owner), project.KindProject, "8", wantedBot(nil))
	checkErr(t, err, fault.ErrSwitchedOff)
	if asked != 1 || f.writes != 0 {
		t.Errorf("asked %d times, %d writes", asked, f.writes)
	}
	_, err = f.issuer.CreateForProject(t.Context(), f.callerAt(t, apps, project.Owner), project.KindProject, "9", wantedBot(nil))
	checkErr(t, err, nil)
}

// Promise 9: the retry gets the first reply, whatever has changed since.
func TestACreationForAProjectIsRepeatedByItsKey(t *testing.T) {
	f := newFixture(t)
	by := f.callerAt(t, web, project.Owner)
	spec := wantedBot(func(s *lifecycle.ProjectSpec) { s.Key = lifecycle.Key{Key: "k", Body: []byte("b")} })
	first, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", spec)
	checkErr(t, err, nil)
	writes := f.writes
	f.join(web, owner, project.Guest)
	f.parts.Gate = gate(func(project.Project) error { return fault.ErrSwitchedOff })
	f.make(t)
	again, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", spec)
	checkErr(t, err, nil)
	if !reflect.DeepEqual(again.Token, first.Token) || again.Bearer.Reveal() != first.Bearer.Reveal() || f.writes != writes {
		t.Errorf("again %+v, first %+v", again.Token, first.Token)
	}
	spec.Key.Body = []byte("other")
	_, err = f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", spec)
	checkErr(t, err, lifecycle.ErrKeyReused)
}

// The bearer and what is stored of the key belong to the bot that the store
// ends up with, not to the first that it tried.
func TestAKeyIsStoredForTheBotThatGotTheToken(t *testing.T) {
	f := newFixture(t)
	by := f.callerAt(t, web, project.Owner)
	spec := wantedBot(func(s *lifecycle.ProjectSpec) { s.Key = lifecycle.Key{Key: "k", Body: []byte("b")} })
	f.createProjectToken = func(mint func(account.ID) (secret.Digest, *secret.Use, error)) (token.Token, error) {
		var digests []secret.Digest
		for _, bot := range []account.ID{firstBot, firstBot + 1} {
			digest, use, err := mint(bot)
			checkErr(t, err, nil)
			if account.ID(use.Owner) != bot || use.Prefix != "lkprj_" {
				t.Errorf("for bot %s the use names %d", bot, use.Owner)
			}
			digests = append(digests, digest)
		}
		return token.Token{Owner: firstBot + 1, Digest: digests[1]}, nil
	}
	made, err := f.issuer.CreateForProject(t.Context(), by, project.KindProject, "8", spec)
	checkErr(t, err, nil)
	if hint, _ := made.Bearer.OwnerHint(); account.ID(hint) != firstBot+1 || f.parts.Pepper.Digest(made.Bearer) != made.Token.Digest {
		t.Errorf("the bearer hints at %d", hint)
	}
}

func TestAProjectThatVanishesMeanwhileIsNotThere(t *testing.T) {
	for kind, want := range map[project.Kind]error{project.KindProject: project.ErrNoProject, project.KindGroup: project.ErrNoGroup} {
		f := newFixture(t)
		f.createProjectToken = func(func(account.ID) (secret.Digest, *secret.Use, error)) (token.Token, error) {
			return token.Token{}, fault.ErrNotFound
		}
		ref := map[project.Kind]string{project.KindProject: "8", project.KindGroup: "7"}[kind]
		_, err := f.issuer.CreateForProject(t.Context(), f.callerOf(t, admin), kind, ref, wantedBot(nil))
		checkErr(t, err, want)
	}
}

func TestRotatingATokenOfAProject(t *testing.T) {
	f := newFixture(t)
	old := f.bot(t, project.KindProject, web, project.Developer)
	made, err := f.issuer.RotateOfProject(t.Context(), f.callerAt(t, web, project.Maintainer), project.KindProject, "acme/web", old.ID, lifecycle.Rotation{})
	checkErr(t, err, nil)
	want := token.Token{
		ID: made.Token.ID, Kind: token.Project, Owner: old.Owner, Name: "deploy", Description: "d", Scopes: old.Scopes,
		CreatedAt: now, CreatedBy: owner, ExpiresOn: today.AddDays(7), Family: old.ID, Previous: old.ID,
		Project: web, Level: project.Developer, Digest: f.parts.Pepper.Digest(made.Bearer), Generation: f.parts.Pepper.Generation(0),
		Parent: old.Parent, ParentKind: token.Personal, Depth: 1,
	}
	if !reflect.DeepEqual(made.Token, want) || !strings.HasPrefix(made.Bearer.Reveal(), "lkprj_") {
		t.Errorf("made %+v, want %+v", made.Token, want)
	}
	f.writes = 0

	ofGroup := f.bot(t, project.KindGroup, acme, project.Guest)
	ofOwner := f.bot(t, project.KindProject, web, project.Owner)
	ofOther := f.bot(t, project.KindProject, apps, project.Guest)
	personal := f.give(t, owner, nil)
	ended := f.bot(t, project.KindProject, web, project.Guest)
	checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", ended.ID)), nil)
	lost := f.bot(t, project.KindProject, web, project.Guest)
	delete(f.accts, lost.Owner)
	maintainer := f.callerAt(t, web, project.Maintainer)
	for name, c := range map[string]struct {
		by   principal.Principal
		id   token.ID
		want error
	}{
		"a predecessor":                       {maintainer, old.ID, lifecycle.ErrAlreadyRevoked},
		"one that was revoked":                {maintainer, ended.ID, lifecycle.ErrAlreadyRevoked},
		"one whose bot is gone":               {maintainer, lost.ID, lifecycle.ErrAlreadyRevoked},
		"one with a level above the caller's": {maintainer, ofOwner.ID, fault.ErrInput},
		"one of the group above":              {maintainer, ofGroup.ID, lifecycle.ErrNoProjectToken},
		"one of another project":              {maintainer, ofOther.ID, lifecycle.ErrNoProjectToken},
		"one's own personal one":              {maintainer, personal.ID, lifecycle.ErrNoProjectToken},
		"one that is not there":               {maintainer, made.Token.ID + 1, lifecycle.ErrNoProjectToken},
		"no id":                               {maintainer, 0, lifecycle.ErrNoProjectToken},
	} {
		t.Run(name, func(t *testing.T) {
			f.writes = 0
			_, err := f.issuer.RotateOfProject(t.Context(), c.by, project.KindProject, "8", c.id, lifecycle.Rotation{})
			checkErr(t, err, c.want)
			if f.writes != 0 {
				t.Error("something was written")
			}
		})
	}
	t.Run("by a developer", func(t *testing.T) {
		for _, id := range []token.ID{made.Token.ID, old.ID, 0} { // nothing is learned of which there are
			_, err := f.issuer.RotateOfProject(t.Context(), f.callerAt(t, web, project.Developer), project.KindProject, "8", id, lifecycle.Rotation{})
			checkErr(t, err, lifecycle.ErrNotManager)
		}
	})
	t.Run("of any level by an administrator", func(t *testing.T) {
		_, err := f.issuer.RotateOfProject(t.Context(), f.callerOf(t, admin), project.KindProject, "8", ofOwner.ID, lifecycle.Rotation{})
		checkErr(t, err, nil)
	})
	t.Run("by an administrator without naming the project", func(t *testing.T) {
		next, err := f.issuer.Rotate(t.Context(), f.callerOf(t, admin), ofOther.ID, lifecycle.Rotation{})
		checkErr(t, err, nil)
		if next.Token.Project != apps || next.Token.Level != project.Guest || next.Token.Kind != token.Project {
			t.Errorf("successor %+v", next.Token)
		}
	})
	t.Run("that its bot has lost meanwhile", func(t *testing.T) {
		f.rotateToken = func(token.Token, token.Token, *secret.Use) (token.Token, error) {
			return token.Token{}, fault.ErrNotFound
		}
		defer func() { f.rotateToken = nil }()
		_, err := f.issuer.RotateSelf(t.Context(), f.caller(made.Token), lifecycle.Rotation{})
		checkErr(t, err, lifecycle.ErrAlreadyRevoked)
	})
}

func TestATokenOfAProjectRotatesItself(t *testing.T) {
	f := newFixture(t)
	ofProject, ofGroup := f.bot(t, project.KindProject, web, project.Guest), f.bot(t, project.KindGroup, acme, project.Maintainer)
	f.join(web, owner, project.Owner)
	for name, c := range map[string]struct {
		by   principal.Principal
		kind project.Kind
		ref  string
		want error
	}{
		"in another project":                    {f.caller(ofProject), project.KindProject, "9", fault.ErrNotFound},
		"in a project that is not there":        {f.caller(ofProject), project.KindProject, "99", fault.ErrNotFound},
		"in the group above":                    {f.caller(ofProject), project.KindGroup, "7", fault.ErrNotFound},
		"in a project below the group":          {f.caller(ofGroup), project.KindProject, "8", lifecycle.ErrNotManager},
		"a person's":                            {f.callerOf(t, owner), project.KindProject, "8", lifecycle.ErrNotOfProject},
		"a person's, where there is no project": {f.callerOf(t, owner), project.KindProject, "99", lifecycle.ErrNotOfProject},
		"an impersonation token":                {f.caller(f.give(t, owner, impersonates(admin))), project.KindProject, "8", lifecycle.ErrNotOfProject},
		"an administrator's by sudo to the bot": {f.callerOf(t, admin).As(f.accts[ofProject.Owner]), project.KindProject, "8", lifecycle.ErrNotOfProject},
		"in its project":                        {f.caller(ofProject), project.KindProject, "acme/web", nil},
		"in its group":                          {f.caller(ofGroup), project.KindGroup, "7", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f.writes = 0
			made, err := f.issuer.RotateSelfOfProject(t.Context(), c.by, c.kind, c.ref, lifecycle.Rotation{})
			checkErr(t, err, c.want)
			if c.want != nil && f.writes > 0 || c.want == nil && (made.Token.Owner != c.by.Account.ID || made.Token.Previous != c.by.Token.ID) {
				t.Errorf("%d writes, made %+v", f.writes, made.Token)
			}
		})
	}
}

func TestListingAndGettingTokensOfAProject(t *testing.T) {
	f := newFixture(t)
	good := f.bot(t, project.KindProject, web, project.Developer)
	ended := f.bot(t, project.KindProject, web, project.Guest)
	checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", ended.ID)), nil)
	bulk := f.bot(t, project.KindProject, web, project.Guest)
	checkErr(t, f.RevokeEverything(t.Context(), bulk.Owner, audit.Event{}), nil)
	lost := f.bot(t, project.KindProject, web, project.Guest)
	delete(f.accts, lost.Owner)
	foreign := f.bot(t, project.KindProject, apps, project.Guest)
	by := f.callerAt(t, web, project.Maintainer)

	wants := []lifecycle.View{
		{Token: f.tokens[good.ID], Active: true},
		{Token: f.tokens[ended.ID], Revoked: true, Gone: true},
		{Token: f.tokens[bulk.ID], Revoked: true},
		{Token: f.tokens[lost.ID], Revoked: true, Gone: true},
	}
	for i := range wants {
		wants[i].Scopes = scope.Set{"api"}
	}
	list := func(filter lifecycle.Filter, s lifecycle.Sort, offset, limit int) listing.Part[lifecycle.View] {
		t.Helper()
		part, err := f.lister.ListOfProject(t.Context(), by, project.KindProject, "acme/web", filter, s, offset, limit)
		checkErr(t, err, nil)
		return part
	}
	if got := list(lifecycle.Filter{}, lifecycle.Sort{}, 0, 20); !reflect.DeepEqual(got, listing.Part[lifecycle.View]{Entries: wants, Total: 4}) {
		t.Errorf("list %+v", got)
	}
	if got := list(lifecycle.Filter{}, lifecycle.Sort{Descending: true}, 1, 2); !reflect.DeepEqual(got, listing.Part[lifecycle.View]{Entries: []lifecycle.View{wants[2], wants[1]}, Total: 4}) {
		t.Errorf("second page %+v", got)
	}
	active := true
	if got := list(lifecycle.Filter{Active: &active}, lifecycle.Sort{}, 0, 20); !reflect.DeepEqual(got, listing.Part[lifecycle.View]{Entries: wants[:1], Total: 1}) {
		t.Errorf("active ones %+v", got)
	}
	for _, want := range wants {
		got, err := f.lister.GetOfProject(t.Context(), by, project.KindProject, "8", want.Token.ID)
		checkErr(t, err, nil)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for _, id := range []token.ID{foreign.ID, by.Token.ID, good.ID + 1, 0} {
		_, err := f.lister.GetOfProject(t.Context(), by, project.KindProject, "8", id)
		checkErr(t, err, lifecycle.ErrNoProjectToken)
	}
	for level, want := range map[project.Level]error{project.Developer: lifecycle.ErrNotManager, project.Guest: lifecycle.ErrNotManager} {
		by := f.callerAt(t, web, level)
		_, err := f.lister.ListOfProject(t.Context(), by, project.KindProject, "8", lifecycle.Filter{}, lifecycle.Sort{}, 0, 20)
		checkErr(t, err, want)
		_, err = f.lister.GetOfProject(t.Context(), by, project.KindProject, "8", 0)
		checkErr(t, err, want)
	}
	_, err := f.lister.ListOfProject(t.Context(), by, project.KindProject, "9", lifecycle.Filter{}, lifecycle.Sort{}, 0, 20)
	checkErr(t, err, project.ErrNoProject)
}

func TestRevokingATokenOfAProject(t *testing.T) {
	f := newFixture(t)
	revoke := func(by principal.Principal, id token.ID) error {
		return errOf(f.revoker.RevokeOfProject(t.Context(), by, project.KindProject, "8", id, lifecycle.Alone))
	}
	tok, foreign := f.bot(t, project.KindProject, web, project.Owner), f.bot(t, project.KindProject, apps, project.Guest)
	guest := f.callerAt(t, web, project.Guest)
	err := revoke(guest, tok.ID)
	checkErr(t, err, lifecycle.ErrNotManager)
	if refused := (*lifecycle.NotManager)(nil); !errors.As(err, &refused) || refused.Token.ID != tok.ID || strings.Contains(err.Error(), tok.Name) {
		t.Errorf("err = %v", err)
	}
	checkErr(t, revoke(guest, foreign.ID), lifecycle.ErrNoProjectToken) // the token comes before the right
	checkErr(t, revoke(f.callerOf(t, other), guest.Token.ID), lifecycle.ErrNoProjectToken)
	if f.writes != 0 {
		t.Error("something was written")
	}
	checkErr(t, errOf(f.revoker.RevokeOfProject(t.Context(), guest, project.KindProject, "9", foreign.ID, lifecycle.Alone)), project.ErrNoProject)

	maintainer := f.callerAt(t, web, project.Maintainer)
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
	tok := f.bot(t, project.KindProject, web, project.Guest)
	for reason, asks := range map[token.Reason]int{token.ReasonRequest: 1, token.ReasonRotated: 0} {
		ended := f.tokens[tok.ID]
		ended.RevokedAt, ended.RevokedReason = now, reason
		f.tokens[tok.ID], f.writes = ended, 0
		checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", tok.ID)), nil)
		if f.writes != asks {
			t.Errorf("ended as %s: the store was asked %d times", reason, f.writes)
		}
	}
}
