package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup" // bounds concurrent work; maintained by the Go team

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// A Remover deletes projects and groups with everything in them. It is safe for concurrent use.
type Remover struct {
	*Finder
	store RemovalStore
}

// A RemovalStore ends what belongs to a project. It writes the events with each change, and a second call
// of any method is safe.
type RemovalStore interface {
	// CloseProject makes sure that nothing new can be put into the project. It returns
	// fault.ErrNotFound if the project is gone.
	CloseProject(ctx context.Context, id project.ID, closed audit.Event) error
	// TokensOfProject returns all tokens of a project by ascending id.
	TokensOfProject(ctx context.Context, id project.ID) ([]token.Token, error)
	// RevokeToken writes RevokedAt and RevokedReason of t and deletes its bot. It returns
	// token.ErrSuperseded for a token that was rotated since t was read, and fault.ErrNotFound without a
	// record.
	RevokeToken(ctx context.Context, t token.Token, revoked audit.Event) error
	// DismissMembers ends every membership of a closing project except that of but, and writes
	// dismissed with the username and level of each.
	DismissMembers(ctx context.Context, id project.ID, but account.ID, dismissed audit.Event) error
	// DeleteProject removes a closing project without children, together with the membership of last. It
	// returns fault.ErrNotFound if it is gone.
	DeleteProject(ctx context.Context, proj project.Project, last account.ID, deleted []audit.Event) error
}

// NewRemover returns a Remover, or an error that names a missing part.
func NewRemover(finder *Finder, store RemovalStore) (*Remover, error) {
	if err := fault.Missing(struct {
		Finder *Finder
		Store  RemovalStore
	}{finder, store}); err != nil {
		return nil, err
	}
	return &Remover{finder, store}, nil
}

// ErrAnotherPath means that the path with which a caller confirms a deletion is another one.
var ErrAnotherPath = fmt.Errorf("%w: path of another project", fault.ErrInput)

// deletionWorkers is how many tokens or projects are dealt with at a time. All bots share one counter, so
// more would only wait for each other.
const deletionWorkers = 8

// A deletion is one request to delete a project.
type deletion struct {
	*Remover
	by   principal.Principal
	from audit.Origin
	// root is the project of the request, and tree everything that is deleted, every group before its
	// children.
	root project.Project
	tree []project.Project
}

// Remove deletes the project ref and everything in it. Its owners and administrators may, but no bots.
// confirmed is "" or the full path. From its return without an error on, no token of it passes a check.
// Errors: those of principal.FindAccess, fault.ErrForbidden, ErrAnotherPath, and fault.ErrUnavailable when
// ctx ended first.
//
// First it closes every part, so that nothing new can come; then it ends every token, with its bot; then
// it removes the parts, from the innermost outwards. Each step is safe to repeat, and the caller's own
// membership goes with the last one. So the same request finishes a deletion that stopped half-way.
func (r *Remover) Remove(ctx context.Context, by principal.Principal, kind project.Kind, ref, confirmed string) (project.Project, error) {
	access, err := principal.FindAccess(ctx, r.find.Projects, by, kind, ref, r.find.Clock.Now())
	switch {
	case err != nil:
		return project.Project{}, err
	case by.Account.Bot || !access.AtLeast(project.Owner):
		return project.Project{}, fault.ErrForbidden
	}
	view, err := r.viewOf(ctx, access.Project, access.Standing, r.find.Clock.Now())
	if err != nil {
		return project.Project{}, err
	}
	if confirmed != "" && !strings.EqualFold(confirmed, view.FullPath()) {
		return project.Project{}, ErrAnotherPath
	}
	job := &deletion{Remover: r, by: by, from: audit.By(by, sourceIn(by, 0)), root: access.Project}
	for _, step := range []func(context.Context) error{job.close, job.endTokens, job.delete} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
			}
			return job.root, err
		}
	}
	return job.root, nil
}

func (d *deletion) event(proj project.Project, ofProject, ofGroup audit.Name) audit.Event {
	return projectEvent(d.find.Clock.Now(), d.from, proj, ofProject, ofGroup)
}

// close closes the tree. It looks for children of a group after it closed it, so none can be missed.
func (d *deletion) close(ctx context.Context) error {
	for level := []project.Project{d.root}; len(level) > 0; {
		var mu sync.Mutex
		var below []project.ID
		err := inParallel(ctx, level, func(ctx context.Context, proj project.Project) error {
			if !proj.Closing {
				err := d.store.CloseProject(ctx, proj.ID, d.event(proj, audit.ProjectClosed, audit.GroupClosed))
				switch {
				case errors.Is(err, fault.ErrNotFound) && proj.ID == d.root.ID:
					return proj.Kind.Missing()
				case err != nil && !errors.Is(err, fault.ErrNotFound): // another request has deleted it, with its tokens
					return fmt.Errorf("close %s %s: %w", proj.Kind, proj.ID, err)
				}
			}
			if proj.Kind != project.KindGroup {
				return nil
			}
			children, err := d.find.Projects.InGroup(ctx, proj.ID)
			mu.Lock()
			defer mu.Unlock()
			below = append(below, children...)
			return err
		})
		if err != nil {
			return err
		}
		d.tree = append(d.tree, level...)
		if level, err = d.projects(ctx, below); err != nil {
			return err
		}
	}
	return nil
}

// projects reads projects one by one if a batch lacks some, because a malformed one could have tokens.
func (d *deletion) projects(ctx context.Context, ids []project.ID) (found []project.Project, err error) {
	slices.Sort(ids)
	if err := d.find.Projects.ProjectsByID(ctx, ids, func(proj project.Project) { found = append(found, proj) }); err != nil || len(found) == len(ids) {
		return found, err
	}
	found = nil
	for _, id := range ids {
		switch proj, err := d.find.Projects.Project(ctx, id); {
		case errors.Is(err, fault.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("project %s: %w", id, err)
		default:
			found = append(found, proj)
		}
	}
	return found, nil
}

// endTokens revokes every token of the tree. A token that is rotated meanwhile has a successor, so it
// looks again until nothing is left. Expired tokens end too: they would work again if expiry was
// switched off.
func (d *deletion) endTokens(ctx context.Context) error {
	for {
		var mu sync.Mutex
		var left []token.Token
		err := inParallel(ctx, d.tree, func(ctx context.Context, proj project.Project) error {
			tokens, err := d.unended(ctx, proj.ID)
			mu.Lock()
			defer mu.Unlock()
			left = append(left, tokens...)
			return err
		})
		if err != nil || len(left) == 0 {
			return err
		}
		err = inParallel(ctx, left, func(ctx context.Context, t token.Token) error {
			t.RevokedAt, t.RevokedReason = d.find.Clock.Now(), token.ReasonRequest
			err := d.store.RevokeToken(ctx, t, audit.OfToken(t.RevokedAt, d.from, t, audit.Revoked))
			if err != nil && !errors.Is(err, token.ErrSuperseded) && !errors.Is(err, fault.ErrNotFound) {
				return fmt.Errorf("revoke token %s: %w", t.ID, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// unended returns the tokens of a project that could pass a check, and those whose bot is still there.
func (d *deletion) unended(ctx context.Context, id project.ID) ([]token.Token, error) {
	tokens, err := d.store.TokensOfProject(ctx, id)
	if err != nil {
		return nil, err
	}
	owners := make([]account.ID, len(tokens))
	for i, t := range tokens {
		owners[i] = t.Owner
	}
	bots, err := d.accountsOf(ctx, owners)
	if err != nil {
		return nil, err
	}
	now := d.find.Clock.Now()
	return slices.DeleteFunc(tokens, func(t token.Token) bool {
		_, there := bots[t.Owner]
		return t.RevokedIn(now, 0) && (t.Superseded() || !there)
	}), nil
}

// delete removes the projects of the tree, children first. The caller stays a member of the root until it
// goes, because a caller who is no member could not repeat the request.
func (d *deletion) delete(ctx context.Context) error {
	for _, proj := range slices.Backward(d.tree) {
		but := account.ID(0)
		events := []audit.Event{d.event(proj, audit.ProjectDeleted, audit.GroupDeleted)}
		if proj.ID == d.root.ID {
			but = d.by.Account.ID
			standing, err := d.find.Projects.Standing(ctx, proj, but)
			if err != nil {
				return err
			}
			if level := standing.Direct.Level; level != project.NoLevel {
				events = append(events, removed(d.find.Clock.Now(), d.by, proj, d.by.Account, level))
			} else {
				but = 0
			}
		}
		dismissed := d.event(proj, audit.MemberRemoved, audit.MemberRemoved)
		if err := d.store.DismissMembers(ctx, proj.ID, but, dismissed); err != nil {
			return fmt.Errorf("dismiss members of %s %s: %w", proj.Kind, proj.ID, err)
		}
		if err := d.store.DeleteProject(ctx, proj, but, events); err != nil && !errors.Is(err, fault.ErrNotFound) {
			return fmt.Errorf("delete %s %s: %w", proj.Kind, proj.ID, err)
		}
	}
	return nil
}

// inParallel does something with each value, some at a time, and stops at the first error.
func inParallel[V any](ctx context.Context, values []V, do func(context.Context, V) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletionWorkers)
	for _, value := range values {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err // an attempt now could not find out whether it was committed
			}
			return do(ctx, value)
		})
	}
	return group.Wait()
}
