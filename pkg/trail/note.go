package trail

import (
	"context"
	"sync"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/token"
)

// A Recorder writes events that belong to no change.
type Recorder interface {
	Record(ctx context.Context, events ...audit.Event) error
}

// Notes record events that belong to no change: refusals, and the use of sudo. They belong to one
// instance of a function and are safe for concurrent use.
type Notes struct {
	recorder Recorder

	mu       sync.Mutex
	refusals map[refusalKind]refusals
}

// NewNotes returns Notes that write to recorder.
func NewNotes(recorder Recorder) *Notes {
	return &Notes{recorder: recorder, refusals: map[refusalKind]refusals{}}
}

const (
	// noteTimeout bounds the delay of a request by such an event.
	noteTimeout = 500 * time.Millisecond
	// refusalInterval is the least time between two recorded refusals of one kind to one token.
	refusalInterval = time.Minute
	// maxRefusalKinds is how many tokens and kinds of refusals are remembered, at some 100 bytes
	// each. A further one drops the longest unrecorded one with its count.
	maxRefusalKinds = 10_000
)

// A refusalKind is what counts as the same refusal. Without a presented token, as at a sign-in, each
// entity counts for itself, so that nobody can hide a refusal behind their own.
type refusalKind struct {
	presented token.ID
	name      audit.Name
	entity    audit.Entity // only without a presented token
}

// refusals are those of a kind.
type refusals struct {
	recorded time.Time // when the last one was recorded, or could not be
	omitted  int       // how many were left out since
}

// Note writes an event within noteTimeout.
func (n *Notes) Note(ctx context.Context, event audit.Event) error {
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	return n.recorder.Record(ctx, event)
}

// Refusal writes an event that a refusal causes, like Note. Of the refusals with one name to one
// presented token it writes one a minute, so that nobody can flood the trail; without a token, of
// those with one name about one entity. The next one that it writes says how many it left out.
func (n *Notes) Refusal(ctx context.Context, event audit.Event) error {
	omitted, due := n.count(event)
	if !due {
		return nil
	}
	event.Omitted = omitted
	err := n.Note(ctx, event)
	if err != nil {
		n.omit(event, omitted+1)
	}
	return err
}

// count counts a refusal. It reports whether to record it, and how many were left out before.
func (n *Notes) count(event audit.Event) (omitted int, due bool) {
	kind := kindOf(event)
	n.mu.Lock()
	defer n.mu.Unlock()
	last, found := n.refusals[kind]
	// A clock that went backwards must not silence the trail.
	if age := event.At.Sub(last.recorded); found && age >= 0 && age < refusalInterval {
		last.omitted++
		n.refusals[kind] = last
		return 0, false
	}
	if !found && len(n.refusals) >= maxRefusalKinds {
		n.dropOldest()
	}
	n.refusals[kind] = refusals{recorded: event.At}
	return last.omitted, true
}

// omit adds refusals that could not be recorded to those that the next event counts.
func (n *Notes) omit(event audit.Event, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kind := kindOf(event)
	last := n.refusals[kind]
	last.omitted += count
	n.refusals[kind] = last
}

func (n *Notes) dropOldest() {
	var oldest refusalKind
	var recorded time.Time
	for kind, last := range n.refusals {
		if recorded.IsZero() || last.recorded.Before(recorded) {
			oldest, recorded = kind, last.recorded
		}
	}
	delete(n.refusals, oldest)
}

func kindOf(event audit.Event) refusalKind {
	kind := refusalKind{presented: event.Presented, name: event.Name}
	if event.Presented == 0 {
		kind.entity = event.Entity
	}
	return kind
}
