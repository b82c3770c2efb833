package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

const (
	siteURL   = "https://tokens.example.test"
	tableName = "latchkey"
)

// now is when a world starts: in the middle of a UTC day.
var now = time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC)

// A world is the site on an engine of its own, with the people root (an administrator), ann and bob.
type world struct {
	clock     *clock.Fake
	client    *dynamodb.Client
	table     *store.Table
	issuer    *lifecycle.Issuer
	revoker   *lifecycle.Revoker
	accounts  *directory.Directory
	settings  *administration.Administration
	throttles *throttle.Throttles
	site      *Site
	people    map[string]account.Account
	logs      *syncBuffer
	secrets   []string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type planner struct{}

func (planner) Plan(context.Context, time.Time) error   { return nil }
func (planner) Cancel(context.Context, time.Time) error { return nil }

func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// newWorld makes a world. At the end of the test it searches the logs for bearers and mail addresses.
func newWorld(tb testing.TB, change ...func(*Parts)) *world {
	tb.Helper()
	w := &world{
		clock: clock.NewFake(now), people: map[string]account.Account{}, logs: &syncBuffer{}, throttles: throttle.Unlimited(),
	}
	w.client = engine.New().Client()
	check(tb, tabledef.Create(tb.Context(), w.client, made(tabledef.Path()), tableName))
	w.table = store.Open(w.client, tableName, store.Options{
		Shards: 16, Retention: 90 * 24 * time.Hour,
		Defaults: settings.Settings{Prefix: "lkpat_", LastUsedInterval: 10 * time.Minute, RetentionDays: 90},
	})
	pepper := made(secret.NewPepper("a pepper for tests, of 33 letters"))
	format := secret.Format{Prefixes: []string{"lkpat_", "lkprj_", "lkimp_"}}
	w.issuer = made(lifecycle.NewIssuer(lifecycle.IssuerParts{
		Store: w.table, Reader: w.table, Projects: w.table, Bots: w.table, Scopes: scope.GitLab(), Pepper: pepper, Format: format,
		Gate: made(administration.NewGate(w.table)), Settings: w.table,
		ImpersonationPrefix: "lkimp_", ProjectPrefix: "lkprj_", Clock: w.clock, Random: rand.Reader,
	}))
	w.revoker = made(lifecycle.NewRevoker(lifecycle.RevokerParts{Store: w.table, Reader: w.table, Projects: w.table, Pepper: pepper, Format: format, Clock: w.clock, Queue: w.table, Settings: w.table}))
	w.accounts = made(directory.New(made(directory.NewFinder(directory.FinderParts{Reader: w.table, Projects: w.table, Clock: w.clock})), w.table))
	w.settings = made(administration.New(administration.Parts{Store: w.table, Planner: planner{}, Clock: w.clock, Reserved: format.Prefixes}))
	parts := Parts{
		Log: telemetry.NewLogger(w.logs, "web"), Clock: w.clock, PublicURL: siteURL, Visitors: visitors{w}, Door: door{},
		Sealer: made(NewSealer("a key for cookies, of 32 letters or so")), Issuer: w.issuer, Revoker: w.revoker,
		Lister:    made(lifecycle.NewLister(lifecycle.ListerParts{Store: w.table, Reader: w.table, Projects: w.table, Scopes: scope.GitLab(), Pepper: pepper, Format: format, Clock: w.clock})),
		Finder:    w.accounts.Finder,
		Trail:     made(trail.New(trail.Parts{Store: w.table, Reader: w.table, Projects: w.table, Clock: w.clock})),
		Verifier:  made(verify.New(verify.Parts{Store: w.table, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: w.clock})),
		Throttles: w.throttles, Count: func(string, string) {},
		Directory: w.accounts, Settings: w.settings,
		Features: made(administration.NewFeatures(administration.FeaturesParts{Store: w.table, Reader: w.table, Finder: w.table, Clock: w.clock})),
	}
	for _, f := range change {
		f(&parts)
	}
	w.site = made(New(parts))
	for _, name := range []string{"root", "ann", "bob"} {
		c := directory.Candidate{Username: name, Name: "The " + name, Email: name + "@example.test", Admin: name == "root"}
		w.people[name] = made(w.accounts.CreateByConsole(tb.Context(), "", c))
		w.secrets = append(w.secrets, c.Email)
	}
	tb.Cleanup(func() {
		for _, s := range w.secrets {
			if strings.Contains(w.logs.String(), s) {
				tb.Errorf("the log holds %s", s)
			}
		}
	})
	return w
}

// visitors take the name in a cookie for who is signed in.
type visitors struct{ w *world }

func (v visitors) Visitor(ctx context.Context, _ http.ResponseWriter, r *http.Request, request principal.Request) (principal.Principal, error) {
	cookie, err := r.Cookie("who")
	if err != nil {
		return principal.Principal{}, account.ErrSessionEnded
	}
	acct, err := v.w.table.Account(ctx, v.w.people[cookie.Value].ID)
	if err != nil {
		return principal.Principal{}, err
	}
	set, err := v.w.table.TokenSettings(ctx)
	return principal.Visitor(acct, set, request), err
}

type door struct{}

func (door) routes() []route { return nil }

// as returns who as they are now, signed in.
func (w *world) as(tb testing.TB, who string) principal.Principal {
	tb.Helper()
	acct, err := w.table.Account(tb.Context(), w.people[who].ID)
	check(tb, err)
	set, err := w.table.TokenSettings(tb.Context())
	check(tb, err)
	return principal.Visitor(acct, set, principal.Request{ID: "test"})
}

// issue makes a token of who that lasts for some days.
func (w *world) issue(tb testing.TB, who, name string, days int, scopes ...scope.Scope) lifecycle.Issued {
	tb.Helper()
	if len(scopes) == 0 {
		scopes = scope.Set{"read_api"}
	}
	issued, err := w.issuer.CreateForSelf(tb.Context(), w.as(tb, who), lifecycle.Spec{
		Name: name, Scopes: scopes, ExpiresOn: clock.DayOf(w.clock.Now()).AddDays(days),
	})
	check(tb, err)
	w.secrets = append(w.secrets, issued.Bearer.Reveal(), issued.Token.Digest.Key())
	return issued
}

// A browser keeps cookies, as one person.
type browser struct {
	w       *world
	cookies map[string]string
	header  http.Header // further headers of each request
}

// signIn returns the browser of who; "" is nobody.
func (w *world) signIn(who string) *browser {
	b := &browser{w: w, cookies: map[string]string{}, header: http.Header{}}
	if who != "" {
		b.cookies["who"] = who
	}
	return b
}

type reply struct {
	status int
	header http.Header
	body   string
}

// send makes one request and keeps the cookies of the reply.
func (b *browser) send(tb testing.TB, method, target string, form url.Values) reply {
	tb.Helper()
	r := httptest.NewRequest(method, siteURL+target, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	maps.Copy(r.Header, b.header)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	recorder := httptest.NewRecorder()
	b.w.site.Handler()(recorder, r, proxy.Origin{RequestID: "r1", Address: netip.MustParseAddr("192.0.2.7")})
	result := recorder.Result()
	for _, cookie := range result.Cookies() {
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		} else {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	return reply{result.StatusCode, result.Header, recorder.Body.String()}
}

func (b *browser) get(tb testing.TB, target string) reply {
	tb.Helper()
	return b.send(tb, http.MethodGet, target, nil)
}

// page gets a page that must be there.
func (b *browser) page(tb testing.TB, target string) string {
	tb.Helper()
	got := b.get(tb, target)
	if got.status != http.StatusOK {
		tb.Fatalf("GET %s: %d, to %s", target, got.status, got.header.Get("Location"))
	}
	return got.body
}

// follow sends a form that must work, and gets the page that the reply leads to.
func (b *browser) follow(tb testing.TB, target string, form url.Values) (location, body string) {
	tb.Helper()
	got := b.send(tb, http.MethodPost, target, form)
	if got.status != http.StatusSeeOther {
		tb.Fatalf("POST %s: %d\n%s", target, got.status, text(got.body))
	}
	location = got.header.Get("Location")
	return location, b.page(tb, location)
}

var tags = regexp.MustCompile(`(?s)<(title|style|script).*?</(title|style|script)>|<[^>]*>`)

// text is the text of a page, without its tags.
func text(page string) string {
	return strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " ")
}

// bearerIn finds the bearer that a page shows.
func (w *world) bearerIn(page string) string {
	value := regexp.MustCompile(`lkpat_[0-9A-Za-z]+`).FindString(page)
	if value != "" {
		w.secrets = append(w.secrets, value)
	}
	return value
}

// dump is everything in the table.
func (w *world) dump(tb testing.TB) string {
	tb.Helper()
	name := tableName
	out, err := w.client.Scan(tb.Context(), &dynamodb.ScanInput{TableName: &name})
	check(tb, err)
	return string(made(json.Marshal(out.Items)))
}

func at(id token.ID, more ...string) string {
	return strings.Join(append([]string{tokensPath, id.String()}, more...), "/")
}
