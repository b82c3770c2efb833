package settings

import (
	"time"

	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
)

// Grace is how long after a change of the limit on lifetimes the tokens beyond
// it are revoked.
const Grace = 3 * time.Hour

// RunTime is how long a run may take; infra/scan.asl.json gives it an hour less.
// A limit that is loosened in that time may meet tokens that the run has not
// come to.
const RunTime = 24 * time.Hour

// How often a last use is written.
const (
	MinLastUsedInterval = 10 * time.Minute
	MaxLastUsedInterval = 30 * 24 * time.Hour
)

// A Run is the revocation of the tokens beyond a changed limit. The zero Run
// is none.
type Run struct {
	// At is when it starts.
	At time.Time
	// Before is the limit that holds for tokens from before the change, in days,
	// 0 for none: changing back to it calls the run off.
	Before int
}

// Application is the settings as they are stored.
type Application struct {
	Settings
	Run Run
	// Prefixes are all that were ever set: their bearers live on.
	Prefixes []string
	// Revision grows with every change.
	Revision int64
}

// A Change is what is wanted of the settings. Nil fields stay as they are.
type Change struct {
	LifetimeDays     *int // 0 for no limit
	ExpiryRequired   *bool
	ExpiryEnforced   *bool
	Impersonation    *bool
	Prefix           *string
	LastUsedInterval *time.Duration
	RetentionDays    *int
}

// RunAfter returns the run that a change of the limit to days needs: none when
// no token can be beyond it.
func RunAfter(before Application, days int, now time.Time) Run {
	limit := before.LifetimeDays
	if !before.Run.At.IsZero() && now.Before(before.Run.At.Add(RunTime)) {
		limit = before.Run.Before // nothing, or not everything, was revoked for the limit in between
	}
	if days == 0 || limit != 0 && days >= limit {
		return Run{}
	}
	return Run{At: now.Add(Grace), Before: limit}
}

// Check reports every value that cannot be, as fault.Breaches.
func (c Change) Check() error {
	var broken fault.Breaches
	if d := c.LifetimeDays; d != nil && (*d < 0 || *d > MaxLifetimeDays) {
		broken.Add(Lifetime, fault.OutOfRange, fault.Range{Least: 1, Most: MaxLifetimeDays})
	}
	if p := c.Prefix; p != nil && !secret.ValidPrefix(*p) {
		broken.Add(Prefix, fault.Malformed, secret.MaxPrefixLength)
	}
	if i := c.LastUsedInterval; i != nil && (*i < MinLastUsedInterval || *i > MaxLastUsedInterval) {
		broken.Add(LastUsedInterval, fault.OutOfRange, fault.Range{Least: int(MinLastUsedInterval.Seconds()), Most: int(MaxLastUsedInterval.Seconds())})
	}
	if d := c.RetentionDays; d != nil && (*d < 1 || *d > MaxRetentionDays) {
		broken.Add(Retention, fault.OutOfRange, fault.Range{Least: 1, Most: MaxRetentionDays})
	}
	return broken.Err()
}

// Apply returns s with the change made.
func (c Change) Apply(s Application) Application {
	set(&s.LifetimeDays, c.LifetimeDays)
	set(&s.Prefix, c.Prefix)
	set(&s.LastUsedInterval, c.LastUsedInterval)
	set(&s.RetentionDays, c.RetentionDays)
	unset := func(target, value *bool) {
		if value != nil {
			*target = !*value
		}
	}
	unset(&s.ExpiryOptional, c.ExpiryRequired)
	unset(&s.ExpiryIgnored, c.ExpiryEnforced)
	unset(&s.ImpersonationOff, c.Impersonation)
	return s
}

// The names of the settings.
const (
	Lifetime         = "lifetime_days"
	ExpiryRequired   = "expiry_required"
	ExpiryEnforced   = "expiry_enforced"
	Impersonation    = "impersonation"
	Prefix           = "prefix"
	LastUsedInterval = "last_used_interval_seconds"
	Retention        = "retention_days"
)

func set[T any](target, value *T) {
	if value != nil {
		*target = *value
	}
}
