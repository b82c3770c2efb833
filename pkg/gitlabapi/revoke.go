package gitlabapi

import (
	"net/http"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

type revokeAPI struct {
	*API
	revoker *lifecycle.Revoker
	remover *directory.Remover
}

// Revoke returns the routes that revoke tokens: by id, the presented token, all tokens of an
// account, tokens of a project or group, and for administrators by value and for impersonation. It also
// deletes projects and groups, which ends their tokens.
func Revoke(api *API, revoker *lifecycle.Revoker, remover *directory.Remover) proxy.Handler {
	return api.serve((&revokeAPI{api, revoker, remover}).routes())
}

func (api *revokeAPI) routes() []route {
	return append([]route{
		{method: "DELETE", path: "/personal_access_tokens/{id}", handle: api.revoke, words: []row{{err: fault.ErrNotFound, reply: notFound}}},
		{method: "DELETE", path: "/personal_access_tokens/self", handle: api.revokeSelf},
		{method: "DELETE", path: "/user/personal_access_tokens", handle: api.revokeOwn, words: []row{asBadRequest, noUser}},
		{method: "DELETE", path: "/users/{user_id}/personal_access_tokens", handle: api.revokeAllOf, adminOnly: true, words: []row{asBadRequest, noUser}},
		{method: "DELETE", path: impersonationPath, handle: api.revokeImpersonation, adminOnly: true, words: noOwner},
		{method: "DELETE", path: "/admin/token", handle: api.revokeValue, adminOnly: true,
			words: noValue},
		{method: "DELETE", path: "/projects/{id}", handle: api.remove, kind: project.KindProject},
		{method: "DELETE", path: "/groups/{id}", handle: api.remove, kind: project.KindGroup},
	}, projectRoutes(api.projectRoutes)...)
}

// remove answers 202 when a project or group and everything in it is gone, and no token of it works. It
// answers 503 when the time is up, and the same request goes on.
func (api *revokeAPI) remove(c *call) error {
	confirmed := c.text("full_path")
	c.truth("permanently_remove") // everything is
	if err := c.fault(); err != nil {
		return err
	}
	ctx, cancel := c.early()
	defer cancel()
	proj, err := api.remover.Remove(ctx, c.by, c.route.kind, c.path("id"), confirmed)
	if err != nil {
		return err
	}
	api.Log.Info("project deleted", c.facts("project_id", int64(proj.ID), "deleted_by", int64(c.by.Account.ID))...)
	return c.json(http.StatusAccepted, map[string]string{"message": "202 Accepted"})
}

func (api *revokeAPI) revoke(c *call) error {
	reach := c.reach()
	if err := c.fault(); err != nil {
		return err
	}
	id, err := token.ParseID(c.path("id"))
	if err != nil {
		return err
	}
	ctx, cancel := c.early()
	defer cancel()
	return c.revoked(api.revoker.Revoke(ctx, c.by, id, reach))
}

func (api *revokeAPI) revokeSelf(c *call) error {
	reach := c.reach()
	if err := c.fault(); err != nil {
		return err
	}
	ctx, cancel := c.early()
	defer cancel()
	return c.revoked(api.revoker.RevokeSelf(ctx, c.by, reach))
}

// reach reads how far a revocation reaches.
func (b *binder) reach() lifecycle.Reach {
	switch family, keep := b.truth("family"), b.truth("keep_children"); {
	case family && keep:
		return lifecycle.Chain
	case family:
		return lifecycle.Family
	case keep:
		return lifecycle.Alone
	default:
		return lifecycle.Own
	}
}

func (api *revokeAPI) revokeOwn(c *call) error { return api.revokeEverything(c, c.by.Account.ID) }

func (api *revokeAPI) revokeAllOf(c *call) error {
	owner, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return err
	}
	return api.revokeEverything(c, owner)
}

func (api *revokeAPI) revokeEverything(c *call, owner account.ID) error {
	if err := api.revoker.RevokeEverything(c.ctx, c.by, owner); err != nil {
		return err
	}
	api.Count("TokensRevoked", "everything")
	api.Log.Info("all tokens revoked", c.facts("owner", int64(owner))...)
	return c.noContent()
}

func (api *revokeAPI) revokeValue(c *call) error {
	value, reach := c.required("token"), c.reach()
	if err := c.fault(); err != nil {
		return err
	}
	ctx, cancel := c.early()
	defer cancel()
	return c.revoked(api.revoker.RevokeValue(ctx, c.by, value, reach))
}

// successorHeader names the token that may still work after the revocation of one that was rotated.
const successorHeader = "X-Latchkey-Successor"

// childrenHeader says how many working tokens ended because the revoked one had made them.
const childrenHeader = "X-Latchkey-Children-Ended"

// revoked replies to a revocation, or with its error.
func (c *call) revoked(done lifecycle.Revocation, err error) error {
	if err != nil {
		return err
	}
	if done.Successor != 0 {
		c.header().Set(successorHeader, done.Successor.String())
	}
	if done.Below {
		c.header().Set(childrenHeader, strconv.Itoa(done.Children))
	}
	id := done.Token.ID
	c.api.Count("TokensRevoked", string(token.ReasonRequest))
	c.api.Log.Info("token revoked", c.facts("token_id", int64(id), "owner", int64(id.Owner()), "children", done.Children)...)
	return c.noContent()
}
