// Package trail reads the audit trail for callers who may see it.
//
// Start with Trail. The package promises that nobody sees events of other people's accounts,
// projects and groups. It writes no changes.
package trail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// A Store reads the audit events, with consistent reads.
type Store interface {
	// Events passes the events of an entity in a period to each, newest first, until each returns
	// false.
	Events(ctx context.Context, entity audit.Entity, in audit.Period, each func(audit.Event) bool) error
	// EveryEvent does the same for the events of all entities.
	EveryEvent(ctx context.Context, in audit.Period, each func(audit.Event) bool) error
	// Event returns one event. Absence is fault.ErrNotFound.
	Event(ctx context.Context, id int64) (audit.Event, error)
}

// A Reader finds the subjects of events, with consistent reads. Absence is fault.ErrNotFound.
type Reader interface {
	Token(ctx context.Context, id token.ID) (token.Token, error)
	Account(ctx context.Context, id account.ID) (account.Account, error)
	// Accounts passes the existing accounts to each, in no order.
	Accounts(ctx context.Context, ids []account.ID, each func(account.Account)) error
}

// A Trail reads the audit trail. It is safe for concurrent use.
type Trail struct{ parts Parts }

// Parts hold the dependencies of a Trail. All are required.
type Parts struct {
	Store    Store
	Reader   Reader
	Projects principal.Projects
	Clock    clock.Clock
}

// New returns a Trail, or an error that names a missing part.
func New(parts Parts) (*Trail, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Trail{parts}, nil
}

// A Query narrows a list of events. Zero fields do not narrow.
type Query struct {
	From, To time.Time // both included
	Type     audit.EntityType
	EntityID int64 // of Type
	// Token is the token of the event.
	Token token.ID
	// Author is the account that the request ran as, or Nobody.
	Author account.ID
	Name   audit.Name
	Want   listing.Want
}

// Nobody is the author of events that no account caused.
const Nobody account.ID = -1

// meets reports whether q lists e. The type and the entity decide where to look.
func (q Query) meets(e audit.Event) bool {
	author := q.Author == 0 || q.Author == e.Author || q.Author == Nobody && e.Author == 0
	return author && (q.Token == 0 || e.Is(q.Token)) && (q.Name == "" || q.Name == e.Name)
}

// A Page is a part of a list, newest first.
type Page struct {
	Events []audit.Event
	// Next is the place behind the page, or "" if no event follows.
	Next string
	// Accounts are the authors and the accounts that the events are about. The ghost stands for
	// deleted ones.
	Accounts map[account.ID]account.Account
	// Paths are the full paths of the existing projects and groups that the events are about.
	Paths map[project.ID]string
}

// Every lists the events of all entities. Only administrators may. Errors: fault.ErrForbidden,
// listing.ErrDeep, listing.ErrPlace.
func (t *Trail) Every(ctx context.Context, by principal.Principal, q Query) (Page, error) {
	if !by.Account.Admin {
		return Page{}, fault.ErrForbidden
	}
	entity := audit.Entity{Type: q.Type, ID: q.EntityID}
	if q.Token != 0 && entity.ID == 0 {
		var err error
		if entity, err = t.entityOf(ctx, q.Token); err != nil {
			return Page{}, err
		}
	}
	matches := func(e audit.Event) bool { return q.Type == "" || e.Entity.Type == q.Type }
	if entity.ID != 0 {
		return t.list(ctx, q, matches, t.of(entity))
	}
	return t.list(ctx, q, matches, t.parts.Store.EveryEvent)
}

// entityOf returns the entity whose trail has the events of a token. If clean-up has taken the
// token, that is its owner, named by its id.
func (t *Trail) entityOf(ctx context.Context, id token.ID) (audit.Entity, error) {
	tok, err := t.parts.Reader.Token(ctx, id)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return audit.AccountEntity(id.Owner()), nil
	case err != nil:
		return audit.Entity{}, err
	default:
		return audit.TokenEntity(tok), nil
	}
}

// OfAccount lists the events of an account, which may be deleted. Only administrators may. Errors:
// fault.ErrForbidden, fault.ErrNotFound for an account that never existed, listing.ErrDeep, listing.ErrPlace.
func (t *Trail) OfAccount(ctx context.Context, by principal.Principal, id account.ID, q Query) (Page, error) {
	if !by.Account.Admin {
		return Page{}, fault.ErrForbidden
	}
	page, err := t.list(ctx, q, everything, t.of(audit.AccountEntity(id)))
	if err == nil && len(page.Events) == 0 {
		_, err = t.parts.Reader.Account(ctx, id)
	}
	return page, err
}

// Own lists the events of the caller's account. It leaves out events and counts of impersonation
// tokens, and the addresses of other people's requests. Errors: listing.ErrDeep, listing.ErrPlace.
func (t *Trail) Own(ctx context.Context, by principal.Principal, q Query) (Page, error) {
	page, err := t.list(ctx, q, func(e audit.Event) bool { return !e.Name.OfImpersonation() }, t.of(audit.AccountEntity(by.Account.ID)))
	hideOthers(by, page)
	for i := range page.Events {
		page.Events[i].Tokens = 0 // the count includes impersonation tokens
	}
	return page, err
}

// OfProject lists the events of the project or group ref, for callers who manage its tokens. Only
// administrators see the addresses of other people's requests. Errors: those of
// principal.FindAccess; fault.ErrForbidden for other members; listing.ErrDeep, listing.ErrPlace.
func (t *Trail) OfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, q Query) (Page, error) {
	proj, err := t.manages(ctx, by, kind, ref)
	if err != nil {
		return Page{}, err
	}
	page, err := t.list(ctx, q, everything, t.of(audit.ProjectEntity(token.KindIn(kind), proj.ID)))
	if !by.Account.Admin {
		hideOthers(by, page)
	}
	return page, err
}

// Get returns one event. Only administrators may. Errors: fault.ErrForbidden, fault.ErrNotFound.
func (t *Trail) Get(ctx context.Context, by principal.Principal, id int64) (Page, error) {
	if !by.Account.Admin {
		return Page{}, fault.ErrForbidden
	}
	return t.get(ctx, id, everything)
}

// GetOfProject returns one event of a project or group. Errors: those of OfProject;
// fault.ErrNotFound.
func (t *Trail) GetOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, id int64) (Page, error) {
	proj, err := t.manages(ctx, by, kind, ref)
	if err != nil {
		return Page{}, err
	}
	entity := audit.ProjectEntity(token.KindIn(kind), proj.ID)
	page, err := t.get(ctx, id, func(e audit.Event) bool { return e.Entity == entity })
	if !by.Account.Admin {
		hideOthers(by, page)
	}
	return page, err
}

func everything(audit.Event) bool { return true }

// hideOthers leaves out of a page the addresses of other people's requests, and the tokens that
// requests presented.
func hideOthers(by principal.Principal, page Page) {
	for i := range page.Events {
		e := &page.Events[i]
		e.Presented = 0
		// If the author is unknown, as for an inactive token, the address is the only clue.
		if e.Author != 0 && e.Author != by.Account.ID || e.Asker != 0 {
			e.Address = ""
		}
	}
}

func (t *Trail) manages(ctx context.Context, by principal.Principal, kind project.Kind, ref string) (project.Project, error) {
	access, err := principal.FindAccess(ctx, t.parts.Projects, by, kind, ref, t.parts.Clock.Now())
	if err == nil && !access.AtLeast(kind.ManageLevel()) {
		err = fault.ErrForbidden
	}
	return access.Project, err
}

func (t *Trail) get(ctx context.Context, id int64, mine func(audit.Event) bool) (Page, error) {
	event, err := t.parts.Store.Event(ctx, id)
	if err == nil && (!mine(event) || !event.At.After(t.oldest())) {
		err = fault.ErrNotFound
	}
	if err != nil {
		return Page{}, err
	}
	page := Page{Events: []audit.Event{event}}
	return page, t.look(ctx, &page)
}

// oldest returns the instant before which events are not shown, because clean-up may take them at
// any time.
func (t *Trail) oldest() time.Time { return t.parts.Clock.Now().Add(-audit.Life) }

// A walk passes events to each; see Store.
type walk func(ctx context.Context, in audit.Period, each func(audit.Event) bool) error

func (t *Trail) of(entity audit.Entity) walk {
	return func(ctx context.Context, in audit.Period, each func(audit.Event) bool) error {
		return t.parts.Store.Events(ctx, entity, in, each)
	}
}

// maxPlace is the length of the longest place, in bytes.
const maxPlace = 64

// list returns the page of q.
func (t *Trail) list(ctx context.Context, q Query, matches func(audit.Event) bool, walk walk) (Page, error) {
	if len(q.Want.Place) > maxPlace {
		return Page{}, listing.ErrPlace
	}
	// Clocks differ a little, and the latest events must be in the list.
	const skew = time.Hour
	in := audit.Period{
		From: t.oldest().Add(time.Second), To: t.parts.Clock.Now().Add(skew), Behind: q.Want.Place,
		Expected: q.Want.Offset + q.Want.Limit + 1, // one more says whether a page follows
	}
	if q.From.After(in.From) {
		in.From = q.From
	}
	if !q.To.IsZero() && q.To.Before(in.To) {
		in.To = q.To
	}
	if in.To.Before(in.From) {
		return Page{}, nil
	}
	picker := listing.NewPicker[audit.Event](q.Want)
	err := walk(ctx, in, func(e audit.Event) bool { return picker.Take(e, e.Place, q.meets(e) && matches(e)) })
	if err != nil {
		return Page{}, fmt.Errorf("read audit trail: %w", err)
	}
	part, err := picker.Part(false)
	if err != nil {
		return Page{}, err
	}
	page := Page{Events: part.Entries, Next: part.Next}
	return page, t.look(ctx, &page)
}

// look finds the accounts and projects that the events of a page name.
func (t *Trail) look(ctx context.Context, page *Page) error {
	page.Accounts, page.Paths = map[account.ID]account.Account{}, map[project.ID]string{}
	var ids []account.ID
	want := func(id account.ID) {
		if _, seen := page.Accounts[id]; id != 0 && !seen {
			page.Accounts[id] = account.Ghost()
			ids = append(ids, id)
		}
	}
	own := map[project.ID]project.Project{} // in an account's namespace
	for _, e := range page.Events {
		want(e.Author)
		switch e.Entity.Type {
		case audit.Account:
			want(account.ID(e.Entity.ID))
		case audit.Project, audit.Group:
			id := project.ID(e.Entity.ID)
			if _, seen := page.Paths[id]; seen {
				continue
			}
			proj, err := t.parts.Projects.Project(ctx, id)
			if err != nil && !errors.Is(err, fault.ErrNotFound) {
				return err
			}
			page.Paths[id] = proj.FullPath
			if proj.Owner != 0 {
				own[id] = proj
				want(proj.Owner)
			}
		}
	}
	if len(ids) > 0 {
		if err := t.parts.Reader.Accounts(ctx, ids, func(u account.Account) { page.Accounts[u.ID] = u }); err != nil {
			return err
		}
	}
	for id, proj := range own {
		page.Paths[id] = page.Accounts[proj.Owner].Username + "/" + proj.Path
	}
	return nil
}
