// Package registry builds functions/registry, the token endpoint of container registries. Start with Main. It
// is a function of its own, so that no other one has the key that signs for registries.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/gateway/jwt"
	"latchkey/pkg/invocation"
	"latchkey/pkg/registry"
	"latchkey/pkg/trail"
)

// errEvent means that the event is no request. The endpoint has no console.
var errEvent = errors.New("event is not a request from API Gateway; see events/ for samples")

// Main starts the function.
func Main() {
	const function = "registry"
	compose.Start(function, config.ReadRegistry, func(cfg config.Registry, sdk compose.AWS) lambda.Handler {
		return Handler(compose.New(function, cfg.Common, sdk.Source), cfg)
	})
}

// Handler returns the function's handler.
func Handler(d compose.Deployment, cfg config.Registry) lambda.Handler {
	table := d.Journal()
	server := compose.Must(jwt.New(jwt.Parts{
		Log: d.Log, Clock: d.Clock, Verifier: d.Verifier(), Trail: trail.NewNotes(table), Throttles: d.Throttles(),
		Judge: compose.Must(registry.NewJudge(registry.Parts{Projects: &table.Reader, Scopes: d.Config.Scopes})),
		Keys:  compose.Must(jwt.NewKeys(cfg.Keys...)), Service: cfg.Service, Life: time.Duration(cfg.Life) * time.Second, Count: d.Count,
	}))
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		var event events.APIGatewayProxyRequest
		if err := json.Unmarshal(raw, &event); err != nil || event.HTTPMethod == "" {
			return nil, errEvent
		}
		return server.Handler().Serve(ctx, event)
	})
}
