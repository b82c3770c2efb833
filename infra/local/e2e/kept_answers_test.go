package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"latchkey/infra/cloud"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
	"latchkey/pkg/scope"
	"latchkey/pkg/scope/scopetest"
)

// greedy is somebody's API with one greedy route behind an authorizer.
func greedy(tb testing.TB, c clock.Clock, authorizer *cloud.Authorizer) http.Handler {
	tb.Helper()
	g, err := cloud.NewGateway(cloud.API{
		ID: "orders", Stage: "prod", Clock: c, Authorizer: authorizer,
		Routes: []cloud.Route{{Method: "ANY", Path: "/", Function: "f"}, {Method: "ANY", Path: "/{proxy+}", Function: "f"}},
		Functions: map[string]lambda.Handler{"f": lambda.NewHandler(func() (events.APIGatewayProxyResponse, error) {
			return events.APIGatewayProxyResponse{StatusCode: http.StatusOK}, nil
		})},
	})
	noError(tb, err)
	return g
}

// ask sends a request to a gateway, with the path as it is.
func ask(g http.Handler, method, path, query, address string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://orders.example.test/", http.NoBody) //nolint:noctx // nothing waits for it
	r.RequestURI, r.URL.RawQuery, r.RemoteAddr, r.Header = path+"?"+query, query, address+":1", header
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

const orderScopes = `{
	"scopes": [{"name": "all"}, {"name": "below"}, {"name": "between"}, {"name": "one"}],
	"rules": [
		{"path": "/*", "scopes": ["all"]},
		{"methods": ["GET", "HEAD"], "path": "/orders/*", "scopes": ["below"]},
		{"path": "/orders/*/lines", "scopes": ["between"]},
		{"methods": ["GET"], "path": "/orders", "scopes": ["one"]}]}`

// The configurations of the page about the authorizer in which a gateway keeps answers. In each, no
// sequence of requests lets one pass that the scopes of its identity source do not open, in whatever
// way a backend may read its path. If this fails, operators who did what the documentation says have
// an open API.
func TestAdvisedCachesOpenNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "scopes.json")
	noError(t, os.WriteFile(file, []byte(orderScopes), 0o600))
	catalog, err := scope.Load(strings.NewReader(orderScopes))
	noError(t, err)
	const inside, outside = "192.0.2.7", "198.51.100.7"
	for _, advised := range []struct {
		kind           cloud.AuthorizerKind
		source, header string
		context        []string
	}{
		{cloud.RequestAuthorizer, "Authorization", "Authorization", nil},
		{cloud.RequestAuthorizer, "PRIVATE-TOKEN", "Private-Token", nil},
		{cloud.RequestAuthorizer, "Authorization,sourceIp", "Authorization", []string{"identity.sourceIp"}},
		{cloud.RequestAuthorizer, "PRIVATE-TOKEN,sourceIp", "Private-Token", []string{"identity.sourceIp"}},
		{cloud.TokenAuthorizer, "Authorization", "Authorization", nil},
	} {
		t.Run(string(advised.kind)+" "+advised.source, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{Parameters: map[string]string{
				"ScopesFile": file, "AuthorizerCacheSeconds": "300", "AuthorizerHttpApiResponse": "policy", "AuthorizerIdentitySource": advised.source,
			}})
			type holder struct {
				scopes     scope.Set
				restricted bool
			}
			holders := map[string]holder{}
			values := []string{"constant"}
			for _, set := range []scope.Set{{"all"}, {"below"}, {"between"}, {"one"}, {"below", "one"}} {
				token := newToken(t, w, root.ID, set.String(), "2026-09-01", strings.Fields(set.String())...)
				holders[token.Token] = holder{scopes: set}
				values = append(values, token.Token)
			}
			var restricted personalToken
			decode(t, want(t, w, root.Bearer, "POST", "/api/v4/users/1/personal_access_tokens",
				`{"name":"restricted","scopes":["all"],"expires_at":"2026-09-01","allowed_cidrs":["192.0.2.0/24"]}`, http.StatusCreated), &restricted)
			holders[restricted.Token] = holder{scope.Set{"all"}, true}
			values = append(values, restricted.Token)
			passed := 0
			rapid.Check(t, func(rt *rapid.T) {
				g := greedy(t, w.Clock, &cloud.Authorizer{
					Kind: advised.kind, Handler: w.Functions["authorizer"], Headers: []string{advised.header}, Context: advised.context, CacheTime: 300 * time.Second,
				})
				for range rapid.IntRange(1, 12).Draw(rt, "requests") {
					value := rapid.SampledFrom(values)
					sent := map[string]string{"Private-Token": value.Draw(rt, "private token"), "Authorization": value.Draw(rt, "authorization")}
					header := http.Header{"Private-Token": {sent["Private-Token"]}, "Authorization": {"Bearer " + sent["Authorization"]}}
					query := "private_token=" + value.Draw(rt, "parameter")
					method := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "DELETE"}).Draw(rt, "method")
					address := rapid.SampledFrom([]string{inside, outside}).Draw(rt, "address")
					path := drawPath(rt)
					if ask(g, method, path, query, address, header).Code != http.StatusOK {
						continue
					}
					passed++
					by, good := holders[sent[advised.header]]
					switch {
					case !good:
						rt.Fatalf("%s %s passes with %q as identity source", method, path, sent[advised.header])
					case by.restricted && (address != inside || len(advised.context) == 0):
						rt.Fatalf("a token with networks passes from %s", address)
					}
					for _, all := range []map[string]scopetest.Reader{scopetest.Readers, scopetest.Lenient} {
						for how, read := range all {
							if reading := read(path); !catalog.Allows(by.scopes, scope.Everywhere(), method, reading) {
								rt.Fatalf("%s %s passes with %v, and a backend that %s sees %s", method, path, by.scopes, how, reading)
							}
						}
					}
				}
			})
			if passed == 0 {
				t.Error("nothing ever passed")
			}
		})
	}
}

// Breaks if a kept answer lets a token pass whose end was known when the answer was given.
func TestAKeptAnswerEndsWithItsToken(t *testing.T) {
	t.Parallel()
	for kind, source := range map[cloud.AuthorizerKind]string{cloud.RequestAuthorizer: "Authorization", cloud.TokenAuthorizer: "Authorization"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{Parameters: map[string]string{
				"AuthorizerCacheSeconds": "3600", "AuthorizerHttpApiResponse": "policy", "AuthorizerIdentitySource": source,
			}})
			g := greedy(t, w.Clock, &cloud.Authorizer{Kind: kind, Handler: w.Functions["authorizer"], Headers: []string{source}, CacheTime: time.Hour})
			passes := func(bearer string) bool {
				return ask(g, "GET", "/orders", "", "192.0.2.7", http.Header{source: {"Bearer " + bearer}}).Code == http.StatusOK
			}
			var brief, rotating personalToken
			decode(t, want(t, w, root.Bearer, "POST", "/api/v4/users/1/personal_access_tokens", `{"name":"brief","scopes":["api"],"expires_in":60}`, http.StatusCreated), &brief)
			decode(t, want(t, w, root.Bearer, "POST", "/api/v4/users/1/personal_access_tokens", `{"name":"rotating","scopes":["api"]}`, http.StatusCreated), &rotating)
			rotated(t, w, rotating.Token, `{"overlap_seconds":60}`)
			lasting := newToken(t, w, root.ID, "lasting", "2026-09-01")
			for after, good := range map[time.Duration]bool{59 * time.Second: true, time.Minute: false} {
				w.Clock.Set(localtest.Now)
				for _, bearer := range []string{brief.Token, rotating.Token, lasting.Token} {
					if !passes(bearer) {
						t.Fatal("it does not pass at first")
					}
				}
				w.Clock.Advance(after)
				if passes(brief.Token) != good || passes(rotating.Token) != good || !passes(lasting.Token) {
					t.Errorf("after %s: short life %t, overlap %t, another %t", after, passes(brief.Token), passes(rotating.Token), passes(lasting.Token))
				}
			}
		})
	}
}

// drawPath draws a path as a client may send it, often one with two readings.
func drawPath(rt *rapid.T) string {
	fixed := []string{"/orders", "/orders/42", "/orders/42/lines", "/", "/orders/", "/orders//42", "/admin", "/%61dmin", "/orders/%34%32", "/orders/%c0%ae%c0%ae/admin"}
	if rapid.Bool().Draw(rt, "a fixed path") {
		return rapid.SampledFrom(fixed).Draw(rt, "path")
	}
	pieces := []string{
		"/", "/", ".", "..", "42", "lines", "admin", ";", ";x=1", `\`, "%2f", "%2F", "%2e", "%2E", "%5c", "%25", "%252e", "%3b", "%3F", "%23", "%00", "%0a", "%09", "%7f",
		"%20", "%c0%ae", "%C0%AF", "%c1%9c", "%e0%80%ae", "%F0%80%80%AF", "%f8%80%80%80%ae", "%fc%80%80%80%80%af", "%u002e", "%U002f", "%80", "%c3", "%c3%a9", "%34", "%ed%a0%80",
	}
	return "/orders/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 6).Draw(rt, "pieces"), "") + rapid.SampledFrom([]string{"", "/lines"}).Draw(rt, "end")
}

// Why the documentation says what it says: with a greedy route, a bearer and the route's key are one
// identity source for a request that is allowed and one that is not.
func TestKeptSimpleResponsesAnswerOtherRequests(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	user := newToken(t, w, root.ID, "user", "2026-09-01", "read_user")
	for kept, status := range map[time.Duration]int{0: http.StatusForbidden, time.Minute: http.StatusOK} {
		g := greedy(t, w.Clock, &cloud.Authorizer{
			Kind: cloud.HTTPAuthorizer, Simple: true, Handler: w.Functions["authorizer"], Headers: []string{"Authorization"}, Context: []string{"routeKey"}, CacheTime: kept,
		})
		header := http.Header{"Authorization": {"Bearer " + user.Token}}
		if got := ask(g, "GET", "/api/v4/user", "", "192.0.2.7", header); got.Code != http.StatusOK {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		if got := ask(g, "DELETE", "/api/v4/users/2", "", "192.0.2.7", header); got.Code != status {
			t.Errorf("kept for %s: DELETE is answered %d", kept, got.Code)
		}
	}
}

// One odd spelling costs a good bearer nothing but this request.
func TestAnOddSpellingShutsNobodyOut(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{Parameters: map[string]string{
		"AuthorizerCacheSeconds": "300", "AuthorizerHttpApiResponse": "policy", "AuthorizerIdentitySource": "PRIVATE-TOKEN",
	}})
	const refused, undecided, passes = http.StatusForbidden, http.StatusInternalServerError, http.StatusOK
	for path, status := range map[string][2]int{ // at first, and when a policy is kept that could not name the path
		"/orders/":                             {refused, refused},
		"/orders//42":                          {refused, refused},
		"/orders;a":                            {refused, refused},
		"/orders/acme%2Fweb":                   {refused, refused},
		"/%61dmin":                             {refused, refused},
		"/%61*":                                {undecided, passes}, // harmless: within what the policy opens
		"/" + strings.Repeat("x", 500) + "%61": {undecided, passes},
		"//orders/42":                          {undecided, passes}, // API Gateway counts leading slashes as one
	} {
		g := greedy(t, w.Clock, &cloud.Authorizer{
			Kind: cloud.RequestAuthorizer, Handler: w.Functions["authorizer"], Headers: []string{"Private-Token"}, CacheTime: 300 * time.Second,
		})
		header := http.Header{"Private-Token": {root.Bearer}}
		for _, want := range status {
			if got := ask(g, "GET", path, "", "192.0.2.7", header); got.Code != want {
				t.Errorf("%s is answered %d, want %d", path, got.Code, want)
			}
			if got := ask(g, "GET", "/orders/42", "", "192.0.2.7", header); got.Code != http.StatusOK {
				t.Errorf("after %s, /orders/42 is answered %d", path, got.Code)
			}
		}
	}
}

// All of Latchkey behind a custom domain with a base path, as its gateway sends events then.
func TestEveryFunctionBehindABasePath(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{PublicURL: "https://tokens.example.test/keys"})
	template, err := cloud.ReadTemplate(filepath.Join(localtest.Root(t), "template.yaml"), nil)
	noError(t, err)
	api := template.API(w.Functions)
	api.BasePath, api.Clock = "/keys", w.Clock
	g, err := cloud.NewGateway(api)
	noError(t, err)
	for _, test := range []struct {
		method, path, query string
		status              int
	}{
		{"GET", "/keys/api/v4/personal_access_tokens/self", "", 200},
		{"GET", "/keys/api/v4/personal_access_tokens/self/", "", 200},
		{"GET", "/keys/api/v4/user", "", 200},
		{"GET", "/keys/api/v4/version", "", 200},
		{"GET", "/keys/api/v4/personal_access_tokens", "per_page=1", 200},
		{"POST", "/keys/api/v4/users/1/personal_access_tokens", "name=new&scopes[]=api", 201},
		{"DELETE", "/keys/api/v4/personal_access_tokens/4194306", "", 204},
		{"POST", "/keys/api/v4/token_leaks", "tokens[]=no-such-token-anywhere", 204},
		{"GET", "/keys/api/v4/nothing", "", 404},
		{"GET", "/keys/auth/envoy/api/api/v4/user", "", 200}, // a question about /api/v4/user
		{"GET", "/keys/auth/envoy/other/api/v4/user", "", 404},
		{"GET", "/keys/auth/nginx", "", 403}, // which does not say about what
		{"POST", "/keys/oauth/introspect", "token=x", 401},
		{"GET", "/api/v4/user", "", 403}, // no such mapping
	} {
		got := ask(g, test.method, test.path, test.query, "192.0.2.7", http.Header{"Private-Token": {root.Bearer}})
		if got.Code != test.status {
			t.Errorf("%s %s: %d %s", test.method, test.path, got.Code, got.Body)
		}
		if link := got.Header().Get("Link"); link != "" && !strings.HasPrefix(link, "<https://tokens.example.test/keys/api/v4/personal_access_tokens?") {
			t.Errorf("Link: %s", link)
		}
	}
}

// Somebody's API behind a base path: rules name the paths that it has without one.
func TestTheAuthorizerBehindABasePath(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	user := newToken(t, w, root.ID, "user", "2026-09-01", "read_user")
	g, err := cloud.NewGateway(cloud.API{
		ID: "orders", Stage: "prod", BasePath: "/api/v4/user", Clock: w.Clock,
		Authorizer: &cloud.Authorizer{Kind: cloud.RequestAuthorizer, Handler: w.Functions["authorizer"]},
		Routes:     []cloud.Route{{Method: "ANY", Path: "/", Function: "f"}, {Method: "ANY", Path: "/{proxy+}", Function: "f"}},
		Functions: map[string]lambda.Handler{"f": lambda.NewHandler(func() (events.APIGatewayProxyResponse, error) {
			return events.APIGatewayProxyResponse{StatusCode: http.StatusOK}, nil
		})},
	})
	noError(t, err)
	for path, status := range map[string]int{
		"/api/v4/user/api/v4/user": 200, "/api/v4/user/orders": 403, "/api/v4/user": 403, "/api/v4/user/api/v4/users/": 403, "/api/v4/user//orders": 403,
	} {
		if got := ask(g, "GET", path, "", "192.0.2.7", http.Header{"Private-Token": {user.Token}}); got.Code != status {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
}

// gatewayResponses are those that the page about the authorizer offers for REST APIs.
func gatewayResponses(tb testing.TB) map[string]cloud.GatewayResponse {
	tb.Helper()
	page, err := os.ReadFile(filepath.Join(localtest.Root(tb), "docs", "authorizer.md"))
	noError(tb, err)
	_, text, _ := strings.Cut(string(page), "```yaml\nGatewayResponses:\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		tb.Fatal("no gateway responses in docs/authorizer.md")
	}
	var offered map[string]struct {
		StatusCode         int `yaml:"StatusCode"`
		ResponseParameters struct {
			Headers map[string]string `yaml:"Headers"`
		} `yaml:"ResponseParameters"`
		ResponseTemplates map[string]string `yaml:"ResponseTemplates"`
	}
	noError(tb, yaml.Unmarshal([]byte(text), &offered))
	responses := map[string]cloud.GatewayResponse{}
	for kind, r := range offered {
		responses[kind] = cloud.GatewayResponse{StatusCode: r.StatusCode, Headers: r.ResponseParameters.Headers, Templates: r.ResponseTemplates}
	}
	return responses
}

// With the offered gateway responses, a REST API answers as Latchkey's own does.
func TestGatewayResponsesOfTheDocumentation(t *testing.T) {
	t.Parallel()
	const realm = `Bearer realm="Latchkey"`
	for _, option := range []string{"deny", "unauthorized"} {
		w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"AuthorizerWrongBearer": option}})
		user := newToken(t, w, root.ID, "user", "2026-09-01", "read_user")
		blocked := newAccount(t, w, "greta")
		want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", blocked.ID), "", http.StatusCreated)
		g, err := cloud.NewGateway(cloud.API{
			ID: "orders", Stage: "prod", Clock: w.Clock, Responses: gatewayResponses(t),
			Authorizer: &cloud.Authorizer{Kind: cloud.RequestAuthorizer, Handler: w.Functions["authorizer"]},
			Routes:     []cloud.Route{{Method: "ANY", Path: "/{proxy+}", Function: "f"}},
			Functions:  map[string]lambda.Handler{"f": lambda.NewHandler(func() error { return nil })},
		})
		noError(t, err)
		wrong := map[string]int{"deny": http.StatusForbidden, "unauthorized": http.StatusUnauthorized}[option]
		for _, test := range []struct {
			bearer, path    string
			status          int
			body, challenge string
		}{
			{"no-such-token-anywhere", "/orders", wrong, unauthorizedBody, realm},
			{"", "/orders", wrong, unauthorizedBody, realm},
			{blocked.Bearer, "/orders", 403, blockedBody, realm},
			{
				user.Token, "/orders", 403,
				`{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api read_api"}`,
				realm + `, error="insufficient_scope", scope="api read_api"`,
			},
			{root.Bearer, "/orders/", 403, `{"message":"400 Bad request"}`, realm},
			{root.Bearer, "/%61*", 500, `{"message":"500 Internal Server Error"}`, ""},
		} {
			got := ask(g, "GET", test.path, "", "192.0.2.7", http.Header{"Private-Token": {test.bearer}})
			if got.Code != test.status || strings.TrimSpace(got.Body.String()) != test.body || got.Header().Get("WWW-Authenticate") != test.challenge {
				t.Errorf("%s, %s: %d %s %v", option, test.path, got.Code, got.Body, got.Header())
			}
		}
	}
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
