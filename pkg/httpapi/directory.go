package httpapi

import (
	"errors"
	"net/http"
	"slices"

	"latchkey/pkg/directory"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
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
		{method: "POST", path: "/users/{user_id}/block", handle: api.block, adminOnly: true},
		{method: "POST", path: "/users/{user_id}/unblock", handle: api.unblock, adminOnly: true},
	}
	return slices.Concat(routes, api.projectRoutes(), api.groupRoutes(), api.memberRoutes(principal.Project), api.memberRoutes(principal.Group))
}

func (api *directoryAPI) self(w http.ResponseWriter, r *http.Request) error {
	user := principal.From(r.Context()).User
	writeJSON(w, http.StatusOK, api.userWire(r.Context(), user, user.Admin))
	return nil
}

func (api *directoryAPI) get(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	user, err := withUser(r, func(id token.OwnerID) (principal.User, error) {
		return api.directory.Get(r.Context(), by, id)
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, api.userWire(r.Context(), user, by.User.Admin))
	return nil
}

// withUser calls do with the account in the path. An account that is not
// there is reported by its kind.
func withUser[T any](r *http.Request, do func(token.OwnerID) (T, error)) (T, error) {
	id, err := token.ParseOwnerID(r.PathValue("user_id"))
	var result T
	if err == nil {
		result, err = do(id)
	}
	if errors.Is(err, token.ErrNotFound) {
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
	if by.User.Admin {
		filter.Email = adminOnly.Email
		filter.CreatedAfter, filter.CreatedBefore = adminOnly.CreatedAfter, adminOnly.CreatedBefore
	}
	users, total, err := api.directory.List(r.Context(), by, filter, order, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	api.writePageHeaders(w, r, page, total)
	wire := make([]userJSON, len(users))
	for i, user := range users {
		wire[i] = api.userWire(r.Context(), user, by.User.Admin)
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
	api.Log.Info("user created", facts(r, "owner", int64(user.ID), "created_by", int64(by.User.ID))...)
	writeJSON(w, http.StatusCreated, api.userWire(r.Context(), user, true))
	return nil
}

func (api *directoryAPI) block(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	changed, err := withUser(r, func(id token.OwnerID) (bool, error) {
		changed, err := api.directory.Block(r.Context(), by, id)
		if changed {
			api.Log.Info("user blocked", facts(r, "owner", int64(id), "blocked_by", int64(by.User.ID))...)
		}
		return changed, err
	})
	if err != nil {
		return err
	}
	var body any // null says that the account was blocked already
	if changed {
		body = true
	}
	writeJSON(w, http.StatusCreated, body)
	return nil
}

func (api *directoryAPI) unblock(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	changed, err := withUser(r, func(id token.OwnerID) (bool, error) {
		changed, err := api.directory.Unblock(r.Context(), by, id)
		if changed {
			api.Log.Info("user unblocked", facts(r, "owner", int64(id), "unblocked_by", int64(by.User.ID))...)
		}
		return changed, err
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, changed)
	return nil
}
