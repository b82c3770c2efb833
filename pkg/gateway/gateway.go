// Package gateway answers other people's servers that ask about tokens: the forward-auth questions of
// proxies, at /auth/<dialect>[/<kind>], and RFC 7662 introspection, at /oauth/introspect.
//
// Start with New. A Dialect says how a proxy describes a request and which answers it understands; a
// Kind says what lies behind the proxy and who may do what there. Both stand in the address, so the
// operator chooses them and a client cannot. The package promises that it judges the path as the
// proxy was sent it, that every answer that lets a request pass names the caller in all identity
// headers, and that whatever it cannot decide does not pass. It keeps nothing between requests except
// the counts of its throttles.
package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/principal"
	"latchkey/pkg/registry"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// Parts hold the dependencies of a Gateway.
type Parts struct {
	Log      *slog.Logger
	Verifier *verify.Verifier
	Scopes   *scope.Catalog
	// Projects are those in whose repositories people work.
	Projects principal.Projects
	// Trail records uses of a token from outside its networks.
	Trail     *trail.Notes
	Clock     clock.Clock
	Throttles *throttle.Throttles
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
	// TokenPage is the address of the page on which people make tokens, or "" for none.
	TokenPage string `optional:""`
	// Proxies may say from which address a client came. Without any, tokens with networks are refused.
	Proxies Proxies `optional:""`
}

// A Gateway answers servers that ask about tokens. It is safe for concurrent use.
type Gateway struct {
	parts    Parts
	dialects map[string]Dialect
	kinds    map[string]Kind
}

// New returns a Gateway, or an error that names a missing part.
func New(parts Parts) (*Gateway, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	images, err := registry.NewJudge(registry.Parts{Projects: parts.Projects, Scopes: parts.Scopes})
	if err != nil {
		return nil, err
	}
	g := &Gateway{parts: parts, dialects: map[string]Dialect{}}
	for _, dialect := range dialects {
		g.dialects[dialect.name] = dialect
	}
	g.kinds = map[string]Kind{
		"api":      apiKind{parts.Scopes},
		"git":      newGitKind(parts),
		"registry": registryKind{images},
	}
	return g, nil
}

// Handler returns the handler of the gateway's requests.
func (g *Gateway) Handler() proxy.Handler { return g.serve }

// A call is one request, with what its log line tells.
type call struct {
	*Gateway
	ctx     context.Context
	w       http.ResponseWriter
	r       *http.Request
	path    string // as the client sent it, without a base path
	request principal.Request

	// door is the address without what the client chose, for the log line.
	door   string
	known  principal.Principal
	status int
	err    error
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, from proxy.Origin) {
	watch := clock.StartStopwatch()
	_, path := apigateway.CutBase(from.Path)
	c := &call{
		Gateway: g, ctx: r.Context(), w: w, r: r, path: path,
		request: principal.Request{ID: from.RequestID, Address: from.Address},
	}
	if c.request.ID == "" {
		c.request.ID = strings.ToLower(rand.Text())
	}
	c.header().Set("X-Request-Id", c.request.ID)
	c.header().Set("Cache-Control", "no-store")
	defer func() {
		if panicked := recover(); panicked != nil {
			c.err = invocation.Panicked(panicked)
			if c.status == 0 { // the proxy takes it for "no"
				c.write(http.StatusInternalServerError, "application/json", `{"message":"500 Internal Server Error"}`)
			}
		}
		c.logEnd(watch)
	}()
	c.route(from.Unreadable)
}

// route answers the call. It matches the path as it was sent, because a path that means something
// else after decoding is no address of ours.
func (c *call) route(unreadable string) {
	rest, asks := strings.CutPrefix(c.path, "/auth/")
	switch {
	case asks:
		c.forwardAuth(rest, unreadable)
	case strings.TrimSuffix(c.path, "/") == "/oauth/introspect":
		c.door = "/oauth/introspect"
		c.introspect(unreadable)
	default:
		c.noAddress()
	}
}

// noAddress answers a path that nothing has here.
func (c *call) noAddress() {
	c.header().Set(reasonHeader, "no_such_address")
	c.write(http.StatusNotFound, "application/json", `{"error":"404 Not Found"}`)
}

func (c *call) header() http.Header { return c.w.Header() }

func (c *call) write(status int, mediaType, body string) {
	c.status = status
	if body != "" {
		c.header().Set("Content-Type", mediaType)
	}
	c.w.WriteHeader(status)
	if body != "" {
		_, _ = c.w.Write([]byte(body)) // nothing helps when the proxy is gone
	}
}

func (c *call) logEnd(watch clock.Stopwatch) {
	level := slog.LevelInfo
	attrs := []any{
		"request_id", c.request.ID, "method", c.r.Method, "route", c.door,
		"code", c.status, "duration_ms", watch.Elapsed().Milliseconds(),
	}
	if c.known.Token.ID != 0 {
		attrs = append(attrs, "token_id", int64(c.known.Token.ID), "owner", int64(c.known.Account.ID))
		attrs = append(attrs, principal.Behind(c.known)...)
	}
	if c.err != nil {
		attrs = append(attrs, "reason", c.err.Error())
		level = slog.LevelWarn
		if undecided(c.err) {
			level = slog.LevelError
		}
	}
	c.parts.Log.Log(c.ctx, level, "request finished", attrs...)
}

// verified returns the caller with a bearer, and records its use from outside the token's networks. With
// an error, the caller is the owner if the bearer matched a token.
func (c *call) verified(bearer string, request principal.Request) (principal.Principal, error) {
	caller, err := c.parts.Verifier.Verify(c.ctx, bearer, request.Address)
	caller.Request = request
	if refusal, matched := errors.AsType[*verify.Refusal](err); matched {
		caller.Account, caller.Token = refusal.Account, refusal.Token
		if event, stray := refusal.Stray(request, c.parts.Clock.Now()); stray {
			if failed := c.parts.Trail.Refusal(c.ctx, event); failed != nil {
				c.parts.Log.Warn("event not recorded", "request_id", request.ID, "event", string(event.Name), "reason", failed.Error())
			}
		}
	}
	return caller, err
}

// refused counts a refusal.
func (c *call) refused(err error) {
	c.err = err
	if throttled, ok := errors.AsType[*throttle.Refusal](err); ok {
		c.parts.Count("RequestsThrottled", throttled.Code)
		return
	}
	c.parts.Count("BearersRefused", verify.RefusalCode(err))
}
