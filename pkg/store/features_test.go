package store_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/feature"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
)

var (
	everybody = feature.Target{}
	project90 = feature.Target{Kind: feature.ProjectOnly, ID: 90}
	group90   = feature.Target{Kind: feature.GroupOnly, ID: 90}
	user90    = feature.Target{Kind: feature.AccountOnly, ID: 90}
)

func switched(name string, on bool, targets ...feature.Target) []feature.Switch {
	switches := make([]feature.Switch, len(targets))
	for i, target := range targets {
		switches[i] = feature.Switch{Feature: name, Target: target, On: on}
	}
	return switches
}

// featureOf is a feature of a test's own: one for each account.
func featureOf(u account.Account) string { return "f" + u.ID.String() }

var switchesSet = write{"set switches", "SetSwitches", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
	name := featureOf(f.AddAccount(t))
	wantErr(t, f, f.Store.SetSwitches(t.Context(), switched(name, true, project90, user90), storetest.Event), nil)
	return func(ctx context.Context, s *store.Table, e audit.Event) error {
			return s.SetSwitches(ctx, switched(name, false, everybody, project90), e)
		}, func(t *testing.T) {
			got, err := f.Store.Switches(t.Context(), name)
			wantErr(t, f, err, nil)
			wantEqual(t, "switches", got, append(switched(name, false, everybody, project90), switched(name, true, user90)...))
		}
}}

var switchesCleared = write{"clear switches", "ClearSwitches", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
	name := featureOf(f.AddAccount(t))
	wantErr(t, f, f.Store.SetSwitches(t.Context(), switched(name, true, everybody, project90), storetest.Event), nil)
	return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.ClearSwitches(ctx, name, e) }, func(t *testing.T) {
		got, err := f.Store.Switches(t.Context(), name)
		wantErr(t, f, err, nil)
		wantEqual(t, "switches", len(got), 0)
	}
}}

func readSwitches(t *testing.T, f *storetest.Fixture, u account.Account) read {
	t.Helper()
	wantErr(t, f, f.Store.SetSwitches(t.Context(), switched(featureOf(u), true, everybody), storetest.Event), nil)
	return read{"switches", func(ctx context.Context, s *store.Table) (any, error) { return s.Switches(ctx, featureOf(u)) }}
}

func readSwitchesFor(t *testing.T, f *storetest.Fixture, u account.Account) read {
	t.Helper()
	wantErr(t, f, f.Store.SetSwitches(t.Context(), switched(featureOf(u), true, everybody), storetest.Event), nil)
	return read{"switches for somebody", func(ctx context.Context, s *store.Table) (any, error) {
		return s.SwitchesFor(ctx, featureOf(u), everybody)
	}}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	switches := func(name string) []feature.Switch {
		t.Helper()
		got, err := f.Store.Switches(t.Context(), name)
		wantErr(t, f, err, nil)
		return got
	}
	// Names that a prefix or a careless range of another's would meet.
	neighbours := []string{"a", "a-b", "a1", "aA", "a_", "b", "0", "zz"}
	for _, name := range neighbours {
		wantErr(t, f, f.Store.SetSwitches(t.Context(), switched(name, true, everybody, project90, group90, user90), storetest.Event), nil)
	}

	t.Run("the items are in their places", func(t *testing.T) {
		var places []string
		for place, it := range f.Snapshot(t) {
			if it.(map[string]any)["enabled"] != true {
				t.Errorf("%s is %v", place, it)
			}
			places = append(places, place)
		}
		for _, place := range []string{
			"SETTINGS / FEATURE#a", "SETTINGS / FEATURE#a#PROJECT#90", "SETTINGS / FEATURE#a#GROUP#90", "SETTINGS / FEATURE#a#USER#90",
		} {
			if !slices.Contains(places, place) {
				t.Errorf("no %s among %v", place, places)
			}
		}
	})

	t.Run("every feature has its own, everybody's first", func(t *testing.T) {
		for _, name := range neighbours {
			wantEqual(t, name, switches(name), switched(name, true, everybody, group90, project90, user90))
		}
		wantEqual(t, "of none", len(switches("c")), 0)
	})

	t.Run("all of them come feature by feature, also over pages", func(t *testing.T) {
		proxy.Fail(storetest.On("Query", storetest.PageBy(3)))
		defer proxy.Fail(nil)
		got, err := through.Switches(t.Context(), "")
		wantErr(t, f, err, nil)
		var want []feature.Switch
		for _, name := range slices.Sorted(slices.Values(neighbours)) {
			want = append(want, switched(name, true, everybody, group90, project90, user90)...)
		}
		wantEqual(t, "switches", got, want)
	})

	t.Run("those for some targets come in one request", func(t *testing.T) {
		proxy.Reset()
		got, err := through.SwitchesFor(t.Context(), "a", everybody, project90, feature.Target{Kind: feature.ProjectOnly, ID: 91})
		wantErr(t, f, err, nil)
		slices.SortFunc(got, func(a, b feature.Switch) int { return cmp.Compare(a.Target.ID, b.Target.ID) })
		wantEqual(t, "switches", got, switched("a", true, everybody, project90))
		wantEqual(t, "requests", proxy.Counts(), map[string]int{"BatchGetItem": 1})
	})

	t.Run("the last one set counts", func(t *testing.T) {
		wantErr(t, f, f.Store.SetSwitches(t.Context(), switched("b", false, everybody, user90), storetest.Event), nil)
		wantEqual(t, "switches", switches("b"),
			slices.Concat(switched("b", false, everybody), switched("b", true, group90, project90), switched("b", false, user90)))
	})

	t.Run("as many as one transaction takes are set together, and more are cleared", func(t *testing.T) {
		targets := make([]feature.Target, 98)
		for i := range targets {
			targets[i] = feature.Target{Kind: feature.AccountOnly, ID: int64(i + 1)}
		}
		wantErr(t, f, f.Store.SetSwitches(t.Context(), switched("many", true, targets...), storetest.Event), nil)
		wantErr(t, f, f.Store.SetSwitches(t.Context(), switched("many", true, everybody, project90), storetest.Event), nil)
		wantEqual(t, "switches", len(switches("many")), 100)
		before := f.Snapshot(t)
		proxy.Reset()
		wantErr(t, f, through.ClearSwitches(t.Context(), "many", storetest.Event), nil)
		wantEqual(t, "requests", proxy.Counts(), map[string]int{"Query": 1, "TransactWriteItems": 2})
		maps.DeleteFunc(before, func(place string, _ any) bool {
			return place == "SETTINGS / FEATURE#many" || len(place) > 24 && place[:24] == "SETTINGS / FEATURE#many#"
		})
		wantUnchanged(t, f, before)
	})

	t.Run("clearing one feature leaves its neighbours", func(t *testing.T) {
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.ClearSwitches(t.Context(), "a", storetest.Event), nil)
		for _, sort := range []string{"", "#PROJECT#90", "#GROUP#90", "#USER#90"} {
			delete(before, "SETTINGS / FEATURE#a"+sort)
		}
		wantUnchanged(t, f, before)
		wantErr(t, f, f.Store.ClearSwitches(t.Context(), "a", storetest.Event), nil)
		wantUnchanged(t, f, before)
	})
}

// A switch that makes no sense must neither open what is switched off nor hide
// all others from the one who could put it right.
func TestMalformedSwitches(t *testing.T) {
	t.Parallel()
	f := open(t)
	wantErr(t, f, f.Store.SetSwitches(t.Context(), switched("sound", true, everybody), storetest.Event), nil)
	for name, change := range map[string]types.AttributeValue{
		"nothing":           nil,
		"a text":            storetest.S("true"),
		"a number":          storetest.N("1"),
		"a list of nothing": &types.AttributeValueMemberL{},
	} {
		t.Run(name, func(t *testing.T) {
			name := featureOf(f.AddAccount(t))
			wantErr(t, f, f.Store.SetSwitches(t.Context(), switched(name, false, everybody, project90), storetest.Event), nil)
			f.Set(t, "SETTINGS", "FEATURE#"+name, "enabled", change)
			_, err := f.Store.SwitchesFor(t.Context(), name, project90, everybody)
			wantErr(t, f, err, fault.ErrCorrupt)
			var faults []error
			reporting := store.Open(f.Client, f.Name, store.Options{
				Shards: storetest.Shards, Malformed: func(err error) { faults = append(faults, err) },
			})
			got, err := reporting.Switches(t.Context(), name)
			wantErr(t, f, err, nil)
			wantEqual(t, "switches", got, switched(name, false, project90))
			wantEqual(t, "faults", len(faults), 1)
			wantErr(t, f, f.Store.SetSwitches(t.Context(), switched(name, false, everybody), storetest.Event), nil)
			_, err = f.Store.SwitchesFor(t.Context(), name, project90, everybody)
			wantErr(t, f, err, nil)
		})
	}
	for _, sort := range []string{"FEATURE#odd#PROJECT#0", "FEATURE#odd#PROJECT#007", "FEATURE#odd#PROJECT#x", "FEATURE#odd#RUNNER#7", "FEATURE#odd#", "FEATURE#"} {
		f.Set(t, "SETTINGS", sort, "enabled", &types.AttributeValueMemberBOOL{Value: true})
	}
	got, err := f.Store.Switches(t.Context(), "odd")
	wantErr(t, f, err, nil)
	wantEqual(t, "switches", len(got), 0)
}
