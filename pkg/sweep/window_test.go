package sweep_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/sweep"
)

func TestParseDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     sweep.Days // nil for a fault
	}{
		{"one number", "7", sweep.Days{7}},
		{"several come in order", "60,30,7", sweep.Days{7, 30, 60}},
		{"spaces around numbers are nothing", " 7 ,\t30", sweep.Days{7, 30}},
		{"the least", "1", sweep.Days{1}},
		{"the most", "365", sweep.Days{365}},
		{"nothing", "", nil},
		{"zero", "0", nil},
		{"negative", "-7", nil},
		{"beyond the longest life", "366", nil},
		{"a number twice", "7,30,7", nil},
		{"a number twice in two spellings", "7,07", nil},
		{"an empty place", "7,,30", nil},
		{"a comma at the end", "7,", nil},
		{"a fraction", "7.5", nil},
		{"a word", "week", nil},
		{"another separator", "60;30", nil},
		{"too large a number", "99999999999999999999", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got sweep.Days
			err := got.UnmarshalText([]byte(c.in))
			if c.want == nil {
				wantErr(t, err, sweep.ErrDays)
			} else {
				wantErr(t, err, nil)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// A window remembers what the index was asked for: the mark by day.
type window struct {
	mu   sync.Mutex
	days map[string]string
	bots []string // the days that it was asked for bots of
}

func (w *window) Due(_ context.Context, q sweep.Query) (sweep.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.days == nil {
		w.days = map[string]string{}
	}
	if q.Shard != 0 { // posts of other shards
		return sweep.Page{}, nil
	}
	if q.Bots {
		w.bots = append(w.bots, q.Day.String())
		return sweep.Page{}, nil
	}
	w.days[q.Day.String()] = q.Without
	return sweep.Page{}, nil
}

// windowOf returns the days that a scan of one shard asks for, and their marks.
func windowOf(t *testing.T, w *world, kind sweep.Kind, at time.Time, days ...int) map[string]string {
	t.Helper()
	asked := &window{}
	s := w.scanner(kind, func(s *sweep.Setup) {
		s.Index, s.Days, s.AnyTime = asked, days, true
	})
	shard := 0
	result, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: at, Shard: &shard})
	if err != nil || !result.Done {
		t.Fatalf("run: done %v, %v", result.Done, err)
	}
	return asked.days
}

// from returns n days from first on, all with mark.
func from(first string, n int, mark string) map[string]string {
	days := map[string]string{}
	for i := range n {
		days[day(first).AddDays(i).String()] = mark
	}
	return days
}

func join(all ...map[string]string) map[string]string {
	joined := map[string]string{}
	for _, m := range all {
		maps.Copy(joined, m)
	}
	return joined
}

func TestExpiringWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   time.Time
		days []int
		want map[string]string
	}{
		{"seven days reach from today to today+7, both included", atOne, []int{7}, from("2031-05-07", 8, "expiring-7")},
		{"one day reaches to tomorrow", atOne, []int{1}, from("2031-05-07", 2, "expiring-1")},
		{
			"a day belongs to the smallest notice that reaches it", atOne, []int{7, 30, 60},
			join(from("2031-05-07", 8, "expiring-7"), from("2031-05-15", 23, "expiring-30"), from("2031-06-07", 30, "expiring-60")),
		},
		{"the last second of a day", today.Start().Add(-time.Second), []int{7}, from("2031-05-06", 8, "expiring-7")},
		{"the first second of a day", today.Start(), []int{7}, from("2031-05-07", 8, "expiring-7")},
		{"the first second after midnight", today.Start().Add(time.Second), []int{7}, from("2031-05-07", 8, "expiring-7")},
		{
			"another time zone's day does not count", time.Date(2031, 5, 8, 1, 30, 0, 0, time.FixedZone("east", 2*3600)),
			[]int{7}, from("2031-05-07", 8, "expiring-7"),
		},
		{"over a leap day", day("2032-02-26").Start(), []int{7}, from("2032-02-26", 8, "expiring-7")},
		{"over the turn of a year", day("2031-12-29").Start(), []int{7}, from("2031-12-29", 8, "expiring-7")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := windowOf(t, newWorld(), sweep.Expiring, c.at, c.days...); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestExpiredWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		last  string // finished before, "" for never
		first string
		days  int
	}{
		{"the day after the last finished one is today", "2031-05-06", "2031-05-07", 1},
		{"missed days are caught up", "2031-05-03", "2031-05-04", 4},
		{"a shard that never finished looks back a month", "", "2031-04-06", 32},
		{"a day that was finished already is looked at again", "2031-05-07", "2031-05-07", 1},
		{"a day before one that was finished is looked at alone", "2031-05-09", "2031-05-07", 1},
		{"a year's stop is caught up", "2030-05-07", "2030-05-08", 365},
		{"400 days are caught up", "2030-04-01", "2030-04-02", 401},
		{"a longer stop is caught up for 400 days", "2025-01-01", "2030-04-02", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if c.last != "" {
				w.finished[scanOf{sweep.Expired, 0}] = day(c.last)
			}
			wanted := from(c.first, c.days, "expired")
			if got := windowOf(t, w, sweep.Expired, atOne); !maps.Equal(got, wanted) {
				t.Errorf("got %v, want %v", got, wanted)
			}
			wantedLast := today
			if c.last != "" && day(c.last).After(today) {
				wantedLast = day(c.last)
			}
			want(t, "last finished day", w.finished[scanOf{sweep.Expired, 0}], wantedLast)
		})
	}
}

// Every token's whole life: one notice at each threshold that it lives through, one on its expiry.
func TestThresholds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		left int // days that the token lives
		want string
	}{
		{0, "expiring-7@0 expired@0"},
		{1, "expiring-7@1 expired@0"},
		{7, "expiring-7@7 expired@0"},
		{8, "expiring-30@8 expiring-7@7 expired@0"},
		{20, "expiring-30@20 expiring-7@7 expired@0"},
		{30, "expiring-30@30 expiring-7@7 expired@0"},
		{31, "expiring-60@31 expiring-30@30 expiring-7@7 expired@0"},
		{60, "expiring-60@60 expiring-30@30 expiring-7@7 expired@0"},
		{75, "expiring-60@60 expiring-30@30 expiring-7@7 expired@0"},
	} {
		eachWorld(t, strconv.Itoa(c.left)+" days left", func(t *testing.T, w *world) {
			id := w.add(1, today.AddDays(c.left))
			shard := 1
			var got []string
			for n := range c.left + 5 {
				at := atOne.AddDate(0, 0, n)
				for _, kind := range []sweep.Kind{sweep.Expiring, sweep.Expired} {
					before := len(w.mails)
					s := w.scanner(kind, func(s *sweep.Setup) { s.Days, s.AnyTime = sweep.Days{7, 30, 60}, true })
					for range 2 { // the second sends nothing
						if _, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: at, Shard: &shard}); err != nil {
							t.Fatal(err)
						}
					}
					switch marks := w.marks(id); len(w.mails) - before {
					case 0:
					case 1:
						got = append(got, marks[len(marks)-1]+"@"+strconv.Itoa(c.left-n))
					default:
						t.Errorf("%d mails on day %d", len(w.mails)-before, n)
					}
				}
			}
			want(t, "notices", strings.Join(got, " "), c.want)
		})
	}
}

// A day without a scan loses no notice: this guards promise 3 of the architecture.
func TestMissedDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kind sweep.Kind
		on   int // days from today to the token's expiry
		runs []int
		want int // mails
	}{
		{"expiring: a missed day is caught up by the next", sweep.Expiring, 7, []int{-1, 1}, 1},
		{"expiring: six missed days are caught up", sweep.Expiring, 7, []int{-1, 7}, 1},
		{"expiring: on the day after its expiry there is nothing to warn of", sweep.Expiring, 7, []int{-1, 8}, 0},
		{"expired: a missed day is caught up by the next", sweep.Expired, 0, []int{-1, 1}, 1},
		{"expired: a missed week is caught up", sweep.Expired, 0, []int{-1, 7}, 1},
		{"expired: a missed year is caught up", sweep.Expired, 0, []int{-1, 365}, 1},
		{"expired: a first run looks back", sweep.Expired, 0, []int{31}, 1},
		{"expired: a first run looks back no further", sweep.Expired, 0, []int{32}, 0},
		{"expired: days that were scanned are not announced again", sweep.Expired, 0, []int{0, 1, 2, 1, 0}, 1},
		{"expired: an older day's event, late, takes nothing away", sweep.Expired, 0, []int{-2, 1, 0}, 1},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			w.add(1, today.AddDays(c.on))
			for _, n := range c.runs {
				at := atOne.AddDate(0, 0, n)
				s := w.scanner(c.kind, func(s *sweep.Setup) { s.AnyTime = true })
				if _, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: at}); err != nil {
					t.Fatal(err)
				}
			}
			want(t, "mails", len(w.mails), c.want)
		})
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	shard := func(n int) *int { return &n }
	for _, c := range []struct {
		name    string
		event   sweep.Event
		anyTime bool
		want    error
	}{
		{"now", sweep.Event{Time: atOne}, false, nil},
		{"a missing time", sweep.Event{}, false, sweep.ErrTime},
		{"a missing time, when any will do", sweep.Event{}, true, sweep.ErrTime},
		{"an hour ahead", sweep.Event{Time: atOne.Add(time.Hour)}, false, nil},
		{"an hour and a second ahead", sweep.Event{Time: atOne.Add(time.Hour + time.Second)}, false, sweep.ErrTime},
		{"a year ahead, when any will do", sweep.Event{Time: atOne.AddDate(1, 0, 0)}, true, nil},
		{"seven days ago", sweep.Event{Time: atOne.Add(-7 * 24 * time.Hour)}, false, nil},
		{"seven days and a second ago", sweep.Event{Time: atOne.Add(-7*24*time.Hour - time.Second)}, false, sweep.ErrTime},
		{"a year ago, when any will do", sweep.Event{Time: atOne.AddDate(-1, 0, 0)}, true, nil},
		{"the first shard", sweep.Event{Time: atOne, Shard: shard(0)}, false, nil},
		{"the last shard", sweep.Event{Time: atOne, Shard: shard(shards - 1)}, false, nil},
		{"a shard after the last", sweep.Event{Time: atOne, Shard: shard(shards)}, false, sweep.ErrShard},
		{"a shard before the first", sweep.Event{Time: atOne, Shard: shard(-1)}, true, sweep.ErrShard},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			s := w.scanner(sweep.Expiring, func(s *sweep.Setup) { s.AnyTime = c.anyTime })
			result, err := s.Run(t.Context(), t.Context(), c.event)
			wantErr(t, err, c.want)
			want(t, "done", result.Done, c.want == nil)
			if c.want != nil && w.calls > 0 {
				t.Errorf("an event that cannot be made %d calls", w.calls)
			}
		})
	}
}

// The event's time decides the day, wherever the machine's clock stands.
func TestClockAroundMidnight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		clock, at  time.Time
		first      clock.Day
		wantExpire bool // whether the token of today+7 is announced
	}{
		{"started a second early", atOne.Add(-time.Second), atOne, today, true},
		{"started at the second", atOne, atOne, today, true},
		{"resumed before midnight", today.AddDays(1).Start().Add(-time.Second), atOne, today, true},
		{"resumed after midnight", today.AddDays(1).Start().Add(time.Second), atOne, today, true},
		{"yesterday's event, today", atOne, atOne.AddDate(0, 0, -1), today.AddDays(-1), false},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			w.now = c.clock
			id := w.add(1, today.AddDays(7))
			result, err := w.runAt(t, sweep.Expiring, sweep.Event{Time: c.at})
			wantErr(t, err, nil)
			want(t, "done", result.Done, true)
			want(t, "announced", w.told()[id] == 1, c.wantExpire)
			if c.wantExpire {
				want(t, "today in the mail", w.mails[0].Today, c.first)
			}
			if _, there := w.jobs[sweep.Job{Kind: sweep.Expiring, Day: c.first, Shard: 1}]; !there {
				t.Errorf("no progress of day %s", c.first)
			}
		})
	}
}
