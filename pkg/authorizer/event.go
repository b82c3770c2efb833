package authorizer

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/principal"
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
	// path is the path that the gateway matches policies against.
	path string
	// spellings are all forms of the path in the event. Each must be unambiguous.
	spellings []string
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
	route.spellings = []string{route.path}
	switch {
	case e.Type == "TOKEN":
	case e.Type != "REQUEST":
		return gatewayRoute{}, errors.New("authorizer type is neither TOKEN nor REQUEST")
	case e.isHTTP2() || e.Version == "1.0":
		// HTTP APIs pass on a decoded path. It starts with the stage, unless that is $default, or
		// with the base path of a custom domain's mapping.
		shown := e.RawPath
		if !e.isHTTP2() {
			shown = e.Path
		}
		front, same := strings.CutSuffix(shown, route.path)
		route.spellings = []string{escaped(route.path), escaped("/" + strings.TrimPrefix(front, "/"))}
		if !same {
			route.spellings = append(route.spellings, "") // ambiguous: refused
		}
	default:
		route.spellings = append(route.spellings, e.Path)
	}
	return route, nil
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
// Basic passwords, because many clients of other people's APIs can send nothing else.
func (e Event) bearer() (string, error) {
	if e.Type == "TOKEN" {
		return fromAuthorization(e.AuthorizationToken), nil
	}
	query := e.query()
	header := e.header()
	if values := query["private_token"]; len(values) > 0 {
		if len(values) > 1 {
			return "", &apigateway.Repeated{Name: "private_token"}
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
