package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"latchkey/pkg/clock"
	"latchkey/pkg/sweep"
)

func revokedSamples(tb testing.TB) []sample {
	tb.Helper()
	eternal := tok(tb, 9, "terraform", "2026-04-18", "api")
	eternal.ExpiresOn, eternal.LastUsedAt = clock.Day{}, time.Time{}
	limited := func(days int, tokens ...sweep.Token) sweep.Notice {
		n := notice(tb, sweep.Lifetime, tokens...)
		n.LimitDays = days
		return n
	}
	many := limited(30, tok(tb, 1, "first", "2026-05-01"), tok(tb, 2, "second", "2026-05-02"))
	many.Total = 250
	hostile := limited(1, tok(tb, 1, hostileName, "2026-12-31"))
	hostile.Recipient.Name = ""
	return []sample{
		{"one revoked", limited(30, tok(tb, 7, "nightly-export", "2026-07-01"))},
		{"two revoked, one without an end", limited(90, tok(tb, 7, "nightly-export", "2026-07-01"), eternal)},
		{"revoked under a limit of a day", hostile},
		{"revoked under a limit that is gone", limited(0, tok(tb, 7, "nightly-export", "2026-07-01"))},
		{"more revoked than listed", many},
	}
}

func TestMailsAboutRevokedTokens(t *testing.T) {
	for _, s := range revokedSamples(t) {
		t.Run(s.name, func(t *testing.T) {
			mail, file := render(t, s.notice), strings.NewReplacer(" ", "-", ",", "").Replace(s.name)
			golden(t, file+".txt", "Subject: "+mail.Subject+"\n\n"+mail.Text)
			golden(t, file+".html", mail.HTML)

			count := fmt.Sprintf("%d access token", s.notice.Total)
			limit := fmt.Sprintf("%d day", s.notice.LimitDays)
			if !strings.HasPrefix(mail.Subject, count) || !strings.HasSuffix(mail.Subject, "revoked") {
				t.Errorf("subject %q", mail.Subject)
			}
			for part, text := range map[string]string{"text": strings.Join(strings.Fields(mail.Text), " "), "HTML": mail.HTML} {
				for _, listed := range s.notice.Tokens {
					if !strings.Contains(text, listed.ID.String()) || !strings.Contains(text, listed.ExpiresOn.String()) {
						t.Errorf("%s lacks token %s", part, listed.ID)
					}
				}
				if !strings.Contains(text, count) || !strings.Contains(text, publicURL+"/-/") {
					t.Errorf("%s lacks the number or the page", part)
				}
				if has := strings.Contains(text, limit); has != (s.notice.LimitDays > 0) {
					t.Errorf("%s says %q: %t", part, limit, has)
				}
				// Nobody can do that with a token that has ended for good.
				if strings.Contains(text, "/rotate") {
					t.Errorf("%s says how to rotate", part)
				}
			}
			for line := range strings.Lines(mail.Text) {
				if utf8.RuneCountInString(line) > 73 && strings.Contains(strings.TrimLeft(strings.TrimPrefix(line, "  named"), " "), " ") {
					t.Errorf("a long line: %q", line)
				}
			}
		})
	}
}
