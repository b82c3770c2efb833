package administration_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/feature"
	"latchkey/pkg/project"
)

var (
	everybody = feature.Target{}
	web       = project.Project{ID: 90, Kind: project.KindProject, FullPath: "acme/web", Ancestors: []project.ID{80}}
	acme      = project.Project{ID: 80, Kind: project.KindGroup, FullPath: "acme"}
	person    = account.Account{ID: 58, Username: "developer"}
)

const flag = feature.ProjectAccessToken

// fakeStore keeps switches in memory. err, if set, is what every call returns.
type fakeStore struct {
	switches []feature.Switch
	writes   int
	err      error
	// unreadable is what the reads return.
	unreadable error
	asked      []string
}

func (s *fakeStore) SetSwitches(_ context.Context, switches []feature.Switch, _ audit.Event) error {
	s.writes++
	if s.err == nil {
		s.switches = append(s.switches, switches...)
	}
	return s.err
}

func (s *fakeStore) ClearSwitches(_ context.Context, name string, _ audit.Event) error {
	s.writes++
	if s.err == nil {
		s.switches = slices.DeleteFunc(s.switches, func(sw feature.Switch) bool { return sw.Feature == name })
	}
	return s.err
}

func (s *fakeStore) Switches(_ context.Context, name string) ([]feature.Switch, error) {
	var found []feature.Switch
	for _, sw := range s.switches {
		if name == "" || sw.Feature == name {
			found = append(found, sw)
		}
	}
	return found, s.unreadable
}

func (s *fakeStore) SwitchesFor(_ context.Context, name string, targets ...feature.Target) ([]feature.Switch, error) {
	var found []feature.Switch
	for _, sw := range s.switches {
		if sw.Feature == name && slices.Contains(targets, sw.Target) {
			found = append(found, sw)
		}
	}
	return found, s.unreadable
}

func (s *fakeStore) ProjectByPath(_ context.Context, path string) (project.Project, error) {
	s.asked = append(s.asked, path)
	for _, proj := range []project.Project{web, acme} {
		if strings.EqualFold(proj.FullPath, path) {
			return proj, nil
		}
	}
	return project.Project{}, s.missing()
}

func (s *fakeStore) AccountByName(_ context.Context, username string) (account.Account, error) {
	s.asked = append(s.asked, username)
	if strings.EqualFold(username, person.Username) {
		return person, nil
	}
	return account.Account{}, s.missing()
}

func (s *fakeStore) missing() error {
	if s.unreadable != nil {
		return s.unreadable
	}
	return fault.ErrNotFound
}

func featuresOn(s *fakeStore) *administration.Features {
	f, err := administration.NewFeatures(administration.FeaturesParts{Store: s, Reader: s, Finder: s, Clock: clock.NewFake(start)})
	if err != nil {
		panic(err)
	}
	return f
}

func gateOn(s *fakeStore) *administration.Gate {
	gate, err := administration.NewGate(s)
	if err != nil {
		panic(err)
	}
	return gate
}

func turned(on bool, targets ...feature.Target) []feature.Switch {
	var switches []feature.Switch
	for _, target := range targets {
		switches = append(switches, feature.Switch{Feature: flag, Target: target, On: on})
	}
	return switches
}

// If this fails, tokens are made where an administrator has forbidden it, or
// none can be made where nobody has.
func TestAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		switches []feature.Switch
		web      bool
		acme     bool
	}{
		{"without a switch it is on", nil, true, true},
		{"on for everybody", turned(true, everybody), true, true},
		{"off for everybody", turned(false, everybody), false, false},
		{"a project's own off beats the default", turned(false, feature.TargetOfProject(web)), false, true},
		{"a project's own off beats everybody's on", slices.Concat(turned(true, everybody), turned(false, feature.TargetOfProject(web))), false, true},
		{"and whatever comes first", slices.Concat(turned(false, feature.TargetOfProject(web)), turned(true, everybody)), false, true},
		{"a project's own on beats everybody's off", slices.Concat(turned(false, everybody), turned(true, feature.TargetOfProject(web))), true, false},
		{"and whatever comes first again", slices.Concat(turned(true, feature.TargetOfProject(web)), turned(false, everybody)), true, false},
		{"a group's own is not its projects'", turned(false, feature.TargetOfProject(acme)), true, false},
		{"a group's own does not open its projects", slices.Concat(turned(false, everybody), turned(true, feature.TargetOfProject(acme))), false, true},
		{"a project of the same number is another thing", turned(false, feature.Target{Kind: feature.GroupOnly, ID: int64(web.ID)}), true, true},
		{"another feature's switch does not count", []feature.Switch{{Feature: "other", On: false}}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gate := gateOn(&fakeStore{switches: c.switches})
			for proj, want := range map[*project.Project]bool{&web: c.web, &acme: c.acme} {
				err := gate.Allows(t.Context(), *proj)
				if (err == nil) != want || err != nil && !errors.Is(err, fault.ErrSwitchedOff) {
					t.Errorf("%s: %v, want %v", proj.FullPath, err, want)
				}
			}
		})
	}

	// What cannot be decided is refused, as unavailable and not as forbidden.
	t.Run("switches that cannot be read allow nothing", func(t *testing.T) {
		t.Parallel()
		for _, failure := range []error{fault.ErrUnavailable, fault.ErrCorrupt} {
			err := gateOn(&fakeStore{unreadable: failure}).Allows(t.Context(), web)
			if !errors.Is(err, failure) || errors.Is(err, fault.ErrSwitchedOff) {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestSet(t *testing.T) {
	t.Parallel()
	projects := func(n int, path string) administration.Names {
		return administration.Names{Projects: slices.Repeat([]string{path}, n)}
	}
	for _, c := range []struct {
		name    string
		feature string
		names   administration.Names
		force   bool
		want    []feature.Target // what is written
		err     error
	}{
		{"without names it is for everybody", flag, administration.Names{}, false, []feature.Target{everybody}, nil},
		{"names without case", flag, administration.Names{Projects: []string{"ACME/web"}, Groups: []string{"Acme"}, Accounts: []string{"Developer"}}, false,
			[]feature.Target{feature.TargetOfAccount(person), feature.TargetOfProject(acme), feature.TargetOfProject(web)}, nil},
		{"a namespace is a group or an account", flag, administration.Names{Namespaces: []string{"acme", "developer"}}, false,
			[]feature.Target{feature.TargetOfProject(acme), feature.TargetOfAccount(person)}, nil},
		{"a target that is named twice is written once", flag, administration.Names{Groups: []string{"acme"}, Namespaces: []string{"acme", "ACME"}}, false,
			[]feature.Target{feature.TargetOfProject(acme)}, nil},
		{"as many names as may be", flag, projects(administration.MaxTargets, "acme/web"), false, []feature.Target{feature.TargetOfProject(web)}, nil},
		{"a name too many", flag, projects(administration.MaxTargets+1, "acme/web"), false, nil, administration.ErrTooManyTargets},
		{"a project that is not there", flag, administration.Names{Projects: []string{"acme/web", "acme/none"}}, false, nil, &administration.NoTarget{Name: "acme/none"}},
		{"a project that is a group", flag, administration.Names{Projects: []string{"acme"}}, false, nil, &administration.NoTarget{Name: "acme"}},
		{"a group that is a project", flag, administration.Names{Groups: []string{"acme/web"}}, false, nil, &administration.NoTarget{Name: "acme/web"}},
		{"a namespace that is a project", flag, administration.Names{Namespaces: []string{"acme/web"}}, false, nil, &administration.NoTarget{Name: "acme/web"}},
		{"a user that is not there", flag, administration.Names{Accounts: []string{"nobody"}}, false, nil, &administration.NoTarget{Name: "nobody"}},
		{"no definition", "other", administration.Names{}, false, nil, administration.ErrUndefined},
		{"no definition, by force", "other", administration.Names{}, true, []feature.Target{everybody}, nil},
		{"another case is another feature", "Resource_access_token", administration.Names{}, false, nil, administration.ErrUndefined},
		{"no name", "", administration.Names{}, true, nil, administration.ErrFeatureName},
		{"the longest name", strings.Repeat("n", 255), administration.Names{}, true, []feature.Target{everybody}, nil},
		{"a name too long", strings.Repeat("n", 256), administration.Names{}, true, nil, administration.ErrFeatureName},
		{"a name with everything it may have", "aZ09_-", administration.Names{}, true, []feature.Target{everybody}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &fakeStore{}
			got, err := featuresOn(s).Set(t.Context(), admin, c.feature, true, c.names, c.force)
			if missing := (*administration.NoTarget)(nil); errors.As(err, &missing) {
				if !reflect.DeepEqual(err, c.err) {
					t.Errorf("err = %v of %q", err, missing.Name)
				}
			} else if !errors.Is(err, c.err) {
				t.Errorf("err = %v, want %v", err, c.err)
			}
			if err != nil && (!errors.Is(err, fault.ErrInput) || s.writes != 0) {
				t.Errorf("%v, and %d writes", err, s.writes)
			}
			var written []feature.Target
			for _, sw := range s.switches {
				if sw.Feature != c.feature || !sw.On {
					t.Errorf("wrote %v", sw)
				}
				written = append(written, sw.Target)
			}
			if !reflect.DeepEqual(written, c.want) {
				t.Errorf("wrote %v, want %v", written, c.want)
			}
			if err == nil && (got.Name != c.feature || (got.Definition != nil) != (c.feature == flag)) {
				t.Errorf("got %+v", got)
			}
		})
	}
	for _, name := range []string{"a b", "a#b", "a/b", "a.b", "a,b", "é", "a\x00", "a~"} {
		t.Run(fmt.Sprintf("no feature is called %q", name), func(t *testing.T) {
			t.Parallel()
			s := &fakeStore{}
			_, err := featuresOn(s).Set(t.Context(), admin, name, true, administration.Names{}, true)
			if !errors.Is(err, administration.ErrFeatureName) || s.writes != 0 {
				t.Errorf("set: %v", err)
			}
			if err := featuresOn(s).Clear(t.Context(), admin, name); !errors.Is(err, administration.ErrFeatureName) || s.writes != 0 {
				t.Errorf("clear: %v", err)
			}
		})
	}

	t.Run("names that are too long for a key are not looked up", func(t *testing.T) {
		t.Parallel()
		for length, want := range map[int]int{1024: 1, 1025: 0} {
			s := &fakeStore{}
			_, err := featuresOn(s).Set(t.Context(), admin, flag, true, administration.Names{Accounts: []string{strings.Repeat("u", length)}}, false)
			if missing := (*administration.NoTarget)(nil); !errors.As(err, &missing) || len(s.asked) != want {
				t.Errorf("%d bytes: %v after %d lookups", length, err, len(s.asked))
			}
		}
	})

	t.Run("a store that fails is not a target that is missing", func(t *testing.T) {
		t.Parallel()
		for _, names := range []administration.Names{{}, {Accounts: []string{"nobody"}}, {Namespaces: []string{"nobody"}}} {
			s := &fakeStore{unreadable: fault.ErrUnavailable}
			if _, err := featuresOn(s).Set(t.Context(), admin, flag, true, names, false); !errors.Is(err, fault.ErrUnavailable) || s.writes != 0 {
				t.Errorf("%v: %v and %d writes", names, err, s.writes)
			}
		}
		s := &fakeStore{err: fault.ErrUnavailable}
		if got, err := featuresOn(s).Set(t.Context(), admin, flag, true, administration.Names{}, false); !errors.Is(err, fault.ErrUnavailable) || got.Name != "" {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// What Set returns is what Flags returns after it.
func TestFlags(t *testing.T) {
	t.Parallel()
	s := &fakeStore{}
	f := featuresOn(s)
	for _, step := range []struct {
		on       bool
		names    administration.Names
		everyone bool
		enabled  []feature.Target
		disabled []feature.Target
		state    feature.State
	}{
		{true, administration.Names{Projects: []string{"acme/web"}}, true, []feature.Target{feature.TargetOfProject(web)}, nil, feature.On},
		{false, administration.Names{}, false, []feature.Target{feature.TargetOfProject(web)}, nil, feature.Conditional},
		{true, administration.Names{Groups: []string{"acme"}, Accounts: []string{"developer"}}, false,
			[]feature.Target{feature.TargetOfProject(acme), feature.TargetOfProject(web), feature.TargetOfAccount(person)}, nil, feature.Conditional},
		{false, administration.Names{Projects: []string{"acme/web"}, Groups: []string{"acme"}, Accounts: []string{"developer"}}, false,
			nil, []feature.Target{feature.TargetOfProject(acme), feature.TargetOfProject(web), feature.TargetOfAccount(person)}, feature.Off},
		{true, administration.Names{}, true, nil, []feature.Target{feature.TargetOfProject(acme), feature.TargetOfProject(web), feature.TargetOfAccount(person)}, feature.Conditional},
	} {
		got, err := f.Set(t.Context(), admin, flag, step.on, step.names, false)
		if err != nil {
			t.Fatal(err)
		}
		want := feature.Flag{Name: flag, On: step.everyone, Enabled: step.enabled, Disabled: step.disabled, Definition: &feature.Definitions()[0]}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got.State() != step.state {
			t.Errorf("state %s, want %s", got.State(), step.state)
		}
		s.switches = tidy(s.switches)
		flags, err := f.Flags(t.Context(), admin)
		if err != nil || !reflect.DeepEqual(flags, []feature.Flag{got}) {
			t.Errorf("flags %+v (%v), want %+v", flags, err, got)
		}
	}
	if _, err := f.Set(t.Context(), admin, "other", false, administration.Names{}, true); err != nil {
		t.Fatal(err)
	}
	flags, err := f.Flags(t.Context(), admin)
	if err != nil || len(flags) != 2 || flags[1].Name != "other" || flags[1].State() != feature.Off || flags[1].Definition != nil {
		t.Errorf("%+v (%v)", flags, err)
	}
	if err := f.Clear(t.Context(), admin, flag); err != nil {
		t.Fatal(err)
	}
	if flags, err = f.Flags(t.Context(), admin); err != nil || len(flags) != 1 || flags[0].Name != "other" {
		t.Errorf("%+v (%v)", flags, err)
	}
	s.unreadable = fault.ErrUnavailable
	if flags, err = f.Flags(t.Context(), admin); !errors.Is(err, fault.ErrUnavailable) || flags != nil {
		t.Errorf("%+v (%v)", flags, err)
	}
}

// tidy keeps the last switch of each target, as a table does.
func tidy(switches []feature.Switch) []feature.Switch {
	var kept []feature.Switch
	for i, s := range switches {
		if !slices.ContainsFunc(switches[i+1:], func(later feature.Switch) bool {
			return later.Feature == s.Feature && later.Target == s.Target
		}) {
			kept = append(kept, s)
		}
	}
	return kept
}
