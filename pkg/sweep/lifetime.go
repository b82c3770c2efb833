package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup" // bounds the workers

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// Limits are what administrators have set about how long tokens live, strongly
// consistent.
type Limits interface {
	// LifetimeRun returns the limit on what is left of a token's life, in days,
	// and from when on tokens beyond it are to be ended: the zero time for not
	// at all.
	LifetimeRun(ctx context.Context) (days int, from time.Time, err error)
}

// Accounts are all accounts and their tokens, strongly consistent.
type Accounts interface {
	// LastAccountID returns the highest account id that was given out, 0 for none.
	LastAccountID(ctx context.Context) (account.ID, error)
	// PageOfTokens returns the next of an owner's tokens by ascending id, and
	// how to ask for those behind them, "" for the first and after the last.
	// What cannot be read is passed over.
	PageOfTokens(ctx context.Context, owner account.ID, page string) (tokens []token.Token, next string, err error)
	// RevokeToken writes RevokedAt and RevokedReason of ended, and the audit
	// events that ctx expects with it. A token that ended earlier keeps its own;
	// that is no error. fault.ErrNotFound when there is no record.
	RevokeToken(ctx context.Context, ended token.Token, revoked audit.Event) error
	// Begun reports whether anything was ever saved of a job.
	Begun(ctx context.Context, job Job) (bool, error)
}

// telling is the kind of the jobs that tell owners of what a lifetime run has
// ended. Ending comes first and has jobs of its own: however slowly mails go
// out, and whether they do, no token waits for it.
const telling Kind = "lifetime-mails"

const (
	// stepAccounts is how many accounts are looked at in one step.
	stepAccounts = 100
	// enders is how many accounts are worked on at the same time, and how many
	// tokens are ended, of all of them together. At the ten milliseconds of a
	// transaction that makes more than a thousand a second and shard; more at a
	// time would only wait for each other in a table that has to grow first.
	enders = 16
)

// errLeft means that some tokens beyond the limit could not be ended.
var errLeft = fmt.Errorf("%w: tokens left beyond the limit", fault.ErrUnavailable)

// lifetime works through a shard of a lifetime run: it ends what is beyond the
// limit, helps with the other shards, and only then tells the shard's owners. A
// run that was called off, before or in the middle, ends nothing more, and tells
// only of what it had ended. It returns false when there is more to do.
func (r *run) lifetime() (bool, error) {
	ending := r.job
	ending.At = r.at
	days, applies, err := r.limit()
	if err != nil {
		return false, err
	}
	if !applies {
		begun, err := r.Accounts.Begun(r.ctx, ending)
		if err != nil || !begun {
			return err == nil, err
		}
		return r.tell(ending, 0)
	}
	if done, err := r.end(ending); err != nil || !done {
		return false, err
	}
	// A shard that nobody is at may be waiting for its turn, which comes after
	// the mails of the ones before it. What goes wrong there is reported in its
	// turn.
	for n := 1; n < r.Shards && r.stop.Err() == nil; n++ {
		other := ending
		other.Shard = (ending.Shard + n) % r.Shards
		_, _ = r.end(other)
	}
	return r.tell(ending, days)
}

// limit returns the limit in days, and whether tokens beyond it are to be ended
// as of the run's instant.
func (r *run) limit() (days int, applies bool, err error) {
	days, from, err := r.Limits.LifetimeRun(r.ctx)
	return days, days > 0 && !from.IsZero() && !from.After(r.at), err
}

// fork returns a run of another job, and what adds its counts to those of r.
func (r *run) fork(job Job) (forked *run, join func()) {
	forked = &run{
		Scanner: r.Scanner, ctx: r.ctx, stop: r.stop, lastCall: r.lastCall, at: r.at,
		job: job, holder: r.NewHolder(), pace: r.pace,
	}
	return forked, func() { r.counts.add(forked.counts) }
}

// end ends the tokens of a job's shard that are beyond the limit.
func (r *run) end(job Job) (bool, error) {
	forked, join := r.fork(job)
	defer join()
	return forked.work(errLeft, forked.ending)
}

// tell tells the owners of a shard of the tokens that lifetime runs have ended.
func (r *run) tell(job Job, days int) (bool, error) {
	if r.Mailer == nil {
		return true, nil
	}
	job.Kind = telling
	forked, join := r.fork(job)
	defer join()
	forked.limitDays = days
	return forked.work(ErrUnsent, forked.ended)
}

// A walk goes through the accounts of a shard.
type walk struct {
	last   account.ID // there is
	next   account.ID
	stride account.ID
}

func (r *run) walk(after account.ID) (*walk, error) {
	last, err := r.Accounts.LastAccountID(r.ctx)
	w := &walk{last: last, stride: account.ID(r.Shards)}
	w.next = after - after%w.stride + account.ID(r.job.Shard)
	for w.next <= after || w.next == 0 {
		w.next += w.stride
	}
	return w, err
}

// take returns the ids of the next accounts, none at the end.
func (w *walk) take() []account.ID {
	var ids []account.ID
	for ; w.next <= w.last && len(ids) < stepAccounts; w.next += w.stride {
		ids = append(ids, w.next)
	}
	return ids
}

// profiles reads those of ids that are there. One that cannot be read comes
// with its id only.
func (r *run) profiles(ids []account.ID) (map[account.ID]account.Account, error) {
	found := make(map[account.ID]account.Account, len(ids))
	err := r.Records.Owners(r.ctx, ids, func(u account.Account, err error) {
		if err != nil {
			r.malformed(err)
		}
		found[u.ID] = u
	})
	return found, err
}

// hadTokens reports whether an account may have any. Of one that cannot be read
// nothing is known.
func hadTokens(u account.Account) bool { return u.NextNumber != 1 }

// ending returns the steps that end what is beyond the limit.
func (r *run) ending(p Progress) (step, error) {
	w, err := r.walk(p.Cursor)
	if err != nil {
		return nil, err
	}
	// From here on the job has begun, also for a run that dies in its first step.
	if err := r.save(p); err != nil {
		return nil, err
	}
	return func() (account.ID, outcome, error) {
		ids := w.take()
		if len(ids) == 0 {
			return 0, outcome{}, nil
		}
		o, err := r.endOf(ids)
		return ids[len(ids)-1], o, err
	}, nil
}

// endOf ends what is beyond the limit of some accounts. The limit is read anew,
// so that a change of it stops the run at once.
func (r *run) endOf(ids []account.ID) (outcome, error) {
	days, applies, err := r.limit()
	if err != nil {
		return outcome{}, err
	}
	if !applies {
		return outcome{late: true}, nil
	}
	e := &ender{run: r, latest: clock.DayOf(r.at).AddDays(days), inHand: make(chan struct{}, enders)}
	owners, err := r.profiles(ids)
	if err != nil {
		return outcome{}, err
	}
	workers := errgroup.Group{}
	workers.SetLimit(enders)
	for _, owner := range owners {
		if hadTokens(owner) { // those of an account that is gone have ended with it
			workers.Go(func() error { e.account(owner); return nil })
		}
	}
	_ = workers.Wait() // faults are in the outcome
	r.counts.add(e.counts)
	return e.outcome, nil
}

// An ender ends tokens of several accounts at the same time.
type ender struct {
	*run
	latest clock.Day // on which a token may end
	// bots go one at a time: each is counted in one item, and transactions that
	// meet there refuse each other.
	bots sync.Mutex
	// inHand holds a place for each token that is being ended.
	inHand chan struct{}

	mu      sync.Mutex
	outcome outcome
	counts  Counts
}

// account ends what is beyond the limit of one account.
func (e *ender) account(owner account.Account) {
	for page, more := "", true; more && e.goesOn(); more = page != "" {
		tokens, next, err := e.Accounts.PageOfTokens(e.ctx, owner.ID, page)
		if err != nil {
			e.note(fmt.Errorf("tokens of owner %s: %w", owner.ID, err))
			return
		}
		workers := errgroup.Group{}
		workers.SetLimit(enders)
		for _, t := range tokens {
			if !e.beyond(t, owner) {
				continue
			}
			workers.Go(func() error {
				e.note(e.token(t))
				return nil
			})
		}
		_ = workers.Wait() // faults are noted
		e.mu.Lock()
		e.counts.Examined += len(tokens)
		e.mu.Unlock()
		page = next
	}
}

// goesOn reports whether there is still a point in going on, and sees to it
// that the lease lasts for as long as there is.
func (e *ender) goesOn() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stop.Err() != nil:
		e.outcome.late = true
	case e.outcome.over():
	case !e.Clock.Now().Before(e.until.Add(-lease / 2)):
		// An account may have more tokens than can be ended during a lease.
		if err := e.save(e.saved); err != nil {
			e.outcome.late = true
		}
	}
	return !e.outcome.over()
}

// beyond reports whether t works and would for longer than is allowed. A token
// that was rotated does not: its overlap ends within a day, as the shortest limit.
func (e *ender) beyond(t token.Token, owner account.Account) bool {
	return !t.Superseded() && !t.RevokedIn(e.Clock.Now(), owner.TokensValidFrom) && (t.ExpiresOn.IsZero() || t.ExpiresOn.After(e.latest))
}

// token ends t. A record that is gone in the meantime has ended, too.
func (e *ender) token(t token.Token) error {
	if t.Kind.OfProject() {
		e.bots.Lock()
		defer e.bots.Unlock()
	}
	e.inHand <- struct{}{}
	defer func() { <-e.inHand }()
	if !e.goesOn() {
		return nil
	}
	now := e.Clock.Now()
	t.RevokedAt, t.RevokedReason = now, token.ReasonPolicy
	err := e.Accounts.RevokeToken(e.ctx, t, audit.OfToken(now, audit.Origin{Source: audit.Policy}, t, audit.Revoked))
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("token %s: %w", t.ID, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts.Revoked++
	e.failedInRow = 0
	return nil
}

// note keeps what went wrong with one token or account. The others are gone on
// with, unless nothing works any more.
func (e *ender) note(err error) {
	if err == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outcome.unsent = errors.Join(e.outcome.unsent, err)
	if e.failedInRow++; e.failedInRow == hopeless {
		e.outcome.fatal = fmt.Errorf("%w: one after the other: %w", errLeft, err)
	}
}

// ended returns the steps that tell owners of what lifetime runs have ended.
func (r *run) ended(p Progress) (step, error) {
	w, err := r.walk(p.Cursor)
	if err != nil {
		return nil, err
	}
	var found queue // of the accounts up to reached
	var reached account.ID
	return func() (account.ID, outcome, error) {
		if len(found) == 0 {
			ids := w.take()
			if len(ids) == 0 {
				return 0, outcome{}, nil
			}
			var err error
			if found, err = r.endedOf(ids); err != nil {
				return 0, outcome{}, err
			}
			reached = ids[len(ids)-1]
		}
		batch, err := r.collect(&found)
		if err != nil || len(batch) == 0 {
			return reached, outcome{}, err
		}
		o := r.process(batch)
		if len(found) > 0 {
			return batch[len(batch)-1].owner, o, nil
		}
		return reached, o, nil
	}, nil
}

// A queue is groups that were found already.
type queue []group

func (q *queue) next(context.Context) (group, bool, error) {
	if len(*q) == 0 {
		return group{}, false, nil
	}
	g := (*q)[0]
	*q = (*q)[1:]
	return g, true, nil
}

// endedOf finds what there is to tell of some accounts, by ascending id. Bots
// are gone with their tokens, so accounts that are not there count.
func (r *run) endedOf(ids []account.ID) (queue, error) {
	owners, err := r.profiles(ids)
	if err != nil {
		return nil, err
	}
	all := make([]group, len(ids))
	workers := errgroup.Group{}
	workers.SetLimit(enders)
	for i, id := range ids {
		if owner, there := owners[id]; there && !hadTokens(owner) {
			continue
		}
		workers.Go(func() (err error) {
			all[i], err = r.groupOf(id)
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(g group) bool { return len(g.dues) == 0 }), nil
}

// groupOf finds what there is to tell of one account, what would have ended
// soonest first.
func (r *run) groupOf(owner account.ID) (group, error) {
	g := group{owner: owner}
	for page, more := "", true; more; more = page != "" {
		tokens, next, err := r.Accounts.PageOfTokens(r.ctx, owner, page)
		if err != nil {
			return group{}, fmt.Errorf("tokens of owner %s: %w", owner, err)
		}
		for _, t := range tokens {
			d := due{Entry: Entry{ID: t.ID, Digest: t.Digest}, slot: slot{day: t.ExpiresOn, mark: string(Lifetime)}}
			if notEnded(t, true, d) == "" {
				g.dues = append(g.dues, d)
			}
		}
		page = next
	}
	slices.SortStableFunc(g.dues, func(a, b due) int {
		return cmp.Compare(daysLeft(a.slot.day, clock.DayOf(r.at)), daysLeft(b.slot.day, clock.DayOf(r.at)))
	})
	return g, nil
}

// daysLeft is how many days a token that ends on day had left; one that never
// would have ended had the most.
func daysLeft(day, today clock.Day) int {
	const never = 1 << 30
	if day.IsZero() {
		return never
	}
	return today.DaysUntil(day)
}

// notEnded says why there is nothing to tell of a token after a lifetime run,
// or "". Impersonation tokens are none of their owner's business.
func notEnded(t token.Token, there bool, d due) string {
	switch {
	case !there:
		return "gone"
	case t.ID != d.ID:
		return "moved"
	case t.RevokedReason != token.ReasonPolicy:
		return "revoked"
	case t.Kind == token.Impersonation:
		return "impersonation"
	case slices.Contains(t.Notices, d.slot.mark):
		return "announced"
	default:
		return ""
	}
}
