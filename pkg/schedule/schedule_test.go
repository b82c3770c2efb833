package schedule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/infra/golden"
	"latchkey/pkg/fault"
	"latchkey/pkg/schedule"
	"latchkey/pkg/sweep"
	"latchkey/pkg/telemetry"
)

// A scan is a schedule.Scan that remembers its event.
type scan struct {
	run    func(ctx, stop context.Context) (sweep.Result, error)
	events []sweep.Event
}

func (s *scan) Run(ctx, stop context.Context, e sweep.Event) (sweep.Result, error) {
	s.events = append(s.events, e)
	return s.run(ctx, stop)
}

func answering(result sweep.Result, err error) *scan {
	return &scan{run: func(context.Context, context.Context) (sweep.Result, error) { return result, err }}
}

var scheduled = time.Date(2031, 5, 7, 1, 0, 0, 0, time.UTC)

// invoke runs one event and returns the reply and what was logged.
func invoke(ctx context.Context, t *testing.T, s *scan, event string) (reply, logged string, err error) {
	t.Helper()
	var log bytes.Buffer
	logger := telemetry.NewLogger(&log, "expiring")
	metrics := telemetry.Metrics{Log: logger, Stage: "test", Function: "expiring", Now: func() time.Time { return scheduled }}
	out, err := schedule.Lambda(logger, metrics, s).Invoke(ctx, []byte(event))
	return string(out), log.String(), err
}

func TestContract(t *testing.T) {
	t.Parallel()
	result := sweep.Result{Done: true, Counts: sweep.Counts{
		Examined: 12, Due: 9, Mails: 3, Marked: 8, Failed: 1, Skipped: map[string]int{"revoked": 2, "gone": 1},
	}}
	seven := 7
	for _, c := range []struct {
		name, event string
		result      sweep.Result
		wantTime    time.Time
		wantShard   *int
		want        string
	}{
		{"all shards", `{"time":"2031-05-07T01:00:00Z"}`, result, scheduled, nil, `{"done":true,"tokens":8,"mails":3,"failed":1}`},
		{"one shard", `{"time":"2031-05-07T01:00:00Z","shard":7}`, result, scheduled, &seven, `{"done":true,"tokens":8,"mails":3,"failed":1}`},
		{"no shard is null", `{"time":"2031-05-07T01:00:00Z","shard":null}`, result, scheduled, nil, `{"done":true,"tokens":8,"mails":3,"failed":1}`},
		{"another zone is turned into UTC", `{"time":"2031-05-07T03:00:00+02:00"}`, result, scheduled, nil, `{"done":true,"tokens":8,"mails":3,"failed":1}`},
		{"more to do", `{"time":"2031-05-07T01:00:00Z"}`, sweep.Result{}, scheduled, nil, `{"done":false,"tokens":0,"mails":0,"failed":0}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := answering(c.result, nil)
			got, _, err := invoke(t.Context(), t, s, c.event)
			if err != nil || got != c.want {
				t.Fatalf("got %s, %v, want %s", got, err, c.want)
			}
			if e := s.events[0]; !e.Time.Equal(c.wantTime) || e.Time.Location() != time.UTC || show(e.Shard) != show(c.wantShard) {
				t.Errorf("event is %v, %s", e.Time, show(e.Shard))
			}
		})
	}
}

func show(shard *int) string {
	if shard == nil {
		return "all"
	}
	return fmt.Sprint(*shard)
}

func TestMalformedEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, event string }{
		{"an empty event", `{}`},
		{"null", `null`},
		{"a list", `[]`},
		{"a text", `"2031-05-07T01:00:00Z"`},
		{"a time without a zone", `{"time":"2031-05-07T01:00:00"}`},
		{"a day", `{"time":"2031-05-07"}`},
		{"a number for the time", `{"time":1935709200}`},
		{"an unfilled placeholder", `{"time":"<aws.scheduler.scheduled-time>"}`},
		{"an empty time", `{"time":""}`},
		{"a text for the shard", `{"time":"2031-05-07T01:00:00Z","shard":"7"}`},
		{"a fraction for the shard", `{"time":"2031-05-07T01:00:00Z","shard":1.5}`},
		{"an unknown field", `{"time":"2031-05-07T01:00:00Z","shards":7}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := answering(sweep.Result{Done: true}, nil)
			out, logged, err := invoke(t.Context(), t, s, c.event)
			wantType(t, err, "EventInvalid")
			if out != "" || len(s.events) > 0 {
				t.Errorf("it was run: %s", out)
			}
			if !strings.Contains(logged, `"level":"ERROR"`) || strings.Contains(logged, "placeholder") {
				t.Errorf("logged %s", logged)
			}
		})
	}
}

func wantType(t *testing.T, err error, want string) {
	t.Helper()
	var typed messages.InvokeResponse_Error
	if !errors.As(err, &typed) {
		t.Fatalf("err = %v, which has no type", err)
	}
	if typed.Type != want {
		t.Errorf("type is %s, want %s", typed.Type, want)
	}
}

// The state machine branches on these names.
func TestErrorTypes(t *testing.T) {
	t.Parallel()
	unsent := fmt.Errorf("%w: %w", sweep.ErrUnsent, errors.New("odd"))
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"time", sweep.ErrTime, "EventInvalid"},
		{"shard", sweep.ErrShard, "EventInvalid"},
		{"quota", sweep.ErrQuota, "MailQuotaUsedUp"},
		{"paused", sweep.ErrPaused, "MailPaused"},
		{"sender", sweep.ErrSender, "MailSenderRefused"},
		{"throttled", sweep.ErrThrottled, "MailThrottled"},
		{"unsent", unsent, "MailUnsent"},
		{"table", fault.ErrUnavailable, "TableUnavailable"},
		{"anything else", errors.New("odd"), "ScanFailed"},
		{"a record that makes no sense", fault.ErrCorrupt, "ScanFailed"},
		{"paused and unsent", errors.Join(unsent, sweep.ErrPaused), "MailPaused"},
		{"the table and unsent", errors.Join(fault.ErrUnavailable, unsent), "MailUnsent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, _, err := invoke(t.Context(), t, answering(sweep.Result{}, fmt.Errorf("shard 3: %w", c.err)), `{"time":"2031-05-07T01:00:00Z"}`)
			wantType(t, err, c.want)
			if out != "" {
				t.Errorf("it was answered: %s", out)
			}
		})
	}
}

// A function starts nothing new when its deadline is near.
func TestStopsBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		timeout time.Duration
		want    time.Duration
	}{
		{"fifteen minutes", 15 * time.Minute, 14*time.Minute + 15*time.Second},
		{"a minute", time.Minute, 15 * time.Second},
		{"less than a batch may take", 44 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				started := time.Now()
				s := &scan{run: func(ctx, stop context.Context) (sweep.Result, error) {
					<-stop.Done()
					if ctx.Err() != nil {
						t.Error("the function's own time was up")
					}
					return sweep.Result{}, nil
				}}
				if _, _, err := invoke(ctx, t, s, `{"time":"2031-05-07T01:00:00Z"}`); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(started); took != c.want {
					t.Errorf("stopped after %v, want %v", took, c.want)
				}
			})
		})
	}
	t.Run("without a deadline there is no end", func(t *testing.T) {
		t.Parallel()
		s := &scan{run: func(_, stop context.Context) (sweep.Result, error) {
			_, bounded := stop.Deadline()
			return sweep.Result{Done: !bounded}, stop.Err()
		}}
		if out, _, err := invoke(t.Context(), t, s, `{"time":"2031-05-07T01:00:00Z"}`); err != nil || !strings.Contains(out, `"done":true`) {
			t.Errorf("got %s, %v", out, err)
		}
	})
}

var clockTime = regexp.MustCompile(`"time":"[^"]*"`)

// One line and one set of metrics a run, zeros included: silence means trouble.
func TestLogs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, event string
		result      sweep.Result
		err         error
	}{
		{"nothing was due", `{"time":"2031-05-07T01:00:00Z"}`, sweep.Result{Done: true}, nil},
		{"a shard was finished", `{"time":"2031-05-07T01:00:00Z","shard":3}`, sweep.Result{Done: true, Counts: sweep.Counts{
			Examined: 120, Due: 110, Mails: 30, Marked: 109, Failed: 1, BotsRemoved: 2, Skipped: map[string]int{"revoked": 6, "owner_inactive": 4},
		}}, nil},
		{"more is to do", `{"time":"2031-05-07T01:00:00Z","shard":0}`, sweep.Result{Counts: sweep.Counts{Examined: 50, Due: 50, Mails: 50, Marked: 50}}, nil},
		{"sending is paused", `{"time":"2031-05-07T01:00:00Z","shard":15}`, sweep.Result{Counts: sweep.Counts{Examined: 9, Due: 1, Failed: 1}},
			fmt.Errorf("shard 15: owner 7: %w", sweep.ErrPaused)},
		{"the event cannot be", `{"time":"1999-05-07T01:00:00Z"}`, sweep.Result{}, sweep.ErrTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &scan{run: func(context.Context, context.Context) (sweep.Result, error) {
					time.Sleep(1234 * time.Millisecond) // sleep: bubble time, the duration in the log
					return c.result, c.err
				}}
				_, logged, err := invoke(t.Context(), t, s, c.event)
				if (err == nil) != (c.err == nil) {
					t.Fatal(err)
				}
				lines(t, c.name, clockTime.ReplaceAllString(logged, `"time":"..."`))
			})
		})
	}
}

// lines compares what was logged with a golden file. Every line has to be JSON.
func lines(t *testing.T, name, got string) {
	t.Helper()
	golden.Check(t, name, got)
	for line := range strings.Lines(got) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line is not JSON: %s", line)
		}
	}
}

// Every sample event is in the contract's form; what its name says is refused is refused here or by
// the scan.
func TestSampleEvents(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"../../events/expiring/*.json", "../../events/expired/*.json"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = invoke(t.Context(), t, answering(sweep.Result{Done: true}, nil), string(raw))
			if strings.Contains(path, "without-time") {
				wantType(t, err, "EventInvalid")
			} else if err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// What a lifetime run reports are the tokens that it ended, or, when those were ended before, the ones
// that it told of.
func TestTokensOfALifetimeRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		counts sweep.Counts
		want   string
	}{
		"ended and told of":   {sweep.Counts{Revoked: 9, Marked: 5, Mails: 2}, `{"done":true,"tokens":9,"mails":2,"failed":0}`},
		"told of":             {sweep.Counts{Marked: 5, Mails: 2}, `{"done":true,"tokens":5,"mails":2,"failed":0}`},
		"ended, with no mail": {sweep.Counts{Revoked: 9}, `{"done":true,"tokens":9,"mails":0,"failed":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, logged, err := invoke(t.Context(), t, answering(sweep.Result{Done: true, Counts: c.counts}, nil), `{"time":"2031-05-07T01:00:00Z"}`)
			if err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			if !strings.Contains(logged, fmt.Sprintf(`"TokensRevoked":%d`, c.counts.Revoked)) {
				t.Errorf("logged %s", logged)
			}
		})
	}
}
