package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/infra/local/localtest"
)

const goldenFolder = "testdata/golden"

// A sample is a file of events/ and the reply that it has.
type sample struct{ function, name, path string }

func (s sample) golden() string { return filepath.Join(goldenFolder, s.function, s.name+".json") }

func (s sample) read(tb testing.TB) []byte {
	tb.Helper()
	payload, err := os.ReadFile(s.path)
	if err != nil {
		tb.Fatal(err)
	}
	return payload
}

func samples(tb testing.TB) []sample {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(localtest.Root(tb), "events", "*", "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no sample events (%v)", err)
	}
	var all []sample
	for _, file := range files {
		if function := filepath.Base(filepath.Dir(file)); function != "schemas" {
			all = append(all, sample{function, strings.TrimSuffix(filepath.Base(file), ".json"), file})
		}
	}
	return all
}

// Every sample event is executed in a world of its own. Its reply, and the events that it puts on the bus, are
// compared with the golden file.
// Clock and randomness stand still there, so bearers are the same each time.
func TestSampleEvents(t *testing.T) {
	t.Parallel()
	update := os.Getenv("UPDATE_GOLDEN") != ""
	expected := map[string]bool{}
	for _, s := range samples(t) {
		expected[s.golden()] = true
		t.Run(s.function+"/"+s.name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{Random: rand.NewChaCha8([32]byte{}), PublicURL: "https://tokens.example.test"})
			function := w.Functions[s.function]
			if function == nil {
				t.Fatalf("the template has no function %q", s.function)
			}
			out, err := function.Invoke(t.Context(), s.read(t))
			if told := w.Bus.Events(); len(told) > 0 { // other systems
				var details []json.RawMessage
				for _, event := range told {
					details = append(details, event.Detail)
				}
				out = []byte(encode(t, map[string]any{"reply": json.RawMessage(out), "events": details}))
			}
			got := readable(t, out, err)
			if update {
				if err := errors.Join(os.MkdirAll(filepath.Dir(s.golden()), 0o755), os.WriteFile(s.golden(), got, 0o644)); err != nil {
					t.Fatal(err)
				}
				return
			}
			golden, err := os.ReadFile(s.golden())
			if err != nil {
				t.Fatalf("no golden file (`make golden` writes it): %v", err)
			}
			if !bytes.Equal(got, golden) {
				t.Errorf("reply differs from %s; got\n%s", s.golden(), got)
			}
		})
	}
	err := filepath.WalkDir(goldenFolder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !expected[path] {
			t.Errorf("%s belongs to no event", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// readable writes a function's reply as people read it: a reply to the gateway with its body
// expanded, everything else as it stands.
func readable(tb testing.TB, out []byte, failure error) []byte {
	tb.Helper()
	var shown any = json.RawMessage(out)
	var reply struct {
		StatusCode        int
		Headers           map[string]string
		MultiValueHeaders map[string][]string
		Body              string
		IsBase64Encoded   bool
	}
	switch {
	case failure != nil:
		reported := messages.InvokeResponse_Error{Message: failure.Error()}
		_ = errors.As(failure, &reported) // one that names its type says so itself
		shown = struct {
			Message string `json:"errorMessage"`
			Type    string `json:"errorType,omitempty"`
		}{reported.Message, reported.Type}
	case json.Unmarshal(out, &reply) == nil && reply.StatusCode != 0:
		if len(reply.Headers) > 0 || reply.IsBase64Encoded {
			tb.Errorf("reply in a form that is not expected: %s", out)
		}
		gateway := struct {
			StatusCode int                 `json:"statusCode"`
			Headers    map[string][]string `json:"multiValueHeaders"`
			Body       any                 `json:"body"`
		}{reply.StatusCode, reply.MultiValueHeaders, nil}
		switch {
		case reply.Body == "":
		case json.Valid([]byte(reply.Body)):
			gateway.Body = json.RawMessage(reply.Body)
		default: // a page
			gateway.Body = strings.Split(strings.TrimSpace(reply.Body), "\n")
		}
		shown = gateway
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(shown); err != nil {
		tb.Fatalf("reply is not JSON: %v: %s", err, out)
	}
	withoutCursors := anyCursor.ReplaceAll(text.Bytes(), []byte("cursor=CURSOR"))
	return anyEventID.ReplaceAll(withoutCursors, []byte(`${1}321000000000000`))
}

// anyCursor names the place of an audit event, which is random.
var anyCursor = regexp.MustCompile(`cursor=[\w-]+`)

// anyEventID is the id of an audit event, which starts at random.
var anyEventID = regexp.MustCompile(`("id": )[0-9]{15,16}\b`)
