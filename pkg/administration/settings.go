package administration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A SettingsStore keeps the settings. Reads are strongly consistent.
type SettingsStore interface {
	// Settings returns the stored settings, with defaults for the rest.
	Settings(ctx context.Context) (settings.Application, error)
	// SaveSettings replaces the settings of the revision before s. It returns fault.ErrMoved if
	// another revision is stored.
	SaveSettings(ctx context.Context, s settings.Application, changed []audit.Event) error
}

// A Planner plans lifetime runs.
type Planner interface {
	// Plan plans a lifetime run for an instant. A second call is safe.
	Plan(ctx context.Context, at time.Time) error
	// Cancel undoes Plan. A run that was not planned or has started is no error.
	Cancel(ctx context.Context, at time.Time) error
}

// A Counter counts tokens.
type Counter interface {
	// Beyond counts by kind the tokens that a lifetime run would revoke whose limit has latest as its last
	// day, of the accounts after the given one, up to most. done is false if there are others.
	Beyond(ctx context.Context, latest clock.Day, after account.ID, most int) (beyond map[token.Kind]int, last account.ID, done bool, err error)
}

// An Administration reads and changes the settings. It is safe for concurrent use.
type Administration struct{ parts Parts }

// Parts hold the dependencies of an Administration.
type Parts struct {
	Store   SettingsStore
	Planner Planner
	Counter Counter
	Clock   clock.Clock
	// Reserved are the deployment's prefixes outside the settings.
	Reserved []string
	// Uncancelled receives the error when a planned run could not be cancelled. The run then does
	// nothing. It may be nil.
	Uncancelled func(context.Context, error) `optional:""`
}

// New returns an Administration, or an error that names a missing part.
func New(parts Parts) (*Administration, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Administration{parts}, nil
}

// Settings returns the settings. Callers other than administrators get fault.ErrForbidden.
func (a *Administration) Settings(ctx context.Context, by principal.Principal) (settings.Application, error) {
	if !by.Account.Admin {
		return settings.Application{}, fault.ErrForbidden
	}
	return a.parts.Store.Settings(ctx)
}

// ErrChanged means that the settings have changed since the revision on which a change is based.
var ErrChanged = fmt.Errorf("%w: settings", fault.ErrConflict)

// MostCounted is how many tokens an Effect counts.
const MostCounted = 10_000

// An Effect is what a change of the settings would do.
type Effect struct {
	// Before are the settings as they are, and After as Update would make them now.
	Before, After settings.Application
	// Revokes counts, by kind, the tokens that the run planned in After would revoke if it started now.
	Revokes map[token.Kind]int
	// More says that there are more, because it has counted MostCounted or the time was up.
	More bool
}

// Total returns the number of tokens of all kinds.
func (e Effect) Total() (total int) {
	for _, n := range e.Revokes {
		total += n
	}
	return total
}

// Preview returns what Update would do. It changes and plans nothing. Errors are those of Update.
func (a *Administration) Preview(ctx context.Context, by principal.Principal, change settings.Change) (Effect, error) {
	before, err := a.Settings(ctx, by)
	if err != nil {
		return Effect{}, err
	}
	if err := change.Check(); err != nil {
		return Effect{}, err
	}
	after, err := a.apply(before, change)
	effect := Effect{Before: before, After: after, Revokes: map[token.Kind]int{}}
	if err != nil || after.ExpiryIgnored || !after.Run.At.After(a.parts.Clock.Now()) {
		return effect, err
	}
	latest, _ := after.Latest(clock.DayOf(after.Run.At)) // there is one, because there is a run
	revokes, _, all, err := a.parts.Counter.Beyond(ctx, latest, 0, MostCounted)
	if err != nil {
		return effect, fmt.Errorf("count tokens beyond the limit: %w", err)
	}
	effect.Revokes, effect.More = revokes, !all
	return effect, nil
}

// saveTries is how often a change is tried when others change the settings at the same time.
const saveTries = 5

// Update changes the settings and returns the result. Errors: fault.ErrForbidden, fault.Breaches
// for invalid values, ErrChanged if change names another revision, fault.ErrMoved when others keep
// changing the settings, fault.ErrUnavailable.
//
// A lower limit on lifetimes revokes nothing at once. It plans a lifetime run three hours later,
// and changing the limit back cancels the run. Every change of the limit gives owners three hours
// again.
func (a *Administration) Update(ctx context.Context, by principal.Principal, change settings.Change) (settings.Application, error) {
	if !by.Account.Admin {
		return settings.Application{}, fault.ErrForbidden
	}
	return a.change(ctx, by, change)
}

// UpdateByConsole is Update for an operator.
func (a *Administration) UpdateByConsole(ctx context.Context, requestID string, change settings.Change) (settings.Application, error) {
	return a.change(ctx, principal.Console(requestID), change)
}

func (a *Administration) change(ctx context.Context, by principal.Principal, change settings.Change) (settings.Application, error) {
	if err := change.Check(); err != nil {
		return settings.Application{}, err
	}
	var err error
	for range saveTries {
		var s settings.Application
		if s, err = a.update(ctx, by, change); !errors.Is(err, fault.ErrMoved) {
			return s, err
		}
	}
	return settings.Application{}, err
}

func (a *Administration) update(ctx context.Context, by principal.Principal, change settings.Change) (settings.Application, error) {
	before, err := a.parts.Store.Settings(ctx)
	if err != nil {
		return settings.Application{}, err
	}
	now := a.parts.Clock.Now()
	next, err := a.apply(before, change)
	if err != nil {
		return settings.Application{}, err
	}
	events := changes(now, audit.By(by, audit.Admin), before, next)
	if len(events) == 0 {
		return before, nil
	}
	next.Revision++
	// Plan before the change: a run without a change is harmless, but a change without its run is
	// not.
	if next.Run != before.Run && !next.Run.At.IsZero() {
		if err := a.parts.Planner.Plan(ctx, next.Run.At); err != nil {
			return settings.Application{}, fmt.Errorf("plan lifetime run: %w", err)
		}
	}
	if err := a.parts.Store.SaveSettings(ctx, next, events); err != nil {
		return settings.Application{}, err
	}
	if next.Run != before.Run && before.Run.At.After(now) {
		if err := a.parts.Planner.Cancel(ctx, before.Run.At); err != nil && a.parts.Uncancelled != nil {
			a.parts.Uncancelled(ctx, err)
		}
	}
	return next, nil
}

// apply returns the settings after a change, without a new revision.
func (a *Administration) apply(before settings.Application, change settings.Change) (settings.Application, error) {
	if change.Revision != nil && *change.Revision != before.Revision {
		return before, ErrChanged
	}
	next := change.Apply(before)
	if next.Prefix != before.Prefix {
		if err := a.checkPrefix(before, next.Prefix); err != nil {
			return before, err
		}
		if next.Prefix != "" && !slices.Contains(next.Prefixes, next.Prefix) {
			next.Prefixes = append(slices.Clip(next.Prefixes), next.Prefix)
		}
	}
	if next.LifetimeDays != before.LifetimeDays {
		next.Run = settings.RunAfter(before, next.LifetimeDays, a.parts.Clock.Now())
	}
	return next, nil
}

// maxPrefixes bounds the size of the settings item and the work of a check.
const maxPrefixes = 100

// checkPrefix refuses a prefix that is the start of an earlier one, because bearers with the earlier
// one would look misspelt.
func (a *Administration) checkPrefix(before settings.Application, prefix string) error {
	if prefix == "" {
		return nil
	}
	var broken fault.Breaches
	for _, earlier := range slices.Concat(a.parts.Reserved, before.Prefixes) {
		if earlier != prefix && strings.HasPrefix(earlier, prefix) {
			broken.Add(settings.Prefix, fault.StartOf, nil)
			break
		}
	}
	if len(before.Prefixes) >= maxPrefixes && !slices.Contains(before.Prefixes, prefix) {
		broken.Add(settings.Prefix, fault.TooMany, maxPrefixes)
	}
	return broken.Err()
}

// changes are the audit events of a change, one a setting.
func changes(at time.Time, from audit.Origin, before, after settings.Application) (events []audit.Event) {
	for _, setting := range []struct{ name, from, to string }{
		{settings.Lifetime, days(before.LifetimeDays), days(after.LifetimeDays)},
		{settings.ExpiryRequired, strconv.FormatBool(!before.ExpiryOptional), strconv.FormatBool(!after.ExpiryOptional)},
		{settings.ExpiryEnforced, strconv.FormatBool(!before.ExpiryIgnored), strconv.FormatBool(!after.ExpiryIgnored)},
		{settings.Impersonation, strconv.FormatBool(!before.ImpersonationOff), strconv.FormatBool(!after.ImpersonationOff)},
		{settings.Prefix, before.Prefix, after.Prefix},
		{settings.LastUsedInterval, seconds(before.LastUsedInterval), seconds(after.LastUsedInterval)},
		{settings.RotationWindow, seconds(before.RotationWindow), seconds(after.RotationWindow)},
		{settings.RotationOverlap, seconds(before.RotationOverlap), seconds(after.RotationOverlap)},
		{settings.RotationLifetime, before.LifetimeOfRotation(), after.LifetimeOfRotation()},
		{settings.Retention, strconv.Itoa(before.RetentionDays), strconv.Itoa(after.RetentionDays)},
	} {
		if setting.from != setting.to {
			event := audit.OfInstance(at, from, audit.SettingsUpdated, setting.name)
			event.Change, event.From, event.To = setting.name, setting.from, setting.to
			events = append(events, event)
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
