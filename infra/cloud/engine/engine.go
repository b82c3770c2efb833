// Package engine is an embedded DynamoDB: it answers the DynamoDB API in process, in memory, with
// no socket, no other program and no account. `make run` keeps its table in one.
//
// New makes an engine; Client returns a real SDK client whose requests reach it without a network;
// an Engine is also an http.Handler, for the AWS CLI and for other processes.
//
// It promises the data plane as this product uses it: consistent reads, conditions, update
// expressions, transactions with every cancellation reason and client request tokens, sparse
// indexes with their projection, and paging by count and by the 1 MB limit. What it does not know
// it refuses with a ValidationException; it never ignores a parameter. It has no throughput limits,
// no streams and no backups, and it does not delete by time to live, which in DynamoDB may lag for
// days. All methods are safe for concurrent use.
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
	// region and account appear in table ARNs only.
	region  = "eu-central-1"
	account = "000000000000"

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

// Clone returns a copy of the engine as it is at this instant. From then on neither sees what the
// other writes: a test can prepare a world once and give each case a copy. Calls of e may go on
// meanwhile.
func (e *Engine) Clone() *Engine {
	e.mu.RLock()
	defer e.mu.RUnlock()
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

// inProcess is the SDK's HTTP client without a network: it hands the request to the engine.
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
	_, _ = w.Write(reply) // the caller has gone; there is nobody to tell
}

func (e *Engine) answer(target string, body []byte) (status int, reply []byte) {
	out, err := e.call(strings.TrimPrefix(target, targetPrefix), body)
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
	if err != nil { // unreachable: every reply is made of strings, numbers and values
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
	case "ListTables":
		return shared(e, body, e.listTables)
	case "DescribeTimeToLive":
		return shared(e, body, e.describeTimeToLive)
	case "GetItem":
		return shared(e, body, e.getItem)
	case "BatchGetItem":
		return shared(e, body, e.batchGetItem)
	case "TransactGetItems":
		return shared(e, body, e.transactGetItems)
	case "Query":
		return shared(e, body, e.query)
	case "Scan":
		return shared(e, body, e.scan)
	}
	return nil, &apiError{Type: "UnknownOperationException", Message: fmt.Sprintf("operation %q is not supported", operation)}
}

// exclusive and shared decode a request and run it under the lock. One lock for everything keeps
// every operation serializable, which is what DynamoDB promises for single items and transactions.
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

// decode refuses unknown parameters: one that is silently ignored here would work only here.
func decode[In any](body []byte) (In, error) {
	var in In
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); errors.As(err, new(*apiError)) {
		return in, err
	} else if err != nil {
		return in, &apiError{Type: "SerializationException", Message: err.Error()}
	}
	return in, nil
}

// apiError is an error reply of the service; the SDK turns Type into its exception types.
type apiError struct {
	Type                string               `json:"__type"`
	Message             string               `json:"message"`
	Item                item                 `json:",omitempty"`
	CancellationReasons []cancellationReason `json:",omitempty"`
}

type cancellationReason struct {
	Code    string
	Message string `json:",omitempty"`
	Item    item   `json:",omitempty"`
}

func (e *apiError) Error() string { return e.Type + ": " + e.Message }

func (e *apiError) MarshalJSON() ([]byte, error) {
	type plain apiError
	out := plain(*e)
	out.Type = "com.amazonaws.dynamodb.v20120810#" + e.Type
	return json.Marshal(out)
}

func invalid(format string, args ...any) *apiError {
	return &apiError{Type: "ValidationException", Message: fmt.Sprintf(format, args...)}
}
