package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/telemetry/telemetrytest"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

const bearer = "a-chosen-value-of-the-test"

// nothing is a table with one token, which holds everything else that a Gateway needs and none of it.
type nothing struct {
	verify.Store
	principal.Projects
	trail.Recorder
	digest secret.Digest
}

func (n nothing) Check(context.Context, secret.Digest, account.ID, *settings.Settings) (token.Token, account.Account, error) {
	return token.Token{ID: 2<<22 + 1, Owner: 2, Kind: token.Personal, Scopes: scope.Set{scope.API}, Digest: n.digest, LastUsedAt: time.Unix(0, 0)},
		account.Account{ID: 2, Username: "ada", State: account.Active}, nil
}

func (nothing) MarkUsed(context.Context, secret.Digest, time.Time, time.Time, []netip.Addr) error {
	return nil
}

// broken is a kind whose judge panics with what it was told.
type broken struct{ apiKind }

func (broken) Judge(_ context.Context, q Question) error { panic(q.Header.Get("Authorization")) }

func partsOf(tb testing.TB, logs *telemetrytest.Logs) Parts {
	tb.Helper()
	pepper, err := secret.NewPepper("a pepper for tests, of 33 letters")
	if err != nil {
		tb.Fatal(err)
	}
	format := secret.Format{Prefixes: []string{"lkpat_"}}
	parsed, err := format.Parse(bearer)
	if err != nil {
		tb.Fatal(err)
	}
	table, at := nothing{digest: pepper.Digest(parsed)}, clock.NewFake(time.Unix(1, 0))
	verifier, err := verify.New(verify.Parts{Store: table, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: at})
	if err != nil {
		tb.Fatal(err)
	}
	return Parts{
		Log: telemetry.NewLogger(logs, "introspect"), Verifier: verifier, Scopes: scope.GitLab(), Projects: table, Trail: trail.NewNotes(table),
		Clock: at, Throttles: throttle.Unlimited(), Count: func(string, string) {},
	}
}

// Breaks if a gateway can be made without something that guards it.
func TestNewRefusesAMissingPart(t *testing.T) {
	whole := partsOf(t, telemetrytest.NewLogs(t))
	if _, err := New(whole); err != nil {
		t.Fatal(err)
	}
	for name, without := range map[string]func(*Parts){
		"verifier": func(p *Parts) { p.Verifier = nil }, "scopes": func(p *Parts) { p.Scopes = nil }, "projects": func(p *Parts) { p.Projects = nil },
		"trail": func(p *Parts) { p.Trail = nil }, "throttles": func(p *Parts) { p.Throttles = nil }, "clock": func(p *Parts) { p.Clock = nil },
	} {
		parts := whole
		without(&parts)
		if _, err := New(parts); err == nil {
			t.Errorf("without %s there is a gateway", name)
		}
	}
}

// Breaks if a panic lets a request pass, or shows the bearer.
func TestAPanicRefuses(t *testing.T) {
	logs := telemetrytest.NewLogs(t)
	logs.Secret(bearer)
	g, err := New(partsOf(t, logs))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, "/auth/nginx", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+bearer)
		r.Header.Set("X-Original-Method", "GET")
		r.Header.Set("X-Original-URI", "/orders")
		g.Handler()(w, r, proxy.Origin{Path: "/auth/nginx"})
		return w
	}
	if w := ask(); w.Code != http.StatusOK || w.Header().Get("X-Auth-User") != "ada" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	g.kinds["api"] = broken{}
	w := ask()
	if w.Code == http.StatusOK || w.Header().Get("X-Auth-User") != "" || strings.Contains(w.Body.String(), bearer) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// Whatever an error is, a proxy refuses for it, and nobody is told what it says.
func TestEveryErrorRefuses(t *testing.T) {
	for _, err := range []error{
		context.DeadlineExceeded, fault.ErrUnavailable, fault.ErrCorrupt, fault.ErrConflict, fault.ErrInput, fault.ErrNotFound, fault.ErrForbidden,
		token.ErrMissing, token.ErrExpired, token.ErrRevoked, token.ErrUnknown, token.ErrAddress, token.ErrImpersonation, account.ErrBlocked,
		account.ErrDeactivated, scope.ErrInsufficient, scope.ErrAmbiguousPath, scope.ErrUnknown, throttle.ErrThrottled, project.ErrNoProject, errNoGit,
	} {
		refusal := RefusalOf(err)
		if refusal.Status < http.StatusBadRequest || refusal.Reason == "" || strings.Contains(refusal.Message, err.Error()) {
			t.Errorf("%v is %+v", err, refusal)
		}
	}
}

// Breaks if a path leads to a repository in which a server finds another.
func FuzzRepositoryOf(f *testing.F) {
	for _, path := range []string{"/acme/web.git", "/acme/web", "/acme/../web", "/a/b/c.git", "/acme/web.git.git", "acme/web"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		full, known := repositoryOf(path)
		if known && (path != "/"+full && path != "/"+full+".git" || strings.HasSuffix(full, ".git") || strings.Contains(full, ".git/") || !strings.Contains(full, "/")) {
			t.Errorf("%q leads to %q", path, full)
		}
	})
}
