package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/time/rate" // paces mails; the extended standard library's token bucket

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
)

const (
	// lease is how long a run may be silent before another takes its job
	// over. It is renewed with every batch.
	lease = 2 * time.Minute
	// leaseMargin before its end, nothing is sent any more.
	leaseMargin = 15 * time.Second
	// batchOwners and batchTokens bound what is held at a time.
	batchOwners = 50
	batchTokens = 500
	// batchTime is how long the mails of a batch may take to send, so that
	// the lease is renewed in time however slow the account is.
	batchTime = 20 * time.Second

	// markMargin before the deadline, no mail goes out any more: one that is
	// out has to be marked too.
	markMargin = 15 * time.Second

	// futureLimit and pastLimit bound the time of an event.
	futureLimit = time.Hour
	pastLimit   = 7 * 24 * time.Hour
)

var (
	// ErrTime means that an event has no time, or one that no schedule would
	// give it.
	ErrTime = errors.New("event time missing, in the future, or more than seven days ago")
	// ErrShard means that an event names a shard that does not exist.
	ErrShard = errors.New("shard does not exist")
	// ErrUnsent means that mails are left over which may go out on a retry.
	ErrUnsent = errors.New("mails left unsent")
)

// A Scanner runs one of the scans. It is safe for concurrent use.
type Scanner struct {
	Kind    Kind
	Index   Index
	Records Records
	Teams   Teams
	// Enforcement is asked before bots are removed; without one, ends count.
	Enforcement Enforcement
	Bots        Bots // for the expired scan
	Ledger      Ledger
	Mailer      Mailer
	Clock       clock.Clock
	// Days are the notice days; the expired scan needs none.
	Days Days
	// Shards of the expiry index.
	Shards int
	// Concurrency is how many shards run at a time, which share the
	// account's send rate; at least 1.
	Concurrency int
	// Workers send mails at the same time; at least 1.
	Workers int
	// AnyTime lets events have any time, for trying things out.
	AnyTime bool
	// NewHolder makes a name that no other run has.
	NewHolder func() string
	// Malformed is told of records that cannot be read. It may be nil.
	Malformed func(context.Context, error)

	// Limits and Accounts are what the lifetime run needs beside the rest, and
	// no other. Without a Mailer it ends tokens and tells nobody.
	Limits   Limits
	Accounts Accounts
}

// An Event starts or resumes a scan.
type Event struct {
	// Time is "now" for everything the scan decides.
	Time time.Time
	// Shard to scan; nil for all of them.
	Shard *int
}

// Counts are what a run did.
type Counts struct {
	Examined int // index entries read
	Due      int // tokens to announce, after the last look at their records
	Mails    int // mails accepted for delivery
	Marked   int // tokens that need no further announcement
	Failed   int // mails rejected for good, or not known to be sent
	Ended    int // bots removed some time after their tokens ended
	Revoked  int // tokens that the run ended
	Skipped  map[string]int
}

// skip counts n skipped for reason; "" is none.
func (c *Counts) skip(reason string, n int) {
	if n == 0 || reason == "" {
		return
	}
	if c.Skipped == nil {
		c.Skipped = map[string]int{}
	}
	c.Skipped[reason] += n
}

func (c *Counts) add(other Counts) {
	c.Examined += other.Examined
	c.Due += other.Due
	c.Mails += other.Mails
	c.Marked += other.Marked
	c.Failed += other.Failed
	c.Ended += other.Ended
	c.Revoked += other.Revoked
	for reason, n := range maps.All(other.Skipped) {
		c.skip(reason, n)
	}
}

// A Result is what one Run did, and whether its shards are done.
type Result struct {
	Done   bool
	Counts Counts
}

// Run scans until everything is announced or ctx is about to end: stop says
// when, and must leave time for the batch in hand. It may be called again with
// the same event at any time; a finished scan does nothing more.
//
// Errors: ErrTime and ErrShard for an event that cannot be; ErrQuota, ErrPaused
// and ErrSender when mails cannot be sent now; ErrUnsent when some could not
// for another reason; fault.ErrUnavailable when the table does not answer. What
// was done until then is kept, and the Result counts it.
func (s *Scanner) Run(ctx, stop context.Context, e Event) (Result, error) {
	if err := s.check(e); err != nil {
		return Result{}, err
	}
	first, last := 0, s.Shards-1
	if e.Shard != nil {
		first, last = *e.Shard, *e.Shard
	}
	lastCall := ctx
	if deadline, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		lastCall, cancel = context.WithDeadline(ctx, deadline.Add(-markMargin))
		defer cancel()
	}
	result := Result{Done: true}
	var faults error
	var pace *pacer
	for shard := first; shard <= last; shard++ {
		if stop.Err() != nil {
			result.Done = false
			break
		}
		job := Job{Kind: s.Kind, Day: clock.DayOf(e.Time), Shard: shard}
		run := &run{Scanner: s, ctx: ctx, stop: stop, lastCall: lastCall, at: e.Time, job: job, holder: s.NewHolder(), pace: &pace}
		done, err := run.all()
		result.Done = result.Done && done
		result.Counts.add(run.counts)
		if err != nil {
			faults = errors.Join(faults, fmt.Errorf("shard %d: %w", shard, err))
			if !errors.Is(err, ErrUnsent) || errors.Is(err, errHopeless) || errors.Is(err, errRate) {
				break // the other shards would meet the same
			}
		}
	}
	result.Done = result.Done && faults == nil
	return result, faults
}

func (s *Scanner) check(e Event) error {
	now := s.Clock.Now()
	if e.Time.IsZero() || !s.AnyTime && (e.Time.After(now.Add(futureLimit)) || e.Time.Before(now.Add(-pastLimit))) {
		return ErrTime
	}
	if e.Shard != nil && (*e.Shard < 0 || *e.Shard >= s.Shards) {
		return fmt.Errorf("%w: %d of %d", ErrShard, *e.Shard, s.Shards)
	}
	return nil
}

// A run is one attempt at a job.
type run struct {
	*Scanner
	ctx, stop context.Context
	lastCall  context.Context // ends when no mail may go out any more
	at        time.Time       // "now" for everything the scan decides
	job       Job
	holder    string
	until     time.Time // end of the lease
	saved     Progress  // the last that was, or was there before
	pace      **pacer   // shared by the shards of one Run
	counts    Counts
	debts     *debts
	days      []slot // what a scan of the index covers
	// failedInRow is how many mails failed since the last that was accepted.
	failedInRow int
	// limitDays is what a lifetime run's mails say.
	limitDays int
}

// all works through the job. It returns false when there is more to do.
func (r *run) all() (bool, error) {
	if r.Kind == Lifetime {
		return r.lifetime()
	}
	return r.work(ErrUnsent, r.announcing)
}

// A step does the next part of a job and returns the last owner in it, or 0
// when there was nothing left to do.
type step func() (reached account.ID, o outcome, err error)

// work does a job in steps, which begin makes for what is left.
// What steps leave undone for reasons that do not concern the others is
// returned in the end, under left. It returns false when there is more to do.
func (r *run) work(left error, begin func(Progress) (step, error)) (bool, error) {
	progress, err := r.acquire()
	switch {
	case errors.Is(err, ErrLeased):
		return false, nil
	case err != nil:
		return false, err
	case progress.Done:
		return true, nil
	}
	r.debts = newDebts(progress.Unmarked)
	r.saved = progress
	next, err := begin(progress)
	if err != nil {
		return false, r.release(progress, leaseOnly(err))
	}
	before := progress.Counts
	var undone error
	held := progress.Cursor // the cursor stays before the first owner with something left over
	for {
		if r.stop.Err() != nil {
			return false, r.release(progress, nil)
		}
		reached, outcome, err := next()
		if err != nil {
			return false, r.release(progress, err)
		}
		if reached == 0 {
			break
		}
		if outcome.complete() && undone == nil {
			held = reached
		} else {
			undone = errors.Join(undone, outcome.unsent)
		}
		progress.Cursor, progress.Unmarked = held, r.debts.list()
		progress.Counts = before
		progress.Counts.add(r.counts)
		if outcome.over() {
			return false, r.release(progress, outcome.fatal)
		}
		if err := r.save(progress); err != nil {
			return false, leaseOnly(err)
		}
	}
	if undone != nil {
		undone = fmt.Errorf("%w: %w", left, undone)
	}
	sum := func() {
		progress.Counts = before
		progress.Counts.add(r.counts)
	}
	removed := true
	if r.Kind == Expired { // mails that are left over keep no bot
		removed, err = r.removeBots(r.days, func() error { sum(); return r.save(progress) })
	}
	if sum(); !removed || err != nil || undone != nil {
		return false, r.release(progress, errors.Join(undone, leaseOnly(err)))
	}
	if err := r.Ledger.SetFinished(r.ctx, r.job); err != nil {
		return false, r.release(progress, err)
	}
	progress.Done, progress.Unmarked = true, nil
	return true, leaseOnly(r.save(progress))
}

// announcing returns the steps of a scan of the index.
func (r *run) announcing(p Progress) (step, error) {
	slots, err := r.slots()
	if err != nil {
		return nil, err
	}
	r.days = slots
	groups := newMerger(r.Index, slots, r.job.Shard, p.Cursor, &r.counts)
	return func() (account.ID, outcome, error) {
		batch, err := r.collect(groups)
		if err != nil || len(batch) == 0 {
			return 0, outcome{}, err
		}
		return batch[len(batch)-1].owner, r.process(batch), nil
	}, nil
}

// leaseOnly turns the loss of a lease into "more to do": somebody else is at
// it.
func leaseOnly(err error) error {
	if errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return err
}

func (r *run) acquire() (Progress, error) {
	now := r.Clock.Now()
	r.until = now.Add(lease)
	return r.Ledger.Acquire(r.ctx, r.job, r.holder, now, r.until)
}

func (r *run) save(p Progress) error {
	r.saved, r.until = p, r.Clock.Now().Add(lease)
	return r.Ledger.Save(r.ctx, r.job, r.holder, p, r.until)
}

// release gives the job back, so that a retry need not wait for the lease's
// end, and returns cause.
func (r *run) release(p Progress, cause error) error {
	err := leaseOnly(r.Ledger.Save(r.ctx, r.job, r.holder, p, time.Time{}))
	return errors.Join(cause, err)
}

func (r *run) slots() ([]slot, error) {
	if r.Kind == Expiring {
		return expiringSlots(r.job.Day, r.Days), nil
	}
	last, err := r.Ledger.Finished(r.ctx, r.Kind, r.job.Shard)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return nil, err
	}
	return expiredSlots(r.job.Day, last), nil
}

// groups yields what may be due, owner by owner; ok is false after the last.
type groups interface {
	next(ctx context.Context) (g group, ok bool, err error)
}

// collect takes the owners of one batch.
func (r *run) collect(from groups) ([]group, error) {
	limit := batchOwners
	if *r.pace != nil {
		limit = max(1, min(limit, int(float64((*r.pace).limiter.Limit())*batchTime.Seconds())))
	}
	var batch []group
	for tokens := 0; len(batch) < limit && tokens < batchTokens; {
		g, ok, err := from.next(r.ctx)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		batch = append(batch, g)
		tokens += len(g.dues)
	}
	return batch, nil
}

// A pacer keeps to the account's send rate. It slows down when the account
// says so, and comes back bit by bit.
type pacer struct {
	limiter     *rate.Limiter
	most, least rate.Limit
}

const (
	slowest  = 0.5 // mails a second, all shards together
	recovery = 1.05
)

// newPacer paces one of several shards that share the account's rate.
func newPacer(perSecond float64, shards int) *pacer {
	p := &pacer{least: rate.Limit(slowest / float64(shards))}
	p.most = max(rate.Limit(perSecond/float64(shards)), p.least)
	p.limiter = rate.NewLimiter(p.most, 1)
	return p
}

func (p *pacer) slowDown() { p.limiter.SetLimit(max(p.limiter.Limit()/2, p.least)) }

func (p *pacer) speedUp() {
	if now := p.limiter.Limit(); now < p.most {
		p.limiter.SetLimit(min(now*recovery, p.most))
	}
}
