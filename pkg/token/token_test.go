package token_test

import (
	"testing"
	"time"

	"latchkey/pkg/token"
)

func TestStateAt(t *testing.T) {
	midnight := time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)
	before, after := midnight.Add(-time.Second), midnight.Add(time.Second)
	expires := day(t, "2026-06-02")
	long := midnight.AddDate(-1, 0, 0)
	tests := []struct {
		name      string
		expiresOn token.Day
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
		{"active for ever without a day", token.Day{}, time.Time{}, 1, 0, midnight.AddDate(5000, 0, 0), token.Active},
		{"revoked", expires, long, 1, 0, before, token.Revoked},
		{"revoked also by an instant that is still to come", expires, after, 1, 0, before, token.Revoked},
		{"revoked without a day", token.Day{}, long, 1, 0, after, token.Revoked},
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
			if got := tok.StateAt(test.now, test.validFrom, token.Policy{}); got != test.want {
				t.Errorf("StateAt() = %s, want %s", got, test.want)
			}
			// Expiry that is not enforced never lets a revoked token live.
			unenforced := test.want
			if unenforced == token.Expired {
				unenforced = token.Active
				if tok.RevokedIn(test.validFrom) {
					unenforced = token.Revoked
				}
			}
			if got := tok.StateAt(test.now, test.validFrom, token.Policy{ExpiryIgnored: true}); got != unenforced {
				t.Errorf("StateAt() = %s while expiry is not enforced, want %s", got, unenforced)
			}
			revoked := !test.revokedAt.IsZero() || test.number < test.validFrom
			if got := tok.RevokedIn(test.validFrom); got != revoked {
				t.Errorf("RevokedIn() = %t, want %t", got, revoked)
			}
		})
	}
}
