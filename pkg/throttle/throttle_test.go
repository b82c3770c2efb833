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
			if early := at.Add(time.Duration(wait-1) * time.Second); b.Check(1, early) == 0 {
				t.Fatalf("limit %d: to wait %d seconds, and one less would do", limit, wait)
			}
			at = at.Add(time.Duration(wait) * time.Second)
			if b.Check(1, at) != 0 || b.Take(1, at) != 0 {
				t.Fatalf("limit %d: to wait %d seconds, and it was not enough", limit, wait)
			}
			for b.Take(1, at) == 0 { // several may have come back in a second
			}
		}
	}
}

// Breaks if somebody with many addresses can fill the memory, or push a bucket
// out to have it back full.
func TestAFloodOfAddresses(t *testing.T) {
	const limit, flood = 5, 3 * throttle.MaxKeys
	b := throttle.NewBucket(limit)
	for range limit {
		b.Take(-1, now)
	}
	passed := 0
	for key := range flood {
		if b.Take(key, now.Add(time.Second)) == 0 {
			passed++
		}
	}
	if b.Keys() != throttle.MaxKeys {
		t.Errorf("%d keys, want %d", b.Keys(), throttle.MaxKeys)
	}
	if b.Check(-1, now.Add(time.Second)) == 0 || b.Take(-1, now.Add(time.Second)) == 0 {
		t.Error("the flood has freed a key that was out of tries")
	}
	// One try for each further key that has room, and the shared tries of the others.
	if want := throttle.MaxKeys - 1 + limit; passed != want {
		t.Errorf("%d tries passed, want %d", passed, want)
	}
	if b.Check(flood, now.Add(time.Second)) == 0 {
		t.Error("a newcomer is not held to what newcomers share")
	}
	b.Take(-1, now.Add(2*time.Second))
	for i := range limit { // after 59 seconds, all but one of what they share is back
		if refused := b.Take(flood+i, now.Add(60*time.Second)) != 0; refused != (i == limit-1) {
			t.Errorf("newcomer %d a second too early for a bucket of its own: refused %t", i, refused)
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
