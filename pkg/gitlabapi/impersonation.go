package gitlabapi

import (
	"errors"
	"net/http"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// Impersonation tokens are made, listed and ended by three functions; what is
// particular to them on the wire is here. Their rules are reported by field,
// in GitLab's words for a record and not for a request.

const (
	impersonationsPath = "/users/{user_id}/impersonation_tokens"
	impersonationPath  = impersonationsPath + "/{id}"
)

// noOwner tells an owner who is not there from a token that is not.
func noOwner(err error) error {
	if errors.Is(err, fault.ErrNotFound) && !errors.Is(err, lifecycle.ErrNoImpersonation) {
		return errUserNotFound
	}
	return err
}

// impersonationIDs reads the path. An id in no spelling of one is no token's,
// which is reported only where the owner is there.
func impersonationIDs(r *http.Request) (account.ID, token.ID, error) {
	owner, err := account.ParseID(r.PathValue("user_id"))
	if err != nil {
		return 0, 0, errUserNotFound
	}
	id, err := token.ParseID(r.PathValue("id"))
	if err != nil {
		id = 0
	}
	return owner, id, nil
}

func impersonationWire(wire tokenJSON) tokenJSON {
	impersonation := true
	wire.Impersonation = &impersonation
	return wire
}

func (api *issueAPI) createImpersonation(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	spec := lifecycle.Spec{
		Name:        b.line("name", b.required("name")),
		Description: b.text("description"),
		ExpiresOn:   b.day("expires_at"),
		Networks:    b.networks("allowed_cidrs"),
	}
	for _, name := range b.texts("scopes") { // names that are not known are a broken rule here
		if s := scope.Scope(name); !spec.Scopes.Has(s) {
			spec.Scopes = append(spec.Scopes, s)
		}
	}
	if err := b.fault(); err != nil {
		return err
	}
	if spec.Key, err = specKey(r, spec); err != nil {
		return err
	}
	owner, err := account.ParseID(r.PathValue("user_id"))
	if err != nil {
		return errUserNotFound
	}
	by := principal.From(r.Context())
	issued, err := api.issuer.CreateImpersonation(r.Context(), by, owner, spec)
	if errors.Is(err, account.ErrInactive) && owner != by.Account.ID {
		return &inFields{errNotPermitted, map[string][]string{"user": {"must be active"}}}
	}
	if errors.Is(err, lifecycle.ErrForBot) {
		return &inFields{errNotPermitted, map[string][]string{"user": {"must not be a bot"}}}
	}
	if err != nil {
		return tokenFields(noOwner(err))
	}
	api.issued(r, issued)
	writeJSON(w, http.StatusCreated, impersonationWire(issuedWire(issued)))
	return nil
}

func (api *tokensAPI) listImpersonation(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	state := b.oneOf("state", "all", "active", "inactive")
	page := b.paging()
	if err := b.faultWith(page); err != nil {
		return err
	}
	filter := lifecycle.Filter{Kind: token.Impersonation}
	if state != "all" {
		filter.Active = activeFilter(state)
	}
	if filter.Owner, err = account.ParseID(r.PathValue("user_id")); err != nil {
		return errUserNotFound
	}
	listing, err := api.lister.List(r.Context(), principal.From(r.Context()), filter, lifecycle.Sort{}, page.offset(), page.perPage)
	if err != nil {
		return noOwner(err)
	}
	api.writePageHeaders(w, r, page, listing.Total)
	wire := make([]tokenJSON, len(listing.Views))
	for i, view := range listing.Views {
		wire[i] = impersonationWire(tokenWire(view))
	}
	writeJSON(w, http.StatusOK, wire)
	return nil
}

func (api *tokensAPI) getImpersonation(w http.ResponseWriter, r *http.Request) error {
	owner, id, err := impersonationIDs(r)
	if err != nil {
		return err
	}
	view, err := api.lister.GetImpersonation(r.Context(), principal.From(r.Context()), owner, id)
	if err != nil {
		return noOwner(err)
	}
	writeJSON(w, http.StatusOK, impersonationWire(tokenWire(view)))
	return nil
}

func (api *revokeAPI) revokeImpersonation(w http.ResponseWriter, r *http.Request) error {
	owner, id, err := impersonationIDs(r)
	if err != nil {
		return err
	}
	// A date that cannot be read sets no condition (RFC 9110 section 13.1.4).
	var unchangedSince time.Time
	if values := r.Header.Values("If-Unmodified-Since"); len(values) == 1 {
		if unchangedSince, err = http.ParseTime(values[0]); err != nil {
			unchangedSince = time.Time{}
		}
	}
	err = api.revoker.RevokeImpersonation(r.Context(), principal.From(r.Context()), owner, id, unchangedSince)
	return api.revoked(w, r, id, noOwner(err))
}
