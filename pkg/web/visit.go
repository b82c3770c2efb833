package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
)

// endMargin is the part of the function's time that is left after ending many tokens.
const endMargin = 6 * time.Second

// early returns the context of the visit until endMargin before the function's time is up.
func (v *visit) early() (context.Context, context.CancelFunc) {
	return clock.Early(v.ctx, endMargin)
}

// A visit is one request of a browser: everything known about it, the means to reply, and the
// content of its log line. The context carries only the deadline.
type visit struct {
	ctx context.Context
	// by is who is signed in, or nobody on an open route.
	by principal.Principal
	// now is the instant of the request; handlers do not read the clock.
	now time.Time
	// address is the site's address without a trailing slash, and base its path: "", or the stage
	// or base path before /-/.
	address, base string

	site    *Site
	w       http.ResponseWriter
	r       *http.Request // its path starts with /-/, its form is parsed
	request principal.Request
	route   *route // nil for none

	// soon is what the banner says, once soonKnown is true; see endsSoon.
	soon      *soon
	soonKnown bool

	// shows says that the page shows a new bearer, from which nothing shall distract.
	shows bool

	// For the log line.
	status int
	err    error
}

// security are the headers of every reply. Nothing may frame, cache or look into a page, and a page
// runs only this site's script and style.
var security = map[string]string{
	"Cache-Control": "no-store",
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY", // for browsers without frame-ancestors
}

func (s *Site) newVisit(w http.ResponseWriter, r *http.Request, from proxy.Origin) *visit {
	v := &visit{
		ctx: r.Context(), now: s.parts.Clock.Now(), address: cmp.Or(s.parts.PublicURL, from.URL), site: s, w: w, r: r,
		request: principal.Request{ID: from.RequestID, Address: from.Address},
	}
	if parsed, err := url.Parse(v.address); err == nil {
		v.base = strings.TrimSuffix(parsed.Path, "/")
	}
	if v.request.ID == "" {
		v.request.ID = strings.ToLower(rand.Text())
	}
	for name, value := range security {
		v.header().Set(name, value)
	}
	v.header().Set("X-Request-Id", v.request.ID)
	return v
}

// path returns the value of the segment {name} of the route's path.
func (v *visit) path(name string) string {
	given := strings.Split(v.r.URL.Path, "/")
	for i, part := range strings.Split(v.route.path, "/") {
		if part == "{"+name+"}" {
			return given[i]
		}
	}
	return ""
}

func (v *visit) header() http.Header { return v.w.Header() }

// write replies. A HEAD request gets no body.
func (v *visit) write(status int, contentType string, body []byte) error {
	v.status = status
	v.header().Set("Content-Type", contentType)
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(body) // nothing helps when the client is gone
	}
	return nil
}

// redirect sends the browser to a path of the site, from /-/ on, with GET.
func (v *visit) redirect(path string) error { return v.redirectTo(v.base + path) }

// redirectTo sends the browser to a URL of this or another site, with GET.
func (v *visit) redirectTo(there string) error {
	v.header().Set("Location", there)
	v.status = http.StatusSeeOther
	v.w.WriteHeader(v.status)
	return nil
}

func (v *visit) logEnd(watch clock.Stopwatch) {
	name := ""
	if v.route != nil {
		name = v.route.String()
	}
	level := slog.LevelInfo
	attrs := []any{
		"request_id", v.request.ID, "method", v.r.Method, "route", name,
		"code", v.status, "duration_ms", watch.Elapsed().Milliseconds(),
	}
	if v.by.Account.ID != 0 {
		attrs = append(attrs, "owner", int64(v.by.Account.ID))
	}
	if v.err != nil {
		attrs = append(attrs, "reason", v.err.Error())
		level = slog.LevelWarn
		if fault.KindOf(v.err) == fault.Internal || v.status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	v.site.parts.Log.Log(v.ctx, level, "request finished", attrs...)
}
