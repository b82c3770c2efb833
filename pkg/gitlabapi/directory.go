package gitlabapi

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"latchkey/pkg/account"
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
func Directory(api *API, d *directory.Directory) http.Handler {
	return api.serve((&directoryAPI{api, d}).routes())
}

func (api *directoryAPI) routes() []route {
	routes := []route{
		{method: "GET", path: "/user", handle: api.self},
		{method: "GET", path: "/users", handle: api.list, anonymous: errAnonymousUsers},
		{method: "GET", path: "/users/{user_id}", handle: api.get, anonymous: errAnonymousUser},
		{method: "POST", path: "/users", handle: api.create},
		{method: "PUT", path: "/users/{user_id}", handle: api.update},
		{method: "DELETE", path: "/users/{user_id}", handle: api.delete, adminOnly: true},
		{method: "POST", path: "/users/{user_id}/block", handle: api.block, adminOnly: true},
		{method: "POST", path: "/users/{user_id}/unblock", handle: api.unblock, adminOnly: true},
		{method: "POST", path: "/users/{user_id}/deactivate", handle: api.deactivate, adminOnly: true},
		{method: "POST", path: "/users/{user_id}/activate", handle: api.activate, adminOnly: true},
	}
	return slices.Concat(routes, api.projectRoutes(), api.groupRoutes(), api.memberRoutes(project.KindProject), api.memberRoutes(project.KindGroup))
}

func (api *directoryAPI) self(w http.ResponseWriter, r *http.Request) error {
	user := principal.From(r.Context()).Account
	return api.writeUser(w, r, http.StatusOK, user, user.Admin)
}

// writeUser shows an account to somebody who may see it, and to administrators
// who made it.
func (api *directoryAPI) writeUser(w http.ResponseWriter, r *http.Request, status int, user account.Account, admin bool) error {
	wire := api.userWire(r.Context(), user, admin)
	if admin {
		authors, err := api.directory.Authors(r.Context(), user.CreatedBy)
		if err != nil {
			return err
		}
		wire.CreatedBy = api.authorWire(r.Context(), authors, user.CreatedBy)
	}
	writeJSON(w, status, wire)
	return nil
}

func (api *directoryAPI) get(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	user, err := withUser(r, func(id account.ID) (account.Account, error) {
		return api.directory.Get(r.Context(), by, id)
	})
	if err != nil {
		return err
	}
	return api.writeUser(w, r, http.StatusOK, user, by.Account.Admin)
}

// withUser calls do with the account in the path. An account that is not
// there is reported by its kind.
func withUser[T any](r *http.Request, do func(account.ID) (T, error)) (T, error) {
	id, err := account.ParseID(r.PathValue("user_id"))
	var result T
	if err == nil {
		result, err = do(id)
	}
	if errors.Is(err, fault.ErrNotFound) {
		err = errUserNotFound
	}
	return result, err
}

func (api *directoryAPI) list(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	by := principal.From(r.Context())
	filter := directory.Filter{
		Username: b.text("username"), Search: b.text("search"),
		Active: b.truth("active"), Blocked: b.truth("blocked"), External: b.truth("external"),
		Humans: b.truth("humans"), Admins: b.truth("admins"),
		NotActive: b.truth("exclude_active"), NotExternal: b.truth("exclude_external"),
		NotHumans: b.truth("exclude_humans"), NotBots: b.truth("without_project_bots"),
	}
	b.truth("exclude_internal") // the ghost is in no list
	identity := b.text("extern_uid") != ""
	if provider := b.text("provider") != ""; identity != provider {
		b.faults = append(b.faults, "extern_uid, provider are missing, both must be provided together")
	}
	twoFactor := b.oneOf("two_factor", "enabled", "disabled") == "enabled"
	adminOnly := directory.Filter{
		Email:        b.text("public_email"),
		CreatedAfter: b.instant("created_after"), CreatedBefore: b.instant("created_before"),
	}
	order := directory.Sort{
		By: map[string]directory.SortKey{
			"name": directory.ByName, "username": directory.ByUsername,
			"created_at": directory.ByCreated, "updated_at": directory.ByCreated,
		}[b.oneOf("order_by", "id", "name", "username", "created_at", "updated_at")],
		Ascending: b.oneOf("sort", "asc", "desc") == "asc",
	}
	page := b.paging()
	if err := b.faultWith(page); err != nil {
		return err
	}
	if by.Account.Admin {
		filter.Email = adminOnly.Email
		filter.CreatedAfter, filter.CreatedBefore = adminOnly.CreatedAfter, adminOnly.CreatedBefore
	}
	if identity && !by.Account.Admin {
		return fault.ErrForbidden
	}
	if by.Account.Admin && (identity || twoFactor) { // nobody has either: people sign in elsewhere
		api.writePageHeaders(w, r, page, 0)
		writeJSON(w, http.StatusOK, []userJSON{})
		return nil
	}
	users, total, err := api.directory.List(r.Context(), by, filter, order, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	var authors map[account.ID]account.Account
	if by.Account.Admin {
		ids := make([]account.ID, len(users))
		for i, user := range users {
			ids[i] = user.CreatedBy
		}
		if authors, err = api.directory.Authors(r.Context(), ids...); err != nil {
			return err
		}
	}
	api.writePageHeaders(w, r, page, total)
	wire := make([]userJSON, len(users))
	for i, user := range users {
		wire[i] = api.userWire(r.Context(), user, by.Account.Admin)
		if by.Account.Admin {
			wire[i].CreatedBy = api.authorWire(r.Context(), authors, user.CreatedBy)
		}
	}
	writeJSON(w, http.StatusOK, wire)
	return nil
}

// create makes an account. A password is asked for in one of GitLab's three
// ways and thrown away: Latchkey keeps none.
func (api *directoryAPI) create(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	candidate := directory.Candidate{
		Email:    b.line("email", b.required("email")),
		Name:     b.line("name", b.required("name")),
		Username: b.line("username", b.required("username")),
		Note:     b.text("note"),
		Admin:    b.truth("admin"),
		External: b.truth("external"),
	}
	if !b.params.has("password") && !b.truth("reset_password") && !b.truth("force_random_password") {
		b.faults = append(b.faults, "password, reset_password, force_random_password are missing, at least one parameter must be provided")
	}
	if err := b.fault(); err != nil {
		return err
	}
	by := principal.From(r.Context())
	user, err := api.directory.Create(r.Context(), by, candidate)
	if err != nil {
		return err
	}
	api.Log.Info("user created", facts(r, "owner", int64(user.ID), "created_by", int64(by.Account.ID))...)
	wire := api.userWire(r.Context(), user, true)
	wire.CreatedBy = api.basicUserWire(r.Context(), by.Account)
	if user.CreatedBy != by.Account.ID { // an administrator behind the caller
		authors, err := api.directory.Authors(r.Context(), user.CreatedBy)
		if err != nil {
			authors = nil // it is committed: the reply comes without who made it
		}
		wire.CreatedBy = api.authorWire(r.Context(), authors, user.CreatedBy)
	}
	writeJSON(w, http.StatusCreated, wire)
	return nil
}

// update changes an account. What GitLab keeps beside it is accepted and thrown
// away, passwords too.
func (api *directoryAPI) update(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	change := directory.Change{
		Email: b.optional("email"), Name: b.optional("name"), Username: b.optional("username"),
		Admin: b.boolean("admin"), External: b.boolean("external"),
	}
	for name, value := range map[string]*string{"email": change.Email, "name": change.Name, "username": change.Username} {
		if value != nil {
			b.line(name, *value)
		}
	}
	if note, given := b.scalar("note"); given {
		change.Note = &note
	}
	if err := b.fault(); err != nil {
		return err
	}
	by := principal.From(r.Context())
	user, err := withUser(r, func(id account.ID) (account.Account, error) {
		return api.directory.Update(r.Context(), by, id, change)
	})
	if err != nil {
		return err
	}
	api.Log.Info("user changed", facts(r, "owner", int64(user.ID), "changed_by", int64(by.Account.ID))...)
	wire := api.userWire(r.Context(), user, true)
	if authors, err := api.directory.Authors(r.Context(), user.CreatedBy); err == nil { // it is committed
		wire.CreatedBy = api.authorWire(r.Context(), authors, user.CreatedBy)
	}
	writeJSON(w, http.StatusOK, wire)
	return nil
}

func (api *directoryAPI) delete(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	_, err := withUser(r, func(id account.ID) (account.ID, error) {
		err := api.directory.Delete(r.Context(), by, id)
		if err == nil {
			api.Log.Info("user deleted", facts(r, "owner", int64(id), "deleted_by", int64(by.Account.ID))...)
		}
		return id, err
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (api *directoryAPI) deactivate(w http.ResponseWriter, r *http.Request) error {
	return api.moved(w, r, "user deactivated", "deactivated_by", api.directory.Deactivate)
}

func (api *directoryAPI) activate(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	_, err := withUser(r, func(id account.ID) (account.ID, error) {
		err := api.directory.Activate(r.Context(), by, id)
		if err == nil {
			api.Log.Info("user activated", facts(r, "owner", int64(id), "activated_by", int64(by.Account.ID))...)
		}
		return id, err
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, true)
	return nil
}

// moved writes whether an account has changed its state: null says that it was
// there already.
func (api *directoryAPI) moved(w http.ResponseWriter, r *http.Request, fact, byKey string,
	move func(context.Context, principal.Principal, account.ID) (bool, error)) error {
	by := principal.From(r.Context())
	changed, err := withUser(r, func(id account.ID) (bool, error) {
		changed, err := move(r.Context(), by, id)
		if changed {
			api.Log.Info(fact, facts(r, "owner", int64(id), byKey, int64(by.Account.ID))...) //nolint:sloglint // both are constants of the two callers
		}
		return changed, err
	})
	if err != nil {
		return err
	}
	var body any
	if changed {
		body = true
	}
	writeJSON(w, http.StatusCreated, body)
	return nil
}

func (api *directoryAPI) block(w http.ResponseWriter, r *http.Request) error {
	return api.moved(w, r, "user blocked", "blocked_by", api.directory.Block)
}

func (api *directoryAPI) unblock(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	changed, err := withUser(r, func(id account.ID) (bool, error) {
		changed, err := api.directory.Unblock(r.Context(), by, id)
		if changed {
			api.Log.Info("user unblocked", facts(r, "owner", int64(id), "unblocked_by", int64(by.Account.ID))...)
		}
		return changed, err
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, changed)
	return nil
}
