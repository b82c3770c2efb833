package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// A MemberReader finds memberships, those that are over included, strongly
// consistent.
type MemberReader interface {
	// Members returns a resource's direct members by ascending user id, those
	// whose account is gone included.
	Members(ctx context.Context, resource token.ResourceID) ([]principal.Member, error)
	// Memberships returns what an account is a direct member of, by ascending
	// resource id.
	Memberships(ctx context.Context, user token.OwnerID) ([]principal.Member, error)
}

// A MemberStore changes memberships, all of one or nothing.
type MemberStore interface {
	// AddMember writes m, in the place of over unless that is the zero Member.
	// It returns token.ErrTaken when the account is a member already, or over
	// is not what it was, and token.ErrNotFound when the account is gone.
	AddMember(ctx context.Context, m, over principal.Member) error
	// ChangeMember turns before into after, and RemoveMember ends m. Both do so
	// only while the member is as given, and so is another one, besides, unless
	// that is the zero Member; otherwise they return token.ErrMoved.
	ChangeMember(ctx context.Context, before, after, besides principal.Member) error
	RemoveMember(ctx context.Context, m, besides principal.Member) error
}

// A MemberView is a membership as it is shown.
type MemberView struct {
	Member principal.Member
	User   principal.User
	// Author is who made the membership: the ghost for an account that is
	// gone, the zero User when nobody is known.
	Author principal.User
}

var (
	// ErrNoMember means that an account is no member, or was one.
	ErrNoMember = fmt.Errorf("%w: member", token.ErrNotFound)
	// ErrNoUser means that an account that is to be a member is not there.
	ErrNoUser = fmt.Errorf("%w: user", token.ErrNotFound)
	// ErrMemberExists means that an account is a member already.
	ErrMemberExists = fmt.Errorf("%w: member", token.ErrTaken)
	// ErrLastOwner means that a group would be without an owner.
	ErrLastOwner = fmt.Errorf("%w: last owner of a group", token.ErrForbidden)
	// ErrNamespaceOwner means that the owner of a project's namespace would not
	// be the project's owner any more.
	ErrNamespaceOwner = fmt.Errorf("%w: owner of the namespace", token.ErrForbidden)
	// ErrBotMember means that a bot's membership would be changed, which ends
	// with its token and with nothing else.
	ErrBotMember = fmt.Errorf("%w: member is a bot", token.ErrForbidden)
)

// A MemberFilter narrows a list of members. Zero fields do not narrow.
type MemberFilter struct {
	Search  string // part of name or username
	Only    []token.OwnerID
	Without []token.OwnerID
	// Inherited adds the members of the groups above.
	Inherited bool
}

func (f MemberFilter) matches(u principal.User) bool {
	contains := func(value string) bool {
		return strings.Contains(strings.ToLower(value), strings.ToLower(f.Search))
	}
	return (contains(u.Name) || contains(u.Username)) &&
		(len(f.Only) == 0 || slices.Contains(f.Only, u.ID)) && !slices.Contains(f.Without, u.ID)
}

// ListMembers returns limit members of the resource that ref names from offset
// on, by user id, and how many match. With inherited ones each account comes
// once, with its highest level. Memberships that are over are none, and neither
// are those of accounts that are gone. Errors are those of
// principal.FindAccess.
func (d *Directory) ListMembers(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string,
	f MemberFilter, offset, limit int) ([]MemberView, int, error) {
	now := d.Clock.Now()
	access, err := principal.FindAccess(ctx, d.Resources, by, kind, ref, now)
	if err != nil {
		return nil, 0, err
	}
	where := []token.ResourceID{access.Resource.ID}
	if f.Inherited {
		where = append(where, access.Resource.Ancestors...)
	}
	members, err := d.membersOf(ctx, where, now)
	if err != nil {
		return nil, 0, err
	}
	users, err := d.accountsOf(ctx, usersOf(members))
	if err != nil {
		return nil, 0, err
	}
	members = slices.DeleteFunc(members, func(m principal.Member) bool {
		u, there := users[m.User]
		return !there || !f.matches(u)
	})
	total := len(members)
	views, err := d.memberViews(ctx, members[min(offset, total):min(offset+limit, total)], users)
	return views, total, err
}

// membersOf returns who is a member of any of resources at now, by user id, each
// once: the membership with the highest level, or the first of equal ones.
func (d *Directory) membersOf(ctx context.Context, resources []token.ResourceID, now time.Time) ([]principal.Member, error) {
	best := map[token.OwnerID]principal.Member{}
	for _, id := range resources {
		members, err := d.Resources.Members(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if m.LevelAt(now) > best[m.User].Level {
				best[m.User] = m
			}
		}
	}
	all := make([]principal.Member, 0, len(best))
	for _, m := range best {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b principal.Member) int { return cmp.Compare(a.User, b.User) })
	return all, nil
}

func usersOf(members []principal.Member) []token.OwnerID {
	ids := make([]token.OwnerID, len(members))
	for i, m := range members {
		ids[i] = m.User
	}
	return ids
}

// memberViews adds the authors of members, whose accounts are in users.
func (d *Directory) memberViews(ctx context.Context, members []principal.Member, users accounts) ([]MemberView, error) {
	var authors []token.OwnerID
	for _, m := range members {
		if m.CreatedBy != 0 {
			authors = append(authors, m.CreatedBy)
		}
	}
	known, err := d.accountsOf(ctx, authors)
	if err != nil {
		return nil, err
	}
	views := make([]MemberView, len(members))
	for i, m := range members {
		views[i] = MemberView{Member: m, User: users[m.User], Author: known.author(m.CreatedBy)}
	}
	return views, nil
}

// GetMember returns one member of the resource that ref names: a direct one, or
// with inherited the membership with the highest level. Errors: those of
// principal.FindAccess, ErrNoMember.
func (d *Directory) GetMember(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, user token.OwnerID, inherited bool) (MemberView, error) {
	now := d.Clock.Now()
	access, err := principal.FindAccess(ctx, d.Resources, by, kind, ref, now)
	if err != nil {
		return MemberView{}, err
	}
	standing, account, err := d.memberOf(ctx, access.Resource, user)
	if err != nil {
		return MemberView{}, err
	}
	best := standing.Direct
	if inherited {
		for _, m := range standing.Inherited {
			if m.LevelAt(now) > best.LevelAt(now) {
				best = m
			}
		}
	}
	if best.LevelAt(now) == token.NoLevel {
		return MemberView{}, ErrNoMember
	}
	views, err := d.memberViews(ctx, []principal.Member{best}, accounts{account.ID: account})
	if err != nil {
		return MemberView{}, err
	}
	return views[0], nil
}

// memberOf returns an account and what it is in a resource. An account that is
// not there is ErrNoMember.
func (d *Directory) memberOf(ctx context.Context, res principal.Resource, user token.OwnerID) (principal.Standing, principal.User, error) {
	account, err := d.Reader.User(ctx, user)
	if errors.Is(err, token.ErrNotFound) {
		err = ErrNoMember
	}
	if err != nil {
		return principal.Standing{}, principal.User{}, err
	}
	standing, err := d.Resources.Standing(ctx, res, user)
	return standing, account, err
}

// manage returns the caller's access to a resource whose members it may change.
func (d *Directory) manage(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string) (principal.Access, error) {
	access, err := principal.FindAccess(ctx, d.Resources, by, kind, ref, d.Clock.Now())
	if err == nil && !access.AtLeast(kind.ManageLevel()) {
		err = token.ErrForbidden
	}
	return access, err
}

// An Addition is a membership that is wanted.
type Addition struct {
	// User is who is to be a member; Username says so when User is 0.
	User      token.OwnerID
	Username  string
	Level     token.Level
	ExpiresOn token.Day
}

// AddMember makes an account a member of the resource that ref names, as who
// manages it may, with no higher level than their own. A membership that is over
// is replaced. Errors: those of principal.FindAccess, token.ErrForbidden,
// Faults, ErrNoUser, ErrMemberExists.
func (d *Directory) AddMember(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, a Addition) (MemberView, error) {
	access, err := d.manage(ctx, by, kind, ref)
	if err != nil {
		return MemberView{}, err
	}
	now := d.Clock.Now()
	if faults := memberFaults(a.Level, a.ExpiresOn, now); len(faults) > 0 {
		return MemberView{}, faults
	}
	if !access.AtLeast(a.Level) {
		return MemberView{}, token.ErrForbidden
	}
	user, err := d.wanted(ctx, a)
	if err != nil {
		return MemberView{}, err
	}
	if user.Bot {
		return MemberView{}, Faults{"user": {"project bots cannot be added to other groups / projects"}}
	}
	standing, err := d.Resources.Standing(ctx, access.Resource, user.ID)
	if err != nil {
		return MemberView{}, err
	}
	if standing.Direct.LevelAt(now) != token.NoLevel {
		return MemberView{}, ErrMemberExists
	}
	m := principal.Member{
		Resource: access.Resource.ID, User: user.ID, Level: a.Level, ExpiresOn: a.ExpiresOn,
		CreatedAt: now, CreatedBy: by.User.ID,
	}
	expected := audit.Expect(ctx, now, memberEvents(by, access.Resource, user, principal.Member{}, m)...)
	switch err := d.Resources.AddMember(expected, m, standing.Direct); {
	case errors.Is(err, token.ErrTaken):
		return MemberView{}, ErrMemberExists
	case errors.Is(err, token.ErrNotFound):
		return MemberView{}, ErrNoUser
	case err != nil:
		return MemberView{}, err
	}
	return MemberView{Member: m, User: user, Author: by.User}, nil
}

// wanted returns the account that an addition names.
func (d *Directory) wanted(ctx context.Context, a Addition) (user principal.User, err error) {
	if a.User != 0 {
		user, err = d.Reader.User(ctx, a.User)
	} else {
		user, err = d.Reader.UserByName(ctx, a.Username)
	}
	if errors.Is(err, token.ErrNotFound) || err == nil && user.ID == principal.GhostID {
		err = ErrNoUser
	}
	return user, err
}

func memberFaults(level token.Level, expires token.Day, now time.Time) Faults {
	faults := Faults{}
	if !slices.Contains(token.Levels, level) {
		faults["access_level"] = []string{"is not included in the list"}
	}
	if !expires.IsZero() && !expires.After(token.DayOf(now)) {
		faults["expires_at"] = []string{"must be after today"}
	}
	return faults
}

// maxTries bounds how often a change of a member is decided anew because what
// it was decided on has changed.
const maxTries = 5

// settle calls change until nothing it was decided on changes meanwhile.
func settle(change func() error) error {
	var err error
	for range maxTries {
		if err = change(); !errors.Is(err, token.ErrMoved) {
			return err
		}
	}
	return err
}

// ChangeMember gives a direct member another level and, unless expires is nil,
// another end. Who manages the resource may do so for levels up to their own.
// Errors: those of principal.FindAccess, token.ErrForbidden and its children,
// Faults, ErrNoMember.
func (d *Directory) ChangeMember(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string,
	user token.OwnerID, level token.Level, expires *token.Day) (view MemberView, err error) {
	err = settle(func() error {
		view, err = d.changeMember(ctx, by, kind, ref, user, level, expires)
		return err
	})
	return view, err
}

func (d *Directory) changeMember(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string,
	user token.OwnerID, level token.Level, expires *token.Day) (MemberView, error) {
	access, err := d.manage(ctx, by, kind, ref)
	if err != nil {
		return MemberView{}, err
	}
	now := d.Clock.Now()
	var until token.Day
	if expires != nil {
		until = *expires
	}
	if faults := memberFaults(level, until, now); len(faults) > 0 {
		return MemberView{}, faults
	}
	before, account, err := d.changeable(ctx, access, user, now)
	if err != nil {
		return MemberView{}, err
	}
	if !access.AtLeast(before.Level) || !access.AtLeast(level) {
		return MemberView{}, token.ErrForbidden
	}
	besides, err := d.besides(ctx, access.Resource, before, level, now)
	if err != nil {
		return MemberView{}, err
	}
	after := before
	if after.Level = level; expires != nil {
		after.ExpiresOn = until
	}
	// The author is read before the write: once that is committed, nothing may
	// fail.
	views, err := d.memberViews(ctx, []principal.Member{after}, accounts{user: account})
	if err != nil {
		return MemberView{}, err
	}
	ctx = audit.Expect(ctx, now, memberEvents(by, access.Resource, account, before, after)...)
	return views[0], d.Resources.ChangeMember(ctx, before, after, besides)
}

// changeable returns a direct member that is not as it has to be, and its
// account.
func (d *Directory) changeable(ctx context.Context, access principal.Access, user token.OwnerID, now time.Time) (principal.Member, principal.User, error) {
	standing, account, err := d.memberOf(ctx, access.Resource, user)
	switch {
	case err != nil:
		return principal.Member{}, principal.User{}, err
	case standing.Direct.LevelAt(now) == token.NoLevel:
		return principal.Member{}, principal.User{}, ErrNoMember
	case account.Bot:
		return principal.Member{}, principal.User{}, ErrBotMember
	case access.Resource.Owner == user:
		return principal.Member{}, principal.User{}, ErrNamespaceOwner
	default:
		return standing.Direct, account, nil
	}
}

// besides returns the member who remains a group's owner when m gets another
// level; nobody needs to unless m is an owner of a group and becomes none. The
// owners of the groups above will do. Without one it is ErrLastOwner. The store
// changes m only while that other member is what it is, so of two owners who go
// at once one stays.
func (d *Directory) besides(ctx context.Context, res principal.Resource, m principal.Member, level token.Level, now time.Time) (principal.Member, error) {
	if res.Kind != principal.Group || m.LevelAt(now) < token.Owner || level >= token.Owner {
		return principal.Member{}, nil
	}
	var owners []principal.Member
	for _, id := range append([]token.ResourceID{res.ID}, res.Ancestors...) {
		members, err := d.Resources.Members(ctx, id)
		if err != nil {
			return principal.Member{}, err
		}
		for _, other := range members {
			if other.LevelAt(now) >= token.Owner && (other.Resource != m.Resource || other.User != m.User) {
				owners = append(owners, other)
			}
		}
	}
	users, err := d.accountsOf(ctx, usersOf(owners))
	if err != nil {
		return principal.Member{}, err
	}
	for _, other := range owners {
		if u, there := users[other.User]; there && !u.Bot && u.Usable() == nil {
			return other, nil
		}
	}
	return principal.Member{}, ErrLastOwner
}

// RemoveMember ends a direct membership, as the member may, and who manages the
// resource for levels up to their own. With below, memberships of what lies in a
// group end with the group's. It returns the resource. Errors: those of
// principal.FindAccess, token.ErrForbidden and its children, ErrNoMember.
func (d *Directory) RemoveMember(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, user token.OwnerID, below bool) (resource token.ResourceID, err error) {
	err = settle(func() error {
		resource, err = d.removeMember(ctx, by, kind, ref, user, below)
		return err
	})
	return resource, err
}

func (d *Directory) removeMember(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, user token.OwnerID, below bool) (token.ResourceID, error) {
	now := d.Clock.Now()
	access, err := principal.FindAccess(ctx, d.Resources, by, kind, ref, now)
	if err != nil {
		return 0, err
	}
	if user != by.User.ID && !access.AtLeast(kind.ManageLevel()) {
		return 0, token.ErrForbidden
	}
	m, account, err := d.changeable(ctx, access, user, now)
	if err != nil {
		return 0, err
	}
	if user != by.User.ID && !access.AtLeast(m.Level) {
		return 0, token.ErrForbidden
	}
	// The one that was asked for goes last: whatever stops this half-way, it is
	// still there and the next try finds the rest.
	var removals []removal
	if below && kind == principal.Group {
		if removals, err = d.below(ctx, access.Resource, user, now); err != nil {
			return 0, err
		}
	}
	own, err := d.removal(ctx, access.Resource, m, now)
	if err != nil {
		return 0, err
	}
	for _, r := range append(removals, own) {
		expected := audit.Expect(ctx, now, memberEvents(by, r.resource, account, r.member, principal.Member{})...)
		if err := d.Resources.RemoveMember(expected, r.member, r.besides); err != nil {
			return 0, err
		}
	}
	return access.Resource.ID, nil
}

// A removal is a membership that ends, and that of the owner who remains.
type removal struct {
	resource        principal.Resource
	member, besides principal.Member
}

func (d *Directory) removal(ctx context.Context, res principal.Resource, m principal.Member, now time.Time) (removal, error) {
	besides, err := d.besides(ctx, res, m, token.NoLevel, now)
	return removal{res, m, besides}, err
}

// below returns the removals of an account from everything in a group.
func (d *Directory) below(ctx context.Context, group principal.Resource, user token.OwnerID, now time.Time) ([]removal, error) {
	memberships, err := d.Resources.Memberships(ctx, user)
	if err != nil {
		return nil, err
	}
	ids := make([]token.ResourceID, len(memberships))
	for i, m := range memberships {
		ids[i] = m.Resource
	}
	inside := map[token.ResourceID]principal.Resource{}
	err = d.Resources.ResourcesByID(ctx, ids, func(res principal.Resource) {
		if slices.Contains(res.Ancestors, group.ID) {
			inside[res.ID] = res
		}
	})
	if err != nil {
		return nil, err
	}
	var removals []removal
	for _, m := range memberships {
		if res, found := inside[m.Resource]; found {
			r, err := d.removal(ctx, res, m, now)
			if err != nil {
				return nil, err
			}
			removals = append(removals, r)
		}
	}
	return removals, nil
}
