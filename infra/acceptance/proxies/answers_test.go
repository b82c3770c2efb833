//go:build acceptance

package proxies_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"latchkey/infra/proxies"
)

// TestAnswers shows what each proxy makes of every answer that Latchkey or API Gateway may give. Only a 2xx lets a
// request through.
func TestAnswers(t *testing.T) {
	t.Parallel()
	challenge := http.Header{"X-Amzn-Remapped-Www-Authenticate": {`Bearer realm="Latchkey"`}}
	type answer struct {
		status int
		header http.Header
	}
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			nginx := program.Name == proxies.Nginx.Name
			// refuse is what Latchkey answers this proxy: nginx takes only 401 and 403.
			refuse := func(status int, reason string) answer {
				if nginx && status != http.StatusUnauthorized {
					status = http.StatusForbidden
				}
				return answer{status, http.Header{"X-Auth-Reason": {reason}, "Retry-After": {"7"}}}
			}
			var next atomic.Pointer[answer]
			next.Store(&answer{status: http.StatusUnauthorized})
			stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a := next.Load()
				for name, values := range a.header {
					w.Header()[name] = values
				}
				w.WriteHeader(a.status)
			}))
			t.Cleanup(stub.Close)
			p := newPlace(t, program, "api", stub.URL)
			for _, c := range []struct {
				name   string
				answer answer
				want   int // 5: any 5xx
				header string
			}{
				{name: "200 serves", answer: answer{status: http.StatusOK}, want: http.StatusOK},
				{
					name: "401 keeps its challenge", answer: answer{http.StatusUnauthorized, challenge},
					want: http.StatusUnauthorized, header: "WWW-Authenticate",
				},
				{
					name: "403 says why", answer: refuse(http.StatusForbidden, "insufficient_scope"),
					want: http.StatusForbidden, header: "X-Auth-Reason",
				},
				{
					name: "throttled is 429 and says when", answer: refuse(http.StatusTooManyRequests, "throttled"),
					want: http.StatusTooManyRequests, header: "Retry-After",
				},
				{name: "unavailable is 503", answer: refuse(http.StatusServiceUnavailable, "undecided"), want: http.StatusServiceUnavailable},
				{
					name: "a throttled API Gateway is 429", answer: answer{http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}},
					want: http.StatusTooManyRequests, header: "Retry-After",
				},
				{name: "a failing API Gateway is 5xx", answer: answer{status: http.StatusGatewayTimeout}, want: 5},
				{name: "500 is 5xx", answer: answer{status: http.StatusInternalServerError}, want: 5},
				{name: "404 serves nothing", answer: answer{status: http.StatusNotFound}},
				{name: "a redirect serves nothing", answer: answer{http.StatusFound, http.Header{"Location": {"https://evil.example.test/"}}}},
			} {
				next.Store(&c.answer)
				got := p.send(t, http.MethodPost, "/orders/1", http.Header{})
				served, asked, _ := p.take()
				if len(asked) != 1 {
					t.Errorf("%s: Latchkey was asked %d times", c.name, len(asked))
				}
				if (len(served) == 1) != (c.want == http.StatusOK) {
					t.Errorf("%s: the backend served %d requests", c.name, len(served))
				}
				if c.want != 0 && c.want != got.status && c.want != got.status/100 {
					t.Errorf("%s: %d, want %d", c.name, got.status, c.want)
				}
				if c.header != "" && got.header.Get(c.header) == "" {
					t.Errorf("%s: no %s in %v", c.name, c.header, got.header)
				}
			}
			check(t, p.front.Close())
			got := p.send(t, http.MethodPost, "/orders/1", http.Header{})
			if served, _, _ := p.take(); len(served) > 0 || got.status/100 != 5 {
				t.Errorf("without Latchkey: %d, and the backend served %d requests", got.status, len(served))
			}
		})
	}
}
