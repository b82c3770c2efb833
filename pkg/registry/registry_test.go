package registry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/registry"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

var (
	digest = "sha256:" + strings.Repeat("0a", 32)
	now    = time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC)
)

// Breaks if a request does more than the rules looked at.
func TestWhatRequestsWant(t *testing.T) {
	const upload = "/v2/acme/web/blobs/uploads/"
	for _, test := range []struct {
		name, method, path, query string
		want                      string // names of the accesses, or the start of an error
	}{
		{"ping", "GET", "/v2/", "", ""},
		{"ping without the slash", "HEAD", "/v2", "", ""},
		{"ping that writes", "POST", "/v2/", "", "error"},
		{"catalog", "GET", "/v2/_catalog", "n=100", "registry:catalog:*"},
		{"manifest by tag", "GET", "/v2/acme/web/manifests/v1.2_x", "", "repository:acme/web:pull"},
		{"manifest by digest", "HEAD", "/v2/acme/web/manifests/" + digest, "", "repository:acme/web:pull"},
		{"put a manifest", "PUT", "/v2/acme/web/manifests/latest", "", "repository:acme/web:pull,push"},
		{"delete a manifest", "DELETE", "/v2/acme/web/manifests/" + digest, "", "repository:acme/web:delete"},
		{"post a manifest", "POST", "/v2/acme/web/manifests/latest", "", "error"},
		{"blob", "GET", "/v2/acme/web/blobs/" + digest, "", "repository:acme/web:pull"},
		{"delete a blob", "DELETE", "/v2/acme/web/blobs/" + digest, "", "repository:acme/web:delete"},
		{"start an upload", "POST", upload, "", "repository:acme/web:pull,push"},
		{"upload at once", "POST", upload, "digest=" + digest, "repository:acme/web:pull,push"},
		{"part of an upload", "PATCH", upload + "4a-B_=.c", "_state=x", "repository:acme/web:pull,push"},
		{"end an upload", "PUT", upload + "4a", "digest=" + digest, "repository:acme/web:pull,push"},
		{"state of an upload", "GET", upload + "4a", "", "repository:acme/web:pull"},
		{"cancel an upload", "DELETE", upload + "4a", "", "repository:acme/web:delete"},
		{"tags", "GET", "/v2/acme/web/tags/list", "n=1&last=a", "repository:acme/web:pull"},
		{"referrers", "GET", "/v2/acme/web/referrers/" + digest, "", "repository:acme/web:pull"},
		{"mount", "POST", upload, "mount=" + digest + "&from=acme%2Fsecret/x", "repository:acme/web:pull,push repository:acme/secret/x:pull"},
		{"from without a mount", "POST", upload, "from=acme/secret", "repository:acme/web:pull,push repository:acme/secret:pull"},
		{"mount without from, which may search everywhere", "POST", upload, "mount=" + digest, "error"},
		{"from twice", "POST", upload, "mount=" + digest + "&from=acme/web&from=acme/secret", "error"},
		{"mount twice", "POST", upload, "mount=a&mount=b&from=acme/web", "error"},
		{"query with a semicolon", "POST", upload, "mount=a;from=acme/secret", "error"},
		{"query with a broken escape", "POST", upload, "from=%zz", "error"},
		{"from that is no name", "POST", upload, "mount=a&from=../acme/secret", "error"},
		{"from in capitals", "POST", upload, "mount=a&from=acme/Secret", "error"},

		{"a name of one part", "GET", "/v2/web/tags/list", "", "repository:web:pull"},
		{"no name", "GET", "/v2/tags/list", "", "error"},
		{"an empty part of a name", "GET", "/v2/acme//web/tags/list", "", "error"},
		{"a name that ends with a slash", "GET", "/v2/acme/web//tags/list", "", "error"},
		{"a name in capitals", "GET", "/v2/acme/Web/tags/list", "", "error"},
		{"a dot segment", "GET", "/v2/acme/web/../secret/tags/list", "", "error"},
		{"an escaped slash", "GET", "/v2/acme%2Fsecret/tags/list", "", "error"},
		{"an escaped letter", "GET", "/v2/acme/%77eb/tags/list", "", "error"},
		{"a line break", "GET", "/v2/acme/web/tags/list\n", "", "error"},
		{"a trailing slash", "GET", "/v2/acme/web/tags/list/", "", "error"},
		{"a parameter of a segment", "GET", "/v2/acme/web;a=b/tags/list", "", "error"},
		{"a name that is too long", "GET", "/v2/acme/" + strings.Repeat("a", 251) + "/tags/list", "", "error"},
		{"the longest name", "GET", "/v2/acme/" + strings.Repeat("a", 250) + "/tags/list", "", "repository:acme/" + strings.Repeat("a", 250) + ":pull"},
		{"a name like a path, the last part counts", "GET", "/v2/acme/web/blobs/uploads/tags/list", "", "repository:acme/web/blobs/uploads:pull"},
		{"a manifest of a name like a path", "PUT", "/v2/acme/web/manifests/a/manifests/b", "", "repository:acme/web/manifests/a:pull,push"},
		{"an upload called dot dot", "PATCH", upload + "..", "", "error"},
		{"uploads without the slash", "POST", "/v2/acme/web/blobs/uploads", "", "error"},
		{"a tag that starts with a dot", "GET", "/v2/acme/web/manifests/.a", "", "error"},
		{"an old version", "GET", "/v1/acme/web/tags/list", "", "error"},
		{"an extension", "GET", "/v2/acme/web/_trust/tuf/root.json", "", "error"},
		{"another method", "OPTIONS", "/v2/acme/web/tags/list", "", "error"},
		{"a method in small letters", "get", "/v2/acme/web/tags/list", "", "error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wanted, err := registry.Request{Method: test.method, Path: test.path, Query: test.query, ContentTypes: []string{"application/json"}}.Wanted()
			got := strings.Join(registry.Names(wanted), " ")
			if err != nil {
				got = "error"
				if !errors.Is(err, registry.ErrRequest) || len(wanted) > 0 {
					t.Errorf("the refusal is %v with %v", err, wanted)
				}
			}
			if got != test.want {
				t.Errorf("wants %q (%v), want %q", got, err, test.want)
			}
		})
	}
}

// Breaks if somebody who may push to one repository can copy from any other: a registry takes `from` out
// of a form, too.
func TestFormsAreRefusedAtUploads(t *testing.T) {
	for contentTypes, refused := range map[string]bool{
		"": false, "application/octet-stream": false, "application/json": false,
		"application/x-www-form-urlencoded": true, "Application/X-WWW-Form-URLencoded; charset=utf-8": true,
		"multipart/form-data; boundary=x": true, "multipart/mixed": true, "text/plain|application/x-www-form-urlencoded": true,
	} {
		request := registry.Request{Method: "POST", Path: "/v2/acme/web/blobs/uploads/", ContentTypes: strings.Split(contentTypes, "|")}
		if _, err := request.Wanted(); errors.Is(err, registry.ErrRequest) != refused {
			t.Errorf("%q: %v", contentTypes, err)
		}
	}
}

// Breaks if nobody notices a proxy that keeps the Content-Type back, and with it the forms above.
func TestManifestsNeedATypeOfContent(t *testing.T) {
	for method, refused := range map[string]bool{"PUT": true, "GET": false, "DELETE": false} {
		_, err := registry.Request{Method: method, Path: "/v2/acme/web/manifests/latest"}.Wanted()
		if errors.Is(err, registry.ErrRequest) != refused {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestParseScope(t *testing.T) {
	for text, want := range map[string]string{
		"repository:acme/web:pull":           "repository:acme/web:pull",
		"repository:acme/web:pull,push,pull": "repository:acme/web:pull,push",
		"repository:acme/web:*":              "repository:acme/web:*",
		"repository:acme/web:pull,rewrite":   "repository:acme/web:pull",
		"registry:catalog:*":                 "registry:catalog:*",
		"repository:acme/web:":               "", "repository:acme/web": "", "repository": "", "": "", "::": "",
		"repository::pull": "", "repository:Acme/web:pull": "", "repository:acme/web:PULL": "", "repository:host:5000/web:pull": "",
		"registry:other:*": "", "repository(plugin):acme/web:pull": "", "Repository:acme/web:pull": "", "repository:acme/web/:pull": "",
	} {
		wanted, ok := registry.ParseScope(text)
		if got := strings.Join(registry.Names([]registry.Access{wanted}), ""); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %t", text, got, ok)
		}
	}
}

func TestMerge(t *testing.T) {
	var wanted []registry.Access
	for _, text := range []string{"repository:acme/web:pull", "repository:acme/api:pull", "repository:acme/web:push,pull"} {
		access, _ := registry.ParseScope(text)
		wanted = append(wanted, access)
	}
	if got := strings.Join(registry.Names(registry.Merge(wanted)), " "); got != "repository:acme/web:pull,push repository:acme/api:pull" {
		t.Error(got)
	}
}

// projects is a group acme with the projects web and secret, a group acme/sub with a project api, and a
// project of somebody's namespace, robin/toy.
type projects struct {
	levels map[string]project.Level // of everybody, by full path
	err    error
	asked  *int
	// catalog is GitLab's unless a test sets it.
	catalog *scope.Catalog
}

var known = map[string]project.Project{
	"acme":         {ID: 1, Kind: project.KindGroup},
	"acme/web":     {ID: 2, Kind: project.KindProject, Ancestors: []project.ID{1}},
	"acme/secret":  {ID: 3, Kind: project.KindProject, Ancestors: []project.ID{1}},
	"acme/sub":     {ID: 4, Kind: project.KindGroup, Ancestors: []project.ID{1}},
	"acme/sub/api": {ID: 5, Kind: project.KindProject, Ancestors: []project.ID{1, 4}},
	"robin/toy":    {ID: 6, Kind: project.KindProject},
}

func (p projects) ProjectByPath(_ context.Context, path string) (project.Project, error) {
	*p.asked++
	if p.err != nil {
		return project.Project{}, p.err
	}
	proj, found := known[path]
	if !found {
		return project.Project{}, fault.ErrNotFound
	}
	proj.FullPath = path
	return proj, nil
}

func (p projects) Project(context.Context, project.ID) (project.Project, error) {
	return project.Project{}, errors.New("not asked for")
}

func (p projects) Standing(_ context.Context, proj project.Project, acct account.ID) (project.Standing, error) {
	return project.Standing{Direct: project.Member{Project: proj.ID, Account: acct, Level: p.levels[proj.FullPath]}}, p.err
}

func judge(t *testing.T, p projects) *registry.Judge {
	t.Helper()
	if p.asked == nil {
		p.asked = new(int)
	}
	catalog := p.catalog
	if catalog == nil {
		catalog = scope.GitLab()
	}
	j, err := registry.NewJudge(registry.Parts{Projects: p, Scopes: catalog})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Breaks if a scope, a level or the project of a token opens more images than it should, or if the two
// doors to a registry decide differently.
func TestWhatTokensMayDo(t *testing.T) {
	const everything = "repository:acme/web:pull,push,delete,*"
	person := func(scopes ...scope.Scope) principal.Principal {
		return principal.Principal{Account: account.Account{ID: 58}, Scopes: scopes}
	}
	admin := func(scopes ...scope.Scope) principal.Principal {
		by := person(scopes...)
		by.Account.Admin = true
		return by
	}
	of := func(kind token.Kind, id project.ID) principal.Principal {
		by := person(scope.API)
		by.Token = token.Token{Kind: kind, Project: id}
		return by
	}
	for _, test := range []struct {
		name   string
		by     principal.Principal
		level  project.Level
		wanted string
		held   string
		err    error // of the check of everything wanted
	}{
		{"api", person(scope.API), project.Maintainer, everything, everything, nil},
		{"read_api", person(scope.ReadAPI), project.Maintainer, everything, "repository:acme/web:pull", scope.ErrInsufficient},
		{"read_registry", person(scope.ReadRegistry), project.Maintainer, everything, "repository:acme/web:pull", scope.ErrInsufficient},
		{"write_registry opens no pull", person(scope.WriteRegistry), project.Maintainer, everything, "repository:acme/web:push", scope.ErrInsufficient},
		{"both", person(scope.ReadRegistry, scope.WriteRegistry), project.Developer, "repository:acme/web:pull,push", "repository:acme/web:pull,push", nil},
		{"read_user", person(scope.ReadUser), project.Owner, everything, "", scope.ErrInsufficient},
		{"sudo", admin(scope.Sudo), project.Owner, everything, "", scope.ErrInsufficient},
		{"read_repository is for code", person("read_repository", "write_repository"), project.Owner, everything, "", scope.ErrInsufficient},
		{"no scope at all", person(), project.Owner, everything, "", scope.ErrInsufficient},
		{"no member", person(scope.API), project.NoLevel, everything, "", project.ErrNoProject},
		{"guest", person(scope.API), project.Guest, everything, "", registry.ErrLevel},
		{"planner", person(scope.API), project.Planner, everything, "", registry.ErrLevel},
		{"reporter", person(scope.API), project.Reporter, everything, "repository:acme/web:pull", registry.ErrLevel},
		{"developer", person(scope.API), project.Developer, everything, "repository:acme/web:pull,push", registry.ErrLevel},
		{"an administrator is a member everywhere", admin(scope.API), project.NoLevel, everything, everything, nil},
		{"an administrator's scope", admin(scope.ReadRegistry), project.NoLevel, everything, "repository:acme/web:pull", scope.ErrInsufficient},
		{"a repository below the project", person(scope.API), project.Reporter, "repository:acme/web/api/debug:pull", "repository:acme/web/api/debug:pull", nil},
		{"a project in a nested group", person(scope.API), project.Reporter, "repository:acme/sub/api/x:pull", "repository:acme/sub/api/x:pull", nil},
		{"a project in a namespace", person(scope.API), project.Reporter, "repository:robin/toy:pull", "repository:robin/toy:pull", nil},
		{"a group is no project", admin(scope.API), project.Owner, "repository:acme/sub:pull", "", project.ErrNoProject},
		{"a name without a project", admin(scope.API), project.Owner, "repository:acme:pull", "", project.ErrNoProject},
		{"a project that does not exist", person(scope.API), project.Owner, "repository:acme/none:pull", "", project.ErrNoProject},
		{"a project with a similar name", person(scope.API), project.Owner, "repository:acme/web-2:pull", "", project.ErrNoProject},
		{"the project's token", of(token.Project, 2), project.Maintainer, everything, everything, nil},
		{"another project's token", of(token.Project, 3), project.Maintainer, everything, "", project.ErrNoProject},
		{"a token of the group above", of(token.Group, 1), project.Maintainer, everything, everything, nil},
		{"a token of another group", of(token.Group, 4), project.Maintainer, everything, "", project.ErrNoProject},
		{"the catalog", person(scope.API), project.Owner, "registry:catalog:*", "", fault.ErrForbidden},
		{"the catalog for an administrator", admin(scope.API), project.NoLevel, "registry:catalog:*", "registry:catalog:*", nil},
		{"the catalog with less than api", admin(scope.ReadAPI, scope.ReadRegistry), project.NoLevel, "registry:catalog:*", "", scope.ErrInsufficient},
		{"another action on the catalog", admin(scope.API), project.NoLevel, "registry:catalog:pull", "", fault.ErrForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			wanted, ok := registry.ParseScope(test.wanted)
			if !ok {
				t.Fatalf("%q is no scope", test.wanted)
			}
			levels := map[string]project.Level{}
			for path := range known {
				levels[path] = test.level
			}
			j := judge(t, projects{levels: levels})
			held, err := j.Cut(t.Context(), test.by, []registry.Access{wanted}, now)
			if got := strings.Join(registry.Names(held), " "); got != test.held || err != nil {
				t.Errorf("Cut() = %q, %v, want %q", got, err, test.held)
			}
			if err := j.Check(t.Context(), test.by, []registry.Access{wanted}, now); !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("Check() = %v, want %v", err, test.err)
			}
		})
	}
}

// Breaks if a mount copies out of a repository that its client may not read.
func TestMountsAreJudgedForBothRepositories(t *testing.T) {
	wanted, err := registry.Request{Method: "POST", Path: "/v2/acme/web/blobs/uploads/", Query: "mount=" + digest + "&from=acme/secret"}.Wanted()
	if err != nil {
		t.Fatal(err)
	}
	by := principal.Principal{Account: account.Account{ID: 58}, Scopes: scope.Set{scope.ReadRegistry, scope.WriteRegistry}}
	for _, test := range []struct {
		secret project.Level
		want   error
	}{{project.NoLevel, project.ErrNoProject}, {project.Guest, registry.ErrLevel}, {project.Reporter, nil}} {
		j := judge(t, projects{levels: map[string]project.Level{"acme/web": project.Developer, "acme/secret": test.secret}})
		if err := j.Check(t.Context(), by, wanted, now); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("level %d in the other project: %v", test.secret, err)
		}
	}
}

// Breaks if a failing table opens a repository, or cuts a token down as if it had been decided.
func TestUndecided(t *testing.T) {
	j := judge(t, projects{err: fault.ErrUnavailable})
	by := principal.Principal{Account: account.Account{ID: 58, Admin: true}, Scopes: scope.Set{scope.API}}
	wanted, _ := registry.ParseScope("repository:acme/web:pull")
	held, err := j.Cut(t.Context(), by, []registry.Access{wanted}, now)
	if !errors.Is(err, fault.ErrUnavailable) || held != nil {
		t.Errorf("Cut() = %v, %v", held, err)
	}
	if err := j.Check(t.Context(), by, []registry.Access{wanted}, now); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("Check() = %v", err)
	}
}

// Breaks if a long name makes the function read the table for each of its parts, or if a token without
// the scope makes it read at all.
func TestLookUps(t *testing.T) {
	asked := 0
	j := judge(t, projects{asked: &asked})
	long, _ := registry.ParseScope("repository:acme/none" + strings.Repeat("/a", 100) + ":pull,push,delete")
	by := principal.Principal{Account: account.Account{ID: 58}, Scopes: scope.Set{scope.API}}
	if _, err := j.Cut(t.Context(), by, []registry.Access{long}, now); err != nil || asked != 1 {
		t.Errorf("%d look-ups, %v", asked, err)
	}
	by.Scopes, asked = scope.Set{scope.ReadUser}, 0
	if _, err := j.Cut(t.Context(), by, []registry.Access{long}, now); err != nil || asked != 0 {
		t.Errorf("%d look-ups without the scope, %v", asked, err)
	}
}

func TestEnter(t *testing.T) {
	for _, s := range scope.GitLab().Scopes {
		by := principal.Principal{Scopes: scope.Set{s.Name}}
		j := judge(t, projects{})
		err := j.Enter(by)
		if again := j.Check(t.Context(), by, nil, now); !errors.Is(again, err) || (again == nil) != (err == nil) {
			t.Errorf("%s enters with %v, and with a request for nothing with %v", s.Name, err, again)
		}
		if opens := slices.Contains([]scope.Scope{scope.API, scope.ReadAPI, scope.ReadRegistry, scope.WriteRegistry}, s.Name); opens != (err == nil) {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

// Breaks if the operator's own scopes open more or less at one door than their rules say, or if a rule that
// was written for another server opens images.
func TestRulesOfTheOperator(t *testing.T) {
	own, err := scope.Load(strings.NewReader(`{
		"scopes": [{"name": "images:read"}, {"name": "images:write"}, {"name": "images:clean"}, {"name": "orders"}, {"name": "tags"}],
		"rules": [
			{"methods": ["GET", "HEAD"], "path": "/v2/acme/*", "scopes": ["images:read", "images:write"]},
			{"methods": ["POST", "PATCH", "PUT"], "path": "/v2/acme/web/*", "scopes": ["images:write"]},
			{"methods": ["DELETE"], "path": "/v2/acme/web/*", "scopes": ["images:clean"]},
			{"methods": ["GET"], "path": "/v2/*/manifests/*", "scopes": ["tags"]},
			{"path": "*", "scopes": ["orders"]}
		]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	levels := map[string]project.Level{}
	for path := range known {
		levels[path] = project.Maintainer
	}
	j := judge(t, projects{levels: levels, catalog: scope.GitLab().With(own)})
	for scopes, want := range map[string]string{
		"images:read":              "repository:acme/web:pull repository:acme/secret:pull",
		"images:write":             "repository:acme/web:pull,push repository:acme/secret:pull",
		"images:clean":             "repository:acme/web:delete",
		"images:read images:clean": "repository:acme/web:pull,delete repository:acme/secret:pull",
		"tags":                     "", // of layers, it opens none
		"orders":                   "", // for another server
		"orders read_registry":     "repository:acme/web:pull repository:acme/secret:pull",
	} {
		by := principal.Principal{Account: account.Account{ID: 58}}
		for _, name := range strings.Fields(scopes) {
			by.Scopes = append(by.Scopes, scope.Scope(name))
		}
		var wanted []registry.Access
		for _, text := range []string{"repository:acme/web:pull,push,delete,*", "repository:acme/secret:pull,push,delete,*", "registry:catalog:*"} {
			access, _ := registry.ParseScope(text)
			wanted = append(wanted, access)
		}
		held, err := j.Cut(t.Context(), by, wanted, now)
		if got := strings.Join(registry.Names(held), " "); err != nil || got != want {
			t.Errorf("%s opens %q (%v), want %q", scopes, got, err, want)
		}
		if err := j.Enter(by); (err == nil) != (scopes != "orders") {
			t.Errorf("%s enters: %v", scopes, err)
		}
	}
}

func FuzzWanted(f *testing.F) {
	f.Add("GET", "/v2/acme/web/manifests/latest", "")
	f.Add("POST", "/v2/acme/web/blobs/uploads/", "mount=a&from=acme/secret")
	f.Add("PUT", "/v2/a/manifests/b/manifests/c", "")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		wanted, err := registry.Request{Method: method, Path: path, Query: query}.Wanted()
		if err != nil {
			return
		}
		for _, access := range wanted {
			// What is asked at one door is spelt at the other, and means the same there.
			text := registry.Names([]registry.Access{access})[0]
			again, ok := registry.ParseScope(text)
			if !ok || registry.Names([]registry.Access{again})[0] != text {
				t.Errorf("%s %s wants %s, which is no scope", method, path, text)
			}
			if access.Type == registry.Repository && !strings.Contains(path+"?"+query, access.Name) && !strings.Contains(query, "%") {
				t.Errorf("%s is not in %s?%s", access.Name, path, query)
			}
		}
	})
}
