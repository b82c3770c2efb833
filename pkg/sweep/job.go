package sweep

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/token"
)

// A Job is one scan of one shard on one day.
type Job struct {
	Kind Kind
	// At is the instant that names a job of which a day may have several, and
	// otherwise the zero time.
	At    time.Time
	Day   clock.Day
	Shard int
}

// Progress of a job.
type Progress struct {
	// Cursor is the last owner that needs no further look.
	Cursor account.ID
	Done   bool
	// Unmarked are mails that went out and whose marks could not be written:
	// a retry marks the tokens and sends nothing.
	Unmarked []Debt
	// Counts is the sum of all attempts at the job.
	Counts Counts
}

// A Debt is a token whose mark is not written although its mail is out.
type Debt struct {
	Token token.ID
	// To is who was told, when there are more to tell; otherwise 0.
	To account.ID
}

var (
	// ErrLeased means that another run is at work on the job.
	ErrLeased = errors.New("job is leased to another run")
	// ErrLeaseLost means that another run has taken the job over.
	ErrLeaseLost = errors.New("lease lost to another run")
)

// A Ledger keeps the progress of jobs. It lets one holder at a time work on
// a scan of a shard, whatever the day: the days that two jobs cover overlap.
type Ledger interface {
	// Acquire leases the job's scan and shard to holder until the given instant
	// and returns how far the job is. It leases nothing when the job is done,
	// and returns ErrLeased when somebody else's lease has not ended at now.
	Acquire(ctx context.Context, job Job, holder string, now, until time.Time) (Progress, error)
	// Save notes progress and extends the lease; a job that is done, and one
	// whose until is the zero time, is released. It returns ErrLeaseLost when
	// the lease is not holder's any more.
	Save(ctx context.Context, job Job, holder string, p Progress, until time.Time) error
	// Begun reports whether anything was ever saved of a job.
	Begun(ctx context.Context, job Job) (bool, error)
	// Finished returns the last day that a shard has finished a scan for, or
	// fault.ErrNotFound. SetFinished notes it and never moves it back.
	Finished(ctx context.Context, kind Kind, shard int) (clock.Day, error)
	SetFinished(ctx context.Context, job Job) error
}

const (
	// lease is how long a run may be silent before another takes its job
	// over. It is renewed after every part of the job.
	lease = 2 * time.Minute
	// leaseMargin before the lease's end, no mail goes out any more.
	leaseMargin = 15 * time.Second
	// hopeless is how many mails, or revocations, in a row may fail before the
	// attempt stops: more than one owner's bad luck, less than a night of it.
	hopeless = 20
)

// errHopeless means that one thing after the other failed.
var errHopeless = errors.New("one after the other")

// An attempt is one try at a job.
type attempt struct {
	*run
	job      Job
	holder   string
	debts    *debts
	earlier  Counts    // of earlier attempts
	firstDay clock.Day // that a daily scan looks at
	left     error     // what undone is returned under

	mu          sync.Mutex // guards what workers change
	until       time.Time  // end of the lease
	cursor      account.ID // before the first owner with something left undone
	counts      Counts
	undone      error // what failed for reasons that do not concern the others
	fatal       error // what ends the attempt
	late        bool  // the lease or the time ran out, or there is no more need
	failedInRow int
}

// do works at a job part by part, and saves its progress after each. parts does
// the next part and yields the last owner in it. What parts leave undone for
// reasons that do not concern the others is returned in the end, under left. do
// returns false when there is more to do.
func (r *run) do(ctx context.Context, job Job, left error, parts func(*attempt, context.Context) iter.Seq[account.ID]) (done bool, err error) {
	a := &attempt{run: r, job: job, holder: rand.Text(), left: left, until: r.Clock.Now().Add(lease)}
	progress, err := r.Ledger.Acquire(ctx, job, a.holder, r.Clock.Now(), a.until)
	switch {
	case errors.Is(err, ErrLeased):
		return false, nil
	case err != nil:
		return false, err
	case progress.Done:
		return true, nil
	}
	a.cursor, a.debts, a.earlier = progress.Cursor, newDebts(progress.Unmarked), progress.Counts
	defer func() { r.counted.add(a.counts) }()
	for reached := range parts(a, ctx) {
		if a.over() {
			break
		}
		if a.undone == nil {
			a.cursor = reached
		}
		if err := a.save(ctx); err != nil {
			return false, leaseOnly(err)
		}
		if a.late = r.stopped(); a.late {
			break
		}
	}
	if a.over() {
		return false, a.release(ctx, a.fatal)
	}
	if a.undone != nil {
		err = fmt.Errorf("%w: %w", left, a.undone)
	}
	if job.Kind == Expired { // mails that are left over keep no bot
		err = errors.Join(err, a.removeBots(ctx))
	}
	if err != nil || a.late {
		return false, a.release(ctx, err)
	}
	if err := r.Ledger.SetFinished(ctx, job); err != nil {
		return false, a.release(ctx, err)
	}
	finished := a.progress()
	finished.Done, finished.Unmarked = true, nil
	return true, leaseOnly(r.Ledger.Save(ctx, job, a.holder, finished, a.until))
}

// progress is how far the job is. No worker may be at work, or mu is held; the
// same goes for save.
func (a *attempt) progress() Progress {
	p := Progress{Cursor: a.cursor, Unmarked: a.debts.list()}
	p.Counts.add(a.earlier)
	p.Counts.add(a.counts)
	return p
}

func (a *attempt) save(ctx context.Context) error {
	a.until = a.Clock.Now().Add(lease)
	return a.Ledger.Save(ctx, a.job, a.holder, a.progress(), a.until)
}

// release gives the job back, so that a retry need not wait for the lease's
// end, and returns cause.
func (a *attempt) release(ctx context.Context, cause error) error {
	return errors.Join(cause, leaseOnly(a.Ledger.Save(ctx, a.job, a.holder, a.progress(), time.Time{})))
}

// leaseOnly turns the loss of a lease into "more to do": another run is at it.
func leaseOnly(err error) error {
	if errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return err
}

// over reports whether nothing more is to be tried.
func (a *attempt) over() bool { return a.fatal != nil || a.late }

// stop notes what ends the attempt.
func (a *attempt) stop(err error) {
	if errors.Is(err, ErrLeaseLost) || errors.Is(err, errNoTime) {
		a.late = true
		return
	}
	a.fatal = errors.Join(a.fatal, err)
}

// leave notes what could not be done for one owner or token. The attempt goes on
// with the others, unless nothing works any more.
func (a *attempt) leave(err error) {
	a.undone = errors.Join(a.undone, err)
	if a.failedInRow++; a.failedInRow == hopeless {
		a.stop(fmt.Errorf("%w: %w: %w", a.left, errHopeless, err))
	}
}
