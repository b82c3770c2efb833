package principal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// Projects finds projects and groups and what accounts are in them, strongly
// consistent. Absence is fault.ErrNotFound.
type Projects interface {
	Project(ctx context.Context, id project.ID) (project.Project, error)
	// ProjectByPath finds by full path, whose case does not matter.
	ProjectByPath(ctx context.Context, path string) (project.Project, error)
	// Standing returns the zero Standing for somebody who is no member.
	Standing(ctx context.Context, proj project.Project, acct account.ID) (project.Standing, error)
}

// An Access is what a principal is in a project.
type Access struct {
	Project project.Project
	// Level is the principal's own, with what it inherits from groups.
	Level project.Level
	// Admin principals may do everything, whatever their level.
	Admin bool
	// Standing is what Level comes from.
	Standing project.Standing
}

// AtLeast reports whether the principal has the rights of level.
func (a Access) AtLeast(level project.Level) bool { return a.Admin || a.Level >= level }

// FindAccess returns the project that ref names, an id or a full path, and
// what by is in it at now. A project that is not there, is of another kind,
// or that by is no member of, is ErrNoProject or ErrNoGroup: visibility opens
// nothing, and a token of one project reaches no other.
func FindAccess(ctx context.Context, from Projects, by Principal, kind project.Kind, ref string, now time.Time) (Access, error) {
	missing := kind.Missing()
	proj, err := find(ctx, from, kind, ref)
	switch {
	case errors.Is(err, fault.ErrNotFound), err == nil && proj.Kind != kind:
		return Access{}, missing
	case err != nil:
		return Access{}, err
	}
	standing, err := from.Standing(ctx, proj, by.Account.ID)
	if err != nil {
		return Access{}, err
	}
	access := Access{Project: proj, Level: standing.LevelAt(now), Admin: by.Account.Admin, Standing: standing}
	if !access.AtLeast(project.Guest) || !by.Reaches(proj) {
		return Access{}, missing
	}
	return access, nil
}

func find(ctx context.Context, from Projects, kind project.Kind, ref string) (project.Project, error) {
	// As in GitLab, digits are always an id, and a project's path has a slash.
	if strings.Trim(strings.TrimPrefix(ref, "-"), "0123456789") == "" {
		id, err := project.ParseID(ref)
		if err != nil {
			return project.Project{}, err
		}
		return from.Project(ctx, id)
	}
	if kind == project.KindProject && !strings.Contains(ref, "/") {
		return project.Project{}, fault.ErrNotFound
	}
	return from.ProjectByPath(ctx, ref)
}

// Reaches reports whether the principal's token may be used on proj: a token of
// a project only there and on what lies in it.
func (p Principal) Reaches(proj project.Project) bool {
	t := p.Token
	return !t.Kind.OfProject() || t.Project == proj.ID || slices.Contains(proj.Ancestors, t.Project)
}
