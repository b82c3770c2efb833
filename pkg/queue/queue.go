// Package queue serves the queue of reported tokens, whose people are still to be told, and the records of
// the table's stream by which tokens were revoked because of reuse. A message has the ids of the tokens of
// one report and nothing else: no bearer, no digest and no name.
//
// Start with Lambda, which receives both. Package sender below it adds them; it is separate, so
// that only the function that takes reports links the queue's client. The package promises one log
// line for each message and each batch of records, and an error type of ours when people could not be
// told. They are then delivered again; the queue in the end moves a message to its dead letters.
package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// A message is the body of a message.
type message struct {
	Tokens []token.ID `json:"tokens"`
}

// Body returns the body of a message about these tokens. The same tokens in the same order have the
// same body, by which a FIFO queue recognizes a repeated report.
func Body(ids []token.ID) string {
	body, err := json.Marshal(message{ids})
	if err != nil {
		panic("queue: " + err.Error()) // numbers always encode
	}
	return string(body)
}

// ErrMessage means that a message is not about tokens.
var ErrMessage = errors.New(`message is not {"tokens": [ids]}`)

func parse(body string) ([]token.ID, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(body)))
	decoder.DisallowUnknownFields()
	var m message
	if err := decoder.Decode(&m); err != nil || len(m.Tokens) == 0 {
		return nil, ErrMessage
	}
	for _, id := range m.Tokens {
		if id.Owner() < 1 || id.Number() < 1 {
			return nil, ErrMessage
		}
	}
	return m.Tokens, nil
}

// A Messenger tells people about tokens; see sweep.Messenger.
type Messenger interface {
	Leaked(ctx context.Context, ids []token.ID) (mails int, err error)
	Reused(ctx context.Context, ids []token.ID) (mails int, err error)
}

var _ Messenger = (*sweep.Messenger)(nil)

// event is the part of the event source mappings' events that is used (Lambda developer guide, "Using
// Lambda with Amazon SQS" and "Using AWS Lambda with Amazon DynamoDB"). Its records are all from one of the
// two.
type event struct {
	Records []struct {
		MessageID string `json:"messageId"`
		Body      string `json:"body"`
		Change    *struct {
			NewImage struct {
				ID struct {
					N token.ID `json:"N,string"`
				} `json:"id"`
			}
		} `json:"dynamodb"`
	} `json:"Records"`
}

// reused returns the tokens of an event of the stream. A record without an id names none: its record would be
// unreadable every time and hold up all that follow.
func (e event) reused() (ids []token.ID, ofStream bool) {
	for _, record := range e.Records {
		if record.Change == nil {
			continue
		}
		ofStream = true
		if id := record.Change.NewImage.ID.N; id != 0 {
			ids = append(ids, id)
		}
	}
	return ids, ofStream
}

// reserve is how long before its deadline the function starts no new mail, so that it can note which
// ones it has sent.
const reserve = 15 * time.Second

// Lambda returns the handler of functions/leakmails. count adds one to a metric. Its errors have these
// types: MessageInvalid, TableUnavailable, MailUnsent.
func Lambda(log *slog.Logger, count func(metric, code string), messenger Messenger) lambda.Handler {
	leak := affair{
		messenger.Leaked, func(code string) { count("LeakMails", code) },
		func(log *slog.Logger) { log.Info("leak announced") },
		func(log *slog.Logger, err error) { log.Error("leak not announced", "reason", err.Error()) },
	}
	reuse := affair{
		messenger.Reused, func(code string) { count("ReuseMails", code) },
		func(log *slog.Logger) { log.Info("reuse announced") },
		func(log *slog.Logger, err error) { log.Error("reuse not announced", "reason", err.Error()) },
	}
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		ctx, cancel := clock.Early(ctx, reserve)
		defer cancel()
		var e event
		if err := json.Unmarshal(raw, &e); err != nil || len(e.Records) == 0 {
			return nil, typed(ErrMessage)
		}
		if reused, ofStream := e.reused(); ofStream {
			return reply(reuse.tell(ctx, log.With("malformed", len(e.Records)-len(reused)), reused, nil))
		}
		var failures []error
		sent := 0
		for _, record := range e.Records {
			ids, err := parse(record.Body)
			mails, err := leak.tell(ctx, log.With("message_id", record.MessageID), ids, err)
			sent += mails
			failures = append(failures, err)
		}
		return reply(sent, errors.Join(failures...))
	})
}

// An affair is something that people are told about.
type affair struct {
	announce func(ctx context.Context, ids []token.ID) (mails int, err error)
	count    func(code string)
	// done and failed write a line.
	done   func(*slog.Logger)
	failed func(*slog.Logger, error)
}

// tell tells people about tokens unless these could not be read. It logs and counts the mails.
func (a affair) tell(ctx context.Context, log *slog.Logger, ids []token.ID, unread error) (mails int, err error) {
	watch := clock.StartStopwatch()
	if err = unread; err == nil {
		mails, err = a.announce(ctx, ids)
	}
	for range mails {
		a.count("sent")
	}
	log = log.With("tokens", len(ids), "mails", mails, "duration_ms", watch.Elapsed().Milliseconds())
	if err != nil {
		a.count("failed")
		a.failed(log, err)
		return mails, err
	}
	a.done(log)
	return mails, nil
}

func reply(mails int, err error) (any, error) {
	if err != nil {
		return nil, typed(err)
	}
	return map[string]int{"mails": mails}, nil
}

// typed gives an error a type of ours. The message has only ids.
func typed(err error) error {
	name := "MailUnsent"
	switch {
	case errors.Is(err, ErrMessage):
		name = "MessageInvalid"
	case errors.Is(err, fault.ErrUnavailable):
		name = "TableUnavailable"
	}
	return messages.InvokeResponse_Error{Type: name, Message: fmt.Sprint(err)}
}
