package sweep

import (
	"context"
	"errors"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// An Entry of the expiry index names a token that may be due.
type Entry struct {
	ID     token.ID
	Digest secret.Digest
}

// A Query asks the expiry index for one day of one shard.
type Query struct {
	Day   clock.Day
	Shard int
	// Bots asks for the tokens whose bots are to be removed on Day, in the
	// place of those that end on it.
	Bots bool
	// Without leaves out tokens that carry this mark; "" leaves out none.
	Without string
	// After leaves out owners up to and including this one.
	After account.ID
	// Next is what the page before said, "" for the first page.
	Next string
}

// A Page of the expiry index, by ascending owner and id.
type Page struct {
	Entries []Entry
	// Malformed is how many entries could not be read.
	Malformed int
	// Next asks for the page after it, "" after the last.
	Next string
}

// An Index finds what may be due. It may lag behind the records.
type Index interface {
	Due(ctx context.Context, q Query) (Page, error)
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
	// or group goes on to the day on which its bot is to be removed by the
	// settings of the instant now.
	Mark(ctx context.Context, t token.Token, mark string, now time.Time) error
}

// A Job is one scan of one shard on one day.
type Job struct {
	Kind Kind
	// At is the instant that names a job of which a day may have several, and
	// otherwise the zero time.
	At    time.Time
	Day   clock.Day
	Shard int
}

// A Debt is a token whose mark is not written although its mail is out.
type Debt struct {
	Token token.ID
	// To is who was told, when there are more to tell; otherwise 0.
	To account.ID
}

// Progress of a job.
type Progress struct {
	// Cursor is the last owner that needs no further look.
	Cursor account.ID
	Done   bool
	// Unmarked are mails that went out and whose marks could not be written:
	// a retry marks the tokens and sends nothing.
	Unmarked []Debt
	// Sum of what all attempts at the job counted.
	Counts Counts
}

var (
	// ErrLeased means that another run is at work on the job.
	ErrLeased = errors.New("job is leased to another run")
	// ErrLeaseLost means that another run has taken the job over.
	ErrLeaseLost = errors.New("lease lost to another run")
)

// A Ledger keeps the progress of jobs. It lets one holder at a time work on
// a scan of a shard, whatever the day: the days that two jobs cover overlap.
type Ledger interface {
	// Acquire leases the job's scan and shard to holder until the given instant
	// and returns how far the job is. It leases nothing when the job is done,
	// and returns ErrLeased when somebody else's lease has not ended at now.
	Acquire(ctx context.Context, job Job, holder string, now, until time.Time) (Progress, error)
	// Save notes progress and extends the lease; a job that is done, and one
	// whose until is the zero time, is released. It returns ErrLeaseLost when
	// the lease is not holder's any more.
	Save(ctx context.Context, job Job, holder string, p Progress, until time.Time) error
	// Finished returns the last day that a shard has finished a scan for, or
	// fault.ErrNotFound. SetFinished notes it and never moves it back.
	Finished(ctx context.Context, kind Kind, shard int) (clock.Day, error)
	SetFinished(ctx context.Context, job Job) error
}
