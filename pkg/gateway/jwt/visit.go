package jwt

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/registry"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
)

// A visit is one request: everything known about it, the means to reply, and the content of its log line.
type visit struct {
	server  *Server
	w       http.ResponseWriter
	r       *http.Request
	now     time.Time
	request principal.Request

	// For the log line.
	route  string              // "" for none
	by     principal.Principal // whoever a bearer belongs to, good or not
	held   []registry.Access
	status int
	err    error
}

func (s *Server) newVisit(w http.ResponseWriter, r *http.Request, from proxy.Origin) *visit {
	v := &visit{
		server: s, w: w, r: r, now: s.parts.Clock.Now(),
		request: principal.Request{ID: from.RequestID, Address: from.Address},
	}
	if v.request.ID == "" {
		v.request.ID = strings.ToLower(rand.Text())
	}
	v.header().Set("Cache-Control", "no-store")
	v.header().Set("X-Content-Type-Options", "nosniff")
	v.header().Set("X-Request-Id", v.request.ID)
	return v
}

func (v *visit) header() http.Header { return v.w.Header() }

func (v *visit) write(status int, contentType string, body []byte) {
	v.status = status
	v.header().Set("Content-Type", contentType)
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(body) //nolint:gosec // G705: no reply is HTML; nothing helps when the client is gone
	}
}

func (v *visit) reply(status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	v.write(status, "application/json", body)
	return nil
}

// A refusal is a status with a code of registries ("Docker Registry HTTP API V2", Errors) and a text,
// which is GitLab's where it has one.
type refusal struct {
	status     int
	code, text string
}

// refusals are the replies to errors. The first one that fits decides.
var refusals = []struct {
	err error
	refusal
}{
	{fault.ErrUnavailable, refusal{http.StatusServiceUnavailable, "UNAVAILABLE", "service unavailable"}},
	{errService, refusal{http.StatusNotFound, "UNAVAILABLE", "registry not enabled"}},
	{errMethod, refusal{http.StatusMethodNotAllowed, "UNSUPPORTED", "method not allowed"}},
	{errUnreadable, refusal{http.StatusBadRequest, "UNSUPPORTED", "request cannot be read"}},
	{errScopes, refusal{http.StatusBadRequest, "UNSUPPORTED", "scope names more than " + strconv.Itoa(maxScopes) + " resources"}},
	{errTwice, refusal{http.StatusBadRequest, "UNSUPPORTED", "service or credentials are given more than once"}},
	{errGrant, refusal{http.StatusBadRequest, "UNSUPPORTED", "grant_type must be password"}},
	{token.ErrMissing, refusal{http.StatusUnauthorized, "UNAUTHORIZED", "HTTP Basic: the password must be a token"}},
	{token.ErrInvalid, refusal{http.StatusUnauthorized, "UNAUTHORIZED", "HTTP Basic: Access denied. The token was either incorrect, expired or revoked."}},
	{throttle.ErrThrottled, refusal{http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many wrong tokens; try again later"}},
	{account.ErrInactive, refusal{http.StatusForbidden, "DENIED", "access forbidden"}},
	{scope.ErrInsufficient, refusal{http.StatusForbidden, "DENIED", "access forbidden"}},
	{errNoRoute, refusal{http.StatusNotFound, "UNSUPPORTED", "not found"}},
}

var broken = refusal{http.StatusInternalServerError, "UNKNOWN", "internal server error"}

// refuse replies to an error.
func (v *visit) refuse(err error) {
	if v.err == nil {
		v.err = err
	}
	refused := broken
	for _, row := range refusals {
		if errors.Is(err, row.err) {
			refused = row.refusal
			break
		}
	}
	switch throttled, isThrottled := errors.AsType[*throttle.Refusal](err); {
	case isThrottled:
		v.header().Set("Retry-After", strconv.Itoa(throttled.Wait))
		v.server.parts.Count("RequestsThrottled", throttled.Code)
	case refused.status == http.StatusServiceUnavailable:
		v.header().Set("Retry-After", "1")
	case refused.status == http.StatusUnauthorized:
		v.header().Set("WWW-Authenticate", `Basic realm="Latchkey"`)
	case refused.status == http.StatusMethodNotAllowed:
		v.header().Set("Allow", methods[v.route])
	}
	_ = v.reply(refused.status, map[string]any{"errors": []map[string]string{{"code": refused.code, "message": refused.text}}})
}

func (v *visit) logEnd(watch clock.Stopwatch) {
	level := slog.LevelInfo
	attrs := []any{
		"request_id", v.request.ID, "method", v.r.Method, "route", v.route, "code", v.status, "duration_ms", watch.Elapsed().Milliseconds(),
	}
	if v.by.Token.ID != 0 {
		attrs = append(attrs, "token_id", int64(v.by.Token.ID), "owner", int64(v.by.Token.Owner))
		attrs = append(attrs, principal.Behind(v.by)...)
	}
	if v.held != nil {
		attrs = append(attrs, "access", registry.Names(v.held))
	}
	if v.err != nil {
		attrs = append(attrs, "reason", v.err.Error())
		level = slog.LevelWarn
		if v.status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	v.server.parts.Log.Log(v.r.Context(), level, "request finished", attrs...)
}
