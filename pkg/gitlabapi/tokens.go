package gitlabapi

import (
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/token"
)

type tokensAPI struct {
	*API
	lister    *lifecycle.Lister
	directory *directory.Finder
}

// Tokens returns the routes that show tokens: list, get, oneself, what oneself can reach, those of
// a project or group, and by value for administrators.
func Tokens(api *API, lister *lifecycle.Lister, d *directory.Finder) proxy.Handler {
	return api.serve((&tokensAPI{api, lister, d}).routes())
}

func (api *tokensAPI) routes() []route {
	return append([]route{
		{method: "GET", path: "/personal_access_tokens", handle: api.list, words: []row{hidden}},
		{method: "GET", path: "/personal_access_tokens/{id}", handle: api.get, words: []row{hidden}},
		{method: "GET", path: "/personal_access_tokens/self", handle: api.self},
		{method: "GET", path: "/personal_access_tokens/self/associations", handle: api.associations},
		{method: "GET", path: impersonationsPath, handle: api.listImpersonation, adminOnly: true, words: noOwner},
		{method: "GET", path: impersonationPath, handle: api.getImpersonation, adminOnly: true, words: noOwner},
		{method: "POST", path: "/admin/token", handle: api.identify, adminOnly: true,
			words: noValue},
	}, projectRoutes(api.projectRoutes)...)
}

func (api *tokensAPI) list(c *call) error {
	owner := account.ID(c.integer("user_id", 0))
	filter := c.filter()
	filter.Owner = owner
	order := sortOf(c.text("sort"))
	page := c.paging()
	want, err := c.want(page)
	if err != nil {
		return err
	}
	// An administrator's empty user_id does not mean everybody, because scripts
	// send one when a variable is unset.
	if value, given := c.scalar("user_id"); given && filter.Owner < 1 && (value != "" || c.by.Account.Admin) {
		return fault.ErrNotFound
	}
	part, err := api.lister.List(c.ctx, c.by, filter, order, want)
	if err != nil {
		return err
	}
	return c.tokens(page, part, tokenWire)
}

// tokens replies with a part of a list of tokens. One in an order without places has pages by number only.
func (c *call) tokens(p paging, part listing.Part[lifecycle.View], wire func(lifecycle.View) tokenJSON) error {
	items := each(part.Entries, wire)
	if part.Next == "" && part.Total != listing.Uncounted {
		return c.page(p, part.Total, items)
	}
	return c.part(p, part.Total, part.Next, items)
}

// filter reads the filters that every list of tokens has. Those that GitLab lacks must not be empty: scripts send
// an empty one when a variable is unset, and may revoke what is listed. GitLab's own are then no filters, as there.
func (b *binder) filter() lifecycle.Filter {
	for _, name := range []string{"unused_since", "networks", "parent_id"} {
		if b.params.given(name) && !b.params.has(name) && !b.params.misspelled(name) {
			b.reject(name, "is empty")
		}
	}
	return lifecycle.Filter{
		Active:          activeFilter(b.oneOf("state", "active", "inactive")),
		Revoked:         b.boolean("revoked"),
		Search:          b.text("search"),
		CreatedAfter:    b.instant("created_after"),
		CreatedBefore:   b.instant("created_before"),
		LastUsedAfter:   b.instant("last_used_after"),
		LastUsedBefore:  b.instant("last_used_before"),
		ExpiresAfter:    b.day("expires_after"),
		ExpiresBefore:   b.day("expires_before"),
		UnusedSince:     b.instant("unused_since"),
		WithoutNetworks: b.oneOf("networks", "none") != "",
		Parent:          b.parent(),
	}
}

// parent reads the token whose children are wanted.
func (b *binder) parent() token.ID {
	given := b.text("parent_id")
	if given == "" {
		return 0
	}
	id, err := token.ParseID(given)
	if err != nil {
		b.reject("parent_id", "is invalid")
	}
	return id
}

func activeFilter(state string) *bool {
	if state == "" {
		return nil
	}
	active := state == "active"
	return &active
}

// sortOf parses an order such as expires_desc. As in GitLab, an unknown one is the default.
func sortOf(name string) lifecycle.Sort {
	key, direction, _ := cutLast(name, "_")
	by, known := map[string]lifecycle.SortKey{
		"id":         lifecycle.ByID,
		"created":    lifecycle.ByCreated,
		"created_at": lifecycle.ByCreated,
		// Only creation, use and revocation change a token, and GitLab does not count them as
		// updates.
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

func (api *tokensAPI) get(c *call) error {
	id, err := token.ParseID(c.path("id"))
	if err != nil {
		return err
	}
	view, err := api.lister.Get(c.ctx, c.by, id)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, tokenWire(view))
}

func (api *tokensAPI) self(c *call) error {
	return c.json(http.StatusOK, tokenWire(api.lister.Self(c.by)))
}

func (api *tokensAPI) identify(c *call) error {
	value := c.required("token")
	if err := c.fault(); err != nil {
		return err
	}
	view, err := api.lister.Identify(c.ctx, c.by, value)
	if err != nil {
		return err
	}
	wire := tokenWire(view)
	impersonation := view.Token.Kind == token.Impersonation
	wire.Impersonation = &impersonation
	return c.json(http.StatusOK, wire)
}

// noValue distinguishes, as GitLab does, a value that could be a bearer from one that could not.
var noValue = []row{
	{err: lifecycle.ErrNotOurs, reply: message(http.StatusUnprocessableEntity, "Token type not supported.")},
	{err: fault.ErrNotFound, reply: message(http.StatusNotFound, map[string]string{"error": "Not found"})},
}
