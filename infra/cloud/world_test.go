package cloud

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/infra/cloud/tabledef"
)

// handlerFunc is a function that sees the raw event.
type handlerFunc func(ctx context.Context, payload []byte) ([]byte, error)

func (f handlerFunc) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return f(ctx, payload)
}

// answering always gives the same reply.
func answering(reply string) lambda.Handler {
	return handlerFunc(func(context.Context, []byte) ([]byte, error) { return []byte(reply), nil })
}

// recording keeps the last event and answers 200 with its own name.
func recording(name string, event *map[string]any) lambda.Handler {
	return handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		*event = nil
		if err := json.Unmarshal(payload, event); err != nil {
			return nil, err
		}
		return encode(map[string]any{"statusCode": 200, "body": name}), nil
	})
}

type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request with the target exactly as written, as a client's socket would carry it.
func send(t *testing.T, handler http.Handler, method, target, body string, header http.Header) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://api.test/", strings.NewReader(body))
	r.RequestURI = target
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	result := w.Result()
	text, err := io.ReadAll(result.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{result.StatusCode, result.Header, string(text)}
}

// templateFile is the repository's own template.yaml.
func templateFile(t *testing.T) string {
	t.Helper()
	table, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(filepath.Dir(table), "..", "template.yaml")
}

func productTemplate(t *testing.T) *Template {
	t.Helper()
	template, err := ReadTemplate(templateFile(t), map[string]string{
		"Stage": "test", "SenderAddress": "latchkey@example.test", "OidcIssuer": "https://login.example.test", "OidcClientId": "latchkey",
		"RegistryService": "container_registry", "EventBus": "default",
	})
	if err != nil {
		t.Fatal(err)
	}
	return template
}
