package token_test

import (
	"testing"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

func TestStateAt(t *testing.T) {
	midnight := time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)
	before, after := midnight.Add(-time.Second), midnight.Add(time.Second)
	expires := day(t, "2026-06-02")
	long := midnight.AddDate(-1, 0, 0)
	tests := []struct {
		name      string
		expiresOn clock.Day
		revokedAt time.Time
		number    int64
		validFrom int64
		now       time.Time
		want      token.State
	}{
		{"active a second before the day it expires on", expires, time.Time{}, 1, 0, before, token.Active},
		{"active in the last nanosecond", expires, time.Time{}, 1, 0, midnight.Add(-1), token.Active},
		{"expired from the first second of the day", expires, time.Time{}, 1, 0, midnight, token.Expired},
		{"expired a second later", expires, time.Time{}, 1, 0, after, token.Expired},
		{"expired at midnight in UTC, whatever the zone of the clock", expires, time.Time{}, 1, 0, midnight.In(time.FixedZone("", -12*3600)), token.Expired},
		{"active before midnight in UTC, whatever the zone of the clock", expires, time.Time{}, 1, 0, before.In(time.FixedZone("", 14*3600)), token.Active},
		{"active for ever without a day", clock.Day{}, time.Time{}, 1, 0, midnight.AddDate(5000, 0, 0), token.Active},
		{"revoked", expires, long, 1, 0, before, token.Revoked},
		{"revoked also by an instant that is still to come", expires, after, 1, 0, before, token.Revoked},
		{"revoked without a day", clock.Day{}, long, 1, 0, after, token.Revoked},
		// Clients are told the one that time alone would have caused, and an
		// expired token never triggers the end of its family.
		{"expired rather than revoked", expires, long, 1, 0, midnight, token.Expired},
		{"revoked a second before it is expired as well", expires, long, 1, 0, before, token.Revoked},
		{"revoked in bulk when its number is lower", expires, time.Time{}, 6, 7, before, token.Revoked},
		{"active when its number is the first good one", expires, time.Time{}, 7, 7, before, token.Active},
		{"active when its number is higher", expires, time.Time{}, 8, 7, before, token.Active},
		{"revoked by itself when its number is good", expires, long, 8, 7, before, token.Revoked},
		{"expired rather than revoked in bulk", expires, time.Time{}, 6, 7, midnight, token.Expired},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id, err := token.NewID(58, test.number)
			if err != nil {
				t.Fatal(err)
			}
			tok := token.Token{ID: id, ExpiresOn: test.expiresOn, RevokedAt: test.revokedAt}
			if got := tok.StateAt(test.now, test.validFrom, settings.Settings{}); got != test.want {
				t.Errorf("StateAt() = %s, want %s", got, test.want)
			}
			// Expiry that is not enforced never lets a revoked token live.
			unenforced := test.want
			if unenforced == token.Expired {
				unenforced = token.Active
				if tok.RevokedIn(test.now, test.validFrom) {
					unenforced = token.Revoked
				}
			}
			if got := tok.StateAt(test.now, test.validFrom, settings.Settings{ExpiryIgnored: true}); got != unenforced {
				t.Errorf("StateAt() = %s while expiry is not enforced, want %s", got, unenforced)
			}
			revoked := !test.revokedAt.IsZero() || test.number < test.validFrom
			if got := tok.RevokedIn(test.now, test.validFrom); got != revoked {
				t.Errorf("RevokedIn() = %t, want %t", got, revoked)
			}
		})
	}
}

// Breaks if a rotated token works for longer than the overlap that its owner chose.
func TestStateOfATokenInItsOverlap(t *testing.T) {
	until := time.Date(2026, 6, 2, 10, 0, 0, 0, time.UTC)
	second := time.Second
	for _, test := range []struct {
		name      string
		expiresOn string
		revokedAt time.Time
		validFrom int64
		now       time.Time
		want      token.State
	}{
		{"works a second before its overlap ends", "2026-07-01", time.Time{}, 0, until.Add(-second), token.Active},
		{"works in the last nanosecond of its overlap", "2026-07-01", time.Time{}, 0, until.Add(-1), token.Active},
		{"is revoked from the end of its overlap", "2026-07-01", time.Time{}, 0, until, token.Revoked},
		{"is revoked a second later", "2026-07-01", time.Time{}, 0, until.Add(second), token.Revoked},
		{"is revoked at the same instant, whatever the zone of the clock", "2026-07-01", time.Time{}, 0, until.In(time.FixedZone("", -12*3600)), token.Revoked},
		{"expires within its overlap", "2026-06-02", time.Time{}, 0, until.Add(-10 * time.Hour), token.Expired},
		{"works within its overlap a second before it expires", "2026-06-02", time.Time{}, 0, until.Add(-10*time.Hour - second), token.Active},
		{"is expired rather than revoked when both are over", "2026-06-02", time.Time{}, 0, until, token.Expired},
		{"is revoked by somebody within its overlap", "2026-07-01", until.Add(-time.Hour), 0, until.Add(-second), token.Revoked},
		{"is revoked in bulk within its overlap", "2026-07-01", time.Time{}, 2, until.Add(-second), token.Revoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, err := token.NewID(58, 1)
			if err != nil {
				t.Fatal(err)
			}
			tok := token.Token{ID: id, ExpiresOn: day(t, test.expiresOn), RevokedAt: test.revokedAt, WorksUntil: until}
			if got := tok.StateAt(test.now, test.validFrom, settings.Settings{}); got != test.want {
				t.Errorf("StateAt() = %s, want %s", got, test.want)
			}
			// Expiry that is not enforced does not lengthen an overlap.
			revoked := !test.now.Before(until) || !test.revokedAt.IsZero() || test.validFrom > 1
			unenforced := tok.StateAt(test.now, test.validFrom, settings.Settings{ExpiryIgnored: true})
			if got := tok.RevokedIn(test.now, test.validFrom); got != revoked || (unenforced == token.Revoked) != revoked {
				t.Errorf("RevokedIn() = %t, state %s while expiry is not enforced; revoked is %t", got, unenforced, revoked)
			}
			if !tok.Superseded() {
				t.Error("it has no successor")
			}
		})
	}
}

func TestWhenATokenHasEnded(t *testing.T) {
	at := time.Date(2026, 6, 2, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name                        string
		revokedAt, worksUntil, want time.Time
	}{
		{"never", time.Time{}, time.Time{}, time.Time{}},
		{"when it was revoked", at, time.Time{}, at},
		{"with its overlap", time.Time{}, at, at},
		{"when it was revoked within its overlap", at, at.Add(time.Second), at},
		{"with its overlap, though revoked once more after it", at.Add(time.Second), at, at},
	} {
		tok := token.Token{RevokedAt: test.revokedAt, WorksUntil: test.worksUntil}
		if got := tok.RevokedFrom(); !got.Equal(test.want) {
			t.Errorf("%s: RevokedFrom() = %v, want %v", test.name, got, test.want)
		}
	}
	for reason, want := range map[token.Reason]bool{token.ReasonRotated: true, token.ReasonRequest: false, token.ReasonReuse: false, "": false} {
		if got := (token.Token{RevokedReason: reason}).Superseded(); got != want {
			t.Errorf("revoked because of %q: superseded is %t", reason, got)
		}
	}
}

// day returns the day that s spells.
func day(t testing.TB, s string) clock.Day {
	t.Helper()
	d, err := clock.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Breaks if a thief's second use counts as an honest one after the window, or an honest one is
// taken for a thief's within it.
func TestRotationWindow(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	const window = 10 * time.Second
	rotated := token.Token{RevokedAt: at, RevokedReason: token.ReasonRotated}
	overlapping := token.Token{WorksUntil: at.Add(time.Second), SupersededAt: at}
	revoked := overlapping
	revoked.RevokedAt, revoked.RevokedReason = at, token.ReasonRequest
	for _, c := range []struct {
		name   string
		tok    token.Token
		after  time.Duration
		window time.Duration
		want   bool
	}{
		{"a token that was rotated, at once", rotated, 0, window, true},
		{"a second before the end", rotated, window - time.Second, window, true},
		{"at the end", rotated, window, window, false},
		{"a second after the end", rotated, window + time.Second, window, false},
		{"by a clock that is behind", rotated, -time.Second, window, true},
		{"without a window", rotated, 0, 0, false},
		{"after an overlap that is shorter", overlapping, window - time.Second, window, true},
		{"after an overlap that is shorter, at the end", overlapping, window, window, false},
		{"a record from before there was a window", token.Token{WorksUntil: at}, 0, window, false},
		{"a token that was revoked in its overlap", revoked, 0, window, false},
		{"a token that was revoked", token.Token{RevokedAt: at, RevokedReason: token.ReasonRequest}, 0, window, false},
		{"a token that works", token.Token{}, 0, window, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.tok.RotatedWithin(c.window, at.Add(c.after)); got != c.want {
				t.Errorf("RotatedWithin() = %t", got)
			}
		})
	}
}
