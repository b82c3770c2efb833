package store

import (
	"context"
	"fmt"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
)

// Account returns a profile, without its note. Absence is fault.ErrNotFound.
func (t *Reader) Account(ctx context.Context, id account.ID) (account.Account, error) {
	it, err := t.get(ctx, profileKey(id))
	if err != nil {
		return account.Account{}, err
	}
	return readProfile(it)
}

// AccountByName returns the profile of a username, in any case. Absence is fault.ErrNotFound.
func (t *Reader) AccountByName(ctx context.Context, username string) (account.Account, error) {
	if username == "" {
		return account.Account{}, fault.ErrNotFound
	}
	it, err := t.get(ctx, usernameKey(username))
	if err != nil {
		return account.Account{}, err
	}
	r := attributes{item: it}
	id := account.ID(r.number("uid"))
	if r.err != nil {
		return account.Account{}, r.err
	}
	acct, err := t.Account(ctx, id)
	if err == nil && !strings.EqualFold(acct.Username, username) {
		return account.Account{}, fmt.Errorf("%w: a username names account %s, which has another", fault.ErrCorrupt, id)
	}
	return acct, err
}

// Notes passes the notes of those accounts that have one to each, in no order.
func (t *Reader) Notes(ctx context.Context, ids []account.ID, each func(account.ID, string)) error {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = noteKey(id)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	for _, it := range items {
		r := attributes{item: it}
		id, err := account.ParseID(strings.TrimPrefix(r.text("pk"), accountPrefix))
		note := r.text("note")
		if err != nil {
			r.fault("pk")
		}
		if r.err != nil {
			t.passOver(r.err)
			continue
		}
		each(id, note)
	}
	return nil
}

// Accounts passes the existing profiles of ids to each, in no order, without their notes.
func (t *Reader) Accounts(ctx context.Context, ids []account.ID, each func(account.Account)) error {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = profileKey(id)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	for _, it := range items {
		acct, err := readProfile(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		each(acct)
	}
	return nil
}
