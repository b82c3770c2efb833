package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// graphQL asks about a GraphQL request as a proxy that passes the body on, or does not.
func graphQL(tb testing.TB, w *localtest.World, proxy, bearer, method, target, body string) localtest.Reply {
	tb.Helper()
	address := map[string]string{"nginx": "/auth/nginx", "caddy": "/auth/caddy", "traefik": "/auth/traefik", "envoy": "/auth/envoy/api" + target}[proxy]
	asked := "GET"
	if proxy == "envoy" {
		asked = method
	}
	request, err := http.NewRequestWithContext(tb.Context(), asked, w.URL+address, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	switch proxy {
	case "nginx":
		request.Header.Set("X-Original-Method", method)
		request.Header.Set("X-Original-URI", target)
	case "caddy", "traefik":
		request.Header.Set("X-Forwarded-Method", method)
		request.Header.Set("X-Forwarded-Uri", target)
	}
	if method == "POST" {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	return w.Send(tb, request)
}

// Breaks if a token that may only read can write by GraphQL behind some proxy, or cannot read where the
// proxy shows what it asks.
func TestGraphQLThroughAProxy(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	const endpoint = "/api/graphql"
	query, mutation := `{"query":"query{me{id}}"}`, `{"query":"mutation{x{id}}"}`
	bearers := map[string]string{"api": newAccount(t, w, "api", "api").Bearer, "read_api": newAccount(t, w, "reader", "read_api").Bearer, "read_user": newAccount(t, w, "profile", "read_user").Bearer}
	for _, test := range []struct {
		name, proxy, scope, method, target, body string
		reason                                   string // "" passes
	}{
		{"a query", "envoy", "read_api", "POST", endpoint, query, ""},
		{"a query", "traefik", "read_api", "POST", endpoint, query, ""},
		{"a mutation", "envoy", "read_api", "POST", endpoint, mutation, "insufficient_scope"},
		{"a mutation", "traefik", "read_api", "POST", endpoint, mutation, "insufficient_scope"},
		{"a mutation in a batch", "envoy", "read_api", "POST", endpoint, "[" + query + "," + mutation + "]", "insufficient_scope"},
		{"a mutation with a format", "envoy", "read_api", "POST", endpoint + ".json", mutation, "insufficient_scope"},
		{"a mutation by somebody who may", "envoy", "api", "POST", endpoint, mutation, ""},
		{"a query without the scope", "envoy", "read_user", "POST", endpoint, query, "insufficient_scope"},
		{"a body that nobody sees", "nginx", "read_api", "POST", endpoint, "", "graphql_not_seen"},
		{"a body that nobody sees", "caddy", "read_api", "POST", endpoint, "", "graphql_not_seen"},
		{"a body that nobody sees, by somebody who may", "nginx", "api", "POST", endpoint, "", ""},
		{"a query by GET", "nginx", "read_api", "GET", endpoint + "?query=%7Bme%7Bid%7D%7D", "", ""},
		{"a query by GET", "envoy", "read_api", "GET", endpoint + "?query=%7Bme%7Bid%7D%7D", "", ""},
		{"a mutation by GET", "nginx", "read_api", "GET", endpoint + "?query=mutation%7Bx%7D", "", "insufficient_scope"},
		{"a mutation by GET", "envoy", "read_api", "GET", endpoint + "?query=mutation%7Bx%7D", "", "insufficient_scope"},
		{"a hash by GET", "caddy", "read_api", "GET", endpoint + "?extensions=%7B%22persistedQuery%22%3A%7B%7D%7D", "", "insufficient_scope"},
		{"a mutation in the query of a POST", "envoy", "read_api", "POST", endpoint + "?query=mutation%7Bx%7D", query, "insufficient_scope"},
		{"another path by POST", "envoy", "read_api", "POST", "/api/v4/projects", query, "insufficient_scope"},
	} {
		got := graphQL(t, w, test.proxy, bearers[test.scope], test.method, test.target, test.body)
		status := http.StatusForbidden
		if test.reason == "" {
			status = http.StatusOK
		}
		if got.Status != status || got.Header.Get("X-Auth-Reason") != test.reason {
			t.Errorf("%s, %s: %d %v %s", test.proxy, test.name, got.Status, got.Header, got.Body)
		}
		var shaped struct{ Errors []struct{ Message string } }
		if strings.HasPrefix(test.target, endpoint) && status != 200 && (json.Unmarshal([]byte(got.Body), &shaped) != nil || len(shaped.Errors) != 1 || shaped.Errors[0].Message == "") {
			t.Errorf("%s, %s: %s", test.proxy, test.name, got.Body)
		}
	}
	var self personalToken // a refused request counts as well, as in GitLab
	asked := newAccount(t, w, "asked", "read_api")
	graphQL(t, w, "envoy", asked.Bearer, "POST", endpoint, mutation)
	if decode(t, want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/personal_access_tokens/%d", asked.TokenID), "", http.StatusOK), &self); self.LastUsedAt == "" {
		t.Error("a GraphQL request is no use of its token")
	}
	if got := graphQL(t, w, "envoy", "no-such-token", "POST", endpoint, query); got.Status != 401 || got.Body != `{"errors":[{"message":"401 Unauthorized"}]}` {
		t.Errorf("an unknown token: %d %s", got.Status, got.Body)
	}
}

// Breaks if the operator's word that a backend judges for itself does not reach every door, or opens more.
func TestGraphQLThatIsLeftToTheBackend(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "scopes.json")
	rules := `{"scopes":[{"name":"orders"}],"rules":[{"methods":["GET"],"path":"*","scopes":["orders"]}],"graphql_paths":["/q","/strict"],"judged_by_backend":["/q","*/info/lfs/objects/batch"]}`
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"ScopesFile": file}})
	reader := newAccount(t, w, "reader", "orders")
	for target, want := range map[string]int{"/q": 200, "/strict": 403, "/api/graphql": 403, "/other": 403} {
		if got := graphQL(t, w, "nginx", reader.Bearer, "POST", target, ""); got.Status != want {
			t.Errorf("nginx: %s is %d", target, got.Status)
		}
		for _, f := range formats {
			answer, err := decide(t.Context(), w, f, "POST", target, reader.Bearer)
			if err != nil || answer.allowed != (want == 200) {
				t.Errorf("%s: %s is %+v, %v", f.name, target, answer, err)
			}
		}
	}
}
