package compose

import (
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
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
	sdk, err := sdkConfig(os.Getenv)
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", "ConfigurationInvalid", err)
	}
	lambda.Start(build(cfg, sdk))
}

// sdkConfig returns the SDK's configuration from the variables that Lambda sets (developer guide,
// "Defined runtime environment variables"). The SDK's loader would also look for profiles, single
// sign-on and roles of machines, of which Lambda has none; its code was 2 MB of every function.
func sdkConfig(env func(name string) string) (aws.Config, error) {
	region, id, key := env("AWS_REGION"), env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if region == "" || id == "" || key == "" {
		return aws.Config{}, errors.New("AWS_REGION, AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is missing")
	}
	return aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider(id, key, env("AWS_SESSION_TOKEN")),
	}, nil
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
