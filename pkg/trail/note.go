package trail

import (
	"context"
	"time"

	"latchkey/pkg/audit"
)

// A Recorder writes down events that belong to no change.
type Recorder interface {
	Record(ctx context.Context, events ...audit.Event) error
}

// noteTimeout bounds the one write that an event which belongs to no change
// may cost a request.
const noteTimeout = 500 * time.Millisecond

// Note writes an event down that belongs to no change, in time that a request
// can spare. The nil Recorder records nothing.
func Note(ctx context.Context, trail Recorder, event audit.Event) error {
	if trail == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	return trail.Record(ctx, event)
}
