package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/notify"
	"latchkey/pkg/sweep"
)

// The paths of SES, with their methods.
const (
	sendEmail  = "POST /v2/email/outbound-emails"
	getAccount = "GET /v2/email/account"
	identity   = "GET /v2/email/identities/"
	configSet  = "GET /v2/email/configuration-sets/"
)

// A service answers like SES. A path that has no answer is not found, as in
// SES.
type service struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	calls   []string
	body    []byte // of the last SendEmail
}

func newService(t *testing.T, answers map[string]http.HandlerFunc) *service {
	t.Helper()
	s := &service{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + r.URL.Path
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.calls = append(s.calls, call)
	if call == sendEmail {
		s.body = body
	}
	answer, known := s.answers[call]
	s.mu.Unlock()
	if !known {
		answer = refuse(http.StatusNotFound, "NotFoundException")
	}
	answer(w, r)
}

func (s *service) answer(call string, how http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[call] = how
}

// count returns how many requests there were for a path.
func (s *service) count(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.calls), func(c string) bool { return c != call }))
}

// mailer returns a sender that talks to s. It retries what may be retried
// without a pause.
func (s *service) mailer(options ...func(*sesv2.Options)) *notify.SES {
	options = append([]func(*sesv2.Options){notify.Configure(s.URL), func(o *sesv2.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}}, options...)
	return &notify.SES{
		Client: sesv2.NewFromConfig(aws.Config{
			Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
		}, options...),
		From: "Latchkey <no-reply@mail.example.org>", PublicURL: publicURL,
	}
}

// hostile is an error message like those of SES that name addresses.
const hostile = "Email address is not verified: avery@example.com, no-reply@mail.example.org"

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// refuse answers with an error in the form of SES.
func refuse(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-ErrorType", code)
		w.Header().Set("X-Amzn-RequestId", "3f2c6a9e-0000-4000-8000-000000000000")
		reply(status, `{"message":"`+hostile+`"}`)(w, r)
	}
}

// refuseInBody names the error in the body only, the protocol's other form.
func refuseInBody(status int, code string) http.HandlerFunc {
	return reply(status, `{"__type":"com.amazonaws.services.sesv2#`+code+`","message":"`+hostile+`"}`)
}

var accepted = reply(http.StatusOK, `{"MessageId":"0107000000000000-00000000-0000-0000-0000-000000000000-000000"}`)

// theAccount answers GetAccount. Without changes the account is in order.
func theAccount(changes ...func(map[string]any)) http.HandlerFunc {
	state := map[string]any{
		"ProductionAccessEnabled": true, "SendingEnabled": true, "EnforcementStatus": "HEALTHY",
		"SendQuota": map[string]any{"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 7.0},
	}
	for _, change := range changes {
		change(state)
	}
	body, _ := json.Marshal(state)
	return reply(http.StatusOK, string(body))
}

func quota(limit, sent float64) func(map[string]any) {
	return func(state map[string]any) {
		state["SendQuota"] = map[string]any{"Max24HourSend": limit, "MaxSendRate": 14, "SentLast24Hours": sent}
	}
}

func with(key string, value any) func(map[string]any) {
	return func(state map[string]any) { state[key] = value }
}

var verified = reply(http.StatusOK, `{"IdentityType":"DOMAIN","VerifiedForSendingStatus":true,"VerificationStatus":"SUCCESS"}`)
var unverified = reply(http.StatusOK, `{"IdentityType":"DOMAIN","VerifiedForSendingStatus":false,"VerificationStatus":"PENDING"}`)

// inOrder are the answers for an account that may send.
func inOrder(send http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		sendEmail: send, getAccount: theAccount(), identity + "mail.example.org": verified,
	}
}

func mailNotice(t *testing.T) sweep.Notice {
	t.Helper()
	return notice(t, sweep.Expiring, tok(t, 7, "nightly-export", "2026-03-24"))
}

// families are the errors that tell what to do next.
var families = []error{sweep.ErrThrottled, sweep.ErrQuota, sweep.ErrRejected, sweep.ErrPaused, sweep.ErrSender}

// wantFamily fails the test when err is not of the one family (nil for none),
// or when its text has an address: errors are logged.
func wantFamily(t *testing.T, err, want error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, family := range families {
		if is := errors.Is(err, family); is != errors.Is(want, family) {
			t.Errorf("error %q is %q: %t, want %v", err, family, is, want)
		}
	}
	// Escaped or not: the address of the sender is in a URL.
	for _, private := range []string{"@", "%40", "example", "avery", "Avery", "nightly", "status 0"} {
		if strings.Contains(err.Error(), private) {
			t.Errorf("error %q has %q", err, private)
		}
	}
}

func TestSendIsOneRequestAsReviewed(t *testing.T) {
	for name, set := range map[string]string{"request": "", "request-with-configuration-set": "latchkey"} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, inOrder(accepted))
			mailer := s.mailer()
			mailer.ConfigurationSet = set
			n := notice(t, sweep.Expired, tok(t, 7, "<nightly> é", today))
			if set == "" {
				n.Kind = sweep.Expiring
			}
			if err := mailer.Send(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.calls, []string{sendEmail}) {
				t.Errorf("requests %q", s.calls)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, s.body, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", indented.String()+"\n")

			var sent struct {
				Content struct {
					Simple struct {
						Subject struct{ Data, Charset string }
						Body    struct {
							Text, HTML struct{ Data, Charset string }
						}
					}
				}
			}
			if err := json.Unmarshal(s.body, &sent); err != nil {
				t.Fatal(err)
			}
			mail, simple := render(t, n), sent.Content.Simple
			if simple.Subject.Data != mail.Subject || simple.Body.Text.Data != mail.Text || simple.Body.HTML.Data != mail.HTML {
				t.Error("another mail was sent than was rendered")
			}
		})
	}
}

// A rejected mail counts as finished, so each class that is taken for a
// rejection by mistake loses notices.
func TestErrorsOfSend(t *testing.T) {
	cases := []struct {
		code   string
		status int
		want   error
	}{
		{"TooManyRequestsException", http.StatusTooManyRequests, sweep.ErrThrottled},
		{"ThrottlingException", http.StatusBadRequest, sweep.ErrThrottled},
		{"Throttling", http.StatusBadRequest, sweep.ErrThrottled},
		{"RequestLimitExceeded", http.StatusServiceUnavailable, sweep.ErrThrottled},
		{"LimitExceededException", http.StatusBadRequest, sweep.ErrQuota},
		{"BadRequestException", http.StatusBadRequest, sweep.ErrRejected},
		{"MessageRejected", http.StatusBadRequest, sweep.ErrRejected},
		{"MailFromDomainNotVerifiedException", http.StatusBadRequest, sweep.ErrSender},
		{"NotFoundException", http.StatusNotFound, sweep.ErrSender},
		{"SendingPausedException", http.StatusBadRequest, sweep.ErrPaused},
		{"AccountSuspendedException", http.StatusBadRequest, sweep.ErrPaused},
		{"InternalServiceErrorException", http.StatusInternalServerError, nil},
		{"InternalFailure", http.StatusInternalServerError, nil},
		{"ServiceUnavailable", http.StatusServiceUnavailable, nil},
		{"AccessDeniedException", http.StatusForbidden, nil},
		{"ExpiredTokenException", http.StatusForbidden, nil},
		{"SomethingNew", http.StatusBadRequest, nil},
	}
	forms := map[string]func(int, string) http.HandlerFunc{"header": refuse, "body": refuseInBody}
	for _, test := range cases {
		for form, refusal := range forms {
			t.Run(test.code+" in the "+form, func(t *testing.T) {
				s := newService(t, inOrder(refusal(test.status, test.code)))
				err := s.mailer().Send(t.Context(), mailNotice(t))
				wantFamily(t, err, test.want)
				if !strings.Contains(err.Error(), test.code) {
					t.Errorf("error %q lacks the code", err)
				}
				if n := s.count(sendEmail); n != 1 {
					t.Errorf("%d requests to send", n)
				}
			})
		}
	}
}

// If this fails, a mail whose reply was lost is sent twice or more.
func TestAMailIsNeverTriedTwice(t *testing.T) {
	for name, how := range map[string]http.HandlerFunc{
		"status 500":                   reply(http.StatusInternalServerError, "{}"),
		"status 502 of somebody else":  reply(http.StatusBadGateway, "<html>"+hostile),
		"status 503":                   refuse(http.StatusServiceUnavailable, "ServiceUnavailableException"),
		"status 504":                   reply(http.StatusGatewayTimeout, ""),
		"request timeout":              refuse(http.StatusBadRequest, "RequestTimeout"),
		"clock skew":                   refuse(http.StatusForbidden, "RequestTimeTooSkewed"),
		"a page with status 200":       reply(http.StatusOK, "<html>"+hostile),
		"half a reply":                 reply(http.StatusOK, `{"MessageId":"`),
		"a connection that ends":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a reply that is no HTTP":      raw("avery@example.com\r\n\r\n"),
		"a reply cut in its body":      raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"Mess"),
		"a reply that never comes":     hang,
		"a caller who does not wait":   hang,
		"a redirect to somewhere else": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) },
	} {
		for _, connection := range []string{"new", "used"} {
			t.Run(name+" on a "+connection+" connection", func(t *testing.T) {
				s := newService(t, inOrder(how))
				mailer := s.mailer()
				if connection == "used" {
					if _, err := mailer.Rate(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				ctx, want := t.Context(), error(nil)
				var cancel context.CancelFunc
				switch name {
				case "a reply that never comes":
					ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
					defer cancel()
					want = context.DeadlineExceeded
				case "a caller who does not wait":
					ctx, cancel = context.WithCancel(ctx)
					s.answer(sendEmail, func(w http.ResponseWriter, r *http.Request) { cancel(); hang(w, r) })
					want = context.Canceled
				}
				err := mailer.Send(ctx, mailNotice(t))
				wantFamily(t, err, nil)
				if want != nil && !errors.Is(err, want) {
					t.Errorf("error %q is not %q", err, want)
				}
				if n := s.count(sendEmail); n != 1 {
					t.Errorf("%d requests to send", n)
				}
			})
		}
	}
}

// hang answers when nobody waits any more.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// raw answers with bytes and ends the connection.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer connection.Close()
		if _, err := io.WriteString(connection, text); err != nil {
			panic(err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	s := newService(t, nil)
	mailer := s.mailer()
	s.Close()
	wantFamily(t, mailer.Send(t.Context(), mailNotice(t)), nil)
	_, err := mailer.Rate(t.Context())
	wantFamily(t, err, nil)
}

func TestNoCredentials(t *testing.T) {
	s := newService(t, inOrder(accepted))
	mailer := s.mailer(func(o *sesv2.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New(hostile)
		})
	})
	wantFamily(t, mailer.Send(t.Context(), mailNotice(t)), nil)
	if len(s.calls) != 0 {
		t.Errorf("requests %q", s.calls)
	}
}

func TestANoticeThatCannotBeIsNotSent(t *testing.T) {
	s := newService(t, inOrder(accepted))
	wantFamily(t, s.mailer().Send(t.Context(), sweep.Notice{}), nil)
	if len(s.calls) != 0 {
		t.Errorf("requests %q", s.calls)
	}
}

// SES says "too fast" in both cases.
func TestAThrottleIsTheQuotaWhenThatIsUsedUp(t *testing.T) {
	for name, test := range map[string]struct {
		account http.HandlerFunc
		want    error
	}{
		"one mail below the quota":       {theAccount(quota(200, 199)), sweep.ErrThrottled},
		"at the quota":                   {theAccount(quota(200, 200)), sweep.ErrQuota},
		"above the quota":                {theAccount(quota(200, 201)), sweep.ErrQuota},
		"an unlimited quota":             {theAccount(quota(-1, 1e9)), sweep.ErrThrottled},
		"a quota of nothing":             {theAccount(quota(0, 0)), sweep.ErrQuota},
		"no quota told":                  {theAccount(with("SendQuota", nil)), sweep.ErrThrottled},
		"an account that cannot be read": {refuse(http.StatusForbidden, "AccessDeniedException"), sweep.ErrThrottled},
		"an account read too often":      {refuse(http.StatusTooManyRequests, "TooManyRequestsException"), sweep.ErrThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, inOrder(refuse(http.StatusTooManyRequests, "TooManyRequestsException")))
			s.answer(getAccount, test.account)
			wantFamily(t, s.mailer().Send(t.Context(), mailNotice(t)), test.want)
			if sent, asked := s.count(sendEmail), s.count(getAccount); sent != 1 || asked != 1 {
				t.Errorf("%d requests to send, %d for the account", sent, asked)
			}
		})
	}
}

func TestOnlyOneOfManyAsksForTheQuota(t *testing.T) {
	const mails = 8
	s := newService(t, inOrder(refuse(http.StatusTooManyRequests, "TooManyRequestsException")))
	results, release := make(chan error, mails), make(chan struct{})
	s.answer(getAccount, func(w http.ResponseWriter, r *http.Request) {
		<-release
		theAccount(quota(200, 200))(w, r)
	})
	mailer, n := s.mailer(), mailNotice(t)
	for range mails {
		go func() { results <- mailer.Send(t.Context(), n) }()
	}
	for range mails - 1 {
		wantFamily(t, <-results, sweep.ErrThrottled)
	}
	close(release)
	wantFamily(t, <-results, sweep.ErrQuota)
	if asked := s.count(getAccount); asked != 1 {
		t.Errorf("%d requests for the account", asked)
	}
}

// While the account cannot send to anybody, SES rejects every mail. If one of
// these were taken for a bad address, that day's notices would be lost.
func TestARejectionByTheAccountIsNotTheMails(t *testing.T) {
	unreadable := refuse(http.StatusForbidden, "AccessDeniedException")
	for name, test := range map[string]struct {
		change func(*service, *notify.SES)
		want   error
	}{
		"in order": {func(*service, *notify.SES) {}, sweep.ErrRejected},
		"in the sandbox": {func(s *service, _ *notify.SES) {
			s.answer(getAccount, theAccount(with("ProductionAccessEnabled", false)))
		}, sweep.ErrSender},
		"an account that cannot be read":         {func(s *service, _ *notify.SES) { s.answer(getAccount, unreadable) }, nil},
		"an account read too often":              {func(s *service, _ *notify.SES) { s.answer(getAccount, refuse(429, "TooManyRequestsException")) }, nil},
		"an account behind a broken line":        {func(s *service, _ *notify.SES) { s.answer(getAccount, raw("")) }, nil},
		"no identity":                            {func(s *service, _ *notify.SES) { delete(s.answers, identity+"mail.example.org") }, sweep.ErrSender},
		"an unverified domain":                   {func(s *service, _ *notify.SES) { s.answer(identity+"mail.example.org", unverified) }, sweep.ErrSender},
		"a domain that cannot be read":           {func(s *service, _ *notify.SES) { s.answer(identity+"mail.example.org", unreadable) }, nil},
		"an identity behind a broken line":       {func(s *service, _ *notify.SES) { s.answer(identity+"no-reply@mail.example.org", raw("")) }, nil},
		"an unverified address, a verified name": {func(s *service, _ *notify.SES) { s.answer(identity+"no-reply@mail.example.org", unverified) }, sweep.ErrRejected},
		"a verified address only": {func(s *service, _ *notify.SES) {
			delete(s.answers, identity+"mail.example.org")
			s.answer(identity+"no-reply@mail.example.org", verified)
		}, sweep.ErrRejected},
		"a verified domain above": {func(s *service, _ *notify.SES) {
			delete(s.answers, identity+"mail.example.org")
			s.answer(identity+"example.org", verified)
		}, sweep.ErrRejected},
		"a sender that is no address": {func(_ *service, m *notify.SES) { m.From = "Latchkey" }, sweep.ErrSender},
		"a sender without a name":     {func(_ *service, m *notify.SES) { m.From = "no-reply@mail.example.org" }, sweep.ErrRejected},
		"a configuration set that is there": {func(s *service, m *notify.SES) {
			m.ConfigurationSet = "latchkey"
			s.answer(configSet+"latchkey", reply(200, "{}"))
		}, sweep.ErrRejected},
		"a configuration set that is gone": {func(_ *service, m *notify.SES) { m.ConfigurationSet = "latchkey" }, sweep.ErrSender},
		"a configuration set out of reach": {func(s *service, m *notify.SES) {
			m.ConfigurationSet = "latchkey"
			s.answer(configSet+"latchkey", unreadable)
		}, nil},
		"a default configuration set, gone": {func(s *service, _ *notify.SES) { s.answer(identity+"mail.example.org", defaultSet) }, sweep.ErrSender},
		"a default configuration set, there": {func(s *service, _ *notify.SES) {
			s.answer(identity+"mail.example.org", defaultSet)
			s.answer(configSet+"standard", reply(200, "{}"))
		}, sweep.ErrRejected},
	} {
		for _, code := range []string{"MessageRejected", "BadRequestException"} {
			t.Run(name+", "+code, func(t *testing.T) {
				s := newService(t, inOrder(refuse(http.StatusBadRequest, code)))
				mailer := s.mailer()
				test.change(s, mailer)
				err := mailer.Send(t.Context(), mailNotice(t))
				wantFamily(t, err, test.want)
				if !errors.Is(err, sweep.ErrMail) {
					t.Errorf("error %q is not %q, though the mail was not sent", err, sweep.ErrMail)
				}
				if sent := s.count(sendEmail); sent != 1 {
					t.Errorf("%d requests to send", sent)
				}
			})
		}
	}
}

var defaultSet = reply(http.StatusOK, `{"VerifiedForSendingStatus":true,"ConfigurationSetName":"standard"}`)

func TestTheStateOfTheAccountIsRemembered(t *testing.T) {
	send := func(t *testing.T, mailer *notify.SES, want error) {
		t.Helper()
		wantFamily(t, mailer.Send(t.Context(), mailNotice(t)), want)
	}
	rate := func(t *testing.T, mailer *notify.SES) {
		t.Helper()
		if _, err := mailer.Rate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rejecting := refuse(http.StatusBadRequest, "MessageRejected")
	sandbox := theAccount(with("ProductionAccessEnabled", false))
	t.Run("a good one for good", func(t *testing.T) {
		s := newService(t, inOrder(rejecting))
		mailer := s.mailer()
		send(t, mailer, sweep.ErrRejected)
		send(t, mailer, sweep.ErrRejected)
		rate(t, mailer)
		send(t, mailer, sweep.ErrRejected)
		if n := s.count(identity + "mail.example.org"); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("a bad one until the next run starts", func(t *testing.T) {
		s := newService(t, inOrder(rejecting))
		s.answer(getAccount, sandbox)
		mailer := s.mailer()
		send(t, mailer, sweep.ErrSender)
		send(t, mailer, sweep.ErrSender)
		if n := s.count(getAccount); n != 1 {
			t.Errorf("asked %d times", n)
		}
		s.answer(getAccount, theAccount())
		rate(t, mailer)
		send(t, mailer, sweep.ErrRejected)
	})
	t.Run("an unknown one not at all", func(t *testing.T) {
		s := newService(t, inOrder(rejecting))
		s.answer(getAccount, refuse(http.StatusForbidden, "AccessDeniedException"))
		mailer := s.mailer()
		send(t, mailer, nil)
		s.answer(getAccount, theAccount())
		send(t, mailer, sweep.ErrRejected)
	})
	t.Run("once for many at a time", func(t *testing.T) {
		s := newService(t, inOrder(rejecting))
		mailer, n := s.mailer(), mailNotice(t)
		var running sync.WaitGroup
		for range 8 {
			running.Go(func() { wantFamily(t, mailer.Send(t.Context(), n), sweep.ErrRejected) })
		}
		running.Wait()
		if n := s.count(getAccount); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestRate(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		rate   float64
		want   error
		calls  int
	}{
		"in order":             {theAccount(), 14, nil, 1},
		"in the sandbox":       {theAccount(with("ProductionAccessEnabled", false)), 14, nil, 1},
		"on probation":         {theAccount(with("EnforcementStatus", "PROBATION")), 14, nil, 1},
		"an unlimited quota":   {theAccount(quota(-1, 1e9)), 14, nil, 1},
		"one mail left":        {theAccount(quota(200, 199)), 14, nil, 1},
		"no mail left":         {theAccount(quota(200, 200)), 0, sweep.ErrQuota, 1},
		"switched off":         {theAccount(with("SendingEnabled", false)), 0, sweep.ErrPaused, 1},
		"shut down":            {theAccount(with("EnforcementStatus", "SHUTDOWN")), 0, sweep.ErrPaused, 1},
		"shut down and empty":  {theAccount(with("EnforcementStatus", "SHUTDOWN"), quota(200, 200)), 0, sweep.ErrPaused, 1},
		"a rate of nothing":    {theAccount(with("SendQuota", map[string]any{"Max24HourSend": 200, "MaxSendRate": 0})), 0, sweep.ErrPaused, 1},
		"no quota":             {theAccount(with("SendQuota", nil)), 0, nil, 1},
		"not allowed":          {refuse(http.StatusForbidden, "AccessDeniedException"), 0, nil, 1},
		"read too often":       {refuse(http.StatusTooManyRequests, "TooManyRequestsException"), 0, nil, 3},
		"a server error":       {refuse(http.StatusInternalServerError, "InternalFailure"), 0, nil, 3},
		"a page":               {reply(http.StatusOK, "<html>"+hostile), 0, nil, 1},
		"a page of a proxy":    {reply(http.StatusBadGateway, "<html>"+hostile), 0, nil, 3},
		"a lost reply, thrice": {raw(""), 0, nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, map[string]http.HandlerFunc{getAccount: test.answer})
			rate, err := s.mailer().Rate(t.Context())
			if rate != test.rate {
				t.Errorf("rate %v, want %v", rate, test.rate)
			}
			if test.rate == 0 {
				wantFamily(t, err, test.want)
			} else if err != nil {
				t.Error(err)
			}
			if n := s.count(getAccount); n != test.calls {
				t.Errorf("%d requests, want %d", n, test.calls)
			}
		})
	}
}

func TestNoReplyIsWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		// The SDK's own client, on connections that nobody answers on.
		client := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
				attempts++
				ours, theirs := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				return ours, nil
			}
		})
		mailer := newMailer(client, notify.Configure("http://ses.example.net"))
		start := time.Now()
		err := mailer.Send(t.Context(), mailNotice(t))
		wantFamily(t, err, nil)
		if waited := time.Since(start); waited != 10*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("gave up after %v with %q", waited, err)
		}
		if attempts != 1 {
			t.Errorf("%d attempts to send, want 1", attempts)
		}
		attempts = 0
		_, err = mailer.Rate(t.Context())
		wantFamily(t, err, nil)
		if attempts != 3 {
			t.Errorf("%d attempts to read, want 3", attempts)
		}
	})
}

func newMailer(client aws.HTTPClient, options ...func(*sesv2.Options)) *notify.SES {
	return &notify.SES{
		Client: sesv2.NewFromConfig(aws.Config{
			Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""), HTTPClient: client,
		}, options...),
		From: "no-reply@mail.example.org", PublicURL: publicURL,
	}
}

// hosts notes where requests go.
type hosts []string

func (h *hosts) Do(r *http.Request) (*http.Response, error) {
	*h = append(*h, r.URL.Host)
	return nil, io.ErrUnexpectedEOF
}

func TestConfigureChoosesTheEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{"": "email.eu-central-1.amazonaws.com", "http://localhost:9": "localhost:9"} {
		var got hosts
		wantFamily(t, newMailer(&got, notify.Configure(endpoint)).Send(t.Context(), mailNotice(t)), nil)
		if !slices.Equal(got, hosts{want}) {
			t.Errorf("requests went to %q, want %q", got, want)
		}
	}
}
