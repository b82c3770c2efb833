package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	// bounds concurrent work

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
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

// A holding holds the tokens of one holder that may be due: those of an owner or, in boxes, those
// that a person is to be told about. An owner's tokens come first, soonest first.
type holding struct {
	owner account.Account // only the id before a look, and for a missing owner
	known bool            // whether the owner exists
	dues  []due
}

// A due is a token that may be due, with its origin and the result of the last look.
type due struct {
	Entry
	slot   slot
	kind   Kind            // why it may be due
	box    Box             // that the token comes from; "" for the index
	holder account.ID      // the owner or, of a post, the recipient
	record token.Token     // without an id if it cannot be read
	of     project.Project // of a bot's token, once the recipient is known to manage it
	skip   string          // why it is not announced, or ""
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
		streams := append(a.dueOn(window), a.postedIn(a.cursor)...)
		a.inBatches(ctx, a.due(ctx, streams), a.announceBatch)(yield)
	}
}

// inBatches calls work for batches of holdings and yields the last holder of each.
func (a *attempt) inBatches(ctx context.Context, holdings iter.Seq2[holding, error], work func(context.Context, []holding)) iter.Seq[account.ID] {
	return func(yield func(account.ID) bool) {
		var batch []holding
		for h, err := range holdings {
			if err != nil {
				a.stop(err)
				return
			}
			if batch = append(batch, h); !a.full(batch) {
				continue
			}
			if work(ctx, batch); !yield(h.owner.ID) {
				return
			}
			batch = nil
		}
		if len(batch) > 0 {
			work(ctx, batch)
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

// announceBatch sends the due mails of a batch and marks the tokens.
func (a *attempt) announceBatch(ctx context.Context, batch []holding) { a.each(ctx, batch, a.announce) }

// each looks at the records of a batch and works on its holdings in parallel.
func (a *attempt) each(ctx context.Context, batch []holding, work func(context.Context, holding) (Counts, error)) {
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
		counts, err := work(ctx, h)
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

// look reads the current records and the profiles of their owners and holders.
func (a *attempt) look(ctx context.Context, batch ...holding) ([]holding, error) {
	wanted, people := map[secret.Digest]bool{}, map[account.ID]bool{} // several people may share a token
	for _, h := range batch {
		people[h.owner.ID] = true
		for _, d := range h.dues {
			wanted[d.Digest], people[d.ID.Owner()] = true, true
		}
	}
	records, owners := map[secret.Digest]token.Token{}, map[account.ID]account.Account{}
	broken := map[any]bool{} // digests and ids
	err := a.Records.Tokens(ctx, slices.Collect(maps.Keys(wanted)), func(t token.Token, err error) {
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
	err = a.Records.Owners(ctx, slices.Sorted(maps.Keys(people)), func(owner account.Account, err error) {
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
			d.skip = d.notDue(owners[d.ID.Owner()], now)
			if broken[d.Digest] || broken[id] || broken[d.ID.Owner()] {
				d.skip = malformed
			}
		}
		looked[i] = h
	}
	return looked, nil
}

// notDue returns why a token is not announced, or "".
func (d *due) notDue(owner account.Account, now time.Time) string {
	if d.kind != Expiring && d.kind != Expired {
		return d.notTold()
	}
	t := d.record
	switch {
	case t.ID == 0:
		return gone
	case t.RevokedIn(now, owner.TokensValidFrom) && !d.removed():
		return revoked
	case t.Superseded():
		return "rotated" // it works in its overlap, but only its successor matters
	case t.ID != d.ID || t.ExpiresOn != d.slot.day:
		return moved
	case t.Kind == token.Impersonation:
		return "impersonation"
	case d.box == "" && slices.Contains(t.Notices, d.slot.mark):
		return announced
	default:
		return ""
	}
}

// removed reports whether a token was posted because it expired, and its bot was removed before the
// mail. After days without a scan, one scan does both.
func (d *due) removed() bool {
	return d.box != "" && d.kind == Expired && d.record.RevokedReason == token.ReasonExpired
}

// ofBot reports whether a token was posted to its holder because it is of a project or group.
func (d due) ofBot() bool { return d.box != "" && d.record.Kind.OfProject() }

// A plan is the work for one holder after a look.
type plan struct {
	holding       // to announce
	silent  []due // not to announce, but to settle
	counted bool  // as one of the day's mails about tokens of projects and groups
	last    bool  // and as the last of them
}

// sort divides a holding into tokens to announce and others to settle. It counts the skipped ones.
func (a *attempt) sort(h holding, counts *Counts) plan {
	p := plan{holding: holding{owner: h.owner, known: h.known}}
	for _, d := range h.dues {
		if d.skip == "" {
			p.dues = append(p.dues, d)
			continue
		}
		counts.skip(d.skip, 1)
		switch {
		case d.box != "" && d.skip != malformed:
			p.silent = append(p.silent, d) // the post is needless
		case d.skip == revoked && a.Kind == Expired && d.record.Kind.OfProject() && d.record.RevokedAt.IsZero():
			p.silent = append(p.silent, d) // revoked in bulk, which leaves the bot
		}
	}
	return p
}

// plan plans the mail to one person. A person who does not manage a bot's token any more is not told
// about it.
func (a *attempt) plan(ctx context.Context, h holding, counts *Counts) (plan, error) {
	managed := map[project.ID]recipients{}
	for i := range h.dues {
		d := &h.dues[i]
		if d.skip != "" || !d.ofBot() {
			continue
		}
		to, asked := managed[d.record.Project]
		if !asked {
			var err error
			if to, err = a.finder.managers(ctx, d.record.Project, a.at); err != nil {
				return plan{}, err
			}
			managed[d.record.Project] = to
		}
		switch {
		case to.none == malformed:
			d.skip = malformed
		case !slices.ContainsFunc(to.people, func(person account.Account) bool { return person.ID == h.owner.ID }):
			d.skip = noRecipient
		}
		d.of = to.project
	}
	p := a.sort(h, counts)
	if none := person(h.owner, h.known).none; none != "" {
		counts.skip(none, len(p.dues))
		p.silent, p.dues = append(p.silent, p.dues...), nil
	}
	return p, nil
}

// announce sends one mail to a person about all due tokens, and marks them. A bot's tokens are
// posted to people.
func (a *attempt) announce(ctx context.Context, h holding) (Counts, error) {
	var counts Counts
	if h.owner.Bot {
		return counts, nil
	}
	rest, err := a.settleDebts(ctx, h.dues, &counts)
	if err != nil {
		return counts, err
	}
	h.dues = rest
	p, err := a.plan(ctx, h, &counts)
	if err == nil && len(p.dues) > 0 {
		err = a.send(ctx, &p, &counts)
	}
	for _, d := range p.dues {
		if d.box == "" {
			counts.Due++
		}
	}
	if err != nil && !errors.Is(err, ErrRejected) { // a dead address is finished work
		return counts, fmt.Errorf("mail to account %s: %w", h.owner.ID, err)
	}
	return counts, a.settle(ctx, append(p.silent, p.dues...), &counts)
}

// leased reports whether this run certainly has its lease.
func (a *attempt) leased() bool { return a.Clock.Now().Before(a.until.Add(-leaseMargin)) }

// send sends one mail at the account's pace. Directly before it, send looks at the records again,
// because the mail may have waited long, and checks the lease, because another run may have taken
// the job. It updates p by that look. A mail that is no longer due is not sent, and that is no error.
func (a *attempt) send(ctx context.Context, p *plan, counts *Counts) error {
	for try := 1; ; try++ {
		if err := a.pace.turn(ctx); err != nil {
			return err
		}
		looked, err := a.look(ctx, p.holding)
		if err != nil {
			return err
		}
		before := *p
		if *p, err = a.plan(ctx, looked[0], counts); err != nil {
			return err
		}
		p.silent, p.counted, p.last = append(before.silent, p.silent...), before.counted, before.last
		if err := a.allow(ctx, p, counts); err != nil {
			return err
		}
		if len(p.dues) == 0 {
			return nil
		}
		if !a.leased() {
			return ErrLeaseLost
		}
		err = a.Mailer.Send(ctx, Notice{
			Kind: a.Kind, Recipient: p.owner, Today: a.job.Day,
			Tokens: listed(p.dues, a.job.Day), Total: len(p.dues), LimitDays: a.limitDays, Last: p.last,
		})
		switch {
		case err == nil:
			counts.Mails++
			a.pace.speedUp()
			return nil
		case !errors.Is(err, ErrThrottled):
			counts.Failed++
			return err // another try would fail too
		}
		a.pace.slowDown()
		if try == throttledTries || a.stopped() {
			counts.Failed++
			return err
		}
	}
}

// allow counts a mail about tokens of projects and groups as one of the day's. If the person has got
// all of them, it holds these tokens back for the next Expiring scan, which is never held back
// itself.
func (a *attempt) allow(ctx context.Context, p *plan, counts *Counts) error {
	if p.counted || !slices.ContainsFunc(p.dues, due.ofBot) {
		return nil
	}
	number, err := a.Allowance.TakeMail(ctx, p.owner.ID, clock.DayOf(a.Clock.Now()), a.DailyMails)
	switch {
	case err == nil:
		p.counted, p.last = true, number == a.DailyMails
		return nil
	case !errors.Is(err, ErrMailLimit):
		return err
	case a.Kind == Expiring:
		p.counted, p.last = true, true
		return nil
	}
	var held, rest []due
	for _, d := range p.dues {
		if d.ofBot() {
			held = append(held, d)
		} else {
			rest = append(rest, d)
		}
	}
	err = parallel(markers, held, func(d due) error {
		if err := a.Posts.Post(ctx, Held, d.post(), a.Clock.Now()); err != nil {
			return err
		}
		return a.Posts.Unpost(ctx, d.box, a.job.Shard, d.post())
	})
	if err != nil {
		return err
	}
	counts.skip(heldBack, len(held))
	p.dues = rest
	return nil
}

// listed returns the tokens that a mail lists: the recipient's own first, then the same number of
// each project, as far as there is room, so that no project's tokens hide those of another.
func listed(dues []due, today clock.Day) []Token {
	var own, ofBots []due
	for _, d := range dues {
		if d.ofBot() {
			ofBots = append(ofBots, d)
		} else {
			own = append(own, d)
		}
	}
	soonest := func(x, y due) int { return cmp.Compare(daysLeft(x.slot.day, today), daysLeft(y.slot.day, today)) }
	slices.SortStableFunc(own, soonest)
	slices.SortStableFunc(ofBots, func(x, y due) int {
		return cmp.Or(cmp.Compare(x.of.ID, y.of.ID), cmp.Compare(x.kind, y.kind), soonest(x, y))
	})
	room := MaxListed - min(len(own), MaxListed)
	var tokens []Token
	for _, d := range append(own[:MaxListed-room], share(ofBots, room)...) {
		tokens = append(tokens, shown(d.record, d.kind, d.of))
	}
	return tokens
}

// share returns room of the tokens, which are ordered by project, and takes as many as it can of
// each project.
func share(dues []due, room int) []due {
	if len(dues) <= room {
		return dues
	}
	ranks, rank := make([]int, len(dues)), 0 // in its project
	for i := range dues {
		if rank++; i == 0 || dues[i].of.ID != dues[i-1].of.ID {
			rank = 0
		}
		ranks[i] = rank
	}
	first := slices.Sorted(slices.Values(ranks))[:room]
	var shared []due
	for i, d := range dues {
		if at, taken := slices.BinarySearch(first, ranks[i]); taken {
			first = slices.Delete(first, at, at+1)
			shared = append(shared, d)
		}
	}
	return shared
}

// settleDebts writes the marks of mails that are already sent, and returns the rest of dues.
func (a *attempt) settleDebts(ctx context.Context, dues []due, counts *Counts) (rest []due, err error) {
	var owed []due
	for _, d := range dues {
		if a.debts.has(d.debt()) {
			owed = append(owed, d)
		} else {
			rest = append(rest, d)
		}
	}
	return rest, a.settle(ctx, owed, counts)
}

// settle marks tokens that were announced or posted, and removes posts. It keeps failed marks as
// debts, so that a retry does not announce the tokens again. It continues after a fault, because
// every missing mark repeats a mail.
func (a *attempt) settle(ctx context.Context, dues []due, counts *Counts) error {
	if err := parallel(markers, dues, func(d due) error { return a.mark(ctx, d) }); err != nil {
		a.debts.add(dues)
		return err
	}
	for _, d := range dues {
		if d.box == "" {
			counts.Marked++
		}
	}
	return nil
}

// mark marks one record or removes one post, even if the run ends, because the mail is sent.
func (a *attempt) mark(ctx context.Context, d due) error {
	ctx = context.WithoutCancel(ctx)
	record := d.record
	record.Digest = d.Digest // also of a deleted record
	pause := firstMarkPause
	for try := 1; ; try++ {
		var err error
		if d.box == "" {
			err = a.Records.Mark(ctx, record, d.slot.mark, a.Clock.Now())
		} else {
			err = a.Posts.Unpost(ctx, d.box, a.job.Shard, d.post())
		}
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
