package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// Project returns the project or group with this id. Absence is fault.ErrNotFound.
func (t *Reader) Project(ctx context.Context, id project.ID) (project.Project, error) {
	it, err := t.get(ctx, projectKey(id))
	if err != nil {
		return project.Project{}, err
	}
	return readProject(it)
}

// ProjectByPath returns the project or group with this full path, in any case. Absence is
// fault.ErrNotFound.
func (t *Reader) ProjectByPath(ctx context.Context, path string) (project.Project, error) {
	if path == "" || strings.HasPrefix(path, "@") {
		return project.Project{}, fault.ErrNotFound
	}
	proj, err := t.projectAt(ctx, path)
	username, own, two := strings.Cut(path, "/")
	if !errors.Is(err, fault.ErrNotFound) || !two || strings.Contains(own, "/") {
		return proj, err
	}
	owner, err := t.AccountByName(ctx, username)
	if err != nil {
		return project.Project{}, err
	}
	return t.projectAt(ctx, ownPath(owner.ID, own))
}

func (t *Reader) projectAt(ctx context.Context, path string) (project.Project, error) {
	it, err := t.get(ctx, pathKey(path))
	if err != nil {
		return project.Project{}, err
	}
	r := attributes{item: it}
	id := project.ID(r.number("id"))
	if r.err != nil {
		return project.Project{}, r.err
	}
	proj, err := t.Project(ctx, id)
	if err == nil && !strings.EqualFold(pathOf(proj), path) {
		return project.Project{}, fmt.Errorf("%w: a path names project %s, which has another", fault.ErrCorrupt, id)
	}
	return proj, err
}

// Standing returns an account's memberships in a project and in the groups above it, in one
// request. It returns the zero Standing for an account without any.
func (t *Reader) Standing(ctx context.Context, proj project.Project, acct account.ID) (project.Standing, error) {
	keys := []key{memberKey(proj.ID, acct)}
	for _, id := range proj.Ancestors {
		keys = append(keys, memberKey(id, acct))
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return project.Standing{}, err
	}
	var standing project.Standing
	for _, it := range items {
		m, err := readMember(it)
		if err != nil {
			return project.Standing{}, err // guessing a right is unsafe
		}
		if m.Project == proj.ID {
			standing.Direct = m
		} else {
			standing.Inherited = append(standing.Inherited, m)
		}
	}
	return standing, nil
}
