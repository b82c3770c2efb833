package compose

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/config"
	"latchkey/pkg/invocation"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
)

// Main starts a function that needs only the table.
func Main(function string, build func(Deployment) lambda.Handler) {
	Start(function, config.Read, func(cfg config.Common, sdk aws.Config) lambda.Handler {
		return build(New(function, cfg, Client(cfg.Base, sdk)))
	})
}

// Start starts a function: read parses its configuration from the environment, and build makes its
// handler. If the configuration is invalid, one log line names every fault, and the process exits.
// Whatever else ends the start is one such line too, and so is every error of an invocation.
func Start[C any](function string, read func(environ []string) (C, error), build func(C, aws.Config) lambda.Handler) {
	log := telemetry.Logger(function)
	telemetry.CaptureStandardLog(log)
	defer func() {
		if panicked := recover(); panicked != nil {
			reason := invocation.Panicked(panicked)
			if err, ok := panicked.(error); ok { // of a constructor; there is no request that it could quote
				reason = fmt.Errorf("%w: %w", reason, err)
			}
			telemetry.Fatal(log, "function not started", "Panic", reason)
		}
	}()
	cfg, err := read(os.Environ())
	if err != nil {
		telemetry.Fatal(log, "bad configuration", "ConfigurationInvalid", err)
	}
	sdk, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", "ConfigurationInvalid", err)
	}
	lambda.Start(build(cfg, sdk))
}

// Client returns the client of the table.
func Client(cfg config.Base, sdk aws.Config) *dynamodb.Client {
	return dynamodb.NewFromConfig(sdk, store.Configure(cfg.Endpoint))
}

// Must returns the result of a constructor, and panics with its error, so that a function with a
// missing part does not start.
func Must[T any](made T, err error) T {
	if err != nil {
		panic(fmt.Errorf("compose: %w", err))
	}
	return made
}
