// Command revoke ends tokens: DELETE /api/v4/personal_access_tokens/{id} and its
// siblings, and the console payloads that need no token.
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
	log := telemetry.Logger("revoke")
	cfg, err := config.Read(os.Environ()) // reports every bad variable at once
	if err != nil {
		telemetry.Fatal(log, "bad configuration", err)
	}
	aws, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", err)
	}
	client := dynamodb.NewFromConfig(aws, store.Configure(cfg.Endpoint))
	lambda.Start(compose.New(cfg, client).Revoke())
}
