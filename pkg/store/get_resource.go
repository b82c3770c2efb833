package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Resource returns the project or group with this id. Absence is
// token.ErrNotFound.
func (t *Table) Resource(ctx context.Context, id token.ResourceID) (principal.Resource, error) {
	it, err := t.get(ctx, resourceKey(id))
	if err != nil {
		return principal.Resource{}, err
	}
	return readResource(it)
}

// ResourceByPath returns the project or group with this full path, whose case
// does not matter. Absence is token.ErrNotFound.
func (t *Table) ResourceByPath(ctx context.Context, path string) (principal.Resource, error) {
	if path == "" || strings.HasPrefix(path, "@") {
		return principal.Resource{}, token.ErrNotFound
	}
	res, err := t.resourceAt(ctx, path)
	username, own, two := strings.Cut(path, "/")
	if !errors.Is(err, token.ErrNotFound) || !two || strings.Contains(own, "/") {
		return res, err
	}
	owner, err := t.UserByName(ctx, username)
	if err != nil {
		return principal.Resource{}, err
	}
	return t.resourceAt(ctx, ownPath(owner.ID, own))
}

func (t *Table) resourceAt(ctx context.Context, path string) (principal.Resource, error) {
	it, err := t.get(ctx, pathKey(path))
	if err != nil {
		return principal.Resource{}, err
	}
	r := reader{item: it}
	id := token.ResourceID(r.number("id"))
	if r.err != nil {
		return principal.Resource{}, r.err
	}
	res, err := t.Resource(ctx, id)
	if err == nil && !strings.EqualFold(pathOf(res), path) {
		return principal.Resource{}, fmt.Errorf("%w: a path names resource %s, which has another", token.ErrCorrupt, id)
	}
	return res, err
}

// Standing returns what user is in a resource and in the groups above it, in
// one request: the zero Standing for somebody who is no member of any.
func (t *Table) Standing(ctx context.Context, res principal.Resource, user token.OwnerID) (principal.Standing, error) {
	keys := []key{memberKey(res.ID, user)}
	for _, id := range res.Ancestors {
		keys = append(keys, memberKey(id, user))
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return principal.Standing{}, err
	}
	var standing principal.Standing
	for _, it := range items {
		m, err := readMember(it)
		if err != nil {
			return principal.Standing{}, err // a right that cannot be read is not to be guessed
		}
		if m.Resource == res.ID {
			standing.Direct = m
		} else {
			standing.Inherited = append(standing.Inherited, m)
		}
	}
	return standing, nil
}
