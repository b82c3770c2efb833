package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/token"
)

// A Bus takes events.
type Bus interface {
	// Put puts events in their order. done is how many of them, from the first, need not be put again:
	// they are on the bus, or are among the refused ones, which it would never take. err says why it
	// stopped, and is nil when all are done. Events after the first that are not done may be on the bus.
	Put(ctx context.Context, events []Event) (done int, refused []Refusal, err error)
}

// A Refusal is an event that a bus will never take.
type Refusal struct {
	Event int // its place among the events
	Code  string
}

// Images reads images of items. An image that cannot be read is fault.ErrCorrupt.
type Images interface {
	Token(image []byte) (token.Token, error)
	Account(image []byte) (account.Account, error)
	// TokensFrom returns the instant of the settings before which no token counts, or the zero time.
	TokensFrom(image []byte) (time.Time, error)
}

// bothImages is the only kind of stream that has what decide needs.
const bothImages = "NEW_AND_OLD_IMAGES"

// record is the part of a record that is used (Lambda developer guide, "Using AWS Lambda with Amazon
// DynamoDB", and DynamoDB Streams API reference, StreamRecord).
type record struct {
	ID        string `json:"eventID"`
	Name      string `json:"eventName"`
	StreamARN string `json:"eventSourceARN"`
	Change    struct {
		At   float64 `json:"ApproximateCreationDateTime"` // epoch seconds
		Keys struct {
			Partition struct{ S string } `json:"pk"`
			Sort      struct{ S string } `json:"sk"`
		}
		NewImage, OldImage json.RawMessage
		SequenceNumber     string
		StreamViewType     string
	} `json:"dynamodb"`
}

var (
	errEvent  = &invocation.Error{Type: "EventInvalid", Message: "event is not of the table's stream"}
	errImages = &invocation.Error{Type: "EventInvalid", Message: "the stream has no " + bothImages}
)

// reserve is how long before its deadline the function puts no more events, so that it can still report
// how far it came.
const reserve = 2 * time.Second

// A response names the first record that is to be delivered again, with all that follow it (Lambda
// developer guide, "Configuring partial batch response").
type response struct {
	Failures []failure `json:"batchItemFailures"`
}

type failure struct {
	SequenceNumber string `json:"itemIdentifier"`
}

// Lambda returns the handler of functions/events. put writes metrics. Its errors have the type
// EventInvalid. An event that could not be put is no error: the reply asks for its record again.
func Lambda(log *slog.Logger, put func(values map[string]float64), read Images, bus Bus) lambda.Handler {
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		ctx, cancel := clock.Early(ctx, reserve)
		defer cancel()
		watch := clock.StartStopwatch()
		records, err := parse(raw)
		if err != nil {
			return nil, err
		}
		events, malformed := eventsOf(log, records, read)
		reply := response{Failures: []failure{}}
		if len(events) == 0 && malformed == 0 {
			return reply, nil // last uses, new numbers of accounts, and what else nobody waits for
		}
		done, refused, err := bus.Put(ctx, events)
		for _, r := range refused {
			e := events[r.Event]
			log.Error("event refused", append(e.subject(), "type", string(e.Type), "event_id", e.ID, "code", r.Code)...)
		}
		attrs := []any{"count", done - len(refused), "refused", len(refused), "malformed", malformed, "failed", len(events) - done, "duration_ms", watch.Elapsed().Milliseconds()}
		if done < len(events) {
			reply.Failures = append(reply.Failures, failure{events[done].sequence})
			log.Error("events not put", append(attrs, "reason", fmt.Sprint(err))...)
		} else {
			log.Info("events put", attrs...)
		}
		put(map[string]float64{
			"EventsPut": float64(done - len(refused)), "EventsRefused": float64(len(refused) + malformed), "EventsFailed": float64(len(events) - done),
		})
		return reply, nil
	})
}

func parse(raw json.RawMessage) ([]record, error) {
	var batch struct{ Records []record }
	if json.Unmarshal(raw, &batch) != nil || len(batch.Records) == 0 {
		return nil, errEvent
	}
	for _, r := range batch.Records {
		switch {
		case r.ID == "" || r.Name == "" || r.Change.SequenceNumber == "":
			return nil, errEvent
		case r.Change.StreamViewType != bothImages: // passing these over would lose every event
			return nil, errImages
		}
	}
	return batch.Records, nil
}

// eventsOf returns the events of records in their order. It passes over a record that cannot be read,
// because it would be unreadable every time and hold up all that follow.
func eventsOf(log *slog.Logger, records []record, read Images) (events []Event, malformed int) {
	for _, r := range records {
		e, err := r.event(read)
		switch {
		case errors.Is(err, fault.ErrCorrupt):
			malformed++
			log.Error("stream record passed over", "event_id", r.ID, "sequence_number", r.Change.SequenceNumber, "reason", err.Error())
		case e.Type != "":
			events = append(events, e)
		}
	}
	return events, malformed
}

// event returns the event of a record, without a type if there is none.
func (r record) event(read Images) (e Event, err error) {
	partition, sort := r.Change.Keys.Partition.S, r.Change.Keys.Sort.S
	switch {
	case strings.HasPrefix(partition, "TOKEN#"):
		err = e.ofToken(r, read.Token)
	case strings.HasPrefix(partition, "USER#") && sort == "PROFILE":
		err = e.ofAccount(r, read.Account)
	case partition == "SETTINGS" && sort == "APPLICATION":
		err = e.ofSettings(r, read.TokensFrom)
	}
	if err != nil || e.Type == "" {
		return Event{}, err
	}
	if e.Number, err = padded(r.Change.SequenceNumber); err != nil {
		return Event{}, err
	}
	e.ID, e.sequence = r.ID, r.Change.SequenceNumber
	e.Table, _, _ = strings.Cut(r.StreamARN, "/stream/")
	e.at = time.Unix(int64(math.Floor(r.Change.At)), 0).UTC()
	e.Time = instant(e.at)
	return e, nil
}

func (e *Event) ofToken(r record, read func([]byte) (token.Token, error)) error {
	if r.Name == removed { // clean-up comes long after the end
		return nil
	}
	before, after, err := imagesOf(r, read)
	if err != nil {
		return err
	}
	e.Token = recordOf(after)
	if r.Name == inserted {
		e.Type, e.NoticeDays = decide(nil, after)
		return nil
	}
	e.Type, e.NoticeDays = decide(&before, after)
	return nil
}

func (e *Event) ofAccount(r record, read func([]byte) (account.Account, error)) error {
	if r.Name == inserted { // it has no tokens, or one that has an event
		return nil
	}
	before, after, err := imagesOf(r, read)
	switch {
	case err != nil:
		return err
	case r.Name == removed:
		e.Type, e.Account = decideDeletion(before), Profile{ID: before.ID, Bot: before.Bot}
	default:
		e.Type, err = decideAccount(before, after)
		e.Account = profileOf(after)
	}
	return err
}

func (e *Event) ofSettings(r record, read func([]byte) (time.Time, error)) error {
	if r.Name == removed {
		return nil
	}
	before, after, err := imagesOf(r, read)
	if err == nil && !after.IsZero() && !after.Equal(before) {
		e.Type, e.MadeBefore = RevokedEverywhere, instant(after)
	}
	return err
}

// The names of records (DynamoDB Streams API reference, Record).
const (
	inserted = "INSERT"
	removed  = "REMOVE"
)

// imagesOf reads both images of a record: the zero value for what was not there, or is gone.
func imagesOf[T any](r record, read func([]byte) (T, error)) (before, after T, err error) {
	if r.Name != inserted {
		if before, err = read(r.Change.OldImage); err != nil {
			return before, after, fmt.Errorf("old image: %w", err)
		}
	}
	if r.Name != removed {
		if after, err = read(r.Change.NewImage); err != nil {
			return before, after, fmt.Errorf("new image: %w", err)
		}
	}
	return before, after, nil
}

// subject names for a log line what the event is about.
func (e Event) subject() []any {
	switch {
	case e.Token.ID != 0:
		return []any{"token_id", int64(e.Token.ID)}
	case e.Account.ID != 0:
		return []any{"owner", int64(e.Account.ID)}
	}
	return nil
}

// digits is the length of the longest sequence number (DynamoDB Streams API reference, StreamRecord).
const digits = 40

func padded(sequence string) (string, error) {
	if len(sequence) > digits || strings.Trim(sequence, "0123456789") != "" {
		return "", fmt.Errorf("%w: sequence number", fault.ErrCorrupt)
	}
	return strings.Repeat("0", digits-len(sequence)) + sequence, nil
}
