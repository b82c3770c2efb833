// Package settings has what administrators set for the whole installation, and
// the rules for setting it.
//
// Start with Settings, which every check goes by; Application is what is stored
// of them. The package does no I/O and reads no clock.
package settings

import (
	"time"

	"latchkey/pkg/clock"
)

const (
	// MaxLifetimeDays is how many days ahead a token may end where its end is
	// required, and the most that an administrator's limit may allow.
	MaxLifetimeDays = 365
	// MaxRetentionDays is the longest that ended tokens are kept.
	MaxRetentionDays = 3650
)

// Settings are what administrators have set for every token. The zero Settings are
// the strictest: what is not known must not allow.
type Settings struct {
	// LifetimeDays is the administrators' limit, 1 to MaxLifetimeDays, or 0 for none.
	LifetimeDays int
	// ExpiryOptional lets new tokens be without an end, unless there is a limit.
	ExpiryOptional bool
	// ExpiryIgnored lets tokens work on after their end, until they are revoked.
	ExpiryIgnored bool
	// ImpersonationOff makes impersonation tokens unusable.
	ImpersonationOff bool
	// Prefix of new personal tokens.
	Prefix string
	// LastUsedInterval is how long a recorded last use stands, whole seconds.
	LastUsedInterval time.Duration
	// RetentionDays is how long an ended token, and the bot of one that has
	// expired, is kept.
	RetentionDays int
}

// Latest returns the last day on which a token made on today may end, and
// whether there is one.
func (s Settings) Latest(today clock.Day) (clock.Day, bool) {
	switch {
	case s.LifetimeDays > 0:
		return today.AddDays(s.LifetimeDays), true
	case s.ExpiryOptional:
		return clock.Day{}, false
	default:
		return today.AddDays(MaxLifetimeDays), true
	}
}
