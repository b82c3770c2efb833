package notify

import (
	"context"
	"slices"
	"sync"

	"latchkey/pkg/sweep"
)

// A Recorder is a sweep.Mailer for tests that keeps its notices. The zero value accepts everything.
// It is safe for concurrent use; set the fields before the first call.
type Recorder struct {
	// Fail, if set, returns the result of Send. Several goroutines may call it at a time.
	Fail func(sweep.Notice) error
	// Speed, if set, returns the result of Rate, which is otherwise 1,000 a second.
	Speed func() (float64, error)

	mu   sync.Mutex
	sent []sweep.Notice
}

var _ sweep.Mailer = (*Recorder)(nil)

// Send keeps a notice, unless it returns an error. Like SES it fails for an invalid notice.
func (r *Recorder) Send(ctx context.Context, n sweep.Notice) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := check(n); err != nil {
		return err
	}
	if r.Fail != nil {
		if err := r.Fail(n); err != nil {
			return err
		}
	}
	n.Tokens = slices.Clone(n.Tokens)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, n)
	return nil
}

// Rate returns the result of Speed.
func (r *Recorder) Rate(context.Context) (float64, error) {
	if r.Speed != nil {
		return r.Speed()
	}
	return 1000, nil
}

// Sent returns the accepted notices in order.
func (r *Recorder) Sent() []sweep.Notice {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}
