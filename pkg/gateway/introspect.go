package gateway

import (
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// errRequest means that an introspection request has not the form of RFC 7662 section 2.1.
var errRequest = fmt.Errorf("%w: not an introspection request", fault.ErrInput)

// An introspection is the answer about a token (RFC 7662 section 2.2). An inactive one has no other
// field, so that nothing about it can be learnt.
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"` // the token's id: there are no clients
	Username  string `json:"username,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	ExpiresAt int64  `json:"exp,omitempty"` // seconds since 1970; absent for a token that never expires
	IssuedAt  int64  `json:"iat,omitempty"`
	Subject   string `json:"sub,omitempty"` // the account's id
	// The rest is Latchkey's own (section 2.2 allows that).
	TokenKind   string `json:"token_kind,omitempty"`
	ProjectID   string `json:"project_id,omitempty"`
	GroupID     string `json:"group_id,omitempty"`
	AccessLevel int    `json:"access_level,omitempty"`
}

// introspect answers a server that asks about a token which somebody presented to it.
func (c *call) introspect(unreadable string) {
	by, err := c.asking()
	var target string
	var from netip.Addr
	if err == nil {
		target, from, err = c.introspected(unreadable)
	}
	if err != nil {
		c.refused(err)
		c.refuseIntrospection(RefusalOf(err))
		return
	}
	// The presented token is used now, and this is all that Latchkey learns of it.
	presented, err := c.verified(target, principal.Request{ID: c.request.ID, Address: from})
	if err != nil {
		// Limited by the caller's address: otherwise whoever has a token could try values here.
		err = c.parts.Throttles.WrongBearer(err, c.request.Address, c.parts.Clock.Now())
		if refusal := RefusalOf(err); refusal.Status >= http.StatusTooManyRequests {
			c.refused(err)
			c.refuseIntrospection(refusal)
			return
		}
	}
	c.known = by
	c.write(http.StatusOK, "application/json", encode(introspectionOf(presented, err)))
}

func introspectionOf(p principal.Principal, refused error) introspection {
	// A token without scopes that count opens nothing. A server that looks at active alone must not take it.
	if refused != nil || len(p.Scopes) == 0 {
		return introspection{}
	}
	in := introspection{
		Active: true, Scope: p.Scopes.String(), ClientID: p.Token.ID.String(), Username: p.Account.Username, TokenType: "Bearer",
		IssuedAt: p.Token.CreatedAt.Unix(), Subject: p.Account.ID.String(), TokenKind: string(p.Token.Kind),
	}
	if at := p.Token.ExpiresAt(); !at.IsZero() {
		in.ExpiresAt = at.Unix()
	}
	switch p.Token.Kind {
	case token.Project:
		in.ProjectID, in.AccessLevel = p.Token.Project.String(), int(p.Token.Level)
	case token.Group:
		in.GroupID, in.AccessLevel = p.Token.Project.String(), int(p.Token.Level)
	case token.Personal, token.Impersonation:
	}
	return in
}

// introspected returns the presented token and the address of whoever presented it, the zero Addr if the
// caller does not say.
func (c *call) introspected(unreadable string) (value string, from netip.Addr, err error) {
	mediaType, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	// A query is in logs of proxies (RFC 7662 section 4).
	if unreadable != "" || c.r.Method != http.MethodPost || mediaType != "application/x-www-form-urlencoded" || c.r.URL.RawQuery != "" {
		return "", netip.Addr{}, errRequest
	}
	body, _ := readBody(c.r) // a body that was cut has no token
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["token"]) != 1 || form.Get("token") == "" || len(form["client_address"]) > 1 {
		return "", netip.Addr{}, errRequest
	}
	if given := form.Get("client_address"); given != "" {
		if from = apigateway.Address(given); !from.IsValid() {
			return "", netip.Addr{}, errRequest
		}
	}
	return form.Get("token"), from, nil
}

// asking returns the caller, who needs the scope introspect.
func (c *call) asking() (principal.Principal, error) {
	bearer, err := credential(c.r.Header, "")
	if err != nil {
		return principal.Principal{}, err
	}
	by, err := c.verified(clientSecret(bearer), c.request)
	c.known = by
	if err != nil {
		return by, c.parts.Throttles.WrongBearer(err, c.request.Address, c.parts.Clock.Now())
	}
	if !by.Scopes.Has(scope.Introspect) {
		return by, &Insufficient{Required: scope.Set{scope.Introspect}}
	}
	return by, nil
}

// clientSecret undoes the encoding that OAuth's clients add to a secret in Basic credentials (RFC 6749
// section 2.3.1). No bearer has a percent sign.
func clientSecret(value string) string {
	if decoded, err := url.QueryUnescape(value); err == nil && strings.Contains(value, "%") {
		return decoded
	}
	return value
}

// refuseIntrospection answers a caller who may not ask, or does not ask properly. A caller who may not
// ask is 401 whatever the reason (RFC 7662 section 2.3).
func (c *call) refuseIntrospection(refusal Refusal) {
	code := "invalid_request"
	switch refusal.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		refusal.Status = http.StatusUnauthorized
		code = "invalid_client"
		challenge := `Bearer realm="Latchkey"`
		switch refusal.Reason {
		case "token_missing":
		case "insufficient_scope":
			challenge += `, error="insufficient_scope", scope="` + refusal.Required.String() + `"`
		default:
			challenge += `, error="invalid_token"`
		}
		c.header().Add("WWW-Authenticate", challenge)
		c.header().Add("WWW-Authenticate", `Basic realm="Latchkey"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		code = "temporarily_unavailable"
	}
	if c.r.Method != http.MethodPost {
		refusal.Status = http.StatusMethodNotAllowed
		c.header().Set("Allow", http.MethodPost)
	}
	if refusal.Wait > 0 {
		c.header().Set("Retry-After", strconv.Itoa(refusal.Wait))
	}
	c.header().Set("Pragma", "no-cache")
	c.header().Set(reasonHeader, refusal.Reason)
	c.write(refusal.Status, "application/json", encode(map[string]string{"error": code, "error_description": refusal.Message}))
}
