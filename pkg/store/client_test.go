package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/store"
)

// Breaks if a check waits for an engine that does not answer, or answers half, until the function's own
// time is up: then nobody gets GitLab's words, and no second attempt is made.
func TestAttemptsEnd(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(http.ResponseWriter){
		"before the reply": func(http.ResponseWriter) {},
		"in the body": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"Item":`)
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				begin(w)
				<-r.Context().Done() // the client has hung up
				close(given)
			}))
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			reply, err := store.Attempts(http.DefaultTransport, 50*time.Millisecond).Do(r)
			if err == nil {
				_, err = io.ReadAll(reply.Body)
				err = errors.Join(err, reply.Body.Close())
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("ended with %v", err)
			}
			<-given
		})
	}
}

// Breaks if each client of the table has the SDK's endless attempts again, or only few connections for an
// instance that serves many events at a time.
func TestConfiguredClient(t *testing.T) {
	t.Parallel()
	client := dynamodb.NewFromConfig(aws.Config{Region: "eu-central-1"}, store.Configure(""))
	limit, idle, ours := store.AttemptsOf(client.Options().HTTPClient)
	if !ours || limit != time.Second || idle < 100 {
		t.Errorf("%v an attempt, %d idle connections", limit, idle)
	}
}
