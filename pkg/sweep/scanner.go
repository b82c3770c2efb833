package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Scanner runs one of the scans. It is safe for concurrent use.
type Scanner struct{ setup Setup }

// NewScanner returns a scanner for one kind of scan, or an error that wraps
// ErrSetup.
func NewScanner(s Setup) (*Scanner, error) {
	if s.Kind != Expiring && s.Kind != Expired && s.Kind != Lifetime {
		return nil, fmt.Errorf("%w: no scan is called %q", ErrSetup, s.Kind)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return &Scanner{s}, nil
}

// A Kind is one of the scans.
type Kind string

// The scans.
const (
	// Expiring tells people of tokens that expire within the notice days.
	Expiring Kind = "expiring"
	// Expired tells people of tokens that have expired.
	Expired Kind = "expired"
	// Lifetime revokes tokens that live longer than administrators allow, and
	// tells people of them. It runs when the limit was changed, not daily.
	Lifetime Kind = "lifetime"
)

// A Setup is what a Scanner or a Messenger works with. Everything is required,
// except what belongs to another kind.
type Setup struct {
	Kind     Kind
	Records  Records
	Projects Projects
	// Mailer sends the mails. Where no mails are sent it is NoMails, which the
	// two daily scans refuse: they have nothing else to do before they tell.
	Mailer Mailer
	Clock  clock.Clock
	// Workers is how many mails are sent at the same time; at least 1.
	Workers int
	// Malformed is told of records that cannot be read.
	Malformed func(error)

	// Ledger, Shards and Concurrency are for scans. Concurrency is how many
	// shards run at a time; they share the account's send rate.
	Ledger              Ledger
	Shards, Concurrency int
	// AnyTime lets events have any time, for trying things out.
	AnyTime bool

	Index Index // of the two daily scans
	Days  Days  // of Expiring, the notice days

	Revoker     Revoker     // of Expired and Lifetime
	Enforcement Enforcement // of Expired

	Limits   Limits   // of Lifetime
	Accounts Accounts // of Lifetime
}

// ErrSetup means that a dependency is missing.
var ErrSetup = errors.New("sweep set up without a dependency")

func (s Setup) check() error {
	scan, daily := s.Kind != Leaked, s.Kind == Expiring || s.Kind == Expired
	for _, d := range []struct {
		name          string
		needed, given bool
	}{
		{"Records", true, s.Records != nil},
		{"Projects", true, s.Projects != nil},
		{"Mailer", true, s.Mailer != nil && (!daily || s.Mailer != NoMails)},
		{"Clock", true, s.Clock != nil},
		{"Workers", true, s.Workers > 0},
		{"Malformed", true, s.Malformed != nil},
		{"Ledger", scan, s.Ledger != nil},
		{"Shards", scan, s.Shards > 0},
		{"Concurrency", scan, s.Concurrency > 0},
		{"Index", daily, s.Index != nil},
		{"Days", s.Kind == Expiring, len(s.Days) > 0},
		{"Revoker", s.Kind == Expired || s.Kind == Lifetime, s.Revoker != nil},
		{"Enforcement", s.Kind == Expired, s.Enforcement != nil},
		{"Limits", s.Kind == Lifetime, s.Limits != nil},
		{"Accounts", s.Kind == Lifetime, s.Accounts != nil},
	} {
		if d.needed && !d.given {
			return fmt.Errorf("%w: %s needs %s", ErrSetup, s.Kind, d.name)
		}
	}
	return nil
}

// Records are the truth about tokens and accounts, strongly consistent.
type Records interface {
	// Tokens hands the records of digests to each, in no order. Absent ones
	// are passed over; one that cannot be read comes with its digest only and
	// fault.ErrCorrupt.
	Tokens(ctx context.Context, digests []secret.Digest, each func(token.Token, error)) error
	// Owners hands the profiles of ids to each, in no order. Absent ones are
	// passed over; one that cannot be read comes with its id only and
	// fault.ErrCorrupt.
	Owners(ctx context.Context, ids []account.ID, each func(account.Account, error)) error
	// Mark notes on the record of t that it was announced. A second call, and
	// one for a record that is gone, change nothing and are no error. The mark
	// Expired takes the token out of its day in the index; one of a project
	// moves to the day on which its bot is to be removed by the settings of the
	// instant now.
	Mark(ctx context.Context, t token.Token, mark string, now time.Time) error
}

// A Revoker revokes tokens.
type Revoker interface {
	// RevokeToken writes RevokedAt and RevokedReason of revoked, with its audit
	// event. The bot of a project's token is removed with it. A token that was
	// revoked before stays as it is, which is no error, and so does its bot: it
	// may have another token since. Absence is fault.ErrNotFound.
	RevokeToken(ctx context.Context, revoked token.Token, event audit.Event) error
}

// An Event starts or resumes a scan.
type Event struct {
	// Time is "now" for everything the scan decides.
	Time time.Time
	// Shard to scan; nil for all of them.
	Shard *int
}

const (
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

func (s *Scanner) check(e Event) error {
	now := s.setup.Clock.Now()
	if e.Time.IsZero() || !s.setup.AnyTime && (e.Time.After(now.Add(futureLimit)) || e.Time.Before(now.Add(-pastLimit))) {
		return ErrTime
	}
	if e.Shard != nil && (*e.Shard < 0 || *e.Shard >= s.setup.Shards) {
		return fmt.Errorf("%w: %d of %d", ErrShard, *e.Shard, s.setup.Shards)
	}
	return nil
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
	first, last := 0, s.setup.Shards-1
	if e.Shard != nil {
		first, last = *e.Shard, *e.Shard
	}
	r := &run{
		Setup: s.setup, finder: s.setup.finder(), at: e.Time, stopped: func() bool { return stop.Err() != nil },
		pace: &pacer{ask: s.setup.Mailer.Rate, shards: s.setup.Concurrency},
	}
	done := true
	var faults error
	for shard := first; shard <= last; shard++ {
		if r.stopped() {
			done = false
			break
		}
		finished, err := r.shard(ctx, shard)
		done = done && finished
		if err != nil {
			faults = errors.Join(faults, fmt.Errorf("shard %d: %w", shard, err))
			if !errors.Is(err, ErrUnsent) || errors.Is(err, errHopeless) || errors.Is(err, errRate) {
				break // the other shards would meet the same
			}
		}
	}
	return Result{Done: done && faults == nil, Counts: r.counted}, faults
}

// A run is one call of Run.
type run struct {
	Setup
	finder    finder
	at        time.Time // "now" for everything the scan decides
	stopped   func() bool
	pace      *pacer
	counted   Counts
	limitDays int // that a lifetime run's mails name, 0 for none
}

// shard works through one shard. It returns false when there is more to do.
func (r *run) shard(ctx context.Context, shard int) (done bool, err error) {
	job := Job{Kind: r.Kind, Day: clock.DayOf(r.at), Shard: shard}
	if r.Kind == Lifetime {
		return r.lifetime(ctx, job)
	}
	return r.do(ctx, job, ErrUnsent, (*attempt).announceDue)
}

// Counts are what a run did.
type Counts struct {
	Examined    int // index entries read
	Due         int // tokens to announce, after the last look at their records
	Mails       int // mails accepted for delivery
	Marked      int // tokens that need no further announcement
	Failed      int // mails rejected for good, or not known to be sent
	BotsRemoved int // some time after their tokens expired
	Revoked     int // tokens that a lifetime run revoked
	Skipped     map[string]int
}

// Reasons for which a token is skipped that more than one place gives.
const (
	malformed   = "malformed"
	revoked     = "revoked"
	gone        = "gone"
	moved       = "moved"
	announced   = "announced"
	noRecipient = "no_recipient"
)

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
	c.BotsRemoved += other.BotsRemoved
	c.Revoked += other.Revoked
	for reason, n := range other.Skipped {
		c.skip(reason, n)
	}
}
