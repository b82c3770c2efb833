// Package compose builds each function's handler out of its configuration and
// its clients, and starts it. The local cloud and the tests run what it builds, so
// that no two of them can differ.
//
// Start with Main, and with a Deployment. The package itself has what all functions
// share. What a function needs beyond that is in a package below this one, so that
// none links the code of another: management has the functions that serve the API
// with nothing but the table, authorizer, settings and leaks are those functions,
// and scans has the runs that send mail. The packages only wire: they decide nothing
// about data and have no state of their own.
package compose

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/clock"
	"latchkey/pkg/config"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// A Deployment is what a function that knows bearers has in common with the others
// of its deployment.
type Deployment struct {
	// Function is the name of the function.
	Function string
	Config   config.Common
	Client   *dynamodb.Client
	Clock    clock.Clock
	// Random yields secrets.
	Random io.Reader
	Log    *slog.Logger
}

// New returns a deployment on the machine's clock and randomness, which logs
// to standard output.
func New(function string, cfg config.Common, client *dynamodb.Client) Deployment {
	return Deployment{
		Function: function, Config: cfg, Client: client,
		Clock: clock.System{}, Random: rand.Reader, Log: telemetry.Logger(function),
	}
}

// Table returns the deployment's table.
func (d Deployment) Table() *store.Table {
	return store.Open(d.Client, d.Config.Table, store.Options{
		Shards: d.Config.Shards, Retention: d.Config.Retention(), Defaults: d.Config.Policy(),
		Malformed: func(err error) { d.Log.Error("item passed over in a list", "reason", err.Error()) },
	})
}

// Verifier returns what decides about bearers.
func (d Deployment) Verifier() *verify.Verifier {
	return Must(verify.New(verify.Parts{
		Store: &d.Table().Journal, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock, Kept: &verify.Kept{},
		Unmarked: func(_ context.Context, id token.ID, err error) {
			d.Log.Warn("last use not recorded", "token_id", int64(id), "owner", int64(id.Owner()), "reason", err.Error())
		},
	}))
}

// Throttles returns new ones: what a function has seen is its own.
func (d Deployment) Throttles() *throttle.Throttles {
	return throttle.New(throttle.Limits{
		WrongBearers: d.Config.WrongBearers, Creations: d.Config.Creations, LeakReports: d.Config.LeakReports,
	})
}

// Count adds one to a metric of the function.
func (d Deployment) Count(metric, code string) {
	telemetry.Metrics{Log: d.Log, Stage: d.Config.Stage, Function: d.Function, Now: d.Clock.Now}.Count(metric, code)
}
