package cloud

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// AuthorizerKind is the type of a Lambda authorizer.
type AuthorizerKind string

// TokenAuthorizer and RequestAuthorizer are the types of REST APIs. HTTPAuthorizer is that of HTTP APIs
// with payload format 2.0, which decode the path first.
const (
	TokenAuthorizer   AuthorizerKind = "TOKEN"
	RequestAuthorizer AuthorizerKind = "REQUEST"
	HTTPAuthorizer    AuthorizerKind = "HTTP"
)

// Authorizer is a Lambda authorizer of an API.
type Authorizer struct {
	Kind    AuthorizerKind
	Handler lambda.Handler
	// Headers are the identity source, with Context. The gateway refuses a request without one of
	// them and does not call the function. TOKEN needs exactly one; the others need at least one if
	// answers are cached.
	Headers []string
	// Context are further parts of the identity source: identity.sourceIp, httpMethod, path, routeKey.
	Context []string
	// Simple says that an HTTPAuthorizer answers with isAuthorized and without a policy.
	Simple bool
	// CacheTime is how long an answer serves later requests with the same identity source, for any
	// method and path; 0 disables the cache.
	CacheTime time.Duration
	// Timeout is the function's timeout.
	Timeout time.Duration

	mu    sync.Mutex
	cache map[string]cachedAnswer
}

type cachedAnswer struct {
	answer authorizerAnswer
	until  time.Time
}

type authorizerAnswer struct {
	// IsAuthorized is the whole of a simple response, apart from its context.
	IsAuthorized   *bool          `json:"isAuthorized"`
	PrincipalID    string         `json:"principalId"`
	PolicyDocument policyDocument `json:"policyDocument"`
	Context        map[string]any `json:"context"`
}

type policyDocument struct {
	Statement []policyStatement `json:"Statement"`
}

type policyStatement struct {
	Effect   string    `json:"Effect"`
	Action   oneOrMany `json:"Action"`
	Resource oneOrMany `json:"Resource"`
	// Condition has operators, each with keys and their values.
	Condition map[string]map[string]oneOrMany `json:"Condition"`
}

// holds reports whether the conditions of a statement hold. The gateway knows only those by time.
func (s policyStatement) holds(now time.Time) (bool, error) {
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if operator != "DateGreaterThanEquals" || key != "aws:CurrentTime" || len(values) != 1 {
				return false, errAuthorizerAnswer
			}
			at, err := time.Parse(time.RFC3339, values[0])
			if err != nil {
				return false, errAuthorizerAnswer
			}
			if now.Before(at) {
				return false, nil
			}
		}
	}
	return true, nil
}

type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(raw []byte) error {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		*o = oneOrMany{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(o))
}

var (
	errUnauthorized     = &gatewayFault{"UNAUTHORIZED", http.StatusUnauthorized, "Unauthorized"}
	errAuthorizerFailed = &gatewayFault{"AUTHORIZER_FAILURE", http.StatusInternalServerError, "Internal server error"}
	errAuthorizerAnswer = &gatewayFault{"AUTHORIZER_CONFIGURATION_ERROR", http.StatusInternalServerError, "Internal server error"}
	errForbidden        = &gatewayFault{"FORBIDDEN", http.StatusForbidden, "Forbidden"}
	errDenied           = &gatewayFault{"ACCESS_DENIED", http.StatusForbidden, "User is not authorized to access this resource"}
	errDeniedExplicitly = &gatewayFault{"ACCESS_DENIED", http.StatusForbidden, "User is not authorized to access this resource with an explicit deny"}
)

// decide asks the authorizer about a request and returns the context for the backend. It evaluates a
// policy for every request, and applies a simple response as it is, cached ones included.
func (a *Authorizer) decide(x *exchange) (map[string]any, error) {
	identity := make([]string, 0, len(a.Headers))
	for _, name := range a.Headers {
		value := x.request.Header.Get(name)
		if value == "" {
			return nil, errUnauthorized
		}
		identity = append(identity, value)
	}
	for _, name := range a.Context {
		identity = append(identity, x.variable("context."+name, nil))
	}
	answer, err := a.answer(x, string(encode(identity)))
	if err != nil {
		return nil, err
	}
	out, err := answer.forBackend()
	if err != nil {
		return nil, err
	}
	// A gateway response to a denial may show the authorizer's context.
	x.authorizer = out
	switch {
	case !a.Simple:
		return out, answer.PolicyDocument.check(a.resource(x), x.g.Clock.Now())
	case !*answer.IsAuthorized:
		return out, errForbidden
	}
	return out, nil
}

// resource returns the request in the form of a policy's resources. HTTP APIs decode its path.
func (a *Authorizer) resource(x *exchange) string {
	arn := x.methodARN()
	if decoded, err := url.PathUnescape(x.path); a.Kind == HTTPAuthorizer && err == nil {
		arn = strings.TrimSuffix(arn, strings.TrimLeft(x.path, "/")) + strings.TrimLeft(decoded, "/")
	}
	return arn
}

// valid reports whether an answer has the form that the gateway expects.
func (a *Authorizer) valid(answer authorizerAnswer) bool {
	if a.Simple {
		return answer.IsAuthorized != nil
	}
	return answer.PrincipalID != "" && len(answer.PolicyDocument.Statement) > 0
}

func (a *Authorizer) answer(x *exchange, identity string) (authorizerAnswer, error) {
	now := x.g.Clock.Now()
	if a.CacheTime > 0 {
		a.mu.Lock()
		cached, ok := a.cache[identity]
		a.mu.Unlock()
		if ok && now.Before(cached.until) {
			return cached.answer, nil
		}
	}
	raw, err := call(x.request.Context(), "authorizer", a.Handler, a.timeout(), x.requestID, a.event(x))
	if fault := new(functionError); errors.As(err, &fault) && fault.Message == "Unauthorized" {
		return authorizerAnswer{}, errUnauthorized
	} else if err != nil {
		return authorizerAnswer{}, errAuthorizerFailed
	}
	var answer authorizerAnswer
	if err := json.Unmarshal(raw, &answer); err != nil || !a.valid(answer) {
		return authorizerAnswer{}, errAuthorizerAnswer
	}
	if a.CacheTime > 0 {
		a.mu.Lock()
		if a.cache == nil {
			a.cache = map[string]cachedAnswer{}
		}
		a.cache[identity] = cachedAnswer{answer, now.Add(a.CacheTime)}
		a.mu.Unlock()
	}
	return answer, nil
}

// timeout returns how long the function may take. API Gateway never waits longer than for an
// integration.
func (a *Authorizer) timeout() time.Duration {
	if a.Timeout == 0 {
		return integrationTimeout
	}
	return min(a.Timeout, integrationTimeout)
}

type tokenEvent struct {
	Type               AuthorizerKind `json:"type"`
	AuthorizationToken string         `json:"authorizationToken"`
	MethodARN          string         `json:"methodArn"`
}

// requestEvent is the proxy event without a body, with two additional fields.
type requestEvent struct {
	Type      AuthorizerKind `json:"type"`
	MethodARN string         `json:"methodArn"`
	proxyEvent
	Body            any `json:"body,omitempty"`
	IsBase64Encoded any `json:"isBase64Encoded,omitempty"`
}

func (a *Authorizer) event(x *exchange) []byte {
	switch a.Kind {
	case TokenAuthorizer:
		return encode(tokenEvent{a.Kind, x.request.Header.Get(a.Headers[0]), x.methodARN()})
	case HTTPAuthorizer:
		return encode(a.httpEvent(x))
	}
	return encode(requestEvent{Type: a.Kind, MethodARN: x.methodARN(), proxyEvent: x.event})
}

// httpEvent returns the event of payload format 2.0, as far as authorizers read it.
func (a *Authorizer) httpEvent(x *exchange) map[string]any {
	path, err := url.PathUnescape(x.event.Path)
	if err != nil {
		path = x.event.Path
	}
	if x.g.BasePath == "" && x.g.Stage != "$default" {
		path = "/" + x.g.Stage + path
	}
	headers := map[string]string{}
	for name, values := range x.event.MultiValueHeaders {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	identity := make([]string, len(a.Headers))
	for i, name := range a.Headers {
		identity[i] = headers[strings.ToLower(name)]
	}
	return map[string]any{
		"version": "2.0", "type": "REQUEST", "routeArn": a.resource(x), "identitySource": identity, "routeKey": x.routeKey(),
		"rawPath": path, "rawQueryString": x.request.URL.RawQuery, "headers": headers,
		"requestContext": map[string]any{
			"apiId": x.g.ID, "stage": x.g.Stage, "requestId": x.requestID, "domainName": x.request.Host,
			"http": map[string]any{"method": x.request.Method, "path": path, "sourceIp": x.event.RequestContext.Identity.SourceIP},
		},
	}
}

// forBackend returns the context as requestContext.authorizer carries it: all values are strings,
// without nesting.
func (answer authorizerAnswer) forBackend() (map[string]any, error) {
	out := map[string]any{"principalId": answer.PrincipalID}
	for key, v := range answer.Context {
		switch v := v.(type) {
		case nil:
		case string:
			out[key] = v
		case bool, float64:
			out[key] = string(encode(v))
		default:
			return nil, errAuthorizerAnswer
		}
	}
	return out, nil
}

// check evaluates a policy for one method. A matching deny wins; without a matching allow the
// request is denied.
func (p policyDocument) check(methodARN string, now time.Time) error {
	allowed := false
	for _, s := range p.Statement {
		holds, err := s.holds(now)
		if err != nil {
			return err
		}
		applies := holds && slices.ContainsFunc(s.Action, func(action string) bool { return glob(strings.ToLower(action), "execute-api:invoke") }) &&
			slices.ContainsFunc(s.Resource, func(resource string) bool { return glob(resource, methodARN) })
		switch {
		case !applies:
		case s.Effect == "Deny":
			return errDeniedExplicitly
		case s.Effect == "Allow":
			allowed = true
		default:
			return errAuthorizerAnswer
		}
	}
	if !allowed {
		return errDenied
	}
	return nil
}

// glob matches IAM's wildcards: * for any run of characters, slashes included, and ? for any one.
func glob(pattern, s string) bool {
	star, mark, p, i := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0: // let the last star take one character more
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
