package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
)

// A shop is a world with the group acme, in which ann is the owner, and the project acme/web, in which
// bob is a maintainer and dan a developer. The group other, with other/app, is of cid alone.
type shop struct {
	*world
	acme, web, other, app project.Project
}

func newShop(t *testing.T) *shop {
	t.Helper()
	w := newWorld(t)
	for _, name := range []string{"cid", "dan"} {
		c := directory.Candidate{Username: name, Name: "The " + name, Email: name + "@example.test"}
		w.people[name] = made(w.accounts.CreateByConsole(t.Context(), "", c))
		w.secrets = append(w.secrets, c.Email)
	}
	s := &shop{world: w}
	s.acme = s.group(t, "ann", "acme", "Acme")
	s.web = s.project(t, "ann", s.acme, "web", "The shop")
	s.other = s.group(t, "cid", "other", "Other")
	s.app = s.project(t, "cid", s.other, "app", "The secret app")
	s.join(t, "ann", s.web, "bob", project.Maintainer)
	s.join(t, "ann", s.web, "dan", project.Developer)
	return s
}

func (s *shop) group(t *testing.T, who, path, name string) project.Project {
	t.Helper()
	return made(s.accounts.CreateGroup(t.Context(), s.as(t, who), directory.GroupCandidate{Path: path, Name: name})).Project
}

func (s *shop) project(t *testing.T, who string, in project.Project, path, name string) project.Project {
	t.Helper()
	c := directory.ProjectCandidate{Path: path, Name: name, Namespace: directory.Namespace{Group: in.ID}}
	return made(s.accounts.CreateProject(t.Context(), s.as(t, who), c)).Project
}

func (s *shop) join(t *testing.T, by string, in project.Project, who string, level project.Level) {
	t.Helper()
	made(s.accounts.AddMember(t.Context(), s.as(t, by), in.Kind, in.ID.String(), directory.Addition{Username: who, Level: level}))
}

func (s *shop) leave(t *testing.T, by string, in project.Project, who string) {
	t.Helper()
	made(s.accounts.RemoveMember(t.Context(), s.as(t, by), in.Kind, in.ID.String(), s.people[who].ID, false))
}

// issueFor makes a token of a project, by who, that lasts for some days.
func (s *shop) issueFor(t *testing.T, who string, in project.Project, name string, days int, level project.Level) lifecycle.Issued {
	t.Helper()
	issued, err := s.issuer.CreateForProject(t.Context(), s.as(t, who), in.Kind, in.ID.String(), lifecycle.ProjectSpec{
		Spec:  lifecycle.Spec{Name: name, Scopes: scope.Set{"read_api"}, ExpiresOn: clock.DayOf(s.clock.Now()).AddDays(days)},
		Level: level,
	})
	check(t, err)
	s.secrets = append(s.secrets, issued.Bearer.Reveal(), issued.Token.Digest.Key())
	return issued
}

// in is a page below the tokens of a project.
func in(proj project.Project, more ...string) string {
	return strings.Join(append([]string{projectPath(proj) + "/access_tokens"}, more...), "/")
}

// valueIn finds the bearer of a project that a page shows.
func (s *shop) valueIn(page string) string {
	value := regexp.MustCompile(`lkprj_[0-9A-Za-z]+`).FindString(page)
	if value != "" {
		s.secrets = append(s.secrets, value)
	}
	return value
}

func projectForm(change ...func(url.Values)) url.Values {
	form := newForm(change...)
	if !form.Has(levelField) {
		form.Set(levelField, "30")
	}
	return form
}

func with(name string, values ...string) func(url.Values) {
	return func(form url.Values) { form[name] = values }
}

func (s *shop) works(t *testing.T, value string) bool {
	t.Helper()
	_, err := s.site.parts.Verifier.Verify(t.Context(), value, made(netip.ParseAddr("192.0.2.7")))
	return err == nil
}

// A token of a project or a group goes through its whole life on the pages.
func TestTheLifeOfAProjectToken(t *testing.T) {
	for _, test := range []struct {
		kind project.Kind
		who  string
	}{{project.KindProject, "bob"}, {project.KindGroup, "ann"}, {project.KindProject, "root"}, {project.KindGroup, "root"}} {
		t.Run(string(test.kind)+" by "+test.who, func(t *testing.T) {
			s := newShop(t)
			proj := map[project.Kind]project.Project{project.KindProject: s.web, project.KindGroup: s.acme}[test.kind]
			b := s.signIn(test.who)
			if page := b.page(t, in(proj)); !strings.Contains(text(page), "has no token that works") || !strings.Contains(page, in(proj, "new")) {
				t.Errorf("the empty list says: %s", text(page))
			}
			if page := b.page(t, in(proj, "new")); strings.Contains(page, `value="create_runner" checked`) || strings.Contains(page, `value="sudo"`) || strings.Contains(page, `value="read_calendar"`) {
				t.Errorf("the form offers what no bot may have: %s", text(page))
			}
			location, page := b.follow(t, in(proj), projectForm())
			first := s.valueIn(page)
			if first == "" || !s.works(t, first) || strings.Contains(s.dump(t), first) || strings.Contains(location, first) {
				t.Fatalf("the value is not right, on %s: %s", location, text(page))
			}
			one := strings.TrimSuffix(location, "/created")
			if !strings.HasPrefix(one, in(proj)+"/") {
				t.Fatalf("the token is at %s", one)
			}
			if again := b.get(t, location); again.status != http.StatusSeeOther || again.header.Get("Location") != one || strings.Contains(again.body, first) {
				t.Errorf("again: %d to %s", again.status, again.header.Get("Location"))
			}
			page = text(b.page(t, one))
			for _, want := range []string{"“nightly export”", "Developer", "a bot of the " + string(test.kind), "by you", "Created"} {
				if !strings.Contains(page, want) {
					t.Errorf("no %q on the token's page: %s", want, page)
				}
			}
			if page := text(b.page(t, in(proj))); !strings.Contains(page, "1 Active") || !strings.Contains(page, "Developer") || !strings.Contains(page, "“nightly export”") {
				t.Errorf("the list says: %s", page)
			}
			location, page = b.follow(t, one+"/rotate", url.Values{"expires": {"90"}, "overlap": {"3600"}})
			second := s.valueIn(page)
			if !s.works(t, first) || !s.works(t, second) {
				t.Error("one of the two does not work in the overlap")
			}
			next := strings.TrimSuffix(location, "/created")
			if page := b.page(t, next); !strings.Contains(page, one+`"`) || !strings.Contains(text(page), "Its rotations") {
				t.Errorf("the chain is missing: %s", text(page))
			}
			duplicate := b.page(t, next+"/duplicate")
			for _, want := range []string{`value="nightly export"`, `value="30" required checked`, `value="read_repository" checked`} {
				if !strings.Contains(duplicate, want) {
					t.Errorf("the copy lacks %s", want)
				}
			}
			if page := text(b.page(t, next+"/revoke")); !strings.Contains(page, "its bot is deleted") {
				t.Errorf("the form to revoke says: %s", page)
			}
			_, page = b.follow(t, next+"/revoke", url.Values{"reach": {"family"}})
			if !strings.Contains(text(page), "Revoked by you") || s.works(t, first) || s.works(t, second) {
				t.Errorf("after the revocation: %s", text(page))
			}
			if page := text(b.page(t, in(proj)+"?state=ended")); !strings.Contains(page, "2 Ended") || !strings.Contains(page, "Revoked by you") {
				t.Errorf("the ended tokens: %s", page)
			}
		})
	}
}
