// Package authorizer builds functions/authorizer. Start with Main. It links none of the API's code.
package authorizer

import (
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/authorizer"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/trail"
)

// Main starts the function.
func Main() {
	const function = "authorizer"
	compose.Start(function, config.ReadAuthorizer, func(cfg config.Authorizer, sdk compose.AWS) lambda.Handler {
		return Handler(compose.New(function, cfg.Common, sdk.Source), cfg)
	})
}

// Handler returns the function's handler. It logs what the scope file opens by accident.
func Handler(d compose.Deployment, cfg config.Authorizer) lambda.Handler {
	for _, warning := range d.Config.Scopes.Warnings() {
		d.Log.Warn("scope file opens more than it seems to", "reason", warning)
	}
	kept := authorizer.IdentitySource{}
	kept.Header, kept.Address = cfg.IdentitySource()
	return compose.Must(authorizer.New(authorizer.Parts{
		Log: d.Log, Verifier: d.Verifier(), Scopes: d.Config.Scopes, Trail: trail.NewNotes(d.Journal()),
		Clock: d.Clock, Count: d.Count, SimpleResponses: cfg.Simple(), Kept: kept, Unauthorized: cfg.Unauthorized(),
	})).Lambda()
}
