package directory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// A ProjectChange is a change to a project or group. Nil fields stay as they are.
type ProjectChange struct {
	Name, Description, Visibility *string
	// Path can only be the present one: a path names everything below it.
	Path *string
}

// UpdateProject changes the project ref, whose members the caller must manage. Errors: those of
// principal.FindAccess, fault.ErrForbidden, fault.Breaches, fault.ErrMoved when others keep changing it or
// it is being deleted.
func (d *Directory) UpdateProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, change ProjectChange) (View, error) {
	var err error
	for range changeTries {
		var view View
		if view, err = d.updateProject(ctx, by, kind, ref, change); !errors.Is(err, fault.ErrMoved) {
			return view, err
		}
	}
	return View{}, err
}

func (d *Directory) updateProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, change ProjectChange) (View, error) {
	access, err := d.manage(ctx, by, kind, ref)
	if err != nil {
		return View{}, err
	}
	before := access.Project
	if change.Path != nil && *change.Path != before.Path {
		return View{}, fault.Breaches{{Field: "path", Rule: fault.Fixed}}
	}
	after := before
	set(&after.Name, change.Name)
	set(&after.Description, change.Description)
	set(&after.Visibility, change.Visibility)
	if err := checkProject(after); err != nil {
		return View{}, err
	}
	// Nothing that the reply shows may fail after the commit.
	now := d.find.Clock.Now()
	view, err := d.viewOf(ctx, after, access.Standing, now)
	if err != nil {
		return View{}, err
	}
	if after.Visibility != before.Visibility {
		if err := d.checkVisibility(ctx, view); err != nil {
			return View{}, err
		}
	}
	if events := projectChanges(now, by, view, before); len(events) > 0 {
		err = d.store.UpdateProject(ctx, before, after, events)
	}
	return view, err
}

// A Clash is the limit of the rules fault.TooWide and fault.TooNarrow of a visibility.
type Clash struct {
	Visibility string
	// Above is the visibility of the group above, for one that is too wide.
	Above string
	// Kind is that of the project, for a visibility that is too narrow that of something in it.
	Kind project.Kind
}

// checkVisibility refuses a project that is wider than the group that it lies in, and a group that is
// narrower than something in it. As visibility grants nothing, a concurrent change may come in between.
func (d *Finder) checkVisibility(ctx context.Context, view View) error {
	proj := view.Project
	if n := len(view.Above); n > 0 && project.Wider(proj.Visibility, view.Above[n-1].Visibility) {
		return fault.Breaches{{Field: "visibility", Rule: fault.TooWide, Limit: Clash{proj.Visibility, view.Above[n-1].Visibility, proj.Kind}}}
	}
	if proj.Kind != project.KindGroup || proj.ID == 0 { // nothing lies in a new group
		return nil
	}
	children, err := d.find.Projects.InGroup(ctx, proj.ID)
	if err != nil {
		return err
	}
	var broken fault.Breaches
	err = d.find.Projects.ProjectsByID(ctx, children, func(child project.Project) {
		clash := fault.Breach{Field: "visibility", Rule: fault.TooNarrow, Limit: Clash{Visibility: proj.Visibility, Kind: child.Kind}}
		if project.Wider(child.Visibility, proj.Visibility) && !slices.Contains(broken, clash) {
			broken = append(broken, clash)
		}
	})
	return cmp.Or(err, broken.Err())
}

// projectChanges returns the events of a changed project, one for each attribute. They leave out
// descriptions, which may be long.
func projectChanges(at time.Time, by principal.Principal, view View, before project.Project) (events []audit.Event) {
	event := projectEvent(at, audit.By(by, sourceIn(by, 0)), before, audit.ProjectUpdated, audit.GroupUpdated)
	event.Target = view.FullPath()
	for _, attribute := range []struct{ name, from, to string }{
		{"name", before.Name, view.Project.Name},
		{"description", before.Description, view.Project.Description},
		{"visibility", before.Visibility, view.Project.Visibility},
	} {
		if attribute.from == attribute.to {
			continue
		}
		event.Change, event.From, event.To = attribute.name, attribute.from, attribute.to
		if attribute.name == "description" {
			event.From, event.To = "", ""
		}
		events = append(events, event)
	}
	return events
}
