package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// Grace is how long after a change of the limit on lifetimes the tokens beyond
// it are revoked.
const Grace = 3 * time.Hour

// runTime is how long a run may take; infra/scan.asl.json gives it an hour less.
// A limit that is loosened in that time may meet tokens that the run has not
// come to.
const runTime = 24 * time.Hour

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

// Settings are what administrators have set.
type Settings struct {
	token.Policy
	Run Run
	// Prefixes are all that were ever set: their bearers live on.
	Prefixes []string
	// Revision grows with every change.
	Revision int64
}

// A SettingsStore keeps the settings, strongly consistent.
type SettingsStore interface {
	// Settings returns what was set, and the defaults for the rest.
	Settings(ctx context.Context) (Settings, error)
	// SaveSettings writes s over the settings of the revision before its own.
	// It returns token.ErrMoved when they have another.
	SaveSettings(ctx context.Context, s Settings) error
}

// A Planner starts things later.
type Planner interface {
	// Plan has the lifetime run started at an instant. It may be called again.
	Plan(ctx context.Context, at time.Time) error
	// Cancel undoes Plan. What was not planned, or has started, is no error.
	Cancel(ctx context.Context, at time.Time) error
}

// An Administration reads and changes the settings. It is safe for concurrent
// use.
type Administration struct {
	Store   SettingsStore
	Planner Planner
	Clock   clock.Clock
	// Reserved are the prefixes of this deployment that are not in the settings.
	Reserved []string
	// Uncancelled is told of a planned run that could not be called off, which
	// then finds nothing to do. It may be nil.
	Uncancelled func(context.Context, error)
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

// Settings returns the settings, as administrators may see them; others get
// token.ErrForbidden.
func (a *Administration) Settings(ctx context.Context, by principal.Principal) (Settings, error) {
	if !by.User.Admin {
		return Settings{}, token.ErrForbidden
	}
	return a.Store.Settings(ctx)
}

// saveTries is how many other changes at the same time one change outlasts.
const saveTries = 5

// Update changes the settings, as administrators may, and returns them as they
// are then. Errors: token.Faults for values that cannot be, token.ErrMoved when
// others change them all the time, token.ErrUnavailable.
//
// A lower limit on lifetimes revokes nothing yet: the run that does is planned
// for three hours later, and called off by a change back. Every change of the
// limit gives the owners the whole three hours again.
func (a *Administration) Update(ctx context.Context, by principal.Principal, change Change) (Settings, error) {
	if !by.User.Admin {
		return Settings{}, token.ErrForbidden
	}
	if err := change.check(); err != nil {
		return Settings{}, err
	}
	var err error
	for range saveTries {
		var s Settings
		if s, err = a.update(ctx, change); !errors.Is(err, token.ErrMoved) {
			return s, err
		}
	}
	return Settings{}, err
}

func (a *Administration) update(ctx context.Context, change Change) (Settings, error) {
	before, err := a.Store.Settings(ctx)
	if err != nil {
		return Settings{}, err
	}
	now := a.Clock.Now()
	next := change.apply(before)
	if next.Prefix != before.Prefix {
		if err := a.checkPrefix(before, next.Prefix); err != nil {
			return Settings{}, err
		}
		if next.Prefix != "" && !slices.Contains(next.Prefixes, next.Prefix) {
			next.Prefixes = append(slices.Clip(next.Prefixes), next.Prefix)
		}
	}
	if next.LifetimeDays != before.LifetimeDays {
		next.Run = runAfter(before, next.LifetimeDays, now)
	}
	events := changes(before, next)
	if len(events) == 0 {
		return before, nil
	}
	next.Revision++
	// The plan comes first: a run that finds nothing to do is harmless, a change
	// without its run is not.
	if next.Run != before.Run && !next.Run.At.IsZero() {
		if err := a.Planner.Plan(ctx, next.Run.At); err != nil {
			return Settings{}, fmt.Errorf("plan lifetime run: %w", err)
		}
	}
	if err := a.Store.SaveSettings(audit.Expect(ctx, now, events...), next); err != nil {
		return Settings{}, err
	}
	if next.Run != before.Run && before.Run.At.After(now) {
		if err := a.Planner.Cancel(ctx, before.Run.At); err != nil && a.Uncancelled != nil {
			a.Uncancelled(ctx, err)
		}
	}
	return next, nil
}

// maxPrefixes bounds the item that the settings are kept in, and the work of a
// check.
const maxPrefixes = 100

// checkPrefix refuses a prefix that would make earlier bearers look misspelt:
// one with which an earlier prefix starts.
func (a *Administration) checkPrefix(before Settings, prefix string) error {
	if prefix == "" {
		return nil
	}
	faults := token.Faults{}
	for _, earlier := range slices.Concat(a.Reserved, before.Prefixes) {
		if earlier != prefix && strings.HasPrefix(earlier, prefix) {
			faults.Add(prefixField, "is the start of an earlier one, whose tokens would be refused")
			break
		}
	}
	if len(before.Prefixes) >= maxPrefixes && !slices.Contains(before.Prefixes, prefix) {
		faults.Add(prefixField, fmt.Sprintf("was changed too often (%d prefixes are in use)", maxPrefixes))
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

const prefixField = "personal_access_token_prefix"

// runAfter returns the run that a change of the limit to days needs: none when
// no token can be beyond it.
func runAfter(before Settings, days int, now time.Time) Run {
	limit := before.LifetimeDays
	if !before.Run.At.IsZero() && now.Before(before.Run.At.Add(runTime)) {
		limit = before.Run.Before // nothing, or not everything, was revoked for the limit in between
	}
	if days == 0 || limit != 0 && days >= limit {
		return Run{}
	}
	return Run{At: now.Add(Grace), Before: limit}
}

func (c Change) check() error {
	faults := token.Faults{}
	if d := c.LifetimeDays; d != nil && (*d < 0 || *d > token.MaxLifetimeDays) {
		faults.Add("max_personal_access_token_lifetime", fmt.Sprintf("must be between 1 and %d, or null for none", token.MaxLifetimeDays))
	}
	if p := c.Prefix; p != nil && !secret.ValidPrefix(*p) {
		faults.Add(prefixField, fmt.Sprintf("is invalid (up to %d letters, digits and _ + = / @ : . -)", secret.MaxPrefixLength))
	}
	if i := c.LastUsedInterval; i != nil && (*i < MinLastUsedInterval || *i > MaxLastUsedInterval) {
		faults.Add("last_used_interval_seconds", fmt.Sprintf("must be between %.0f and %.0f", MinLastUsedInterval.Seconds(), MaxLastUsedInterval.Seconds()))
	}
	if d := c.RetentionDays; d != nil && (*d < 1 || *d > token.MaxRetentionDays) {
		faults.Add("inactive_resource_access_tokens_delete_after_days", fmt.Sprintf("must be between 1 and %d", token.MaxRetentionDays))
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

func (c Change) apply(s Settings) Settings {
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

func set[T any](target, value *T) {
	if value != nil {
		*target = *value
	}
}

// changes are the audit events of a change, one a setting.
func changes(before, after Settings) (events []audit.Event) {
	for _, setting := range []struct{ name, from, to string }{
		{"max_personal_access_token_lifetime", days(before.LifetimeDays), days(after.LifetimeDays)},
		{"require_personal_access_token_expiry", strconv.FormatBool(!before.ExpiryOptional), strconv.FormatBool(!after.ExpiryOptional)},
		{"enforce_pat_expiration", strconv.FormatBool(!before.ExpiryIgnored), strconv.FormatBool(!after.ExpiryIgnored)},
		{"impersonation_enabled", strconv.FormatBool(!before.ImpersonationOff), strconv.FormatBool(!after.ImpersonationOff)},
		{prefixField, before.Prefix, after.Prefix},
		{"last_used_interval_seconds", seconds(before.LastUsedInterval), seconds(after.LastUsedInterval)},
		{"inactive_resource_access_tokens_delete_after_days", strconv.Itoa(before.RetentionDays), strconv.Itoa(after.RetentionDays)},
	} {
		if setting.from != setting.to {
			events = append(events, audit.Event{
				Name: audit.SettingsUpdated, Entity: audit.Entity{Type: audit.Instance, ID: audit.InstanceID},
				Origin: audit.Origin{Source: audit.Admin},
				Target: setting.name, Change: setting.name, From: setting.from, To: setting.to,
			})
		}
	}
	return events
}

func days(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
