// Package administration changes the settings of the whole installation and switches features on
// and off.
//
// Start with Administration for the settings and Features for the switches. Both check that the
// caller is an administrator. The package promises that a switch applies from the reply on, and
// that a feature counts as off when its switches cannot be read. It revokes nothing: tokens that
// were made while a feature was on keep working.
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
	// SetSwitches writes all switches or none. There are 1 to MaxTargets, each for another target.
	SetSwitches(ctx context.Context, switches []feature.Switch, set audit.Event) error
	// ClearSwitches removes all switches of a feature, if there are any.
	ClearSwitches(ctx context.Context, feature string, cleared audit.Event) error
}

// A SwitchReader finds switches with consistent reads. Absence is an empty slice.
type SwitchReader interface {
	// Switches returns the switches of a feature, or of every feature for "", by feature. The
	// switch for everybody comes first.
	Switches(ctx context.Context, feature string) ([]feature.Switch, error)
	// SwitchesFor returns the switches of a feature for these targets, in no order.
	SwitchesFor(ctx context.Context, feature string, targets ...feature.Target) ([]feature.Switch, error)
}

// A TargetFinder finds the targets of switches by name, in any case, with consistent reads. Absence
// is fault.ErrNotFound.
type TargetFinder interface {
	ProjectByPath(ctx context.Context, path string) (project.Project, error)
	AccountByName(ctx context.Context, username string) (account.Account, error)
}

// Features turns features on and off. It is safe for concurrent use.
type Features struct{ parts FeaturesParts }

// FeaturesParts hold the dependencies of Features. All are required.
type FeaturesParts struct {
	Store  SwitchStore
	Reader SwitchReader
	Finder TargetFinder
	Clock  clock.Clock
}

// NewFeatures returns Features, or an error that names a missing part.
func NewFeatures(parts FeaturesParts) (*Features, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Features{parts}, nil
}

// A Gate decides whether projects may have new tokens. It is safe for concurrent use.
type Gate struct{ reader SwitchReader }

// NewGate returns a Gate, or an error if reader is nil.
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

// MaxTargets is the most targets of one change. They are written in one transaction, with the two
// items of the audit event (DynamoDB: TransactWriteItems takes 100 items).
const MaxTargets = 98

// A NoTarget is a target that does not exist. It wraps fault.ErrInput. Its text leaves out the
// name, because a client can write anything into it.
type NoTarget struct{ Name string }

func (*NoTarget) Error() string { return "target of a feature is not there" }

func (*NoTarget) Unwrap() error { return fault.ErrInput }

// Names are the names of targets: projects and groups by full path, accounts by username. A
// namespace stands for its group or its account. Without names, a change applies to everybody.
type Names struct {
	Projects, Groups, Namespaces, Accounts []string
}

// Allows returns nil if a project may have new tokens, otherwise fault.ErrSwitchedOff. The
// project's own switch decides, then the switch for everybody, then the default. Switches of the
// groups above do not count.
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

// Flags returns every feature that has a switch, by name. Callers other than administrators get
// fault.ErrForbidden.
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

// Set turns a feature on or off for the named targets, or for everybody, and returns the result. It
// refuses a feature without a definition unless force is set. Errors: fault.ErrForbidden,
// ErrFeatureName, ErrUndefined, ErrTooManyTargets, NoTarget.
func (f *Features) Set(ctx context.Context, by principal.Principal, name string, on bool, names Names, force bool) (feature.Flag, error) {
	if !by.Account.Admin {
		return feature.Flag{}, fault.ErrForbidden
	}
	return f.set(ctx, by, name, on, names, force)
}

// SetByConsole is Set for an operator, for features with a definition only.
func (f *Features) SetByConsole(ctx context.Context, requestID, name string, on bool, names Names) (feature.Flag, error) {
	return f.set(ctx, principal.Console(requestID), name, on, names, false)
}

func (f *Features) set(ctx context.Context, by principal.Principal, name string, on bool, names Names, force bool) (feature.Flag, error) {
	switch {
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
	// Read before the write: if a read after it failed, a change that was made would look like one
	// that was not.
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

// Clear removes every switch of a feature, so that its default applies again. Errors:
// fault.ErrForbidden, ErrFeatureName.
func (f *Features) Clear(ctx context.Context, by principal.Principal, name string) error {
	if !by.Account.Admin {
		return fault.ErrForbidden
	}
	return f.clear(ctx, by, name)
}

// ClearByConsole is Clear for an operator, for features with a definition only.
func (f *Features) ClearByConsole(ctx context.Context, requestID, name string) error {
	if feature.DefinitionOf(name) == nil {
		return ErrUndefined
	}
	return f.clear(ctx, principal.Console(requestID), name)
}

func (f *Features) clear(ctx context.Context, by principal.Principal, name string) error {
	if !feature.ValidName(name) {
		return ErrFeatureName
	}
	return f.parts.Store.ClearSwitches(ctx, name, audit.OfInstance(f.parts.Clock.Now(), audit.By(by, audit.Admin), audit.FeatureDeleted, name))
}

// inWords lists the first ten targets by kind and id.
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

// find returns the named targets without duplicates, or everybody if there are no names.
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

// maxTargetName is the longest name that is looked up, in bytes. No name is longer, and the store's
// keys end at 2048 bytes.
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
