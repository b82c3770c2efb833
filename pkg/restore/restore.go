// Package restore ends, in a table that was restored to an earlier second, what had ended since then.
//
// Start with Restorer.EndEverything if nobody knows what has ended: it revokes every token and ends every
// session. With the table of before, Restorer.CarryOver compares both and ends only what has ended there.
// Both may count instead, stop in time, and may be called again at any point. The package promises that
// nothing gains a right: what is stricter in the restored table stays. It replays no events.
package restore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Reader reads the restored table consistently.
type Reader interface {
	Settings(ctx context.Context) (settings.Application, error)
	// EachAccount passes the existing accounts after the given one to each, several at a time and in no
	// exact order, and ends before ctx does. It returns the last account up to which all are done, and
	// whether there are no others. The first error ends it.
	EachAccount(ctx context.Context, after account.ID, each func(context.Context, account.Account) error) (last account.ID, done bool, err error)
	// PageOfTokens returns the next tokens of an owner by ascending id, and the next page. page and
	// next are "" for the first page and after the last. It skips unreadable tokens.
	PageOfTokens(ctx context.Context, owner account.ID, page string) (tokens []token.Token, next string, err error)
	Memberships(ctx context.Context, acct account.ID) ([]project.Member, error)
	// LastAccountID returns the highest assigned account id, or 0.
	LastAccountID(ctx context.Context) (account.ID, error)
	// ProjectsByID passes the existing projects of ids to each, in no order.
	ProjectsByID(ctx context.Context, ids []project.ID, each func(project.Project)) error
}

// An OldReader reads the table of before consistently. Absence is fault.ErrNotFound.
type OldReader interface {
	Settings(ctx context.Context) (settings.Application, error)
	Account(ctx context.Context, id account.ID) (account.Account, error)
	// TokensByDigest returns the existing tokens, in any state and in no order. It skips unreadable ones.
	TokensByDigest(ctx context.Context, digests []secret.Digest) ([]token.Token, error)
	Memberships(ctx context.Context, acct account.ID) ([]project.Member, error)
	LastAccountID(ctx context.Context) (account.ID, error)
}

// A Store changes the restored table. A second call of each method is safe.
type Store interface {
	// TightenSettings replaces the settings of the revision before s, in TokensFrom, SessionsFrom,
	// ExpiryIgnored and ImpersonationOff. It returns fault.ErrMoved if another revision is stored.
	TightenSettings(ctx context.Context, s settings.Application, changed []audit.Event) error
	// RevokeToken revokes a token, and deletes the bot of a project's or group's token. Errors:
	// fault.ErrNotFound, token.ErrSuperseded.
	RevokeToken(ctx context.Context, revoked token.Token, event audit.Event) error
	// RaiseValidFrom revokes every token of an account whose number is below from, and ends its sessions.
	RaiseValidFrom(ctx context.Context, id account.ID, from int64, revoked audit.Event) error
	SetAccountState(ctx context.Context, id account.ID, from, to account.State, moved audit.Event) error
	UpdateAccount(ctx context.Context, before, after account.Account, updated []audit.Event) error
	// UnlinkIdentity takes before's identity from it and ends its sessions.
	UnlinkIdentity(ctx context.Context, before account.Account, unlinked audit.Event) error
	DeleteAccount(ctx context.Context, u account.Account, deleted audit.Event) error
	// LeaveAll ends every membership of an account, each with its own event.
	LeaveAll(ctx context.Context, acct account.ID, left audit.Event) (some bool, err error)
	// RemoveMember removes a member that still equals m, and LowerMember lowers one that still equals
	// before. They return fault.ErrMoved if it does not.
	RemoveMember(ctx context.Context, m, remaining project.Member, removed audit.Event) error
	LowerMember(ctx context.Context, before, after project.Member, lowered []audit.Event) error
}

// A Restorer ends what a restore has brought back. It is safe for concurrent use.
type Restorer struct {
	parts Parts
	// bots serializes the removal of bots, because they share a counter and concurrent transactions
	// would collide.
	bots sync.Mutex
}

// Parts hold the dependencies of a Restorer.
type Parts struct {
	Reader Reader
	Store  Store
	Clock  clock.Clock
	// Old is the table of before. Without it, CarryOver returns ErrNoOldTable.
	Old OldReader `optional:""`
}

// New returns a Restorer, or an error that names a missing part.
func New(parts Parts) (*Restorer, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Restorer{parts: parts}, nil
}

// An Order says what a call is to do. A walk through a large table takes several calls.
type Order struct {
	// Request is the id of the operator's invocation, for the audit trail.
	Request string
	// Count says that nothing is to be changed.
	Count bool
	// After is the last account that earlier calls have dealt with, or 0.
	After account.ID
	// Before is the instant before which everything was made that the order is about.
	Before time.Time
}

// from returns the origin of the order's changes.
func (o Order) from() audit.Origin { return audit.By(principal.Console(o.Request), audit.Console) }

const (
	// lead is how long after the call the instant lies before which everything ends. An instance may go by
	// settings that it read verify.SettingsAge ago, and its clock may differ: what it lets pass until then may
	// make tokens, and these end too.
	lead = time.Minute
	// maxLead bounds the instant that an operator chooses, because nobody can make a token that works until then.
	maxLead = time.Hour
)

var (
	// ErrBefore means that the instant of an order is missing or may not be chosen.
	ErrBefore = fmt.Errorf("%w: instant", fault.ErrInput)
	// ErrNoOldTable means that there is no table to compare with.
	ErrNoOldTable = fmt.Errorf("%w: the stack has no OldTable", fault.ErrConflict)
	// ErrOtherTable means that the table to compare with cannot be the one of before.
	ErrOtherTable = fmt.Errorf("%w: the old table has fewer accounts than this one", fault.ErrConflict)
)

// saveTries is how often a change of the settings is tried when others change them at the same time.
const saveTries = 5

// tighten changes the settings, unless change changes nothing.
func (r *Restorer) tighten(ctx context.Context, o Order, change func(*settings.Application)) (err error) {
	for range saveTries {
		before, err := r.parts.Reader.Settings(ctx)
		if err != nil {
			return fmt.Errorf("read settings: %w", err)
		}
		after := before
		change(&after)
		events := changes(r.parts.Clock.Now(), o.from(), before, after)
		if o.Count || len(events) == 0 {
			return nil
		}
		after.Revision++
		if err = r.parts.Store.TightenSettings(ctx, after, events); !errors.Is(err, fault.ErrMoved) {
			return err
		}
	}
	return err
}

// changes are the audit events of changed settings, one for each.
func changes(at time.Time, from audit.Origin, before, after settings.Application) (events []audit.Event) {
	instant := func(t time.Time) string {
		if t.IsZero() {
			return "none"
		}
		return t.UTC().Format(time.RFC3339)
	}
	for _, setting := range []struct{ name, from, to string }{
		{"tokens_from", instant(before.TokensFrom), instant(after.TokensFrom)},
		{"sessions_from", instant(before.SessionsFrom), instant(after.SessionsFrom)},
		{settings.ExpiryEnforced, fmt.Sprint(!before.ExpiryIgnored), fmt.Sprint(!after.ExpiryIgnored)},
		{settings.Impersonation, fmt.Sprint(!before.ImpersonationOff), fmt.Sprint(!after.ImpersonationOff)},
	} {
		if setting.from != setting.to {
			event := audit.OfInstance(at, from, audit.SettingsUpdated, setting.name)
			event.Change, event.From, event.To = setting.name, setting.from, setting.to
			events = append(events, event)
		}
	}
	return events
}

// revoke revokes a token of the restored table. One that is gone or was rotated meanwhile needs nothing.
func (r *Restorer) revoke(ctx context.Context, o Order, t token.Token, reason token.Reason) error {
	if o.Count {
		return nil
	}
	if t.Kind.OfProject() {
		r.bots.Lock()
		defer r.bots.Unlock()
	}
	t.RevokedAt, t.RevokedReason = r.parts.Clock.Now(), reason
	err := r.parts.Store.RevokeToken(ctx, t, audit.OfToken(t.RevokedAt, o.from(), t, audit.Revoked))
	if errors.Is(err, fault.ErrNotFound) || errors.Is(err, token.ErrSuperseded) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("revoke token %s: %w", t.ID, err)
	}
	return nil
}

// eachToken passes the tokens of an account to each, page by page.
func (r *Restorer) eachToken(ctx context.Context, owner account.ID, each func(tokens []token.Token) error) error {
	for page, more := "", true; more; more = page != "" {
		tokens, next, err := r.parts.Reader.PageOfTokens(ctx, owner, page)
		if err != nil {
			return fmt.Errorf("read tokens: %w", err)
		}
		if err := each(tokens); err != nil {
			return err
		}
		page = next
	}
	return nil
}

// later returns the later of two instants.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
