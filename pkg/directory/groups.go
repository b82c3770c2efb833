package directory

import (
	"context"
	"errors"

	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A GroupCandidate is a group to create.
type GroupCandidate struct {
	Name, Path  string
	Description string
	Visibility  string     // private by default
	Parent      project.ID // 0 for a group at the root
}

// maxDepth is how many groups may be nested, the root group included. GitLab has the same limit.
const maxDepth = 20

// CreateGroup makes a group with the caller as its owner. A subgroup requires a Maintainer of the
// group above. Bots and external accounts may not make groups, and accounts with NoGroups none at the root. Errors: fault.Breaches,
// fault.ErrForbidden, project.ErrNoGroup.
func (d *Directory) CreateGroup(ctx context.Context, by principal.Principal, c GroupCandidate) (View, error) {
	if !mayMake(by) || by.Account.NoGroups && c.Parent == 0 {
		return View{}, fault.ErrForbidden
	}
	proj := project.Project{
		Kind: project.KindGroup, Name: c.Name, Path: c.Path, FullPath: c.Path, Description: c.Description, Visibility: c.Visibility,
		CreatedAt: d.find.Clock.Now(), CreatedBy: by.Account.ID,
	}
	if c.Parent != 0 {
		if err := d.putInGroup(ctx, by, &proj, c.Parent, project.Maintainer); err != nil {
			return View{}, err
		}
		if len(proj.Ancestors) >= maxDepth {
			return View{}, fault.Breaches{{Field: "parent", Rule: fault.TooDeep, Limit: maxDepth}}
		}
	}
	view, err := d.make(ctx, by, proj, by.Account.ID)
	if errors.Is(err, fault.ErrNotFound) {
		err = project.ErrNoGroup // it was deleted meanwhile
	}
	return view, err
}
