package token

import "time"

const (
	// MaxLifetimeDays is how many days ahead a token may end where its end is
	// required, and the most that an administrator's limit may allow.
	MaxLifetimeDays = 365
	// MaxRetentionDays is the longest that ended tokens are kept.
	MaxRetentionDays = 3650
)

// A Policy is what administrators have set for every token. The zero Policy is
// the strictest: what is not known must not allow.
type Policy struct {
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
func (p Policy) Latest(today Day) (Day, bool) {
	switch {
	case p.LifetimeDays > 0:
		return today.AddDays(p.LifetimeDays), true
	case p.ExpiryOptional:
		return Day{}, false
	default:
		return today.AddDays(MaxLifetimeDays), true
	}
}
