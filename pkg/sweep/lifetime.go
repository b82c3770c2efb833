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

	// bounds concurrent work

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// Limits are the administrators' limits on lifetimes, with consistent reads.
type Limits interface {
	// LifetimeRun returns the limit on the remaining days of a token, and the instant from which
	// tokens beyond it are revoked. The zero time means never.
	LifetimeRun(ctx context.Context) (days int, from time.Time, err error)
}

// Accounts are all accounts and their tokens, with consistent reads.
type Accounts interface {
	// LastAccountID returns the highest assigned account id, or 0.
	LastAccountID(ctx context.Context) (account.ID, error)
	// PageOfTokens returns the next tokens of an owner by ascending id, and the next page. page and
	// next are "" for the first page and after the last. It skips unreadable tokens.
	PageOfTokens(ctx context.Context, owner account.ID, page string) (tokens []token.Token, next string, err error)
}

// telling is the kind of the jobs that tell people about a lifetime run. Revoking has jobs of its
// own and comes first, so that no token waits for mails.
const telling Kind = "lifetime-mails"

const (
	// stepAccounts is how many accounts one part of a job covers.
	stepAccounts = 100
	// revokers is how many accounts a run works on, and how many tokens it revokes in total, at a
	// time. With ten milliseconds for a transaction, a shard revokes more than a thousand tokens a
	// second. More would only wait for each other until the table has scaled.
	revokers = 16
)

// errLeft means that some tokens beyond the limit could not be revoked.
var errLeft = fmt.Errorf("%w: tokens left beyond the limit", fault.ErrUnavailable)

// lifetime works on a shard of a lifetime run. It revokes tokens beyond the limit, helps with the
// other shards, and then tells the shard's owners. A cancelled run revokes nothing more, and tells
// only about tokens that it has revoked. It returns false if there is more to do.
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
	// A shard without a worker may otherwise wait for the mails of earlier shards. And a mail tells of
	// the tokens of all shards, so all have to be revoked first.
	all, left := true, error(nil)
	for n := 1; n < r.Shards && !r.stopped(); n++ {
		other := job
		other.Shard = (job.Shard + n) % r.Shards
		finished, err := r.do(ctx, other, errLeft, (*attempt).revokeBeyond)
		all, left = all && finished, errors.Join(left, err)
	}
	if r.Mailer != NoMails && (left != nil || !all || r.stopped()) {
		return false, left
	}
	return r.tell(ctx, job, days)
}

// limit returns the limit in days, and whether it applies to the run's instant.
func (r *run) limit(ctx context.Context) (days int, applies bool, err error) {
	days, from, err := r.Limits.LifetimeRun(ctx)
	return days, days > 0 && !from.IsZero() && !from.After(r.at), err
}

// tell tells the people of a shard about tokens that lifetime runs have revoked.
func (r *run) tell(ctx context.Context, job Job, days int) (bool, error) {
	if r.Mailer == NoMails {
		return true, nil
	}
	if posted, err := r.posted(ctx, job, (*attempt).postRevoked); err != nil || !posted {
		return false, err
	}
	job.Kind, r.limitDays = telling, days
	return r.do(ctx, job, ErrUnsent, (*attempt).tellPosted)
}

// accounts yields the ids of the shard's accounts after the cursor, up to last, in groups.
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

// hadTokens reports whether an account may have tokens. An unreadable account may.
func hadTokens(a account.Account) bool { return a.NextNumber != 1 }

// revokeBeyond revokes the tokens beyond the limit, account group by account group.
func (a *attempt) revokeBeyond(ctx context.Context) iter.Seq[account.ID] {
	return func(yield func(account.ID) bool) {
		last, err := a.Accounts.LastAccountID(ctx)
		if err == nil {
			// The job has begun, even if the run dies in its first part.
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

// revokeOf revokes the tokens beyond the limit of some accounts. It reads the limit again, so that
// a change stops the run at once.
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
		if hadTokens(owner) { // a deleted account's tokens are already invalid
			r.account(ctx, owner)
		}
		return nil // the attempt keeps errors
	})
}

// A revocation revokes tokens of several accounts concurrently.
type revocation struct {
	*attempt
	latest clock.Day // last day on which a token may expire
	// bots serializes the removal of bots, because they share a counter and concurrent transactions
	// would collide.
	bots sync.Mutex
	// inHand holds an element for each token that is being revoked.
	inHand chan struct{}
}

// account revokes the tokens beyond the limit of one account.
func (r *revocation) account(ctx context.Context, owner account.Account) {
	for page, more := "", true; more && r.goesOn(ctx); more = page != "" {
		tokens, next, err := r.Accounts.PageOfTokens(ctx, owner.ID, page)
		if err != nil {
			r.note(fmt.Errorf("tokens of owner %s: %w", owner.ID, err))
			return
		}
		_ = parallel(revokers, tokens, func(t token.Token) error { // note keeps errors
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

// goesOn reports whether the work should continue, and extends the lease while it does.
func (r *revocation) goesOn(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped():
		r.late = true
	case r.over():
	case !r.Clock.Now().Before(r.until.Add(-lease / 2)):
		// One account may have more tokens than can be revoked during a lease.
		r.late = r.save(ctx) != nil
	}
	return !r.over()
}

// beyond reports whether t works and would work longer than allowed.
func (r *revocation) beyond(t token.Token, owner account.Account) bool {
	return t.Outlives(r.latest) && !t.RevokedIn(r.Clock.Now(), owner.TokensValidFrom)
}

// token revokes t. A record that was deleted meanwhile needs no revocation, nor does a token
// that was rotated: its successor keeps the limit.
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
	if errors.Is(err, fault.ErrNotFound) || errors.Is(err, token.ErrSuperseded) {
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

// note keeps the error of one token or account.
func (r *revocation) note(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(err)
}

// tellPosted tells people about the tokens that lifetime runs have revoked and posted.
func (a *attempt) tellPosted(ctx context.Context) iter.Seq[account.ID] {
	return a.inBatches(ctx, a.due(ctx, a.postedIn(a.cursor)), a.announceBatch)
}

// postRevoked posts the tokens that lifetime runs have revoked, and not only those of bots: the
// shards of this job and of its mails differ.
func (a *attempt) postRevoked(ctx context.Context) iter.Seq[account.ID] {
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
				a.each(ctx, batch, a.post)
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

// revokedOf finds the tokens to tell about, of some accounts by ascending id. Deleted accounts
// count, because bots are deleted with their tokens.
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

// revokedDues finds the tokens to tell about, of one account, by their former expiry.
func (a *attempt) revokedDues(ctx context.Context, owner account.ID) (dues []due, err error) {
	for page, more := "", true; more; more = page != "" {
		tokens, next, err := a.Accounts.PageOfTokens(ctx, owner, page)
		if err != nil {
			return nil, fmt.Errorf("tokens of owner %s: %w", owner, err)
		}
		for _, t := range tokens {
			d := due{Entry: Entry{ID: t.ID, Digest: t.Digest}, slot: slot{day: t.ExpiresOn, mark: string(Lifetime)}, kind: Lifetime, holder: owner, record: t}
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

// daysLeft returns how many days a token had left. A token without an expiry had the most.
func daysLeft(day, today clock.Day) int {
	const never = 1 << 30
	if day.IsZero() {
		return never
	}
	return today.DaysUntil(day)
}

// notTold returns why a token is not announced after a lifetime run or a leak, or "". The owner does
// not know about an impersonation token.
func (d *due) notTold() string {
	t := d.record
	switch {
	case t.ID == 0:
		return gone
	case t.ID != d.ID:
		return moved
	case d.kind == Lifetime && t.RevokedReason != token.ReasonPolicy:
		return revoked
	case t.Kind == token.Impersonation:
		return "impersonation"
	case d.box == "" && slices.Contains(t.Notices, d.slot.mark):
		return announced
	default:
		return ""
	}
}
