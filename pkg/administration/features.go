// Package administration changes what administrators decide for the whole
// installation: its settings, and which features are on, and for whom.
//
// Start with Administration for the settings and Features for the switches. Both
// ask whether the caller is an administrator. The package
// promises that a switch counts from the answer on, and that what cannot be read
// is not taken for switched on. It does not end anything: what was made while a
// feature was on stays.
package administration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/feature"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A SwitchStore keeps switches. Every call may be repeated safely.
type SwitchStore interface {
	// SetSwitches writes all of them or none. They are 1 to MaxTargets, no two
	// of them for the same target of a feature.
	SetSwitches(ctx context.Context, switches []feature.Switch, set audit.Event) error
	// ClearSwitches removes all switches of a feature; none is no error.
	ClearSwitches(ctx context.Context, feature string, cleared audit.Event) error
}

// A SwitchReader finds switches, strongly consistent. Absence is an empty slice.
type SwitchReader interface {
	// Switches returns all of a feature, or of every feature for "", in the
	// order of features, everybody's first.
	Switches(ctx context.Context, feature string) ([]feature.Switch, error)
	// SwitchesFor returns those of a feature for any of targets, in no order.
	SwitchesFor(ctx context.Context, feature string, targets ...feature.Target) ([]feature.Switch, error)
}

// A TargetFinder finds what switches are for, by names whose case does not matter,
// strongly consistent. Absence is fault.ErrNotFound.
type TargetFinder interface {
	ProjectByPath(ctx context.Context, path string) (project.Project, error)
	AccountByName(ctx context.Context, username string) (account.Account, error)
}

// Features turns features on and off. It is safe for concurrent use.
type Features struct{ parts FeaturesParts }

// FeaturesParts are what Features are made of, all of which they need.
type FeaturesParts struct {
	Store  SwitchStore
	Reader SwitchReader
	Finder TargetFinder
	Clock  clock.Clock
}

// NewFeatures returns Features, or an error that names the part that is missing.
func NewFeatures(parts FeaturesParts) (*Features, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Features{parts}, nil
}

// A Gate tells whether projects may have new tokens. It is safe for concurrent use.
type Gate struct{ reader SwitchReader }

// NewGate returns a Gate, or an error without a reader.
func NewGate(reader SwitchReader) (*Gate, error) {
	if err := fault.Missing(struct{ Reader SwitchReader }{reader}); err != nil {
		return nil, err
	}
	return &Gate{reader}, nil
}

// The errors of a change. They wrap fault.ErrInput.
var (
	ErrFeatureName    = fmt.Errorf("%w: name of a feature", fault.ErrInput)
	ErrUndefined      = fmt.Errorf("%w: feature is not defined", fault.ErrInput)
	ErrTooManyTargets = fmt.Errorf("%w: more than %d targets", fault.ErrInput, MaxTargets)
)

// MaxTargets is how many targets one change may have: they are written
// together, with the two items of its audit event (DynamoDB: TransactWriteItems
// takes 100 items).
const MaxTargets = 98

// A NoTarget is a target that is not there. It wraps fault.ErrInput, and its
// text leaves out the name, because a client can write anything into it.
type NoTarget struct{ Name string }

// Error implements error.
func (*NoTarget) Error() string { return "target of a feature is not there" }

// Unwrap returns fault.ErrInput.
func (*NoTarget) Unwrap() error { return fault.ErrInput }

// Names are the targets of a change as they are called: projects and groups by
// full path, accounts by username. Namespaces are either: that of a group is
// the group, that of an account is the account. Without any, a change is for
// everybody.
type Names struct {
	Projects, Groups, Namespaces, Accounts []string
}

// Allows returns nil where a project may have new tokens, and
// fault.ErrSwitchedOff where it may not. The project's own switch decides,
// without one everybody's, without that the default; switches of groups that a
// project lies in are not asked.
func (g *Gate) Allows(ctx context.Context, proj project.Project) error {
	own := feature.TargetOfProject(proj)
	switches, err := g.reader.SwitchesFor(ctx, feature.ProjectAccessToken, own, feature.Target{})
	if err != nil {
		return fmt.Errorf("feature %s: %w", feature.ProjectAccessToken, err)
	}
	on := feature.DefinitionOf(feature.ProjectAccessToken).DefaultOn
	for _, s := range switches {
		if on = s.On; s.Target == own {
			break
		}
	}
	if !on {
		return fmt.Errorf("feature %s: %w", feature.ProjectAccessToken, fault.ErrSwitchedOff)
	}
	return nil
}

// Flags returns every feature with at least one switch, by name, as administrators
// may see them; others get fault.ErrForbidden.
func (f *Features) Flags(ctx context.Context, by principal.Principal) ([]feature.Flag, error) {
	if !by.Account.Admin {
		return nil, fault.ErrForbidden
	}
	switches, err := f.parts.Reader.Switches(ctx, "")
	if err != nil {
		return nil, err
	}
	var flags []feature.Flag
	for start := 0; start < len(switches); {
		end := start + 1
		for end < len(switches) && switches[end].Feature == switches[start].Feature {
			end++
		}
		flags = append(flags, feature.FlagOf(switches[start].Feature, switches[start:end]))
		start = end
	}
	return flags, nil
}

// Set turns a feature on or off for the targets that are named, or for
// everybody, and returns what it is then. A feature without a definition is
// refused unless force is set. Errors: fault.ErrForbidden, ErrFeatureName, ErrUndefined,
// ErrTooManyTargets, NoTarget.
func (f *Features) Set(ctx context.Context, by principal.Principal, name string, on bool, names Names, force bool) (feature.Flag, error) {
	switch {
	case !by.Account.Admin:
		return feature.Flag{}, fault.ErrForbidden
	case !feature.ValidName(name):
		return feature.Flag{}, ErrFeatureName
	case !force && feature.DefinitionOf(name) == nil:
		return feature.Flag{}, ErrUndefined
	case names.count() > MaxTargets:
		return feature.Flag{}, ErrTooManyTargets
	}
	targets, err := f.find(ctx, names)
	if err != nil {
		return feature.Flag{}, err
	}
	// Read before the write and not after it: a read that fails must not make
	// a change that was made look like one that was not.
	switches, err := f.parts.Reader.Switches(ctx, name)
	if err != nil {
		return feature.Flag{}, err
	}
	changed := make([]feature.Switch, len(targets))
	for i, target := range targets {
		changed[i] = feature.Switch{Feature: name, Target: target, On: on}
		switches = slices.DeleteFunc(switches, func(s feature.Switch) bool { return s.Target == target })
	}
	set := audit.OfInstance(f.parts.Clock.Now(), audit.By(by, audit.Admin), audit.FeatureSet, name)
	set.Change, set.To = "value", fmt.Sprintf("%t for %s", on, inWords(targets))
	if err := f.parts.Store.SetSwitches(ctx, changed, set); err != nil {
		return feature.Flag{}, err
	}
	return feature.FlagOf(name, append(switches, changed...)), nil
}

// Clear forgets every switch of a feature, so that it is again what it is by
// default. Errors: fault.ErrForbidden, ErrFeatureName.
func (f *Features) Clear(ctx context.Context, by principal.Principal, name string) error {
	switch {
	case !by.Account.Admin:
		return fault.ErrForbidden
	case !feature.ValidName(name):
		return ErrFeatureName
	}
	return f.parts.Store.ClearSwitches(ctx, name, audit.OfInstance(f.parts.Clock.Now(), audit.By(by, audit.Admin), audit.FeatureDeleted, name))
}

// inWords lists targets by kind and id, the first ten of them.
func inWords(targets []feature.Target) string {
	const listed = 10
	var words []string
	for _, target := range targets[:min(len(targets), listed)] {
		if target.Kind == feature.Everybody {
			return "everybody"
		}
		words = append(words, fmt.Sprintf("%s %d", target.Kind, target.ID))
	}
	if more := len(targets) - listed; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, ", ")
}

func (n Names) count() int {
	return len(n.Projects) + len(n.Groups) + len(n.Namespaces) + len(n.Accounts)
}

// find returns the targets of names, each once: everybody for none.
func (f *Features) find(ctx context.Context, names Names) ([]feature.Target, error) {
	if names.count() == 0 {
		return []feature.Target{{}}, nil
	}
	var targets []feature.Target
	for _, kind := range []struct {
		names []string
		find  func(context.Context, string) (feature.Target, error)
	}{
		{names.Accounts, f.account},
		{names.Groups, f.group},
		{names.Namespaces, f.namespace},
		{names.Projects, f.project},
	} {
		for _, name := range kind.names {
			target, err := kind.find(ctx, name)
			switch {
			case errors.Is(err, fault.ErrNotFound):
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

func (f *Features) project(ctx context.Context, path string) (feature.Target, error) {
	return f.ofKind(ctx, project.KindProject, path)
}

func (f *Features) group(ctx context.Context, path string) (feature.Target, error) {
	return f.ofKind(ctx, project.KindGroup, path)
}

func (f *Features) ofKind(ctx context.Context, kind project.Kind, path string) (feature.Target, error) {
	if len(path) > maxTargetName {
		return feature.Target{}, fault.ErrNotFound
	}
	proj, err := f.parts.Finder.ProjectByPath(ctx, path)
	if err == nil && proj.Kind != kind {
		err = fault.ErrNotFound
	}
	return feature.TargetOfProject(proj), err
}

func (f *Features) account(ctx context.Context, username string) (feature.Target, error) {
	if len(username) > maxTargetName {
		return feature.Target{}, fault.ErrNotFound
	}
	acct, err := f.parts.Finder.AccountByName(ctx, username)
	return feature.TargetOfAccount(acct), err
}

func (f *Features) namespace(ctx context.Context, path string) (feature.Target, error) {
	target, err := f.group(ctx, path)
	if errors.Is(err, fault.ErrNotFound) {
		return f.account(ctx, path)
	}
	return target, err
}
