package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// Browsers let the pages of any site call the API, as GitLab's do, and nothing else. With a credential
// that browsers send by themselves (a cookie), every site could act as its visitor: there is none.
func TestPagesOfOtherSitesMayCallOnlyTheAPI(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	ask := func(t *testing.T, method, path string, header map[string]string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", "https://app.example.test")
		for name, value := range header {
			request.Header.Set(name, value)
		}
		// A redirect to the sign-in is the page's own answer.
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		if response.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error("pages of other sites may send credentials")
		}
		return response
	}
	preflight := map[string]string{"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization,content-type"}

	for _, path := range []string{
		"/api/v4/personal_access_tokens", "/api/v4/personal_access_tokens/1", "/api/v4/user/personal_access_tokens", "/api/v4/users/1/personal_access_tokens",
		"/api/v4/users/1/impersonation_tokens/1", "/api/v4/projects/acme%2Fweb", "/api/v4/projects/1/access_tokens/1/rotate", "/api/v4/groups/1/access_tokens",
		"/api/v4/admin/token", "/api/v4/token_leaks", "/api/v4/version", "/api/graphql",
	} {
		t.Run("preflight of "+path, func(t *testing.T) {
			got := ask(t, http.MethodOptions, path, preflight) //nolint:bodyclose // closed when the test ends
			if got.StatusCode != http.StatusNoContent || got.Header.Get("Access-Control-Allow-Origin") != "*" ||
				!strings.Contains(got.Header.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(got.Header.Get("Access-Control-Allow-Methods"), "DELETE") {
				t.Errorf("status %d, headers %v", got.StatusCode, got.Header)
			}
		})
	}
	for _, path := range []string{"/-/", "/-/personal_access_tokens", "/auth/nginx", "/oauth/introspect", "/", "/elsewhere"} {
		t.Run("no preflight of "+path, func(t *testing.T) {
			got := ask(t, http.MethodOptions, path, preflight) //nolint:bodyclose // closed when the test ends
			if value, allowed := got.Header["Access-Control-Allow-Origin"]; allowed {
				t.Errorf("status %d for %s", got.StatusCode, value)
			}
			if value, allowed := ask(t, http.MethodGet, path, nil).Header["Access-Control-Allow-Origin"]; allowed { //nolint:bodyclose // closed when the test ends
				t.Errorf("answer for %s", value)
			}
		})
	}
	for _, c := range []struct {
		name, method, path, bearer string
		status                     int
	}{
		{"a list", http.MethodGet, "/api/v4/personal_access_tokens", root.Bearer, http.StatusOK},
		{"a refusal", http.MethodGet, "/api/v4/personal_access_tokens", "unknown", http.StatusUnauthorized},
		{"a path that is not there", http.MethodGet, "/api/v4/nothing", root.Bearer, http.StatusNotFound},
		{"another method", http.MethodOptions, "/api/v4/personal_access_tokens", root.Bearer, http.StatusMethodNotAllowed},
	} {
		t.Run("reply with "+c.name, func(t *testing.T) {
			got := ask(t, c.method, c.path, map[string]string{"PRIVATE-TOKEN": c.bearer}) //nolint:bodyclose // closed when the test ends
			if got.StatusCode != c.status || got.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(got.Header.Get("Access-Control-Expose-Headers"), "Link, ") {
				t.Errorf("status %d, headers %v", got.StatusCode, got.Header)
			}
		})
	}
}

// Breaks if a page of another site gets a reply with a header that its script cannot read.
func TestPagesOfOtherSitesReadEveryHeader(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	old := newToken(t, w, anna.ID, "old", dayOf(w, 20))
	next := rotated(t, w, old.Token, "")
	for _, path := range []string{
		"GET /api/v4/personal_access_tokens/self", "GET /api/v4/personal_access_tokens?per_page=1",
		fmt.Sprintf("DELETE /api/v4/personal_access_tokens/%d", old.ID), fmt.Sprintf("DELETE /api/v4/personal_access_tokens/%d", next.ID),
	} {
		method, path, _ := strings.Cut(path, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, nil)
		noError(t, err)
		request.Header.Set("Origin", "https://app.example.test")
		request.Header.Set("PRIVATE-TOKEN", map[string]string{"GET": next.Token, "DELETE": root.Bearer}[method])
		got := w.Send(t, request)
		exposed := strings.Split(got.Header.Get("Access-Control-Expose-Headers"), ", ")
		own := 0
		for name := range got.Header {
			if !strings.HasPrefix(name, "X-") && name != "Link" && name != "Retry-After" || name == "X-Content-Type-Options" || strings.HasPrefix(name, "X-Amzn-") {
				continue // for browsers, or the gateway's
			}
			if own++; !slices.Contains(exposed, name) {
				t.Errorf("%s %s: nobody can read %s", method, path, name)
			}
		}
		if got.Status >= 300 || own < 2 {
			t.Errorf("%s %s: %d with %d headers of its own", method, path, got.Status, own)
		}
	}
}

// An operator can name one site, or none. The browser of any other page then keeps the reply to itself.
func TestOperatorsChooseWhosePagesMayCall(t *testing.T) {
	t.Parallel()
	for _, allowed := range []string{"", "https://app.example.test"} {
		t.Run("AllowedOrigin="+allowed, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"AllowedOrigin": allowed}})
			for _, method := range []string{http.MethodOptions, http.MethodGet} {
				request, err := http.NewRequestWithContext(t.Context(), method, w.URL+"/api/v4/user", nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Origin", "https://other.example.test")
				request.Header.Set("Access-Control-Request-Method", http.MethodGet)
				response, err := http.DefaultTransport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if got := strings.Join(response.Header["Access-Control-Allow-Origin"], " "); got != allowed {
					t.Errorf("%s: %q may call", method, got)
				}
				if allowed == "" && method == http.MethodOptions && response.StatusCode != http.StatusMethodNotAllowed {
					t.Errorf("a preflight is answered %d", response.StatusCode)
				}
			}
		})
	}
}
