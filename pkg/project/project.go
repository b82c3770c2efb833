// Package project has projects and groups, their members and the levels that
// members have there.
//
// A Project is a project or a group; its Kind tells. The two differ in what may
// lie in them and in who manages their tokens, and in nothing else, so one word
// serves for both. Start with Project, Member and Standing. The package does no
// I/O and reads no clock.
package project

import (
	"fmt"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
)

// A Project is a project or a group: members have levels in it, and tokens can
// belong to it. It lies in a group, or, if it is a project, in an account's own
// namespace; groups may lie in nothing.
type Project struct {
	ID   ID
	Kind Kind
	Name string
	// Path is the last part of the full path.
	Path string
	// FullPath is the path from the root, `acme/sub/web`; it is "" for a
	// project in an account's namespace, whose username starts it.
	FullPath    string
	Description string
	Visibility  string // private, internal or public; it opens nothing here
	// Ancestors are the groups that it lies in, outermost first.
	Ancestors []ID
	// Owner is the account whose namespace it lies in, or 0.
	Owner     account.ID
	CreatedAt time.Time
	CreatedBy account.ID
}

// Parent returns the group that the project lies in, or 0.
func (p Project) Parent() ID {
	if len(p.Ancestors) == 0 {
		return 0
	}
	return p.Ancestors[len(p.Ancestors)-1]
}

// A Kind tells projects from groups.
type Kind string

// The kinds.
const (
	KindProject Kind = "project"
	KindGroup   Kind = "group"
)

var (
	// ErrNoProject means that a project is not there, or not the caller's to
	// see.
	ErrNoProject = fmt.Errorf("%w: project", fault.ErrNotFound)
	// ErrNoGroup means the same of a group.
	ErrNoGroup = fmt.Errorf("%w: group", fault.ErrNotFound)
	// ErrPathTaken means that something else lies at the path.
	ErrPathTaken = fmt.Errorf("%w: path", fault.ErrTaken)
)

// Missing is the error for a project of this kind that is not there.
func (k Kind) Missing() error {
	if k == KindGroup {
		return ErrNoGroup
	}
	return ErrNoProject
}

// ManageLevel is the least level of a member who manages the tokens of a
// project of this kind.
func (k Kind) ManageLevel() Level {
	if k == KindGroup {
		return Owner
	}
	return Maintainer
}
