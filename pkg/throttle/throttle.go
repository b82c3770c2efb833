// Package throttle limits callers who ask too often, from the memory of one instance of a function.
//
// Start with New and the methods of Throttles. The package counts, and answers with a Refusal that
// says how long to wait. It writes no reply, no header and no audit event, and makes no request.
// Instances do not know of each other, so limits over all of them belong to the gateway and the
// firewall.
package throttle

import (
	"container/list"
	"context"
	"errors"
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate" // token bucket; maintained by the Go team

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
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

// WrongBearers is the code of refusals to an address with too many wrong bearers.
const WrongBearers = "wrong_bearers"

// Throttles count what an instance of a function has seen. They are safe for
// concurrent use.
type Throttles struct {
	wrongBearers *throttle[netip.Prefix]
	goodBearers  *known
	creations    *throttle[account.ID]
	leakReports  *throttle[netip.Prefix]
	signIns      *throttle[netip.Prefix]
	strays       *throttle[token.ID]
}

// New returns throttles without any counts.
func New(limits Limits) *Throttles {
	const strays = 1
	return newThrottles(limits, strays)
}

// Unlimited returns throttles that refuse nothing.
func Unlimited() *Throttles { return newThrottles(Limits{}, 0) }

func newThrottles(limits Limits, strays int) *Throttles {
	return &Throttles{
		wrongBearers: newThrottle[netip.Prefix](WrongBearers, limits.WrongBearers),
		goodBearers:  newKnown(),
		creations:    newThrottle[account.ID]("creations", limits.Creations),
		leakReports:  newThrottle[netip.Prefix]("leak_reports", limits.LeakReports),
		signIns:      newThrottle[netip.Prefix]("sign_ins", limits.SignIns),
		strays:       newThrottle[token.ID]("strays", strays),
	}
}

// A Verifier decides whether a bearer is good; see verify.Verifier.
type Verifier interface {
	Verify(ctx context.Context, value string, from netip.Addr) (principal.Principal, error)
}

// Verify asks verifier, unless the client's address has tried too many wrong bearers. Only wrong
// bearers count. Verify then looks up only bearers from this address that were good when this
// instance last saw them. Many people can share an address, and one script with an expired token
// must not lock out the others. The exception allows nothing by itself, because such a bearer is
// still verified, and it does not help anybody who guesses. An unknown address has no limit.
//
// Concurrent requests may all find the last try unused, so in the local cloud a few more pass. An
// instance of a Lambda function serves one request at a time.
func (t *Throttles) Verify(ctx context.Context, verifier Verifier, value string, from netip.Addr, now time.Time) (principal.Principal, error) {
	if value == "" || !from.IsValid() {
		return verifier.Verify(ctx, value, from)
	}
	network := networkOf(from)
	if err := t.wrongBearers.check(network, now); err != nil && !t.goodBearers.has(value) {
		return principal.Principal{}, err
	}
	caller, err := verifier.Verify(ctx, value, from)
	switch {
	case err == nil:
		t.goodBearers.add(value)
	case errors.Is(err, token.ErrInvalid):
		t.goodBearers.remove(value)
		_ = t.wrongBearers.take(network, now) // the verifier's answer counts
	}
	return caller, err
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

// Stray counts a use of a token from outside its networks. It refuses to record it within a minute
// of the last one, so that nobody can flood the audit trail.
func (t *Throttles) Stray(id token.ID, now time.Time) error { return t.strays.take(id, now) }

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
// all were used within the minute, new keys share one bucket, so that a flood of addresses takes no
// more memory and drops nobody's bucket.
type throttle[K comparable] struct {
	code  string
	limit int

	mu      sync.Mutex
	buckets recency[K, *bucket]
	shared  *bucket
}

type bucket struct {
	*rate.Limiter
	used time.Time // last
}

func newThrottle[K comparable](code string, limit int) *throttle[K] {
	t := &throttle[K]{code: code, limit: limit}
	t.shared = t.newBucket()
	return t
}

// known remembers the latest good bearers as numbers that cannot be reversed and mean nothing
// outside of this process. If two bearers had the same number, one of them would only be spared a
// 429.
type known struct {
	seed maphash.Seed

	mu      sync.Mutex
	bearers recency[uint64, struct{}]
}

func newKnown() *known { return &known{seed: maphash.MakeSeed()} }

func (k *known) has(value string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, found := k.bearers.get(maphash.String(k.seed, value))
	return found
}

func (k *known) add(value string) {
	sum := maphash.String(k.seed, value)
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, found := k.bearers.get(sum); found {
		k.bearers.touch(sum)
		return
	}
	if k.bearers.len() >= maxKeys {
		k.bearers.removeOldest()
	}
	k.bearers.add(sum, struct{}{})
}

func (k *known) remove(value string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bearers.remove(maphash.String(k.seed, value))
}

// recency keeps values in the order of their last use.
type recency[K comparable, V any] struct {
	elements map[K]*list.Element // of kept[K, V]
	order    list.List           // oldest in front
}

type kept[K comparable, V any] struct {
	key   K
	value V
}

func (t *throttle[K]) newBucket() *bucket {
	return &bucket{Limiter: rate.NewLimiter(t.each(), t.limit)}
}

// each is the limit per second.
func (t *throttle[K]) each() rate.Limit {
	return rate.Limit(t.limit) / rate.Limit(time.Minute.Seconds())
}

// check reports whether key has reached its limit, without counting.
func (t *throttle[K]) check(key K, now time.Time) error {
	if t.limit == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b, found := t.buckets.get(key)
	if !found && t.crowded(now) {
		b, found = t.shared, true
	}
	const rounding = 1e-9 // of the buckets' floating point
	if !found || b.TokensAt(now) >= 1-rounding {
		return nil
	}
	return t.refusal(b, now)
}

// take counts one use by key, or refuses it.
func (t *throttle[K]) take(key K, now time.Time) error {
	if t.limit == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b, found := t.buckets.get(key)
	switch {
	case found:
		t.buckets.touch(key)
	case t.crowded(now):
		b = t.shared
	default:
		if t.buckets.len() >= maxKeys {
			t.buckets.removeOldest()
		}
		b = t.newBucket()
		t.buckets.add(key, b)
	}
	b.used = now
	if b.AllowN(now, 1) {
		return nil
	}
	return t.refusal(b, now)
}

// crowded reports whether all buckets are taken and may still be needed.
func (t *throttle[K]) crowded(now time.Time) bool {
	if t.buckets.len() < maxKeys {
		return false
	}
	_, oldest := t.buckets.oldest()
	return now.Sub(oldest.used) < time.Minute
}

func (t *throttle[K]) refusal(b *bucket, now time.Time) error {
	const rounding = 1e-6 // a wait of 6.0000001 seconds is one of 6
	left := max(b.TokensAt(now), 0)
	return &Refusal{
		Code: t.code, Limit: t.limit, Remaining: int(left),
		Wait: max(1, int(math.Ceil((1-left)/float64(t.each())-rounding))),
	}
}

func (r *recency[K, V]) len() int { return len(r.elements) }

func (r *recency[K, V]) get(key K) (value V, found bool) {
	element, found := r.elements[key]
	if found {
		value = element.Value.(kept[K, V]).value
	}
	return value, found
}

func (r *recency[K, V]) add(key K, value V) {
	if r.elements == nil {
		r.elements = map[K]*list.Element{}
	}
	r.elements[key] = r.order.PushBack(kept[K, V]{key, value})
}

func (r *recency[K, V]) touch(key K) { r.order.MoveToBack(r.elements[key]) }

func (r *recency[K, V]) oldest() (K, V) {
	oldest := r.order.Front().Value.(kept[K, V])
	return oldest.key, oldest.value
}

func (r *recency[K, V]) removeOldest() {
	key, _ := r.oldest()
	r.remove(key)
}

func (r *recency[K, V]) remove(key K) {
	if element, found := r.elements[key]; found {
		r.order.Remove(element)
		delete(r.elements, key)
	}
}

// networkOf returns the network that one client can hold: an IPv4 address, or the 64 bits of IPv6
// within which a subscriber can choose addresses (RFC 6177 section 2).
func networkOf(address netip.Addr) netip.Prefix {
	const subscriber = 64
	bits := address.BitLen()
	if address.Is6() {
		bits = subscriber
	}
	network, _ := address.Prefix(bits) // fails only for the zero Addr, with the zero Prefix
	return network
}
