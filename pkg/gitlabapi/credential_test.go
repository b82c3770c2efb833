package gitlabapi_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"latchkey/pkg/gitlabapi"
)

// Where a bearer may be, and which one counts when there are several.
func TestCredentials(t *testing.T) {
	w := newWorld(t)
	const junk = "a-bearer-that-nobody-has"
	owner, other := w.bearers["owner"], w.bearers["other"]
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("owner:"+owner))
	for _, c := range []struct {
		name   string
		header http.Header
		query  string
		want   int
		id     float64 // of the account that is served
	}{
		{"nothing", nil, "", 401, 0},
		{"PRIVATE-TOKEN", http.Header{"Private-Token": {owner}}, "", 200, 2},
		{"PRIVATE-TOKEN with spaces around", http.Header{"Private-Token": {" " + owner + "\t"}}, "", 200, 2},
		{"empty PRIVATE-TOKEN", http.Header{"Private-Token": {""}}, "", 401, 0},
		{"empty PRIVATE-TOKEN before a bearer", http.Header{"Private-Token": {""}, "Authorization": {"Bearer " + owner}}, "", 200, 2},
		{"Bearer", http.Header{"Authorization": {"Bearer " + owner}}, "", 200, 2},
		{"bearer in lower case", http.Header{"Authorization": {"bearer " + owner}}, "", 200, 2},
		{"Bearer with spaces", http.Header{"Authorization": {"Bearer   " + owner}}, "", 200, 2},
		{"Bearer of nothing", http.Header{"Authorization": {"Bearer "}}, "", 401, 0},
		{"the scheme alone", http.Header{"Authorization": {"Bearer"}}, "", 401, 0},
		{"no scheme", http.Header{"Authorization": {owner}}, "", 401, 0},
		{"Basic", http.Header{"Authorization": {basic}}, "", 401, 0},
		{"Token scheme", http.Header{"Authorization": {"Token " + owner}}, "", 401, 0},
		{"private_token", nil, "private_token=" + owner, 200, 2},
		{"access_token", nil, "access_token=" + owner, 200, 2},
		{"bearer_token", nil, "bearer_token=" + owner, 200, 2},
		{"PRIVATE_TOKEN as parameter", nil, "PRIVATE_TOKEN=" + owner, 400, 0},
		{"parameter before header", http.Header{"Private-Token": {junk}}, "private_token=" + owner, 200, 2},
		{"bad parameter before good header", http.Header{"Private-Token": {owner}}, "private_token=" + junk, 401, 0},
		{"empty parameter before header", http.Header{"Private-Token": {owner}}, "private_token=", 200, 2},
		{"header before Bearer", http.Header{"Private-Token": {owner}, "Authorization": {"Bearer " + other}}, "", 200, 2},
		{"Bearer before access_token", http.Header{"Authorization": {"Bearer " + owner}}, "access_token=" + other, 200, 2},
		{"access_token before bearer_token", nil, "bearer_token=" + other + "&access_token=" + owner, 200, 2},
		{"two headers", http.Header{"Private-Token": {owner, owner}}, "", 400, 0},
		{"two headers, one empty", http.Header{"Private-Token": {"", owner}}, "", 400, 0},
		{"two Authorizations", http.Header{"Authorization": {"Bearer " + owner, "Bearer " + other}}, "", 400, 0},
		{"two parameters", nil, "private_token=" + owner + "&private_token=" + other, 400, 0},
		{"the same parameter twice", nil, "private_token=" + owner + "&private_token=" + owner, 200, 2},
		{"two headers joined", http.Header{"Private-Token": {owner + ", " + owner}}, "", 401, 0},
		{"cut short", http.Header{"Private-Token": {owner[:len(owner)-1]}}, "", 401, 0},
		{"with more at its end", http.Header{"Private-Token": {owner + "x"}}, "", 401, 0},
		{"another case", http.Header{"Private-Token": {strings.ToUpper(owner)}}, "", 401, 0},
		{"parameter in broken UTF-8", nil, "private_token=%ff", 400, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := "/api/v4/user"
			if c.query != "" {
				target += "?" + c.query
			}
			got := throughBoth(t, w, request{function: "directory", method: "GET", target: target, header: c.header})
			if got.status != c.want {
				t.Fatalf("%s", got)
			}
			if c.want == 200 && got.field(t, "id") != c.id {
				t.Errorf("served %s", got)
			}
		})
	}
	for name, r := range map[string]request{
		"form":      {form: "private_token=" + owner},
		"JSON":      {json: `{"private_token":"` + owner + `"}`},
		"multipart": sent{{"private_token", owner}}.spellings(t)["multipart"],
	} {
		r.function, r.method, r.target = "revoke", "DELETE", everyToken+"/"+revokedToken
		if got := throughBoth(t, w, r); got.status != 204 {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, r := range map[string]request{
		"JSON array":        {json: `{"private_token":["` + owner + `"]}`},
		"query and JSON":    {target: "?private_token=" + other, json: `{"private_token":"` + owner + `"}`},
		"twice in one JSON": {json: `{"private_token":"` + other + `","private_token":"` + owner + `"}`},
	} {
		r.function, r.method, r.target = "revoke", "DELETE", everyToken+"/"+revokedToken+r.target
		if got := throughBoth(t, w, r); got.status != 400 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A list's links repeat every parameter but those that hold a bearer.
func TestLinksShowNoBearer(t *testing.T) {
	w := newWorld(t)
	bearer := w.bearers["owner"]
	for _, r := range []request{
		{target: everyToken + "?private_token=" + bearer + "&per_page=1&state=active"},
		{target: everyToken + "?access_token=" + bearer + "&per_page=1&state=active"},
		{target: everyToken + "?bearer_token=" + bearer + "&per_page=1&state=active"},
		// Not the one that counts, and a bearer all the same.
		{target: everyToken + "?private_token=" + bearer + "&access_token=" + bearer + "&bearer_token=" + bearer + "&per_page=1&state=active"},
	} {
		r.function, r.method = "tokens", "GET"
		got := throughBoth(t, w, r)
		link := got.header.Get("Link")
		if got.status != 200 || !strings.Contains(link, `&pagination=keyset&per_page=1&state=active>; rel="next"`) {
			t.Errorf("%s", got)
		}
		if strings.Contains(got.String(), bearer) || strings.Contains(link, "_token=") {
			t.Errorf("a bearer is in the links of %s", r.target)
		}
	}
	// The Go client splits the header at these.
	got := throughBoth(t, w, request{function: "tokens", method: "GET", bearer: "owner", target: everyToken + "?search=a,b%3Bc%3Ed%22&x%5B%5D=%3C"})
	if link := got.header.Get("Link"); strings.Count(link, ",") != 1 || strings.Count(link, ";") != 2 || strings.Count(link, ">") != 2 {
		t.Errorf("Link: %s", link)
	}
}

// The links start with the public URL; without one, with the address at which
// the gateway was reached, and never with what the client says.
func TestLinksStartWithThePublicURL(t *testing.T) {
	w := newWorld(t)
	r := request{function: "tokens", method: "GET", target: everyToken, bearer: "owner", header: http.Header{"Host": {"evil.example"}, "X-Forwarded-Host": {"evil.example"}}}
	if link := throughLambda(t, w, r).header.Get("Link"); !strings.HasPrefix(link, "<"+publicURL+everyToken+"?") {
		t.Errorf("Link: %s", link)
	}
	w.publicURL = ""
	if link := throughLambda(t, w, r).header.Get("Link"); !strings.HasPrefix(link, "<https://api.example.test/prod"+everyToken+"?") {
		t.Errorf("Link without a public URL: %s", link)
	}
}

// A custom domain with a base path: the event's paths keep it, and it has to be in the links. A
// public URL of another domain has paths of its own.
func TestLinksKeepTheBasePathOfTheRequest(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct{ path, shown, publicURL, want string }{
		{"/keys" + everyToken, "/keys" + everyToken, "", "https://api.example.test/keys" + everyToken},
		{"/keys/v1" + everyToken, "/keys/v1" + everyToken, "", "https://api.example.test/keys/v1" + everyToken},
		{"/prod" + everyToken, "/prod" + everyToken, "", "https://api.example.test/prod" + everyToken}, // HTTP API, payload 1.0
		{everyToken, "/prod" + everyToken, "", "https://api.example.test/prod" + everyToken},
		{everyToken, everyToken, "", "https://api.example.test" + everyToken}, // the stage $default
		{"/k>e;y,s" + everyToken, "/k>e;y,s" + everyToken, "", "https://api.example.test/k%3Ee;y,s" + everyToken},
		{"/keys" + everyToken, "/keys" + everyToken, publicURL, publicURL + everyToken},
	} {
		w.publicURL = test.publicURL
		event := request{function: "tokens", method: "GET", target: test.path, bearer: "owner"}.event(w)
		event["requestContext"].(map[string]any)["path"] = test.shown
		got := invoke(t, gitlabapi.Lambda(w.function("tokens"), nil), "GET", event)
		if link := got.header.Get("Link"); !strings.HasPrefix(link, "<"+test.want+"?") {
			t.Errorf("%s with %q: %d, Link: %s", test.path, test.publicURL, got.status, link)
		}
	}
}

func TestPagesAtTheirLimits(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		query string
		want  int
		page  string
	}{
		{"page=0", 200, "1"},
		{"page=1", 200, "1"},
		{"page=50001&per_page=1", 200, "50001"}, // starts at 50 000
		{"page=50002&per_page=1", 405, ""},
		{"page=60000&per_page=1", 405, ""},
		{"page=501&per_page=100", 200, "501"},
		{"page=502&per_page=100", 405, ""},
		{"page=9223372036854775807&per_page=100", 405, ""},
		{"page=9223372036854775808", 400, ""},
		{"page=-9223372036854775808", 200, "1"},
	} {
		for target, function := range map[string]string{everyToken: "tokens", "/api/v4/users": "directory", ownToken + "/associations": "tokens"} {
			got := throughBoth(t, w, request{function: function, method: "GET", target: target + "?" + c.query, bearer: "root"})
			if got.status != c.want || got.header.Get("X-Page") != c.page {
				t.Errorf("%s?%s: %s", target, c.query, got)
			}
		}
	}
	got := throughBoth(t, w, request{function: "tokens", method: "GET", target: everyToken + "?page=3&per_page=5", bearer: "owner"})
	if got.header.Get("X-Prev-Page") != "2" || got.header.Get("X-Next-Page") != "" || !strings.Contains(got.header.Get("Link"), `rel="prev"`) {
		t.Errorf("the page after the last: %s", got)
	}
}
