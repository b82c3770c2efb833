package notify

import (
	"context"
	"slices"
	"sync"

	"latchkey/pkg/sweep"
)

// A Recorder is a sweep.Mailer for tests that keeps what it is given. The zero
// value accepts everything. It is safe for concurrent use; the fields are set
// before the first call.
type Recorder struct {
	// Fail, when set, returns what Send returns. It may be called by several
	// goroutines at a time.
	Fail func(sweep.Notice) error
	// Speed, when set, returns what Rate returns instead of 1,000 a second.
	Speed func() (float64, error)

	mu   sync.Mutex
	sent []sweep.Notice
}

var _ sweep.Mailer = (*Recorder)(nil)

// Send keeps a notice. Like SES it fails for a notice that cannot be
// rendered. A notice that it returns an error for is not kept.
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

// Rate returns what Speed does.
func (r *Recorder) Rate(context.Context) (float64, error) {
	if r.Speed != nil {
		return r.Speed()
	}
	return 1000, nil
}

// Sent returns the accepted notices in the order of their acceptance.
func (r *Recorder) Sent() []sweep.Notice {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}
