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
	// At identifies a job of a kind that may run several times a day; otherwise it is the zero
	// time.
	At    time.Time
	Day   clock.Day
	Shard int
}

// Progress is the progress of a job.
type Progress struct {
	// Cursor is the last finished owner.
	Cursor account.ID
	Done   bool
	// Unmarked are sent mails whose marks could not be written. A retry marks the tokens and sends
	// nothing.
	Unmarked []Debt
	// Counts is the sum of all attempts at the job.
	Counts Counts
}

// A Debt is a token without the mark of a sent mail.
type Debt struct {
	Token token.ID
	// To is the recipient if the mark is a post to remove, otherwise 0.
	To account.ID
}

var (
	// ErrLeased means that another run is working on the job.
	ErrLeased = errors.New("job is leased to another run")
	// ErrLeaseLost means that another run has taken the job.
	ErrLeaseLost = errors.New("lease lost to another run")
)

// A Ledger keeps the progress of jobs. Only one holder at a time works on a kind and shard,
// whatever the day, because the days of two jobs overlap.
type Ledger interface {
	// Acquire leases the job's kind and shard to holder until the given instant and returns the
	// job's progress. It leases nothing if the job is done, and returns ErrLeased if another lease
	// is valid at now.
	Acquire(ctx context.Context, job Job, holder string, now, until time.Time) (Progress, error)
	// Save saves progress and extends the lease. It releases the lease if the job is done or until
	// is the zero time. It returns ErrLeaseLost if holder no longer has the lease.
	Save(ctx context.Context, job Job, holder string, p Progress, until time.Time) error
	// Begun reports whether a job has any saved progress.
	Begun(ctx context.Context, job Job) (bool, error)
	// Finished returns the last finished day of a kind and shard, or fault.ErrNotFound. SetFinished
	// records it and never moves it back.
	Finished(ctx context.Context, kind Kind, shard int) (clock.Day, error)
	SetFinished(ctx context.Context, job Job) error
}

const (
	// lease is how long a run may take before another may take its job. Every part of the job
	// renews it.
	lease = 2 * time.Minute
	// leaseMargin before the end of the lease, mails stop.
	leaseMargin = 15 * time.Second
	// hopeless is how many mails, or revocations, in a row may fail before the attempt stops: more
	// than one owner's share, less than a whole night's.
	hopeless = 20
)

// errHopeless means that too many mails or revocations in a row failed.
var errHopeless = errors.New("one after the other")

// An attempt is one try at a job.
type attempt struct {
	*run
	job      Job
	holder   string
	debts    *debts
	earlier  Counts    // of earlier attempts
	firstDay clock.Day // of a daily scan
	left     error     // wraps undone
	// expiryIgnored says of the removal of bots that expired tokens work.
	expiryIgnored bool

	mu          sync.Mutex // guards the fields that workers change
	until       time.Time  // end of the lease
	cursor      account.ID // before the first unfinished owner
	counts      Counts
	undone      error // errors that concern single owners or tokens
	fatal       error // the error that stops the attempt
	late        bool  // the lease or the time ran out, or the work is no longer needed
	failedInRow int
}

// do works on a job part by part, and saves its progress after each. parts does the next part and
// yields its last owner. Errors that concern single owners are returned at the end, wrapped in
// left. do returns false if there is more to do.
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
	if job.Kind == Expired { // unsent mails do not keep a bot
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

// progress returns the job's progress. As for save, no worker may be running, or mu is held.
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

// release releases the job, so that a retry need not wait for the end of the lease, and returns
// cause.
func (a *attempt) release(ctx context.Context, cause error) error {
	return errors.Join(cause, leaseOnly(a.Ledger.Save(ctx, a.job, a.holder, a.progress(), time.Time{})))
}

// leaseOnly turns a lost lease into "more to do", because another run does it.
func leaseOnly(err error) error {
	if errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return err
}

// over reports whether the attempt has stopped.
func (a *attempt) over() bool { return a.fatal != nil || a.late }

// stop stops the attempt.
func (a *attempt) stop(err error) {
	if errors.Is(err, ErrLeaseLost) || errors.Is(err, errNoTime) {
		a.late = true
		return
	}
	a.fatal = errors.Join(a.fatal, err)
}

// leave keeps an error that concerns one owner or token. The attempt continues, unless it is
// hopeless.
func (a *attempt) leave(err error) {
	a.undone = errors.Join(a.undone, err)
	if a.failedInRow++; a.failedInRow == hopeless {
		a.stop(fmt.Errorf("%w: %w: %w", a.left, errHopeless, err))
	}
}
