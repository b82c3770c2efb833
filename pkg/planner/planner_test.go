package planner_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"latchkey/pkg/fault"
	"latchkey/pkg/planner"
)

var at = time.Date(2031, 5, 7, 1, 30, 0, 0, time.UTC)

// A service answers as EventBridge Scheduler does, and writes down what it is asked.
type service struct {
	asked  []string
	body   map[string]any
	answer func(w http.ResponseWriter)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Method+" "+r.URL.String())
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &s.body)
	s.answer(w)
}

func refuse(status int, kind string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("X-Amzn-Errortype", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"Message":"a message that repeats what was asked"}`)
	}
}

func accept(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"ScheduleArn":"arn:aws:scheduler:x"}`) }

func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func newPlanner(t *testing.T, s *service) *planner.Planner {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client := scheduler.New(scheduler.Options{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("x", "x", ""),
		Retryer: retry.AddWithMaxBackoffDelay(retry.NewStandard(), time.Millisecond),
	}, planner.Configure(server.URL))
	return planner.New(client, planner.Planner{Group: "plans", Target: "arn:machine", Role: "arn:role", Queue: "arn:queue"})
}

// What is planned fires once, at its instant, and leaves nothing behind but the input of a start that
// failed for a day.
func TestPlan(t *testing.T) {
	s := &service{answer: accept}
	if err := newPlanner(t, s).Plan(t.Context(), at.In(time.FixedZone("", 5*3600))); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.asked, ", "); got != "POST /schedules/lifetime-20310507T013000Z" {
		t.Errorf("asked %s", got)
	}
	delete(s.body, "ClientToken") // another each time
	delete(s.body, "Description")
	want := map[string]any{
		"GroupName": "plans", "ScheduleExpression": "at(2031-05-07T01:30:00)", "ScheduleExpressionTimezone": "UTC",
		"FlexibleTimeWindow": map[string]any{"Mode": "OFF"}, "ActionAfterCompletion": "DELETE",
		"Target": map[string]any{
			"Arn": "arn:machine", "RoleArn": "arn:role", "Input": `{"time":"2031-05-07T01:30:00Z"}`,
			"RetryPolicy":      map[string]any{"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400},
			"DeadLetterConfig": map[string]any{"Arn": "arn:queue"},
		},
	}
	if fmt.Sprint(s.body) != fmt.Sprint(want) {
		t.Errorf("asked for %v\nwant %v", s.body, want)
	}
}

func TestCancel(t *testing.T) {
	s := &service{answer: accept}
	if err := newPlanner(t, s).Cancel(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.asked, ", "); !strings.HasPrefix(got, "DELETE /schedules/lifetime-20310507T013000Z?") || !strings.Contains(got, "groupName=plans") {
		t.Errorf("asked %s", got)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name         string
		answer       func(http.ResponseWriter)
		plan, cancel error
	}{
		{"it is planned already, by a try whose reply was lost", refuse(409, "ConflictException"), nil, fault.ErrUnavailable},
		{"nothing is planned, or it has started", refuse(404, "ResourceNotFoundException"), fault.ErrUnavailable, nil},
		{"not allowed", refuse(403, "AccessDeniedException"), fault.ErrUnavailable, fault.ErrUnavailable},
		{"too fast", refuse(429, "ThrottlingException"), fault.ErrUnavailable, fault.ErrUnavailable},
		{"out of order", refuse(500, "InternalServerException"), fault.ErrUnavailable, fault.ErrUnavailable},
		{"no answer", hangUp, fault.ErrUnavailable, fault.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlanner(t, &service{answer: c.answer})
			for name, got := range map[string][2]error{"plan": {p.Plan(t.Context(), at), c.plan}, "cancel": {p.Cancel(t.Context(), at), c.cancel}} {
				if !errors.Is(got[0], got[1]) {
					t.Errorf("%s: %v, want %v", name, got[0], got[1])
				}
				if got[0] != nil && (strings.Contains(got[0].Error(), "repeats") || strings.Contains(got[0].Error(), "127.0.0.1")) {
					t.Errorf("%s: the error says %q", name, got[0])
				}
			}
		})
	}
	t.Run("a reply that was lost is asked for again", func(t *testing.T) {
		s := &service{}
		s.answer = func(w http.ResponseWriter) {
			if len(s.asked) == 1 {
				hangUp(w)
			}
			refuse(409, "ConflictException")(w)
		}
		if err := newPlanner(t, s).Plan(t.Context(), at); err != nil {
			t.Error(err)
		}
	})
}
