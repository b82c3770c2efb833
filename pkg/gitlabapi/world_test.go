package gitlabapi_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	composesettings "latchkey/pkg/compose/settings"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

const (
	publicURL = "https://tokens.example.test"
	tableName = "latchkey"
	pepperKey = "a pepper for tests, of 33 letters"
)

// now is when a world starts: in the middle of a UTC day.
var now = time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC)

// A world is every function on an engine of its own. Nothing in it is random,
// so two worlds that see the same requests give the same replies.
type world struct {
	clock   *clock.Fake
	random  *counter
	engine  *engine.Engine
	client  *dynamodb.Client
	writes  *atomic.Int64 // how many requests have reached the engine that may have changed the table
	table   *store.Table
	format  secret.Format
	pepper  secret.Pepper
	catalog *scope.Catalog
	// issuing and verifying are what issuer and verifier are made of.
	issuing   lifecycle.IssuerParts
	verifying verify.Parts
	issuer    *lifecycle.Issuer
	revoker   *lifecycle.Revoker
	lister    *lifecycle.Lister
	accounts  *directory.Directory
	remover   *directory.Remover
	signIns   *directory.SignIns
	planner   *planner
	// administration changes the settings.
	administration *administration.Administration
	features       *administration.Features
	trail          *trail.Trail
	verifier       *verify.Verifier
	logs           *logs
	counts         *counts
	publicURL      string
	throttles      *throttle.Throttles // without limits unless a test sets it
	notes          *trail.Notes        // new ones for each handler unless a test sets it
	queue          gitlabapi.LeakQueue // none unless a test sets it

	lastEvent int64 // that told has told

	// The last snapshot, and how many writes came before it.
	seen       string
	seenWrites int64

	// The bearers that every world starts with, by what they are.
	bearers map[string]string
	// The tokens of bearers, by the same names.
	tokens map[string]token.Token
	users  map[string]account.Account
}

// first is the world that every other one starts as a copy of.
var first struct {
	made  sync.Once
	world *world
}

// newWorld has these accounts: root (administrator, id 1), owner (2), other
// (3), blocked (4), sleeper (deactivated, 5), and a token of each, and for
// owner some more.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	first.made.Do(func() { first.world = makeWorld(tb) })
	if first.world == nil {
		tb.Fatal("no world to copy: an earlier test failed to make it")
	}
	w := first.world.copied()
	tb.Cleanup(func() { w.searchLogs(tb) })
	return w
}

// A stage is what a case needs in a new world. It is made once, and every world that
// is brought there becomes a copy of that one.
func stage(prepare func(testing.TB, *world)) func(testing.TB, *world) {
	var once sync.Once
	var ready *world
	return func(tb testing.TB, w *world) {
		tb.Helper()
		once.Do(func() {
			started := first.world.copied()
			prepare(tb, started)
			started.snapshot(tb)
			ready = started
		})
		if ready == nil {
			tb.Fatal("no world to copy: an earlier test failed to make it")
		}
		if w.writes.Load() != first.world.writes.Load() {
			tb.Fatal("this world is not new")
		}
		*w = *ready.copied()
	}
}

// copied returns a world that goes on from where w is, with nothing logged or
// counted yet.
func (w *world) copied() *world {
	c := *w
	c.clock, c.random, c.engine = clock.NewFake(w.clock.Now()), &counter{w.random.n}, w.engine.Clone()
	c.writes = new(atomic.Int64)
	c.writes.Store(w.writes.Load())
	c.client = c.engine.Client(counting(c.writes))
	c.logs, c.counts = &logs{secrets: slices.Clone(w.logs.secrets)}, &counts{}
	c.bearers, c.tokens, c.users = maps.Clone(w.bearers), maps.Clone(w.tokens), maps.Clone(w.users)
	c.connect(c.client)
	return &c
}

func makeWorld(tb testing.TB) *world {
	tb.Helper()
	pepper, err := secret.NewPepper(pepperKey)
	check(tb, err)
	w := &world{
		clock: clock.NewFake(now.Add(-24 * time.Hour)), random: &counter{}, engine: engine.New(), pepper: pepper, catalog: scope.GitLab(),
		format: secret.Format{Prefixes: []string{"lkpat_", "lkprj_", "lkimp_"}},
		logs:   &logs{}, counts: &counts{}, publicURL: publicURL,
		throttles: throttle.Unlimited(),
		bearers:   map[string]string{}, tokens: map[string]token.Token{}, users: map[string]account.Account{},
		writes: new(atomic.Int64),
	}
	w.client = w.engine.Client(counting(w.writes))
	path, err := tabledef.Path()
	check(tb, err)
	check(tb, tabledef.Create(tb.Context(), w.client, path, tableName))
	w.connect(w.client)

	w.user(tb, "root", func(c *directory.Candidate) { c.Admin = true })
	for _, name := range []string{"owner", "other", "blocked", "sleeper"} {
		w.user(tb, name)
	}
	w.issue(tb, "root", "root", scope.API, scope.ReadAPI, scope.ReadUser, scope.SelfRotate, scope.Sudo)
	w.issue(tb, "root without sudo", "root", scope.API)
	w.issue(tb, "root reading", "root", scope.ReadAPI)
	w.issue(tb, "owner", "owner", scope.API, scope.SelfRotate)
	w.issue(tb, "reading", "owner", scope.ReadAPI)
	w.issue(tb, "profile", "owner", scope.ReadUser)
	w.issue(tb, "rotating", "owner", scope.SelfRotate)
	w.issue(tb, "registry", "owner", "read_registry")
	w.issue(tb, "expired", "owner", scope.API)
	w.issue(tb, "revoked", "owner", scope.API)
	w.issue(tb, "other", "other", scope.API)
	w.issue(tb, "blocked", "blocked", scope.API)
	w.issue(tb, "sleeper", "sleeper", scope.API)
	// A use is recorded once a day; from here on, no check writes.
	w.clock.Set(now)
	for name, bearer := range w.bearers {
		_, err := w.verifier.Verify(tb.Context(), bearer, netip.Addr{})
		check(tb, err)
		w.tokens[name], err = w.table.Token(tb.Context(), w.tokens[name].ID)
		check(tb, err)
	}
	w.end(tb, "revoked")
	w.expire(tb, "expired")
	check(tb, w.table.SetAccountState(tb.Context(), w.users["blocked"].ID, account.Active, account.Blocked, storetest.Event))
	check(tb, w.table.SetAccountState(tb.Context(), w.users["sleeper"].ID, account.Active, account.Deactivated, storetest.Event))
	w.snapshot(tb)
	return w
}

// connect makes everything that stands on the table, on client.
func (w *world) connect(client *dynamodb.Client) {
	w.table = store.Open(client, tableName, store.Options{
		Shards: 16, Retention: 90 * 24 * time.Hour,
		Defaults: settings.Settings{Prefix: "lkpat_", LastUsedInterval: 30 * 24 * time.Hour, RetentionDays: 90},
	})
	w.issuing = lifecycle.IssuerParts{
		Store: w.table, Reader: w.table, Projects: w.table, Bots: w.table, Scopes: w.catalog, Pepper: w.pepper, Format: w.format,
		Gate:     made(administration.NewGate(w.table)),
		Settings: w.table, ImpersonationPrefix: "lkimp_", ProjectPrefix: "lkprj_", Clock: w.clock, Random: w.random,
	}
	w.issuer = made(lifecycle.NewIssuer(w.issuing))
	w.revoker = made(lifecycle.NewRevoker(lifecycle.RevokerParts{Store: w.table, Reader: w.table, Projects: w.table, Pepper: w.pepper, Format: w.format, Clock: w.clock, Queue: w.table, Settings: w.table}))
	w.lister = made(lifecycle.NewLister(lifecycle.ListerParts{Store: w.table, Reader: w.table, Projects: w.table, Scopes: scope.GitLab(), Pepper: w.pepper, Format: w.format, Clock: w.clock}))
	w.signIns = made(directory.NewSignIns(directory.SignInParts{Store: w.table, Reader: w.table, Trail: trail.NewNotes(w.table), Clock: w.clock}))
	w.accounts = made(directory.New(made(directory.NewFinder(directory.FinderParts{Reader: w.table, Projects: w.table, Clock: w.clock})), w.table))
	w.remover = made(directory.NewRemover(w.accounts.Finder, w.table))
	w.planner = &planner{}
	w.administration = made(administration.New(w.administering()))
	w.features = made(administration.NewFeatures(administration.FeaturesParts{Store: w.table, Reader: w.table, Finder: w.table, Clock: w.clock}))
	w.trail = made(trail.New(trail.Parts{Store: w.table, Reader: w.table, Projects: w.table, Clock: w.clock}))
	w.verifying = verify.Parts{Store: w.table, Pepper: w.pepper, Format: w.format, Scopes: scope.GitLab(), Clock: w.clock}
	w.verifier = w.verifierOn(w.table)
}

func (w *world) administering() administration.Parts {
	return administration.Parts{Store: w.table, Planner: w.planner, Clock: w.clock, Reserved: w.format.Prefixes}
}

// verifierOn returns a verifier that asks another store.
func (w *world) verifierOn(s verify.Store) *verify.Verifier {
	parts := w.verifying
	parts.Store = s
	return made(verify.New(parts))
}

// made returns what a constructor has made.
func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A planner keeps what was planned.
type planner struct {
	planned, cancelled []time.Time
	err                error
}

func (p *planner) Plan(_ context.Context, at time.Time) error {
	p.planned = append(p.planned, at)
	return p.err
}

func (p *planner) Cancel(_ context.Context, at time.Time) error {
	p.cancelled = append(p.cancelled, at)
	return p.err
}

func (w *world) user(tb testing.TB, name string, change ...func(*directory.Candidate)) {
	tb.Helper()
	c := directory.Candidate{Username: name, Name: "The " + name, Email: name + "@example.test"}
	for _, f := range change {
		f(&c)
	}
	user, err := w.accounts.CreateByConsole(tb.Context(), "", c)
	check(tb, err)
	w.users[name] = user
	w.logs.secret(c.Email)
}

func (w *world) issue(tb testing.TB, name, owner string, scopes ...scope.Scope) {
	tb.Helper()
	user, err := w.table.Account(tb.Context(), w.users[owner].ID)
	check(tb, err)
	issued, err := w.issuer.CreateByConsole(tb.Context(), "", user, lifecycle.Spec{
		Name: "of " + name, Scopes: scopes, ExpiresOn: clock.DayOf(now).AddDays(100),
	}, "")
	check(tb, err)
	w.bearers[name], w.tokens[name] = issued.Bearer.Reveal(), issued.Token
	w.logs.secret(w.bearers[name])
	w.logs.secret(issued.Token.Digest.Key())
}

func (w *world) end(tb testing.TB, name string) {
	tb.Helper()
	t, err := w.table.Token(tb.Context(), w.tokens[name].ID)
	check(tb, err)
	if t.RotatedAway() && !t.RevokedAt.IsZero() {
		return
	}
	t.RevokedAt, t.RevokedReason = w.clock.Now(), token.ReasonRequest
	check(tb, w.table.RevokeToken(tb.Context(), t, storetest.Event))
}

// expire moves the end of a token to today, which only time does otherwise.
func (w *world) expire(tb testing.TB, name string) {
	tb.Helper()
	w.set(tb, name, "expires_on", clock.DayOf(now).String())
	id := w.tokens[name].ID
	_, err := w.client.UpdateItem(tb.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(tableName), UpdateExpression: aws.String("REMOVE ends_at"), // the record has it too
		Key: map[string]types.AttributeValue{"pk": storetest.S("USER#" + id.Owner().String()), "sk": storetest.S(fmt.Sprintf("TOKEN#%016d", int64(id)))},
	})
	check(tb, err)
}

// set writes an attribute of a token's record past the store.
func (w *world) set(tb testing.TB, name, attribute, value string) {
	tb.Helper()
	_, err := w.client.UpdateItem(tb.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(tableName),
		Key:       attributes{"pk": text("TOKEN#" + w.tokens[name].Digest.Key()), "sk": text("TOKEN")},

		UpdateExpression:          aws.String("SET #a = :v"),
		ExpressionAttributeNames:  map[string]string{"#a": attribute},
		ExpressionAttributeValues: attributes{":v": text(value)},
	})
	check(tb, err)
}

// as is the principal of a token of the account with this name.
func (w *world) as(name string, t token.Token) principal.Principal {
	owner := w.users[name]
	return principal.Principal{Account: owner, Token: t, Scopes: t.EffectiveScopes(scope.GitLab(), owner)}
}

func (w *world) api(function string) *gitlabapi.API {
	return &gitlabapi.API{
		Log: telemetry.NewLogger(w.logs, function), Verifier: w.verifier, Accounts: w.table, Trail: cmp.Or(w.notes, trail.NewNotes(w.table)), Clock: w.clock,
		PublicURL: w.publicURL, Count: w.counts.count, Throttles: w.throttles,
	}
}

// function returns the handler of one function, on what the world is made of by now.
func (w *world) function(name string) proxy.Handler {
	switch name {
	case "issue":
		return gitlabapi.Issue(w.api(name), w.issuer, w.revoker)
	case "revoke":
		return gitlabapi.Revoke(w.api(name), w.revoker, w.remover)
	case "tokens":
		return gitlabapi.Tokens(w.api(name), w.lister, w.accounts.Finder)
	case "directory":
		return gitlabapi.Directory(w.api(name), w.accounts)
	case "settings":
		return gitlabapi.Settings(w.api(name), w.features, w.administration, w.trail, w.accounts.Finder, composesettings.Graph{})
	case "leaks":
		return gitlabapi.Leaks(w.api(name), w.revoker, w.queue)
	}
	panic("no function is called " + name)
}

// functions returns the handlers by function.
func (w *world) functions() map[string]proxy.Handler {
	all := map[string]proxy.Handler{}
	for _, name := range []string{"issue", "revoke", "tokens", "directory", "settings", "leaks"} {
		all[name] = w.function(name)
	}
	return all
}

func (w *world) consoles() map[string]lambda.Handler {
	return map[string]lambda.Handler{
		"issue": gitlabapi.Lambda(w.function("issue"), gitlabapi.IssueConsole(w.api("issue"), w.issuer, w.accounts, w.signIns,
			made(lifecycle.NewFiller(lifecycle.FillerParts{Store: w.table, Clock: w.clock})))),
		"revoke": gitlabapi.Lambda(w.function("revoke"), gitlabapi.RevokeConsole(w.api("revoke"), w.revoker, w.accounts.Finder)),
		"tokens": gitlabapi.Lambda(w.function("tokens"), gitlabapi.TokensConsole(made(lifecycle.NewExaminer(lifecycle.ExaminerParts{
			Reader: w.table, Settings: w.table, Scopes: w.catalog, Clock: w.clock,
		})), made(lifecycle.NewCensus(lifecycle.CensusParts{Store: w.table, Settings: w.table, Clock: w.clock})))),
	}
}

// A latest records in the table that the world has at the time.
type latest struct{ *world }

func (l latest) Record(ctx context.Context, events ...audit.Event) error {
	return l.table.Record(ctx, events...)
}

// snapshot returns everything in the table but the audit trail, which also says
// what was refused. It looks again only after a request that may have changed it.
func (w *world) snapshot(tb testing.TB) string {
	tb.Helper()
	writes := w.writes.Load()
	if writes == w.seenWrites {
		return w.seen
	}
	out, err := w.client.Scan(tb.Context(), &dynamodb.ScanInput{TableName: aws.String(tableName), ConsistentRead: aws.Bool(true)})
	check(tb, err)
	if len(out.LastEvaluatedKey) > 0 {
		tb.Fatal("the table has outgrown its snapshot")
	}
	var lines []string
	for _, item := range out.Items {
		if pk := item["pk"].(*types.AttributeValueMemberS).Value; strings.HasPrefix(pk, "AUDIT#") {
			continue
		}
		line, err := json.Marshal(item)
		check(tb, err)
		lines = append(lines, string(line))
	}
	slices.Sort(lines)
	w.seen, w.seenWrites = strings.Join(lines, "\n"), writes
	return w.seen
}

// counting is an option for a client: it counts the requests that may change something.
func counting(writes *atomic.Int64) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) { o.HTTPClient = countingClient{writes, o.HTTPClient} }
}

type countingClient struct {
	writes *atomic.Int64
	next   dynamodb.HTTPClient
}

func (c countingClient) Do(r *http.Request) (*http.Response, error) {
	switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
	case "GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan":
	default:
		c.writes.Add(1)
	}
	return c.next.Do(r)
}

// A request is one call of the API. target is written as a client sends it.
type request struct {
	function string // the one that serves it; the fallback without
	method   string
	target   string
	bearer   string // the name of one of the world's bearers, sent as PRIVATE-TOKEN
	header   http.Header
	json     string
	form     string
	body     string // of the type in header
}

func (r request) headers(w *world) http.Header {
	h := http.Header{}
	if r.bearer != "" {
		h.Set("PRIVATE-TOKEN", w.bearers[r.bearer])
	}
	switch {
	case r.json != "":
		h.Set("Content-Type", "application/json")
	case r.form != "":
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range r.header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return h
}

func (r request) text() string { return r.json + r.form + r.body }

func (r request) serving() string {
	if r.function == "" {
		return "settings"
	}
	return r.function
}

// A response is what came back, whatever the door.
type response struct {
	status int
	header http.Header
	body   string
}

// A door is a way for a request to reach a function.
type door func(tb testing.TB, w *world, r request) response

// throughHTTP sends a request to a server on a socket.
func throughHTTP(tb testing.TB, w *world, r request) response {
	tb.Helper()
	server := httptest.NewServer(w.function(r.serving()))
	defer server.Close()
	path, query, _ := strings.Cut(r.target, "?")
	req, err := http.NewRequestWithContext(tb.Context(), r.method, server.URL, strings.NewReader(r.text()))
	check(tb, err)
	req.URL.Opaque, req.URL.RawQuery = "//"+req.URL.Host+path, query
	req.Header = r.headers(w)
	got, err := http.DefaultTransport.RoundTrip(req)
	check(tb, err)
	body, err := io.ReadAll(got.Body)
	check(tb, err)
	check(tb, got.Body.Close())
	for _, name := range []string{"Date", "Content-Length"} { // the server's, not ours
		got.Header.Del(name)
	}
	reply := response{got.StatusCode, got.Header, string(body)}
	described(tb, r, req.Header, reply)
	return reply
}

// event returns a REST API's proxy event for a request.
func (r request) event(w *world) map[string]any {
	path, raw, _ := strings.Cut(r.target, "?")
	query, _ := url.ParseQuery(raw)
	last := func(multi map[string][]string) map[string]string {
		single := map[string]string{}
		for name, values := range multi {
			single[name] = values[len(values)-1]
		}
		return single
	}
	headers := r.headers(w)
	event := map[string]any{
		"resource": "/{proxy+}", "path": path, "httpMethod": r.method,
		"headers": last(headers), "multiValueHeaders": headers,
		"queryStringParameters": last(query), "multiValueQueryStringParameters": query,
		"pathParameters": nil, "stageVariables": nil,
		"requestContext": map[string]any{
			"requestId": "11111111-2222-4333-8444-555555555555", "stage": "prod", "path": "/prod" + path,
			"domainName": "api.example.test", "identity": map[string]any{"sourceIp": "192.0.2.1"}, "authorizer": nil,
		},
		"body": nil, "isBase64Encoded": false,
	}
	if r.text() != "" {
		event["body"] = r.text()
	}
	return event
}

func throughLambda(tb testing.TB, w *world, r request) response {
	tb.Helper()
	got := invoke(tb, gitlabapi.Lambda(w.function(r.serving()), nil), r.method, r.event(w))
	described(tb, r, r.headers(w), got)
	return got
}

func throughLambdaInBase64(tb testing.TB, w *world, r request) response {
	tb.Helper()
	event := r.event(w)
	event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString([]byte(r.text())), true
	return invoke(tb, gitlabapi.Lambda(w.function(r.serving()), nil), r.method, event)
}

// invoke calls a function with an event that has to get a reply, not an error.
func invoke(tb testing.TB, function lambda.Handler, method string, event any) response {
	tb.Helper()
	payload, err := json.Marshal(event)
	check(tb, err)
	out, err := function.Invoke(context.Background(), payload)
	check(tb, err)
	var reply struct {
		StatusCode        int
		Headers           map[string]string
		MultiValueHeaders http.Header
		Body              string
		IsBase64Encoded   bool
	}
	check(tb, json.Unmarshal(out, &reply))
	if reply.IsBase64Encoded || len(reply.Headers) > 0 {
		tb.Errorf("reply in a form that is not expected: %s", out)
	}
	if method == http.MethodHead {
		reply.Body = "" // the gateway drops it
	}
	return response{reply.StatusCode, reply.MultiValueHeaders, reply.Body}
}

var doors = map[string]door{"http": throughHTTP, "lambda": throughLambda, "lambda in base64": throughLambdaInBase64}

var (
	anyBearer    = regexp.MustCompile(`(lkpat_|lkprj_|lkimp_)[0-9A-Za-z]{36}\b`)
	anyRequestID = regexp.MustCompile(`(?m)^X-Request-Id: .+$`)
	anyEventID   = regexp.MustCompile(`"id":[0-9]{15,16}\b`)
	anyCursor    = regexp.MustCompile(`cursor=[\w-]+`)
	anyRevision  = regexp.MustCompile(`"revision":"[^"]*"`)
)

// String writes a response as HTTP does, with what differs from run to run
// taken out.
func (r response) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", r.status, http.StatusText(r.status))
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			fmt.Fprintf(&b, "%s\n", strings.TrimSpace(name+": "+value))
		}
	}
	b.WriteString("\n" + r.body)
	text := anyBearer.ReplaceAllString(b.String(), "$1<36 letters and digits>")
	text = anyEventID.ReplaceAllString(text, `"id":<event id>`)
	text = anyCursor.ReplaceAllString(text, "cursor=<cursor>")
	text = anyRevision.ReplaceAllString(text, `"revision":"<revision>"`)
	return anyRequestID.ReplaceAllString(text, "X-Request-Id: <request id>")
}

func (r response) field(tb testing.TB, name string) any {
	tb.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.body), &fields); err != nil {
		tb.Fatalf("no JSON object: %s", r)
	}
	return fields[name]
}

// counter yields the same bytes in every world.
type counter struct{ n uint64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		var b [8]byte
		c.n = c.n*6364136223846793005 + 1442695040888963407
		binary.BigEndian.PutUint64(b[:], c.n)
		p[i] = b[0]
	}
	return len(p), nil
}

// logs collects what was logged.
type logs struct {
	mu      sync.Mutex
	buffer  bytes.Buffer
	secrets []string
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func (l *logs) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffer.Reset()
}

// secret adds a value that must not be logged.
func (l *logs) secret(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, value)
}

// searchLogs fails the test when a bearer, a digest, an address or the pepper
// was logged.
func (w *world) searchLogs(tb testing.TB) {
	logged := w.logs.String()
	for _, value := range append(w.logs.secrets, pepperKey) {
		if value != "" && strings.Contains(logged, value) {
			tb.Errorf("logged: %q", value)
		}
	}
	if found := anyBearer.FindString(logged); found != "" {
		tb.Errorf("a bearer was logged: %s", found)
	}
}

type counts struct {
	mu    sync.Mutex
	total map[string]int
}

func (c *counts) count(metric, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total == nil {
		c.total = map[string]int{}
	}
	c.total[metric+" "+code]++
}

func raw(tb testing.TB, event map[string]any) json.RawMessage {
	tb.Helper()
	out, err := json.Marshal(event)
	check(tb, err)
	return out
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A cutClient is an engine that fails on demand.
type cutClient struct {
	mu   sync.Mutex
	cut  func(operation string) bool
	next dynamodb.HTTPClient
}

func (c *cutClient) Do(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c.mu.Lock()
	cut := c.cut != nil && c.cut(operation)
	c.mu.Unlock()
	if cut {
		return nil, errors.New("connection reset")
	}
	return c.next.Do(r)
}

// breakEngine makes operations fail from now on, as long as cut says so.
func (w *world) breakEngine(cut func(operation string) bool) {
	w.connect(dynamodb.New(w.client.Options(), func(o *dynamodb.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = &cutClient{cut: cut, next: o.HTTPClient}
	}))
}

// beforeWrite runs do once, just before the next change is written.
func (w *world) beforeWrite(tb testing.TB, do func()) {
	tb.Helper()
	before := w.client
	w.connect(dynamodb.New(before.Options(), func(o *dynamodb.Options) {
		o.HTTPClient = &cutClient{next: o.HTTPClient, cut: func(operation string) bool {
			if operation == "TransactWriteItems" && do != nil {
				first := do
				do = nil
				w.connect(before)
				first()
			}
			return false
		}}
	}))
}
