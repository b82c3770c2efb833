package authorizer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/authorizer"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/telemetry/telemetrytest"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

const (
	home    = "192.0.2.1"
	away    = "198.51.100.7"
	unknown = "no-such-token-anywhere"
)

var now = time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC)

// A world is what stands around an authorizer: some tokens, and what it logged,
// counted and recorded. Its tokens are in memory, where a test can change them.
type world struct {
	clock   *clock.Fake
	pepper  secret.Pepper
	tokens  map[string]*token.Token
	bearers map[string]string
	store   *memory
	trail   *recorder
	logs    *telemetrytest.Logs
	counts  *telemetrytest.Counts
	catalog *scope.Catalog
}

// newWorld has the accounts root (administrator, id 1), owner (2), other (3),
// blocked (4) and sleeper (deactivated, 5), a token of each but root, and some more
// of owner.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	pepper, err := secret.NewPepper("a pepper for tests, of 33 letters")
	check(tb, err)
	w := &world{
		clock: clock.NewFake(now), pepper: pepper, tokens: map[string]*token.Token{}, bearers: map[string]string{},
		store: &memory{tokens: map[secret.Digest]*token.Token{}, accounts: map[account.ID]account.Account{}}, trail: &recorder{},
		logs: telemetrytest.NewLogs(tb), counts: &telemetrytest.Counts{}, catalog: scope.GitLab(),
	}
	for i, name := range []string{"root", "owner", "other", "blocked", "sleeper"} {
		state := account.Active
		switch name {
		case "blocked":
			state = account.Blocked
		case "sleeper":
			state = account.Deactivated
		}
		id := account.ID(i + 1)
		w.store.accounts[id] = account.Account{ID: id, Username: name, State: state, Admin: name == "root"}
	}
	w.add(tb, "owner", 2, scope.API, scope.SelfRotate)
	w.add(tb, "reading", 2, scope.ReadAPI)
	w.add(tb, "profile", 2, scope.ReadUser)
	w.add(tb, "rotating", 2, scope.SelfRotate)
	w.add(tb, "registry", 2, "read_registry")
	w.add(tb, "expired", 2, scope.API)
	w.add(tb, "revoked", 2, scope.API)
	w.add(tb, "impersonation", 2, scope.API)
	w.add(tb, "restricted", 2, scope.API)
	w.add(tb, "other", 3, scope.API)
	w.add(tb, "blocked", 4, scope.API)
	w.add(tb, "sleeper", 5, scope.API)
	w.tokens["expired"].ExpiresOn = clock.DayOf(now)
	w.tokens["revoked"].RevokedAt, w.tokens["revoked"].RevokedReason = now, token.ReasonRequest
	w.tokens["impersonation"].Kind, w.tokens["impersonation"].CreatedBy = token.Impersonation, 1
	w.tokens["restricted"].Networks, err = token.ParseNetworks([]string{"192.0.2.0/24"})
	check(tb, err)
	return w
}

// add makes a token of owner and its bearer.
func (w *world) add(tb testing.TB, name string, owner account.ID, scopes ...scope.Scope) {
	tb.Helper()
	bearer, err := secret.New("lkpat_", int64(owner), bytes.NewReader(bytes.Repeat([]byte(name+" "), 20)))
	check(tb, err)
	w.store.numbers++
	number := w.store.numbers
	if owner != 2 {
		number = 1
	}
	t := &token.Token{
		ID: token.ID(int64(owner)<<22 + number), Kind: token.Personal, Owner: owner, Name: name, Scopes: scopes,
		ExpiresOn: clock.DayOf(now).AddDays(100), Digest: w.pepper.Digest(bearer),
	}
	w.tokens[name], w.bearers[name], w.store.tokens[t.Digest] = t, bearer.Reveal(), t
	w.logs.Secret(w.bearers[name])
	w.logs.Secret(t.Digest.Key())
}

// parts are those of an authorizer in the world.
func (w *world) parts() authorizer.Parts {
	return authorizer.Parts{
		Log: telemetry.NewLogger(w.logs, "authorizer"), Verifier: w.verifier(w.store), Scopes: w.catalog,
		Trail: trail.NewNotes(w.trail), Clock: w.clock, Count: w.counts.Count,
	}
}

func (w *world) verifier(s verify.Store) *verify.Verifier {
	v, err := verify.New(verify.Parts{Store: s, Pepper: w.pepper, Format: secret.Format{Prefixes: []string{"lkpat_", "lkprj_", "lkimp_"}}, Scopes: w.catalog, Clock: w.clock})
	if err != nil {
		panic(err)
	}
	return v
}

func (w *world) authorizer(tb testing.TB, simple bool) *authorizer.Authorizer {
	tb.Helper()
	parts := w.parts()
	parts.SimpleResponses = simple
	return made(tb, parts)
}

func made(tb testing.TB, parts authorizer.Parts) *authorizer.Authorizer {
	tb.Helper()
	a, err := authorizer.New(parts)
	check(tb, err)
	return a
}

// decide answers an event that has to be decided.
func decide(tb testing.TB, a *authorizer.Authorizer, event map[string]any) any {
	tb.Helper()
	answer, err := a.Decide(tb.Context(), raw(tb, event))
	check(tb, err)
	return answer
}

// attempt answers an event that no policy may be able to refuse: the answer is nil then.
func attempt(tb testing.TB, a *authorizer.Authorizer, event map[string]any) any {
	tb.Helper()
	answer, err := a.Decide(tb.Context(), raw(tb, event))
	if err != nil && (answer != nil || err.Error() != "could not decide") {
		tb.Fatalf("answer %v, error %v", answer, err)
	}
	return answer
}

// A memory is a store of tokens that fails with err, where that is set.
type memory struct {
	tokens   map[secret.Digest]*token.Token
	accounts map[account.ID]account.Account
	numbers  int64
	asked    int
	err      error
}

func (m *memory) Check(_ context.Context, digests []secret.Digest, _ account.ID, policy *settings.Settings) (token.Token, account.Account, error) {
	m.asked++
	if m.err != nil {
		return token.Token{}, account.Account{}, m.err
	}
	if policy != nil {
		*policy = settings.Settings{LastUsedInterval: 30 * 24 * time.Hour}
	}
	t, found := m.tokens[digests[0]]
	if !found {
		return token.Token{}, account.Account{}, fault.ErrNotFound
	}
	return *t, m.accounts[t.Owner], nil
}

func (*memory) EndOverlap(context.Context, token.Token, time.Time, audit.Event) error { return nil }

func (*memory) MarkUsed(context.Context, secret.Digest, time.Time, time.Time, []netip.Addr) error {
	return nil
}

// A recorder keeps the events, or fails with err.
type recorder struct {
	events []audit.Event
	err    error
}

func (r *recorder) Record(_ context.Context, events ...audit.Event) error {
	r.events = append(r.events, events...)
	return r.err
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

const apiARN = "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234"

type format struct {
	name   string
	simple bool
	event  func(bearer, method, path string) map[string]any
}

func restEvent(bearer, method, path string) map[string]any {
	return map[string]any{
		"type": "REQUEST", "methodArn": apiARN + "/prod/" + method + path, "path": path, "httpMethod": method,
		"headers": map[string]string{"PRIVATE-TOKEN": bearer}, "multiValueHeaders": map[string][]string{"PRIVATE-TOKEN": {bearer}},
	}
}

func httpEvent(bearer, method, path string) map[string]any {
	return map[string]any{
		"version": "2.0", "type": "REQUEST", "routeArn": apiARN + "/prod/" + method + path, "rawPath": "/prod" + path,
		"headers": map[string]string{"authorization": "Bearer " + bearer},
	}
}

var formats = []format{
	{"REST TOKEN", false, func(bearer, method, path string) map[string]any {
		return map[string]any{"type": "TOKEN", "authorizationToken": "Bearer " + bearer, "methodArn": apiARN + "/prod/" + method + path}
	}},
	{"REST REQUEST", false, restEvent},
	{"HTTP API 1.0", false, func(bearer, method, path string) map[string]any {
		e := restEvent(bearer, method, path)
		e["version"], e["path"] = "1.0", "/prod"+path
		return e
	}},
	{"HTTP API 2.0 with policies", false, httpEvent},
	{"HTTP API 2.0 with simple responses", true, httpEvent},
}

// from puts into an event where its request came from, where its format tells.
func from(event map[string]any, address string) map[string]any {
	source := map[string]any{"sourceIp": address}
	switch {
	case event["type"] == "TOKEN":
	case event["version"] == "2.0":
		event["requestContext"] = map[string]any{"http": source}
	default:
		event["requestContext"] = map[string]any{"identity": source}
	}
	return event
}

func raw(tb testing.TB, event map[string]any) json.RawMessage {
	tb.Helper()
	out, err := json.Marshal(event)
	check(tb, err)
	return out
}

// passes is what a gateway makes of an answer to a request.
func passes(tb testing.TB, answer any, method, path string) bool {
	tb.Helper()
	switch answer := answer.(type) {
	case nil:
		return false
	case events.APIGatewayCustomAuthorizerResponse:
		return evaluate(answer.PolicyDocument, apiARN+"/prod/"+method+path)
	case events.APIGatewayV2CustomAuthorizerSimpleResponse:
		return answer.IsAuthorized
	}
	tb.Fatalf("answer is a %T", answer)
	return false
}

// told is what an answer tells the backend.
func told(tb testing.TB, answer any) map[string]any {
	tb.Helper()
	switch answer := answer.(type) {
	case events.APIGatewayCustomAuthorizerResponse:
		return maps.Clone(answer.Context)
	case events.APIGatewayV2CustomAuthorizerSimpleResponse:
		return maps.Clone(answer.Context)
	}
	tb.Fatalf("answer is a %T", answer)
	return nil
}

// evaluate is IAM's reading of a policy for one resource: an explicit deny
// wins, and what nothing allows is denied.
func evaluate(policy events.APIGatewayCustomAuthorizerPolicy, resource string) bool {
	allowed := false
	for _, statement := range policy.Statement {
		for _, pattern := range statement.Resource {
			if !glob(pattern).MatchString(resource) {
				continue
			}
			if statement.Effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

var globs sync.Map // compiled patterns: the properties try the same ones again and again

func glob(pattern string) *regexp.Regexp {
	if compiled, ok := globs.Load(pattern); ok {
		return compiled.(*regexp.Regexp)
	}
	text := regexp.QuoteMeta(pattern)
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\*`, "(?s:.*)"), `\?`, "(?s:.)")
	compiled := regexp.MustCompile("^" + text + "$")
	globs.Store(pattern, compiled)
	return compiled
}

// eventLine is an audit event in one line.
func eventLine(e audit.Event) string {
	return fmt.Sprintf("%s %s %v by %d with %d from %s in %s, token %d, target %s at %s, omitted %d",
		e.Name, e.Source, e.Entity, e.Author, e.Presented, e.Address, e.RequestID, e.Token, e.Target, e.At.Format(time.RFC3339), e.Omitted)
}
