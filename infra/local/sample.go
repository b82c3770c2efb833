package local

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/clock"
)

// SamplePath is where the sample API lies.
const SamplePath = "/sample/"

// Sample is somebody else's API behind the authorizer. It does nothing but answer with the request's
// method and path and with what the authorizer said about the caller, so that scopes can be tried.
func Sample(authorizer *Authorizer) (http.Handler, error) {
	return NewGateway(API{
		ID:         "sample",
		Stage:      "prod",
		Routes:     []Route{{"ANY", SamplePath + "{proxy+}", "sample"}},
		Functions:  map[string]lambda.Handler{"sample": echo{}},
		Authorizer: authorizer,
		Clock:      clock.System{},
	})
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
