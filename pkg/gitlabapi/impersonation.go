package gitlabapi

import (
	"errors"
	"net/http"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// This file holds the wire format of impersonation tokens. Three functions make, list and revoke
// them. GitLab reports their broken rules by field.

const (
	impersonationsPath = "/users/{user_id}/impersonation_tokens"
	impersonationPath  = impersonationsPath + "/{id}"
)

// noOwner tells a missing owner from a missing token.
var noOwner = []row{{err: lifecycle.ErrNoImpersonation, reply: message(http.StatusNotFound, "404 Impersonation Token Not Found")}, noUser}

// impersonationWords are the words of creating an impersonation token.
var impersonationWords = []row{
	noUser,
	ofAnother(account.ErrInactive, message(http.StatusBadRequest, map[string][]string{"user": {"must be active"}})),
	{err: lifecycle.ErrForBot, reply: message(http.StatusBadRequest, map[string][]string{"user": {"must not be a bot"}})},
	{err: fault.ErrInput, say: inFields},
}

// inFields words the broken rules of a token by field.
func inFields(_ *call, err error) *reply {
	broken, ok := errors.AsType[fault.Breaches](err)
	if !ok {
		return nil
	}
	return message(http.StatusBadRequest, byField(broken, tokenFieldWords))
}

// impersonationIDs reads the ids in the path. A malformed token id is 0, so that a missing owner is
// reported first.
func (c *call) impersonationIDs() (account.ID, token.ID, error) {
	owner, err := account.ParseID(c.path("user_id"))
	return owner, c.tokenID(), err
}

func impersonationWire(wire tokenJSON) tokenJSON {
	impersonation := true
	wire.Impersonation = &impersonation
	return wire
}

func (api *issueAPI) createImpersonation(c *call) error {
	spec := lifecycle.Spec{
		Name:        c.line("name", c.required("name")),
		Description: c.text("description"),
		ExpiresOn:   c.day("expires_at"),
		Life:        c.life(),
		Networks:    c.networks("allowed_cidrs"),
	}
	for _, name := range c.texts("scopes") { // the use case refuses unknown names
		if s := scope.Scope(name); !spec.Scopes.Has(s) {
			spec.Scopes = append(spec.Scopes, s)
		}
	}
	if err := c.specKey(&spec); err != nil {
		return err
	}
	owner, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return err
	}
	issued, err := api.issuer.CreateImpersonation(c.ctx, c.by, owner, spec)
	if err != nil {
		return err
	}
	return c.issued(issued, impersonationWire(issuedWire(issued)))
}

func (api *tokensAPI) listImpersonation(c *call) error {
	state := c.oneOf("state", "all", "active", "inactive")
	page := c.paging()
	want, err := c.want(page)
	if err != nil {
		return err
	}
	filter := lifecycle.Filter{Kind: token.Impersonation}
	if state != "all" {
		filter.Active = activeFilter(state)
	}
	if filter.Owner, err = account.ParseID(c.path("user_id")); err != nil {
		return err
	}
	part, err := api.lister.List(c.ctx, c.by, filter, lifecycle.Sort{}, want)
	if err != nil {
		return err
	}
	return c.tokens(page, part, func(v lifecycle.View) tokenJSON { return impersonationWire(tokenWire(v)) })
}

func (api *tokensAPI) getImpersonation(c *call) error {
	owner, id, err := c.impersonationIDs()
	if err != nil {
		return err
	}
	view, err := api.lister.GetImpersonation(c.ctx, c.by, owner, id)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, impersonationWire(tokenWire(view)))
}

func (api *revokeAPI) revokeImpersonation(c *call) error {
	reach := c.reach()
	if err := c.fault(); err != nil {
		return err
	}
	owner, id, err := c.impersonationIDs()
	if err != nil {
		return err
	}
	// A malformed date is ignored (RFC 9110 section 13.1.4).
	var unchangedSince time.Time
	if values := c.r.Header.Values("If-Unmodified-Since"); len(values) == 1 {
		if unchangedSince, err = http.ParseTime(values[0]); err != nil {
			unchangedSince = time.Time{}
		}
	}
	ctx, cancel := c.early()
	defer cancel()
	return c.revoked(api.revoker.RevokeImpersonation(ctx, c.by, owner, id, unchangedSince, reach))
}
