package directory

import (
	"context"
	"errors"
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
	if events := projectChanges(now, by, view, before); len(events) > 0 {
		err = d.store.UpdateProject(ctx, before, after, events)
	}
	return view, err
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
