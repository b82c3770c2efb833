package compose

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/config"
	"latchkey/pkg/invocation"
	"latchkey/pkg/scope"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
)

// AWS is what a function has of AWS: the configuration of its clients, and the source of its table.
type AWS struct {
	aws.Config
	Source store.Source
}

// Main starts a function that needs only the table.
func Main(function string, build func(Deployment) lambda.Handler) {
	Start(function, config.Read, func(cfg config.Common, sdk AWS) lambda.Handler {
		return build(New(function, cfg, sdk.Source))
	})
}

// Start starts a function: read parses its configuration from the environment, and build makes its
// handler. Meanwhile the connection to the table is opened, because a start has more processor time than
// an event has. If the configuration is invalid, one log line names every fault, and the process exits.
// Whatever else ends the start is one such line too, and so is every error of an invocation.
func Start[C any](function string, read func(environ []string) (C, error), build func(C, AWS) lambda.Handler) {
	start(function, read, build, store.Connect)
}

// StartWithoutTable is Start for a function that neither reads nor writes the table.
func StartWithoutTable[C any](function string, read func(environ []string) (C, error), build func(C, aws.Config) lambda.Handler) {
	start(function, read, func(cfg C, sdk AWS) lambda.Handler { return build(cfg, sdk.Config) }, func(*dynamodb.Client) {})
}

func start[C any](function string, read func(environ []string) (C, error), build func(C, AWS) lambda.Handler, connect func(*dynamodb.Client)) {
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
	go scope.GitLab() // read while the rest starts; most functions need it
	sdk, missing := sdkConfig(os.Getenv)
	table := dynamodb.NewFromConfig(sdk, store.Configure(os.Getenv(config.EndpointVariable)))
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		if missing == nil {
			connect(table)
		}
	}()
	cfg, err := read(os.Environ())
	if err != nil {
		telemetry.Fatal(log, "bad configuration", "ConfigurationInvalid", err)
	}
	if missing != nil {
		telemetry.Fatal(log, "no AWS configuration", "ConfigurationInvalid", missing)
	}
	handler := build(cfg, AWS{sdk, store.From(table)})
	<-connected // Lambda may stop the process as soon as it asks for an event
	lambda.Start(handler)
}

// sdkConfig returns the SDK's configuration from the variables that Lambda sets (developer guide,
// "Defined runtime environment variables"). The SDK's loader would also look for profiles, single
// sign-on and roles of machines, of which Lambda has none; its code was 2 MB of every function.
//
// Where Lambda gives an address for credentials, as it does to processes that outlive the credentials of
// their start (SnapStart, managed instances), that address counts, and the SDK asks it again in time.
func sdkConfig(env func(name string) string) (aws.Config, error) {
	cfg := aws.Config{Region: env("AWS_REGION")}
	id, key, address := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	switch {
	case cfg.Region == "":
		return aws.Config{}, errors.New("AWS_REGION is missing")
	case address != "":
		if !trusted(address) {
			return aws.Config{}, errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine")
		}
		cfg.Credentials = aws.NewCredentialsCache(endpointcreds.New(address, func(o *endpointcreds.Options) {
			o.AuthorizationToken = env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute })
	case id == "" || key == "":
		return aws.Config{}, errors.New("AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is missing, and so is AWS_CONTAINER_CREDENTIALS_FULL_URI")
	default:
		cfg.Credentials = credentials.NewStaticCredentialsProvider(id, key, env("AWS_SESSION_TOKEN"))
	}
	return cfg, nil
}

// trusted reports whether an address may be asked for credentials with the authorization token: by https,
// or on this machine.
func trusted(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" && u.Host != "" || u.Scheme == "http" && err == nil && ip.IsLoopback()
}

// Must returns the result of a constructor, and panics with its error, so that a function with a
// missing part does not start.
func Must[T any](made T, err error) T {
	if err != nil {
		panic(fmt.Errorf("compose: %w", err))
	}
	return made
}
