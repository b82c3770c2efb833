// Package management builds the functions that serve the API and need nothing but
// the table. Start with Issue, Revoke, Tokens and Directory.
package management

import (
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/administration"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/store"
)

// Issue returns the handler of functions/issue.
func Issue(d compose.Deployment) lambda.Handler {
	api, table := API(d), d.Table()
	issuer := &lifecycle.Issuer{
		Store: table, Reader: table, Scopes: d.Config.Scopes,
		Pepper: d.Config.Pepper, Format: d.Config.Format(), Policies: table,
		Projects: table, Bots: table, Gate: Features(d, table),
		ImpersonationPrefix: config.ImpersonationPrefix, ProjectPrefix: config.ResourcePrefix,
		Clock: d.Clock, Random: d.Random,
	}
	return gitlabapi.Lambda(gitlabapi.Issue(api, issuer, Revoker(d, table)), gitlabapi.IssueConsole(api, issuer, accounts(d, table)))
}

// Revoke returns the handler of functions/revoke.
func Revoke(d compose.Deployment) lambda.Handler {
	api, table := API(d), d.Table()
	revoker := Revoker(d, table)
	return gitlabapi.Lambda(gitlabapi.Revoke(api, revoker), gitlabapi.RevokeConsole(api, revoker, accounts(d, table)))
}

// Tokens returns the handler of functions/tokens.
func Tokens(d compose.Deployment) lambda.Handler {
	table := d.Table()
	return gitlabapi.Lambda(gitlabapi.Tokens(API(d), &lifecycle.Lister{
		Store: table, Reader: table, Projects: table, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock,
	}, accounts(d, table)), nil)
}

// Directory returns the handler of functions/directory.
func Directory(d compose.Deployment) lambda.Handler {
	return gitlabapi.Lambda(gitlabapi.Directory(API(d), accounts(d, d.Table())), nil)
}

// API returns what the routes of every function share.
func API(d compose.Deployment) *gitlabapi.API {
	table := d.Table()
	return &gitlabapi.API{
		Log: d.Log, Verifier: d.Verifier(), Accounts: table, Trail: table, Clock: d.Clock,
		PublicURL: d.Config.PublicURL, Count: d.Count, Throttles: d.Throttles(),
	}
}

// Revoker returns what revokes tokens.
func Revoker(d compose.Deployment, table *store.Table) *lifecycle.Revoker {
	return &lifecycle.Revoker{Store: table, Reader: table, Projects: table, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock}
}

// Features returns the switches, which also tell whether a project may have new
// tokens.
func Features(d compose.Deployment, table *store.Table) *administration.Features {
	return &administration.Features{Store: table, Reader: table, Finder: table, Clock: d.Clock}
}

func accounts(d compose.Deployment, table *store.Table) *directory.Directory {
	return &directory.Directory{Store: table, Reader: table, Projects: table, Clock: d.Clock}
}
