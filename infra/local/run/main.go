// Command run starts Latchkey on this machine: `make run`.
//
// It runs the two scans, and a planned lifetime run, at their times, and /mailbox/ shows the mails.
// `-h` lists the environment variables and the files. DYNAMODB_ENDPOINT names another engine than
// the embedded one. Its data outlives the program, so the pepper is kept too. SEED makes only what
// does not exist yet, and new bearers.
//
// The screen shows a banner and then one readable line a request. The log records behind these
// lines are also written, in the format of AWS, to a file next to the file with the bearers. The
// port is part of both names, so that instances in one folder use different files.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/local"
	"latchkey/infra/local/identities"
	"latchkey/infra/local/seed"
	"latchkey/pkg/clock"
	"latchkey/pkg/settings"
	"latchkey/pkg/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C stops at once
	if err := command(ctx, os.Args[1:]); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "latchkey:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		fmt.Print(help)
		return nil
	case len(args) > 0:
		return fmt.Errorf("%q: arguments are not understood; -h lists the environment variables", args)
	}
	s, err := readSettings(os.Getenv)
	if err != nil {
		return err
	}
	return run(ctx, s)
}

const (
	// mailsKept is how many mails the mailbox page shows, and eventsKept how many events the bus keeps.
	mailsKept, eventsKept = 500, 500
	// quiet is how long a start may take before the screen shows a message.
	quiet = time.Second
	// answersWithin is how long another engine may take to answer at all.
	answersWithin = 10 * time.Second
)

func run(ctx context.Context, s options) (err error) {
	listener, err := listen(ctx, s.address, s.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	slow := time.AfterFunc(quiet, func() { fmt.Fprintln(os.Stderr, "starting…") })
	defer slow.Stop()
	parameters := local.Parameters()
	parameters["ScopesFile"] = s.scopesFile
	template, err := cloud.ReadTemplate("template.yaml", parameters)
	if err != nil {
		return fmt.Errorf("%w (start it from the folder that holds template.yaml)", err)
	}
	g := greet(s, listener)
	logFile, err := openLog(g.Log)
	if err != nil {
		return err
	}
	defer logFile.Close()
	shown := &curtain{out: os.Stdout}
	product, requests := assemble(s, template, g.URL, logFile, shown)
	if g.Engine, err = chooseEngine(ctx, s.endpoint, &product); err != nil {
		return err
	}
	if product.Identities, err = local.NewIdentities(g.URL, g.URL, product.Clock, visitors...); err != nil {
		return err
	}
	cloud, err := product.Run(ctx, listener, requests)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	if err := people(ctx, cloud, s.seed, &g); err != nil {
		return err
	}
	// A table that outlives the program may have linked root to another port's provider.
	if err := local.Link(ctx, cloud, "root", product.Identities, visitors[0].Subject); err != nil && s.endpoint == "" {
		return err
	}
	if err := os.WriteFile(g.Env, []byte(g.env()), 0o600); err != nil {
		return err
	}
	// Remove the file while the port is still taken, so that a shell cannot source it and talk to
	// whatever listens on the port next.
	defer func() { err = errors.Join(err, os.Remove(g.Env)) }()
	slow.Stop()
	// With JSON logs, standard output carries nothing else, so that a program can read it.
	greeted := os.Stdout
	if s.json {
		greeted = os.Stderr
	}
	if err := shown.open(greeted, g); err != nil {
		return err
	}
	<-ctx.Done()
	_, err = fmt.Fprintln(greeted, "\nLatchkey stopped.")
	return err
}

// assemble returns the product without an engine, and the logger of its requests or nil. Its
// functions log to file, in the format of AWS, and to shown in the format of the screen.
func assemble(s options, template *cloud.Template, url string, file, shown io.Writer) (local.Product, *slog.Logger) {
	box := mailbox.New(clock.System{}, mailsKept)
	product := local.Product{
		Template: template, Table: "latchkey", PublicURL: url, SampleBackend: s.backend,
		Mail: box.Client, Plans: cloud.NewPlans(template.Machines()), Queues: cloud.NewQueues(template, clock.System{}), Bus: cloud.NewBus(eventsKept), Scheduled: true,
		Pages: map[string]http.Handler{mailbox.PagesPath: box.Pages(), mailbox.APIPath: cloud.Signed(box.API())},
		Hosts: s.hosts,
		Clock: clock.System{}, Random: rand.Reader,
	}
	product.Pages[cloud.EventsPath] = product.Bus.Page()
	log := func(function string, screen slog.Handler) *slog.Logger {
		return slog.New(slog.NewMultiHandler(telemetry.NewLogger(file, function).Handler(), screen))
	}
	if s.json {
		product.Log = func(function string) *slog.Logger {
			return log(function, telemetry.NewLogger(shown, function).Handler())
		}
		return product, nil
	}
	screen := newScreen(shown, template.Routes)
	product.Log = func(function string) *slog.Logger {
		return log(function, screen.logger().With("function", function).Handler())
	}
	product.Wrap = screen.watch
	box.Arrived = func(mail mailbox.Mail) { screen.mail(url, mail) }
	return product, screen.logger()
}

// visitors are who can sign in to the page: the administrator, and somebody who gets an account with
// the first sign-in.
var visitors = []identities.Person{
	{Subject: "root", Claims: map[string]any{
		"name": "Root, the administrator", "preferred_username": "root", "email": "root@example.test", "email_verified": true,
	}},
	{Subject: "sam", Claims: map[string]any{
		"name": "Sam Rivers", "preferred_username": "sam", "email": "sam@example.test", "email_verified": true,
	}},
}

// people makes the administrator and, on request, the seeded accounts.
func people(ctx context.Context, cloud *cloud.Cloud, seeded bool, g *greeting) (err error) {
	now := clock.System{}.Now()
	if g.Bearer, err = local.Administrator(ctx, cloud, "root", "make run "+now.Format(time.DateTime), ""); err != nil {
		return err
	}
	if g.Admin, err = whoIs(ctx, cloud.URL(), g.Bearer); err != nil || !seeded {
		return err
	}
	bearers, err := seed.Make(ctx, cloud.URL(), g.Bearer, now.AddDate(0, 0, settings.MaxLifetimeDays).Format(time.DateOnly))
	g.World = &bearers
	return err
}

// whoIs returns the id of a bearer's owner. It is 1 on a new table.
func whoIs(ctx context.Context, url, bearer string) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v4/user", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("PRIVATE-TOKEN", bearer)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var user struct{ ID int64 }
	if err := json.NewDecoder(response.Body).Decode(&user); err != nil || response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask who the administrator is: status %d, %w", response.StatusCode, err)
	}
	return user.ID, nil
}

// A curtain holds back lines until it is opened, so that the banner comes first. The log file has
// them at once.
type curtain struct {
	out io.Writer

	mu      sync.Mutex
	visible bool
}

// open writes the banner to greeted, then the lines that were held back.
func (c *curtain) open(greeted io.Writer, g greeting) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visible = true
	var text bytes.Buffer
	if err := banner.Execute(&text, g); err != nil {
		return err
	}
	_, err := text.WriteTo(greeted)
	return err
}

func (c *curtain) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.visible {
		return len(p), nil
	}
	return c.out.Write(p)
}

func listen(ctx context.Context, address string, port int) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is in use; choose another one, as in PORT=%d make run", port, port%65535+1)
	}
	return listener, err
}

// files returns the names of an instance's files for bearers and log lines. No other instance uses
// them while this one holds the port.
func files(port int) (env, log string) {
	suffix := ""
	if port != usualPort {
		suffix = "-" + strconv.Itoa(port)
	}
	return filepath.Join(".local", "env"+suffix), filepath.Join(".local", "log"+suffix)
}

// openLog creates or empties a log file.
func openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
}

// chooseEngine points the product at the embedded engine or at the one at endpoint. An endpoint on
// this machine gets made-up credentials.
func chooseEngine(ctx context.Context, endpoint string, product *local.Product) (name string, err error) {
	if endpoint == "" {
		product.Pepper = rand.Text() + rand.Text()
		product.Client = engine.New().Client
		return "in memory, gone when Latchkey stops", nil
	}
	if product.Pepper, err = keptPepper(filepath.Join(".local", "pepper")); err != nil {
		return "", err
	}
	product.Client = func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return dynamodblocal.Client(endpoint, options...)
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") != "" || os.Getenv("AWS_PROFILE") != "" {
		aws, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return "", err
		}
		product.Client = func(options ...func(*dynamodb.Options)) *dynamodb.Client {
			first := func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint }
			return dynamodb.NewFromConfig(aws, append([]func(*dynamodb.Options){first}, options...)...)
		}
	}
	return endpoint, answers(ctx, product.Client(), product.Table, endpoint)
}

// answers asks an engine for the table, which need not exist. It shortens the SDK's error for an
// engine that does not answer, which fills three lines of a terminal.
func answers(ctx context.Context, client *dynamodb.Client, table, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	_, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	var missing *types.ResourceNotFoundException
	var refusal smithy.APIError
	var response *smithyhttp.ResponseError
	var unsent *url.Error
	switch {
	case err == nil, errors.As(err, &missing):
		return nil
	case errors.As(err, &refusal) && refusal.ErrorCode() != "UnknownError": // the SDK's code for a reply without one
		return fmt.Errorf("DYNAMODB_ENDPOINT: %s answers %s: %s", endpoint, refusal.ErrorCode(), refusal.ErrorMessage())
	case errors.As(err, &response) && response.HTTPStatusCode() != 0:
		return fmt.Errorf("DYNAMODB_ENDPOINT: %s is not DynamoDB; it answers with status %d", endpoint, response.HTTPStatusCode())
	case errors.As(err, &unsent):
		err = unsent.Err
	}
	return fmt.Errorf("DYNAMODB_ENDPOINT: no answer from %s: %w", endpoint, err)
}

func keptPepper(path string) (string, error) {
	kept, err := os.ReadFile(path)
	if err == nil {
		return string(kept), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	pepper := rand.Text() + rand.Text()
	return pepper, os.WriteFile(path, []byte(pepper), 0o600)
}
