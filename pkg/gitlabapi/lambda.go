package gitlabapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"latchkey/pkg/invocation"
)

// A Console serves an operator's direct invocation: somebody with credentials
// of the AWS account and no token. An error becomes the function's error.
type Console func(ctx context.Context, payload json.RawMessage) (any, error)

// ErrEvent means that a function was invoked with something it does not serve.
var ErrEvent = errors.New("event is neither a request from API Gateway nor a console payload of this function; see events/ for samples")

// Lambda returns the Lambda handler of a function: REST API proxy events go to
// h, everything else to console, which may be nil. Only the gateway can make
// an event with an httpMethod, and it never makes one without, so a request
// from outside cannot reach the console.
func Lambda(h http.Handler, console Console) lambda.Handler {
	adapter := httpadapter.New(h)
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		var event events.APIGatewayProxyRequest
		if err := json.Unmarshal(raw, &event); err != nil || event.HTTPMethod == "" {
			if console == nil {
				return nil, ErrEvent
			}
			return console(withOperator(ctx), raw)
		}
		ctx = context.WithValue(ctx, requestIDKey{}, event.RequestContext.RequestID)
		ctx = context.WithValue(ctx, gatewayURLKey{}, gatewayURL(event))
		ctx = withAddress(ctx, event.RequestContext.Identity.SourceIP)
		if reason := unreadable(event); reason != "" {
			// An empty request stands in for it, so that the refusal has its
			// id and its log line like every other.
			ctx = context.WithValue(ctx, unreadableKey{}, reason)
			event = events.APIGatewayProxyRequest{HTTPMethod: http.MethodGet, Path: "/"}
		}
		return adapter.ProxyWithContext(ctx, event)
	})
}

type unreadableKey struct{}

// unreadable says what about an event cannot become a request. The adapter
// would log the event and answer 504.
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

type gatewayURLKey struct{}

// gatewayURL returns the address at which the gateway received a request,
// without the path: the gateway writes it, not the client. The stage is part
// of it where the gateway's own domain was used.
func gatewayURL(event events.APIGatewayProxyRequest) string {
	return "https://" + event.RequestContext.DomainName + strings.TrimSuffix(event.RequestContext.Path, event.Path)
}
