package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// A Notice is one mail to one recipient about one owner's tokens.
type Notice struct {
	Kind      Kind
	Recipient account.Account
	// Owner is whose tokens they are: the recipient, or a bot.
	Owner account.ID
	// Project is what a bot's tokens are for, and none for a person's. Its
	// FullPath starts with a username if it is in an account's namespace.
	Project project.Project
	// Today is the UTC day of the scan.
	Today clock.Day
	// Tokens are the first MaxListed of them, soonest first.
	Tokens []Token
	// Total is how many there are.
	Total int
	// LimitDays is the limit that a Lifetime notice is about, or 0 when there
	// is none any more.
	LimitDays int
	// Page is the address of the token page, or "" for the one that the Mailer
	// has.
	Page string
}

// MaxListed is how many tokens a mail names. The rest are counted in it and
// announced with it.
const MaxListed = 100

// PagePath is where people manage their tokens, below the address that they
// reach the service at.
const PagePath = "/-/user_settings/personal_access_tokens"

// A Token is what a mail says about a token. A mailer gets no digest.
type Token struct {
	ID         token.ID
	Name       string
	Scopes     scope.Set
	LastUsedAt time.Time // zero for never
	ExpiresOn  clock.Day // no day is never, in Lifetime and Leaked notices only
}

// listed returns what a mail says about the tokens that all stands for.
func listed[T any](all []T, record func(T) token.Token) []Token {
	tokens := make([]Token, 0, min(len(all), MaxListed))
	for _, one := range all[:cap(tokens)] {
		t := record(one)
		tokens = append(tokens, Token{ID: t.ID, Name: t.Name, Scopes: t.Scopes, LastUsedAt: t.LastUsedAt, ExpiresOn: t.ExpiresOn})
	}
	return tokens
}

// A Mailer sends notices. It is safe for concurrent use.
type Mailer interface {
	// Send returns nil when the mail was accepted for delivery, or an error
	// that wraps one of the Err values below, or another one when it is
	// unknown whether the mail was sent.
	Send(ctx context.Context, n Notice) error
	// Rate returns how many mails a second the account may send. It returns
	// an error that wraps ErrPaused when it may send none.
	Rate(ctx context.Context) (float64, error)
}

// NoMails is the Mailer of a deployment that sends no mails.
var NoMails Mailer = noMails{}

type noMails struct{}

func (noMails) Send(context.Context, Notice) error    { return ErrPaused }
func (noMails) Rate(context.Context) (float64, error) { return 0, ErrPaused }

var (
	// ErrMail is the parent of what is known to be wrong with sending.
	ErrMail = errors.New("mail not sent")
	// ErrThrottled means that mails come too fast: slow down and try again.
	ErrThrottled = fmt.Errorf("%w: too fast", ErrMail)
	// ErrQuota means that the day's mails are used up: stop, resume later.
	ErrQuota = fmt.Errorf("%w: daily quota used up", ErrMail)
	// ErrRejected means that this mail will never be accepted, because of
	// its address: finished work.
	ErrRejected = fmt.Errorf("%w: rejected for good", ErrMail)
	// ErrPaused means that the account may not send at all: somebody has to
	// act.
	ErrPaused = fmt.Errorf("%w: sending is paused or suspended", ErrMail)
	// ErrSender means that the account may not send from this address, or
	// not to this one yet (the sandbox): somebody has to act.
	ErrSender = fmt.Errorf("%w: sender not verified or account in the sandbox", ErrMail)
)
