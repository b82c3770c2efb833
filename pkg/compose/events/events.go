// Package events builds functions/events. Start with Main.
package events

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"latchkey/pkg/clock"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/store"
	"latchkey/pkg/stream"
	"latchkey/pkg/stream/bus"
	"latchkey/pkg/telemetry"
)

const function = "events"

// Main starts the function.
func Main() {
	compose.StartWithoutTable(function, config.ReadEvents, func(cfg config.Events, sdk aws.Config) lambda.Handler {
		client := eventbridge.NewFromConfig(sdk, bus.Configure(cfg.Endpoint))
		return Handler(cfg, client, clock.System{}, telemetry.Logger(function))
	})
}

// Handler returns the function's handler.
func Handler(cfg config.Events, client *eventbridge.Client, now clock.Clock, log *slog.Logger) lambda.Handler {
	metrics := telemetry.Metrics{Log: log, Stage: cfg.Stage, Function: function, Now: now.Now}
	return stream.Lambda(log, metrics.Put, store.Images{}, &bus.Bus{Client: client, Name: cfg.Bus})
}
