package config

import (
	"errors"
	"net/mail"
)

// Leaks holds the variables of functions/leaks.
type Leaks struct {
	Common
	// Sender is the From address of mails, verified in SES. If it is "", nobody is told.
	Sender string `env:"SENDER_ADDRESS"`
	// ConfigurationSet is the SES configuration set, or "".
	ConfigurationSet string `env:"SES_CONFIGURATION_SET"`
	// SESEndpoint overrides the region's mail service.
	SESEndpoint string `env:"SES_ENDPOINT"`
}

// ReadLeaks returns the variables of functions/leaks.
func ReadLeaks(environ []string) (Leaks, error) {
	c, err := parse[Leaks](environ)
	list := checklist{err, c.complete()}
	_, wrong := mail.ParseAddress(c.Sender)
	list.fault(c.Sender != "" && wrong != nil, "SENDER_ADDRESS is not a mail address")
	return c, errors.Join(list...)
}
