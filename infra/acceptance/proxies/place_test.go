//go:build acceptance

package proxies_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"latchkey/infra/proxies"
)

// A place is a proxy with a sample, the backend behind it, and what stands in for Latchkey.
type place struct {
	proxy *proxies.Server
	front *proxies.Front

	mu     sync.Mutex
	served []*http.Request // what the backend got
	asked  []*http.Request // what Latchkey was asked
	said   []reply         // and what it answered, without the body
}

// newPlace starts a proxy with a sample in front of a backend that says how many bytes it got. latchkey is the address of what
// answers its questions.
func newPlace(t *testing.T, program proxies.Program, sample, latchkey string) *place {
	t.Helper()
	return newPlaceWith(t, program, sample, latchkey, nil)
}

// newPlaceWith is newPlace with more texts of the sample to replace.
func newPlaceWith(t *testing.T, program proxies.Program, sample, latchkey string, more map[string]string) *place {
	t.Helper()
	p, folder := &place{}, t.TempDir()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		length, _ := io.Copy(io.Discard, r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.served = append(p.served, r)
		w.Header().Set("Served-For", r.Header.Get("X-Auth-Token-Id"))
		_, _ = fmt.Fprintf(w, "served %d bytes", length)
	}))
	t.Cleanup(backend.Close)
	var err error
	p.front, err = proxies.NewFront(t.Context(), folder, latchkey, func(question *http.Request, answer *http.Response) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked, p.said = append(p.asked, question), append(p.said, reply{status: answer.StatusCode, header: answer.Header})
	})
	check(t, err)
	t.Cleanup(func() { _ = p.front.Close() })
	p.proxy, err = proxies.Start(t.Context(), program, folder, sample, proxies.Place{
		Latchkey: p.front.Address, Authorities: p.front.Authorities, Backend: backend.Listener.Addr().String(), More: more,
	})
	check(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s says: %s", program.Name, p.proxy.Tail())
		}
		p.proxy.Stop()
	})
	p.take()
	return p
}

// take returns what the backend got and what Latchkey was asked and said since the last call.
func (p *place) take() (served, asked []*http.Request, said []reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	served, asked, said = p.served, p.asked, p.said
	p.served, p.asked, p.said = nil, nil, nil
	return served, asked, said
}

// A reply is what a client or a proxy gets.
type reply struct {
	status int
	header http.Header
	body   string
}

func (p *place) send(t *testing.T, method, path string, header http.Header) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.proxy.URL+path, http.NoBody)
	check(t, err)
	request.Header = header
	response, err := http.DefaultTransport.RoundTrip(request)
	check(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(t, err)
	return reply{response.StatusCode, response.Header, string(body)}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
