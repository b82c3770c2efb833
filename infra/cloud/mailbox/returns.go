package mailbox

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Return is a way in which a mail comes back.
type Return string

// The ways.
const (
	PermanentBounce Return = "Permanent"
	TransientBounce Return = "Transient"
	Complaint       Return = "Complaint"
)

// Stamp is the form of instants in SES's events.
const Stamp = "2006-01-02T15:04:05.000Z"

// ReturnEvent returns the event with which SES, through EventBridge, tells that a mail came back (SES
// developer guide, "Contents of event data that SES publishes", and "SES events schema reference").
func ReturnEvent(m Mail, kind Return, at time.Time) []byte {
	recipients, tags := []map[string]string{}, map[string][]string{
		"ses:operation": {"SendEmail"}, "ses:configuration-set": {m.ConfigurationSet}, "ses:source-ip": {"192.0.2.1"},
		"ses:from-domain": {"example.test"}, "ses:caller-identity": {"latchkey-expiring"}, "ses:outgoing-ip": {"192.0.2.2"},
	}
	for name, value := range m.Tags {
		tags[name] = []string{value}
	}
	for _, address := range m.To {
		recipients = append(recipients, map[string]string{"emailAddress": address})
	}
	detail, detailType := map[string]any{
		"mail": map[string]any{
			"timestamp": m.ReceivedAt.UTC().Format(Stamp), "source": m.From, "sourceArn": "arn:aws:ses:eu-central-1:123456789012:identity/example.test",
			"sendingAccountId": "123456789012", "messageId": fmt.Sprintf("local-%d", m.Number), "destination": m.To, "headersTruncated": false,
			"headers":       []map[string]string{{"name": "From", "value": m.From}, {"name": "Subject", "value": m.Subject}},
			"commonHeaders": map[string]any{"from": []string{m.From}, "to": m.To, "subject": m.Subject}, "tags": tags,
		},
	}, "Email Bounced"
	feedback := fmt.Sprintf("feedback-%d", m.Number)
	if kind == Complaint {
		detailType = "Email Complaint Received"
		detail["eventType"] = "Complaint"
		detail["complaint"] = map[string]any{
			"feedbackId": feedback, "complaintSubType": nil, "complainedRecipients": recipients, "timestamp": at.UTC().Format(Stamp),
			"userAgent": "Feedback Loop", "complaintFeedbackType": "abuse", "arrivalDate": at.UTC().Format(Stamp),
		}
	} else {
		for _, r := range recipients {
			r["action"], r["status"], r["diagnosticCode"] = "failed", "5.1.1", "smtp; 550 5.1.1 user unknown"
		}
		detail["eventType"] = "Bounce"
		detail["bounce"] = map[string]any{
			"feedbackId": feedback, "bounceType": string(kind), "bounceSubType": "General", "bouncedRecipients": recipients,
			"timestamp": at.UTC().Format(Stamp), "reportingMTA": "dns; mail.example.test",
		}
	}
	raw, err := json.Marshal(map[string]any{
		"version": "0", "id": fmt.Sprintf("6a7e8feb-b491-4cf7-a9f1-%012d", m.Number), "detail-type": detailType, "source": "aws.ses", "account": "123456789012",
		"time": at.UTC().Format(time.RFC3339), "region": "eu-central-1",
		"resources": []string{"arn:aws:ses:eu-central-1:123456789012:configuration-set/" + m.ConfigurationSet}, "detail": detail,
	})
	if err != nil { // unreachable: the event has texts only
		panic(err)
	}
	return raw
}
