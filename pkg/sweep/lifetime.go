package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	// bounds the workers

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
	// and from when on tokens beyond it are to be revoked: the zero time for not
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
}

// telling is the kind of the jobs that tell people what a lifetime run has
// revoked. Revoking comes first and has jobs of its own: no token waits for
// mails, however slowly they go out, and whether they do.
const telling Kind = "lifetime-mails"

const (
	// stepAccounts is how many accounts are looked at in one part of a job.
	stepAccounts = 100
	// revokers is how many accounts are worked on at the same time, and how many
	// tokens are revoked, of all of them together. At the ten milliseconds of a
	// transaction that makes more than a thousand a second and shard; more at a
	// time would only wait for each other in a table that has to grow first.
	revokers = 16
)

// errLeft means that some tokens beyond the limit could not be revoked.
var errLeft = fmt.Errorf("%w: tokens left beyond the limit", fault.ErrUnavailable)

// lifetime works through a shard of a lifetime run: it revokes what is beyond the
// limit, helps with the other shards, and only then tells the shard's owners. A
// run that was called off, before or in the middle, revokes nothing more, and
// tells only of what it had revoked. It returns false when there is more to do.
func (r *run) lifetime(ctx context.Context, job Job) (done bool, err error) {
	job.At = r.at
	days, applies, err := r.limit(ctx)
	if err != nil {
		return false, err
	}
	if !applies {
		begun, err := r.Ledger.Begun(ctx, job)
		if err != nil || !begun {
			return err == nil, err
		}
		return r.tell(ctx, job, 0)
	}
	if done, err := r.do(ctx, job, errLeft, (*attempt).revokeBeyond); err != nil || !done {
		return false, err
	}
	// A shard without a worker may be waiting for its turn, which comes after
	// the mails of the ones before it. What goes wrong there is reported in its
	// turn.
	for n := 1; n < r.Shards && !r.stopped(); n++ {
		other := job
		other.Shard = (job.Shard + n) % r.Shards
		_, _ = r.do(ctx, other, errLeft, (*attempt).revokeBeyond)
	}
	return r.tell(ctx, job, days)
}

// limit returns the limit in days, and whether tokens beyond it are to be revoked
// as of the run's instant.
func (r *run) limit(ctx context.Context) (days int, applies bool, err error) {
	days, from, err := r.Limits.LifetimeRun(ctx)
	return days, days > 0 && !from.IsZero() && !from.After(r.at), err
}

// tell tells the owners of a shard of the tokens that lifetime runs have revoked.
func (r *run) tell(ctx context.Context, job Job, days int) (bool, error) {
	if r.Mailer == NoMails {
		return true, nil
	}
	job.Kind, r.limitDays = telling, days
	return r.do(ctx, job, ErrUnsent, (*attempt).tellRevoked)
}

// accounts yields the ids of the shard's accounts behind the cursor, up to last,
// some at a time.
func (a *attempt) accounts(last account.ID) iter.Seq[[]account.ID] {
	stride, shard, after := account.ID(a.Shards), account.ID(a.job.Shard), a.cursor
	next := after - after%stride + shard
	for next <= after || next == 0 {
		next += stride
	}
	return func(yield func([]account.ID) bool) {
		for next <= last {
			var ids []account.ID
			for ; next <= last && len(ids) < stepAccounts; next += stride {
				ids = append(ids, next)
			}
			if !yield(ids) {
				return
			}
		}
	}
}

// hadTokens reports whether an account may have any. Of one that cannot be read
// nothing is known.
func hadTokens(a account.Account) bool { return a.NextNumber != 1 }

// revokeBeyond revokes what is beyond the limit, some accounts at a time.
func (a *attempt) revokeBeyond(ctx context.Context) iter.Seq[account.ID] {
	return func(yield func(account.ID) bool) {
		last, err := a.Accounts.LastAccountID(ctx)
		if err == nil {
			// From here on the job has begun, also for a run that dies in its first part.
			err = a.save(ctx)
		}
		if err != nil {
			a.stop(err)
			return
		}
		for ids := range a.accounts(last) {
			if err := a.revokeOf(ctx, ids); err != nil {
				a.stop(err)
				return
			}
			if !yield(ids[len(ids)-1]) {
				return
			}
		}
	}
}

// revokeOf revokes what is beyond the limit of some accounts. The limit is read
// anew, so that a change of it stops the run at once.
func (a *attempt) revokeOf(ctx context.Context, ids []account.ID) error {
	days, applies, err := a.limit(ctx)
	if err != nil {
		return err
	}
	if !applies {
		a.late = true
		return nil
	}
	owners, err := a.finder.profiles(ctx, ids)
	if err != nil {
		return err
	}
	r := &revocation{attempt: a, latest: clock.DayOf(a.at).AddDays(days), inHand: make(chan struct{}, revokers)}
	return parallel(revokers, slices.Collect(maps.Values(owners)), func(owner account.Account) error {
		if hadTokens(owner) { // those of an account that is gone are gone with it
			r.account(ctx, owner)
		}
		return nil // the attempt keeps what went wrong
	})
}

// A revocation revokes tokens of several accounts at the same time.
type revocation struct {
	*attempt
	latest clock.Day // on which a token may expire
	// bots go one at a time: each is counted in one item, and transactions that
	// meet there refuse each other.
	bots sync.Mutex
	// inHand holds an element for each token that is being revoked.
	inHand chan struct{}
}

// account revokes what is beyond the limit of one account.
func (r *revocation) account(ctx context.Context, owner account.Account) {
	for page, more := "", true; more && r.goesOn(ctx); more = page != "" {
		tokens, next, err := r.Accounts.PageOfTokens(ctx, owner.ID, page)
		if err != nil {
			r.note(fmt.Errorf("tokens of owner %s: %w", owner.ID, err))
			return
		}
		_ = parallel(revokers, tokens, func(t token.Token) error { // faults are noted
			if r.beyond(t, owner) {
				r.note(r.token(ctx, t))
			}
			return nil
		})
		r.mu.Lock()
		r.counts.Examined += len(tokens)
		r.mu.Unlock()
		page = next
	}
}

// goesOn reports whether there is still a point in going on, and sees to it
// that the lease lasts for as long as there is.
func (r *revocation) goesOn(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped():
		r.late = true
	case r.over():
	case !r.Clock.Now().Before(r.until.Add(-lease / 2)):
		// An account may have more tokens than can be revoked during a lease.
		r.late = r.save(ctx) != nil
	}
	return !r.over()
}

// beyond reports whether t works and would for longer than is allowed. A token
// that was rotated does not: its overlap is over within a day, as the shortest limit.
func (r *revocation) beyond(t token.Token, owner account.Account) bool {
	return !t.Superseded() && !t.RevokedIn(r.Clock.Now(), owner.TokensValidFrom) && (t.ExpiresOn.IsZero() || t.ExpiresOn.After(r.latest))
}

// token revokes t. A record that is gone meanwhile needs no more.
func (r *revocation) token(ctx context.Context, t token.Token) error {
	if t.Kind.OfProject() {
		r.bots.Lock()
		defer r.bots.Unlock()
	}
	r.inHand <- struct{}{}
	defer func() { <-r.inHand }()
	if !r.goesOn(ctx) {
		return nil
	}
	t.RevokedAt, t.RevokedReason = r.Clock.Now(), token.ReasonPolicy
	err := r.Revoker.RevokeToken(ctx, t, audit.OfToken(t.RevokedAt, audit.Origin{Source: audit.Policy}, t, audit.Revoked))
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("token %s: %w", t.ID, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Revoked++
	r.failedInRow = 0
	return nil
}

// note keeps what went wrong with one token or account.
func (r *revocation) note(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(err)
}

// tellRevoked tells people of what lifetime runs have revoked.
func (a *attempt) tellRevoked(ctx context.Context) iter.Seq[account.ID] {
	return func(yield func(account.ID) bool) {
		last, err := a.Accounts.LastAccountID(ctx)
		if err != nil {
			a.stop(err)
			return
		}
		for ids := range a.accounts(last) {
			found, err := a.revokedOf(ctx, ids)
			if err != nil {
				a.stop(err)
				return
			}
			var batch []holding
			for i, h := range found {
				last := i == len(found)-1
				if batch = append(batch, h); !last && !a.full(batch) {
					continue
				}
				a.announceBatch(ctx, batch)
				if batch = nil; !last && !yield(h.owner.ID) {
					return
				}
			}
			if !yield(ids[len(ids)-1]) {
				return
			}
		}
	}
}

// revokedOf finds what there is to tell of some accounts, by ascending id. Bots
// are gone with their tokens, so accounts that are not there count.
func (a *attempt) revokedOf(ctx context.Context, ids []account.ID) (found []holding, err error) {
	owners, err := a.finder.profiles(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make([]*holding, len(ids))
	for i, id := range ids {
		all[i] = &holding{owner: account.Account{ID: id}}
	}
	err = parallel(revokers, all, func(h *holding) (err error) {
		if owner, there := owners[h.owner.ID]; !there || hadTokens(owner) {
			h.dues, err = a.revokedDues(ctx, h.owner.ID)
		}
		return err
	})
	for _, h := range all {
		if len(h.dues) > 0 {
			found = append(found, *h)
		}
	}
	return found, err
}

// revokedDues finds what there is to tell of one account. What would have expired
// soonest comes first.
func (a *attempt) revokedDues(ctx context.Context, owner account.ID) (dues []due, err error) {
	for page, more := "", true; more; more = page != "" {
		tokens, next, err := a.Accounts.PageOfTokens(ctx, owner, page)
		if err != nil {
			return nil, fmt.Errorf("tokens of owner %s: %w", owner, err)
		}
		for _, t := range tokens {
			d := due{Entry: Entry{ID: t.ID, Digest: t.Digest}, slot: slot{day: t.ExpiresOn, mark: string(Lifetime)}, record: t}
			if d.notTold() == "" {
				d.record = token.Token{} // the last look reads it
				dues = append(dues, d)
			}
		}
		page = next
	}
	slices.SortStableFunc(dues, func(x, y due) int {
		return cmp.Compare(daysLeft(x.slot.day, a.job.Day), daysLeft(y.slot.day, a.job.Day))
	})
	return dues, nil
}

// daysLeft is how many days a token that expires on day had left; one that never
// would have expired had the most.
func daysLeft(day, today clock.Day) int {
	const never = 1 << 30
	if day.IsZero() {
		return never
	}
	return today.DaysUntil(day)
}

// notTold says why there is nothing to tell of a token after a lifetime run, or
// "". The owner does not know of an impersonation token.
func (d *due) notTold() string {
	t := d.record
	switch {
	case t.ID == 0:
		return gone
	case t.ID != d.ID:
		return moved
	case t.RevokedReason != token.ReasonPolicy:
		return revoked
	case t.Kind == token.Impersonation:
		return "impersonation"
	case slices.Contains(t.Notices, d.slot.mark):
		return announced
	default:
		return ""
	}
}
