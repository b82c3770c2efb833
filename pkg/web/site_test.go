package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/throttle"
)

func TestNewRefusesMissingParts(t *testing.T) {
	w := newWorld(t)
	for name, drop := range map[string]func(*Parts){
		"without visitors":               func(p *Parts) { p.Visitors = nil },
		"without a sealer":               func(p *Parts) { p.Sealer = nil },
		"without a trail":                func(p *Parts) { p.Trail = nil },
		"without throttles":              func(p *Parts) { p.Throttles = nil },
		"with an address that is no URL": func(p *Parts) { p.PublicURL = "tokens.example.test" },
	} {
		parts := w.site.parts
		drop(&parts)
		if _, err := New(parts); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

// everyReply are requests whose replies have every kind of status.
var everyReply = []struct {
	name, who, method, target string
	status                    int
}{
	{"a page", "ann", http.MethodGet, tokensPath, http.StatusOK},
	{"the style", "", http.MethodGet, "/-/assets/page.css", http.StatusOK},
	{"the script", "", http.MethodGet, "/-/assets/page.js", http.StatusOK},
	{"a redirect to the sign-in", "", http.MethodGet, tokensPath, http.StatusSeeOther},
	{"the redirect of the old address", "", http.MethodGet, "/-/profile/personal_access_tokens?name=x", http.StatusSeeOther},
	{"a page that does not exist", "ann", http.MethodGet, "/-/nothing", http.StatusNotFound},
	{"a path elsewhere", "ann", http.MethodGet, "/etc/passwd", http.StatusNotFound},
	{"a path with dots", "ann", http.MethodGet, "/-/assets/../site.go", http.StatusNotFound},
	{"a path with an escaped slash", "ann", http.MethodGet, "/-/assets/..%2fsite.go", http.StatusNotFound},
	{"another method", "ann", http.MethodPut, tokensPath, http.StatusMethodNotAllowed},
	{"a body that cannot be read", "ann", http.MethodPost, tokensPath + "?%zz", http.StatusBadRequest},
	{"the feed without a token", "", http.MethodGet, feedPath, http.StatusUnauthorized},
}

// Breaks if a browser may frame, cache or run what is not ours: of one reply, that is enough.
func TestEveryReplyHasTheHeaders(t *testing.T) {
	w := newWorld(t)
	for _, test := range everyReply {
		t.Run(test.name, func(t *testing.T) {
			got := w.signIn(test.who).send(t, test.method, test.target, nil)
			if got.status != test.status {
				t.Fatalf("status %d, want %d", got.status, test.status)
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Request-Id": "r1",
			} {
				if value := got.header.Get(name); value != want {
					t.Errorf("%s: %q, want %q", name, value, want)
				}
			}
			policy := got.header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("policy without %s: %s", want, policy)
				}
			}
			if strings.Contains(policy, "unsafe") {
				t.Errorf("policy allows what is unsafe: %s", policy)
			}
		})
	}
}

// Breaks if a route of any page forgets the headers, or takes another site's form. The routes come from the site
// itself, so that a new one is among them.
func TestEveryRouteHasTheHeadersAndRefusesForgedRequests(t *testing.T) {
	w := newWorld(t)
	id := w.issue(t, "ann", "export", 5).Token.ID
	segments := strings.NewReplacer("{$}", "", "{file}", "page.css", "{id}", id.String(), "{user}", w.people["ann"].ID.String(), "{project}", "1")
	guarded := func(name string, rt *route, who string, got reply) {
		for header, want := range security {
			if got.header.Get(header) != want {
				t.Errorf("%s to %s as %q, %d: %s is %q", name, rt, who, got.status, header, got.header.Get(header))
			}
		}
	}
	for name, header := range map[string]http.Header{
		"a form":  {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Origin": {"https://evil.example"}},
		"a fetch": {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Origin": {"https://evil.example"}},
		"a frame": {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"iframe"}, "Origin": {"null"}},
	} {
		for _, rt := range w.site.routes {
			for _, who := range []string{"", "ann", "root"} {
				if rt.method != http.MethodPost {
					continue
				}
				forger := w.signIn(who)
				forger.header = header
				got := forger.send(t, rt.method, segments.Replace(rt.path), newForm())
				if got.status != http.StatusForbidden {
					t.Errorf("%s of another site to %s as %q: %d", name, rt, who, got.status)
				}
				guarded(name, rt, who, got)
			}
		}
	}
	if own := made(w.table.TokensOfOwner(t.Context(), w.people["ann"].ID)); len(own) != 1 || !own[0].RevokedAt.IsZero() {
		t.Errorf("forged requests made or ended tokens: %d", len(own))
	}
	for _, rt := range w.site.routes {
		for _, who := range []string{"", "ann", "root"} {
			guarded("a visit", rt, who, w.signIn(who).send(t, rt.method, segments.Replace(rt.path), url.Values{}))
		}
	}
}

// Breaks if a page needs what the policy forbids.
func TestNothingIsInline(t *testing.T) {
	w := newWorld(t)
	id := w.issue(t, "ann", "export", 5).Token.ID
	ann := w.signIn("ann")
	for _, target := range []string{
		tokensPath, tokensPath + "/new", tokensPath + "/revoke_all", endsPath, at(id), at(id, "rotate"), at(id, "revoke"), at(id, "duplicate"),
	} {
		page := ann.page(t, target)
		for _, inline := range []string{" style=", "<style", " onclick=", " onsubmit=", "javascript:", "<script>"} {
			if strings.Contains(page, inline) {
				t.Errorf("%s has %q", target, inline)
			}
		}
		if strings.Count(page, "<script") != 1 || strings.Contains(page, "http://") || strings.Count(page, "https://") > 0 {
			t.Errorf("%s has a foreign asset", target)
		}
	}
}

// Breaks if another site can act as somebody who is signed in here.
func TestRequestsOfOtherSitesAreRefusedBeforeTheSession(t *testing.T) {
	asked := false
	w := newWorld(t)
	w.site.parts.Visitors = asking{w.site.parts.Visitors, &asked}
	id := w.issue(t, "ann", "export", 5).Token.ID
	form := url.Values{"name": {"forged"}, "expires": {"7"}, "scopes[]": {"api"}}
	for _, test := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"a form of another site", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, http.StatusForbidden},
		{"a form of a sibling host", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://www.example.test"}}, http.StatusForbidden},
		{"a form without an origin of its own", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}}, http.StatusForbidden},
		{"an older browser's form of another site", http.Header{"Sec-Fetch-Site": nil, "Origin": {"https://evil.example"}}, http.StatusForbidden},
		{"the same host without https", http.Header{"Sec-Fetch-Site": nil, "Origin": {"http://tokens.example.test.evil.example"}}, http.StatusForbidden},
		{"the site's own form", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {siteURL}}, http.StatusSeeOther},
		{"an older browser's own form", http.Header{"Sec-Fetch-Site": nil, "Origin": {siteURL}}, http.StatusSeeOther},
	} {
		for _, who := range []string{"ann", ""} {
			for _, target := range []string{tokensPath, at(id, "revoke"), at(id, "rotate"), tokensPath + "/revoke_all", endsPath} {
				if test.status != http.StatusForbidden && (target != tokensPath || who == "") {
					continue
				}
				asked = false
				b := w.signIn(who)
				b.header = test.header
				got := b.send(t, http.MethodPost, target, form)
				if got.status != test.status || test.status == http.StatusForbidden && asked {
					t.Errorf("%s, %q to %s: %d, want %d; session looked at: %t", test.name, who, target, got.status, test.status, asked)
				}
			}
		}
	}
	if page := w.signIn("ann").page(t, at(id)); !strings.Contains(text(page), "Soon") {
		t.Errorf("the token has changed: %s", text(page))
	}
}

type asking struct {
	Visitors
	asked *bool
}

func (a asking) Visitor(ctx context.Context, w http.ResponseWriter, r *http.Request, request principal.Request) (principal.Principal, error) {
	*a.asked = true
	return a.Visitors.Visitor(ctx, w, r, request)
}

// Breaks if people lose the way, or what they filled in, when they must sign in first.
func TestTheWayBackAfterSignIn(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, method, target string
		form                 url.Values
		want                 string
	}{
		{"a page", http.MethodGet, tokensPath + "?state=ended", nil, tokensPath + "?state=ended"},
		{"a prefilled link", http.MethodGet, tokensPath + "?name=CI+job&scopes=api,read_user", nil, tokensPath + "?name=CI+job&scopes=api,read_user"},
		{"a form", http.MethodPost, tokensPath,
			url.Values{"name": {"CI & job"}, "scopes[]": {"api", "read_user"}, "description": {"d"}, "networks": {"192.0.2.0/24\n198.51.100.1"}},
			tokensPath + "?allowed_cidrs=192.0.2.0%2F24%2C198.51.100.1&description=d&name=CI+%26+job&scopes=api%2Cread_user"},
		{"another form", http.MethodPost, at(8388609, "revoke"), url.Values{}, tokensPath},
	} {
		got := w.signIn("").send(t, test.method, test.target, test.form)
		location, err := url.Parse(got.header.Get("Location"))
		if err != nil || got.status != http.StatusSeeOther || location.Path != signInPath || location.Query().Get("return_to") != test.want {
			t.Errorf("%s: %d to %s, want the way back %s", test.name, got.status, location, test.want)
		}
	}
}

func TestTheOldAddressKeepsItsQuery(t *testing.T) {
	w := newWorld(t)
	got := w.signIn("ann").get(t, "/-/profile/personal_access_tokens?name=Example+Access+token&scopes=api,read_user,read_registry")
	want := tokensPath + "?name=Example+Access+token&scopes=api,read_user,read_registry"
	if got.status != http.StatusSeeOther || got.header.Get("Location") != want {
		t.Errorf("%d to %s", got.status, got.header.Get("Location"))
	}
}

// A stage or a base path lies before /-/, and every link has it.
func TestBasePath(t *testing.T) {
	for _, test := range []struct{ name, public, gateway, path, base string }{
		{"the gateway's own address", "", "https://id.execute-api.eu-west-1.amazonaws.com/prod", "", "/prod"},
		{"a base path of a custom domain", "", "https://tokens.example.test", "/latchkey", "/latchkey"},
		{"a configured address", siteURL, "https://id.execute-api.eu-west-1.amazonaws.com/prod", "", ""},
		{"a configured address with a base path", siteURL + "/latchkey", "https://id.execute-api.eu-west-1.amazonaws.com/prod", "/latchkey", "/latchkey"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, func(p *Parts) { p.PublicURL = test.public })
			r := httptest.NewRequest(http.MethodGet, "https://tokens.example.test"+test.path+tokensPath, nil)
			r.AddCookie(&http.Cookie{Name: "who", Value: "ann"})
			recorder := httptest.NewRecorder()
			w.site.Handler()(recorder, r, proxy.Origin{URL: test.gateway, Address: netip.MustParseAddr("192.0.2.7")})
			page := recorder.Body.String()
			for _, link := range regexp.MustCompile(`(?:href|src|action)="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
				if !strings.HasPrefix(link[1], test.base+"/-/") {
					t.Errorf("a link to %s", link[1])
				}
			}
			if recorder.Code != http.StatusOK || !strings.Contains(page, `href="`+test.base+`/-/assets/page.css"`) {
				t.Errorf("%d", recorder.Code)
			}
		})
	}
}

func TestRefusalsByKind(t *testing.T) {
	for kind, status := range map[fault.Kind]int{
		fault.Invalid: 400, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Conflict: 409,
		fault.Throttled: 429, fault.Unavailable: 503, fault.Internal: 500,
	} {
		if got := refusalOf(fmt.Errorf("wrapped: %w", fault.New(kind, "x"))); got.status != status || got.Title == "" || got.Text == "" {
			t.Errorf("kind %d: %+v", kind, got)
		}
	}
}

func TestCreationsAreThrottledWithoutLosingTheForm(t *testing.T) {
	w := newWorld(t, func(p *Parts) { p.Throttles = throttle.New(throttle.Limits{Creations: 1}) })
	ann := w.signIn("ann")
	form := url.Values{"name": {"first"}, "expires": {"7"}, "scopes[]": {"read_api"}}
	_, page := ann.follow(t, tokensPath, form)
	w.bearerIn(page)
	form.Set("name", "the second one")
	got := ann.send(t, http.MethodPost, tokensPath, form)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `value="the second one"`) {
		t.Errorf("%d, wait %q", got.status, got.header.Get("Retry-After"))
	}
}

// Breaks if whoever has got hold of a session can make tokens without end through one of the other forms.
func TestEveryFormThatMakesATokenIsThrottled(t *testing.T) {
	w := newWorld(t, func(p *Parts) { p.Throttles = throttle.New(throttle.Limits{Creations: 1}) })
	root := w.signIn("root")
	_, page := root.follow(t, tokensPath, newForm())
	w.bearerIn(page)
	old := w.issue(t, "root", "deploy", 20).Token.ID
	before := w.happened(t)
	for target, form := range map[string]url.Values{
		at(old, "rotate"): {"expires": {"7"}, "overlap": {"0"}}, endsPath: {}, w.userAt("ann", "/impersonation_tokens"): newForm(),
	} {
		if got := root.send(t, http.MethodPost, target, form); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, wait %q", target, got.status, got.header.Get("Retry-After"))
		}
	}
	if after := w.happened(t); !slices.Equal(after, before) {
		t.Errorf("a refused form did this: %v, before it %v", after, before)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	w := newWorld(t)
	got := w.signIn("ann").send(t, http.MethodHead, tokensPath, nil)
	if got.status != http.StatusOK || got.body != "" {
		t.Errorf("%d with %d bytes", got.status, len(got.body))
	}
}

func TestASectionIsMarkedInTheNavigation(t *testing.T) {
	w := newWorld(t)
	for target, want := range map[string]string{tokensPath: "Tokens", tokensPath + "/new": "Tokens", endsPath: "Calendar"} {
		page := w.signIn("ann").page(t, target)
		if i := strings.Index(page, `aria-current="page">`); i < 0 || !strings.HasPrefix(page[i+len(`aria-current="page">`):], want) {
			t.Errorf("%s does not mark %s", target, want)
		}
	}
}
