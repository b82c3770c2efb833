package trail

import (
	"context"
	"time"

	"latchkey/pkg/audit"
)

// A Recorder writes events that belong to no change.
type Recorder interface {
	Record(ctx context.Context, events ...audit.Event) error
}

// noteTimeout bounds the delay of a request by such an event.
const noteTimeout = 500 * time.Millisecond

// Note writes an event that belongs to no change within noteTimeout. The nil Recorder records
// nothing.
func Note(ctx context.Context, trail Recorder, event audit.Event) error {
	if trail == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	return trail.Record(ctx, event)
}
