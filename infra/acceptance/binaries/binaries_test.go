//go:build acceptance

package binaries_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/cloud/runtime"
	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/local"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
	"latchkey/pkg/store/storetest"
)

// Breaks if what is deployed does not do what the tests of the handlers say: because of the environment or the
// permissions of the template, or because of what only a process has.
func TestBinariesAnswerEverySample(t *testing.T) {
	t.Parallel()
	root := localtest.Root(t)
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", "lambda.norpc", "-o", folder+"/", "./functions/...")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	parameters := local.Parameters()
	maps.Copy(parameters, map[string]string{"WrongBearersPerMinute": "0", "CreationsPerMinute": "0", "LeakReportsPerMinute": "0", "SignInsPerMinute": "0"})
	template, err := cloud.ReadTemplate(filepath.Join(root, "template.yaml"), parameters)
	check(t, err)
	for name := range template.Functions {
		samples, err := filepath.Glob(filepath.Join(root, "events", name, "*.json"))
		check(t, err)
		if len(samples) == 0 {
			t.Errorf("%s has no sample events", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, template, folder, name)
			for _, sample := range samples {
				golden := filepath.Join(root, "infra", "local", "e2e", "testdata", "golden", name, filepath.Base(sample))
				d.answers(t, sample, golden)
			}
		})
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A deployment is one function with a table of its own.
type deployment struct {
	binary  string
	environ []string
	client  *dynamodb.Client
	bus     *cloud.Bus
	table   string
	items   []map[string]types.AttributeValue // as every sample finds the table
}

// region and key are those of the tests' client, because DynamoDB Local keeps separate tables for each.
var account = []string{"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=latchkey", "AWS_SECRET_ACCESS_KEY=latchkey"}

func deploy(t *testing.T, template *cloud.Template, folder, name string) *deployment {
	t.Helper()
	d := &deployment{binary: filepath.Join(folder, name), client: localtest.DynamoDBLocal(t)(), bus: cloud.NewBus(keptEvents), table: "binaries-" + name + "-" + rand.Text()}
	mails := mailbox.New(clock.System{}, 1000)
	plans, queues := cloud.NewPlans(template.Machines()), cloud.NewQueues(template, clock.System{})
	product := local.Product{Table: d.table, Pepper: strings.Repeat("pepper", 8), PublicURL: "https://tokens.example.test"}
	definition, err := tabledef.Path()
	check(t, err)
	check(t, tabledef.Create(t.Context(), d.client, definition, d.table))
	t.Cleanup(func() {
		_, _ = d.client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &d.table})
	})

	engine, err := url.Parse(storetest.Endpoint(t))
	check(t, err)
	environ := func(function cloud.Function) []string {
		return append(product.Environ(function), append([]string{
			"DYNAMODB_ENDPOINT=" + behind(t, function.Guard(toEngine{engine})),
			"SES_ENDPOINT=" + behind(t, function.GuardMail(inProcess{mails.API()})),
			"SCHEDULER_ENDPOINT=" + behind(t, function.GuardPlans(inProcess{plans})),
			"SQS_ENDPOINT=" + behind(t, function.GuardQueues(inProcess{queues})),
			"EVENTBRIDGE_ENDPOINT=" + behind(t, function.GuardEvents(inProcess{d.bus})),
		}, account...)...)
	}
	d.environ = environ(template.Functions[name])
	first := invoke(t, filepath.Join(folder, "issue"), environ(template.Functions["issue"]), fmt.Appendf(nil,
		`{"action":"create_administrator","username":"root","email":"root@example.test","name":"first token","scopes":["api","read_api","read_user","self_rotate","sudo"],"value":%q}`,
		localtest.AdminBearer))
	if !bytes.Contains(first, []byte(localtest.AdminBearer)) {
		t.Fatalf("the first administrator: %s", first)
	}
	d.items = d.scan(t)
	return d
}

func invoke(t *testing.T, binary string, environ []string, payload []byte) []byte {
	t.Helper()
	instance, err := runtime.Start(t.Context(), binary, environ)
	check(t, err)
	defer instance.Stop()
	out, err := instance.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatalf("%v; it printed %s", err, instance.Output())
	}
	return out
}

// answers compares a function's answers to a sample, cold and warm, with what its handler answers.
func (d *deployment) answers(t *testing.T, sample, golden string) {
	t.Helper()
	payload, err := os.ReadFile(sample)
	check(t, err)
	raw, err := os.ReadFile(golden)
	check(t, err)
	want, told := expectation(t, raw)
	instance, err := runtime.Start(t.Context(), d.binary, d.environ)
	check(t, err)
	defer instance.Stop()
	for _, state := range []string{"cold", "warm"} {
		d.reset(t)
		before := len(d.bus.Events())
		out, err := instance.Invoke(t.Context(), shifted(payload))
		var types []string
		for _, event := range d.bus.Events()[before:] {
			types = append(types, event.DetailType)
		}
		if !slices.Equal(types, told) {
			t.Errorf("%s, %s: the bus is told %q, want %q", filepath.Base(sample), state, types, told)
		}
		if fault := differs(out, err, want); fault != "" {
			t.Errorf("%s, %s: %s; it printed %s", filepath.Base(sample), state, fault, instance.Output())
		}
	}
	if strings.Contains(instance.Output(), localtest.AdminBearer) {
		t.Errorf("%s: the bearer was logged", filepath.Base(sample))
	}
}

// keptEvents are more than all samples of a function put on the bus.
const keptEvents = 1000

// expectation returns the reply of a golden file, and the types of the events that the bus is told.
func expectation(t *testing.T, golden []byte) (reply []byte, told []string) {
	t.Helper()
	var both struct {
		Reply  json.RawMessage
		Events []struct{ Type string }
	}
	check(t, json.Unmarshal(golden, &both))
	if both.Events == nil {
		return golden, nil
	}
	for _, event := range both.Events {
		told = append(told, event.Type)
	}
	return both.Reply, told
}

var day = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}`)

// shifted moves the days of a sample, which are near those of localtest.Now, to the same distance from today.
func shifted(payload []byte) []byte {
	const whole = 24 * time.Hour
	days := int(clock.System{}.Now().Truncate(whole).Sub(localtest.Now.Truncate(whole)) / whole)
	return day.ReplaceAllFunc(payload, func(written []byte) []byte {
		parsed, err := time.Parse(time.DateOnly, string(written))
		if err != nil {
			return written
		}
		return []byte(parsed.AddDate(0, 0, days).Format(time.DateOnly))
	})
}

// differs says how an answer differs from a golden file in what does not depend on day and chance: the status and the
// names of the reply's fields, or the error.
func differs(out []byte, failure error, golden []byte) string {
	var want struct {
		ErrorMessage, ErrorType string
		StatusCode              int
	}
	if err := json.Unmarshal(golden, &want); err != nil {
		return "golden file: " + err.Error()
	}
	if reported := (*runtime.Failure)(nil); want.ErrorMessage != "" {
		if !errors.As(failure, &reported) || reported.Message != want.ErrorMessage || want.ErrorType != "" && reported.Type != want.ErrorType {
			return fmt.Sprintf("ends with %v and not with %s", failure, want.ErrorMessage)
		}
		return ""
	}
	if failure != nil {
		return failure.Error()
	}
	var got, expected map[string]any
	if err := errors.Join(json.Unmarshal(out, &got), json.Unmarshal(golden, &expected)); err != nil {
		return fmt.Sprintf("answers %s (%v)", out, err)
	}
	if want.StatusCode != 0 {
		if got["statusCode"] != float64(want.StatusCode) {
			return fmt.Sprintf("answers %s, want status %d", out, want.StatusCode)
		}
		return ""
	}
	if !reflect.DeepEqual(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(expected))) ||
		got["isAuthorized"] != expected["isAuthorized"] || !reflect.DeepEqual(got["policyDocument"], expected["policyDocument"]) {
		return fmt.Sprintf("answers %s, want %s", out, golden)
	}
	return ""
}

func (d *deployment) scan(t *testing.T) []map[string]types.AttributeValue {
	t.Helper()
	out, err := d.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &d.table, ConsistentRead: aws.Bool(true)})
	check(t, err)
	return out.Items
}

// reset takes the table back to where every sample begins.
func (d *deployment) reset(t *testing.T) {
	t.Helper()
	var writes []types.WriteRequest
	for _, item := range d.scan(t) {
		key := map[string]types.AttributeValue{"pk": item["pk"], "sk": item["sk"]}
		if !slices.ContainsFunc(d.items, func(kept map[string]types.AttributeValue) bool {
			return reflect.DeepEqual(kept["pk"], key["pk"]) && reflect.DeepEqual(kept["sk"], key["sk"])
		}) {
			writes = append(writes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key}})
		}
	}
	for _, item := range d.items {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: item}})
	}
	for page := range slices.Chunk(writes, 25) { // BatchWriteItem: 25 items
		out, err := d.client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{d.table: page}})
		check(t, err)
		if len(out.UnprocessedItems) > 0 {
			t.Fatal("the engine left items unwritten")
		}
	}
}

// A doer is what the guards of the local cloud take and are.
type doer interface {
	Do(r *http.Request) (*http.Response, error)
}

// behind serves requests of a process by a client of this process, and returns the address.
func behind(t *testing.T, client doer) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", cmp.Or(r.URL.Host, r.Host), ""
		reply, err := client.Do(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = reply.Body.Close() }()
		maps.Copy(w.Header(), reply.Header)
		w.WriteHeader(reply.StatusCode)
		_, _ = io.Copy(w, reply.Body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// toEngine sends requests on to the engine.
type toEngine struct{ engine *url.URL }

func (e toEngine) Do(r *http.Request) (*http.Response, error) {
	r.URL.Host = e.engine.Host
	return http.DefaultTransport.RoundTrip(r)
}

// inProcess hands requests to what imitates another service.
type inProcess struct{ service http.Handler }

var services sync.Mutex // one at a time is enough, and the services need not be asked

func (p inProcess) Do(r *http.Request) (*http.Response, error) {
	services.Lock()
	defer services.Unlock()
	recorder := httptest.NewRecorder()
	p.service.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}
