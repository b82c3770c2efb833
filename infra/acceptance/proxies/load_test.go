//go:build acceptance

package proxies_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/infra/proxies"
)

// A loaded token is one of those that clients use while it is being revoked.
type loaded struct {
	bearer, id string
	// state only grows: good, then being revoked, then revoked for sure.
	state atomic.Int32
}

const (
	good int32 = iota
	ending
	revoked
)

// TestRevocationUnderLoad sends 10,000 requests over 50 connections through nginx while half of the tokens are revoked.
// Whoever starts after a revocation was answered is refused, whoever ends before it began is served, and the backend is
// told the token of the request that it serves, never that of another one.
func TestRevocationUnderLoad(t *testing.T) {
	t.Parallel()
	const requests, connections, count = 10_000, 50, 100
	w, _ := newLatchkey(t, "X-Real-Ip")
	p := newPlace(t, proxies.Nginx, "api", w.URL)
	tokens := make([]*loaded, count)
	for i := range tokens {
		got := w.Do(t, localtest.AdminBearer, http.MethodPost, "/api/v4/users/1/personal_access_tokens", `{"name":"load","scopes":["orders:read"]}`)
		var made struct {
			ID    int64
			Token string
		}
		check(t, json.Unmarshal([]byte(got.Body), &made))
		w.Logs.Secret(made.Token)
		tokens[i] = &loaded{bearer: made.Token, id: fmt.Sprint(made.ID)}
	}
	var started, served, refused atomic.Int64
	transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}
	t.Cleanup(transport.CloseIdleConnections)
	ask := func(token *loaded) error {
		before := token.state.Load()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.proxy.URL+"/orders/42", nil)
		if err != nil {
			return err
		}
		request.Header.Set("PRIVATE-TOKEN", token.bearer)
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		after := token.state.Load()
		switch {
		case err != nil:
			return err
		case response.StatusCode == http.StatusOK && before == revoked:
			return fmt.Errorf("token %s was revoked, and its request is served", token.id)
		case response.StatusCode == http.StatusOK && response.Header.Get("Served-For") != token.id:
			return fmt.Errorf("a request with token %s is served for token %q", token.id, response.Header.Get("Served-For"))
		case response.StatusCode == http.StatusOK:
			served.Add(1)
		case response.StatusCode == http.StatusUnauthorized && after != good:
			refused.Add(1)
		default:
			return fmt.Errorf("token %s, in state %d to %d: %s", token.id, before, after, response.Status)
		}
		return nil
	}
	var workers sync.WaitGroup
	revoke := make(chan *loaded, count)
	for range connections {
		workers.Go(func() {
			for n := started.Add(1); n <= requests; n = started.Add(1) {
				if n%(requests/(count/2)) == 0 {
					revoke <- tokens[n/(requests/(count/2))-1]
				}
				if err := ask(tokens[rand.IntN(count)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var revoker sync.WaitGroup
	revoker.Go(func() {
		for token := range revoke {
			token.state.Store(ending)
			if got := w.Do(t, token.bearer, http.MethodDelete, "/api/v4/personal_access_tokens/self", ""); got.Status != http.StatusNoContent {
				t.Errorf("revoke: %d %s", got.Status, got.Body)
			}
			token.state.Store(revoked)
		}
	})
	workers.Wait()
	close(revoke)
	revoker.Wait()
	if served.Load() == 0 || refused.Load() == 0 || served.Load()+refused.Load() != requests {
		t.Errorf("%d served and %d refused of %d", served.Load(), refused.Load(), requests)
	}
}
