//go:build acceptance

package proxies_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/infra/proxies"
)

// TestGraphQL sends queries and mutations with read_api through Traefik and Envoy with the lines that show Latchkey the
// body, and through all four without them.
func TestGraphQL(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	reader := newToken(t, w, `"scopes":["read_api"]`)
	shows := map[string]map[string]string{
		proxies.Traefik.Name: {"# forwardBody: true": "forwardBody: true", "# maxBodySize: 1048576": "maxBodySize: 1048576"},
		proxies.Envoy.Name:   {"# with_request_body:": "with_request_body:"},
	}
	for _, program := range proxies.All() {
		for _, shown := range []bool{false, true} {
			if shown && shows[program.Name] == nil {
				continue // nginx and Caddy cannot
			}
			name, more := program.Name+" without the body", map[string]string(nil)
			if shown {
				name, more = program.Name+" with the body", shows[program.Name]
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newPlaceWith(t, program, "api", w.URL, more)
				for body, passes := range map[string]bool{
					`{"query":"query { currentUser { name } }"}`:                       shown,
					`{"query":"mutation { destroy(id: 1) { errors } }"}`:               false,
					`[{"query":"{ a }"},{"query":"mutation { b }"}]`:                   false,
					`{"extensions":{"persistedQuery":{"sha256Hash":"aa"}}}`:            false,
					`{"query":"{ a }","query":"mutation { b }"}`:                       false,
					`{"query":"{ a }","operationName":"b"}` + "\n\n" + `{"x":1} `:      false,
					`{"query":"{ a }","padding":"` + strings.Repeat("x", 1<<20) + `"}`: false, // larger than what is shown
				} {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.proxy.URL+"/api/graphql", strings.NewReader(body))
					check(t, err)
					request.Header.Set("PRIVATE-TOKEN", reader)
					request.Header.Set("Content-Type", "application/json")
					response, err := http.DefaultTransport.RoundTrip(request)
					check(t, err)
					said, err := io.ReadAll(response.Body)
					check(t, err)
					response.Body.Close()
					served, _, _ := p.take()
					if (len(served) == 1) != passes || !passes && response.StatusCode/100 != 4 {
						t.Errorf("%.100s: %s %s; served %d times", body, response.Status, said, len(served))
					}
				}
			})
		}
	}
}
