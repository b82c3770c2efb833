// Command lifetime ends, three hours after the limit was changed, tokens that
// live longer than administrators allow, and tells their owners.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/compose/scans"
	"latchkey/pkg/config"
	"latchkey/pkg/notify"
	"latchkey/pkg/store"
	"latchkey/pkg/sweep"
	"latchkey/pkg/telemetry"
)

func main() {
	log := telemetry.Logger("lifetime")
	cfg, err := config.ReadLifetime(os.Environ()) // reports every bad variable at once
	if err != nil {
		telemetry.Fatal(log, "bad configuration", err)
	}
	aws, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", err)
	}
	table := dynamodb.NewFromConfig(aws, store.Configure(cfg.Endpoint))
	mail := sesv2.NewFromConfig(aws, notify.Configure(cfg.SESEndpoint))
	lambda.Start(scans.New(cfg, table, mail).Handler(sweep.Lifetime))
}
