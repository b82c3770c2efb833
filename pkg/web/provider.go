package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
)

var (
	// errProvider means that the identity provider did not answer, or not in a way that can be
	// understood. A later try may succeed.
	errProvider = fmt.Errorf("%w: identity provider", fault.ErrUnavailable)
	// errCode means that the provider does not accept the code: it was used before, is too old, or
	// belongs to another sign-in.
	errCode = fmt.Errorf("%w: code of a sign-in", fault.ErrInput)
	// errIDToken means that the provider's statement about the person is not to be trusted.
	errIDToken = fmt.Errorf("%w: ID token", fault.ErrForbidden)
)

// A Provider is an OpenID Connect provider with which this site is registered. It is safe for
// concurrent use.
type Provider struct {
	settings ProviderSettings
	client   *http.Client
	now      func() time.Time

	mu         sync.Mutex
	discovered *discovered // nil until somebody signs in
}

// ProviderSettings are what the operator knows of the provider.
type ProviderSettings struct {
	// Issuer is the provider's URL exactly as its ID tokens name it.
	Issuer string
	// ClientID and ClientSecret are the site's registration. A public client has no secret.
	ClientID, ClientSecret string
	// AdminClaim is a claim of the ID token for administrators: a name such as `is_admin`, which must
	// be true, or `name=value`, such as `groups=latchkey-admins`, which must be or contain the value.
	// Without it, signing in changes no rank.
	AdminClaim string
	// Scopes are requested besides openid, profile and email.
	Scopes []string
}

// providerTimeout bounds each request to the provider, so that a visit ends before the function does.
const providerTimeout = 5 * time.Second

// NewProvider returns a Provider. It makes no request.
func NewProvider(settings ProviderSettings, c clock.Clock) *Provider {
	return &Provider{settings: settings, client: &http.Client{Timeout: providerTimeout}, now: c.Now}
}

// Name is the provider's host, for people.
func (p *Provider) Name() string {
	parsed, err := url.Parse(p.settings.Issuer)
	if err != nil {
		return ""
	}
	return parsed.Host
}

// ClaimRanks reports whether the provider decides who is an administrator.
func (p *Provider) ClaimRanks() bool { return p.settings.AdminClaim != "" }

// discovered is what the provider says about itself (OpenID Connect Discovery 1.0).
type discovered struct {
	endpoint oauth2.Endpoint
	verifier *oidc.IDTokenVerifier
}

// discover asks the provider once in the life of this instance.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.discovered != nil {
		return p.discovered, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.settings.Issuer)
	var metadata struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err == nil {
		err = provider.Claims(&metadata)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: discovery: %s", errProvider, withoutPrivate(err))
	}
	d := &discovered{endpoint: provider.Endpoint(), verifier: provider.Verifier(&oidc.Config{ClientID: p.settings.ClientID, Now: p.now})}
	// Trying both styles, as the library does by default, would use up the code.
	d.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	basic := metadata.Methods == nil || slices.Contains(metadata.Methods, "client_secret_basic")
	if p.settings.ClientSecret == "" || !basic {
		d.endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	p.discovered = d
	return d, nil
}

func (p *Provider) oauth2(d *discovered, callback string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.settings.ClientID, ClientSecret: p.settings.ClientSecret, Endpoint: d.endpoint, RedirectURL: callback,
		Scopes: append([]string{oidc.ScopeOpenID, "profile", "email"}, p.settings.Scopes...),
	}
}

// start returns the provider's URL at which the person of an attempt signs in.
func (p *Provider) start(ctx context.Context, callback string, a attempt) (string, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return p.oauth2(d, callback).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// finish exchanges the code of an attempt for the person who has signed in.
func (p *Provider) finish(ctx context.Context, callback, code string, a attempt) (directory.Person, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return directory.Person{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := p.oauth2(d, callback).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return directory.Person{}, exchangeError(err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return directory.Person{}, fmt.Errorf("%w: missing", errIDToken)
	}
	id, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return directory.Person{}, fmt.Errorf("%w: %s", errIDToken, withoutPrivate(err))
	}
	if id.Nonce != a.Nonce || a.Nonce == "" {
		return directory.Person{}, fmt.Errorf("%w: of another sign-in", errIDToken)
	}
	var all map[string]any
	if err := id.Claims(&all); err != nil {
		return directory.Person{}, fmt.Errorf("%w: claims", errIDToken)
	}
	// OpenID Connect Core 1.0 section 3.1.3.7: who the token was issued to, if it says so.
	if azp, there := all["azp"]; there && azp != p.settings.ClientID || !there && len(id.Audience) > 1 {
		return directory.Person{}, fmt.Errorf("%w: for another client", errIDToken)
	}
	text := func(name string) string { s, _ := all[name].(string); return s }
	return directory.Person{
		Identity: account.Identity{Issuer: id.Issuer, Subject: id.Subject},
		// A string "true" is not true: it is not what the standard says, and may not mean it.
		Email: text("email"), EmailVerified: all["email_verified"] == true,
		Username: text("preferred_username"), Name: text("name"),
		Admin: holds(all, p.settings.AdminClaim),
	}, nil
}

// holds reports whether claims have what ProviderSettings.AdminClaim requires. Everything that is not
// clearly so is not.
func holds(claims map[string]any, required string) bool {
	name, value, valued := strings.Cut(required, "=")
	claim, there := claims[name]
	if !there || name == "" {
		return false
	}
	if !valued {
		return claim == true
	}
	if list, many := claim.([]any); many {
		return slices.Contains(list, any(value))
	}
	return claim == value
}

// exchangeError says whether the provider refused the code or failed. It leaves out the provider's
// texts, which may name the person.
func exchangeError(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok:
		return fmt.Errorf("%w: no answer to a code", errProvider)
	case refused.ErrorCode == "invalid_grant":
		return errCode
	case refused.Response != nil:
		return fmt.Errorf("%w: status %d, %s", errProvider, refused.Response.StatusCode, errorCode(refused.ErrorCode))
	default:
		return fmt.Errorf("%w: %s", errProvider, errorCode(refused.ErrorCode))
	}
}

var errorCodes = regexp.MustCompile(`^[a-z_]{1,40}$`)

// errorCode returns a code of RFC 6749 section 5.2 or OpenID Connect Core 1.0 section 3.1.2.6, and no
// other text.
func errorCode(code string) string {
	if errorCodes.MatchString(code) {
		return code
	}
	return "without a code"
}

// withoutPrivate returns the text of an error of the library, which names issuers, audiences and
// instants, unless it may hold a mail address or is not a line.
func withoutPrivate(err error) string {
	const longest = 300
	var syntax *json.SyntaxError
	text := err.Error()
	if strings.ContainsAny(text, "@\n") || len(text) > longest || errors.As(err, &syntax) {
		return "unexpected"
	}
	return text
}
