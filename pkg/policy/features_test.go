package policy_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/clock"
	"latchkey/pkg/policy"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

var (
	everybody = principal.Target{}
	web       = principal.Resource{ID: 90, Kind: principal.Project, FullPath: "acme/web", Ancestors: []token.ResourceID{80}}
	acme      = principal.Resource{ID: 80, Kind: principal.Group, FullPath: "acme"}
	person    = principal.User{ID: 58, Username: "developer"}
)

const flag = policy.ResourceAccessToken

// fakeStore keeps switches in memory. err, if set, is what every call returns.
type fakeStore struct {
	switches []principal.Switch
	writes   int
	err      error
	// unreadable is what the reads return.
	unreadable error
	asked      []string
}

func (s *fakeStore) SetSwitches(_ context.Context, switches []principal.Switch) error {
	s.writes++
	if s.err == nil {
		s.switches = append(s.switches, switches...)
	}
	return s.err
}

func (s *fakeStore) ClearSwitches(_ context.Context, feature string) error {
	s.writes++
	if s.err == nil {
		s.switches = slices.DeleteFunc(s.switches, func(sw principal.Switch) bool { return sw.Feature == feature })
	}
	return s.err
}

func (s *fakeStore) Switches(_ context.Context, feature string) ([]principal.Switch, error) {
	var found []principal.Switch
	for _, sw := range s.switches {
		if feature == "" || sw.Feature == feature {
			found = append(found, sw)
		}
	}
	return found, s.unreadable
}

func (s *fakeStore) SwitchesFor(_ context.Context, feature string, targets ...principal.Target) ([]principal.Switch, error) {
	var found []principal.Switch
	for _, sw := range s.switches {
		if sw.Feature == feature && slices.Contains(targets, sw.Target) {
			found = append(found, sw)
		}
	}
	return found, s.unreadable
}

func (s *fakeStore) ResourceByPath(_ context.Context, path string) (principal.Resource, error) {
	s.asked = append(s.asked, path)
	for _, resource := range []principal.Resource{web, acme} {
		if strings.EqualFold(resource.FullPath, path) {
			return resource, nil
		}
	}
	return principal.Resource{}, s.missing()
}

func (s *fakeStore) UserByName(_ context.Context, username string) (principal.User, error) {
	s.asked = append(s.asked, username)
	if strings.EqualFold(username, person.Username) {
		return person, nil
	}
	return principal.User{}, s.missing()
}

func (s *fakeStore) missing() error {
	if s.unreadable != nil {
		return s.unreadable
	}
	return token.ErrNotFound
}

func featuresOn(s *fakeStore) *policy.Features {
	return &policy.Features{Store: s, Reader: s, Finder: s, Clock: clock.NewFake(start)}
}

func turned(on bool, targets ...principal.Target) []principal.Switch {
	var switches []principal.Switch
	for _, target := range targets {
		switches = append(switches, principal.Switch{Feature: flag, Target: target, On: on})
	}
	return switches
}

// If this fails, tokens are made where an administrator has forbidden it, or
// none can be made where nobody has.
func TestAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		switches []principal.Switch
		web      bool
		acme     bool
	}{
		{"without a switch it is on", nil, true, true},
		{"on for everybody", turned(true, everybody), true, true},
		{"off for everybody", turned(false, everybody), false, false},
		{"a project's own off beats the default", turned(false, web.Target()), false, true},
		{"a project's own off beats everybody's on", slices.Concat(turned(true, everybody), turned(false, web.Target())), false, true},
		{"and whatever comes first", slices.Concat(turned(false, web.Target()), turned(true, everybody)), false, true},
		{"a project's own on beats everybody's off", slices.Concat(turned(false, everybody), turned(true, web.Target())), true, false},
		{"and whatever comes first again", slices.Concat(turned(true, web.Target()), turned(false, everybody)), true, false},
		{"a group's own is not its projects'", turned(false, acme.Target()), true, false},
		{"a group's own does not open its projects", slices.Concat(turned(false, everybody), turned(true, acme.Target())), false, true},
		{"a project of the same number is another thing", turned(false, principal.Target{Kind: principal.GroupOnly, ID: int64(web.ID)}), true, true},
		{"another feature's switch does not count", []principal.Switch{{Feature: "other", On: false}}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := featuresOn(&fakeStore{switches: c.switches})
			for resource, want := range map[*principal.Resource]bool{&web: c.web, &acme: c.acme} {
				err := f.Allows(t.Context(), *resource)
				if (err == nil) != want || err != nil && !errors.Is(err, token.ErrSwitchedOff) {
					t.Errorf("%s: %v, want %v", resource.FullPath, err, want)
				}
			}
		})
	}

	// What cannot be decided is refused, as unavailable and not as forbidden.
	t.Run("switches that cannot be read allow nothing", func(t *testing.T) {
		t.Parallel()
		for _, failure := range []error{token.ErrUnavailable, token.ErrCorrupt} {
			err := featuresOn(&fakeStore{unreadable: failure}).Allows(t.Context(), web)
			if !errors.Is(err, failure) || errors.Is(err, token.ErrSwitchedOff) {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestSet(t *testing.T) {
	t.Parallel()
	projects := func(n int, path string) policy.Names { return policy.Names{Projects: slices.Repeat([]string{path}, n)} }
	for _, c := range []struct {
		name    string
		feature string
		names   policy.Names
		force   bool
		want    []principal.Target // what is written
		err     error
	}{
		{"without names it is for everybody", flag, policy.Names{}, false, []principal.Target{everybody}, nil},
		{"names without case", flag, policy.Names{Projects: []string{"ACME/web"}, Groups: []string{"Acme"}, Users: []string{"Developer"}}, false,
			[]principal.Target{person.Target(), acme.Target(), web.Target()}, nil},
		{"a namespace is a group or an account", flag, policy.Names{Namespaces: []string{"acme", "developer"}}, false,
			[]principal.Target{acme.Target(), person.Target()}, nil},
		{"a target that is named twice is written once", flag, policy.Names{Groups: []string{"acme"}, Namespaces: []string{"acme", "ACME"}}, false,
			[]principal.Target{acme.Target()}, nil},
		{"as many names as may be", flag, projects(policy.MaxTargets, "acme/web"), false, []principal.Target{web.Target()}, nil},
		{"a name too many", flag, projects(policy.MaxTargets+1, "acme/web"), false, nil, policy.ErrTooManyTargets},
		{"a project that is not there", flag, policy.Names{Projects: []string{"acme/web", "acme/none"}}, false, nil, &policy.NoTarget{Name: "acme/none"}},
		{"a project that is a group", flag, policy.Names{Projects: []string{"acme"}}, false, nil, &policy.NoTarget{Name: "acme"}},
		{"a group that is a project", flag, policy.Names{Groups: []string{"acme/web"}}, false, nil, &policy.NoTarget{Name: "acme/web"}},
		{"a namespace that is a project", flag, policy.Names{Namespaces: []string{"acme/web"}}, false, nil, &policy.NoTarget{Name: "acme/web"}},
		{"a user that is not there", flag, policy.Names{Users: []string{"nobody"}}, false, nil, &policy.NoTarget{Name: "nobody"}},
		{"no definition", "other", policy.Names{}, false, nil, policy.ErrUndefined},
		{"no definition, by force", "other", policy.Names{}, true, []principal.Target{everybody}, nil},
		{"another case is another feature", "Resource_access_token", policy.Names{}, false, nil, policy.ErrUndefined},
		{"no name", "", policy.Names{}, true, nil, policy.ErrFeatureName},
		{"the longest name", strings.Repeat("n", 255), policy.Names{}, true, []principal.Target{everybody}, nil},
		{"a name too long", strings.Repeat("n", 256), policy.Names{}, true, nil, policy.ErrFeatureName},
		{"a name with everything it may have", "aZ09_-", policy.Names{}, true, []principal.Target{everybody}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &fakeStore{}
			got, err := featuresOn(s).Set(t.Context(), c.feature, true, c.names, c.force)
			if missing := (*policy.NoTarget)(nil); errors.As(err, &missing) {
				if !reflect.DeepEqual(err, c.err) {
					t.Errorf("err = %v of %q", err, missing.Name)
				}
			} else if !errors.Is(err, c.err) {
				t.Errorf("err = %v, want %v", err, c.err)
			}
			if err != nil && (!errors.Is(err, token.ErrInput) || s.writes != 0) {
				t.Errorf("%v, and %d writes", err, s.writes)
			}
			var written []principal.Target
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
			_, err := featuresOn(s).Set(t.Context(), name, true, policy.Names{}, true)
			if !errors.Is(err, policy.ErrFeatureName) || s.writes != 0 {
				t.Errorf("set: %v", err)
			}
			if err := featuresOn(s).Clear(t.Context(), name); !errors.Is(err, policy.ErrFeatureName) || s.writes != 0 {
				t.Errorf("clear: %v", err)
			}
		})
	}

	t.Run("names that are too long for a key are not looked up", func(t *testing.T) {
		t.Parallel()
		for length, want := range map[int]int{1024: 1, 1025: 0} {
			s := &fakeStore{}
			_, err := featuresOn(s).Set(t.Context(), flag, true, policy.Names{Users: []string{strings.Repeat("u", length)}}, false)
			if missing := (*policy.NoTarget)(nil); !errors.As(err, &missing) || len(s.asked) != want {
				t.Errorf("%d bytes: %v after %d lookups", length, err, len(s.asked))
			}
		}
	})

	t.Run("a store that fails is not a target that is missing", func(t *testing.T) {
		t.Parallel()
		for _, names := range []policy.Names{{}, {Users: []string{"nobody"}}, {Namespaces: []string{"nobody"}}} {
			s := &fakeStore{unreadable: token.ErrUnavailable}
			if _, err := featuresOn(s).Set(t.Context(), flag, true, names, false); !errors.Is(err, token.ErrUnavailable) || s.writes != 0 {
				t.Errorf("%v: %v and %d writes", names, err, s.writes)
			}
		}
		s := &fakeStore{err: token.ErrUnavailable}
		if got, err := featuresOn(s).Set(t.Context(), flag, true, policy.Names{}, false); !errors.Is(err, token.ErrUnavailable) || got.Name != "" {
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
		names    policy.Names
		everyone bool
		enabled  []principal.Target
		disabled []principal.Target
		state    policy.State
	}{
		{true, policy.Names{Projects: []string{"acme/web"}}, true, []principal.Target{web.Target()}, nil, policy.On},
		{false, policy.Names{}, false, []principal.Target{web.Target()}, nil, policy.Conditional},
		{true, policy.Names{Groups: []string{"acme"}, Users: []string{"developer"}}, false,
			[]principal.Target{acme.Target(), web.Target(), person.Target()}, nil, policy.Conditional},
		{false, policy.Names{Projects: []string{"acme/web"}, Groups: []string{"acme"}, Users: []string{"developer"}}, false,
			nil, []principal.Target{acme.Target(), web.Target(), person.Target()}, policy.Off},
		{true, policy.Names{}, true, nil, []principal.Target{acme.Target(), web.Target(), person.Target()}, policy.Conditional},
	} {
		got, err := f.Set(t.Context(), flag, step.on, step.names, false)
		if err != nil {
			t.Fatal(err)
		}
		want := policy.Flag{Name: flag, On: step.everyone, Enabled: step.enabled, Disabled: step.disabled, Definition: &policy.Definitions()[0]}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got.State() != step.state {
			t.Errorf("state %s, want %s", got.State(), step.state)
		}
		s.switches = tidy(s.switches)
		flags, err := f.Flags(t.Context())
		if err != nil || !reflect.DeepEqual(flags, []policy.Flag{got}) {
			t.Errorf("flags %+v (%v), want %+v", flags, err, got)
		}
	}
	if _, err := f.Set(t.Context(), "other", false, policy.Names{}, true); err != nil {
		t.Fatal(err)
	}
	flags, err := f.Flags(t.Context())
	if err != nil || len(flags) != 2 || flags[1].Name != "other" || flags[1].State() != policy.Off || flags[1].Definition != nil {
		t.Errorf("%+v (%v)", flags, err)
	}
	if err := f.Clear(t.Context(), flag); err != nil {
		t.Fatal(err)
	}
	if flags, err = f.Flags(t.Context()); err != nil || len(flags) != 1 || flags[0].Name != "other" {
		t.Errorf("%+v (%v)", flags, err)
	}
	s.unreadable = token.ErrUnavailable
	if flags, err = f.Flags(t.Context()); !errors.Is(err, token.ErrUnavailable) || flags != nil {
		t.Errorf("%+v (%v)", flags, err)
	}
}

// tidy keeps the last switch of each target, as a table does.
func tidy(switches []principal.Switch) []principal.Switch {
	var kept []principal.Switch
	for i, s := range switches {
		if !slices.ContainsFunc(switches[i+1:], func(later principal.Switch) bool {
			return later.Feature == s.Feature && later.Target == s.Target
		}) {
			kept = append(kept, s)
		}
	}
	return kept
}
