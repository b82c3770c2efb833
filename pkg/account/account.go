// Package account describes accounts of people and bots: ids, names and states.
//
// Start with Account. Its method Usable alone decides whether an account may use the API. The
// package does no I/O and reads no clock.
package account

import (
	"fmt"
	"strings"
	"time"

	"latchkey/pkg/fault"
)

// An Account is the profile of a person or a bot.
type Account struct {
	ID       ID
	Username string
	Name     string
	Email    string // never logged
	State    State
	Admin    bool
	Bot      bool
	External bool
	// NoGroups says that the account makes no groups at the root.
	NoGroups bool
	// Noted says that administrators keep a note about the account. Note is its text, which may be
	// long, so most reads leave it empty.
	Noted     bool
	Note      string
	CreatedAt time.Time
	// CreatedBy is the administrator who made the account, or 0 for an operator and for a sign-in.
	CreatedBy ID
	// NextNumber is the number that the account's next token gets.
	NextNumber int64
	// TokensValidFrom is the first token number that has not been revoked in bulk. A number stays
	// exact where an instant would not: several tokens can be made within the second of the
	// revocation.
	TokensValidFrom int64
	// SessionNumber is the number of the account's good sessions. Signing out, a change of state and
	// revoking everything raise it, which ends all sessions.
	SessionNumber int64
	// Unreachable says why mails do not reach Email, or is "". Such an account gets no mails.
	Unreachable Unreachable
	// UnreachableAt is when the mail was sent that showed it.
	UnreachableAt time.Time
	// ReachableSince is when Email was last changed, or was said to work again. A mail that was sent
	// before says nothing about it. It is the zero time if neither has happened.
	ReachableSince time.Time
	// Identity is who signs in as this account, or the zero Identity.
	Identity Identity
}

// Unreachable is why an address gets no more mails.
type Unreachable string

// The reasons.
const (
	Bounced    Unreachable = "bounced"    // a mail came back for good
	Complained Unreachable = "complained" // the recipient called a mail unwanted
)

// Returned returns a as it is after a mail to address, sent at an instant, came back for a reason. If
// that says nothing new about a's present address, a stays as it is, and changed is false.
func (a Account) Returned(address string, sent time.Time, reason Unreachable) (after Account, changed bool) {
	if a.Bot || a.Email == "" || !strings.EqualFold(a.Email, address) || a.Unreachable != "" || !sent.After(a.ReachableSince) {
		return a, false
	}
	a.Unreachable, a.UnreachableAt = reason, sent.Truncate(time.Second)
	return a, true
}

// Reachable returns a as it is after its address was changed or said to work again at an instant.
func (a Account) Reachable(at time.Time) Account {
	a.Unreachable, a.UnreachableAt, a.ReachableSince = "", time.Time{}, at
	return a
}

// A State is what an account may do.
type State string

// The states of an account.
const (
	Active      State = "active"
	Blocked     State = "blocked"
	Deactivated State = "deactivated"
)

var (
	// ErrInactive means that a good bearer belongs to an account that may
	// not use the API.
	ErrInactive = fault.New(fault.Forbidden, "account inactive")
	// ErrBlocked means that an administrator blocked the account.
	ErrBlocked = fmt.Errorf("%w: blocked", ErrInactive)
	// ErrDeactivated means that the account is dormant.
	ErrDeactivated = fmt.Errorf("%w: deactivated", ErrInactive)

	// ErrUsernameTaken means that another account has this username.
	ErrUsernameTaken = fmt.Errorf("%w: username", fault.ErrTaken)
	// ErrEmailTaken means that another account has this mail address.
	ErrEmailTaken = fmt.Errorf("%w: mail address", fault.ErrTaken)
	// ErrIdentityTaken means that this identity signs in as another account.
	ErrIdentityTaken = fmt.Errorf("%w: identity", fault.ErrTaken)
)

// Usable returns nil when the account may use the API, otherwise a child of ErrInactive. An unknown
// state is not usable.
func (a Account) Usable() error {
	switch a.State {
	case Active:
		return nil
	case Blocked:
		return ErrBlocked
	case Deactivated:
		return ErrDeactivated
	default:
		return ErrInactive
	}
}

// GhostID is the id of the account that stands for deleted authors. No other account can have it,
// and it is not stored.
const GhostID ID = MaxID

// Ghost returns the account that stands for deleted authors: their work is shown under its name. It
// has no rights and no valid tokens.
func Ghost() Account {
	ghost := Gone(GhostID)
	ghost.Username, ghost.Name, ghost.State, ghost.CreatedAt = "ghost", "Ghost User", Deactivated, time.Unix(0, 0).UTC()
	return ghost
}

// Gone returns the account with this id as it is after its deletion: without a name, and with every
// token revoked.
func Gone(id ID) Account { return Account{ID: id, NextNumber: noToken, TokensValidFrom: noToken} }

// noToken is above every token number (see token.MaxNumber).
const noToken = 1 << 22
