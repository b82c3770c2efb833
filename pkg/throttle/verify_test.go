package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// answers is a verifier that has an answer for each bearer.
type answers map[string]error

func (a answers) Verify(_ context.Context, value string, _ netip.Addr) (principal.Principal, error) {
	return principal.Principal{Account: account.Account{ID: 1}}, a[value]
}

var (
	home = netip.MustParseAddr("192.0.2.1")
	away = netip.MustParseAddr("198.51.100.7")
)

// A visitor tries bearers, and says what came of it in a word.
type visitor struct {
	*throttle.Throttles
	answers answers
	now     time.Time
}

func visit(limits throttle.Limits) *visitor {
	return &visitor{throttle.New(limits), answers{"wrong": token.ErrUnknown}, now}
}

func (v *visitor) try(t *testing.T, value string, from netip.Addr) string {
	t.Helper()
	caller, err := v.Verify(t.Context(), v.answers, value, from, v.now)
	switch {
	case errors.Is(err, throttle.ErrThrottled):
		if caller.Account.ID != 0 || fault.KindOf(err) != fault.Throttled {
			t.Errorf("%q: %v of kind %d beside a refusal", value, caller, fault.KindOf(err))
		}
		return "throttled"
	case err != nil:
		return "refused"
	}
	return "good"
}

func (v *visitor) want(t *testing.T, value string, from netip.Addr, want string) {
	t.Helper()
	if got := v.try(t, value, from); got != want {
		t.Errorf("%q from %s at %s: %s, want %s", value, from, v.now.Format(time.TimeOnly), got, want)
	}
}

// Breaks if somebody may go on guessing, or is refused a second too early or too
// late.
func TestAnAddressMayTrySoManyWrongBearers(t *testing.T) {
	v := visit(throttle.Limits{WrongBearers: 3})
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{0, []string{"refused", "refused", "refused", "throttled", "throttled"}},
		{19 * time.Second, []string{"throttled"}},
		{20 * time.Second, []string{"refused", "throttled"}},
		{10 * time.Minute, []string{"refused", "refused", "refused", "throttled"}},
	} {
		v.now = now.Add(step.after)
		for _, want := range step.want {
			v.want(t, "wrong", home, want)
		}
	}
	_, err := v.Verify(t.Context(), v.answers, "wrong", home, v.now)
	var refusal *throttle.Refusal
	if want := (throttle.Refusal{Code: throttle.WrongBearers, Limit: 3, Remaining: 0, Wait: 20}); !errors.As(err, &refusal) || *refusal != want {
		t.Errorf("refused with %+v, want %+v", refusal, want)
	}
}

// What could not be decided is no wrong bearer: else an outage of the table would
// lock everybody out for a minute more.
func TestOnlyWrongBearersCount(t *testing.T) {
	of := func(err error) error { return &verify.Refusal{Err: err} }
	for name, c := range map[string]struct {
		value  string
		answer error
		counts bool
	}{
		"unknown":                       {"b", token.ErrUnknown, true},
		"not in the form of a bearer":   {"b", fmt.Errorf("%w: %w", token.ErrUnknown, errors.New("malformed")), true},
		"expired":                       {"b", of(token.ErrExpired), true},
		"revoked":                       {"b", of(token.ErrRevoked), true},
		"impersonation, switched off":   {"b", of(token.ErrImpersonation), true},
		"from elsewhere":                {"b", of(token.ErrAddress), true},
		"none":                          {"", token.ErrMissing, false},
		"good":                          {"b", nil, false},
		"of a blocked owner":            {"b", of(account.ErrBlocked), false},
		"of a deactivated owner":        {"b", of(account.ErrDeactivated), false},
		"not decided: table away":       {"b", fault.ErrUnavailable, false},
		"not decided: record corrupt":   {"b", fault.ErrCorrupt, false},
		"not decided: time has run out": {"b", context.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := visit(throttle.Limits{WrongBearers: 1})
			v.answers[c.value] = c.answer
			v.try(t, c.value, home)
			if got := v.try(t, "wrong", home) == "throttled"; got != c.counts {
				t.Errorf("counts: %t, want %t", got, c.counts)
			}
		})
	}
}

// Breaks if one script with an old token locks out everybody behind the same
// address, or if the exception for them lets a bearer in that is no good.
func TestBearersThatWereGoodAreStillLookedUp(t *testing.T) {
	v := visit(throttle.Limits{WrongBearers: 2})
	v.answers["expired"] = token.ErrExpired
	v.want(t, "seen", home, "good")
	v.want(t, "wrong", home, "refused")
	v.want(t, "wrong", home, "refused")
	v.want(t, "wrong", home, "throttled")
	v.want(t, "expired", home, "throttled")
	v.answers[""] = token.ErrMissing
	v.want(t, "", home, "refused")
	for range 5 {
		v.want(t, "seen", home, "good")
	}
	v.want(t, "unseen", home, "throttled")
	v.want(t, "unseen", away, "good") // another address has done nothing, and now the bearer is known
	v.want(t, "unseen", home, "good")

	v.answers["seen"] = token.ErrRevoked
	v.want(t, "seen", home, "refused") // it is looked up as ever
	v.want(t, "seen", home, "throttled")
	v.now = now.Add(30 * time.Second)
	v.want(t, "seen", home, "refused")
	v.want(t, "seen", home, "throttled")
}

func TestWhatOneClientCanHold(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		same                bool
	}{
		{"the same", "192.0.2.1", "192.0.2.1", true},
		{"another of IPv4", "192.0.2.1", "192.0.2.2", false},
		{"first and last of 64 bits", "2001:db8:0:1::", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"64 bits and the next", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::", false},
		{"a zone is no address", "fe80::1", "fe80::1%eth0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := netip.MustParseAddr(c.first), netip.MustParseAddr(c.second)
			v := visit(throttle.Limits{WrongBearers: 1, LeakReports: 1})
			v.want(t, "wrong", first, "refused")
			if got := v.try(t, "wrong", second) == "throttled"; got != c.same {
				t.Errorf("wrong bearers count as the same: %t, want %t", got, c.same)
			}
			if err := v.ReportLeak(first, now); err != nil {
				t.Fatal(err)
			}
			if got := v.ReportLeak(second, now) != nil; got != c.same {
				t.Errorf("reports count as the same: %t, want %t", got, c.same)
			}
		})
	}
	t.Run("an address that is not known has no limit", func(t *testing.T) {
		v := visit(throttle.Limits{WrongBearers: 1, LeakReports: 1})
		for range 3 {
			v.want(t, "wrong", netip.Addr{}, "refused")
			if err := v.ReportLeak(netip.Addr{}, now); err != nil {
				t.Error(err)
			}
		}
	})
}

// Each limit refuses under its own code, and no key counts for another.
func TestEveryLimit(t *testing.T) {
	limited := throttle.New(throttle.Limits{WrongBearers: 2, Creations: 2, LeakReports: 2})
	for name, c := range map[string]struct {
		limit int
		take  func(t *throttle.Throttles, key int) error
	}{
		"creations": {2, func(t *throttle.Throttles, key int) error { return t.Create(account.ID(key), now) }},
		"leak_reports": {2, func(t *throttle.Throttles, key int) error {
			return t.ReportLeak(netip.AddrFrom4([4]byte{10, 0, 0, byte(key)}), now)
		}},
		"strays": {1, func(t *throttle.Throttles, key int) error { return t.Stray(token.ID(key), now) }},
	} {
		for key := range 2 {
			for range c.limit {
				if err := c.take(limited, key); err != nil {
					t.Errorf("%s: %v within the limit", name, err)
				}
			}
		}
		var refusal *throttle.Refusal
		if err := c.take(limited, 0); !errors.As(err, &refusal) || refusal.Code != name || refusal.Limit != c.limit {
			t.Errorf("%s: %v beyond the limit", name, err)
		}
		unlimited := throttle.Unlimited()
		for range 200 {
			if err := c.take(unlimited, 0); err != nil {
				t.Fatalf("%s: %v without a limit", name, err)
			}
		}
	}
	v := &visitor{throttle.Unlimited(), answers{"wrong": token.ErrUnknown}, now}
	for range 200 {
		v.want(t, "wrong", home, "refused")
	}
}

// Many at once find the last try unused at most once each.
func TestAFloodAtOnce(t *testing.T) {
	const limit, workers, tries = 20, 8, 100
	v := visit(throttle.Limits{WrongBearers: limit})
	var looked, refused atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range tries {
				if v.try(t, "wrong", home) == "throttled" {
					refused.Add(1)
				} else {
					looked.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := looked.Load(); n < limit || n > limit+workers || n+refused.Load() != workers*tries {
		t.Errorf("%d looked up and %d refused, of %d with a limit of %d", n, refused.Load(), workers*tries, limit)
	}
}
