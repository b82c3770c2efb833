// Package proxy turns events of a REST API of API Gateway into requests, and replies into what the
// gateway expects.
//
// Start with Handler. The adapters that serve the gateway share the package. It promises
// that an Origin holds nothing that a client can forge, and that it logs nothing.
package proxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"

	"latchkey/pkg/apigateway"
)

// An Origin holds what the gateway says about a request. Clients cannot forge it.
type Origin struct {
	// RequestID is "" for a request that did not come through a gateway.
	RequestID string
	// Address is the client's address, or the zero Addr.
	Address netip.Addr
	// URL is the gateway's address without the path. With the gateway's own domain it includes the
	// stage.
	URL string
	// Path is the path of the request as the client sent it, with the base path of a custom domain. It
	// is there for an unreadable event too, and "" only if no gateway was asked.
	Path string
	// Unreadable says why the event cannot become a request, or is "". An empty request then
	// replaces it, so that the refusal has an id and a log line like every other.
	Unreadable string
}

// A Handler serves requests that came through the gateway.
type Handler func(w http.ResponseWriter, r *http.Request, from Origin)

// ServeHTTP implements http.Handler for requests that came through no gateway.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h(w, r, Origin{}) }

// Event returns the event of a request from the gateway; ok is false for every other payload. Each event of
// the gateway has an httpMethod, and no client can remove it, so a request never passes for something else.
func Event(raw json.RawMessage) (event events.APIGatewayProxyRequest, ok bool) {
	err := json.Unmarshal(raw, &event)
	return event, err == nil && event.HTTPMethod != ""
}

// Serve replies to an event with h.
func (h Handler) Serve(ctx context.Context, event events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	from := originOfEvent(event)
	if from.Unreadable != "" {
		event = events.APIGatewayProxyRequest{HTTPMethod: http.MethodGet, Path: "/"}
	}
	var accessor core.RequestAccessor
	r, err := accessor.EventToRequest(event)
	if err != nil {
		return events.APIGatewayProxyResponse{}, fmt.Errorf("event to request: %w", err)
	}
	// The library takes the parameters from a map. A link made of them shall not differ from run to run.
	r.URL.RawQuery = r.URL.Query().Encode()
	w := core.NewProxyResponseWriter()
	h(w, r.WithContext(ctx), from)
	return w.GetProxyResponse()
}

// originOfEvent reads the gateway's data.
func originOfEvent(event events.APIGatewayProxyRequest) Origin {
	return Origin{
		RequestID: event.RequestContext.RequestID, Address: apigateway.Address(event.RequestContext.Identity.SourceIP),
		URL:        "https://" + event.RequestContext.DomainName + strings.TrimSuffix(event.RequestContext.Path, event.Path),
		Path:       event.Path,
		Unreadable: unreadable(event),
	}
}

// unreadable says why an event cannot become a request. The library must not see such an event,
// because it would log it.
func unreadable(event events.APIGatewayProxyRequest) string {
	if !strings.HasPrefix(event.Path, "/") || strings.ContainsAny(event.Path, "?#") {
		return "path is invalid"
	}
	if _, err := url.ParseRequestURI("https://" + event.RequestContext.DomainName + event.Path); err != nil {
		return "path is invalid"
	}
	if !validMethod(event.HTTPMethod) {
		return "method is invalid"
	}
	if event.IsBase64Encoded {
		if _, err := base64.StdEncoding.DecodeString(event.Body); err != nil {
			return "body is invalid"
		}
	}
	return ""
}

func validMethod(method string) bool {
	return !strings.ContainsFunc(method, func(c rune) bool { return c < 'A' || c > 'z' || 'Z' < c && c < 'a' })
}
