package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/project"
)

// Somebody who is nobody reports what they found. Through the gateway's route and under the permissions
// of the template, what is ours ends, whoever it belongs to, and those who look after it get a mail.
func TestReportedLeaksEnd(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
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

// A slowClient takes its time once it is slow.
type slowClient struct {
	aws.HTTPClient
	slow *atomic.Bool
}

func (c slowClient) Do(r *http.Request) (*http.Response, error) {
	if c.slow.Load() {
		time.Sleep(5 * time.Millisecond) // sleep: in a bubble, whose time passes at once
	}
	return c.HTTPClient.Do(r)
}

// Breaks if the function that is deployed tells by the time of its reply whether values are ours. Time
// passes only while the table or the mail service takes its own.
func TestTheTimeOfALeakReportGivesNothingAway(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	through := engine.New().Client // a network would not end in a bubble
	w := localtest.Start(t, localtest.Options{
		Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
			return through(append(options, func(o *dynamodb.Options) { o.HTTPClient = slowClient{o.HTTPClient, &slow} })...)
		},
	})
	anna := newAccount(t, w, "anna")
	const values = 20
	var ours, foreign []string
	for i := range values {
		ours = append(ours, newToken(t, w, anna.ID, "leaked", "2026-09-01").Token)
		foreign = append(foreign, fmt.Sprintf("lkpat_%036d", i))
	}
	var event map[string]any
	decode(t, string(sample{path: sampleFile(t, "leaks", "report")}.read(t)), &event)
	took := func(values []string) (elapsed time.Duration) {
		event["body"] = encode(t, map[string]any{"tokens": values})
		payload := encode(t, event)
		synctest.Test(t, func(t *testing.T) {
			watch := clock.StartStopwatch()
			out, err := w.Functions["leaks"].Invoke(t.Context(), []byte(payload))
			if elapsed = watch.Elapsed(); err != nil || !strings.Contains(string(out), `"statusCode":204`) {
				t.Errorf("%s, %v", out, err)
			}
		})
		return elapsed
	}
	slow.Store(true)
	none, all := took(foreign), took(ours)
	slow.Store(false)
	if none != all || none != gitlabapi.LeakStep(values) {
		t.Errorf("reports take %s and of ours %s, want %s", none, all, gitlabapi.LeakStep(values))
	}
	if mails := w.Mailbox.Mails(); len(mails) != 1 {
		t.Errorf("%d mails, want one", len(mails))
	}
	want(t, w, ours[0], "GET", "/api/v4/user", "", http.StatusUnauthorized)
}
