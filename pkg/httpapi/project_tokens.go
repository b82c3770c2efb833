package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// The tokens of projects and groups are made, listed and ended by three
// functions; what is particular to them on the wire is here. Both kinds have
// the same routes, below a project's id or encoded full path.

// projectRoutes returns what routes says of projects, and then of groups.
func projectRoutes(routes func(kind project.Kind, tokens string) []route) []route {
	return append(routes(project.KindProject, "/projects/{resource}/access_tokens"),
		routes(project.KindGroup, "/groups/{resource}/access_tokens")...)
}

func (api *issueAPI) projectRoutes(kind project.Kind, tokens string) []route {
	refused := api.replayOrReuse(api.rotatedOfProject)
	return []route{
		{method: "POST", path: tokens, handle: api.createForProject(kind), makes: token.KindIn(kind)},
		{method: "POST", path: tokens + "/{id}/rotate", handle: api.rotateOfProject(kind), refused: refused},
		{method: "POST", path: tokens + "/self/rotate", handle: api.rotateSelfOfProject(kind), refused: refused},
	}
}

func (api *tokensAPI) projectRoutes(kind project.Kind, tokens string) []route {
	return []route{
		{method: "GET", path: tokens, handle: api.listOfProject(kind)},
		{method: "GET", path: tokens + "/{id}", handle: api.getOfProject(kind)},
	}
}

func (api *revokeAPI) projectRoutes(kind project.Kind, tokens string) []route {
	return []route{{method: "DELETE", path: tokens + "/{id}", handle: api.revokeOfProject(kind)}}
}

// projectTokenJSON is the token of a project or group on the wire.
type projectTokenJSON struct {
	tokenJSON
	// AccessLevel is null when the bot is gone.
	AccessLevel *int `json:"access_level"`
}

func projectTokenWire(v lifecycle.View) projectTokenJSON {
	wire := projectTokenJSON{tokenJSON: tokenWire(v)}
	if level := int(v.Token.Level); !v.Gone {
		wire.AccessLevel = &level
	}
	return wire
}

func issuedProjectWire(issued lifecycle.Issued) projectTokenJSON {
	level := int(issued.Token.Level)
	return projectTokenJSON{issuedWire(issued), &level}
}

// tokenMissing says that a project has no such token. Error leaves out what
// was asked for, because a client can write anything into it.
type tokenMissing struct {
	kind project.Kind
	id   string
}

func (*tokenMissing) Error() string { return lifecycle.ErrNoProjectToken.Error() }

// words repeat what was asked for only while it is too short to be a bearer
// that was put in the wrong place.
func (t *tokenMissing) words() string {
	if len(t.id) >= secret.MinLength {
		return "404 Not Found"
	}
	return fmt.Sprintf("404 Could not find %s access token with token_id: %s Not Found", t.kind, t.id)
}

// missing puts a project's token that is not there into words.
func missing(r *http.Request, kind project.Kind, err error) error {
	if errors.Is(err, lifecycle.ErrNoProjectToken) {
		return &tokenMissing{kind, r.PathValue("id")}
	}
	return err
}

// cannotDelete tells a caller who may not end whose token. Error leaves out
// the names, which people chose.
type cannotDelete struct{ caller, bot string }

func (*cannotDelete) Error() string { return lifecycle.ErrNotManager.Error() }

func (c *cannotDelete) words() string { return c.caller + " cannot delete " + c.bot }

// because400 is a refusal that is answered in the words "400 Bad request", and is
// no longer what it was for.
func because400(format string, args ...any) error {
	return &badRequest{&inSentence{fault.ErrInput, fmt.Sprintf(format, args...)}}
}

// outranked hides a project's tokens from members who do not manage them.
func outranked(err error) error {
	if errors.Is(err, lifecycle.ErrNotManager) {
		return errHidden
	}
	return err
}

// projectTokenID reads the id in the path. One in no spelling of an id is no
// token's, which is reported only where the project is there.
func projectTokenID(r *http.Request) token.ID {
	id, err := token.ParseID(r.PathValue("id"))
	if err != nil {
		return 0
	}
	return id
}

func (api *issueAPI) createForProject(kind project.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		spec, err := api.projectSpec(r)
		if err != nil {
			return err
		}
		by := principal.From(r.Context())
		issued, err := api.issuer.CreateForProject(r.Context(), by, kind, r.PathValue("resource"), spec)
		if lacksRight(err) {
			api.noteRefusal(r, by, token.KindIn(kind)) // the words below are those of a rule
		}
		switch {
		case errors.Is(err, lifecycle.ErrNotManager):
			return because400("User does not have permission to create %s access token", kind)
		case errors.Is(err, lifecycle.ErrOwnerLevel):
			return because400("Could not provision owner access to %s access token", kind)
		case errors.Is(err, fault.ErrSwitchedOff):
			return because400("%s access token creation is switched off", capital(string(kind)))
		case errors.Is(err, lifecycle.ErrUnfit):
			return &badRequest{inWords(err)}
		case err != nil:
			return err
		}
		api.issued(r, issued)
		writeJSON(w, http.StatusCreated, issuedProjectWire(issued))
		return nil
	}
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// projectSpec reads what token of a project is wanted.
func (api *issueAPI) projectSpec(r *http.Request) (lifecycle.ProjectSpec, error) {
	b, err := paramsOf(r.Context())
	if err != nil {
		return lifecycle.ProjectSpec{}, err
	}
	var spec lifecycle.ProjectSpec
	spec.Name = b.line("name", b.required("name"))
	spec.Description = b.text("description")
	spec.Scopes = b.botScopes(api.issuer.Scopes())
	spec.Level = b.level("access_level")
	spec.ExpiresOn = b.day("expires_at")
	spec.Networks = b.networks("allowed_cidrs")
	if err := b.fault(); err != nil {
		return lifecycle.ProjectSpec{}, err
	}
	spec.Key, err = specKey(r, spec.Spec, fmt.Sprint(spec.Level))
	return spec, err
}

// botScopes reads a list of scopes that has to be given, without those that
// only people's tokens may have.
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
		return nil // a blank list is a rule's to refuse
	}
	set, err := catalog.Parse(names)
	if err != nil || catalog.PersonalOnly(set) {
		b.reject("scopes", "does not have a valid value")
	}
	return set
}

// array returns an array of strings, nil when it is not given: a JSON array,
// or values that are repeated as name[]. A bare string is none.
func (b *binder) array(name string) []string {
	var texts []string
	for _, value := range b.params[name] {
		list, ok := value.([]any)
		if value != nil && !ok {
			b.reject(name, "is invalid")
			return nil
		}
		if ok && texts == nil {
			texts = []string{}
		}
		for _, element := range list {
			text, ok := element.(string)
			if !ok {
				b.reject(name, "is invalid")
				return nil
			}
			texts = append(texts, text)
		}
	}
	for _, value := range b.params[name+"[]"] {
		text, ok := value.(string)
		if !ok {
			b.reject(name, "is invalid")
			return nil
		}
		texts = append(texts, text)
	}
	return texts
}

func (api *issueAPI) rotateOfProject(kind project.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		rotation, err := rotationOf(r)
		if err != nil {
			return err
		}
		by := principal.From(r.Context())
		issued, err := api.issuer.RotateOfProject(r.Context(), by, kind, r.PathValue("resource"), projectTokenID(r), rotation)
		switch {
		case errors.Is(err, account.ErrInactive):
			err = errNotPermitted // the bot is blocked, not the caller
		case errors.Is(err, lifecycle.ErrNoProjectToken):
			err = hidden(by, err)
		}
		return api.rotatedOfProject(w, r, issued, outranked(err))
	}
}

func (api *issueAPI) rotateSelfOfProject(kind project.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		rotation, err := rotationOf(r)
		if err != nil {
			return err
		}
		issued, err := api.issuer.RotateSelfOfProject(r.Context(), principal.From(r.Context()), kind, r.PathValue("resource"), rotation)
		switch {
		case errors.Is(err, lifecycle.ErrAlreadyRevoked):
			return token.ErrRevoked // the loser of a race presents a token that has ended
		case errors.Is(err, fault.ErrNotFound):
			return errHidden // whether another project is there or not
		}
		return api.rotatedOfProject(w, r, issued, outranked(err))
	}
}

func (api *issueAPI) rotatedOfProject(w http.ResponseWriter, r *http.Request, issued lifecycle.Issued, err error) error {
	if err := api.rotation(r, issued, err); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, issuedProjectWire(issued))
	return nil
}

func (api *tokensAPI) listOfProject(kind project.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		b, err := paramsOf(r.Context())
		if err != nil {
			return err
		}
		filter, order, page := b.filter(), sortOf(b.text("sort")), b.paging()
		if err := b.faultWith(page); err != nil {
			return err
		}
		listing, err := api.lister.ListOfProject(r.Context(), principal.From(r.Context()), kind, r.PathValue("resource"),
			filter, order, page.offset(), page.perPage)
		if err != nil {
			return outranked(err)
		}
		api.writePageHeaders(w, r, page, listing.Total)
		wire := make([]projectTokenJSON, len(listing.Views))
		for i, view := range listing.Views {
			wire[i] = projectTokenWire(view)
		}
		writeJSON(w, http.StatusOK, wire)
		return nil
	}
}

func (api *tokensAPI) getOfProject(kind project.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		view, err := api.lister.GetOfProject(r.Context(), principal.From(r.Context()), kind, r.PathValue("resource"), projectTokenID(r))
		if err != nil {
			return missing(r, kind, outranked(err))
		}
		writeJSON(w, http.StatusOK, projectTokenWire(view))
		return nil
	}
}

func (api *revokeAPI) revokeOfProject(kind project.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		by, id := principal.From(r.Context()), projectTokenID(r)
		err := api.revoker.RevokeOfProject(r.Context(), by, kind, r.PathValue("resource"), id)
		if refused := (*lifecycle.NotManager)(nil); errors.As(err, &refused) {
			return &cannotDelete{by.Account.Name, refused.Token.Name}
		}
		return api.revoked(w, r, id, missing(r, kind, err))
	}
}
