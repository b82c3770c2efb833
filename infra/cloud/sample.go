package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/clock"
)

// SamplePath is where the sample API lies.
const SamplePath = "/sample/"

// Sample is somebody else's API behind the authorizer. It answers with the request's method and path
// and with what the authorizer said about the caller, so that scopes can be tried. With a backend, that
// API answers instead.
//
// SamplePath is the address of the API and not a part of its paths: a rule for /orders is about
// /sample/orders.
func Sample(authorizer *Authorizer, backend *url.URL) (http.Handler, error) {
	gateway, err := NewGateway(API{
		ID:         "sample",
		Stage:      "prod",
		Routes:     []Route{{"ANY", "/", "sample"}, {"ANY", "/{proxy+}", "sample"}},
		Functions:  map[string]lambda.Handler{"sample": echo{}},
		Backend:    backend,
		Authorizer: authorizer,
		// API Gateway's own bodies, with a line end for the terminals that show them.
		Responses: map[string]GatewayResponse{
			"ACCESS_DENIED": {Templates: map[string]string{"application/json": `{"Message":$context.error.messageString}` + "\n"}},
			"DEFAULT_4XX":   {Templates: map[string]string{"application/json": `{"message":$context.error.messageString}` + "\n"}},
			"DEFAULT_5XX":   {Templates: map[string]string{"application/json": `{"message":$context.error.messageString}` + "\n"}},
		},
		Clock: clock.System{},
	})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.RequestURI = "/" + strings.TrimPrefix(rawPath(r), SamplePath)
		if r.URL.RawQuery != "" {
			r.RequestURI += "?" + r.URL.RawQuery
		}
		gateway.ServeHTTP(w, r)
	}), nil
}

// echo is the sample API's function. It is no lambda.NewHandler, whose replies to invocations at once
// get mixed up.
type echo struct{}

// Invoke implements lambda.Handler.
func (echo) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	var r events.APIGatewayProxyRequest
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, err
	}
	body := encode(map[string]any{"method": r.HTTPMethod, "path": r.Path, "caller": r.RequestContext.Authorizer})
	return encode(events.APIGatewayProxyResponse{
		StatusCode: http.StatusOK,
		Headers:    map[string]string{"Content-Type": "application/json"},
		Body:       string(body) + "\n",
	}), nil
}

// callerHeader starts the names of the headers that tell a backend about the caller: user_id of the
// authorizer's context becomes X-Latchkey-User-Id.
const callerHeader = "X-Latchkey-"

// unreachable is API Gateway's answer for a backend that gives none. What was received is left out: it
// may quote the request, and so a bearer.
func unreachable(err error) error {
	cause, failed := "no HTTP reply", new(net.OpError)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	case errors.As(err, &failed):
		cause = failed.Error()
	}
	return fmt.Errorf("%w: %s", errUnreachable, cause)
}
