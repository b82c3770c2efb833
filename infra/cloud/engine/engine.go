// Package engine is an embedded DynamoDB. It answers the DynamoDB API in process and in memory,
// without a socket, another program or an AWS account. `make run` keeps its table in one.
//
// Start with New; Client returns a real SDK client whose requests reach the engine without a
// network. An Engine is also an http.Handler, for the AWS CLI and for other processes.
//
// It promises the data plane as Latchkey uses it: consistent reads, conditions, update expressions,
// transactions with every cancellation reason and client request tokens, sparse indexes with their
// projection, paging by count and by the 1 MB limit, and the table's stream. It refuses everything else with an error
// that names the embedded engine, and never ignores a parameter. Its tests also run against
// DynamoDB Local, and compare random histories reply by reply. It has no throughput limits
// or backups, and does not delete by time to live, which may lag for days in DynamoDB. Error types
// are DynamoDB's; the messages are its own. All methods are safe for concurrent use.
package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/clock"
)

const (
	region = "eu-central-1" // appears in ARNs only

	targetPrefix = "DynamoDB_20120810."
	contentType  = "application/x-amz-json-1.0"
)

// Engine holds tables in memory.
type Engine struct {
	clock clock.Clock

	mu     sync.RWMutex
	tables map[string]*table
	tokens map[string]answeredTransaction
}

// New returns an engine without tables.
func New() *Engine {
	return &Engine{clock: clock.System{}, tables: map[string]*table{}, tokens: map[string]answeredTransaction{}}
}

// Clone returns a copy of the engine. Neither sees later writes of the other. Both share the items
// until one of them writes, so a clone costs about a microsecond a table: a test can prepare a
// world once and give each case a copy. Clone is safe during other calls.
func (e *Engine) Clone() *Engine {
	e.mu.Lock() // not RLock: the trees note that they are shared
	defer e.mu.Unlock()
	c := &Engine{clock: e.clock, tables: make(map[string]*table, len(e.tables)), tokens: maps.Clone(e.tokens)}
	for name, t := range e.tables {
		c.tables[name] = t.clone()
	}
	return c
}

// Client returns an SDK client that talks to this engine. options run last, so a test can wrap the
// HTTP client to make calls fail.
func (e *Engine) Client(options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://dynamodb.invalid"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   inProcess{e},
	}, options...)
}

// inProcess is an HTTP client for the SDK that hands requests to the engine.
type inProcess struct{ engine *Engine }

func (c inProcess) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	status, reply := c.engine.answer(r.Header.Get("X-Amz-Target"), body)
	return &http.Response{
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{"Content-Type": {contentType}},
		Body:          io.NopCloser(bytes.NewReader(reply)),
		ContentLength: int64(len(reply)),
		Request:       r,
	}, nil
}

// ServeHTTP answers the DynamoDB API. Signatures are not checked.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	status, reply := e.answer(r.Header.Get("X-Amz-Target"), body)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(reply) // the caller has gone
}

func (e *Engine) answer(target string, body []byte) (status int, reply []byte) {
	out, err := e.call(strings.TrimPrefix(strings.TrimPrefix(target, targetPrefix), streamTarget), body)
	if err != nil {
		fault := new(apiError)
		if !errors.As(err, &fault) {
			fault = invalid("%v", err)
		}
		out, status = fault, http.StatusBadRequest
	} else {
		status = http.StatusOK
	}
	reply, err = json.Marshal(out)
	if err != nil { // unreachable: replies consist of strings, numbers and values
		return http.StatusInternalServerError, []byte(`{"__type":"InternalServerError"}`)
	}
	return status, reply
}

func (e *Engine) call(operation string, body []byte) (any, error) {
	switch operation {
	case "CreateTable":
		return exclusive(e, body, e.createTable)
	case "DeleteTable":
		return exclusive(e, body, e.deleteTable)
	case "UpdateTimeToLive":
		return exclusive(e, body, e.updateTimeToLive)
	case "PutItem":
		return exclusive(e, body, e.putItem)
	case "UpdateItem":
		return exclusive(e, body, e.updateItem)
	case "DeleteItem":
		return exclusive(e, body, e.deleteItem)
	case "BatchWriteItem":
		return exclusive(e, body, e.batchWriteItem)
	case "TransactWriteItems":
		return exclusive(e, body, e.transactWriteItems)
	case "DescribeTable":
		return shared(e, body, e.describeTable)
	case "GetItem":
		return shared(e, body, e.getItem)
	case "BatchGetItem":
		return shared(e, body, e.batchGetItem)
	case "Query":
		return shared(e, body, e.query)
	case "Scan":
		return shared(e, body, e.scan)
	case "DescribeStream":
		return shared(e, body, e.describeStream)
	case "GetShardIterator":
		return shared(e, body, e.getShardIterator)
	case "GetRecords":
		return shared(e, body, e.getRecords)
	}
	return nil, &apiError{Type: "UnknownOperationException", Message: fmt.Sprintf("the embedded engine does not support the operation %q", operation)}
}

// exclusive and shared decode a request and run it under the lock. One lock for everything makes
// every operation serializable, as DynamoDB promises for single items and transactions.
func exclusive[In, Out any](e *Engine, body []byte, run func(In) (Out, error)) (any, error) {
	in, err := decode[In](body)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return run(in)
}

func shared[In, Out any](e *Engine, body []byte, run func(In) (Out, error)) (any, error) {
	in, err := decode[In](body)
	if err != nil {
		return nil, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	return run(in)
}

// decode refuses unknown parameters, because code that uses one would work only on this engine.
func decode[In any](body []byte) (In, error) {
	var in In
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&in)
	if err == nil || errors.As(err, new(*apiError)) {
		return in, err
	}
	if parameter, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return in, invalid("the embedded engine does not support the parameter %s", parameter)
	}
	return in, &apiError{Type: "SerializationException", Message: err.Error()}
}

// apiError is an error reply of the service; the SDK turns Type into its exception types.
type apiError struct {
	Type                string               `json:"__type"`
	Message             string               `json:"message"`
	Item                item                 `json:",omitempty"`
	CancellationReasons []cancellationReason `json:",omitempty"`

	// ofItem marks a fault that a transaction reports as the reason of one item.
	ofItem bool
}

func ofItem(err *apiError) *apiError {
	err.ofItem = true
	return err
}

type cancellationReason struct {
	Code    string
	Message string `json:",omitempty"`
	Item    item   `json:",omitempty"`
}

func (e *apiError) Error() string { return e.Message }

func (e *apiError) MarshalJSON() ([]byte, error) {
	type plain apiError
	out := plain(*e)
	out.Type = "com.amazonaws.dynamodb.v20120810#" + e.Type
	return json.Marshal(out)
}

func invalid(format string, args ...any) *apiError {
	return &apiError{Type: "ValidationException", Message: fmt.Sprintf(format, args...)}
}
