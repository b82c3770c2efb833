//go:build acceptance

package proxies_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"latchkey/infra/proxies"
)

// TestTokens shows what a client gets with each kind of credential, through every proxy: the status, the challenge, and
// who the backend takes it for. A revoked token's next request fails.
func TestTokens(t *testing.T) {
	t.Parallel()
	w, reader := newLatchkey(t, "X-Real-Ip")
	writer := newToken(t, w, `"scopes":["orders:write"]`)
	const yes, who, no = http.StatusOK, http.StatusUnauthorized, http.StatusForbidden
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("whoever:"+reader))
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, program, "api", w.URL)
			for name, c := range map[string]struct {
				method, path string
				header       http.Header
				status       int
				challenge    string
			}{
				"in PRIVATE-TOKEN":  {path: "/orders/42", header: http.Header{"Private-Token": {reader}}, status: yes},
				"as Bearer":         {path: "/orders/42", header: http.Header{"Authorization": {"Bearer " + reader}}, status: yes},
				"as a password":     {path: "/orders/42", header: http.Header{"Authorization": {basic}}, status: yes},
				"in the query":      {path: "/orders/42?private_token=" + reader, status: yes},
				"none":              {path: "/orders/42", status: who, challenge: "Bearer"},
				"wrong":             {path: "/orders/42", header: http.Header{"Private-Token": {reader + "x"}}, status: who, challenge: "Bearer"},
				"two that differ":   {path: "/orders/42", header: http.Header{"Private-Token": {reader}, "Authorization": {"Bearer " + writer}}, status: http.StatusBadRequest},
				"without the scope": {method: http.MethodPost, path: "/orders/42", header: http.Header{"Private-Token": {reader}}, status: no},
				"of another path":   {path: "/admin/42", header: http.Header{"Private-Token": {reader}}, status: no},
			} {
				header := c.header.Clone()
				if header == nil {
					header = http.Header{}
				}
				method := http.MethodGet
				if c.method != "" {
					method = c.method
				}
				got := p.send(t, method, c.path, header)
				served, _, _ := p.take()
				if got.status != c.status || (len(served) == 1) != (c.status == yes) {
					t.Errorf("%s: %d %s, want %d; served %d times", name, got.status, got.header.Get("X-Auth-Reason"), c.status, len(served))
				}
				if challenge := got.header.Get("WWW-Authenticate"); c.challenge != "" && !strings.HasPrefix(challenge, c.challenge) {
					t.Errorf("%s: challenge %q", name, challenge)
				}
				if renamed := got.header.Get("X-Amzn-Remapped-Www-Authenticate"); renamed != "" {
					t.Errorf("%s: the challenge keeps the name that API Gateway gave it", name)
				}
				for _, request := range served {
					if user, scopes := request.Header.Get("X-Auth-User"), request.Header.Get("X-Auth-Scopes"); user != "root" || scopes != "orders:read" {
						t.Errorf("%s: the backend takes it for %q with %q", name, user, scopes)
					}
				}
			}
		})
		t.Run(program.Name+" revoked in between", func(t *testing.T) {
			t.Parallel()
			p, short := newPlace(t, program, "api", w.URL), newToken(t, w, `"scopes":["orders:read"]`)
			header := http.Header{"Private-Token": {short}}
			if got := p.send(t, http.MethodGet, "/orders/42", header); got.status != yes {
				t.Errorf("before: %d", got.status)
			}
			if got := w.Do(t, short, http.MethodDelete, "/api/v4/personal_access_tokens/self", ""); got.Status != http.StatusNoContent {
				t.Fatalf("revoke: %d %s", got.Status, got.Body)
			}
			p.take()
			got := p.send(t, http.MethodGet, "/orders/42", header)
			if served, _, _ := p.take(); got.status != who || len(served) > 0 {
				t.Errorf("after: %d, served %d times", got.status, len(served))
			}
		})
	}
}

// TestAddresses uses tokens with allowed_cidrs through every proxy. Whatever a client says about its address, only what
// the proxy says counts. If it fails, a stolen token works from anywhere.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip"} {
		w, _ := newLatchkey(t, header)
		near := newToken(t, w, `"scopes":["orders:read"],"allowed_cidrs":["127.0.0.0/8"]`)
		far := newToken(t, w, `"scopes":["orders:read"],"allowed_cidrs":["198.51.100.0/24"]`)
		for _, program := range proxies.All() {
			t.Run(program.Name+" "+header, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, program, "api", w.URL)
				// Traefik tells Latchkey only X-Forwarded-For. There, Envoy puts the machine's address for that of a client
				// on the same machine, which is one of these networks on no machine.
				reliable := map[string]string{proxies.Traefik.Name: "X-Forwarded-For", proxies.Envoy.Name: "X-Real-Ip"}[program.Name]
				known := reliable == "" || reliable == header
				for _, forged := range []http.Header{
					{}, {"X-Real-Ip": {"198.51.100.1"}}, {"X-Forwarded-For": {"198.51.100.1"}}, {"X-Forwarded-For": {"198.51.100.1", "198.51.100.1"}},
					{"X-Forwarded-For": {"198.51.100.1, 127.0.0.1"}}, {"Forwarded": {"for=198.51.100.1"}}, {"X-Envoy-External-Address": {"198.51.100.1"}},
					{"X.Real.Ip": {"198.51.100.1"}}, {"X-Real-Ip": {""}}, {"Connection": {"X-Real-Ip, X-Forwarded-For"}},
				} {
					for bearer, allowed := range map[string]bool{near: known, far: false} {
						sent := forged.Clone()
						sent.Set("PRIVATE-TOKEN", bearer)
						got := p.send(t, http.MethodGet, "/orders/42", sent)
						served, _, _ := p.take()
						if refused := got.status/100 == 4 && len(served) == 0; refused == allowed && (len(forged) == 0 || !allowed) {
							t.Errorf("%v: allowed is %v, and the client gets %d", forged, allowed, got.status)
						}
					}
				}
			})
		}
	}
}

// TestBodies sends large bodies through every proxy, with and without a length. The backend gets every byte, and Latchkey
// none of them.
func TestBodies(t *testing.T) {
	t.Parallel()
	w, _ := newLatchkey(t, "X-Real-Ip")
	writer := newToken(t, w, `"scopes":["orders:write"]`)
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MB
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, program, "api", w.URL)
			for name, reader := range map[string]io.Reader{
				"with a length":    bytes.NewReader(body),
				"without a length": io.MultiReader(bytes.NewReader(body)),
			} {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.proxy.URL+"/orders/42", reader)
				check(t, err)
				request.Header.Set("PRIVATE-TOKEN", writer)
				response, err := http.DefaultTransport.RoundTrip(request)
				check(t, err)
				said, err := io.ReadAll(response.Body)
				check(t, err)
				response.Body.Close()
				served, asked, _ := p.take()
				if want := fmt.Sprintf("served %d bytes", len(body)); response.StatusCode != http.StatusOK || string(said) != want || len(served) != 1 {
					t.Errorf("%s: %s %q, want %q", name, response.Status, said, want)
				}
				for _, question := range asked {
					if question.ContentLength > 0 || len(question.TransferEncoding) > 0 {
						t.Errorf("%s: Latchkey gets a body of %d bytes", name, question.ContentLength)
					}
				}
			}
		})
	}
}
