package notify

import (
	"cmp"
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

// SES sends notices with Amazon SES. The fields are set before the first call
// and stay as they are. It needs the actions ses:SendEmail, ses:GetAccount,
// ses:GetEmailIdentity and, with a configuration set,
// ses:GetConfigurationSet.
type SES struct {
	Client *sesv2.Client
	// From is the sender's address, with or without a name.
	From string
	// ConfigurationSet is the name of one, or "".
	ConfigurationSet string
	// PageURL is the address of the token page, for notices without one.
	PageURL string

	setup   setup
	asksFor sync.Mutex // held by the one Send that asks for the quota
}

var _ sweep.Mailer = (*SES)(nil)

// Configure returns how a client is set up. Ten seconds for an attempt are far
// more than SES takes: to give up on a mail that is on its way means not to
// know whether it was sent. Three attempts are for what only reads; a mail is
// never tried twice. endpoint is another service than the region's own, or "".
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

// once keeps the SDK from repeating a request. A SendEmail whose reply was lost
// may have been sent, and a second one would be a second mail.
func once(o *sesv2.Options) { o.Retryer = aws.NopRetryer{} }

// Send makes one SendEmail request. What SES says
// about a refused mail does not always tell the mail's fault from the
// account's, so Send then asks for the account's state as well. Without an
// answer it calls no mail rejected.
func (s *SES) Send(ctx context.Context, n sweep.Notice) error {
	mail, err := Render(n, cmp.Or(n.Page, s.PageURL))
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
		EmailTags: []types.MessageTag{{Name: aws.String("kind"), Value: aws.String(string(n.Kind))}},
	}
	if s.ConfigurationSet != "" {
		in.ConfigurationSetName = &s.ConfigurationSet
	}
	return in
}

func content(data string) *types.Content {
	return &types.Content{Charset: aws.String("UTF-8"), Data: &data}
}

// Rate is how many mails a second the account may send. It returns sweep.ErrPaused
// when it may send none, and sweep.ErrQuota when the mails of the last 24 hours have used up the quota.
// It starts a run, so it also forgets that the account was found not ready:
// somebody may have acted since.
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

// exhausted reports whether mails are refused because the day's quota is used
// up, which SES answers like a rate that is too high. GetAccount has a rate
// limit of its own, so of the many Sends that are refused at a time only one
// asks, once; the others are told to slow down, which is right in both cases.
func (s *SES) exhausted(ctx context.Context) bool {
	if !s.asksFor.TryLock() {
		return false
	}
	defer s.asksFor.Unlock()
	account, err := s.Client.GetAccount(ctx, &sesv2.GetAccountInput{}, once)
	return err == nil && account.SendQuota != nil && usedUp(account.SendQuota)
}

// usedUp reports whether no mail is left of q. A negative quota is unlimited.
func usedUp(q *types.SendQuota) bool {
	return q.Max24HourSend >= 0 && q.SentLast24Hours >= q.Max24HourSend
}
