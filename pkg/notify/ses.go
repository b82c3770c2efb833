package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"latchkey/pkg/sweep"
)

// SES sends notices with Amazon SES. Set the fields before the first call. It needs the actions
// ses:SendEmail, ses:GetAccount, ses:GetEmailIdentity and, with a configuration set,
// ses:GetConfigurationSet.
type SES struct {
	Client *sesv2.Client
	// From is the sender's address, with or without a name.
	From string
	// ConfigurationSet is the name of a configuration set, or "".
	ConfigurationSet string
	// PublicURL is the address of Latchkey, without a slash at the end.
	PublicURL string

	setup   setup
	asksFor sync.Mutex // held by the one Send that reads the quota
}

// AccountTag is the tag of a mail that has the id of the recipient's account.
const AccountTag = "account"

var _ sweep.Mailer = (*SES)(nil)

// Configure returns the options of a client. An attempt may take ten seconds, far longer than SES
// needs, because giving up on a mail leaves unknown whether it was sent. Reads are tried three
// times, and a mail only once. endpoint overrides the region's service, or is "".
func Configure(endpoint string) func(*sesv2.Options) {
	return func(o *sesv2.Options) {
		o.RetryMaxAttempts = 3
		if client, ours := o.HTTPClient.(*awshttp.BuildableClient); ours {
			o.HTTPClient = client.WithTimeout(10 * time.Second)
		}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	}
}

// once keeps the SDK from repeating a request. A SendEmail whose reply was lost may have been sent,
// and a second request would be a second mail.
func once(o *sesv2.Options) { o.Retryer = aws.NopRetryer{} }

// Send makes one SendEmail request. A refusal of SES does not always tell a faulty mail from a
// faulty account, so Send then also reads the account's state. If that fails, it reports no mail as
// rejected.
func (s *SES) Send(ctx context.Context, n sweep.Notice) error {
	mail, err := Render(n, s.PublicURL)
	if err != nil {
		return err
	}
	_, err = s.Client.SendEmail(ctx, s.request(n, mail), once)
	if err == nil {
		return nil
	}
	family := familyOf(err)
	switch {
	case errors.Is(family, sweep.ErrThrottled) && s.exhausted(ctx):
		family = sweep.ErrQuota
	case errors.Is(family, sweep.ErrRejected):
		ready, unknown := s.setup.ready(ctx, s)
		if unknown != nil {
			return fmt.Errorf("%w: %s; account not examined: %w", sweep.ErrMail, describe(err), unknown)
		}
		if !ready {
			family = sweep.ErrSender
		}
	}
	if family == nil {
		return translate(err)
	}
	return fmt.Errorf("%w: %s", family, describe(err))
}

func (s *SES) request(n sweep.Notice, mail Mail) *sesv2.SendEmailInput {
	in := &sesv2.SendEmailInput{
		FromEmailAddress: &s.From,
		Destination:      &types.Destination{ToAddresses: []string{n.Recipient.Email}},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: content(mail.Subject),
			Body:    &types.Body{Text: content(mail.Text), Html: content(mail.HTML)},
		}},
		EmailTags: []types.MessageTag{
			{Name: aws.String("kind"), Value: aws.String(string(n.Kind))},
			// Says whose mail it was if it comes back.
			{Name: aws.String(AccountTag), Value: aws.String(n.Recipient.ID.String())},
		},
	}
	if s.ConfigurationSet != "" {
		in.ConfigurationSetName = &s.ConfigurationSet
	}
	return in
}

func content(data string) *types.Content {
	return &types.Content{Charset: aws.String("UTF-8"), Data: &data}
}

// Rate returns how many mails a second the account may send. It returns sweep.ErrPaused if sending
// is off, and sweep.ErrQuota if the quota of 24 hours is used up. A run starts with it, so it also
// forgets that the account was not ready, in case that has been fixed.
func (s *SES) Rate(ctx context.Context) (float64, error) {
	s.setup.reconsider()
	account, err := s.Client.GetAccount(ctx, &sesv2.GetAccountInput{})
	switch {
	case err != nil:
		return 0, translate(err)
	case !account.SendingEnabled:
		return 0, fmt.Errorf("%w: sending is switched off", sweep.ErrPaused)
	case aws.ToString(account.EnforcementStatus) == "SHUTDOWN":
		return 0, fmt.Errorf("%w: account shut down", sweep.ErrPaused)
	case account.SendQuota == nil:
		return 0, errors.New("GetAccount: reply without a quota")
	case usedUp(account.SendQuota):
		return 0, sweep.ErrQuota
	case account.SendQuota.MaxSendRate <= 0:
		return 0, fmt.Errorf("%w: rate of zero", sweep.ErrPaused)
	}
	return account.SendQuota.MaxSendRate, nil
}

// exhausted reports whether SES refuses mails because the day's quota is used up. SES answers in
// the same way when the rate is too high. GetAccount has its own rate limit, so only one of the
// concurrent Sends asks, once. The others report throttling, which is right in both cases.
func (s *SES) exhausted(ctx context.Context) bool {
	if !s.asksFor.TryLock() {
		return false
	}
	defer s.asksFor.Unlock()
	account, err := s.Client.GetAccount(ctx, &sesv2.GetAccountInput{}, once)
	return err == nil && account.SendQuota != nil && usedUp(account.SendQuota)
}

// usedUp reports whether q is used up. A negative quota is unlimited.
func usedUp(q *types.SendQuota) bool {
	return q.Max24HourSend >= 0 && q.SentLast24Hours >= q.Max24HourSend
}
