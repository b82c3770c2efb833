// Command leaks takes reports of bearers that were found where they should not be,
// POST /api/v4/token_leaks, and ends them.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
)

func main() {
	log := telemetry.Logger("leaks")
	cfg, err := config.Read(os.Environ()) // reports every bad variable at once
	if err != nil {
		telemetry.Fatal(log, "bad configuration", err)
	}
	aws, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", err)
	}
	client := dynamodb.NewFromConfig(aws, store.Configure(cfg.Endpoint))
	lambda.Start(compose.New(cfg, client).Leaks())
}
