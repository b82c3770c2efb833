package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup" // bounds the workers

	"latchkey/pkg/principal"
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
			case errors.Is(err, ErrLeaseLost), errors.Is(err, errNoTime):
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
	for _, fatal := range []error{ErrQuota, ErrPaused, ErrSender, ErrThrottled, errRate, token.ErrUnavailable} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}

// A sight is what the records of some owners' tokens, and the owners'
// profiles, said at a time. A key with an error stands for what cannot be read.
type sight struct {
	tokens map[secret.Digest]token.Token
	owners map[token.OwnerID]principal.User
	broken map[any]bool // digests and owners
}

// look reads the records and profiles of groups as they are now.
func (r *run) look(groups ...group) (sight, error) {
	s := sight{map[secret.Digest]token.Token{}, map[token.OwnerID]principal.User{}, map[any]bool{}}
	var digests []secret.Digest
	owners := make([]token.OwnerID, len(groups))
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
	err = r.Records.Owners(r.ctx, owners, func(u principal.User, err error) {
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

// A plan is what a look says is to be done for one owner.
type plan struct {
	group              // what is due
	tokens     []Token // what the mail lists of it
	recipients []Recipient
	reason     string // why there is no recipient
	skipped    Counts
}

func (r *run) plan(g group, s sight) (plan, error) {
	owner, known := s.owners[g.owner]
	p := plan{group: group{owner: g.owner}}
	for _, d := range g.dues {
		t, there := s.tokens[d.Digest]
		reason := notDue(t, there, d, owner, r.Clock.Now())
		if s.broken[d.Digest] || s.broken[g.owner] {
			reason = "malformed"
		}
		if reason != "" {
			p.skipped.skip(reason, 1)
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
	p.recipients, p.reason, err = r.recipients(owner, known)
	return p, err
}

// announce sends and marks what is due of one owner.
func (r *run) announce(g group, s sight) (Counts, error) {
	var counts Counts
	owed, rest := r.debts.split(g.dues)
	if err := r.settle(owed, &counts); err != nil {
		return counts, err
	}
	g.dues = rest
	p, err := r.plan(g, s)
	counts.add(p.skipped)
	if err != nil || len(p.dues) == 0 {
		counts.Due = len(p.dues)
		return counts, err
	}
	for _, recipient := range p.recipients {
		err := r.send(&p, recipient, &counts)
		switch {
		case err == nil:
		case errors.Is(err, ErrRejected): // finished work: it would be rejected again
		default:
			counts.Due = len(p.dues)
			return counts, fmt.Errorf("owner %s: %w", g.owner, err)
		}
		if len(p.dues) == 0 || len(p.recipients) == 0 {
			break // the last look found nothing to tell, or nobody
		}
	}
	counts.Due = len(p.dues)
	counts.skip(p.reason, len(p.dues))
	return counts, r.settle(p.dues, &counts)
}

// settle marks what was announced. What cannot be marked is owed, so that a
// retry does not announce it again.
func (r *run) settle(dues []due, counts *Counts) error {
	if err := r.mark(dues); err != nil {
		r.debts.add(dues)
		return err
	}
	counts.Marked += len(dues)
	return nil
}

// maxDebts bounds the item that progress is kept in: 5,000 ids take 50 kB of
// DynamoDB's 400.
const maxDebts = 5000

// debts are tokens whose mail is out and whose mark is not written. It is safe
// for concurrent use.
type debts struct {
	mu  sync.Mutex
	ids map[token.ID]bool
}

func newDebts(ids []token.ID) *debts {
	d := &debts{ids: map[token.ID]bool{}}
	for _, id := range ids {
		d.ids[id] = true
	}
	return d
}

func (d *debts) split(dues []due) (owed, rest []due) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range dues {
		if d.ids[one.ID] {
			owed = append(owed, one)
		} else {
			rest = append(rest, one)
		}
	}
	return owed, rest
}

func (d *debts) add(dues []due) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range dues {
		if len(d.ids) < maxDebts {
			d.ids[one.ID] = true
		}
	}
}

func (d *debts) list() []token.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.ids))
}

// notDue says why an index entry is not to be announced after all, or "".
func notDue(t token.Token, there bool, d due, owner principal.User, now time.Time) string {
	switch {
	case !there:
		return "gone"
	case t.RevokedIn(now, owner.TokensValidFrom):
		return "revoked"
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

// recipients returns who is told, or the reason why nobody is.
func (r *run) recipients(owner principal.User, known bool) ([]Recipient, string, error) {
	switch {
	case !known:
		return nil, "owner_gone", nil
	case owner.State != principal.Active && !owner.Bot:
		return nil, "owner_inactive", nil
	}
	recipients, err := r.Recipients.For(r.ctx, owner)
	if len(recipients) == 0 && err == nil {
		return nil, "no_recipient", nil
	}
	return recipients, "", err
}

// send sends one mail at the account's pace. Last thing before it, the records
// are looked at once more, because a mail may have waited long for its turn,
// and then the lease: a run that was held up must not send what another has
// taken over. p becomes what that look says.
func (r *run) send(p *plan, to Recipient, counts *Counts) error {
	pace, err := r.pacer()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		if err := pace.limiter.Wait(r.lastCall); err != nil {
			return errNoTime
		}
		s, err := r.look(p.group)
		if err != nil {
			return err
		}
		if *p, err = r.plan(p.group, s); err != nil {
			return err
		}
		counts.add(p.skipped)
		if len(p.dues) == 0 || len(p.recipients) == 0 {
			return nil
		}
		if !r.Clock.Now().Before(r.until.Add(-leaseMargin)) {
			return ErrLeaseLost
		}
		err = r.Mailer.Send(r.ctx, Notice{
			Kind: r.Kind, Recipient: to, Owner: p.owner, Today: r.job.Day, Tokens: p.tokens, Total: len(p.dues),
		})
		switch {
		case err == nil:
			counts.Mails++
			pace.speedUp()
			return nil
		case !errors.Is(err, ErrThrottled):
			counts.Failed++
			return err
		}
		pace.slowDown()
		if try == throttledTries || r.stop.Err() != nil {
			counts.Failed++
			return err
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

// mark notes on all records that they were announced. It goes on after a
// fault: every mark that is missing is a mail that is repeated.
func (r *run) mark(dues []due) error {
	var mu sync.Mutex
	var faults error
	workers := errgroup.Group{}
	workers.SetLimit(markers)
	for _, d := range dues {
		workers.Go(func() error {
			if err := r.markOne(d); err != nil {
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
func (r *run) markOne(d due) error {
	ctx := context.WithoutCancel(r.ctx)
	pause := firstMarkPause
	for try := 1; ; try++ {
		err := r.Records.Mark(ctx, d.Digest, d.slot.mark)
		if err == nil || try == markTries {
			return err
		}
		<-time.After(pause)
		pause *= 2
	}
}
