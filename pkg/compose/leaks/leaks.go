// Package leaks builds functions/leaks. Start with Main. It is separate from package management, so
// that the other functions of the API do not link the mail service's client.
package leaks

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
	"latchkey/pkg/compose/tokens"
	"latchkey/pkg/config"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/notify"
	"latchkey/pkg/sweep"
)

// Main starts the function.
func Main() {
	const function = "leaks"
	compose.Start(function, config.ReadLeaks, func(cfg config.Leaks, sdk aws.Config) lambda.Handler {
		mail := sesv2.NewFromConfig(sdk, notify.Configure(cfg.SESEndpoint))
		return Handler(compose.New(function, cfg.Common, compose.Client(cfg.Base, sdk)), Sender(cfg, mail))
	})
}

// Sender returns the mailer for notices about leaks, or sweep.NoMails without a sender's address.
// The notices link to the token page.
func Sender(cfg config.Leaks, client *sesv2.Client) sweep.Mailer {
	if cfg.Sender == "" {
		return sweep.NoMails
	}
	return &notify.SES{Client: client, From: cfg.Sender, ConfigurationSet: cfg.ConfigurationSet}
}

// Handler returns the function's handler. It sends with mailer; with sweep.NoMails it tells nobody.
func Handler(d compose.Deployment, mailer sweep.Mailer) lambda.Handler {
	const workers = 8
	table := d.Table()
	messenger := compose.Must(sweep.NewMessenger(sweep.Setup{
		Records: table, Projects: table, Mailer: mailer, Clock: d.Clock, Workers: workers,
		Malformed: func(err error) { d.Log.Error("record malformed", "reason", err.Error()) },
	}))
	return gitlabapi.Lambda(gitlabapi.Leaks(management.API(d), tokens.Revoker(d, table), messenger, gitlabapi.LeakStep), nil)
}
