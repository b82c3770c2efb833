package account

import (
	"fmt"
	"time"

	"latchkey/pkg/fault"
)

// An Identity names a person at an identity provider (OpenID Connect Core 1.0 section 2: only `iss`
// and `sub` together identify anybody). The zero Identity is none.
type Identity struct {
	// Issuer is the provider's URL, which has no fragment.
	Issuer string
	// Subject is at most 255 bytes.
	Subject string
}

// A Session is a person's stay on the page after a sign-in. The browser alone keeps it, so it says by
// itself how long it is good, and the account's SessionNumber ends all copies of it.
type Session struct {
	Account ID
	// Number is the account's SessionNumber at the sign-in.
	Number     int64
	SignedInAt time.Time
	RenewedAt  time.Time
}

// How long a session is good.
const (
	// SessionLife is how long after the sign-in, at most.
	SessionLife = 12 * time.Hour
	// SessionIdle is how long after the last renewal.
	SessionIdle = time.Hour
	// sessionRenewal is how long after a renewal a use renews the session again.
	sessionRenewal = 5 * time.Minute
)

// ErrSessionEnded means that nobody is signed in, or not any more.
var ErrSessionEnded = fault.New(fault.Unauthenticated, "session ended")

// NewSession returns the session of somebody who signs in at now.
func NewSession(a Account, now time.Time) Session {
	return Session{Account: a.ID, Number: a.SessionNumber, SignedInAt: now, RenewedAt: now}
}

// EndsAt is the instant from which the session is over unless it is renewed before.
func (s Session) EndsAt() time.Time {
	end, idle := s.SignedInAt.Add(SessionLife), s.RenewedAt.Add(SessionIdle)
	if idle.Before(end) {
		return idle
	}
	return end
}

// Check returns nil while the session is good at now for the account as it is now. Sessions that began
// before from are over. Errors: ErrSessionEnded, or a child of ErrInactive.
func (s Session) Check(a Account, now, from time.Time) error {
	switch {
	case s.Account == 0 || s.Account != a.ID || a.Bot:
		return fmt.Errorf("%w: of another account", ErrSessionEnded)
	case !now.Before(s.EndsAt()):
		return fmt.Errorf("%w: too old", ErrSessionEnded)
	case s.SignedInAt.Before(from):
		return fmt.Errorf("%w: with all others", ErrSessionEnded)
	case s.Number != a.SessionNumber:
		return fmt.Errorf("%w: signed out", ErrSessionEnded)
	default:
		return a.Usable()
	}
}

// Renewed returns the session as it is after a use at now, and whether that differs. A renewal never
// moves the end of SessionLife.
func (s Session) Renewed(now time.Time) (Session, bool) {
	if now.Sub(s.RenewedAt) < sessionRenewal {
		return s, false
	}
	s.RenewedAt = now
	return s, true
}
