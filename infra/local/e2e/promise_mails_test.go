package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// Anybody may make projects and name their tokens, and others become members without consent. If this
// fails, Latchkey sends people as many mails as a stranger likes, with the stranger's links in them.
func TestStrangersDoNotSteerMails(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	eve, anna, bert := newAccount(t, w, "eve"), newAccount(t, w, "anna"), newAccount(t, w, "bert")
	const projects, hostile = 6, "Your password has expired, sign in at https://evil.example/login"
	for n := range projects {
		var made struct{ ID int64 }
		body := encode(t, map[string]string{"name": "See www.evil.example", "path": fmt.Sprintf("evil.example-%d", n)})
		decode(t, want(t, w, eve.Bearer, "POST", "/api/v4/projects", body, http.StatusCreated), &made)
		path := fmt.Sprintf("/api/v4/projects/%d", made.ID)
		for _, victim := range []holder{anna, bert} {
			want(t, w, root.Bearer, "POST", path+"/members", fmt.Sprintf(`{"user_id":%d,"access_level":40}`, victim.ID), http.StatusCreated)
		}
		want(t, w, eve.Bearer, "POST", path+"/access_tokens", encode(t, map[string]any{
			"name": hostile, "description": hostile, "scopes": []string{"read_api"}, "expires_at": "2026-03-24",
		}), http.StatusCreated)
	}
	newToken(t, w, anna.ID, "nightly", "2026-03-23")
	scan(t, w, "expiring", "2026-03-20T01:00:00Z")

	for address, tokens := range map[string]int{"anna": projects + 1, "bert": projects} {
		mails := 0
		for _, mail := range w.Mailbox.Mails() {
			if !slices.ContainsFunc(mail.To, func(to string) bool { return strings.HasPrefix(to, address+"@") }) {
				continue
			}
			mails++
			if got := strings.Count(mail.Text, "\n* token "); got != tokens || !strings.HasPrefix(mail.Subject, fmt.Sprint(tokens)) {
				t.Errorf("%s: %d tokens, subject %q", address, got, mail.Subject)
			}
			if !strings.Contains(strings.Join(strings.Fields(mail.Text), " "), "“Your password has expired, sign in at hxxps://evil[.]example/login”") {
				t.Errorf("%s: the name is not shown as a name:\n%s", address, mail.Text)
			}
			for part, text := range map[string]string{"subject": mail.Subject, "text": mail.Text, "HTML": mail.HTML} {
				for _, bad := range []string{"https://evil", "evil.example", "www."} {
					if strings.Contains(text, bad) {
						t.Errorf("%s of the mail to %s has %q", part, address, bad)
					}
				}
			}
		}
		if mails != 1 {
			t.Errorf("%s got %d mails", address, mails)
		}
	}
	sent := len(w.Mailbox.Mails())
	scan(t, w, "expiring", "2026-03-20T01:00:00Z")
	if again := len(w.Mailbox.Mails()) - sent; again != 0 {
		t.Errorf("%d mails were sent again", again)
	}
}
