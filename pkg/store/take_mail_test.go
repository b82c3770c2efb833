package store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
)

// If a mail over the limit is let through, a stranger who makes somebody a maintainer can have
// Latchkey mail that person without end.
func TestTakeMail(t *testing.T) {
	t.Parallel()
	f := open(t)
	today := clock.DayOf(storetest.Now)
	take := func(to account.ID, day clock.Day, limit int) (int, error) {
		return f.Store.TakeMail(t.Context(), to, day, limit)
	}

	t.Run("numbers the mails up to the limit", func(t *testing.T) {
		for want := 1; want <= 3; want++ {
			n, err := take(7, today, 3)
			wantErr(t, f, err, nil)
			wantEqual(t, "number", n, want)
		}
		for range 2 {
			_, err := take(7, today, 3)
			wantErr(t, f, err, sweep.ErrMailLimit)
		}
	})
	t.Run("goes on under a higher limit, and stops under a lower one", func(t *testing.T) {
		n, err := take(7, today, 4)
		wantErr(t, f, err, nil)
		wantEqual(t, "number", n, 4)
		_, err = take(7, today, 2)
		wantErr(t, f, err, sweep.ErrMailLimit)
	})
	t.Run("counts each day and each account alone", func(t *testing.T) {
		for _, c := range []struct {
			to  account.ID
			day clock.Day
		}{{7, today.AddDays(1)}, {8, today}} {
			n, err := take(c.to, c.day, 3)
			wantErr(t, f, err, nil)
			wantEqual(t, "number", n, 1)
		}
	})
	t.Run("gives no number twice", func(t *testing.T) {
		const limit = 3
		var mu sync.Mutex
		var numbers []int
		var all sync.WaitGroup
		for range 2 * limit {
			all.Go(func() {
				n, err := take(9, today, limit)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					numbers = append(numbers, n)
				} else if !errors.Is(err, sweep.ErrMailLimit) && !errors.Is(err, fault.ErrUnavailable) { // too many at once
					t.Errorf("err = %v", err)
				}
			})
		}
		all.Wait()
		slices.Sort(numbers)
		if len(numbers) > limit || len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
			t.Errorf("numbers %v", numbers)
		}
	})
	t.Run("is unavailable when the table does not answer", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		proxy.Fail(storetest.Always(storetest.LoseRequest))
		_, err := f.Through(proxy.Client()).TakeMail(t.Context(), 7, today, 3)
		wantErr(t, f, err, fault.ErrUnavailable)
	})
}
