package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/pkg/administration"
	"latchkey/pkg/apigateway"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// A Site serves the pages. It is safe for concurrent use.
type Site struct {
	parts  Parts
	mux    *http.ServeMux
	routes map[string]*route
	// methods are those of each path.
	methods map[string][]string
	foreign *http.CrossOriginProtection
}

// Parts hold the dependencies of a Site.
type Parts struct {
	Log   *slog.Logger
	Clock clock.Clock
	// PublicURL is the address of the site for browsers, without a trailing slash. If it is empty,
	// the gateway's own address is used.
	PublicURL string `optional:""`
	Visitors  Visitors
	// Door serves sign-in and sign-out.
	Door Door
	// Sealer seals what a browser carries from one page to the next.
	Sealer  *Sealer
	Issuer  *lifecycle.Issuer
	Revoker *lifecycle.Revoker
	Lister  *lifecycle.Lister
	// Finder finds projects, groups and members.
	Finder *directory.Finder
	Trail  *trail.Trail
	// Directory, Features and Settings are for the pages of administrators.
	Directory *directory.Directory
	Features  *administration.Features
	Settings  *administration.Administration
	// Verifier verifies the bearers of calendar programs.
	Verifier *verify.Verifier
	// Throttles belong to the instance of the function.
	Throttles *throttle.Throttles
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
}

// Visitors say who a request belongs to.
type Visitors interface {
	// Visitor returns the person who is signed in, as principal.Visitor makes it, or an error of the
	// kind fault.Unauthenticated for nobody. It may renew the session by a cookie in the headers of w.
	Visitor(ctx context.Context, w http.ResponseWriter, r *http.Request, request principal.Request) (principal.Principal, error)
}

// A Door has the paths of sign-in and sign-out. Those of sign-in are open.
type Door interface{ routes() []route }

// signInPath is where people without a session go; it takes the way back in the parameter
// return_to, a path with its query below the site's own address.
const signInPath = "/-/sign_in"

// New returns a Site, or an error that names a missing part.
func New(parts Parts) (*Site, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	s := &Site{
		parts: parts, mux: http.NewServeMux(), routes: map[string]*route{}, methods: map[string][]string{},
		foreign: http.NewCrossOriginProtection(),
	}
	if parts.PublicURL != "" {
		public, err := url.Parse(parts.PublicURL)
		if err != nil {
			return nil, errors.New("the public address is not a URL")
		}
		if err := s.foreign.AddTrustedOrigin(public.Scheme + "://" + public.Host); err != nil {
			return nil, fmt.Errorf("public address: %w", err)
		}
	}
	own := slices.Concat(assetRoutes(), s.tokenRoutes(), s.projectRoutes(), s.calendarRoutes(), s.adminRoutes(), parts.Door.routes())
	for i := range own {
		rt := &own[i]
		s.routes[rt.String()] = rt
		s.methods[rt.path] = append(s.methods[rt.path], rt.method)
		s.mux.Handle(rt.String(), http.NotFoundHandler()) // the mux only finds the pattern
	}
	return s, nil
}

// A handler answers a visit or returns an error. It never picks a status for an error.
type handler func(*visit) error

// A route is one method and path of the site.
type route struct {
	method string
	path   string // in the form of http.ServeMux, from /-/ on
	// kind is whose tokens the page is about: those of a project or group, or one's own for "".
	kind   project.Kind
	handle handler
	// open routes need no session.
	open bool
	// admin routes are there for administrators alone.
	admin bool
	// again returns where to go after sign-in when a form came without a session, so that its
	// content is not lost; nil is the list of tokens.
	again func(*visit) string
}

func (rt *route) String() string { return rt.method + " " + rt.path }

// Handler returns the handler of the gateway's requests.
func (s *Site) Handler() proxy.Handler { return s.serve }

func (s *Site) serve(w http.ResponseWriter, r *http.Request, from proxy.Origin) {
	watch := clock.StartStopwatch()
	v := s.newVisit(w, r, from)
	defer func() {
		if panicked := recover(); panicked != nil {
			v.err = invocation.Panicked(panicked)
			if v.status == 0 {
				v.refuse(v.err)
			}
		}
		v.logEnd(watch)
	}()
	if err := v.run(from.Unreadable); err != nil {
		v.refuse(err)
	}
}

var (
	errForeign    = fmt.Errorf("%w: request of another site", fault.ErrForbidden)
	errUnreadable = fmt.Errorf("%w: request cannot be read", fault.ErrInput)
	errNoRoute    = fmt.Errorf("%w: page", fault.ErrNotFound)
	errMethod     = fmt.Errorf("%w: method", errNoRoute)
)

// maxForm is the longest body of a form, in bytes.
const maxForm = 64 << 10

// run answers a visit. A request of another site is refused before anything of it is read.
func (v *visit) run(unreadable string) error {
	if unreadable != "" {
		return errUnreadable
	}
	if err := v.site.foreign.Check(v.r); err != nil {
		return errForeign
	}
	if err := v.normalise(); err != nil {
		return err
	}
	_, pattern := v.site.mux.Handler(v.r)
	if v.route = v.site.routes[pattern]; v.route == nil {
		return v.elsewhere()
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		return errUnreadable
	}
	if v.route.open {
		return v.route.handle(v)
	}
	by, err := v.site.parts.Visitors.Visitor(v.ctx, v.w, v.r, v.request)
	if fault.KindOf(err) == fault.Unauthenticated {
		v.err = err
		return v.signIn()
	}
	if err != nil {
		return err
	}
	v.by = by
	if v.route.admin && !by.Account.Admin {
		return errNoRoute
	}
	return v.route.handle(v)
}

// signIn sends somebody without a session to the sign-in, with the way back.
func (v *visit) signIn() error {
	back := v.r.URL.Path
	if v.r.URL.RawQuery != "" {
		back += "?" + v.r.URL.RawQuery
	}
	if v.r.Method == http.MethodPost {
		back = tokensPath
		if v.route.again != nil {
			back = v.route.again(v)
		}
	}
	return v.redirect(signInPath + "?" + url.Values{"return_to": {back}}.Encode())
}

// normalise cuts off what lies before /-/, which is the stage or the base path of a custom domain, and
// a slash at the end. Unless the site's address is configured, the base path is part of it. No page has
// an escaped or empty segment in its path.
func (v *visit) normalise() error {
	if v.r.URL.RawPath != "" || strings.Contains(v.r.URL.Path, "//") || strings.Contains(v.r.URL.Path, "/.") {
		return errNoRoute
	}
	base, path := apigateway.CutBase(v.r.URL.Path)
	if v.site.parts.PublicURL == "" {
		v.address += base
		v.base += base
	}
	if path != "/-/" {
		path = strings.TrimSuffix(path, "/")
	}
	normal, clean := *v.r, *v.r.URL
	clean.Path = path
	normal.URL = &clean
	v.r = &normal
	return nil
}

// elsewhere returns the error of a path without a route, or with other methods.
func (v *visit) elsewhere() error {
	if v.r.URL.Path == adminPath || strings.HasPrefix(v.r.URL.Path, adminPath+"/") {
		return errNoRoute // who may know the methods has not been asked
	}
	for path, methods := range v.site.methods {
		probe := *v.r
		probe.Method = methods[0]
		if _, pattern := v.site.mux.Handler(&probe); pattern == methods[0]+" "+path {
			v.header().Set("Allow", strings.Join(methods, ", "))
			return errMethod
		}
	}
	return errNoRoute
}
