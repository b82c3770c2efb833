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
	"latchkey/pkg/authorizer"
	"latchkey/pkg/clock"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/store"
	"latchkey/pkg/sweep"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
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
	issuer := &lifecycle.Issuer{
		Store: table, Reader: table, Scopes: d.Config.Scopes,
		Pepper: d.Config.Pepper, Format: d.Config.Format(), Policies: table,
		Projects: table, Bots: table, Gate: d.features(table),
		ImpersonationPrefix: config.ImpersonationPrefix, ProjectPrefix: config.ResourcePrefix,
		Clock: d.Clock, Random: d.Random,
	}
	return gitlabapi.Lambda(gitlabapi.Issue(api, issuer, d.revoker(table)), gitlabapi.IssueConsole(api, issuer, d.accounts(table)))
}

// Revoke returns the handler of functions/revoke.
func (d Deployment) Revoke() lambda.Handler {
	api := d.api("revoke")
	table := d.table(api.Log)
	revoker := d.revoker(table)
	return gitlabapi.Lambda(gitlabapi.Revoke(api, revoker), gitlabapi.RevokeConsole(api, revoker, d.accounts(table)))
}

// Tokens returns the handler of functions/tokens.
func (d Deployment) Tokens() lambda.Handler {
	api := d.api("tokens")
	table := d.table(api.Log)
	return gitlabapi.Lambda(gitlabapi.Tokens(api, &lifecycle.Lister{
		Store: table, Reader: table, Projects: table, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock,
	}, d.accounts(table)), nil)
}

// Directory returns the handler of functions/directory.
func (d Deployment) Directory() lambda.Handler {
	api := d.api("directory")
	return gitlabapi.Lambda(gitlabapi.Directory(api, d.accounts(d.table(api.Log))), nil)
}

// Settings returns the handler of functions/settings, which plans with planner.
func (d Deployment) Settings(planner administration.Planner) lambda.Handler {
	api := d.api("settings")
	administration := &administration.Administration{
		Store: d.table(api.Log), Planner: planner, Clock: d.Clock, Reserved: d.Config.Format().Prefixes,
		Uncancelled: func(_ context.Context, err error) {
			api.Log.Warn("planned run not called off", "reason", err.Error())
		},
	}
	table := d.table(api.Log)
	return gitlabapi.Lambda(gitlabapi.Settings(api, d.features(table), administration, d.trail(table)), nil)
}

// Leaks returns the handler of functions/leaks, which sends with mailer, or
// tells nobody without one.
func (d Deployment) Leaks(mailer sweep.Mailer) lambda.Handler {
	const workers = 8
	api := d.api("leaks")
	table := d.table(api.Log)
	var messenger gitlabapi.LeakMessenger
	if mailer != nil {
		messenger = &sweep.Messenger{
			Records: table, Teams: table, Mailer: mailer, Clock: d.Clock, Workers: workers,
			Malformed: func(_ context.Context, err error) { api.Log.Error("record malformed", "reason", err.Error()) },
		}
	}
	return gitlabapi.Lambda(gitlabapi.Leaks(api, d.revoker(table), messenger, gitlabapi.LeakStep), nil)
}

// Authorizer returns the handler of functions/authorizer.
func (d Deployment) Authorizer(simpleResponses bool) lambda.Handler {
	log := d.Log("authorizer")
	authorizer, err := authorizer.New(authorizer.Parts{
		Log: log, Verifier: d.verifier(log), Scopes: d.Config.Scopes, Throttles: d.throttles(), Trail: d.table(log),
		Clock: d.Clock, Count: d.metrics(log, "authorizer").Count, SimpleResponses: simpleResponses,
	})
	if err != nil {
		panic(err) // a function that lacks a part must not start
	}
	return authorizer.Lambda()
}

func (d Deployment) table(log *slog.Logger) *store.Table {
	return store.Open(d.Client, d.Config.Table, store.Options{
		Shards: d.Config.Shards, Retention: d.Config.Retention(), Policy: d.Config.Policy(),
		Malformed: func(err error) { log.Error("item passed over in a list", "reason", err.Error()) },
	})
}

func (d Deployment) revoker(table *store.Table) *lifecycle.Revoker {
	return &lifecycle.Revoker{Store: table, Reader: table, Projects: table, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock}
}

func (d Deployment) accounts(table *store.Table) *directory.Directory {
	return &directory.Directory{Store: table, Reader: table, Projects: table, Clock: d.Clock}
}

// features are also what tells whether a project may have new tokens.
func (d Deployment) features(table *store.Table) *administration.Features {
	return &administration.Features{Store: table, Reader: table, Finder: table, Clock: d.Clock}
}

func (d Deployment) trail(table *store.Table) *trail.Trail {
	return &trail.Trail{Store: table, Reader: table, Projects: table, Clock: d.Clock}
}

func (d Deployment) api(function string) *gitlabapi.API {
	log := d.Log(function)
	table := d.table(log)
	return &gitlabapi.API{
		Log: log, Verifier: d.verifier(log), Accounts: table, Trail: table, Clock: d.Clock,
		PublicURL: d.Config.PublicURL, Count: d.metrics(log, function).Count,
		Throttles: d.throttles(),
	}
}

// throttles returns new ones: what a function has seen is its own.
func (d Deployment) throttles() *throttle.Throttles {
	return throttle.New(throttle.Limits{
		WrongBearers: d.Config.WrongBearers, Creations: d.Config.Creations, LeakReports: d.Config.LeakReports,
	})
}

func (d Deployment) verifier(log *slog.Logger) *verify.Verifier {
	return &verify.Verifier{
		Store: d.table(log), Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock, Kept: &verify.Kept{},
		Unmarked: func(_ context.Context, id token.ID, err error) {
			log.Warn("last use not recorded", "token_id", int64(id), "owner", int64(id.Owner()), "reason", err.Error())
		},
	}
}

func (d Deployment) metrics(log *slog.Logger, function string) telemetry.Metrics {
	return telemetry.Metrics{Log: log, Stage: d.Config.Stage, Function: function, Now: d.Clock.Now}
}
