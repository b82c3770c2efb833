package clock

import (
	"fmt"
	"time"

	"latchkey/pkg/fault"
)

// A Day is a calendar day in UTC. The zero Day is no day; as an expiry it means never. Days can be
// compared with ==.
type Day struct {
	// seconds is the Unix time of the start of the day, plus one, so that the zero value is no day.
	seconds int64
}

const layout = "2006-01-02"

// DayOf returns the UTC day that contains instant.
func DayOf(instant time.Time) Day {
	year, month, date := instant.UTC().Date()
	return Day{seconds: time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() + 1}
}

// ParseDay accepts exactly YYYY-MM-DD, from the year 1 to 9999, and returns an
// error that wraps ErrInput for anything else.
func ParseDay(s string) (Day, error) {
	instant, err := time.Parse(layout, s)
	if err != nil || instant.Year() < 1 {
		return Day{}, fmt.Errorf("%w: not a day in the form YYYY-MM-DD", fault.ErrInput)
	}
	return DayOf(instant), nil
}

// IsZero reports whether d is no day.
func (d Day) IsZero() bool { return d.seconds == 0 }

// Start returns the first second of the day, 00:00:00 UTC. For a token's last day it is the instant
// from which the token is expired. Nothing else derives that instant.
func (d Day) Start() time.Time { return time.Unix(d.seconds-1, 0).UTC() }

// AddDays returns the day n days later, or earlier if n is negative.
func (d Day) AddDays(n int) Day { return DayOf(d.Start().AddDate(0, 0, n)) }

// DaysUntil returns the number of days from d to later.
func (d Day) DaysUntil(later Day) int { return int((later.seconds - d.seconds) / 86400) }

// After reports whether d comes after other. No day (never) comes after every day.
func (d Day) After(other Day) bool {
	switch {
	case other.IsZero():
		return false
	case d.IsZero():
		return true
	default:
		return d.seconds > other.seconds
	}
}

func (d Day) String() string {
	if d.IsZero() {
		return "never"
	}
	return d.Start().Format(layout)
}
