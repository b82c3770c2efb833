package store

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// maxBackoff is the longest wait between two attempts. The SDK's own 20 seconds suit programs for
// which nobody waits.
const maxBackoff = 300 * time.Millisecond

// attemptTime is how long one attempt may take, its reply's body included.
const attemptTime = time.Second

// Configure returns the options of a client: few, short attempts, because callers of an authorizer
// prefer an early answer. Three attempts of a second each stay below API Gateway's 29 seconds and
// the authorizer's own timeout. endpoint overrides the region's engine, or is "".
func Configure(endpoint string) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) {
		o.Retryer = retry.NewStandard(func(s *retry.StandardOptions) {
			s.MaxAttempts, s.MaxBackoff = 3, maxBackoff
		})
		if client, ours := o.HTTPClient.(*awshttp.BuildableClient); ours {
			transport := client.GetTransport()
			transport.MaxIdleConnsPerHost = transport.MaxIdleConns // there is one host, and there may be many events at a time
			o.HTTPClient = attempts{transport, attemptTime}
		}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	}
}

// attempts is an HTTP client that ends every attempt after a time. http.Client can do so too, which
// the SDK's WithTimeout uses, but it starts a goroutine and a second timer for each request: a fifth
// of a check's processor time. It follows no redirects, because DynamoDB sends none.
type attempts struct {
	transport http.RoundTripper
	time      time.Duration
}

// Do implements the SDK's HTTPClient.
func (a attempts) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), a.time)
	reply, err := a.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err //nolint:wrapcheck // the SDK decides by the error whether to try again
	}
	reply.Body = body{reply.Body, cancel}
	return reply, nil
}

// A body ends its attempt's timer when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close() //nolint:wrapcheck // as the SDK expects it
}

// connectTime is how long Connect may take. A function's start has ten seconds.
const connectTime = 2 * time.Second

// Connect makes one read of the table, so that the next request finds an open connection and code that
// has run before. It says nothing about a failure, because the next request meets it as well.
func Connect(client *dynamodb.Client, table string) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	_, _ = client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{table: {Keys: []key{settingsKey()}, ConsistentRead: aws.Bool(true)}},
	}, func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
}
