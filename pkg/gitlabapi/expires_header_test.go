package gitlabapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/scope"
)

const expires = "X-Latchkey-Token-Expires"

// A program that does not read mails has to learn of the end of its token in
// time, to the second.
func TestRepliesTellOfAnEndThatIsNear(t *testing.T) {
	const on = "2026-06-27" // of every token of the world
	end := time.Date(2026, 6, 27, 0, 0, 0, 0, time.UTC)
	const days = 24 * time.Hour
	for _, c := range []struct {
		name string
		left time.Duration
		want string
	}{
		{"30 days and a second", 30*days + time.Second, ""},
		{"30 days", 30 * days, ""},
		{"a second less than 30 days", 30*days - time.Second, on},
		{"29 days", 29 * days, on},
		{"a day", days, on},
		{"a second", time.Second, on},
		{"nothing", 0, ""}, // it is refused
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.clock.Set(end.Add(-c.left))
			for _, r := range []request{
				get("tokens", ownToken, "owner"),
				get("directory", "/api/v4/user", "profile"),
				get("settings", "/api/v4/version", "owner"),
				remove(everyToken+"/"+readingToken, "owner"),
				post("issue", ownTokens, "owner", validCreation),
				// Also where the request fails for another reason.
				get("tokens", everyToken, "registry"),
				get("tokens", everyToken+"/"+missingToken, "owner"),
				post("issue", forOwner, "owner", ""),
				post("issue", ownTokens, "owner", `{"name":`),
				get("directory", "/api/v4/user?sudo=3", "owner"),
				get("directory", "/api/v4/user?sudo=nobody", "root"),
			} {
				for _, through := range []door{throughHTTP, throughLambda} {
					got := through(t, w, r)
					if value := strings.Join(got.header.Values(expires), ","); value != c.want {
						t.Errorf("%s %s: %q in %s", r.method, r.target, value, got)
					}
				}
			}
		})
	}
}

func TestRepliesTellNobodyElseOfAnEnd(t *testing.T) {
	w := newWorld(t)
	w.clock.Set(time.Date(2026, 6, 26, 0, 0, 0, 0, time.UTC))
	for name, r := range map[string]request{
		"without a credential":       get("tokens", ownToken, ""),
		"with an unknown bearer":     {function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "no-such-bearer-anywhere")},
		"with a revoked bearer":      get("tokens", ownToken, "revoked"),
		"with an expired bearer":     get("tokens", ownToken, "expired"),
		"of a blocked owner":         get("tokens", ownToken, "blocked"),
		"at a route that is not":     get("", "/api/v4/nothing", "owner"),
		"with two bearers":           {function: "tokens", method: "GET", target: ownToken, header: http.Header{"Private-Token": {"a", "b"}}},
		"for a token without an end": get("tokens", ownToken, "endless"),
	} {
		if name == "for a token without an end" {
			w.issue(t, "endless", "owner", scope.API)
			w.set(t, "endless", "expires_on", clock.Day{}.String())
		}
		if got := throughLambda(t, w, r); got.header.Get(expires) != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Under sudo it is the presented token that ends.
	w.set(t, "other", "expires_on", "2026-06-30")
	if got := throughLambda(t, w, get("directory", "/api/v4/user?sudo=3", "root")); got.header.Get(expires) != "2026-06-27" {
		t.Errorf("under sudo: %s", got)
	}
}

// Where a token was used from is shown to whoever may see it.
func TestLastUsedAddressesAreShown(t *testing.T) {
	w := newWorld(t)
	for _, from := range []string{"198.51.100.1", "2001:db8::1", "198.51.100.1", "198.51.100.2"} {
		w.clock.Advance(time.Minute)
		event := get("tokens", ownToken, "owner").event(w)
		event["requestContext"].(map[string]any)["identity"] = map[string]any{"sourceIp": from}
		if got := throughGatewayOf(t, w, "tokens", event); got.status != 200 {
			t.Fatalf("%s", got)
		}
	}
	const want = `"last_used_ips":["198.51.100.2","2001:db8::1","198.51.100.1"]`
	for _, bearer := range []string{"reading", "root"} {
		if got := throughHTTP(t, w, get("tokens", everyToken+"/"+ownerToken, bearer)); !strings.Contains(got.body, want) {
			t.Errorf("%s is shown %s", bearer, got)
		}
		if got := throughHTTP(t, w, get("tokens", everyToken+"?search=owner", bearer)); !strings.Contains(got.body, want) {
			t.Errorf("%s is listed %s", bearer, got)
		}
	}
	if got := throughHTTP(t, w, get("tokens", everyToken+"/"+ownerToken, "other")); got.status != 401 {
		t.Errorf("somebody else gets %s", got)
	}
	rotated := throughHTTP(t, w, post("issue", everyToken+"/"+ownerToken+"/rotate", "root", ""))
	if !strings.Contains(rotated.body, `"last_used_ips":[]`) {
		t.Errorf("the successor has been used: %s", rotated)
	}
}
