// Package invocation is the form in which the Lambda runtime calls a function.
//
// Start with Handler, which every function is. It may be invoked many times at once,
// as in the local cloud. The package knows no event.
package invocation

import (
	"bytes"
	"context"
	"encoding/json"
)

// A Handler is a Lambda handler that may be invoked many times at once. The
// one that lambda.NewHandler (aws-lambda-go v1.55.1) makes may not: the bytes
// it returns lie in a buffer that the next invocation writes to, so that in the
// local cloud one caller would be sent another's reply, bearer and all.
type Handler func(ctx context.Context, payload json.RawMessage) (any, error)

// Invoke implements lambda.Handler.
func (f Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	reply, err := f(ctx, payload)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(reply); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
