package notify_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/pkg/notify"
	"latchkey/pkg/sweep"
)

// Breaks if a mail says that a token with a short life ends at the start of a day.
func TestMailsSayAtWhichSecondAShortLifeEnds(t *testing.T) {
	t.Parallel()
	brief := tok(t, 5, "brief", today)
	brief.EndsAt = time.Date(2026, 3, 19, 15, 4, 5, 0, time.UTC)
	lasting := tok(t, 6, "lasting", today)
	for name, c := range map[string]struct {
		kind  sweep.Kind
		with  []sweep.Token
		lead  string
		never string
	}{
		"one that ends":      {sweep.Expiring, nil, "expires soon. It stops working at the time below.", "00:00"},
		"one that ended":     {sweep.Expired, nil, "has expired. It stopped working at the time below.", "00:00"},
		"several that end":   {sweep.Expiring, []sweep.Token{lasting}, "expire soon. Each stops working at the start of its date, 00:00 UTC, or at the time beside its date.", "stopped already"},
		"several that ended": {sweep.Expired, []sweep.Token{lasting}, "have expired. Each stopped working at the start of its date, 00:00 UTC, or at the time beside its date.", "stopped already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mail, err := notify.Render(notice(t, c.kind, append([]sweep.Token{brief}, c.with...)...), publicURL)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{mail.Text, mail.HTML} {
				said := strings.Join(strings.Fields(text), " ")
				if !strings.Contains(said, c.lead) || !strings.Contains(said, "2026-03-19 15:04:05 UTC") || strings.Contains(said, c.never) {
					t.Errorf("it says %s", said)
				}
			}
		})
	}
}
