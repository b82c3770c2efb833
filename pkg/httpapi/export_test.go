package httpapi

import (
	"errors"
	"time"
)

// A Served is the method and path of a route, the path as it is below the host
// and in the form of http.ServeMux.
type Served struct{ Method, Path string }

// EveryRoute lists the routes of all functions that ask for a credential, so
// that a test covers a new one without being told.
func EveryRoute() (all []Served) {
	for _, rt := range everyRoute() {
		if rt.open {
			continue
		}
		all = append(all, Served{rt.method, basePath + rt.path})
	}
	return all
}

// A Bucket counts for one throttle and its keys, for tests of a flood.
type Bucket struct{ *throttle[int] }

// NewBucket returns the throttle of a limit.
func NewBucket(limit int) Bucket { return Bucket{newThrottle[int]("tests", limit)} }

// Take counts one use by key, and returns how many seconds it has to wait.
func (b Bucket) Take(key int, now time.Time) (wait int) { return waitOf(b.take(key, now)) }

// Check is Take without counting.
func (b Bucket) Check(key int, now time.Time) (wait int) { return waitOf(b.check(key, now)) }

// Keys returns how many keys there are buckets for.
func (b Bucket) Keys() int { return b.buckets.len() }

func waitOf(err error) int {
	if refusal := (*throttled)(nil); errors.As(err, &refusal) {
		return refusal.wait
	}
	return 0
}

// MaxKeys is how many keys a throttle tells apart.
const MaxKeys = maxKeys

// AuditText is the sentence of an event.
var AuditText = auditText

// InWords is what a client is told of broken rules.
var InWords = inWords
