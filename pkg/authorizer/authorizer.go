// Package authorizer answers API Gateway's custom authorizer events, so that other
// people's APIs can use Latchkey's tokens: events in, policies out.
//
// Start with Authorizer. The package promises that a policy depends on the token
// and the scope catalog alone, so that it stays right when the gateway keeps it and
// applies it to another request, and that what cannot be decided is an error, which
// the gateway fails closed.
package authorizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// An Authorizer decides for other people's APIs whether a request may pass.
// It serves the events of REST API TOKEN and REQUEST authorizers and of HTTP
// API authorizers in payload format 1.0 and 2.0, and tells them apart by
// their fields.
type Authorizer struct {
	Log      *slog.Logger
	Verifier *verify.Verifier
	Scopes   *scope.Catalog
	// SimpleResponses says that HTTP APIs with payload format 2.0 have simple
	// responses enabled; the event does not tell.
	SimpleResponses bool
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
	// Throttles of the function's instance, or nil.
	Throttles *throttle.Throttles
	// Trail keeps what is worth knowing of refusals. It may be nil.
	Trail trail.Recorder

	policies policies
}

// errUndecided is all that the gateway, and so its caller, is told of a
// failure. It fails the request closed.
var errUndecided = errors.New("could not decide")

// Lambda returns the handler of the authorizer function.
func (a *Authorizer) Lambda() lambda.Handler {
	return apigateway.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) { return a.Decide(ctx, raw) })
}

// Decide answers one authorizer event as API Gateway sends it; see Authorize.
func (a *Authorizer) Decide(ctx context.Context, raw json.RawMessage) (any, error) {
	var event Event
	if err := json.Unmarshal(raw, &event); err != nil {
		a.Log.Error("authorizer event malformed", "reason", "not the JSON of an authorizer event")
		return nil, errUndecided
	}
	return a.Authorize(ctx, event)
}

// Authorize answers one authorizer event. A refused bearer is a normal answer:
// a policy that denies everything, or isAuthorized false. An error means that
// it could not be decided, and never allows. Nobody may change the policy of
// an answer: it is kept for others.
func (a *Authorizer) Authorize(ctx context.Context, event Event) (any, error) {
	route, err := event.route()
	if err != nil {
		a.Log.Error("authorizer event malformed", "reason", err.Error())
		return nil, errUndecided
	}
	caller, err := a.verify(ctx, event, route)
	switch {
	case err == nil:
		return a.allow(event, route, caller), nil
	case errors.Is(err, throttle.ErrThrottled):
		a.Log.Warn("bearer not looked at", "reason", err.Error())
		a.Count("RequestsThrottled", throttle.WrongBearers)
		return a.deny(event, route, err), nil
	case undecided(err):
		a.Log.Error("bearer not decided", "reason", err.Error())
		a.Count("BearersRefused", verify.RefusalCode(err))
		return nil, errUndecided
	}
	attrs := []any{"reason", err.Error()}
	if refusal := (*verify.Refusal)(nil); errors.As(err, &refusal) {
		attrs = append(attrs, "token_id", int64(refusal.Token.ID), "owner", int64(refusal.Token.Owner))
		attrs = append(attrs, principal.Behind(principal.Principal{Account: refusal.Account, Token: refusal.Token})...)
		a.note(ctx, event, refusal)
	}
	a.Log.Warn("bearer refused", attrs...)
	a.Count("BearersRefused", verify.RefusalCode(err))
	return a.deny(event, route, err), nil
}

// note writes down that a bearer came from where it may not be used.
func (a *Authorizer) note(ctx context.Context, event Event, refusal *verify.Refusal) {
	request := principal.Request{ID: event.RequestContext.RequestID, Address: apigateway.Address(event.address())}
	stray, ok := a.Throttles.Strayed(request, refusal, a.Verifier.Now())
	if !ok {
		return
	}
	if err := trail.Note(ctx, a.Trail, stray); err != nil {
		a.Log.Warn("event not recorded", "event", string(stray.Name), "reason", err.Error())
	}
}

func undecided(err error) bool {
	for _, refusal := range []error{token.ErrInvalid, account.ErrInactive, scope.ErrAmbiguousPath, fault.ErrInput} {
		if errors.Is(err, refusal) {
			return errors.Is(err, fault.ErrUnavailable) || errors.Is(err, fault.ErrCorrupt)
		}
	}
	return true
}

func (a *Authorizer) verify(ctx context.Context, event Event, route gatewayRoute) (principal.Principal, error) {
	for _, path := range route.spellings {
		if err := a.Scopes.CheckPath(path); err != nil {
			return principal.Principal{}, err
		}
	}
	value, err := event.bearer()
	if err != nil {
		return principal.Principal{}, err
	}
	return a.Throttles.Verify(ctx, a.Verifier, value, apigateway.Address(event.address()))
}

// allow answers for a good bearer: with a policy that lists everything its
// scopes open within its reach, whatever this request is, or with this request's answer where
// the response format has room for nothing else.
func (a *Authorizer) allow(event Event, route gatewayRoute, caller principal.Principal) any {
	if event.isHTTP2() && a.SimpleResponses {
		if !a.Scopes.Allows(caller.Token.Scopes, reach(caller.Token), route.method, route.path) {
			a.Log.Warn("bearer refused", append(principal.Behind(caller), "reason", scope.ErrInsufficient.Error(),
				"token_id", int64(caller.Token.ID), "owner", int64(caller.Account.ID))...)
			a.Count("BearersRefused", verify.RefusalCode(scope.ErrInsufficient))
			return events.APIGatewayV2CustomAuthorizerSimpleResponse{Context: contextOf(caller)}
		}
		return events.APIGatewayV2CustomAuthorizerSimpleResponse{IsAuthorized: true, Context: contextOf(caller)}
	}
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID:    caller.Account.ID.String(),
		PolicyDocument: a.policies.get(a.Scopes, caller.Token, route),
		Context:        contextOf(caller),
	}
}

// deny answers for a bearer that is no good anywhere. The context carries an
// RFC 6750 error code for a gateway response to show.
func (a *Authorizer) deny(event Event, route gatewayRoute, err error) any {
	reason := map[string]any{"error": "invalid_token"}
	switch {
	case errors.Is(err, throttle.ErrThrottled):
		reason["error"] = "too_many_requests"
	case errors.Is(err, account.ErrInactive):
		reason["error"] = "account_inactive"
	case errors.Is(err, token.ErrAddress):
		reason["error"] = "address_not_allowed"
	case errors.Is(err, scope.ErrAmbiguousPath), errors.Is(err, fault.ErrInput):
		reason["error"] = "invalid_request"
	}
	if event.isHTTP2() && a.SimpleResponses {
		return events.APIGatewayV2CustomAuthorizerSimpleResponse{Context: reason}
	}
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID:    "anonymous",
		PolicyDocument: denyEverything(route),
		Context:        reason,
	}
}

// contextOf is what the backend is told about its caller. All values are
// strings: REST APIs hand on nothing else unchanged.
func contextOf(caller principal.Principal) map[string]any {
	told := map[string]any{
		"user_id":    caller.Account.ID.String(),
		"username":   caller.Account.Username,
		"token_id":   caller.Token.ID.String(),
		"token_kind": string(caller.Token.Kind),
		"scopes":     caller.Token.Scopes.String(),
	}
	if caller.Token.Kind == token.Impersonation {
		told["impersonator_id"] = caller.Token.CreatedBy.String()
	}
	if caller.Token.Kind.OfProject() {
		told[string(caller.Token.Kind)+"_id"] = caller.Token.Project.String()
		told["access_level"] = strconv.Itoa(int(caller.Token.Level))
	}
	return told
}

// An Event holds the fields of all formats that the authorizer reads.
type Event struct {
	Type    string `json:"type"`
	Version string `json:"version"`

	// MethodARN is called routeArn in payload format 2.0.
	MethodARN string `json:"methodArn"`
	RouteARN  string `json:"routeArn"`

	AuthorizationToken string `json:"authorizationToken"`

	Path        string              `json:"path"`
	RawPath     string              `json:"rawPath"`
	Headers     map[string]string   `json:"headers"`
	MultiHeader map[string][]string `json:"multiValueHeaders"`
	Query       map[string]string   `json:"queryStringParameters"`
	MultiQuery  map[string][]string `json:"multiValueQueryStringParameters"`
	RawQuery    string              `json:"rawQueryString"`

	// RequestContext is absent from TOKEN events.
	RequestContext struct {
		RequestID string      `json:"requestId"`
		Identity  eventSource `json:"identity"`
		// HTTP takes the place of Identity in payload format 2.0.
		HTTP eventSource `json:"http"`
	} `json:"requestContext"`
}

// An eventSource is the part of an event that says where the request came from.
type eventSource struct {
	SourceIP string `json:"sourceIp"`
}

// address is what the gateway reports of the client, "" in a TOKEN event.
func (e Event) address() string {
	if e.isHTTP2() {
		return e.RequestContext.HTTP.SourceIP
	}
	return e.RequestContext.Identity.SourceIP
}

func (e Event) isHTTP2() bool { return e.Version == "2.0" }

// A gatewayRoute is the request that an event is about.
type gatewayRoute struct {
	// api is the resource up to the stage, `arn:…:<api>/<stage>`.
	api    string
	method string
	// path is the one that the gateway matches policies against.
	path string
	// spellings are all forms of the path that the event shows. Each of them
	// has to be readable in one way only.
	spellings []string
}

// route reads the resource `arn:aws:execute-api:<region>:<account>:<api>/
// <stage>/<method>/<path>`.
func (e Event) route() (gatewayRoute, error) {
	arn := e.MethodARN
	if e.isHTTP2() {
		arn = e.RouteARN
	}
	const sections = 6
	if parts := strings.SplitN(arn, ":", sections); len(parts) != sections || parts[0] != "arn" || parts[2] != "execute-api" {
		return gatewayRoute{}, errors.New("no resource of execute-api in the event")
	}
	parts := strings.SplitN(arn, "/", 4)
	if len(parts) < 3 || parts[1] == "" || parts[2] == "" {
		return gatewayRoute{}, errors.New("resource without stage or method")
	}
	route := gatewayRoute{api: parts[0] + "/" + parts[1], method: parts[2], path: "/"}
	if len(parts) == 4 {
		route.path += parts[3]
	}
	route.spellings = []string{route.path}
	switch {
	case e.Type == "TOKEN":
	case e.Type != "REQUEST":
		return gatewayRoute{}, fmt.Errorf("authorizer type is neither TOKEN nor REQUEST")
	case e.isHTTP2() || e.Version == "1.0":
		// HTTP APIs hand over a path that is decoded already. In front of it
		// is the stage, unless it is $default, or the base path of a custom
		// domain's mapping.
		shown := e.RawPath
		if !e.isHTTP2() {
			shown = e.Path
		}
		front, same := strings.CutSuffix(shown, route.path)
		route.spellings = []string{escaped(route.path), escaped("/" + strings.TrimPrefix(front, "/"))}
		if !same {
			route.spellings = append(route.spellings, "") // two readings: refused
		}
	default:
		route.spellings = append(route.spellings, e.Path)
	}
	return route, nil
}

// escaped encodes what a decoded path may rightly hold, so that CheckPath can
// read it. A percent sign that is left in it was encoded twice, and stays for
// CheckPath to refuse.
func escaped(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			if c == '%' {
				b.WriteString("%25")
				continue
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// bearer returns what the request presents, in the order that the management
// API uses; Basic passwords count here, because clients of other people's
// APIs can often do nothing else.
func (e Event) bearer() (string, error) {
	if e.Type == "TOKEN" {
		return fromAuthorization(e.AuthorizationToken), nil
	}
	query := e.query()
	header := e.header()
	if values := query["private_token"]; len(values) > 0 {
		if len(values) > 1 {
			return "", &apigateway.Repeated{Place: "private_token"}
		}
		if values[0] != "" {
			return values[0], nil
		}
	}
	value, err := apigateway.OnlyHeader(header, "Private-Token")
	if value != "" || err != nil {
		return value, err
	}
	authorization, err := apigateway.OnlyHeader(header, "Authorization")
	if value := apigateway.BearerOf(authorization); value != "" || err != nil {
		return value, err
	}
	return apigateway.PasswordOf(authorization), nil
}

// fromAuthorization reads the identity source of a TOKEN authorizer: a header
// of the Bearer or Basic scheme, or the bare bearer.
func fromAuthorization(value string) string {
	if bearer := apigateway.BearerOf(value); bearer != "" {
		return bearer
	}
	if password := apigateway.PasswordOf(value); password != "" {
		return password
	}
	return strings.TrimSpace(value)
}

func (e Event) header() http.Header {
	header := http.Header{}
	for name, values := range e.MultiHeader {
		for _, value := range values {
			header.Add(name, value)
		}
	}
	if len(e.MultiHeader) == 0 {
		for name, value := range e.Headers {
			header.Add(name, value)
		}
	}
	return header
}

func (e Event) query() url.Values {
	if e.RawQuery != "" {
		query, _ := url.ParseQuery(e.RawQuery) // what cannot be read is not there
		return query
	}
	if len(e.MultiQuery) > 0 {
		return e.MultiQuery
	}
	query := url.Values{}
	for name, value := range e.Query {
		query.Set(name, value)
	}
	return query
}
