// Package settings builds functions/settings. Start with Main.
package settings

import (
	"context"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/administration"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
	"latchkey/pkg/compose/planning"
	"latchkey/pkg/config"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/graphql"
	"latchkey/pkg/trail"
)

// Main starts the function.
func Main() {
	const function = "settings"
	compose.Start(function, config.ReadSettings, func(cfg config.Settings, sdk compose.AWS) lambda.Handler {
		return Handler(compose.New(function, cfg.Common, sdk.Source), planning.Planner(cfg.Plans, planning.Client(cfg.Plans, sdk.Config)))
	})
}

// Handler returns the function's handler.
func Handler(d compose.Deployment, planner administration.Planner) lambda.Handler {
	table := d.Table()
	events := compose.Must(trail.New(trail.Parts{Store: &table.Reader, Reader: &table.Reader, Projects: &table.Reader, Clock: d.Clock}))
	api, features, admin := management.API(d), planning.Features(d, table), planning.Administration(d, table, planner)
	return gitlabapi.Lambda(gitlabapi.Settings(api, features, admin, events, management.Finder(d, &table.Reader), Graph{}),
		gitlabapi.SettingsConsole(api, features, admin))
}

// A Graph implements gitlabapi.Graph with package graphql, which only this function links.
type Graph struct{}

// Reads implements gitlabapi.Graph.
func (Graph) Reads(method, query string, header http.Header, body []byte) error {
	return graphql.Reads(graphql.Request{Method: method, Query: query, Header: header, Body: body})
}

// Answer implements gitlabapi.Graph.
func (Graph) Answer(ctx context.Context, document, operation string, query gitlabapi.GraphFields) (map[string]any, string, error) {
	data, err := graphql.Answer(ctx, document, operation, object(query))
	if problem := graphql.ErrorOf(err); problem != nil {
		return nil, problem.Error(), nil
	}
	return data, "", err
}

func object(fields gitlabapi.GraphFields) graphql.Object {
	of := graphql.Object{}
	for name, value := range fields {
		switch value := value.(type) {
		case gitlabapi.GraphFields:
			of[name] = object(value)
		case func(context.Context) (any, error):
			of[name] = graphql.Later(value)
		default:
			of[name] = value
		}
	}
	return of
}
