// Package registry builds functions/registry, the token endpoint of container registries. Start with Main. It
// is a function of its own, so that no other one has the key that signs for registries.
package registry

import (
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/compose"
	"latchkey/pkg/compose/requests"
	"latchkey/pkg/config"
	"latchkey/pkg/gateway/jwt"
	"latchkey/pkg/registry"
	"latchkey/pkg/trail"
)

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
	return requests.Handler(server.Handler())
}
