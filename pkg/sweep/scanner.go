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

// NewScanner returns a scanner for one kind of scan, or an error that wraps ErrSetup.
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
	// Expiring tells people about tokens that expire within the notice days.
	Expiring Kind = "expiring"
	// Expired tells people about expired tokens.
	Expired Kind = "expired"
	// Lifetime revokes tokens that live longer than administrators allow, and tells people about
	// them. It runs after a change of the limit, not daily.
	Lifetime Kind = "lifetime"
)

// A Setup holds the parts of a Scanner. All are required, except those of another kind.
type Setup struct {
	Kind     Kind
	Records  Records
	Projects Projects
	// Mailer sends the mails. Without mails it is NoMails, which the two daily scans refuse,
	// because they have no other work.
	Mailer Mailer
	Clock  clock.Clock
	// Workers is how many mails are sent at a time; at least 1.
	Workers int
	// Malformed receives the errors of unreadable records.
	Malformed func(error)

	// Concurrency is how many of the Shards run at a time; they share the account's send rate.
	Ledger              Ledger
	Shards, Concurrency int
	// AnyTime accepts events with any time, for tests by hand.
	AnyTime bool

	Posts     Posts
	Allowance Allowance
	// DailyMails is how many mails about tokens of projects and groups a person gets in a day; at
	// least 1.
	DailyMails int

	Index Index // of the two daily scans
	Days  Days  // of Expiring, the notice days

	Revoker     Revoker     // of Expired and Lifetime
	Enforcement Enforcement // of Expired

	Limits   Limits   // of Lifetime
	Accounts Accounts // of Lifetime
}

// ErrSetup means that a part of a Setup is missing.
var ErrSetup = errors.New("sweep set up without a dependency")

func (s Setup) check() error {
	daily := s.Kind == Expiring || s.Kind == Expired
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
		{"Ledger", true, s.Ledger != nil},
		{"Shards", true, s.Shards > 0},
		{"Concurrency", true, s.Concurrency > 0},
		{"Posts", true, s.Posts != nil},
		{"Allowance", true, s.Allowance != nil},
		{"DailyMails", true, s.DailyMails > 0},
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

// Records are the authoritative tokens and accounts, with consistent reads.
type Records interface {
	// Tokens passes the existing records of digests to each, in no order. For an unreadable one it
	// passes the digest and fault.ErrCorrupt.
	Tokens(ctx context.Context, digests []secret.Digest, each func(token.Token, error)) error
	// Owners passes the existing profiles of ids to each, in no order. For an unreadable one it
	// passes the id and fault.ErrCorrupt.
	Owners(ctx context.Context, ids []account.ID, each func(account.Account, error)) error
	// Mark records on t that it was announced. A second call, and a call for a deleted record,
	// change nothing and are no error. The mark Expired takes the token out of its day in the
	// index. A project's token moves to the day on which its bot is removed, by the settings at
	// now.
	Mark(ctx context.Context, t token.Token, mark string, now time.Time) error
}

// A Revoker revokes tokens.
type Revoker interface {
	// RevokeToken writes RevokedAt and RevokedReason of revoked, with its audit event, and deletes
	// the bot of a project's token. For a token that was revoked before, it changes neither the
	// token nor its bot, which may have another token; that is no error. A token that was rotated
	// since it was read stays as it is, and the error is token.ErrSuperseded. Absence is
	// fault.ErrNotFound.
	RevokeToken(ctx context.Context, revoked token.Token, event audit.Event) error
}

// An Event starts or resumes a scan.
type Event struct {
	// Time is "now" for all decisions of the scan.
	Time time.Time
	// Shard is the shard to scan; nil for all.
	Shard *int
}

const (
	// futureLimit and pastLimit bound the time of an event.
	futureLimit = time.Hour
	pastLimit   = 7 * 24 * time.Hour
)

var (
	// ErrTime means that an event has no time, or one that no schedule produces.
	ErrTime = errors.New("event time missing, in the future, or more than seven days ago")
	// ErrShard means that an event names a shard that does not exist.
	ErrShard = errors.New("shard does not exist")
	// ErrUnsent means that a retry may send the remaining mails.
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

// A Result holds the counts of one Run, and whether its shards are done.
type Result struct {
	Done   bool
	Counts Counts
}

// Run scans until everything is announced or stop is done. stop must be done early enough before ctx for
// the current batch. It may be called again with the same event at any time; a finished scan does
// nothing.
//
// Errors: ErrTime and ErrShard for an invalid event; ErrQuota, ErrPaused and ErrSender if mails
// cannot be sent now; ErrUnsent if some could not for another reason; fault.ErrUnavailable if the
// table does not answer. Finished work is kept, and the Result counts it.
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
	at        time.Time // "now" for all decisions of the scan
	stopped   func() bool
	pace      *pacer
	counted   Counts
	limitDays int // in the mails of a lifetime run, 0 for none
}

// shard scans one shard. It returns false if there is more to do.
func (r *run) shard(ctx context.Context, shard int) (done bool, err error) {
	job := Job{Kind: r.Kind, Day: clock.DayOf(r.at), Shard: shard}
	if r.Kind == Lifetime {
		return r.lifetime(ctx, job)
	}
	if posted, err := r.posted(ctx, job, (*attempt).postDue); err != nil || !posted {
		return false, err
	}
	return r.do(ctx, job, ErrUnsent, (*attempt).announceDue)
}

// Counts count the work of a run.
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

// The reasons for skipping a token.
const (
	malformed   = "malformed"
	revoked     = "revoked"
	gone        = "gone"
	moved       = "moved"
	announced   = "announced"
	noRecipient = "no_recipient"
	heldBack    = "held_back"
	unreachable = "unreachable"
	ignored     = "expiry_ignored"
)

// skip counts n tokens skipped for reason, unless it is "".
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
