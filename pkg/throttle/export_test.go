package throttle

import (
	"errors"
	"time"
)

// A Bucket counts for one throttle and its keys, for tests of a flood.
type Bucket struct{ *throttle[int] }

// NewBucket returns the throttle of a limit.
func NewBucket(limit int) Bucket { return Bucket{newThrottle[int]("tests", limit)} }

// Take counts one use by key, and returns how many seconds it has to wait.
func (b Bucket) Take(key int, now time.Time) (wait int) {
	if refusal, refused := errors.AsType[*Refusal](b.take(key, now)); refused {
		return refusal.Wait
	}
	return 0
}

// Keys returns how many keys there are buckets for.
func (b Bucket) Keys() int { return len(b.buckets) }

// MaxKeys is how many keys a throttle tells apart.
const MaxKeys = maxKeys
