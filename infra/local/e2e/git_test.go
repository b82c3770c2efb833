package e2e_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/account"
	"latchkey/pkg/project"
	"latchkey/pkg/store/storetest"
)

// A gitAsk is a request to a repository, as nginx describes it.
type gitAsk struct{ method, target string }

func (a gitAsk) by(tb testing.TB, w *localtest.World, bearer string) localtest.Reply {
	tb.Helper()
	headers := []string{"X-Original-Method", a.method, "X-Original-URI", a.target}
	if bearer != "" {
		request := http.Request{Header: http.Header{}}
		request.SetBasicAuth("whoever", bearer)
		headers = append(headers, "Authorization", request.Header.Get("Authorization"))
	}
	return asks(tb, w, "GET", "/auth/nginx/git", headers...)
}

const (
	refs = "/acme/web.git/info/refs?service="
	oid  = "/acme/web.git/info/lfs/objects/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var (
	pulling = []gitAsk{
		{"GET", refs + "git-upload-pack"}, {"POST", "/acme/web.git/git-upload-pack"}, {"GET", "/acme/web/info/refs?service=git-upload-pack"},
		{"GET", "/acme/web.git/info/lfs/locks?path=x"}, {"GET", oid},
	}
	pushing = []gitAsk{
		{"GET", refs + "git-receive-pack"}, {"POST", "/acme/web.git/git-receive-pack"}, {"POST", "/acme/web/git-receive-pack"},
		{"POST", "/acme/web.git/info/lfs/locks"}, {"POST", "/acme/web.git/info/lfs/locks/verify"}, {"POST", "/acme/web.git/info/lfs/locks/7/unlock"},
		{"PUT", oid}, {"POST", "/acme/web.git/info/lfs/verify"},
		{"POST", "/acme/web.git/info/lfs/objects/batch"}, // whose body nginx does not show
	}
)

// Breaks if somebody can pull or push who may not: by scope, level, project, or after a revocation.
func TestGitThroughAProxy(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	users := map[string]holder{}
	members := map[int64]project.Level{}
	for name, level := range map[string]project.Level{
		"guest": project.Guest, "reporter": project.Reporter, "developer": project.Developer, "maintainer": project.Maintainer, "stranger": project.NoLevel,
	} {
		users[name] = newAccount(t, w, name)
		if level > 0 {
			members[users[name].ID] = level
		}
	}
	withProject(t, w, members)
	storetest.PutProject(t, w.Engine, w.Table, project.Project{
		ID: 3, Kind: project.KindProject, Name: "Other", Path: "other", FullPath: "acme/other", Ancestors: []project.ID{1},
	})
	scoped := func(user string, scopes ...string) string {
		return newToken(t, w, users[user].ID, strings.Join(scopes, " "), "2026-09-01", scopes...).Token
	}
	bot := func(scope string) string {
		var made resourceToken
		decode(t, want(t, w, users["maintainer"].Bearer, "POST", "/api/v4/projects/acme%2Fweb/access_tokens",
			`{"name":"ci","scopes":["`+scope+`"],"access_level":30}`, http.StatusCreated), &made)
		return made.Token
	}
	for _, test := range []struct {
		name, bearer string
		pulls, pushs bool
	}{
		{"api", users["developer"].Bearer, true, true},
		{"read_api", scoped("developer", "read_api"), true, false},
		{"read_repository", scoped("developer", "read_repository"), true, false},
		{"write_repository", scoped("developer", "write_repository"), true, true},
		{"read_user", scoped("developer", "read_user"), false, false},
		{"registry scopes", scoped("developer", "read_registry", "write_registry"), false, false},
		{"introspect", scoped("developer", "introspect"), false, false},
		{"a guest", users["guest"].Bearer, false, false},
		{"a reporter", users["reporter"].Bearer, true, false},
		{"a stranger", users["stranger"].Bearer, false, false},
		{"an administrator", root.Bearer, true, true},
		{"the project's token, reading", bot("read_repository"), true, false},
		{"the project's token, writing", bot("write_repository"), true, true},
		{"nobody", "", false, false},
		{"an unknown token", "no-such-token", false, false},
	} {
		check := func(asked []gitAsk, allowed bool) {
			for _, ask := range asked {
				got := ask.by(t, w, test.bearer)
				if (got.Status == 200) != allowed || got.Status != 200 && got.Status != 401 && got.Status != 403 {
					t.Errorf("%s: %s %s is %d %s", test.name, ask.method, ask.target, got.Status, got.Body)
				}
				if basic := got.Header.Get("X-Amzn-Remapped-Www-Authenticate"); (got.Status == 401) != (basic == `Basic realm="Latchkey"`) {
					t.Errorf("%s: %s %s is %d with the challenge %q", test.name, ask.method, ask.target, got.Status, basic)
				}
			}
		}
		check(pulling, test.pulls)
		check(pushing, test.pushs)
	}
	t.Run("texts and statuses are GitLab's", func(t *testing.T) {
		project := bot("write_repository")
		for _, test := range []struct {
			name, bearer, target string
			status               int
			reason, text         string
		}{
			{"no token", "", refs + "git-upload-pack", 401, "token_missing", "HTTP Basic: Access denied\nYou must use a personal access token with 'read_repository' or 'write_repository' scope for Git over HTTP.\nYou can generate one at " + w.URL + "/-/user_settings/personal_access_tokens"},
			{"wrong scope, pull", scoped("developer", "read_user"), refs + "git-upload-pack", 403, "insufficient_scope", "You are not allowed to download code."},
			{"wrong scope, push", scoped("developer", "read_repository"), refs + "git-receive-pack", 403, "insufficient_scope", "You are not allowed to upload code."},
			{"wrong scope of no project", scoped("developer", "read_user"), "/acme/none.git/info/refs?service=git-upload-pack", 403, "insufficient_scope", "You are not allowed to download code."},
			{"no project", users["developer"].Bearer, "/acme/none.git/info/refs?service=git-upload-pack", 404, "not_found", "The project you were looking for could not be found or you don't have permission to view it."},
			{"no member", users["stranger"].Bearer, refs + "git-upload-pack", 404, "not_found", "The project you were looking for could not be found or you don't have permission to view it."},
			{"low level, pull", users["guest"].Bearer, refs + "git-upload-pack", 403, "forbidden", "You are not allowed to download code from this project."},
			{"low level, push", users["reporter"].Bearer, refs + "git-receive-pack", 403, "forbidden", "You are not allowed to upload code to this project."},
			{"a project's token elsewhere", project, "/acme/other.git/info/refs?service=git-upload-pack", 401, "not_found", ""},
			{"large files, a guest", users["guest"].Bearer, "/acme/web.git/info/lfs/locks", 404, "forbidden", `{"message":"Not found."}`},
			{"large files, a stranger", users["stranger"].Bearer, "/acme/web.git/info/lfs/locks", 404, "not_found", `{"message":"Not found."}`},
		} {
			got := asks(t, w, "GET", "/auth/caddy/git", "Private-Token", test.bearer, "X-Forwarded-Method", "GET", "X-Forwarded-Uri", test.target)
			if got.Status != test.status || got.Header.Get("X-Auth-Reason") != test.reason || test.text != "" && got.Body != test.text {
				t.Errorf("%s: %d %s %q", test.name, got.Status, got.Header.Get("X-Auth-Reason"), got.Body)
			}
		}
	})
	// Each is for a repository that the token opens, or nearly so.
	t.Run("what is no plain request of Git is refused", func(t *testing.T) {
		for _, ask := range []gitAsk{
			{"HEAD", refs + "git-upload-pack"}, {"POST", refs + "git-upload-pack"}, {"GET", "/acme/web.git/git-upload-pack"},
			{"GET", "/acme/web.git/info/refs"}, {"GET", "/acme/web.git/HEAD"}, {"GET", "/acme/web.git/objects/info/packs"}, {"GET", "/acme/web.git/config"},
			{"GET", refs + "git-upload-archive"}, {"POST", "/acme/web.git/git-upload-archive"}, {"GET", refs + "git-upload-pack&service=git-receive-pack"},
			{"GET", refs + "git-upload-pack;service=git-receive-pack"}, {"GET", refs + "git%2Dupload-pack"}, {"GET", "/acme/web.git/info/refs?%73ervice=git-upload-pack"},
			{"POST", "/acme/web.git/git-upload-pack?service=git-receive-pack"}, {"GET", "/acme/web.git//info/refs?service=git-upload-pack"},
			{"GET", "/acme/other/../web.git/info/refs?service=git-upload-pack"}, {"GET", "/acme%2Fweb.git/info/refs?service=git-upload-pack"},
			{"GET", "/acme/web%2Egit/info/refs?service=git-upload-pack"}, {"GET", "/acme/web.git/info/refs/?service=git-upload-pack"},
			{"GET", `/acme\web.git/info/refs?service=git-upload-pack`}, {"GET", "/acme/web.git;x/info/refs?service=git-upload-pack"},
			{"GET", "/acme/web.git.git/info/refs?service=git-upload-pack"}, {"GET", "/acme/web.GIT/info/refs?service=git-upload-pack"},
			{"GET", "/ACME/web.git/info/refs?service=git-upload-pack"}, {"GET", "/acme/WEB.git/info/refs?service=git-upload-pack"},
			{"GET", "/acme/web.git/x/info/refs?service=git-upload-pack"}, {"GET", "/acme.git/web/info/refs?service=git-upload-pack"}, {"GET", "/2.git/info/refs?service=git-upload-pack"},
			{"GET", "/2/info/refs?service=git-upload-pack"}, {"GET", "/acme/info/refs?service=git-upload-pack"}, {"GET", "/info/refs?service=git-upload-pack"},
			{"GET", "acme/web.git/info/refs?service=git-upload-pack"}, {"GET", ""}, {"get", refs + "git-upload-pack"}, {"", refs + "git-upload-pack"},
			{"GET", oid + "?x"}, {"POST", "/acme/web.git/info/lfs/locks/verify?x"}, {"POST", "/acme/web.git/info/lfs/objects/batch?operation=download"},
			{"DELETE", oid}, {"PUT", oid + "/../../locks"}, {"PUT", strings.ToUpper(oid)}, {"POST", "/acme/web.git/info/lfs/locks/7/8/unlock"}, {"GET", "/acme/web.git/info/lfs/objects/batch"},
			{"POST", "/acme/other.git/info/lfs/x/acme/web.git/git-receive-pack"}, {"POST", "/acme/web.git/info/lfs/info/lfs/locks"},
		} {
			if got := ask.by(t, w, users["developer"].Bearer); got.Status != 403 {
				t.Errorf("%s %s is %d %v %s", ask.method, ask.target, got.Status, got.Header["X-Auth-Reason"], got.Body)
			}
		}
	})
	t.Run("a batch of large files needs what its operation needs", func(t *testing.T) {
		reader := scoped("developer", "read_repository")
		for body, want := range map[string]int{
			`{"operation":"download","objects":[]}`:                      200,
			`{"operation":"upload","objects":[]}`:                        403,
			`{"operation":"download","operation":"upload","objects":[]}`: 400,
			`{"operation":"download"}{"operation":"upload"}`:             400,
			`{"operation":"download","Operation":"upload","objects":[]}`: 400,
			`{"operation":"other"}`:                                      400,
			`{"Operation":"download"}`:                                   400,
			``:                                                           403,
		} {
			request, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/auth/envoy/git/acme/web.git/info/lfs/objects/batch", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/vnd.git-lfs+json")
			request.SetBasicAuth("x", reader)
			if got := w.Send(t, request); got.Status != want {
				t.Errorf("%s: %d %s", body, got.Status, got.Body)
			}
			// Compressed, it may say something else.
			request.Body, request.Header["Content-Encoding"] = io.NopCloser(strings.NewReader(body)), []string{"gzip"}
			if got := w.Send(t, request); got.Status != 403 {
				t.Errorf("a compressed %s: %d %s", body, got.Status, got.Body)
			}
			request.Header.Del("Content-Encoding")
			request.Body, request.Header["X-Envoy-Auth-Partial-Body"] = io.NopCloser(strings.NewReader(body)), []string{"true"}
			if got := w.Send(t, request); got.Status != 403 {
				t.Errorf("a part of %s: %d %s", body, got.Status, got.Body)
			}
		}
	})
	t.Run("a repository in a namespace has one spelling", func(t *testing.T) {
		storetest.PutProject(t, w.Engine, w.Table, project.Project{
			ID: 4, Kind: project.KindProject, Name: "Toy", Path: "toy", Owner: account.ID(users["developer"].ID),
		})
		for target, status := range map[string]int{"/developer/toy.git": 200, "/developer/Toy.git": 403, "/developer/TOY": 403} {
			if got := (gitAsk{"GET", target + "/info/refs?service=git-upload-pack"}).by(t, w, root.Bearer); got.Status != status {
				t.Errorf("%s: %d %v %s", target, got.Status, got.Header["X-Auth-Reason"], got.Body)
			}
		}
	})
	t.Run("a revoked token is refused at once", func(t *testing.T) {
		bearer := scoped("developer", "api")
		if got := pulling[0].by(t, w, bearer); got.Status != 200 {
			t.Fatalf("before: %d", got.Status)
		}
		want(t, w, bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
		for _, ask := range append(pulling, pushing...) {
			if got := ask.by(t, w, bearer); got.Status != 401 {
				t.Errorf("%s %s is %d", ask.method, ask.target, got.Status)
			}
		}
	})
}

// Breaks if an operator's scope opens more repositories than its rule says, or a rule for an API opens any.
func TestGitByTheOperatorsScopes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "scopes.json")
	rules := `{"scopes":[{"name":"deploy"},{"name":"elsewhere"},{"name":"orders"}],"rules":[
		{"methods":["POST"],"path":"/acme/web.git/git-receive-pack","scopes":["deploy"]},
		{"methods":["POST"],"path":"/other/*/git-receive-pack","scopes":["elsewhere"]}, {"path":"*","scopes":["orders"]}]}`
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"ScopesFile": file}})
	developer, guest := newAccount(t, w, "developer", "deploy"), newAccount(t, w, "guest", "deploy")
	withProject(t, w, map[int64]project.Level{developer.ID: project.Developer, guest.ID: project.Guest})
	for name, test := range map[string]struct {
		bearer      string
		pull, pushs int
	}{
		"the rule's scope":                   {developer.Bearer, 403, 200},
		"the rule's scope, with a low level": {guest.Bearer, 403, 403},
		"a scope for other repositories":     {newToken(t, w, developer.ID, "x", "2026-09-01", "elsewhere").Token, 403, 403},
		"a scope for an API":                 {newToken(t, w, developer.ID, "x", "2026-09-01", "orders").Token, 403, 403},
		"GitLab's scope":                     {newToken(t, w, developer.ID, "x", "2026-09-01", "read_repository").Token, 200, 403},
	} {
		if got := pulling[0].by(t, w, test.bearer); got.Status != test.pull {
			t.Errorf("%s pulls: %d %s", name, got.Status, got.Body)
		}
		for _, ask := range pushing {
			if got := ask.by(t, w, test.bearer); got.Status != test.pushs {
				t.Errorf("%s: %s %s is %d %s", name, ask.method, ask.target, got.Status, got.Body)
			}
		}
	}
}
