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

	"github.com/aws/aws-sdk-go-v2/aws"
	awsscheduler "github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"

	"latchkey/pkg/clock"
	"latchkey/pkg/planner"
)

const machine = "arn:machine"

func newPlanner(p *Plans, options ...func(*awsscheduler.Options)) *planner.Planner {
	return planner.New(p.Client(options...), planner.Planner{Group: "plans", Target: machine, Role: "arn:role", Queue: "arn:queue"})
}

func TestPlans(t *testing.T) {
	p := NewPlans(map[string]string{machine: "lifetime"})
	plan := func(at time.Time) error { return newPlanner(p).Plan(t.Context(), at) }
	for _, after := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour, time.Hour} {
		if err := plan(bubble.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if err := newPlanner(p).Cancel(t.Context(), bubble.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	first := Plan{"lifetime", bubble.Add(time.Hour), `{"time":"2000-01-01T01:00:00Z"}`}
	last := Plan{"lifetime", bubble.Add(3 * time.Hour), `{"time":"2000-01-01T03:00:00Z"}`}
	if got := p.All(); !slices.Equal(got, []Plan{first, last}) {
		t.Errorf("planned: %v", got)
	}
	if got := p.Take(bubble.Add(time.Hour - time.Second)); len(got) != 0 {
		t.Errorf("due a second before: %v", got)
	}
	if got := p.Take(bubble.Add(time.Hour)); !slices.Equal(got, []Plan{first}) {
		t.Errorf("due: %v", got)
	}
	if got := p.Take(bubble.Add(4 * time.Hour)); !slices.Equal(got, []Plan{last}) {
		t.Errorf("due later: %v", got)
	}
}

// What AWS would refuse is refused here.
func TestPlansThatCannotBe(t *testing.T) {
	p := NewPlans(map[string]string{machine: "lifetime"})
	good := func() *awsscheduler.CreateScheduleInput {
		return &awsscheduler.CreateScheduleInput{
			Name: aws.String("n"), GroupName: aws.String("g"), ScheduleExpression: aws.String("at(2000-01-01T01:00:00)"),
			FlexibleTimeWindow:    &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
			ActionAfterCompletion: types.ActionAfterCompletionDelete,
			Target: &types.Target{
				Arn: aws.String(machine), RoleArn: aws.String("r"), Input: aws.String("{}"),
				RetryPolicy:      &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(1), MaximumEventAgeInSeconds: aws.Int32(60)},
				DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String("q")},
			},
		}
	}
	for name, c := range map[string]struct {
		change func(*awsscheduler.CreateScheduleInput)
		kind   string
	}{
		"nothing wrong":       {func(*awsscheduler.CreateScheduleInput) {}, ""},
		"the same name again": {func(*awsscheduler.CreateScheduleInput) {}, "ConflictException"},
		"a daily one":         {func(in *awsscheduler.CreateScheduleInput) { in.ScheduleExpression = aws.String("rate(1 day)") }, "ValidationException"},
		"no such instant": {func(in *awsscheduler.CreateScheduleInput) {
			in.ScheduleExpression = aws.String("at(2000-13-01T01:00:00)")
		}, "ValidationException"},
		"another zone": {func(in *awsscheduler.CreateScheduleInput) { in.ScheduleExpressionTimezone = aws.String("Europe/Paris") }, "ValidationException"},
		"a flexible window": {func(in *awsscheduler.CreateScheduleInput) {
			in.FlexibleTimeWindow.Mode = types.FlexibleTimeWindowModeFlexible
		}, "ValidationException"},
		"one that stays":  {func(in *awsscheduler.CreateScheduleInput) { in.ActionAfterCompletion = types.ActionAfterCompletionNone }, "ValidationException"},
		"another machine": {func(in *awsscheduler.CreateScheduleInput) { in.Target.Arn = aws.String("arn:other") }, "ValidationException"},
		"no queue":        {func(in *awsscheduler.CreateScheduleInput) { in.Target.DeadLetterConfig.Arn = aws.String("") }, "ValidationException"},
		"too many tries": {func(in *awsscheduler.CreateScheduleInput) {
			in.Target.RetryPolicy.MaximumRetryAttempts = aws.Int32(186)
		}, "ValidationException"},
		"tries for too long": {func(in *awsscheduler.CreateScheduleInput) {
			in.Target.RetryPolicy.MaximumEventAgeInSeconds = aws.Int32(86401)
		}, "ValidationException"},
		"input that is no JSON": {func(in *awsscheduler.CreateScheduleInput) { in.Target.Input = aws.String("{") }, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			in := good()
			in.Name = aws.String("n" + fmt.Sprint(len(name)))
			c.change(in)
			_, err := p.Client().CreateSchedule(t.Context(), in)
			if c.kind == "ConflictException" && err == nil {
				_, err = p.Client().CreateSchedule(t.Context(), in)
			}
			var api smithy.APIError
			if kind := ""; errors.As(err, &api) {
				if kind = api.ErrorCode(); kind != c.kind {
					t.Errorf("%s: %v", kind, err)
				}
			} else if c.kind != "" || err != nil {
				t.Errorf("err = %v", err)
			}
		})
	}
	var gone *types.ResourceNotFoundException
	if _, err := p.Client().DeleteSchedule(t.Context(), &awsscheduler.DeleteScheduleInput{Name: aws.String("none"), GroupName: aws.String("g")}); !errors.As(err, &gone) {
		t.Errorf("delete what is not there: %v", err)
	}
}

// A missing action must be found here and not in AWS.
func TestGuardPlans(t *testing.T) {
	all := []string{"scheduler:CreateSchedule", "iam:PassRole", "scheduler:DeleteSchedule"}
	for _, missing := range append(all, "none") {
		t.Run("without "+missing, func(t *testing.T) {
			p := NewPlans(map[string]string{machine: "lifetime"})
			f := Function{Name: "settings"}
			for _, action := range all {
				if action != missing {
					f.Permissions = append(f.Permissions, Permission{Action: action})
				}
			}
			guarded := newPlanner(p, func(o *awsscheduler.Options) { o.HTTPClient = f.GuardPlans(o.HTTPClient) })
			plans := guarded.Plan(t.Context(), bubble)
			cancels := guarded.Cancel(t.Context(), bubble)
			if (plans == nil) != (missing == "none" || missing == all[2]) {
				t.Errorf("plan: %v", plans)
			}
			if (cancels == nil) != (missing != all[2]) {
				t.Errorf("cancel: %v", cancels)
			}
		})
	}
}

// The local scheduler starts what is planned at its time, until it is done, and not what was called off.
func TestSchedulerOfPlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var calls []string
		p := NewPlans(map[string]string{machine: "lifetime"})
		functions := map[string]handler{"lifetime": handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, fmt.Sprintf("%s at %s", payload, clock.System{}.Now().Format(time.DateTime)))
			return fmt.Appendf(nil, `{"done":%t}`, len(calls) != 1), nil
		})}
		s := newScheduler(Options{Functions: functions, ScheduleLog: slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		s.startPlans(ctx, p)
		time.Sleep(time.Hour) // sleep: bubble time, the scheduler runs without a plan
		for _, after := range []time.Duration{3 * time.Hour, 2 * time.Hour, 90 * time.Minute} {
			if err := newPlanner(p).Plan(t.Context(), bubble.Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		if err := newPlanner(p).Cancel(t.Context(), bubble.Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Hour) // sleep: bubble time, past every plan
		cancel()
		s.Wait()
		want := []string{
			`{"time":"2000-01-01T01:30:00Z"} at 2000-01-01 01:30:00`,
			`{"time":"2000-01-01T01:30:00Z"} at 2000-01-01 01:30:01`,
			`{"time":"2000-01-01T03:00:00Z"} at 2000-01-01 03:00:00`,
		}
		if !slices.Equal(calls, want) {
			t.Errorf("calls:\n%s", strings.Join(calls, "\n"))
		}
	})
}
