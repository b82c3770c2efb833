// Package leakmail makes the mailer of functions/leaks. It is not part of package
// compose, so that the other functions which answer requests do not carry the mail
// service's client.
package leakmail

import (
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/config"
	"latchkey/pkg/notify"
	"latchkey/pkg/sweep"
)

// Sender returns what sends mails about leaks; without a sender's address nothing
// does. The notices say where the token page is.
func Sender(cfg config.Leaks, client *sesv2.Client) sweep.Mailer {
	if cfg.Sender == "" {
		return sweep.NoMails
	}
	return &notify.SES{Client: client, From: cfg.Sender, ConfigurationSet: cfg.ConfigurationSet}
}
