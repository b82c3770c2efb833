package gitlabapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// An API is what the routes of every function share.
type API struct {
	Log      *slog.Logger
	Verifier *verify.Verifier
	Accounts AccountReader
	Clock    clock.Clock
	// Trail takes the events that belong to no change; without one they are lost.
	Trail trail.Recorder
	// PublicURL is where clients reach the API, without /api/v4 and without a
	// slash at the end. Without one it is where the gateway was reached.
	PublicURL string
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
	// Throttles of the function's instance; see throttle.Unlimited.
	Throttles *throttle.Throttles
}

// A AccountReader finds the accounts that administrators act as, strongly
// consistent. Absence is fault.ErrNotFound.
type AccountReader interface {
	Account(ctx context.Context, id account.ID) (account.Account, error)
	// AccountByName finds an account by its username, whose case does not matter.
	AccountByName(ctx context.Context, username string) (account.Account, error)
}

// A handler serves one route. It returns an error instead of choosing a
// status for it.
type handler func(w http.ResponseWriter, r *http.Request) error

// A route is one method and path of the API.
type route struct {
	method string
	path   string // below /api/v4, in the form of http.ServeMux
	handle handler
	// adminOnly routes answer 403 to others before parameters are looked at.
	adminOnly bool
	// anonymous is the answer to a request without a credential, when it is
	// not the usual 401.
	anonymous error
	// makes is the kind of token that the route makes, "" for none: who may not
	// is written down.
	makes token.Kind
	// refused is asked about a bearer that matched a record and is not good.
	// It reports whether it has served the request all the same.
	refused func(w http.ResponseWriter, r *http.Request, refusal *verify.Refusal) (bool, error)
	// open routes ask for no credential and read their own parameters.
	open bool
	// creates says that the route makes tokens, which nobody may do too often.
	creates bool
}

const basePath = "/api/v4"

// serve returns a handler for own. Paths of the API that another function
// serves are answered as routing errors here, so that a request which the
// gateway sends to the wrong place still gets the right words.
func (api *API) serve(own []route) http.Handler {
	catalog := scope.GitLab()
	routes := http.NewServeMux()
	for _, rt := range own {
		if rt.open {
			routes.Handle(rt.method+" "+basePath+rt.path, api.open(rt))
			continue
		}
		requirement := catalog.Require(rt.method, basePath+rt.path)
		routes.Handle(rt.method+" "+basePath+rt.path, api.endpoint(rt, requirement))
	}
	elsewhere := api.routingErrors()
	return api.observe(normalise(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reason, broken := r.Context().Value(unreadableKey{}).(string); broken {
			api.writeError(w, r, paramError(reason))
			return
		}
		if _, pattern := routes.Handler(r); pattern != "" {
			routes.ServeHTTP(w, r)
			return
		}
		elsewhere.ServeHTTP(w, r)
	}), api))
}

// routingErrors answers 405 for a path of the API that lacks the method, and
// 404 for the rest: also for one that another function serves, which the
// gateway sends here only in a spelling that it cannot route.
func (api *API) routingErrors() http.Handler {
	methods := map[string][]string{}
	for _, rt := range everyRoute() {
		methods[rt.path] = append(methods[rt.path], rt.method)
		if rt.method == http.MethodGet {
			methods[rt.path] = append(methods[rt.path], http.MethodHead)
		}
	}
	mux := http.NewServeMux()
	for path, served := range methods {
		allow := strings.Join(served, ", ")
		mux.Handle(basePath+path, api.plain(func(w http.ResponseWriter, r *http.Request) error {
			if slices.Contains(served, r.Method) {
				return errNoRoute
			}
			w.Header().Set("Allow", allow)
			return errMethodNotAllowed
		}))
	}
	mux.Handle("/", api.plain(func(http.ResponseWriter, *http.Request) error { return errNoRoute }))
	return mux
}

const (
	// expiresHeader tells whoever presents a token that is about to end the day
	// from which it is dead: a mail goes to people, this is for programs.
	expiresHeader = "X-Latchkey-Token-Expires"
	// endsSoon is how long before its end a token has the header.
	endsSoon = 30 * 24 * time.Hour
)

// everyRoute lists the routes of all functions. The receivers are never
// called through it.
func everyRoute() (routes []route) {
	for _, set := range [][]route{
		(&issueAPI{}).routes(), (&revokeAPI{}).routes(), (&tokensAPI{}).routes(),
		(&directoryAPI{}).routes(), (&settingsAPI{}).routes(), (&leaksAPI{}).routes(),
	} {
		routes = append(routes, set...)
	}
	return routes
}

// plain adapts a handler that needs no caller.
func (api *API) plain(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			api.writeError(w, r, err)
		}
	})
}

// open serves a route for everybody.
func (api *API) open(rt route) http.Handler {
	return api.plain(func(w http.ResponseWriter, r *http.Request) error {
		recordOf(r.Context()).route = rt.method + " " + basePath + rt.path
		return rt.handle(w, r)
	})
}

// endpoint verifies the caller, checks scope and rank, and calls the handler,
// in the order of GitLab's checks: a credential that is no good beats a
// missing right, which beats a bad parameter.
func (api *API) endpoint(rt route, requirement scope.Requirement) http.Handler {
	return api.plain(func(w http.ResponseWriter, r *http.Request) error {
		record := recordOf(r.Context())
		record.route = rt.method + " " + basePath + rt.path
		params, paramsErr := readParams(w, r, MaxBody)
		r = r.WithContext(context.WithValue(r.Context(), paramsKey{}, parsed{params, paramsErr}))

		value, err := credential(r, params)
		if err != nil {
			return err
		}
		if value == "" && rt.anonymous != nil {
			return rt.anonymous
		}
		caller, err := api.Throttles.Verify(r.Context(), api.Verifier, value, addressOf(r.Context()), api.Clock.Now())
		if errors.Is(err, throttle.ErrThrottled) {
			return err
		}
		if refusal := (*verify.Refusal)(nil); errors.As(err, &refusal) {
			record.caller = principal.Principal{Account: refusal.Account, Token: refusal.Token}
			request := principal.Request{ID: record.id, Address: addressOf(r.Context())}
			if event, stray := refusal.Stray(request, api.Clock.Now()); stray && api.Throttles.Stray(refusal.Token.ID, event.At) == nil {
				api.note(r, event.Origin, event)
			}
			if rt.refused != nil {
				served, replayErr := rt.refused(w, r, refusal)
				if served || replayErr != nil {
					return replayErr
				}
			}
		}
		if err != nil {
			api.Count("BearersRefused", verify.RefusalCode(err))
			return err
		}
		record.caller = caller
		if ends := caller.Token.ExpiresOn; !ends.IsZero() && ends.Start().Sub(api.Clock.Now()) < endsSoon {
			w.Header().Set(expiresHeader, ends.String())
		}
		verified := caller
		caller, err = api.sudo(r, params, caller)
		api.noteSudo(r, verified, caller, err)
		if err != nil {
			return err
		}
		record.caller = caller
		err = api.admitted(w, r, rt, requirement, caller, paramsErr)
		if rt.makes != "" && lacksRight(err) {
			api.noteRefusal(r, caller, rt.makes)
		}
		return err
	})
}

// admitted serves a caller who is known, as whom it runs.
func (api *API) admitted(w http.ResponseWriter, r *http.Request, rt route, requirement scope.Requirement, caller principal.Principal, paramsErr error) error {
	if caller.By == nil && requirement.Met(caller.Token.Scopes) != nil {
		return &insufficientScope{listed: requirement.Listed}
	}
	if rt.adminOnly && !caller.Account.Admin {
		return fault.ErrForbidden
	}
	if paramsErr != nil {
		// Also where no parameter is needed: what could not be read may
		// have asked for something else, such as sudo.
		return paramsErr
	}
	if rt.creates {
		if err := api.Throttles.Create(caller.Holder().ID, api.Clock.Now()); err != nil {
			return err
		}
	}
	ctx := audit.WithOrigin(r.Context(), origin(r.Context(), caller))
	return rt.handle(w, r.WithContext(principal.With(ctx, caller)))
}

// A record collects what the one log line at a request's end says.
type record struct {
	id     string
	route  string
	caller principal.Principal // the zero Principal when nobody is known
	status int
	err    error
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		return r
	}
	return &record{}
}

// observe gives each request its id, its log line at the end, and a 500 when
// a handler panics.
func (api *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watch := clock.StartStopwatch()
		rec := &record{id: requestID(r.Context())}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, rec))
		w.Header().Set("X-Request-Id", rec.id)
		w.Header().Set("Cache-Control", "no-store") // replies carry bearers; RFC 6750 section 5.3
		tracked := &trackedWriter{ResponseWriter: w, record: rec}
		defer func() {
			if fault := recover(); fault != nil {
				// The value is left out: it may quote what a client sent.
				rec.err = fmt.Errorf("handler panicked with a %T at %s", fault, panicSite(debug.Stack()))
				if rec.status == 0 {
					api.writeError(tracked, r, errors.New("panic"))
				}
			}
			api.logEnd(r, rec, watch)
		}()
		next.ServeHTTP(tracked, r)
	})
}

func (api *API) logEnd(r *http.Request, rec *record, watch clock.Stopwatch) {
	level := slog.LevelInfo
	attrs := []any{
		"request_id", rec.id, "method", r.Method, "route", rec.route,
		"code", rec.status, "duration_ms", watch.Elapsed().Milliseconds(),
	}
	if rec.caller.Token.ID != 0 {
		attrs = append(attrs, "token_id", int64(rec.caller.Token.ID), "owner", int64(rec.caller.Account.ID))
		attrs = append(attrs, principal.Behind(rec.caller)...)
	}
	if rec.err != nil {
		attrs = append(attrs, "reason", rec.err.Error())
		level = slog.LevelWarn
		if rec.status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	api.Log.Log(r.Context(), level, "request finished", attrs...)
}

// facts returns the attributes of a line about a change that r has made, with
// who stands behind the caller: owner alone would put down to somebody what an
// administrator did in their name. The request's id leads to the line at its
// end, which names the caller's token.
func facts(r *http.Request, attrs ...any) []any {
	rec := recordOf(r.Context())
	return append(append([]any{"request_id", rec.id}, attrs...), principal.Behind(rec.caller)...)
}

// panicSite returns the place of the panic without the arguments that a stack
// trace prints.
func panicSite(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic(") && i+3 < len(lines) {
			place, _, _ := strings.Cut(strings.TrimSpace(lines[i+3]), " ")
			return place
		}
	}
	return "unknown"
}

type trackedWriter struct {
	http.ResponseWriter
	record *record
}

func (t *trackedWriter) WriteHeader(status int) {
	if t.record.status == 0 {
		t.record.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *trackedWriter) Write(body []byte) (int, error) {
	if t.record.status == 0 {
		t.record.status = http.StatusOK
	}
	return t.ResponseWriter.Write(body)
}

// publicURL returns what the links of a reply start with.
func (api *API) publicURL(ctx context.Context) string {
	if api.PublicURL != "" {
		return api.PublicURL
	}
	reached, _ := ctx.Value(gatewayURLKey{}).(string)
	return reached
}

type requestIDKey struct{}

func requestID(ctx context.Context) string {
	if id, ok := ctx.Value(requestIDKey{}).(string); ok && id != "" {
		return id
	}
	return strings.ToLower(rand.Text())
}

// normalise brings a path to the one spelling that routes are written in,
// without ever redirecting: repeated slashes and one at the end are dropped,
// as GitLab's router does. Everything stays encoded, so `acme%2Fweb` is one
// segment. A dot segment in any spelling is no route.
func normalise(next http.Handler, api *API) http.Handler {
	lost := api.plain(func(http.ResponseWriter, *http.Request) error { return errNoRoute })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := &strings.Builder{}
		for segment := range strings.SplitSeq(r.URL.EscapedPath(), "/") {
			if segment == "" {
				continue
			}
			switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
			case ".", "..":
				lost.ServeHTTP(w, r)
				return
			}
			path.WriteString("/" + segment)
		}
		if path.Len() == 0 {
			path.WriteByte('/')
		}
		clean := *r.URL
		parsed, err := clean.Parse(path.String())
		if err != nil {
			lost.ServeHTTP(w, r)
			return
		}
		clean.Path, clean.RawPath = parsed.Path, parsed.RawPath
		r = r.Clone(r.Context())
		r.URL = &clean
		next.ServeHTTP(w, r)
	})
}
