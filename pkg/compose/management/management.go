// Package management builds the functions that serve the API and need only the table. Start with
// Issue, Revoke, Tokens and Directory.
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
	"latchkey/pkg/trail"
)

// Issue returns the handler of functions/issue.
func Issue(d compose.Deployment) lambda.Handler {
	api, table := API(d), d.Table()
	issuer := compose.Must(lifecycle.NewIssuer(lifecycle.IssuerParts{
		Store: table, Reader: &table.Reader, Scopes: d.Config.Scopes,
		Pepper: d.Config.Pepper, Format: d.Config.Format(), Settings: &table.Reader,
		Projects: &table.Reader, Bots: table, Gate: compose.Must(administration.NewGate(&table.Reader)),
		ImpersonationPrefix: config.ImpersonationPrefix, ProjectPrefix: config.ProjectPrefix,
		Clock: d.Clock, Random: d.Random,
	}))
	return gitlabapi.Lambda(gitlabapi.Issue(api, issuer, Revoker(d, table)), gitlabapi.IssueConsole(api, issuer, accounts(d, table)))
}

// Revoke returns the handler of functions/revoke.
func Revoke(d compose.Deployment) lambda.Handler {
	api, table := API(d), d.Table()
	revoker := Revoker(d, table)
	return gitlabapi.Lambda(gitlabapi.Revoke(api, revoker), gitlabapi.RevokeConsole(api, revoker, finder(d, &table.Reader)))
}

// Tokens returns the handler of functions/tokens.
func Tokens(d compose.Deployment) lambda.Handler {
	table := &d.Table().Reader
	lister := compose.Must(lifecycle.NewLister(lifecycle.ListerParts{
		Store: table, Reader: table, Projects: table, Scopes: d.Config.Scopes, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock,
	}))
	return gitlabapi.Lambda(gitlabapi.Tokens(API(d), lister, finder(d, table)), nil)
}

// Directory returns the handler of functions/directory.
func Directory(d compose.Deployment) lambda.Handler {
	return gitlabapi.Lambda(gitlabapi.Directory(API(d), accounts(d, d.Table())), nil)
}

// API returns the parts that the routes of every function share.
func API(d compose.Deployment) *gitlabapi.API {
	table := d.Table()
	return &gitlabapi.API{
		Log: d.Log, Verifier: d.Verifier(), Accounts: &table.Reader, Trail: trail.NewNotes(&table.Journal), Clock: d.Clock,
		PublicURL: d.Config.PublicURL, Count: d.Count, Throttles: d.Throttles(),
	}
}

// Revoker returns the use case that revokes tokens.
func Revoker(d compose.Deployment, table *store.Table) *lifecycle.Revoker {
	return compose.Must(lifecycle.NewRevoker(lifecycle.RevokerParts{
		Store: table, Reader: &table.Reader, Projects: &table.Reader, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock,
	}))
}

func finder(d compose.Deployment, table *store.Reader) *directory.Finder {
	return compose.Must(directory.NewFinder(directory.FinderParts{Reader: table, Projects: table, Clock: d.Clock}))
}

func accounts(d compose.Deployment, table *store.Table) *directory.Directory {
	return compose.Must(directory.New(finder(d, &table.Reader), table))
}
