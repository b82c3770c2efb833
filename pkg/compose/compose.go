// Package compose builds each function's handler from its configuration and clients, and starts it.
// The local cloud and the tests use the same handlers.
//
// Start with Main, and with a Deployment. The package holds what all functions share. Each package
// below it holds the rest of some functions, so that no function links the code of another:
// management has the functions that serve the API and need only the table; authorizer, settings and
// leaks have the functions of these names; scans has the runs that send mail. The packages only
// wire. They decide nothing about data and keep no state.
package compose

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"

	"latchkey/pkg/clock"
	"latchkey/pkg/config"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// A Deployment holds what the functions that verify bearers share.
type Deployment struct {
	Function string
	Config   config.Common
	Source   store.Source
	Clock    clock.Clock
	// Random yields secrets.
	Random io.Reader
	Log    *slog.Logger
}

// New returns a deployment with the system's clock and randomness. It logs to standard output.
func New(function string, cfg config.Common, source store.Source) Deployment {
	return Deployment{
		Function: function, Config: cfg, Source: source,
		Clock: clock.System{}, Random: rand.Reader, Log: telemetry.Logger(function),
	}
}

// Table returns the deployment's table.
func (d Deployment) Table() *store.Table {
	return d.Source.Table(d.Config.Table, d.options())
}

// Journal returns the part of the deployment's table that functions need which only check bearers.
func (d Deployment) Journal() *store.Journal {
	return d.Source.Journal(d.Config.Table, d.options())
}

func (d Deployment) options() store.Options {
	return store.Options{
		Shards: d.Config.Shards, Retention: d.Config.Retention(), Defaults: d.Config.DefaultSettings(),
		Malformed: func(err error) { d.Log.Error("item passed over in a list", "reason", err.Error()) },
	}
}

// Verifier returns the verifier of bearers.
func (d Deployment) Verifier() *verify.Verifier {
	return Must(verify.New(verify.Parts{
		Store: d.Journal(), Pepper: d.Config.Pepper, Format: d.Config.Format(), Scopes: d.Config.Scopes, Clock: d.Clock, Kept: &verify.Kept{},
		Unmarked: func(_ context.Context, id token.ID, err error) {
			d.Log.Warn("last use not recorded", "token_id", int64(id), "owner", int64(id.Owner()), "reason", err.Error())
		},
	}))
}

// Throttles returns new throttles. Functions do not share them.
func (d Deployment) Throttles() *throttle.Throttles {
	return throttle.New(throttle.Limits{
		WrongBearers: d.Config.WrongBearers, Creations: d.Config.Creations, LeakReports: d.Config.LeakReports,
	})
}

// Count adds one to a metric of the function.
func (d Deployment) Count(metric, code string) {
	telemetry.Metrics{Log: d.Log, Stage: d.Config.Stage, Function: d.Function, Now: d.Clock.Now}.Count(metric, code)
}
