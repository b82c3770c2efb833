package mailbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"strconv"
)

// APIPath is the root of the SES v2 API.
const APIPath = "/v2/email/"

// sendLimit is the largest SendEmail request, in bytes (SES quotas: message size, 40 MB).
const sendLimit = 40 << 20

// Rate is the account's send rate in mails a second. unlimited is SES's value for an unlimited
// quota (API_SendQuota).
const (
	Rate      = 500
	unlimited = -1
)

// API answers SendEmail, GetAccount, GetEmailIdentity and GetConfigurationSet. Signatures are not
// checked.
func (m *Mailbox) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+APIPath+"outbound-emails", m.send)
	mux.HandleFunc("GET "+APIPath+"account", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"EnforcementStatus": "HEALTHY", "ProductionAccessEnabled": true, "SendingEnabled": true,
			"SendQuota": map[string]any{"Max24HourSend": unlimited, "MaxSendRate": Rate, "SentLast24Hours": m.received()},
		})
	})
	mux.HandleFunc("GET "+APIPath+"identities/{identity}", func(w http.ResponseWriter, r *http.Request) {
		kind := "DOMAIN"
		if _, err := mail.ParseAddress(r.PathValue("identity")); err == nil {
			kind = "EMAIL_ADDRESS"
		}
		answer(w, http.StatusOK, map[string]any{
			"IdentityType": kind, "VerificationStatus": "SUCCESS", "VerifiedForSendingStatus": true,
		})
	})
	mux.HandleFunc("GET "+APIPath+"configuration-sets/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]any{"ConfigurationSetName": r.PathValue("name")})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "UnknownOperationException", r.Method+" "+r.URL.Path+" is not known here")
	})
	return mux
}

// sendEmail holds the supported part of a SendEmail request (API_SendEmail).
type sendEmail struct {
	FromEmailAddress     string
	ConfigurationSetName string
	Destination          struct{ ToAddresses, CcAddresses, BccAddresses []string }
	EmailTags            []struct{ Name, Value string }
	Content              struct {
		Simple *struct {
			Subject content
			Body    struct{ Text, Html content }
		}
	}
}

type content struct{ Data string }

func (m *Mailbox) send(w http.ResponseWriter, r *http.Request) {
	var in sendEmail
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, sendLimit)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "BadRequestException", "request is not JSON: "+err.Error())
		return
	}
	if reason := in.fault(); reason != "" {
		refuse(w, http.StatusBadRequest, "BadRequestException", reason)
		return
	}
	tags := make(map[string]string, len(in.EmailTags))
	for _, tag := range in.EmailTags {
		tags[tag.Name] = tag.Value
	}
	number := m.add(Mail{
		From: in.FromEmailAddress, To: in.Destination.ToAddresses, Subject: in.Content.Simple.Subject.Data,
		Text: in.Content.Simple.Body.Text.Data, HTML: in.Content.Simple.Body.Html.Data,
		ConfigurationSet: in.ConfigurationSetName, Tags: tags,
	})
	answer(w, http.StatusOK, map[string]string{"MessageId": "local-" + strconv.Itoa(number)})
}

// fault describes what is wrong with a request, or returns "".
func (in sendEmail) fault() string {
	switch {
	case in.Content.Simple == nil:
		return "only Content.Simple is understood here"
	case in.Content.Simple.Subject.Data == "":
		return "subject is missing"
	case in.Content.Simple.Body.Text.Data == "" && in.Content.Simple.Body.Html.Data == "":
		return "body is missing"
	case len(in.Destination.CcAddresses)+len(in.Destination.BccAddresses) > 0:
		return "only Destination.ToAddresses is understood here"
	case len(in.Destination.ToAddresses) == 0:
		return "destination is missing"
	}
	for _, address := range append([]string{in.FromEmailAddress}, in.Destination.ToAddresses...) {
		if _, err := mail.ParseAddress(address); err != nil {
			return fmt.Sprintf("%q is not a mail address", address)
		}
	}
	return ""
}

func answer(w http.ResponseWriter, status int, body any) {
	out, err := json.Marshal(body)
	if err != nil { // unreachable: replies consist of strings and numbers
		status, out = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(out) // the caller has gone
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("X-Amzn-Errortype", kind)
	answer(w, status, map[string]string{"message": message})
}

// recorder keeps a reply for the SDK client in this process.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{status: http.StatusOK, header: http.Header{}} }

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *recorder) response(r *http.Request) *http.Response {
	return &http.Response{
		StatusCode: w.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        w.header,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       r,
	}
}
