// Package planning builds the use cases that change settings and features, for the settings function
// and for the page. They alone link the scheduler's client. Start with Planner, Administration and
// Features.
package planning

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"latchkey/pkg/administration"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/tokens"
	"latchkey/pkg/config"
	"latchkey/pkg/planner"
	"latchkey/pkg/store"
)

// Client returns the scheduler's client of a deployed function.
func Client(cfg config.Plans, sdk aws.Config) *scheduler.Client {
	return scheduler.NewFromConfig(sdk, planner.Configure(cfg.SchedulerEndpoint))
}

// Planner returns the planner of lifetime runs.
func Planner(cfg config.Plans, client *scheduler.Client) *planner.Planner {
	return planner.New(client, planner.Planner{Group: cfg.Group, Target: cfg.Run, Role: cfg.Role, Queue: cfg.Queue})
}

// Administration returns the use case that changes settings.
func Administration(d compose.Deployment, table *store.Table, planner administration.Planner) *administration.Administration {
	return compose.Must(administration.New(administration.Parts{
		Store: table, Planner: planner, Counter: tokens.Census(d, &table.Reader), Clock: d.Clock, Reserved: d.Config.Format().Prefixes,
		Uncancelled: func(_ context.Context, err error) {
			d.Log.Warn("planned run not called off", "reason", err.Error())
		},
	}))
}

// Features returns the use case that switches features on and off.
func Features(d compose.Deployment, table *store.Table) *administration.Features {
	return compose.Must(administration.NewFeatures(administration.FeaturesParts{Store: table, Reader: &table.Reader, Finder: &table.Reader, Clock: d.Clock}))
}
