package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// A Change is what is wanted of an account. Nil fields stay as they are.
type Change struct {
	Username *string
	Name     *string
	Email    *string
	Note     *string
	Admin    *bool
	External *bool
}

var (
	// ErrBot means that an account belongs to a project or group token, with
	// which it is made, changed and deleted.
	ErrBot = fmt.Errorf("%w: account of a token", token.ErrForbidden)
	// ErrSelfDeactivated means that an administrator tried to deactivate
	// themselves.
	ErrSelfDeactivated = fmt.Errorf("%w: cannot deactivate oneself", token.ErrForbidden)
	// ErrSelfDeleted means that an administrator tried to delete themselves.
	ErrSelfDeleted = fmt.Errorf("%w: cannot delete oneself", token.ErrForbidden)
	// ErrBlockedAlready means that a blocked account cannot be deactivated.
	ErrBlockedAlready = fmt.Errorf("%w: account is blocked", token.ErrForbidden)
	// ErrSoleOwner means that a group would be left without an owner.
	ErrSoleOwner = fmt.Errorf("%w: sole owner of a group", token.ErrConflict)
)

// changeTries is how many other changes at the same time one change outlasts.
const changeTries = 5

// Update changes an account, as administrators may; others get
// token.ErrForbidden. Errors: token.ErrNotFound, Faults, ErrBot,
// token.ErrEmailTaken, token.ErrUsernameTaken, token.ErrMoved when others
// change the account all the time.
func (d *Directory) Update(ctx context.Context, by principal.Principal, id token.OwnerID, change Change) (principal.User, error) {
	if !by.User.Admin {
		return principal.User{}, token.ErrForbidden
	}
	var err error
	for range changeTries {
		var u principal.User
		if u, err = d.update(ctx, id, change); !errors.Is(err, token.ErrMoved) {
			return u, err
		}
	}
	return principal.User{}, err
}

func (d *Directory) update(ctx context.Context, id token.OwnerID, change Change) (principal.User, error) {
	before, err := d.Reader.User(ctx, id)
	switch {
	case err != nil:
		return principal.User{}, err
	case before.Bot:
		return principal.User{}, ErrBot
	}
	after := before
	set(&after.Username, change.Username)
	set(&after.Name, change.Name)
	set(&after.Email, change.Email)
	set(&after.Note, change.Note)
	set(&after.Admin, change.Admin)
	set(&after.External, change.External)
	if faults := (Candidate{Username: after.Username, Name: after.Name, Email: after.Email}).faults(); len(faults) > 0 {
		return principal.User{}, faults
	}
	return after, d.Store.UpdateUser(audit.Expect(ctx, d.Clock.Now(), changes(before, after)...), before, after)
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Delete removes an account, as administrators may; others get
// token.ErrForbidden. All its tokens end with the answer, its memberships end,
// and what it did is shown as the ghost's from then on. Errors:
// token.ErrNotFound, ErrSelfDeleted, ErrBot, ErrSoleOwner.
//
// The account itself goes first. When the rest fails, another call finds it
// gone, ends what was left, and succeeds.
func (d *Directory) Delete(ctx context.Context, by principal.Principal, id token.OwnerID) error {
	switch {
	case !by.User.Admin:
		return token.ErrForbidden
	case id == by.User.ID:
		return ErrSelfDeleted
	}
	user, err := d.Reader.User(ctx, id)
	switch {
	case errors.Is(err, token.ErrNotFound):
		some, err := d.Store.LeaveAll(ctx, id)
		if err == nil && !some {
			return token.ErrNotFound
		}
		return err
	case err != nil:
		return err
	case user.Bot:
		return ErrBot
	}
	sole, err := d.soleOwner(ctx, id)
	switch {
	case err != nil:
		return err
	case sole:
		return ErrSoleOwner
	}
	if err := d.Store.DeleteUser(d.expect(byAdministrator(ctx), audit.UserDeleted, user), user); err != nil {
		return err
	}
	_, err = d.Store.LeaveAll(ctx, id)
	return err
}

// soleOwner reports whether a group has no other owner than this account.
func (d *Directory) soleOwner(ctx context.Context, id token.OwnerID) (bool, error) {
	if d.Resources == nil {
		return false, nil
	}
	now := d.Clock.Now()
	memberships, err := d.Resources.Memberships(ctx, id)
	if err != nil {
		return false, err
	}
	for _, m := range memberships {
		if m.LevelAt(now) < token.Owner {
			continue
		}
		res, err := d.Resources.Resource(ctx, m.Resource)
		switch {
		case errors.Is(err, token.ErrNotFound), err == nil && res.Kind != principal.Group:
			continue
		case err != nil:
			return false, err
		}
		members, err := d.Resources.Members(ctx, m.Resource)
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(members, func(other principal.Member) bool {
			return other.User != id && other.LevelAt(now) >= token.Owner
		}) {
			return true, nil
		}
	}
	return false, nil
}

// Deactivate makes an account dormant, as administrators may; others get
// token.ErrForbidden. Its tokens stop working at once. It reports whether this
// call changed anything. Errors: token.ErrNotFound, ErrSelfDeactivated,
// ErrBlockedAlready.
func (d *Directory) Deactivate(ctx context.Context, by principal.Principal, id token.OwnerID) (bool, error) {
	if by.User.Admin && id == by.User.ID {
		return false, ErrSelfDeactivated
	}
	changed, err := d.move(ctx, by, id, principal.Deactivated, func(s principal.State) bool { return s == principal.Active })
	if err != nil || changed {
		return changed, err
	}
	user, err := d.Reader.User(ctx, id)
	switch {
	case err != nil:
		return false, err
	case user.State != principal.Deactivated:
		return false, ErrBlockedAlready
	default:
		return false, nil
	}
}

// Activate undoes Deactivate. An active account is left as it is, a blocked one
// is ErrBlockedAlready.
func (d *Directory) Activate(ctx context.Context, by principal.Principal, id token.OwnerID) error {
	changed, err := d.move(ctx, by, id, principal.Active, func(s principal.State) bool { return s == principal.Deactivated })
	if err != nil || changed {
		return err
	}
	user, err := d.Reader.User(ctx, id)
	if err == nil && user.State != principal.Active {
		return ErrBlockedAlready
	}
	return err
}

// Authors returns the accounts of ids; the ghost stands for those who were
// deleted. Id 0, the console's, is nobody.
func (d *Directory) Authors(ctx context.Context, ids ...token.OwnerID) (map[token.OwnerID]principal.User, error) {
	authors := map[token.OwnerID]principal.User{}
	var unknown []token.OwnerID
	for _, id := range ids {
		if _, seen := authors[id]; id != 0 && !seen {
			authors[id] = principal.Ghost()
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return authors, nil
	}
	err := d.Reader.Users(ctx, unknown, func(u principal.User) { authors[u.ID] = u })
	return authors, err
}
