package authorizer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Breaks if somebody else's API lets a token in from outside of its networks.
func TestAuthorizerRefusesOtherAddresses(t *testing.T) {
	w := newWorld(t)
	source := func(ip string) map[string]any { return map[string]any{"sourceIp": ip} }
	for _, f := range formats {
		for _, c := range []struct {
			name, token string
			context     map[string]any
			want        bool
		}{
			{"inside", "restricted", map[string]any{"identity": source(home)}, f.name == "REST REQUEST" || f.name == "HTTP API 1.0"},
			{"inside in payload format 2.0", "restricted", map[string]any{"http": source(home)}, strings.HasPrefix(f.name, "HTTP API 2.0")},
			{"outside", "restricted", map[string]any{"identity": source(away), "http": source(away)}, false},
			{"nowhere", "restricted", nil, false},
			{"outside with a token without networks", "owner", map[string]any{"identity": source(away), "http": source(away)}, true},
			{"nowhere with a token without networks", "owner", nil, true},
		} {
			t.Run(f.name+" "+c.name, func(t *testing.T) {
				event := f.event(w.bearers[c.token], "GET", "/orders")
				if c.context != nil && f.name != "REST TOKEN" { // whose events have no such field
					event["requestContext"] = c.context
				}
				if headers, ok := event["headers"].(map[string]string); ok {
					headers["X-Forwarded-For"] = home
				}
				answer := decide(t, w.authorizer(t, f.simple), event)
				if want := c.want && (f.name != "REST TOKEN" || c.token == "owner"); passes(t, answer, "GET", "/orders") != want {
					t.Errorf("answer %+v", answer)
				}
			})
		}
	}
	w.counts.Take()
	refused := decide(t, w.authorizer(t, false), restEvent(w.bearers["restricted"], "GET", "/orders"))
	if got := told(t, refused); got["error"] != "address_not_allowed" {
		t.Errorf("the backend is told %v", got)
	}
	if counted := w.counts.Take(); counted["BearersRefused address"] != 1 {
		t.Errorf("counted: %v", counted)
	}
}

// The owner of a token that is used from elsewhere has to find out, and nobody may
// fill the trail with it.
func TestAttemptsFromElsewhereAreRecorded(t *testing.T) {
	w := newWorld(t)
	a := w.authorizer(t, false)
	attempt := func() {
		t.Helper()
		event := restEvent(w.bearers["restricted"], "GET", "/orders")
		event["requestContext"] = map[string]any{"requestId": "of-the-gateway", "identity": map[string]any{"sourceIp": away}}
		if passes(t, decide(t, a, event), "GET", "/orders") {
			t.Error("passes")
		}
	}
	var want []string
	for _, omitted := range []int{0, 2} {
		for range 3 {
			attempt()
		}
		id := w.tokens["restricted"].ID
		want = append(want, fmt.Sprintf("personal_access_token_address_refused policy {account 2} by 0 with %d from %s in of-the-gateway, token %d, target restricted at %s, omitted %d",
			id, away, id, w.clock.Now().Format(time.RFC3339), omitted))
		w.clock.Advance(time.Minute)
	}
	var got []string
	for _, event := range w.trail.events {
		got = append(got, eventLine(event))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{"expired", "revoked", "blocked"} {
		decide(t, a, from(restEvent(w.bearers[name], "GET", "/orders"), away))
	}
	if len(w.trail.events) != len(want) {
		t.Errorf("another refusal was recorded: %v", w.trail.events)
	}
	w.trail.err = errors.New("away")
	w.logs.Reset()
	attempt()
	if logged := w.logs.String(); !strings.Contains(logged, `"msg":"event not recorded","function":"authorizer","request_id":"`) || !strings.Contains(logged, `"msg":"bearer refused"`) {
		t.Errorf("logged %s", logged)
	}
}

// Breaks if somebody who shares an address can shut others out: whatever came from it before, a
// good bearer passes, and a wrong one is refused as ever.
func TestAnAddressShutsNobodyOut(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			a := w.authorizer(t, f.simple)
			want := func(bearer string, allowed bool, code any) {
				t.Helper()
				answer := decide(t, a, from(f.event(bearer, "GET", "/orders"), home))
				if got, word := passes(t, answer, "GET", "/orders"), told(t, answer)["error"]; got != allowed || word != code {
					t.Errorf("allowed %t with error %v, want %t with %v", got, word, allowed, code)
				}
			}
			for range 500 {
				want(unknown, false, "invalid_token")
			}
			want(w.bearers["expired"], false, "invalid_token")
			want(w.bearers["owner"], true, nil)
			want(w.bearers["other"], true, nil)
			if asked := w.store.asked; asked != 503 {
				t.Errorf("%d bearers were looked up, of 503", asked)
			}
		})
	}
}
