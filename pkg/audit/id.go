package audit

import (
	"math/rand/v2"
	"sync"
	"time"
)

// An id is the second of an event since epoch, 10 bits for the millisecond of that second in which
// it was written, and a number. Ids ascend with time, over all instances, and stay below 2^53 (JSON
// clients in JavaScript). The seconds last until 2059. Ids of earlier versions have 23 random bits
// behind the second, so they stay in their second.
const (
	epoch      = 1735689600 // 2025-01-01T00:00:00Z
	secondBits = 23
	numberBits = 13
	maxSeconds = 1 << 30
)

// FirstID returns the lowest id of the second of an instant, or of the nearest one in the range of
// ids.
func FirstID(at time.Time) int64 { return min(max(at.Unix()-epoch, 0), maxSeconds) << secondBits }

// IDs assigns the ids of one process's events. It is safe for concurrent use.
type IDs struct {
	mu     sync.Mutex
	number int64 // counts up from a random start
	last   int64
}

// NewIDs returns the ids of a process. They start at a random number, to keep two processes apart.
func NewIDs() *IDs {
	return &IDs{number: rand.Int64N(1 << (numberBits - 1))} //nolint:gosec // no secret
}

// Next returns the id of an event of a whole second that is written at an instant. The event's
// second and not that of the writing stands in the id, because lists are cut by it; an event that is
// written later counts as written in the last millisecond of its second. Events of one millisecond
// are in the order of the calls. Two processes may assign the same id.
func (s *IDs) Next(at, written time.Time) int64 {
	within := min(max(written.Sub(at.Truncate(time.Second)), 0), time.Second-1).Milliseconds()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	id := FirstID(at) | within<<numberBits | s.number&(1<<numberBits-1)
	if s.last>>numberBits >= id>>numberBits && s.last>>secondBits == id>>secondBits {
		id = s.last + 1 // the numbers may have wrapped around
	}
	s.last = id
	return id
}
