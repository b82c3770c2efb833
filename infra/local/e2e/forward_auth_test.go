package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/project"
)

// asks sends the question of a proxy. Headers are pairs of names and values.
func asks(tb testing.TB, w *localtest.World, method, path string, headers ...string) localtest.Reply {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), method, w.URL+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header[headers[i]] = append(request.Header[headers[i]], headers[i+1]) // in this spelling
	}
	return w.Send(tb, request)
}

// introspects asks about a token as a server with a bearer does.
func introspects(tb testing.TB, w *localtest.World, bearer string, form url.Values) localtest.Reply {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), "POST", w.URL+"/oauth/introspect", strings.NewReader(form.Encode()))
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	return w.Send(tb, request)
}

// Breaks if a proxy in front of a server lets a token pass that was revoked a moment ago, or names
// somebody else.
func TestForwardAuth(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	reader := newAccount(t, w, "reader", "read_api")
	describe := map[string]func(method, target string) localtest.Reply{
		"nginx": func(method, target string) localtest.Reply {
			return asks(t, w, "GET", "/auth/nginx", "Authorization", "Bearer "+reader.Bearer, "X-Original-Method", method, "X-Original-URI", target)
		},
		"traefik": func(method, target string) localtest.Reply {
			return asks(t, w, "GET", "/auth/traefik/api", "Private-Token", reader.Bearer, "X-Forwarded-Method", method, "X-Forwarded-Uri", target)
		},
		"caddy": func(method, target string) localtest.Reply {
			return asks(t, w, "GET", "/auth/caddy", "Private-Token", reader.Bearer, "X-Forwarded-Method", method, "X-Forwarded-Uri", target)
		},
		"envoy": func(method, target string) localtest.Reply {
			return asks(t, w, method, "/auth/envoy/api"+target, "Private-Token", reader.Bearer)
		},
	}
	for dialect, ask := range describe {
		got := ask("GET", "/orders/42?page=2")
		if got.Status != 200 || got.Header.Get("X-Auth-User") != "reader" || got.Header.Get("X-Auth-Scopes") != "read_api" || got.Header["X-Auth-Project"] == nil {
			t.Errorf("%s: %d %v", dialect, got.Status, got.Header)
		}
		got = ask("POST", "/orders/42")
		if got.Status != 403 || got.Header.Get("X-Auth-Reason") != "insufficient_scope" ||
			!strings.Contains(got.Header.Get("X-Amzn-Remapped-Www-Authenticate"), `scope="api read_api"`) {
			t.Errorf("%s, without the scope: %d %v %s", dialect, got.Status, got.Header, got.Body)
		}
	}
	want(t, w, reader.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
	for dialect, ask := range describe {
		if got := ask("GET", "/orders/42"); got.Status != 401 || got.Header.Get("X-Auth-Reason") != "token_revoked" {
			t.Errorf("%s, revoked: %d %v %s", dialect, got.Status, got.Header, got.Body)
		}
	}
}

// Breaks if a server learns anything of a token that is not good, or takes one for good, or if a caller
// without the scope learns anything at all.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	server, user, blocked := newAccount(t, w, "server", "introspect"), newAccount(t, w, "user", "read_api", "read_user"), newAccount(t, w, "blocked")
	withProject(t, w, map[int64]project.Level{root.ID: project.Maintainer})
	var bot resourceToken
	decode(t, want(t, w, root.Bearer, "POST", "/api/v4/projects/acme%2Fweb/access_tokens", `{"name":"ci","scopes":["read_api"],"access_level":30}`, http.StatusCreated), &bot)
	restricted := newToken(t, w, user.ID, "restricted", "2026-09-01").Token
	var networked personalToken
	body := `{"name":"networked","scopes":["api"],"allowed_cidrs":["192.0.2.0/24"]}`
	decode(t, want(t, w, restricted, "POST", "/api/v4/user/personal_access_tokens", body, http.StatusCreated), &networked)
	expiring := newToken(t, w, user.ID, "expiring", "2026-03-20").Token
	demoted := newAccount(t, w, "demoted")
	want(t, w, root.Bearer, "PUT", fmt.Sprintf("/api/v4/users/%d", demoted.ID), `{"admin":true}`, http.StatusOK)
	scopeless := newToken(t, w, demoted.ID, "for an administrator", "2026-09-01", "sudo").Token
	want(t, w, root.Bearer, "PUT", fmt.Sprintf("/api/v4/users/%d", demoted.ID), `{"admin":false}`, http.StatusOK)
	never := newImpersonation(t, w, user.ID, "impersonation").Token
	want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", blocked.ID), "", http.StatusCreated)
	ask := func(form ...string) localtest.Reply {
		values := url.Values{}
		for i := 0; i < len(form); i += 2 {
			values.Add(form[i], form[i+1])
		}
		return introspects(t, w, server.Bearer, values)
	}
	for name, test := range map[string]struct{ bearer, want string }{
		"a person's":       {user.Bearer, fmt.Sprintf(`{"active":true,"scope":"read_api read_user","client_id":"%d","username":"user","token_type":"Bearer","exp":1788220800,"iat":1773907200,"sub":"%d","token_kind":"personal"}`, user.TokenID, user.ID)},
		"a project's":      {bot.Token, fmt.Sprintf(`{"active":true,"scope":"read_api","client_id":"%d","username":"project_2_bot","token_type":"Bearer","exp":%d,"iat":1773907200,"sub":"%d","token_kind":"project","project_id":"2","access_level":30}`, bot.ID, expiry(t, bot.ExpiresAt), bot.UserID)},
		"the caller's own": {server.Bearer, `"scope":"introspect"`},
		"an impersonation": {never, `"token_kind":"impersonation"`},
	} {
		got := ask("token", test.bearer, "token_type_hint", "access_token")
		if got.Status != 200 || !strings.Contains(got.Body, test.want) || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v %s", name, got.Status, got.Header, got.Body)
		}
	}
	if got := ask("token", networked.Token, "client_address", "192.0.2.9"); !strings.Contains(got.Body, `"active":true`) {
		t.Errorf("from its networks: %s", got.Body)
	}
	var seen struct {
		LastUsedAt string `json:"last_used_at"`
	}
	decode(t, want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/personal_access_tokens/%d", user.TokenID), "", 200), &seen)
	if seen.LastUsedAt == "" {
		t.Error("a token that a server asked about was never used")
	}
	want(t, w, user.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
	w.Clock.Advance(24 * time.Hour)
	for name, form := range map[string][]string{
		"revoked": {"token", user.Bearer}, "expired": {"token", expiring}, "blocked": {"token", blocked.Bearer}, "unknown": {"token", "no-such-token"},
		"malformed": {"token", "lkpat_x"}, "without a scope that counts": {"token", scopeless}, "long": {"token", strings.Repeat("x", 5000)}, "a space behind": {"token", server.Bearer + " "},
		"outside its networks": {"token", networked.Token, "client_address", "198.51.100.1"}, "from an unknown address": {"token", networked.Token},
	} {
		if got := ask(form...); got.Status != 200 || got.Body != `{"active":false}` || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	for name, form := range map[string][]string{
		"no token": {"token_type_hint", "x"}, "an empty token": {"token", ""}, "two tokens": {"token", server.Bearer, "token", "x"},
		"an odd address": {"token", server.Bearer, "client_address", "localhost"}, "two addresses": {"token", server.Bearer, "client_address", "192.0.2.9", "client_address", "192.0.2.8"},
	} {
		if got := ask(form...); got.Status != 400 || !strings.Contains(got.Body, `"invalid_request"`) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	form := url.Values{"token": {server.Bearer}}
	for name, bearer := range map[string]string{"nobody": "", "unknown": "no-such-token", "revoked": user.Bearer, "blocked": blocked.Bearer, "an administrator": root.Bearer, "api": restricted, "a project's": bot.Token} {
		got := introspects(t, w, bearer, form)
		if got.Status != 401 || strings.Contains(got.Body, "active") || !strings.HasPrefix(got.Header.Get("X-Amzn-Remapped-Www-Authenticate"), `Bearer realm="Latchkey"`) {
			t.Errorf("asked by %s: %d %v %s", name, got.Status, got.Header, got.Body)
		}
	}
	for name, test := range map[string]struct {
		method, target, mediaType, body string
		status                          int
	}{
		"by GET":                 {"GET", "?token=" + server.Bearer, "", "", 405},
		"in the query":           {"POST", "?token=" + server.Bearer, "application/x-www-form-urlencoded", "", 400},
		"in both":                {"POST", "?token=x", "application/x-www-form-urlencoded", form.Encode(), 400},
		"as JSON":                {"POST", "", "application/json", `{"token":"x"}`, 400},
		"without a type":         {"POST", "", "", form.Encode(), 400},
		"in parts":               {"POST", "", "multipart/form-data; boundary=x", form.Encode(), 400},
		"in a form that is none": {"POST", "", "application/x-www-form-urlencoded", "token=%zz", 400},
		"with a charset":         {"POST", "", "application/x-www-form-urlencoded; charset=utf-8", form.Encode(), 200},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, w.URL+"/oauth/introspect"+test.target, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Private-Token", server.Bearer)
		if test.mediaType != "" {
			request.Header.Set("Content-Type", test.mediaType)
		}
		if got := w.Send(t, request); got.Status != test.status {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	t.Run("the scope opens nothing else", func(t *testing.T) {
		for _, path := range []string{"/api/v4/user", "/api/v4/version", "/api/v4/personal_access_tokens", "/api/v4/projects", "/api/v4/users"} {
			want(t, w, server.Bearer, "GET", path, "", http.StatusForbidden)
		}
		for _, d := range dialects {
			if got := d.ask(t, w, "GET", "/orders", "Private-Token", server.Bearer); got.Status != 403 {
				t.Errorf("%s: %d", d.name, got.Status)
			}
		}
	})
}

// expiry returns the instant that a day means, in seconds since 1970.
func expiry(tb testing.TB, day string) int64 {
	tb.Helper()
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		tb.Fatal(err)
	}
	return at.Unix()
}
