package gateway

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/principal"
)

// The headers of an answer. Each identity header is on every answer that lets a request pass, "" where
// it has no value: Envoy leaves a client's own header in place otherwise.
const (
	userHeader    = "X-Auth-User"     // username
	userIDHeader  = "X-Auth-User-Id"  // id of the account
	tokenIDHeader = "X-Auth-Token-Id" //nolint:gosec // the name of a header
	scopesHeader  = "X-Auth-Scopes"   // effective scopes, separated by spaces
	projectHeader = "X-Auth-Project"  // id of the project or group of a token, "" for a person's
	reasonHeader  = "X-Auth-Reason"   // why a request may not pass, in a word
)

// identityHeaders are the identity headers by their folded names.
var identityHeaders = map[string]string{
	"x-auth-user": userHeader, "x-auth-user-id": userIDHeader, "x-auth-token-id": tokenIDHeader,
	"x-auth-scopes": scopesHeader, "x-auth-project": projectHeader,
}

// A Question is a request that a proxy asks about.
type Question struct {
	Method string
	// Target is the request's target as the client sent it to the proxy, Path and Query its parts around
	// the first question mark. Nobody has checked how they can be read.
	Target, Path, Query string
	// Header are the headers of the proxy's question, most of them the client's.
	Header http.Header
	// Body is the request's body, or empty if the proxy did not pass it on. Cut says that there is more
	// of it than anybody can see here.
	Body []byte
	Cut  bool
	// By is the caller, whose bearer is good.
	By  principal.Principal
	Now time.Time
}

// forwardAuth answers a proxy. rest is what follows /auth/ in the address.
func (c *call) forwardAuth(rest, unreadable string) {
	name, rest, named := strings.Cut(rest, "/")
	dialect, known := c.dialects[name]
	kindName, target, more := strings.Cut(rest, "/")
	if !named {
		kindName = "api"
	}
	kind, served := c.kinds[kindName]
	if !known || !served || more != (dialect.target == "") {
		c.noAddress()
		return
	}
	c.door = "/auth/" + name + "/" + kindName
	q := Question{Header: c.r.Header, Now: c.parts.Clock.Now()}
	if err := c.ask(&q, dialect, kind, "/"+target, unreadable); err != nil {
		c.refused(err)
		c.refuse(dialect, kind, q, RefusalOf(err))
		return
	}
	c.pass(q.By)
}

// ask decides a question. It fills q as far as it comes.
func (c *call) ask(q *Question, dialect Dialect, kind Kind, rest, unreadable string) (err error) {
	if unreadable != "" {
		return errDescription
	}
	if q.Method, q.Target, err = dialect.read(c.r, rest); err != nil {
		return err
	}
	q.Path, q.Query, _ = strings.Cut(q.Target, "?")
	q.Body, q.Cut = readBody(c.r)
	bearer, err := credential(c.r.Header, q.Query)
	if err != nil {
		return err
	}
	// The gateway sees the proxy's address. It says nothing about the client, who may share it with
	// everybody.
	request := c.request
	request.Address = c.parts.Proxies.client(c.r.Header, c.request.Address)
	q.By, err = c.verified(bearer, request)
	c.known = q.By
	if err != nil {
		return c.parts.Throttles.WrongBearer(err, request.Address, q.Now)
	}
	return kind.Judge(c.ctx, *q)
}

// credential returns the bearer of a question, in any of the forms that the authorizer takes, or "". Two
// different ones are refused, because the backend might choose the other.
func credential(h http.Header, query string) (string, error) {
	authorization, err := apigateway.OnlyHeader(h, "Authorization")
	if err != nil {
		return "", err
	}
	header, err := apigateway.OnlyHeader(h, bearerHeader)
	if err != nil {
		return "", err
	}
	parameters, _ := url.ParseQuery(query) // unreadable parameters count as absent
	given := append(parameters["private_token"], header, apigateway.BearerOf(authorization), apigateway.PasswordOf(authorization))
	found := ""
	for _, value := range given {
		if value != "" && found != "" && value != found {
			return "", &apigateway.Repeated{Name: "credential"}
		}
		if value != "" {
			found = value
		}
	}
	return found, nil
}

// pass lets a request pass and names its caller.
func (c *call) pass(by principal.Principal) {
	project := ""
	if by.Token.Kind.OfProject() {
		project = by.Token.Project.String()
	}
	h := c.header()
	h.Set(userHeader, by.Account.Username)
	h.Set(userIDHeader, by.Account.ID.String())
	h.Set(tokenIDHeader, by.Token.ID.String())
	h.Set(scopesHeader, by.Scopes.String())
	h.Set(projectHeader, project)
	c.write(http.StatusOK, "", "")
}

// refuse answers a request that may not pass.
func (c *call) refuse(dialect Dialect, kind Kind, q Question, refusal Refusal) {
	h := c.header()
	h.Set(reasonHeader, refusal.Reason)
	if refusal.Wait > 0 {
		h.Set("Retry-After", strconv.Itoa(refusal.Wait))
	}
	if challenge := challengeOf(kind.Scheme(), refusal); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	mediaType, body := kind.Body(q, refusal)
	status := refusal.Status
	if dialect.twoRefusals && status != http.StatusUnauthorized {
		status = http.StatusForbidden
	}
	c.write(status, mediaType, body)
}

// challengeOf returns the value of WWW-Authenticate. Git and docker send credentials only after a 401
// with Basic; a Bearer challenge also says what was wrong (RFC 6750 section 3).
func challengeOf(scheme string, refusal Refusal) string {
	challenge := scheme + ` realm="Latchkey"`
	switch {
	case refusal.Status == http.StatusUnauthorized && scheme != "Bearer":
		return challenge
	case refusal.Status == http.StatusUnauthorized && refusal.Reason == "token_missing":
		return challenge
	case refusal.Status == http.StatusUnauthorized:
		return challenge + `, error="invalid_token"`
	case refusal.Reason == "insufficient_scope" && scheme == "Bearer":
		challenge += `, error="insufficient_scope"`
		if len(refusal.Required) > 0 { // names of scopes have no quotes
			challenge += `, scope="` + refusal.Required.String() + `"`
		}
		return challenge
	}
	return ""
}
