package throttle_test

import (
	"testing"
	"time"

	"latchkey/pkg/throttle"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// What Retry-After promises holds to the second, for every limit: python-gitlab
// and the Go client wait exactly so long and then try once.
func TestTheWaitIsAsLongAsItSays(t *testing.T) {
	for limit := range 300 {
		limit++
		b, at := throttle.NewBucket(limit), now
		for range limit {
			if wait := b.Take(1, at); wait != 0 {
				t.Fatalf("limit %d: refused within it", limit)
			}
		}
		for range 20 {
			wait := b.Take(1, at)
			if wait < 1 || wait > 60 {
				t.Fatalf("limit %d: to wait %d seconds", limit, wait)
			}
			if early := at.Add(time.Duration(wait-1) * time.Second); b.Take(1, early) == 0 {
				t.Fatalf("limit %d: to wait %d seconds, and one less would do", limit, wait)
			}
			at = at.Add(time.Duration(wait) * time.Second)
			if b.Take(1, at) != 0 {
				t.Fatalf("limit %d: to wait %d seconds, and it was not enough", limit, wait)
			}
			for b.Take(1, at) == 0 { // several may have come back in a second
			}
		}
	}
}

// Breaks if somebody with many addresses can fill the memory, push a bucket out to have it back
// full, or shut out newcomers.
func TestAFloodOfAddresses(t *testing.T) {
	const limit, flood = 5, 3 * throttle.MaxKeys
	b := throttle.NewBucket(limit)
	for range limit {
		b.Take(-1, now)
	}
	for key := range flood {
		if b.Take(key, now.Add(time.Second)) != 0 {
			t.Fatalf("newcomer %d is refused", key)
		}
	}
	if b.Keys() != throttle.MaxKeys {
		t.Errorf("%d keys, want %d", b.Keys(), throttle.MaxKeys)
	}
	if b.Take(-1, now.Add(2*time.Second)) == 0 {
		t.Error("the flood has freed a key that was out of tries")
	}
	for range 2 * limit {
		if b.Take(flood, now.Add(60*time.Second)) != 0 {
			t.Error("a newcomer is refused while there is no room")
		}
	}
	after := now.Add(61 * time.Second) // when all but the first key were used a minute ago
	for range limit {
		if b.Take(flood, after) != 0 {
			t.Error("a newcomer has no bucket of its own after the flood")
		}
	}
	if b.Take(flood, after) == 0 || b.Keys() != throttle.MaxKeys {
		t.Errorf("a newcomer has no limit, or one too many is kept: %d", b.Keys())
	}
}
