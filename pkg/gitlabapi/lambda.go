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

// An Origin is what the gateway says of a request, which its client cannot write.
type Origin struct {
	// RequestID is "" for a request that came through no gateway.
	RequestID string
	// Address is the client's, the zero Addr where it is not known.
	Address netip.Addr
	// URL is where the gateway was reached, without the path. The stage is part of
	// it where the gateway's own domain was used.
	URL string
	// Unreadable says what about the event cannot become a request, "" for
	// nothing. An empty request then stands in for it, so that the refusal has its
	// id and its log line like every other.
	Unreadable string
}

// A Handler serves a request that came through the gateway.
type Handler func(w http.ResponseWriter, r *http.Request, from Origin)

// ServeHTTP implements http.Handler for requests that came through none.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h(w, r, Origin{}) }

// A Console serves an operator's direct invocation: somebody with credentials
// of the AWS account and no token. An error becomes the function's error.
type Console func(ctx context.Context, by principal.Principal, payload json.RawMessage) (any, error)

// ErrEvent means that a function was invoked with something it does not serve.
var ErrEvent = errors.New("event is neither a request from API Gateway nor a console payload of this function; see events/ for samples")

// Lambda returns the Lambda handler of a function: REST API proxy events go to
// h, everything else to console, which may be nil. Only the gateway can make
// an event with an httpMethod, and it never makes one without, so a request
// from outside cannot reach the console.
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

// originOfEvent reads what the gateway wrote.
func originOfEvent(event events.APIGatewayProxyRequest) Origin {
	return Origin{
		RequestID: event.RequestContext.RequestID, Address: apigateway.Address(event.RequestContext.Identity.SourceIP),
		URL:        "https://" + event.RequestContext.DomainName + strings.TrimSuffix(event.RequestContext.Path, event.Path),
		Unreadable: unreadable(event),
	}
}

// unreadable says what about an event cannot become a request, so that the
// library never meets one: it would log the event.
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

// strict reads a console payload into v and refuses fields that it does not
// know: a misspelt option must not be passed over.
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

// withoutValues keeps of a decoding error what it says about the form of a
// payload. The payload itself may hold a bearer.
func withoutValues(err error) error {
	if mismatch := (*json.UnmarshalTypeError)(nil); errors.As(err, &mismatch) {
		return errors.New("field " + mismatch.Field + " has the wrong type")
	}
	if text := err.Error(); strings.HasPrefix(text, "json: unknown field ") {
		return errors.New(strings.TrimPrefix(text, "json: "))
	}
	return errors.New("payload is not a JSON object")
}
