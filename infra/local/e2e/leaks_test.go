package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
)

// Somebody who is nobody reports what they found. Through the gateway's route and under the permissions
// of the template, what is ours ends, whoever it belongs to, and those who look after it get a mail.
func TestReportedLeaksEnd(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, embedded())
	anna, bert := newAccount(t, w, "anna"), newAccount(t, w, "bert")
	withProject(t, w, map[int64]project.Level{anna.ID: project.Maintainer, bert.ID: project.Developer})
	second := newToken(t, w, bert.ID, "second", "2026-09-01")
	stays := newToken(t, w, bert.ID, "stays", "2026-09-01")
	acting := newImpersonation(t, w, bert.ID, "acting")
	var bot resourceToken
	decode(t, want(t, w, anna.Bearer, "POST", "/api/v4/projects/2/access_tokens", `{"name":"deploy","scopes":["api"]}`, http.StatusCreated), &bot)

	report := encode(t, map[string]any{
		"tokens": []string{second.Token, bot.Token, "no-such-token-anywhere", acting.Token, bert.Bearer, second.Token, "not a bearer"},
		"source": "https://git.example.test/bert/dotfiles",
	})
	for range 2 { // reports come in twice
		if got := w.Do(t, "", "POST", "/api/v4/token_leaks", report); got.Status != http.StatusNoContent || got.Body != "" {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	for name, bearer := range map[string]string{"bert's first": bert.Bearer, "bert's second": second.Token, "impersonation": acting.Token, "the project's": bot.Token} {
		if got := w.Do(t, bearer, "GET", "/api/v4/personal_access_tokens/self", ""); got.Status != http.StatusUnauthorized || !strings.Contains(got.Body, "revoked") {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	for _, bearer := range []string{stays.Token, anna.Bearer, root.Bearer} {
		want(t, w, bearer, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
	}
	if got := w.Do(t, anna.Bearer, "GET", fmt.Sprintf("/api/v4/projects/2/members/%d", bot.UserID), ""); got.Status != http.StatusNotFound {
		t.Errorf("the bot is still a member: %d %s", got.Status, got.Body)
	}
	var mails []string
	for _, mail := range w.Mailbox.Mails() {
		line := strings.Join(mail.To, ",") + ": " + mail.Subject
		for _, name := range []string{"second", "bert's", "deploy", "acting", "stays", "acme/web"} {
			if strings.Contains(mail.Text, name) {
				line += " [" + name + "]"
			}
		}
		mails = append(mails, line)
		for part, text := range map[string]string{"text": mail.Text, "HTML": mail.HTML} {
			if !strings.Contains(text, w.URL+"/-/user_settings/personal_access_tokens") {
				t.Errorf("%s lacks the page: %s", part, text)
			}
			for _, secret := range []string{second.Token, bot.Token, acting.Token, bert.Bearer} {
				if strings.Contains(text, secret) {
					t.Errorf("%s has a bearer", part)
				}
			}
		}
	}
	slices.Sort(mails)
	if wanted := []string{
		"anna@example.test: 1 project access token was revoked because it was reported as leaked [deploy] [acme/web]",
		"bert@example.test: 2 access tokens were revoked because they were reported as leaked [second] [bert's]",
		"root@example.test: 1 access token was revoked because it was reported as leaked [acting]",
	}; !slices.Equal(mails, wanted) {
		t.Errorf("mails:\n%s\nwant\n%s", strings.Join(mails, "\n"), strings.Join(wanted, "\n"))
	}
}

// On a real engine, with the steps of the product: the time of a reply does not tell reports of ours
// from others. Both take their turns, and the medians are compared.
func TestTheTimeOfALeakReportGivesNothingAway(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	const rounds, values = 3, 20
	var none, all []time.Duration
	took := func(values []string) time.Duration {
		body := encode(t, map[string]any{"tokens": values})
		watch := clock.StartStopwatch()
		if got := w.Do(t, "", "POST", "/api/v4/token_leaks", body); got.Status != http.StatusNoContent {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		return watch.Elapsed()
	}
	for round := range rounds {
		var ours, foreign []string
		for i := range values {
			ours = append(ours, newToken(t, w, anna.ID, "leaked", "2026-09-01").Token)
			foreign = append(foreign, fmt.Sprintf("lkpat_%018d%018d", round, i))
		}
		none, all = append(none, took(foreign)), append(all, took(ours))
	}
	slices.Sort(none)
	slices.Sort(all)
	if ratio := float64(all[rounds/2]) / float64(none[rounds/2]); ratio < 0.95 || ratio > 1.05 {
		t.Errorf("reports of ours take %.3f times as long: %v and %v", ratio, all, none)
	}
	if mails := w.Mailbox.Mails(); len(mails) != rounds {
		t.Errorf("%d mails, want one for each report of ours", len(mails))
	}
}
