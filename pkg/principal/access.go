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

// Projects finds projects and groups and the standing of accounts, with consistent reads. Absence
// is fault.ErrNotFound.
type Projects interface {
	Project(ctx context.Context, id project.ID) (project.Project, error)
	// ProjectByPath finds by full path, in any case.
	ProjectByPath(ctx context.Context, path string) (project.Project, error)
	// Standing returns the zero Standing for an account that is not a member.
	Standing(ctx context.Context, proj project.Project, acct account.ID) (project.Standing, error)
}

// An Access is a principal's access to a project.
type Access struct {
	Project project.Project
	// Level is the principal's level, including inherited levels.
	Level project.Level
	// Admin means that the principal is an administrator, with every right at any level.
	Admin bool
	// Standing is the source of Level.
	Standing project.Standing
}

// AtLeast reports whether the principal has the rights of level.
func (a Access) AtLeast(level project.Level) bool { return a.Admin || a.Level >= level }

// FindAccess returns the project ref, an id or a full path, and by's access to it at now. A project
// that does not exist, is of another kind, or does not have by as a member is ErrNoProject or
// ErrNoGroup: visibility grants nothing, and a token of one project reaches no other.
func FindAccess(ctx context.Context, from Projects, by Principal, kind project.Kind, ref string, now time.Time) (Access, error) {
	missing := kind.Missing()
	proj, err := find(ctx, from, kind, ref)
	switch {
	case errors.Is(err, fault.ErrNotFound), err == nil && proj.Kind != kind:
		return Access{}, missing
	case err != nil:
		return Access{}, err
	}
	return AccessTo(ctx, from, by, proj, now)
}

// AccessTo returns by's access to proj at now. A project that by cannot see is ErrNoProject or ErrNoGroup.
func AccessTo(ctx context.Context, from Projects, by Principal, proj project.Project, now time.Time) (Access, error) {
	standing, err := from.Standing(ctx, proj, by.Account.ID)
	if err != nil {
		return Access{}, err
	}
	access := Access{Project: proj, Level: standing.LevelAt(now), Admin: by.Account.Admin, Standing: standing}
	if !access.AtLeast(project.Guest) || !by.Reaches(proj) {
		return Access{}, proj.Kind.Missing()
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

// Reaches reports whether the principal's token may be used on proj. A token of a project may be
// used only on the project and everything in it.
func (p Principal) Reaches(proj project.Project) bool {
	t := p.Token
	return !t.Kind.OfProject() || t.Project == proj.ID || slices.Contains(proj.Ancestors, t.Project)
}
