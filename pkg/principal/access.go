package principal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/token"
)

// Resources finds projects and groups and what accounts are in them, strongly
// consistent. Absence is token.ErrNotFound.
type Resources interface {
	Resource(ctx context.Context, id token.ResourceID) (Resource, error)
	// ResourceByPath finds by full path, whose case does not matter.
	ResourceByPath(ctx context.Context, path string) (Resource, error)
	// Standing returns the zero Standing for somebody who is no member.
	Standing(ctx context.Context, resource Resource, user token.OwnerID) (Standing, error)
}

var (
	// ErrNoProject means that a project is not there, or not the caller's to
	// see.
	ErrNoProject = fmt.Errorf("%w: project", token.ErrNotFound)
	// ErrNoGroup means the same of a group.
	ErrNoGroup = fmt.Errorf("%w: group", token.ErrNotFound)
)

// Missing is the error for a resource of this kind that is not there.
func (k ResourceKind) Missing() error {
	if k == Group {
		return ErrNoGroup
	}
	return ErrNoProject
}

// An Access is what a principal is in a resource.
type Access struct {
	Resource Resource
	// Level is the principal's own, with what it inherits from groups.
	Level token.Level
	// Admin principals may do everything, whatever their level.
	Admin bool
}

// AtLeast reports whether the principal has the rights of level.
func (a Access) AtLeast(level token.Level) bool { return a.Admin || a.Level >= level }

// FindAccess returns the resource that ref names, an id or a full path, and
// what by is in it at now. A resource that is not there, is of another kind,
// or that by is no member of, is ErrNoProject or ErrNoGroup: visibility opens
// nothing, and a token of one resource reaches no other.
func FindAccess(ctx context.Context, from Resources, by Principal, kind ResourceKind, ref string, now time.Time) (Access, error) {
	missing := kind.Missing()
	res, err := find(ctx, from, kind, ref)
	switch {
	case errors.Is(err, token.ErrNotFound), err == nil && res.Kind != kind:
		return Access{}, missing
	case err != nil:
		return Access{}, err
	}
	standing, err := from.Standing(ctx, res, by.User.ID)
	if err != nil {
		return Access{}, err
	}
	access := Access{Resource: res, Level: standing.LevelAt(now), Admin: by.User.Admin}
	if !access.AtLeast(token.Guest) || !reaches(by.Token, res) {
		return Access{}, missing
	}
	return access, nil
}

func find(ctx context.Context, from Resources, kind ResourceKind, ref string) (Resource, error) {
	// As in GitLab, digits are always an id, and a project's path has a slash.
	if strings.Trim(strings.TrimPrefix(ref, "-"), "0123456789") == "" {
		id, err := token.ParseResourceID(ref)
		if err != nil {
			return Resource{}, err
		}
		return from.Resource(ctx, id)
	}
	if kind == Project && !strings.Contains(ref, "/") {
		return Resource{}, token.ErrNotFound
	}
	return from.ResourceByPath(ctx, ref)
}

// reaches reports whether t may be used on res: a token of a resource only
// there and on what lies in it.
func reaches(t token.Token, res Resource) bool {
	return !t.Kind.OfResource() || t.Resource == res.ID || slices.Contains(res.Ancestors, t.Resource)
}
