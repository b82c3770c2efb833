// Package requests makes the handlers of functions that serve requests from API Gateway and nothing else.
// There is only Handler. It is separate from package compose, so that the scans do not link what it needs.
package requests

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/invocation"
)

// errEvent means that an event is no request. The functions here have no console.
var errEvent = errors.New("event is not a request from API Gateway; see events/ for samples")

// Handler returns the handler of a function that serves h.
func Handler(h proxy.Handler) lambda.Handler {
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		event, isRequest := proxy.Event(raw)
		if !isRequest {
			return nil, errEvent
		}
		return h.Serve(ctx, event)
	})
}
