// Package bounces receives what the mail service says about mails that came back: bounces and
// complaints, as events of SES through EventBridge.
//
// Start with Lambda. The package promises that an event marks only the account that Latchkey put on the
// mail as a tag, and only while the account still has the address that the mail went to; that repeated
// and late events do no harm; and that no mail address, and no text of other people's mail servers, gets
// into a log or an error.
package bounces

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/mail"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/invocation"
)

// AccountTag is the tag of a mail that has the id of the recipient's account; see notify.AccountTag.
const AccountTag = "account"

// Returns marks accounts; see directory.Returns.
type Returns interface {
	Mark(ctx context.Context, back directory.Return) (marked bool, err error)
}

var _ Returns = (*directory.Returns)(nil)

// event is the part of an event that is used (SES developer guide, "Monitoring SES events using Amazon
// EventBridge", and "Contents of event data that SES publishes").
type event struct {
	ID     string `json:"id"`
	Source string `json:"source"`
	Detail struct {
		Type   string `json:"eventType"`
		Bounce struct {
			Type string `json:"bounceType"`
		} `json:"bounce"`
		Complaint struct {
			Feedback string `json:"complaintFeedbackType"`
		} `json:"complaint"`
		Mail struct {
			ID          string              `json:"messageId"`
			SentAt      time.Time           `json:"timestamp"`
			Destination []string            `json:"destination"`
			Tags        map[string][]string `json:"tags"`
		} `json:"mail"`
	} `json:"detail"`
}

var errEvent = &invocation.Error{Type: "EventInvalid", Message: "event is not SES's bounce or complaint about a mail of Latchkey"}

// parse reads an event. The mail is of one account and to one address.
func parse(raw json.RawMessage) (e event, back directory.Return, err error) {
	if json.Unmarshal(raw, &e) != nil || e.Source != "aws.ses" {
		return e, back, errEvent
	}
	sent := e.Detail.Mail
	if len(sent.Tags[AccountTag]) != 1 || len(sent.Destination) != 1 || sent.SentAt.IsZero() {
		return e, back, errEvent
	}
	id, unknown := account.ParseID(sent.Tags[AccountTag][0])
	address, malformed := mail.ParseAddress(sent.Destination[0])
	if unknown != nil || malformed != nil {
		return e, back, errEvent
	}
	return e, directory.Return{Account: id, Address: address.Address, SentAt: sent.SentAt.UTC(), RequestID: e.ID}, nil
}

// outcome returns why the mail came back, and the reason to send no more, "" for none. A transient
// bounce, such as a full mailbox, is none.
func (e event) outcome() (code string, reason account.Unreachable, err error) {
	switch e.Detail.Type {
	case "Bounce":
		if e.Detail.Bounce.Type == "Permanent" {
			return "bounced", account.Bounced, nil
		}
		return "transient", "", nil
	case "Complaint":
		// The recipient's provider may also report that a mail is wanted (RFC 5965, section 7.3).
		if e.Detail.Complaint.Feedback == "not-spam" {
			return "wanted", "", nil
		}
		return "complained", account.Complained, nil
	default:
		return "", "", errEvent
	}
}

// Lambda returns the handler of functions/bounces. count adds one to a metric. Its errors have these types:
// EventInvalid, Unavailable, Internal.
func Lambda(log *slog.Logger, count func(metric, code string), returns Returns) lambda.Handler {
	return invocation.Handler(func(ctx context.Context, raw json.RawMessage) (any, error) {
		e, back, err := parse(raw)
		if err != nil {
			return nil, err
		}
		code, reason, err := e.outcome()
		if err != nil {
			return nil, err
		}
		attrs := []any{"request_id", e.ID, "message_id", e.Detail.Mail.ID, "owner", int64(back.Account), "code", code}
		marked := false
		if back.Reason = reason; reason != "" {
			if marked, err = returns.Mark(ctx, back); err != nil {
				log.Error("returned mail not recorded", append(attrs, "reason", err.Error())...)
				return nil, err
			}
		}
		count("MailsReturned", code)
		log.Info("mail returned", append(attrs, "marked", marked)...)
		return map[string]bool{"marked": marked}, nil
	})
}
