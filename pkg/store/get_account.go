package store

import (
	"context"
	"fmt"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/settings"
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
	return t.accountAt(ctx, usernameKey(username), func(acct account.Account) bool { return strings.EqualFold(acct.Username, username) })
}

// AccountByEmail returns the profile of a mail address, in any case. Absence is fault.ErrNotFound.
func (t *Reader) AccountByEmail(ctx context.Context, email string) (account.Account, error) {
	if email == "" {
		return account.Account{}, fault.ErrNotFound
	}
	return t.accountAt(ctx, emailKey(email), func(acct account.Account) bool { return strings.EqualFold(acct.Email, email) })
}

// AccountByIdentity returns the profile that an identity signs in as. Absence is fault.ErrNotFound.
func (t *Reader) AccountByIdentity(ctx context.Context, identity account.Identity) (account.Account, error) {
	if identity.Issuer == "" || identity.Subject == "" {
		return account.Account{}, fault.ErrNotFound
	}
	return t.accountAt(ctx, identityKey(identity), func(acct account.Account) bool { return acct.Identity == identity })
}

// accountAt returns the profile that an item for uniqueness names. One that does not have what the
// item says is fault.ErrCorrupt.
func (t *Reader) accountAt(ctx context.Context, k key, has func(account.Account) bool) (account.Account, error) {
	it, err := t.get(ctx, k)
	if err != nil {
		return account.Account{}, err
	}
	r := attributes{item: it}
	id := account.ID(r.number("uid"))
	if r.err != nil {
		return account.Account{}, r.err
	}
	acct, err := t.Account(ctx, id)
	if err == nil && !has(acct) {
		return account.Account{}, fmt.Errorf("%w: %s names account %s, which has another", fault.ErrCorrupt, r.text("sk"), id)
	}
	return acct, err
}

// AccountAndSettings returns a profile, and the administrators' settings for every token, from one
// request. Absence of the profile is fault.ErrNotFound.
func (t *Reader) AccountAndSettings(ctx context.Context, id account.ID) (account.Account, settings.Settings, error) {
	items, err := t.getPage(ctx, []key{profileKey(id), settingsKey()})
	if err != nil {
		return account.Account{}, settings.Settings{}, err
	}
	var profile, stored item
	for _, it := range items {
		r := attributes{item: it}
		if r.text("pk") == settingsPartition {
			stored = it
		} else {
			profile = it
		}
	}
	if profile == nil {
		return account.Account{}, settings.Settings{}, fault.ErrNotFound
	}
	acct, err := readProfile(profile)
	if err != nil {
		return account.Account{}, settings.Settings{}, err
	}
	set, err := t.readSettings(stored)
	return acct, set.Settings, err
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
