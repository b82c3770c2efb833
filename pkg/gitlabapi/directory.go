package gitlabapi

import (
	"context"
	"net/http"
	"slices"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

type directoryAPI struct {
	*API
	directory *directory.Directory
}

// Directory returns the routes of accounts, projects, groups and members.
func Directory(api *API, d *directory.Directory) proxy.Handler {
	return api.serve((&directoryAPI{api, d}).routes())
}

func (api *directoryAPI) routes() []route {
	routes := []route{
		{method: "GET", path: "/user", handle: api.self},
		{method: "GET", path: "/users", handle: api.list, anonymous: errAnonymousUsers},
		{method: "GET", path: "/users/{user_id}", handle: api.get, anonymous: errAnonymousUser, words: []row{noUser}},
		{method: "POST", path: "/users", handle: api.create},
		{method: "PUT", path: "/users/{user_id}", handle: api.update, words: []row{noUser}},
		{method: "DELETE", path: "/users/{user_id}", handle: api.delete, adminOnly: true, words: []row{noUser}},
		{method: "POST", path: "/users/{user_id}/block", handle: api.block, adminOnly: true, words: []row{noUser}},
		{method: "POST", path: "/users/{user_id}/unblock", handle: api.unblock, adminOnly: true, words: []row{noUser}},
		{method: "POST", path: "/users/{user_id}/deactivate", handle: api.deactivate, adminOnly: true, words: []row{noUser}},
		{method: "POST", path: "/users/{user_id}/activate", handle: api.activate, adminOnly: true, words: []row{noUser}},
	}
	return slices.Concat(routes, api.projectRoutes(), api.namespaceRoutes(), api.groupRoutes(), api.memberRoutes(project.KindProject), api.memberRoutes(project.KindGroup))
}

func (api *directoryAPI) self(c *call) error {
	acct, err := api.directory.Get(c.ctx, c.by, c.by.Account.ID)
	if err != nil {
		return err
	}
	return api.show(c, acct, c.by.Account.Admin)
}

// show replies with an account. Administrators also see who made it.
func (api *directoryAPI) show(c *call, acct account.Account, admin bool) error {
	wire := c.userWire(acct, admin)
	if admin {
		authors, err := api.directory.Authors(c.ctx, acct.CreatedBy)
		if err != nil {
			return err
		}
		wire.CreatedBy = c.authorWire(authors, acct.CreatedBy)
	}
	return c.json(http.StatusOK, wire)
}

func (api *directoryAPI) get(c *call) error {
	id, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return err
	}
	acct, err := api.directory.Get(c.ctx, c.by, id)
	if err != nil {
		return err
	}
	return api.show(c, acct, c.by.Account.Admin)
}

func (api *directoryAPI) list(c *call) error {
	filter := directory.Filter{
		Username: c.text("username"), Search: c.text("search"),
		Active: c.truth("active"), Blocked: c.truth("blocked"), External: c.truth("external"),
		Humans: c.truth("humans"), Admins: c.truth("admins"),
		NotActive: c.truth("exclude_active"), NotExternal: c.truth("exclude_external"),
		NotHumans: c.truth("exclude_humans"), NotBots: c.truth("without_project_bots"),
	}
	c.truth("exclude_internal") // no list includes the ghost
	identity := c.text("extern_uid") != ""
	if provider := c.text("provider") != ""; identity != provider {
		c.faults = append(c.faults, "extern_uid, provider are missing, both must be provided together")
	}
	twoFactor := c.oneOf("two_factor", "enabled", "disabled") == "enabled"
	adminOnly := directory.Filter{
		Email:        c.text("public_email"),
		CreatedAfter: c.instant("created_after"), CreatedBefore: c.instant("created_before"),
	}
	order := directory.Sort{
		By: map[string]directory.SortKey{
			"name": directory.ByName, "username": directory.ByUsername,
			"created_at": directory.ByCreated, "updated_at": directory.ByCreated,
		}[c.oneOf("order_by", "id", "name", "username", "created_at", "updated_at")],
		Ascending: c.oneOf("sort", "asc", "desc") == "asc",
	}
	page := c.paging()
	want, err := c.want(page)
	if err != nil {
		return err
	}
	if c.by.Account.Admin {
		filter.Email = adminOnly.Email
		filter.CreatedAfter, filter.CreatedBefore = adminOnly.CreatedAfter, adminOnly.CreatedBefore
	}
	if identity && !c.by.Account.Admin {
		return fault.ErrForbidden
	}
	if c.by.Account.Admin && (identity || twoFactor) { // no account has either, because people sign in elsewhere
		return c.part(page, 0, "", []userJSON{})
	}
	part, err := api.directory.List(c.ctx, c.by, filter, order, want)
	if err != nil {
		return err
	}
	var authors map[account.ID]account.Account
	if c.by.Account.Admin {
		ids := each(part.Entries, func(acct account.Account) account.ID { return acct.CreatedBy })
		if authors, err = api.directory.Authors(c.ctx, ids...); err != nil {
			return err
		}
	}
	return c.part(page, part.Total, part.Next, each(part.Entries, func(acct account.Account) userJSON {
		acct.Note = start(acct.Note, maxListedNote)
		wire := c.userWire(acct, c.by.Account.Admin)
		if c.by.Account.Admin {
			wire.CreatedBy = c.authorWire(authors, acct.CreatedBy)
		}
		return wire
	}))
}

// maxListedNote is how many characters of a note a list shows. A page of the longest notes would be
// longer than a reply of a function may be (Lambda quotas: 6 MB).
const maxListedNote = 10_000

// start returns the first characters of a text.
func start(text string, characters int) string {
	n := 0
	for i := range text {
		if n++; n > characters {
			return text[:i]
		}
	}
	return text
}

// create makes an account. GitLab's clients must send a password or request one; Latchkey ignores
// it.
func (api *directoryAPI) create(c *call) error {
	candidate := directory.Candidate{
		Email:    c.line("email", c.required("email")),
		Name:     c.line("name", c.required("name")),
		Username: c.line("username", c.required("username")),
		Note:     c.text("note"),
		Admin:    c.truth("admin"),
		External: c.truth("external"),
	}
	if mayMake := c.boolean("can_create_group"); mayMake != nil {
		candidate.NoGroups = !*mayMake
	}
	if !c.params.has("password") && !c.truth("reset_password") && !c.truth("force_random_password") {
		c.faults = append(c.faults, "password, reset_password, force_random_password are missing, at least one parameter must be provided")
	}
	if err := c.fault(); err != nil {
		return err
	}
	acct, err := api.directory.Create(c.ctx, c.by, candidate)
	if err != nil {
		return err
	}
	api.Log.Info("user created", c.facts("owner", int64(acct.ID), "created_by", int64(c.by.Account.ID))...)
	wire := c.userWire(acct, true)
	wire.CreatedBy = c.basicUserWire(c.by.Account)
	if acct.CreatedBy != c.by.Account.ID { // by sudo or impersonation
		wire.CreatedBy = api.author(c, acct)
	}
	return c.json(http.StatusCreated, wire)
}

// author returns the author of a changed account. If the read fails, the reply omits the author,
// because the change is committed.
func (api *directoryAPI) author(c *call, acct account.Account) *basicUserJSON {
	authors, err := api.directory.Authors(c.ctx, acct.CreatedBy)
	if err != nil {
		return nil
	}
	return c.authorWire(authors, acct.CreatedBy)
}

// update changes an account. It ignores fields that only GitLab has, such as passwords.
func (api *directoryAPI) update(c *call) error {
	change := directory.Change{
		Email: c.optional("email"), Name: c.optional("name"), Username: c.optional("username"),
		Admin: c.boolean("admin"), External: c.boolean("external"), Unreachable: c.boolean("unreachable"),
	}
	if mayMake := c.boolean("can_create_group"); mayMake != nil {
		none := !*mayMake
		change.NoGroups = &none
	}
	for name, value := range map[string]*string{"email": change.Email, "name": change.Name, "username": change.Username} {
		if value != nil {
			c.line(name, *value)
		}
	}
	if note, given := c.scalar("note"); given {
		change.Note = &note
	}
	if err := c.fault(); err != nil {
		return err
	}
	id, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return err
	}
	acct, err := api.directory.Update(c.ctx, c.by, id, change)
	if err != nil {
		return err
	}
	api.Log.Info("user changed", c.facts("owner", int64(acct.ID), "changed_by", int64(c.by.Account.ID))...)
	wire := c.userWire(acct, true)
	wire.CreatedBy = api.author(c, acct)
	return c.json(http.StatusOK, wire)
}

// move changes the state of the account in the path and logs fact if it changed.
// byKey is the log key of the caller.
func (api *directoryAPI) move(c *call, fact, byKey string, move func(context.Context, principal.Principal, account.ID) (bool, error)) (bool, error) {
	id, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return false, err
	}
	changed, err := move(c.ctx, c.by, id)
	if changed {
		api.Log.Info(fact, c.facts("owner", int64(id), byKey, int64(c.by.Account.ID))...) //nolint:sloglint // both are constants of the callers
	}
	return changed, err
}

// always turns a use case that reports no change into one that always did.
func always(move func(context.Context, principal.Principal, account.ID) error) func(context.Context, principal.Principal, account.ID) (bool, error) {
	return func(ctx context.Context, by principal.Principal, id account.ID) (bool, error) {
		err := move(ctx, by, id)
		return err == nil, err
	}
}

func (api *directoryAPI) delete(c *call) error {
	if _, err := api.move(c, "user deleted", "deleted_by", always(api.directory.Delete)); err != nil {
		return err
	}
	return c.noContent()
}

func (api *directoryAPI) activate(c *call) error {
	if _, err := api.move(c, "user activated", "activated_by", always(api.directory.Activate)); err != nil {
		return err
	}
	return c.json(http.StatusCreated, true)
}

func (api *directoryAPI) unblock(c *call) error {
	changed, err := api.move(c, "user unblocked", "unblocked_by", api.directory.Unblock)
	if err != nil {
		return err
	}
	return c.json(http.StatusCreated, changed)
}

func (api *directoryAPI) block(c *call) error {
	changed, err := api.move(c, "user blocked", "blocked_by", api.directory.Block)
	return c.trueOrNull(changed, err)
}

func (api *directoryAPI) deactivate(c *call) error {
	changed, err := api.move(c, "user deactivated", "deactivated_by", api.directory.Deactivate)
	return c.trueOrNull(changed, err)
}

// trueOrNull replies true for a change of state, and null if the account was already in that state.
func (c *call) trueOrNull(changed bool, err error) error {
	switch {
	case err != nil:
		return err
	case changed:
		return c.json(http.StatusCreated, true)
	default:
		return c.json(http.StatusCreated, nil)
	}
}
