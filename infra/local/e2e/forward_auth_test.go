package e2e_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
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

func TestIntrospection(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	server := newAccount(t, w, "server", "introspect")
	user := newAccount(t, w, "user", "read_api", "read_user")
	got := introspects(t, w, server.Bearer, url.Values{"token": {user.Bearer}, "token_type_hint": {"access_token"}})
	var told map[string]any
	decode(t, got.Body, &told)
	if got.Status != 200 || told["active"] != true || told["username"] != "user" || told["scope"] != "read_api read_user" || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	want(t, w, user.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
	for name, bearer := range map[string]string{"revoked": user.Bearer, "unknown": "no-such-token", "of another form": "lkpat_x"} {
		if got := introspects(t, w, server.Bearer, url.Values{"token": {bearer}}); got.Status != 200 || got.Body != `{"active":false}` {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	if got := introspects(t, w, root.Bearer, url.Values{"token": {server.Bearer}}); got.Status != 401 {
		t.Errorf("without the scope: %d %s", got.Status, got.Body)
	}
}
