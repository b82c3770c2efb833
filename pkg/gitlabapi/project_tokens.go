package gitlabapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// This file holds the wire format of the tokens of projects and groups. Three functions make, list
// and revoke them. Both kinds have the same routes, below an id or an encoded full path.

// projectRoutes returns routes for projects and for groups.
func projectRoutes(routes func(kind project.Kind, tokens string) []route) []route {
	return append(routes(project.KindProject, "/projects/{project}/access_tokens"),
		routes(project.KindGroup, "/groups/{project}/access_tokens")...)
}

func (api *issueAPI) projectRoutes(kind project.Kind, tokens string) []route {
	create := []row{
		{err: lifecycle.ErrNotManager, reply: badRequest(fmt.Sprintf("User does not have permission to create %s access token", kind))},
		{err: lifecycle.ErrOwnerLevel, reply: badRequest(fmt.Sprintf("Could not provision owner access to %s access token", kind))},
		{err: fault.ErrSwitchedOff, reply: badRequest(capital(string(kind)) + " access token creation is switched off")},
		asBadRequest,
	}
	// The inactive account is the bot's, not the caller's.
	rotate := []row{
		{err: account.ErrInactive, reply: badRequest("Not permitted to create")},
		{err: lifecycle.ErrNoProjectToken, say: hidden.say}, outranked, asBadRequest,
	}
	// The words do not tell whether another project exists.
	rotateSelf := []row{lostRace, {err: fault.ErrNotFound, reply: unauthorized}, outranked, asBadRequest}
	return []route{
		{method: "POST", path: tokens, handle: api.createForProject, kind: kind, makes: token.KindIn(kind), words: create},
		{method: "POST", path: tokens + "/{id}/rotate", handle: api.rotateOfProject, kind: kind, refused: api.replayOrReuse, words: rotate},
		{method: "POST", path: tokens + "/self/rotate", handle: api.rotateSelfOfProject, kind: kind, refused: api.replayOrReuse, words: rotateSelf},
	}
}

func (api *tokensAPI) projectRoutes(kind project.Kind, tokens string) []route {
	return []route{
		{method: "GET", path: tokens, handle: api.listOfProject, kind: kind, words: []row{outranked}},
		{method: "GET", path: tokens + "/{id}", handle: api.getOfProject, kind: kind, words: []row{outranked, noProjectToken}},
	}
}

func (api *revokeAPI) projectRoutes(kind project.Kind, tokens string) []route {
	return []route{{method: "DELETE", path: tokens + "/{id}", handle: api.revokeOfProject, kind: kind, words: []row{cannotDelete, nothingToDelete}}}
}

// projectTokenJSON is the token of a project or group on the wire.
type projectTokenJSON struct {
	tokenJSON
	// AccessLevel is null when the bot is gone.
	AccessLevel  *int   `json:"access_level"`
	ResourceType string `json:"resource_type"`
	ResourceID   int64  `json:"resource_id"`
}

func projectTokenWire(v lifecycle.View) projectTokenJSON {
	wire := ofProject(v.Token, tokenWire(v))
	if v.Gone {
		wire.AccessLevel = nil
	}
	return wire
}

func issuedProjectWire(issued lifecycle.Issued) projectTokenJSON {
	return ofProject(issued.Token, issuedWire(issued))
}

func ofProject(t token.Token, wire tokenJSON) projectTokenJSON {
	level, resource := int(t.Level), project.KindProject
	if t.Kind == token.Group {
		resource = project.KindGroup
	}
	return projectTokenJSON{wire, &level, string(resource), int64(t.Project)}
}

// noProjectToken repeats the id only while it is too short to be a misplaced
// bearer.
var noProjectToken = row{err: lifecycle.ErrNoProjectToken, say: func(c *call, _ error) *reply {
	if len(c.path("id")) >= secret.MinLength {
		return missing
	}
	return message(http.StatusNotFound, fmt.Sprintf("404 Could not find %s access token with token_id: %s Not Found", c.route.kind, c.path("id")))
}}

// nothingToDelete has no id, as in GitLab.
var nothingToDelete = row{err: lifecycle.ErrNoProjectToken, say: func(c *call, _ error) *reply {
	return message(http.StatusNotFound, fmt.Sprintf("404 %s Access Token Not Found", c.route.kind))
}}

// cannotDelete names the caller and the token.
var cannotDelete = row{err: lifecycle.ErrNotManager, say: func(c *call, err error) *reply {
	if refused, ok := errors.AsType[*lifecycle.NotManager](err); ok {
		return badRequest(c.by.Account.Name + " cannot delete " + refused.Token.Name)
	}
	return nil
}}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// tokenID reads the id in the path. A malformed id is 0, so that a missing project or owner is
// reported first.
func (c *call) tokenID() token.ID {
	id, err := token.ParseID(c.path("id"))
	if err != nil {
		return 0
	}
	return id
}

func (api *issueAPI) createForProject(c *call) error {
	var spec lifecycle.ProjectSpec
	spec.Name = c.line("name", c.required("name"))
	spec.Description = c.text("description")
	spec.Scopes = c.botScopes(api.issuer.Scopes())
	spec.Level = c.level("access_level")
	spec.ExpiresOn, spec.Life = c.day("expires_at"), c.life()
	spec.Networks = c.networks("allowed_cidrs")
	if err := c.specKey(&spec.Spec, fmt.Sprint(spec.Level)); err != nil {
		return err
	}
	issued, err := api.issuer.CreateForProject(c.ctx, c.by, c.route.kind, c.path("project"), spec)
	if err != nil {
		return err
	}
	return c.issued(issued, issuedProjectWire(issued))
}

// botScopes reads a required list of scopes, without the scopes of personal tokens only.
func (b *binder) botScopes(catalog *scope.Catalog) scope.Set {
	before := len(b.faults)
	names := b.array("scopes")
	switch {
	case len(b.faults) > before:
		return nil
	case names == nil:
		b.reject("scopes", "is missing")
		return nil
	case len(names) == 0:
		return nil // the use case refuses an empty list
	}
	set, err := catalog.Parse(names)
	if err != nil || catalog.PersonalOnly(set) {
		b.reject("scopes", "does not have a valid value")
	}
	return set
}

// array is texts, in which a bare string does not count as a list.
func (b *binder) array(name string) []string {
	elements, listed := b.elements(name)
	if len(elements) > 0 && !listed {
		b.reject(name, "is invalid")
		return nil
	}
	return b.texts(name)
}

func (api *issueAPI) rotateOfProject(c *call) error {
	rotation, err := c.rotation()
	if err != nil {
		return err
	}
	issued, err := api.issuer.RotateOfProject(c.ctx, c.by, c.route.kind, c.path("project"), c.tokenID(), rotation)
	if err != nil {
		return err
	}
	return api.rotated(c, issued)
}

func (api *issueAPI) rotateSelfOfProject(c *call) error {
	rotation, err := c.rotation()
	if err != nil {
		return err
	}
	issued, err := api.issuer.RotateSelfOfProject(c.ctx, c.by, c.route.kind, c.path("project"), rotation)
	if err != nil {
		return err
	}
	return api.rotated(c, issued)
}

func (api *tokensAPI) listOfProject(c *call) error {
	filter, order, page := c.filter(), sortOf(c.text("sort")), c.paging()
	if err := c.faultWith(page); err != nil {
		return err
	}
	part, err := api.lister.ListOfProject(c.ctx, c.by, c.route.kind, c.path("project"), filter, order, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	return c.page(page, part.Total, each(part.Entries, projectTokenWire))
}

func (api *tokensAPI) getOfProject(c *call) error {
	view, err := api.lister.GetOfProject(c.ctx, c.by, c.route.kind, c.path("project"), c.tokenID())
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, projectTokenWire(view))
}

func (api *revokeAPI) revokeOfProject(c *call) error {
	reach := c.reach()
	if err := c.fault(); err != nil {
		return err
	}
	ctx, cancel := c.early()
	defer cancel()
	return c.revoked(api.revoker.RevokeOfProject(ctx, c.by, c.route.kind, c.path("project"), c.tokenID(), reach))
}
