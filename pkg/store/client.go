package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	endpoints "github.com/aws/smithy-go/endpoints"

	"latchkey/pkg/clock"
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
			config := transport.TLSClientConfig.Clone()            // to which no transport adds anything
			config.NextProtos = nil                                // DynamoDB does not speak HTTP/2
			spare := &spare{plain: transport.DialContext, config: config, limit: transport.TLSHandshakeTimeout}
			transport.DialContext, transport.DialTLSContext = spare.dial, spare.dialTLS
			o.HTTPClient = attempts{transport, attemptTime, spare}
		}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
		o.EndpointResolverV2 = &lastEndpoint{EndpointResolverV2: cmp.Or(o.EndpointResolverV2, dynamodb.NewDefaultEndpointResolverV2())}
	}
}

// lastEndpoint repeats its last answer while the question stays the same. The SDK goes through its rules for
// every request, which is a fiftieth of a check's processor time. It is safe for concurrent use.
type lastEndpoint struct {
	dynamodb.EndpointResolverV2
	last atomic.Pointer[resolved]
}

type resolved struct {
	question dynamodb.EndpointParameters
	answer   endpoints.Endpoint // nobody changes what its maps hold
}

// ResolveEndpoint implements dynamodb.EndpointResolverV2.
func (l *lastEndpoint) ResolveEndpoint(ctx context.Context, question dynamodb.EndpointParameters) (endpoints.Endpoint, error) {
	if last := l.last.Load(); last != nil && reflect.DeepEqual(last.question, question) {
		return last.answer, nil
	}
	answer, err := l.EndpointResolverV2.ResolveEndpoint(ctx, question)
	if err == nil {
		l.last.Store(&resolved{question, answer})
	}
	return answer, err //nolint:wrapcheck // as the SDK words it
}

// attempts is an HTTP client that ends every attempt after a time. http.Client can do so too, which
// the SDK's WithTimeout uses, but it starts a goroutine and a second timer for each request: a fifth
// of a check's processor time. It follows no redirects, because DynamoDB sends none.
type attempts struct {
	transport http.RoundTripper
	time      time.Duration
	spare     *spare
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

// Connect opens a connection for the next request of a client that Configure has configured. It sends
// nothing. It says nothing about a failure, because the next request meets it as well.
func Connect(client *dynamodb.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	o := client.Options()
	endpoint, err := o.EndpointResolverV2.ResolveEndpoint(ctx, dynamodb.EndpointParameters{Region: &o.Region, Endpoint: o.BaseEndpoint})
	if ours, configured := o.HTTPClient.(attempts); configured && err == nil {
		_ = ours.spare.open(ctx, &endpoint.URI)
	}
}

// spareTime is how long a spare connection may wait for its request. The engine closes idle ones, which
// only a connection in the transport's own pool notices.
const spareTime = 10 * time.Second

// A spare dials connections, and may keep one that is open before a request needs it. A transport cannot
// do that itself. It is safe for concurrent use.
type spare struct {
	plain  func(ctx context.Context, network, address string) (net.Conn, error)
	config *tls.Config
	limit  time.Duration // of a handshake

	mu    sync.Mutex
	kept  net.Conn // nil for none
	to    string   // scheme and address
	since clock.Stopwatch
}

// open makes the connection that a request to u needs.
func (s *spare) open(ctx context.Context, u *url.URL) error {
	dial, address := s.plain, addressOf(u)
	if u.Scheme == "https" {
		dial = s.tls
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.to, s.since = conn, u.Scheme+" "+address, clock.StartStopwatch()
	return nil
}

// addressOf returns the address to dial for u, as a transport writes it.
func addressOf(u *url.URL) string {
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// take returns the kept connection if it is one to this place and fresh, or nil.
func (s *spare) take(to string) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn := s.kept
	if conn == nil || s.to != to {
		return nil
	}
	s.kept = nil
	if s.since.Elapsed() > spareTime {
		_ = conn.Close()
		return nil
	}
	return conn
}

func (s *spare) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if conn := s.take("http " + address); conn != nil {
		return conn, nil
	}
	return s.plain(ctx, network, address)
}

func (s *spare) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	if conn := s.take("https " + address); conn != nil {
		return conn, nil
	}
	return s.tls(ctx, network, address)
}

// tls dials and shakes hands. It limits the handshake itself: the transport leaves that to a dialer of its own,
// and goes on dialing when the request has ended.
func (s *spare) tls(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := s.plain(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := s.config.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}
