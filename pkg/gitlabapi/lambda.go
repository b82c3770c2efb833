package gitlabapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/invocation"
	"latchkey/pkg/principal"
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
	// Unreadable says why the event cannot become a request, or is "". An empty request then
	// replaces it, so that the refusal has an id and a log line like every other.
	Unreadable string
}

// A Handler serves requests that came through the gateway.
type Handler func(w http.ResponseWriter, r *http.Request, from Origin)

// ServeHTTP implements http.Handler for requests that came through no gateway.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h(w, r, Origin{}) }

// A Console serves direct invocations by an operator, who has credentials of the AWS account and no
// token. An error becomes the function's error.
type Console func(ctx context.Context, by principal.Principal, payload json.RawMessage) (any, error)

// ErrEvent means that a function does not serve this event.
var ErrEvent = &invocation.Error{
	Type: "EventInvalid", Message: "event is neither a request from API Gateway nor a console payload of this function; see events/ for samples",
}

// Lambda returns the Lambda handler of a function. REST API proxy events go to h, everything else
// to console, which may be nil. Every event of the gateway has an httpMethod, and no client can
// remove it, so a request from outside cannot reach the console.
func Lambda(h Handler, console Console) lambda.Handler {
	var accessor core.RequestAccessor
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		var event events.APIGatewayProxyRequest
		if err := json.Unmarshal(raw, &event); err != nil || event.HTTPMethod == "" {
			if console == nil {
				return nil, ErrEvent
			}
			return console(ctx, operator(ctx), raw)
		}
		from := originOfEvent(event)
		if from.Unreadable != "" {
			event = events.APIGatewayProxyRequest{HTTPMethod: http.MethodGet, Path: "/"}
		}
		r, err := accessor.EventToRequest(event)
		if err != nil {
			return nil, fmt.Errorf("event to request: %w", err)
		}
		w := core.NewProxyResponseWriter()
		h(w, r.WithContext(ctx), from)
		return w.GetProxyResponse()
	})
}

// operator is the principal of a direct invocation.
func operator(ctx context.Context) principal.Principal {
	id := ""
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		id = invocation.AwsRequestID
	}
	return principal.Console(id)
}

// originOfEvent reads the gateway's data.
func originOfEvent(event events.APIGatewayProxyRequest) Origin {
	return Origin{
		RequestID: event.RequestContext.RequestID, Address: apigateway.Address(event.RequestContext.Identity.SourceIP),
		URL:        "https://" + event.RequestContext.DomainName + strings.TrimSuffix(event.RequestContext.Path, event.Path),
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

// strict decodes a console payload into v and refuses unknown fields, because a misspelt option
// must not be ignored.
func strict(payload json.RawMessage, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return errors.Join(ErrEvent, withoutValues(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return ErrEvent
	}
	return nil
}

// withoutValues keeps only what a decoding error says about the form of a payload, because the
// payload may hold a bearer.
func withoutValues(err error) error {
	if mismatch := (*json.UnmarshalTypeError)(nil); errors.As(err, &mismatch) {
		return errors.New("field " + mismatch.Field + " has the wrong type")
	}
	if text := err.Error(); strings.HasPrefix(text, "json: unknown field ") {
		return errors.New(strings.TrimPrefix(text, "json: "))
	}
	return errors.New("payload is not a JSON object")
}
