// Package endings builds functions/endings. Start with Main. It is separate from package scans, so that
// the function links neither the mail service's client nor the mails.
package endings

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/clock"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/schedule"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
)

const function = "endings"

// Main starts the function.
func Main() {
	compose.Start(function, config.ReadBase, func(cfg config.Base, sdk compose.AWS) lambda.Handler {
		return Handler(cfg, sdk.Source, clock.System{}, telemetry.Logger(function))
	})
}

// Handler returns the function's handler.
func Handler(cfg config.Base, source store.Source, clock clock.Clock, log *slog.Logger) lambda.Handler {
	table := source.Table(cfg.Table, store.Options{
		Shards: cfg.Shards, Retention: cfg.Retention(),
		Malformed: func(err error) { log.Error("item passed over in a list", "reason", err.Error()) },
	})
	ender := compose.Must(lifecycle.NewEnder(lifecycle.EnderParts{Store: table, Reader: &table.Reader, Queue: table, Settings: &table.Reader, Clock: clock}))
	metrics := telemetry.Metrics{Log: log, Stage: cfg.Stage, Function: function, Now: clock.Now}
	return schedule.Endings(log, metrics, ender)
}
