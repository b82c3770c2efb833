// Package throttle keeps what one instance of a function remembers about who asks
// too often.
//
// Start with New and the methods of Throttles. What an instance has seen is its
// own: a limit over all instances is the gateway's and the firewall's to keep. The
// nil Throttles limit nothing. It is safe for concurrent use.
package throttle

import (
	"container/list"
	"context"
	"errors"
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate" // the extended standard library's token bucket

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// Limits are how often a minute something may be done; 0 is no limit. All of a
// minute's may come at once.
type Limits struct {
	// WrongBearers is how many bearers that are no good one address may try.
	WrongBearers int
	// Creations is how many tokens one account may ask for.
	Creations int
	// LeakReports is how many reports of leaked values one address may send.
	LeakReports int
}

// wrongBearers is the word that requests from an address with too many wrong
// bearers are counted under.
const WrongBearers = "wrong_bearers"

// Throttles count what an instance of a function has seen. They know nothing
// of other instances, so that they cost no request; what has to hold over all
// of them is the gateway's and the firewall's to do. They are safe for
// concurrent use. The nil Throttles limit nothing.
type Throttles struct {
	wrongBearers *throttle[netip.Prefix]
	goodBearers  *known
	creations    *throttle[account.ID]
	leakReports  *throttle[netip.Prefix]
	strays       *throttle[token.ID] // what of them is written down
}

// New returns throttles that have seen nothing.
func New(limits Limits) *Throttles {
	return &Throttles{
		wrongBearers: newThrottle[netip.Prefix](WrongBearers, limits.WrongBearers),
		goodBearers:  newKnown(),
		creations:    newThrottle[account.ID]("creations", limits.Creations),
		leakReports:  newThrottle[netip.Prefix]("leak_reports", limits.LeakReports),
		strays:       newThrottle[token.ID]("strays", 1),
	}
}

// verify is Verifier.Verify for a client that may have tried too much. Only
// wrong bearers count. When an address has used up its own, no bearer from
// there is looked up any more, with one exception: those that were good when
// this instance last saw them. Many people share an address, and one script
// with an expired token must not lock out the others. The exception allows
// nothing, because such a bearer is verified like every other, and it helps no
// one who guesses.
//
// Requests that are being served at once may all have found the last try
// unused, so in the local cloud a few more pass. An instance of a Lambda
// function serves one at a time.
func (t *Throttles) Verify(ctx context.Context, verifier *verify.Verifier, value string, address netip.Addr) (principal.Principal, error) {
	if t == nil || value == "" || !address.IsValid() {
		return verifier.Verify(ctx, value, address)
	}
	network, now := networkOf(address), verifier.Now()
	if err := t.wrongBearers.check(network, now); err != nil && !t.goodBearers.has(value) {
		return principal.Principal{}, err
	}
	caller, err := verifier.Verify(ctx, value, address)
	switch {
	case err == nil:
		t.goodBearers.add(value)
	case errors.Is(err, token.ErrInvalid):
		t.goodBearers.remove(value)
		_ = t.wrongBearers.take(network, now) // the reply is what was found out
	}
	return caller, err
}

// create counts a request for a new token. With sudo it counts for the
// administrator behind it, who could use up everybody's otherwise.
func (t *Throttles) Create(by principal.Principal, now time.Time) error {
	if t == nil {
		return nil
	}
	asking := by.Account
	if by.By != nil {
		asking = *by.By
	}
	return t.creations.take(asking.ID, now)
}

// ReportLeak counts a report of leaked values.
func (t *Throttles) ReportLeak(address netip.Addr, now time.Time) error {
	if t == nil || !address.IsValid() {
		return nil
	}
	return t.leakReports.take(networkOf(address), now)
}

// errThrottled is the family of refusals for doing something too often.
var ErrThrottled = errors.New("too many requests")

// throttled is a refusal until a whole second.
type Refusal struct {
	Code      string // what there was too much of
	Limit     int    // of it in a minute
	Now       time.Time
	Remaining int
	Wait      int // seconds
}

func (t *Refusal) Error() string { return ErrThrottled.Error() + ": " + t.Code }

func (t *Refusal) Unwrap() error { return ErrThrottled }

// WriteHeaders says when to come back. No other reply has these headers: the
// official Go client slows itself down for good to the RateLimit-Limit of the
// first reply it gets.
func (t *Refusal) WriteHeaders(h http.Header) {
	h.Set("Retry-After", strconv.Itoa(t.Wait))
	h.Set("RateLimit-Limit", strconv.Itoa(t.Limit))
	h.Set("RateLimit-Observed", strconv.Itoa(t.Limit-t.Remaining))
	h.Set("RateLimit-Remaining", strconv.Itoa(t.Remaining))
	h.Set("RateLimit-Reset", strconv.FormatInt(t.Now.Unix()+int64(t.Wait), 10))
}

// maxKeys is how many keys a throttle tells apart, at some 200 bytes each. An
// instance of a function sees fewer in the minute for which they matter.
const maxKeys = 10_000

// A throttle is a token bucket for each key: as many uses as the limit at
// once, and then one more in every part of a minute. The nil throttle has no
// limit.
//
// It keeps maxKeys buckets. One that was not used for a minute is full, so
// nothing is lost when it goes. While all were used within the minute, the
// newcomers share one bucket: a flood of addresses takes no more memory, and
// pushes nobody's bucket out to get it back full.
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
	if limit <= 0 {
		return nil
	}
	t := &throttle[K]{code: code, limit: limit}
	t.shared = t.newBucket()
	return t
}

// known remembers the bearers that were found good last, as numbers that
// cannot be turned back into them and mean nothing outside of this process.
// Two bearers with one number would only spare one of them a 429.
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

// recency keeps values in the order in which they were last touched.
type recency[K comparable, V any] struct {
	elements map[K]*list.Element // of kept[K, V]
	order    list.List           // the oldest in front
}

type kept[K comparable, V any] struct {
	key   K
	value V
}

func (t *throttle[K]) newBucket() *bucket {
	return &bucket{Limiter: rate.NewLimiter(t.each(), t.limit)}
}

// each is the limit by the second.
func (t *throttle[K]) each() rate.Limit {
	return rate.Limit(t.limit) / rate.Limit(time.Minute.Seconds())
}

// check reports whether key may do it, and does not count it.
func (t *throttle[K]) check(key K, now time.Time) error {
	if t == nil {
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
	if t == nil {
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

// crowded reports whether every bucket there is room for may still be needed.
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
		Code: t.code, Limit: t.limit, Now: now, Remaining: int(left),
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

// Strayed returns the event of a good bearer that came from where its token may
// not be used: somebody has it who should not, or its networks are out of date.
// ok is false for every other refusal, and while the same token's last such event
// is less than a minute old: nobody is to fill the trail with it.
func (t *Throttles) Strayed(request principal.Request, refusal *verify.Refusal, now time.Time) (event audit.Event, ok bool) {
	if !errors.Is(refusal, token.ErrAddress) || t != nil && t.strays.take(refusal.Token.ID, now) != nil {
		return audit.Event{}, false
	}
	nobody := principal.Principal{Token: token.Token{ID: refusal.Token.ID}, Request: request}
	return audit.OfToken(now, audit.By(nobody, audit.Policy), refusal.Token, audit.Strayed), true
}

// networkOf returns what one client can hold: the address of IPv4, and the 64
// bits of IPv6 behind which a subscriber has as many addresses as it likes
// (RFC 6177 section 2).
func networkOf(address netip.Addr) netip.Prefix {
	const subscriber = 64
	bits := address.BitLen()
	if address.Is6() {
		bits = subscriber
	}
	network, _ := address.Prefix(bits) // fails for the zero Addr alone, with the zero Prefix
	return network
}
