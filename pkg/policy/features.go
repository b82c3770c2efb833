// Package policy keeps what administrators decide for the whole installation:
// which features are on, and for whom.
//
// Start with Features. It answers other use cases whether something is
// switched on, and lets administrators look at the switches and turn them; the
// caller of the latter has to make sure that it is one. The package promises
// that a switch counts from the answer on, and that what cannot be read is not
// taken for switched on. It does not end anything: what was made while a
// feature was on stays.
package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// ResourceAccessToken is the feature that lets projects and groups have new
// tokens.
const ResourceAccessToken = "resource_access_token"

// A Definition describes a feature that the product asks about.
type Definition struct {
	Name string
	// DefaultOn is whether it is on where no switch says otherwise.
	DefaultOn bool
}

// Definitions returns the features there are, by name.
func Definitions() []Definition {
	return []Definition{{Name: ResourceAccessToken, DefaultOn: true}}
}

func definitionOf(name string) *Definition {
	for _, d := range Definitions() {
		if d.Name == name {
			return &d
		}
	}
	return nil
}

// A Store keeps switches. Every call may be repeated safely.
type Store interface {
	// SetSwitches writes all of them or none. They are 1 to MaxTargets, no two
	// of them for the same target of a feature.
	SetSwitches(ctx context.Context, switches []principal.Switch) error
	// ClearSwitches removes all switches of a feature; none is no error.
	ClearSwitches(ctx context.Context, feature string) error
}

// A Reader finds switches, strongly consistent. Absence is an empty slice.
type Reader interface {
	// Switches returns all of a feature, or of every feature for "", in the
	// order of features, everybody's first.
	Switches(ctx context.Context, feature string) ([]principal.Switch, error)
	// SwitchesFor returns those of a feature for any of targets, in no order.
	SwitchesFor(ctx context.Context, feature string, targets ...principal.Target) ([]principal.Switch, error)
}

// A Finder finds what switches are for, by names whose case does not matter,
// strongly consistent. Absence is token.ErrNotFound.
type Finder interface {
	ResourceByPath(ctx context.Context, path string) (principal.Resource, error)
	UserByName(ctx context.Context, username string) (principal.User, error)
}

// Features turns features on and off. It is safe for concurrent use.
type Features struct {
	Store  Store
	Reader Reader
	Finder Finder
	Clock  clock.Clock
}

// The errors of a change. They wrap token.ErrInput.
var (
	ErrFeatureName    = fmt.Errorf("%w: name of a feature", token.ErrInput)
	ErrUndefined      = fmt.Errorf("%w: feature is not defined", token.ErrInput)
	ErrTooManyTargets = fmt.Errorf("%w: more than %d targets", token.ErrInput, MaxTargets)
)

// MaxTargets is how many targets one change may have: they are written
// together, with the two items of its audit event (DynamoDB: TransactWriteItems
// takes 100 items).
const MaxTargets = 98

// A NoTarget is a target that is not there. It wraps token.ErrInput, and its
// text leaves out the name, because a client can write anything into it.
type NoTarget struct{ Name string }

// Error implements error.
func (*NoTarget) Error() string { return "target of a feature is not there" }

// Unwrap returns token.ErrInput.
func (*NoTarget) Unwrap() error { return token.ErrInput }

// Names are the targets of a change as they are called: projects and groups by
// full path, accounts by username. Namespaces are either: that of a group is
// the group, that of an account is the account. Without any, a change is for
// everybody.
type Names struct {
	Projects, Groups, Namespaces, Users []string
}

// A Flag is a feature and its switches.
type Flag struct {
	Name string
	// On is what everybody without a switch of their own has.
	On bool
	// Enabled and Disabled are the targets with a switch of their own.
	Enabled, Disabled []principal.Target
	// Definition is nil for a feature that nothing asks about.
	Definition *Definition
}

// A State says for whom a flag is on.
type State string

// The states of a flag.
const (
	On          State = "on"
	Off         State = "off"
	Conditional State = "conditional" // on for some
)

// State returns for whom the flag is on.
func (f Flag) State() State {
	switch {
	case f.On && len(f.Disabled) == 0:
		return On
	case !f.On && len(f.Enabled) == 0:
		return Off
	default:
		return Conditional
	}
}

// Allows returns nil where a resource may have new tokens, and
// token.ErrSwitchedOff where it may not. The resource's own switch decides,
// without one everybody's, without that the default; switches of groups that a
// project lies in are not asked.
func (f *Features) Allows(ctx context.Context, resource principal.Resource) error {
	own := resource.Target()
	switches, err := f.Reader.SwitchesFor(ctx, ResourceAccessToken, own, principal.Target{})
	if err != nil {
		return fmt.Errorf("feature %s: %w", ResourceAccessToken, err)
	}
	on := definitionOf(ResourceAccessToken).DefaultOn
	for _, s := range switches {
		if on = s.On; s.Target == own {
			break
		}
	}
	if !on {
		return fmt.Errorf("feature %s: %w", ResourceAccessToken, token.ErrSwitchedOff)
	}
	return nil
}

// Flags returns every feature with at least one switch, by name.
func (f *Features) Flags(ctx context.Context) ([]Flag, error) {
	switches, err := f.Reader.Switches(ctx, "")
	if err != nil {
		return nil, err
	}
	var flags []Flag
	for start := 0; start < len(switches); {
		end := start + 1
		for end < len(switches) && switches[end].Feature == switches[start].Feature {
			end++
		}
		flags = append(flags, flagOf(switches[start].Feature, switches[start:end]))
		start = end
	}
	return flags, nil
}

// Set turns a feature on or off for the targets that are named, or for
// everybody, and returns what it is then. A feature without a definition is
// refused unless force is set. Errors: ErrFeatureName, ErrUndefined,
// ErrTooManyTargets, NoTarget.
func (f *Features) Set(ctx context.Context, name string, on bool, names Names, force bool) (Flag, error) {
	switch {
	case !validName(name):
		return Flag{}, ErrFeatureName
	case !force && definitionOf(name) == nil:
		return Flag{}, ErrUndefined
	case names.count() > MaxTargets:
		return Flag{}, ErrTooManyTargets
	}
	targets, err := f.find(ctx, names)
	if err != nil {
		return Flag{}, err
	}
	// Read before the write and not after it: a read that fails must not make
	// a change that was made look like one that was not.
	switches, err := f.Reader.Switches(ctx, name)
	if err != nil {
		return Flag{}, err
	}
	changed := make([]principal.Switch, len(targets))
	for i, target := range targets {
		changed[i] = principal.Switch{Feature: name, Target: target, On: on}
		switches = slices.DeleteFunc(switches, func(s principal.Switch) bool { return s.Target == target })
	}
	event := featureEvent(audit.FeatureSet, name)
	event.Change, event.To = "value", fmt.Sprintf("%t for %s", on, inWords(targets))
	if err := f.Store.SetSwitches(audit.Expect(ctx, f.Clock.Now(), event), changed); err != nil {
		return Flag{}, err
	}
	return flagOf(name, append(switches, changed...)), nil
}

// Clear forgets every switch of a feature, so that it is again what it is by
// default. The error is ErrFeatureName.
func (f *Features) Clear(ctx context.Context, name string) error {
	if !validName(name) {
		return ErrFeatureName
	}
	return f.Store.ClearSwitches(audit.Expect(ctx, f.Clock.Now(), featureEvent(audit.FeatureDeleted, name)), name)
}

func featureEvent(name audit.Name, feature string) audit.Event {
	return audit.Event{
		Name: name, Entity: audit.Entity{Type: audit.Instance, ID: audit.InstanceID},
		Origin: audit.Origin{Source: audit.Admin}, Target: feature,
	}
}

// inWords lists targets by kind and id, the first ten of them.
func inWords(targets []principal.Target) string {
	const listed = 10
	var words []string
	for _, target := range targets[:min(len(targets), listed)] {
		if target.Kind == principal.Everybody {
			return "everybody"
		}
		words = append(words, fmt.Sprintf("%s %d", target.Kind, target.ID))
	}
	if more := len(targets) - listed; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, ", ")
}

// maxNameLength is the longest name of a feature, in characters.
const maxNameLength = 255

func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return name != "" && len(name) <= maxNameLength
}

func (n Names) count() int {
	return len(n.Projects) + len(n.Groups) + len(n.Namespaces) + len(n.Users)
}

// find returns the targets of names, each once: everybody for none.
func (f *Features) find(ctx context.Context, names Names) ([]principal.Target, error) {
	if names.count() == 0 {
		return []principal.Target{{}}, nil
	}
	var targets []principal.Target
	for _, kind := range []struct {
		names []string
		find  func(context.Context, string) (principal.Target, error)
	}{
		{names.Users, f.user},
		{names.Groups, f.group},
		{names.Namespaces, f.namespace},
		{names.Projects, f.project},
	} {
		for _, name := range kind.names {
			target, err := kind.find(ctx, name)
			switch {
			case errors.Is(err, token.ErrNotFound):
				return nil, &NoTarget{name}
			case err != nil:
				return nil, fmt.Errorf("target of a feature: %w", err)
			case !slices.Contains(targets, target):
				targets = append(targets, target)
			}
		}
	}
	return targets, nil
}

// maxTargetName is the longest name that is looked up, in bytes: nothing has a
// longer one, and the store's keys end at 2048.
const maxTargetName = 1024

func (f *Features) project(ctx context.Context, path string) (principal.Target, error) {
	return f.resource(ctx, principal.Project, path)
}

func (f *Features) group(ctx context.Context, path string) (principal.Target, error) {
	return f.resource(ctx, principal.Group, path)
}

func (f *Features) resource(ctx context.Context, kind principal.ResourceKind, path string) (principal.Target, error) {
	if len(path) > maxTargetName {
		return principal.Target{}, token.ErrNotFound
	}
	resource, err := f.Finder.ResourceByPath(ctx, path)
	if err == nil && resource.Kind != kind {
		err = token.ErrNotFound
	}
	return resource.Target(), err
}

func (f *Features) user(ctx context.Context, username string) (principal.Target, error) {
	if len(username) > maxTargetName {
		return principal.Target{}, token.ErrNotFound
	}
	user, err := f.Finder.UserByName(ctx, username)
	return user.Target(), err
}

func (f *Features) namespace(ctx context.Context, path string) (principal.Target, error) {
	target, err := f.group(ctx, path)
	if errors.Is(err, token.ErrNotFound) {
		return f.user(ctx, path)
	}
	return target, err
}

// flagOf puts the switches of one feature together.
func flagOf(name string, switches []principal.Switch) Flag {
	flag := Flag{Name: name, Definition: definitionOf(name)}
	flag.On = flag.Definition != nil && flag.Definition.DefaultOn
	for _, s := range switches {
		switch {
		case s.Target == principal.Target{}:
			flag.On = s.On
		case s.On:
			flag.Enabled = append(flag.Enabled, s.Target)
		default:
			flag.Disabled = append(flag.Disabled, s.Target)
		}
	}
	byKindAndID := func(a, b principal.Target) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(flag.Enabled, byKindAndID)
	slices.SortFunc(flag.Disabled, byKindAndID)
	return flag
}
