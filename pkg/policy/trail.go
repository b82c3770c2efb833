package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// A TrailStore keeps the audit events, strongly consistent.
type TrailStore interface {
	// Events hands the events of an entity from one instant to another, both
	// included, to each, newest first, until it returns false.
	Events(ctx context.Context, entity audit.Entity, from, to time.Time, each func(audit.Event) bool) error
	// EveryEvent does the same for the events of all entities.
	EveryEvent(ctx context.Context, from, to time.Time, each func(audit.Event) bool) error
	// Event returns one of them. Absence is token.ErrNotFound.
	Event(ctx context.Context, id int64) (audit.Event, error)
}

// A TrailReader finds what events are about, strongly consistent. Absence is
// token.ErrNotFound.
type TrailReader interface {
	Token(ctx context.Context, id token.ID) (token.Token, error)
	User(ctx context.Context, id token.OwnerID) (principal.User, error)
	// Users hands the accounts of ids that are there to each, in no order.
	Users(ctx context.Context, ids []token.OwnerID, each func(principal.User)) error
}

// A Trail reads the audit trail for those who may. It is safe for concurrent
// use.
type Trail struct {
	Store     TrailStore
	Reader    TrailReader
	Resources principal.Resources
	Clock     clock.Clock
}

// A TrailQuery narrows a list of events. Zero fields do not narrow.
type TrailQuery struct {
	From, To time.Time // both included
	Type     audit.EntityType
	EntityID int64 // of Type
	// Token is one that it happened to.
	Token         token.ID
	Offset, Limit int
}

// maxExamined is how many events one list looks at: enough for the last page
// that may be asked for, where every event matches.
const maxExamined = 50_200

// ErrTooFar means that a list would have to look at too many events. Narrower
// instants help.
var ErrTooFar = errors.New("too many events to look through")

// A TrailPage is a part of a list, newest first.
type TrailPage struct {
	Events []audit.Event
	// More says that there are further events behind them.
	More bool
	// Users are the authors and the accounts that the events are about. The
	// ghost stands for those who were deleted.
	Users map[token.OwnerID]principal.User
	// Paths are the full paths of the projects and groups that they are about,
	// as far as those are there.
	Paths map[token.ResourceID]string
}

// Every lists the events of all entities, as administrators may see them;
// others get token.ErrForbidden. Errors: ErrTooFar.
func (t *Trail) Every(ctx context.Context, by principal.Principal, q TrailQuery) (TrailPage, error) {
	if !by.User.Admin {
		return TrailPage{}, token.ErrForbidden
	}
	entity := audit.Entity{Type: q.Type, ID: q.EntityID}
	if q.Token != 0 && entity.ID == 0 {
		var err error
		if entity, err = t.entityOf(ctx, q.Token); err != nil {
			return TrailPage{}, err
		}
	}
	matches := func(e audit.Event) bool { return q.Type == "" || e.Entity.Type == q.Type }
	if entity.ID != 0 {
		return t.list(ctx, q, matches, t.of(entity))
	}
	return t.list(ctx, q, matches, t.Store.EveryEvent)
}

// entityOf returns whose trail the events of a token are in. One that was
// cleaned up, of which nothing but its id is known, was its owner's.
func (t *Trail) entityOf(ctx context.Context, id token.ID) (audit.Entity, error) {
	tok, err := t.Reader.Token(ctx, id)
	switch {
	case errors.Is(err, token.ErrNotFound):
		return audit.UserEntity(id.Owner()), nil
	case err != nil:
		return audit.Entity{}, err
	default:
		return audit.TokenEntity(tok), nil
	}
}

// OfUser lists the events of an account, which may have been deleted, as
// administrators may see them; others get token.ErrForbidden. Errors:
// token.ErrNotFound for an account that never was, ErrTooFar.
func (t *Trail) OfUser(ctx context.Context, by principal.Principal, id token.OwnerID, q TrailQuery) (TrailPage, error) {
	if !by.User.Admin {
		return TrailPage{}, token.ErrForbidden
	}
	page, err := t.list(ctx, q, everything, t.of(audit.UserEntity(id)))
	if err == nil && len(page.Events) == 0 {
		_, err = t.Reader.User(ctx, id)
	}
	return page, err
}

// Own lists the events of the account that asks, without those of impersonation
// tokens, of which it does not know. From where somebody else acted is not told.
// Errors: ErrTooFar.
func (t *Trail) Own(ctx context.Context, by principal.Principal, q TrailQuery) (TrailPage, error) {
	page, err := t.list(ctx, q, func(e audit.Event) bool { return !e.Name.OfImpersonation() }, t.of(audit.UserEntity(by.User.ID)))
	for i := range page.Events {
		e := &page.Events[i]
		e.Presented = 0
		// Where nobody is known, as behind a token that had ended, the address is
		// all that its owner can go by.
		if e.Author != 0 && e.Author != by.User.ID || e.Asker != 0 {
			e.Address = ""
		}
	}
	return page, err
}

// OfResource lists the events of the project or group that ref names, as those
// may see them who manage its tokens. Errors: those of principal.FindAccess;
// token.ErrForbidden for other members; ErrTooFar.
func (t *Trail) OfResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, q TrailQuery) (TrailPage, error) {
	res, err := t.manages(ctx, by, kind, ref)
	if err != nil {
		return TrailPage{}, err
	}
	page, err := t.list(ctx, q, everything, t.of(audit.ResourceEntity(kind.TokenKind(), res.ID)))
	hidePresented(by, page)
	return page, err
}

// Get returns one event, as administrators may see it; others get
// token.ErrForbidden. Absence is token.ErrNotFound.
func (t *Trail) Get(ctx context.Context, by principal.Principal, id int64) (TrailPage, error) {
	if !by.User.Admin {
		return TrailPage{}, token.ErrForbidden
	}
	return t.get(ctx, id, everything)
}

// GetOfResource returns one event of a project or group. Errors: those of
// OfResource; token.ErrNotFound.
func (t *Trail) GetOfResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, id int64) (TrailPage, error) {
	res, err := t.manages(ctx, by, kind, ref)
	if err != nil {
		return TrailPage{}, err
	}
	entity := audit.ResourceEntity(kind.TokenKind(), res.ID)
	page, err := t.get(ctx, id, func(e audit.Event) bool { return e.Entity == entity })
	hidePresented(by, page)
	return page, err
}

func everything(audit.Event) bool { return true }

// hidePresented leaves out the tokens that others made their requests with:
// they are those others' own.
func hidePresented(by principal.Principal, page TrailPage) {
	for i := range page.Events {
		if !by.User.Admin {
			page.Events[i].Presented = 0
		}
	}
}

func (t *Trail) manages(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string) (principal.Resource, error) {
	access, err := principal.FindAccess(ctx, t.Resources, by, kind, ref, t.Clock.Now())
	if err == nil && !access.AtLeast(kind.ManageLevel()) {
		err = token.ErrForbidden
	}
	return access.Resource, err
}

func (t *Trail) get(ctx context.Context, id int64, mine func(audit.Event) bool) (TrailPage, error) {
	event, err := t.Store.Event(ctx, id)
	if err == nil && (!mine(event) || !event.At.After(t.oldest())) {
		err = token.ErrNotFound
	}
	if err != nil {
		return TrailPage{}, err
	}
	page := TrailPage{Events: []audit.Event{event}}
	return page, t.look(ctx, &page)
}

// oldest is the instant from before which no events are shown: clean-up may
// take them at any time.
func (t *Trail) oldest() time.Time { return t.Clock.Now().Add(-audit.Life) }

// A walk hands events to each; see TrailStore.
type walk func(ctx context.Context, from, to time.Time, each func(audit.Event) bool) error

func (t *Trail) of(entity audit.Entity) walk {
	return func(ctx context.Context, from, to time.Time, each func(audit.Event) bool) error {
		return t.Store.Events(ctx, entity, from, to, each)
	}
}

// list returns the page of q. It looks at no event behind the one that shows
// that there are more.
func (t *Trail) list(ctx context.Context, q TrailQuery, matches func(audit.Event) bool, walk walk) (TrailPage, error) {
	// Clocks differ a little, and what was just done is to be seen.
	const skew = time.Hour
	from, to := t.oldest().Add(time.Second), t.Clock.Now().Add(skew)
	if q.From.After(from) {
		from = q.From
	}
	if !q.To.IsZero() && q.To.Before(to) {
		to = q.To
	}
	page := TrailPage{}
	if to.Before(from) {
		return page, nil
	}
	examined, passed, tooFar := 0, 0, false
	err := walk(ctx, from, to, func(e audit.Event) bool {
		switch {
		case q.Token != 0 && !e.Is(q.Token), !matches(e):
		case passed < q.Offset:
			passed++
		case len(page.Events) == q.Limit:
			page.More = true
			return false
		default:
			page.Events = append(page.Events, e)
		}
		examined++
		tooFar = examined >= maxExamined
		return !tooFar
	})
	switch {
	case err != nil:
		return TrailPage{}, fmt.Errorf("read audit trail: %w", err)
	case tooFar:
		return TrailPage{}, ErrTooFar
	}
	return page, t.look(ctx, &page)
}

// look finds whom and what the events of a page name.
func (t *Trail) look(ctx context.Context, page *TrailPage) error {
	page.Users, page.Paths = map[token.OwnerID]principal.User{}, map[token.ResourceID]string{}
	var ids []token.OwnerID
	want := func(id token.OwnerID) {
		if _, seen := page.Users[id]; id != 0 && !seen {
			page.Users[id] = principal.Ghost()
			ids = append(ids, id)
		}
	}
	own := map[token.ResourceID]principal.Resource{} // in an account's namespace
	for _, e := range page.Events {
		want(e.Author)
		switch e.Entity.Type {
		case audit.User:
			want(token.OwnerID(e.Entity.ID))
		case audit.Project, audit.Group:
			id := token.ResourceID(e.Entity.ID)
			if _, seen := page.Paths[id]; seen {
				continue
			}
			res, err := t.Resources.Resource(ctx, id)
			if err != nil && !errors.Is(err, token.ErrNotFound) {
				return err
			}
			page.Paths[id] = res.FullPath
			if res.Owner != 0 {
				own[id] = res
				want(res.Owner)
			}
		}
	}
	if len(ids) > 0 {
		if err := t.Reader.Users(ctx, ids, func(u principal.User) { page.Users[u.ID] = u }); err != nil {
			return err
		}
	}
	for id, res := range own {
		page.Paths[id] = page.Users[res.Owner].Username + "/" + res.Path
	}
	return nil
}
