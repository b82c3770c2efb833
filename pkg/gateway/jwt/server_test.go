package jwt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/gateway/jwt"
	"latchkey/pkg/project"
	"latchkey/pkg/registry"
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

const (
	service = "container_registry"
	home    = "192.0.2.1"
)

var now = time.Date(2026, 3, 19, 8, 0, 0, 500e6, time.UTC)

// A world is a token endpoint with tokens of one developer in the project acme/web, and all that it wrote.
type world struct {
	clock   *clock.Fake
	pepper  secret.Pepper
	tokens  map[secret.Digest]*token.Token
	bearers map[string]string
	used    int
	asked   int   // about projects
	err     error // of the store
	late    error // of its projects alone
	set     settings.Settings
	events  []audit.Event
	logs    *telemetrytest.Logs
	counts  *telemetrytest.Counts
	server  *jwt.Server
}

func newWorld(t *testing.T, change func(*jwt.Parts)) *world {
	t.Helper()
	pepper, err := secret.NewPepper("a pepper for tests, of 33 letters")
	check(t, err)
	w := &world{
		clock: clock.NewFake(now), pepper: pepper, tokens: map[secret.Digest]*token.Token{}, bearers: map[string]string{},
		set: settings.Settings{LastUsedInterval: 24 * time.Hour}, logs: telemetrytest.NewLogs(t), counts: &telemetrytest.Counts{},
	}
	for name, scopes := range map[string]scope.Set{
		"all": {scope.API}, "reading": {scope.ReadRegistry}, "both": {scope.ReadRegistry, scope.WriteRegistry}, "profile": {scope.ReadUser},
		"expired": {scope.API}, "revoked": {scope.API}, "blocked": {scope.API}, "restricted": {scope.API},
	} {
		w.add(t, name, scopes)
	}
	w.token("expired").ExpiresOn = clock.DayOf(now)
	w.token("revoked").RevokedAt = now
	w.token("blocked").Owner = 4
	w.token("restricted").Networks, err = token.ParseNetworks([]string{"198.51.100.0/24"})
	check(t, err)
	verifier, err := verify.New(verify.Parts{Store: w, Pepper: pepper, Format: secret.Format{Prefixes: []string{"lkpat_"}}, Scopes: scope.GitLab(), Clock: w.clock})
	check(t, err)
	judge, err := registry.NewJudge(registry.Parts{Projects: w, Scopes: scope.GitLab()})
	check(t, err)
	keys, err := jwt.NewKeys(strings.Repeat("k", jwt.MinSecretLength))
	check(t, err)
	parts := jwt.Parts{
		Log: telemetry.NewLogger(w.logs, "registry"), Clock: w.clock, Verifier: verifier, Judge: judge, Trail: trail.NewNotes(w),
		Throttles: throttle.Unlimited(), Keys: keys, Service: service, Life: 300 * time.Second, Count: w.counts.Count,
	}
	if change != nil {
		change(&parts)
	}
	w.server, err = jwt.New(parts)
	check(t, err)
	return w
}

func (w *world) add(t *testing.T, name string, scopes scope.Set) {
	t.Helper()
	bearer, err := secret.New("lkpat_", 2, bytes.NewReader(bytes.Repeat([]byte(name+" "), 20)))
	check(t, err)
	record := &token.Token{
		ID: token.ID(2<<22 + len(w.tokens) + 1), Kind: token.Personal, Owner: 2, Name: name, Scopes: scopes, Digest: w.pepper.Digest(bearer),
		ExpiresOn: clock.DayOf(now).AddDays(100),
	}
	w.tokens[record.Digest], w.bearers[name] = record, bearer.Reveal()
	w.logs.Secret(bearer.Reveal())
}

func (w *world) token(name string) *token.Token {
	for _, record := range w.tokens {
		if record.Name == name {
			return record
		}
	}
	panic("no token " + name)
}

func (w *world) Check(_ context.Context, digests []secret.Digest, _ account.ID, set *settings.Settings) (token.Token, account.Account, error) {
	if set != nil {
		*set = w.set
	}
	record, found := w.tokens[digests[0]]
	if w.err != nil || !found {
		return token.Token{}, account.Account{}, errOr(w.err, fault.ErrNotFound)
	}
	acct := account.Account{ID: record.Owner, Username: "robin", State: account.Active}
	if record.Owner == 4 {
		acct.State = account.Blocked
	}
	return *record, acct, nil
}

func errOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func (w *world) EndOverlap(context.Context, token.Token, time.Time, audit.Event) error { return nil }

func (w *world) MarkUsed(context.Context, secret.Digest, time.Time, time.Time, []netip.Addr) error {
	w.used++
	return nil
}

func (w *world) ProjectByPath(_ context.Context, path string) (project.Project, error) {
	w.asked++
	if w.late != nil {
		return project.Project{}, w.late
	}
	if path != "acme/web" && path != "acme/secret" {
		return project.Project{}, errOr(w.err, fault.ErrNotFound)
	}
	return project.Project{ID: 7, Kind: project.KindProject, FullPath: path}, w.err
}

func (*world) Project(context.Context, project.ID) (project.Project, error) {
	return project.Project{}, fault.ErrNotFound
}

func (*world) Standing(_ context.Context, proj project.Project, acct account.ID) (project.Standing, error) {
	if proj.FullPath != "acme/web" {
		return project.Standing{}, nil
	}
	return project.Standing{Direct: project.Member{Project: proj.ID, Account: acct, Level: project.Developer}}, nil
}

func (w *world) Record(_ context.Context, events ...audit.Event) error {
	w.events = append(w.events, events...)
	return nil
}

// ask sends GET /jwt/auth with a bearer as the password ("" for no header) and a query.
func (w *world) ask(bearer, query string) reply {
	headers := http.Header{}
	if bearer != "" {
		encoded := base64.StdEncoding.EncodeToString([]byte("anybody:" + bearer))
		w.logs.Secret(encoded)
		headers.Set("Authorization", "Basic "+encoded)
	}
	return w.do(http.MethodGet, "/jwt/auth?"+query, "", headers)
}

type reply struct {
	*httptest.ResponseRecorder
	Token       string    `json:"token"`
	AccessToken string    `json:"access_token"`
	ExpiresIn   int       `json:"expires_in"`
	IssuedAt    time.Time `json:"issued_at"`
	Scope       string    `json:"scope"`
	Errors      []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
}

func (w *world) do(method, target, body string, headers http.Header) reply {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header = headers
	if headers == nil {
		r.Header = http.Header{}
	}
	answer := reply{ResponseRecorder: httptest.NewRecorder()}
	w.server.Handler()(answer, r, proxy.Origin{RequestID: "request-1", Address: netip.MustParseAddr(home)})
	_ = json.Unmarshal(answer.Body.Bytes(), &answer)
	if answer.Token != "" {
		w.logs.Secret(answer.Token)
	}
	return answer
}

type claims struct {
	Iss, Sub, Aud, Jti string
	Exp, Nbf, Iat      int64
	Access             []struct {
		Type, Name string
		Actions    []string
	}
}

// claims returns those of a JWT whose signature the published keys verify.
func (w *world) claims(t *testing.T, signed string) claims {
	t.Helper()
	var set jose.JSONWebKeySet
	check(t, json.Unmarshal(w.do(http.MethodGet, "/jwt/keys", "", nil).Body.Bytes(), &set))
	parsed, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.ES256})
	check(t, err)
	payload, err := parsed.Verify(set.Key(parsed.Signatures[0].Header.KeyID)[0])
	check(t, err)
	var c claims
	check(t, json.Unmarshal(payload, &c))
	return c
}

func (c claims) opens() string {
	var text []string
	for _, access := range c.Access {
		text = append(text, fmt.Sprintf("%s:%s:%s", access.Type, access.Name, strings.Join(access.Actions, ",")))
	}
	return strings.Join(text, " ")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Breaks if a JWT opens more than its token, or if a client cannot use it.
func TestAccessIsCut(t *testing.T) {
	for _, test := range []struct{ name, bearer, query, opens string }{
		{"login", "reading", "", ""},
		{"pull", "reading", "scope=repository:acme/web:pull", "repository:acme/web:pull"},
		{"push with the scope for pull", "reading", "scope=repository:acme/web:pull,push", "repository:acme/web:pull"},
		{"push", "both", "scope=repository:acme/web:pull,push", "repository:acme/web:pull,push"},
		{"delete by a developer", "all", "scope=repository:acme/web:pull,delete", "repository:acme/web:pull"},
		{"another project", "all", "scope=repository:acme/secret:pull", ""},
		{"a mount from another project", "both", "scope=repository:acme/web:pull,push&scope=repository:acme/secret:pull", "repository:acme/web:pull,push"},
		{"repeated scopes", "both", "scope=repository:acme/web/a:pull&scope=repository:acme/web/b:push,pull", "repository:acme/web/a:pull repository:acme/web/b:push,pull"},
		{"scopes with spaces between", "both", "scope=repository:acme/web/a:pull+repository:acme/web/b:push", "repository:acme/web/a:pull repository:acme/web/b:push"},
		{"scopes of one repository", "both", "scope=repository:acme/web:pull+repository:acme/web:push,pull", "repository:acme/web:pull,push"},
		{"the catalog", "all", "scope=registry:catalog:*", ""},
		{"an unknown type", "all", "scope=plugin:acme/web:pull", ""},
		{"no scope that can be read", "all", "scope=pull&scope=", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			answer := w.ask(w.bearers[test.bearer], "service="+service+"&account=anybody&client_id=docker&offline_token=true&"+test.query)
			if answer.Code != http.StatusOK || answer.Token == "" || answer.AccessToken != answer.Token {
				t.Fatalf("%d %s", answer.Code, answer.Body)
			}
			c := w.claims(t, answer.Token)
			if c.opens() != test.opens || c.Access == nil || answer.Scope != test.opens {
				t.Errorf("opens %q, says %q, want %q", c.opens(), answer.Scope, test.opens)
			}
			second := now.Truncate(time.Second)
			if c.Iss != "latchkey" || c.Sub != "robin" || c.Aud != service || c.Jti == "" ||
				c.Iat != second.Unix() || c.Nbf != c.Iat || c.Exp != c.Iat+300 || answer.ExpiresIn != 300 || !answer.IssuedAt.Equal(second) {
				t.Errorf("claims %+v, expires_in %d, issued_at %s", c, answer.ExpiresIn, answer.IssuedAt)
			}
			if answer.Header().Get("Cache-Control") != "no-store" || answer.Header().Get("X-Request-Id") != "request-1" {
				t.Errorf("headers %v", answer.Header())
			}
			if w.used != 1 {
				t.Errorf("%d uses recorded", w.used)
			}
		})
	}
}

// Breaks if somebody without a good token gets a JWT, or if a client does not learn what to do.
func TestRefusals(t *testing.T) {
	const anything = "service=" + service + "&scope=repository:acme/web:pull"
	many := strings.Builder{}
	for i := range 33 {
		fmt.Fprintf(&many, "&scope=repository:acme/web/%d:pull", i)
	}
	for _, test := range []struct {
		name, bearer, query string
		status              int
		code                string
	}{
		{"nobody", "", anything, http.StatusUnauthorized, "UNAUTHORIZED"},
		{"nobody who asks for nothing", "", "service=" + service, http.StatusUnauthorized, "UNAUTHORIZED"},
		{"a password", "password", anything, http.StatusUnauthorized, "UNAUTHORIZED"},
		{"expired", "expired", anything, http.StatusUnauthorized, "UNAUTHORIZED"},
		{"revoked", "revoked", anything, http.StatusUnauthorized, "UNAUTHORIZED"},
		{"from outside the networks", "restricted", anything, http.StatusUnauthorized, "UNAUTHORIZED"},
		{"a blocked owner", "blocked", anything, http.StatusForbidden, "DENIED"},
		{"a token that opens no images", "profile", anything, http.StatusForbidden, "DENIED"},
		{"another service", "all", "service=other", http.StatusNotFound, "UNAVAILABLE"},
		{"no service", "all", "scope=repository:acme/web:pull", http.StatusNotFound, "UNAVAILABLE"},
		{"two services", "all", "service=" + service + "&service=other", http.StatusBadRequest, "UNSUPPORTED"},
		{"too many scopes", "all", "service=" + service + many.String(), http.StatusBadRequest, "UNSUPPORTED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			bearer, known := w.bearers[test.bearer]
			if !known {
				bearer = test.bearer
			}
			answer := w.ask(bearer, test.query)
			if answer.Code != test.status || len(answer.Errors) != 1 || answer.Errors[0].Code != test.code || answer.Errors[0].Message == "" {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
			challenge := answer.Header().Get("WWW-Authenticate")
			if (challenge == `Basic realm="Latchkey"`) != (test.status == http.StatusUnauthorized) {
				t.Errorf("challenge %q", challenge)
			}
			if strings.Contains(answer.Body.String(), "token\":") || w.asked != 0 {
				t.Errorf("%s after %d look-ups of projects", answer.Body, w.asked)
			}
			if stray := test.name == "from outside the networks"; stray != (len(w.events) == 1) {
				t.Errorf("events %v", w.events)
			}
		})
	}
}

// Breaks if a table that does not answer lets anybody in, or refuses them for good.
func TestUndecided(t *testing.T) {
	for err, status := range map[error]int{fault.ErrUnavailable: http.StatusServiceUnavailable, fault.ErrCorrupt: http.StatusInternalServerError} {
		w := newWorld(t, nil)
		w.err = err
		if answer := w.ask(w.bearers["all"], "service="+service); answer.Code != status {
			t.Errorf("%v: %d %s", err, answer.Code, answer.Body)
		}
		// A JWT with less than the token opens would be an answer, and a client would take it for the last word.
		w.err, w.late = nil, err
		answer := w.ask(w.bearers["all"], "service="+service+"&scope=repository:acme/web:pull")
		if answer.Code != status || answer.Token != "" || (answer.Header().Get("Retry-After") == "1") != (status == http.StatusServiceUnavailable) {
			t.Errorf("%v of the projects: %d %v %s", err, answer.Code, answer.Header(), answer.Body)
		}
	}
}

// Breaks if a proxy and Latchkey can take different credentials out of one request.
func TestTwoCredentialsAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	first := "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+w.bearers["all"]))
	w.logs.Secret(first)
	for _, second := range []string{first, "Basic cm9iaW46eA=="} {
		answer := w.do(http.MethodGet, "/jwt/auth?service="+service, "", http.Header{"Authorization": {first, second}})
		if answer.Code != http.StatusBadRequest || answer.Token != "" {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
	}
}

// Breaks if a client that asks for as many resources as it may is refused, or if one resource counts twice.
func TestAsManyScopesAsAllowed(t *testing.T) {
	w, query := newWorld(t, nil), strings.Builder{}
	for i := range 32 {
		fmt.Fprintf(&query, "&scope=repository:acme/web/%d:pull&scope=repository:acme/web/%d:push", i, i)
	}
	answer := w.ask(w.bearers["all"], "service="+service+query.String())
	if answer.Code != http.StatusOK || len(w.claims(t, answer.Token).Access) != 32 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

// Breaks if a panic gives a JWT away, or shows the bearer.
func TestAPanicRefuses(t *testing.T) {
	w := newWorld(t, nil)
	broken := newWorld(t, func(parts *jwt.Parts) { parts.Count = func(string, string) { panic(w.bearers["all"]) } })
	answer := broken.ask(broken.bearers["all"], "service="+service+"&scope=repository:acme/web:pull")
	if answer.Code != http.StatusInternalServerError || answer.Token != "" || len(answer.Errors) != 1 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if line := broken.logs.Lines(t); !strings.Contains(line, `"level":"ERROR"`) || !strings.Contains(line, "panicked") {
		t.Errorf("the log says %s", line)
	}
}

// Breaks if an operator cannot see who asked for what, or was refused for which reason.
func TestLogLines(t *testing.T) {
	for _, test := range []struct {
		bearer string
		err    error
		want   string // part of the line
	}{
		{"all", nil, `"level":"INFO","msg":"request finished","function":"registry","request_id":"<request_id>","method":"GET","route":"/jwt/auth","code":200,` +
			`"duration_ms":"<duration_ms>","token_id":%d,"owner":2,"access":["repository:acme/web:pull"]}`},
		{"revoked", nil, `"level":"WARN","msg":"request finished","function":"registry","request_id":"<request_id>","method":"GET","route":"/jwt/auth","code":401,` +
			`"duration_ms":"<duration_ms>","token_id":%d,"owner":2,"reason":"`},
		{"all", fault.ErrUnavailable, `"level":"ERROR","msg":"request finished","function":"registry","request_id":"<request_id>","method":"GET","route":"/jwt/auth","code":503,` +
			`"duration_ms":"<duration_ms>","token_id":%d,"owner":2,"reason":"`},
	} {
		w := newWorld(t, nil)
		w.late = test.err
		w.ask(w.bearers[test.bearer], "service="+service+"&scope=repository:acme/web:pull,delete")
		if line, want := w.logs.Lines(t), fmt.Sprintf(test.want, w.token(test.bearer).ID); !strings.Contains(line, want) {
			t.Errorf("%s\nwant %s", line, want)
		}
	}
}

// Breaks if an expired token passes because its JWT does not know when it ends.
func TestJWTsEndWithTheirTokens(t *testing.T) {
	midnight := clock.DayOf(now).AddDays(1).Start()
	for _, test := range []struct {
		name   string
		change func(*token.Token)
		ends   time.Time
	}{
		{"later", func(*token.Token) {}, midnight.Add(2 * time.Minute)},
		{"at midnight", func(record *token.Token) { record.ExpiresOn = clock.DayOf(now).AddDays(1) }, midnight},
		{"never", func(record *token.Token) { record.ExpiresOn = clock.Day{} }, midnight.Add(2 * time.Minute)},
		{"after its overlap", func(record *token.Token) { record.WorksUntil = midnight.Add(-time.Minute) }, midnight.Add(-time.Minute)},
	} {
		w := newWorld(t, nil)
		w.clock.Set(midnight.Add(-3 * time.Minute))
		test.change(w.token("all"))
		answer := w.ask(w.bearers["all"], "service="+service)
		if exp := w.claims(t, answer.Token).Exp; exp != test.ends.Unix() || answer.ExpiresIn != int(test.ends.Sub(w.clock.Now()).Seconds()) {
			t.Errorf("a token that ends %s: the JWT ends %s, in %d s", test.name, time.Unix(exp, 0).UTC(), answer.ExpiresIn)
		}
	}
	// Its JWT would have ended before it began.
	w := newWorld(t, nil)
	w.set.ExpiryIgnored = true
	answer := w.ask(w.bearers["expired"], "service="+service)
	if answer.Code != http.StatusOK || w.claims(t, answer.Token).Exp != now.Unix()+300 || answer.ExpiresIn != 300 {
		t.Errorf("an expired token while nobody enforces that: %d %s", answer.Code, answer.Body)
	}
}

// containerd and BuildKit send a form first, and other clients a header.
func TestForms(t *testing.T) {
	w := newWorld(t, nil)
	form := url.Values{
		"grant_type": {"password"}, "service": {service}, "client_id": {"containerd-client"}, "username": {"robin"},
		"password": {w.bearers["both"]}, "scope": {"repository:acme/web:pull,push repository:acme/secret:pull"}, "access_type": {"offline"},
	}
	post := func(form url.Values, authorization string) reply {
		headers := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		if authorization != "" {
			headers.Set("Authorization", authorization)
		}
		return w.do(http.MethodPost, "/jwt/auth", form.Encode(), headers)
	}
	answer := post(form, "")
	if answer.Code != http.StatusOK || w.claims(t, answer.AccessToken).opens() != "repository:acme/web:pull,push" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if strings.Contains(answer.Body.String(), "refresh_token") {
		t.Error("a JWT can be refreshed without the token")
	}
	for _, test := range []struct {
		name, parameter, value, authorization string
		status                                int
	}{
		{"another grant", "grant_type", "refresh_token", "", http.StatusBadRequest},
		{"a wrong password", "password", "password", "", http.StatusUnauthorized},
		{"no password", "password", "", "", http.StatusUnauthorized},
		{"credentials in both places", "client_id", "x", "Basic cm9iaW46eA==", http.StatusBadRequest},
		{"too long", "scope", strings.Repeat("repository:a/b:pull ", 1000), "", http.StatusBadRequest},
	} {
		changed := url.Values{}
		for name, values := range form {
			changed[name] = slices.Clone(values)
		}
		changed.Set(test.parameter, test.value)
		if answer := post(changed, test.authorization); answer.Code != test.status {
			t.Errorf("%s: %d %s", test.name, answer.Code, answer.Body)
		}
	}
	// What stands in the address may be logged on the way, so a token there is not looked at.
	if answer := w.do(http.MethodPost, "/jwt/auth?"+form.Encode(), "", nil); answer.Code != http.StatusBadRequest {
		t.Errorf("a form in the address: %d", answer.Code)
	}
	if answer := w.ask("", "service="+service+"&username=robin&password="+w.bearers["both"]); answer.Code != http.StatusUnauthorized {
		t.Errorf("a password in the address: %d", answer.Code)
	}
}

// Breaks if an address can try bearers without end.
func TestWrongBearersAreThrottled(t *testing.T) {
	w := newWorld(t, func(parts *jwt.Parts) { parts.Throttles = throttle.New(throttle.Limits{WrongBearers: 2}) })
	for i, status := range []int{http.StatusUnauthorized, http.StatusUnauthorized, http.StatusTooManyRequests} {
		answer := w.ask(w.bearers["revoked"], "service="+service)
		if answer.Code != status || (answer.Header().Get("Retry-After") != "") != (status == http.StatusTooManyRequests) {
			t.Errorf("try %d: %d %s", i+1, answer.Code, answer.Body)
		}
	}
	if answer := w.ask(w.bearers["all"], "service="+service); answer.Code != http.StatusOK {
		t.Errorf("a good token from there: %d", answer.Code)
	}
}

func TestRoutes(t *testing.T) {
	w := newWorld(t, nil)
	for _, test := range []struct {
		method, path string
		status       int
		contentType  string
	}{
		{"GET", "/jwt/keys", http.StatusOK, "application/jwk-set+json"},
		{"GET", "/base/jwt/keys", http.StatusOK, "application/jwk-set+json"},
		{"HEAD", "/jwt/certs", http.StatusOK, "application/x-pem-file"},
		{"POST", "/jwt/keys", http.StatusMethodNotAllowed, "application/json"},
		{"PUT", "/jwt/auth", http.StatusMethodNotAllowed, "application/json"},
		{"HEAD", "/jwt/auth", http.StatusMethodNotAllowed, "application/json"},
		{"GET", "/jwt/auth/", http.StatusNotFound, "application/json"},
		{"GET", "/jwt/%61uth", http.StatusNotFound, "application/json"},
		{"GET", "/jwt/other", http.StatusNotFound, "application/json"},
		{"GET", "/", http.StatusNotFound, "application/json"},
	} {
		answer := w.do(test.method, test.path, "", nil)
		if answer.Code != test.status || answer.Header().Get("Content-Type") != test.contentType {
			t.Errorf("%s %s: %d %s", test.method, test.path, answer.Code, answer.Header())
		}
		if (answer.Code == http.StatusMethodNotAllowed) != (answer.Header().Get("Allow") != "") {
			t.Errorf("%s %s: Allow %q", test.method, test.path, answer.Header().Get("Allow"))
		}
		if test.method == http.MethodHead && answer.Body.Len() > 0 {
			t.Errorf("%s has a body", test.path)
		}
	}
}

func TestLivesOutsideTheLimitsAreRefused(t *testing.T) {
	for life, good := range map[time.Duration]bool{
		jwt.MinLife - time.Second: false, jwt.MinLife: true, jwt.MaxLife: true, jwt.MaxLife + time.Second: false, 0: false,
	} {
		parts := jwt.Parts{}
		newWorld(t, func(p *jwt.Parts) { parts = *p })
		parts.Life = life
		if _, err := jwt.New(parts); (err == nil) != good {
			t.Errorf("%s: %v", life, err)
		}
	}
}
