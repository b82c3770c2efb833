package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A ProjectCandidate is a project to create.
type ProjectCandidate struct {
	// Name and Path are derived from each other if one is missing.
	Name, Path  string
	Description string
	Visibility  string // private by default
	Namespace   Namespace
}

// A Namespace is where to create a project: a group, an account's namespace, or, for the zero
// Namespace, the caller's.
type Namespace struct {
	Group   project.ID
	Account account.ID
}

// ErrNoNamespace means that a namespace does not exist or is hidden from the caller.
var ErrNoNamespace = fmt.Errorf("%w: namespace", fault.ErrNotFound)

// CreateProject makes a project. In a group the caller must be a Developer. In an account's
// namespace the caller must be its owner or an administrator, and the owner becomes the project's
// owner. Bots and external accounts may not make projects. Errors: fault.Breaches,
// fault.ErrForbidden, ErrNoNamespace.
func (d *Directory) CreateProject(ctx context.Context, by principal.Principal, c ProjectCandidate) (View, error) {
	if !mayMake(by) {
		return View{}, fault.ErrForbidden
	}
	proj := project.Project{
		Kind: project.KindProject, Name: c.Name, Path: c.Path, Description: c.Description, Visibility: c.Visibility,
		CreatedAt: d.find.Clock.Now(), CreatedBy: by.Account.ID,
	}
	switch {
	case proj.Path == "":
		proj.Path = pathFor(proj.Name)
	case proj.Name == "":
		proj.Name = proj.Path
	}
	if c.Namespace.Group != 0 {
		if err := d.putInGroup(ctx, by, &proj, c.Namespace.Group, project.Developer); err != nil {
			if errors.Is(err, fault.ErrNotFound) {
				err = ErrNoNamespace
			}
			return View{}, err
		}
	} else {
		owner, err := d.namespaceOwner(ctx, by, c.Namespace.Account)
		if err != nil {
			return View{}, err
		}
		proj.Owner = owner
	}
	view, err := d.make(ctx, by, proj, proj.Owner)
	if errors.Is(err, fault.ErrNotFound) {
		err = ErrNoNamespace // it was deleted meanwhile
	}
	return view, err
}

// mayMake reports whether by may make projects and groups at all.
func mayMake(by principal.Principal) bool { return !by.Account.Bot && !by.Account.External }

// namespaceOwner returns the owner of the named namespace. Bots have none.
func (d *Finder) namespaceOwner(ctx context.Context, by principal.Principal, named account.ID) (account.ID, error) {
	if named == 0 || named == by.Account.ID {
		return by.Account.ID, nil
	}
	acct, err := d.Get(ctx, by, named)
	if errors.Is(err, fault.ErrNotFound) || err == nil && (acct.Bot || acct.ID == account.GhostID) {
		return 0, ErrNoNamespace
	}
	return acct.ID, err
}

// putInGroup puts proj into a group, in which the caller needs at least the level least.
func (d *Finder) putInGroup(ctx context.Context, by principal.Principal, proj *project.Project, group project.ID, least project.Level) error {
	access, err := principal.FindAccess(ctx, d.find.Projects, by, project.KindGroup, group.String(), d.find.Clock.Now())
	if err != nil {
		return err
	}
	if !access.AtLeast(least) {
		return fault.ErrForbidden
	}
	parent := access.Project
	proj.Ancestors = append(append(proj.Ancestors, parent.Ancestors...), parent.ID)
	proj.FullPath = parent.FullPath + "/" + proj.Path
	return nil
}

// make writes a project. Its first member is owner, unless that is 0.
func (d *Directory) make(ctx context.Context, by principal.Principal, proj project.Project, owner account.ID) (View, error) {
	if proj.Visibility == "" {
		proj.Visibility = "private"
	}
	if err := checkProject(proj); err != nil {
		return View{}, err
	}
	// Read everything that the reply shows before the write, because nothing may fail after the
	// commit.
	l, err := d.levelsOf(ctx, by.Account.ID)
	if err != nil {
		return View{}, err
	}
	views, err := d.views(ctx, []project.Project{proj}, l)
	switch {
	case err != nil:
		return View{}, err
	case len(views) == 0:
		return View{}, fault.ErrNotFound // a group above was deleted meanwhile
	}
	view := views[0]
	if err := d.checkVisibility(ctx, view); err != nil {
		return View{}, err
	}
	view.Project, err = d.store.CreateProject(ctx, proj, owner, made(proj.CreatedAt, by, view, owner))
	switch {
	case errors.Is(err, project.ErrPathTaken):
		return View{}, taken(proj)
	case err != nil:
		return View{}, err
	}
	if owner == by.Account.ID {
		view.Direct = project.Owner
	}
	return view, nil
}

// taken returns the breaches of a project whose path is taken. GitLab also names the name, from
// which the path is derived.
func taken(proj project.Project) fault.Breaches {
	broken := fault.Breaches{{Field: "path", Rule: fault.Taken}}
	if proj.Kind == project.KindProject && strings.EqualFold(pathFor(proj.Name), proj.Path) {
		broken.Add("name", fault.Taken, nil)
	}
	return broken
}

// pathFor derives a path from a name as GitLab does. A name that is a valid path stays as it is;
// any other becomes small letters, digits and dashes.
func pathFor(name string) string {
	if validUsername(name) {
		return name
	}
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}
