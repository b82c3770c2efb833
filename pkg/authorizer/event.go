package authorizer

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
)

// An Event holds the fields that the authorizer reads, of all formats.
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
		// HTTP replaces Identity in payload format 2.0.
		HTTP eventSource `json:"http"`
	} `json:"requestContext"`
}

// An eventSource is the part of an event with the client's address.
type eventSource struct {
	SourceIP string `json:"sourceIp"`
}

func (e Event) isHTTP2() bool { return e.Version == "2.0" }

func (e Event) isREST() bool { return e.Version == "" }

// request returns what the gateway reports about the request. A TOKEN event has neither its id nor
// the client's address.
func (e Event) request() principal.Request {
	source := e.RequestContext.Identity
	if e.isHTTP2() {
		source = e.RequestContext.HTTP
	}
	return principal.Request{ID: e.RequestContext.RequestID, Address: apigateway.Address(source.SourceIP)}
}

// A gatewayRoute is the method and path of an event.
type gatewayRoute struct {
	// api is the ARN up to the stage, `arn:…:<api>/<stage>`.
	api    string
	method string
	// path is that of the ARN. The gateway matches policies against it, so it decides. It never has
	// the base path of a custom domain.
	path string
	// decoded says that an HTTP API has decoded the path.
	decoded bool
	// front is what the event's own path has in front of the ARN's: the stage of an HTTP API, or the
	// base path of a custom domain. It is "?" if the two paths differ otherwise, also by a slash.
	front string
}

// route parses the ARN `arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>`.
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
	switch {
	case e.Type == "TOKEN":
		return route, nil
	case e.Type != "REQUEST":
		return gatewayRoute{}, errors.New("authorizer type is neither TOKEN nor REQUEST")
	}
	shown := e.Path
	if e.isHTTP2() {
		shown = e.RawPath
	}
	route.decoded = e.isHTTP2() || e.Version == "1.0"
	route.front = frontOf(shown, route.path)
	return route, nil
}

// frontOf returns what shown has in front of path, or "?". The path `/prod` is the root of the stage
// prod.
func frontOf(shown, path string) string {
	if path == "/" && !strings.HasSuffix(shown, "/") {
		shown += "/"
	}
	if front, same := strings.CutSuffix(shown, path); same && !strings.HasSuffix(front, "/") {
		return front
	}
	return "?"
}

// errFront means that the ARN's path has one reading, and what the event has in front of it has not.
var errFront = errors.New("in front of the resource")

// check returns why the path can be read in two ways, or nil.
func (r gatewayRoute) check(catalog *scope.Catalog) error {
	path, front := r.path, r.front
	if r.decoded {
		path, front = escaped(path), escaped(front)
	}
	if err := catalog.CheckPath(path); err != nil || front == "" {
		return err
	}
	if err := catalog.CheckPath(front); err != nil {
		return fmt.Errorf("%w: %w", errFront, err)
	}
	return nil
}

// escaped encodes characters that are legal in a decoded path, so that CheckPath can read it. It
// keeps a remaining percent sign, which was encoded twice, so that CheckPath refuses it.
func escaped(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ', c > '~', c == '%':
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// bearer returns the bearer of the request, in the management API's order of precedence. It accepts
// Basic passwords, because many clients of other people's APIs can send nothing else. If header is
// not "", the gateway keeps answers by this header, and bearer reads no other part of the request: the
// kept answer is for everybody who sends the same value there.
func (e Event) bearer(header string) (string, error) {
	if e.Type == "TOKEN" {
		return fromAuthorization(e.AuthorizationToken), nil
	}
	headers := e.header()
	switch header {
	case "":
	case authorization:
		return ofAuthorization(headers)
	default:
		return apigateway.OnlyHeader(headers, header)
	}
	query := e.query()
	if values := query["private_token"]; len(values) > 0 {
		if len(values) > 1 {
			return "", &apigateway.Repeated{Name: "private_token"}
		}
		if values[0] != "" {
			return values[0], nil
		}
	}
	value, err := apigateway.OnlyHeader(headers, "Private-Token")
	if value != "" || err != nil {
		return value, err
	}
	return ofAuthorization(headers)
}

const authorization = "Authorization"

func ofAuthorization(headers http.Header) (string, error) {
	value, err := apigateway.OnlyHeader(headers, authorization)
	if bearer := apigateway.BearerOf(value); bearer != "" || err != nil {
		return bearer, err
	}
	return apigateway.PasswordOf(value), nil
}

// fromAuthorization parses the identity source of a TOKEN authorizer: a header of the Bearer or
// Basic scheme, or the bare bearer.
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
		query, _ := url.ParseQuery(e.RawQuery) // unreadable parameters count as absent
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
