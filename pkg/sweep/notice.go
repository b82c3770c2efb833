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

// A Notice is one mail to one recipient, about their own tokens and those of their projects and
// groups together.
type Notice struct {
	// Kind is that of the scan.
	Kind      Kind
	Recipient account.Account
	// Today is the UTC day of the scan.
	Today clock.Day
	// Tokens are at most MaxListed tokens: the recipient's own first, then one project or group
	// after the other, in each of them the soonest first.
	Tokens []Token
	// Total is the number of tokens.
	Total int
	// LimitDays is the limit of a Lifetime notice, or 0 if there is no limit any more.
	LimitDays int
	// Last says that this is the day's last mail to the recipient about tokens of projects and
	// groups. The rest comes with the next Expiring scan.
	Last bool
}

// MaxListed is the most tokens that a mail lists. The mail counts the others, and announces them
// too.
const MaxListed = 100

// PagePath is the path of the page on which people manage their tokens, below Latchkey's address.
const PagePath = "/-/user_settings/personal_access_tokens"

// A Token is the part of a token that a mail shows. It has no digest.
type Token struct {
	ID         token.ID
	Name       string
	Scopes     scope.Set
	LastUsedAt time.Time // zero for never
	ExpiresOn  clock.Day // no day is never, only for the kinds Lifetime, Leaked, Replaced and Reused
	// EndsAt is when a token with a short life ends, during the day ExpiresOn; zero for every other token.
	EndsAt time.Time
	// Kind says why the token is in the mail; "" for the notice's Kind.
	Kind Kind
	// Project is the project or group of a bot's token; none for a person's. Its FullPath starts
	// with a username if it is in an account's namespace.
	Project project.Project
	// Rotation says who rotated a reported token, or is nil.
	Rotation *Rotation
	// Made says what a token made that was reported or reused, as far as the recipient may end it, or is nil.
	Made *Made
}

// Made says what the chain of a token made, or rotated, at any depth. The tokens are named by the
// first of each chain, or by the one that works.
type Made struct {
	Ended, Working []token.ID
	// More says that there are others.
	More bool
}

// List is the path of the page that lists the token, below Latchkey's address. Only the list of its
// project or group shows the token of a bot, to those who may manage it.
func (t Token) List() string {
	if t.Project.ID == 0 {
		return PagePath
	}
	return fmt.Sprintf("/-/%ss/%s/access_tokens", t.Project.Kind, t.Project.ID)
}

// Page is the path of the page about the token or, with the id of its successor, about that one.
func (t Token) Page(id token.ID) string {
	if t.Project.Kind != "" && t.Project.ID == 0 {
		return PagePath // nobody knows where the token is
	}
	return t.List() + "/" + id.String()
}

// shown returns the part of a token that a mail shows.
func shown(t token.Token, why Kind, of project.Project) Token {
	told := Token{ID: t.ID, Name: t.Name, Scopes: t.Scopes, LastUsedAt: t.LastUsedAt, ExpiresOn: t.ExpiresOn, Kind: why, Project: of}
	if t.Life > 0 {
		told.EndsAt = t.ExpiresAt()
		told.ExpiresOn = clock.DayOf(told.EndsAt)
	}
	return told
}

// A Mailer sends notices. It is safe for concurrent use.
type Mailer interface {
	// Send returns nil if the mail was accepted for delivery. Otherwise the error wraps one of the
	// errors below; any other error leaves unknown whether the mail was sent.
	Send(ctx context.Context, n Notice) error
	// Rate returns how many mails a second the account may send. The error wraps ErrPaused if it
	// may send none.
	Rate(ctx context.Context) (float64, error)
}

// An Allowance counts the mails about tokens of projects and groups that a person gets in a day.
// Strangers can make somebody a member of a project, so there is a limit. A mail about a person's
// own tokens needs no allowance.
type Allowance interface {
	// TakeMail counts one mail to an account on a UTC day and returns its number, from 1 to limit.
	// If limit mails are taken, it returns ErrMailLimit and counts nothing.
	TakeMail(ctx context.Context, to account.ID, day clock.Day, limit int) (number int, err error)
}

// ErrMailLimit means that a person has got all mails of the day about tokens of projects and groups.
var ErrMailLimit = errors.New("no more mails to this account today")

// NoMails is the Mailer of a deployment that sends no mails.
var NoMails Mailer = noMails{}

type noMails struct{}

func (noMails) Send(context.Context, Notice) error    { return ErrPaused }
func (noMails) Rate(context.Context) (float64, error) { return 0, ErrPaused }

var (
	// ErrMail is the parent of known errors of sending.
	ErrMail = errors.New("mail not sent")
	// ErrThrottled means that the rate is too high: slow down and try again.
	ErrThrottled = fmt.Errorf("%w: too fast", ErrMail)
	// ErrQuota means that the daily quota is used up: stop, and resume later.
	ErrQuota = fmt.Errorf("%w: daily quota used up", ErrMail)
	// ErrRejected means that this mail will never be accepted, because of its address. It is
	// finished work.
	ErrRejected = fmt.Errorf("%w: rejected for good", ErrMail)
	// ErrPaused means that the account may not send at all: an operator has to act.
	ErrPaused = fmt.Errorf("%w: sending is paused or suspended", ErrMail)
	// ErrSender means that the account may not send from this address, or not yet to this one (the
	// sandbox): an operator has to act.
	ErrSender = fmt.Errorf("%w: sender not verified or account in the sandbox", ErrMail)
)
