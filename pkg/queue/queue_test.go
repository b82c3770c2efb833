package queue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/pkg/fault"
	"latchkey/pkg/queue"
	"latchkey/pkg/sweep"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/token"
)

// A messenger keeps what it was to tell.
type messenger struct {
	told [][]token.ID
	// reused are those that were revoked because of reuse.
	reused []token.ID
	fail   error
	till   time.Duration // of the context, from now
}

func (m *messenger) Reused(ctx context.Context, ids []token.ID) (int, error) {
	m.reused = append(m.reused, ids...)
	return len(ids), m.fail
}

func (m *messenger) Leaked(ctx context.Context, ids []token.ID) (int, error) {
	m.told = append(m.told, ids)
	if deadline, bounded := ctx.Deadline(); bounded {
		m.till = time.Until(deadline)
	}
	return len(ids), m.fail
}

func event(tb testing.TB, bodies ...string) []byte {
	tb.Helper()
	var records []map[string]string
	for i, body := range bodies {
		records = append(records, map[string]string{"messageId": fmt.Sprintf("m%d", i), "body": body, "eventSource": "aws:sqs"})
	}
	raw, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// What is queued arrives.
func TestMessages(t *testing.T) {
	ids := []token.ID{4194305, 8388609, 1<<53 - 1}
	body := queue.Body(ids)
	if body != `{"tokens":[4194305,8388609,9007199254740991]}` {
		t.Errorf("body %s", body)
	}
	var log bytes.Buffer
	counted := map[string]int{}
	m := &messenger{}
	handler := queue.Lambda(telemetry.NewLogger(&log, "leakmails"), func(metric, code string) { counted[metric+" "+code]++ }, m)
	out, err := handler.Invoke(t.Context(), event(t, body, queue.Body(ids[:1])))
	if err != nil || string(out) != `{"mails":4}` || !reflect.DeepEqual(m.told, [][]token.ID{ids, ids[:1]}) {
		t.Errorf("%s, %v, told %v", out, err, m.told)
	}
	if counted["LeakMails sent"] != 4 || counted["LeakMails failed"] != 0 || strings.Count(log.String(), `"msg":"leak announced"`) != 2 {
		t.Errorf("counted %v, logged %s", counted, &log)
	}
}

// Breaks if a message whose people were not told is taken for done, or if its failure hides the others.
func TestMessagesThatFail(t *testing.T) {
	good := queue.Body([]token.ID{4194305})
	for _, test := range []struct {
		name   string
		bodies []string
		fail   error
		kind   string
		told   int
	}{
		{"a mail", []string{good, good}, sweep.ErrQuota, "MailUnsent", 2},
		{"the table", []string{good}, fault.ErrUnavailable, "TableUnavailable", 1},
		{"no message", nil, nil, "MessageInvalid", 0},
		{"no JSON", []string{"lkpat_", good}, nil, "MessageInvalid", 1},
		{"no tokens", []string{`{"tokens":[]}`}, nil, "MessageInvalid", 0},
		{"texts for ids", []string{`{"tokens":["4194305"]}`}, nil, "MessageInvalid", 0},
		{"an id of nobody", []string{`{"tokens":[7]}`}, nil, "MessageInvalid", 0},
		{"a negative id", []string{`{"tokens":[-4194305]}`}, nil, "MessageInvalid", 0},
		{"more than tokens", []string{`{"tokens":[4194305],"value":"lkpat_"}`}, nil, "MessageInvalid", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			m := &messenger{fail: test.fail}
			handler := queue.Lambda(telemetry.NewLogger(&log, "leakmails"), func(string, string) {}, m)
			_, err := handler.Invoke(t.Context(), event(t, test.bodies...))
			var typed messages.InvokeResponse_Error
			if !errors.As(err, &typed) || typed.Type != test.kind || len(m.told) != test.told {
				t.Errorf("error %+v, told %v", err, m.told)
			}
			if strings.Contains(log.String()+typed.Message, "lkpat_") {
				t.Errorf("a body was logged: %s, %s", &log, typed.Message)
			}
		})
	}
}

// Breaks if people do not learn of reuse, or if a record that cannot be read holds up the others.
func TestRecordsOfTheStream(t *testing.T) {
	const batch = `{"Records":[
		{"eventID":"1","eventName":"MODIFY","dynamodb":{"NewImage":{"id":{"N":"4194305"},"revoked_reason":{"S":"reuse"}}}},
		{"eventID":"2","eventName":"MODIFY","dynamodb":{"NewImage":{"revoked_reason":{"S":"reuse"}}}},
		{"eventID":"3","eventName":"MODIFY","dynamodb":{"NewImage":{"id":{"N":"9007199254740991"},"revoked_reason":{"S":"reuse"}}}}]}`
	for _, test := range []struct {
		fail      error
		kind, log string
		counted   map[string]int
	}{
		{nil, "", `"malformed":1,"tokens":2,"mails":2`, map[string]int{"ReuseMails sent": 2}},
		{sweep.ErrQuota, "MailUnsent", "reuse not announced", map[string]int{"ReuseMails sent": 2, "ReuseMails failed": 1}},
	} {
		var log bytes.Buffer
		counted := map[string]int{}
		m := &messenger{fail: test.fail}
		handler := queue.Lambda(telemetry.NewLogger(&log, "leakmails"), func(metric, code string) { counted[metric+" "+code]++ }, m)
		_, err := handler.Invoke(t.Context(), []byte(batch))
		var typed messages.InvokeResponse_Error
		if errors.As(err, &typed); typed.Type != test.kind || !reflect.DeepEqual(m.reused, []token.ID{4194305, 9007199254740991}) || m.told != nil {
			t.Errorf("error %+v, told of reuse %v, of leaks %v", err, m.reused, m.told)
		}
		if !reflect.DeepEqual(counted, test.counted) || !strings.Contains(log.String(), test.log) {
			t.Errorf("counted %v, logged %s", counted, &log)
		}
	}
}

// Sent mails must be noted before the function is stopped.
func TestMessagesStopInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		m := &messenger{}
		handler := queue.Lambda(telemetry.NewLogger(&bytes.Buffer{}, "leakmails"), func(string, string) {}, m)
		if _, err := handler.Invoke(ctx, event(t, queue.Body([]token.ID{4194305}))); err != nil || m.till != 45*time.Second {
			t.Errorf("%v, %s left", err, m.till)
		}
	})
}
