// Package config reads the environment of each function into one struct per function, and reports
// all faults at once.
//
// Start with Read for a function that verifies bearers, or with ReadScan. template.yaml sets the
// variables from its parameters. A function reads its struct once, at its start.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11" // collects the faults of all variables; no dependencies

	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/sweep"
)

// EndpointVariable names the variable with another address of the table's engine than the region's. A
// start reads it before it reads the others.
const EndpointVariable = "DYNAMODB_ENDPOINT"

// Base holds the variables that every function reads.
type Base struct {
	Stage string `env:"STAGE" envDefault:"prod"`
	// Table is the DynamoDB table's name.
	Table string `env:"TABLE_NAME,required,notEmpty"`
	// PublicURL is the address of the API for clients, without /api/v4. Without it, links start
	// with the address of the gateway.
	PublicURL string `env:"PUBLIC_URL"`
	// RetentionDays is how long the table keeps a revoked token.
	RetentionDays int `env:"RETENTION_DAYS" envDefault:"90"`
	// Shards is the number of parts of a day in the expiry index.
	Shards int `env:"SHARD_COUNT" envDefault:"16"`
}

// ReadBase returns the variables of a function that needs no others.
func ReadBase(environ []string) (Base, error) {
	c, err := parse[Base](environ)
	return c, errors.Join(err, c.complete())
}

// PageURL returns the address of the page on which people manage their tokens.
func (b Base) PageURL() string { return b.PublicURL + sweep.PagePath }

// Common holds the variables of every function that verifies bearers.
type Common struct {
	Base
	// Pepper is the key for digests, at least 32 bytes.
	Pepper secret.Pepper `env:"PEPPER,required"`
	// Prefix of new personal tokens, at most 20 characters.
	Prefix string `env:"TOKEN_PREFIX" envDefault:"lkpat_"`
	// LastUsedSeconds is how long a recorded use stays without an update.
	LastUsedSeconds int `env:"LAST_USED_INTERVAL_SECONDS" envDefault:"86400"`
	// WrongBearers is how many wrong bearers an address may try in a minute; 0 is no limit. Each
	// instance of a function counts separately, here and below.
	WrongBearers int `env:"WRONG_BEARERS_PER_MINUTE" envDefault:"60"`
	// Creations is how many tokens an account may request in a minute.
	Creations int `env:"CREATIONS_PER_MINUTE" envDefault:"100"`
	// LeakReports is how many reports of leaked values an address may send in a minute.
	LeakReports int `env:"LEAK_REPORTS_PER_MINUTE" envDefault:"10"`
	// ScopesFile is the path of the operator's rules file.
	ScopesFile string `env:"SCOPES_FILE"`
	// AllowedOrigin is the origin whose pages may call the API from a browser, * for every one and ""
	// for none.
	AllowedOrigin string `env:"ALLOWED_ORIGIN"`

	// Scopes is GitLab's catalog joined with the operator's.
	Scopes *scope.Catalog `env:"-"`
}

// Retention returns RetentionDays as a duration.
func (b Base) Retention() time.Duration { return time.Duration(b.RetentionDays) * 24 * time.Hour }

// rotationWindow is the default of the setting: time for two machines that share a token and start
// its rotation together, and little for a thief.
const rotationWindow = 10 * time.Second

// DefaultSettings returns the settings that apply until administrators change them.
func (c Common) DefaultSettings() settings.Settings {
	return settings.Settings{
		Prefix:           c.Prefix,
		LastUsedInterval: time.Duration(c.LastUsedSeconds) * time.Second,
		RetentionDays:    c.RetentionDays,
		RotationWindow:   rotationWindow,
	}
}

// ImpersonationPrefix is the prefix of new impersonation tokens. It is the same in every
// deployment, so that anybody who finds a token knows what it opens.
const ImpersonationPrefix = "lkimp_"

// ProjectPrefix is the prefix of new tokens of projects and groups. It is the same in every
// deployment for the same reason.
const ProjectPrefix = "lkprj_"

// DefaultPrefixes are the default prefixes: personal, project and group, impersonation.
var DefaultPrefixes = []string{"lkpat_", ProjectPrefix, ImpersonationPrefix}

// Format returns the format of this deployment's bearers.
func (c Common) Format() secret.Format {
	return secret.Format{Prefixes: append([]string{c.Prefix}, DefaultPrefixes...)}
}

// Authorizer holds the variables of the authorizer.
type Authorizer struct {
	Common
	// CacheSeconds is how long the gateway caches a decision. A revoked token can pass for as long.
	CacheSeconds int `env:"AUTHORIZER_CACHE_SECONDS" envDefault:"0"`
	// Response is the format that HTTP APIs expect: "simple" or "policy".
	Response string `env:"AUTHORIZER_HTTP_API_RESPONSE" envDefault:"simple"`
	// Source is what gateways cache decisions by: the header with the bearer, and optionally the
	// client's address.
	Source string `env:"AUTHORIZER_IDENTITY_SOURCE" envDefault:"Authorization"`
	// WrongBearer is the answer to REST APIs about a wrong bearer: "deny" or "unauthorized".
	WrongBearer string `env:"AUTHORIZER_WRONG_BEARER" envDefault:"deny"`
}

// Simple reports whether HTTP APIs expect simple responses.
func (a Authorizer) Simple() bool { return a.Response == "simple" }

// Unauthorized reports whether REST APIs answer 401 to a wrong bearer.
func (a Authorizer) Unauthorized() bool { return a.WrongBearer == "unauthorized" }

// addressToo is the end of a Source that includes the client's address.
const addressToo = ",sourceIp"

// IdentitySource returns the header by which gateways cache decisions, and whether the client's
// address belongs to it. The header is "" if they cache none.
func (a Authorizer) IdentitySource() (header string, address bool) {
	if a.CacheSeconds == 0 {
		return "", false
	}
	return strings.CutSuffix(a.Source, addressToo)
}

// Read returns the variables of a function that verifies bearers. environ has the form of
// os.Environ.
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
	if header := strings.TrimSuffix(c.Source, addressToo); header != "Authorization" && header != "PRIVATE-TOKEN" {
		faults = append(faults, errors.New("AUTHORIZER_IDENTITY_SOURCE is neither Authorization nor PRIVATE-TOKEN, alone or with "+addressToo))
	}
	if c.WrongBearer != "deny" && c.WrongBearer != "unauthorized" {
		faults = append(faults, errors.New("AUTHORIZER_WRONG_BEARER is neither deny nor unauthorized"))
	}
	if c.CacheSeconds > 0 && c.Simple() {
		faults = append(faults, errors.New("AUTHORIZER_CACHE_SECONDS must be 0 with AUTHORIZER_HTTP_API_RESPONSE simple: a kept simple response would answer other requests"))
	}
	if c.CacheSeconds > 0 && c.Scopes != nil && len(c.Scopes.LoosePaths) > 0 {
		faults = append(faults, errors.New("AUTHORIZER_CACHE_SECONDS must be 0 with loose_paths in SCOPES_FILE: a kept policy cannot look at the spelling of a path"))
	}
	return c, errors.Join(faults...)
}

// Settings holds the variables of functions/settings.
type Settings struct {
	Common
	Plans
}

// Plans hold the variables of the functions that plan lifetime runs.
type Plans struct {
	// Group is the schedule group of planned lifetime runs.
	Group string `env:"SCHEDULE_GROUP,required,notEmpty"`
	// Run is the ARN of the state machine to start, and Role the ARN of the role for the scheduler.
	Run  string `env:"LIFETIME_RUN_ARN,required,notEmpty"`
	Role string `env:"LIFETIME_ROLE_ARN,required,notEmpty"`
	// Queue is the ARN of the queue for the inputs of failed starts.
	Queue             string `env:"UNSTARTED_QUEUE_ARN,required,notEmpty"`
	SchedulerEndpoint string `env:"SCHEDULER_ENDPOINT"`
}

// ReadSettings returns the variables of functions/settings.
func ReadSettings(environ []string) (Settings, error) {
	c, err := parse[Settings](environ)
	return c, errors.Join(err, c.complete())
}

// maxShards keeps the number of a shard in the two digits of its key.
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

// named returns an error that names the faulty variable of T and omits its value, because an
// operator who has swapped two variables must not find the pepper in a log.
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

// A checklist collects faults that a type cannot express.
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

// origin is what browsers send as Origin: no path and no trailing slash.
var origin = regexp.MustCompile(`^(\*|https?://[A-Za-z0-9.-]+(:[0-9]+)?)?$`)

func (c *Common) complete() error {
	list := checklist{c.Base.complete()}
	list.fault(!secret.ValidPrefix(c.Prefix), "TOKEN_PREFIX is not up to %d letters, digits and any of _+=/@:.-", secret.MaxPrefixLength)
	list.fault(c.LastUsedSeconds < 1, "LAST_USED_INTERVAL_SECONDS is below 1")
	list.fault(c.WrongBearers < 0, "WRONG_BEARERS_PER_MINUTE is below 0")
	list.fault(c.Creations < 0, "CREATIONS_PER_MINUTE is below 0")
	list.fault(c.LeakReports < 0, "LEAK_REPORTS_PER_MINUTE is below 0")
	list.fault(!origin.MatchString(c.AllowedOrigin), "ALLOWED_ORIGIN is neither * nor an origin such as https://app.example.com")
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
