package config

import (
	"errors"
	"net/mail"
)

// Leaks is what the function that takes reports of leaks reads.
type Leaks struct {
	Common
	// Sender is the address that mails come from, verified in SES; "" for none,
	// so that nobody is told.
	Sender string `env:"SENDER_ADDRESS"`
	// ConfigurationSet of SES, or "".
	ConfigurationSet string `env:"SES_CONFIGURATION_SET"`
	// SESEndpoint is another mail service than the region's own.
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
