package settings

import (
	"fmt"
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

// Check reports every value that cannot be.
func (c Change) Check() error {
	faults := fault.Faults{}
	if d := c.LifetimeDays; d != nil && (*d < 0 || *d > MaxLifetimeDays) {
		faults.Add("max_personal_access_token_lifetime", fmt.Sprintf("must be between 1 and %d, or null for none", MaxLifetimeDays))
	}
	if p := c.Prefix; p != nil && !secret.ValidPrefix(*p) {
		faults.Add(PrefixField, fmt.Sprintf("is invalid (up to %d letters, digits and _ + = / @ : . -)", secret.MaxPrefixLength))
	}
	if i := c.LastUsedInterval; i != nil && (*i < MinLastUsedInterval || *i > MaxLastUsedInterval) {
		faults.Add("last_used_interval_seconds", fmt.Sprintf("must be between %.0f and %.0f", MinLastUsedInterval.Seconds(), MaxLastUsedInterval.Seconds()))
	}
	if d := c.RetentionDays; d != nil && (*d < 1 || *d > MaxRetentionDays) {
		faults.Add("inactive_resource_access_tokens_delete_after_days", fmt.Sprintf("must be between 1 and %d", MaxRetentionDays))
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
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

// PrefixField is the name of the setting Settings.Prefix.
const PrefixField = "personal_access_token_prefix"

func set[T any](target, value *T) {
	if value != nil {
		*target = *value
	}
}
