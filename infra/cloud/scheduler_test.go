package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/clock"
)

// Time inside a synctest bubble starts here, and passes as soon as everybody waits.
var bubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestScheduler(t *testing.T) {
	schedules := []Schedule{{Function: "expiring", At: time.Hour}, {Function: "expired", At: 2 * time.Hour}}
	// start returns what was invoked so far, as "function payload at instant".
	start := func(t *testing.T, log *bytes.Buffer, behave func(nth int) (string, error)) func() []string {
		var mu sync.Mutex
		var calls []string
		functions := map[string]handler{}
		for _, s := range schedules {
			functions[s.Function] = handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, fmt.Sprintf("%s %s at %s", s.Function, payload, clock.System{}.Now().Format(time.DateTime)))
				out, err := behave(len(calls))
				return []byte(out), err
			})
		}
		s := newScheduler(Options{Functions: functions, ScheduleLog: slog.New(slog.NewTextHandler(log, nil))}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		s.start(ctx, schedules)
		return func() []string {
			synctest.Wait()
			cancel()
			s.Wait() // a schedule that did not end would hang here
			mu.Lock()
			defer mu.Unlock()
			return calls
		}
	}
	done := func(int) (string, error) { return `{"done":true}`, nil }
	t.Run("functions start at their times, each day", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls := start(t, new(bytes.Buffer), done)
			time.Sleep(26 * time.Hour) // sleep: bubble time, a day and the next night
			want := []string{
				`expiring {"time":"2000-01-01T01:00:00Z"} at 2000-01-01 01:00:00`,
				`expired {"time":"2000-01-01T02:00:00Z"} at 2000-01-01 02:00:00`,
				`expiring {"time":"2000-01-02T01:00:00Z"} at 2000-01-02 01:00:00`,
				`expired {"time":"2000-01-02T02:00:00Z"} at 2000-01-02 02:00:00`,
			}
			if got := calls(); !slices.Equal(got, want) {
				t.Errorf("calls:\n%s", strings.Join(got, "\n"))
			}
		})
	})
	t.Run("nothing starts before its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls := start(t, new(bytes.Buffer), done)
			time.Sleep(time.Hour - time.Second) // sleep: bubble time, up to just before the first scan
			if got := calls(); len(got) > 0 {
				t.Errorf("calls: %v", got)
			}
		})
	})
	t.Run("a run that is not done goes on with the same time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls := start(t, new(bytes.Buffer), func(nth int) (string, error) { return fmt.Sprintf(`{"done":%t}`, nth == 3), nil })
			time.Sleep(90 * time.Minute) // sleep: bubble time, past the first scan
			want := []string{
				`expiring {"time":"2000-01-01T01:00:00Z"} at 2000-01-01 01:00:00`,
				`expiring {"time":"2000-01-01T01:00:00Z"} at 2000-01-01 01:00:01`,
				`expiring {"time":"2000-01-01T01:00:00Z"} at 2000-01-01 01:00:02`,
			}
			if got := calls(); !slices.Equal(got, want) {
				t.Errorf("calls:\n%s", strings.Join(got, "\n"))
			}
		})
	})
	t.Run("a run that fails is logged and the next day's comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			calls := start(t, &log, func(nth int) (string, error) {
				if nth == 1 {
					return "", errors.New("no table")
				}
				return "{}}", nil
			})
			time.Sleep(25*time.Hour + time.Second) // sleep: bubble time, past the first scan of the next day
			if got := calls(); len(got) != 3 {
				t.Errorf("calls:\n%s", strings.Join(got, "\n"))
			}
			for _, want := range []string{"scheduled run failed", "no table", "scheduled run answered badly"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%q is not in the log: %s", want, log.String())
				}
			}
		})
	})
}

func TestScheduleNext(t *testing.T) {
	schedule := Schedule{At: time.Hour}
	for name, test := range map[string]struct{ after, want time.Time }{
		"one second before is today": {bubble.Add(time.Hour - time.Second), bubble.Add(time.Hour)},
		"at its time is tomorrow":    {bubble.Add(time.Hour), bubble.Add(25 * time.Hour)},
		"one second after":           {bubble.Add(time.Hour + time.Second), bubble.Add(25 * time.Hour)},
		"other time zone, next UTC day": {
			time.Date(1999, 12, 31, 20, 0, 0, 0, time.FixedZone("", -5*3600)), bubble.Add(25 * time.Hour),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := schedule.next(test.after); !got.Equal(test.want) {
				t.Errorf("next = %s, want %s", got, test.want)
			}
		})
	}
}
