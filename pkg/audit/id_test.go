package audit_test

import (
	"strconv"
	"testing"
	"time"

	"latchkey/pkg/audit"
)

var ends = []time.Time{now, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2058, 12, 31, 23, 59, 58, 0, time.UTC)}

// Breaks if what one instance did after another stands before it in a list: a token was used before
// it was issued, then.
func TestIDsAscendOverInstances(t *testing.T) {
	for _, at := range ends {
		last := audit.FirstID(at) - 1
		for _, after := range []time.Duration{0, 1, 2, 10, 500, 998, 999} {
			// Each instance has its own, and starts anywhere.
			id := audit.NewIDs().Next(at, at.Add(after*time.Millisecond))
			if id <= last {
				t.Errorf("%s after %d ms: %d after %d", at, after, id, last)
			}
			last = id
		}
		if next := audit.FirstID(at.Add(time.Second)); last >= next || last >= 1<<53 {
			t.Errorf("%s: last %d, next second %d", at, last, next)
		}
	}
}

// The list of a second has all its events, whenever they were written.
func TestIDsStayInTheirSecond(t *testing.T) {
	for _, at := range ends {
		ids := audit.NewIDs()
		for _, after := range []time.Duration{-time.Hour, -1, 0, time.Second - 1, time.Second, 5 * time.Second, 24 * time.Hour} {
			if id := ids.Next(at, at.Add(after)); id < audit.FirstID(at) || id >= audit.FirstID(at.Add(time.Second)) {
				t.Errorf("%s, written after %s: %d", at, after, id)
			}
		}
	}
}

// Events of one change have the same instant, and their order counts.
func TestIDsOfOneProcessAscend(t *testing.T) {
	ids := audit.NewIDs()
	last := int64(0)
	for i := range 30_000 { // more than a millisecond has numbers
		written := now.Add(time.Duration(i/10_000) * time.Millisecond)
		id := ids.Next(now, written)
		if id <= last || id >= audit.FirstID(now.Add(time.Second)) {
			t.Fatalf("event %d: %d after %d", i, id, last)
		}
		last = id
	}
}

// Breaks if the events of earlier versions, with 23 random bits behind the second, leave their
// place.
func TestEarlierIDsKeepTheirPlace(t *testing.T) {
	const lowest, highest = 0, 1<<23 - 1
	earlier := audit.FirstID(now)
	before, after := audit.NewIDs().Next(now.Add(-time.Second), now.Add(-1)), audit.NewIDs().Next(now.Add(time.Second), now.Add(time.Second))
	if before >= earlier|lowest || after <= earlier|highest {
		t.Errorf("%d, %d to %d, %d", before, earlier|lowest, earlier|highest, after)
	}
}

// A client may ask about any instant: the digits of a bound must not outgrow those of the ids that
// it is compared with.
func TestBoundsOfIDs(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)} {
		if first := audit.FirstID(at); first < 0 || len(strconv.FormatInt(first, 10)) > 16 {
			t.Errorf("%s: %d", at, first)
		}
	}
}
