package cloud

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// InvokePath is the root of the Lambda Invoke API.
const InvokePath = "/2015-03-31/functions/"

// maxTimeout is the longest a function may run (Lambda quotas, function timeout).
const maxTimeout = 15 * time.Minute

// asyncLimit is the most an asynchronous invocation may carry, in bytes (Lambda quotas).
const asyncLimit = 1 << 20

// InvokeAPI is the Lambda Invoke API (API_Invoke in the Lambda API reference), for `aws lambda
// invoke --endpoint-url`.
type InvokeAPI struct {
	Functions map[string]lambda.Handler
	// Timeouts are the functions' timeouts; the default is 15 minutes.
	Timeouts map[string]time.Duration

	running sync.WaitGroup
}

// Wait waits until all asynchronous invocations have finished.
func (api *InvokeAPI) Wait() { api.running.Wait() }

// ServeHTTP answers POST /2015-03-31/functions/{name}/invocations. The name may be an ARN and may
// have a version or an alias, of which only $LATEST exists.
func (api *InvokeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newID()
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.Header().Set("Content-Type", "application/json")
	named, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, InvokePath), "/invocations")
	if !ok || r.Method != http.MethodPost {
		fail(w, http.StatusNotFound, "UnknownOperationException", "no such operation")
		return
	}
	name, handler := api.find(named)
	if handler == nil {
		fail(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+functionARN(name))
		return
	}
	kind := cmp.Or(r.Header.Get("X-Amz-Invocation-Type"), "RequestResponse")
	limit := payloadLimit
	if kind == "Event" {
		limit = asyncLimit
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	switch {
	case err != nil:
		return
	case len(payload) > limit:
		fail(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", limit))
		return
	case len(payload) == 0:
		payload = []byte("{}")
	case !json.Valid(payload):
		fail(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	run := func() ([]byte, error) {
		return call(r.Context(), name, handler, cmp.Or(api.Timeouts[name], maxTimeout), requestID, payload)
	}
	switch kind {
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	case "Event":
		// The real service retries a failed event and then drops it; the caller learns of neither.
		api.running.Go(func() { _, _ = run() })
		w.WriteHeader(http.StatusAccepted)
	case "RequestResponse":
		out, err := run()
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		if err != nil {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			out = encode(err)
		}
		_, _ = w.Write(out) // the caller has gone
	default:
		fail(w, http.StatusBadRequest, "InvalidParameterValueException", "unknown invocation type "+kind)
	}
}

// find accepts `name`, `name:qualifier`, `account:function:name` and full ARNs.
func (api *InvokeAPI) find(named string) (name string, handler lambda.Handler) {
	parts := strings.Split(named, ":")
	name = parts[0]
	for i, part := range parts[:len(parts)-1] {
		if part == "function" {
			name = parts[i+1]
		}
	}
	return name, api.Functions[name]
}

func fail(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	_, _ = w.Write(encode(map[string]string{"Type": "User", "Message": message, "message": message}))
}
