package store

import (
	"context"
	"fmt"
	"strings"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// User returns a profile. Absence is token.ErrNotFound.
func (t *Table) User(ctx context.Context, id token.OwnerID) (principal.User, error) {
	it, err := t.get(ctx, profileKey(id))
	if err != nil {
		return principal.User{}, err
	}
	return readProfile(it)
}

// UserByName returns the profile of a username, whose case does not matter.
// Absence is token.ErrNotFound.
func (t *Table) UserByName(ctx context.Context, username string) (principal.User, error) {
	if username == "" {
		return principal.User{}, token.ErrNotFound
	}
	it, err := t.get(ctx, usernameKey(username))
	if err != nil {
		return principal.User{}, err
	}
	r := reader{item: it}
	id := token.OwnerID(r.number("uid"))
	if r.err != nil {
		return principal.User{}, r.err
	}
	user, err := t.User(ctx, id)
	if err == nil && !strings.EqualFold(user.Username, username) {
		return principal.User{}, fmt.Errorf("%w: a username names account %s, which has another", token.ErrCorrupt, id)
	}
	return user, err
}

// Users hands the profiles of ids to each, in no order. Absent ones are
// passed over.
func (t *Table) Users(ctx context.Context, ids []token.OwnerID, each func(principal.User)) error {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = profileKey(id)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	for _, it := range items {
		user, err := readProfile(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		each(user)
	}
	return nil
}
