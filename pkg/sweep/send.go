package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup" // bounds the workers

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

const (
	// throttledTries is how often a mail is tried while the account says that
	// mails come too fast; each try waits twice as long.
	throttledTries = 8
	// hopeless is how many mails in a row may fail before the run stops to try:
	// more than one owner's bad luck, less than a night of it.
	hopeless = 20
	// markers is how many records of one owner are marked at the same time.
	markers = 8
	// markTries is how often a mark is tried, with pauses from firstMarkPause
	// on that double: a mark that is missing is a mail that is repeated.
	markTries      = 5
	firstMarkPause = 200 * time.Millisecond
)

var (
	// errHopeless means that one mail after the other failed.
	errHopeless = fmt.Errorf("%w: one after the other", ErrUnsent)
	// errRate means that the account did not say how fast mails may be sent,
	// which concerns every mail.
	errRate = fmt.Errorf("%w: send rate unknown", ErrUnsent)
	// errNoTime means that the next mail's turn comes after the run's end.
	errNoTime = errors.New("no time left")
)

// An outcome is what came of a batch beside its counts.
type outcome struct {
	// fatal ends the run: nothing more can be sent, or read, now.
	fatal error
	// unsent is why some mails were not sent; other mails still may be.
	unsent error
	// late means that the lease or the time ran out before the batch did.
	late bool
}

// over reports whether nothing more of the batch is to be tried.
func (o outcome) over() bool { return o.fatal != nil || o.late }

// complete reports whether nothing of the batch is left to do.
func (o outcome) complete() bool { return !o.over() && o.unsent == nil }

// process announces the tokens of a batch: it looks at their records, sends
// what is due of each owner's, and marks it.
func (r *run) process(batch []group) outcome {
	seen, err := r.look(batch...)
	if err != nil {
		return outcome{fatal: err}
	}
	var mu sync.Mutex
	var result outcome
	workers := errgroup.Group{}
	workers.SetLimit(r.Workers)
	for _, g := range batch {
		workers.Go(func() error {
			mu.Lock()
			over := result.over()
			mu.Unlock()
			if over {
				return nil
			}
			counts, err := r.announce(g, seen)
			mu.Lock()
			defer mu.Unlock()
			r.counts.add(counts)
			if counts.Mails > 0 {
				r.failedInRow = 0
			}
			switch {
			case err == nil:
			case late(err):
				result.late = true
			case ends(err):
				result.fatal = errors.Join(result.fatal, err)
			default:
				result.unsent = errors.Join(result.unsent, err)
				if r.failedInRow++; r.failedInRow == hopeless {
					result.fatal = errors.Join(result.fatal, fmt.Errorf("%w: %w", errHopeless, err))
				}
			}
			return nil
		})
	}
	_ = workers.Wait() // faults are in result
	return result
}

// ends reports whether an error concerns every mail and not one.
func ends(err error) bool {
	for _, fatal := range []error{ErrQuota, ErrPaused, ErrSender, ErrThrottled, errRate, fault.ErrUnavailable} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}

// late reports whether an error means that the lease or the time ran out.
func late(err error) bool { return errors.Is(err, ErrLeaseLost) || errors.Is(err, errNoTime) }

// A sight is what the records of some owners' tokens, and the owners'
// profiles, said at a time. A key with an error stands for what cannot be read.
type sight struct {
	tokens map[secret.Digest]token.Token
	owners map[account.ID]account.Account
	broken map[any]bool // digests and owners
}

// look reads the records and profiles of groups as they are now.
func (r *run) look(groups ...group) (sight, error) {
	s := sight{map[secret.Digest]token.Token{}, map[account.ID]account.Account{}, map[any]bool{}}
	var digests []secret.Digest
	owners := make([]account.ID, len(groups))
	for i, g := range groups {
		owners[i] = g.owner
		for _, d := range g.dues {
			digests = append(digests, d.Digest)
		}
	}
	err := r.Records.Tokens(r.ctx, digests, func(t token.Token, err error) {
		if err != nil {
			s.broken[t.Digest] = true
			r.malformed(err)
			return
		}
		s.tokens[t.Digest] = t
	})
	if err != nil {
		return sight{}, err
	}
	err = r.Records.Owners(r.ctx, owners, func(u account.Account, err error) {
		if err != nil {
			s.broken[u.ID] = true
			r.malformed(err)
			return
		}
		s.owners[u.ID] = u
	})
	return s, err
}

func (r *run) malformed(err error) {
	if r.Malformed != nil {
		r.Malformed(r.ctx, err)
	}
}

// Reasons for which a token is passed over that more than one place gives.
const (
	malformed = "malformed"
	revoked   = "revoked"
	gone      = "gone"
)

// A plan is what a look says is to be done for one owner.
type plan struct {
	group           // what is due
	tokens  []Token // what the mail lists of it
	silent  []due   // what is not announced, and has a bot that is to be removed
	skipped Counts
	// audience is who is still to be told. It has neither recipients nor a
	// reason when all have been.
	audience
}

func (r *run) plan(g group, s sight) (plan, error) {
	owner, known := s.owners[g.owner]
	p := plan{group: group{owner: g.owner}}
	for _, d := range g.dues {
		t, there := s.tokens[d.Digest]
		reason := notDue(t, there, d, owner, r.Clock.Now())
		if s.broken[d.Digest] || s.broken[g.owner] {
			reason = malformed
		}
		d.record = t
		if reason != "" {
			p.skipped.skip(reason, 1)
			if reason == revoked && r.Kind == Expired && t.Kind.OfProject() && t.RevokedAt.IsZero() {
				p.silent = append(p.silent, d) // revoked in bulk, which leaves the bot
			}
			continue
		}
		p.dues = append(p.dues, d)
		if len(p.tokens) < MaxListed {
			p.tokens = append(p.tokens, Token{ID: t.ID, Name: t.Name, Scopes: t.Scopes, LastUsedAt: t.LastUsedAt, ExpiresOn: t.ExpiresOn})
		}
	}
	if len(p.dues) == 0 {
		return p, nil
	}
	var err error
	p.audience, err = r.audienceOf(owner, known, p.dues)
	switch {
	case p.reason == malformed:
		p.skipped.skip(malformed, len(p.dues))
		p.dues, p.audience = nil, audience{}
	case p.place.Kind != "":
		p.recipients = r.untold(p.dues, p.recipients)
	}
	return p, err
}

// announce sends and marks what is due of one owner. A recipient whose mail
// fails keeps no other back, and a retry tells only those who were not told.
func (r *run) announce(g group, s sight) (Counts, error) {
	var counts Counts
	rest, err := r.settleDebts(g.dues, s, &counts)
	if err != nil {
		return counts, err
	}
	g.dues = rest
	p, err := r.plan(g, s)
	counts.add(p.skipped)
	var unsent error
	tried, failed := map[account.ID]bool{}, 0
	for err == nil && len(p.dues) > 0 && failed < hopeless {
		to, more := next(p.recipients, tried)
		if !more {
			break
		}
		tried[to.Account] = true
		finished, fault := r.send(&p, to, &counts)
		switch {
		case finished:
			// The last one needs no mark of its own, unless the others have to be tried again.
			if _, more := next(p.recipients, tried); more || unsent != nil {
				err = r.settleOwn(p.dues, to.Account)
			}
		case fault == nil: // not to be told any more
		case ends(fault) || late(fault):
			err = fault
		default:
			unsent = errors.Join(unsent, fault)
			failed++
		}
	}
	counts.Due = len(p.dues)
	if err = errors.Join(err, unsent); err != nil {
		return counts, fmt.Errorf("owner %s: %w", g.owner, err)
	}
	counts.skip(p.reason, len(p.dues))
	return counts, r.settle(append(p.silent, p.dues...), &counts)
}

// next returns the first recipient that was not tried; ok is false after the
// last.
func next(recipients []Recipient, tried map[account.ID]bool) (to Recipient, ok bool) {
	for _, to := range recipients {
		if !tried[to.Account] {
			return to, true
		}
	}
	return Recipient{}, false
}

// settleDebts writes the marks of mails that are out already, and returns what
// of dues is left.
func (r *run) settleDebts(dues []due, s sight, counts *Counts) ([]due, error) {
	var owed, rest []due
	for _, d := range dues {
		if t, there := s.tokens[d.Digest]; there {
			d.record = t
		}
		if r.debts.has(Debt{Token: d.ID}) {
			owed = append(owed, d)
			continue
		}
		rest = append(rest, d)
		for _, to := range r.debts.told(d.ID) {
			if err := r.settleOwn([]due{d}, to); err != nil {
				return nil, err
			}
		}
	}
	return rest, r.settle(owed, counts)
}

// settle marks what was announced to everybody. What cannot be marked is owed,
// so that a retry does not announce it again.
func (r *run) settle(dues []due, counts *Counts) error {
	if err := r.mark(dues, 0); err != nil {
		r.debts.add(dues, 0)
		return err
	}
	counts.Marked += len(dues)
	return nil
}

// settleOwn marks what was announced to one recipient while others are still to
// be told.
func (r *run) settleOwn(dues []due, to account.ID) error {
	err := r.mark(dues, to)
	if err != nil {
		r.debts.add(dues, to)
	}
	return err
}

// maxDebts bounds the item that progress is kept in: 5,000 ids take 50 kB of
// DynamoDB's 400, and with recipients 150 kB.
const maxDebts = 5000

// debts are marks that are not written although their mail is out. It is safe
// for concurrent use.
type debts struct {
	mu  sync.Mutex
	all map[Debt]bool
}

func newDebts(list []Debt) *debts {
	d := &debts{all: map[Debt]bool{}}
	for _, one := range list {
		d.all[one] = true
	}
	return d
}

func (d *debts) has(one Debt) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[one]
}

// told returns the single recipients whose mails about a token are out.
func (d *debts) told(id token.ID) (told []account.ID) {
	for _, one := range d.list() {
		if one.Token == id && one.To != 0 {
			told = append(told, one.To)
		}
	}
	return told
}

func (d *debts) add(dues []due, to account.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range dues {
		if len(d.all) < maxDebts {
			d.all[Debt{one.ID, to}] = true
		}
	}
}

func (d *debts) list() []Debt {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.all), func(a, b Debt) int {
		return cmp.Or(cmp.Compare(a.Token, b.Token), cmp.Compare(a.To, b.To))
	})
}

// notDue says why an index entry is not to be announced after all, or "".
func notDue(t token.Token, there bool, d due, owner account.Account, now time.Time) string {
	if d.slot.mark == string(Lifetime) {
		return notEnded(t, there, d)
	}
	switch {
	case !there:
		return gone
	case t.RevokedIn(now, owner.TokensValidFrom):
		return revoked
	case t.Superseded():
		return "rotated" // it works on in its overlap, but its successor is what counts
	case t.ID != d.ID || t.ExpiresOn != d.slot.day:
		return "moved"
	case t.Kind == token.Impersonation:
		return "impersonation"
	case slices.Contains(t.Notices, d.slot.mark):
		return "announced"
	default:
		return ""
	}
}

// send sends one mail at the account's pace. Last thing before it, the records
// are looked at once more, because a mail may have waited long for its turn,
// and then the lease: a run that was held up must not send what another has
// taken over. p becomes what that look says. It reports whether the mail is
// finished work, sent or rejected for good; one to somebody who is not to be
// told any more is neither sent nor an error.
func (r *run) send(p *plan, to Recipient, counts *Counts) (finished bool, err error) {
	pace, err := r.pacer()
	if err != nil {
		return false, err
	}
	for try := 1; ; try++ {
		if err := pace.limiter.Wait(r.lastCall); err != nil {
			return false, errNoTime
		}
		s, err := r.look(p.group)
		if err != nil {
			return false, err
		}
		silent := p.silent
		if *p, err = r.plan(p.group, s); err != nil {
			return false, err
		}
		p.silent = append(silent, p.silent...)
		counts.add(p.skipped)
		still := slices.IndexFunc(p.recipients, func(other Recipient) bool { return other.Account == to.Account })
		if still < 0 {
			return false, nil
		}
		if !r.Clock.Now().Before(r.until.Add(-leaseMargin)) {
			return false, ErrLeaseLost
		}
		err = r.Mailer.Send(r.ctx, Notice{
			Kind: r.Kind, Recipient: p.recipients[still], Owner: p.owner, Place: p.place, Today: r.job.Day, Tokens: p.tokens, Total: len(p.dues),
			LimitDays: r.limitDays,
		})
		switch {
		case err == nil:
			counts.Mails++
			pace.speedUp()
			return true, nil
		case !errors.Is(err, ErrThrottled):
			counts.Failed++
			return errors.Is(err, ErrRejected), err // it would be rejected again
		}
		pace.slowDown()
		if try == throttledTries || r.stop.Err() != nil {
			counts.Failed++
			return false, err
		}
	}
}

var pacing sync.Mutex

// pacer asks for the account's rate when the first mail is about to go out.
func (r *run) pacer() (*pacer, error) {
	pacing.Lock()
	defer pacing.Unlock()
	if *r.pace == nil {
		perSecond, err := r.Mailer.Rate(r.ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRate, err)
		}
		*r.pace = newPacer(perSecond, r.Concurrency)
	}
	return *r.pace, nil
}

// mark notes on all records that they were announced, to one recipient or, for
// 0, to all. It goes on after a fault: every mark that is missing is a mail that
// is repeated.
func (r *run) mark(dues []due, to account.ID) error {
	var mu sync.Mutex
	var faults error
	workers := errgroup.Group{}
	workers.SetLimit(markers)
	for _, d := range dues {
		workers.Go(func() error {
			if err := r.markOne(d, to); err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults = errors.Join(faults, fmt.Errorf("mark token %s: %w", d.ID, err))
			}
			return nil
		})
	}
	_ = workers.Wait() // faults are collected
	return faults
}

// markOne goes on whatever becomes of the run: the mail is out.
func (r *run) markOne(d due, to account.ID) error {
	ctx := context.WithoutCancel(r.ctx)
	mark, record := d.slot.mark, d.record
	record.Digest = d.Digest // of one that is gone, too
	if to != 0 {
		mark = ownMark(mark, to)
	}
	pause := firstMarkPause
	for try := 1; ; try++ {
		err := r.Records.Mark(ctx, record, mark, r.Clock.Now())
		if err == nil || try == markTries {
			return err
		}
		<-time.After(pause)
		pause *= 2
	}
}
