package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A ProjectReader finds projects, groups and their members with consistent reads.
type ProjectReader interface {
	principal.Projects
	Tree
	MemberReader
}

// A ProjectStore makes projects and groups.
type ProjectStore interface {
	// CreateProject assigns an id to proj and writes it. Its first member is owner, unless that is
	// 0. It returns project.ErrPathTaken if the path is taken, and fault.ErrNotFound if the owner
	// or the group above does not exist, and then writes nothing.
	CreateProject(ctx context.Context, proj project.Project, owner account.ID, created audit.Event) (project.Project, error)
	// UpdateProject writes the name, description and visibility of after. It returns fault.ErrMoved if
	// the stored ones differ from before, or if the project is gone or being deleted.
	UpdateProject(ctx context.Context, before, after project.Project, updated []audit.Event) error
}

// A Tree finds projects and groups by their position.
type Tree interface {
	// ProjectsByID passes the existing projects to each, in no order.
	ProjectsByID(ctx context.Context, ids []project.ID, each func(project.Project)) error
	// InGroup and InAccount return the direct children of a group, and of an account's namespace,
	// by ascending id.
	InGroup(ctx context.Context, group project.ID) ([]project.ID, error)
	InAccount(ctx context.Context, owner account.ID) ([]project.ID, error)
	// LastProjectID returns the highest id assigned so far, or 0.
	LastProjectID(ctx context.Context) (project.ID, error)
}

// A View is a project or group as the caller sees it.
type View struct {
	Project project.Project
	// Above are the groups above it, outermost first.
	Above []project.Project
	// Owner is the account of its namespace: the ghost if that is gone, the zero Account for
	// anything outside of an account's namespace.
	Owner account.Account
	// Creator is the ghost's id if the author is gone.
	Creator account.ID
	// Direct and Inherited are the caller's levels in it and in the groups above.
	Direct, Inherited project.Level
}

// FullPath returns the path from the root, such as `acme/sub/web`.
func (v View) FullPath() string {
	if v.Owner.ID != 0 {
		return v.Owner.Username + "/" + v.Project.Path
	}
	return v.Project.FullPath
}

// FullName returns the name with the names of everything above, outermost first, such as `Acme /
// Sub / Web`.
func (v View) FullName() string {
	var names []string
	if v.Owner.ID != 0 {
		names = append(names, v.Owner.Name)
	}
	for _, group := range v.Above {
		names = append(names, group.Name)
	}
	return strings.Join(append(names, v.Project.Name), " / ")
}

// levels are an account's direct memberships that have not expired.
type levels map[project.ID]project.Level

func (l levels) inherited(proj project.Project) (level project.Level) {
	for _, group := range proj.Ancestors {
		level = max(level, l[group])
	}
	return level
}

func (l levels) of(proj project.Project) project.Level { return max(l[proj.ID], l.inherited(proj)) }

func (d *Finder) levelsOf(ctx context.Context, acct account.ID) (levels, error) {
	members, err := d.find.Projects.Memberships(ctx, acct)
	return d.levelsFrom(members), err
}

// levelsIn returns the levels that an account has in some projects and in the groups above them.
func (d *Finder) levelsIn(ctx context.Context, acct account.ID, projects []project.Project) (levels, error) {
	var ids []project.ID
	for _, proj := range projects {
		ids = append(append(ids, proj.ID), proj.Ancestors...)
	}
	members, err := d.find.Projects.MembershipsIn(ctx, acct, unique(ids))
	return d.levelsFrom(members), err
}

func (d *Finder) levelsFrom(members []project.Member) levels {
	now, l := d.find.Clock.Now(), levels{}
	for _, m := range members {
		if level := m.LevelAt(now); level != project.NoLevel {
			l[m.Project] = level
		}
	}
	return l
}

// GetProject returns the project or group ref, an id or a full path. Errors are those of
// principal.FindAccess.
func (d *Finder) GetProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string) (View, error) {
	access, err := principal.FindAccess(ctx, d.find.Projects, by, kind, ref, d.find.Clock.Now())
	if err != nil {
		return View{}, err
	}
	return d.viewOf(ctx, access.Project, access.Standing, d.find.Clock.Now())
}

// viewOf is views for one project, with the caller's known standing.
func (d *Finder) viewOf(ctx context.Context, proj project.Project, standing project.Standing, now time.Time) (View, error) {
	l := levels{proj.ID: standing.Direct.LevelAt(now)}
	for _, m := range standing.Inherited {
		l[m.Project] = m.LevelAt(now)
	}
	views, err := d.views(ctx, []project.Project{proj}, l)
	switch {
	case err != nil:
		return View{}, err
	case len(views) == 0:
		return View{}, proj.Kind.Missing()
	default:
		return views[0], nil
	}
}

// views adds the details that a reply shows about each project, with two batches of reads for all. It
// leaves out what was deleted since it was read, together with the groups above.
func (d *Finder) views(ctx context.Context, projects []project.Project, l levels) ([]View, error) {
	var groups []project.ID
	var people []account.ID
	for _, proj := range projects {
		groups = append(groups, proj.Ancestors...)
		for _, id := range []account.ID{proj.Owner, proj.CreatedBy} {
			if id != 0 {
				people = append(people, id)
			}
		}
	}
	above := map[project.ID]project.Project{}
	err := d.find.Projects.ProjectsByID(ctx, unique(groups), func(g project.Project) { above[g.ID] = g })
	if err != nil {
		return nil, err
	}
	accts, err := d.accountsOf(ctx, people)
	if err != nil {
		return nil, err
	}
	views := make([]View, 0, len(projects))
	for _, proj := range projects {
		view := View{
			Project: proj, Owner: accts.author(proj.Owner), Creator: accts.author(proj.CreatedBy).ID,
			Direct: l[proj.ID], Inherited: l.inherited(proj),
		}
		for _, id := range proj.Ancestors {
			if group, there := above[id]; there {
				view.Above = append(view.Above, group)
			}
		}
		if len(view.Above) < len(proj.Ancestors) {
			switch _, err := d.find.Projects.Project(ctx, proj.ID); {
			case errors.Is(err, fault.ErrNotFound):
				continue
			case err != nil:
				return nil, err
			default:
				return nil, fmt.Errorf("%w: project %s lies in a group that is not there", fault.ErrCorrupt, proj.ID)
			}
		}
		views = append(views, view)
	}
	return views, nil
}

// accounts are profiles by id, without deleted accounts.
type accounts map[account.ID]account.Account

// author returns the account of an author: the ghost for a deleted one, the zero Account for 0.
func (a accounts) author(id account.ID) account.Account {
	if id == 0 {
		return account.Account{}
	}
	if u, there := a[id]; there {
		return u
	}
	return account.Ghost()
}

func (d *Finder) accountsOf(ctx context.Context, ids []account.ID) (accounts, error) {
	accts := accounts{}
	err := d.find.Reader.Accounts(ctx, unique(ids), func(u account.Account) { accts[u.ID] = u })
	return accts, err
}

// unique returns ids without duplicates, which a batch of reads must not have.
func unique[ID cmp.Ordered](ids []ID) []ID {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// A ProjectFilter narrows a list of projects or groups. Zero fields do not narrow.
type ProjectFilter struct {
	Kind       project.Kind // always set
	Search     string       // words, each part of name, path or description
	Visibility string
	// Mine limits an administrator to their own memberships. Other callers are always limited so.
	// MinLevel has the same effect.
	Mine     bool
	MinLevel project.Level
	// TopLevel keeps only top-level projects and groups.
	TopLevel      bool
	Without       []project.ID
	After, Before project.ID // exclusive
	// Nothing makes the list empty, for filters that nothing here can match.
	Nothing bool
}

func (f ProjectFilter) matches(proj project.Project, l levels) bool {
	for word := range strings.FieldsSeq(strings.ToLower(f.Search)) {
		if !slices.ContainsFunc([]string{proj.Name, proj.Path, proj.Description}, func(text string) bool {
			return strings.Contains(strings.ToLower(text), word)
		}) {
			return false
		}
	}
	return proj.Kind == f.Kind && !f.Nothing &&
		(f.Visibility == "" || proj.Visibility == f.Visibility) &&
		l.of(proj) >= f.MinLevel &&
		(!f.TopLevel || proj.Parent() == 0) &&
		!slices.Contains(f.Without, proj.ID) &&
		proj.ID > f.After && (f.Before == 0 || proj.ID < f.Before)
}

// distance is how far a match is from the search: nearest are equal paths and names, then those that
// start with it, then those that contain it.
func (f ProjectFilter) distance(proj project.Project) int {
	distance, search := 3, strings.ToLower(f.Search)
	for _, text := range []string{strings.ToLower(proj.Path), strings.ToLower(proj.Name)} {
		switch {
		case text == search:
			return 0
		case strings.HasPrefix(text, search):
			distance = min(distance, 1)
		case strings.Contains(text, search):
			distance = min(distance, 2)
		}
	}
	return distance
}

// A ProjectSort is the order of a list, with ids as tie-break. The zero value is by descending id.
type ProjectSort struct {
	By        ProjectSortKey
	Ascending bool
}

// A ProjectSortKey is a property that orders projects and groups.
type ProjectSortKey int

// The sort keys. Case does not matter.
const (
	ProjectsByID ProjectSortKey = iota
	ProjectsByName
	ProjectsByPath
	// ProjectsByCreation is the same as ProjectsByID, because ids ascend with creation.
	ProjectsByCreation
	// ProjectsBySimilarity puts the closest matches of a search first, and is ProjectsByID without one.
	ProjectsBySimilarity
	// ProjectsByNameOrID is by name, or by id if there are too many to put them in order.
	ProjectsByNameOrID
)

func (s ProjectSort) order() order {
	return order{keyDescending: !s.Ascending && s.By != ProjectsBySimilarity, idDescending: !s.Ascending}
}

// place returns where a project stands in this order of a filtered list.
func (s ProjectSort) place(f ProjectFilter) func(project.Project) place {
	return func(proj project.Project) place {
		at := place{id: int64(proj.ID)}
		switch s.By {
		case ProjectsByName, ProjectsByNameOrID:
			at.key = strings.ToLower(proj.Name)
		case ProjectsByPath:
			at.key = strings.ToLower(proj.Path)
		case ProjectsBySimilarity:
			if f.Search != "" {
				at.key = strconv.Itoa(f.distance(proj))
			}
		}
		return at
	}
}

// ordersAll reports whether all projects have to be read to put them in this order.
func (s ProjectSort) ordersAll(f ProjectFilter) bool {
	return s.By == ProjectsByName || s.By == ProjectsByPath || s.By == ProjectsBySimilarity && f.Search != ""
}

// ListProjects returns a part of the projects or groups. Administrators see all, others those of which they
// are members, directly or through a group above. In the orders by id and by creation, the list for an
// administrator reads about as many as the part has, or as many as a part may examine; in other orders it
// reads every project and group. The list for others reads the caller's memberships and everything in their
// groups. Errors: listing.ErrPlace, listing.ErrDeep, listing.ErrOrder.
func (d *Finder) ListProjects(ctx context.Context, by principal.Principal, f ProjectFilter, s ProjectSort, want listing.Want) (listing.Part[View], error) {
	if by.Account.Admin && !f.Mine && f.MinLevel == project.NoLevel {
		return d.listEvery(ctx, by, f, s, want)
	}
	l, err := d.levelsOf(ctx, by.Account.ID)
	if err != nil {
		return listing.Part[View]{}, err
	}
	projects, err := d.reachable(ctx, by, l)
	if err != nil {
		return listing.Part[View]{}, err
	}
	return d.page(ctx, projects, l, f, s, want)
}

// listEvery is ListProjects for administrators.
func (d *Finder) listEvery(ctx context.Context, by principal.Principal, f ProjectFilter, s ProjectSort, want listing.Want) (listing.Part[View], error) {
	last, err := d.find.Projects.LastProjectID(ctx)
	if err != nil {
		return listing.Part[View]{}, err
	}
	if s.By == ProjectsByNameOrID {
		s.By = ProjectsByName
		if last > listing.MaxByNumber {
			s.By = ProjectsByID
		}
	}
	list, at := d.projectsByID(int64(last), f, s), s.place(f)
	var part listing.Part[project.Project]
	switch {
	case !s.ordersAll(f):
		part, err = list.part(ctx, at, want)
	case last > listing.MaxByNumber:
		err = listing.ErrOrder
	default:
		var all []project.Project
		if all, err = list.every(ctx); err == nil {
			part, err = sorted(all, s.order(), at, want)
		}
	}
	if err != nil {
		return listing.Part[View]{}, err
	}
	l, err := d.levelsIn(ctx, by.Account.ID, part.Entries)
	if err != nil {
		return listing.Part[View]{}, err
	}
	return d.viewed(ctx, part, l)
}

// projectsByID returns the list of the projects and groups that match, in the order of ids.
func (d *Finder) projectsByID(last int64, f ProjectFilter, s ProjectSort) byID[project.Project] {
	list := byID[project.Project]{
		last: last, ascending: s.Ascending,
		read: func(ctx context.Context, ids []int64) (map[int64]project.Project, error) {
			found := make(map[int64]project.Project, len(ids))
			err := d.find.Projects.ProjectsByID(ctx, each(ids, func(id int64) project.ID { return project.ID(id) }), func(proj project.Project) { found[int64(proj.ID)] = proj })
			return found, err
		},
		matches: func(proj project.Project) bool { return f.matches(proj, nil) },
	}
	if f.Before != 0 {
		list.last = min(last, int64(f.Before)-1)
	}
	if f.After != 0 {
		list.first = int64(f.After)
	}
	return list
}

// viewed turns a part of the projects into one of their views.
func (d *Finder) viewed(ctx context.Context, part listing.Part[project.Project], l levels) (listing.Part[View], error) {
	views, err := d.views(ctx, part.Entries, l)
	return listing.Part[View]{Entries: views, Next: part.Next, Total: part.Total}, err
}

// ListInGroup is ListProjects for the direct children of a group. Errors are those of
// principal.FindAccess for the group.
func (d *Finder) ListInGroup(ctx context.Context, by principal.Principal, ref string, f ProjectFilter, s ProjectSort, want listing.Want) (listing.Part[View], error) {
	access, err := principal.FindAccess(ctx, d.find.Projects, by, project.KindGroup, ref, d.find.Clock.Now())
	if err != nil {
		return listing.Part[View]{}, err
	}
	ids, err := d.find.Projects.InGroup(ctx, access.Project.ID)
	if err != nil {
		return listing.Part[View]{}, err
	}
	return d.listOf(ctx, by, ids, f, s, want)
}

// ListBelow is ListInGroup for everything in a group, however deep. It makes one request for each group,
// and one for each hundred projects.
func (d *Finder) ListBelow(ctx context.Context, by principal.Principal, ref string, f ProjectFilter, s ProjectSort, want listing.Want) (listing.Part[View], error) {
	access, err := principal.FindAccess(ctx, d.find.Projects, by, project.KindGroup, ref, d.find.Clock.Now())
	if err != nil {
		return listing.Part[View]{}, err
	}
	var ids []project.ID
	for groups := []project.ID{access.Project.ID}; len(groups) > 0; {
		var below []project.ID
		for _, group := range groups {
			children, err := d.find.Projects.InGroup(ctx, group)
			if err != nil {
				return listing.Part[View]{}, err
			}
			below = append(below, children...)
		}
		ids = append(ids, below...)
		leaves := map[project.ID]bool{}
		err := d.find.Projects.ProjectsByID(ctx, below, func(proj project.Project) { leaves[proj.ID] = proj.Kind == project.KindProject })
		if err != nil {
			return listing.Part[View]{}, err
		}
		groups = slices.DeleteFunc(below, func(id project.ID) bool { return leaves[id] })
	}
	return d.listOf(ctx, by, ids, f, s, want)
}

// ListOfAccount is ListProjects for the projects in an account's namespace. Other people's accounts
// are fault.ErrNotFound; for an administrator only missing ones are.
func (d *Finder) ListOfAccount(ctx context.Context, by principal.Principal, owner account.ID, f ProjectFilter, s ProjectSort, want listing.Want) (listing.Part[View], error) {
	if _, err := d.Get(ctx, by, owner); err != nil {
		return listing.Part[View]{}, err
	}
	ids, err := d.find.Projects.InAccount(ctx, owner)
	if err != nil {
		return listing.Part[View]{}, err
	}
	return d.listOf(ctx, by, ids, f, s, want)
}

func (d *Finder) listOf(ctx context.Context, by principal.Principal, ids []project.ID, f ProjectFilter, s ProjectSort, want listing.Want) (listing.Part[View], error) {
	l, err := d.levelsOf(ctx, by.Account.ID)
	if err != nil {
		return listing.Part[View]{}, err
	}
	var projects []project.Project
	err = d.find.Projects.ProjectsByID(ctx, ids, func(proj project.Project) {
		// The caller's right may have ended since the memberships were read, so check it again.
		if by.Reaches(proj) && (by.Account.Admin || l.of(proj) != project.NoLevel) {
			projects = append(projects, proj)
		}
	})
	if err != nil {
		return listing.Part[View]{}, err
	}
	return d.page(ctx, projects, l, f, s, want)
}

// Associations are the groups and projects that a token reaches, or those whose tokens somebody manages: a
// part of each.
type Associations struct{ Groups, Projects listing.Part[View] }

// Associations returns what the presented token reaches with the level least or higher, groups by
// name and projects by descending id.
func (d *Finder) Associations(ctx context.Context, by principal.Principal, least project.Level, want listing.Want) (Associations, error) {
	holder := principal.Principal{Account: by.Holder(), Token: by.Token}
	l, err := d.levelsOf(ctx, holder.Account.ID)
	if err != nil {
		return Associations{}, err
	}
	projects, err := d.reachable(ctx, holder, l)
	if err != nil {
		return Associations{}, err
	}
	var a Associations
	groups := ProjectFilter{Kind: project.KindGroup, MinLevel: least}
	if a.Groups, err = d.page(ctx, slices.Clone(projects), l, groups, ProjectSort{By: ProjectsByName, Ascending: true}, want); err != nil {
		return Associations{}, err
	}
	single := ProjectFilter{Kind: project.KindProject, MinLevel: least}
	a.Projects, err = d.page(ctx, projects, l, single, ProjectSort{}, want)
	return a, err
}

// Managed returns a part of the groups or projects whose tokens the caller may manage and that have the
// words of search. For an administrator these are all. They come by name, or by id if there are too many to
// put them in order.
func (d *Finder) Managed(ctx context.Context, by principal.Principal, kind project.Kind, search string, want listing.Want) (listing.Part[View], error) {
	f := ProjectFilter{Kind: kind, Search: search}
	if !by.Account.Admin {
		f.MinLevel = kind.ManageLevel()
	}
	return d.ListProjects(ctx, by, f, ProjectSort{By: ProjectsByNameOrID, Ascending: true}, want)
}

// page returns a part of the matching projects as views.
func (d *Finder) page(ctx context.Context, projects []project.Project, l levels, f ProjectFilter, s ProjectSort, want listing.Want) (listing.Part[View], error) {
	matching := slices.DeleteFunc(projects, func(proj project.Project) bool { return !f.matches(proj, l) })
	part, err := sorted(matching, s.order(), s.place(f), want)
	if err != nil {
		return listing.Part[View]{}, err
	}
	return d.viewed(ctx, part, l)
}

// reachable returns the projects of which an account is a member, and everything below its groups.
// It walks level by level, with one request for each group.
func (d *Finder) reachable(ctx context.Context, by principal.Principal, l levels) ([]project.Project, error) {
	var found []project.Project
	seen := map[project.ID]bool{}
	var next []project.ID
	add := func(id project.ID) {
		if !seen[id] {
			seen[id] = true
			next = append(next, id)
		}
	}
	for id := range l {
		add(id)
	}
	for len(next) > 0 {
		var groups []project.ID
		err := d.find.Projects.ProjectsByID(ctx, next, func(proj project.Project) {
			if !by.Reaches(proj) {
				return
			}
			found = append(found, proj)
			if proj.Kind == project.KindGroup {
				groups = append(groups, proj.ID)
			}
		})
		if err != nil {
			return nil, err
		}
		next = nil
		for _, id := range groups {
			children, err := d.find.Projects.InGroup(ctx, id)
			if err != nil {
				return nil, err
			}
			for _, child := range children {
				add(child)
			}
		}
	}
	return found, nil
}

// The longest descriptions, in characters, as in GitLab.
const (
	maxProjectDescription = 2000
	maxGroupDescription   = 500
)

// maxFullPath is the longest path from the root, in bytes. The path is a partition key, which
// DynamoDB limits to 2048 bytes (Quotas: "Partition key length"), and clients send it encoded.
const maxFullPath = 1024

// checkProject reports every rule that a new project breaks.
func checkProject(proj project.Project) error {
	var broken fault.Breaches
	if strings.TrimSpace(proj.Name) == "" {
		broken.Add("name", fault.Blank, nil)
	}
	checkLength(&broken, "name", proj.Name, maxNameLength)
	checkLength(&broken, "path", proj.Path, maxNameLength)
	if !validUsername(proj.Path) {
		broken.Add("path", fault.Malformed, nil)
	}
	if proj.Owner == 0 && proj.Parent() == 0 && reservedPath(proj.Path) {
		broken.Add("path", fault.Reserved, nil)
	}
	if len(proj.FullPath) > maxFullPath {
		broken.Add("path", fault.TooDeep, maxFullPath)
	}
	most := maxProjectDescription
	if proj.Kind == project.KindGroup {
		most = maxGroupDescription
	}
	checkLength(&broken, "description", proj.Description, most)
	return broken.Err()
}

// reservedPath reports whether a path is the ghost's username or could become a bot's. Top-level
// groups and accounts share one name space.
func reservedPath(path string) bool {
	path = strings.ToLower(path)
	for _, kind := range []project.Kind{project.KindProject, project.KindGroup} {
		if rest, found := strings.CutPrefix(path, string(kind)+"_"); found {
			id, number, bot := strings.Cut(rest, "_bot")
			if bot && id != "" && strings.Trim(id+number, "0123456789") == "" {
				return true
			}
		}
	}
	return path == account.Ghost().Username
}
