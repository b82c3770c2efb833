// Package feature describes the switches that turn features on and off, for everybody or for one
// project, group or account.
//
// Start with Flag. The package does no I/O.
package feature

import (
	"cmp"
	"slices"

	"latchkey/pkg/account"
	"latchkey/pkg/project"
)

// ProjectAccessToken is the feature that allows new tokens of projects and groups.
const ProjectAccessToken = "resource_access_token"

// A Definition describes a feature that Latchkey uses.
type Definition struct {
	Name string
	// DefaultOn applies if no switch does.
	DefaultOn bool
}

// Definitions returns the defined features, by name.
func Definitions() []Definition {
	return []Definition{{Name: ProjectAccessToken, DefaultOn: true}}
}

// DefinitionOf returns the definition of a feature, or nil.
func DefinitionOf(name string) *Definition {
	for _, d := range Definitions() {
		if d.Name == name {
			return &d
		}
	}
	return nil
}

// A Flag is a feature and its switches.
type Flag struct {
	Name string
	// On applies to everybody without a switch of their own.
	On bool
	// Enabled and Disabled are the targets with a switch of their own.
	Enabled, Disabled []Target
	// Definition is nil for an unknown feature.
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

// maxNameLength is the longest name of a feature, in characters.
const maxNameLength = 255

// ValidName reports whether a feature can have this name.
func ValidName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return name != "" && len(name) <= maxNameLength
}

// FlagOf returns the flag for the switches of one feature.
func FlagOf(name string, switches []Switch) Flag {
	flag := Flag{Name: name, Definition: DefinitionOf(name)}
	flag.On = flag.Definition != nil && flag.Definition.DefaultOn
	for _, s := range switches {
		switch {
		case s.Target == Target{}:
			flag.On = s.On
		case s.On:
			flag.Enabled = append(flag.Enabled, s.Target)
		default:
			flag.Disabled = append(flag.Disabled, s.Target)
		}
	}
	byKindAndID := func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(flag.Enabled, byKindAndID)
	slices.SortFunc(flag.Disabled, byKindAndID)
	return flag
}

// A TargetKind is the kind of a Target.
type TargetKind string

// The kinds of target. The zero value is everybody.
const (
	Everybody   TargetKind = ""
	ProjectOnly TargetKind = "project"
	GroupOnly   TargetKind = "group"
	AccountOnly TargetKind = "user"
)

// A Target is the project, group or account that a switch applies to, or everybody, with ID 0.
type Target struct {
	Kind TargetKind
	ID   int64
}

// TargetOfProject returns the target for a project or group.
func TargetOfProject(p project.Project) Target {
	if p.Kind == project.KindGroup {
		return Target{GroupOnly, int64(p.ID)}
	}
	return Target{ProjectOnly, int64(p.ID)}
}

// TargetOfAccount returns the target for an account.
func TargetOfAccount(a account.Account) Target { return Target{AccountOnly, int64(a.ID)} }

// A Switch turns a feature on or off for one target. The switch of a project, group or account
// takes precedence over the switch for everybody.
type Switch struct {
	Feature string
	Target  Target
	On      bool
}
