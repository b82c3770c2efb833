package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A Change is a change to an account. Nil fields stay as they are.
type Change struct {
	Username *string
	Name     *string
	Email    *string
	Note     *string
	Admin    *bool
	External *bool
	NoGroups *bool
	// Unreachable can only be taken away, by false: mails reach the address again.
	Unreachable *bool
}

var (
	// ErrBot means that an account belongs to a project or group token and can change only with it.
	ErrBot = fmt.Errorf("%w: account of a token", fault.ErrForbidden)
	// ErrSelfDeactivated means that an administrator tried to deactivate their own account.
	ErrSelfDeactivated = fmt.Errorf("%w: cannot deactivate oneself", fault.ErrForbidden)
	// ErrSelfDeleted means that an administrator tried to delete their own account.
	ErrSelfDeleted = fmt.Errorf("%w: cannot delete oneself", fault.ErrForbidden)
	// ErrBlockedAlready means that a blocked account cannot be deactivated or activated.
	ErrBlockedAlready = fmt.Errorf("%w: account is blocked", fault.ErrForbidden)
	// ErrSoleOwner means that a group would be left without an owner.
	ErrSoleOwner = fmt.Errorf("%w: sole owner of a group", fault.ErrConflict)
)

// changeTries is how often a change is tried when others change the account at the same time.
const changeTries = 5

// Update changes an account. Only administrators may. Errors: fault.ErrForbidden,
// fault.ErrNotFound, fault.Breaches, ErrBot, account.ErrEmailTaken, account.ErrUsernameTaken,
// fault.ErrMoved when others keep changing the account.
func (d *Directory) Update(ctx context.Context, by principal.Principal, id account.ID, change Change) (account.Account, error) {
	if !by.Account.Admin {
		return account.Account{}, fault.ErrForbidden
	}
	var err error
	for range changeTries {
		var u account.Account
		if u, err = d.update(ctx, by, id, change); !errors.Is(err, fault.ErrMoved) {
			return u, err
		}
	}
	return account.Account{}, err
}

func (d *Directory) update(ctx context.Context, by principal.Principal, id account.ID, change Change) (account.Account, error) {
	before, err := d.find.Reader.Account(ctx, id)
	switch {
	case err != nil:
		return account.Account{}, err
	case before.Bot:
		return account.Account{}, ErrBot
	}
	if before, err = d.withNote(ctx, before); err != nil {
		return account.Account{}, err
	}
	after := before
	set(&after.Username, change.Username)
	set(&after.Name, change.Name)
	set(&after.Email, change.Email)
	set(&after.Note, change.Note)
	set(&after.Admin, change.Admin)
	set(&after.External, change.External)
	set(&after.NoGroups, change.NoGroups)
	c := Candidate{Username: after.Username, Name: after.Name, Email: after.Email, Note: after.Note}
	err = c.check()
	if broken, ok := errors.AsType[fault.Breaches](err); ok && after.Email == before.Email && len(broken.Of("email")) == len(broken) {
		err, c.Email = nil, before.Email // an address from before there were these rules
	}
	if err != nil {
		return account.Account{}, err
	}
	if change.Unreachable != nil && *change.Unreachable {
		return account.Account{}, fault.Breaches{{Field: "unreachable", Rule: fault.NotInList}}
	}
	after.Email = c.Email
	if after.Email != before.Email || change.Unreachable != nil && before.Unreachable != "" {
		after = after.Reachable(d.find.Clock.Now())
	}
	after.Noted = after.Note != ""
	updated := changes(d.find.Clock.Now(), audit.By(by, audit.Admin), before, after)
	if len(updated) == 0 {
		return before, nil
	}
	return after, d.store.UpdateAccount(ctx, before, after, updated)
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Delete removes an account. Only administrators may. From the reply on, its tokens are refused,
// its memberships are gone, and its work is shown as the ghost's. Errors: fault.ErrForbidden,
// fault.ErrNotFound, ErrSelfDeleted, ErrBot, ErrSoleOwner.
//
// The account itself goes first. If the rest fails, another call finishes it and succeeds.
func (d *Directory) Delete(ctx context.Context, by principal.Principal, id account.ID) error {
	switch {
	case !by.Account.Admin:
		return fault.ErrForbidden
	case id == by.Account.ID:
		return ErrSelfDeleted
	}
	now, from := d.find.Clock.Now(), audit.By(by, audit.Admin)
	acct, err := d.find.Reader.Account(ctx, id)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		// The name is gone, and no username has only digits, so the id stands in.
		some, err := d.store.LeaveAll(ctx, id, audit.OfAccount(now, from, audit.MemberRemoved, account.Account{ID: id, Username: id.String()}))
		if err == nil && !some {
			return fault.ErrNotFound
		}
		return err
	case err != nil:
		return err
	case acct.Bot:
		return ErrBot
	}
	sole, err := d.soleOwner(ctx, id)
	switch {
	case err != nil:
		return err
	case sole:
		return ErrSoleOwner
	}
	if err := d.store.DeleteAccount(ctx, acct, audit.OfAccount(now, from, audit.AccountDeleted, acct)); err != nil {
		return err
	}
	_, err = d.store.LeaveAll(ctx, id, audit.OfAccount(now, from, audit.MemberRemoved, acct))
	return err
}

// soleOwner reports whether a group has no other owner than this account.
func (d *Finder) soleOwner(ctx context.Context, id account.ID) (bool, error) {
	now := d.find.Clock.Now()
	memberships, err := d.find.Projects.Memberships(ctx, id)
	if err != nil {
		return false, err
	}
	for _, m := range memberships {
		if m.LevelAt(now) < project.Owner {
			continue
		}
		proj, err := d.find.Projects.Project(ctx, m.Project)
		switch {
		case errors.Is(err, fault.ErrNotFound), err == nil && proj.Kind != project.KindGroup:
			continue
		case err != nil:
			return false, err
		}
		members, err := d.find.Projects.Members(ctx, m.Project)
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(members, func(other project.Member) bool {
			return other.Account != id && other.LevelAt(now) >= project.Owner
		}) {
			return true, nil
		}
	}
	return false, nil
}

// Deactivate makes an account dormant. Only administrators may. Its tokens stop working at once. It
// reports whether this call changed anything. Errors: fault.ErrForbidden, fault.ErrNotFound,
// ErrSelfDeactivated, ErrBlockedAlready.
func (d *Directory) Deactivate(ctx context.Context, by principal.Principal, id account.ID) (bool, error) {
	if by.Account.Admin && id == by.Account.ID {
		return false, ErrSelfDeactivated
	}
	changed, err := d.move(ctx, by, id, account.Deactivated, func(s account.State) bool { return s == account.Active })
	if err != nil || changed {
		return changed, err
	}
	acct, err := d.find.Reader.Account(ctx, id)
	switch {
	case err != nil:
		return false, err
	case acct.State != account.Deactivated:
		return false, ErrBlockedAlready
	default:
		return false, nil
	}
}

// Activate undoes Deactivate. It leaves an active account as it is and returns ErrBlockedAlready
// for a blocked one.
func (d *Directory) Activate(ctx context.Context, by principal.Principal, id account.ID) error {
	changed, err := d.move(ctx, by, id, account.Active, func(s account.State) bool { return s == account.Deactivated })
	if err != nil || changed {
		return err
	}
	acct, err := d.find.Reader.Account(ctx, id)
	if err == nil && acct.State != account.Active {
		return ErrBlockedAlready
	}
	return err
}

// Authors returns the accounts with these ids. The ghost stands for deleted ones. The result has
// nothing for 0.
func (d *Finder) Authors(ctx context.Context, ids ...account.ID) (map[account.ID]account.Account, error) {
	authors := map[account.ID]account.Account{}
	var unknown []account.ID
	for _, id := range ids {
		if _, seen := authors[id]; id != 0 && !seen {
			authors[id] = account.Ghost()
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return authors, nil
	}
	err := d.find.Reader.Accounts(ctx, unknown, func(u account.Account) { authors[u.ID] = u })
	return authors, err
}
