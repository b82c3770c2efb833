package gitlabapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
)

// A call is one request: everything known about it, the means to reply, and the content of its log
// line. The context carries only the deadline.
type call struct {
	ctx context.Context
	// by is the caller: verified and admitted, or nobody on an open route. Its
	// Request has the id and the client's address.
	by principal.Principal
	// now is the instant of the request; handlers do not read the clock.
	now time.Time
	site
	binder

	api     *API
	w       http.ResponseWriter
	r       *http.Request // its path normalised
	request principal.Request
	route   *route // nil for none
	words   []row
	unread  error // why the parameters could not be read
	body    []byte

	// For the log line. known may be a caller who is not admitted, or the owner of
	// a refused bearer, so it never proves a right.
	known  principal.Principal
	status int
	err    error
}

func (api *API) newCall(w http.ResponseWriter, r *http.Request, from proxy.Origin) *call {
	c := &call{
		ctx: r.Context(), now: api.Clock.Now(), site: site(cmp.Or(api.PublicURL, from.URL)), api: api, w: w, r: r,
		request: principal.Request{ID: from.RequestID, Address: from.Address},
	}
	if c.request.ID == "" {
		c.request.ID = strings.ToLower(rand.Text())
	}
	c.header().Set("X-Request-Id", c.request.ID)
	c.header().Set("Cache-Control", "no-store") // replies carry bearers; RFC 6750 section 5.3
	return c
}

// path returns the value of the segment {name} of the route's path.
func (c *call) path(name string) string {
	given := strings.Split(c.r.URL.EscapedPath(), "/")
	for i, part := range strings.Split(c.route.fullPath(), "/") {
		if part == "{"+name+"}" {
			value, _ := url.PathUnescape(given[i]) // EscapedPath is a valid encoding
			return value
		}
	}
	return ""
}

func (c *call) header() http.Header { return c.w.Header() }

func (c *call) write(status int, body []byte) {
	c.status = status
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // nothing helps when the client is gone
}

func (c *call) json(status int, body any) error {
	c.header().Set("Content-Type", "application/json")
	c.write(status, encode(body))
	return nil
}

func (c *call) noContent() error {
	c.status = http.StatusNoContent
	c.w.WriteHeader(c.status)
	return nil
}

// encode returns the JSON of a reply. Wire types always encode.
func encode(body any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
	return b.Bytes()
}

// each converts values to the wire. An empty list is [], not null.
func each[V, W any](values []V, wire func(V) W) []W {
	list := make([]W, len(values))
	for i, value := range values {
		list[i] = wire(value)
	}
	return list
}

// facts returns the attributes of a log line about a change. They name an administrator behind the
// caller, so that the log does not blame the account. The request id leads to the request's last
// line, which names the token.
func (c *call) facts(attrs ...any) []any {
	return append(append([]any{"request_id", c.request.ID}, attrs...), principal.Behind(c.known)...)
}

func (c *call) logEnd(watch clock.Stopwatch) {
	name := ""
	if c.route != nil {
		name = c.route.String()
	}
	level := slog.LevelInfo
	attrs := []any{
		"request_id", c.request.ID, "method", c.r.Method, "route", name,
		"code", c.status, "duration_ms", watch.Elapsed().Milliseconds(),
	}
	if c.known.Token.ID != 0 {
		attrs = append(attrs, "token_id", int64(c.known.Token.ID), "owner", int64(c.known.Account.ID))
		attrs = append(attrs, principal.Behind(c.known)...)
	}
	if c.err != nil {
		attrs = append(attrs, "reason", c.err.Error())
		level = slog.LevelWarn
		if c.status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	c.api.Log.Log(c.ctx, level, "request finished", attrs...)
}
