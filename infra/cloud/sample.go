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

// SamplePath is the address of the sample API.
const SamplePath = "/sample/"

// Sample is an API behind the authorizer, for trying scopes. It answers with the request's method
// and path and with the authorizer's context for the caller. With a backend, the backend answers
// instead.
//
// SamplePath is the address of the API and not a part of its paths: a rule for /orders applies to
// /sample/orders.
func Sample(authorizer *Authorizer, backend *url.URL) (http.Handler, error) {
	gateway, err := NewGateway(API{
		ID:         "sample",
		Stage:      "prod",
		Routes:     []Route{{"ANY", "/", "sample"}, {"ANY", "/{proxy+}", "sample"}},
		Functions:  map[string]lambda.Handler{"sample": echo{}},
		Backend:    backend,
		Authorizer: authorizer,
		// These are API Gateway's own bodies with a line end, for terminals.
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

// echo is the sample API's function. It does not use lambda.NewHandler, because that mixes up the
// replies to concurrent invocations.
type echo struct{}

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

// callerHeader is the prefix of the headers that describe the caller to a backend: user_id in the
// authorizer's context becomes X-Latchkey-User-Id.
const callerHeader = "X-Latchkey-"

// unreachable is API Gateway's answer when the backend gives none. It leaves out what was received,
// because that may quote the request and its bearer.
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
