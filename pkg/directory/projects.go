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

// A ProjectCandidate is a project that is wanted.
type ProjectCandidate struct {
	// Name and Path follow from each other when one is missing.
	Name, Path  string
	Description string
	Visibility  string // private without one
	Namespace   Namespace
}

// A Namespace is where a project is to lie: in a group, in an account's own
// namespace, or, the zero Namespace, in that of whoever asks.
type Namespace struct {
	Group   project.ID
	Account account.ID
}

// ErrNoNamespace means that a namespace is not there, or not the caller's to
// see.
var ErrNoNamespace = fmt.Errorf("%w: namespace", fault.ErrNotFound)

// CreateProject makes a project. In a group that takes a Developer. In an
// account's namespace that takes its owner or an administrator, and the owner
// becomes the project's. Bots and external accounts make none. Errors: fault.Breaches,
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
		if err := d.place(ctx, by, &proj, c.Namespace.Group, project.Developer); err != nil {
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
		err = ErrNoNamespace // it went while this was decided
	}
	return view, err
}

// mayMake reports whether by may make projects and groups at all.
func mayMake(by principal.Principal) bool { return !by.Account.Bot && !by.Account.External }

// namespaceOwner returns whose namespace is meant. Bots have none.
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

// place puts proj into a group, in which the caller needs a level.
func (d *Finder) place(ctx context.Context, by principal.Principal, proj *project.Project, group project.ID, least project.Level) error {
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

// make writes a project with owner, unless it is 0, as its first member.
func (d *Directory) make(ctx context.Context, by principal.Principal, proj project.Project, owner account.ID) (View, error) {
	if proj.Visibility == "" {
		proj.Visibility = "private"
	}
	if err := checkProject(proj); err != nil {
		return View{}, err
	}
	// Everything that the reply shows is read before the write: once that is
	// committed, nothing may fail.
	l, err := d.levelsOf(ctx, by.Account.ID)
	if err != nil {
		return View{}, err
	}
	views, err := d.views(ctx, []project.Project{proj}, l)
	if err != nil {
		return View{}, err
	}
	view := views[0]
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

// taken is what is wrong with a project whose path is in use. GitLab names the
// name too, which is where the path comes from.
func taken(proj project.Project) fault.Breaches {
	broken := fault.Breaches{{Field: "path", Rule: fault.Taken}}
	if proj.Kind == project.KindProject && strings.EqualFold(pathFor(proj.Name), proj.Path) {
		broken.Add("name", fault.Taken, nil)
	}
	return broken
}

// pathFor derives a path from a name as GitLab does: a name that can be one
// stays as it is, any other is spelled in small letters, digits and dashes.
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
