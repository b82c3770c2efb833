package gitlabapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/verify"
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
	random := c.issuing.Random
	c.breakEngine(func(string) bool {
		c.asked.Add(1)
		return false
	})
	c.issuing.Random = random // a new one would give out the same bearers again
	c.issuer = made(lifecycle.NewIssuer(c.issuing))
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

// Breaks if somebody may go on guessing, or is refused a second too early or
// too late.
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
	before := c.asked.Load()
	refused := c.send(t, home, wrong)
	golden(t, "too many wrong bearers", refused.String())
	if c.asked.Load() != before {
		t.Error("a bearer was looked up for an address that had tried too much")
	}
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

func TestOnlyWrongBearersCount(t *testing.T) {
	for _, test := range []struct {
		name   string
		r      request
		status int
		counts bool
	}{
		{"unknown", wrong, 401, true},
		{"checksum wrong", broken, 401, true},
		{"too long to be one", tooLong, 401, true},
		{"expired", get("tokens", ownToken, "expired"), 401, true},
		{"revoked", get("tokens", ownToken, "revoked"), 401, true},
		{"none", get("tokens", ownToken, ""), 401, false},
		{"good", get("tokens", ownToken, "owner"), 200, false},
		{"of a blocked owner", get("tokens", ownToken, "blocked"), 403, false},
		{"of a deactivated owner", get("tokens", ownToken, "sleeper"), 403, false},
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
	// What could not be decided is no wrong bearer: else an outage of the table
	// would lock everybody out for a minute more.
	t.Run("not decided", func(t *testing.T) {
		c := newCrowd(t, throttle.Limits{WrongBearers: 1})
		away := true
		c.breakEngine(func(string) bool { return away })
		c.functions["tokens"] = gitlabapi.Lambda(c.world.functions()["tokens"], nil)
		if got := c.status(t, home, get("tokens", ownToken, "owner")); got != 503 {
			t.Fatalf("status %d", got)
		}
		away = false
		if got := c.status(t, home, get("tokens", ownToken, "owner")); got != 200 {
			t.Errorf("status %d", got)
		}
	})
}

// Breaks if one script with an old token locks out everybody behind the same
// address, or if the exception for them lets a bearer in that is no good.
func TestWhoSharesAnAddressWithSomebodyWrong(t *testing.T) {
	c := newCrowd(t, throttle.Limits{WrongBearers: 2})
	want := func(address string, r request, status int) {
		t.Helper()
		if got := c.status(t, address, r); got != status {
			t.Errorf("%s from %s: %d, want %d", r.bearer, address, got, status)
		}
	}
	seen, unseen := get("tokens", ownToken, "owner"), get("tokens", ownToken, "other")
	want(home, seen, 200)
	want(home, wrong, 401)
	want(home, wrong, 401)
	want(home, wrong, 429)
	want(home, get("tokens", ownToken, "expired"), 429)
	want(home, get("tokens", ownToken, ""), 401)
	for range 5 {
		want(home, seen, 200)
	}
	want(home, unseen, 429)
	want(away, unseen, 200) // another address has done nothing, and now the bearer is known
	want(home, unseen, 200)

	c.end(t, "owner")
	want(home, seen, 401) // it is looked up as ever
	want(home, seen, 429)
	c.clock.Set(now.Add(30 * time.Second))
	want(home, seen, 401)
	want(home, seen, 429)
}

func TestAddresses(t *testing.T) {
	forwarded := func(r request, address string) request {
		r.header = r.header.Clone()
		r.header.Set("X-Forwarded-For", address)
		r.header.Set("Forwarded", "for="+address)
		r.header.Set("X-Real-Ip", address)
		return r
	}
	for _, test := range []struct {
		name   string
		first  string
		second string
		r      request
		same   bool
	}{
		{"the same", home, home, wrong, true},
		{"another of IPv4", home, "192.0.2.2", wrong, false},
		{"IPv4 in the form of IPv6", home, "::ffff:192.0.2.1", wrong, true},
		{"other IPv4 in the form of IPv6", "::ffff:192.0.2.2", "::ffff:192.0.2.1", wrong, false},
		{"first and last of 64 bits", "2001:db8:0:1::", "2001:db8:0:1:ffff:ffff:ffff:ffff", wrong, true},
		{"64 bits and the next", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::", wrong, false},
		{"a zone is no address", "fe80::1", "fe80::1%eth0", wrong, true},
		{"a header does not free", home, home, forwarded(wrong, away), true},
		{"a header puts nothing on others", away, home, forwarded(wrong, away), false},
		{"none, as from the gateway's own console", "test-invoke-source-ip", "test-invoke-source-ip", wrong, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCrowd(t, throttle.Limits{WrongBearers: 1})
			if got := c.status(t, test.first, wrong); got != 401 {
				t.Fatalf("status %d", got)
			}
			if got := c.status(t, test.second, test.r) == 429; got != test.same {
				t.Errorf("counts as the same: %t, want %t", got, test.same)
			}
		})
	}
}

// The authorizer refuses without a look at the table too, in every format that
// says where a request comes from.
func TestTheAuthorizerRefusesAnAddressThatTriesTooMuch(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			c := newCrowd(t, throttle.Limits{WrongBearers: 2})
			a := c.authorizer(f.simple)
			decide := func(bearer, address string) (bool, string) {
				t.Helper()
				event := f.event(bearer, "GET", "/orders")
				if event["type"] != "TOKEN" {
					source := map[string]any{"sourceIp": address}
					event["requestContext"] = map[string]any{"identity": source}
					if event["version"] == "2.0" {
						event["requestContext"] = map[string]any{"http": source}
					}
				}
				answer, err := a.Decide(t.Context(), raw(t, event))
				check(t, err)
				told := ""
				switch answer := answer.(type) {
				case events.APIGatewayCustomAuthorizerResponse:
					told, _ = answer.Context["error"].(string)
				case events.APIGatewayV2CustomAuthorizerSimpleResponse:
					told, _ = answer.Context["error"].(string)
				}
				return passes(t, answer, "GET", "/orders"), told
			}
			want := func(bearer, address string, allowed bool, told string) {
				t.Helper()
				if got, word := decide(bearer, address); got != allowed || word != told {
					t.Errorf("allowed %t with error %q, want %t with %q", got, word, allowed, told)
				}
			}
			const unknown = "no-such-bearer-anywhere"
			want(c.bearers["owner"], home, true, "")
			want(unknown, home, false, "invalid_token")
			want(c.bearers["expired"], home, false, "invalid_token")
			before := c.asked.Load()
			if f.name == "REST TOKEN" { // such an event has no address
				want(unknown, home, false, "invalid_token")
				return
			}
			want(unknown, home, false, "too_many_requests")
			want(c.bearers["other"], home, false, "too_many_requests")
			if c.asked.Load() != before {
				t.Error("a bearer was looked up for an address that had tried too much")
			}
			want(c.bearers["owner"], home, true, "")
			want(unknown, away, false, "invalid_token")
			c.clock.Set(now.Add(30 * time.Second))
			want(c.bearers["other"], home, true, "")
			if got := c.counts.total["RequestsThrottled wrong_bearers"]; got != 2 {
				t.Errorf("%d refusals were counted as such, of 2", got)
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

func TestNoLimits(t *testing.T) {
	c := newCrowd(t, throttle.Limits{})
	for range 200 {
		if got := c.status(t, home, broken); got != 401 {
			t.Fatalf("status %d", got)
		}
	}
	for range 120 {
		if got := c.status(t, home, post("issue", ownTokens, "owner", `{}`)); got != 400 {
			t.Fatalf("status %d", got)
		}
	}
}

// Many at once find the last try unused at most once each.
func TestAFloodAtOnce(t *testing.T) {
	const limit, workers, tries = 20, 8, 100
	c := newCrowd(t, throttle.Limits{WrongBearers: limit})
	var looked, refused atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range tries {
				switch got := c.status(t, home, wrong); got {
				case 401:
					looked.Add(1)
				case 429:
					refused.Add(1)
				default:
					t.Errorf("status %d", got)
				}
			}
		})
	}
	group.Wait()
	if n := looked.Load(); n < limit || n > limit+workers || n+refused.Load() != workers*tries {
		t.Errorf("%d looked up and %d refused, of %d with a limit of %d", n, refused.Load(), workers*tries, limit)
	}
}

// A refusal for too many tries says nothing about the bearer.
func TestATooOftenTriedBearerIsNotDescribed(t *testing.T) {
	c := newCrowd(t, throttle.Limits{WrongBearers: 1})
	c.send(t, home, wrong)
	want := c.send(t, home, wrong).String()
	c.issue(t, "new", "owner", scope.API)
	for _, r := range []request{broken, get("tokens", ownToken, "expired"), get("tokens", ownToken, "revoked"), get("tokens", ownToken, "new"), get("tokens", ownToken, "blocked")} {
		if got := c.send(t, home, r).String(); got != want {
			t.Errorf("%s differs from %s", got, want)
		}
	}
	var refusal *verify.Refusal
	if _, err := c.verifier.Verify(t.Context(), c.bearers["expired"], netip.Addr{}); !errors.As(err, &refusal) {
		t.Error(err) // else the replies are alike for another reason
	}
}
