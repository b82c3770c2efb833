//go:build acceptance

package proxies_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/infra/proxies"
)

// TestSmuggling sends requests whose length can be read in two ways through every proxy. Behind the second reading lies
// another request, which nobody judged. If it fails, the backend serves that one.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	w, _ := newLatchkey(t, "X-Real-Ip")
	writer := newToken(t, w, `"scopes":["orders:write"]`)
	hidden := "GET /admin/1 HTTP/1.1\r\nHost: orders.example.test\r\nX-Auth-User: admin\r\n\r\n"
	cases := []struct{ lines, body string }{
		{"Content-Length: %d\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden},
		{"Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n" + hidden},
		{"Content-Length: 0\r\nContent-Length: %d", hidden},
		{"Content-Length: +%d", hidden},
		{"Content-Length : %d", hidden},
		{"Content-Length: 0, %d", hidden},
		{"Content-Length: %d\r\nTransfer-Encoding: xchunked", "0\r\n\r\n" + hidden},
		{"Content-Length: %d\r\nTransfer-Encoding:\x0bchunked", "0\r\n\r\n" + hidden},
		{"Content-Length: %d\r\nTransfer-Encoding:\r\n chunked", "0\r\n\r\n" + hidden},
		{"Content-Length: %d\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n" + hidden},
		{"Content-Length: %d\r\nTransfer_Encoding: chunked", "0\r\n\r\n" + hidden},
		{"Transfer-Encoding: chunked", "1;\nx\r\n0\r\n\r\n" + hidden},
		{"Transfer-Encoding: chunked", "+0\r\n\r\n" + hidden},
		{"Accept: */*", hidden},
		{"Transfer-Encoding: chunked\r\nTrailer: X-Auth-User", "0\r\nX-Auth-User: admin\r\nX-Auth-Scopes: sudo\r\n\r\n" + hidden},
	}
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, program, "api", w.URL)
			for _, c := range cases {
				lines := c.lines
				if strings.Contains(lines, "%d") {
					lines = fmt.Sprintf(lines, len(c.body))
				}
				raw := "PUT /orders/42 HTTP/1.1\r\nHost: orders.example.test\r\nConnection: close\r\nPRIVATE-TOKEN: " + writer + "\r\n" + lines + "\r\n\r\n" + c.body
				p.exchange(t, raw)
			}
			p.proxy.Stop() // and nothing comes late
			served, _, _ := p.take()
			for _, request := range served {
				users := append(request.Header.Values("X-Auth-User"), request.Trailer.Values("X-Auth-User")...)
				if request.Method != http.MethodPut || request.RequestURI != "/orders/42" || !slices.Equal(users, []string{"root"}) {
					t.Errorf("served %s %s for %q", request.Method, request.RequestURI, users)
				}
			}
			if len(served) == 0 || len(served) > len(cases) {
				t.Errorf("%d requests, served %d times", len(cases), len(served))
			}
		})
	}
}

// exchange writes a request and reads the first answer. The request says that it is the last one.
func (p *place) exchange(t *testing.T, raw string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.proxy.URL, "http://"))
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(15*time.Minute)))
	_, err = io.WriteString(conn, raw)
	check(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		response.Body.Close()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // a proxy may close the connection, but has to answer or close
		t.Errorf("no answer to %q", raw)
	}
}
