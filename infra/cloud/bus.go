package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
)

// A BusEvent is an event on a bus.
type BusEvent struct {
	Bus, Source, DetailType string
	Detail                  json.RawMessage
	Resources               []string
	Time                    time.Time
}

// A Bus is the part of EventBridge that puts events on buses, of which it has every one. It keeps the
// newest events and matches no rules. It is safe for concurrent use.
type Bus struct {
	// Refuse, unless it is nil, returns the error code of an entry, or "". Set it before the first event.
	Refuse func(BusEvent) (code string)

	mu     sync.Mutex
	keep   int
	events []BusEvent
}

// NewBus returns a bus that keeps so many events.
func NewBus(keep int) *Bus { return &Bus{keep: keep} }

// Client returns a client that reaches the bus without a network; its options run last.
func (b *Bus) Client(options ...func(*eventbridge.Options)) *eventbridge.Client {
	return eventbridge.New(eventbridge.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://events.invalid"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   localClient{b},
	}, options...)
}

// Events returns the events, oldest first.
func (b *Bus) Events() []BusEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// EventsPath is where Page shows the events.
const EventsPath = "/events/"

// Page shows the events as rules get them, one JSON object a line.
func (b *Bus) Page() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for _, event := range b.Events() {
			line := encode(struct {
				Source     string          `json:"source"`
				DetailType string          `json:"detail-type"`
				Time       time.Time       `json:"time"`
				Resources  []string        `json:"resources"`
				Detail     json.RawMessage `json:"detail"`
			}{event.Source, event.DetailType, event.Time, event.Resources, event.Detail})
			_, _ = w.Write(append(line, '\n')) // the client may have gone
		}
	})
}

// The limits of PutEvents (EventBridge user guide, "PutEvents").
const (
	busEntries = 10
	busBytes   = 256 << 10
)

type busEntry struct {
	EventBusName, Source, DetailType, Detail string
	Resources                                []string
	Time                                     float64 // epoch seconds
}

// fault returns the error code of an entry that EventBridge refuses.
func (e busEntry) fault() string {
	var detail map[string]any
	switch {
	case e.Source == "" || e.DetailType == "" || e.EventBusName == "":
		return "InvalidArgument"
	case strings.HasPrefix(e.Source, "aws."):
		return "NotAuthorizedForSourceException"
	case json.Unmarshal([]byte(e.Detail), &detail) != nil:
		return "MalformedDetail"
	}
	return ""
}

func (e busEntry) bytes() int {
	const ofTime = 14
	n := len(e.Source) + len(e.DetailType) + len(e.Detail) + ofTime
	for _, resource := range e.Resources {
		n += len(resource)
	}
	return n
}

// ServeHTTP answers PutEvents (EventBridge API reference, AWS JSON protocol). Signatures are not checked.
func (b *Bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if target := r.Header.Get("X-Amz-Target"); target != "AWSEvents.PutEvents" {
		failQueue(w, "UnknownOperationException", target+" is not known here")
		return
	}
	var in struct{ Entries []busEntry }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		failQueue(w, "SerializationException", "body is not JSON")
		return
	}
	size := 0
	for _, e := range in.Entries {
		size += e.bytes()
	}
	switch {
	case len(in.Entries) == 0 || len(in.Entries) > busEntries:
		failQueue(w, "ValidationException", "a request has 1 to 10 entries")
		return
	case size > busBytes:
		failQueue(w, "ValidationException", "Total size of the entries in the request is over the limit.")
		return
	}
	type result struct {
		EventID      string `json:"EventId,omitempty"`
		ErrorCode    string `json:",omitempty"`
		ErrorMessage string `json:",omitempty"`
	}
	var out struct {
		FailedEntryCount int
		Entries          []result
	}
	for _, e := range in.Entries {
		event := BusEvent{e.EventBusName, e.Source, e.DetailType, json.RawMessage(e.Detail), e.Resources, time.Unix(int64(e.Time), 0).UTC()}
		code := e.fault()
		if code == "" && b.Refuse != nil {
			code = b.Refuse(event)
		}
		if code != "" {
			out.FailedEntryCount++
			out.Entries = append(out.Entries, result{ErrorCode: code, ErrorMessage: "refused: " + e.Detail})
			continue
		}
		b.take(event)
		out.Entries = append(out.Entries, result{EventID: newID()})
	}
	_, _ = w.Write(encode(out)) // the client may have gone
}

func (b *Bus) take(event BusEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, event)
	b.events = b.events[max(0, len(b.events)-b.keep):]
}

// GuardEvents returns an HTTP client for EventBridge that may do what the function's policy in the
// template allows.
func (f Function) GuardEvents(next aws.HTTPClient) aws.HTTPClient { return eventGuard{f, next} }

type eventGuard struct {
	function Function
	next     aws.HTTPClient
}

func (g eventGuard) Do(r *http.Request) (*http.Response, error) {
	body, r, err := peek(r)
	if err != nil {
		return nil, err
	}
	var in struct{ Entries []busEntry }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("read EventBridge request: %w", err)
	}
	action := strings.Replace(r.Header.Get("X-Amz-Target"), "AWSEvents.", "events:", 1)
	for _, e := range in.Entries {
		if !slices.Contains(g.function.Permissions, Permission{Action: action, Source: e.Source}) {
			return denied(r, "application/x-amz-json-1.1", fmt.Sprintf("function %s is not authorized to perform: %s (source %s)", g.function.Name, action, e.Source)), nil
		}
	}
	return g.next.Do(r)
}
