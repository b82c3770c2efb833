package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	endpoints "github.com/aws/smithy-go/endpoints"

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

// An atlas is a resolver of endpoints that counts its questions, and does not know the region nowhere.
type atlas struct{ asked int }

func (a *atlas) ResolveEndpoint(_ context.Context, p dynamodb.EndpointParameters) (endpoints.Endpoint, error) {
	a.asked++
	if *p.Region == "nowhere" {
		return endpoints.Endpoint{}, errors.New("no such region")
	}
	return endpoints.Endpoint{URI: url.URL{Scheme: "https", Host: *p.Region + aws.ToString(p.AccountId)}}, nil
}

// Breaks if a request goes to the endpoint of an earlier one that asked for another, if an error is kept, or if each
// request goes through the SDK's rules again.
func TestTheLastEndpointIsForTheSameQuestionOnly(t *testing.T) {
	t.Parallel()
	var a atlas
	o := dynamodb.Options{EndpointResolverV2: &a}
	store.Configure("")(&o)
	for _, step := range []struct {
		region, account, arn, host string
		asked                      int
	}{
		{"here", "", "", "here", 1}, {"here", "", "", "here", 1}, {"nowhere", "", "", "", 2}, {"nowhere", "", "", "", 3}, {"here", "", "", "here", 3},
		{"here", "7", "", "here7", 4}, {"there", "7", "", "there7", 5}, {"there", "7", "table", "there7", 6}, {"there", "7", "table", "there7", 6},
	} {
		question := dynamodb.EndpointParameters{Region: aws.String(step.region)}
		if step.account != "" {
			question.AccountId = aws.String(step.account)
		}
		if step.arn != "" {
			question.ResourceArnList = []string{step.arn}
		}
		got, err := o.EndpointResolverV2.ResolveEndpoint(t.Context(), question)
		if (err != nil) != (step.host == "") || got.URI.Host != step.host || a.asked != step.asked {
			t.Errorf("%+v: %q, %v, asked %d times", step, got.URI.Host, err, a.asked)
		}
	}
}

// Breaks if a function's first event waits for a connection that its start could have opened, if the start
// asks the table for something that nobody needs, or if a connection to another place is taken.
func TestConnectOpensTheConnection(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"http": (*httptest.Server).Start, "https": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections, requests atomic.Int64
			// A transport gives a connection up whose reply comes before the request is written.
			written := make(chan struct{}, 1)
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				WroteRequest: func(httptrace.WroteRequestInfo) { written <- struct{}{} },
			})
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				<-written
				if r.ProtoMajor != 1 { // the server below would take 2
					t.Errorf("asked by %s", r.Proto)
				}
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				fmt.Fprint(w, `{"Item":{"pk":{"S":"here"}}}`)
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			server.EnableHTTP2 = true
			start(server)
			defer server.Close()
			trusting := awshttp.NewBuildableClient().WithTransportOptions(func(transport *http.Transport) {
				if plain, mine := server.Client().Transport.(*http.Transport); mine && plain.TLSClientConfig != nil {
					transport.TLSClientConfig.RootCAs = plain.TLSClientConfig.RootCAs
				}
			})
			client := dynamodb.NewFromConfig(aws.Config{
				Region: "eu-central-1", HTTPClient: trusting, Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
			}, store.Configure(server.URL))
			store.Connect(client)
			if n := requests.Load(); n != 0 {
				t.Errorf("%d requests at the start", n)
			}
			for range 2 {
				out, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("latchkey"), Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "here"}}})
				if err != nil || len(out.Item) != 1 {
					t.Fatalf("%v, %v", out, err)
				}
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A start goes on without the table.
func TestConnectSaysNothing(t *testing.T) {
	t.Parallel()
	client := dynamodb.NewFromConfig(aws.Config{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
	}, store.Configure("http://127.0.0.1:1"))
	store.Connect(client)
}

// A transport names the port of an address that has none, and the connection must be under the same name.
func TestSpareConnectionHasTheTransportsAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://dynamodb.eu-central-1.amazonaws.com/": "https dynamodb.eu-central-1.amazonaws.com:443",
		"http://[::1]/": "http [::1]:80", "https://[::1]:8000/": "https [::1]:8000",
	} {
		if got := store.SpareOf(address); got != want {
			t.Errorf("%s is kept as %q, want %q", address, got, want)
		}
	}
}

// Breaks if an engine that takes a connection and says nothing keeps it, and a goroutine with it, for good: one more
// for each attempt.
func TestHandshakesEnd(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	impatient := awshttp.NewBuildableClient().WithTransportOptions(func(transport *http.Transport) {
		transport.TLSHandshakeTimeout = 50 * time.Millisecond
	})
	client := dynamodb.NewFromConfig(aws.Config{Region: "eu-central-1", HTTPClient: impatient}, store.Configure("https://"+listener.Addr().String()))
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+listener.Addr().String(), http.NoBody)
		if err == nil {
			if reply, err := client.Options().HTTPClient.Do(r); err == nil {
				_ = reply.Body.Close()
			}
		}
	}()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.Copy(io.Discard, conn); err != nil { // it returns when the client has hung up
		t.Error(err)
	}
}
