package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
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
	if mails := w.Mailbox.Mails(); len(mails) != 0 {
		t.Errorf("%d mails before the answer", len(mails))
	}
	if delivered, failed := w.RunQueues(t); delivered != 1 || failed != 0 { // the same report is one message
		t.Errorf("%d messages delivered, %d failed", delivered, failed)
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
		page := "/-/user_settings/personal_access_tokens"
		if strings.Contains(mail.Text, "acme/web") { // the one token of the mail
			page = fmt.Sprintf("/-/projects/2/access_tokens/%d", bot.ID)
		}
		for part, text := range map[string]string{"text": mail.Text, "HTML": mail.HTML} {
			if !strings.Contains(text, w.URL+page) {
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

// Breaks if a bearer, a digest or a name can be read in the queue, which more people may read than the
// table, or if a mail is lost.
func TestTheQueueOfReportsHoldsIDsOnly(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	box := mailbox.New(clock.NewFake(localtest.Now), 10)
	w := localtest.Start(t, localtest.Options{Mail: func(options ...func(*sesv2.Options)) *sesv2.Client {
		return box.Client(append(options, func(o *sesv2.Options) {
			o.RetryMaxAttempts = 1
			o.HTTPClient = mailAway{o.HTTPClient, &away}
		})...)
	}})
	anna := newAccount(t, w, "anna")
	leaked := newToken(t, w, anna.ID, "a name", "2026-09-01")
	away.Store(true)
	report := encode(t, map[string]any{"tokens": []string{leaked.Token}, "source": "https://git.example.test"})
	if got := w.Do(t, "", "POST", "/api/v4/token_leaks", report); got.Status != http.StatusNoContent {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	waiting, dead := cloud.ARN("sqs", "latchkey-LeakQueue"), cloud.ARN("sqs", "latchkey-UntoldLeaks")
	messages := w.Queues.Messages(waiting)
	if want := fmt.Sprintf(`{"tokens":[%d]}`, leaked.ID); len(messages) != 1 || messages[0].Body != want {
		t.Fatalf("queued %+v, want %s", messages, want)
	}
	const most = 5
	for n := range most {
		if _, failed := w.RunQueues(t); failed != 1 {
			t.Fatalf("delivery %d: %d failed", n, failed)
		}
		if delivered, failed := w.RunQueues(t); delivered+failed != 0 {
			t.Fatal("delivered again at once")
		}
		w.Clock.Advance(360 * time.Second)
	}
	if delivered, failed := w.RunQueues(t); delivered+failed != 0 || len(w.Queues.Messages(waiting)) != 0 || len(w.Queues.Messages(dead)) != 1 {
		t.Errorf("delivered %d, failed %d, waiting %+v, dead %+v", delivered, failed, w.Queues.Messages(waiting), w.Queues.Messages(dead))
	}
	away.Store(false)
	// Another report makes up for it; so would a redrive of the dead letters.
	if got := w.Do(t, "", "POST", "/api/v4/token_leaks", report); got.Status != http.StatusNoContent {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if delivered, failed := w.RunQueues(t); delivered != 1 || failed != 0 || len(box.Mails()) != 1 {
		t.Errorf("delivered %d, failed %d, %d mails", delivered, failed, len(box.Mails()))
	}
}

// A mailAway is a mail service that may be away.
type mailAway struct {
	aws.HTTPClient
	away *atomic.Bool
}

func (c mailAway) Do(r *http.Request) (*http.Response, error) {
	if c.away.Load() {
		return nil, errors.New("connection reset")
	}
	return c.HTTPClient.Do(r)
}

// Somebody finds a bearer and rotates it before it is reported. Breaks if its owner does not learn who
// holds the successor, or if an old value ends what works.
func TestTheOwnerLearnsWhoRotatedAReportedToken(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	found := newToken(t, w, anna.ID, "nightly", "2026-09-01", "api")
	var next personalToken
	decode(t, want(t, w, found.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", `{"expires_at":"2026-09-01"}`, http.StatusOK), &next)
	w.Clock.Advance(time.Minute)
	for range 3 {
		want(t, w, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": []string{found.Token + "\n"}}), http.StatusNoContent)
		w.RunQueues(t)
		w.Clock.Advance(time.Hour)
	}
	want(t, w, next.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
	mails := w.Mailbox.Mails()
	if len(mails) != 1 {
		t.Fatalf("%d mails, want one", len(mails))
	}
	for _, says := range []string{
		"somebody who had the token itself", "127.0.0.1", "2026-03-19 08:00:00 UTC", fmt.Sprintf("token %d, which still works", next.ID),
		fmt.Sprintf("%s/-/user_settings/personal_access_tokens/%d", w.URL, next.ID), fmt.Sprintf("DELETE /api/v4/personal_access_tokens/%d", next.ID),
	} {
		if !strings.Contains(mails[0].Text, says) {
			t.Errorf("the mail lacks %q:\n%s", says, mails[0].Text)
		}
	}
	trail := want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/users/%d/audit_events?token_id=%d", anna.ID, found.ID), "", http.StatusOK)
	if n := strings.Count(trail, `"event_name":"personal_access_token_reported","event_type"`); n != 1 {
		t.Errorf("%d events of reports in %s", n, trail)
	}
}

// Breaks if a flood of reports takes the executions that the authorizer needs: other people's APIs would
// refuse every request. The account has the starting quota, and the flood holds its executions as long
// as it can.
func TestAFloodOfReportsLeavesTheAuthorizerAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		quota      int
		parameters map[string]string
		held       int // executions that the flood gets
		denied     bool
	}{
		"with the default throttle":                  {10, nil, 5, false},
		"with a reservation":                         {110, map[string]string{"LeakConcurrency": "2", "LeakReportsPerSecond": "200"}, 2, false},
		"but not with neither, as the test can tell": {10, map[string]string{"LeakReportsPerSecond": "200"}, 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slow := &heldReads{release: make(chan struct{})}
			through := engine.New().Client
			w := localtest.Start(t, localtest.Options{
				Concurrency: test.quota, Parameters: test.parameters,
				Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
					return through(append(options, func(o *dynamodb.Options) { o.HTTPClient = heldClient{o.HTTPClient, slow} })...)
				},
			})
			anna := newAccount(t, w, "anna") // a bearer whose check is one read of two items, unlike a report's
			slow.on.Store(true)
			report := encode(t, map[string]any{"tokens": []string{"a-value-that-could-be-a-bearer"}})
			statuses := make(chan int)
			const flood = 40
			for range flood {
				go func() { statuses <- w.Do(t, "", "POST", "/api/v4/token_leaks", report).Status }()
			}
			for range flood - test.held { // the others wait for the table
				if status := <-statuses; status != http.StatusTooManyRequests && status != http.StatusInternalServerError {
					t.Errorf("status %d", status)
				}
			}
			wanted := http.StatusOK
			if test.denied {
				wanted = http.StatusInternalServerError
			}
			if got := w.Do(t, anna.Bearer, "GET", "/sample/orders", ""); got.Status != wanted {
				t.Errorf("the authorizer's API answers %d %s, want %d", got.Status, got.Body, wanted)
			}
			close(slow.release)
			for range test.held {
				if status := <-statuses; status != http.StatusNoContent {
					t.Errorf("a report that was let through is answered %d", status)
				}
			}
		})
	}
}

// heldReads are the look-ups of reported values, which wait until they are released.
type heldReads struct {
	on      atomic.Bool
	release chan struct{}
}

type heldClient struct {
	aws.HTTPClient
	held *heldReads
}

func (c heldClient) Do(r *http.Request) (*http.Response, error) {
	if !c.held.on.Load() || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".BatchGetItem") {
		return c.HTTPClient.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if strings.Count(string(body), "TOKEN#") == 1 && !strings.Contains(string(body), "USER#") && !strings.Contains(string(body), "SETTINGS") {
		<-c.held.release // a look-up of a report, and no check
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	return c.HTTPClient.Do(r)
}
