package gitlabapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/invocation"
	"latchkey/pkg/principal"
)

// A Console serves direct invocations by an operator, who has credentials of the AWS account and no
// token. An error becomes the function's error.
type Console func(ctx context.Context, by principal.Principal, payload json.RawMessage) (any, error)

// ErrEvent means that a function does not serve this event.
var ErrEvent = &invocation.Error{
	Type: "EventInvalid", Message: "event is neither a request from API Gateway nor a console payload of this function; see events/ for samples",
}

// Lambda returns the Lambda handler of a function. REST API proxy events go to h, everything else
// to console, which may be nil. A request from outside cannot reach the console; see proxy.Event.
func Lambda(h proxy.Handler, console Console) lambda.Handler {
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		event, isRequest := proxy.Event(raw)
		switch {
		case isRequest:
			return h.Serve(ctx, event)
		case console == nil:
			return nil, ErrEvent
		default:
			return console(ctx, operator(ctx), raw)
		}
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
