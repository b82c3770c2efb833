package storetest

import (
	"bytes"
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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/pkg/store"
)

// maxRetryDelay limits the SDK's pauses between attempts, which would grow to seconds.
const maxRetryDelay = time.Millisecond

// patience is how long an attempt may take, on whatever machine.
const patience = 5 * time.Minute

// A Proxy stands between a client and a real engine. It counts requests and breaks some of them on
// request. The engine does all other work, so a test sees what was committed. It is safe for
// concurrent use.
type Proxy struct {
	server   *httptest.Server
	endpoint string
	closing  chan struct{} // closed when the test ends, to free exchanges that hang

	mu       sync.Mutex
	rule     Rule
	seen     map[string]int                     // since the last Fail
	requests []Request                          // since the last Reset
	attempts map[string]context.CancelCauseFunc // of impatient clients, by their headerAttempt
}

// A Request is one HTTP request that reached the proxy. The SDK's retries are separate requests.
type Request struct {
	Operation string // "GetItem"
	Body      []byte // JSON
}

// A Rule picks the action for the n-th request of an operation, counted from 1 since Fail.
type Rule func(operation string, n int) Action

// An Action handles one request. The nil Action passes it on.
type Action func(*Exchange)

// An Exchange is one request on its way through the proxy. Actions can pass it to each other.
type Exchange struct {
	proxy *Proxy
	w     http.ResponseWriter
	r     *http.Request
	body  []byte
}

// NewProxy starts a proxy in front of the engine at endpoint (see Endpoint). It ends with the test.
func NewProxy(tb testing.TB, endpoint string) *Proxy {
	tb.Helper()
	p := &Proxy{
		endpoint: endpoint, closing: make(chan struct{}),
		seen: map[string]int{}, attempts: map[string]context.CancelCauseFunc{},
	}
	p.server = httptest.NewServer(p)
	tb.Cleanup(func() {
		close(p.closing)
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// Endpoint returns the proxy's base URL.
func (p *Proxy) Endpoint() string { return p.server.URL }

// Client returns a client with the retries of production, but hardly a pause between them, and with
// patience for a busy machine. options run last. Every client has its own retry budget, so a test
// that breaks many requests uses a new client for each case.
func (p *Proxy) Client(options ...func(*dynamodb.Options)) *dynamodb.Client {
	base := dynamodblocal.Client(p.Endpoint()).Options()
	base.RetryMaxAttempts, base.Retryer = 0, nil
	return dynamodb.New(base, append([]func(*dynamodb.Options){store.Configure(""), func(o *dynamodb.Options) {
		o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, maxRetryDelay)
		o.HTTPClient = awshttp.NewBuildableClient().WithTimeout(patience)
	}}, options...)...)
}

// AsDeployed is an option for Client that gives up an attempt as soon as in production.
func AsDeployed(o *dynamodb.Options) {
	o.HTTPClient = awshttp.NewBuildableClient()
	store.Configure("")(o)
}

// Fail breaks requests by rule from now on; nil passes everything.
func (p *Proxy) Fail(rule Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule, p.seen = rule, map[string]int{}
}

// Reset forgets the requests so far. The rule stays.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// Impatient is an option for Client that times an attempt out as soon as the proxy lets it hang.
// However busy the machine is, no other attempt times out.
func (p *Proxy) Impatient(o *dynamodb.Options) { o.HTTPClient = impatient{p} }

type impatient struct{ *Proxy }

// headerAttempt names an attempt of an impatient client.
const headerAttempt = "Test-Attempt"

func (p impatient) Do(r *http.Request) (*http.Response, error) {
	name := rand.Text()
	ctx, giveUp := context.WithCancelCause(r.Context())
	p.mu.Lock()
	p.attempts[name] = giveUp
	p.mu.Unlock()
	r = r.WithContext(ctx)
	r.Header.Set(headerAttempt, name)
	response, err := http.DefaultClient.Do(r)
	if errors.Is(context.Cause(ctx), os.ErrDeadlineExceeded) {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: os.ErrDeadlineExceeded}
	}
	return response, err
}

// Counts returns the number of requests by operation since the last Reset.
func (p *Proxy) Counts() map[string]int {
	counts := map[string]int{}
	for _, r := range p.Requests() {
		counts[r.Operation]++
	}
	return counts
}

// Requests returns the requests since the last Reset, in the order of their arrival.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	x := &Exchange{proxy: p, w: w, r: r, body: body}
	if action := p.pick(operation, body); action != nil {
		action(x)
		return
	}
	x.pass()
}

func (p *Proxy) pick(operation string, body []byte) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, Request{operation, body})
	p.seen[operation]++
	if p.rule == nil {
		return nil
	}
	return p.rule(operation, p.seen[operation])
}

// forward passes body to the engine even after the client has given up, so that the request is
// committed.
func (x *Exchange) forward(body []byte) (int, http.Header, []byte) {
	request, err := http.NewRequest(x.r.Method, x.proxy.endpoint, bytes.NewReader(body)) //nolint:noctx // see above
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request.Header = x.r.Header.Clone()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(response.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return response.StatusCode, response.Header, reply
}

func (x *Exchange) answer(status int, header http.Header, reply []byte) {
	maps.Copy(x.w.Header(), header)
	x.w.Header().Set("Content-Length", fmt.Sprint(len(reply)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(reply) // the client has gone
}

func (x *Exchange) pass() { x.answer(x.forward(x.body)) }

// hang keeps the client waiting until it gives up, which an impatient one does at once.
func (x *Exchange) hang() {
	x.proxy.mu.Lock()
	giveUp := x.proxy.attempts[x.r.Header.Get(headerAttempt)]
	x.proxy.mu.Unlock()
	if giveUp != nil {
		giveUp(os.ErrDeadlineExceeded)
	}
	select {
	case <-x.r.Context().Done():
	case <-x.proxy.closing:
	}
}

// LoseRequest drops the connection before the engine has seen the request.
func LoseRequest(*Exchange) { panic(http.ErrAbortHandler) }

// LoseReply lets the engine do its work and drops the connection before the first byte of the reply.
func LoseReply(x *Exchange) {
	x.forward(x.body)
	panic(http.ErrAbortHandler)
}

// CutReply lets the engine do its work and drops the connection in the middle of the reply.
func CutReply(x *Exchange) {
	status, header, reply := x.forward(x.body)
	maps.Copy(x.w.Header(), header)
	x.w.Header().Set("Content-Length", fmt.Sprint(len(reply)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(reply[:len(reply)/2])
	panic(http.ErrAbortHandler)
}

// HangBefore keeps the client waiting until it gives up. The engine never sees the request.
func HangBefore(x *Exchange) {
	x.hang()
	panic(http.ErrAbortHandler)
}

// HangAfter lets the engine do its work and keeps the client waiting until it gives up.
func HangAfter(x *Exchange) {
	x.forward(x.body)
	x.hang()
	panic(http.ErrAbortHandler)
}

// Arrive passes the request to the engine after the client has given up.
func Arrive(x *Exchange) {
	x.hang()
	x.forward(x.body)
	panic(http.ErrAbortHandler)
}

// Answer replies with status and body instead of the engine.
func Answer(status int, body string) Action {
	return func(x *Exchange) {
		x.answer(status, http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, []byte(body))
	}
}

// AnswerInstead lets the engine do its work and replaces its reply.
func AnswerInstead(status int, body string) Action {
	return func(x *Exchange) {
		x.forward(x.body)
		Answer(status, body)(x)
	}
}

// Refuse replies with an error of the service, such as ThrottlingException, instead of the engine.
func Refuse(code, message string) Action {
	return Answer(http.StatusBadRequest, marshal(map[string]any{
		"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": message,
	}))
}

// Cancel replies that a transaction was cancelled, with one reason for each item. "None" is the
// code of an item without a fault.
func Cancel(codes ...string) Action {
	reasons := make([]map[string]any, len(codes))
	for i, code := range codes {
		reasons[i] = map[string]any{"Code": code}
	}
	return Answer(http.StatusBadRequest, marshal(map[string]any{
		"__type":              "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
		"Message":             "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		"CancellationReasons": reasons,
	}))
}

// LeaveUnread lets a BatchGetItem for one table read only its first keys, as an engine without
// capacity does, and returns the others as unprocessed.
func LeaveUnread(read int) Action {
	return func(x *Exchange) {
		var request map[string]any
		if err := json.Unmarshal(x.body, &request); err != nil {
			panic(err)
		}
		for table, asked := range request["RequestItems"].(map[string]any) {
			asked := asked.(map[string]any)
			keys := asked["Keys"].([]any)
			first, rest := keys[:min(read, len(keys))], keys[min(read, len(keys)):]
			reply := map[string]any{"Responses": map[string]any{table: []any{}}, "UnprocessedKeys": map[string]any{}}
			if len(first) > 0 {
				asked["Keys"] = first
				_, _, raw := x.forward([]byte(marshal(request)))
				if err := json.Unmarshal(raw, &reply); err != nil {
					panic(err)
				}
			}
			if len(rest) > 0 {
				asked["Keys"] = rest
				reply["UnprocessedKeys"] = map[string]any{table: asked}
			}
			Answer(http.StatusOK, marshal(reply))(x)
			return
		}
	}
}

// PageBy sets the limit of a Query or Scan, so that few items make several pages.
func PageBy(limit int) Action {
	return func(x *Exchange) {
		var request map[string]any
		if err := json.Unmarshal(x.body, &request); err != nil {
			panic(err)
		}
		request["Limit"] = limit
		x.answer(x.forward([]byte(marshal(request))))
	}
}

// After lets the engine do its work, runs work and loses the reply.
func After(work func()) Action {
	return func(x *Exchange) {
		x.forward(x.body)
		work()
		panic(http.ErrAbortHandler)
	}
}

// Meanwhile runs work before the request goes on, for a change between two requests.
func Meanwhile(work func()) Action {
	return func(x *Exchange) {
		work()
		x.pass()
	}
}

// On applies action to every request of operation.
func On(operation string, action Action) Rule {
	return func(op string, _ int) Action {
		if op == operation {
			return action
		}
		return nil
	}
}

// First applies actions to the first requests of operation, one each.
func First(operation string, actions ...Action) Rule {
	return func(op string, n int) Action {
		if op == operation && n <= len(actions) {
			return actions[n-1]
		}
		return nil
	}
}

// Always applies action to every request.
func Always(action Action) Rule {
	return func(string, int) Action { return action }
}

func marshal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
