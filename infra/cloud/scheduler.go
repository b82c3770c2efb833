package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/clock"
)

// wake is the longest time that the scheduler sleeps before it looks at the clock again. Timers
// ignore the time in which a machine is suspended, and the machine's clock can be set.
const wake = time.Minute

// again is the pause between runs until one reports done. The state machine has its own pause.
const again = time.Second

// scheduler starts functions at their times, as EventBridge Scheduler and the state machine do. The
// event's time is the scheduled instant, and the function is called until its reply says done. A
// failed run waits for the next day's.
type scheduler struct {
	functions map[string]lambda.Handler
	timeouts  map[string]time.Duration
	clock     clock.Clock
	log       *slog.Logger
	running   sync.WaitGroup
}

func newScheduler(options Options, timeouts map[string]time.Duration) *scheduler {
	s := &scheduler{functions: options.Functions, timeouts: timeouts, clock: options.Clock, log: options.ScheduleLog}
	if s.clock == nil {
		s.clock = clock.System{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// start returns at once. The schedules stop with ctx, and Wait waits for them.
func (s *scheduler) start(ctx context.Context, schedules []Schedule) {
	for _, schedule := range schedules {
		after := s.clock.Now()
		s.running.Go(func() {
			for {
				at := schedule.next(after)
				if !s.wait(ctx, at) {
					return
				}
				if schedule.Every > 0 {
					if _, err := call(ctx, schedule.Function, s.functions[schedule.Function], cmp.Or(s.timeouts[schedule.Function], maxTimeout), newID(), []byte(`{}`)); err != nil {
						s.log.Error("scheduled run failed", "function", schedule.Function, "reason", err.Error())
					}
					after = s.clock.Now()
					continue
				}
				s.run(ctx, schedule.Function, at, encode(map[string]string{"time": at.Format(time.RFC3339)}))
				after = s.clock.Now()
			}
		})
	}
}

// startPlans returns at once. Plans run independently of each other.
func (s *scheduler) startPlans(ctx context.Context, plans *Plans) {
	s.running.Go(func() {
		for ctx.Err() == nil {
			for _, plan := range plans.Take(s.clock.Now()) {
				s.running.Go(func() { s.run(ctx, plan.Function, plan.At, []byte(plan.Payload)) })
			}
			at, some, added := plans.next()
			left := wake
			if some {
				left = min(wake, max(at.Sub(s.clock.Now()), 0))
			}
			timer := time.NewTimer(left)
			select {
			case <-timer.C:
			case <-added:
			case <-ctx.Done():
			}
			timer.Stop()
		}
	})
}

// Wait waits until all schedules and plans have finished.
func (s *scheduler) Wait() { s.running.Wait() }

// wait returns true at the given instant, or false when ctx ends first.
func (s *scheduler) wait(ctx context.Context, at time.Time) bool {
	for {
		left := at.Sub(s.clock.Now())
		if left <= 0 {
			return ctx.Err() == nil
		}
		if !sleep(ctx, min(left, wake)) {
			return false
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *scheduler) run(ctx context.Context, function string, at time.Time, payload []byte) {
	log := s.log.With("function", function, "time", at.Format(time.RFC3339))
	for {
		out, err := call(ctx, function, s.functions[function], cmp.Or(s.timeouts[function], maxTimeout), newID(), payload)
		if err != nil {
			log.Error("scheduled run failed", "reason", err.Error())
			return
		}
		var reply struct{ Done bool }
		if err := json.Unmarshal(out, &reply); err != nil {
			log.Error("scheduled run answered badly", "reason", err.Error())
			return
		}
		if reply.Done || !sleep(ctx, again) {
			return
		}
	}
}
