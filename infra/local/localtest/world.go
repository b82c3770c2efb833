// Package localtest starts all of Latchkey for a test: the functions behind the local gateway, on a
// DynamoDB, with a clock that stands still.
//
// Start with Start. A World promises isolation: each has its own table, listener, clock and logs.
// At the end of the test it searches all logs for bearers, digests and mail addresses that Latchkey
// issued or received, and fails if it finds one. It also delivers the table's stream, holds each event
// for other systems to its schema, and searches the events, too.
//
// The table is in the embedded engine, which costs a test next to nothing. The tests of pkg/store
// hold that engine to DynamoDB Local. A test binary with the flag -dynamodb-local has all its Worlds
// there.
package localtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/local"
	"latchkey/infra/local/identities"
	"latchkey/pkg/clock"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/telemetry/telemetrytest"
)

// Now is where a World's clock starts: in the middle of a UTC day.
var Now = time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC)

// AdminBearer is the first administrator's bearer. It is chosen, so that samples can name it.
const AdminBearer = "token-string-here123"

// Pepper is a World's key for digests.
const Pepper = "pepperpepperpepperpepperpepperpepperpepperpepper"

// Signature is an Authorization for the Invoke API.
const Signature = "AWS4-HMAC-SHA256 local"

// mailsKept is more than any test sends, and eventsKept more than any has.
const mailsKept, eventsKept = 100_000, 100_000

// A World is a running Latchkey.
type World struct {
	URL   string
	Clock *clock.Fake
	// Logs hold everything that the functions and the gateway logged.
	Logs *telemetrytest.Logs
	// Functions are the handlers by name, for direct invocation.
	Functions map[string]lambda.Handler
	// Engine is a client without the restrictions of a function.
	Engine *dynamodb.Client
	Table  string
	Cloud  *cloud.Cloud
	// Mailbox holds the mails that were sent, unless Options.Mail replaces it.
	Mailbox *mailbox.Mailbox
	// Identities sign people in to the page. At first they know nobody.
	Identities *identities.Provider
	// Plans hold the runs that Latchkey has planned. Start them with RunPlans.
	Plans *cloud.Plans
	// Queues hold the messages that Latchkey has sent. Deliver them with RunQueues.
	Queues *cloud.Queues
	// Bus holds the events about tokens for other systems. Deliver them with RunStream.
	Bus *cloud.Bus

	product local.Product
	streams cloud.Streams
}

var onDynamoDBLocal = flag.Bool("dynamodb-local", false, "keep the tables of worlds in DynamoDB Local, not in the embedded engine")

// Options configure a World.
type Options struct {
	// Client makes the clients of the engine, by default those of an embedded engine.
	Client func(options ...func(*dynamodb.Options)) *dynamodb.Client
	// Mail makes the clients of the mail service, by default the World's Mailbox.
	Mail func(options ...func(*sesv2.Options)) *sesv2.Client
	// Random yields secrets, by default from crypto/rand.
	Random io.Reader
	// Parameters override the template's defaults. Without them, throttles are off, because the
	// clock of a test stands still.
	Parameters map[string]string
	// PublicURL is the address in replies, by default the World's own.
	PublicURL string
	// Concurrency imitates the limits of an account with this quota and the throttles of methods; 0
	// imitates none.
	Concurrency int
	// Patient says that a request may take as long as a busy machine needs.
	Patient bool
}

// Endpoint returns the address of an engine for Worlds whose way there leads through something of the
// test's: an embedded one, which ends with the test.
func Endpoint(tb testing.TB) string {
	tb.Helper()
	if *onDynamoDBLocal {
		return storetest.Endpoint(tb)
	}
	server := httptest.NewServer(engine.New())
	tb.Cleanup(server.Close)
	return server.URL
}

// Client returns Options.Client for a World whose clients the test changes, on an engine without tables.
func Client(tb testing.TB) func(options ...func(*dynamodb.Options)) *dynamodb.Client {
	tb.Helper()
	if *onDynamoDBLocal {
		return DynamoDBLocal(tb)
	}
	return engine.New().Client
}

// patience is longer than any machine needs.
const patience = 15 * time.Minute

// Patient waits for the engine as long as a busy machine may need. It comes before all other options.
func Patient(o *dynamodb.Options) {
	o.HTTPClient = &http.Client{Transport: awshttp.NewBuildableClient().GetTransport(), Timeout: patience}
}

// DynamoDBLocal returns Options.Client for a table in the test binary's DynamoDB Local.
func DynamoDBLocal(tb testing.TB) func(options ...func(*dynamodb.Options)) *dynamodb.Client {
	tb.Helper()
	endpoint := storetest.Endpoint(tb)
	return func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return dynamodblocal.Client(endpoint, append([]func(*dynamodb.Options){Patient}, options...)...)
	}
}

// begun is an engine with nothing but the first administrator in it, as every World begins whose Options
// leave that to chance and to the template's defaults. The first such World puts it here, and the others
// begin with a copy.
var begun atomic.Pointer[engine.Engine]

// Start starts Latchkey with one administrator, `root` with the id 1, whose bearer AdminBearer has
// every scope that an administrator may have.
func Start(tb testing.TB, o Options) *World {
	tb.Helper()
	template, err := readTemplate(o.Parameters)
	check(tb, err)
	w := &World{Clock: clock.NewFake(Now), Logs: telemetrytest.NewLogs(tb), Table: "t" + rand.Text()}
	embedded, beginning := engine.New(), begun.Load()
	ordinary := o.Client == nil && o.Random == nil && len(o.Parameters) == 0 && !*onDynamoDBLocal
	copied, checked := ordinary && beginning != nil, o.Client == nil
	if ordinary {
		w.Table = "latchkey"
	}
	if copied {
		embedded = beginning.Clone()
	}
	if o.Client == nil {
		o.Client = embedded.Client
		if *onDynamoDBLocal {
			o.Client = DynamoDBLocal(tb)
		}
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	w.Engine = o.Client()
	w.Logs.Secret(AdminBearer)
	w.Mailbox = mailbox.New(w.Clock, mailsKept)
	w.Plans, w.Queues = cloud.NewPlans(template.Machines()), cloud.NewQueues(template, w.Clock)
	w.Bus = cloud.NewBus(eventsKept)
	if o.Mail == nil {
		o.Mail = w.Mailbox.Client
	}
	product := local.Product{
		Template: template, Client: o.Client, Mail: o.Mail, Table: w.Table, Plans: w.Plans, Queues: w.Queues, Bus: w.Bus, Concurrency: o.Concurrency, Pepper: Pepper,
		Clock: w.Clock, Random: o.Random,
		Log: func(function string) *slog.Logger { return telemetry.NewLogger(w.Logs, function) },
	}
	if o.Patient {
		product.Patience = patience
	}
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	check(tb, err)
	w.URL = "http://" + listener.Addr().String()
	product.PublicURL = cmp.Or(o.PublicURL, w.URL)
	w.Identities, err = local.NewIdentities(w.URL, product.PublicURL, w.Clock)
	check(tb, err)
	product.Identities = w.Identities
	w.Functions, err = product.Functions() // instances of their own, not those behind the gateway
	check(tb, err)
	w.Cloud, err = product.Run(tb.Context(), listener, slog.New(slog.NewJSONHandler(w.Logs, nil)))
	check(tb, err)
	w.product, w.streams = product, product.Streams()
	tb.Cleanup(func() {
		check(tb, w.Cloud.Close())
		if checked { // not through clients that a test lets fail
			w.checkEvents(tb)
		}
		_, _ = w.Engine.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &w.Table})
	})
	if !copied {
		_, err = local.Administrator(tb.Context(), w.Cloud, "root", "first token", AdminBearer)
		check(tb, err)
	}
	if ordinary && !copied {
		begun.CompareAndSwap(nil, embedded.Clone())
	}
	return w
}

// Beside starts the functions of w once more, with another pepper and on the same table. Between two
// deployments, functions that were updated answer beside functions that were not.
func (w *World) Beside(tb testing.TB, pepper string) *World {
	tb.Helper()
	other := *w
	other.product.Pepper = pepper
	return other.start(tb)
}

// start starts the functions of a World that differs from a running one.
func (w World) start(tb testing.TB) *World {
	tb.Helper()
	other := &w
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	check(tb, err)
	other.URL = "http://" + listener.Addr().String()
	other.Functions, err = other.product.Functions()
	check(tb, err)
	other.Cloud, err = other.product.Run(tb.Context(), listener, slog.New(slog.NewJSONHandler(w.Logs, nil)))
	check(tb, err)
	tb.Cleanup(func() { check(tb, other.Cloud.Close()) })
	return other
}

// Copy copies the table as it is now, as a restore does, and returns the name of the copy.
func (w *World) Copy(tb testing.TB) (table string) {
	tb.Helper()
	copied := *w
	copied.product.Table = "t" + rand.Text()
	check(tb, copied.product.CreateTable(tb.Context()))
	pages := dynamodb.NewScanPaginator(w.Engine, &dynamodb.ScanInput{TableName: &w.Table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		check(tb, err)
		for _, item := range page.Items {
			_, err := w.Engine.PutItem(tb.Context(), &dynamodb.PutItemInput{TableName: &copied.product.Table, Item: item})
			check(tb, err)
		}
	}
	tb.Cleanup(func() {
		_, _ = w.Engine.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &copied.product.Table})
	})
	return copied.product.Table
}

// Restored starts Latchkey on a Copy, with the table of w as the old one.
func (w *World) Restored(tb testing.TB, table string) *World {
	tb.Helper()
	other := *w
	template, err := readTemplate(map[string]string{"OldTable": w.Table})
	check(tb, err)
	other.Table, other.product.Table, other.product.Template = table, table, template
	other.streams = other.product.Streams()
	return other.start(tb)
}

var templates sync.Map // by parameters; nobody changes one

// readTemplate reads the template with these parameters, once.
func readTemplate(given map[string]string) (*cloud.Template, error) {
	parameters := local.Parameters()
	maps.Copy(parameters, map[string]string{
		"WrongBearersPerMinute": "0", "CreationsPerMinute": "0", "LeakReportsPerMinute": "0", "SignInsPerMinute": "0",
	})
	maps.Copy(parameters, given)
	key := fmt.Sprint(parameters) // in the order of the names
	if read, found := templates.Load(key); found {
		return read.(*cloud.Template), nil
	}
	table, err := tabledef.Path()
	if err != nil {
		return nil, err
	}
	read, err := cloud.ReadTemplate(filepath.Join(filepath.Dir(table), "..", "template.yaml"), parameters)
	if err == nil {
		templates.Store(key, read)
	}
	return read, err
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// RunPlans runs the plans that are due now, as the scheduler and the state machine would, and
// returns the last reply of each run.
func (w *World) RunPlans(tb testing.TB) (replies []string) {
	tb.Helper()
	for _, plan := range w.Plans.Take(w.Clock.Now()) {
		const enough = 100
		for again := 1; ; again++ {
			out, err := w.Functions[plan.Function].Invoke(tb.Context(), []byte(plan.Payload))
			check(tb, err)
			if strings.Contains(string(out), `"done":true`) {
				replies = append(replies, string(out))
				break
			}
			if again == enough {
				tb.Fatalf("%s is not done: %s", plan.Function, out)
			}
		}
	}
	return replies
}

// RunQueues delivers the messages that are due now, as the event source mappings would, and returns how
// many deliveries succeeded and failed.
func (w *World) RunQueues(tb testing.TB) (delivered, failed int) {
	tb.Helper()
	return w.Queues.Deliver(tb.Context(), w.Functions, nil)
}

// ReplayStream delivers all records from the first, as after a failure that lost how far the mapping was.
func (w *World) ReplayStream(tb testing.TB) (delivered, failed int) {
	tb.Helper()
	w.streams = w.product.Streams()
	return w.RunStream(tb)
}

// RunStream delivers the records of the table's stream, as the event source mapping would, and returns how
// many were delivered and how many deliveries failed.
func (w *World) RunStream(tb testing.TB) (delivered, failed int) {
	tb.Helper()
	delivered, failed, err := w.streams.Deliver(tb.Context(), w.Functions, nil)
	check(tb, err)
	return delivered, failed
}

// A Reply is an HTTP reply whose body has been read.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request with a bearer ("" for none). body is JSON, or "" for none.
func (w *World) Do(tb testing.TB, bearer, method, path, body string) Reply {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), method, w.URL+path, strings.NewReader(body))
	check(tb, err)
	if bearer != "" {
		request.Header.Set("PRIVATE-TOKEN", bearer)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return w.Send(tb, request)
}

// Send sends a request with its path unchanged, and does not follow redirects.
func (w *World) Send(tb testing.TB, request *http.Request) Reply {
	tb.Helper()
	response, err := http.DefaultTransport.RoundTrip(request)
	check(tb, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(tb, err)
	return Reply{response.StatusCode, response.Header, string(body)}
}
