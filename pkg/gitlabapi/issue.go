package gitlabapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

type issueAPI struct {
	*API
	issuer  *lifecycle.Issuer
	revoker *lifecycle.Revoker
}

// Issue returns the routes that make tokens: create for an account, create for oneself, create for
// impersonation, create for a project or group, rotate. revoker revokes families whose tokens are
// reused.
func Issue(api *API, issuer *lifecycle.Issuer, revoker *lifecycle.Revoker) proxy.Handler {
	return api.serve((&issueAPI{api, issuer, revoker}).routes())
}

func (api *issueAPI) routes() []route {
	notPermitted := message(http.StatusUnprocessableEntity, "Not permitted to create")
	routes := append([]route{
		{method: "POST", path: "/users/{user_id}/personal_access_tokens", handle: api.createFor, adminOnly: true, makes: token.Personal,
			words: []row{noUser, ofAnother(account.ErrInactive, notPermitted), {err: lifecycle.ErrForBot, reply: notPermitted}}},
		{method: "POST", path: "/user/personal_access_tokens", handle: api.createForSelf, makes: token.Personal},
		{method: "POST", path: impersonationsPath, handle: api.createImpersonation, adminOnly: true, makes: token.Impersonation,
			words: impersonationWords},
		{method: "POST", path: "/personal_access_tokens/{id}/rotate", handle: api.rotate, refused: api.replayOrReuse,
			words: []row{hidden, ofAnother(account.ErrInactive, badRequest("Not permitted to create")), asBadRequest}},
		{method: "POST", path: "/personal_access_tokens/self/rotate", handle: api.rotateSelf, refused: api.replayOrReuse,
			words: []row{lostRace, asBadRequest}},
	}, projectRoutes(api.projectRoutes)...)
	for i := range routes {
		routes[i].creates = true // all routes of issue do
	}
	return routes
}

func (api *issueAPI) createFor(c *call) error {
	spec, err := api.spec(c)
	if err != nil {
		return err
	}
	owner, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return err
	}
	issued, err := api.issuer.CreateFor(c.ctx, c.by, owner, spec)
	if err != nil {
		return err
	}
	return c.issued(issued, issuedWire(issued))
}

func (api *issueAPI) createForSelf(c *call) error {
	spec, err := api.spec(c)
	if err != nil {
		return err
	}
	issued, err := api.issuer.CreateForSelf(c.ctx, c.by, spec)
	if err != nil {
		return err
	}
	return c.issued(issued, issuedWire(issued))
}

// spec reads the properties of the requested token.
func (api *issueAPI) spec(c *call) (lifecycle.Spec, error) {
	spec := lifecycle.Spec{
		Name:        c.line("name", c.required("name")),
		Description: c.text("description"),
		Scopes:      c.scopes(api.issuer.Scopes()),
		ExpiresOn:   c.day("expires_at"),
		Life:        c.life(),
		Networks:    c.networks("allowed_cidrs"),
	}
	return spec, c.specKey(&spec)
}

// specKey returns the faults of the parameters, or else sets the idempotency key of spec. The key
// covers networks only if there are some, so that keys from before networks existed still match.
//
// Fine-grained scopes are not supported. To ignore them would make a token that opens more.
func (c *call) specKey(spec *lifecycle.Spec, more ...string) (err error) {
	if c.params.given("granular_scopes") {
		return paramError("granular_scopes is not supported: use scopes")
	}
	if err := c.fault(); err != nil {
		return err
	}
	parts := slices.Concat([]string{spec.Name, spec.Description, spec.Scopes.String()}, more, []string{spec.ExpiresOn.String()})
	if spec.Life > 0 {
		parts = append(parts, spec.Life.String())
	}
	spec.Key, err = c.key(append(parts, spec.Networks.Texts()...)...)
	return err
}

// life reads how many seconds a token is to live, for tokens that no whole day fits. It excludes a day.
func (b *binder) life() time.Duration {
	const name = "expires_in"
	if b.params.has(name) && b.params.has("expires_at") {
		b.reject(name, "and expires_at are mutually exclusive")
		return 0
	}
	before := len(b.faults)
	seconds := b.integer(name, 0)
	if !b.params.has(name) || len(b.faults) > before {
		return 0
	}
	life, err := lifeOf(seconds)
	if err != nil {
		b.reject(name, err.Error())
	}
	return life
}

// lifeOf returns a short life of some seconds.
func lifeOf(seconds int64) (time.Duration, error) {
	const least, most = int64(token.MinLife / time.Second), int64(token.MaxLife / time.Second)
	if seconds < least || seconds > most {
		return 0, fmt.Errorf("has to be %d to %d", least, most)
	}
	return time.Duration(seconds) * time.Second, nil
}

// networks reads an optional list of addresses and CIDR blocks. It must not be empty.
func (b *binder) networks(name string) token.Networks {
	before := len(b.faults)
	networks, err := networksOf(b.texts(name))
	meant, typo := errors.AsType[*token.HostBits](err)
	switch {
	case len(b.faults) > before:
	case typo:
		b.reject(name, "has "+hostBits(meant))
	case err != nil:
		b.reject(name, fmt.Sprintf("has to be a list of 1 to %d IPv4 or IPv6 addresses and CIDR blocks", token.MaxNetworks))
	}
	return networks
}

func hostBits(typo *token.HostBits) string {
	return fmt.Sprintf("a block with bits behind its length (did you mean %s?)", typo.Meant)
}

// networksOf refuses an empty list because scripts send one when a variable is unset, and it would
// lift the intended restriction.
func networksOf(texts []string) (token.Networks, error) {
	if texts != nil && len(texts) == 0 {
		return nil, token.ErrNetworks
	}
	return token.ParseNetworks(texts)
}

// scopes reads a required list of scopes.
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

// key returns the idempotency key of a request with everything that a retry must repeat: the path,
// the parsed parameters, and the target of sudo. Parsing makes the encoding irrelevant, and the
// target keeps one account from getting another's reply.
func (c *call) key(parts ...string) (lifecycle.Key, error) {
	key, err := c.idempotencyKey()
	if key == "" || err != nil {
		return lifecycle.Key{}, err
	}
	parts = append([]string{c.r.URL.Path}, parts...)
	target, wanted, err := c.sudoTarget()
	if err != nil {
		return lifecycle.Key{}, err
	}
	if wanted {
		parts = append(parts, "sudo", strings.ToLower(target))
	}
	body, err := json.Marshal(parts)
	return lifecycle.Key{Key: key, Body: body}, err
}

// issued replies with a new token.
func (c *call) issued(issued lifecycle.Issued, wire any) error {
	attrs := []any{
		"token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner),
		"created_by", int64(issued.Token.CreatedBy), "scopes", issued.Token.Scopes,
	}
	if issued.Token.Kind.OfProject() {
		attrs = append(attrs, "project_id", int64(issued.Token.Project), "level", int(issued.Token.Level))
	}
	c.api.Count("TokensIssued", "created")
	c.api.Log.Info("token issued", c.facts(attrs...)...)
	return c.json(http.StatusCreated, wire)
}

func (api *issueAPI) rotate(c *call) error {
	rotation, err := c.rotation()
	if err != nil {
		return err
	}
	id, err := token.ParseID(c.path("id"))
	if err != nil {
		return err
	}
	issued, err := api.issuer.Rotate(c.ctx, c.by, id, rotation)
	if err != nil {
		return err
	}
	return api.rotated(c, issued)
}

func (api *issueAPI) rotateSelf(c *call) error {
	rotation, err := c.rotation()
	if err != nil {
		return err
	}
	issued, err := api.issuer.RotateSelf(c.ctx, c.by, rotation)
	if err != nil {
		return err
	}
	return api.rotated(c, issued)
}

func (c *call) rotation() (lifecycle.Rotation, error) {
	rotation := lifecycle.Rotation{ExpiresOn: c.day("expires_at"), UsualLife: true, Overlap: c.overlap("overlap_seconds")}
	given := c.params.has("overlap_seconds")
	switch kind, some := c.scalar("overlap"); {
	case !some || kind == "":
		rotation.UsualOverlap = !given
	case kind != untilUsed:
		c.reject("overlap", "has to be "+untilUsed)
	case given:
		c.reject("overlap", "and overlap_seconds are mutually exclusive")
	default:
		rotation.UntilUsed = true
	}
	// A successor never has a short life, and a parameter that was ignored would make one of a week.
	if c.text("expires_in") != "" {
		c.reject("expires_in", "is not supported by rotation: use expires_at")
	}
	if err := c.fault(); err != nil {
		return lifecycle.Rotation{}, err
	}
	parts := []string{rotation.ExpiresOn.String()}
	if rotation.Overlap > 0 { // keys from before overlaps existed still match
		parts = append(parts, rotation.Overlap.String())
	}
	if rotation.UntilUsed {
		parts = append(parts, untilUsed)
	}
	var err error
	rotation.Key, err = c.key(parts...)
	return rotation, err
}

// untilUsed is the overlap that ends with the first use of the new token.
const untilUsed = "until_used"

// overlap reads how long an old token works together with its successor.
func (b *binder) overlap(name string) time.Duration {
	const longest = int64(token.MaxOverlap / time.Second)
	seconds := b.integer(name, 0)
	if seconds < 0 || seconds > longest {
		b.reject(name, fmt.Sprintf("has to be 0 to %d", longest))
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (api *issueAPI) rotated(c *call, issued lifecycle.Issued) error {
	var wire any = issuedWire(issued)
	if c.route.kind != "" {
		wire = issuedProjectWire(issued)
	}
	c.api.Count("TokensIssued", "rotated")
	c.api.Log.Info("token rotated", c.facts("token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner),
		"created_by", int64(issued.Token.CreatedBy), "previous", int64(issued.Token.Previous))...)
	return c.json(http.StatusOK, wire)
}

// replayOrReuse serves the retry of a rotation whose reply was lost: the rotated token with the key
// of the first request, even if the token has expired since. The key with another request is
// refused and revokes nothing, because only the client that rotated has it. A request from outside
// the token's networks never counts as a retry. Any other use of the token within the rotation
// window is refused and revokes nothing. Every other use of a revoked token is reuse.
func (api *issueAPI) replayOrReuse(c *call, refusal *verify.Refusal) error {
	rotation, err := c.rotation()
	if c.unread == nil && err == nil && refusal.Token.RotatedAway() && refusal.Account.Usable() == nil && refusal.Token.Networks.Allow(c.request.Address) {
		issued, err := api.issuer.Replay(c.ctx, refusal.Token, rotation.Key)
		switch {
		case err == nil && issued.Token.Previous == refusal.Token.ID:
			return api.rotated(c, issued)
		case err != nil && !errors.Is(err, fault.ErrNotFound):
			return err
		}
	}
	return api.reuse(c, refusal)
}

// reuse revokes the family of a revoked token that is presented for rotation, unless another
// process of the same client may just have rotated it. No such process is outside its networks.
func (api *issueAPI) reuse(c *call, refusal *verify.Refusal) error {
	if !errors.Is(refusal, token.ErrRevoked) || strings.Trim(c.path("id"), "0123456789") != "" {
		return nil
	}
	if refusal.Token.Networks.Allow(c.request.Address) {
		if err := api.issuer.CheckWindow(c.ctx, refusal.Token); err != nil {
			return err
		}
	}
	// The sender is unknown: anybody may have found the bearer.
	nobody := c.nobodyWith(refusal.Token)
	ctx, cancel := c.early()
	defer cancel()
	if err := api.revoker.RevokeFamily(ctx, nobody, refusal.Token); err != nil {
		return err
	}
	c.noteRefusal(audit.OfToken(c.now, audit.By(nobody, audit.Reuse), refusal.Token, audit.Reused))
	c.api.Count("TokensReused", string(refusal.Token.Kind))
	c.api.Log.Warn("revoked token presented for rotation", c.facts("token_id", int64(refusal.Token.ID), "owner", int64(refusal.Token.Owner))...)
	return nil
}
