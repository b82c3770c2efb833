package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/mailbox"
	"latchkey/pkg/secret"
)

// A screen turns the logs of the functions and the gateway into readable lines: one for each
// finished request, and one for each scan, mail and event outside a request. It leaves out metrics.
type screen struct {
	out      io.Writer
	literals map[string]bool

	mu   sync.Mutex
	held []event // of unfinished requests, the latest last
	// deciding is the id of the request that the authorizer is deciding about.
	deciding string

	turn sync.Mutex // the authorizer's; see watch
}

// heldEvents bounds the events of requests that never finish, for example when a function still
// worked after the gateway had timed out.
const heldEvents = 256

func newScreen(out io.Writer, routes []cloud.Route) *screen {
	s := &screen{out: out, literals: map[string]bool{}}
	for _, route := range routes {
		for segment := range strings.SplitSeq(route.Path, "/") {
			s.literals[segment] = !strings.HasPrefix(segment, "{")
		}
	}
	return s
}

// An event is a log record.
type event struct {
	at      time.Time
	message string
	attrs   []slog.Attr
}

// get returns an attribute as text, or "". The last one with a name counts.
func (e event) get(key string) string {
	for _, attr := range slices.Backward(e.attrs) {
		if attr.Key == key {
			return attr.Value.Resolve().String()
		}
	}
	return ""
}

// logger returns a logger that writes on the screen.
func (s *screen) logger() *slog.Logger { return slog.New(screenHandler{screen: s}) }

type screenHandler struct {
	*screen
	attrs []slog.Attr
}

func (screenHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h screenHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = slices.Concat(h.attrs, attrs)
	return h
}

// WithGroup ignores the name, because no logger here uses groups.
func (h screenHandler) WithGroup(string) slog.Handler { return h }

func (h screenHandler) Handle(_ context.Context, record slog.Record) error {
	e := event{record.Time, record.Message, slices.Clone(h.attrs)}
	record.Attrs(func(attr slog.Attr) bool {
		e.attrs = append(e.attrs, attr)
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.get("function") == cloud.AuthorizerFunction && h.deciding != "" {
		e.attrs = append(e.attrs, slog.String("request_id", h.deciding))
	}
	switch {
	case e.get("_aws") != "": // a metric
	case e.message == "events put": // after each change, whose line is there
	case e.message == "request served":
		h.print(e.at, h.request(e))
	case e.message == "scan finished":
		h.print(e.at, scan(e))
	case e.get("request_id") != "":
		h.held = append(h.held, e)
		h.held = h.held[max(0, len(h.held)-heldEvents):]
	default:
		h.print(e.at, e.get("function")+": "+e.brief())
	}
	return nil
}

// print writes a line. It neutralizes control characters, because clients choose paths.
func (s *screen) print(at time.Time, line string) {
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, line)
	_, _ = fmt.Fprintf(s.out, "%s  %s\n", at.Local().Format(time.TimeOnly), line) // there is nobody to tell
}

// request returns the line of a request, from the gateway's event and those of its functions.
func (s *screen) request(served event) string {
	var caller, reason string
	var facts []string
	s.held = slices.DeleteFunc(s.held, func(e event) bool {
		if e.get("request_id") != served.get("request_id") {
			return false
		}
		if e.message == "request finished" || e.get("function") == cloud.AuthorizerFunction {
			caller = cmp.Or(e.caller(), caller)
			reason = cmp.Or(strings.TrimPrefix(e.get("reason"), "token "+e.get("token_id")+": "), reason)
		} else {
			facts = append(facts, e.brief())
		}
		return true
	})
	parts := []string{
		served.get("status"), served.get("method") + " " + s.path(served.get("path")), served.get("duration_ms") + " ms",
		cmp.Or(caller, served.caller()),
	}
	parts = append(parts, facts...)
	if reason == "" && served.get("reason") != "" {
		reason = served.get("reason")
		if scopes := served.get("scopes"); scopes != "" {
			reason += "; its scopes: " + scopes
		}
	}
	parts = append(parts, reason)
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "  ")
}

// path leaves out segments that could be a misplaced bearer or mail address.
func (s *screen) path(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if len(segment) >= secret.MinLength && !s.literals[segment] || strings.Contains(segment, "@") || strings.Contains(segment, "%40") {
			segments[i] = "…"
		}
	}
	return strings.Join(segments, "/")
}

// caller returns whose token a request came with, or "".
func (e event) caller() string {
	if e.get("token_id") == "" {
		return ""
	}
	who := "token " + e.get("token_id") + " of user " + e.get("owner")
	for _, behind := range []string{"sudo_by", "impersonator_id"} {
		if by := e.get(behind); by != "" {
			who += ", used by user " + by
		}
	}
	return who
}

// brief returns what happened, to what, and why.
func (e event) brief() string {
	text := e.message
	for _, thing := range []struct{ key, name string }{{"token_id", "token"}, {"project_id", "project"}, {"owner", "user"}, {"count", "count"}} {
		if id := e.get(thing.key); id != "" {
			text += " (" + thing.name + " " + id + ")"
			break
		}
	}
	if reason := e.get("reason"); reason != "" {
		text += ": " + reason
	}
	return text
}

// scan returns the line of a scan or of the lifetime run, without zero counts.
func scan(e event) string {
	text := "scan " + e.get("function") + " for " + e.get("day") + "  examined " + e.get("examined")
	for _, count := range []string{"due", "mails", "marked", "revoked", "skipped", "failed", "bots_removed"} {
		if n := e.get(count); n != "0" && n != "" {
			text += ", " + strings.ReplaceAll(count, "_", " ") + " " + n
		}
	}
	text += "  " + e.get("duration_ms") + " ms"
	if e.get("done") != "true" {
		text += "  to be continued"
	}
	if reason := e.get("reason"); reason != "" {
		text += "  " + reason
	}
	return text
}

// mail prints the line of a mail: its subject, which names nobody, and its address.
func (s *screen) mail(url string, mail mailbox.Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(mail.ReceivedAt, fmt.Sprintf("mail  %s  %s%s%d", mail.Subject, url, mailbox.PagesPath, mail.Number))
}

// watch lets the authorizer handle one event at a time, as an instance does in AWS. Its log does
// not name the request, so the screen attributes its refusals to the request in deciding.
func (s *screen) watch(function string, handler lambda.Handler) lambda.Handler {
	if function != cloud.AuthorizerFunction {
		return handler
	}
	return watched{handler, s}
}

type watched struct {
	lambda.Handler
	screen *screen
}

func (w watched) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	w.screen.turn.Lock()
	defer w.screen.turn.Unlock()
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		w.screen.decide(invocation.AwsRequestID)
		defer w.screen.decide("")
	}
	return w.Handler.Invoke(ctx, payload)
}

func (s *screen) decide(request string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deciding = request
}
