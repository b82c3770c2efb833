// Command leaks takes reports of bearers that were found where they should not be,
// POST /api/v4/token_leaks, ends them and tells their owners.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/compose"
	"latchkey/pkg/compose/leakmail"
	"latchkey/pkg/config"
	"latchkey/pkg/notify"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
)

func main() {
	log := telemetry.Logger("leaks")
	cfg, err := config.ReadLeaks(os.Environ()) // reports every bad variable at once
	if err != nil {
		telemetry.Fatal(log, "bad configuration", err)
	}
	aws, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", err)
	}
	client := dynamodb.NewFromConfig(aws, store.Configure(cfg.Endpoint))
	mail := sesv2.NewFromConfig(aws, notify.Configure(cfg.SESEndpoint))
	lambda.Start(compose.New(cfg.Common, client).Leaks(leakmail.Sender(cfg, mail)))
}
