package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/audit"
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
	digest   secret.Digest
	scopes   scope.Set
	networks token.Networks
	err      error
	events   []audit.Event
}

func (n *nothing) Check(context.Context, []secret.Digest, account.ID, *settings.Settings) (token.Token, account.Account, error) {
	if n.err != nil {
		return token.Token{}, account.Account{}, n.err
	}
	return token.Token{ID: 2<<22 + 1, Owner: 2, Kind: token.Personal, Scopes: n.scopes, Networks: n.networks, Digest: n.digest, LastUsedAt: time.Unix(0, 0)},
		account.Account{ID: 2, Username: "ada", State: account.Active}, nil
}

func (n *nothing) Record(_ context.Context, events ...audit.Event) error {
	n.events = append(n.events, events...)
	return nil
}

func (*nothing) EndOverlap(context.Context, token.Token, time.Time, audit.Event) error { return nil }

func (*nothing) MarkUsed(context.Context, secret.Digest, time.Time, time.Time, []netip.Addr) error {
	return nil
}

// broken is a kind whose judge panics with what it was told.
type broken struct{ apiKind }

func (broken) Judge(_ context.Context, q Question) error { panic(q.Header.Get("Authorization")) }

func partsOf(tb testing.TB, logs *telemetrytest.Logs) Parts {
	tb.Helper()
	parts, _ := partsAndTable(tb, logs)
	return parts
}

func partsAndTable(tb testing.TB, logs *telemetrytest.Logs) (Parts, *nothing) {
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
	table, at := &nothing{digest: pepper.Digest(parsed), scopes: scope.Set{scope.API}}, clock.NewFake(time.Unix(1, 0))
	verifier, err := verify.New(verify.Parts{Store: table, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: at})
	if err != nil {
		tb.Fatal(err)
	}
	return Parts{
		Log: telemetry.NewLogger(logs, "introspect"), Verifier: verifier, Scopes: scope.GitLab(), Projects: table, Trail: trail.NewNotes(table),
		Clock: at, Throttles: throttle.Unlimited(), Count: func(string, string) {},
	}, table
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

// Breaks if an operator cannot see who was refused and why, or that the table does not answer, or if the use of a
// stolen token leaves no trace.
func TestRefusalsLeaveATrace(t *testing.T) {
	networks, err := token.ParseNetworks([]string{"198.51.100.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	const owner = `"token_id":8388609,"owner":2,`
	for name, test := range map[string]struct {
		change func(*nothing)
		code   string // of the metric, "" for none
		line   string // part of the line in the log
		strays int
	}{
		"a request that passes":    {func(*nothing) {}, "", `"code":200,"duration_ms":"<duration_ms>",` + owner[:len(owner)-1] + `}`, 0},
		"too few scopes":           {func(n *nothing) { n.scopes = scope.Set{scope.ReadUser} }, "scope", `"code":403,"duration_ms":"<duration_ms>",` + owner + `"reason":`, 0},
		"from outside its network": {func(n *nothing) { n.networks = networks }, "address", `"code":403,"duration_ms":"<duration_ms>",` + owner + `"reason":`, 1},
		"an unknown token":         {func(n *nothing) { n.err = fault.ErrNotFound }, "unknown", `"code":401,"duration_ms":"<duration_ms>","reason":`, 0},
		"a table that is silent":   {func(n *nothing) { n.err = fault.ErrUnavailable }, "undecided", `"code":403,"duration_ms":"<duration_ms>","reason":`, 0},
	} {
		logs, counts := telemetrytest.NewLogs(t), &telemetrytest.Counts{}
		logs.Secret(bearer)
		parts, table := partsAndTable(t, logs)
		parts.Count = counts.Count
		test.change(table)
		g, err := New(parts)
		if err != nil {
			t.Fatal(err)
		}
		r, w := httptest.NewRequest(http.MethodGet, "/auth/nginx", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+bearer)
		r.Header.Set("X-Original-Method", "GET")
		r.Header.Set("X-Original-URI", "/orders?customer=robin")
		g.Handler()(w, r, proxy.Origin{Path: "/auth/nginx", RequestID: "request-1"})
		level, wanted := "WARN", map[string]int{"BearersRefused " + test.code: 1}
		switch test.code {
		case "":
			level, wanted = "INFO", nil
		case "undecided":
			level = "ERROR"
		}
		line := logs.Lines(t)
		if !strings.Contains(line, `"level":"`+level+`"`) || !strings.Contains(line, `"method":"GET","route":"/auth/nginx/api",`+test.line) || strings.Contains(line, "robin") {
			t.Errorf("%s: %s", name, line)
		}
		if got := counts.Take(); !maps.Equal(got, wanted) {
			t.Errorf("%s counts as %v", name, got)
		}
		if len(table.events) != test.strays || test.strays > 0 && (table.events[0].Name != audit.TokenStrayed || table.events[0].Token != 2<<22+1) {
			t.Errorf("%s: %+v", name, table.events)
		}
	}
}

// Breaks if a proxy's question has a second reading: a backend may take the last of two headers, and end a target at
// a number sign.
func TestADialectReadsOneRequest(t *testing.T) {
	traefik := dialects[slices.IndexFunc(dialects, func(d Dialect) bool { return d.name == "traefik" })]
	for name, test := range map[string]struct {
		more http.Header
		want error
	}{
		"as Traefik asks":                       {nil, nil},
		"the same, by another proxy":            {http.Header{"X-Original-Uri": {"/a?b"}, "X-Original-Method": {"GET"}}, nil},
		"the same twice, by another proxy":      {http.Header{"X-Original-Uri": {"/a?b", "/a?b"}}, errSteered},
		"another behind the same":               {http.Header{"X-Original-Uri": {"/a?b", "/other"}}, errSteered},
		"another method behind the same":        {http.Header{"X-Original-Method": {"GET", "DELETE"}}, errSteered},
		"none at all, by another proxy":         {http.Header{"X-Original-Uri": {""}}, errSteered},
		"a target that may end in its query":    {http.Header{"X-Forwarded-Uri": {"/a?b#c"}}, errDescription},
		"a target with a space in its query":    {http.Header{"X-Forwarded-Uri": {"/a?b c"}}, errDescription},
		"a target with DEL in its query":        {http.Header{"X-Forwarded-Uri": {"/a?b\x7f"}}, errDescription},
		"a URL for the backend":                 {http.Header{"X-Original-Url": {"https://orders.example.test/a?b"}}, nil},
		"a URL with another path":               {http.Header{"X-Original-Url": {"https://orders.example.test/x/a?b"}}, errOverride},
		"a URL without a host":                  {http.Header{"X-Rewrite-Url": {"https:///a?b"}}, errOverride},
		"a path that only ends like the target": {http.Header{"X-Rewrite-Url": {"/x/a?b"}}, errOverride},
	} {
		r := httptest.NewRequest(http.MethodGet, "/auth/traefik", nil)
		r.Header = http.Header{"X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {"/a?b"}}
		maps.Copy(r.Header, test.more)
		method, target, err := traefik.read(r, "")
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || err == nil && (method != "GET" || target != "/a?b") {
			t.Errorf("%s: %q %q, %v", name, method, target, err)
		}
	}
}

// Breaks if a client of an API, of Git or of a registry cannot read why it was refused.
func TestBodiesOfRefusals(t *testing.T) {
	g, err := New(partsOf(t, telemetrytest.NewLogs(t)))
	if err != nil {
		t.Fatal(err)
	}
	scoped := &Insufficient{Required: scope.Set{scope.API, scope.ReadAPI}}
	for _, test := range []struct {
		kind, path string
		err        error
		mediaType  string
		body       string
	}{
		{"api", "/a", token.ErrMissing, "application/json", `{"message":"401 Unauthorized"}`},
		{"api", "/a", token.ErrExpired, "application/json", `{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}`},
		{"api", "/a", token.ErrRevoked, "application/json", `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`},
		{"api", "/a", scoped, "application/json", `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api read_api"}`},
		{"api", "/a", scope.ErrInsufficient, "application/json", `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token."}`},
		{"api", "/a", &throttle.Refusal{Wait: 30}, "application/json", `{"message":{"error":"This endpoint has been requested too many times. Try again later."}}`},
		{"api", "/a", fault.ErrUnavailable, "application/json", `{"message":"503 Service Unavailable"}`},
		{"api", "/api/graphql", scoped, "application/json", `{"errors":[{"message":"The request requires higher privileges than provided by the access token."}]}`},
		{"git", "/acme/web.git/git-upload-pack", fault.ErrUnavailable, "text/plain; charset=utf-8", "503 Service Unavailable"},
		{"git", "/acme/web.git/info/lfs/locks", fault.ErrUnavailable, "application/vnd.git-lfs+json", `{"message":"503 Service Unavailable"}`},
		{"registry", "/v2/", token.ErrMissing, "application/json", `{"errors":[{"code":"UNAUTHORIZED","message":"401 Unauthorized"}]}`},
		{"registry", "/v2/", scope.ErrInsufficient, "application/json", `{"errors":[{"code":"DENIED","message":"The request requires higher privileges than provided by the access token."}]}`},
		{"registry", "/v2/", project.ErrNoProject, "application/json", `{"errors":[{"code":"NAME_UNKNOWN","message":"404 Not Found"}]}`},
		{"registry", "/v2/", &throttle.Refusal{Wait: 30}, "application/json", `{"errors":[{"code":"TOOMANYREQUESTS","message":"This endpoint has been requested too many times. Try again later."}]}`},
		{"registry", "/v2/", fault.ErrUnavailable, "application/json", `{"errors":[{"code":"UNAVAILABLE","message":"503 Service Unavailable"}]}`},
	} {
		mediaType, body := g.kinds[test.kind].Body(Question{Path: test.path}, RefusalOf(test.err))
		if mediaType != test.mediaType || body != test.body {
			t.Errorf("%s, %v: %s %s", test.kind, test.err, mediaType, body)
		}
	}
}

// Breaks if a rule judges a part of a body as if it were the whole.
func TestABodyIsWholeOrCut(t *testing.T) {
	whole := strings.Repeat("x", maxBody)
	for name, test := range map[string]struct {
		body    io.Reader
		partial []string
		length  int
		cut     bool
	}{
		"no body":                   {nil, nil, 0, false},
		"the longest":               {strings.NewReader(whole), nil, maxBody, false},
		"a byte more":               {strings.NewReader(whole + "x"), nil, 0, true},
		"one that breaks off":       {io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)), nil, 0, true},
		"all of it, by Envoy":       {strings.NewReader("x"), []string{"false"}, 1, false},
		"a part, by Envoy":          {strings.NewReader("x"), []string{"true"}, 0, true},
		"a part, by two Envoys":     {strings.NewReader("x"), []string{"false", "true"}, 0, true},
		"who knows, by the client":  {strings.NewReader("x"), []string{""}, 0, true},
		"a part in capital letters": {strings.NewReader("x"), []string{"TRUE"}, 0, true},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", test.body)
		r.Header["X-Envoy-Auth-Partial-Body"] = test.partial
		if body, cut := readBody(r); len(body) != test.length || cut != test.cut {
			t.Errorf("%s: %d bytes, cut %t", name, len(body), cut)
		}
	}
}

// Breaks if a client can say from where it comes: the gateway appends the address of whoever asks to
// X-Forwarded-For, so another one at its end did not come through the gateway.
func TestTheClientsAddress(t *testing.T) {
	proxy := netip.MustParseAddr("203.0.113.7")
	networks := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/29")}
	for name, test := range map[string]struct {
		networks []netip.Prefix
		header   string
		sent     http.Header
		want     string // "" for unknown
	}{
		"by a proxy":                            {networks, "X-Real-Ip", http.Header{"X-Real-Ip": {"192.0.2.1"}}, "192.0.2.1"},
		"appended by a proxy":                   {networks, "X-Real-Ip", http.Header{"X-Real-Ip": {"192.0.2.9, 192.0.2.1"}}, "192.0.2.1"},
		"by somebody else":                      {networks[:0], "X-Real-Ip", http.Header{"X-Real-Ip": {"192.0.2.1"}}, ""},
		"without a header that counts":          {networks, "", http.Header{"X-Real-Ip": {"192.0.2.1"}}, ""},
		"in another header":                     {networks, "X-Real-Ip", http.Header{"X-Client-Ip": {"192.0.2.1"}}, ""},
		"the last one before the proxy's":       {networks, "x-forwarded-for", http.Header{"X-Forwarded-For": {"192.0.2.9, 192.0.2.1, 203.0.113.7"}}, "192.0.2.1"},
		"in several headers":                    {networks, "X-Forwarded-For", http.Header{"X-Forwarded-For": {"192.0.2.1", "203.0.113.7"}}, "192.0.2.1"},
		"another address behind it":             {networks, "X-Forwarded-For", http.Header{"X-Forwarded-For": {"192.0.2.1, 192.0.2.9"}}, ""},
		"another proxy of the network":          {networks, "X-Forwarded-For", http.Header{"X-Forwarded-For": {"192.0.2.1, 203.0.113.6"}}, ""},
		"no address but the proxy's":            {networks, "X-Forwarded-For", http.Header{"X-Forwarded-For": {"203.0.113.7"}}, ""},
		"no header, as if nothing was appended": {networks, "X-Forwarded-For", http.Header{}, ""},
	} {
		got := Proxies{Addresses: test.networks, Header: test.header}.client(test.sent, proxy)
		if got.IsValid() != (test.want != "") || got.IsValid() && got.String() != test.want {
			t.Errorf("%s: %v", name, got)
		}
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
