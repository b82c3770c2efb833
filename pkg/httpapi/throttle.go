package httpapi

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
const wrongBearers = "wrong_bearers"

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

// NewThrottles returns throttles that have seen nothing.
func NewThrottles(limits Limits) *Throttles {
	return &Throttles{
		wrongBearers: newThrottle[netip.Prefix](wrongBearers, limits.WrongBearers),
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
func (t *Throttles) verify(ctx context.Context, verifier *verify.Verifier, value string) (principal.Principal, error) {
	address := addressOf(ctx)
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
func (t *Throttles) create(by principal.Principal, now time.Time) error {
	if t == nil {
		return nil
	}
	asking := by.Account
	if by.By != nil {
		asking = *by.By
	}
	return t.creations.take(asking.ID, now)
}

// reportLeak counts a report of leaked values.
func (t *Throttles) reportLeak(ctx context.Context, now time.Time) error {
	address := addressOf(ctx)
	if t == nil || !address.IsValid() {
		return nil
	}
	return t.leakReports.take(networkOf(address), now)
}

// errThrottled is the family of refusals for doing something too often.
var errThrottled = errors.New("too many requests")

// throttled is a refusal until a whole second.
type throttled struct {
	code      string // what there was too much of
	limit     int    // of it in a minute
	now       time.Time
	remaining int
	wait      int // seconds
}

func (t *throttled) Error() string { return errThrottled.Error() + ": " + t.code }
func (t *throttled) Unwrap() error { return errThrottled }

// writeHeaders says when to come back. No other reply has these headers: the
// official Go client slows itself down for good to the RateLimit-Limit of the
// first reply it gets.
func (t *throttled) writeHeaders(h http.Header) {
	h.Set("Retry-After", strconv.Itoa(t.wait))
	h.Set("RateLimit-Limit", strconv.Itoa(t.limit))
	h.Set("RateLimit-Observed", strconv.Itoa(t.limit-t.remaining))
	h.Set("RateLimit-Remaining", strconv.Itoa(t.remaining))
	h.Set("RateLimit-Reset", strconv.FormatInt(t.now.Unix()+int64(t.wait), 10))
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
	return &throttled{
		code: t.code, limit: t.limit, now: now, remaining: int(left),
		wait: max(1, int(math.Ceil((1-left)/float64(t.each())-rounding))),
	}
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
