package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// A factSheet is what every page about one token says of it.
type factSheet struct {
	row
	Active bool
	// InAChain says that the token was rotated, or came from a rotation.
	InAChain bool
	rotated  bool
	Scopes   []heldScope
	// Parent is the token that made it, or 0 if none did or the person may not see it. ParentLink is its page,
	// or "".
	Parent     token.ID
	ParentLink string
	// Made are the working tokens that its chain made, those first that end with it. MoreMade says that
	// there are others.
	Made      []madeRow
	MoreMade  bool
	Networks  []string
	Addresses []string // of the last uses
}

// A madeRow is a token that the one on the page made or rotated.
type madeRow struct {
	ID   token.ID
	Name string // "" if the person may not see the token
	// Link is the page of the token, or "".
	Link    string
	What    string
	Ends    bool
	Rotated bool
}

// withMade adds what the chain of a token made.
func (s *Site) withMade(v *visit, view lifecycle.View, f *factSheet) error {
	made, more, err := s.parts.Lister.Made(v.ctx, v.by, view.Token)
	if err != nil {
		return err
	}
	f.Parent, f.MoreMade = view.Parent, more
	if view.Parent != 0 {
		f.ParentLink = v.pageOf(view.Parent, view.Token.ParentKind)
	}
	for _, ends := range []bool{true, false} {
		for _, m := range made {
			if m.Ends != ends {
				continue
			}
			row := madeRow{ID: m.Token.ID, Link: v.pageOf(m.Token.ID, m.Token.Kind), What: madeWords(m.Token), Ends: m.Ends, Rotated: m.Rotated}
			if m.Seen {
				row.Name = m.Token.Name
			}
			f.Made = append(f.Made, row)
		}
	}
	return nil
}

// pageOf returns the page about a token, among the pages of administrators or among the person's own, or "".
func (v *visit) pageOf(id token.ID, kind token.Kind) string {
	switch {
	case v.route.admin:
		return v.base + adminTokensPath + "/" + id.String()
	case kind == token.Personal && id.Owner() == v.by.Account.ID:
		return v.base + tokensPath + "/" + id.String()
	default:
		return ""
	}
}

// madeWords says what kind of token it is.
func madeWords(t token.Token) string {
	switch t.Kind {
	case token.Project:
		return fmt.Sprintf("a token of project %s", t.Project)
	case token.Group:
		return fmt.Sprintf("a token of group %s", t.Project)
	case token.Impersonation:
		return "an impersonation token"
	default:
		return "a personal token"
	}
}

// Ending returns how many tokens end with this one, and Staying how many do not.
func (f factSheet) Ending() (count int) {
	for _, m := range f.Made {
		if m.Ends {
			count++
		}
	}
	return count
}

// Superseded says that the token has a successor. What the chain made does not end with it.
func (f factSheet) Superseded() bool { return f.rotated }

// Staying is the number of tokens that it made and that live on.
func (f factSheet) Staying() int { return len(f.Made) - f.Ending() }

// factsOf returns the facts of a token. revoked is the event of its revocation, or nil.
func (s *Site) factsOf(v *visit, view lifecycle.View, revoked *deed) factSheet {
	t := view.Token
	f := factSheet{
		row: rowOf(view, v.now, revoked), Active: view.Active, InAChain: t.Superseded() || t.Previous != 0, rotated: t.Superseded(),
		Scopes: s.held(view), Networks: t.Networks.Texts(),
	}
	for _, address := range t.LastUsedIPs {
		f.Addresses = append(f.Addresses, address.String())
	}
	return f
}

// A tokenPage is everything about one token.
type tokenPage struct {
	factSheet
	place
	MayRotate bool
	CreatedBy string
	// Chain is the rotation chain, the newest first, if there is more than this token.
	Chain []row
	Deeds []deed
	// More says that there are older events than the page shows.
	More bool
}

// show shows one token.
func (s *Site) show(v *visit) error {
	o, view, err := s.find(v)
	if err != nil {
		return err
	}
	t := view.Token
	const deeds = 50
	events, err := o.events(trail.Query{Token: t.ID, From: t.CreatedAt, Want: listing.ByNumber(0, deeds)})
	if err != nil {
		return err
	}
	page := tokenPage{place: o.place, MayRotate: o.mayRotate(view), CreatedBy: o.maker(t, events), More: events.Next != ""}
	var revoked *deed
	for _, e := range events.Events {
		d := v.deedOf(e, events)
		if page.Deeds = append(page.Deeds, d); e.Token == t.ID && d.What == "Revoked" && revoked == nil {
			revoked = &d
		}
	}
	page.factSheet = s.factsOf(v, view, revoked)
	if err := s.withMade(v, view, &page.factSheet); err != nil {
		return err
	}
	if page.InAChain {
		chain, err := o.chain(t.Family)
		if err != nil {
			return err
		}
		for i := range chain {
			page.Chain = append(page.Chain, rowOf(chain[len(chain)-1-i], v.now, nil))
		}
	}
	return v.render(http.StatusOK, "token", "Access token", page)
}

// A heldScope is a scope of a token. It is idle if its owner may not hold it now.
type heldScope struct {
	scope.Definition
	Idle bool
}

func (s *Site) held(view lifecycle.View) (list []heldScope) {
	for _, name := range view.Token.Scopes {
		held := heldScope{scope.Definition{Name: name, Description: "Not known any more."}, !view.Scopes.Has(name)}
		for _, d := range s.parts.Issuer.Scopes().Scopes {
			if d.Name == name {
				held.Definition = d
			}
		}
		list = append(list, held)
	}
	return list
}

// A createdPage shows a new bearer, once.
type createdPage struct {
	row
	place
	Bearer   string
	Username string
	Site     string // the address, for the snippets
}

// created shows the value of a new token once. Later it goes to the token's page.
func (s *Site) created(v *visit) error {
	o, view, err := s.find(v)
	if err != nil {
		return err
	}
	bearer := v.takeOver(view.Token.ID)
	if bearer == "" {
		return o.to(view.Token.ID, "")
	}
	if isFeed(view.Token.Scopes) {
		return s.calendarLink(v, bearer)
	}
	return v.render(http.StatusOK, "created", "Copy your new token", createdPage{
		place: o.place, row: rowOf(view, v.now, nil), Bearer: bearer, Username: o.username(), Site: v.address,
	})
}

// A revokePage asks before a token is revoked.
type revokePage struct {
	factSheet
	place
	Idle      bool // not used for a long time
	Rotated   bool // it has a successor, which may work
	MayRotate bool
}

// wholeChain is the value of the field reach that revokes every token of the rotation chain.
const wholeChain = "family"

// reachOf returns how far the form wants a revocation to reach.
func reachOf(v *visit) lifecycle.Reach {
	if v.r.PostForm.Get("reach") == wholeChain {
		return lifecycle.Family
	}
	return lifecycle.Own
}

// askRevoke says what stops.
func (s *Site) askRevoke(v *visit) error {
	o, view, err := s.find(v)
	if err != nil {
		return err
	}
	if view.Revoked {
		return o.to(view.Token.ID, "")
	}
	page := revokePage{
		place: o.place, factSheet: s.factsOf(v, view, nil), Idle: view.In(lifecycle.Unused, v.now), Rotated: view.Token.Superseded(), MayRotate: o.mayRotate(view),
	}
	if err := s.withMade(v, view, &page.factSheet); err != nil {
		return err
	}
	return v.render(http.StatusOK, "revoke", "Revoke this token?", page)
}

func (s *Site) revoke(v *visit) error {
	o, view, err := s.find(v)
	if err != nil {
		return err
	}
	reach := reachOf(v)
	if err := o.revoke(view.Token.ID, reach); err != nil {
		return err
	}
	s.parts.Log.Info("token revoked", "request_id", v.request.ID, "token_id", int64(view.Token.ID), "owner", int64(view.Token.Owner))
	return o.to(view.Token.ID, "")
}

// A revokeAllPage asks before everything is revoked.
type revokeAllPage struct {
	Username string
	Working  int   // how many tokens work
	Names    []row // of those that were used last
	Given    string
	Wrong    bool
	Done     bool
}

func (s *Site) askRevokeAll(v *visit) error {
	return s.revokeAllForm(v, http.StatusOK, revokeAllPage{})
}

func (s *Site) revokeAllForm(v *visit, status int, page revokeAllPage) error {
	const names = 20
	own, err := s.parts.Lister.ListOwn(v.ctx, v.by, lifecycle.Selection{
		Group: lifecycle.Working, Sort: lifecycle.Sort{By: lifecycle.ByLastUse, Descending: true}, Limit: token.MaxNumber,
	})
	if err != nil {
		return err
	}
	page.Username, page.Working = v.by.Account.Username, own.Total
	for _, view := range usedLast(own.Views, names) {
		page.Names = append(page.Names, rowOf(view, v.now, nil))
	}
	return v.render(status, "revoke_all", "Revoke everything?", page)
}

// usedLast returns the first n of views in the order of their last use, the latest first, and those
// that were never used behind all others.
func usedLast(views []lifecycle.View, n int) []lifecycle.View {
	used := slices.DeleteFunc(slices.Clone(views), func(v lifecycle.View) bool { return v.Token.LastUsedAt.IsZero() })
	unused := slices.DeleteFunc(slices.Clone(views), func(v lifecycle.View) bool { return !v.Token.LastUsedAt.IsZero() })
	all := slices.Concat(used, unused)
	return all[:min(n, len(all))]
}

// revokeAll revokes every token of who is signed in, if they have typed their username. It also ends
// their sessions, so the reply is the last page of this one.
func (s *Site) revokeAll(v *visit) error {
	given := strings.TrimSpace(v.r.PostForm.Get("username"))
	if !strings.EqualFold(strings.TrimPrefix(given, "@"), v.by.Account.Username) {
		return s.revokeAllForm(v, http.StatusUnprocessableEntity, revokeAllPage{Given: given, Wrong: true})
	}
	if err := s.parts.Revoker.RevokeEverything(v.ctx, v.by, v.by.Account.ID); err != nil {
		return err
	}
	s.parts.Log.Info("tokens revoked", "request_id", v.request.ID, "owner", int64(v.by.Account.ID))
	username := v.by.Account.Username
	v.by.Account.Username = "" // the session is over
	return v.render(http.StatusOK, "revoke_all", "Everything is revoked", revokeAllPage{Username: username, Done: true})
}
