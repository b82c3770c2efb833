// Package throttle limits callers who ask too often, from the memory of one instance of a function.
//
// Start with New and the methods of Throttles. The package counts, and answers with a Refusal that
// says how long to wait. It writes no reply, no header and no audit event, and makes no request.
// Instances do not know of each other, so limits over all of them belong to the gateway and the
// firewall.
package throttle

import (
	"container/list"
	"errors"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate" // token bucket; maintained by the Go team

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// Limits are how often a minute something may be done; 0 is no limit. The uses of a minute may come
// at once.
type Limits struct {
	// WrongBearers is how many wrong bearers one address may try.
	WrongBearers int
	// Creations is how many tokens one account may request.
	Creations int
	// LeakReports is how many reports of leaked values one address may send.
	LeakReports int
	// SignIns is how many sign-ins one address may finish, with or without success.
	SignIns int
}

// Throttles count what an instance of a function has seen. They are safe for
// concurrent use.
type Throttles struct {
	wrongBearers *throttle[netip.Prefix]
	creations    *throttle[account.ID]
	leakReports  *throttle[netip.Prefix]
	signIns      *throttle[netip.Prefix]
}

// New returns throttles without any counts.
func New(limits Limits) *Throttles {
	return &Throttles{
		wrongBearers: newThrottle[netip.Prefix]("wrong_bearers", limits.WrongBearers),
		creations:    newThrottle[account.ID]("creations", limits.Creations),
		leakReports:  newThrottle[netip.Prefix]("leak_reports", limits.LeakReports),
		signIns:      newThrottle[netip.Prefix]("sign_ins", limits.SignIns),
	}
}

// Unlimited returns throttles that refuse nothing.
func Unlimited() *Throttles { return New(Limits{}) }

// WrongBearer counts the verifier's refusal of a bearer from an address, and returns it, or a
// Refusal in its place if the address has tried too many wrong bearers. Call it when the bearer has
// been looked up: many people can share an address, and one script with an expired token must not
// lock out the others.
//
// Wrong is what was looked up and is not good. A value that cannot be a bearer does not count,
// because it cost nothing, nor does a good one from outside its networks or of an inactive owner.
// An unknown address has no limit.
func (t *Throttles) WrongBearer(refused error, from netip.Addr, now time.Time) error {
	if !errors.Is(refused, token.ErrInvalid) || !from.IsValid() {
		return refused
	}
	for _, err := range []error{token.ErrMissing, token.ErrAddress, secret.ErrMalformed} {
		if errors.Is(refused, err) {
			return refused
		}
	}
	if err := t.wrongBearers.take(networkOf(from), now); err != nil {
		return err
	}
	return refused
}

// Create counts a request for a new token. holder is the administrator under sudo, because an
// administrator could otherwise use up the limits of others.
func (t *Throttles) Create(holder account.ID, now time.Time) error {
	return t.creations.take(holder, now)
}

// ReportLeak counts a report of leaked values. An unknown address has no limit.
func (t *Throttles) ReportLeak(from netip.Addr, now time.Time) error {
	if !from.IsValid() {
		return nil
	}
	return t.leakReports.take(networkOf(from), now)
}

// SignIn counts the end of a sign-in, which asks the identity provider. An unknown address has no
// limit.
func (t *Throttles) SignIn(from netip.Addr, now time.Time) error {
	if !from.IsValid() {
		return nil
	}
	return t.signIns.take(networkOf(from), now)
}

// ErrThrottled is the family of refusals for doing something too often.
var ErrThrottled = fault.New(fault.Throttled, "too many requests")

// A Refusal says which limit was reached, and how long to wait.
type Refusal struct {
	Code      string
	Limit     int // uses a minute
	Remaining int
	Wait      int // whole seconds
}

func (r *Refusal) Error() string { return ErrThrottled.Error() + ": " + r.Code }

func (*Refusal) Unwrap() error { return ErrThrottled }

// maxKeys is how many keys a throttle distinguishes, at some 200 bytes each. An instance sees fewer
// in the minute in which they matter.
const maxKeys = 10_000

// A throttle is a token bucket for each key: as many uses as the limit at once, then one more in
// every part of a minute. A limit of 0 is none.
//
// It keeps maxKeys buckets. A bucket that was unused for a minute is full and can be dropped. While
// all were used within the minute, new keys have no limit: a flood of addresses takes no more
// memory, drops nobody's bucket, and shuts nobody else out.
type throttle[K comparable] struct {
	code  string
	limit int

	mu      sync.Mutex
	buckets map[K]*list.Element // in order
	order   list.List           // of *bucket[K], by last use, oldest in front
}

type bucket[K comparable] struct {
	*rate.Limiter
	key  K
	used time.Time // last
}

func newThrottle[K comparable](code string, limit int) *throttle[K] {
	return &throttle[K]{code: code, limit: limit, buckets: map[K]*list.Element{}}
}

// take counts one use by key, or refuses it.
func (t *throttle[K]) take(key K, now time.Time) error {
	if t.limit == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucketOf(key, now)
	if b == nil || b.AllowN(now, 1) {
		return nil
	}
	const rounding = 1e-6 // a wait of 6.0000001 seconds is one of 6
	left := max(b.TokensAt(now), 0)
	return &Refusal{
		Code: t.code, Limit: t.limit, Remaining: int(left),
		Wait: max(1, int(math.Ceil((1-left)/float64(t.each())-rounding))),
	}
}

// bucketOf returns the bucket of key, used now, or nil if there is no room for another.
func (t *throttle[K]) bucketOf(key K, now time.Time) *bucket[K] {
	if element, found := t.buckets[key]; found {
		t.order.MoveToBack(element)
		b := element.Value.(*bucket[K])
		b.used = now
		return b
	}
	if len(t.buckets) >= maxKeys {
		oldest := t.order.Front().Value.(*bucket[K])
		if now.Sub(oldest.used) < time.Minute {
			return nil
		}
		t.order.Remove(t.buckets[oldest.key])
		delete(t.buckets, oldest.key)
	}
	b := &bucket[K]{rate.NewLimiter(t.each(), t.limit), key, now}
	t.buckets[key] = t.order.PushBack(b)
	return b
}

// each is the limit per second.
func (t *throttle[K]) each() rate.Limit {
	return rate.Limit(t.limit) / rate.Limit(time.Minute.Seconds())
}

// networkOf returns the network that one client can hold: an IPv4 address in either form, or the 64
// bits of IPv6 within which a subscriber can choose addresses (RFC 6177 section 2).
func networkOf(address netip.Addr) netip.Prefix {
	const subscriber = 64
	address = address.Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = subscriber
	}
	network, _ := address.Prefix(bits) // fails only for the zero Addr, with the zero Prefix
	return network
}
