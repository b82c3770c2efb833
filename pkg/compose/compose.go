// Package compose builds each function's handler out of its configuration and
// its clients. The mains start what it builds, and the local cloud and the
// tests run the same, so that no two of them can differ.
//
// Start with a Deployment. The package only wires: it decides nothing about
// data and has no state of its own.
package compose

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/administration"
	"latchkey/pkg/clock"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/httpapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/store"
	"latchkey/pkg/sweep"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// A Deployment is what the functions of one deployment have in common.
type Deployment struct {
	Config config.Common
	Client *dynamodb.Client
	Clock  clock.Clock
	// Random yields secrets.
	Random io.Reader
	// Log makes the logger of a function.
	Log func(function string) *slog.Logger
}

// New returns a deployment on the machine's clock and randomness, which logs
// to standard output.
func New(cfg config.Common, client *dynamodb.Client) Deployment {
	return Deployment{Config: cfg, Client: client, Clock: clock.System{}, Random: rand.Reader, Log: telemetry.Logger}
}

// Issue returns the handler of functions/issue.
func (d Deployment) Issue() lambda.Handler {
	api := d.api("issue")
	table := d.table(api.Log)
	issuer := must(lifecycle.NewIssuer(lifecycle.IssuerParts{
		Store: table, Reader: &table.Reader, Scopes: d.Config.Scopes,
		Pepper: d.Config.Pepper, Format: d.Config.Format(), Settings: &table.Reader,
		Projects: &table.Reader, Bots: table, Gate: must(administration.NewGate(&table.Reader)),
		ImpersonationPrefix: config.ImpersonationPrefix, ProjectPrefix: config.ResourcePrefix,
		Clock: d.Clock, Random: d.Random,
	}))
	return httpapi.Lambda(httpapi.Issue(api, issuer, d.revoker(table)), httpapi.IssueConsole(api, issuer, d.directory(table)))
}

// Revoke returns the handler of functions/revoke.
func (d Deployment) Revoke() lambda.Handler {
	api := d.api("revoke")
	table := d.table(api.Log)
	revoker := d.revoker(table)
	return httpapi.Lambda(httpapi.Revoke(api, revoker), httpapi.RevokeConsole(api, revoker, d.finder(&table.Reader)))
}

// Tokens returns the handler of functions/tokens.
func (d Deployment) Tokens() lambda.Handler {
	api := d.api("tokens")
	table := &d.table(api.Log).Reader
	lister := must(lifecycle.NewLister(lifecycle.ListerParts{
		Store: table, Reader: table, Projects: table, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock,
	}))
	return httpapi.Lambda(httpapi.Tokens(api, lister, d.finder(table)), nil)
}

// Directory returns the handler of functions/directory.
func (d Deployment) Directory() lambda.Handler {
	api := d.api("directory")
	return httpapi.Lambda(httpapi.Directory(api, d.directory(d.table(api.Log))), nil)
}

// Settings returns the handler of functions/settings, which plans with planner.
func (d Deployment) Settings(planner administration.Planner) lambda.Handler {
	api := d.api("settings")
	table := d.table(api.Log)
	settings := must(administration.New(administration.Parts{
		Store: table, Planner: planner, Clock: d.Clock, Reserved: d.Config.Format().Prefixes,
		Uncancelled: func(_ context.Context, err error) {
			api.Log.Warn("planned run not called off", "reason", err.Error())
		},
	}))
	features := must(administration.NewFeatures(administration.FeaturesParts{Store: table, Reader: &table.Reader, Finder: &table.Reader, Clock: d.Clock}))
	events := must(trail.New(trail.Parts{Store: &table.Reader, Reader: &table.Reader, Projects: &table.Reader, Clock: d.Clock}))
	return httpapi.Lambda(httpapi.Settings(api, features, settings, events), nil)
}

// Leaks returns the handler of functions/leaks, which sends with mailer, or
// tells nobody without one.
func (d Deployment) Leaks(mailer sweep.Mailer) lambda.Handler {
	const workers = 8
	api := d.api("leaks")
	table := d.table(api.Log)
	var messenger httpapi.LeakMessenger
	if mailer != nil {
		messenger = &sweep.Messenger{
			Records: table, Teams: table, Mailer: mailer, Clock: d.Clock, Workers: workers,
			Malformed: func(_ context.Context, err error) { api.Log.Error("record malformed", "reason", err.Error()) },
		}
	}
	return httpapi.Lambda(httpapi.Leaks(api, d.revoker(table), messenger, httpapi.LeakStep), nil)
}

// Authorizer returns the handler of functions/authorizer.
func (d Deployment) Authorizer(simpleResponses bool) lambda.Handler {
	log := d.Log("authorizer")
	authorizer := &httpapi.Authorizer{
		Log: log, Verifier: d.verifier(log), Scopes: d.Config.Scopes,
		SimpleResponses: simpleResponses, Count: d.metrics(log, "authorizer").Count,
		Throttles: d.throttles(), Trail: &d.table(log).Journal,
	}
	return authorizer.Lambda()
}

func (d Deployment) table(log *slog.Logger) *store.Table {
	return store.Open(d.Client, d.Config.Table, store.Options{
		Shards: d.Config.Shards, Retention: d.Config.Retention(), Defaults: d.Config.Policy(),
		Malformed: func(err error) { log.Error("item passed over in a list", "reason", err.Error()) },
	})
}

func (d Deployment) revoker(table *store.Table) *lifecycle.Revoker {
	return must(lifecycle.NewRevoker(lifecycle.RevokerParts{
		Store: table, Reader: &table.Reader, Projects: &table.Reader, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock,
	}))
}

func (d Deployment) finder(table *store.Reader) *directory.Finder {
	return must(directory.NewFinder(directory.FinderParts{Reader: table, Projects: table, Clock: d.Clock}))
}

func (d Deployment) directory(table *store.Table) *directory.Directory {
	return must(directory.New(d.finder(&table.Reader), table))
}

func (d Deployment) api(function string) *httpapi.API {
	log := d.Log(function)
	table := d.table(log)
	return &httpapi.API{
		Log: log, Verifier: d.verifier(log), Accounts: &table.Reader, Trail: &table.Journal, Clock: d.Clock,
		PublicURL: d.Config.PublicURL, Count: d.metrics(log, function).Count,
		Throttles: d.throttles(),
	}
}

// throttles returns new ones: what a function has seen is its own.
func (d Deployment) throttles() *httpapi.Throttles {
	return httpapi.NewThrottles(httpapi.Limits{
		WrongBearers: d.Config.WrongBearers, Creations: d.Config.Creations, LeakReports: d.Config.LeakReports,
	})
}

func (d Deployment) verifier(log *slog.Logger) *verify.Verifier {
	return must(verify.New(verify.Parts{
		Store: &d.table(log).Journal, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock, Kept: &verify.Kept{},
		Unmarked: func(_ context.Context, id token.ID, err error) {
			log.Warn("last use not recorded", "token_id", int64(id), "owner", int64(id.Owner()), "reason", err.Error())
		},
	}))
}

// must returns what was made. A function that cannot be built must not start.
func must[T any](made T, err error) T {
	if err != nil {
		panic("compose: " + err.Error())
	}
	return made
}

func (d Deployment) metrics(log *slog.Logger, function string) telemetry.Metrics {
	return telemetry.Metrics{Log: log, Stage: d.Config.Stage, Function: function, Now: d.Clock.Now}
}
