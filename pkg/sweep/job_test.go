package sweep_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// A job that another run is at is left to it.
func TestLeaseHeld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		left time.Duration // of the other's lease
		want bool
	}{
		{"two minutes left", 2 * time.Minute, false},
		{"a second left", time.Second, false},
		{"ended this second", 0, true},
		{"ended a second ago", -time.Second, true},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			w.add(4, today)
			w.leases[scanOf{sweep.Expiring, 0}] = leased{"somebody", atOne.Add(c.left)}
			result, err := w.run(t, sweep.Expiring)
			wantErr(t, err, nil)
			want(t, "done", result.Done, c.want)
			want(t, "mails", len(w.mails) == 1, c.want)
		})
	}
	eachWorld(t, "the other shards are scanned", func(t *testing.T, w *world) {
		populate(w, 40)
		w.leases[scanOf{sweep.Expiring, 1}] = leased{"somebody", atOne.Add(time.Minute)}
		result, err := w.run(t, sweep.Expiring)
		wantErr(t, err, nil)
		want(t, "done", result.Done, false)
		want(t, "mails", len(w.mails), 30)
	})
}

// A run that was held up sends nothing that another may have taken over.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		held  time.Duration // how long the third mail takes
		mails int           // that go out
		done  bool
	}{
		{"held up until a second before the margin", 104 * time.Second, 60, true},
		{"held up until the margin", 105 * time.Second, 3, false},
		{"held up beyond the lease", 3 * time.Minute, 3, false},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			for n := range account.ID(60) {
				w.add(4+4*n, today)
			}
			w.rate = func() (float64, error) { return 1e6, nil }
			w.sent = func(sweep.Notice) error {
				if len(w.mails) == 3 {
					// sleep: bubble time, in which nobody waits
					time.Sleep(c.held)
				}
				return nil
			}
			s := w.scanner(sweep.Expiring, func(s *sweep.Setup) { s.Workers = 1 })
			result, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: atOne})
			wantErr(t, err, nil)
			want(t, "done", result.Done, c.done)
			want(t, "mails", len(w.mails), c.mails)
			w.sent = nil
			w.wantRun(t, sweep.Expiring)
			wantAllOnce(t, w, "expiring-7")
		})
	}

	eachWorld(t, "another has taken over", func(t *testing.T, w *world) {
		for n := range account.ID(160) {
			w.add(4+4*n, today)
		}
		taken := leased{"another", atOne.Add(time.Hour)}
		w.sent = func(sweep.Notice) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.mails) == 60 { // in the second batch
				w.leases[scanOf{sweep.Expiring, 0}] = taken
			}
			return nil
		}
		result, err := w.run(t, sweep.Expiring)
		wantErr(t, err, nil)
		want(t, "done", result.Done, false)
		want(t, "mails", len(w.mails), 100) // it cannot know before the batch ends
		want(t, "lease", w.leases[scanOf{sweep.Expiring, 0}], taken)
		job := sweep.Job{Kind: sweep.Expiring, Day: today, Shard: 0}
		want(t, "saved by the one who lost", w.jobs[job].Cursor, account.ID(4*50))
	})
}

// The lease is renewed with every batch, so a long run keeps it.
func TestLeaseRenewed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		populate(w, 1200)
		w.rate = func() (float64, error) { return 1, nil }
		w.wantRun(t, sweep.Expiring, func(s *sweep.Setup) { s.Workers = 8 })
		if took := time.Since(w.started); took < 15*time.Minute {
			t.Errorf("took %v, which shows nothing", took)
		}
		wantAllOnce(t, w, "expiring-7")
	})
}

// When its time is nearly up a run stops after the batch in hand, and the next goes on there.
func TestStop(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for n := range account.ID(220) {
			w.add(4+4*n, today)
		}
		s := w.scanner(sweep.Expiring)
		for _, mails := range []int{50, 100, 150, 200} {
			stop, cancel := context.WithCancel(t.Context())
			w.sent = func(sweep.Notice) error { cancel(); return nil }
			result, err := s.Run(t.Context(), stop, sweep.Event{Time: atOne})
			wantErr(t, err, nil)
			want(t, "done", result.Done, false)
			want(t, "mails", len(w.mails), mails)
			job := sweep.Job{Kind: sweep.Expiring, Day: today, Shard: 0}
			want(t, "cursor", w.jobs[job].Cursor, account.ID(4*mails))
		}
		calls := w.calls
		stopped, cancel := context.WithCancel(t.Context())
		cancel()
		result, err := s.Run(t.Context(), stopped, sweep.Event{Time: atOne})
		wantErr(t, err, nil)
		want(t, "done without time", result.Done, false)
		want(t, "calls without time", w.calls, calls)

		w.wantRun(t, sweep.Expiring)
		wantAllOnce(t, w, "expiring-7")
	})
}

// A deadline that comes before the next mail's turn is no fault: there is more to do.
func TestNoTimeForTheNextMail(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for n := range account.ID(20) {
			w.add(4+4*n, today)
		}
		w.rate = func() (float64, error) { return 1, nil }
		// The last 15 seconds are for marks.
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		result, err := w.scanner(sweep.Expiring).Run(ctx, t.Context(), sweep.Event{Time: atOne})
		wantErr(t, err, nil)
		want(t, "done", result.Done, false)
		want(t, "some mails", len(w.mails) > 5 && len(w.mails) < 15, true)
		w.wantRun(t, sweep.Expiring)
		wantAllOnce(t, w, "expiring-7")
	})
}

// Two triggers at once send nothing twice: this guards promise 3 of the architecture. Yesterday's
// event, late, covers most of today's days.
func TestRunsAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		days []int
	}{
		{"two of the same event", []int{0, 0}},
		{"eight of the same event", []int{0, 0, 0, 0, 0, 0, 0, 0}},
		{"yesterday's and today's", []int{-1, 0}},
		{"three days'", []int{-2, -1, 0, 0, -1, -2}},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			w.pageSize = 7
			w.lagging = true
			for owner := account.ID(1); owner <= 200; owner++ {
				w.add(owner, today.AddDays(int(owner)%5))
			}
			// sleep: bubble time, in which nobody waits
			w.sent = func(sweep.Notice) error { time.Sleep(30 * time.Millisecond); return nil }
			var runs sync.WaitGroup
			for i, n := range c.days {
				runs.Go(func() {
					s := w.scanner(sweep.Expiring, func(s *sweep.Setup) { s.Workers = 1 + i%4 })
					for {
						result, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: atOne.AddDate(0, 0, n)})
						if err != nil {
							t.Error(err)
							return
						}
						if result.Done {
							return
						}
						// sleep: bubble time, in which nobody waits
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
			runs.Wait()
			wantAllOnce(t, w, "expiring-7")
		})
	}
}

// A scan and the other scan have leases of their own.
func TestKindsRunTogether(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.add(4, today)
		w.leases[scanOf{sweep.Expiring, 0}] = leased{"somebody", atOne.Add(time.Hour)}
		w.wantRun(t, sweep.Expired)
		want(t, "mails", len(w.mails), 1)
	})
}

// A run may die at any of its calls, before or after the call took effect. Whatever the point: the
// next run goes on, every token is announced, and the only mails that are repeated are those whose
// marks the dead run could not write, at most one a worker. This guards promise 3.
func TestDeathAtEveryCall(t *testing.T) {
	const workers = 3
	build := func() *world {
		w := newWorld()
		w.pageSize = 3
		for shard := range shards {
			w.finished[scanOf{sweep.Expired, shard}] = today.AddDays(-2) // empty days show nothing
		}
		for n := range account.ID(52) { // more than a batch
			for i := range 1 + n%2 {
				w.add(4+4*n, today.AddDays(-int(i)))
			}
		}
		return w
	}
	scan := func(t *testing.T, w *world) (sweep.Result, error) {
		return w.run(t, sweep.Expired, func(s *sweep.Setup) { s.Workers = workers })
	}
	dieEverywhere(t, 280, build, scan, func(t *testing.T, w *world) func() {
		inFlight := w.inFlight(t, workers, func(tok token.Token) bool { return len(tok.Notices) == 0 })
		return func() {
			w.wantTold(t, inFlight)
			told := w.told()
			for _, tok := range w.tokens {
				if !slices.Equal(tok.Notices, []string{"expired"}) || told[tok.ID] < 1 {
					t.Errorf("token %s: %v, in %d mails", tok.ID, tok.Notices, told[tok.ID])
				}
			}
			before := len(w.mails)
			if _, err := scan(t, w); err != nil || len(w.mails) != before {
				t.Errorf("a run after the last: %d mails, %v", len(w.mails)-before, err)
			}
		}
	})
}

// inFlight returns the owners with a mail whose tokens are not all marked: at most one a worker.
func (w *world) inFlight(t *testing.T, workers int, unmarked func(token.Token) bool) map[account.ID]bool {
	t.Helper()
	inFlight, mails := map[account.ID]bool{}, w.mailsTo()
	for _, tok := range w.tokens {
		if mails[tok.Owner] > 0 && unmarked(tok) {
			inFlight[tok.Owner] = true
		}
	}
	if len(inFlight) > workers {
		t.Errorf("%d mails were in flight", len(inFlight))
	}
	return inFlight
}

// wantTold fails the test when somebody got more mails than one, or two of those in flight.
func (w *world) wantTold(t *testing.T, inFlight map[account.ID]bool) {
	t.Helper()
	for owner, mails := range w.mailsTo() {
		if most := map[bool]int{false: 1, true: 2}[inFlight[owner]]; mails > most {
			t.Errorf("owner %s got %d mails", owner, mails)
		}
	}
}

// dieEverywhere lets a run die at each of its calls, before and after the call takes effect, and has
// another go on when the dead run's lease is over. dead looks at what the dead run has left, and
// returns what is to hold in the end.
func dieEverywhere(t *testing.T, least int, build func() *world, scan func(*testing.T, *world) (sweep.Result, error), dead func(*testing.T, *world) (finally func())) {
	t.Helper()
	t.Parallel()
	calls := 0
	synctest.Test(t, func(t *testing.T) {
		w := build()
		_, err := scan(t, w)
		wantErr(t, err, nil)
		calls = w.calls
	})
	if calls < least {
		t.Fatalf("a run makes %d calls only", calls)
	}
	for name, after := range map[string]bool{"before the call": false, "after the call": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= calls && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) {
					w := build()
					w.dieAtCall(n, after)
					if _, err := scan(t, w); err == nil && !w.dead {
						t.Fatal("the run did not die")
					}
					finally := dead(t, w)
					w.revive()
					// sleep: bubble time, in which nobody waits
					time.Sleep(2 * time.Minute)
					result, err := scan(t, w)
					wantErr(t, err, nil)
					want(t, "done", result.Done, true)
					if finally(); t.Failed() {
						t.Fatalf("died at call %d of %d", n, calls)
					}
				})
			}
		})
	}
}
