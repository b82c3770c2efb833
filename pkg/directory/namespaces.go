package directory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A Membership is an account's direct membership in a project or group.
type Membership struct {
	Project project.Project
	Level   project.Level
}

// ListMemberships returns limit memberships of an account from offset on, by ascending id of the project
// or group, and their number. kind is "" for both kinds. Only administrators may. Errors:
// fault.ErrForbidden, fault.ErrNotFound.
func (d *Finder) ListMemberships(ctx context.Context, by principal.Principal, id account.ID, kind project.Kind, offset, limit int) ([]Membership, int, error) {
	if !by.Account.Admin {
		return nil, 0, fault.ErrForbidden
	}
	if _, err := d.find.Reader.Account(ctx, id); err != nil {
		return nil, 0, err
	}
	l, err := d.levelsOf(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	var ids []project.ID
	for in := range l {
		ids = append(ids, in)
	}
	var found []Membership
	err = d.find.Projects.ProjectsByID(ctx, ids, func(proj project.Project) {
		if kind == "" || proj.Kind == kind {
			found = append(found, Membership{proj, l[proj.ID]})
		}
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(found, func(a, b Membership) int { return cmp.Compare(a.Project.ID, b.Project.ID) })
	return found[min(offset, len(found)):min(offset+limit, len(found))], len(found), nil
}

// A NamespaceView is a group, or with Owner an account, in which projects can lie.
type NamespaceView struct {
	Group View
	Owner account.Account // the zero Account for a group
}

// A NamespaceFilter narrows a list of namespaces. Zero fields do not narrow.
type NamespaceFilter struct {
	Search string // part of the name or the path
	// Owned limits to what the caller owns.
	Owned bool
	// TopLevel leaves out groups in groups.
	TopLevel bool
}

// ListNamespaces returns a part of the namespaces: the caller's own and the groups that the caller reaches,
// for administrators all accounts and groups. Accounts come first, each by ascending id. For an
// administrator it reads about as many accounts, projects and groups as the part has, or as many as a part
// may examine. Errors: listing.ErrPlace, listing.ErrDeep.
func (d *Finder) ListNamespaces(ctx context.Context, by principal.Principal, f NamespaceFilter, want listing.Want) (listing.Part[NamespaceView], error) {
	none := listing.Part[NamespaceView]{}
	if by.Account.Admin && !f.Owned {
		return d.everyNamespace(ctx, f, want)
	}
	var found []NamespaceView
	if f.matchesAccount(by.Account) {
		found = append(found, NamespaceView{Owner: by.Account})
	}
	filter := ProjectFilter{Kind: project.KindGroup, TopLevel: f.TopLevel}
	if f.Owned {
		filter.MinLevel = project.Owner
	}
	const every = 1 << 31
	groups, err := d.ListProjects(ctx, by, filter, ProjectSort{Ascending: true}, listing.ByNumber(0, every))
	if err != nil {
		return none, err
	}
	for _, group := range groups.Entries {
		if f.matchesGroup(group.Project) {
			found = append(found, NamespaceView{Group: group})
		}
	}
	return sorted(found, order{}, NamespaceView.place, want)
}

// Keys of places in a list of namespaces.
const (
	accountKey = "account"
	groupKey   = "group" // behind it
)

func (v NamespaceView) place() place {
	if v.Owner.ID != 0 {
		return place{accountKey, int64(v.Owner.ID)}
	}
	return place{groupKey, int64(v.Group.Project.ID)}
}

func (f NamespaceFilter) matchesAccount(acct account.Account) bool {
	return !acct.Bot && (contains(acct.Username, f.Search) || contains(acct.Name, f.Search))
}

func (f NamespaceFilter) matchesGroup(group project.Project) bool {
	return group.Kind == project.KindGroup && (!f.TopLevel || group.Parent() == 0) && (contains(group.FullPath, f.Search) || contains(group.Name, f.Search))
}

// everyNamespace is ListNamespaces for administrators.
func (d *Finder) everyNamespace(ctx context.Context, f NamespaceFilter, want listing.Want) (listing.Part[NamespaceView], error) {
	none := listing.Part[NamespaceView]{}
	lastAccount, _, err := d.find.Reader.CountAccounts(ctx)
	if err != nil {
		return none, err
	}
	lastProject, err := d.find.Projects.LastProjectID(ctx)
	if err != nil {
		return none, err
	}
	behind, err := placeOf(want.Place)
	if err != nil {
		return none, err
	}
	accts := as(d.accountsByID(int64(lastAccount), Filter{}, Sort{Ascending: true}), func(acct account.Account) NamespaceView { return NamespaceView{Owner: acct} })
	accts.key, accts.matches = accountKey, func(v NamespaceView) bool { return f.matchesAccount(v.Owner) }
	groups := as(d.projectsByID(int64(lastProject), ProjectFilter{}, ProjectSort{Ascending: true}), func(proj project.Project) NamespaceView { return NamespaceView{Group: View{Project: proj}} })
	groups.key, groups.matches = groupKey, func(v NamespaceView) bool { return f.matchesGroup(v.Group.Project) }

	var part listing.Part[NamespaceView]
	if accts.last+groups.last <= listing.MaxByPlace && !want.ByPlace {
		part, err = wholly(ctx, want, accts, groups)
	} else {
		picker := listing.NewPicker[NamespaceView](want)
		rest := false
		for _, list := range []byID[NamespaceView]{accts, groups} {
			if behind.key > list.key {
				continue
			}
			if rest, err = list.walk(ctx, list.start(behind), picker, want.ByPlace); err != nil {
				return none, err
			}
			behind = place{}
			if rest {
				break
			}
		}
		part, err = picker.Part(rest && want.ByPlace)
	}
	if err != nil {
		return none, err
	}
	return d.withGroups(ctx, part)
}

// wholly returns a part of short lists, which lie one behind the other.
func wholly(ctx context.Context, want listing.Want, lists ...byID[NamespaceView]) (listing.Part[NamespaceView], error) {
	var all []NamespaceView
	for _, list := range lists {
		some, err := list.every(ctx)
		if err != nil {
			return listing.Part[NamespaceView]{}, err
		}
		all = append(all, some...)
	}
	return sorted(all, order{}, NamespaceView.place, want)
}

// withGroups adds the details of the groups of a part.
func (d *Finder) withGroups(ctx context.Context, part listing.Part[NamespaceView]) (listing.Part[NamespaceView], error) {
	var groups []project.Project
	for _, v := range part.Entries {
		if v.Owner.ID == 0 {
			groups = append(groups, v.Group.Project)
		}
	}
	views, err := d.views(ctx, groups, nil)
	if err != nil {
		return listing.Part[NamespaceView]{}, err
	}
	part.Entries = slices.DeleteFunc(part.Entries, func(v NamespaceView) bool { return v.Owner.ID == 0 })
	for _, view := range views {
		part.Entries = append(part.Entries, NamespaceView{Group: view})
	}
	return part, nil
}

func contains(text, search string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(search))
}

// GetNamespace returns the namespace of an account or a group. ref is an id of a group, or the path of a
// group or a username; owner is the account for another id. What the caller may not see is
// ErrNoNamespace.
func (d *Finder) GetNamespace(ctx context.Context, by principal.Principal, ref string, owner account.ID) (NamespaceView, error) {
	if owner == 0 {
		group, err := d.GetProject(ctx, by, project.KindGroup, ref)
		if !errors.Is(err, fault.ErrNotFound) {
			return NamespaceView{Group: group}, err
		}
		acct, err := d.find.Reader.AccountByName(ctx, ref)
		if err != nil {
			return NamespaceView{}, asNoNamespace(err)
		}
		owner = acct.ID
	}
	acct, err := d.Get(ctx, by, owner)
	if err != nil || acct.Bot || acct.ID == account.GhostID {
		return NamespaceView{}, asNoNamespace(cmp.Or(err, ErrNoNamespace))
	}
	return NamespaceView{Owner: acct}, nil
}

// maxSuggestions is how many other names are tried for one that is taken.
const maxSuggestions = 20

// NameTaken reports whether no group can get a path in a group, or with 0 at the root, and if so suggests
// another one, or "". To somebody who may make no group at the root it tells no more than GetNamespace, and a
// group that is hidden from the caller looks empty.
func (d *Finder) NameTaken(ctx context.Context, by principal.Principal, path string, in project.ID) (taken bool, free string, err error) {
	above := ""
	if in != 0 {
		access, err := principal.FindAccess(ctx, d.find.Projects, by, project.KindGroup, in.String(), d.find.Clock.Now())
		if err != nil {
			return false, "", unlessMissing(err)
		}
		above = access.Project.FullPath + "/"
	}
	if taken, err = d.nameTaken(ctx, by, above, path); !taken || err != nil {
		return false, "", err
	}
	for n := range maxSuggestions {
		free = path + strconv.Itoa(n+1)
		if len(free) > maxNameLength {
			break
		}
		if again, err := d.nameTaken(ctx, by, above, free); !again || err != nil {
			return true, free, err
		}
	}
	return true, "", nil
}

// nameTaken reports whether no group can get a path below above, which is "" or ends in a slash.
func (d *Finder) nameTaken(ctx context.Context, by principal.Principal, above, path string) (bool, error) {
	if !validUsername(path) || len(path) > maxNameLength { // nothing has it
		return false, nil
	}
	if above == "" && reservedPath(path) {
		return true, nil
	}
	if above == "" && (!mayMake(by) || by.Account.NoGroups) {
		_, err := d.GetNamespace(ctx, by, path, 0)
		return err == nil, unlessMissing(err)
	}
	_, err := d.find.Projects.ProjectByPath(ctx, above+path)
	if above == "" && errors.Is(err, fault.ErrNotFound) { // usernames are there too
		_, err = d.find.Reader.AccountByName(ctx, path)
	}
	return err == nil, unlessMissing(err)
}

// unlessMissing returns err, or nil for something that is missing.
func unlessMissing(err error) error {
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	return err
}

func asNoNamespace(err error) error {
	if errors.Is(err, fault.ErrNotFound) {
		return ErrNoNamespace
	}
	return err
}
