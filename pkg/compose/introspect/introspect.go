// Package introspect builds functions/introspect. Start with Main. It links none of the API's code.
package introspect

import (
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/compose"
	"latchkey/pkg/compose/requests"
	"latchkey/pkg/config"
	"latchkey/pkg/gateway"
	"latchkey/pkg/trail"
)

// Main starts the function.
func Main() {
	const function = "introspect"
	compose.Start(function, config.ReadIntrospect, func(cfg config.Introspect, sdk compose.AWS) lambda.Handler {
		return Handler(compose.New(function, cfg.Common, sdk.Source), cfg)
	})
}

// Handler returns the function's handler.
func Handler(d compose.Deployment, cfg config.Introspect) lambda.Handler {
	table := d.Journal()
	return requests.Handler(compose.Must(gateway.New(gateway.Parts{
		Log: d.Log, Verifier: d.Verifier(), Scopes: d.Config.Scopes, Projects: &table.Reader, Trail: trail.NewNotes(table),
		Clock: d.Clock, Throttles: d.Throttles(), Count: d.Count, TokenPage: tokenPage(cfg),
		Proxies: gateway.Proxies{Addresses: cfg.Proxies(), Header: cfg.ClientHeader},
	})).Handler())
}

// tokenPage returns the address of the page, or "" if the deployment does not know its own.
func tokenPage(cfg config.Introspect) string {
	if cfg.PublicURL == "" {
		return ""
	}
	return cfg.PageURL()
}
