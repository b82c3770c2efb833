package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bus "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/clock"
)

// A river is a table with a function behind its stream.
type river struct {
	Streams
	client *dynamodb.Client
	clock  *clock.Fake
	got    []string // the sort keys of each batch
	answer func(keys, sequences []string) (string, error)
}

func newRiver(t *testing.T, mapping StreamMapping) *river {
	t.Helper()
	r := &river{client: engine.New().Client(), clock: clock.NewFake(time.Date(2031, 5, 7, 1, 0, 0, 0, time.UTC))}
	path, err := tabledef.Path()
	if err == nil {
		err = tabledef.Create(t.Context(), r.client, path, "table")
	}
	if err != nil {
		t.Fatal(err)
	}
	mapping.Function, mapping.DeadLetters = "events", "arn:dead"
	template := &Template{Streams: []StreamMapping{mapping}, Queues: map[string]Queue{"arn:dead": {ARN: "arn:dead"}}}
	r.Streams = NewStreams(template, r.client, "table", NewQueues(template, r.clock), r.clock)
	r.answer = func([]string, []string) (string, error) { return `{"batchItemFailures":[]}`, nil }
	return r
}

func (r *river) put(t *testing.T, pk string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, err := r.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("table"), Item: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: key},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// deliver returns the sort keys of each batch, joined.
func (r *river) deliver(t *testing.T) []string {
	t.Helper()
	r.got = nil
	_, _, err := r.Deliver(t.Context(), map[string]lambda.Handler{"events": handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		var event struct {
			Records []struct {
				EventSourceARN string
				Dynamodb       struct {
					Keys           struct{ SK struct{ S string } }
					SequenceNumber string
				}
			}
		}
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		var keys, sequences []string
		for _, record := range event.Records {
			if !strings.Contains(record.EventSourceARN, ":table/table/stream/") {
				t.Errorf("from %q", record.EventSourceARN)
			}
			keys, sequences = append(keys, record.Dynamodb.Keys.SK.S), append(sequences, record.Dynamodb.SequenceNumber)
		}
		r.got = append(r.got, strings.Join(keys, ""))
		out, err := r.answer(keys, sequences)
		return []byte(out), err
	})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.got
}

func (r *river) wants(t *testing.T, batches ...string) {
	t.Helper()
	if got := r.deliver(t); !slices.Equal(got, batches) {
		t.Errorf("batches %q, want %q", got, batches)
	}
}

// What is built on the mapping relies on these rules of Lambda. Breaks if tests of that pass here and fail there.
func TestStreamsAreDeliveredAsByLambda(t *testing.T) {
	pattern, err := ParsePattern(`{"dynamodb": {"Keys": {"pk": {"S": ["b", {"prefix": "a#"}]}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	hours := StreamMapping{BatchSize: 3, Filters: []Pattern{pattern}, Retries: 100, Age: time.Hour, Partial: true, Bisect: true}
	t.Run("in batches, in order, through the filter, once", func(t *testing.T) {
		r := newRiver(t, hours)
		r.put(t, "a#1", "1", "2")
		r.put(t, "other", "x")
		r.put(t, "b", "3", "4")
		r.wants(t, "123", "4")
		r.put(t, "b", "5")
		r.wants(t, "5")
	})
	t.Run("from the lowest record that failed", func(t *testing.T) {
		r := newRiver(t, hours)
		r.put(t, "b", "1", "2", "3", "4")
		r.answer = func(_, sequences []string) (string, error) {
			return fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":%q},{"itemIdentifier":%q}]}`, sequences[2], sequences[1]), nil
		}
		r.wants(t, "123")
		r.answer = func([]string, []string) (string, error) { return `{}`, nil }
		r.wants(t, "23", "4")
	})
	t.Run("all again after an unknown record", func(t *testing.T) {
		r := newRiver(t, hours)
		r.put(t, "b", "1", "2")
		r.answer = func([]string, []string) (string, error) { return `{"batchItemFailures":[{"itemIdentifier":"7"}]}`, nil }
		r.wants(t, "12")
		r.wants(t, "12")
	})
	t.Run("in halves after an error, until the poison is alone and given up", func(t *testing.T) {
		r := newRiver(t, StreamMapping{BatchSize: 4, Retries: 1, Age: time.Hour, Bisect: true})
		r.put(t, "b", "1", "2", "3", "4", "5")
		r.answer = func(keys, _ []string) (string, error) {
			if slices.Contains(keys, "2") {
				return "", errors.New("poison")
			}
			return "{}", nil
		}
		var all []string
		for range 8 {
			all = append(all, r.deliver(t)...)
		}
		if want := []string{"1234", "12", "1", "2345", "23", "2", "345"}; !slices.Equal(all, want) {
			t.Errorf("batches %q, want %q", all, want)
		}
		given := r.Streams[0].queues.Messages("arn:dead")
		if len(given) != 1 || !strings.Contains(given[0].Body, `"batchSize":1`) || strings.Contains(given[0].Body, `"pk"`) {
			t.Errorf("given up: %+v", given)
		}
	})
	t.Run("until they are too old", func(t *testing.T) {
		r := newRiver(t, hours)
		r.put(t, "b", "1")
		r.answer = func(_, sequences []string) (string, error) {
			return fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":%q}]}`, sequences[0]), nil
		}
		r.wants(t, "1")
		r.clock.Advance(time.Hour)
		r.wants(t, "1")
		r.clock.Advance(time.Second)
		r.wants(t, "1")
		r.wants(t)
		if given := r.Streams[0].queues.Messages("arn:dead"); len(given) != 1 {
			t.Errorf("given up: %+v", given)
		}
	})
}

// A pattern that is taken for another one would pass here what Lambda holds back.
func TestPatternsThatAreNotUnderstoodAreRefused(t *testing.T) {
	for _, text := range []string{`{"a": [{"exists": true}]}`, `{"a": [1]}`, `{"a": "b"}`, `{"a": [{"prefix": "x", "suffix": "y"}]}`, `[]`, `{`} {
		if _, err := ParsePattern(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	pattern, err := ParsePattern(`{"a": {"b": ["c"]}}`)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`{"a": {"b": "c", "d": 1}}`: true, `{"a": {"b": "d"}}`: false, `{"a": {}}`: false, `{"a": "b"}`: false, `{"a": {"b": ["c"]}}`: false, `7`: false,
	} {
		var document any
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		if pattern.Matches(document) != want {
			t.Errorf("%s fits: %t", text, !want)
		}
	}
}

// Breaks if the bus takes what EventBridge refuses, or a function puts events for which it has no permission.
func TestTheBusRefusesWhatEventBridgeDoes(t *testing.T) {
	b := NewBus(3)
	function := Function{Name: "events", Permissions: []Permission{{Action: "events:PutEvents", Source: "latchkey"}}}
	client := b.Client(func(o *eventbridge.Options) { o.HTTPClient = function.GuardEvents(o.HTTPClient) })
	entry := func(source, kind, detail string) bus.PutEventsRequestEntry {
		return bus.PutEventsRequestEntry{
			EventBusName: aws.String("default"), Source: &source, DetailType: &kind, Detail: &detail, Resources: []string{"arn:t"}, Time: aws.Time(time.Unix(1773907200, 0)),
		}
	}
	put := func(entries ...bus.PutEventsRequestEntry) (codes []string, failed string) {
		out, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries})
		var api smithy.APIError
		if errors.As(err, &api) {
			return nil, api.ErrorCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range out.Entries {
			codes = append(codes, aws.ToString(result.ErrorCode))
		}
		return codes, ""
	}
	good := entry("latchkey", "token.created", `{"id":"1"}`)
	if codes, failed := put(good, entry("latchkey", "token.created", `[]`), entry("latchkey", "", `{}`)); failed != "" || !slices.Equal(codes, []string{"", "MalformedDetail", "InvalidArgument"}) {
		t.Errorf("%q %s", codes, failed)
	}
	large := entry("latchkey", "token.created", `{"id":"`+strings.Repeat("x", 200<<10)+`"}`)
	for want, entries := range map[string][]bus.PutEventsRequestEntry{
		"ValidationException":   slices.Repeat([]bus.PutEventsRequestEntry{good}, 11),
		"AccessDeniedException": {good, entry("other", "token.created", `{}`)},
	} {
		if codes, failed := put(entries...); failed != want {
			t.Errorf("%q %s, want %s", codes, failed, want)
		}
	}
	if _, failed := put(large, large); failed != "ValidationException" {
		t.Errorf("400 KB: %s", failed)
	}
	if codes, failed := put(large, good, good); failed != "" || len(codes) != 3 {
		t.Errorf("200 KB: %q %s", codes, failed)
	}
	all := b.Events()
	if len(all) != 3 || all[2].DetailType != "token.created" || all[2].Bus != "default" || all[2].Time.Unix() != 1773907200 || string(all[2].Detail) != `{"id":"1"}` {
		t.Errorf("events %d: %+v", len(all), all[2])
	}
	if shown := send(t, b.Page(), "GET", EventsPath, "", nil); strings.Count(shown.body, "\n") != 3 || !strings.HasSuffix(shown.body, `{"source":"latchkey","detail-type":"token.created","time":"2026-03-19T08:00:00Z","resources":["arn:t"],"detail":{"id":"1"}}`+"\n") {
		t.Errorf("shown: %.300s", shown.body)
	}
}
