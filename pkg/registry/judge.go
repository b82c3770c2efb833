package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
)

// ErrLevel means that the caller's level in the project is too low.
var ErrLevel = fmt.Errorf("%w: level in the project", fault.ErrForbidden)

// A Judge decides what principals may do with images. It is safe for concurrent use.
type Judge struct {
	parts Parts
	rules *scope.Catalog // the operator's rules about registries
}

// Parts hold the dependencies of a Judge.
type Parts struct {
	Projects principal.Projects
	// Scopes may have rules about paths below /v2/, for the operator's own scopes.
	Scopes *scope.Catalog
}

// NewJudge returns a Judge, or an error that names a missing part.
func NewJudge(parts Parts) (*Judge, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Judge{parts, rulesOf(parts.Scopes)}, nil
}

// Check returns nil if by may have all of wanted at now. If not, it returns scope.ErrInsufficient,
// project.ErrNoProject for a project that by cannot see, or fault.ErrForbidden for a level that is too
// low. The scope comes first, so a token without it learns nothing of projects. Any other error means
// that it could not be decided.
func (j *Judge) Check(ctx context.Context, by principal.Principal, wanted []Access, now time.Time) error {
	if err := j.Enter(by); err != nil {
		return err
	}
	for _, access := range wanted {
		find := j.finder(ctx, by, access, now)
		for _, action := range access.Actions {
			if err := j.may(by, access, action, find); err != nil {
				return fmt.Errorf("%s: %w", action, err)
			}
		}
	}
	return nil
}

// Cut returns the part of wanted that by may have at now, in the same order and without resources of
// which nothing is left. An error means that it could not be decided.
func (j *Judge) Cut(ctx context.Context, by principal.Principal, wanted []Access, now time.Time) ([]Access, error) {
	held := make([]Access, 0, len(wanted))
	for _, access := range wanted {
		left := Access{Type: access.Type, Name: access.Name}
		find := j.finder(ctx, by, access, now)
		for _, action := range access.Actions {
			switch err := j.may(by, access, action, find); {
			case err == nil:
				left.Actions = append(left.Actions, action)
			case !refused(err):
				return nil, err
			}
		}
		if len(left.Actions) > 0 {
			held = append(held, left)
		}
	}
	return held, nil
}

// refused reports whether err refuses an action. Any other error decides nothing.
func refused(err error) bool {
	return errors.Is(err, scope.ErrInsufficient) || errors.Is(err, project.ErrNoProject) || errors.Is(err, fault.ErrForbidden)
}

// may decides about one action. find is called only if the scopes suffice.
func (j *Judge) may(by principal.Principal, wanted Access, action Action, find func() (principal.Access, error)) error {
	if !j.opens(by.Scopes, action, wanted.Name) {
		return scope.ErrInsufficient
	}
	if wanted.Type != Repository {
		// Only administrators may see the names of all repositories.
		if wanted.Name != Catalog || action != Every || !by.Account.Admin {
			return fault.ErrForbidden
		}
		return nil
	}
	access, err := find()
	if err != nil {
		return err
	}
	level, known := levels[action]
	if !known || !access.AtLeast(level) {
		return ErrLevel
	}
	return nil
}

// finder returns a function that finds by's access to the project of a repository, once.
func (j *Judge) finder(ctx context.Context, by principal.Principal, wanted Access, now time.Time) func() (principal.Access, error) {
	var access principal.Access
	var err error
	found := false
	return func() (principal.Access, error) {
		if !found {
			found = true
			access, err = j.access(ctx, by, wanted.Name, now)
		}
		return access, err
	}
}

// access returns by's access to the project of a repository. It looks from the left, because nothing
// lies below a path that does not exist or below a project. So one project at most fits, and a long
// name costs no more look-ups than the groups in it.
func (j *Judge) access(ctx context.Context, by principal.Principal, repository string, now time.Time) (principal.Access, error) {
	segments := strings.Split(repository, "/")
	for end := 2; end <= len(segments); end++ {
		proj, err := j.parts.Projects.ProjectByPath(ctx, strings.Join(segments[:end], "/"))
		switch {
		case errors.Is(err, fault.ErrNotFound):
			return principal.Access{}, project.ErrNoProject
		case err != nil:
			return principal.Access{}, fmt.Errorf("project of a repository: %w", err)
		case proj.Kind == project.KindProject:
			return principal.AccessTo(ctx, j.parts.Projects, by, proj, now)
		}
	}
	return principal.Access{}, project.ErrNoProject
}

// Names returns the resources of accesses with their actions, for a log line.
func Names(accesses []Access) []string {
	names := make([]string, 0, len(accesses))
	for _, access := range accesses {
		actions := make([]string, 0, len(access.Actions))
		for _, action := range access.Actions {
			actions = append(actions, string(action))
		}
		names = append(names, fmt.Sprintf("%s:%s:%s", access.Type, access.Name, strings.Join(actions, ",")))
	}
	return names
}
