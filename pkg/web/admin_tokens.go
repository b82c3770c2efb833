package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"latchkey/pkg/account"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// An adminTokensPage lists tokens of all people.
type adminTokensPage struct {
	Query *query
	Tiles []tile
	Rows  []ownedRow
	Total int // or listing.Uncounted
	around
}

// An around has the links from one page of a list of tokens to others, or "".
type around struct{ First, Before, Next string }

// aroundOf returns the links of a part of a list: by cursors if it has places, and otherwise by numbers.
func aroundOf(v *visit, q *query, want listing.Want, s lifecycle.Sort, part listing.Part[lifecycle.View]) (a around) {
	if s.Kept() {
		a.First, a.Next = v.around(q, part.Next)
	} else {
		a.Before, a.Next = v.pages(q, want.Offset, want.Offset+len(part.Entries) < part.Total)
	}
	return a
}

// An ownedRow is a token in a list of several owners.
type ownedRow struct {
	row
	ownership
}

// An ownership says whose a token is.
type ownership struct {
	OwnerID account.ID
	Owner   string // the username
	Type    string // of other than personal tokens
}

func ownershipOf(t token.Token, people map[account.ID]account.Account) ownership {
	return ownership{t.Owner, people[t.Owner].Username, kindWords[t.Kind]}
}

var kindWords = map[token.Kind]string{
	token.Personal: "", token.Impersonation: "impersonation", token.Project: "project", token.Group: "group",
}

// tokenOrders are the API's orders. By id means by owner, because an id names its owner.
var tokenOrders = []string{
	"id_asc", "id_desc", "created_asc", "created_desc", "updated_asc", "updated_desc", "expires_asc", "expires_desc", "last_used_asc", "last_used_desc",
	"name_asc", "name_desc",
}

func (s *Site) adminTokens(v *visit) error {
	q := v.query()
	owner, err := v.person(q, "owner")
	if err != nil {
		return err
	}
	filter := lifecycle.Filter{
		Owner: owner, Active: activeOf(q.choice("state", "active", "inactive")), Revoked: q.yes("revoked"), Search: q.text("search"),
		CreatedAfter: q.instant("created_after"), CreatedBefore: q.instant("created_before"),
		LastUsedAfter: q.instant("last_used_after"), LastUsedBefore: q.instant("last_used_before"),
		ExpiresAfter: q.day("expires_after"), ExpiresBefore: q.day("expires_before"),
		UnusedSince: q.instant("unused_since"), WithoutNetworks: q.choice("networks", "none") != "",
	}
	sorted := q.choice("sort", tokenOrders...)
	order, _ := sortOf(sorted)
	switch sorted {
	case "id_desc":
		order = lifecycle.Sort{Descending: true}
	case "updated_asc", "updated_desc": // as in the API: only its creation changes a token
		order = lifecycle.Sort{By: lifecycle.ByCreated, Descending: sorted == "updated_desc"}
	}
	want := v.want(q)
	if !order.Kept() {
		want = listing.ByNumber(q.offset(), perPage)
	}
	page := adminTokensPage{Query: q, Tiles: v.worries(q)}
	if len(q.Broken) == 0 {
		part, err := s.parts.Lister.List(v.ctx, v.by, filter, order, want)
		if errors.Is(err, listing.ErrOrder) {
			q.wrong("sort", fmt.Sprintf("There are more than %d tokens to put in this order. Choose another, or an owner.", listing.MaxByNumber))
			return v.render(listStatus(q), "admin_tokens", "All tokens", page)
		}
		if err != nil {
			return err
		}
		if page.Rows, err = s.owned(v, part.Entries); err != nil {
			return err
		}
		page.Total = part.Total
		page.around = aroundOf(v, q, want, order, part)
	}
	return v.render(listStatus(q), "admin_tokens", "All tokens", page)
}

// activeOf returns the filter for a state, or nil for every state.
func activeOf(state string) *bool {
	if state == "" {
		return nil
	}
	active := state == "active"
	return &active
}

// owned returns the rows of tokens with their owners.
func (s *Site) owned(v *visit, views []lifecycle.View) (rows []ownedRow, err error) {
	var ids []account.ID
	for _, view := range views {
		ids = append(ids, view.Token.Owner)
	}
	owners, err := s.parts.Directory.Authors(v.ctx, ids...)
	for _, view := range views {
		rows = append(rows, ownedRow{rowOf(view, v.now, nil), ownershipOf(view.Token, owners)})
	}
	return rows, err
}

// An adminTokenPage is everything about a token of anybody.
type adminTokenPage struct {
	factSheet
	ownership
	// Kind is the kind of the project whose bot has the token, or "".
	Kind      project.Kind
	CreatedBy string
	Deeds     []adminDeed
	// More says that there are older events than the page shows.
	More bool
}

// adminView returns the token in the path with what all pages about it show.
func (s *Site) adminView(v *visit) (lifecycle.View, adminTokenPage, error) {
	id, err := token.ParseID(v.path("id"))
	if err != nil {
		return lifecycle.View{}, adminTokenPage{}, err
	}
	view, err := s.parts.Lister.Get(v.ctx, v.by, id)
	if err != nil {
		return lifecycle.View{}, adminTokenPage{}, err
	}
	t := view.Token
	people, err := s.parts.Directory.Authors(v.ctx, t.Owner, t.CreatedBy)
	if err != nil {
		return lifecycle.View{}, adminTokenPage{}, err
	}
	page := adminTokenPage{factSheet: s.factsOf(v, view, nil), ownership: ownershipOf(t, people), CreatedBy: "an operator"}
	switch t.Kind {
	case token.Project:
		page.Kind = project.KindProject
	case token.Group:
		page.Kind = project.KindGroup
	}
	if t.CreatedBy != 0 {
		page.CreatedBy = "@" + people[t.CreatedBy].Username
	}
	return view, page, nil
}

func (s *Site) adminToken(v *visit) error {
	view, page, err := s.adminView(v)
	if err != nil {
		return err
	}
	const deeds = 50
	events, err := s.parts.Trail.Every(v.ctx, v.by, trail.Query{Token: view.Token.ID, From: view.Token.CreatedAt, Want: listing.ByNumber(0, deeds)})
	if err != nil {
		return err
	}
	if err := s.withMade(v, view, &page.factSheet); err != nil {
		return err
	}
	page.More = events.Next != ""
	for _, e := range events.Events {
		page.Deeds = append(page.Deeds, adminDeedOf(v, e, events))
	}
	return v.render(http.StatusOK, "admin_token", "Token", page)
}

// adminAskRevoke says what stops.
func (s *Site) adminAskRevoke(v *visit) error {
	view, page, err := s.adminView(v)
	if err != nil {
		return err
	}
	if view.Revoked {
		return v.redirect(adminTokensPath + "/" + view.Token.ID.String())
	}
	if err := s.withMade(v, view, &page.factSheet); err != nil {
		return err
	}
	return v.render(http.StatusOK, "admin_revoke", "Revoke this token?", page)
}

func (s *Site) adminRevoke(v *visit) error {
	id, err := token.ParseID(v.path("id"))
	if err != nil {
		return err
	}
	reach := reachOf(v)
	ctx, cancel := v.early()
	defer cancel()
	done, err := s.parts.Revoker.Revoke(ctx, v.by, id, reach)
	if err != nil {
		return err
	}
	s.parts.Log.Info("token revoked", "request_id", v.request.ID, "token_id", int64(id), "owner", int64(done.Token.Owner), "revoked_by", int64(v.by.Account.ID))
	// The successor of a rotated token may go on working, so that is the one to look at.
	return v.redirect(adminTokensPath + "/" + cmp.Or(done.Successor, id).String())
}

// More reports whether the page shows the filters by dates.
func (p adminTokensPage) More() bool {
	for _, name := range []string{"created_after", "created_before", "last_used_after", "last_used_before", "unused_since", "expires_after", "expires_before"} {
		if p.Query.Get(name) != "" {
			return true
		}
	}
	return false
}
