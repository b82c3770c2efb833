// Package management builds the functions that serve the API and need only the table. Start with
// Issue, Revoke, Tokens and Directory.
package management

import (
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/compose"
	"latchkey/pkg/compose/tokens"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/store"
	"latchkey/pkg/trail"
)

// Issue returns the handler of functions/issue.
func Issue(d compose.Deployment) lambda.Handler {
	api, table := API(d), d.Table()
	issuer := tokens.Issuer(d, table)
	return gitlabapi.Lambda(gitlabapi.Issue(api, issuer, tokens.Revoker(d, table)), gitlabapi.IssueConsole(api, issuer, accounts(d, table), signIns(d, table), tokens.Filler(d, table)))
}

// Revoke returns the handler of functions/revoke.
func Revoke(d compose.Deployment) lambda.Handler {
	api, table := API(d), d.Table()
	revoker := tokens.Revoker(d, table)
	return gitlabapi.Lambda(gitlabapi.Revoke(api, revoker, remover(d, table)), gitlabapi.RevokeConsole(api, revoker, Finder(d, &table.Reader)))
}

// Tokens returns the handler of functions/tokens.
func Tokens(d compose.Deployment) lambda.Handler {
	table := &d.Table().Reader
	return gitlabapi.Lambda(gitlabapi.Tokens(API(d), tokens.Lister(d, table), Finder(d, table)), gitlabapi.TokensConsole(tokens.Examiner(d, table), tokens.Census(d, table)))
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
		PublicURL: d.Config.PublicURL, AllowedOrigin: d.Config.AllowedOrigin, Count: d.Count, Throttles: d.Throttles(),
	}
}

// Finder returns the use case that finds accounts, projects and groups.
func Finder(d compose.Deployment, table *store.Reader) *directory.Finder {
	return compose.Must(directory.NewFinder(directory.FinderParts{Reader: table, Projects: table, Clock: d.Clock}))
}

func remover(d compose.Deployment, table *store.Table) *directory.Remover {
	return compose.Must(directory.NewRemover(Finder(d, &table.Reader), table))
}

func accounts(d compose.Deployment, table *store.Table) *directory.Directory {
	return compose.Must(directory.New(Finder(d, &table.Reader), table))
}

// signIns returns the use case with which operators link identities. It signs nobody in.
func signIns(d compose.Deployment, table *store.Table) *directory.SignIns {
	return compose.Must(directory.NewSignIns(directory.SignInParts{Store: table, Reader: &table.Reader, Trail: trail.NewNotes(&table.Journal), Clock: d.Clock}))
}
