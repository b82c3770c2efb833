package httpapi

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

	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// A call is one request on its way through the API: everything that is known of
// it, the means to reply, and what the log line at its end says. Its context
// carries the deadline and nothing else.
type call struct {
	ctx context.Context
	// by is the caller whom the handler serves: verified and admitted, or on an
	// open route nobody. Its Request has the id and the client's address.
	by principal.Principal
	// now is the one reading of the clock.
	now time.Time
	// site is where clients reach the API, which links start with.
	site
	// binder takes the parameters.
	binder

	api     *API
	w       http.ResponseWriter
	r       *http.Request // in the spelling of routes
	request principal.Request
	route   *route // nil for none
	words   []row
	unread  error // what keeps the parameters from being read

	// For the log line. known is the caller also before it is admitted, and whom
	// a refused bearer was of; nothing may be done by its right.
	known  principal.Principal
	status int
	err    error
}

func (api *API) newCall(w http.ResponseWriter, r *http.Request, from Origin) *call {
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

// path returns what stands in the request's path for a part {name} of the
// route's.
func (c *call) path(name string) string {
	given := strings.Split(c.r.URL.EscapedPath(), "/")
	for i, part := range strings.Split(basePath+c.route.path, "/") {
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
	_, _ = c.w.Write(body) // a client that is gone cannot be told
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

// encode writes JSON as every reply has it. Values of the wire can always be
// encoded.
func encode(body any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
	return b.Bytes()
}

// each puts values on the wire; the list of none is empty, not null.
func each[V, W any](values []V, wire func(V) W) []W {
	list := make([]W, len(values))
	for i, value := range values {
		list[i] = wire(value)
	}
	return list
}

// facts returns the attributes of a line about a change that the call has made,
// with who stands behind the caller: owner alone would put down to somebody what
// an administrator did in their name. The request's id leads to the line at its
// end, which names the caller's token.
func (c *call) facts(attrs ...any) []any {
	return append(append([]any{"request_id", c.request.ID}, attrs...), behind(c.known)...)
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
		attrs = append(attrs, behind(c.known)...)
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

// behind returns the attributes that say who acts as somebody else.
func behind(caller principal.Principal) (attrs []any) {
	if caller.By != nil {
		attrs = append(attrs, "sudo_by", int64(caller.By.ID))
	}
	if caller.Token.Kind == token.Impersonation {
		attrs = append(attrs, "impersonator_id", int64(caller.Token.CreatedBy))
	}
	return attrs
}
