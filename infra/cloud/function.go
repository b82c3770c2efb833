package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// The deployment's coordinates in events and ARNs.
const (
	region    = "eu-central-1"
	accountID = "000000000000"
	partition = "aws"
)

// payloadLimit is the largest request or response of a synchronous invocation, in bytes (Lambda
// quotas).
const payloadLimit = 6 << 20

// functionError is the report of the Lambda runtime when a function fails, panics or times out.
type functionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (e *functionError) Error() string { return e.Type + ": " + e.Message }

// call invokes a function as the Lambda runtime does: with a deadline and a request id, and with an
// error instead of a panic. The function continues when the caller disconnects, as in Lambda.
func call(ctx context.Context, name string, handler lambda.Handler, timeout time.Duration, requestID string, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: requestID, InvokedFunctionArn: functionARN(name)})
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer cancel()
		defer func() {
			if r := recover(); r != nil {
				done <- result{err: &functionError{fmt.Sprint(r), "panic"}}
			}
		}()
		out, err := handler.Invoke(ctx, payload)
		done <- result{out, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, describe(r.err)
		}
		if len(r.out) > payloadLimit {
			return nil, &functionError{"Response payload size exceeded maximum allowed payload size (6291556 bytes).", "Function.ResponseSizeTooLarge"}
		}
		return r.out, nil
	case <-ctx.Done():
		// The function may have finished in the same instant; then its reply counts.
		select {
		case r := <-done:
			if r.err == nil {
				return r.out, nil
			}
			return nil, describe(r.err)
		default:
		}
		return nil, &functionError{fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds()), "Sandbox.Timedout"}
	}
}

// describe names an error's type as the Go runtime of Lambda does.
func describe(err error) *functionError {
	if known := new(functionError); errors.As(err, &known) {
		return known
	}
	var reported messages.InvokeResponse_Error
	if errors.As(err, &reported) {
		return &functionError{reported.Message, reported.Type}
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return &functionError{err.Error(), t.Name()}
}

// ARN returns the ARN of something in the imitated account and region. IAM has no region.
func ARN(service, name string) string {
	where := region
	if service == "iam" {
		where = ""
	}
	return "arn:" + partition + ":" + service + ":" + where + ":" + accountID + ":" + name
}

func functionARN(name string) string {
	return ARN("lambda", "function:"+name)
}

// encode marshals values that always have a JSON form.
func encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return out
}
