// Package bounces builds functions/bounces. Start with Main.
package bounces

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/bounces"
	"latchkey/pkg/clock"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
)

const function = "bounces"

// Main starts the function.
func Main() {
	compose.Start(function, config.ReadBase, func(cfg config.Base, sdk compose.AWS) lambda.Handler {
		return Deployment{Config: cfg, Source: sdk.Source, Clock: clock.System{}, Log: telemetry.Logger(function)}.Handler()
	})
}

// A Deployment holds the parts of the function.
type Deployment struct {
	Config config.Base
	Source store.Source
	Clock  clock.Clock
	Log    *slog.Logger
}

// Handler returns the function's handler.
func (d Deployment) Handler() lambda.Handler {
	table := d.Source.Table(d.Config.Table, store.Options{Shards: d.Config.Shards, Retention: d.Config.Retention()})
	returns := compose.Must(directory.NewReturns(directory.ReturnParts{Store: table, Clock: d.Clock}))
	metrics := telemetry.Metrics{Log: d.Log, Stage: d.Config.Stage, Function: function, Now: d.Clock.Now}
	return bounces.Lambda(d.Log, metrics.Count, returns)
}
