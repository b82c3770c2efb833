package scans

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/notify"
	"latchkey/pkg/sweep"
)

// Expiring starts functions/expiring.
func Expiring() { start(sweep.Expiring, config.ReadScan) }

// Expired starts functions/expired.
func Expired() { start(sweep.Expired, config.ReadScan) }

// Lifetime starts functions/lifetime.
func Lifetime() { start(sweep.Lifetime, config.ReadLifetime) }

func start(kind sweep.Kind, read func(environ []string) (config.Scan, error)) {
	compose.Start(string(kind), read, func(cfg config.Scan, sdk compose.AWS) lambda.Handler {
		mail := sesv2.NewFromConfig(sdk.Config, notify.Configure(cfg.SESEndpoint))
		return New(cfg, sdk.Source, mail).Handler(kind)
	})
}
