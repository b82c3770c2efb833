// Package scans builds the handlers of the two daily scans and of the lifetime run. Start with
// Expiring, Expired and Lifetime. It is separate from package compose, so that the functions that
// answer requests do not link the mail service's client.
package scans

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/clock"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/notify"
	"latchkey/pkg/restore"
	"latchkey/pkg/schedule"
	"latchkey/pkg/store"
	"latchkey/pkg/sweep"
	"latchkey/pkg/telemetry"
)

// A Deployment holds what the scans share.
type Deployment struct {
	Config config.Scan
	Source store.Source
	Mail   *sesv2.Client
	Clock  clock.Clock
	// Log makes the logger of a function.
	Log func(function string) *slog.Logger
}

// New returns a deployment with the system's clock. It logs to standard output.
func New(cfg config.Scan, source store.Source, mail *sesv2.Client) Deployment {
	return Deployment{Config: cfg, Source: source, Mail: mail, Clock: clock.System{}, Log: telemetry.Logger}
}

// Handler returns the handler of functions/expiring, functions/expired or functions/lifetime. It
// panics for a daily scan without a sender's address.
func (d Deployment) Handler(kind sweep.Kind) lambda.Handler {
	cfg, log := d.Config, d.Log(string(kind))
	table := d.Source.Table(cfg.Table, store.Options{Shards: cfg.Shards, Retention: cfg.Retention()})
	mailer := sweep.NoMails
	if cfg.Sender != "" {
		mailer = &notify.SES{Client: d.Mail, From: cfg.Sender, ConfigurationSet: cfg.ConfigurationSet, PublicURL: cfg.PublicURL}
	}
	scanner, err := sweep.NewScanner(sweep.Setup{
		Kind: kind, Records: table, Projects: table, Ledger: table, Mailer: mailer, Clock: d.Clock,
		Index: table, Revoker: table, Enforcement: table, Limits: table, Accounts: table,
		Posts: table, Allowance: table, DailyMails: cfg.DailyMails,
		Days: cfg.Days, Shards: cfg.Shards, Concurrency: cfg.Concurrency, Workers: cfg.Workers, AnyTime: cfg.AnyTime,
		Malformed: func(err error) { log.Error("token record malformed", "reason", err.Error()) },
	})
	if err != nil {
		panic(err) // a function with a missing part must not start
	}
	metrics := telemetry.Metrics{Log: log, Stage: cfg.Stage, Function: string(kind), Now: d.Clock.Now}
	scan := schedule.Lambda(log, metrics, scanner)
	if kind != sweep.Lifetime {
		return scan
	}
	return d.operator(table, log).Lambda(scan)
}

// operator returns what serves an operator's payloads.
func (d Deployment) operator(table *store.Table, log *slog.Logger) schedule.Operator {
	parts := restore.Parts{Reader: &table.Reader, Store: table, Clock: d.Clock}
	if d.Config.OldTable != "" {
		old := d.Source.Journal(d.Config.OldTable, store.Options{Shards: d.Config.Shards})
		parts.Old = &old.Reader
	}
	return schedule.Operator{
		Restorer: compose.Must(restore.New(parts)),
		Counter:  compose.Must(lifecycle.NewCensus(lifecycle.CensusParts{Store: &table.Reader, Settings: &table.Reader, Clock: d.Clock})),
		Clock:    d.Clock, Log: log,
	}
}
