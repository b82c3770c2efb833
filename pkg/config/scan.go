package config

import (
	"errors"
	"net/mail"

	"latchkey/pkg/sweep"
)

// Scan holds the variables of the two scans and the lifetime run.
type Scan struct {
	Base
	// Days are the notice days, such as `7` or `60,30,7`.
	Days sweep.Days `env:"NOTICE_DAYS" envDefault:"7"`
	// Sender is the From address of mails, verified in SES. Only the lifetime run works without
	// one.
	Sender string `env:"SENDER_ADDRESS"`
	// ConfigurationSet is the SES configuration set, or "".
	ConfigurationSet string `env:"SES_CONFIGURATION_SET"`
	// SESEndpoint overrides the region's mail service.
	SESEndpoint string `env:"SES_ENDPOINT"`
	// Concurrency is how many shards the state machine scans at a time. They share the account's
	// send rate.
	Concurrency int `env:"SCAN_CONCURRENCY" envDefault:"4"`
	// Workers is how many mails one shard sends at a time.
	Workers int `env:"SCAN_WORKERS" envDefault:"8"`
	// DailyMails is how many mails about tokens of projects and groups a person gets in a day.
	DailyMails int `env:"DAILY_MAILS" envDefault:"10"`
	// OldTable is the table that the lifetime function compares a restored one with, or "".
	OldTable string `env:"OLD_TABLE"`
	// AnyTime accepts events with any time, for tests by hand.
	AnyTime bool `env:"SCAN_ANY_TIME"`
}

// maxParallel keeps the connections of shards and workers below the file descriptors of a Lambda
// function (Lambda quotas: 1,024).
const maxParallel = 100

// ReadScan returns the variables of a daily scan.
func ReadScan(environ []string) (Scan, error) {
	c, err := readScan(environ)
	list := checklist{err}
	list.fault(c.Sender == "", "SENDER_ADDRESS is missing")
	return c, errors.Join(list...)
}

// ReadLifetime returns the variables of the lifetime run, which revokes tokens even if nobody can
// be told.
func ReadLifetime(environ []string) (Scan, error) { return readScan(environ) }

func readScan(environ []string) (Scan, error) {
	c, err := parse[Scan](environ)
	list := checklist{err, c.complete()}
	_, wrong := mail.ParseAddress(c.Sender)
	list.fault(c.Sender != "" && wrong != nil, "SENDER_ADDRESS is not a mail address")
	list.fault(c.Concurrency < 1 || c.Concurrency > maxShards, "SCAN_CONCURRENCY is outside 1 to %d", maxShards)
	list.fault(c.Workers < 1 || c.Workers > maxParallel, "SCAN_WORKERS is outside 1 to %d", maxParallel)
	list.fault(c.DailyMails < 1, "DAILY_MAILS is below 1")
	list.fault(c.OldTable != "" && c.OldTable == c.Table, "OLD_TABLE is the table itself")
	list.fault(c.PublicURL == "", "PUBLIC_URL is missing: mails link to the token page")
	return c, errors.Join(list...)
}
