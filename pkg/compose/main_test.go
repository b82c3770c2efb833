package compose_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/pkg/compose"
	"latchkey/pkg/config"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
)

const secretInPanic = "lkpat_a-value-that-a-request-quotes"

// probes are functions of tests. Each runs in a process of its own, as in Lambda.
var probes = map[string]func(){
	"bad configuration": func() {
		compose.Start("probe", func([]string) (int, error) { return 0, errors.New("TABLE_NAME is missing") }, nothing)
	},
	"missing part": func() {
		compose.Start("probe", fine, func(int, compose.AWS) lambda.Handler {
			return compose.Must(nothing(0, compose.AWS{}), errors.New("no clock"))
		})
	},
	"no runtime": func() { compose.Start("probe", fine, nothing) },
	"invocations": func() {
		compose.Start("probe", fine, func(int, compose.AWS) lambda.Handler {
			return invocation.Handler(func(_ context.Context, payload json.RawMessage) (any, error) {
				switch string(payload) {
				case `"wrapped"`:
					return nil, fmt.Errorf("read: %w", errors.New("broken"))
				case `"unavailable"`:
					return nil, fmt.Errorf("read: %w", fault.ErrUnavailable)
				case `"own"`:
					return nil, fmt.Errorf("parse: %w", &invocation.Error{Type: "EventInvalid", Message: "no event"})
				case `"reported"`:
					return nil, messages.InvokeResponse_Error{Type: "MailPaused", Message: "paused"}
				case `"unencodable"`:
					return func() {}, nil
				default:
					panic(secretInPanic)
				}
			})
		})
	},
}

func fine([]string) (int, error)                     { return 0, nil }
func nothing(int, compose.AWS) (none lambda.Handler) { return none }

// Breaks if operators and alarms cannot read why a function failed: the runtime of Lambda prints
// plain text, with the name of a Go type such as wrapError.
func TestFunctionErrorsAreJSONLines(t *testing.T) {
	if run := probes[os.Getenv("PROBE")]; run != nil {
		run()
		return
	}
	for name, c := range map[string]struct {
		payloads []string
		types    []string // of the log lines
	}{
		"bad configuration": {nil, []string{"ConfigurationInvalid"}},
		"missing part":      {nil, []string{"Panic"}},
		"no runtime":        {nil, []string{"Runtime"}},
		"invocations": {
			[]string{"wrapped", "unavailable", "own", "reported", "unencodable", "panics"},
			[]string{"Internal", "Unavailable", "EventInvalid", "MailPaused", "Internal", "Panic", "Runtime"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFunctionErrorsAreJSONLines$")
			command.Env = append(os.Environ(), "PROBE="+name, "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=key", config.EndpointVariable+"=http://127.0.0.1:1")
			var reported []string
			if c.payloads != nil {
				runtime := httptest.NewServer(&runtimeAPI{payloads: c.payloads, reported: &reported})
				defer runtime.Close()
				command.Env = append(command.Env, "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(runtime.URL, "http://"))
			}
			out, err := command.CombinedOutput()
			if ended := (*exec.ExitError)(nil); !errors.As(err, &ended) || ended.ExitCode() != 1 {
				t.Errorf("the process ended with %v", err)
			}
			if strings.Contains(string(out), secretInPanic) || strings.Contains(strings.Join(reported, ""), secretInPanic) {
				t.Error("the value of a panic is shown")
			}
			var types []string
			for line := range bytes.Lines(out) {
				var logged struct {
					Level    string
					Function string
					Type     string `json:"error_type"`
				}
				if err := json.Unmarshal(line, &logged); err != nil || logged.Level != "ERROR" || logged.Function != "probe" {
					t.Errorf("%v: %s", err, line)
				}
				types = append(types, logged.Type)
			}
			if !slices.Equal(types, c.types) {
				t.Errorf("types %q, want %q, in\n%s", types, c.types, out)
			}
			for i, body := range reported {
				if want := fmt.Sprintf(`"errorType":%q`, c.types[i]); !strings.Contains(body, want) {
					t.Errorf("the caller gets %s, want %s", body, want)
				}
			}
			if len(reported) != len(c.payloads) {
				t.Errorf("%d errors were reported, of %d", len(reported), len(c.payloads))
			}
		})
	}
}

// A runtimeAPI is Lambda's runtime API with a few invocations, after which it fails.
type runtimeAPI struct {
	payloads []string
	reported *[]string
}

func (api *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		*api.reported = append(*api.reported, string(body))
		w.WriteHeader(http.StatusAccepted)
	case len(api.payloads) == 0:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "a-request")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", "4102444800000")
		fmt.Fprintf(w, "%q", api.payloads[0])
		api.payloads = api.payloads[1:]
	}
}
