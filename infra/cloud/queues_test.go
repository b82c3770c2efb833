package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"latchkey/pkg/clock"
)

// A post is queues with a function behind them.
type post struct {
	*Queues
	clock  *clock.Fake
	got    []string // bodies
	fail   bool
	client *sqs.Client
}

func newPost(t *testing.T, queue Queue, batch int) *post {
	t.Helper()
	queue.ARN, queue.URL = "arn:q", "https://sqs.example/q"
	p := &post{clock: clock.NewFake(time.Date(2031, 5, 7, 1, 0, 0, 0, time.UTC))}
	p.Queues = NewQueues(&Template{
		Queues:   map[string]Queue{"arn:q": queue, "arn:dead": {ARN: "arn:dead", URL: "https://sqs.example/dead", FIFO: queue.FIFO}},
		Mappings: []Mapping{{"arn:q", "mails", batch}},
	}, p.clock)
	p.client = p.Client()
	return p
}

func (p *post) send(t *testing.T, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		in := &sqs.SendMessageInput{QueueUrl: aws.String("https://sqs.example/q"), MessageBody: &body}
		if p.queues["arn:q"].FIFO {
			in.MessageGroupId = aws.String("g")
		}
		if _, err := p.client.SendMessage(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// deliver returns the bodies of each invocation.
func (p *post) deliver(t *testing.T) []string {
	t.Helper()
	p.got = nil
	p.Deliver(t.Context(), map[string]lambda.Handler{"mails": handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		var event struct {
			Records []struct{ Body, EventSource, EventSourceARN string }
		}
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		var bodies []string
		for _, r := range event.Records {
			if r.EventSource != "aws:sqs" || r.EventSourceARN != "arn:q" {
				t.Errorf("record %+v", r)
			}
			bodies = append(bodies, r.Body)
		}
		p.got = append(p.got, strings.Join(bodies, "+"))
		if p.fail {
			return nil, errors.New("broken")
		}
		return []byte("null"), nil
	})}, nil)
	return p.got
}

func TestQueuesDeliver(t *testing.T) {
	want := func(t *testing.T, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("delivered %q, want %q", got, want)
		}
	}
	t.Run("in batches, once", func(t *testing.T) {
		p := newPost(t, Queue{}, 2)
		p.send(t, "a", "b", "a")
		want(t, p.deliver(t), "a+b", "a")
		want(t, p.deliver(t))
	})
	t.Run("a repeated message once within five minutes", func(t *testing.T) {
		p := newPost(t, Queue{FIFO: true, ByContent: true}, 1)
		p.send(t, "a", "b", "a")
		want(t, p.deliver(t), "a", "b")
		p.clock.Advance(dedupWithin - time.Second)
		p.send(t, "a")
		want(t, p.deliver(t))
		p.clock.Advance(time.Second)
		p.send(t, "a")
		want(t, p.deliver(t), "a")
	})
	t.Run("again after the visibility timeout, and in the end to the dead letters", func(t *testing.T) {
		p := newPost(t, Queue{Visibility: time.Minute, DeadLetters: "arn:dead", MaxReceives: 2}, 1)
		p.fail = true
		p.send(t, "a")
		want(t, p.deliver(t), "a")
		p.clock.Advance(time.Minute - time.Second)
		want(t, p.deliver(t))
		p.clock.Advance(time.Second)
		want(t, p.deliver(t), "a")
		p.clock.Advance(time.Minute)
		p.fail = false
		want(t, p.deliver(t))
		if dead := p.Messages("arn:dead"); len(dead) != 1 || dead[0].Body != "a" || len(p.Messages("arn:q")) != 0 {
			t.Errorf("dead letters %+v", dead)
		}
	})
	t.Run("a FIFO queue in order, also after a failure", func(t *testing.T) {
		p := newPost(t, Queue{FIFO: true, Visibility: time.Minute}, 1)
		p.fail = true
		p.send(t, "a", "b")
		want(t, p.deliver(t), "a")
		p.fail = false
		want(t, p.deliver(t))
		p.clock.Advance(time.Minute)
		want(t, p.deliver(t), "a", "b")
	})
	t.Run("another queue past a message that failed", func(t *testing.T) {
		p := newPost(t, Queue{Visibility: time.Minute}, 1)
		p.fail = true
		p.send(t, "a")
		p.deliver(t)
		p.fail = false
		p.send(t, "b")
		want(t, p.deliver(t), "b")
	})
}

func TestQueuesRefuse(t *testing.T) {
	p := newPost(t, Queue{FIFO: true}, 1)
	for name, in := range map[string]*sqs.SendMessageInput{
		"no such queue": {QueueUrl: aws.String("https://sqs.example/other"), MessageBody: aws.String("a"), MessageGroupId: aws.String("g")},
		"no group":      {QueueUrl: aws.String("https://sqs.example/q"), MessageBody: aws.String("a")},
		"too long":      {QueueUrl: aws.String("https://sqs.example/q"), MessageBody: aws.String(strings.Repeat("a", messageLimit+1)), MessageGroupId: aws.String("g")},
	} {
		if _, err := p.client.SendMessage(t.Context(), in); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for allowed, f := range map[bool]Function{true: {Permissions: []Permission{{Action: "sqs:SendMessage"}}}, false: {Name: "other"}} {
		client := p.Client(func(o *sqs.Options) { o.HTTPClient = f.GuardQueues(o.HTTPClient) })
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("https://sqs.example/q"), MessageBody: aws.String("a"), MessageGroupId: aws.String("g")})
		if (err == nil) != allowed {
			t.Errorf("allowed %t: %v", allowed, err)
		}
	}
}

// What an account refuses must not be accepted here.
func TestReservations(t *testing.T) {
	handlers := map[string]lambda.Handler{"a": echo{}}
	for quota, fits := range map[int]bool{10: false, 101: false, 102: true} {
		_, err := limitConcurrency(handlers, map[string]Function{"a": {Reserved: 2}}, quota)
		if (err == nil) != fits {
			t.Errorf("quota %d: %v", quota, err)
		}
	}
	if _, err := limitConcurrency(handlers, map[string]Function{"a": {}}, 10); err != nil {
		t.Error(err)
	}
}

// A method has its own throttle, and the others share the rate of the stage, each for itself.
func TestMethodThrottles(t *testing.T) {
	now := clock.NewFake(time.Date(2031, 5, 7, 1, 0, 0, 0, time.UTC))
	ok := handlerFunc(func(context.Context, []byte) ([]byte, error) { return []byte(`{"statusCode":200}`), nil })
	gateway, err := NewGateway(API{
		ID: "x", Stage: "prod", Clock: now, Functions: map[string]handler{"f": ok},
		Routes:    []Route{{"POST", "/leaks", "f"}, {"ANY", "/leaks", "f"}, {"ANY", "/other", "f"}},
		Throttles: []MethodThrottle{{"/*", "*", 10, 3}, {"/leaks", "POST", 1, 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	statuses := func(method, path string, times int) string {
		var all []int
		for range times {
			all = append(all, send(t, gateway, method, path, "", nil).status)
		}
		return fmt.Sprint(all)
	}
	for _, test := range []struct{ got, want string }{
		{statuses("POST", "/leaks", 3), "[200 200 429]"},
		{statuses("GET", "/leaks", 4), "[200 200 200 429]"},
		{statuses("POST", "/other", 4), "[200 200 200 429]"},
	} {
		if test.got != test.want {
			t.Errorf("answers %s, want %s", test.got, test.want)
		}
	}
	now.Advance(time.Second)
	if got := statuses("POST", "/leaks", 2); got != "[200 429]" {
		t.Errorf("a second later %s", got)
	}
}

var _ http.Handler = (*Queues)(nil)
