// Package invocation calls functions in the way of the Lambda runtime.
//
// Start with Handler. It promises that concurrent invocations, as in the local cloud, do not mix up
// their replies, that every error has a type of ours, and that a panic is such an error and does not
// show its value. The package knows no event.
package invocation

import (
	"bytes"
	"context"
	"encoding/json"
)

// A Handler is a Lambda handler that is safe for concurrent use. The handler that lambda.NewHandler
// (aws-lambda-go v1.55.1) makes is not. It returns bytes of a buffer that the next invocation
// overwrites, so in the local cloud one caller could get another's reply with its bearer.
type Handler func(ctx context.Context, payload json.RawMessage) (any, error)

// Invoke implements lambda.Handler. Its errors are messages.InvokeResponse_Error.
func (f Handler) Invoke(ctx context.Context, payload []byte) (reply []byte, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			reply, err = nil, typed(Panicked(panicked))
		}
	}()
	if reply, err = f.encoded(ctx, payload); err != nil {
		return nil, typed(err)
	}
	return reply, nil
}

func (f Handler) encoded(ctx context.Context, payload []byte) ([]byte, error) {
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
