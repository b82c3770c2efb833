package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

type issueAPI struct {
	*API
	issuer  *lifecycle.Issuer
	revoker *lifecycle.Revoker
}

// Issue returns the routes that make tokens: create for a user, create for
// oneself, create for impersonation, create for a project or group, rotate.
// revoker ends families whose tokens are used twice.
func Issue(api *API, issuer *lifecycle.Issuer, revoker *lifecycle.Revoker) http.Handler {
	return api.serve((&issueAPI{api, issuer, revoker}).routes())
}

func (api *issueAPI) routes() []route {
	refused := api.replayOrReuse(api.rotated)
	routes := append([]route{
		{method: "POST", path: "/users/{user_id}/personal_access_tokens", handle: api.createFor, adminOnly: true, makes: token.Personal},
		{method: "POST", path: "/user/personal_access_tokens", handle: api.createForSelf, makes: token.Personal},
		{method: "POST", path: impersonationsPath, handle: api.createImpersonation, adminOnly: true, makes: token.Impersonation},
		{method: "POST", path: "/personal_access_tokens/{id}/rotate", handle: api.rotate, refused: refused},
		{method: "POST", path: "/personal_access_tokens/self/rotate", handle: api.rotateSelf, refused: refused},
	}, projectRoutes(api.projectRoutes)...)
	for i := range routes {
		routes[i].creates = true // there are no others here
	}
	return routes
}

func (api *issueAPI) createFor(w http.ResponseWriter, r *http.Request) error {
	spec, err := api.spec(r)
	if err != nil {
		return err
	}
	owner, err := account.ParseID(r.PathValue("user_id"))
	if err != nil {
		return errUserNotFound
	}
	issued, err := api.issuer.CreateFor(r.Context(), principal.From(r.Context()), owner, spec)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return errUserNotFound
	case errors.Is(err, account.ErrInactive) && owner != principal.From(r.Context()).Account.ID, errors.Is(err, lifecycle.ErrForBot):
		return errNotPermitted
	}
	return api.created(w, r, issued, err)
}

func (api *issueAPI) createForSelf(w http.ResponseWriter, r *http.Request) error {
	spec, err := api.spec(r)
	if err != nil {
		return err
	}
	issued, err := api.issuer.CreateForSelf(r.Context(), principal.From(r.Context()), spec)
	return api.created(w, r, issued, err)
}

// spec reads what token is wanted.
func (api *issueAPI) spec(r *http.Request) (lifecycle.Spec, error) {
	b, err := paramsOf(r.Context())
	if err != nil {
		return lifecycle.Spec{}, err
	}
	spec := lifecycle.Spec{
		Name:        b.line("name", b.required("name")),
		Description: b.text("description"),
		Scopes:      b.scopes(api.issuer.Scopes()),
		ExpiresOn:   b.day("expires_at"),
		Networks:    b.networks("allowed_cidrs"),
	}
	if err := b.fault(); err != nil {
		return lifecycle.Spec{}, err
	}
	spec.Key, err = specKey(r, spec)
	return spec, err
}

// specKey returns the idempotency key of a request for a token. Networks are
// part of it where there are some, so that without them the key stands for what
// it has always stood for.
func specKey(r *http.Request, spec lifecycle.Spec, more ...string) (lifecycle.Key, error) {
	parts := slices.Concat([]string{spec.Name, spec.Description, spec.Scopes.String()}, more, []string{spec.ExpiresOn.String()})
	return keyOf(r, append(parts, spec.Networks.Texts()...)...)
}

// networks reads an optional list of addresses and CIDR blocks. A list that is
// given has to hold some.
func (b *binder) networks(name string) token.Networks {
	before := len(b.faults)
	networks, err := networksOf(b.texts(name))
	if err != nil && len(b.faults) == before {
		b.reject(name, fmt.Sprintf("has to be a list of 1 to %d IPv4 or IPv6 addresses and CIDR blocks", token.MaxNetworks))
	}
	return networks
}

// networksOf refuses a list that is there and empty: it is what a script sends
// that lost its variable, and would open what it was to restrict.
func networksOf(texts []string) (token.Networks, error) {
	if texts != nil && len(texts) == 0 {
		return nil, token.ErrNetworks
	}
	return token.ParseNetworks(texts)
}

// scopes reads a list of scopes that has to be given.
func (b *binder) scopes(catalog *scope.Catalog) scope.Set {
	before := len(b.faults)
	names := b.texts("scopes")
	if len(b.faults) > before {
		return nil
	}
	if names == nil {
		b.reject("scopes", "is missing")
		return nil
	}
	set, err := catalog.Parse(names)
	if err != nil {
		b.reject("scopes", "does not have a valid value")
	}
	return set
}

// keyOf returns the idempotency key of a request together with everything
// that a retry has to repeat: the route's path, the parameters as they were
// understood, so that the same request in another encoding is the same, and
// who is acted as, so that no account is handed another's reply.
func keyOf(r *http.Request, parts ...string) (lifecycle.Key, error) {
	key, err := idempotencyKey(r)
	if key == "" || err != nil {
		return lifecycle.Key{}, err
	}
	parts = append([]string{canonicalPath(r.URL)}, parts...)
	read, _ := r.Context().Value(paramsKey{}).(parsed)
	target, wanted, err := sudoTarget(r, read.params)
	if err != nil {
		return lifecycle.Key{}, err
	}
	if wanted {
		parts = append(parts, "sudo", strings.ToLower(target))
	}
	body, err := json.Marshal(parts)
	return lifecycle.Key{Key: key, Body: body}, err
}

func canonicalPath(u *url.URL) string { return u.Path }

func (api *issueAPI) created(w http.ResponseWriter, r *http.Request, issued lifecycle.Issued, err error) error {
	if err != nil {
		return err
	}
	api.issued(r, issued)
	writeJSON(w, http.StatusCreated, issuedWire(issued))
	return nil
}

func (api *issueAPI) issued(r *http.Request, issued lifecycle.Issued) {
	attrs := []any{
		"token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner),
		"created_by", int64(issued.Token.CreatedBy), "scopes", issued.Token.Scopes,
	}
	if issued.Token.Kind.OfProject() {
		attrs = append(attrs, "resource", int64(issued.Token.Project), "level", int(issued.Token.Level))
	}
	api.Count("TokensIssued", "created")
	api.Log.Info("token issued", facts(r, attrs...)...)
}

func (api *issueAPI) rotate(w http.ResponseWriter, r *http.Request) error {
	by := principal.From(r.Context())
	rotation, err := rotationOf(r)
	if err != nil {
		return err
	}
	id, err := token.ParseID(r.PathValue("id"))
	if err != nil {
		return hidden(by, err)
	}
	issued, err := api.issuer.Rotate(r.Context(), by, id, rotation)
	if errors.Is(err, account.ErrInactive) && id.Owner() != by.Account.ID {
		err = errNotPermitted
	}
	return api.rotated(w, r, issued, hidden(by, err))
}

func (api *issueAPI) rotateSelf(w http.ResponseWriter, r *http.Request) error {
	rotation, err := rotationOf(r)
	if err != nil {
		return err
	}
	issued, err := api.issuer.RotateSelf(r.Context(), principal.From(r.Context()), rotation)
	if errors.Is(err, lifecycle.ErrAlreadyRevoked) {
		return token.ErrRevoked // the loser of a race presents a token that has ended
	}
	return api.rotated(w, r, issued, err)
}

func rotationOf(r *http.Request) (lifecycle.Rotation, error) {
	b, err := paramsOf(r.Context())
	if err != nil {
		return lifecycle.Rotation{}, err
	}
	rotation := lifecycle.Rotation{ExpiresOn: b.day("expires_at"), Overlap: b.overlap("overlap_seconds")}
	if err := b.fault(); err != nil {
		return lifecycle.Rotation{}, err
	}
	parts := []string{rotation.ExpiresOn.String()}
	if rotation.Overlap > 0 { // without one, the key stands for what it has always stood for
		parts = append(parts, rotation.Overlap.String())
	}
	rotation.Key, err = keyOf(r, parts...)
	return rotation, err
}

// overlap returns how long an old token is to work beside its successor.
func (b *binder) overlap(name string) time.Duration {
	const longest = int64(token.MaxOverlap / time.Second)
	seconds := b.integer(name, 0)
	if seconds < 0 || seconds > longest {
		b.reject(name, fmt.Sprintf("has to be 0 to %d", longest))
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (api *issueAPI) rotated(w http.ResponseWriter, r *http.Request, issued lifecycle.Issued, err error) error {
	if err := api.rotation(r, issued, err); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, issuedWire(issued))
	return nil
}

// rotation records a rotation, or puts why there was none into words.
func (api *issueAPI) rotation(r *http.Request, issued lifecycle.Issued, err error) error {
	if sentence := (*inSentence)(nil); errors.As(inWords(err), &sentence) {
		return &badRequest{sentence}
	}
	if err != nil {
		return err
	}
	api.Count("TokensIssued", "rotated")
	api.Log.Info("token rotated", facts(r, "token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner),
		"created_by", int64(issued.Token.CreatedBy), "previous", int64(issued.Token.Previous))...)
	return nil
}

// hidden keeps somebody who is no administrator from telling a foreign token
// from one that is not there.
func hidden(by principal.Principal, err error) error {
	if errors.Is(err, fault.ErrNotFound) && !by.Account.Admin {
		return errHidden
	}
	return err
}

// replayOrReuse serves the retry of a rotation of the presented token itself,
// whose reply was lost, if it brings the key of the first try; also when the
// token's last second has passed in between. That key with another request is
// refused and ends nothing, because it comes from whoever made the rotation,
// unless it comes from where the token could not have made it. Every other use of a token that has ended is reuse.
// write is what answers a rotation on the route.
func (api *issueAPI) replayOrReuse(write func(http.ResponseWriter, *http.Request, lifecycle.Issued, error) error) func(http.ResponseWriter, *http.Request, *verify.Refusal) (bool, error) {
	return func(w http.ResponseWriter, r *http.Request, refusal *verify.Refusal) (bool, error) {
		rotation, err := rotationOf(r)
		if err == nil && rotatedAway(refusal.Token) && refusal.Account.Usable() == nil && refusal.Token.Networks.Allow(addressOf(r.Context())) {
			issued, err := api.issuer.Replay(r.Context(), refusal.Token, rotation.Key)
			switch {
			case err == nil && issued.Token.Previous == refusal.Token.ID:
				return true, write(w, r, issued, nil)
			case err != nil && !errors.Is(err, fault.ErrNotFound):
				return false, err
			}
		}
		return api.reuse(r, refusal)
	}
}

// rotatedAway reports whether nothing but a rotation has ended a token, or is
// about to.
func rotatedAway(t token.Token) bool {
	return t.Superseded() && (t.RevokedAt.IsZero() || t.RevokedReason == token.ReasonRotated)
}

// reuse ends the family of a token that is presented for rotation after it
// has ended.
func (api *issueAPI) reuse(r *http.Request, refusal *verify.Refusal) (bool, error) {
	if !errors.Is(refusal, token.ErrRevoked) || strings.Trim(r.PathValue("id"), "0123456789") != "" {
		return false, nil
	}
	// Who presents a bearer that has ended is nobody: it may have been found.
	by := bearerOnly(requestOf(r.Context()), refusal.Token)
	if err := api.revoker.RevokeFamily(r.Context(), by, refusal.Token); err != nil {
		return false, err
	}
	api.note(r, audit.OfToken(api.Clock.Now(), audit.By(by, audit.Reuse), refusal.Token, audit.Reused))
	api.Log.Warn("revoked token presented for rotation", facts(r, "token_id", int64(refusal.Token.ID), "owner", int64(refusal.Token.Owner))...)
	return false, nil
}
