package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/infra/local"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/project"
	"latchkey/pkg/store/storetest"
)

// jwtOf asks the token endpoint for a JWT, and returns what it opens, or the status of the refusal.
func jwtOf(tb testing.TB, w *localtest.World, bearer string, scopes ...string) string {
	tb.Helper()
	query := url.Values{"service": {local.RegistryService}, "account": {"anybody"}, "scope": scopes}
	got := asks(tb, w, "GET", "/jwt/auth?"+query.Encode(), "Authorization", basic(bearer))
	var reply struct{ Token string }
	decode(tb, got.Body, &reply)
	if got.Status != http.StatusOK || reply.Token == "" {
		return http.StatusText(got.Status)
	}
	w.Logs.Secret(reply.Token)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(reply.Token, ".")[1])
	if err != nil {
		tb.Fatal(err)
	}
	var claims struct {
		Access []struct {
			Name    string
			Actions []string
		}
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		tb.Fatal(err)
	}
	var opens []string
	for _, access := range claims.Access {
		opens = append(opens, access.Name+":"+strings.Join(access.Actions, ","))
	}
	return strings.Join(opens, " ")
}

// Breaks if the two doors to a registry decide differently, or if either lets a token in that was revoked.
func TestBothDoorsToARegistry(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	puller, pusher := newAccount(t, w, "puller", "read_registry"), newAccount(t, w, "pusher", "read_registry", "write_registry")
	withProject(t, w, map[int64]project.Level{puller.ID: project.Reporter, pusher.ID: project.Developer})
	storetest.PutProject(t, w.Engine, w.Table, project.Project{
		ID: 3, Kind: project.KindProject, Name: "Other", Path: "other", FullPath: "acme/other", Ancestors: []project.ID{1},
	})
	ofProject := func(project string) string {
		var made personalToken
		decode(t, want(t, w, root.Bearer, "POST", "/api/v4/projects/acme%2F"+project+"/access_tokens",
			`{"name":"ci","scopes":["read_registry","write_registry"],"expires_at":"2026-09-01","access_level":30}`, http.StatusCreated), &made)
		return made.Token
	}
	own, others := ofProject("web"), ofProject("other")
	const manifest, upload = "/v2/acme/web/api/manifests/latest", "/v2/acme/web/api/blobs/uploads/"
	passes := func(bearer, method, target string) int {
		got := asks(t, w, "GET", "/auth/nginx/registry", "Authorization", basic(bearer), "X-Original-Method", method, "X-Original-URI", target,
			"Content-Type", "application/vnd.oci.image.manifest.v1+json")
		return got.Status
	}
	for _, test := range []struct {
		name, bearer          string
		login, pull, push     int
		opens, opensElsewhere string
		mount                 int // from acme/other
	}{
		{"read_registry", puller.Bearer, 200, 200, 403, "acme/web/api:pull", "", 403},
		{"both scopes", pusher.Bearer, 200, 200, 200, "acme/web/api:pull,push", "", 403},
		{"the project's token", own, 200, 200, 200, "acme/web/api:pull,push", "", 403},
		{"another project's token", others, 200, 403, 403, "", "acme/other:pull", 403},
		{"the administrator", root.Bearer, 200, 200, 200, "acme/web/api:pull,push", "acme/other:pull", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			for target, status := range map[string]int{"GET /v2/": test.login, "GET " + manifest: test.pull, "PUT " + manifest: test.push, "POST " + upload: test.push,
				"POST " + upload + "?from=acme/other&mount=sha256:" + strings.Repeat("0a", 32): test.mount} {
				method, path, _ := strings.Cut(target, " ")
				if got := passes(test.bearer, method, path); got != status {
					t.Errorf("%s: %d, want %d", target, got, status)
				}
			}
			if got := jwtOf(t, w, test.bearer, "repository:acme/web/api:pull,push"); got != test.opens {
				t.Errorf("the JWT opens %q, want %q", got, test.opens)
			}
			if got := jwtOf(t, w, test.bearer, "repository:acme/other:pull"); got != test.opensElsewhere {
				t.Errorf("the JWT opens %q elsewhere, want %q", got, test.opensElsewhere)
			}
		})
	}
	// What a proxy cannot show decides: a form may name a mount, and a manifest without a type tells that the proxy
	// keeps types back.
	for what, test := range map[string]struct {
		method, target, contentType string
		status                      int
	}{
		"an upload":              {"POST", upload, "application/octet-stream", 200},
		"an upload without one":  {"POST", upload, "", 200},
		"an upload with a form":  {"POST", upload, "application/x-www-form-urlencoded", 403},
		"a manifest":             {"PUT", manifest, "application/vnd.oci.image.manifest.v1+json", 200},
		"a manifest without one": {"PUT", manifest, "", 403},
		"an upload with files":   {"POST", upload, "Multipart/Form-Data; boundary=x", 403},
	} {
		headers := []string{"Authorization", basic(pusher.Bearer), "X-Original-Method", test.method, "X-Original-URI", test.target}
		if test.contentType != "" {
			headers = append(headers, "Content-Type", test.contentType)
		}
		if got := asks(t, w, "GET", "/auth/nginx/registry", headers...); got.Status != test.status {
			t.Errorf("%s: %d %v", what, got.Status, got.Header["X-Auth-Reason"])
		}
	}
	if used := tokensOf(t, w, puller.ID)[0].LastUsedAt; used == "" {
		t.Error("no use is recorded")
	}
	want(t, w, pusher.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
	if got := passes(pusher.Bearer, "GET", manifest); got != 401 {
		t.Errorf("revoked, by forward-auth: %d", got)
	}
	if got := jwtOf(t, w, pusher.Bearer, "repository:acme/web:pull"); got != "Unauthorized" {
		t.Errorf("revoked, at the token endpoint: %q", got)
	}
}
