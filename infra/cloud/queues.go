package cloud

import (
	"cmp"
	"context"
	"crypto/md5" // SQS's checksum of a body, which the SDK compares
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"latchkey/pkg/clock"
)

// A Queue is one AWS::SQS::Queue.
type Queue struct {
	ARN, URL string
	// FIFO delivers one message after the other; all messages count as one group.
	FIFO bool
	// ByContent drops a message whose body was sent within the last five minutes.
	ByContent bool
	// Visibility is how long a delivered message stays hidden unless its function succeeds.
	Visibility time.Duration
	// DeadLetters is the ARN of the queue for messages that were delivered MaxReceives times in vain;
	// "" keeps them here.
	DeadLetters string
	MaxReceives int
}

// A Mapping is an event source mapping: it passes the messages of a queue to a function.
type Mapping struct {
	Queue     string // ARN
	Function  string
	BatchSize int
}

// dedupWithin is how long SQS remembers the messages of a FIFO queue (SQS developer guide, "Exactly-once
// processing").
const dedupWithin = 5 * time.Minute

// messageLimit is the size of the largest message, in bytes (SQS quotas).
const messageLimit = 1 << 20

// A Message is a message in a queue.
type Message struct {
	ID, Body string
	Sent     time.Time
	Receives int

	visible time.Time
}

// Queues is the part of SQS that sends messages, delivers them to functions and moves them to dead
// letter queues. It is safe for concurrent use.
type Queues struct {
	queues   map[string]Queue // by ARN
	mappings []Mapping
	clock    clock.Clock

	mu       sync.Mutex
	messages map[string][]*Message           // by ARN, oldest first
	seen     map[string]map[string]time.Time // when each body was last sent, by ARN
	sent     chan struct{}                   // closed when a message is sent

	delivering sync.Mutex // one delivery at a time, as FIFO queues have it
}

// NewQueues returns the queues of a template, empty.
func NewQueues(t *Template, clock clock.Clock) *Queues {
	return &Queues{
		queues: t.Queues, mappings: t.Mappings, clock: clock,
		messages: map[string][]*Message{}, seen: map[string]map[string]time.Time{}, sent: make(chan struct{}),
	}
}

// Client returns a client that reaches the queues without a network; its options run last.
func (q *Queues) Client(options ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://sqs.invalid"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   localClient{q},
	}, options...)
}

// Messages returns copies of the messages in the queue with this ARN, oldest first.
func (q *Queues) Messages(arn string) (messages []Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages[arn] {
		messages = append(messages, *m)
	}
	return messages
}

// ServeHTTP answers SendMessage (SQS API reference, AWS JSON protocol). Signatures are not checked.
func (q *Queues) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	var in struct {
		QueueURL       string `json:"QueueUrl"`
		MessageBody    string
		MessageGroupID string `json:"MessageGroupId"`
	}
	if target := r.Header.Get("X-Amz-Target"); target != "AmazonSQS.SendMessage" {
		failQueue(w, "AmazonSQS#UnsupportedOperation", target+" is not known here")
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		failQueue(w, "AmazonSQS#InvalidParameterValueException", "body is not JSON")
		return
	}
	for _, queue := range q.queues {
		if queue.URL != in.QueueURL {
			continue
		}
		switch {
		case in.MessageBody == "" || len(in.MessageBody) > messageLimit:
			failQueue(w, "AmazonSQS#InvalidParameterValueException", "message is empty or too long")
		case queue.FIFO != (in.MessageGroupID != ""):
			failQueue(w, "AmazonSQS#MissingParameterException", "a FIFO queue, and no other here, needs a MessageGroupId")
		default:
			sum := md5.Sum([]byte(in.MessageBody))
			_, _ = w.Write(encode(map[string]string{"MessageId": q.send(queue, in.MessageBody), "MD5OfMessageBody": hex.EncodeToString(sum[:])}))
		}
		return
	}
	failQueue(w, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
}

func failQueue(w http.ResponseWriter, kind, message string) {
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(encode(map[string]string{"__type": kind, "message": message})) // the client has gone
}

func (q *Queues) send(queue Queue, body string) (id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	id = newID()
	if queue.ByContent {
		last, repeated := q.seen[queue.ARN][body]
		if repeated && now.Sub(last) < dedupWithin {
			return id
		}
		if q.seen[queue.ARN] == nil {
			q.seen[queue.ARN] = map[string]time.Time{}
		}
		q.seen[queue.ARN][body] = now
	}
	q.messages[queue.ARN] = append(q.messages[queue.ARN], &Message{ID: id, Body: body, Sent: now, visible: now})
	close(q.sent)
	q.sent = make(chan struct{})
	return id
}

// Deliver delivers every message that is due to its function, and returns how many deliveries
// succeeded and failed. A message whose function fails is due again when its visibility timeout is
// over.
func (q *Queues) Deliver(ctx context.Context, functions map[string]lambda.Handler, timeouts map[string]time.Duration) (delivered, failed int) {
	q.delivering.Lock()
	defer q.delivering.Unlock()
	for _, mapping := range q.mappings {
		for ctx.Err() == nil {
			batch := q.receive(mapping)
			if len(batch) == 0 {
				break
			}
			payload := encode(map[string]any{"Records": records(mapping.Queue, batch)})
			timeout := cmp.Or(timeouts[mapping.Function], maxTimeout)
			if _, err := call(ctx, mapping.Function, functions[mapping.Function], timeout, newID(), payload); err != nil {
				failed += len(batch)
				continue
			}
			delivered += len(batch)
			q.remove(mapping.Queue, batch)
		}
	}
	return delivered, failed
}

// receive returns the next batch and hides it. Messages that were received too often move to the dead
// letters.
func (q *Queues) receive(mapping Mapping) (batch []Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	queue, now := q.queues[mapping.Queue], q.clock.Now()
	for _, m := range slices.Clone(q.messages[queue.ARN]) {
		if m.visible.After(now) {
			if queue.FIFO {
				break
			}
			continue
		}
		if queue.DeadLetters != "" && m.Receives >= queue.MaxReceives {
			q.messages[queue.ARN] = slices.DeleteFunc(q.messages[queue.ARN], func(other *Message) bool { return other == m })
			q.messages[queue.DeadLetters] = append(q.messages[queue.DeadLetters], m)
			continue
		}
		m.Receives++
		m.visible = now.Add(queue.Visibility)
		if batch = append(batch, *m); len(batch) == max(mapping.BatchSize, 1) {
			break
		}
	}
	return batch
}

func (q *Queues) remove(arn string, batch []Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages[arn] = slices.DeleteFunc(q.messages[arn], func(m *Message) bool {
		return slices.ContainsFunc(batch, func(done Message) bool { return done.ID == m.ID })
	})
}

// next returns when the next message is due, and a channel that closes when one is sent.
func (q *Queues) next() (at time.Time, some bool, sent <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, mapping := range q.mappings {
		for _, m := range q.messages[mapping.Queue] {
			if !some || m.visible.Before(at) {
				at, some = m.visible, true
			}
			if q.queues[mapping.Queue].FIFO {
				break
			}
		}
	}
	return at, some, q.sent
}

// records are the records of the mapping's event (Lambda developer guide, "Using Lambda with Amazon
// SQS").
func records(arn string, batch []Message) []map[string]any {
	out := make([]map[string]any, len(batch))
	for i, m := range batch {
		out[i] = map[string]any{
			"messageId": m.ID, "receiptHandle": m.ID, "body": m.Body,
			"attributes": map[string]string{
				"ApproximateReceiveCount": strconv.Itoa(m.Receives),
				"SentTimestamp":           strconv.FormatInt(m.Sent.UnixMilli(), 10),
			},
			"messageAttributes": map[string]any{},
			"eventSource":       "aws:sqs", "eventSourceARN": arn, "awsRegion": region,
		}
	}
	return out
}

// startQueues returns at once. Messages are delivered until ctx ends.
func (s *scheduler) startQueues(ctx context.Context, queues *Queues) {
	s.running.Go(func() {
		for ctx.Err() == nil {
			at, some, sent := queues.next()
			left := wake
			if some {
				left = min(wake, max(at.Sub(s.clock.Now()), 0))
			}
			if left == 0 {
				if _, failed := queues.Deliver(ctx, s.functions, s.timeouts); failed > 0 {
					s.log.Error("messages not delivered", "count", failed)
				}
				continue
			}
			timer := time.NewTimer(left)
			select {
			case <-timer.C:
			case <-sent:
			case <-ctx.Done():
			}
			timer.Stop()
		}
	})
}

// GuardQueues returns an HTTP client for SQS that may do what the function's policy in the template
// allows.
func (f Function) GuardQueues(next aws.HTTPClient) aws.HTTPClient { return queueGuard{f, next} }

type queueGuard struct {
	function Function
	next     aws.HTTPClient
}

func (g queueGuard) Do(r *http.Request) (*http.Response, error) {
	action := strings.Replace(r.Header.Get("X-Amz-Target"), "AmazonSQS.", "sqs:", 1)
	if !slices.Contains(g.function.Permissions, Permission{Action: action}) {
		return denied(r, "application/x-amz-json-1.0", fmt.Sprintf("function %s is not authorized to perform: %s", g.function.Name, action)), nil
	}
	return g.next.Do(r)
}

// addQueue reads a queue.
func (s *stack) addQueue(id string, r resource) error {
	p := r.Properties
	q := Queue{FIFO: p.FifoQueue, ByContent: p.ContentBasedDeduplication, MaxReceives: p.RedrivePolicy.MaxReceiveCount}
	q.URL, _ = s.ref(id)
	q.ARN, _ = s.attribute(id + ".Arn")
	const usual = 30 // seconds (AWS::SQS::Queue, VisibilityTimeout)
	q.Visibility = time.Duration(cmp.Or(p.VisibilityTimeout, usual)) * time.Second
	if !p.RedrivePolicy.DeadLetterTarget.IsZero() {
		known := false
		if q.DeadLetters, known = s.resolve(&p.RedrivePolicy.DeadLetterTarget); !known || q.MaxReceives < 1 {
			return fmt.Errorf("redrive policy of queue %s is not understood", id)
		}
	}
	s.Queues[q.ARN] = q
	return nil
}
