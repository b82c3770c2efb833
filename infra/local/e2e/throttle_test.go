package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"latchkey/infra/local/localtest"
)

// The template's parameters reach the functions, and the gateway's report of an
// address reaches the count, through the doors that clients have.
func TestLimitsOfTheTemplateHold(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"WrongBearersPerMinute": "2", "CreationsPerMinute": "4"}})
	status := func(bearer, method, path, body string) int { return w.Do(t, bearer, method, path, body).Status }
	const self, unknown = "/api/v4/personal_access_tokens/self", "no-such-token-anywhere"

	t.Run("wrong bearers, at each function but the authorizer", func(t *testing.T) {
		for path, throttled := range map[string]bool{self: true, "/api/v4/user": true, "/sample/x": false} {
			send := func(bearer string) int {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+bearer)
				return w.Send(t, r).Status
			}
			wants := []int{http.StatusUnauthorized, http.StatusUnauthorized, http.StatusTooManyRequests}
			if !throttled { // an authorizer can only deny
				wants = []int{http.StatusForbidden, http.StatusForbidden, http.StatusForbidden}
			}
			for i, want := range wants {
				if got := send(unknown); got != want {
					t.Errorf("%s, try %d: %d, want %d", path, i, got, want)
				}
			}
			if got := send(localtest.AdminBearer); got != http.StatusOK {
				t.Errorf("%s: a good bearer that was not seen before: %d", path, got)
			}
		}
		w.Clock.Advance(30 * time.Second)
		if got := status(unknown, "GET", self, ""); got != http.StatusUnauthorized {
			t.Errorf("half a minute later: %d", got)
		}
	})
	t.Run("creations", func(t *testing.T) {
		const body = `{"name":"x","scopes":["api"]}`
		for i, want := range []int{201, 201, 201, 201, 429} {
			if got := status(localtest.AdminBearer, "POST", "/api/v4/users/1/personal_access_tokens", body); got != want {
				t.Errorf("token %d: %d, want %d", i, got, want)
			}
		}
	})
}
