// Package project describes projects, groups, their members and the members' levels.
//
// Start with Project, Member and Standing. A Project is a project or a group, as its Kind says. The
// two differ only in their position and in the level that manages their tokens, so one word serves
// for both. The package does no I/O and reads no clock.
package project

import (
	"fmt"
	"slices"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
)

// A Project is a project or a group. It has members with levels, and can have tokens. It lies in a
// group or, for a project, in an account's namespace; groups may be at the root.
type Project struct {
	ID   ID
	Kind Kind
	Name string
	// Path is the last part of the full path.
	Path string
	// FullPath is the path from the root, `acme/sub/web`. It is "" for a project in an account's
	// namespace, because its path starts with the account's current username.
	FullPath    string
	Description string
	Visibility  string // one of Visibilities; it grants nothing
	// Ancestors are the groups above it, outermost first.
	Ancestors []ID
	// Owner is the account of its namespace, or 0.
	Owner     account.ID
	CreatedAt time.Time
	CreatedBy account.ID
	// Closing says that it is being deleted: nothing new may be put into it.
	Closing bool
}

// Visibilities are the visibilities, the narrowest first.
var Visibilities = []string{"private", "internal", "public"}

// Wider reports whether one visibility is wider than another.
func Wider(one, other string) bool {
	return slices.Index(Visibilities, one) > slices.Index(Visibilities, other)
}

// Parent returns the group that the project lies in, or 0.
func (p Project) Parent() ID {
	if len(p.Ancestors) == 0 {
		return 0
	}
	return p.Ancestors[len(p.Ancestors)-1]
}

// A Kind is a project or a group.
type Kind string

// The kinds.
const (
	KindProject Kind = "project"
	KindGroup   Kind = "group"
)

var (
	// ErrNoProject means that a project does not exist or is hidden from the caller.
	ErrNoProject = fmt.Errorf("%w: project", fault.ErrNotFound)
	// ErrNoGroup means that a group does not exist or is hidden from the caller.
	ErrNoGroup = fmt.Errorf("%w: group", fault.ErrNotFound)
	// ErrPathTaken means that another project or group has the path.
	ErrPathTaken = fmt.Errorf("%w: path", fault.ErrTaken)
)

// Missing returns the error for a missing project of this kind.
func (k Kind) Missing() error {
	if k == KindGroup {
		return ErrNoGroup
	}
	return ErrNoProject
}

// ManageLevel is the lowest level that may manage the tokens of a project of this kind.
func (k Kind) ManageLevel() Level {
	if k == KindGroup {
		return Owner
	}
	return Maintainer
}
