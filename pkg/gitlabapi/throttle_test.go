package gitlabapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
)

// A crowd is a world whose functions live on from request to request, as an
// instance does, and that counts how often the table is asked.
type crowd struct {
	*world
	functions map[string]lambda.Handler
	asked     atomic.Int64
}

func newCrowd(tb testing.TB, limits throttle.Limits) *crowd {
	tb.Helper()
	c := &crowd{world: newWorld(tb), functions: map[string]lambda.Handler{}}
	c.breakEngine(func(string) bool {
		c.asked.Add(1)
		return false
	})
	c.throttles = throttle.New(limits)
	for name, handler := range c.world.functions() {
		c.functions[name] = gitlabapi.Lambda(handler, nil)
	}
	return c
}

// send sends a request as the gateway reports it from an address.
func (c *crowd) send(tb testing.TB, address string, r request) response {
	tb.Helper()
	event := r.event(c.world)
	event["requestContext"].(map[string]any)["identity"] = map[string]any{"sourceIp": address}
	got := invoke(tb, c.functions[r.serving()], r.method, event)
	limited := got.header.Get("Ratelimit-Limit") != ""
	for _, name := range []string{"Retry-After", "Ratelimit-Observed", "Ratelimit-Remaining", "Ratelimit-Reset"} {
		limited = limited || name != "Retry-After" && got.header.Get(name) != ""
		if got.status == http.StatusTooManyRequests && got.header.Get(name) == "" {
			tb.Errorf("429 without %s", name)
		}
	}
	if limited != (got.status == http.StatusTooManyRequests) {
		tb.Errorf("rate limit in the headers of a %d: %v", got.status, got.header)
	}
	return got
}

// status is send for who only wants to know how it went.
func (c *crowd) status(tb testing.TB, address string, r request) int {
	tb.Helper()
	return c.send(tb, address, r).status
}

const (
	home = "192.0.2.1"
	away = "198.51.100.7"
)

var (
	wrong   = request{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "no-such-bearer-anywhere")}
	broken  = request{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "lkpat_000000000000000000000000000000000000")}
	tooLong = request{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", strings.Repeat("x", 256))}
)

// Breaks if a guesser is not told, or is told a second too early or too late.
func TestAnAddressMayTrySoManyWrongBearers(t *testing.T) {
	c := newCrowd(t, throttle.Limits{WrongBearers: 3})
	try := func(want int) {
		t.Helper()
		if got := c.status(t, home, wrong); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	for range 3 {
		try(401)
	}
	golden(t, "too many wrong bearers", c.send(t, home, wrong).String())
	try(429)
	c.clock.Set(now.Add(19 * time.Second))
	try(429)
	c.clock.Set(now.Add(20 * time.Second))
	try(401)
	try(429)
	c.clock.Set(now.Add(21 * time.Second))
	try(429)
	c.clock.Set(now.Add(10 * time.Minute))
	for range 3 {
		try(401)
	}
	try(429)
	if got := c.counts.total["RequestsThrottled wrong_bearers"]; got != 6 {
		t.Errorf("%d refusals were counted as such, of 6", got)
	}
	if got := c.counts.total["BearersRefused unknown"]; got != 7 {
		t.Errorf("%d wrong bearers were counted, of 7", got)
	}
}

// What comes after a good bearer is no guess, whatever becomes of it.
func TestOnlyWrongBearersCount(t *testing.T) {
	for _, test := range []struct {
		name   string
		r      request
		status int
		counts bool
	}{
		{"unknown", wrong, 401, true},
		{"checksum wrong", broken, 401, false},
		{"too long to be one", tooLong, 401, false},
		{"good", get("tokens", ownToken, "owner"), 200, false},
		{"without a sufficient scope", get("tokens", everyToken, "registry"), 403, false},
		{"good, for something that is not there", get("tokens", everyToken+"/"+missingToken, "owner"), 401, false},
		{"for no route", get("", "/api/v4/nothing", ""), 404, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCrowd(t, throttle.Limits{WrongBearers: 1})
			if got := c.status(t, home, test.r); got != test.status {
				t.Fatalf("status %d, want %d", got, test.status)
			}
			if got := c.status(t, home, wrong) == 429; got != test.counts {
				t.Errorf("counts: %t, want %t", got, test.counts)
			}
		})
	}
}

// Breaks if a client can write where it comes from, to be free of a limit or to put
// its tries on others.
func TestHeadersNameNoAddress(t *testing.T) {
	for _, test := range []struct {
		name, first, claims string
		same                bool
	}{
		{"a header does not free", home, away, true},
		{"a header puts nothing on others", away, away, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCrowd(t, throttle.Limits{WrongBearers: 1})
			if got := c.status(t, test.first, wrong); got != 401 {
				t.Fatalf("status %d", got)
			}
			forwarded := wrong
			forwarded.header = wrong.header.Clone()
			forwarded.header.Set("X-Forwarded-For", test.claims)
			forwarded.header.Set("Forwarded", "for="+test.claims)
			forwarded.header.Set("X-Real-Ip", test.claims)
			if got := c.status(t, home, forwarded) == 429; got != test.same {
				t.Errorf("counts as the same: %t, want %t", got, test.same)
			}
		})
	}
}

// Breaks if an account can fill the table with tokens as fast as it can ask.
func TestAnAccountMayMakeSoManyTokens(t *testing.T) {
	create := post("issue", ownTokens, "owner", validCreation)
	rotate := post("issue", everyToken+"/"+readingToken+"/rotate", "owner", "")
	t.Run("creating and rotating count alike, wherever it comes from", func(t *testing.T) {
		c := newCrowd(t, throttle.Limits{Creations: 3})
		for i, r := range []request{create, rotate, create} {
			if got := c.status(t, fmt.Sprintf("192.0.2.%d", i), r); got/100 != 2 {
				t.Fatalf("request %d: status %d", i, got)
			}
		}
		before := c.snapshot(t)
		refused := c.send(t, away, create)
		golden(t, "too many creations", refused.String())
		for _, r := range []request{rotate, post("issue", ownToken+"/rotate", "rotating", ""), post("issue", "/api/v4/projects/1/access_tokens", "owner", "{}")} {
			if got := c.status(t, home, r); got != 429 {
				t.Errorf("%s: status %d", r.target, got)
			}
		}
		if c.snapshot(t) != before {
			t.Error("something was written")
		}
		if got := c.counts.total["RequestsThrottled creations"]; got != 4 {
			t.Errorf("%d refusals were counted as such, of 4", got)
		}
		if got := c.status(t, home, get("tokens", ownToken, "owner")); got != 200 {
			t.Errorf("looking at a token: status %d", got)
		}
		if got := c.status(t, home, post("issue", ownTokens, "other", validCreation)); got != 201 {
			t.Errorf("somebody else: status %d", got)
		}
		c.clock.Set(now.Add(19 * time.Second))
		if got := c.status(t, home, create); got != 429 {
			t.Errorf("a second early: status %d", got)
		}
		c.clock.Set(now.Add(20 * time.Second))
		if got := c.status(t, home, create); got != 201 {
			t.Errorf("in time: status %d", got)
		}
	})
	t.Run("administrators are no exception, and sudo counts for who uses it", func(t *testing.T) {
		c := newCrowd(t, throttle.Limits{Creations: 2})
		for _, target := range []string{forOwner, "/api/v4/users/3/impersonation_tokens"} {
			if got := c.status(t, home, post("issue", target, "root", validCreation)); got != 201 {
				t.Fatalf("%s: status %d", target, got)
			}
		}
		if got := c.status(t, home, post("issue", ownTokens+"?sudo=2", "root", validCreation)); got != 429 {
			t.Errorf("with sudo: status %d", got)
		}
		if got := c.status(t, home, create); got != 201 {
			t.Errorf("the account that was acted as: status %d", got)
		}
	})
	t.Run("what is refused before it is looked at does not count", func(t *testing.T) {
		c := newCrowd(t, throttle.Limits{Creations: 1})
		for _, r := range []request{post("issue", ownTokens, "reading", validCreation), post("issue", forOwner, "owner", validCreation)} {
			if got := c.status(t, home, r); got != 403 {
				t.Fatalf("status %d", got)
			}
		}
		if got := c.status(t, home, create); got != 201 {
			t.Errorf("status %d", got)
		}
	})
}

// Breaks if whoever shares an address can shut others out: beyond the limit, every bearer is looked
// up as before, and only the 401 of a wrong one becomes a 429, which says nothing about it.
func TestOnlyWrongBearersAreThrottled(t *testing.T) {
	c := newCrowd(t, throttle.Limits{WrongBearers: 1})
	c.send(t, home, wrong)
	want := c.send(t, home, wrong).String()
	for _, name := range []string{"expired", "revoked"} {
		if got := c.send(t, home, get("tokens", ownToken, name)).String(); got != want {
			t.Errorf("%s: %s differs from %s", name, got, want)
		}
	}
	c.issue(t, "new", "owner", scope.API)
	for name, test := range map[string]struct {
		r      request
		status int
	}{
		"good, and never seen before": {get("tokens", ownToken, "new"), 200},
		"of a blocked owner":          {get("tokens", ownToken, "blocked"), 403},
		"not a bearer":                {broken, 401},
		"too long to be one":          {tooLong, 401},
	} {
		if got := c.status(t, home, test.r); got != test.status {
			t.Errorf("%s: status %d, want %d", name, got, test.status)
		}
	}
}

// Breaks if values that cannot be bearers fill a table, or cost a read.
func TestMalformedBearersCostNothing(t *testing.T) {
	c := newCrowd(t, throttle.Limits{WrongBearers: 1})
	before := c.asked.Load()
	for i := range 20 {
		address := fmt.Sprintf("2001:db8:0:%x::1", i%2)
		for _, r := range []request{broken, tooLong} {
			if got := c.status(t, address, r); got != 401 {
				t.Errorf("status %d", got)
			}
		}
	}
	if c.asked.Load() != before {
		t.Error("a value that cannot be a bearer was looked up")
	}
	if got := c.status(t, "2001:db8::1", wrong); got != 401 {
		t.Errorf("a first wrong bearer: status %d", got)
	}
}

// Breaks if wrong bearers from its address stop the retry of a rotation or the alarm about a
// stolen token.
func TestRotationsBeyondTheLimit(t *testing.T) {
	c := newCrowd(t, throttle.Limits{WrongBearers: 1})
	guess := post("issue", ownToken+"/rotate", "", "")
	guess.header = wrong.header
	for _, want := range []int{401, 429} {
		if got := c.status(t, home, guess); got != want {
			t.Fatalf("a guess: status %d, want %d", got, want)
		}
	}
	rotate := post("issue", ownToken+"/rotate", "owner", "")
	rotate.header = header("Idempotency-Key", "a-key-of-one-attempt")
	first := c.send(t, home, rotate)
	if again := c.send(t, home, rotate); first.status != 200 || again.body != first.body {
		t.Errorf("the retry of a rotation: %s", again)
	}
	c.learn(t, "successor", first)
	if got := c.status(t, home, post("issue", ownToken+"/rotate", "owner", "")); got != 429 {
		t.Errorf("reuse: status %d", got)
	}
	if got := c.status(t, away, get("tokens", ownToken, "successor")); got != 401 {
		t.Errorf("the successor of a reused token: status %d", got)
	}
}
