package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
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
	Group   token.ResourceID
	Account token.OwnerID
}

// ErrNoNamespace means that a namespace is not there, or not the caller's to
// see.
var ErrNoNamespace = fmt.Errorf("%w: namespace", token.ErrNotFound)

// CreateProject makes a project. In a group that takes a Developer. In an
// account's namespace that takes its owner or an administrator, and the owner
// becomes the project's. Bots and external accounts make none. Errors: Faults,
// token.ErrForbidden, ErrNoNamespace.
func (d *Directory) CreateProject(ctx context.Context, by principal.Principal, c ProjectCandidate) (View, error) {
	if !mayMake(by) {
		return View{}, token.ErrForbidden
	}
	res := principal.Resource{
		Kind: principal.Project, Name: c.Name, Path: c.Path, Description: c.Description, Visibility: c.Visibility,
		CreatedAt: d.Clock.Now(), CreatedBy: by.User.ID,
	}
	switch {
	case res.Path == "":
		res.Path = pathFor(res.Name)
	case res.Name == "":
		res.Name = res.Path
	}
	if c.Namespace.Group != 0 {
		if err := d.place(ctx, by, &res, c.Namespace.Group, token.Developer); err != nil {
			if errors.Is(err, token.ErrNotFound) {
				err = ErrNoNamespace
			}
			return View{}, err
		}
	} else {
		owner, err := d.namespaceOwner(ctx, by, c.Namespace.Account)
		if err != nil {
			return View{}, err
		}
		res.Owner = owner
	}
	view, err := d.make(ctx, by, res, res.Owner)
	if errors.Is(err, token.ErrNotFound) {
		err = ErrNoNamespace // it went while this was decided
	}
	return view, err
}

// mayMake reports whether by may make projects and groups at all.
func mayMake(by principal.Principal) bool { return !by.User.Bot && !by.User.External }

// namespaceOwner returns whose namespace is meant. Bots have none.
func (d *Directory) namespaceOwner(ctx context.Context, by principal.Principal, account token.OwnerID) (token.OwnerID, error) {
	if account == 0 || account == by.User.ID {
		return by.User.ID, nil
	}
	user, err := d.Get(ctx, by, account)
	if errors.Is(err, token.ErrNotFound) || err == nil && (user.Bot || user.ID == principal.GhostID) {
		return 0, ErrNoNamespace
	}
	return user.ID, err
}

// place puts res into a group, in which the caller needs a level.
func (d *Directory) place(ctx context.Context, by principal.Principal, res *principal.Resource, group token.ResourceID, least token.Level) error {
	access, err := principal.FindAccess(ctx, d.Resources, by, principal.Group, group.String(), d.Clock.Now())
	if err != nil {
		return err
	}
	if !access.AtLeast(least) {
		return token.ErrForbidden
	}
	parent := access.Resource
	res.Ancestors = append(append(res.Ancestors, parent.Ancestors...), parent.ID)
	res.FullPath = parent.FullPath + "/" + res.Path
	return nil
}

// make writes a resource with owner, unless it is 0, as its first member.
func (d *Directory) make(ctx context.Context, by principal.Principal, res principal.Resource, owner token.OwnerID) (View, error) {
	if res.Visibility == "" {
		res.Visibility = "private"
	}
	if faults := resourceFaults(res); len(faults) > 0 {
		return View{}, faults
	}
	// Everything that the reply shows is read before the write: once that is
	// committed, nothing may fail.
	l, err := d.levelsOf(ctx, by.User.ID)
	if err != nil {
		return View{}, err
	}
	views, err := d.views(ctx, []principal.Resource{res}, l)
	if err != nil {
		return View{}, err
	}
	view := views[0]
	view.Resource, err = d.Resources.CreateResource(audit.Expect(ctx, d.Clock.Now(), made(by, view, owner)), res, owner)
	switch {
	case errors.Is(err, token.ErrPathTaken):
		return View{}, taken(res)
	case err != nil:
		return View{}, err
	}
	if owner == by.User.ID {
		view.Direct = token.Owner
	}
	return view, nil
}

// taken are the faults of a resource whose path is in use. GitLab names the
// name too, which is where the path comes from.
func taken(res principal.Resource) Faults {
	const words = "has already been taken"
	faults := Faults{"path": {words}}
	if res.Kind == principal.Project && strings.EqualFold(pathFor(res.Name), res.Path) {
		faults["name"] = []string{words}
	}
	return faults
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
