package mailbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"latchkey/infra/cloud/mailbox"
	"latchkey/pkg/clock"
)

var now = time.Date(2026, 3, 19, 1, 0, 0, 0, time.UTC)

func content(data string) *types.Content { return &types.Content{Data: &data} }

func request(subject, text, html string) *sesv2.SendEmailInput {
	body := &types.Body{Text: content(text)}
	if html != "" {
		body.Html = content(html)
	}
	return &sesv2.SendEmailInput{
		FromEmailAddress:     aws.String("latchkey@example.test"),
		Destination:          &types.Destination{ToAddresses: []string{"ada@example.test"}},
		ConfigurationSetName: aws.String("set"),
		EmailTags:            []types.MessageTag{{Name: aws.String("kind"), Value: aws.String("expiring")}},
		Content:              &types.EmailContent{Simple: &types.Message{Subject: content(subject), Body: body}},
	}
}

func send(tb testing.TB, client *sesv2.Client, in *sesv2.SendEmailInput) {
	tb.Helper()
	if _, err := client.SendEmail(tb.Context(), in); err != nil {
		tb.Fatal(err)
	}
}

// The SDK's own client understands every reply, in process and over the network.
func TestAPI(t *testing.T) {
	box := mailbox.New(clock.NewFake(now), 10)
	server := httptest.NewServer(box.API())
	defer server.Close()
	for name, client := range map[string]*sesv2.Client{
		"in process": box.Client(),
		"network": box.Client(func(o *sesv2.Options) {
			o.BaseEndpoint, o.HTTPClient = &server.URL, http.DefaultClient
		}),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(box.Mails())
			sent, err := client.SendEmail(t.Context(), request("Grüße", "text", "<p>html"))
			if err != nil || aws.ToString(sent.MessageId) == "" {
				t.Fatalf("message id %v, err %v", sent, err)
			}
			want := mailbox.Mail{
				Number: before + 1, ReceivedAt: now, From: "latchkey@example.test", To: []string{"ada@example.test"},
				Subject: "Grüße", Text: "text", HTML: "<p>html", ConfigurationSet: "set", Tags: map[string]string{"kind": "expiring"},
			}
			if diff := cmp.Diff(want, box.Mails()[0]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			account, err := client.GetAccount(t.Context(), &sesv2.GetAccountInput{})
			if err != nil || !account.SendingEnabled || !account.ProductionAccessEnabled ||
				account.SendQuota.MaxSendRate != mailbox.Rate || account.SendQuota.Max24HourSend != -1 ||
				account.SendQuota.SentLast24Hours != float64(before+1) {
				t.Errorf("account %+v, err %v", account, err)
			}
			for identity, kind := range map[string]types.IdentityType{
				"latchkey@example.test": types.IdentityTypeEmailAddress, "example.test": types.IdentityTypeDomain,
			} {
				got, err := client.GetEmailIdentity(t.Context(), &sesv2.GetEmailIdentityInput{EmailIdentity: &identity})
				if err != nil || !got.VerifiedForSendingStatus || got.IdentityType != kind {
					t.Errorf("identity %s: %+v, err %v", identity, got, err)
				}
			}
			set, err := client.GetConfigurationSet(t.Context(), &sesv2.GetConfigurationSetInput{ConfigurationSetName: aws.String("set")})
			if err != nil || aws.ToString(set.ConfigurationSetName) != "set" {
				t.Errorf("configuration set %+v, err %v", set, err)
			}
		})
	}
}

func TestAPIRefuses(t *testing.T) {
	box := mailbox.New(clock.NewFake(now), 10)
	client := box.Client(func(o *sesv2.Options) { o.RetryMaxAttempts = 1 })
	for name, spoil := range map[string]func(*sesv2.SendEmailInput){
		"no subject":      func(in *sesv2.SendEmailInput) { in.Content.Simple.Subject.Data = aws.String("") },
		"no body":         func(in *sesv2.SendEmailInput) { in.Content.Simple.Body = &types.Body{} },
		"no destination":  func(in *sesv2.SendEmailInput) { in.Destination.ToAddresses = nil },
		"bad destination": func(in *sesv2.SendEmailInput) { in.Destination.ToAddresses = []string{"nobody"} },
		"no sender":       func(in *sesv2.SendEmailInput) { in.FromEmailAddress = nil },
		"hidden copy":     func(in *sesv2.SendEmailInput) { in.Destination.BccAddresses = []string{"b@example.test"} },
		"another content": func(in *sesv2.SendEmailInput) {
			in.Content = &types.EmailContent{Raw: &types.RawMessage{Data: []byte("x")}}
		},
		"nothing in there": func(in *sesv2.SendEmailInput) { *in = sesv2.SendEmailInput{Content: &types.EmailContent{}} },
	} {
		t.Run(name, func(t *testing.T) {
			in := request("subject", "text", "")
			spoil(in)
			_, err := client.SendEmail(t.Context(), in)
			var bad *types.BadRequestException
			if !errors.As(err, &bad) {
				t.Errorf("err = %v", err)
			}
		})
	}
	t.Run("an operation that is not known", func(t *testing.T) {
		_, err := client.ListContactLists(t.Context(), &sesv2.ListContactListsInput{})
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != "UnknownOperationException" {
			t.Errorf("err = %v", err)
		}
	})
	if mails := box.Mails(); len(mails) > 0 {
		t.Errorf("kept %v", mails)
	}
}

func TestMailboxKeepsTheLatest(t *testing.T) {
	const keep, sent = 3, 40
	box := mailbox.New(clock.NewFake(now), keep)
	var senders sync.WaitGroup
	for range sent {
		senders.Go(func() { send(t, box.Client(), request("subject", "text", "")) })
	}
	senders.Wait()
	var numbers []int
	for _, mail := range box.Mails() {
		numbers = append(numbers, mail.Number)
	}
	if want := []int{sent, sent - 1, sent - 2}; !slices.Equal(numbers, want) {
		t.Errorf("kept %v, want %v", numbers, want)
	}
}

type page struct {
	status int
	policy string
	body   string
}

func get(tb testing.TB, handler http.Handler, path string) page {
	tb.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, nil))
	return page{w.Code, w.Header().Get("Content-Security-Policy"), w.Body.String()}
}

// Names of tokens and people come from outside: on the mailbox's own pages they are text, and the
// mail itself is shown where it can do nothing.
func TestPages(t *testing.T) {
	box := mailbox.New(clock.NewFake(now), 2)
	pages := box.Pages()
	if got := get(t, pages, mailbox.PagesPath); !strings.Contains(got.body, "No mails yet") {
		t.Errorf("empty list: %s", got.body)
	}
	const evil = `</pre><script>alert("x")</script>`
	for n := range 3 {
		in := request(fmt.Sprintf("%s %d", evil, n+1), evil, "<p>html "+evil)
		in.Destination.ToAddresses = []string{`"<script>" <ada@example.test>`}
		send(t, box.Client(), in)
	}
	for _, test := range []struct {
		name, path string
		status     int
		has, lacks []string
	}{
		{"the list has the latest first", "/mailbox/", 200, []string{
			`href="/mailbox/3"`, "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; 3", "2026-03-19 01:00:00", "3 so far", "latest 2 are kept",
		}, []string{"<script", `href="/mailbox/1"`}},
		{"a mail is shown as text and in a frame", "/mailbox/3", 200, []string{
			`src="/mailbox/3/html"`, `sandbox="allow-popups`, "&lt;/pre&gt;&lt;script&gt;", "&lt;ada@example.test&gt;", "latchkey@example.test", "expiring",
		}, []string{"<script", "allow-scripts", "allow-same-origin"}},
		{"the HTML is as it was sent", "/mailbox/3/html", 200, []string{"<p>html " + evil}, nil},
		{"a mail that is no longer kept", "/mailbox/1", 404, []string{"No such mail"}, nil},
		{"its HTML", "/mailbox/1/html", 404, []string{"No such mail"}, nil},
		{"no number", "/mailbox/x", 404, []string{"No such mail"}, nil},
		{"another page", "/mailbox/3/other", 404, []string{"No such mail"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := get(t, pages, test.path)
			if got.status != test.status {
				t.Errorf("status %d", got.status)
			}
			for _, want := range test.has {
				if !strings.Contains(got.body, want) {
					t.Errorf("%q is missing in\n%s", want, got.body)
				}
			}
			for _, unwanted := range test.lacks {
				if strings.Contains(got.body, unwanted) {
					t.Errorf("%q is in\n%s", unwanted, got.body)
				}
			}
			policy := got.policy
			if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "script") || strings.Contains(policy, "allow-same-origin") {
				t.Errorf("policy %q", policy)
			}
			if framed := strings.HasSuffix(test.path, "/html") && test.status == 200; framed != strings.HasPrefix(policy, "sandbox ") {
				t.Errorf("policy %q", policy)
			}
		})
	}
	if list := get(t, pages, "/mailbox/").body; strings.Index(list, "/mailbox/3") > strings.Index(list, "/mailbox/2") {
		t.Error("the list has the oldest first")
	}
}
