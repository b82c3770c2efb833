package clock_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
)

func day(t testing.TB, s string) clock.Day {
	t.Helper()
	d, err := clock.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParseDay(t *testing.T) {
	for _, good := range []string{"2026-03-04", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31", "1970-01-01", "1969-12-31"} {
		d, err := clock.ParseDay(good)
		if err != nil || d.String() != good || d.IsZero() {
			t.Errorf("ParseDay(%q) = %s, %v", good, d, err)
		}
		if want := good + "T00:00:00Z"; d.Start().Format(time.RFC3339) != want {
			t.Errorf("%s starts at %v", good, d.Start())
		}
	}
	for name, s := range map[string]string{
		"nothing":                   "",
		"a day that February lacks": "2026-02-29",
		"a leap day of 1900":        "1900-02-29",
		"a 31st of April":           "2026-04-31",
		"day 0":                     "2026-03-00",
		"month 0":                   "2026-00-04",
		"month 13":                  "2026-13-04",
		"year 0":                    "0000-01-01",
		"a year before that":        "-001-01-01",
		"year 10000":                "10000-01-01",
		"a year of two digits":      "26-03-04",
		"a month of one digit":      "2026-3-04",
		"a day of one digit":        "2026-03-4",
		"a space for a zero":        "2026-03- 4",
		"slashes":                   "2026/03/04",
		"no signs between":          "20260304",
		"an instant":                "2026-03-04T00:00:00Z",
		"a space behind":            "2026-03-04 ",
		"a space in front":          " 2026-03-04",
		"digits beyond ASCII":       "٢٠٢٦-٠٣-٠٤",
		"the word for no day":       "never",
		"a fraction":                "2026-03-04.0",
		"very much":                 strings.Repeat("2026-03-04", 100),
	} {
		if d, err := clock.ParseDay(s); !errors.Is(err, fault.ErrInput) || !d.IsZero() {
			t.Errorf("%s: ParseDay(%q) = %s, %v", name, s, d, err)
		}
	}
}

func TestDayOfIsTheDayInUTC(t *testing.T) {
	midnight := time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)
	east, west := time.FixedZone("", 14*3600), time.FixedZone("", -12*3600)
	for name, test := range map[string]struct {
		at   time.Time
		want string
	}{
		"a second before midnight": {midnight.Add(-time.Second), "2026-03-28"},
		"midnight":                 {midnight, "2026-03-29"},
		"a second after midnight":  {midnight.Add(time.Second), "2026-03-29"},
		"the last second":          {midnight.Add(24*time.Hour - time.Second), "2026-03-29"},
		"the next midnight":        {midnight.Add(24 * time.Hour), "2026-03-30"},
		"midnight, told in a zone where it is the same day":    {midnight.In(east), "2026-03-29"},
		"midnight, told in a zone where it is the day before":  {midnight.In(west), "2026-03-29"},
		"the last second, told in a zone where it is tomorrow": {midnight.Add(24*time.Hour - time.Second).In(east), "2026-03-29"},
		"a nanosecond before midnight in 1969":                 {time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC), "1969-12-31"},
	} {
		d := clock.DayOf(test.at)
		if d.String() != test.want || d != day(t, test.want) {
			t.Errorf("%s: DayOf() = %s, want %s", name, d, test.want)
		}
		if zone := d.Start().Location(); zone != time.UTC {
			t.Errorf("%s: the day starts in zone %v", name, zone)
		}
	}
}

func TestDaysAreCountedInUTC(t *testing.T) {
	for _, test := range []struct {
		name, from string
		days       int
		want       string
	}{
		{"no day", "2026-03-04", 0, "2026-03-04"},
		{"a week", "2026-05-30", 7, "2026-06-06"},
		{"over a leap day", "2024-02-28", 2, "2024-03-01"},
		{"from a leap day over a year", "2024-02-29", 365, "2025-02-28"},
		{"a year ahead", "2026-03-04", 365, "2027-03-04"},
		{"a year ahead over a leap day", "2027-03-04", 365, "2028-03-03"},
		{"over the start of summer time in Europe", "2026-03-28", 2, "2026-03-30"},
		{"over the end of summer time in Europe", "2026-10-24", 2, "2026-10-26"},
		{"backwards over a new year", "2026-01-01", -1, "2025-12-31"},
		{"over 1970", "1969-12-31", 1, "1970-01-01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, want := day(t, test.from), day(t, test.want)
			if got := from.AddDays(test.days); got != want {
				t.Errorf("AddDays(%d) = %s, want %s", test.days, got, want)
			}
			if got := from.DaysUntil(want); got != test.days {
				t.Errorf("DaysUntil(%s) = %d, want %d", want, got, test.days)
			}
		})
	}
}

func TestNeverComesAfterEveryDay(t *testing.T) {
	var never clock.Day
	today, tomorrow := day(t, "2026-03-04"), day(t, "2026-03-05")
	for _, test := range []struct {
		name string
		a, b clock.Day
		want bool
	}{
		{"tomorrow after today", tomorrow, today, true},
		{"today not after tomorrow", today, tomorrow, false},
		{"a day not after itself", today, today, false},
		{"never after the last day", never, day(t, "9999-12-31"), true},
		{"the last day not after never", day(t, "9999-12-31"), never, false},
		{"never not after never", never, never, false},
	} {
		if got := test.a.After(test.b); got != test.want {
			t.Errorf("%s: After() = %t", test.name, got)
		}
	}
	if never.String() != "never" || !never.IsZero() {
		t.Errorf("the zero Day is %s", never)
	}
}

func FuzzParseDay(f *testing.F) {
	for _, s := range []string{"2026-03-04", "2024-02-29", "2026-02-29", "0001-01-01", "9999-12-31", "0000-01-01", "2026-3-4", "2026-03-04T00:00:00Z", "never", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := clock.ParseDay(s)
		if err != nil {
			if !errors.Is(err, fault.ErrInput) || !d.IsZero() {
				t.Errorf("ParseDay(%q) = %s, %v", s, d, err)
			}
			return
		}
		if d.String() != s || len(s) != len("2026-03-04") || d.IsZero() {
			t.Errorf("ParseDay(%q) = %s", s, d)
		}
		start := d.Start()
		if start.Unix()%86400 != 0 || clock.DayOf(start) != d || clock.DayOf(start.Add(-time.Second)) == d || clock.DayOf(start.Add(24*time.Hour-time.Second)) != d {
			t.Errorf("%s starts at %v", s, start)
		}
		if next := d.AddDays(1); !next.After(d) || d.After(next) || d.DaysUntil(next) != 1 || next.AddDays(-1) != d {
			t.Errorf("%s comes after %s", next, d)
		}
	})
}
