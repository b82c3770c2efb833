// Command settings changes how the service works and describes it: the settings,
// /api/v4/features, /api/v4/version and /api/v4/metadata, and every path that no
// other function serves.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/planner"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
)

func main() {
	log := telemetry.Logger("settings")
	cfg, err := config.ReadSettings(os.Environ()) // reports every bad variable at once
	if err != nil {
		telemetry.Fatal(log, "bad configuration", err)
	}
	aws, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		telemetry.Fatal(log, "no AWS configuration", err)
	}
	client := dynamodb.NewFromConfig(aws, store.Configure(cfg.Endpoint))
	lambda.Start(compose.New(cfg.Common, client).Settings(&planner.Planner{
		Client: scheduler.NewFromConfig(aws, planner.Configure(cfg.SchedulerEndpoint)),
		Group:  cfg.Group, Target: cfg.Run, Role: cfg.Role, Queue: cfg.Queue,
	}))
}
