package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Resources keeps projects, groups and their members, strongly consistent.
type Resources interface {
	principal.Resources
	ResourceStore
	Tree
	MemberReader
	MemberStore
}

// A ResourceStore makes projects and groups.
type ResourceStore interface {
	// CreateResource gives res an id and writes it, with owner, unless it is
	// 0, as its first member. It returns token.ErrPathTaken when something lies
	// at the path already, and token.ErrNotFound when owner or the group above
	// is not there, and then writes nothing.
	CreateResource(ctx context.Context, res principal.Resource, owner token.OwnerID) (principal.Resource, error)
}

// A Tree finds projects and groups by where they lie.
type Tree interface {
	// ResourcesByID hands those of ids that exist to each, in no order.
	ResourcesByID(ctx context.Context, ids []token.ResourceID, each func(principal.Resource)) error
	// InGroup and InAccount return what lies directly in a group, and in an
	// account's own namespace, by ascending id.
	InGroup(ctx context.Context, group token.ResourceID) ([]token.ResourceID, error)
	InAccount(ctx context.Context, owner token.OwnerID) ([]token.ResourceID, error)
	// LastResourceID returns the highest id that was given out, or 0.
	LastResourceID(ctx context.Context) (token.ResourceID, error)
}

// A View is a project or group as somebody sees it.
type View struct {
	Resource principal.Resource
	// Above are the groups that it lies in, outermost first.
	Above []principal.Resource
	// Owner is the account whose namespace it lies in: the ghost when that is
	// gone, the zero User for what lies in a group or in nothing.
	Owner principal.User
	// Creator is the ghost's id when the author is gone.
	Creator token.OwnerID
	// Direct and Inherited are what who asked is in it and in the groups above.
	Direct, Inherited token.Level
}

// FullPath returns the path from the root, such as `acme/sub/web`.
func (v View) FullPath() string {
	if v.Owner.ID != 0 {
		return v.Owner.Username + "/" + v.Resource.Path
	}
	return v.Resource.FullPath
}

// FullName returns the name with those of everything above it, outermost
// first, such as `Acme / Sub / Web`.
func (v View) FullName() string {
	var names []string
	if v.Owner.ID != 0 {
		names = append(names, v.Owner.Name)
	}
	for _, group := range v.Above {
		names = append(names, group.Name)
	}
	return strings.Join(append(names, v.Resource.Name), " / ")
}

// levels are an account's direct memberships that are not over.
type levels map[token.ResourceID]token.Level

func (l levels) inherited(res principal.Resource) (level token.Level) {
	for _, group := range res.Ancestors {
		level = max(level, l[group])
	}
	return level
}

func (l levels) of(res principal.Resource) token.Level { return max(l[res.ID], l.inherited(res)) }

func (d *Directory) levelsOf(ctx context.Context, user token.OwnerID) (levels, error) {
	members, err := d.Resources.Memberships(ctx, user)
	if err != nil {
		return nil, err
	}
	now, l := d.Clock.Now(), levels{}
	for _, m := range members {
		if level := m.LevelAt(now); level != token.NoLevel {
			l[m.Resource] = level
		}
	}
	return l, nil
}

// GetResource returns the project or group that ref names, an id or a full
// path. Errors are those of principal.FindAccess.
func (d *Directory) GetResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string) (View, error) {
	access, err := principal.FindAccess(ctx, d.Resources, by, kind, ref, d.Clock.Now())
	if err != nil {
		return View{}, err
	}
	return d.viewOf(ctx, access.Resource, access.Standing, d.Clock.Now())
}

// viewOf is views for one resource, in which the caller's standing is known.
func (d *Directory) viewOf(ctx context.Context, res principal.Resource, standing principal.Standing, now time.Time) (View, error) {
	l := levels{res.ID: standing.Direct.LevelAt(now)}
	for _, m := range standing.Inherited {
		l[m.Resource] = m.LevelAt(now)
	}
	views, err := d.views(ctx, []principal.Resource{res}, l)
	if err != nil {
		return View{}, err
	}
	return views[0], nil
}

// views adds what a reply shows beside each resource: two batches of reads for
// all of them together.
func (d *Directory) views(ctx context.Context, resources []principal.Resource, l levels) ([]View, error) {
	var groups []token.ResourceID
	var people []token.OwnerID
	for _, res := range resources {
		groups = append(groups, res.Ancestors...)
		for _, id := range []token.OwnerID{res.Owner, res.CreatedBy} {
			if id != 0 {
				people = append(people, id)
			}
		}
	}
	above := map[token.ResourceID]principal.Resource{}
	err := d.Resources.ResourcesByID(ctx, unique(groups), func(g principal.Resource) { above[g.ID] = g })
	if err != nil {
		return nil, err
	}
	users, err := d.accountsOf(ctx, people)
	if err != nil {
		return nil, err
	}
	views := make([]View, len(resources))
	for i, res := range resources {
		views[i] = View{
			Resource: res, Owner: users.author(res.Owner), Creator: users.author(res.CreatedBy).ID,
			Direct: l[res.ID], Inherited: l.inherited(res),
		}
		for _, id := range res.Ancestors {
			group, there := above[id]
			if !there {
				return nil, fmt.Errorf("%w: resource %s lies in group %s, which is not there", token.ErrCorrupt, res.ID, id)
			}
			views[i].Above = append(views[i].Above, group)
		}
	}
	return views, nil
}

// accounts are profiles by id; those that are gone are not in it.
type accounts map[token.OwnerID]principal.User

// author returns the account of an author: the ghost for one that is gone, and
// nobody for 0.
func (a accounts) author(id token.OwnerID) principal.User {
	if id == 0 {
		return principal.User{}
	}
	if u, there := a[id]; there {
		return u
	}
	return principal.Ghost()
}

func (d *Directory) accountsOf(ctx context.Context, ids []token.OwnerID) (accounts, error) {
	users := accounts{}
	err := d.Reader.Users(ctx, unique(ids), func(u principal.User) { users[u.ID] = u })
	return users, err
}

// unique returns ids once each: a batch of reads must not name one twice.
func unique[ID cmp.Ordered](ids []ID) []ID {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// A ResourceFilter narrows a list of projects or groups. Zero fields do not
// narrow.
type ResourceFilter struct {
	Kind       principal.ResourceKind // always given
	Search     string                 // words, each part of name, path or description
	Visibility string
	// Mine leaves an administrator what they are a member of, which is all
	// that others ever see. MinLevel does that too.
	Mine     bool
	MinLevel token.Level
	// TopLevel leaves what lies in no group.
	TopLevel      bool
	Without       []token.ResourceID
	After, Before token.ResourceID // exclusive
	// Nothing leaves nothing: what is asked for does not exist here.
	Nothing bool
}

func (f ResourceFilter) matches(res principal.Resource, l levels) bool {
	for word := range strings.FieldsSeq(strings.ToLower(f.Search)) {
		if !slices.ContainsFunc([]string{res.Name, res.Path, res.Description}, func(text string) bool {
			return strings.Contains(strings.ToLower(text), word)
		}) {
			return false
		}
	}
	return res.Kind == f.Kind && !f.Nothing &&
		(f.Visibility == "" || res.Visibility == f.Visibility) &&
		l.of(res) >= f.MinLevel &&
		(!f.TopLevel || res.Parent() == 0) &&
		!slices.Contains(f.Without, res.ID) &&
		res.ID > f.After && (f.Before == 0 || res.ID < f.Before)
}

// A ResourceSort is the order of a list; ids break ties. The zero value is by
// descending id.
type ResourceSort struct {
	By        ResourceSortKey
	Ascending bool
}

// A ResourceSortKey is what projects and groups are ordered by.
type ResourceSortKey int

// The sort keys. Case does not matter.
const (
	ResourcesByID ResourceSortKey = iota
	ResourcesByName
	ResourcesByPath
	ResourcesByCreation
)

func (s ResourceSort) compare(a, b principal.Resource) int {
	var order int
	switch s.By {
	case ResourcesByName:
		order = cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	case ResourcesByPath:
		order = cmp.Compare(strings.ToLower(a.Path), strings.ToLower(b.Path))
	case ResourcesByCreation:
		order = a.CreatedAt.Compare(b.CreatedAt)
	}
	order = cmp.Or(order, cmp.Compare(a.ID, b.ID))
	if s.Ascending {
		return order
	}
	return -order
}

// ListResources returns limit projects or groups from offset on and how many
// match: for an administrator all there are, for others those that they are
// members of, directly or by a group above. The former reads every project and
// group; the latter the caller's memberships, and everything that lies in the
// groups among them.
func (d *Directory) ListResources(ctx context.Context, by principal.Principal, f ResourceFilter, s ResourceSort, offset, limit int) ([]View, int, error) {
	l, err := d.levelsOf(ctx, by.User.ID)
	if err != nil {
		return nil, 0, err
	}
	find := d.reachable
	if by.User.Admin && !f.Mine && f.MinLevel == token.NoLevel {
		find = d.every
	}
	resources, err := find(ctx, by, l)
	if err != nil {
		return nil, 0, err
	}
	return d.page(ctx, resources, l, f, s, offset, limit)
}

// ListInGroup is ListResources for what lies directly in a group. Errors are
// those of principal.FindAccess for the group.
func (d *Directory) ListInGroup(ctx context.Context, by principal.Principal, ref string, f ResourceFilter, s ResourceSort, offset, limit int) ([]View, int, error) {
	access, err := principal.FindAccess(ctx, d.Resources, by, principal.Group, ref, d.Clock.Now())
	if err != nil {
		return nil, 0, err
	}
	ids, err := d.Resources.InGroup(ctx, access.Resource.ID)
	if err != nil {
		return nil, 0, err
	}
	return d.listOf(ctx, by, ids, f, s, offset, limit)
}

// ListOfAccount is ListResources for the projects in an account's own
// namespace. Somebody else's account is token.ErrNotFound, for administrators
// only one that is not there.
func (d *Directory) ListOfAccount(ctx context.Context, by principal.Principal, owner token.OwnerID, f ResourceFilter, s ResourceSort, offset, limit int) ([]View, int, error) {
	if _, err := d.Get(ctx, by, owner); err != nil {
		return nil, 0, err
	}
	ids, err := d.Resources.InAccount(ctx, owner)
	if err != nil {
		return nil, 0, err
	}
	return d.listOf(ctx, by, ids, f, s, offset, limit)
}

func (d *Directory) listOf(ctx context.Context, by principal.Principal, ids []token.ResourceID, f ResourceFilter, s ResourceSort, offset, limit int) ([]View, int, error) {
	l, err := d.levelsOf(ctx, by.User.ID)
	if err != nil {
		return nil, 0, err
	}
	var resources []principal.Resource
	err = d.Resources.ResourcesByID(ctx, ids, func(res principal.Resource) {
		// Asked again although the caller has a right to what they lie in: it
		// may have ended since.
		if by.Reaches(res) && (by.User.Admin || l.of(res) != token.NoLevel) {
			resources = append(resources, res)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	return d.page(ctx, resources, l, f, s, offset, limit)
}

// Associations are what a token reaches: pages of its owner's groups and
// projects, and how many there are.
type Associations struct {
	Groups, Projects           []View
	GroupsTotal, ProjectsTotal int
}

// Associations returns what the presented token reaches at a level of least or
// more, with groups by name and projects by descending id.
func (d *Directory) Associations(ctx context.Context, by principal.Principal, least token.Level, offset, limit int) (Associations, error) {
	holder := principal.Principal{User: by.Holder(), Token: by.Token}
	l, err := d.levelsOf(ctx, holder.User.ID)
	if err != nil {
		return Associations{}, err
	}
	resources, err := d.reachable(ctx, holder, l)
	if err != nil {
		return Associations{}, err
	}
	var a Associations
	groups := ResourceFilter{Kind: principal.Group, MinLevel: least}
	if a.Groups, a.GroupsTotal, err = d.page(ctx, resources, l, groups, ResourceSort{By: ResourcesByName, Ascending: true}, offset, limit); err != nil {
		return Associations{}, err
	}
	projects := ResourceFilter{Kind: principal.Project, MinLevel: least}
	a.Projects, a.ProjectsTotal, err = d.page(ctx, resources, l, projects, ResourceSort{}, offset, limit)
	return a, err
}

// page returns the views of a page of those resources that match.
func (d *Directory) page(ctx context.Context, resources []principal.Resource, l levels, f ResourceFilter, s ResourceSort, offset, limit int) ([]View, int, error) {
	var matching []principal.Resource
	for _, res := range resources {
		if f.matches(res, l) {
			matching = append(matching, res)
		}
	}
	slices.SortFunc(matching, s.compare)
	total := len(matching)
	views, err := d.views(ctx, matching[min(offset, total):min(offset+limit, total)], l)
	return views, total, err
}

// every returns everything there is.
func (d *Directory) every(ctx context.Context, _ principal.Principal, _ levels) ([]principal.Resource, error) {
	last, err := d.Resources.LastResourceID(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]token.ResourceID, last)
	for i := range ids {
		ids[i] = token.ResourceID(i + 1)
	}
	resources := make([]principal.Resource, 0, last)
	err = d.Resources.ResourcesByID(ctx, ids, func(res principal.Resource) { resources = append(resources, res) })
	return resources, err
}

// reachable returns what an account is a member of, and what lies below the
// groups among it: generation by generation, with one request for each group.
func (d *Directory) reachable(ctx context.Context, by principal.Principal, l levels) ([]principal.Resource, error) {
	var found []principal.Resource
	seen := map[token.ResourceID]bool{}
	var next []token.ResourceID
	add := func(id token.ResourceID) {
		if !seen[id] {
			seen[id] = true
			next = append(next, id)
		}
	}
	for id := range l {
		add(id)
	}
	for len(next) > 0 {
		var groups []token.ResourceID
		err := d.Resources.ResourcesByID(ctx, next, func(res principal.Resource) {
			if !by.Reaches(res) {
				return
			}
			found = append(found, res)
			if res.Kind == principal.Group {
				groups = append(groups, res.ID)
			}
		})
		if err != nil {
			return nil, err
		}
		next = nil
		for _, id := range groups {
			children, err := d.Resources.InGroup(ctx, id)
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

// The longest descriptions, in characters, as GitLab has them.
const (
	maxProjectDescription = 2000
	maxGroupDescription   = 500
)

// maxFullPath is how long a path from the root may be, in bytes. It is the
// partition key of an item, of which DynamoDB takes 2048 (Quotas: "Partition
// key length"), and clients send it encoded.
const maxFullPath = 1024

// resourceFaults returns the rules that a new resource breaks.
func resourceFaults(res principal.Resource) Faults {
	faults := Faults{}
	add := func(field, problem string) { faults[field] = append(faults[field], problem) }
	tooLong := func(most int) string { return fmt.Sprintf("is too long (maximum is %d characters)", most) }
	if strings.TrimSpace(res.Name) == "" {
		add("name", "can't be blank")
	}
	for field, value := range map[string]string{"name": res.Name, "path": res.Path} {
		if utf8.RuneCountInString(value) > maxNameLength {
			add(field, tooLong(maxNameLength))
		}
	}
	if !validUsername(res.Path) {
		add("path", "can contain only letters, digits, '_', '-', '.'. Cannot start with '-' or '.', end in '.', '.git' or '.atom', or be digits only")
	}
	if res.Owner == 0 && res.Parent() == 0 && reservedPath(res.Path) {
		add("path", "is reserved")
	}
	if len(res.FullPath) > maxFullPath {
		add("path", "lies too deep (a full path has at most "+fmt.Sprint(maxFullPath)+" characters)")
	}
	most := maxProjectDescription
	if res.Kind == principal.Group {
		most = maxGroupDescription
	}
	if utf8.RuneCountInString(res.Description) > most {
		add("description", tooLong(most))
	}
	return faults
}

// reservedPath reports whether a group at the root, or a person, would have the
// name of the ghost or one that a bot may get: their names are one name space.
func reservedPath(path string) bool {
	path = strings.ToLower(path)
	for _, kind := range []principal.ResourceKind{principal.Project, principal.Group} {
		if rest, found := strings.CutPrefix(path, string(kind)+"_"); found {
			id, number, bot := strings.Cut(rest, "_bot")
			if bot && id != "" && strings.Trim(id+number, "0123456789") == "" {
				return true
			}
		}
	}
	return path == principal.Ghost().Username
}
