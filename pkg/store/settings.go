package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/settings"
)

// Settings: SETTINGS / APPLICATION. Settings that were never set are absent, so that the operator's
// defaults apply.

func settingsKey() key { return keyOf(settingsPartition, "APPLICATION") }

// Settings returns the stored settings, with defaults for the rest.
func (t *Reader) Settings(ctx context.Context) (settings.Application, error) {
	it, err := t.get(ctx, settingsKey())
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return settings.Application{}, err
	}
	return t.readSettings(it)
}

// TokenSettings returns the administrators' settings for every token.
func (t *Reader) TokenSettings(ctx context.Context) (settings.Settings, error) {
	s, err := t.Settings(ctx)
	return s.Settings, err
}

// SaveSettings replaces the settings of the previous revision. It writes values that differ from
// the operator's defaults, and values that were stored before.
func (t *Table) SaveSettings(ctx context.Context, s settings.Application, changed []audit.Event) error {
	if err := checkEvents(changed...); err != nil {
		return err
	}
	condition, values := absent, item(nil)
	if s.Revision > 1 {
		condition, values = "revision = :before", item{":before": number(s.Revision - 1)}
	}
	before, err := t.get(ctx, settingsKey())
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	put := t.put(t.settingsItem(s, before), condition, values)
	reasons, err := t.transact(ctx, []types.TransactWriteItem{put}, changed, func(ctx context.Context) (bool, error) {
		stored, err := t.Settings(ctx)
		return stored.Revision == s.Revision && stored.Run == s.Run && stored.Settings == s.Settings, err
	})
	if err == nil && reasons != nil {
		return fault.ErrMoved
	}
	return err
}

func (t *Table) settingsItem(s settings.Application, before item) item {
	it := settingsKey()
	it["revision"] = number(s.Revision)
	p, d := s.Settings, t.opts.Defaults
	for name, n := range map[string][2]int64{
		"lifetime_days":              {int64(p.LifetimeDays), int64(d.LifetimeDays)},
		"last_used_interval_seconds": {int64(p.LastUsedInterval.Seconds()), int64(d.LastUsedInterval.Seconds())},
		"retention_days":             {int64(p.RetentionDays), int64(d.RetentionDays)},
		"rotation_window_seconds":    {int64(p.RotationWindow.Seconds()), int64(d.RotationWindow.Seconds())},
		"rotation_overlap_seconds":   {int64(p.RotationOverlap.Seconds()), int64(d.RotationOverlap.Seconds())},
	} {
		if _, kept := before[name]; kept || n[0] != n[1] {
			it[name] = number(n[0])
		}
	}
	for name, b := range map[string][2]bool{
		"expiry_optional":     {p.ExpiryOptional, d.ExpiryOptional},
		"expiry_ignored":      {p.ExpiryIgnored, d.ExpiryIgnored},
		"impersonation_off":   {p.ImpersonationOff, d.ImpersonationOff},
		"rotation_keeps_life": {p.RotationKeepsLife, d.RotationKeepsLife},
	} {
		if _, kept := before[name]; kept || b[0] != b[1] {
			it[name] = boolean(b[0])
		}
	}
	if _, kept := before["prefix"]; kept || p.Prefix != d.Prefix {
		it["prefix"] = text(p.Prefix)
	}
	if len(s.Prefixes) > 0 {
		it["prefixes"] = &types.AttributeValueMemberSS{Value: s.Prefixes}
	}
	if !p.TokensFrom.IsZero() {
		it["tokens_from"] = epoch(p.TokensFrom)
	}
	if !p.SessionsFrom.IsZero() {
		it["sessions_from"] = epoch(p.SessionsFrom)
	}
	if !s.Run.At.IsZero() {
		it["run_at"] = epoch(s.Run.At)
		it["run_before"] = number(int64(s.Run.Before))
	}
	return it
}

// readSettings reads the item, which may be nil. A malformed value is an error, because a looser
// default must not replace it.
func (t *Reader) readSettings(it item) (settings.Application, error) {
	s := settings.Application{Settings: t.opts.Defaults}
	if len(it) == 0 {
		return s, nil
	}
	r := attributes{item: it}
	has := func(name string) bool { _, there := it[name]; return there }
	integer := func(target *int, name string, least, most int64) {
		if has(name) {
			n := r.number(name)
			if n < least || n > most {
				r.fault(name)
			}
			*target = int(n)
		}
	}
	integer(&s.LifetimeDays, "lifetime_days", 0, settings.MaxLifetimeDays)
	integer(&s.RetentionDays, "retention_days", 1, settings.MaxRetentionDays)
	window := int(s.RotationWindow.Seconds())
	integer(&window, "rotation_window_seconds", 0, int64(settings.MaxRotationWindow.Seconds()))
	s.RotationWindow = time.Duration(window) * time.Second
	overlap := int(s.RotationOverlap.Seconds())
	integer(&overlap, "rotation_overlap_seconds", 0, int64(settings.MaxRotationOverlap.Seconds()))
	s.RotationOverlap = time.Duration(overlap) * time.Second
	var interval int
	integer(&interval, "last_used_interval_seconds", 1, int64(settings.MaxLastUsedInterval.Seconds()))
	if interval != 0 {
		s.LastUsedInterval = time.Duration(interval) * time.Second
	}
	for name, target := range map[string]*bool{
		"expiry_optional": &s.ExpiryOptional, "expiry_ignored": &s.ExpiryIgnored, "impersonation_off": &s.ImpersonationOff,
		"rotation_keeps_life": &s.RotationKeepsLife,
	} {
		if has(name) {
			*target = r.flag(name)
		}
	}
	if has("prefix") {
		s.Prefix = r.text("prefix")
	}
	s.TokensFrom, s.SessionsFrom = r.optionalInstant("tokens_from"), r.optionalInstant("sessions_from")
	s.Prefixes = slices.Sorted(slices.Values(r.optionalSet("prefixes")))
	s.Run = settings.Run{At: r.optionalInstant("run_at")}
	integer(&s.Run.Before, "run_before", 0, settings.MaxLifetimeDays)
	s.Revision = r.number("revision")
	if r.err != nil {
		return settings.Application{}, fmt.Errorf("settings: %w", r.err)
	}
	return s, nil
}
