// Package settings builds functions/settings, the only function with the scheduler's client. Start
// with Main.
package settings

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"latchkey/pkg/administration"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
	"latchkey/pkg/config"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/planner"
	"latchkey/pkg/trail"
)

// Main starts the function.
func Main() {
	const function = "settings"
	compose.Start(function, config.ReadSettings, func(cfg config.Settings, sdk aws.Config) lambda.Handler {
		client := scheduler.NewFromConfig(sdk, planner.Configure(cfg.SchedulerEndpoint))
		return Handler(compose.New(function, cfg.Common, compose.Client(cfg.Base, sdk)), Planner(cfg, client))
	})
}

// Planner returns the planner of lifetime runs.
func Planner(cfg config.Settings, client *scheduler.Client) *planner.Planner {
	return &planner.Planner{Client: client, Group: cfg.Group, Target: cfg.Run, Role: cfg.Role, Queue: cfg.Queue}
}

// Handler returns the function's handler.
func Handler(d compose.Deployment, planner administration.Planner) lambda.Handler {
	table := d.Table()
	settings := compose.Must(administration.New(administration.Parts{
		Store: table, Planner: planner, Clock: d.Clock, Reserved: d.Config.Format().Prefixes,
		Uncancelled: func(_ context.Context, err error) {
			d.Log.Warn("planned run not called off", "reason", err.Error())
		},
	}))
	features := compose.Must(administration.NewFeatures(administration.FeaturesParts{Store: table, Reader: &table.Reader, Finder: &table.Reader, Clock: d.Clock}))
	events := compose.Must(trail.New(trail.Parts{Store: &table.Reader, Reader: &table.Reader, Projects: &table.Reader, Clock: d.Clock}))
	return gitlabapi.Lambda(gitlabapi.Settings(management.API(d), features, settings, events), nil)
}
