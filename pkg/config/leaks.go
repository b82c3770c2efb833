package config

import (
	"errors"
	"net/mail"
)

// Leaks holds the variables of functions/leaks.
type Leaks struct {
	Common
	// Queue is the address of the queue for the ids of reported tokens. If it is "", nobody is told.
	Queue string `env:"LEAK_QUEUE_URL"`
	// SQSEndpoint overrides the region's queues.
	SQSEndpoint string `env:"SQS_ENDPOINT"`
}

// ReadLeaks returns the variables of functions/leaks.
func ReadLeaks(environ []string) (Leaks, error) {
	c, err := parse[Leaks](environ)
	return c, errors.Join(err, c.complete())
}

// LeakMails holds the variables of functions/leakmails.
type LeakMails struct {
	Base
	// Sender is the From address of mails, verified in SES.
	Sender string `env:"SENDER_ADDRESS,required,notEmpty"`
	// ConfigurationSet is the SES configuration set, or "".
	ConfigurationSet string `env:"SES_CONFIGURATION_SET"`
	// DailyMails is how many mails about tokens of projects and groups a person gets in a day.
	DailyMails int `env:"DAILY_MAILS" envDefault:"10"`
	// SESEndpoint overrides the region's mail service.
	SESEndpoint string `env:"SES_ENDPOINT"`
}

// ReadLeakMails returns the variables of functions/leakmails.
func ReadLeakMails(environ []string) (LeakMails, error) {
	c, err := parse[LeakMails](environ)
	list := checklist{err, c.complete()}
	_, wrong := mail.ParseAddress(c.Sender)
	list.fault(c.Sender != "" && wrong != nil, "SENDER_ADDRESS is not a mail address")
	list.fault(c.DailyMails < 1, "DAILY_MAILS is below 1")
	list.fault(c.PublicURL == "", "PUBLIC_URL is missing: mails link to the token page")
	return c, errors.Join(list...)
}
