package settings

import (
	"time"

	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
)

// Grace is the time between a change of the limit on lifetimes and the revocation of the tokens
// beyond it.
const Grace = 3 * time.Hour

// RunTime is how long a run may take; infra/scan.asl.json gives it an hour less. If the limit is
// raised within that time, the run may not yet have reached some of the tokens.
const RunTime = 24 * time.Hour

// The limits of LastUsedInterval.
const (
	MinLastUsedInterval = 10 * time.Minute
	MaxLastUsedInterval = 30 * 24 * time.Hour
)

// A Run is a planned revocation of the tokens beyond a changed limit. The zero Run is none.
type Run struct {
	// At is its start.
	At time.Time
	// Before is the limit for tokens from before the change, in days, or 0 for none. Changing the
	// limit back to it cancels the run.
	Before int
}

// Application holds the settings as they are stored.
type Application struct {
	Settings
	Run Run
	// Prefixes are all prefixes that were ever set, because their bearers still work.
	Prefixes []string
	// Revision grows with every change.
	Revision int64
}

// A Change is a change to the settings. Nil fields stay as they are.
type Change struct {
	// Revision is the one on which the change is based: if another is stored, nothing changes. Nil
	// is any.
	Revision         *int64
	LifetimeDays     *int // 0 for no limit
	ExpiryRequired   *bool
	ExpiryEnforced   *bool
	Impersonation    *bool
	Prefix           *string
	LastUsedInterval *time.Duration
	RetentionDays    *int
	RotationWindow   *time.Duration
	RotationOverlap  *time.Duration
	RotationLifetime *string // Week or Same
}

// RunAfter returns the run that a change of the limit to days requires, or none if no token can be
// beyond the limit.
func RunAfter(before Application, days int, now time.Time) Run {
	limit := before.LifetimeDays
	if !before.Run.At.IsZero() && now.Before(before.Run.At.Add(RunTime)) {
		limit = before.Run.Before // the run for the limit in between has revoked nothing or only some tokens
	}
	if days == 0 || limit != 0 && days >= limit {
		return Run{}
	}
	return Run{At: now.Add(Grace), Before: limit}
}

// Check returns all invalid values as fault.Breaches.
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
	if w := c.RotationWindow; w != nil && (*w < 0 || *w > MaxRotationWindow) {
		broken.Add(RotationWindow, fault.OutOfRange, fault.Range{Least: 0, Most: int(MaxRotationWindow.Seconds())})
	}
	if o := c.RotationOverlap; o != nil && (*o < 0 || *o > MaxRotationOverlap) {
		broken.Add(RotationOverlap, fault.OutOfRange, fault.Range{Least: 0, Most: int(MaxRotationOverlap.Seconds())})
	}
	if l := c.RotationLifetime; l != nil && *l != Week && *l != Same {
		broken.Add(RotationLifetime, fault.NotInList, nil)
	}
	return broken.Err()
}

// Apply returns s with the change made.
func (c Change) Apply(s Application) Application {
	set(&s.LifetimeDays, c.LifetimeDays)
	set(&s.Prefix, c.Prefix)
	set(&s.LastUsedInterval, c.LastUsedInterval)
	set(&s.RetentionDays, c.RetentionDays)
	set(&s.RotationWindow, c.RotationWindow)
	set(&s.RotationOverlap, c.RotationOverlap)
	if l := c.RotationLifetime; l != nil {
		s.RotationKeepsLife = *l == Same
	}
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
	RotationWindow   = "rotation_window_seconds"
	RotationOverlap  = "rotation_overlap_seconds"
	RotationLifetime = "rotation_lifetime"
)

// The values of RotationLifetime.
const (
	Week = "week"
	Same = "same"
)

// LifetimeOfRotation returns the value of RotationLifetime.
func (s Settings) LifetimeOfRotation() string {
	if s.RotationKeepsLife {
		return Same
	}
	return Week
}

func set[T any](target, value *T) {
	if value != nil {
		*target = *value
	}
}
