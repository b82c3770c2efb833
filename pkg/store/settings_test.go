package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
)

// someSettings differ from every default.
func someSettings(revision int64) settings.Application {
	return settings.Application{
		Settings: settings.Settings{
			LifetimeDays: 30, ExpiryOptional: true, ExpiryIgnored: true, ImpersonationOff: true,
			Prefix: "acme-", LastUsedInterval: time.Hour, RetentionDays: 7, RotationWindow: time.Minute,
		},
		Run:      settings.Run{At: storetest.Now.Add(settings.Grace), Before: 90},
		Prefixes: []string{"acme-", "old-"},
		Revision: revision,
	}
}

var operators = settings.Settings{Prefix: "lkpat_", LastUsedInterval: 24 * time.Hour, RetentionDays: 90, RotationWindow: 10 * time.Second}

// withDefaults returns a store on f's table whose operator has set these.
func withDefaults(f *storetest.Fixture, p settings.Settings) *store.Table {
	return store.Open(f.Client, f.Name, store.Options{Shards: storetest.Shards, Retention: storetest.Retention, Defaults: p})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	t.Run("before anything was set the operator's hold", func(t *testing.T) {
		f := open(t)
		got, err := withDefaults(f, operators).Settings(t.Context())
		wantErr(t, f, err, nil)
		wantEqual(t, "settings", got, settings.Application{Settings: operators})
	})
	t.Run("what was set is read", func(t *testing.T) {
		f := open(t)
		s := withDefaults(f, operators)
		for revision, settings := range []settings.Application{
			someSettings(1),
			{Settings: operators, Revision: 2},
			{Settings: settings.Settings{LastUsedInterval: time.Minute, RetentionDays: 1}, Prefixes: []string{"x"}, Run: settings.Run{At: storetest.Now}, Revision: 3},
		} {
			wantErr(t, f, s.SaveSettings(t.Context(), settings, storetest.Events), nil)
			got, err := s.Settings(t.Context())
			wantErr(t, f, err, nil)
			wantEqual(t, fmt.Sprintf("settings %d", revision+1), got, settings)
			p, err := s.TokenSettings(t.Context())
			wantErr(t, f, err, nil)
			wantEqual(t, "settings of tokens", p, settings.Settings)
		}
	})
	t.Run("what was never set stays the operator's", func(t *testing.T) {
		f := open(t)
		one := settings.Application{Settings: operators, Revision: 1}
		one.RetentionDays = 7
		wantErr(t, f, withDefaults(f, operators).SaveSettings(t.Context(), one, storetest.Events), nil)
		wantEqual(t, "item", f.Item(t, "SETTINGS", "APPLICATION"), map[string]any{
			"pk": "SETTINGS", "sk": "APPLICATION", "revision": 1, "retention_days": 7,
		})
		others := settings.Settings{Prefix: "new_", LastUsedInterval: time.Hour, RetentionDays: 30}
		got, err := withDefaults(f, others).Settings(t.Context())
		wantErr(t, f, err, nil)
		others.RetentionDays = 7
		wantEqual(t, "under other defaults", got, settings.Application{Settings: others, Revision: 1})
	})
	t.Run("what was set to the operator's own value once stays when that changes", func(t *testing.T) {
		f := open(t)
		s := withDefaults(f, operators)
		changed := someSettings(1)
		wantErr(t, f, s.SaveSettings(t.Context(), changed, storetest.Events), nil)
		wantErr(t, f, s.SaveSettings(t.Context(), settings.Application{Settings: operators, Revision: 2}, storetest.Events), nil)
		got, err := withDefaults(f, settings.Settings{Prefix: "new_", LastUsedInterval: time.Hour, RetentionDays: 30, ExpiryIgnored: true}).Settings(t.Context())
		wantErr(t, f, err, nil)
		wantEqual(t, "settings of tokens", got.Settings, operators)
	})
}

func TestSaveSettingsOverOthers(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, c := range []struct {
		name     string
		revision int64
		want     error
	}{
		{"a second change where there is none", 2, fault.ErrMoved},
		{"a first one", 1, nil},
		{"a first one where there is one", 1, fault.ErrMoved},
		{"a third one where there is one", 3, fault.ErrMoved},
		{"a second one", 2, nil},
		{"a second one again", 2, fault.ErrMoved},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := f.Snapshot(t)
			s := someSettings(c.revision)
			changed := []audit.Event{audit.OfInstance(storetest.Now, audit.Origin{Source: audit.Admin}, audit.SettingsUpdated, c.name)}
			wantErr(t, f, f.Store.SaveSettings(t.Context(), s, changed), c.want)
			if c.want != nil {
				wantUnchanged(t, f, before)
				return
			}
			// The change and its events are one.
			var events []string
			wantErr(t, f, f.Store.Events(t.Context(), audit.Entity{Type: audit.Instance, ID: 1}, audit.Period{From: storetest.Now, To: storetest.Now}, func(e audit.Event) bool {
				events = append(events, e.Target)
				return true
			}), nil)
			if !strings.Contains(fmt.Sprint(events), c.name) {
				t.Errorf("events of %v", events)
			}
			wantEqual(t, "items", len(f.Snapshot(t)), 1+2*int(c.revision))
		})
	}
	t.Run("of many at once one wins", func(t *testing.T) {
		winners := 0
		for i, err := range together(8, func(i int) error {
			s := someSettings(3)
			s.RetentionDays = i + 1
			return f.Store.SaveSettings(t.Context(), s, storetest.Events)
		}) {
			if err == nil {
				winners++
				got, err := f.Store.Settings(t.Context())
				wantErr(t, f, err, nil)
				wantEqual(t, "the winner's", got.RetentionDays, i+1)
				continue
			}
			wantErr(t, f, err, fault.ErrMoved)
		}
		wantEqual(t, "winners", winners, 1)
	})
}

// A change that took place is never reported as failed: this guards promise 9.
func TestSaveSettingsWithLostReplies(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	revision := int64(0)
	for _, c := range []struct {
		name string
		rule storetest.Rule
		want error
	}{
		{"the reply is lost", storetest.First("TransactWriteItems", storetest.LoseReply), nil},
		{"the reply is cut", storetest.First("TransactWriteItems", storetest.CutReply), nil},
		{"the request is lost", storetest.First("TransactWriteItems", storetest.LoseRequest), nil},
		{"every reply is lost", storetest.On("TransactWriteItems", storetest.LoseReply), nil},
		{"every request is lost", storetest.On("TransactWriteItems", storetest.LoseRequest), fault.ErrUnavailable},
		{"the engine is busy", storetest.First("TransactWriteItems", busy("TransactWriteItems")), fault.ErrUnavailable},
		{"another transaction is at it", storetest.First("TransactWriteItems", conflict("TransactWriteItems")), nil},
		{"nothing can be read before", storetest.On("GetItem", storetest.LoseRequest), fault.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := someSettings(revision + 1)
			before := f.Snapshot(t)
			proxy.Fail(c.rule)
			wantErr(t, f, f.Through(proxy.Client()).SaveSettings(t.Context(), s, storetest.Events), c.want)
			if c.want != nil {
				wantUnchanged(t, f, before)
				return
			}
			revision++
			got, err := f.Store.Settings(t.Context())
			wantErr(t, f, err, nil)
			wantEqual(t, "settings", got, s)
		})
	}
}

// A rule that cannot be read must not be taken for a looser one: whoever needs it gets an error, the
// check of a bearer included. This guards promise 2 of the architecture.
func TestSettingsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	tok := f.AddToken(t, owner)
	wantErr(t, f, f.Store.SaveSettings(t.Context(), someSettings(1), storetest.Events), nil)
	whole := f.Item(t, "SETTINGS", "APPLICATION")
	wrong := map[string][]types.AttributeValue{
		"revision":                   {nil, storetest.S("1")},
		"lifetime_days":              {storetest.S("30"), storetest.N("-1"), storetest.N("366"), storetest.N("1.5")},
		"last_used_interval_seconds": {storetest.N("0"), storetest.N("2592001"), storetest.S("60")},
		"rotation_window_seconds":    {storetest.N("-1"), storetest.N("61"), storetest.N("0.5"), storetest.S("10")},
		"retention_days":             {storetest.N("0"), storetest.N("3651"), storetest.S("90")},
		"expiry_optional":            {storetest.S("true"), storetest.N("1")},
		"expiry_ignored":             {storetest.S("true"), storetest.N("1")},
		"impersonation_off":          {storetest.S("false")},
		"prefix":                     {storetest.N("1")},
		"prefixes":                   {storetest.S("acme-")},
		"run_at":                     {storetest.S("soon"), storetest.N("0.5")},
		"run_before":                 {storetest.N("366"), storetest.N("-1")},
	}
	for name := range whole {
		if name != "pk" && name != "sk" && len(wrong[name]) == 0 {
			t.Errorf("no test damages %s", name)
		}
	}
	for name, values := range wrong {
		for i, value := range values {
			t.Run(fmt.Sprintf("%s %d", name, i), func(t *testing.T) {
				damaged := open(t)
				wantErr(t, damaged, damaged.Store.SaveSettings(t.Context(), someSettings(1), storetest.Events), nil)
				damaged.Set(t, "SETTINGS", "APPLICATION", name, value)
				_, err := damaged.Store.Settings(t.Context())
				wantErr(t, damaged, err, fault.ErrCorrupt)
				_, err = damaged.Store.TokenSettings(t.Context())
				wantErr(t, damaged, err, fault.ErrCorrupt)
				_, _, err = damaged.Store.LifetimeRun(t.Context())
				wantErr(t, damaged, err, fault.ErrCorrupt)
				_, _, err = damaged.Store.Check(t.Context(), []secret.Digest{secret.DigestFromKey("nothing")}, 0, new(settings.Settings))
				wantErr(t, damaged, err, fault.ErrCorrupt)
			})
		}
	}
	t.Run("a check that keeps to earlier settings does without", func(t *testing.T) {
		f.Set(t, "SETTINGS", "APPLICATION", "expiry_ignored", storetest.S("true"))
		_, _, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, owner.ID, nil)
		wantErr(t, f, err, nil)
		p := settings.Settings{}
		_, _, err = f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, owner.ID, &p)
		wantErr(t, f, err, fault.ErrCorrupt)
		wantEqual(t, "settings that came with the error", p, settings.Settings{})
	})
}
