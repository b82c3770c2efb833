package web

import (
	"errors"
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
)

// An adminUsersPage lists accounts.
type adminUsersPage struct {
	Query       *query
	Rows        []userRow
	Total       int
	First, Next string // links, or ""
}

// A userRow is an account in a list.
type userRow struct {
	ID             account.ID
	Username, Name string
	State          state
	Kind           string // "Person", "Administrator" or "Bot"
	External       bool
	Created        moment
}

var accountStates = map[account.State]state{
	account.Active:      {Mark: "good", Words: "Active"},
	account.Blocked:     {Mark: "near", Words: "Blocked"},
	account.Deactivated: {Mark: "over", Words: "Deactivated"},
}

func userRowOf(acct account.Account, v *visit) userRow {
	r := userRow{
		ID: acct.ID, Username: acct.Username, Name: acct.Name, State: accountStates[acct.State], Kind: "Person",
		External: acct.External, Created: before(acct.CreatedAt, v.now),
	}
	switch {
	case acct.Bot:
		r.Kind = "Bot"
	case acct.Admin:
		r.Kind = "Administrator"
	}
	return r
}

var userOrders = map[string]directory.Sort{
	"":             {},
	"created_desc": {By: directory.ByCreated}, "created_asc": {By: directory.ByCreated, Ascending: true},
	"name_asc": {By: directory.ByName, Ascending: true}, "name_desc": {By: directory.ByName},
	"username_asc": {By: directory.ByUsername, Ascending: true}, "username_desc": {By: directory.ByUsername},
}

func (s *Site) adminUsers(v *visit) error {
	q := v.query()
	filter := directory.Filter{Search: q.text("search"), CreatedAfter: q.instant("created_after"), CreatedBefore: q.instant("created_before")}
	switch q.choice("state", "active", "blocked", "inactive") {
	case "active":
		filter.Active = true
	case "blocked":
		filter.Blocked = true
	case "inactive":
		filter.NotActive = true
	}
	switch q.choice("kind", "people", "admins", "bots", "external") {
	case "people":
		filter.NotBots = true
	case "admins":
		filter.Admins = true
	case "bots":
		filter.NotHumans = true
	case "external":
		filter.External = true
	}
	order := userOrders[q.choice("sort", "created_desc", "created_asc", "name_asc", "name_desc", "username_asc", "username_desc")]
	want := v.want(q)
	page := adminUsersPage{Query: q, Total: listing.Uncounted}
	if len(q.Broken) == 0 {
		part, err := s.parts.Directory.List(v.ctx, v.by, filter, order, want)
		switch {
		case errors.Is(err, listing.ErrOrder):
			q.wrong("sort", "There are too many accounts for this order. Choose newest or oldest first.")
		case err != nil:
			return err
		}
		for _, acct := range part.Entries {
			page.Rows = append(page.Rows, userRowOf(acct, v))
		}
		page.Total = part.Total
		page.First, page.Next = v.around(q, part.Next)
	}
	return v.render(listStatus(q), "admin_users", "Users", page)
}

// An adminUserPage is everything about one account.
type adminUserPage struct {
	userRow
	Email, Note string
	// Issuer is the provider with which the person signs in, or "".
	Issuer    string
	CreatedBy string
	Working   int
	Self      bool
	// Unreachable says why the account gets no mails, or is "".
	Unreachable   account.Unreachable
	UnreachableAt moment
	// Refused says why the last action changed nothing, or is "".
	Refused string
}

func (s *Site) adminUser(v *visit) error {
	acct, err := v.account()
	if err != nil {
		return err
	}
	return s.showUser(v, acct, http.StatusOK, "")
}

// maxShownNote is how many characters of a note the page shows.
const maxShownNote = 2000

func (s *Site) showUser(v *visit, acct account.Account, status int, refused string) error {
	working, err := s.parts.Lister.WorkingOf(v.ctx, v.by, acct.ID)
	if err != nil {
		return err
	}
	page := adminUserPage{
		userRow: userRowOf(acct, v), Email: acct.Email, Note: acct.Note, Issuer: acct.Identity.Issuer, CreatedBy: "an operator or the first sign-in",
		Working: len(working), Self: acct.ID == v.by.Account.ID, Refused: refused,
		Unreachable: acct.Unreachable, UnreachableAt: before(acct.UnreachableAt, v.now),
	}
	if runes := []rune(page.Note); len(runes) > maxShownNote {
		page.Note = string(runes[:maxShownNote]) + "…"
	}
	if acct.CreatedBy != 0 {
		authors, err := s.parts.Directory.Authors(v.ctx, acct.CreatedBy)
		if err != nil {
			return err
		}
		page.CreatedBy = "@" + authors[acct.CreatedBy].Username
	}
	return v.render(status, "admin_user", "User", page)
}

// adminBlock blocks an account.
func (s *Site) adminBlock(v *visit) error {
	acct, err := v.account()
	if err != nil {
		return err
	}
	changed, err := s.parts.Directory.Block(v.ctx, v.by, acct.ID)
	if changed {
		s.parts.Log.Info("user blocked", "request_id", v.request.ID, "owner", int64(acct.ID), "blocked_by", int64(v.by.Account.ID))
	}
	return s.moved(v, acct, err)
}

// adminUnblock undoes it.
func (s *Site) adminUnblock(v *visit) error {
	acct, err := v.account()
	if err != nil {
		return err
	}
	changed, err := s.parts.Directory.Unblock(v.ctx, v.by, acct.ID)
	if changed {
		s.parts.Log.Info("user unblocked", "request_id", v.request.ID, "owner", int64(acct.ID), "unblocked_by", int64(v.by.Account.ID))
	}
	return s.moved(v, acct, err)
}

// adminReachable takes the mark that mails do not reach an account.
func (s *Site) adminReachable(v *visit) error {
	acct, err := v.account()
	if err != nil {
		return err
	}
	marked := false
	if _, err := s.parts.Directory.Update(v.ctx, v.by, acct.ID, directory.Change{Unreachable: &marked}); err != nil {
		return err
	}
	s.parts.Log.Info("user changed", "request_id", v.request.ID, "owner", int64(acct.ID), "changed_by", int64(v.by.Account.ID))
	return v.redirect(adminUserPath(acct.ID, ""))
}

// moved goes back to an account after a change of its state, or says why it did not change.
func (s *Site) moved(v *visit, acct account.Account, err error) error {
	refused := ""
	switch {
	case err == nil:
		return v.redirect(adminUserPath(acct.ID, ""))
	case errors.Is(err, directory.ErrSelf):
		refused = "You cannot block yourself. Nothing was changed."
	case errors.Is(err, directory.ErrDeactivated):
		refused = "This account is deactivated and not blocked. Nothing was changed."
	default:
		return err
	}
	v.err = err
	return s.showUser(v, acct, refusalOf(err).status, refused)
}

// An adminRevokeAllPage asks before everything of an account is revoked.
type adminRevokeAllPage struct {
	userRow
	Working int // how many tokens work
	Names   []row
	Given   string
	Wrong   bool
}

func (s *Site) adminAskRevokeAll(v *visit) error {
	acct, err := s.endable(v)
	if err != nil || acct.ID == 0 {
		return err
	}
	return s.adminRevokeAllForm(v, acct, http.StatusOK, adminRevokeAllPage{})
}

// endable returns the account in the path, of which everything can be revoked. Of a bot nothing can,
// and one's own account has a page of its own; then the reply is written and the account is none.
func (s *Site) endable(v *visit) (account.Account, error) {
	acct, err := v.account()
	switch {
	case err != nil:
		return account.Account{}, err
	case acct.ID == v.by.Account.ID:
		return account.Account{}, v.redirect(tokensPath + "/revoke_all")
	case acct.Bot:
		v.err = lifecycle.ErrBot
		return account.Account{}, s.showUser(v, acct, refusalOf(v.err).status, "A bot has one token. Revoke that: the bot goes with it.")
	}
	return acct, nil
}

func (s *Site) adminRevokeAllForm(v *visit, acct account.Account, status int, page adminRevokeAllPage) error {
	const names = 20
	working, err := s.parts.Lister.WorkingOf(v.ctx, v.by, acct.ID)
	if err != nil {
		return err
	}
	page.userRow, page.Working = userRowOf(acct, v), len(working)
	for _, view := range working[:min(names, len(working))] {
		page.Names = append(page.Names, rowOf(view, v.now, nil))
	}
	return v.render(status, "admin_revoke_all", "Revoke everything?", page)
}

func (s *Site) adminRevokeAll(v *visit) error {
	acct, err := s.endable(v)
	if err != nil || acct.ID == 0 {
		return err
	}
	given := strings.TrimSpace(v.r.PostForm.Get("username"))
	if !strings.EqualFold(strings.TrimPrefix(given, "@"), acct.Username) {
		return s.adminRevokeAllForm(v, acct, http.StatusUnprocessableEntity, adminRevokeAllPage{Given: given, Wrong: true})
	}
	if err := s.parts.Revoker.RevokeEverything(v.ctx, v.by, acct.ID); err != nil {
		return err
	}
	s.parts.Log.Info("tokens revoked", "request_id", v.request.ID, "owner", int64(acct.ID), "revoked_by", int64(v.by.Account.ID))
	return v.redirect(adminUserPath(acct.ID, ""))
}
