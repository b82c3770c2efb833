package cloud_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/google/go-cmp/cmp"

	"latchkey/infra/local/localtest"
)

// newTokens makes a user with one token for each end date.
func newTokens(tb testing.TB, w *localtest.World, username string, ends ...string) {
	tb.Helper()
	body := fmt.Sprintf(`{"username":%q,"name":"<b>%s</b> & co","email":"%s@example.test","force_random_password":true}`, username, username, username)
	reply := w.Do(tb, localtest.AdminBearer, http.MethodPost, "/api/v4/users", body)
	var user struct{ ID int64 }
	if err := json.Unmarshal([]byte(reply.Body), &user); err != nil || reply.Status != http.StatusCreated {
		tb.Fatalf("create user: %d %s", reply.Status, reply.Body)
	}
	for _, end := range ends {
		path := fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", user.ID)
		body := fmt.Sprintf(`{"name":"ends <i>%s</i>","scopes":["read_api"],"expires_at":%q}`, end, end)
		if reply := w.Do(tb, localtest.AdminBearer, http.MethodPost, path, body); reply.Status != http.StatusCreated {
			tb.Fatalf("create token: %d %s", reply.Status, reply.Body)
		}
	}
}

// scan invokes a scan of all shards and returns its reply.
func scan(tb testing.TB, w *localtest.World, function, instant string) string {
	tb.Helper()
	out, err := w.Functions[function].Invoke(tb.Context(), fmt.Appendf(nil, `{"time":%q}`, instant))
	if err != nil {
		tb.Fatal(err)
	}
	return string(out)
}

// peerAccount is what the peer says about the account: all of it is needed, some of it is read.
const peerAccount = `{
	"DedicatedIpAutoWarmupEnabled": false, "EnforcementStatus": "HEALTHY",
	"ProductionAccessEnabled": true, "SendingEnabled": true,
	"Details": {"AdditionalContactEmailAddresses": [], "ContactLanguage": "EN", "MailType": "TRANSACTIONAL",
		"ReviewDetails": {"CaseId": "0", "Status": "GRANTED"}, "UseCaseDescription": "test", "WebsiteURL": "https://example.test"},
	"SendQuota": {"Max24HourSend": 1000, "MaxSendRate": 100, "SentLast24Hours": 0},
	"SuppressionAttributes": {"SuppressedReasons": []}
}`

// mailPeer starts an independent SES (aws-ses-v2-local) and returns its address.
func mailPeer(tb testing.TB) string {
	tb.Helper()
	folder := npmFolder(tb)
	peer := node(tb, []string{"AWS_SES_ACCOUNT=" + peerAccount},
		filepath.Join(folder, "node_modules", "aws-ses-v2-local", "dist", "cli.js"), "--host", "127.0.0.1", "--port", "0")
	out, err := peer.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = peer.Process.Kill() // it has no other end
		_ = peer.Wait()
	})
	port := regexp.MustCompile(`running at http://\S+:(\d+)`) // the host that it prints is localhost, which a bare machine cannot look up
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := port.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return "http://127.0.0.1:" + found[1]
		}
	}
	tb.Fatalf("the mail peer did not start: %v", lines.Err())
	return ""
}

// A received mail, as the peer stores it.
type received struct {
	From        string
	Destination struct{ To, Cc, Bcc []string }
	Subject     string
	Body        struct{ HTML, Text string }
}

func store(tb testing.TB, peer string) []received {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, peer+"/store", nil)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	var stored struct{ Emails []received }
	if err := json.NewDecoder(response.Body).Decode(&stored); err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(stored.Emails, func(a, b received) int {
		return strings.Compare(strings.Join(a.Destination.To, ","), strings.Join(b.Destination.To, ","))
	})
	return stored.Emails
}

// The mails of a real scan arrive whole at a service that shares no code with the mailbox: both get
// the same ones.
func TestMailsReachAnIndependentService(t *testing.T) {
	t.Parallel()
	peer := mailPeer(t)
	endpoint := func(options ...func(*sesv2.Options)) *sesv2.Client {
		return sesv2.New(sesv2.Options{
			Region: "eu-central-1", BaseEndpoint: aws.String(peer),
			Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		}, options...)
	}
	options := localtest.Options{PublicURL: "https://tokens.example.test"}
	own := localtest.Start(t, options)
	options.Mail = endpoint
	other := localtest.Start(t, options)
	for _, w := range []*localtest.World{own, other} {
		newTokens(t, w, "ada", "2026-03-20", "2026-03-26")
		newTokens(t, w, "grace", "2026-03-27") // eight days ahead: not yet
		newTokens(t, w, "barbara", "2026-03-21")
		if got, want := scan(t, w, "expiring", scanTime), `{"done":true,"tokens":3,"mails":2,"failed":0}`; got != want {
			t.Fatalf("scan = %s, want %s", got, want)
		}
	}
	var want []received
	for _, mail := range own.Mailbox.Mails() {
		r := received{From: mail.From, Subject: mail.Subject}
		r.Destination.To, r.Destination.Cc, r.Destination.Bcc = mail.To, []string{}, []string{}
		r.Body.HTML, r.Body.Text = mail.HTML, mail.Text
		want = append(want, r)
	}
	slices.SortFunc(want, func(a, b received) int { return strings.Compare(a.Destination.To[0], b.Destination.To[0]) })
	got := store(t, peer)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the peer stored differs from the mailbox (-mailbox +peer):\n%s", diff)
	}
	if len(got) != 2 || !slices.Equal(got[0].Destination.To, []string{"ada@example.test"}) {
		t.Fatalf("%d mails", len(got))
	}
	for _, text := range []string{"ends <i>2026-03-20</i>", "ends <i>2026-03-26</i>", "https://tokens.example.test/-/user_settings/personal_access_tokens"} {
		if !strings.Contains(got[0].Body.Text, text) {
			t.Errorf("%q is not in the text:\n%s", text, got[0].Body.Text)
		}
	}
	if html := got[0].Body.HTML; strings.Contains(html, "<i>2026") || !strings.Contains(html, "ends &lt;i&gt;2026-03-20") {
		t.Errorf("the token's name is not escaped in the HTML:\n%s", html)
	}
	if again := scan(t, other, "expiring", scanTime); again != `{"done":true,"tokens":0,"mails":0,"failed":0}` || len(store(t, peer)) != 2 {
		t.Errorf("a second scan sent something: %s", again)
	}
}
