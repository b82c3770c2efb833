// Package web builds functions/web, the page. Start with Main. It is separate from package management,
// so that the functions of the API do not link the page, and the page does not link the API.
package web

import (
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/administration"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/planning"
	"latchkey/pkg/compose/requests"
	"latchkey/pkg/compose/tokens"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
	"latchkey/pkg/web"
)

// Main starts the function.
func Main() {
	const function = "web"
	compose.Start(function, config.ReadWeb, func(cfg config.Web, sdk compose.AWS) lambda.Handler {
		return Handler(compose.New(function, cfg.Common, sdk.Source), cfg, planning.Planner(cfg.Plans, planning.Client(cfg.Plans, sdk.Config)))
	})
}

// Handler returns the function's handler.
func Handler(d compose.Deployment, cfg config.Web, planner administration.Planner) lambda.Handler {
	return requests.Handler(compose.Must(web.New(Parts(d, cfg, planner))).Handler())
}

// Parts returns the parts of the function's site.
func Parts(d compose.Deployment, cfg config.Web, planner administration.Planner) web.Parts {
	table := d.Table()
	reader := &table.Reader
	sealer := compose.Must(web.NewSealer(cfg.CookieKeys...))
	throttles := throttle.New(throttle.Limits{
		WrongBearers: cfg.WrongBearers, Creations: cfg.Creations, SignIns: cfg.SignIns,
	})
	provider := web.NewProvider(web.ProviderSettings{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, Scopes: cfg.OIDCScopes, AdminClaim: cfg.AdminClaim,
	}, d.Clock)
	signIns := compose.Must(directory.NewSignIns(directory.SignInParts{
		Store: table, Reader: reader, Trail: trail.NewNotes(&table.Journal), Clock: d.Clock, Creates: cfg.CreateAccounts, ClaimRanks: provider.ClaimRanks(),
	}))
	finder := compose.Must(directory.NewFinder(directory.FinderParts{Reader: reader, Projects: reader, Clock: d.Clock}))
	entrance := compose.Must(web.NewEntrance(web.EntranceParts{
		Provider: provider, SignIns: signIns, Sealer: sealer, Clock: d.Clock, Throttles: throttles, Log: d.Log, Count: d.Count,
	}))
	return web.Parts{
		Log: d.Log, Clock: d.Clock, PublicURL: cfg.PublicURL, Visitors: entrance, Door: entrance, Sealer: sealer,
		Issuer: tokens.Issuer(d, table), Revoker: tokens.Revoker(d, table), Lister: tokens.Lister(d, reader),
		Finder:   finder,
		Trail:    compose.Must(trail.New(trail.Parts{Store: reader, Reader: reader, Projects: reader, Clock: d.Clock})),
		Verifier: d.Verifier(), Throttles: throttles, Count: d.Count,
		Directory: compose.Must(directory.New(finder, table)), Features: planning.Features(d, table), Settings: planning.Administration(d, table, planner),
	}
}
