// Package queue serves the queue of reported tokens, whose people are still to be told. A message has
// the ids of the tokens of one report and nothing else: no bearer, no digest and no name.
//
// Start with Lambda, which receives messages. Package sender below it adds them; it is separate, so
// that only the function that takes reports links the queue's client. The package promises one log
// line for each message, and an error type of ours when people could not be told. The queue then
// delivers the message again, and in the end moves it to its dead letters.
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

// A Messenger tells people about reported tokens; see sweep.Messenger.
type Messenger interface {
	Leaked(ctx context.Context, ids []token.ID) (mails int, err error)
}

var _ Messenger = (*sweep.Messenger)(nil)

// event is the part of the event source mapping's event that is used (Lambda developer guide, "Using
// Lambda with Amazon SQS").
type event struct {
	Records []struct {
		MessageID string `json:"messageId"`
		Body      string `json:"body"`
	} `json:"Records"`
}

// reserve is how long before its deadline the function starts no new mail, so that it can note which
// ones it has sent.
const reserve = 15 * time.Second

// Lambda returns the handler of functions/leakmails. count adds one to a metric. Its errors have these
// types: MessageInvalid, TableUnavailable, MailUnsent.
func Lambda(log *slog.Logger, count func(metric, code string), messenger Messenger) lambda.Handler {
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		ctx, cancel := clock.Early(ctx, reserve)
		defer cancel()
		var e event
		if err := json.Unmarshal(raw, &e); err != nil || len(e.Records) == 0 {
			return nil, typed(ErrMessage)
		}
		var failures []error
		sent := 0
		for _, record := range e.Records {
			watch := clock.StartStopwatch()
			ids, err := parse(record.Body)
			mails := 0
			if err == nil {
				mails, err = messenger.Leaked(ctx, ids)
			}
			sent += mails
			for range mails {
				count("LeakMails", "sent")
			}
			attrs := []any{"message_id", record.MessageID, "tokens", len(ids), "mails", mails, "duration_ms", watch.Elapsed().Milliseconds()}
			if err != nil {
				count("LeakMails", "failed")
				log.Error("leak not announced", append(attrs, "reason", err.Error())...)
				failures = append(failures, err)
				continue
			}
			log.Info("leak announced", attrs...)
		}
		if err := errors.Join(failures...); err != nil {
			return nil, typed(err)
		}
		return map[string]int{"mails": sent}, nil
	})
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
