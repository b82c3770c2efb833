package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/invocation"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/restore"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Restorer ends what a restore has brought back; see restore.Restorer.
type Restorer interface {
	EndEverything(ctx context.Context, o restore.Order) (restore.Ended, error)
	CarryOver(ctx context.Context, o restore.Order) (restore.Carried, error)
}

// A Counter counts tokens; see lifecycle.Census.
type Counter interface {
	Beyond(ctx context.Context, latest clock.Day, after account.ID, most int) (beyond map[token.Kind]int, last account.ID, done bool, err error)
}

var (
	_ Restorer = (*restore.Restorer)(nil)
	_ Counter  = (*lifecycle.Census)(nil)
)

// An Operator serves the console payloads of the lifetime function. All parts are required.
type Operator struct {
	Restorer Restorer
	Counter  Counter
	Clock    clock.Clock
	Log      *slog.Logger
}

// Lambda returns a handler for the operator's payloads, which have an action, and for the events of a
// scan.
func (op Operator) Lambda(scan lambda.Handler) lambda.Handler { return operated{op, scan} }

type operated struct {
	Operator
	scan lambda.Handler
}

// Invoke implements lambda.Handler.
func (o operated) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var p struct {
		Action json.RawMessage `json:"action"`
	}
	if err := json.Unmarshal(payload, &p); err != nil || p.Action == nil {
		return o.scan.Invoke(ctx, payload)
	}
	return invocation.Handler(o.serve).Invoke(ctx, payload)
}

// An operatorPayload is a console payload. Action decides which fields count.
type operatorPayload struct {
	Action string `json:"action"`
	// After is the number that the call before has answered.
	After int64 `json:"after"`

	// end_every_token and carry_over
	Count bool `json:"count"`
	// MadeBefore is of end_every_token, and RestoredTo of carry_over.
	MadeBefore string `json:"made_before"`
	RestoredTo string `json:"restored_to"`

	// count_beyond_limit
	Lifetime int `json:"max_personal_access_token_lifetime"`
}

// errPayload means that no payload has this form.
var errPayload = &invocation.Error{
	Type: "EventInvalid",
	Message: "payload is not understood (action is end_every_token, with made_before and count or without; carry_over, with restored_to and with count or without; " +
		"or count_beyond_limit, with max_personal_access_token_lifetime; and each with after to go on)",
}

func (o operated) serve(ctx context.Context, raw json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields() // a misspelt option must not be ignored
	var p operatorPayload
	if err := decoder.Decode(&p); err != nil || p.After < 0 || p.After > account.MaxID {
		return nil, errPayload
	}
	order := restore.Order{Count: p.Count, After: account.ID(p.After)}
	if request, known := lambdacontext.FromContext(ctx); known {
		order.Request = request.AwsRequestID
	}
	var reply any
	var err error
	switch {
	case p == (operatorPayload{Action: "end_every_token", After: p.After, Count: p.Count, MadeBefore: p.MadeBefore}):
		reply, err = o.endEveryToken(ctx, order, p.MadeBefore)
	case p == (operatorPayload{Action: "carry_over", After: p.After, Count: p.Count, RestoredTo: p.RestoredTo}):
		reply, err = o.carryOver(ctx, order, p.RestoredTo)
	case p == (operatorPayload{Action: "count_beyond_limit", After: p.After, Lifetime: p.Lifetime}):
		reply, err = o.countBeyond(ctx, order.After, p.Lifetime)
	default:
		return nil, errPayload
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Action, err)
	}
	o.Log.Info("operator served", "action", p.Action, "after", p.After, "only_counted", p.Count, "reply", reply)
	return reply, nil
}

// instant reads an instant of a payload. "" is the zero time.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, restore.ErrBefore
	}
	return at.UTC(), nil
}

// walked is what every reply says about how far a call has come.
type walked struct {
	Done bool `json:"done"`
	// After is for the next call. It is absent once all are done.
	After int64 `json:"after,omitempty"`
}

func walkedTo(last account.ID, done bool) walked {
	if done {
		return walked{Done: true}
	}
	return walked{After: int64(last)}
}

type endedJSON struct {
	// MadeBefore is for the next call.
	MadeBefore string `json:"made_before"`
	Tokens     int    `json:"tokens"`
	Users      int    `json:"users"`
	Bots       int    `json:"bots"`
	walked
}

func (o operated) endEveryToken(ctx context.Context, order restore.Order, before string) (any, error) {
	var done restore.Ended
	var err error
	if order.Before, err = instant(before); err == nil {
		done, err = o.Restorer.EndEverything(ctx, order)
	}
	if errors.Is(err, restore.ErrBefore) {
		err = &invocation.Error{Type: "InputInvalid", Message: "made_before must be an instant such as 2026-03-19T08:00:00Z, at most an hour from now; with after, send the one of the last reply along"}
	}
	return endedJSON{done.Before.Format(time.RFC3339), done.Tokens, done.Accounts, done.Bots, walkedTo(done.Last, done.Done)}, err
}

type carriedJSON struct {
	Tokens      int `json:"tokens"`
	Rotated     int `json:"tokens_rotated"`
	Bots        int `json:"bots"`
	InBulk      int `json:"users_revoked_in_bulk"`
	Deleted     int `json:"users_deleted"`
	Blocked     int `json:"users_blocked"`
	Ranks       int `json:"users_lowered"`
	Identities  int `json:"identities"`
	Memberships int `json:"memberships"`
	walked
}

func (o operated) carryOver(ctx context.Context, order restore.Order, restoredTo string) (any, error) {
	var c restore.Carried
	var err error
	if order.Before, err = instant(restoredTo); err == nil {
		c, err = o.Restorer.CarryOver(ctx, order)
	}
	switch {
	case errors.Is(err, restore.ErrBefore):
		err = &invocation.Error{Type: "InputInvalid", Message: "restored_to must be the instant to which the table was restored, such as 2026-03-19T08:00:00Z"}
	case errors.Is(err, restore.ErrNoOldTable):
		err = &invocation.Error{Type: "Conflict", Message: "the stack knows no table to compare with: deploy it with OldTable first"}
	case errors.Is(err, restore.ErrOtherTable):
		err = &invocation.Error{Type: "Conflict", Message: "OldTable has fewer accounts than this table, so it cannot be the table that this one was restored from"}
	}
	return carriedJSON{c.Tokens, c.Rotated, c.Bots, c.Accounts, c.Deleted, c.Blocked, c.Ranks, c.Identities, c.Members, walkedTo(c.Last, c.Done)}, err
}

// beyondJSON counts tokens by kind.
type beyondJSON struct {
	Personal      int `json:"personal"`
	Impersonation int `json:"impersonation"`
	Project       int `json:"project"`
	Group         int `json:"group"`
	walked
}

func (o operated) countBeyond(ctx context.Context, after account.ID, days int) (any, error) {
	if days < 1 || days > settings.MaxLifetimeDays {
		return nil, &invocation.Error{Type: "InputInvalid", Message: fmt.Sprintf("max_personal_access_token_lifetime must be a whole number between 1 and %d", settings.MaxLifetimeDays)}
	}
	latest := clock.DayOf(o.Clock.Now().Add(settings.Grace)).AddDays(days) // of the run, if the limit changed now
	n, last, done, err := o.Counter.Beyond(ctx, latest, after, 0)
	return beyondJSON{n[token.Personal], n[token.Impersonation], n[token.Project], n[token.Group], walkedTo(last, done)}, err
}
