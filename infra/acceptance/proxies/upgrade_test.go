//go:build acceptance

package proxies_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"latchkey/infra/proxies"
)

// TestUpgrade asks for another protocol behind every proxy. With one that the backend accepts, the connection becomes a
// tunnel: nobody judges what follows, and X-Auth-User comes from the client.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	w, bearer := newLatchkey(t, "X-Real-Ip")
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, program, "api", w.URL)
			for _, lines := range []string{
				"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
				"Connection: Upgrade\r\nUpgrade: h2c", "Upgrade: h2c", "Connection: upgrade\r\nUpgrade: websocket, h2c",
				"Connection: upgrade\r\nUpgrade: foo\r\nUpgrade: h2c", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
				"Connection: Upgrade\r\nUpgrade: TLS/1.0",
			} {
				p.exchange(t, "GET /orders/42 HTTP/1.1\r\nHost: orders.example.test\r\nPRIVATE-TOKEN: "+bearer+"\r\n"+lines+"\r\n\r\n")
				served, _, _ := p.take()
				for _, request := range served {
					if got := request.Header.Values("Upgrade"); len(got) > 0 {
						t.Errorf("the backend is asked for %q, with %q", got, lines)
					}
				}
			}
			got := p.send(t, http.MethodGet, "/orders/42", http.Header{"Private-Token": {bearer}})
			if got.status != http.StatusOK {
				t.Errorf("the plain request: %d %s", got.status, got.body)
			}
		})
	}
}

// TestHTTP2 sends the forgeries that HTTP/2 can carry without TLS to every proxy that speaks it.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	w, bearer := newLatchkey(t, "X-Real-Ip")
	for _, program := range []proxies.Program{proxies.Traefik, proxies.Envoy} {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, program, "api", w.URL)
			client := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
			client.Protocols.SetUnencryptedHTTP2(true)
			defer client.CloseIdleConnections()
			passed := 0
			for _, f := range append(forgeries(), forgery{line: "Accept: */*"}, forgery{line: "Te: trailers"}) {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.proxy.URL+"/orders/42", http.NoBody)
				check(t, err)
				var value string
				if _, err := fmt.Sscanf(f.line, f.name()+": %s", &value); err != nil {
					continue
				}
				request.Header[f.name()] = []string{value}
				request.Header.Set("Private-Token", bearer)
				response, err := client.RoundTrip(request)
				if err != nil {
					continue // no such name in HTTP/2, or refused as malformed
				}
				body, _ := io.ReadAll(response.Body)
				response.Body.Close()
				served, asked, said := p.take()
				if len(served) == 0 {
					continue
				}
				passed++
				fail := func(format string, arguments ...any) { t.Errorf("%s: %s", f.line, fmt.Sprintf(format, arguments...)) }
				if len(served) > 1 || len(asked) != 1 || said[0].status != http.StatusOK || response.ProtoMajor != 2 {
					fail("served %d times, asked %d times, %s %s", len(served), len(asked), response.Proto, body)
					continue
				}
				outcome{served: served[0], said: &said[0]}.onlyOurs(fail)
			}
			if passed < 2 {
				t.Errorf("%d requests were served", passed)
			}
		})
	}
}
