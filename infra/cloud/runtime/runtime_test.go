package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/infra/cloud/runtime"
)

// TestMain runs the function of the tests, in a process of its own, or the tests.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		os.Exit(m.Run())
	}
	lambda.Start(func(_ context.Context, event json.RawMessage) (any, error) {
		switch string(event) {
		case `"fail"`:
			return nil, errors.New("it failed")
		case `"exit"`:
			os.Exit(1)
		}
		return event, nil
	})
}

func start(t *testing.T, environ ...string) *runtime.Instance {
	t.Helper()
	instance, err := runtime.Start(t.Context(), os.Args[0], environ)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(instance.Stop)
	return instance
}

// Breaks if a test of binaries takes another event's answer, or a failure, for the answer.
func TestInvoke(t *testing.T) {
	t.Parallel()
	instance := start(t)
	for range 2 {
		if out, err := instance.Invoke(t.Context(), []byte(`{"n":1}`)); err != nil || string(out) != `{"n":1}` {
			t.Errorf("%s, %v", out, err)
		}
	}
	var failure *runtime.Failure
	if out, err := instance.Invoke(t.Context(), []byte(`"fail"`)); !errors.As(err, &failure) || failure.Message != "it failed" {
		t.Errorf("%s, %v", out, err)
	}
	if peak, err := instance.PeakMemory(); err != nil || peak < 1<<20 {
		t.Errorf("%d bytes, %v", peak, err)
	}
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if out, err := instance.Invoke(t.Context(), []byte(`"at the same time"`)); err != nil || string(out) != `"at the same time"` {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
	group.Wait()
	if out, err := instance.Invoke(t.Context(), []byte(`"exit"`)); !errors.Is(err, runtime.ErrEnded) {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := instance.Invoke(t.Context(), []byte(`"late"`)); !errors.Is(err, runtime.ErrEnded) {
		t.Errorf("%s, %v", out, err)
	}
}

// Breaks if a process sees the environment of the tests, and works for that reason only.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	instance := start(t, "AWS_LAMBDA_FUNCTION_NAME=f")
	if _, err := instance.Invoke(t.Context(), []byte(`1`)); err != nil {
		t.Fatal(err)
	}
	if said := instance.Output(); strings.TrimSpace(said) != "" {
		t.Errorf("it printed %s", said)
	}
	if _, err := runtime.Start(t.Context(), "/no/such/binary", nil); err == nil {
		t.Error("a binary that is not there starts")
	}
}
