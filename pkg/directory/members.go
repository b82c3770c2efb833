package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A MemberReader finds memberships, including expired ones, with consistent reads.
type MemberReader interface {
	// Members returns a project's direct members by ascending account id, including those of
	// deleted accounts.
	Members(ctx context.Context, pid project.ID) ([]project.Member, error)
	// Memberships returns the direct memberships of an account, by ascending project id.
	Memberships(ctx context.Context, acct account.ID) ([]project.Member, error)
	// MembershipsIn returns those of them that are in some projects, in no order.
	MembershipsIn(ctx context.Context, acct account.ID, ids []project.ID) ([]project.Member, error)
}

// A MemberStore changes memberships together with the events, all or nothing.
type MemberStore interface {
	// AddMember writes m. It replaces over, unless that is the zero Member. It returns
	// fault.ErrTaken if the account is already a member or over has changed, and fault.ErrNotFound
	// if the account is gone.
	AddMember(ctx context.Context, m, over project.Member, added audit.Event) error
	// ChangeMember turns before into after, and RemoveMember ends m. Both require that the member
	// is still as given, and so is remaining, unless that is the zero Member; otherwise they return
	// fault.ErrMoved.
	ChangeMember(ctx context.Context, before, after, remaining project.Member, changed []audit.Event) error
	RemoveMember(ctx context.Context, m, remaining project.Member, removed audit.Event) error
}

// A MemberView is a membership as clients see it.
type MemberView struct {
	Member  project.Member
	Account account.Account
	// Author is the account that made the membership: the ghost for a deleted account, the zero
	// Account if unknown.
	Author account.Account
}

var (
	// ErrNoMember means that an account is not a member now.
	ErrNoMember = fmt.Errorf("%w: member", fault.ErrNotFound)
	// ErrNoAccount means that the account to add does not exist or is hidden from the caller.
	ErrNoAccount = fmt.Errorf("%w: account", fault.ErrNotFound)
	// ErrMemberExists means that an account is already a member.
	ErrMemberExists = fmt.Errorf("%w: member", fault.ErrTaken)
	// ErrLastOwner means that a group would lose its last owner.
	ErrLastOwner = fmt.Errorf("%w: last owner of a group", fault.ErrForbidden)
	// ErrNamespaceOwner means that the owner of a project's namespace would no longer own the
	// project.
	ErrNamespaceOwner = fmt.Errorf("%w: owner of the namespace", fault.ErrForbidden)
	// ErrBotMember means that the member is a bot, whose membership ends only with its token.
	ErrBotMember = fmt.Errorf("%w: member is a bot", fault.ErrForbidden)
)

// A MemberFilter narrows a list of members. Zero fields do not narrow.
type MemberFilter struct {
	Search  string // part of name or username
	Only    []account.ID
	Without []account.ID
	// Inherited adds the members of the groups above.
	Inherited bool
}

func (f MemberFilter) matches(u account.Account) bool {
	contains := func(value string) bool {
		return strings.Contains(strings.ToLower(value), strings.ToLower(f.Search))
	}
	return (contains(u.Name) || contains(u.Username)) &&
		(len(f.Only) == 0 || slices.Contains(f.Only, u.ID)) && !slices.Contains(f.Without, u.ID)
}

// ListMembers returns limit members of the project ref from offset on, by account id, and the
// number of matches. With inherited members, each account appears once, with its highest level.
// Expired memberships and deleted accounts are left out. Errors are those of principal.FindAccess.
func (d *Finder) ListMembers(ctx context.Context, by principal.Principal, kind project.Kind, ref string,
	f MemberFilter, offset, limit int) ([]MemberView, int, error) {
	now := d.find.Clock.Now()
	access, err := principal.FindAccess(ctx, d.find.Projects, by, kind, ref, now)
	if err != nil {
		return nil, 0, err
	}
	where := []project.ID{access.Project.ID}
	if f.Inherited {
		where = append(where, access.Project.Ancestors...)
	}
	members, err := d.membersOf(ctx, where, now)
	if err != nil {
		return nil, 0, err
	}
	accts, err := d.accountsOf(ctx, accountIDs(members))
	if err != nil {
		return nil, 0, err
	}
	members = slices.DeleteFunc(members, func(m project.Member) bool {
		u, there := accts[m.Account]
		return !there || !f.matches(u)
	})
	total := len(members)
	views, err := d.memberViews(ctx, members[min(offset, total):min(offset+limit, total)], accts)
	return views, total, err
}

// membersOf returns the members of any of these projects at now, by account id. Each account
// appears once, with its highest level; among equal levels the first project wins.
func (d *Finder) membersOf(ctx context.Context, projects []project.ID, now time.Time) ([]project.Member, error) {
	best := map[account.ID]project.Member{}
	for _, id := range projects {
		members, err := d.find.Projects.Members(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if m.LevelAt(now) > best[m.Account].Level {
				best[m.Account] = m
			}
		}
	}
	all := make([]project.Member, 0, len(best))
	for _, m := range best {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b project.Member) int { return cmp.Compare(a.Account, b.Account) })
	return all, nil
}

func accountIDs(members []project.Member) []account.ID {
	ids := make([]account.ID, len(members))
	for i, m := range members {
		ids[i] = m.Account
	}
	return ids
}

// memberViews adds the authors of members. accts holds the members' accounts.
func (d *Finder) memberViews(ctx context.Context, members []project.Member, accts accounts) ([]MemberView, error) {
	var authors []account.ID
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
		views[i] = MemberView{Member: m, Account: accts[m.Account], Author: known.author(m.CreatedBy)}
	}
	return views, nil
}

// GetMember returns one member of the project ref: a direct member, or with inherited the
// membership with the highest level. Errors: those of principal.FindAccess, ErrNoMember.
func (d *Finder) GetMember(ctx context.Context, by principal.Principal, kind project.Kind, ref string, acct account.ID, inherited bool) (MemberView, error) {
	now := d.find.Clock.Now()
	access, err := principal.FindAccess(ctx, d.find.Projects, by, kind, ref, now)
	if err != nil {
		return MemberView{}, err
	}
	standing, member, err := d.memberOf(ctx, access.Project, acct)
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
	if best.LevelAt(now) == project.NoLevel {
		return MemberView{}, ErrNoMember
	}
	views, err := d.memberViews(ctx, []project.Member{best}, accounts{member.ID: member})
	if err != nil {
		return MemberView{}, err
	}
	return views[0], nil
}

// memberOf returns an account and its standing in a project. A missing account is ErrNoMember.
func (d *Finder) memberOf(ctx context.Context, proj project.Project, acct account.ID) (project.Standing, account.Account, error) {
	member, err := d.find.Reader.Account(ctx, acct)
	if errors.Is(err, fault.ErrNotFound) {
		err = ErrNoMember
	}
	if err != nil {
		return project.Standing{}, account.Account{}, err
	}
	standing, err := d.find.Projects.Standing(ctx, proj, acct)
	return standing, member, err
}

// manage returns the caller's access to a project whose members the caller may change.
func (d *Finder) manage(ctx context.Context, by principal.Principal, kind project.Kind, ref string) (principal.Access, error) {
	access, err := principal.FindAccess(ctx, d.find.Projects, by, kind, ref, d.find.Clock.Now())
	if err == nil && !access.AtLeast(kind.ManageLevel()) {
		err = fault.ErrForbidden
	}
	return access, err
}

// CheckManager returns nil if the caller manages the project ref. Errors: those of principal.FindAccess,
// fault.ErrForbidden.
func (d *Finder) CheckManager(ctx context.Context, by principal.Principal, kind project.Kind, ref string) error {
	_, err := d.manage(ctx, by, kind, ref)
	return err
}

// An Addition is a membership to create.
type Addition struct {
	// Account is the account's id; if it is 0, Username names the account. Only administrators may
	// name by id, or name a bot, with whom they share no project or group.
	Account   account.ID
	Username  string
	Level     project.Level
	ExpiresOn clock.Day
}

// AddMember makes an account a member of the project ref. The caller must manage the project and
// cannot give a higher level than their own. The new membership replaces an expired one. Errors:
// those of principal.FindAccess, fault.ErrForbidden, fault.Breaches, ErrNoAccount, ErrMemberExists.
func (d *Directory) AddMember(ctx context.Context, by principal.Principal, kind project.Kind, ref string, a Addition) (MemberView, error) {
	access, err := d.manage(ctx, by, kind, ref)
	if err != nil {
		return MemberView{}, err
	}
	now := d.find.Clock.Now()
	if err := checkMember(a.Level, a.ExpiresOn, now); err != nil {
		return MemberView{}, err
	}
	if !access.AtLeast(a.Level) {
		return MemberView{}, fault.ErrForbidden
	}
	acct, err := d.wanted(ctx, by, a)
	if err != nil {
		return MemberView{}, err
	}
	if acct.Bot {
		return MemberView{}, fault.Breaches{{Field: "account", Rule: fault.NoBots}}
	}
	standing, err := d.find.Projects.Standing(ctx, access.Project, acct.ID)
	if err != nil {
		return MemberView{}, err
	}
	if standing.Direct.LevelAt(now) != project.NoLevel {
		return MemberView{}, ErrMemberExists
	}
	m := project.Member{
		Project: access.Project.ID, Account: acct.ID, Level: a.Level, ExpiresOn: a.ExpiresOn,
		CreatedAt: now, CreatedBy: by.Account.ID,
	}
	switch err := d.store.AddMember(ctx, m, standing.Direct, added(now, by, access.Project, acct, m.Level)); {
	case errors.Is(err, fault.ErrTaken):
		return MemberView{}, ErrMemberExists
	case errors.Is(err, project.ErrNoProject):
		return MemberView{}, kind.Missing()
	case errors.Is(err, fault.ErrNotFound):
		return MemberView{}, ErrNoAccount
	case err != nil:
		return MemberView{}, err
	}
	return MemberView{Member: m, Account: acct, Author: by.Account}, nil
}

// wanted returns the account of an addition. The reply shows its names and state, so people who
// are not administrators must know it already: by its username, which they have from its owner, or
// from a project or group that they share. Ids can be counted through, and so can the names of bots.
func (d *Finder) wanted(ctx context.Context, by principal.Principal, a Addition) (acct account.Account, err error) {
	if a.Account != 0 {
		acct, err = d.find.Reader.Account(ctx, a.Account)
	} else {
		acct, err = d.find.Reader.AccountByName(ctx, a.Username)
	}
	known := by.Account.Admin || a.Account == 0 && !acct.Bot
	if err == nil && !known {
		known, err = d.together(ctx, by.Account.ID, acct.ID)
	}
	if errors.Is(err, fault.ErrNotFound) || err == nil && (!known || acct.ID == account.GhostID) {
		return account.Account{}, ErrNoAccount
	}
	return acct, err
}

// together reports whether two accounts are members of the same project or group, directly or
// through a group above.
func (d *Finder) together(ctx context.Context, one, other account.ID) (bool, error) {
	ones, err := d.levelsOf(ctx, one)
	if err != nil {
		return false, err
	}
	others, err := d.levelsOf(ctx, other)
	if err != nil {
		return false, err
	}
	// Everything that both reach lies at or below one's membership and at or below the other's, so
	// one of these two lies at or below the other.
	below := func(these, those levels) (found bool, err error) {
		ids := slices.Collect(maps.Keys(these))
		err = d.find.Projects.ProjectsByID(ctx, ids, func(proj project.Project) {
			found = found || those.of(proj) != project.NoLevel
		})
		return found, err
	}
	found, err := below(ones, others)
	if err == nil && !found {
		found, err = below(others, ones)
	}
	return found, err
}

// checkMember reports every rule that a membership would break.
func checkMember(level project.Level, expires clock.Day, now time.Time) error {
	var broken fault.Breaches
	if !slices.Contains(project.Levels, level) {
		broken.Add("level", fault.NotInList, nil)
	}
	if today := clock.DayOf(now); !expires.IsZero() && !expires.After(today) {
		broken.Add("expires_on", fault.TooEarly, today)
	}
	return broken.Err()
}

// maxTries bounds how often a change of a member is decided again after a concurrent change.
const maxTries = 5

// settle calls change until no concurrent change interferes, at most maxTries times.
func settle(change func() error) error {
	var err error
	for range maxTries {
		if err = change(); !errors.Is(err, fault.ErrMoved) {
			return err
		}
	}
	return err
}

// ChangeMember gives a direct member another level and, unless expires is nil, another last day.
// The caller must manage the project and cannot affect a higher level than their own. Errors: those
// of principal.FindAccess, fault.ErrForbidden and its children, fault.Breaches, ErrNoMember.
func (d *Directory) ChangeMember(ctx context.Context, by principal.Principal, kind project.Kind, ref string,
	acct account.ID, level project.Level, expires *clock.Day) (view MemberView, err error) {
	err = settle(func() error {
		view, err = d.changeMember(ctx, by, kind, ref, acct, level, expires)
		return err
	})
	return view, err
}

func (d *Directory) changeMember(ctx context.Context, by principal.Principal, kind project.Kind, ref string,
	acct account.ID, level project.Level, expires *clock.Day) (MemberView, error) {
	access, err := d.manage(ctx, by, kind, ref)
	if err != nil {
		return MemberView{}, err
	}
	now := d.find.Clock.Now()
	var until clock.Day
	if expires != nil {
		until = *expires
	}
	if err := checkMember(level, until, now); err != nil {
		return MemberView{}, err
	}
	before, member, err := d.changeable(ctx, access, acct, now)
	if err != nil {
		return MemberView{}, err
	}
	if !access.AtLeast(before.Level) || !access.AtLeast(level) {
		return MemberView{}, fault.ErrForbidden
	}
	remaining, err := d.remainingOwner(ctx, access.Project, before, level, now)
	if err != nil {
		return MemberView{}, err
	}
	after := before
	if after.Level = level; expires != nil {
		after.ExpiresOn = until
	}
	// Read the author before the write, because nothing may fail after the commit.
	views, err := d.memberViews(ctx, []project.Member{after}, accounts{acct: member})
	if err != nil {
		return MemberView{}, err
	}
	changed := memberChanges(now, by, access.Project, member, before, after)
	if len(changed) == 0 {
		return views[0], nil
	}
	return views[0], d.store.ChangeMember(ctx, before, after, remaining, changed)
}

// changeable returns a direct member that may be changed, with its account.
func (d *Finder) changeable(ctx context.Context, access principal.Access, acct account.ID, now time.Time) (project.Member, account.Account, error) {
	standing, member, err := d.memberOf(ctx, access.Project, acct)
	switch {
	case err != nil:
		return project.Member{}, account.Account{}, err
	case standing.Direct.LevelAt(now) == project.NoLevel:
		return project.Member{}, account.Account{}, ErrNoMember
	case member.Bot:
		return project.Member{}, account.Account{}, ErrBotMember
	case access.Project.Owner == acct:
		return project.Member{}, account.Account{}, ErrNamespaceOwner
	default:
		return standing.Direct, member, nil
	}
}

// remainingOwner returns the member who stays a group's owner when m gets another level. It is the
// zero Member unless m stops being an owner of a group. Owners of the groups above count. Without
// any it returns ErrLastOwner. The store changes m only while the other member is unchanged, so
// that of two owners who leave at once one stays.
func (d *Finder) remainingOwner(ctx context.Context, proj project.Project, m project.Member, level project.Level, now time.Time) (project.Member, error) {
	if proj.Kind != project.KindGroup || m.LevelAt(now) < project.Owner || level >= project.Owner {
		return project.Member{}, nil
	}
	var owners []project.Member
	for _, id := range append([]project.ID{proj.ID}, proj.Ancestors...) {
		members, err := d.find.Projects.Members(ctx, id)
		if err != nil {
			return project.Member{}, err
		}
		for _, other := range members {
			if other.LevelAt(now) >= project.Owner && (other.Project != m.Project || other.Account != m.Account) {
				owners = append(owners, other)
			}
		}
	}
	accts, err := d.accountsOf(ctx, accountIDs(owners))
	if err != nil {
		return project.Member{}, err
	}
	for _, other := range owners {
		if u, there := accts[other.Account]; there && !u.Bot && u.Usable() == nil {
			return other, nil
		}
	}
	return project.Member{}, ErrLastOwner
}

// RemoveMember ends a direct membership and returns the project. The member may do so, and callers
// who manage the project, for levels up to their own. With below, it also ends the memberships in
// everything that lies in the group. Errors: those of principal.FindAccess, fault.ErrForbidden and
// its children, ErrNoMember.
func (d *Directory) RemoveMember(ctx context.Context, by principal.Principal, kind project.Kind, ref string, acct account.ID, below bool) (pid project.ID, err error) {
	err = settle(func() error {
		pid, err = d.removeMember(ctx, by, kind, ref, acct, below)
		return err
	})
	return pid, err
}

func (d *Directory) removeMember(ctx context.Context, by principal.Principal, kind project.Kind, ref string, acct account.ID, below bool) (project.ID, error) {
	now := d.find.Clock.Now()
	access, err := principal.FindAccess(ctx, d.find.Projects, by, kind, ref, now)
	if err != nil {
		return 0, err
	}
	if acct != by.Account.ID && !access.AtLeast(kind.ManageLevel()) {
		return 0, fault.ErrForbidden
	}
	m, member, err := d.changeable(ctx, access, acct, now)
	if err != nil {
		return 0, err
	}
	if acct != by.Account.ID && !access.AtLeast(m.Level) {
		return 0, fault.ErrForbidden
	}
	// The requested membership goes last. If this fails half-way, the membership still exists and
	// the next try finds the rest.
	var removals []removal
	if below && kind == project.KindGroup {
		if removals, err = d.below(ctx, access.Project, acct, now); err != nil {
			return 0, err
		}
	}
	own, err := d.removal(ctx, access.Project, m, now)
	if err != nil {
		return 0, err
	}
	for _, r := range append(removals, own) {
		if err := d.store.RemoveMember(ctx, r.member, r.remaining, removed(now, by, r.project, member, r.member.Level)); err != nil {
			return 0, err
		}
	}
	return access.Project.ID, nil
}

// A removal is a membership to end, and the owner who remains.
type removal struct {
	project           project.Project
	member, remaining project.Member
}

func (d *Finder) removal(ctx context.Context, proj project.Project, m project.Member, now time.Time) (removal, error) {
	remaining, err := d.remainingOwner(ctx, proj, m, project.NoLevel, now)
	return removal{proj, m, remaining}, err
}

// below returns the removals of an account from everything in a group.
func (d *Finder) below(ctx context.Context, group project.Project, acct account.ID, now time.Time) ([]removal, error) {
	memberships, err := d.find.Projects.Memberships(ctx, acct)
	if err != nil {
		return nil, err
	}
	ids := make([]project.ID, len(memberships))
	for i, m := range memberships {
		ids[i] = m.Project
	}
	inside := map[project.ID]project.Project{}
	err = d.find.Projects.ProjectsByID(ctx, ids, func(proj project.Project) {
		if slices.Contains(proj.Ancestors, group.ID) {
			inside[proj.ID] = proj
		}
	})
	if err != nil {
		return nil, err
	}
	var removals []removal
	for _, m := range memberships {
		if proj, found := inside[m.Project]; found {
			r, err := d.removal(ctx, proj, m, now)
			if err != nil {
				return nil, err
			}
			removals = append(removals, r)
		}
	}
	return removals, nil
}
