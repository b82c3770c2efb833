package administration_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

var start = time.Date(2031, 5, 6, 22, 30, 0, 0, time.UTC)

var (
	admin  = principal.Principal{Account: account.Account{ID: 1, Admin: true}}
	nobody = principal.Principal{Account: account.Account{ID: 2}}
)

// A desk is an administration with a store and a planner in memory, which write down what they are
// asked in order.
type desk struct {
	parts administration.Parts
	*administration.Administration
	clock  *clock.Fake
	stored settings.Application
	events []audit.Event
	calls  []string
	// What goes wrong, by call.
	fail map[string]error
	// moved is how many others change the settings before this one's changes are saved.
	moved       int
	uncancelled []error
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{clock: clock.NewFake(start), fail: map[string]error{}}
	d.stored.Settings = settings.Settings{Prefix: "lkpat_", LastUsedInterval: 24 * time.Hour, RetentionDays: 90}
	d.make(t, administration.Parts{
		Store: d, Planner: d, Counter: d, Clock: d.clock, Reserved: []string{"lkpat_", "lkprj_", "lkimp_"},
		Uncancelled: func(_ context.Context, err error) { d.uncancelled = append(d.uncancelled, err) },
	})
	return d
}

func (d *desk) make(t *testing.T, parts administration.Parts) {
	t.Helper()
	var err error
	if d.Administration, err = administration.New(parts); err != nil {
		t.Fatal(err)
	}
	d.parts = parts
}

// Settings implements administration.SettingsStore.
func (d *desk) Settings(context.Context) (settings.Application, error) {
	return d.stored, d.fail["read"]
}

// SaveSettings implements administration.SettingsStore.
func (d *desk) SaveSettings(_ context.Context, s settings.Application, changed []audit.Event) error {
	d.calls = append(d.calls, "save")
	if d.moved > 0 {
		d.moved--
		d.stored.Revision++
	}
	switch {
	case d.fail["save"] != nil:
		return d.fail["save"]
	case s.Revision != d.stored.Revision+1:
		return fault.ErrMoved
	}
	d.stored = s
	d.events = append(d.events, changed...)
	return nil
}

// Beyond implements administration.Counter.
func (d *desk) Beyond(_ context.Context, latest clock.Day, _ account.ID, most int) (map[token.Kind]int, account.ID, bool, error) {
	d.calls = append(d.calls, fmt.Sprintf("count beyond %s up to %d", latest, most))
	return map[token.Kind]int{token.Personal: 3}, 7, false, d.fail["count"]
}

// Plan implements administration.Planner.
func (d *desk) Plan(_ context.Context, at time.Time) error {
	d.calls = append(d.calls, "plan "+at.Format(time.TimeOnly))
	return d.fail["plan"]
}

// Cancel implements administration.Planner.
func (d *desk) Cancel(_ context.Context, at time.Time) error {
	d.calls = append(d.calls, "cancel "+at.Format(time.TimeOnly))
	return d.fail["cancel"]
}

func (d *desk) update(t *testing.T, change settings.Change) settings.Application {
	t.Helper()
	s, err := d.Update(t.Context(), admin, change)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, d.stored) {
		t.Errorf("answered %+v, stored %+v", s, d.stored)
	}
	return s
}

func ptr[T any](v T) *T { return &v }

// Settings say how long everybody's tokens live: if this fails, anybody reads or changes them.
func TestOnlyAdministrators(t *testing.T) {
	d := newDesk(t)
	if _, err := d.Administration.Settings(t.Context(), nobody); !errors.Is(err, fault.ErrForbidden) {
		t.Errorf("read: %v", err)
	}
	for name, change := range map[string]settings.Change{"a change": days(7), "none": {}, "one that cannot be": days(-1)} {
		if _, err := d.Update(t.Context(), nobody, change); !errors.Is(err, fault.ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(d.calls) > 0 {
		t.Errorf("calls: %v", d.calls)
	}
	if s, err := d.Administration.Settings(t.Context(), admin); err != nil || s.RetentionDays != 90 {
		t.Errorf("an administrator reads %+v, %v", s, err)
	}
}

func TestValuesAtLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		change settings.Change
		field  string // at fault, "" for none
	}{
		{"no lifetime limit", days(0), ""},
		{"a day", days(1), ""},
		{"the most days", days(365), ""},
		{"a day too many", days(366), settings.Lifetime},
		{"less than none", days(-1), settings.Lifetime},
		{"ten minutes between uses", settings.Change{LastUsedInterval: ptr(10 * time.Minute)}, ""},
		{"a second less", settings.Change{LastUsedInterval: ptr(10*time.Minute - time.Second)}, settings.LastUsedInterval},
		{"a rotation window of a minute", settings.Change{RotationWindow: ptr(time.Minute)}, ""},
		{"a window a second longer", settings.Change{RotationWindow: ptr(time.Minute + time.Second)}, settings.RotationWindow},
		{"no rotation window", settings.Change{RotationWindow: ptr(time.Duration(0))}, ""},
		{"a window of less", settings.Change{RotationWindow: ptr(-time.Second)}, settings.RotationWindow},
		{"thirty days between uses", settings.Change{LastUsedInterval: ptr(30 * 24 * time.Hour)}, ""},
		{"a second more", settings.Change{LastUsedInterval: ptr(30*24*time.Hour + time.Second)}, settings.LastUsedInterval},
		{"a day of retention", settings.Change{RetentionDays: ptr(1)}, ""},
		{"no retention", settings.Change{RetentionDays: ptr(0)}, settings.Retention},
		{"ten years of retention", settings.Change{RetentionDays: ptr(3650)}, ""},
		{"a day more", settings.Change{RetentionDays: ptr(3651)}, settings.Retention},
		{"no prefix", settings.Change{Prefix: ptr("")}, ""},
		{"the longest prefix", settings.Change{Prefix: ptr(strings.Repeat("x", 20))}, ""},
		{"a letter more", settings.Change{Prefix: ptr(strings.Repeat("x", 21))}, settings.Prefix},
		{"every sign that a prefix may have", settings.Change{Prefix: ptr("aZ09_+=/@:.-")}, ""},
		{"a space in a prefix", settings.Change{Prefix: ptr("ac me-")}, settings.Prefix},
		{"an umlaut in a prefix", settings.Change{Prefix: ptr("bär-")}, settings.Prefix},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			before := d.stored
			_, err := d.Update(t.Context(), admin, c.change)
			var broken fault.Breaches
			switch {
			case c.field == "" && err != nil:
				t.Error(err)
			case c.field != "" && (!errors.As(err, &broken) || len(broken) != 1 || len(broken.Of(c.field)) != 1):
				t.Errorf("err = %v", err)
			case c.field != "" && (!reflect.DeepEqual(d.stored, before) || len(d.calls) > 0):
				t.Errorf("it did %v", d.calls)
			}
		})
	}
	t.Run("all faults are named at once", func(t *testing.T) {
		d := newDesk(t)
		_, err := d.Update(t.Context(), admin, settings.Change{
			LifetimeDays: ptr(366), RetentionDays: ptr(0), Prefix: ptr(" "), LastUsedInterval: ptr(time.Second),
		})
		var broken fault.Breaches
		if !errors.As(err, &broken) || len(broken) != 4 {
			t.Errorf("err = %v", err)
		}
	})
}

// Only what is named changes, and each change has its event.
func TestEachSettingByItself(t *testing.T) {
	for _, c := range []struct {
		name           string
		change         settings.Change
		want           func(*settings.Application)
		setting        string
		from, to       string
		alreadyAsWants settings.Change
	}{
		{"lifetime", days(30), func(s *settings.Application) {
			s.LifetimeDays, s.Run = 30, settings.Run{At: start.Add(3 * time.Hour)}
		}, settings.Lifetime, "none", "30", days(0)},
		{"expiry not required", settings.Change{ExpiryRequired: ptr(false)}, func(s *settings.Application) { s.ExpiryOptional = true },
			settings.ExpiryRequired, "true", "false", settings.Change{ExpiryRequired: ptr(true)}},
		{"expiry not enforced", settings.Change{ExpiryEnforced: ptr(false)}, func(s *settings.Application) { s.ExpiryIgnored = true },
			settings.ExpiryEnforced, "true", "false", settings.Change{ExpiryEnforced: ptr(true)}},
		{"no impersonation", settings.Change{Impersonation: ptr(false)}, func(s *settings.Application) { s.ImpersonationOff = true },
			settings.Impersonation, "true", "false", settings.Change{Impersonation: ptr(true)}},
		{"prefix", settings.Change{Prefix: ptr("acme-")}, func(s *settings.Application) { s.Prefix, s.Prefixes = "acme-", []string{"acme-"} },
			settings.Prefix, "lkpat_", "acme-", settings.Change{Prefix: ptr("lkpat_")}},
		{"last use", settings.Change{LastUsedInterval: ptr(time.Hour)}, func(s *settings.Application) { s.LastUsedInterval = time.Hour },
			settings.LastUsedInterval, "86400", "3600", settings.Change{LastUsedInterval: ptr(24 * time.Hour)}},
		{"rotation window", settings.Change{RotationWindow: ptr(time.Minute)}, func(s *settings.Application) { s.RotationWindow = time.Minute },
			settings.RotationWindow, "0", "60", settings.Change{RotationWindow: ptr(time.Duration(0))}},
		{"retention", settings.Change{RetentionDays: ptr(30)}, func(s *settings.Application) { s.RetentionDays = 30 },
			settings.Retention, "90", "30", settings.Change{RetentionDays: ptr(90)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			want := d.stored
			if d.update(t, c.alreadyAsWants); len(d.calls) > 0 || d.stored.Revision != 0 {
				t.Errorf("what is so already was written: %v", d.calls)
			}
			want.Revision = 1
			c.want(&want)
			if got := d.update(t, c.change); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			event := audit.Event{
				At: start, Name: audit.SettingsUpdated, Entity: audit.Entity{Type: audit.Instance, ID: audit.InstanceID}, Origin: audit.By(admin, audit.Admin),
				Target: c.setting, Change: c.setting, From: c.from, To: c.to,
			}
			if !slices.Equal(d.events, []audit.Event{event}) {
				t.Errorf("events %+v", d.events)
			}
		})
	}
}

// A step is a change of the limit at an instant after start.
type step struct {
	at   time.Duration
	days int
	want string // the run that is planned then, as "at, before"
	does string // plan, save and cancel, in order
}

// Tokens are revoked three hours after a change that stays, and not before; a change back revokes
// nothing.
func TestLifetimeRuns(t *testing.T) {
	const h = time.Hour
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"a first limit", []step{{0, 30, "01:30:00, 0", "plan 01:30:00, save"}}},
		{"a lower one", []step{{0, 90, "01:30:00, 0", "plan 01:30:00, save"}, {40 * h, 30, "17:30:00, 90", "plan 17:30:00, save"}}},
		{"a higher one", []step{{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {40 * h, 90, "none", "save"}}},
		{"none any more", []step{{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {40 * h, 0, "none", "save"}}},
		{"a change back", []step{{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {h, 0, "none", "save, cancel 01:30:00"}}},
		{"a change back a second before the run", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {3*h - time.Second, 0, "none", "save, cancel 01:30:00"}}},
		{"a change back as the run starts calls nothing off", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {3 * h, 0, "none", "save"}}},
		{"a change back to an earlier limit", []step{
			{0, 90, "01:30:00, 0", "plan 01:30:00, save"}, {40 * h, 30, "17:30:00, 90", "plan 17:30:00, save"},
			{41 * h, 90, "none", "save, cancel 17:30:00"}}},
		{"loosened halfway, it still runs", []step{
			{0, 90, "01:30:00, 0", "plan 01:30:00, save"}, {40 * h, 30, "17:30:00, 90", "plan 17:30:00, save"},
			{41 * h, 60, "18:30:00, 90", "plan 18:30:00, save, cancel 17:30:00"}}},
		{"loosened beyond what held before, it does not", []step{
			{0, 90, "01:30:00, 0", "plan 01:30:00, save"}, {40 * h, 30, "17:30:00, 90", "plan 17:30:00, save"},
			{41 * h, 91, "none", "save, cancel 17:30:00"}}},
		{"every change gives three hours again", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {h, 20, "02:30:00, 0", "plan 02:30:00, save, cancel 01:30:00"},
			{2 * h, 10, "03:30:00, 0", "plan 03:30:00, save, cancel 02:30:00"}, {2*h + time.Minute, 0, "none", "save, cancel 03:30:00"}}},
		{"back and forth", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {h, 0, "none", "save, cancel 01:30:00"},
			{2 * h, 30, "03:30:00, 0", "plan 03:30:00, save"}}},
		{"two changes within a second plan once", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {0, 29, "01:30:00, 0", "save"}}},
		{"loosened while the run may be under way, what it has not come to is run for again", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {4 * h, 60, "05:30:00, 0", "plan 05:30:00, save"}}},
		{"loosened a second before it must have ended", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {27*h - time.Second, 60, "04:29:59, 0", "plan 04:29:59, save"}}},
		{"loosened when it must have ended", []step{
			{0, 30, "01:30:00, 0", "plan 01:30:00, save"}, {27 * h, 60, "none", "save"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			for _, step := range c.steps {
				d.clock.Set(start.Add(step.at))
				d.calls = nil
				s := d.update(t, days(step.days))
				got := "none"
				if !s.Run.At.IsZero() {
					got = fmt.Sprintf("%s, %d", s.Run.At.Format(time.TimeOnly), s.Run.Before)
				}
				if does := strings.Join(d.calls, ", "); got != step.want || does != step.does {
					t.Errorf("%d days after %v: run at %s, want %s; it does %s, want %s", step.days, step.at, got, step.want, does, step.does)
				}
			}
		})
	}
	t.Run("other changes leave the run alone", func(t *testing.T) {
		d := newDesk(t)
		planned := d.update(t, days(30)).Run
		d.clock.Set(start.Add(time.Hour))
		d.calls = nil
		if s := d.update(t, settings.Change{RetentionDays: ptr(7), LifetimeDays: ptr(30)}); s.Run != planned {
			t.Errorf("run %+v, want %+v", s.Run, planned)
		}
		if !slices.Equal(d.calls, []string{"save"}) {
			t.Errorf("it does %v", d.calls)
		}
	})
}

// A run without its change finds nothing to do. A change without its run would leave tokens alive that
// administrators believe to be gone.
func TestNoChangeWithoutItsRun(t *testing.T) {
	d := newDesk(t)
	d.fail["plan"] = fault.ErrUnavailable
	before := d.stored
	if _, err := d.Update(t.Context(), admin, days(30)); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	if !reflect.DeepEqual(d.stored, before) || slices.Contains(d.calls, "save") || len(d.events) > 0 {
		t.Errorf("it did %v", d.calls)
	}
}

func TestFaultsOfAnUpdate(t *testing.T) {
	t.Run("settings that cannot be read are not changed", func(t *testing.T) {
		d := newDesk(t)
		d.fail["read"] = fault.ErrCorrupt
		if _, err := d.Update(t.Context(), admin, days(30)); !errors.Is(err, fault.ErrCorrupt) || len(d.calls) > 0 {
			t.Errorf("err = %v, it did %v", err, d.calls)
		}
	})
	t.Run("an earlier plan stays when the change is not saved", func(t *testing.T) {
		d := newDesk(t)
		d.update(t, days(30))
		d.calls, d.fail["save"] = nil, fault.ErrUnavailable
		if _, err := d.Update(t.Context(), admin, days(0)); !errors.Is(err, fault.ErrUnavailable) || !slices.Equal(d.calls, []string{"save"}) {
			t.Errorf("err = %v, it did %v", err, d.calls)
		}
	})
	t.Run("a plan that cannot be called off is harmless, and somebody is told", func(t *testing.T) {
		d := newDesk(t)
		d.update(t, days(30))
		d.fail["cancel"] = fault.ErrUnavailable
		if s := d.update(t, days(0)); s.LifetimeDays != 0 || !s.Run.At.IsZero() {
			t.Errorf("settings %+v", s)
		}
		if len(d.uncancelled) != 1 || !errors.Is(d.uncancelled[0], fault.ErrUnavailable) {
			t.Errorf("told of %v", d.uncancelled)
		}
		d.update(t, days(30))
		d.parts.Uncancelled = nil
		d.make(t, d.parts)
		d.update(t, days(0)) // nobody to tell
	})
	for moved, want := range map[int]error{1: nil, 4: nil, 5: fault.ErrMoved} {
		t.Run(fmt.Sprintf("%d others at the same time", moved), func(t *testing.T) {
			d := newDesk(t)
			d.moved = moved
			d.stored.ImpersonationOff = true
			s, err := d.Update(t.Context(), admin, settings.Change{RetentionDays: ptr(7)})
			if !errors.Is(err, want) {
				t.Fatalf("err = %v", err)
			}
			if want == nil && (s.RetentionDays != 7 || !s.ImpersonationOff || s.Revision != int64(moved)+1) {
				t.Errorf("settings %+v", s)
			}
		})
	}
}

// A prefix must not make the bearers of an earlier one look misspelt.
func TestPrefixes(t *testing.T) {
	set := func(d *desk, prefix string) error {
		_, err := d.Update(t.Context(), admin, settings.Change{Prefix: &prefix})
		return err
	}
	for _, c := range []struct {
		name    string
		earlier []string
		prefix  string
		fine    bool
	}{
		{"the start of a built-in one", nil, "lkp", false},
		{"the start of the impersonation prefix", nil, "lkimp", false},
		{"a built-in one", nil, "lkprj_", true},
		{"one that a built-in one starts", nil, "lkpat_acme", true},
		{"none", []string{"acme-"}, "", true},
		{"the start of an earlier one", []string{"acme-prod-"}, "acme-", false},
		{"the start of one long ago", []string{"acme-prod-", "other-", "third-"}, "acme", false},
		{"one that an earlier one starts", []string{"acme-"}, "acme-prod-", true},
		{"an earlier one again", []string{"acme-", "other-"}, "acme-", true},
		{"another case is another prefix", []string{"acme-prod-"}, "ACME-", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			for _, earlier := range c.earlier {
				if err := set(d, earlier); err != nil {
					t.Fatal(err)
				}
			}
			err := set(d, c.prefix)
			var broken fault.Breaches
			switch {
			case c.fine && (err != nil || d.stored.Prefix != c.prefix):
				t.Errorf("prefix %q, %v", d.stored.Prefix, err)
			case !c.fine && (!errors.As(err, &broken) || len(broken.Of(settings.Prefix)) != 1 || d.stored.Prefix == c.prefix):
				t.Errorf("prefix %q, %v", d.stored.Prefix, err)
			}
		})
	}
	t.Run("every one is remembered once", func(t *testing.T) {
		d := newDesk(t)
		for _, prefix := range []string{"a-", "b-", "a-", "", "lkpat_", "b-"} {
			if err := set(d, prefix); err != nil {
				t.Fatal(err)
			}
		}
		if got := slices.Sorted(slices.Values(d.stored.Prefixes)); !slices.Equal(got, []string{"a-", "b-", "lkpat_"}) {
			t.Errorf("prefixes %v", got)
		}
	})
	t.Run("a hundred and no more", func(t *testing.T) {
		d := newDesk(t)
		for n := range 100 {
			if err := set(d, fmt.Sprintf("p%02d-", n)); err != nil {
				t.Fatal(n, err)
			}
		}
		if err := set(d, "one-more-"); err == nil {
			t.Error("the hundred and first was taken")
		}
		if err := set(d, "p07-"); err != nil {
			t.Errorf("an earlier one: %v", err)
		}
		if err := set(d, ""); err != nil {
			t.Errorf("none: %v", err)
		}
	})
}

func days(n int) settings.Change { return settings.Change{LifetimeDays: &n} }

// Breaks if a preview saves or plans something, counts for nothing, or says that a run ends less than it does.
func TestPreviewOfALimit(t *testing.T) {
	thirty, forty, none := 30, 40, 0
	for name, test := range map[string]struct {
		before func(*desk)
		days   *int
		calls  []string
		total  int
	}{
		"lower":                        {nil, &thirty, []string{"count beyond 2031-06-06 up to 10000"}, 3},
		"no lower":                     {func(d *desk) { d.stored.LifetimeDays = 30 }, &forty, nil, 0},
		"none":                         {func(d *desk) { d.stored.LifetimeDays = 30 }, &none, nil, 0},
		"the planned one":              {func(d *desk) { d.stored.LifetimeDays, d.stored.Run.At = 30, start.Add(time.Hour) }, &thirty, []string{"count beyond 2031-06-05 up to 10000"}, 3},
		"one whose run is over":        {func(d *desk) { d.stored.LifetimeDays, d.stored.Run.At = 30, start.Add(-time.Hour) }, &thirty, nil, 0},
		"while expiry is not enforced": {func(d *desk) { d.stored.ExpiryIgnored = true }, &thirty, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			if test.before != nil {
				test.before(d)
			}
			stored := d.stored
			effect, err := d.Preview(t.Context(), admin, settings.Change{LifetimeDays: test.days})
			if err != nil || effect.Total() != test.total || effect.More != (test.total > 0) || effect.After.LifetimeDays != *test.days {
				t.Errorf("%+v, %v", effect, err)
			}
			if !slices.Equal(d.calls, test.calls) || !reflect.DeepEqual(d.stored, stored) {
				t.Errorf("calls %v, stored %+v", d.calls, d.stored)
			}
		})
	}
	d := newDesk(t)
	if _, err := d.Preview(t.Context(), nobody, settings.Change{LifetimeDays: &thirty}); !errors.Is(err, fault.ErrForbidden) || len(d.calls) > 0 {
		t.Errorf("nobody: %v %v", err, d.calls)
	}
	d.fail["count"] = fault.ErrUnavailable
	if _, err := d.Preview(t.Context(), admin, settings.Change{LifetimeDays: &thirty}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("without a table: %v", err)
	}
}
