package e2e_test

import (
	"net/http"
	"slices"
	"testing"

	"latchkey/infra/local/localtest"
)

// A token with networks, through both doors of the local cloud, whose gateways report where a request
// really came from. If this fails, a token that leaked out of its networks is good outside of them.
func TestATokenIsGoodFromItsNetworksOnly(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	iris := newAccount(t, w, "iris")
	restricted := func(networks ...string) string {
		body := encode(t, map[string]any{"name": "restricted", "scopes": []string{"api"}, "allowed_cidrs": networks})
		var made personalToken
		decode(t, want(t, w, iris.Bearer, "POST", "/api/v4/user/personal_access_tokens", body, http.StatusCreated), &made)
		return made.Token
	}
	here, elsewhere := restricted("127.0.0.0/8", "::1"), restricted("192.0.2.0/24", "2001:db8::/32")
	sample := func(bearer string) int {
		request, err := http.NewRequestWithContext(t.Context(), "GET", w.URL+"/sample/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+bearer)
		request.Header.Set("X-Forwarded-For", "192.0.2.1")
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode
	}
	want(t, w, here, "GET", "/api/v4/user", "", http.StatusOK)
	want(t, w, elsewhere, "GET", "/api/v4/user", "", http.StatusForbidden)
	if got := sample(here); got != http.StatusOK {
		t.Errorf("the sample API answers %d from here", got)
	}
	if got := sample(elsewhere); got != http.StatusForbidden {
		t.Errorf("the sample API answers %d from elsewhere", got)
	}
	var events []auditEvent
	decode(t, want(t, w, iris.Bearer, "GET", "/api/v4/user/audit_events", "", http.StatusOK), &events)
	events = slices.DeleteFunc(events, func(e auditEvent) bool { return e.EventName != "personal_access_token_address_refused" })
	if len(events) != 2 || events[0].Details.IP != "127.0.0.1" || events[1].Details.IP != "127.0.0.1" { // by two functions
		t.Errorf("events %+v", events)
	}
}
