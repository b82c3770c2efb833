// Package clock provides the current instant in UTC, truncated to whole seconds, because every
// limit in Latchkey is a whole second or a whole day. Start with System in programs and Fake in
// tests.
//
// The package promises that no other code in pkg or functions reads the machine's clock; `make
// lint` checks it.
package clock

import (
	"context"
	"sync"
	"time"
)

// A Clock tells the current instant. Implementations are safe for concurrent
// use.
type Clock interface {
	// Now returns the current instant in UTC, truncated to whole seconds.
	Now() time.Time
}

// System is the machine's clock.
type System struct{}

// Now implements Clock.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// Instant returns the machine's instant in UTC with its fractions of a second. It only orders what
// happens within a second. No decision may depend on it.
func Instant() time.Time { return time.Now().UTC() }

// Early returns a context that ends reserve before ctx does, so that time is left to answer or to write
// something down. Without an end of ctx it has none.
func Early(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	if end, limited := ctx.Deadline(); limited {
		return context.WithDeadline(ctx, end.Add(-reserve))
	}
	return context.WithCancel(ctx)
}

// Fake is a clock that stands still until a test moves it. Make one with NewFake.
type Fake struct {
	mu  sync.Mutex
	now time.Time
}

// NewFake returns a clock that stands at now.
func NewFake(now time.Time) *Fake {
	fake := &Fake{}
	fake.Set(now)
	return fake
}

// Now returns the instant the clock was last set to.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Set moves the clock to now, forwards or backwards.
func (f *Fake) Set(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now.UTC().Truncate(time.Second)
}

// Advance moves the clock by d.
func (f *Fake) Advance(d time.Duration) { f.Set(f.Now().Add(d)) }

// A Stopwatch measures durations for logs, metrics and replies of constant duration. No decision
// may depend on it.
type Stopwatch struct{ start time.Time }

// StartStopwatch returns a running stopwatch.
func StartStopwatch() Stopwatch { return Stopwatch{time.Now()} }

// Elapsed returns how long the stopwatch has been running.
func (s Stopwatch) Elapsed() time.Duration { return time.Since(s.start) }
