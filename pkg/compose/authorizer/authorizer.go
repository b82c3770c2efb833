// Package authorizer builds functions/authorizer. Start with Main. It links none of the API's code.
package authorizer

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"latchkey/pkg/authorizer"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/trail"
)

// Main starts the function.
func Main() {
	const function = "authorizer"
	compose.Start(function, config.ReadAuthorizer, func(cfg config.Authorizer, sdk aws.Config) lambda.Handler {
		return Handler(compose.New(function, cfg.Common, compose.Client(cfg.Base, sdk)), cfg.Simple())
	})
}

// Handler returns the function's handler.
func Handler(d compose.Deployment, simpleResponses bool) lambda.Handler {
	return compose.Must(authorizer.New(authorizer.Parts{
		Log: d.Log, Verifier: d.Verifier(), Scopes: d.Config.Scopes, Trail: trail.NewNotes(&d.Table().Journal),
		Clock: d.Clock, Count: d.Count, SimpleResponses: simpleResponses,
	})).Lambda()
}
