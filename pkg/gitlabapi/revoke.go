package gitlabapi

import (
	"errors"
	"net/http"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

type revokeAPI struct {
	*API
	revoker *lifecycle.Revoker
}

// Revoke returns the routes that end tokens: by id, the one presented, all that
// somebody has, those of a project or group, and for administrators by value
// and for impersonation.
func Revoke(api *API, revoker *lifecycle.Revoker) http.Handler {
	return api.serve((&revokeAPI{api, revoker}).routes())
}

func (api *revokeAPI) routes() []route {
	return append([]route{
		{method: "DELETE", path: "/personal_access_tokens/{id}", handle: api.revoke},
		{method: "DELETE", path: "/personal_access_tokens/self", handle: api.revokeSelf},
		{method: "DELETE", path: "/user/personal_access_tokens", handle: api.revokeOwn},
		{method: "DELETE", path: "/users/{user_id}/personal_access_tokens", handle: api.revokeAllOf, adminOnly: true},
		{method: "DELETE", path: impersonationPath, handle: api.revokeImpersonation, adminOnly: true},
		{method: "DELETE", path: "/admin/token", handle: api.revokeValue, adminOnly: true},
	}, projectRoutes(api.projectRoutes)...)
}

func (api *revokeAPI) revoke(w http.ResponseWriter, r *http.Request) error {
	id, err := token.ParseID(r.PathValue("id"))
	if err == nil {
		err = api.revoker.Revoke(r.Context(), principal.From(r.Context()), id)
	}
	if errors.Is(err, fault.ErrNotFound) {
		return errNotFoundLower
	}
	return api.revoked(w, r, id, err)
}

func (api *revokeAPI) revokeSelf(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	return api.revoked(w, r, by.Token.ID, api.revoker.RevokeSelf(r.Context(), by))
}

func (api *revokeAPI) revokeOwn(w http.ResponseWriter, r *http.Request) error {
	return api.revokeEverything(w, r, principal.From(r.Context()).Account.ID)
}

func (api *revokeAPI) revokeAllOf(w http.ResponseWriter, r *http.Request) error {
	owner, err := account.ParseID(r.PathValue("user_id"))
	if err != nil {
		return errUserNotFound
	}
	return api.revokeEverything(w, r, owner)
}

func (api *revokeAPI) revokeEverything(w http.ResponseWriter, r *http.Request, owner account.ID) error {
	err := api.revoker.RevokeEverything(r.Context(), principal.From(r.Context()), owner)
	switch {
	case errors.Is(err, lifecycle.ErrBot):
		return &badRequest{inWords(err)}
	case errors.Is(err, fault.ErrNotFound):
		return errUserNotFound
	case err != nil:
		return err
	}
	api.Count("TokensRevoked", "everything")
	api.Log.Info("all tokens revoked", facts(r, "owner", int64(owner))...)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (api *revokeAPI) revokeValue(w http.ResponseWriter, r *http.Request) error {
	value, err := presentedValue(r)
	if err != nil {
		return err
	}
	id, err := api.revoker.RevokeValue(r.Context(), principal.From(r.Context()), value)
	return api.revoked(w, r, id, valueNotFound(err))
}

func (api *revokeAPI) revoked(w http.ResponseWriter, r *http.Request, id token.ID, err error) error {
	if err != nil {
		return err
	}
	api.Count("TokensRevoked", string(token.ReasonRequest))
	api.Log.Info("token revoked", facts(r, "token_id", int64(id), "owner", int64(id.Owner()))...)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
