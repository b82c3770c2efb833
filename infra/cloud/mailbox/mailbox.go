// Package mailbox stands in for Amazon SES on this machine. It accepts mails, keeps the latest ones
// in memory, and shows them in a browser. It sends nothing. ReturnEvent says what SES would if one came back.
//
// Start with New. Client returns a real SDK client whose requests reach the mailbox without a
// network, API answers the same requests over HTTP, and Pages are for people. It promises the
// operations of the SES v2 API that Latchkey uses, for an account that may mail anybody, and
// refuses other operations. All methods are safe for concurrent use.
package mailbox

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"latchkey/pkg/clock"
)

// A Mail is a mail that was accepted.
type Mail struct {
	// Number counts from 1.
	Number           int
	ReceivedAt       time.Time
	From             string
	To               []string
	Subject          string
	Text, HTML       string
	ConfigurationSet string
	Tags             map[string]string
}

type Mailbox struct {
	// Arrived is called with each mail. Set it before the first mail, or leave it nil.
	Arrived func(Mail)

	clock clock.Clock
	keep  int

	mu    sync.Mutex
	mails []Mail // oldest first
	count int
}

// New returns an empty mailbox that keeps the latest mails, up to keep.
func New(c clock.Clock, keep int) *Mailbox { return &Mailbox{clock: c, keep: keep} }

// Mails returns the kept mails, latest first.
func (m *Mailbox) Mails() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := slices.Clone(m.mails)
	slices.Reverse(mails)
	return mails
}

func (m *Mailbox) add(mail Mail) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() {
		if m.Arrived != nil {
			m.Arrived(mail)
		}
	}()
	m.count++
	mail.Number, mail.ReceivedAt = m.count, m.clock.Now()
	m.mails = append(m.mails, mail)
	if surplus := len(m.mails) - m.keep; surplus > 0 {
		m.mails = slices.Delete(m.mails, 0, surplus)
	}
	return mail.Number
}

// received returns how many mails were accepted, kept or not.
func (m *Mailbox) received() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// Client returns an SDK client that talks to this mailbox. options run last.
func (m *Mailbox) Client(options ...func(*sesv2.Options)) *sesv2.Client {
	return sesv2.New(sesv2.Options{
		Region:       "eu-central-1",
		BaseEndpoint: aws.String("http://ses.invalid"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   inProcess{m.API()},
	}, options...)
}

type inProcess struct{ api http.Handler }

func (c inProcess) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := newRecorder()
	c.api.ServeHTTP(w, r)
	return w.response(r), nil
}
