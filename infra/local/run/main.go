// Command run starts Latchkey on this machine: `make run`.
//
// The two scans, and the lifetime run where one was planned, run at their times
// while it runs, and /mailbox/ shows what they sent. What it can be told, and
// which files it writes, is in help. DYNAMODB_ENDPOINT names another engine than
// the embedded one; what it holds then outlives the program, so the pepper does
// too. SEED makes only what is not there already, and new bearers.
//
// On the screen there is the banner and then a readable line a request. The
// records that these are made of are also written as they are in AWS, into a file
// beside that with the bearers. The names of both carry the port, so that two
// instances in one folder do not take them from each other; nobody else can hold
// the port while this one does.
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
	"latchkey/infra/local/seed"
	"latchkey/pkg/clock"
	"latchkey/pkg/settings"
	"latchkey/pkg/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
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
	// mailsKept is how many mails the mailbox page shows.
	mailsKept = 500
	// quiet is how long a start takes before something is said about it.
	quiet = time.Second
	// answersWithin is how long another engine may take to answer at all.
	answersWithin = 10 * time.Second
)

func run(ctx context.Context, s options) (err error) {
	listener, err := listen(ctx, s.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	slow := time.AfterFunc(quiet, func() { fmt.Fprintln(os.Stderr, "starting…") })
	defer slow.Stop()
	template, err := cloud.ReadTemplate("template.yaml", map[string]string{"SenderAddress": local.Sender, "ScopesFile": s.scopesFile})
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
	cloud, err := product.Run(ctx, listener, requests)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	if err := people(ctx, cloud, s.seed, &g); err != nil {
		return err
	}
	if err := os.WriteFile(g.Env, []byte(g.env()), 0o600); err != nil {
		return err
	}
	// Somebody who sources the file later would talk to nobody, or to whoever has the port next. It goes
	// while the port is still taken, so it cannot be the next one's.
	defer func() { err = errors.Join(err, os.Remove(g.Env)) }()
	slow.Stop()
	// In JSON there is nothing else on standard output, for a program that reads it.
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

// assemble returns the product without an engine, and the logger of its requests or nil. Its functions
// log as they do in AWS to file, and to shown what s wants to see there.
func assemble(s options, template *cloud.Template, url string, file, shown io.Writer) (local.Product, *slog.Logger) {
	box := mailbox.New(clock.System{}, mailsKept)
	product := local.Product{
		Template: template, Table: "latchkey", PublicURL: url, SampleBackend: s.backend,
		Mail: box.Client, Plans: cloud.NewPlans(template.Machines()), Scheduled: true,
		Pages: map[string]http.Handler{mailbox.PagesPath: box.Pages(), mailbox.APIPath: box.API()},
		Clock: clock.System{}, Random: rand.Reader,
	}
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

// people makes the administrator, and the small world if it is wanted.
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

// whoIs returns the id of a bearer's owner. It is 1 unless the table is older than this.
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

// A curtain hides what is written before it is opened, so that the banner comes first. The log file
// has it all.
type curtain struct {
	out io.Writer

	mu      sync.Mutex
	visible bool
}

// open writes the banner to greeted. What is written meanwhile waits.
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

// Write implements io.Writer.
func (c *curtain) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.visible {
		return len(p), nil
	}
	return c.out.Write(p)
}

func listen(ctx context.Context, port int) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is in use; choose another one, as in PORT=%d make run", port, port%65535+1)
	}
	return listener, err
}

// files names the files of an instance: of bearers and of log lines. They are its own for as long as it
// holds the port.
func files(port int) (env, log string) {
	suffix := ""
	if port != usualPort {
		suffix = "-" + strconv.Itoa(port)
	}
	return filepath.Join(".local", "env"+suffix), filepath.Join(".local", "log"+suffix)
}

// openLog empties a log file, or makes it.
func openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
}

// chooseEngine points the product at the embedded engine or at the one that
// answers at endpoint, with credentials that are made up unless the
// endpoint is not on this machine.
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

// answers asks an engine for the table, which need not be there. What the SDK says of an engine that
// is not there fills three lines of a terminal.
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
	case errors.As(err, &refusal) && refusal.ErrorCode() != "UnknownError": // the SDK's word for none
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
