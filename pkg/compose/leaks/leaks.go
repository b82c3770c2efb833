// Package leaks builds functions/leaks. Start with Main. It is separate from package management, so
// that the other functions of the API do not link the queue's client.
package leaks

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
	"latchkey/pkg/compose/tokens"
	"latchkey/pkg/config"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/queue/sender"
)

// Main starts the function.
func Main() {
	const function = "leaks"
	compose.Start(function, config.ReadLeaks, func(cfg config.Leaks, sdk compose.AWS) lambda.Handler {
		client := sqs.NewFromConfig(sdk.Config, sender.Configure(cfg.SQSEndpoint))
		return Handler(compose.New(function, cfg.Common, sdk.Source), Queue(cfg, client))
	})
}

// Queue returns the queue of reported tokens, or nil for a deployment that sends no mails.
func Queue(cfg config.Leaks, client *sqs.Client) gitlabapi.LeakQueue {
	if cfg.Queue == "" {
		return nil
	}
	return &sender.Sender{Client: client, URL: cfg.Queue}
}

// Handler returns the function's handler. Without a queue nobody is told.
func Handler(d compose.Deployment, queue gitlabapi.LeakQueue) lambda.Handler {
	return gitlabapi.Lambda(gitlabapi.Leaks(management.API(d), tokens.Revoker(d, d.Table()), queue), nil)
}
