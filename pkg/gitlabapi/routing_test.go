package gitlabapi_test

import (
	"net/http"
	"strings"
	"testing"
)

// withoutBody sends a request with the path exactly as written through both
// doors and wants the same reply from them.
func throughBoth(t *testing.T, w *world, r request) response {
	t.Helper()
	got := throughHTTP(t, w, r)
	if other := throughLambda(t, w, r); other.String() != got.String() {
		t.Errorf("%s %s: through http %s\nthrough lambda %s", r.method, r.target, got, other)
	}
	if got.status >= 300 && got.status < 400 {
		t.Errorf("%s %s: redirected: %s", r.method, r.target, got)
	}
	return got
}

// Every spelling of a path is either the one route or none, and is never
// answered by sending the client elsewhere.
func TestSpellingsOfPaths(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		target string
		want   int
	}{
		{"/api/v4/personal_access_tokens/self", 200},
		{"/api/v4/personal_access_tokens/self/", 200},
		{"/api/v4//personal_access_tokens///self//", 200},
		{"//api/v4/personal_access_tokens/self", 200},
		{"/api/v4/personal_access_tokens/self?", 200},
		{"/api/v4/personal_access_tokens/%73elf", 200},
		{"/api/v4/personal%5Faccess%5ftokens/self", 200},
		{"/api/v4/personal_access_tokens/" + ownerToken, 200},
		{"/api/v4/personal_access_tokens/%38388609", 200},
		{"/api/v4/personal_access_tokens", 200},
		{"/api/v4/personal_access_tokens/", 200},
		{"/api/v4/personal_access_tokens/Self", 401}, // an id that cannot be
		{"/api/v4/personal_access_tokens/self%2F", 401},
		{"/api/v4/personal_access_tokens/%2Fself", 401},
		{"/api/v4/personal_access_tokens/0" + ownerToken, 401},
		{"/api/v4/personal_access_tokens/+" + ownerToken, 401},
		{"/api/v4/personal_access_tokens/%20" + ownerToken, 401},
		{"/api/v4/personal_access_tokens/" + ownerToken + "%00", 401},
		{"/api/v4/personal_access_tokens/99999999999999999999", 401},
		{"/api/v4/personal_access_tokens/acme%2Fweb", 401},
		{"/api/v4/personal_access_tokens/%252e", 401},
		{"/api/v4/personal_access_tokens/...", 401},
		{"/API/v4/personal_access_tokens/self", 404},
		{"/api/v4/Personal_access_tokens/self", 404},
		{"/api/v4%2Fpersonal_access_tokens%2Fself", 404},
		{"/api/v4/personal_access_tokens%2Fself", 404},
		{"/api/v4/personal_access_tokens/./self", 404},
		{"/api/v4/personal_access_tokens/%2e/self", 404},
		{"/api/v4/personal_access_tokens/%2E", 404},
		{"/api/v4/personal_access_tokens/..", 404},
		{"/api/v4/x/../personal_access_tokens/self", 404},
		{"/api/v4/x/%2e%2E/personal_access_tokens/self", 404},
		{"/api/v4/x/.%2e/personal_access_tokens/self", 404},
		{"/../api/v4/personal_access_tokens/self", 404},
		{"/api/v4/personal_access_tokens/self/x", 404},
		{"/api/v4/personal_access_tokens/self;x=1", 401},
		{"/api/v4", 404},
		{"/api", 404},
		{"/", 404},
		{"//", 404},
		{"/personal_access_tokens/self", 404},
		{"/prod/api/v4/personal_access_tokens/self", 200}, // a stage or the base path of a custom domain
		{"/keys//v1/api/v4/personal_access_tokens/self/", 200},
		{"/auth/envoy/api/v4/personal_access_tokens/self", 404},
		{"/-/api/v4/personal_access_tokens/self", 404},
		{"/keys/../api/v4/personal_access_tokens/self", 404},
		{"/keys/%2E/api/v4/personal_access_tokens/self", 404},
		{"/keys%2Fapi/v4/personal_access_tokens/self", 404},
		{"/keysapi/v4/personal_access_tokens/self", 404},
	} {
		t.Run(c.target, func(t *testing.T) {
			got := throughBoth(t, w, request{function: "tokens", method: "GET", target: c.target, bearer: "owner"})
			if got.status != c.want {
				t.Errorf("%s, want %d", got, c.want)
			}
			if c.want == 404 && got.field(t, "error") != "404 Not Found" {
				t.Errorf("%s", got)
			}
		})
	}
}

// The function that takes all other paths tells a wrong method from a path
// that is nowhere, and never asks for a credential first.
func TestFallback(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, target string
		want           int
		allow          string
	}{
		{"GET", "/api/v4/nothing", 404, ""},
		{"POST", "/api/v4/nothing", 404, ""},
		{"PUT", "/api/v4/personal_access_tokens/self", 405, "DELETE, GET, HEAD"},
		{"PATCH", "/api/v4/personal_access_tokens/5", 405, "DELETE, GET, HEAD"},
		{"OPTIONS", "/api/v4/personal_access_tokens", 405, "GET, HEAD"},
		{"POST", "/api/v4/personal_access_tokens", 405, "GET, HEAD"},
		{"GET", "/api/v4/personal_access_tokens/5/rotate", 405, "POST"},
		{"DELETE", "/api/v4//user/personal_access_tokens/", 404, ""},
		{"DELETE", "/api/v4/version", 405, "GET, HEAD"},
		{"PUT", "/api/v4/admin/token", 405, "DELETE, POST"},
		{"GET", "/api/v4/users/2/block", 405, "POST"},
		{"PATCH", "/api/v4/users/2", 405, "GET, HEAD, PUT, DELETE"},
		// Served by another function: the gateway sent it here in a spelling
		// that it could not route.
		{"GET", "/api/v4/personal_access_tokens/5", 404, ""},
		{"POST", "/api/v4//users", 404, ""},
		{"BREW", "/api/v4/version", 405, "GET, HEAD"},
	} {
		got := throughBoth(t, w, request{method: c.method, target: c.target})
		if got.status != c.want || got.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %s", c.method, c.target, got)
		}
		want := map[int]string{404: "404 Not Found", 405: "405 Not Allowed"}[c.want]
		if got.field(t, "error") != want {
			t.Errorf("%s %s: %s", c.method, c.target, got)
		}
	}
}

// A function that gets the path of another one says no more than the fallback.
func TestPathsOfOtherFunctions(t *testing.T) {
	w := newWorld(t)
	for function, r := range map[string]request{
		"issue":     {method: "GET", target: ownToken},
		"revoke":    {method: "GET", target: ownToken},
		"tokens":    {method: "DELETE", target: ownToken},
		"directory": {method: "GET", target: "/api/v4/version"},
		"settings":  {method: "GET", target: "/api/v4/user"},
	} {
		r.function, r.bearer = function, "root"
		if got := throughBoth(t, w, r); got.status != 404 {
			t.Errorf("%s: %s", function, got)
		}
	}
}

func TestHEAD(t *testing.T) {
	w := newWorld(t)
	for target, function := range map[string]string{
		ownToken: "tokens", everyToken: "tokens", everyToken + "/" + ownerToken: "tokens",
		"/api/v4/user": "directory", "/api/v4/version": "settings",
	} {
		head := throughBoth(t, w, request{function: function, method: "HEAD", target: target, bearer: "owner"})
		get := throughBoth(t, w, request{function: function, method: "GET", target: target, bearer: "owner"})
		if head.status != get.status || head.body != "" || len(head.header) != len(get.header) {
			t.Errorf("%s: HEAD %s\nGET %s", target, head, get)
		}
	}
	if got := throughBoth(t, w, request{function: "tokens", method: "HEAD", target: ownToken}); got.status != 401 {
		t.Errorf("without a credential: %s", got)
	}
}

// Scope and rank come before parameters, so that somebody who may not do a
// thing learns nothing about how it is done.
func TestGuardComesBeforeParameters(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		request
		want int
	}{
		{request{function: "issue", method: "POST", target: forOwner, json: "{"}, 401},
		{request{function: "issue", method: "POST", target: forOwner, bearer: "revoked", json: "{"}, 401},
		{request{function: "issue", method: "POST", target: forOwner, bearer: "reading", json: "{"}, 403},
		{request{function: "issue", method: "POST", target: forOwner, bearer: "owner", json: "{"}, 403},
		{request{function: "issue", method: "POST", target: forOwner, bearer: "root", json: "{"}, 400},
		{request{function: "issue", method: "POST", target: ownTokens, bearer: "reading", json: `{"name":[]}`}, 403},
		{request{function: "tokens", method: "POST", target: anyToken, bearer: "owner", json: "["}, 403},
		{request{function: "revoke", method: "DELETE", target: anyToken, bearer: "owner", json: "["}, 403},
		{request{function: "tokens", method: "GET", target: everyToken + "?page=x", bearer: "registry"}, 403},
		// Rights on one token are looked at after the parameters.
		{request{function: "issue", method: "POST", target: everyToken + "/" + otherToken + "/rotate", bearer: "owner", json: `{"expires_at":"x"}`}, 400},
		{request{function: "issue", method: "POST", target: "/api/v4/users/x/personal_access_tokens", bearer: "root"}, 400},
		{request{function: "directory", method: "POST", target: "/api/v4/users", bearer: "owner"}, 400},
	} {
		if got := throughBoth(t, w, c.request); got.status != c.want {
			t.Errorf("%s %s as %q with %s: %s, want %d", c.method, c.target, c.bearer, c.json, got, c.want)
		}
	}
}

// A request whose parameters cannot be read does nothing, also where it needs
// none: it may have asked for something else.
func TestUnreadableParametersDoNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := map[string]request{
		"half a body":     {json: `{"sudo":`},
		"broken query":    {target: "?sudo=%zz"},
		"another type":    {body: "sudo=3", header: header("Content-Type", "text/plain")},
		"no type":         {body: "sudo=3"},
		"no boundary":     {body: "sudo=3", header: header("Content-Type", "multipart/form-data")},
		"broken form":     {form: "sudo=%zz"},
		"too large":       {json: `{"sudo":"` + strings.Repeat("x", 65<<10) + `"}`},
		"broken UTF-8":    {json: "{\"sudo\":\"\xff\"}"},
		"type with junk":  {body: "{}", header: header("Content-Type", "application/json; ;=")},
		"uploaded a file": {body: "--b\r\nContent-Disposition: form-data; name=\"sudo\"; filename=\"f\"\r\n\r\n3\r\n--b--\r\n", header: header("Content-Type", "multipart/form-data; boundary=b")},
	}
	for _, target := range []request{
		{function: "revoke", method: "DELETE", target: ownToken, bearer: "owner"},
		{function: "revoke", method: "DELETE", target: everyToken + "/" + otherToken, bearer: "root"},
		{function: "directory", method: "POST", target: "/api/v4/users/2/block", bearer: "root"},
		{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "rotating"},
	} {
		before := w.snapshot(t)
		for name, r := range bodies {
			r.function, r.method, r.target, r.bearer = target.function, target.method, target.target+r.target, target.bearer
			got := throughHTTP(t, w, r)
			asksForSudo := name == "uploaded a file" && got.status == 403 // which only administrators may
			if got.status != 400 && got.status != 415 && !asksForSudo {
				t.Errorf("%s %s with %s: %s", r.method, r.target, name, got)
			}
			if w.snapshot(t) != before {
				t.Fatalf("%s %s with %s: refused and done", r.method, r.target, name)
			}
		}
	}
}

// A request that asks for sudo in any form never runs with the administrator's
// own rights. If this fails, somebody who acts as an account without rights to
// try something out does it for real.
func TestSudoNeverFallsBack(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot(t)
	revoke := request{function: "revoke", method: "DELETE", target: everyToken + "/" + otherToken, bearer: "root"}
	for name, change := range map[string]func(*request){
		"header":          func(r *request) { r.header = header("Sudo", "2") },
		"header twice":    func(r *request) { r.header = http.Header{"Sudo": {"", "2"}} },
		"beyond a header": func(r *request) { r.header = header("Sudo", "1"); r.target += "?sudo=2" },
		"query":           func(r *request) { r.target += "?sudo=2" },
		"query and body":  func(r *request) { r.target += "?sudo=1"; r.json = `{"sudo":2}` },
		"username":        func(r *request) { r.target += "?sudo=OwNeR" },
		"nobody":          func(r *request) { r.target += "?sudo=999" },
		"other spelling":  func(r *request) { r.target += "?sudo=01" },
		"too long":        func(r *request) { r.target += "?sudo=" + strings.Repeat("1", 3000) },
		"blocked":         func(r *request) { r.target += "?sudo=blocked" },
		"deactivated":     func(r *request) { r.target += "?sudo=sleeper" },
		"without a scope": func(r *request) { r.bearer, r.target = "root without sudo", r.target+"?sudo=2" },
		"JSON":            func(r *request) { r.json = `{"sudo":2}` },
		"JSON twice":      func(r *request) { r.json = `{"sudo":2,"sudo":""}` },
		"JSON array":      func(r *request) { r.json = `{"sudo":[]}` },
		"form":            func(r *request) { r.form = "sudo=2" },
		"without a right": func(r *request) { r.bearer, r.target = "registry", r.target+"?sudo=1" },
		"empty header":    func(r *request) { r.header = header("Sudo", "") },
		"empty query":     func(r *request) { r.target += "?sudo=" },
		"null":            func(r *request) { r.json = `{"sudo":null}` },
		"two users":       func(r *request) { r.header = header("Sudo", "1"); r.target += "?sudo=root" },
	} {
		r := revoke
		change(&r)
		if got := throughBoth(t, w, r); got.status != 400 && got.status != 403 && got.status != 404 {
			t.Errorf("%s: %s", name, got)
		}
		if w.snapshot(t) != before {
			t.Fatalf("%s: refused and done", name)
		}
	}
	twice := request{function: "tokens", method: "GET", target: everyToken + "?sudo=2", bearer: "root", header: header("Sudo", "2")}
	if got := throughBoth(t, w, twice); got.status != 200 {
		t.Errorf("the same user twice: %s", got)
	}
}
