package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
)

// MaxNoticeDays is the earliest notice in days before the expiry: the longest life of a token.
const MaxNoticeDays = 365

// Days are the notice days, ascending: how many days before its expiry a token is announced. A
// token is announced at most once for each.
type Days []int

// ErrDays means that notice days are not a list of numbers from 1 to
// MaxNoticeDays.
var ErrDays = errors.New("notice days invalid")

// ParseDays reads notice days such as `7` or `60,30,7`, in any order.
func ParseDays(s string) (Days, error) {
	var days Days
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || n > MaxNoticeDays || slices.Contains(days, n) {
			return nil, fmt.Errorf("%w: %q is not a list of different numbers from 1 to %d", ErrDays, s, MaxNoticeDays)
		}
		days = append(days, n)
	}
	slices.Sort(days)
	return days, nil
}

// UnmarshalText reads notice days from configuration; see ParseDays.
func (d *Days) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDays(string(text))
	return err
}

// A slot is a day on which tokens expire, and the mark of their announcement.
type slot struct {
	day  clock.Day
	mark string
}

// window returns the days of a daily scan.
func (a *attempt) window(ctx context.Context) ([]slot, error) {
	if a.Kind == Expiring {
		return expiringSlots(a.job.Day, a.Days), nil
	}
	last, err := a.Ledger.Finished(ctx, a.Kind, a.job.Shard)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return nil, err
	}
	return expiredSlots(a.job.Day, last), nil
}

// expiringSlots are the days from today to the furthest notice day, both included. A day belongs to
// the smallest notice day that reaches it, so a token made with 20 days left is announced for 30
// and later for 7.
func expiringSlots(today clock.Day, days Days) []slot {
	slots := make([]slot, 0, days[len(days)-1]+1)
	for left := range days[len(days)-1] + 1 {
		threshold := days[slices.IndexFunc(days, func(n int) bool { return left <= n })]
		slots = append(slots, slot{today.AddDays(left), string(Expiring) + "-" + strconv.Itoa(threshold)})
	}
	return slots
}

const (
	// firstLookBack is how many days a shard without a finished scan looks back. A day without
	// tokens costs one query.
	firstLookBack = 31
	// maxLookBack bounds the days of catching up after a long stop.
	maxLookBack = 400
)

// expiredSlots are the days after last, the last finished day, up to today. last may be no day.
func expiredSlots(today, last clock.Day) []slot {
	from := today.AddDays(-firstLookBack)
	if !last.IsZero() {
		from = last.AddDays(1)
	}
	if earliest := today.AddDays(-maxLookBack); earliest.After(from) {
		from = earliest
	}
	if from.After(today) {
		from = today // a run for a finished day
	}
	var slots []slot
	for day := from; !day.After(today); day = day.AddDays(1) {
		slots = append(slots, slot{day, string(Expired)})
	}
	return slots
}
