package directory

import (
	"context"
	"errors"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// A GroupCandidate is a group that is wanted.
type GroupCandidate struct {
	Name, Path  string
	Description string
	Visibility  string           // private without one
	Parent      token.ResourceID // 0 for a group at the root
}

// maxDepth is how many groups may lie in each other, the one at the root
// included. GitLab has the same limit.
const maxDepth = 20

// CreateGroup makes a group, whose owner is the caller. In another group that
// takes a Maintainer. Bots and external accounts make none. Errors: Faults,
// token.ErrForbidden, principal.ErrNoGroup.
func (d *Directory) CreateGroup(ctx context.Context, by principal.Principal, c GroupCandidate) (View, error) {
	if !mayMake(by) {
		return View{}, token.ErrForbidden
	}
	res := principal.Resource{
		Kind: principal.Group, Name: c.Name, Path: c.Path, FullPath: c.Path, Description: c.Description, Visibility: c.Visibility,
		CreatedAt: d.Clock.Now(), CreatedBy: by.User.ID,
	}
	if c.Parent != 0 {
		if err := d.place(ctx, by, &res, c.Parent, token.Maintainer); err != nil {
			return View{}, err
		}
		if len(res.Ancestors) >= maxDepth {
			return View{}, Faults{"parent_id": {"has too deep level of nesting"}}
		}
	}
	view, err := d.make(ctx, by, res, by.User.ID)
	if errors.Is(err, token.ErrNotFound) {
		err = principal.ErrNoGroup // it went while this was decided
	}
	return view, err
}
