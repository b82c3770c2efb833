// Command settings describes the service: /api/v4/version and /api/v4/metadata, and
// every path that no other function serves.
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
	log := telemetry.Logger("settings")
	cfg, err := config.Read(os.Environ()) // reports every bad variable at once
	if err != nil {
		telemetry.Fatal(log, "bad configuration", err)
	}
	aws, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", err)
	}
	client := dynamodb.NewFromConfig(aws, store.Configure(cfg.Endpoint))
	lambda.Start(compose.New(cfg, client).Settings(nil))
}
