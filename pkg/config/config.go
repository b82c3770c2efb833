// Package config reads the environment of each function into one struct per
// function, and reports everything that is wrong with it at once.
//
// The variables are set by template.yaml, from its parameters. A struct is
// read once, when the function starts, and does not change.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11" // collects the faults of every variable; no dependencies

	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/sweep"
)

// Base is what every function reads.
type Base struct {
	Stage string `env:"STAGE" envDefault:"prod"`
	// Table is the DynamoDB table's name.
	Table string `env:"TABLE_NAME,required,notEmpty"`
	// Endpoint of DynamoDB, for another engine than the region's own.
	Endpoint string `env:"DYNAMODB_ENDPOINT"`
	// PublicURL is where clients reach the API, without /api/v4. Without one,
	// links start with the address at which the gateway was reached.
	PublicURL string `env:"PUBLIC_URL"`
	// RetentionDays is how long a revoked token stays.
	RetentionDays int `env:"RETENTION_DAYS" envDefault:"90"`
	// Shards is how many parts a day of the expiry index has.
	Shards int `env:"SHARD_COUNT" envDefault:"16"`
}

// PageURL is where people manage their tokens.
func (b Base) PageURL() string { return b.PublicURL + sweep.PagePath }

// Common is what every function reads that knows bearers.
type Common struct {
	Base
	// Pepper is the key for digests, at least 32 bytes.
	Pepper secret.Pepper `env:"PEPPER,required"`
	// Prefix of new personal tokens, at most 20 characters.
	Prefix string `env:"TOKEN_PREFIX" envDefault:"lkpat_"`
	// LastUsedSeconds is how long a recorded last use stands.
	LastUsedSeconds int `env:"LAST_USED_INTERVAL_SECONDS" envDefault:"86400"`
	// WrongBearers is how many bearers that are no good an address may try in
	// a minute; 0 is no limit. Each instance of a function counts for itself,
	// here and below.
	WrongBearers int `env:"WRONG_BEARERS_PER_MINUTE" envDefault:"60"`
	// Creations is how many tokens an account may ask for in a minute.
	Creations int `env:"CREATIONS_PER_MINUTE" envDefault:"100"`
	// LeakReports is how many reports of leaked values an address may send in
	// a minute.
	LeakReports int `env:"LEAK_REPORTS_PER_MINUTE" envDefault:"10"`
	// ScopesFile is an operator's own scope catalog.
	ScopesFile string `env:"SCOPES_FILE"`

	// Scopes is GitLab's catalog joined with the operator's.
	Scopes *scope.Catalog `env:"-"`
}

// Retention returns RetentionDays as a length of time.
func (b Base) Retention() time.Duration { return time.Duration(b.RetentionDays) * 24 * time.Hour }

// Policy returns what holds until administrators set something else.
func (c Common) Policy() settings.Settings {
	return settings.Settings{
		Prefix:           c.Prefix,
		LastUsedInterval: time.Duration(c.LastUsedSeconds) * time.Second,
		RetentionDays:    c.RetentionDays,
	}
}

// ImpersonationPrefix is the public start of new impersonation tokens. It is
// the same everywhere, so that whoever finds one knows what it opens.
const ImpersonationPrefix = "lkimp_"

// ResourcePrefix is the public start of new tokens of projects and groups, the
// same everywhere for the same reason.
const ResourcePrefix = "lkprj_"

// DefaultPrefixes mark the bearers of every deployment: personal, project and
// group, impersonation.
var DefaultPrefixes = []string{"lkpat_", ResourcePrefix, ImpersonationPrefix}

// Format returns the format of this deployment's bearers.
func (c Common) Format() secret.Format {
	return secret.Format{Prefixes: append([]string{c.Prefix}, DefaultPrefixes...)}
}

// Authorizer is what the authorizer reads besides.
type Authorizer struct {
	Common
	// CacheSeconds is how long the gateway keeps a decision, which is how
	// long a revoked token can still pass.
	CacheSeconds int `env:"AUTHORIZER_CACHE_SECONDS" envDefault:"0"`
	// Response is the format that HTTP APIs expect: "simple" or "policy".
	Response string `env:"AUTHORIZER_HTTP_API_RESPONSE" envDefault:"simple"`
}

// Simple reports whether HTTP APIs expect simple responses.
func (a Authorizer) Simple() bool { return a.Response == "simple" }

// Read returns the variables that functions which know bearers share. environ is
// in the form of os.Environ.
func Read(environ []string) (Common, error) {
	c, err := parse[Common](environ)
	return c, errors.Join(err, c.complete())
}

// ReadAuthorizer returns the authorizer's variables.
func ReadAuthorizer(environ []string) (Authorizer, error) {
	c, err := parse[Authorizer](environ)
	faults := []error{err, c.complete()}
	if c.CacheSeconds < 0 || c.CacheSeconds > 3600 { // API Gateway quota: authorizer result TTL
		faults = append(faults, errors.New("AUTHORIZER_CACHE_SECONDS is outside 0 to 3600"))
	}
	if c.Response != "simple" && c.Response != "policy" {
		faults = append(faults, errors.New("AUTHORIZER_HTTP_API_RESPONSE is neither simple nor policy"))
	}
	if c.CacheSeconds > 0 && c.Scopes != nil && len(c.Scopes.LoosePaths) > 0 {
		faults = append(faults, errors.New("AUTHORIZER_CACHE_SECONDS must be 0 with loose_paths in SCOPES_FILE: a kept policy cannot look at the spelling of a path"))
	}
	return c, errors.Join(faults...)
}

// Settings is what the settings function reads besides: what the lifetime run is
// planned with.
type Settings struct {
	Common
	// Group is the schedule group that plans are kept in.
	Group string `env:"SCHEDULE_GROUP,required,notEmpty"`
	// Run is the ARN of the state machine to start, and Role that of the role
	// with which the scheduler starts it.
	Run  string `env:"LIFETIME_RUN_ARN,required,notEmpty"`
	Role string `env:"LIFETIME_ROLE_ARN,required,notEmpty"`
	// Queue is the ARN of the queue that keeps the inputs of failed starts.
	Queue string `env:"UNSTARTED_QUEUE_ARN,required,notEmpty"`
	// SchedulerEndpoint is another scheduler than the region's own.
	SchedulerEndpoint string `env:"SCHEDULER_ENDPOINT"`
}

// ReadSettings returns the variables of the settings function.
func ReadSettings(environ []string) (Settings, error) {
	c, err := parse[Settings](environ)
	return c, errors.Join(err, c.complete())
}

// maxShards keeps the number of a shard in two digits, which its key has.
const maxShards = 99

func parse[T any](environ []string) (T, error) {
	c, err := env.ParseAsWithOptions[T](env.Options{Environment: env.ToMap(environ)})
	var all env.AggregateError
	if !errors.As(err, &all) {
		return c, err
	}
	faults := make([]error, len(all.Errors))
	for i, fault := range all.Errors {
		faults[i] = named[T](fault)
	}
	return c, errors.Join(faults...)
}

// named says which variable of T is wrong, and leaves out what it holds: an
// operator who has mixed up two variables must not find the pepper in a log.
func named[T any](fault error) error {
	var parse env.ParseError
	if !errors.As(fault, &parse) {
		return fault
	}
	name := parse.Name
	if field, found := reflect.TypeFor[T]().FieldByName(parse.Name); found {
		name, _, _ = strings.Cut(field.Tag.Get("env"), ",")
	}
	switch {
	case errors.As(parse.Err, new(*strconv.NumError)) && parse.Type.Kind() == reflect.Bool:
		return fmt.Errorf("%s is neither true nor false", name)
	case errors.As(parse.Err, new(*strconv.NumError)):
		return fmt.Errorf("%s is not a whole number", name)
	case errors.Is(parse.Err, sweep.ErrDays):
		return fmt.Errorf("%s: %w: not a list of different numbers from 1 to %d", name, sweep.ErrDays, sweep.MaxNoticeDays)
	}
	return fmt.Errorf("%s: %w", name, parse.Err)
}

// A checklist collects what a type cannot say about a variable.
type checklist []error

func (l *checklist) fault(broken bool, format string, args ...any) {
	if broken {
		*l = append(*l, fmt.Errorf(format, args...))
	}
}

func (b *Base) complete() error {
	var list checklist
	list.fault(b.RetentionDays < 1, "RETENTION_DAYS is below 1")
	list.fault(b.Shards < 1 || b.Shards > maxShards, "SHARD_COUNT is outside 1 to %d", maxShards)
	u, err := url.Parse(b.PublicURL)
	list.fault(err != nil || b.PublicURL != "" && (u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(b.PublicURL, "?#@,;<> ")),
		"PUBLIC_URL is not an absolute http or https URL without user and query") // it is put into Link headers
	b.PublicURL = strings.TrimSuffix(b.PublicURL, "/")
	return errors.Join(list...)
}

func (c *Common) complete() error {
	list := checklist{c.Base.complete()}
	list.fault(!secret.ValidPrefix(c.Prefix), "TOKEN_PREFIX is not up to %d letters, digits and any of _+=/@:.-", secret.MaxPrefixLength)
	list.fault(c.LastUsedSeconds < 1, "LAST_USED_INTERVAL_SECONDS is below 1")
	list.fault(c.WrongBearers < 0, "WRONG_BEARERS_PER_MINUTE is below 0")
	list.fault(c.Creations < 0, "CREATIONS_PER_MINUTE is below 0")
	list.fault(c.LeakReports < 0, "LEAK_REPORTS_PER_MINUTE is below 0")
	c.Scopes = scope.GitLab()
	if c.ScopesFile != "" {
		own, err := readCatalog(c.ScopesFile)
		if err != nil {
			return errors.Join(append(list, fmt.Errorf("SCOPES_FILE: %w", err))...)
		}
		c.Scopes = c.Scopes.With(own)
	}
	return errors.Join(list...)
}

func readCatalog(path string) (*scope.Catalog, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's own file
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return scope.Load(file)
}
