// Package tokens builds the use cases of tokens for the functions of the API and for the page. Start
// with Issuer, Revoker, Lister, Examiner, Census and Filler.
package tokens

import (
	"latchkey/pkg/administration"
	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/store"
)

// Issuer returns the use case that issues and rotates tokens.
func Issuer(d compose.Deployment, table *store.Table) *lifecycle.Issuer {
	return compose.Must(lifecycle.NewIssuer(lifecycle.IssuerParts{
		Store: table, Reader: &table.Reader, Scopes: d.Config.Scopes,
		Pepper: d.Config.Pepper, Format: d.Config.Format(), Settings: &table.Reader,
		Projects: &table.Reader, Bots: table, Gate: compose.Must(administration.NewGate(&table.Reader)),
		ImpersonationPrefix: config.ImpersonationPrefix, ProjectPrefix: config.ProjectPrefix,
		Clock: d.Clock, Random: d.Random,
	}))
}

// Revoker returns the use case that revokes tokens.
func Revoker(d compose.Deployment, table *store.Table) *lifecycle.Revoker {
	return compose.Must(lifecycle.NewRevoker(lifecycle.RevokerParts{
		Store: table, Reader: &table.Reader, Projects: &table.Reader, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock, Queue: table, Settings: &table.Reader,
	}))
}

// Lister returns the use case that lists and shows tokens.
func Lister(d compose.Deployment, table *store.Reader) *lifecycle.Lister {
	return compose.Must(lifecycle.NewLister(lifecycle.ListerParts{
		Store: table, Reader: table, Projects: table, Scopes: d.Config.Scopes, Pepper: d.Config.Pepper, Format: d.Config.Format(), Clock: d.Clock,
	}))
}

// Examiner returns the use case that explains what a token opens.
func Examiner(d compose.Deployment, table *store.Reader) *lifecycle.Examiner {
	return compose.Must(lifecycle.NewExaminer(lifecycle.ExaminerParts{Reader: table, Settings: table, Scopes: d.Config.Scopes, Clock: d.Clock}))
}

// Census returns the use case that counts tokens by the generation of their pepper.
func Census(d compose.Deployment, table *store.Reader) *lifecycle.Census {
	return compose.Must(lifecycle.NewCensus(lifecycle.CensusParts{Store: table, Settings: table, Clock: d.Clock}))
}

// Filler returns the use case that enters tokens of earlier releases into the directory.
func Filler(d compose.Deployment, table *store.Table) *lifecycle.Filler {
	return compose.Must(lifecycle.NewFiller(lifecycle.FillerParts{Store: table, Clock: d.Clock}))
}
