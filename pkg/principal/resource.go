package principal

import (
	"time"

	"latchkey/pkg/token"
)

// A ResourceKind tells projects from groups.
type ResourceKind string

// The kinds of resource.
const (
	Project ResourceKind = "project"
	Group   ResourceKind = "group"
)

// TokenKind is the kind of the tokens that belong to a resource.
func (k ResourceKind) TokenKind() token.Kind {
	if k == Group {
		return token.Group
	}
	return token.Project
}

// ManageLevel is the least level of a member who manages the tokens of a
// resource of this kind.
func (k ResourceKind) ManageLevel() token.Level {
	if k == Group {
		return token.Owner
	}
	return token.Maintainer
}

// A Resource is a project or a group: what members have levels in, and what
// project and group tokens belong to. It lies in a group, or, a project only,
// in an account's own namespace; groups may lie in nothing.
type Resource struct {
	ID   token.ResourceID
	Kind ResourceKind
	Name string
	// Path is the last part of the full path.
	Path string
	// FullPath is the path from the root, `acme/sub/web`; it is "" for a
	// project in an account's namespace, whose username starts it.
	FullPath    string
	Description string
	Visibility  string // private, internal or public; it opens nothing here
	// Ancestors are the groups that it lies in, outermost first.
	Ancestors []token.ResourceID
	// Owner is the account whose namespace it lies in, or 0.
	Owner     token.OwnerID
	CreatedAt time.Time
	CreatedBy token.OwnerID
}

// Parent returns the group that the resource lies in, or 0.
func (r Resource) Parent() token.ResourceID {
	if len(r.Ancestors) == 0 {
		return 0
	}
	return r.Ancestors[len(r.Ancestors)-1]
}

// A Member is an account's membership of one resource.
type Member struct {
	Resource token.ResourceID
	User     token.OwnerID
	Level    token.Level
	// ExpiresOn is the UTC day from whose first second it is over; no day is
	// never.
	ExpiresOn token.Day
	CreatedAt time.Time
	CreatedBy token.OwnerID
}

// LevelAt returns the member's level at now: none once the membership is over.
func (m Member) LevelAt(now time.Time) token.Level {
	if !m.ExpiresOn.IsZero() && !now.Before(m.ExpiresOn.Start()) {
		return token.NoLevel
	}
	return m.Level
}

// A Standing is one account's memberships of a resource and of the groups
// above it.
type Standing struct {
	Direct    Member // the zero Member without one
	Inherited []Member
}

// LevelAt returns the highest level of a standing at now.
func (s Standing) LevelAt(now time.Time) token.Level {
	level := s.Direct.LevelAt(now)
	for _, m := range s.Inherited {
		level = max(level, m.LevelAt(now))
	}
	return level
}

// GhostID is the id of the account that stands for authors who were deleted.
// No other account can have it, and it is not stored.
const GhostID token.OwnerID = token.MaxOwner

// Ghost returns the account that stands for authors who were deleted: whatever
// they made is shown under its name. It can do nothing.
func Ghost() User {
	return User{
		ID: GhostID, Username: "ghost", Name: "Ghost User", State: Deactivated,
		CreatedAt: time.Unix(0, 0).UTC(), NextNumber: token.MaxNumber + 1, TokensValidFrom: token.MaxNumber + 1,
	}
}
