package authorizer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"pgregory.net/rapid"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/golden"
	"latchkey/pkg/authorizer"
	"latchkey/pkg/scope"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// spellings returns the corpus of paths, each with its verdict.
func spellings(tb testing.TB) (all [][2]string) {
	tb.Helper()
	text, err := os.ReadFile("../scope/testdata/paths.txt")
	check(tb, err)
	for line := range strings.Lines(string(text)) {
		verdict, path, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(path, `"`) {
			unquoted, err := strconv.Unquote(path)
			check(tb, err)
			path = unquoted
		}
		all = append(all, [2]string{verdict, path})
	}
	return all
}

// An operator's table makes policies that mean the same as the table, for
// whatever route they were made and on whatever route they are applied.
func TestPoliciesOfAnyTableStayRight(t *testing.T) {
	w := newWorld(t)
	parts := w.parts()
	parts.Log = slog.New(slog.DiscardHandler)
	parts.Count = func(string, string) {}
	var paths []string
	for _, entry := range spellings(t) {
		if entry[0] == "fine" {
			paths = append(paths, entry[1])
		}
	}
	paths = append(paths, "/a", "/b", "/a/b", "/b/a", "/a/b/a", "/ab", "/a-b", "/a/a", "/b/b/b")
	methods := []string{"GET", "HEAD", "POST", "DELETE", "PUT"}
	rapid.Check(t, func(rt *rapid.T) {
		own := scope.Catalog{Scopes: []scope.Definition{{Name: "x"}, {Name: "y"}, {Name: "z"}}}
		for range rapid.IntRange(0, 6).Draw(rt, "rules") {
			pattern := rapid.StringMatching(`[/*](a|b|/|\*|api/v4|user|-|T){0,6}`).Draw(rt, "pattern")
			own.Rules = append(own.Rules, scope.Rule{
				Methods: rapid.SliceOfNDistinct(rapid.SampledFrom(methods), 0, 3, rapid.ID).Draw(rt, "methods"),
				Path:    pattern,
				Scopes:  rapid.SliceOfN(rapid.SampledFrom([]scope.Scope{"x", "y", "z", scope.AnyScope}), 1, 2).Draw(rt, "scopes"),
			})
		}
		for range rapid.IntRange(0, 2).Draw(rt, "endpoints") {
			own.GraphQLPaths = append(own.GraphQLPaths, rapid.SampledFrom([]string{"/a", "/a/*", "/b*", "/api/v4/user", "*"}).Draw(rt, "endpoint"))
			own.JudgedByBackend = append(own.JudgedByBackend, rapid.SampledFrom([]string{"/a", "/a/*", "/c", "*"}).Draw(rt, "judged"))
		}
		text, err := json.Marshal(own)
		check(t, err)
		loaded, err := scope.Load(bytes.NewReader(text))
		if err != nil {
			rt.Fatal(err)
		}
		asking := scope.Set(rapid.SliceOfNDistinct(rapid.SampledFrom([]scope.Scope{"x", "y", "z"}), 0, 3, rapid.ID).Draw(rt, "set"))
		w.catalog, w.tokens["owner"].Scopes = loaded, asking
		parts.Scopes, parts.Verifier = loaded, w.verifier(w.store)
		asked := rapid.SampledFrom(paths).Draw(rt, "asked")
		answer := decide(t, made(t, parts), restEvent(w.bearers["owner"], "GET", asked))
		policy := answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument
		for _, path := range paths {
			for _, method := range methods {
				got, want := evaluate(policy, apiARN+"/prod/"+method+path), loaded.Allows(asking, scope.Everywhere(), method, path)
				// Withheld goes by whole patterns of endpoints, so there a policy may refuse more, never less.
				if got && !want || got != want && len(own.GraphQLPaths) == 0 {
					rt.Fatalf("%v with %v: %s %s passes = %t, want %t\n%v", asking, own.Rules, method, path, got, want, policy)
				}
			}
		}
	})
}

// What a kept policy lets through although CheckPath refuses it is pinned
// here: nobody asks CheckPath while an answer is kept. The list may only get
// shorter. Escapes beyond ASCII are the price: they are denied in fine paths too.
func TestWhatAKeptPolicyCannotTell(t *testing.T) {
	w := newWorld(t)
	parts := w.parts()
	parts.Kept = authorizer.IdentitySource{Header: "Private-Token"}
	answer := decide(t, made(t, parts), restEvent(w.bearers["owner"], "GET", "/orders"))
	policy := answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument
	beyond := regexp.MustCompile(`%[89A-Fa-f]`)
	var passing []string
	for _, entry := range spellings(t) {
		path := entry[1]
		if !strings.HasPrefix(path, "/") {
			continue
		}
		passes := evaluate(policy, apiARN+"/prod/GET"+path)
		switch {
		case entry[0] == "fine" && passes == beyond.MatchString(path):
			t.Errorf("%q is fine, and passes = %t", path, passes)
		case entry[0] != "fine" && passes:
			passing = append(passing, fmt.Sprintf("%q", path))
		}
	}
	golden.Check(t, "paths that a kept policy lets through", strings.Join(passing, "\n")+"\n")
}

// Answers are kept in the function, and one function guards many APIs. If this
// fails, one API's policy is handed to another.
func TestOneAuthorizerForManyAPIs(t *testing.T) {
	w := newWorld(t)
	auth := w.authorizer(t, false)
	for _, api := range []string{apiARN + "/prod", apiARN + "/test", "arn:aws:execute-api:eu-central-1:123456789012:other/prod", apiARN + "/prod"} {
		for _, name := range []string{"owner", "reading", "profile", "owner"} {
			event := restEvent(w.bearers[name], "POST", "/orders")
			event["methodArn"] = api + "/POST/orders"
			answer := decide(t, auth, event)
			policy := answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument
			if got, want := evaluate(policy, api+"/POST/orders"), name == "owner"; got != want {
				t.Errorf("%s of %s: passes = %t", name, api, got)
			}
			for _, statement := range policy.Statement {
				for _, resource := range statement.Resource {
					if !strings.HasPrefix(resource, api+"/") {
						t.Errorf("%s of %s: %s", name, api, resource)
					}
				}
			}
		}
	}
}

// REST APIs hand on strings unchanged and nothing else.
func TestContextValuesAreStrings(t *testing.T) {
	w := newWorld(t)
	for _, f := range formats {
		for _, name := range []string{"owner", "impersonation", "expired", "revoked", "blocked", "profile"} {
			for _, path := range []string{"/orders", "/orders//"} {
				answer := decide(t, w.authorizer(t, f.simple), f.event(w.bearers[name], "GET", path))
				out, err := json.Marshal(answer)
				check(t, err)
				var decoded struct {
					Context        map[string]any
					IsAuthorized   *bool
					PolicyDocument *struct{ Version string }
				}
				check(t, json.Unmarshal(out, &decoded))
				if len(decoded.Context) == 0 {
					t.Errorf("%s, %s: no context in %s", f.name, name, out)
				}
				for key, value := range decoded.Context {
					if _, ok := value.(string); !ok {
						t.Errorf("%s, %s: %s is a %T", f.name, name, key, value)
					}
				}
				if (decoded.IsAuthorized != nil) != f.simple || (decoded.PolicyDocument != nil) == f.simple {
					t.Errorf("%s, %s: answer in the other form: %s", f.name, name, out)
				}
				if strings.Contains(string(out), w.bearers[name]) {
					t.Errorf("%s, %s: the answer shows the bearer", f.name, name)
				}
			}
		}
	}
}

// The stage of an HTTP API is in front of the path, unless it is $default.
func TestStages(t *testing.T) {
	w := newWorld(t)
	bearer := w.bearers["profile"]
	for _, c := range []struct {
		stage, rawPath, path string
		want                 bool
	}{
		{"$default", "/api/v4/user", "/api/v4/user", true},
		{"$default", "/orders", "/orders", false},
		{"test", "/test/api/v4/user", "/api/v4/user", true},
		{"test", "/api/v4/user", "/api/v4/user", true}, // a custom domain
		{"test", "/shop/v1/api/v4/user", "/api/v4/user", true},
		{"test", "/testing/api/v4/user", "/api/v4/user", true},
		{"test", "/test/orders/api/v4/user", "/orders/api/v4/user", false},
		{"test", "/test/api/v4/user/", "/api/v4/user/", false},
		{"test", "/test/../api/v4/user", "/api/v4/user", false},
		{"test", "/test", "/api/v4/user", false},
		{"test", "", "/api/v4/user", false},
		{"test", "/test/xapi/v4/user", "/api/v4/user", false},
		{"test", "/test", "/", false}, // read_user does not open the root
		{"prod", "/prod", "/", true},
		{"prod", "/prod/", "/", true},
		{"prod", "/", "/", true},
		{"$default", "/", "/", true},
		{"prod", "/keys", "/", true},
		{"prod", "/prod//", "/", false},
		{"prod", "prod", "/", false},
		{"prod", "", "/", true},
	} {
		bearer := bearer
		if c.stage == "prod" || c.path == "/" && c.want {
			bearer = w.bearers["owner"]
		}
		event := map[string]any{
			"version": "2.0", "type": "REQUEST", "routeArn": apiARN + "/" + c.stage + "/GET" + c.path,
			"rawPath": c.rawPath, "headers": map[string]string{"private-token": bearer},
		}
		for _, simple := range []bool{true, false} {
			answer := attempt(t, w.authorizer(t, simple), event)
			got := false
			switch answer := answer.(type) {
			case events.APIGatewayV2CustomAuthorizerSimpleResponse:
				got = answer.IsAuthorized
			case events.APIGatewayCustomAuthorizerResponse:
				got = evaluate(answer.PolicyDocument, event["routeArn"].(string))
				for _, statement := range answer.PolicyDocument.Statement {
					for _, resource := range statement.Resource {
						if !strings.HasPrefix(resource, apiARN+"/"+c.stage+"/") {
							t.Errorf("%s reaches beyond its stage: %s", c.stage, resource)
						}
					}
				}
			}
			if got != c.want {
				t.Errorf("stage %s, %s for %s, simple %t: passes = %t", c.stage, c.rawPath, c.path, simple, got)
			}
		}
	}
}

// An engine that is away, on the real store: nobody gets in, nobody is told
// that their bearer is bad, and the answer does not wait for ever.
func TestAuthorizerOnABrokenEngine(t *testing.T) {
	client := engine.New().Client()
	unreachable := dynamodb.New(client.Options(), func(o *dynamodb.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = connection(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") })
	})
	w, on := newWorld(t), storetest.NewFixture(t, client)
	w.clock.Set(storetest.Now)
	owner := on.AddAccount(t)
	bearer := on.Bearer(t, owner.ID)
	record := on.AddToken(t, owner, func(made *token.Token) { made.Digest = w.pepper.Digest(bearer) })
	for _, f := range formats {
		parts, event := w.parts(), f.event(bearer.Reveal(), "GET", "/orders")
		parts.SimpleResponses = f.simple
		for _, c := range []struct {
			name, expiresOn string
			store           verify.Store
			undecided       bool
		}{
			{"all well", record.ExpiresOn.String(), on.Store, false},
			{"engine away", record.ExpiresOn.String(), on.Through(unreachable), true},
			{"malformed record", "soon", on.Store, true},
		} {
			on.Set(t, "TOKEN#"+record.Digest.Key(), "TOKEN", "expires_on", storetest.S(c.expiresOn))
			parts.Verifier = w.verifier(c.store)
			answer, err := made(t, parts).Decide(t.Context(), raw(t, event))
			switch {
			case !c.undecided:
				check(t, err)
			case err == nil || answer != nil:
				t.Errorf("%s, %s: %v, %v", f.name, c.name, answer, err)
			case err.Error() != "could not decide":
				t.Errorf("%s, %s: the gateway is told %v", f.name, c.name, err)
			}
		}
	}
}

// A connection answers instead of the engine.
type connection func(*http.Request) (*http.Response, error)

func (c connection) Do(r *http.Request) (*http.Response, error) { return c(r) }
