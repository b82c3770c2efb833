// Package schedule serves the events of the two daily scans and of the lifetime run. They come from
// the state machine that EventBridge Scheduler starts, or from an operator's direct invocation.
//
// Start with Lambda. The input is `{"time": RFC 3339, "shard": n}` and the output `{"done": bool,
// "tokens": n, "mails": n, "failed": n}`; without a shard, all shards are scanned. tokens counts
// the revoked tokens or, in a scan that revokes none, the announced ones. The package promises one
// log line and one set of metrics for each run, zeros included, and an error type for each cause
// that the state machine branches on. Operator adds the console payloads of
// the lifetime function, and Endings serves a schedule of its own. The package decides nothing about
// tokens.
package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/sweep"
)

// reserve is how long before its deadline a function starts no new work. It leaves time for the
// current batch.
const reserve = 45 * time.Second

// A Scan runs a scan; see sweep.Scanner.Run.
type Scan interface {
	Run(ctx, stop context.Context, e sweep.Event) (sweep.Result, error)
}

var _ Scan = (*sweep.Scanner)(nil)

// Metrics writes measured values; see telemetry.Metrics.Put.
type Metrics interface {
	Put(values map[string]float64)
}

type event struct {
	Time  string `json:"time"`
	Shard *int   `json:"shard"`
}

type reply struct {
	Done   bool `json:"done"`
	Tokens int  `json:"tokens"`
	Mails  int  `json:"mails"`
	Failed int  `json:"failed"`
}

// Lambda returns the handler of a scan. Its errors have these types: EventInvalid, MailQuotaUsedUp,
// MailPaused, MailSenderRefused, MailThrottled, MailUnsent, TableUnavailable, ScanFailed.
func Lambda(log *slog.Logger, metrics Metrics, scan Scan) lambda.Handler {
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		e, err := parse(raw)
		if err != nil {
			log.Error("scan event malformed", "reason", err.Error())
			return nil, typed(err)
		}
		stop, cancel := clock.Early(ctx, reserve)
		defer cancel()
		watch := clock.StartStopwatch()
		result, err := scan.Run(ctx, stop, e)
		report(log, metrics, e, result, watch.Elapsed(), err)
		if err != nil {
			return nil, typed(err)
		}
		c := result.Counts
		tokens := c.Revoked
		if tokens == 0 {
			tokens = c.Marked
		}
		return reply{Done: result.Done, Tokens: tokens, Mails: c.Mails, Failed: c.Failed}, nil
	})
}

// errEvent means that the input is not an event of a scan.
var errEvent = errors.New(`event is not {"time": "2006-01-02T15:04:05Z", "shard": n} (shard may be left out)`)

func parse(raw json.RawMessage) (sweep.Event, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var e event
	if err := decoder.Decode(&e); err != nil {
		return sweep.Event{}, errEvent
	}
	if e.Time == "" {
		return sweep.Event{}, errors.Join(sweep.ErrTime, errEvent)
	}
	at, err := time.Parse(time.RFC3339, e.Time)
	if err != nil {
		return sweep.Event{}, errors.Join(sweep.ErrTime, errEvent)
	}
	return sweep.Event{Time: at.UTC(), Shard: e.Shard}, nil
}

func report(log *slog.Logger, metrics Metrics, e sweep.Event, result sweep.Result, took time.Duration, err error) {
	c := result.Counts
	if c.Skipped == nil {
		c.Skipped = map[string]int{} // the log omits a nil map
	}
	skipped := 0
	for _, n := range c.Skipped {
		skipped += n
	}
	attrs := []any{
		"day", clock.DayOf(e.Time).String(), "done", result.Done,
		"examined", c.Examined, "due", c.Due, "mails", c.Mails, "marked", c.Marked, "revoked", c.Revoked,
		"skipped", skipped, "skipped_by_reason", c.Skipped, "failed", c.Failed, "bots_removed", c.BotsRemoved,
		"duration_ms", took.Milliseconds(),
	}
	if e.Shard != nil {
		attrs = append(attrs, "shard", *e.Shard)
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelError
		attrs = append(attrs, "reason", err.Error())
	}
	log.Log(context.Background(), level, "scan finished", attrs...)
	metrics.Put(map[string]float64{
		"ScanExamined": float64(c.Examined), "ScanDue": float64(c.Due), "ScanMarked": float64(c.Marked),
		"ScanSkipped": float64(skipped), "TokensRevoked": float64(c.Revoked), "RemindersSent": float64(c.Mails), "RemindersFailed": float64(c.Failed),
		"BotsRemoved":  float64(c.BotsRemoved),
		"ScanDuration": float64(took.Milliseconds()),
	})
}

// typed gives an error the type that the state machine's States.ErrorEquals compares.
func typed(err error) error {
	name := "ScanFailed"
	for _, row := range []struct {
		err  error
		name string
	}{
		{errEvent, "EventInvalid"}, {sweep.ErrTime, "EventInvalid"}, {sweep.ErrShard, "EventInvalid"},
		{sweep.ErrPaused, "MailPaused"}, {sweep.ErrSender, "MailSenderRefused"},
		{sweep.ErrQuota, "MailQuotaUsedUp"}, {sweep.ErrThrottled, "MailThrottled"}, {sweep.ErrUnsent, "MailUnsent"},
		{fault.ErrUnavailable, "TableUnavailable"},
	} {
		if errors.Is(err, row.err) {
			name = row.name
			break
		}
	}
	return messages.InvokeResponse_Error{Type: name, Message: err.Error()}
}
