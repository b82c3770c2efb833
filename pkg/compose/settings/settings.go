// Package settings builds functions/settings. Start with Main.
package settings

import (
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/administration"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
	"latchkey/pkg/compose/planning"
	"latchkey/pkg/config"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/trail"
)

// Main starts the function.
func Main() {
	const function = "settings"
	compose.Start(function, config.ReadSettings, func(cfg config.Settings, sdk compose.AWS) lambda.Handler {
		return Handler(compose.New(function, cfg.Common, sdk.Table), planning.Planner(cfg.Plans, planning.Client(cfg.Plans, sdk.Config)))
	})
}

// Handler returns the function's handler.
func Handler(d compose.Deployment, planner administration.Planner) lambda.Handler {
	table := d.Table()
	events := compose.Must(trail.New(trail.Parts{Store: &table.Reader, Reader: &table.Reader, Projects: &table.Reader, Clock: d.Clock}))
	api, features, admin := management.API(d), planning.Features(d, table), planning.Administration(d, table, planner)
	return gitlabapi.Lambda(gitlabapi.Settings(api, features, admin, events), gitlabapi.SettingsConsole(api, features, admin))
}
