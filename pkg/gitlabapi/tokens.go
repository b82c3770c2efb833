package gitlabapi

import (
	"errors"
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

type tokensAPI struct {
	*API
	lister    *lifecycle.Lister
	directory *directory.Finder
}

// Tokens returns the routes that look at tokens: list, get, oneself, what
// oneself can reach, those of a project or group, and by value for
// administrators.
func Tokens(api *API, lister *lifecycle.Lister, d *directory.Finder) http.Handler {
	return api.serve((&tokensAPI{api, lister, d}).routes())
}

func (api *tokensAPI) routes() []route {
	return append([]route{
		{method: "GET", path: "/personal_access_tokens", handle: api.list},
		{method: "GET", path: "/personal_access_tokens/{id}", handle: api.get},
		{method: "GET", path: "/personal_access_tokens/self", handle: api.self},
		{method: "GET", path: "/personal_access_tokens/self/associations", handle: api.associations},
		{method: "GET", path: impersonationsPath, handle: api.listImpersonation, adminOnly: true},
		{method: "GET", path: impersonationPath, handle: api.getImpersonation, adminOnly: true},
		{method: "POST", path: "/admin/token", handle: api.identify, adminOnly: true},
	}, projectRoutes(api.projectRoutes)...)
}

func (api *tokensAPI) list(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	by := principal.From(r.Context())
	owner := account.ID(b.integer("user_id", 0))
	filter := b.filter()
	filter.Owner = owner
	order := sortOf(b.text("sort"))
	page := b.paging()
	if err := b.faultWith(page); err != nil {
		return err
	}
	// An administrator's empty user_id is nobody's, not everybody's: it is
	// what a script sends that lost its variable.
	if value, given := b.scalar("user_id"); given && filter.Owner < 1 && (value != "" || by.Account.Admin) {
		return hidden(by, fault.ErrNotFound)
	}
	listing, err := api.lister.List(r.Context(), by, filter, order, page.offset(), page.perPage)
	if err != nil {
		return hidden(by, err)
	}
	api.writePageHeaders(w, r, page, listing.Total)
	wire := make([]tokenJSON, len(listing.Views))
	for i, view := range listing.Views {
		wire[i] = tokenWire(view)
	}
	writeJSON(w, http.StatusOK, wire)
	return nil
}

// filter reads what narrows every list of tokens.
func (b *binder) filter() lifecycle.Filter {
	return lifecycle.Filter{
		Active:         activeFilter(b.oneOf("state", "active", "inactive")),
		Revoked:        b.boolean("revoked"),
		Search:         b.text("search"),
		CreatedAfter:   b.instant("created_after"),
		CreatedBefore:  b.instant("created_before"),
		LastUsedAfter:  b.instant("last_used_after"),
		LastUsedBefore: b.instant("last_used_before"),
		ExpiresAfter:   b.day("expires_after"),
		ExpiresBefore:  b.day("expires_before"),
	}
}

func activeFilter(state string) *bool {
	if state == "" {
		return nil
	}
	active := state == "active"
	return &active
}

// sortOf reads an order such as expires_desc. One that is not known is the
// default, as in GitLab.
func sortOf(name string) lifecycle.Sort {
	key, direction, _ := cutLast(name, "_")
	by, known := map[string]lifecycle.SortKey{
		"id":         lifecycle.ByID,
		"created":    lifecycle.ByCreated,
		"created_at": lifecycle.ByCreated,
		// Nothing but creation, last use and the end ever changes a token,
		// and GitLab does not count those as updates either.
		"updated":    lifecycle.ByCreated,
		"updated_at": lifecycle.ByCreated,
		"expires":    lifecycle.ByExpiry,
		"last_used":  lifecycle.ByLastUse,
		"name":       lifecycle.ByName,
	}[key]
	if !known || direction != "asc" && direction != "desc" {
		return lifecycle.Sort{}
	}
	return lifecycle.Sort{By: by, Descending: direction == "desc"}
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

func (api *tokensAPI) get(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	id, err := token.ParseID(r.PathValue("id"))
	if err != nil {
		return hidden(by, err)
	}
	view, err := api.lister.Get(r.Context(), by, id)
	if err != nil {
		return hidden(by, err)
	}
	writeJSON(w, http.StatusOK, tokenWire(view))
	return nil
}

func (api *tokensAPI) self(w http.ResponseWriter, r *http.Request) error {
	writeJSON(w, http.StatusOK, tokenWire(api.lister.Self(principal.From(r.Context()))))
	return nil
}

func (api *tokensAPI) identify(w http.ResponseWriter, r *http.Request) error {
	value, err := presentedValue(r)
	if err != nil {
		return err
	}
	view, err := api.lister.Identify(r.Context(), principal.From(r.Context()), value)
	if err != nil {
		return valueNotFound(err)
	}
	wire := tokenWire(view)
	impersonation := view.Token.Kind == token.Impersonation
	wire.Impersonation = &impersonation
	writeJSON(w, http.StatusOK, wire)
	return nil
}

// presentedValue reads the bearer that a request is about.
func presentedValue(r *http.Request) (string, error) {
	b, err := paramsOf(r.Context())
	if err != nil {
		return "", err
	}
	value := b.required("token")
	return value, b.fault()
}

// valueNotFound tells, as GitLab does, a value that could be one of ours from
// one that could not.
func valueNotFound(err error) error {
	switch {
	case errors.Is(err, lifecycle.ErrNotOurs):
		return errTypeNotSupported
	case errors.Is(err, fault.ErrNotFound):
		return errValueNotFound
	default:
		return err
	}
}
