// Package leakmails builds functions/leakmails. Start with Main. It is separate from package leaks, so
// that the function that anybody may call does not link the mail service's client, and from package
// scans, which has the state machine's events.
package leakmails

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/clock"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/notify"
	"latchkey/pkg/queue"
	"latchkey/pkg/store"
	"latchkey/pkg/sweep"
	"latchkey/pkg/telemetry"
)

const function = "leakmails"

// Main starts the function.
func Main() {
	compose.Start(function, config.ReadLeakMails, func(cfg config.LeakMails, sdk compose.AWS) lambda.Handler {
		mail := sesv2.NewFromConfig(sdk.Config, notify.Configure(cfg.SESEndpoint))
		return Deployment{Config: cfg, Source: sdk.Source, Mail: mail, Clock: clock.System{}, Log: telemetry.Logger(function)}.Handler()
	})
}

// A Deployment holds the parts of the function.
type Deployment struct {
	Config config.LeakMails
	Source store.Source
	Mail   *sesv2.Client
	Clock  clock.Clock
	Log    *slog.Logger
}

// Handler returns the function's handler.
func (d Deployment) Handler() lambda.Handler {
	const workers = 8
	cfg := d.Config
	table := d.Source.Table(cfg.Table, store.Options{Shards: cfg.Shards, Retention: cfg.Retention()})
	messenger := compose.Must(sweep.NewMessenger(sweep.MessengerParts{
		Records: table, Reports: table, Projects: table, Settings: table, Allowance: table, DailyMails: cfg.DailyMails, Posts: table, Clock: d.Clock, Workers: workers,
		Mailer:    &notify.SES{Client: d.Mail, From: cfg.Sender, ConfigurationSet: cfg.ConfigurationSet, PublicURL: cfg.PublicURL},
		Malformed: func(err error) { d.Log.Error("record malformed", "reason", err.Error()) },
	}))
	metrics := telemetry.Metrics{Log: d.Log, Stage: cfg.Stage, Function: function, Now: d.Clock.Now}
	return queue.Lambda(d.Log, metrics.Count, messenger)
}
