// Package settings describes the administrators' settings for the whole installation, and their
// rules.
//
// Start with Settings, the values that every check uses; Application is their stored form. The
// package does no I/O and reads no clock.
package settings

import (
	"time"

	"latchkey/pkg/clock"
)

const (
	// MaxLifetimeDays is the latest expiry of a token in days from now if expiry is required, and
	// the highest limit on lifetimes.
	MaxLifetimeDays = 365
	// MaxRetentionDays is the longest time that inactive tokens are kept.
	MaxRetentionDays = 3650
	// MaxRotationWindow is the longest rotation window.
	MaxRotationWindow = time.Minute
	// MaxRotationOverlap is the longest time that a token may work together with its successor.
	MaxRotationOverlap = 24 * time.Hour
)

// Settings are the administrators' settings for every token. The zero Settings are the strictest,
// because unknown settings must not allow anything.
type Settings struct {
	// LifetimeDays is the limit on lifetimes, 1 to MaxLifetimeDays, or 0 for none.
	LifetimeDays int
	// ExpiryOptional lets new tokens have no expiry, unless there is a limit.
	ExpiryOptional bool
	// ExpiryIgnored lets expired tokens work until they are revoked.
	ExpiryIgnored bool
	// ImpersonationOff disables impersonation tokens.
	ImpersonationOff bool
	// RotationWindow is how long after a rotation another use of the old bearer for rotation
	// revokes nothing, in whole seconds up to MaxRotationWindow.
	RotationWindow time.Duration
	// RotationOverlap is how long a rotated token works together with its successor if the request
	// does not say, in whole seconds up to MaxRotationOverlap.
	RotationOverlap time.Duration
	// RotationKeepsLife gives a successor as many days as its predecessor was made for, instead of a
	// week, if the request names no day.
	RotationKeepsLife bool
	// Prefix is the prefix of new personal tokens.
	Prefix string
	// LastUsedInterval is how long a recorded use stays without an update, in whole seconds.
	LastUsedInterval time.Duration
	// RetentionDays is how long an inactive token, and the bot of an expired one, is kept.
	RetentionDays int
	// TokensFrom is the instant before which every token that was made is revoked, and SessionsFrom the
	// one before which every session that began is over. Both are in whole seconds, and the zero time
	// until an operator ends what a restored table had brought back.
	TokensFrom, SessionsFrom time.Time
}

// Latest returns the last day on which a token made today may expire, if there is one.
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
