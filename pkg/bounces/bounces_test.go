package bounces_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/infra/cloud/mailbox"
	"latchkey/pkg/account"
	"latchkey/pkg/bounces"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/notify"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/telemetry/telemetrytest"
)

const address = "ada@example.test"

var sent = time.Date(2026, 3, 19, 1, 0, 2, 500e6, time.UTC)

// marks keeps what it was to mark.
type marks struct {
	got []directory.Return
	err error
}

func (m *marks) Mark(_ context.Context, back directory.Return) (bool, error) {
	m.got = append(m.got, back)
	return m.err == nil, m.err
}

func mail() mailbox.Mail {
	return mailbox.Mail{Number: 7, ReceivedAt: sent, From: "latchkey@example.test", To: []string{address}, ConfigurationSet: "latchkey", Tags: map[string]string{"kind": "expiring", "account": "2"}}
}

// Breaks if the function, or the rule in front of it, looks for another tag than mails have.
func TestTheTagIsThatOfMails(t *testing.T) {
	template, err := os.ReadFile("../../infra/bounces.yaml")
	if want := "\n              " + notify.AccountTag + ": [{ exists: true }]\n"; err != nil || !strings.Contains(string(template), want) {
		t.Errorf("the rule does not ask for %s (%v)", want, err)
	}
	if bounces.AccountTag != notify.AccountTag {
		t.Errorf("%q is not %q", bounces.AccountTag, notify.AccountTag)
	}
}

func TestEvents(t *testing.T) {
	for name, test := range map[string]struct {
		kind   mailbox.Return
		change func(event map[string]any)
		code   string
		reason account.Unreachable
	}{
		"a permanent bounce marks":            {mailbox.PermanentBounce, nil, "bounced", account.Bounced},
		"a complaint marks":                   {mailbox.Complaint, nil, "complained", account.Complained},
		"a transient bounce marks nothing":    {mailbox.TransientBounce, nil, "transient", ""},
		"an undetermined one marks nothing":   {mailbox.PermanentBounce, set("Undetermined", "detail", "bounce", "bounceType"), "transient", ""},
		"a mail that is wanted marks nothing": {mailbox.Complaint, set("not-spam", "detail", "complaint", "complaintFeedbackType"), "wanted", ""},
		"an address with a name":              {mailbox.PermanentBounce, set([]any{"Ada <" + address + ">"}, "detail", "mail", "destination"), "bounced", account.Bounced},
	} {
		t.Run(name, func(t *testing.T) {
			logs, counts, m := telemetrytest.NewLogs(t), &telemetrytest.Counts{}, &marks{}
			logs.Secret(address)
			handler := bounces.Lambda(telemetry.NewLogger(logs, "bounces"), counts.Count, m)
			reply, err := handler.Invoke(t.Context(), changed(t, mailbox.ReturnEvent(mail(), test.kind, sent.Add(time.Second)), test.change))
			if err != nil {
				t.Fatal(err)
			}
			if got := counts.Take(); len(got) != 1 || got["MailsReturned "+test.code] != 1 {
				t.Errorf("counted %v", got)
			}
			if test.reason == "" {
				if len(m.got) != 0 || string(reply) != `{"marked":false}` {
					t.Errorf("%s, marked %+v", reply, m.got)
				}
				return
			}
			if len(m.got) != 1 || m.got[0].Account != 2 || m.got[0].Address != address || !m.got[0].SentAt.Equal(sent) || m.got[0].Reason != test.reason || m.got[0].RequestID == "" {
				t.Errorf("%s, marked %+v", reply, m.got)
			}
		})
	}
}

// Breaks if an event that is none of ours marks somebody, or disappears without an error.
func TestOtherEventsAreRefused(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"of another service":    set("aws.s3", "source"),
		"of another type":       set("Open", "detail", "eventType"),
		"about another's mail":  set(map[string]any{}, "detail", "mail", "tags"),
		"with two accounts":     set([]any{"2", "3"}, "detail", "mail", "tags", "account"),
		"of an account 0":       set([]any{"0"}, "detail", "mail", "tags", "account"),
		"of no account":         set([]any{"ada"}, "detail", "mail", "tags", "account"),
		"to several people":     set([]any{address, "eve@example.test"}, "detail", "mail", "destination"),
		"to no address":         set([]any{"undisclosed"}, "detail", "mail", "destination"),
		"without an instant":    set("", "detail", "mail", "timestamp"),
		"with another's object": set([]any{}, "detail"),
	} {
		logs, counts, m := telemetrytest.NewLogs(t), &telemetrytest.Counts{}, &marks{}
		logs.Secret(address)
		handler := bounces.Lambda(telemetry.NewLogger(logs, "bounces"), counts.Count, m)
		_, err := handler.Invoke(t.Context(), changed(t, mailbox.ReturnEvent(mail(), mailbox.PermanentBounce, sent), change))
		reported, _ := errors.AsType[messages.InvokeResponse_Error](err)
		if reported.Type != "EventInvalid" || strings.Contains(reported.Message, address) || len(m.got) != 0 || len(counts.Take()) != 0 {
			t.Errorf("%s: %v, %+v", name, err, m.got)
		}
	}
}

// Breaks if an event is lost while the table does not answer: only an error brings it back.
func TestAFailureIsAnError(t *testing.T) {
	logs, counts, m := telemetrytest.NewLogs(t), &telemetrytest.Counts{}, &marks{err: fault.ErrUnavailable}
	logs.Secret(address)
	handler := bounces.Lambda(telemetry.NewLogger(logs, "bounces"), counts.Count, m)
	_, err := handler.Invoke(t.Context(), mailbox.ReturnEvent(mail(), mailbox.PermanentBounce, sent))
	if reported, _ := errors.AsType[messages.InvokeResponse_Error](err); reported.Type != "Unavailable" || len(counts.Take()) != 0 {
		t.Errorf("%v", err)
	}
	if line := logs.Lines(t); !strings.Contains(line, `"level":"ERROR","msg":"returned mail not recorded"`) || !strings.Contains(line, `"owner":2`) {
		t.Errorf("logged %s", line)
	}
}

// set returns a change of one value of an event.
func set(value any, path ...string) func(map[string]any) {
	return func(event map[string]any) {
		for _, name := range path[:len(path)-1] {
			event, _ = event[name].(map[string]any)
		}
		event[path[len(path)-1]] = value
	}
}

func changed(tb testing.TB, raw []byte, change func(map[string]any)) []byte {
	tb.Helper()
	if change == nil {
		return raw
	}
	var event map[string]any
	if err := json.Unmarshal(raw, &event); err != nil {
		tb.Fatal(err)
	}
	change(event)
	out, err := json.Marshal(event)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
