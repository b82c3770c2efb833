package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/administration"
	"latchkey/pkg/directory"
	"latchkey/pkg/feature"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// pagesBelow are all pages about the tokens of a project, and about one of them.
func pagesBelow(proj project.Project, id token.ID) (gets, posts []string) {
	one := in(proj, id.String())
	gets = []string{
		in(proj), in(proj) + "?name=x", in(proj) + "?state=ended", in(proj, "new"), one, one + "/created", one + "/duplicate", one + "/rotate", one + "/revoke",
	}
	return gets, []string{in(proj), one + "/rotate", one + "/revoke"}
}

func everyForm() url.Values {
	form := projectForm(with("overlap", "0"), with("reach", "family"))
	return form
}

// Breaks if a page lets somebody see or do what the API refuses them.
func TestOnlyManagersOfAProjectSeeAndChangeItsTokens(t *testing.T) {
	s := newShop(t)
	single := s.issueFor(t, "ann", s.web, "deploy key", 20, project.Developer).Token.ID
	grouped := s.issueFor(t, "ann", s.acme, "deploy key", 20, project.Developer).Token.ID
	s.join(t, "ann", s.acme, "bob", project.Maintainer) // owners manage the tokens of groups
	s.join(t, "ann", s.acme, "dan", project.Guest)
	before := s.dump(t)
	for _, test := range []struct {
		who    string
		proj   project.Project
		id     token.ID
		status int
	}{
		{"dan", s.web, single, http.StatusForbidden}, {"dan", s.acme, grouped, http.StatusForbidden}, {"bob", s.acme, grouped, http.StatusForbidden},
		{"cid", s.web, single, http.StatusNotFound}, {"cid", s.acme, grouped, http.StatusNotFound}, {"ann", s.other, grouped, http.StatusNotFound},
		{"root", project.Project{ID: s.web.ID, Kind: project.KindGroup}, single, http.StatusNotFound},
		{"root", project.Project{ID: s.acme.ID, Kind: project.KindProject}, grouped, http.StatusNotFound},
		{"root", project.Project{ID: 9999, Kind: project.KindProject}, single, http.StatusNotFound},
	} {
		gets, posts := pagesBelow(test.proj, test.id)
		for _, target := range gets {
			if got := s.signIn(test.who).get(t, target); got.status != test.status || strings.Contains(got.body, "deploy key") || strings.Contains(got.body, "The shop") {
				t.Errorf("%s, GET %s: %d, want %d", test.who, target, got.status, test.status)
			}
		}
		for _, target := range posts {
			if got := s.signIn(test.who).send(t, http.MethodPost, target, everyForm()); got.status != test.status || strings.Contains(got.body, "deploy key") {
				t.Errorf("%s, POST %s: %d, want %d", test.who, target, got.status, test.status)
			}
		}
	}
	if s.dump(t) != before {
		t.Error("something was changed")
	}
}

// Breaks if an id in the address reaches a token of another owner.
func TestTokensOfOtherProjectsAreNotThere(t *testing.T) {
	s := newShop(t)
	theirs := s.issueFor(t, "cid", s.app, "cid's secret", 20, project.Developer).Token.ID
	above := s.issueFor(t, "ann", s.acme, "of the group above", 20, project.Developer).Token.ID
	below := s.issueFor(t, "ann", s.web, "of the project below", 20, project.Developer).Token.ID
	personal := s.issue(t, "ann", "personal", 20).Token.ID
	before := s.dump(t)
	for _, who := range []string{"ann", "root"} {
		for what, test := range map[string]struct {
			proj project.Project
			id   string
		}{
			"another project's": {s.web, theirs.String()}, "one's own": {s.web, personal.String()}, "the group's above": {s.web, above.String()},
			"the project's below": {s.acme, below.String()}, "none": {s.web, "8388700"}, "no number": {s.web, "abc"}, "a negative number": {s.web, "-1"},
			"another spelling": {s.web, "0" + below.String()}, "too high": {s.web, "99999999999999999999"}, "an escape": {s.web, "%31"},
			"a word of the site": {s.web, "members"},
		} {
			for _, page := range []string{"", "/created", "/duplicate", "/rotate", "/revoke"} {
				if got := s.signIn(who).get(t, in(test.proj, test.id)+page); got.status != http.StatusNotFound || strings.Contains(got.body, "secret") {
					t.Errorf("%s, GET %s of %s: %d", who, page, what, got.status)
				}
				if page == "/rotate" || page == "/revoke" {
					if got := s.signIn(who).send(t, http.MethodPost, in(test.proj, test.id)+page, everyForm()); got.status != http.StatusNotFound {
						t.Errorf("%s, POST %s of %s: %d", who, page, what, got.status)
					}
				}
			}
			if page := s.signIn(who).page(t, in(s.web)+"?after="+test.id); strings.Contains(page, "secret") || strings.Contains(page, "“personal”") {
				t.Errorf("the list shows %s", what)
			}
		}
		// Nor is a project's token one of one's own.
		for _, page := range []string{"", "/created", "/duplicate", "/rotate", "/revoke"} {
			if got := s.signIn(who).get(t, at(below)+page); got.status != http.StatusNotFound {
				t.Errorf("%s, GET %s: %d", who, at(below)+page, got.status)
			}
		}
	}
	for _, ref := range []string{"acme%2Fweb", "acme", "0" + s.web.ID.String(), "+" + s.web.ID.String(), "-1", "99999999999999999999", "new"} {
		if got := s.signIn("ann").get(t, "/-/projects/"+ref+"/access_tokens"); got.status != http.StatusNotFound {
			t.Errorf("project %s: %d", ref, got.status)
		}
		if got := s.signIn("ann").get(t, "/-/groups/"+ref+"/access_tokens"); got.status != http.StatusNotFound {
			t.Errorf("group %s: %d", ref, got.status)
		}
	}
	if s.dump(t) != before {
		t.Error("something was changed")
	}
}

// Breaks if somebody who has lost the right, or the rank, between a form and its button keeps it.
func TestWhoWasRemovedMeanwhileChangesNothing(t *testing.T) {
	s := newShop(t)
	id := s.issueFor(t, "bob", s.web, "deploy", 20, project.Developer).Token.ID
	bob := s.signIn("bob")
	got := bob.send(t, http.MethodPost, in(s.web), projectForm())
	created := got.header.Get("Location")
	for _, target := range []string{in(s.web, "new"), in(s.web, id.String(), "rotate"), in(s.web, id.String(), "revoke")} {
		bob.page(t, target)
	}
	s.leave(t, "ann", s.web, "bob")
	before := s.dump(t)
	gets, posts := pagesBelow(s.web, id)
	for _, target := range posts {
		if got := bob.send(t, http.MethodPost, target, everyForm()); got.status != http.StatusNotFound {
			t.Errorf("POST %s: %d", target, got.status)
		}
	}
	for _, target := range append(gets, created) { // not even the value that lies in the cookie
		if got := bob.get(t, target); got.status != http.StatusNotFound || s.valueIn(got.body) != "" {
			t.Errorf("GET %s: %d", target, got.status)
		}
	}
	if s.dump(t) != before {
		t.Error("something was changed")
	}
	if page := text(bob.page(t, managedPath)); strings.Contains(page, "acme/web") || !strings.Contains(page, "You manage no tokens of projects") {
		t.Errorf("the list of projects says: %s", page)
	}
	s.join(t, "ann", s.web, "bob", project.Developer)
	for _, target := range posts {
		if got := bob.send(t, http.MethodPost, target, everyForm()); got.status != http.StatusForbidden {
			t.Errorf("as a developer, POST %s: %d", target, got.status)
		}
	}
}

// Breaks if a value in a sealed cookie opens for another manager, another token or another address.
func TestTheHandOverOfAProjectIsForOnePersonAndOneToken(t *testing.T) {
	s := newShop(t)
	bob := s.signIn("bob")
	location := bob.send(t, http.MethodPost, in(s.web), projectForm()).header.Get("Location")
	id := strings.Split(location, "/")[5]
	sealed := bob.cookies[handOverCookie+id]
	other := s.issueFor(t, "ann", s.web, "other", 20, project.Developer).Token.ID.String()
	for what, got := range map[string]reply{
		"another manager": func() reply { b := s.signIn("ann"); b.cookies[handOverCookie+id] = sealed; return b.get(t, location) }(),
		"another token": func() reply {
			b := s.signIn("bob")
			b.cookies[handOverCookie+other] = sealed
			return b.get(t, in(s.web, other, "created"))
		}(),
		"another project": func() reply {
			b := s.signIn("cid")
			b.cookies[handOverCookie+id] = sealed
			return b.get(t, in(s.app, id, "created"))
		}(),
		"a person's own": func() reply {
			b := s.signIn("bob")
			b.cookies[handOverCookie+id] = sealed
			return b.get(t, tokensPath+"/"+id+"/created")
		}(),
		"a form without value": s.signIn("bob").get(t, location),
	} {
		if got.status == http.StatusOK || s.valueIn(got.body) != "" {
			t.Errorf("%s: %d", what, got.status)
		}
	}
	if s.valueIn(bob.page(t, location)) == "" {
		t.Error("who made it does not see it")
	}
}

func TestCreateForAProject(t *testing.T) {
	for _, test := range []struct {
		name   string
		who    string
		group  bool
		form   url.Values
		status int
		want   string
		level  project.Level
	}{
		{name: "a developer", form: projectForm(), status: 303, level: project.Developer},
		{name: "the caller's own role", form: projectForm(with(levelField, "40")), status: 303, level: project.Maintainer},
		{name: "a role above", form: projectForm(with(levelField, "50")), status: 403, want: "This role is above yours"},
		{name: "the same for an owner", who: "ann", form: projectForm(with(levelField, "50")), status: 303, level: project.Owner},
		{name: "the same for an administrator", who: "root", form: projectForm(with(levelField, "50")), status: 303, level: project.Owner},
		{name: "a group's owner", who: "ann", group: true, form: projectForm(with(levelField, "50")), status: 303, level: project.Owner},
		{name: "no role", form: projectForm(with(levelField)), status: 422, want: "Choose the role of the token."},
		{name: "a role that does not exist", form: projectForm(with(levelField, "60")), status: 422, want: "Choose the role of the token."},
		{name: "a role by name", form: projectForm(with(levelField, "Owner")), status: 422, want: "Choose the role of the token."},
		{name: "no level", form: projectForm(with(levelField, "0")), status: 422, want: "Choose the role of the token."},
		{name: "no name", form: projectForm(with("name", " ")), status: 422, want: "Give the token a name."},
		{name: "no name and no role", form: projectForm(with("name", " "), with(levelField, "7")), status: 422, want: "Give the token a name. Choose the role"},
		{name: "no scope", form: projectForm(with("scopes[]")), status: 422, want: "Choose at least one scope."},
		{name: "a scope for persons", form: projectForm(with("scopes[]", "read_user")), status: 422, want: "One of the scopes does not exist."},
		{name: "the calendar's", form: projectForm(with("scopes[]", "read_calendar")), status: 422, want: "One of the scopes does not exist."},
		{name: "a scope for administrators, by one", who: "root", form: projectForm(with("scopes[]", "sudo")), status: 422, want: "scope"},
		{name: "too long", form: projectForm(with("expires", "366")), status: 422, want: "must end on 2027-03-19 or earlier"},
		{name: "no networks", form: projectForm(with("networks", "here")), status: 422, want: "The networks must be"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShop(t)
			proj, who := s.web, test.who
			if test.group {
				proj = s.acme
			}
			if who == "" {
				who = "bob"
			}
			b := s.signIn(who)
			got := b.send(t, http.MethodPost, in(proj), test.form)
			if got.status != test.status || !strings.Contains(text(got.body), test.want) {
				t.Fatalf("%d, want %d with %q\n%s", got.status, test.status, test.want, text(got.body))
			}
			views := made(s.site.parts.Lister.AllOfProject(t.Context(), s.as(t, who), proj.Kind, proj.ID.String()))
			if test.status != http.StatusSeeOther {
				if len(views) != 0 {
					t.Errorf("a token was made: %+v", views)
				}
				if !strings.Contains(got.body, `value="`+test.form.Get("name")+`"`) {
					t.Error("the input is lost")
				}
				return
			}
			s.valueIn(b.page(t, got.header.Get("Location")))
			if len(views) != 1 || views[0].Token.Level != test.level || views[0].Token.CreatedBy != s.people[who].ID || views[0].Token.Owner == s.people[who].ID {
				t.Errorf("made %+v", views)
			}
		})
	}
}

// The roles to choose from are those that the person may give.
func TestRolesToChooseFrom(t *testing.T) {
	s := newShop(t)
	radio := regexp.MustCompile(`name="access_level" value="(\d+)" required( checked)?`)
	for _, test := range []struct {
		who, query, want string
		proj             project.Project
		note             string
	}{
		{"bob", "", "10 15 20 30 40", s.web, ""},
		{"ann", "", "10 15 20 30 40 50", s.web, ""},
		{"root", "", "10 15 20 30 40 50", s.acme, ""},
		{"bob", "?access_level=20", "10 15 20* 30 40", s.web, "A link filled this form in"},
		{"bob", "?access_level=50", "10 15 20 30 40", s.web, "Not applied: the role “50”"},
		{"bob", "?access_level=root", "10 15 20 30 40", s.web, "Not applied: the role “root”"},
		{"bob", "?name=x&access_level=30&scopes=read_api,read_user,sudo&level=9", "10 15 20 30* 40", s.web, "Not applied: the parameter “level” the scope “read_user” the scope “sudo”"},
	} {
		page := s.signIn(test.who).page(t, in(test.proj)+"/new"+test.query)
		if test.query != "" {
			page = s.signIn(test.who).page(t, in(test.proj)+test.query) // as people get it
		}
		var got []string
		for _, m := range radio.FindAllStringSubmatch(page, -1) {
			got = append(got, m[1]+strings.Replace(m[2], " checked", "*", 1))
		}
		if strings.Join(got, " ") != test.want || !strings.Contains(text(page), test.note) {
			t.Errorf("%s%s: %s, want %s and %q\n%s", test.who, test.query, strings.Join(got, " "), test.want, test.note, text(page))
		}
	}
	if page := s.signIn("ann").page(t, tokensPath+"?access_level=30"); !strings.Contains(text(page), "the parameter “access_level”") {
		t.Error("a role of one's own token is not named as ignored")
	}
}

// A token above the caller's role can be revoked and neither rotated nor copied with its role, as in
// the API.
func TestTokensAboveTheCallersRole(t *testing.T) {
	s := newShop(t)
	id := s.issueFor(t, "ann", s.web, "owner's", 20, project.Owner).Token.ID
	bob := s.signIn("bob")
	page := bob.page(t, in(s.web, id.String()))
	if strings.Contains(page, id.String()+"/rotate") || !strings.Contains(text(page), "Owner") {
		t.Errorf("the page offers a rotation: %s", text(page))
	}
	if got := bob.get(t, in(s.web, id.String(), "rotate")); got.status != http.StatusSeeOther {
		t.Errorf("the form to rotate: %d", got.status)
	}
	before := s.dump(t)
	if got := bob.send(t, http.MethodPost, in(s.web, id.String(), "rotate"), everyForm()); got.status != http.StatusForbidden || s.dump(t) != before {
		t.Errorf("rotated: %d", got.status)
	}
	if page := bob.page(t, in(s.web, id.String(), "duplicate")); !strings.Contains(text(page), "the role Owner, which is above yours") || strings.Contains(page, "required checked") {
		t.Errorf("the copy: %s", text(page))
	}
	bob.follow(t, in(s.web, id.String(), "revoke"), nil)
}

// Breaks if a form is shown that cannot work, or if existing tokens cannot be ended.
func TestNewTokensOfProjectsSwitchedOff(t *testing.T) {
	s := newShop(t)
	id := s.issueFor(t, "bob", s.web, "deploy", 20, project.Developer).Token.ID
	bob := s.signIn("bob")
	check(t, s.switchOff(t, s.web))
	const sentence = "An administrator has switched new tokens off for this project."
	for _, target := range []string{in(s.web), in(s.web, "new"), in(s.web) + "?name=x", in(s.web, id.String(), "duplicate")} {
		page := bob.page(t, target)
		if !strings.Contains(text(page), sentence) || strings.Contains(page, `method="post" action="`+in(s.web)+`"`) || strings.Contains(page, in(s.web, "new")) {
			t.Errorf("%s says: %s", target, text(page))
		}
	}
	before := s.dump(t)
	if got := bob.send(t, http.MethodPost, in(s.web), projectForm()); got.status != http.StatusForbidden || !strings.Contains(text(got.body), sentence) || s.dump(t) != before {
		t.Errorf("%d: %s", got.status, text(got.body))
	}
	if page := bob.page(t, in(s.web, id.String())); strings.Contains(page, "/duplicate") || !strings.Contains(page, "/rotate") {
		t.Error("the token's page offers a copy, or no rotation")
	}
	location, page := bob.follow(t, in(s.web, id.String(), "rotate"), url.Values{"expires": {"7"}, "overlap": {"0"}})
	s.valueIn(page)
	bob.follow(t, strings.TrimSuffix(location, "/created")+"/revoke", nil)
	if page := s.signIn("ann").page(t, in(s.acme)); strings.Contains(text(page), "switched new tokens off") {
		t.Error("the switch of a project holds for its group")
	}
}

func (s *shop) switchOff(t *testing.T, proj project.Project) error {
	t.Helper()
	features := made(administration.NewFeatures(administration.FeaturesParts{Store: s.table, Reader: s.table, Finder: s.table, Clock: s.clock}))
	_, err := features.Set(t.Context(), s.as(t, "root"), feature.ProjectAccessToken, false, administration.Names{Projects: []string{proj.FullPath}}, false)
	return err
}

// Breaks if another site can make, rotate or revoke a project's token.
func TestForgedRequestsAboutProjects(t *testing.T) {
	s := newShop(t)
	id := s.issueFor(t, "bob", s.web, "deploy", 20, project.Developer).Token.ID
	_, posts := pagesBelow(s.web, id)
	before := s.dump(t)
	for name, header := range map[string]http.Header{
		"a form":          {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Origin": {"https://evil.example"}},
		"a fetch":         {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Origin": {"https://evil.example"}, "Content-Type": {"text/plain"}},
		"a sibling host":  {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://www.example.test"}},
		"an older client": {"Sec-Fetch-Site": nil, "Origin": {"https://evil.example"}},
	} {
		for _, target := range posts {
			for _, who := range []string{"bob", ""} {
				b := s.signIn(who)
				b.header = header
				if got := b.send(t, http.MethodPost, target, everyForm()); got.status != http.StatusForbidden {
					t.Errorf("%s as %q to %s: %d", name, who, target, got.status)
				}
			}
		}
	}
	if s.dump(t) != before {
		t.Error("something was changed")
	}
	for _, target := range posts { // a link cannot change anything either
		s.signIn("bob").get(t, target+"?"+everyForm().Encode())
	}
	if s.dump(t) != before {
		t.Error("a GET request has changed something")
	}
}

// Breaks if somebody else's text becomes part of a page about a project.
func TestHostileTextsInProjects(t *testing.T) {
	tag := regexp.MustCompile(`<[a-z][^<>]*>`)
	value := regexp.MustCompile(`="[^"]*"`)
	bad := regexp.MustCompile(`(?i)^<(script .*alert|img)|\son\w+=|(?:href|src|action)="(?:javascript|data):`)
	s := newShop(t)
	ann := s.signIn("ann")
	clean := func(what, page string) {
		t.Helper()
		for _, element := range tag.FindAllString(page, -1) {
			if bad.MatchString(value.ReplaceAllString(element, "=")) || bad.MatchString(element) && !strings.Contains(element, "value=") {
				t.Errorf("%s has %s", what, element)
			}
		}
		if strings.Count(page, "<script") != 1 || strings.Count(page, "</title>") != 1 || strings.Count(page, "</textarea>") > 1 {
			t.Errorf("%s: an element was opened or closed", what)
		}
	}
	for n, evil := range hostile {
		group := s.group(t, "ann", fmt.Sprintf("evil-%d", n), evil)
		proj := s.project(t, "ann", group, "app", evil)
		form := projectForm(with("name", evil), with("description", evil))
		for _, proj := range []project.Project{group, proj} {
			location, page := ann.follow(t, in(proj), form) // the bot's name is the token's
			s.valueIn(page)
			clean("created "+evil, page)
			one := strings.TrimSuffix(location, "/created")
			shown := []string{in(proj), one, one + "/rotate", one + "/revoke", projectPath(proj) + "/members", managedPath}
			targets := append(slices.Clone(shown), in(proj, "new"), one+"/duplicate")
			if proj.Kind == project.KindProject { // the form and the list are the same for a group
				for _, name := range []string{"name", "description", "scopes", "expires_in_days", "allowed_cidrs", levelField, evil} {
					targets = append(targets, in(proj)+"?name=x&"+url.Values{name: {evil}}.Encode())
				}
				for _, name := range []string{"state", "search", "sort", "after"} {
					targets = append(targets, in(proj)+"?"+url.Values{name: {evil}}.Encode())
				}
				for _, path := range []string{managedPath, projectPath(proj) + "/members"} {
					targets = append(targets, path+"?"+url.Values{"search": {evil}, "page": {evil}}.Encode())
				}
			}
			for _, target := range targets {
				got := ann.get(t, target)
				if got.status != http.StatusOK {
					t.Fatalf("%s: %d", target, got.status)
				}
				clean(target+" with "+evil, got.body)
				if strings.Contains(got.body, "\u202e") && slices.Contains(shown, target) {
					t.Errorf("%s turns the direction of text around", target)
				}
			}
			bad := projectForm()
			for name := range bad {
				bad.Set(name, evil)
			}
			clean("a form with "+evil, ann.send(t, http.MethodPost, in(proj), bad).body)
		}
	}
}

// People and bots are told apart, bots have their token, and who may not see tokens sees none.
func TestMembers(t *testing.T) {
	s := newShop(t)
	own := s.issueFor(t, "ann", s.web, "deploy", 20, project.Developer).Token
	above := s.issueFor(t, "ann", s.acme, "nightly", 20, project.Reporter).Token
	path := projectPath(s.web) + "/members"
	page := s.signIn("bob").page(t, path)
	for _, want := range []string{
		"“The bob” @bob Maintainer none never", "“The dan” @dan Developer none never", "“The ann” @ann Owner from acme none never",
		fmt.Sprintf("“deploy” bot @project_%s_bot Developer “deploy” Active in 19 days", s.web.ID),
		fmt.Sprintf("“nightly” bot @group_%s_bot Reporter from acme of acme", s.acme.ID),
	} {
		if !strings.Contains(text(page), want) {
			t.Errorf("no %q in %s", want, text(page))
		}
	}
	if !strings.Contains(page, `href="`+in(s.web, own.ID.String())+`"`) || strings.Contains(page, above.ID.String()) {
		t.Error("the links to tokens are wrong")
	}
	page = s.signIn("dan").page(t, path)
	if strings.Contains(page, own.ID.String()) || strings.Contains(page, in(s.web)) || !strings.Contains(text(page), "bot @project_") {
		t.Errorf("a developer sees: %s", text(page))
	}
	next := made(s.issuer.RotateOfProject(t.Context(), s.as(t, "bob"), s.web.Kind, s.web.ID.String(), own.ID, lifecycle.Rotation{Overlap: time.Hour}))
	s.secrets = append(s.secrets, next.Bearer.Reveal())
	if page := s.signIn("bob").page(t, path); !strings.Contains(page, in(s.web, next.Token.ID.String())) || strings.Contains(page, in(s.web, own.ID.String())) {
		t.Error("the bot of a rotated token is not shown with the newest one")
	}
	for _, who := range []string{"cid"} {
		if got := s.signIn(who).get(t, path); got.status != http.StatusNotFound || strings.Contains(got.body, "shop") {
			t.Errorf("%s: %d", who, got.status)
		}
	}
	if page := text(s.signIn("bob").page(t, path+"?search=dan")); !strings.Contains(page, "@dan") || strings.Contains(page, "@ann") {
		t.Errorf("a search: %s", page)
	}
	for _, number := range []string{"0", "-1", "x", "9223372036854775807", "4611686018427387905"} { // the last ones times a page's size overflow
		if page := text(s.signIn("bob").page(t, path+"?page="+number)); !strings.Contains(page, "@dan") {
			t.Errorf("page %s: %s", number, page)
		}
	}
	if page := text(s.signIn("bob").page(t, path+"?search=nobody")); !strings.Contains(page, "No name matches") {
		t.Errorf("a search for nobody: %s", page)
	}
	if strings.Contains(page, "example.test") || strings.Contains(page, "example.com") {
		t.Error("the page shows mail addresses")
	}
}

// Breaks if an administrator is asked to type a name, and then nothing of the bot ends.
func TestRevokingEverythingOfABotIsNotOffered(t *testing.T) {
	s := newShop(t)
	bot := s.issueFor(t, "ann", s.web, "deploy", 20, project.Developer).Token.Owner
	root := s.signIn("root")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		got := root.send(t, method, adminUserPath(bot, "/revoke_all"), nil)
		if got.status != http.StatusBadRequest || !strings.Contains(text(got.body), "A bot has one token. Revoke that") {
			t.Errorf("%s: %d %s", method, got.status, text(got.body))
		}
	}
}

// Each person finds what they may manage, and nothing else.
func TestProjectsAndGroups(t *testing.T) {
	s := newShop(t)
	path := regexp.MustCompile(`<th scope="row"><a href="([^"]*)">([^<]*)</a>`)
	for _, test := range []struct{ who, query, want string }{
		{"ann", "", "acme acme/web"}, {"bob", "", "acme/web"}, {"dan", "", ""}, {"cid", "", "other other/app"},
		{"root", "", "acme other other/app acme/web"}, {"root", "?search=secret", "other/app"}, {"ann", "?search=secret", ""},
		{"ann", "?kind=group", "acme"}, {"ann", "?kind=project", "acme/web"},
	} {
		page := s.signIn(test.who).page(t, managedPath+test.query)
		var got []string
		for _, m := range path.FindAllStringSubmatch(page, -1) {
			got = append(got, m[2])
			s.signIn(test.who).page(t, m[1])
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s%s: %v, want %s", test.who, test.query, got, test.want)
		}
	}
	if page := s.signIn("ann").page(t, tokensPath); !strings.Contains(page, `href="`+managedPath+`"`) {
		t.Error("nothing leads to the list")
	}
	for n := range 60 {
		s.project(t, "ann", s.acme, fmt.Sprintf("p%02d", n), fmt.Sprintf("Project %02d", n))
	}
	page := s.signIn("ann").page(t, managedPath)
	next := regexp.MustCompile(`href="([^"]*)" rel="next">More projects`).FindStringSubmatch(page)
	if strings.Count(page, `scope="row"`) != 51 || next == nil || len(page) > 60_000 {
		t.Fatalf("%d rows, %d bytes, next %v", strings.Count(page, `scope="row"`), len(page), next)
	}
	link := strings.ReplaceAll(next[1], "&amp;", "&")
	if page := s.signIn("ann").page(t, link); strings.Count(page, `scope="row"`) != 11 || !strings.Contains(page, `rel="first"`) || strings.Contains(page, "More projects") {
		t.Errorf("second page: %d rows", strings.Count(page, `scope="row"`))
	}
	if got := s.signIn("ann").get(t, strings.Replace(link, "kind=project", "kind=group", 1)); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a cursor of the other list: %d", got.status)
	}
}

// The list of a project has the tiles, filters, orders and pages of one's own.
func TestListOfAProject(t *testing.T) {
	s := newShop(t)
	for n := range 105 {
		s.issueFor(t, "ann", s.web, fmt.Sprintf("nightly export of the warehouse, %03d", n), 2+n, project.Developer)
	}
	bob := s.signIn("bob")
	page := bob.page(t, in(s.web))
	for _, want := range []string{"105 Active", "13 Ending", "0 Unused", "0 Ended", "13 tokens of this project end within 14 days"} {
		if !strings.Contains(text(page), want) {
			t.Errorf("no %q in %s", want, text(page)[:600])
		}
	}
	if strings.Count(page, `scope="row"`) != perPage || len(page) > 60_000 || strings.Contains(page, "revoke_all") {
		t.Errorf("%d rows, %d bytes", strings.Count(page, `scope="row"`), len(page))
	}
	t.Logf("the list has %d bytes", len(page))
	next := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(page)
	if next == nil || !strings.HasPrefix(next[1], in(s.web)+"?") {
		t.Fatalf("next is %v", next)
	}
	if page := bob.page(t, strings.ReplaceAll(next[1], "&amp;", "&")); strings.Count(page, `scope="row"`) != 5 {
		t.Errorf("the second page has %d rows", strings.Count(page, `scope="row"`))
	}
	if page := bob.page(t, in(s.web)+"?search=042&sort=name_desc"); strings.Count(page, `scope="row"`) != 1 {
		t.Error("a search does not work")
	}
	if page := bob.page(t, projectPath(s.web)+"/members"); strings.Count(page, `scope="row"`) != perPage || len(page) > 60_000 || !strings.Contains(page, `rel="next"`) {
		t.Errorf("members: %d rows, %d bytes", strings.Count(page, `scope="row"`), len(page))
	}
	for _, target := range []string{in(s.web, "new")} {
		if size := len(bob.page(t, target)); size > 60_000 {
			t.Errorf("%s has %d bytes", target, size)
		}
	}
}

// Who signs in first loses nothing of a form about a project, its role included.
func TestTheWayBackToAProject(t *testing.T) {
	s := newShop(t)
	for target, want := range map[string]string{
		in(s.web): in(s.web) + "?access_level=30&expires_in_days=30&name=nightly+export&scopes=read_api%2Cread_repository",
	} {
		got := s.signIn("").send(t, http.MethodPost, target, projectForm())
		location := made(url.Parse(got.header.Get("Location")))
		if location.Path != signInPath || location.Query().Get("return_to") != want {
			t.Errorf("%s: to %s, want the way back %s", target, location, want)
		}
		page := s.signIn("bob").page(t, want)
		if !strings.Contains(page, `value="30" required checked`) || !strings.Contains(page, `value="nightly export"`) {
			t.Error("the form is not filled in")
		}
	}
	if got := s.signIn("").get(t, managedPath); got.status != http.StatusSeeOther {
		t.Errorf("a stranger: %d", got.status)
	}
}

// A project in a person's own namespace has tokens too.
func TestAProjectOfAPerson(t *testing.T) {
	s := newShop(t)
	proj := made(s.accounts.CreateProject(t.Context(), s.as(t, "dan"), directory.ProjectCandidate{Path: "notes", Name: "Notes"})).Project
	dan := s.signIn("dan")
	_, page := dan.follow(t, in(proj), projectForm(with(levelField, "50"), with("scopes[]", string(scope.Scope("read_registry")))))
	s.valueIn(page)
	if page := text(dan.page(t, in(proj))); !strings.Contains(page, "Tokens of dan/notes") || !strings.Contains(page, "Owner") {
		t.Errorf("the list says: %s", page)
	}
	made(s.revoker.RevokeOfProject(t.Context(), s.as(t, "root"), proj.Kind, proj.ID.String(), made(s.site.parts.Lister.AllOfProject(t.Context(), s.as(t, "dan"), proj.Kind, proj.ID.String()))[0].Token.ID, lifecycle.Alone))
	page = dan.page(t, in(proj)+"?state=ended")
	if !strings.Contains(text(page), "Revoked by @root") {
		t.Errorf("an administrator's revocation: %s", text(page))
	}
	// Only administrators see the addresses of other people's requests.
	if page := dan.page(t, regexp.MustCompile(`href="([^"]*/\d+)"`).FindStringSubmatch(page)[1]); !strings.Contains(text(page), "@root not known") {
		t.Errorf("the trail: %s", text(page))
	}
}
