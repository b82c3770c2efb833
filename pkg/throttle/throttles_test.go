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
	"latchkey/pkg/secret"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

var home = netip.MustParseAddr("192.0.2.1")

// wrong tries a wrong bearer, and reports whether it was one too many.
func wrong(t *testing.T, limited *throttle.Throttles, from netip.Addr, at time.Time) bool {
	t.Helper()
	switch err := limited.WrongBearer(token.ErrUnknown, from, at); {
	case errors.Is(err, throttle.ErrThrottled) && fault.KindOf(err) == fault.Throttled:
		return true
	case !errors.Is(err, token.ErrUnknown):
		t.Errorf("answered with %v", err)
	}
	return false
}

// Breaks if somebody may go on guessing unnoticed, or is refused a second too early or too
// late.
func TestAnAddressMayTrySoManyWrongBearers(t *testing.T) {
	limited := throttle.New(throttle.Limits{WrongBearers: 3})
	for _, step := range []struct {
		after time.Duration
		want  []bool
	}{
		{0, []bool{false, false, false, true, true}},
		{19 * time.Second, []bool{true}},
		{20 * time.Second, []bool{false, true}},
		{10 * time.Minute, []bool{false, false, false, true}},
	} {
		for i, want := range step.want {
			if got := wrong(t, limited, home, now.Add(step.after)); got != want {
				t.Errorf("after %s, try %d: throttled %t, want %t", step.after, i, got, want)
			}
		}
	}
	err := limited.WrongBearer(token.ErrUnknown, home, now.Add(10*time.Minute))
	var refusal *throttle.Refusal
	if want := (throttle.Refusal{Code: "wrong_bearers", Limit: 3, Remaining: 0, Wait: 20}); !errors.As(err, &refusal) || *refusal != want {
		t.Errorf("refused with %+v, want %+v", refusal, want)
	}
}

// Only what was looked up and answered 401 counts, and only that is ever throttled. What could not
// be decided is no wrong bearer: else an outage of the table would lock everybody out for a minute
// more. What cannot be a bearer cost nothing.
func TestOnlyWrongBearersCount(t *testing.T) {
	of := func(err error) error { return &verify.Refusal{Err: err} }
	for name, c := range map[string]struct {
		answer error
		counts bool
	}{
		"unknown":                       {token.ErrUnknown, true},
		"expired":                       {of(token.ErrExpired), true},
		"revoked":                       {of(token.ErrRevoked), true},
		"impersonation, switched off":   {of(token.ErrImpersonation), true},
		"not in the form of a bearer":   {fmt.Errorf("%w: %w", token.ErrUnknown, secret.ErrMalformed), false},
		"from elsewhere":                {of(token.ErrAddress), false},
		"none":                          {token.ErrMissing, false},
		"of a blocked owner":            {of(account.ErrBlocked), false},
		"of a deactivated owner":        {of(account.ErrDeactivated), false},
		"not decided: table away":       {fault.ErrUnavailable, false},
		"not decided: record corrupt":   {fault.ErrCorrupt, false},
		"not decided: time has run out": {context.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			limited := throttle.New(throttle.Limits{WrongBearers: 1})
			if got := limited.WrongBearer(c.answer, home, now); !errors.Is(got, c.answer) {
				t.Errorf("the first one is answered with %v", got)
			}
			if got := wrong(t, limited, home, now); got != c.counts {
				t.Errorf("counts: %t, want %t", got, c.counts)
			}
			if got := errors.Is(limited.WrongBearer(c.answer, home, now), throttle.ErrThrottled); got != c.counts {
				t.Errorf("beyond the limit it is throttled: %t, want %t", got, c.counts)
			}
		})
	}
}

func TestWhatOneClientCanHold(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		same                bool
	}{
		{"the same", "192.0.2.1", "192.0.2.1", true},
		{"another of IPv4", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 in either form", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two of IPv4 in the form of IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"first and last of 64 bits", "2001:db8:0:1::", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"64 bits and the next", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::", false},
		{"a zone is no address", "fe80::1", "fe80::1%eth0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := netip.MustParseAddr(c.first), netip.MustParseAddr(c.second)
			limited := throttle.New(throttle.Limits{WrongBearers: 1, LeakReports: 1})
			if wrong(t, limited, first, now) {
				t.Fatal("throttled at once")
			}
			if got := wrong(t, limited, second, now); got != c.same {
				t.Errorf("wrong bearers count as the same: %t, want %t", got, c.same)
			}
			if err := limited.ReportLeak(first, now); err != nil {
				t.Fatal(err)
			}
			if got := limited.ReportLeak(second, now) != nil; got != c.same {
				t.Errorf("reports count as the same: %t, want %t", got, c.same)
			}
		})
	}
	t.Run("an address that is not known has no limit", func(t *testing.T) {
		limited := throttle.New(throttle.Limits{WrongBearers: 1, LeakReports: 1, SignIns: 1})
		for range 3 {
			if err := limited.ReportLeak(netip.Addr{}, now); err != nil || limited.SignIn(netip.Addr{}, now) != nil || wrong(t, limited, netip.Addr{}, now) {
				t.Error("throttled")
			}
		}
	})
}

// Each limit refuses under its own code, and no key counts for another.
func TestEveryLimit(t *testing.T) {
	limited := throttle.New(throttle.Limits{WrongBearers: 2, Creations: 2, LeakReports: 2, SignIns: 2})
	for name, take := range map[string]func(t *throttle.Throttles, key int) error{
		"creations": func(t *throttle.Throttles, key int) error { return t.Create(account.ID(key), now) },
		"leak_reports": func(t *throttle.Throttles, key int) error {
			return t.ReportLeak(netip.AddrFrom4([4]byte{10, 0, 0, byte(key)}), now)
		},
		"sign_ins": func(t *throttle.Throttles, key int) error {
			return t.SignIn(netip.AddrFrom4([4]byte{10, 0, 0, byte(key)}), now)
		},
		"wrong_bearers": func(t *throttle.Throttles, key int) error {
			err := t.WrongBearer(token.ErrUnknown, netip.AddrFrom4([4]byte{10, 0, 0, byte(key)}), now)
			if errors.Is(err, token.ErrUnknown) {
				return nil
			}
			return err
		},
	} {
		for key := range 2 {
			for range 2 {
				if err := take(limited, key); err != nil {
					t.Errorf("%s: %v within the limit", name, err)
				}
			}
		}
		var refusal *throttle.Refusal
		if err := take(limited, 0); !errors.As(err, &refusal) || refusal.Code != name || refusal.Limit != 2 {
			t.Errorf("%s: %v beyond the limit", name, err)
		}
		unlimited := throttle.Unlimited()
		for range 200 {
			if err := take(unlimited, 0); err != nil {
				t.Fatalf("%s: %v without a limit", name, err)
			}
		}
	}
}

// Many at once get the limit and not one try more.
func TestAFloodAtOnce(t *testing.T) {
	const limit, workers, tries = 20, 8, 100
	limited := throttle.New(throttle.Limits{WrongBearers: limit})
	var passed atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range tries {
				if !wrong(t, limited, home, now) {
					passed.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := passed.Load(); n != limit {
		t.Errorf("%d passed, with a limit of %d", n, limit)
	}
}
