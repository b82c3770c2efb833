package gitlabapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// An API holds the parts that the routes of every function share.
type API struct {
	Log      *slog.Logger
	Verifier *verify.Verifier
	Accounts AccountReader
	Clock    clock.Clock
	// Trail records events that no change causes, such as refusals.
	Trail *trail.Notes
	// PublicURL is the address of the API for clients, without /api/v4 and a trailing slash. If it
	// is empty, links start with the gateway's own URL.
	PublicURL string
	// AllowedOrigin is the origin whose pages may call the API from a browser, * for every one and ""
	// for none.
	AllowedOrigin string
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
	// Throttles belong to the instance of the function; see throttle.Unlimited.
	Throttles *throttle.Throttles
}

// An AccountReader finds the accounts that administrators act as. Reads are
// strongly consistent. Absence is fault.ErrNotFound.
type AccountReader interface {
	Account(ctx context.Context, id account.ID) (account.Account, error)
	// AccountByName finds an account by username, in any case.
	AccountByName(ctx context.Context, username string) (account.Account, error)
}

// A handler answers a call or returns an error. It never picks a status for an
// error, and never replaces an error to get another status.
type handler func(c *call) error

// A route is one method and path of the API.
type route struct {
	method string
	path   string // below /api/v4, in the form of http.ServeMux; one that starts with /api/ is whole
	handle handler
	// kind says whether the route is about projects or groups, "" for neither.
	kind project.Kind
	// words are replies to errors of handle that only this route gives.
	words []row
	// adminOnly routes refuse other callers with 403 before they check parameters.
	adminOnly bool
	// anonymous replaces the usual 401 for a request without a credential.
	anonymous error
	// makes is the kind of token that the route makes, "" for none. Refusing a
	// caller who may not make one writes an audit event.
	makes token.Kind
	// refused runs when the bearer matches a record but is not good. It may answer
	// the call anyway.
	refused func(c *call, refusal *verify.Refusal) error
	// open routes ask for no credential and read their own parameters.
	open bool
	// creates says that the route makes tokens, which is throttled.
	creates bool
	// reads is for GraphQL, where the method does not tell whether a request only reads. It returns nil
	// if it does.
	reads func(c *call) error

	requirement scope.Requirement
}

const (
	basePath = "/api/v4"
	// expiresHeader tells programs the day on which the presented token expires, as mails tell
	// people.
	expiresHeader = "X-Latchkey-Token-Expires"
	// endsSoon is how long before its expiry a token gets the header.
	endsSoon = 30 * 24 * time.Hour
)

func (rt *route) String() string { return rt.method + " " + rt.fullPath() }

func (rt *route) fullPath() string {
	if strings.HasPrefix(rt.path, "/api/") {
		return rt.path
	}
	return basePath + rt.path
}

// serve returns the handler of one function, whose routes are own.
func (api *API) serve(own []route) proxy.Handler {
	catalog, mux, routes := scope.GitLab(), http.NewServeMux(), map[string]*route{}
	for i := range own {
		rt := &own[i]
		if !rt.open {
			rt.requirement = catalog.Require(rt.method, rt.fullPath())
		}
		routes[rt.String()] = rt
		mux.Handle(rt.String(), http.NotFoundHandler()) // the mux only finds the pattern
	}
	return func(w http.ResponseWriter, r *http.Request, from proxy.Origin) {
		watch := clock.StartStopwatch()
		c := api.newCall(w, r, from)
		defer func() {
			if panicked := recover(); panicked != nil {
				c.err = invocation.Panicked(panicked)
				if c.status == 0 {
					c.refuse(errors.New("panic"))
				}
			}
			c.logEnd(watch)
		}()
		if err := c.run(mux, routes, from.Unreadable); err != nil {
			c.refuse(err)
		}
	}
}

// run answers a call. The order of the checks is GitLab's: a bad credential beats
// a missing right, and a missing right beats a bad parameter.
func (c *call) run(mux *http.ServeMux, routes map[string]*route, unreadable string) error {
	err := c.normalise()
	c.allowOrigin()
	switch {
	case unreadable != "":
		return paramError(unreadable)
	case err != nil:
		return err
	case c.isPreflight():
		return c.noContent()
	}
	_, pattern := mux.Handler(c.r)
	if c.route = routes[pattern]; c.route == nil {
		return c.elsewhere()
	}
	if c.route.open {
		return c.handle(principal.Principal{})
	}
	caller, err := c.authenticate()
	if err != nil || c.status != 0 { // the retry of a rotation has been answered
		return err
	}
	if caller, err = c.actAs(caller); err != nil {
		return err
	}
	if err = c.admit(caller); err == nil {
		err = c.handle(caller)
	}
	if c.route.makes != "" && c.lacksRight(err) {
		c.noteUnissued(caller)
	}
	return err
}

// everyMethodByPath lists the methods of every path, whichever function serves it.
var everyMethodByPath = sync.OnceValues(func() (*http.ServeMux, map[string][]string) {
	mux, methods := http.NewServeMux(), map[string][]string{}
	for _, rt := range everyRoute() {
		path := rt.fullPath()
		if methods[path] == nil {
			mux.Handle(path, http.NotFoundHandler())
		}
		methods[path] = append(methods[path], rt.method)
		if rt.method == http.MethodGet {
			methods[path] = append(methods[path], http.MethodHead)
		}
	}
	return mux, methods
})

// elsewhere returns the routing error of a path that this function does not
// serve: 405 for a known path without the method, otherwise 404. The gateway
// sends another function's path here only in a spelling that it cannot route.
func (c *call) elsewhere() error {
	mux, methods := everyMethodByPath()
	_, path := mux.Handler(c.r)
	if served := methods[path]; served != nil && !slices.Contains(served, c.r.Method) {
		c.header().Set("Allow", strings.Join(served, ", "))
		return errMethodNotAllowed
	}
	return errNoRoute
}

// everyRoute lists the routes of all functions. Do not call their handlers: the
// receivers are empty.
func everyRoute() []route {
	return slices.Concat(
		(&issueAPI{}).routes(), (&revokeAPI{}).routes(), (&tokensAPI{}).routes(),
		(&directoryAPI{}).routes(), (&settingsAPI{}).routes(), (&leaksAPI{}).routes(),
	)
}

// authenticate verifies the bearer, after reading the parameters, which may hold
// it.
func (c *call) authenticate() (principal.Principal, error) {
	nobody, rt := principal.Principal{}, c.route
	c.unread = c.read(MaxBody)
	value, err := credential(c.r, c.params)
	if err != nil {
		return nobody, err
	}
	if value == "" && rt.anonymous != nil {
		return nobody, rt.anonymous
	}
	caller, err := c.api.Verifier.Verify(c.ctx, value, c.request.Address)
	if refusal, known := errors.AsType[*verify.Refusal](err); known {
		c.known = principal.Principal{Account: refusal.Account, Token: refusal.Token}
		if event, stray := refusal.Stray(c.request, c.now); stray {
			c.noteRefusal(event)
		}
		if rt.refused != nil {
			if err := rt.refused(c, refusal); err != nil || c.status != 0 {
				return nobody, err
			}
		}
	}
	if err != nil {
		code := verify.RefusalCode(err)
		if err = c.api.Throttles.WrongBearer(err, c.request.Address, c.now); !errors.Is(err, throttle.ErrThrottled) {
			c.api.Count("BearersRefused", code)
		}
		return nobody, err
	}
	caller.Request, c.known = c.request, caller
	if ends := caller.Token.ExpiresOn; caller.Token.Announced() && caller.Token.ExpiresAt().Sub(c.now) < endsSoon {
		c.header().Set(expiresHeader, ends.String())
	}
	return caller, nil
}

// admit checks whether caller may use the route at all.
func (c *call) admit(caller principal.Principal) error {
	rt := c.route
	switch {
	case caller.By == nil && rt.reads != nil && !c.opens(caller.Scopes, caller.Token.Reach()),
		caller.By == nil && rt.reads == nil && rt.requirement.Met(caller.Scopes) != nil:
		return &insufficientScope{listed: rt.requirement.Listed}
	case rt.adminOnly && !caller.Account.Admin:
		return fault.ErrForbidden
	case c.unread != nil:
		// Even a route without parameters refuses a body that cannot be read: it
		// may ask for sudo.
		return c.unread
	case rt.creates:
		return c.api.Throttles.Create(caller.Holder().ID, c.now)
	}
	return nil
}

// handle calls the handler as by, which is the zero Principal on open routes.
func (c *call) handle(by principal.Principal) error {
	by.Request = c.request
	c.by, c.words = by, c.route.words
	return c.route.handle(c)
}

// lacksRight reports whether err means that the caller lacks a right. A feature
// that is switched off and a bot that can have no second token are no lack of
// rights.
func (c *call) lacksRight(err error) bool {
	return (errors.Is(err, fault.ErrForbidden) || errors.Is(err, scope.ErrInsufficient)) && !errors.Is(err, fault.ErrSwitchedOff) &&
		!(c.route.adminOnly && errors.Is(err, lifecycle.ErrForBot))
}

// normalise brings the path to the spelling of routes and never redirects. Like
// GitLab's router it drops repeated slashes and a trailing one. The path stays
// encoded, so `acme%2Fweb` is one segment. A path with a dot segment, in any
// spelling, matches no route. The base path of a custom domain moves to the site,
// unless that is configured.
func (c *call) normalise() error {
	path := &strings.Builder{}
	for segment := range strings.SplitSeq(c.r.URL.EscapedPath(), "/") {
		if segment == "" {
			continue
		}
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return errNoRoute
		}
		path.WriteString("/" + segment)
	}
	if path.Len() == 0 {
		path.WriteByte('/')
	}
	base, own := apigateway.CutBase(path.String())
	// As a pattern, /projects/user/{user_id} would be in conflict with /projects/{id}/members.
	if user, found := strings.CutPrefix(own, basePath+"/projects/user/"); found && c.r.Method == http.MethodPost && strings.Trim(user, "0123456789") == "" {
		own = basePath + "/users/" + user + "/projects"
	}
	if c.api.PublicURL == "" {
		c.site += site(base)
	}
	parsed, err := url.Parse(own)
	if err != nil {
		return errNoRoute
	}
	normal, clean := *c.r, *c.r.URL
	clean.Path, clean.RawPath = parsed.Path, parsed.RawPath
	normal.URL = &clean
	c.r = &normal
	return nil
}
