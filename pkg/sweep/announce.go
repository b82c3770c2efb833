package sweep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	// bounds concurrent work

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

const (
	// batchOwners and batchTokens bound the memory of a batch.
	batchOwners = 50
	batchTokens = 500
	// throttledTries is how often a mail is tried while SES throttles; each wait is twice as long.
	throttledTries = 8
	// markers is how many records of one owner are marked at a time.
	markers = 8
	// markTries is how often a mark is tried. The pauses start at firstMarkPause and double. A
	// missing mark repeats a mail.
	markTries      = 5
	firstMarkPause = 200 * time.Millisecond
)

// A holding holds the tokens of one owner that may be due, soonest first.
type holding struct {
	owner account.Account // only the id before a look, and for a missing owner
	known bool            // whether the owner exists
	dues  []due
}

// A due is a token that may be due, with its position in the index and the result of the last look.
type due struct {
	Entry
	slot   slot
	record token.Token // without an id if it cannot be read
	skip   string      // why it is not announced, or ""
}

// announceDue announces the due tokens of the job's shard, batch by batch.
func (a *attempt) announceDue(ctx context.Context) iter.Seq[account.ID] {
	return func(yield func(account.ID) bool) {
		window, err := a.window(ctx)
		if err != nil {
			a.stop(err)
			return
		}
		a.firstDay = window[0].day
		var batch []holding
		for h, err := range a.due(ctx, window) {
			if err != nil {
				a.stop(err)
				return
			}
			if batch = append(batch, h); !a.full(batch) {
				continue
			}
			if a.announceBatch(ctx, batch); !yield(h.owner.ID) {
				return
			}
			batch = nil
		}
		if len(batch) > 0 {
			a.announceBatch(ctx, batch)
			yield(batch[len(batch)-1].owner.ID)
		}
	}
}

// full reports whether a batch has reached its limit.
func (a *attempt) full(batch []holding) bool {
	tokens := 0
	for _, h := range batch {
		tokens += len(h.dues)
	}
	return tokens >= batchTokens || len(batch) >= a.pace.batch(batchOwners)
}

// announceBatch looks at the records of a batch, sends the due mails of each owner, and marks the
// tokens.
func (a *attempt) announceBatch(ctx context.Context, batch []holding) {
	batch, err := a.look(ctx, batch...)
	if err != nil {
		a.stop(err)
		return
	}
	_ = parallel(a.Workers, batch, func(h holding) error { // the attempt keeps errors
		a.mu.Lock()
		over := a.over()
		a.mu.Unlock()
		if over {
			return nil
		}
		counts, err := a.announce(ctx, h)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.counts.add(counts)
		if counts.Mails > 0 {
			a.failedInRow = 0
		}
		switch {
		case err == nil:
		case concernsAll(err):
			a.stop(err)
		default:
			a.leave(err)
		}
		return nil
	})
}

// concernsAll reports whether an error concerns every mail.
func concernsAll(err error) bool {
	return slices.ContainsFunc([]error{
		ErrQuota, ErrPaused, ErrSender, ErrThrottled, errRate, fault.ErrUnavailable, ErrLeaseLost, errNoTime,
	}, func(all error) bool { return errors.Is(err, all) })
}

// look reads the current records and owners' profiles.
func (a *attempt) look(ctx context.Context, batch ...holding) ([]holding, error) {
	var digests []secret.Digest
	ids := make([]account.ID, len(batch))
	for i, h := range batch {
		ids[i] = h.owner.ID
		for _, d := range h.dues {
			digests = append(digests, d.Digest)
		}
	}
	records, owners := map[secret.Digest]token.Token{}, map[account.ID]account.Account{}
	broken := map[any]bool{} // digests and ids
	err := a.Records.Tokens(ctx, digests, func(t token.Token, err error) {
		if err != nil {
			broken[t.Digest] = true
			a.Malformed(err)
			return
		}
		records[t.Digest] = t
	})
	if err != nil {
		return nil, err
	}
	err = a.Records.Owners(ctx, ids, func(owner account.Account, err error) {
		if err != nil {
			broken[owner.ID] = true
			a.Malformed(err)
			return
		}
		owners[owner.ID] = owner
	})
	if err != nil {
		return nil, err
	}
	now := a.Clock.Now()
	looked := make([]holding, len(batch))
	for i, h := range batch {
		id := h.owner.ID
		h.owner, h.known = owners[id]
		h.owner.ID = id
		h.dues = slices.Clone(h.dues)
		for n := range h.dues {
			d := &h.dues[n]
			d.record = records[d.Digest]
			d.skip = d.notDue(h.owner, now)
			if broken[d.Digest] || broken[id] {
				d.skip = malformed
			}
		}
		looked[i] = h
	}
	return looked, nil
}

// notDue returns why a token is not announced, or "".
func (d *due) notDue(owner account.Account, now time.Time) string {
	if d.slot.mark == string(Lifetime) {
		return d.notTold()
	}
	t := d.record
	switch {
	case t.ID == 0:
		return gone
	case t.RevokedIn(now, owner.TokensValidFrom):
		return revoked
	case t.Superseded():
		return "rotated" // it works in its overlap, but only its successor matters
	case t.ID != d.ID || t.ExpiresOn != d.slot.day:
		return moved
	case t.Kind == token.Impersonation:
		return "impersonation"
	case slices.Contains(t.Notices, d.slot.mark):
		return announced
	default:
		return ""
	}
}

// A plan is the work for one owner after a look.
type plan struct {
	holding       // to announce
	silent  []due // not to announce, but with a bot to remove
	// recipients are the people still to be told. After the last, there are neither people nor a
	// reason.
	recipients
}

func (a *attempt) plan(ctx context.Context, h holding, counts *Counts) (plan, error) {
	p := plan{holding: holding{owner: h.owner, known: h.known}}
	for _, d := range h.dues {
		if d.skip == "" {
			p.dues = append(p.dues, d)
			continue
		}
		counts.skip(d.skip, 1)
		if d.skip == revoked && a.Kind == Expired && d.record.Kind.OfProject() && d.record.RevokedAt.IsZero() {
			p.silent = append(p.silent, d) // revoked in bulk, which leaves the bot
		}
	}
	if len(p.dues) == 0 {
		return p, nil
	}
	var err error
	p.recipients, err = a.recipientsOf(ctx, p.holding)
	switch {
	case p.none == malformed:
		counts.skip(malformed, len(p.dues))
		p.dues, p.recipients = nil, recipients{}
	case p.project.ID != 0:
		p.people = a.untold(p.dues, p.people)
	}
	return p, err
}

// announce sends and marks the due mails of one owner. A failed mail stops no other, and a retry
// tells only the remaining recipients.
func (a *attempt) announce(ctx context.Context, h holding) (Counts, error) {
	var counts Counts
	rest, err := a.settleDebts(ctx, h.dues, &counts)
	if err != nil {
		return counts, err
	}
	h.dues = rest
	p, err := a.plan(ctx, h, &counts)
	var unsent error
	tried, failed := map[account.ID]bool{}, 0
	for err == nil && len(p.dues) > 0 && failed < hopeless {
		to, more := next(p.people, tried)
		if !more {
			break
		}
		tried[to] = true
		finished, fault := a.send(ctx, &p, to, &counts)
		switch {
		case finished:
			// The last recipient needs no mark of their own, unless others have to be tried again.
			if _, more := next(p.people, tried); more || unsent != nil {
				err = a.settleOwn(ctx, p.dues, to)
			}
		case fault == nil: // does not need to be told any more
		case concernsAll(fault):
			err = fault
		default:
			unsent = errors.Join(unsent, fault)
			failed++
		}
	}
	counts.Due = len(p.dues)
	if err = errors.Join(err, unsent); err != nil {
		return counts, fmt.Errorf("owner %s: %w", h.owner.ID, err)
	}
	counts.skip(p.none, len(p.dues))
	return counts, a.settle(ctx, append(p.silent, p.dues...), &counts)
}

// next returns the first of people who was not tried; ok is false after the last.
func next(people []account.Account, tried map[account.ID]bool) (to account.ID, ok bool) {
	for _, to := range people {
		if !tried[to.ID] {
			return to.ID, true
		}
	}
	return 0, false
}

// send sends one mail at the account's pace. Directly before it, send looks at the records again,
// because the mail may have waited long, and checks the lease, because another run may have taken
// the job. It updates p by that look. It reports whether the mail is finished: sent or rejected for
// good. A mail that is no longer due is neither sent nor an error.
func (a *attempt) send(ctx context.Context, p *plan, to account.ID, counts *Counts) (finished bool, err error) {
	for try := 1; ; try++ {
		if err := a.pace.turn(ctx); err != nil {
			return false, err
		}
		looked, err := a.look(ctx, p.holding)
		if err != nil {
			return false, err
		}
		silent := p.silent
		if *p, err = a.plan(ctx, looked[0], counts); err != nil {
			return false, err
		}
		p.silent = append(silent, p.silent...)
		still := slices.IndexFunc(p.people, func(other account.Account) bool { return other.ID == to })
		if still < 0 {
			return false, nil
		}
		if !a.Clock.Now().Before(a.until.Add(-leaseMargin)) {
			return false, ErrLeaseLost
		}
		n := Notice{Kind: a.Kind, Recipient: p.people[still], Today: a.job.Day, Total: len(p.dues), LimitDays: a.limitDays}
		for _, d := range p.dues[:min(len(p.dues), MaxListed)] {
			n.Tokens = append(n.Tokens, shown(d.record, a.Kind, p.project))
		}
		err = a.Mailer.Send(ctx, n)
		switch {
		case err == nil:
			counts.Mails++
			a.pace.speedUp()
			return true, nil
		case !errors.Is(err, ErrThrottled):
			counts.Failed++
			return errors.Is(err, ErrRejected), err // another try would be rejected too
		}
		a.pace.slowDown()
		if try == throttledTries || a.stopped() {
			counts.Failed++
			return false, err
		}
	}
}

// settleDebts writes the marks of mails that are already sent, and returns the rest of dues.
func (a *attempt) settleDebts(ctx context.Context, dues []due, counts *Counts) (rest []due, err error) {
	var owed []due
	for _, d := range dues {
		if a.debts.has(Debt{Token: d.ID}) {
			owed = append(owed, d)
			continue
		}
		rest = append(rest, d)
		for _, to := range a.debts.told(d.ID) {
			if err := a.settleOwn(ctx, []due{d}, to); err != nil {
				return nil, err
			}
		}
	}
	return rest, a.settle(ctx, owed, counts)
}

// settle marks tokens that were announced to everybody. It keeps failed marks as debts, so that a
// retry does not announce the tokens again.
func (a *attempt) settle(ctx context.Context, dues []due, counts *Counts) error {
	err := a.settleOwn(ctx, dues, 0)
	if err == nil {
		counts.Marked += len(dues)
	}
	return err
}

// settleOwn marks tokens that were announced to one recipient while others remain; 0 stands for
// everybody. It continues after a fault, because every missing mark repeats a mail.
func (a *attempt) settleOwn(ctx context.Context, dues []due, to account.ID) error {
	err := parallel(markers, dues, func(d due) error { return a.mark(ctx, d, to) })
	if err != nil {
		a.debts.add(dues, to)
	}
	return err
}

// mark marks one record, even if the run ends, because the mail is sent.
func (a *attempt) mark(ctx context.Context, d due, to account.ID) error {
	ctx = context.WithoutCancel(ctx)
	mark, record := d.slot.mark, d.record
	record.Digest = d.Digest // also of a deleted record
	if to != 0 {
		mark = ownMark(mark, to)
	}
	pause := firstMarkPause
	for try := 1; ; try++ {
		err := a.Records.Mark(ctx, record, mark, a.Clock.Now())
		switch {
		case err == nil:
			return nil
		case try == markTries:
			return fmt.Errorf("mark token %s: %w", d.ID, err)
		}
		<-time.After(pause)
		pause *= 2
	}
}

// ownMark is the mark of an announcement to one of several recipients. It stays until all have been
// told.
func ownMark(mark string, to account.ID) string { return mark + "@" + to.String() }

// untold returns the people who were not told about all due tokens. A run that stopped between two
// mails has told some.
func (a *attempt) untold(dues []due, people []account.Account) []account.Account {
	return slices.DeleteFunc(people, func(to account.Account) bool {
		return !slices.ContainsFunc(dues, func(d due) bool {
			return !slices.Contains(d.record.Notices, ownMark(d.slot.mark, to.ID)) && !a.debts.has(Debt{d.ID, to.ID})
		})
	})
}
