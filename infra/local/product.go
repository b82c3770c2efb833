package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awsscheduler "github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/local/identities"
	"latchkey/pkg/clock"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/authorizer"
	"latchkey/pkg/compose/bounces"
	"latchkey/pkg/compose/endings"
	"latchkey/pkg/compose/events"
	"latchkey/pkg/compose/introspect"
	"latchkey/pkg/compose/leakmails"
	"latchkey/pkg/compose/leaks"
	"latchkey/pkg/compose/management"
	"latchkey/pkg/compose/planning"
	"latchkey/pkg/compose/registry"
	"latchkey/pkg/compose/scans"
	"latchkey/pkg/compose/settings"
	"latchkey/pkg/compose/web"
	"latchkey/pkg/config"
	"latchkey/pkg/notify"
	"latchkey/pkg/planner"
	"latchkey/pkg/queue/sender"
	"latchkey/pkg/store"
	"latchkey/pkg/stream/bus"
	"latchkey/pkg/sweep"
)

// Product configures Latchkey itself.
type Product struct {
	Template *cloud.Template
	// Client makes a DynamoDB client; its options run last.
	Client func(options ...func(*dynamodb.Options)) *dynamodb.Client
	// Table is the table's name. CreateTable makes it if it does not exist.
	Table string
	// Mail makes a client of the mail service; its options run last.
	Mail func(options ...func(*sesv2.Options)) *sesv2.Client
	// Pages are further handlers by path prefix; see Options.
	Pages map[string]http.Handler
	// Hosts are further names by which clients call; see Options.
	Hosts []string
	// SampleBackend replaces the sample API; see Sample.
	SampleBackend *url.URL
	// Plans keep the lifetime runs that Latchkey plans; see NewPlans and Template.Machines.
	Plans *cloud.Plans
	// Queues keep the ids of reported tokens; see NewQueues.
	Queues *cloud.Queues
	// Bus keeps the events about tokens for other systems.
	Bus *cloud.Bus
	// Scheduled makes Run run the template's schedules and the plans, and deliver the messages of the
	// queues and the records of the table's stream.
	Scheduled bool
	// Concurrency imitates the limits of an account; see cloud.Options.
	Concurrency int
	// Patience replaces the time limits of functions and of the gateway; see cloud.Options.
	Patience time.Duration
	// Pepper is the key for digests, at least 32 bytes. The keys of cookies and of the
	// registry are made of it.
	Pepper string
	// Identities sign people in to the page; see NewIdentities. Without them nobody can sign in.
	Identities *identities.Provider
	// PublicURL is the address in replies.
	PublicURL string
	Clock     clock.Clock
	Random    io.Reader
	// Log makes the logger of a function.
	Log func(function string) *slog.Logger
	// Wrap, unless it is nil, wraps the handlers of functions.
	Wrap func(function string, handler lambda.Handler) lambda.Handler
}

// CreateTable makes Latchkey's table unless it exists.
func (p Product) CreateTable(ctx context.Context) error {
	path, err := tabledef.Path()
	if err != nil {
		return err
	}
	var exists *types.ResourceInUseException
	if err := tabledef.Create(ctx, p.Client(), path, p.Table); err != nil && !errors.As(err, &exists) {
		return err
	}
	return nil
}

// Functions returns the handler of every function of the template. Each has its own environment
// variables and permissions from there.
func (p Product) Functions() (map[string]lambda.Handler, error) {
	handlers := map[string]lambda.Handler{}
	for name, function := range p.Template.Functions {
		handler, err := p.function(name, function)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", name, err)
		}
		if p.Wrap != nil {
			handler = p.Wrap(name, handler)
		}
		handlers[name] = handler
	}
	return handlers, nil
}

// Sender is an address for the template's parameter SenderAddress. Without one, the scans are not
// deployed.
const Sender = "latchkey@example.test"

// RegistryService is the name of the container registry that takes Latchkey's JWTs.
const RegistryService = "container_registry"

// Parameters are those of the template with which everything is deployed. The issuer stands for
// Product.Identities.
func Parameters() map[string]string {
	return map[string]string{
		"SenderAddress": Sender, "OidcIssuer": "https://login.example.test", "OidcClientId": identities.ClientID, "CreateAccounts": "true",
		"RegistryService": RegistryService, "EventBus": "default",
	}
}

// identitiesPath is where the local cloud serves Product.Identities.
const identitiesPath = "/identities"

// NewIdentities returns the identity provider of a Product whose cloud listens at url. publicURL is
// Product.PublicURL.
func NewIdentities(url, publicURL string, c clock.Clock, people ...identities.Person) (*identities.Provider, error) {
	return identities.New(url+identitiesPath, publicURL+"/-/sign_in/callback", c, people...)
}

// Environ returns a function's environment: the template's, with the values of the deployment. A
// function gets no variable that the template does not give it.
func (p Product) Environ(function cloud.Function) []string {
	environment := maps.Clone(function.Environment)
	for _, name := range function.Deployment {
		switch name {
		case "TABLE_NAME":
			environment[name] = p.Table
		case "PEPPER":
			environment[name] = p.Pepper
		case "SCHEDULE_GROUP":
			environment[name] = "plans"
		case "LIFETIME_ROLE_ARN":
			environment[name] = cloud.ARN("iam", "role/plans")
		case "SES_CONFIGURATION_SET":
			environment[name] = "latchkey"
		case "COOKIE_KEYS":
			environment[name] = "cookies-" + p.Pepper
		case "REGISTRY_KEYS":
			environment[name] = "registry-" + p.Pepper
		}
	}
	if _, page := environment["OIDC_ISSUER"]; page && p.Identities != nil {
		environment["OIDC_ISSUER"] = p.Identities.Issuer()
	}
	environment["PUBLIC_URL"] = p.PublicURL
	if _, sends := environment["SENDER_ADDRESS"]; sends {
		environment["SCAN_ANY_TIME"] = "true"
	}
	environ := make([]string, 0, len(environment))
	for key, value := range environment {
		environ = append(environ, key+"="+value)
	}
	return environ
}

// plans returns a scheduler's client with the permissions of a function.
func (p Product) plans(function cloud.Function) *awsscheduler.Client {
	return p.Plans.Client(planner.Configure(""), func(o *awsscheduler.Options) { o.HTTPClient = function.GuardPlans(o.HTTPClient) })
}

func (p Product) function(name string, function cloud.Function) (lambda.Handler, error) {
	source := store.From(p.Client(store.Configure(""), func(o *dynamodb.Options) { o.HTTPClient = function.Guard(o.HTTPClient) }))
	switch kind := sweep.Kind(name); kind {
	case sweep.Expiring, sweep.Expired, sweep.Lifetime:
		read := config.ReadScan
		if kind == sweep.Lifetime {
			read = config.ReadLifetime
		}
		cfg, err := read(p.Environ(function))
		if err != nil {
			return nil, err
		}
		mail := p.Mail(notify.Configure(""), func(o *sesv2.Options) { o.HTTPClient = function.GuardMail(o.HTTPClient) })
		return scans.Deployment{Config: cfg, Source: source, Mail: mail, Clock: p.Clock, Log: p.Log}.Handler(kind), nil
	}
	d := compose.Deployment{Function: name, Source: source, Clock: p.Clock, Random: p.Random, Log: p.Log(name)}
	switch name {
	case "authorizer":
		cfg, err := config.ReadAuthorizer(p.Environ(function))
		d.Config = cfg.Common
		return made(err, func() lambda.Handler { return authorizer.Handler(d, cfg) })
	case "introspect":
		cfg, err := config.ReadIntrospect(p.Environ(function))
		d.Config = cfg.Common
		return made(err, func() lambda.Handler { return introspect.Handler(d, cfg) })
	case "settings":
		cfg, err := config.ReadSettings(p.Environ(function))
		d.Config = cfg.Common
		client := p.plans(function)
		return made(err, func() lambda.Handler { return settings.Handler(d, planning.Planner(cfg.Plans, client)) })
	case "web":
		cfg, err := config.ReadWeb(p.Environ(function))
		d.Config = cfg.Common
		client := p.plans(function)
		return made(err, func() lambda.Handler { return web.Handler(d, cfg, planning.Planner(cfg.Plans, client)) })
	case "registry":
		cfg, err := config.ReadRegistry(p.Environ(function))
		d.Config = cfg.Common
		return made(err, func() lambda.Handler { return registry.Handler(d, cfg) })
	case "leaks":
		cfg, err := config.ReadLeaks(p.Environ(function))
		d.Config = cfg.Common
		client := p.Queues.Client(sender.Configure(""), func(o *sqs.Options) { o.HTTPClient = function.GuardQueues(o.HTTPClient) })
		return made(err, func() lambda.Handler { return leaks.Handler(d, leaks.Queue(cfg, client)) })
	case "bounces":
		cfg, err := config.ReadBase(p.Environ(function))
		return made(err, func() lambda.Handler {
			return bounces.Deployment{Config: cfg, Source: source, Clock: p.Clock, Log: p.Log(name)}.Handler()
		})
	case "events":
		cfg, err := config.ReadEvents(p.Environ(function))
		client := p.Bus.Client(bus.Configure(""), func(o *eventbridge.Options) { o.HTTPClient = function.GuardEvents(o.HTTPClient) })
		return made(err, func() lambda.Handler { return events.Handler(cfg, client, p.Clock, p.Log(name)) })
	case "endings":
		cfg, err := config.ReadBase(p.Environ(function))
		return made(err, func() lambda.Handler { return endings.Handler(cfg, source, p.Clock, p.Log(name)) })
	case "leakmails":
		cfg, err := config.ReadLeakMails(p.Environ(function))
		mail := p.Mail(notify.Configure(""), func(o *sesv2.Options) { o.HTTPClient = function.GuardMail(o.HTTPClient) })
		return made(err, func() lambda.Handler {
			return leakmails.Deployment{Config: cfg, Source: source, Mail: mail, Clock: p.Clock, Log: p.Log(name)}.Handler()
		})
	}
	build, known := map[string]func(compose.Deployment) lambda.Handler{
		"issue": management.Issue, "revoke": management.Revoke, "tokens": management.Tokens, "directory": management.Directory,
	}[name]
	if !known {
		return nil, errors.New("not known here")
	}
	cfg, err := config.Read(p.Environ(function))
	d.Config = cfg
	return made(err, func() lambda.Handler { return build(d) })
}

// Streams returns what delivers the records of the table's stream to its function, beginning with the first.
func (p Product) Streams() cloud.Streams {
	return cloud.NewStreams(p.Template, p.Client(), p.Table, p.Queues, p.Clock)
}

func made(err error, build func() lambda.Handler) (lambda.Handler, error) {
	if err != nil {
		return nil, err
	}
	return build(), nil
}

// Run starts Latchkey on listener. requestLog receives a line for each request, and may be nil.
func (p Product) Run(ctx context.Context, listener net.Listener, requestLog *slog.Logger) (*cloud.Cloud, error) {
	if p.PublicURL == "" {
		p.PublicURL = "http://" + listener.Addr().String()
	}
	if err := p.CreateTable(ctx); err != nil {
		return nil, err
	}
	functions, err := p.Functions()
	if err != nil {
		return nil, err
	}
	pages := maps.Clone(p.Pages)
	if p.Identities != nil {
		if pages == nil {
			pages = map[string]http.Handler{}
		}
		pages[identitiesPath+"/"] = p.Identities
	}
	options := cloud.Options{
		Template: p.Template, Functions: functions, Listener: listener, Hosts: p.Hosts, Pages: pages, SampleBackend: p.SampleBackend,
		Clock: p.Clock, ScheduleLog: p.Log("schedule"), RequestLog: requestLog, Concurrency: p.Concurrency, Patience: p.Patience,
	}
	if p.Scheduled {
		options.Schedules, options.Plans, options.Queues = p.Template.Schedules, p.Plans, p.Queues
		options.Streams = p.Streams()
	}
	return cloud.Start(ctx, options)
}

// Administrator returns the bearer of a new token of the administrator called username. It makes
// the account if it does not exist. name is the token's name, and value its bearer, or "" for a
// generated one. It invokes issue as an operator does.
func Administrator(ctx context.Context, cloud *cloud.Cloud, username, name, value string) (string, error) {
	issue := cloud.Function("issue")
	token := map[string]any{
		"username": username, "name": name,
		"scopes": []string{"api", "read_api", "read_user", "self_rotate", "sudo"}, "value": value,
	}
	account := maps.Clone(token)
	account["action"], account["email"] = "create_administrator", username+"@example.test"
	var created struct {
		Token struct {
			Token string `json:"token"`
		} `json:"token"`
	}
	err := invoke(ctx, issue, account, &created)
	if err == nil {
		return created.Token.Token, nil
	}
	if !strings.Contains(err.Error(), "taken") {
		return "", err
	}
	token["action"] = "create_token"
	err = invoke(ctx, issue, token, &created.Token)
	return created.Token.Token, err
}

// Link lets a person of Product.Identities sign in as the account called username, which may be an
// administrator's. It invokes issue as an operator does.
func Link(ctx context.Context, cloud *cloud.Cloud, username string, provider *identities.Provider, subject string) error {
	return invoke(ctx, cloud.Function("issue"), map[string]any{
		"action": "link_identity", "username": username, "issuer": provider.Issuer(), "subject": subject,
	}, &struct{}{})
}

func invoke(ctx context.Context, function lambda.Handler, payload, reply any) error {
	raw, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	out, err := function.Invoke(ctx, raw)
	if err != nil {
		return fmt.Errorf("invoke: %w", err)
	}
	return json.Unmarshal(out, reply)
}
