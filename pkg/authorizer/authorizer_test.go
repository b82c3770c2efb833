package authorizer_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"

	"latchkey/pkg/account"
	"latchkey/pkg/authorizer"
	"latchkey/pkg/fault"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

func TestAuthorizerDecidesTheSameInEveryFormat(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, token, method, path string
		want                      bool
	}{
		{"api opens a POST", "owner", "POST", "/orders", true},
		{"api opens the root", "owner", "GET", "/", true},
		{"read_api opens a GET", "reading", "GET", "/orders/42", true},
		{"read_api opens a HEAD", "reading", "HEAD", "/orders/42", true},
		{"read_api opens no POST", "reading", "POST", "/orders", false},
		{"read_user opens its own paths", "profile", "GET", "/api/v4/user", true},
		{"read_user opens nothing else", "profile", "GET", "/orders", false},
		{"a method in lower case is another method", "reading", "get", "/orders", false},
		{"a path in another case is another path", "profile", "GET", "/API/v4/user", false},
		{"self_rotate opens its own route", "rotating", "POST", "/api/v4/personal_access_tokens/self/rotate", true},
		{"a scope without rules opens itself only", "registry", "GET", "/orders", false},
		{"expired token", "expired", "GET", "/orders", false},
		{"revoked token", "revoked", "GET", "/orders", false},
		{"blocked owner", "blocked", "GET", "/orders", false},
		{"deactivated owner", "sleeper", "GET", "/orders", false},
		{"unknown value", "", "GET", "/orders", false},
		{"empty segment", "owner", "GET", "/orders//42", false},
		{"trailing slash", "owner", "GET", "/orders/", false},
		{"dot segment", "owner", "GET", "/orders/../admin", false},
		{"path parameter", "owner", "GET", "/orders;a=b/42", false},
	} {
		for _, f := range formats {
			t.Run(test.name+"/"+f.name, func(t *testing.T) {
				bearer := w.bearers[test.token]
				if test.token == "" {
					bearer = unknown
				}
				answer := decide(t, w.authorizer(t, f.simple), f.event(bearer, test.method, test.path))
				if got := passes(t, answer, test.method, test.path); got != test.want {
					t.Errorf("passes = %t, want %t", got, test.want)
				}
			})
		}
	}
}

// Encoded paths reach the authorizer of a REST API as they were sent. If this
// fails, a rule for /users/* can be passed by spelling.
func TestAuthorizerRefusesPathsWithTwoReadings(t *testing.T) {
	w := newWorld(t)
	for _, spelling := range spellings(t) {
		verdict, path := spelling[0], spelling[1]
		if !strings.HasPrefix(path, "/") || !json.Valid(raw(t, map[string]any{"p": path})) {
			continue // not something a gateway can send
		}
		for _, f := range formats[:2] {
			answer := attempt(t, w.authorizer(t, false), f.event(w.bearers["owner"], "GET", path))
			if got, want := passes(t, answer, "GET", path), verdict == "fine"; got != want {
				t.Errorf("%s: %q passes = %t, want %t", f.name, path, got, want)
			}
			if plain := !strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || r == '?' }); (answer != nil) != plain {
				t.Errorf("%s: %q: answer %v", f.name, path, answer)
			}
			if answer != nil && !passes(t, answer, "GET", "/orders/42") {
				t.Errorf("%s: %q shuts its bearer out of /orders/42", f.name, path)
			}
		}
	}
}

// The base path of a custom domain stays in the path of an event, and the ARN does not have it. What
// is in front must have one reading, too.
func TestAuthorizerJudgesThePathOfTheARN(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		path, arnPath string
		want          bool
	}{
		{"/api/v4/user", "/api/v4/user", true},
		{"/keys/api/v4/user", "/api/v4/user", true},
		{"/keys/v1/api/v4/user", "/api/v4/user", true},
		{"/api/v4/user/orders", "/orders", false}, // the base path opens nothing
		{"/keys/api/v4/users", "/api/v4/user", false},
		{"/keys/api/v4/us%65r", "/api/v4/user", false},
		{"/keys/../api/v4/user", "/api/v4/user", false},
		{"/keys;x/api/v4/user", "/api/v4/user", false},
		{"/keys/%2e%2e/api/v4/user", "/api/v4/user", false},
		{"//api/v4/user", "/api/v4/user", false},
		{"keys/api/v4/user", "/api/v4/user", false},
		{"", "/api/v4/user", false},
	} {
		event := restEvent(w.bearers["profile"], "GET", test.arnPath)
		event["path"] = test.path
		if got := passes(t, attempt(t, w.authorizer(t, false), event), "GET", test.arnPath); got != test.want {
			t.Errorf("%s for %s: passes = %t", test.path, test.arnPath, got)
		}
	}
	for _, path := range []string{"/", "/keys", "/keys/"} {
		event := restEvent(w.bearers["owner"], "GET", "/")
		event["path"] = path
		if !passes(t, attempt(t, w.authorizer(t, false), event), "GET", "/") {
			t.Errorf("%s for the root is refused", path)
		}
	}
}

// An HTTP API decodes the path first. What is left of an escape was escaped
// twice, and a path that differs from the ARN's was read in two ways already.
func TestAuthorizerReadsDecodedPaths(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, rawPath, arnPath string
		want                   bool
	}{
		{"plain path", "/prod/orders/42", "/orders/42", true},
		{"path without the stage", "/orders/42", "/orders/42", true},
		{"space and letters beyond ASCII", "/prod/orders/a é", "/orders/a é", true},
		{"percent sign that was escaped twice", "/prod/orders/%2e%2e/x", "/orders/%2e%2e/x", false},
		{"decoded question mark", "/prod/orders/a?b", "/orders/a?b", false},
		{"decoded dot segments", "/prod/orders/../x", "/orders/../x", false},
		{"other path than the ARN's", "/prod/orders/42", "/orders/43", false},
		{"base path of a custom domain", "/shop/orders", "/orders", true},
		{"base path with two readings", "/shop//orders", "/orders", false},
		{"two slashes of which the ARN has one", "//orders", "/orders", false}, // some read a host
		{"two slashes for the root", "//", "/", false},
	} {
		for _, simple := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/simple %t", test.name, simple), func(t *testing.T) {
				event := httpEvent(w.bearers["owner"], "GET", test.arnPath)
				event["rawPath"] = test.rawPath
				answer := attempt(t, w.authorizer(t, simple), event)
				if got := passes(t, answer, "GET", test.arnPath); got != test.want {
					t.Errorf("passes = %t, want %t", got, test.want)
				}
			})
		}
	}
}

func TestAuthorizerReadsCredentials(t *testing.T) {
	w := newWorld(t)
	good, bad := w.bearers["owner"], w.bearers["revoked"]
	basic := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+password))
	}
	headers := func(pairs ...string) map[string]any {
		multi := map[string][]string{}
		for i := 0; i < len(pairs); i += 2 {
			multi[pairs[i]] = append(multi[pairs[i]], pairs[i+1])
		}
		return map[string]any{"multiValueHeaders": multi, "headers": nil}
	}
	for _, test := range []struct {
		name   string
		change map[string]any
		want   bool
	}{
		{"PRIVATE-TOKEN", headers("PRIVATE-TOKEN", good), true},
		{"header names have no case", headers("private-token", good), true},
		{"Authorization: Bearer", headers("Authorization", "Bearer "+good), true},
		{"the scheme has no case", headers("Authorization", "bEARER "+good), true},
		{"the password of Authorization: Basic", headers("Authorization", basic(good)), true},
		{"the user name of Authorization: Basic is none", headers("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(good+":x"))), false},
		{"a scheme that is not known", headers("Authorization", "Digest "+good), false},
		{"nothing", headers(), false},
		{"private_token", map[string]any{"headers": nil, "multiValueHeaders": nil, "queryStringParameters": map[string]string{"private_token": good}}, true},
		{"the parameter comes before the header", map[string]any{"multiValueQueryStringParameters": map[string][]string{"private_token": {bad}}}, false},
		{"PRIVATE-TOKEN comes before Authorization", headers("PRIVATE-TOKEN", bad, "Authorization", "Bearer "+good), false},
		{"an empty PRIVATE-TOKEN is none", headers("PRIVATE-TOKEN", "", "Authorization", "Bearer "+good), true},
		{"PRIVATE-TOKEN given twice", headers("PRIVATE-TOKEN", good, "private-token", good), false},
		{"Authorization given twice", headers("Authorization", "Bearer "+good, "authorization", "Bearer "+good), false},
		{"private_token given twice", map[string]any{"multiValueQueryStringParameters": map[string][]string{"private_token": {good, good}}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			event := restEvent(good, "GET", "/orders")
			for field, value := range test.change {
				event[field] = value
			}
			answer := decide(t, w.authorizer(t, false), event)
			if got := passes(t, answer, "GET", "/orders"); got != test.want {
				t.Errorf("passes = %t, want %t", got, test.want)
			}
		})
	}
}

func TestAuthorizerTellsTheBackendWhoCalls(t *testing.T) {
	w := newWorld(t)
	for _, f := range formats {
		for _, name := range []string{"owner", "impersonation"} {
			answer := decide(t, w.authorizer(t, f.simple), f.event(w.bearers[name], "GET", "/orders"))
			if policy, ok := answer.(events.APIGatewayCustomAuthorizerResponse); ok && policy.PrincipalID != "2" {
				t.Errorf("%s: principal is %q", f.name, policy.PrincipalID)
			}
			want := map[string]any{
				"user_id": "2", "username": "owner", "token_id": w.tokens[name].ID.String(),
				"token_kind": "personal", "scopes": "api self_rotate",
			}
			if name == "impersonation" {
				want["token_kind"], want["scopes"], want["impersonator_id"] = name, "api", "1"
			}
			if got := told(t, answer); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: context = %v, want %v", f.name, got, want)
			}
		}
	}
}

func TestAuthorizerKnowsEveryPartition(t *testing.T) {
	w := newWorld(t)
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
		event := restEvent(w.bearers["owner"], "GET", "/orders")
		event["methodArn"] = "arn:" + partition + ":execute-api:x:1:a/prod/GET/orders"
		answer := decide(t, w.authorizer(t, false), event)
		if policy := answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument; !evaluate(policy, event["methodArn"].(string)) {
			t.Errorf("%s: denied by %v", partition, policy)
		}
	}
}

// What cannot be decided must be an error: a gateway fails such a request
// closed. If it were an answer, a throttled table could let somebody in.
func TestAuthorizerFailsClosed(t *testing.T) {
	w := newWorld(t)
	good := w.bearers["owner"]
	for _, err := range []error{
		fault.ErrUnavailable, fault.ErrCorrupt, context.DeadlineExceeded, errors.New("something new"),
		fmt.Errorf("%w: %w", account.ErrInactive, fault.ErrUnavailable), fmt.Errorf("%w: %w", token.ErrUnknown, fault.ErrCorrupt),
	} {
		for _, f := range formats {
			w.store.err = err
			auth := w.authorizer(t, f.simple)
			if answer, got := auth.Decide(t.Context(), raw(t, f.event(good, "GET", "/orders"))); got == nil || answer != nil {
				t.Errorf("%s, %v: answer = %v, %v", f.name, err, answer, got)
			}
		}
	}
	for _, event := range []string{
		``, `null`, `{}`, `[]`, `"x"`, `{"type":"TOKEN"}`, `{"type":"TOKEN","methodArn":"arn:aws:s3:::bucket/prod/GET/x"}`,
		`{"type":"TOKEN","methodArn":"` + apiARN + `/prod"}`, `{"type":"OTHER","methodArn":"` + apiARN + `/prod/GET/x"}`,
		`{"type":"REQUEST","version":"2.0","methodArn":"` + apiARN + `/prod/GET/x"}`,
	} {
		if answer, err := w.authorizer(t, false).Decide(t.Context(), json.RawMessage(event)); err == nil {
			t.Errorf("%s: answer = %v, want an error", event, answer)
		}
	}
}

func TestAuthorizerSaysLittleAboutARefusal(t *testing.T) {
	w := newWorld(t)
	good := w.bearers["owner"]
	refusal := func(bearer string) map[string]any {
		return told(t, decide(t, w.authorizer(t, false), restEvent(bearer, "GET", "/orders")))
	}
	want := refusal(unknown)
	for name, bearer := range map[string]string{
		"wrong checksum": good[:len(good)-1] + "!", "too short": "x", "missing": "", "expired": w.bearers["expired"], "revoked": w.bearers["revoked"],
	} {
		if got := refusal(bearer); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: context = %v, want %v as for an unknown one", name, got, want)
		}
	}
	if got := refusal(w.bearers["blocked"])["error"]; got != "account_inactive" {
		t.Errorf("blocked owner: error = %v", got)
	}
}

// routes is a corpus of requests: every rule's path and neighbours of it.
func routes() (all [][2]string) {
	paths := []string{
		"/", "/orders", "/orders/42", "/api/v4/user", "/api/v4/users", "/api/v4/users/58", "/api/v4/userss", "/api/v4/version",
		"/api/v4/personal_access_tokens/self", "/api/v4/personal_access_tokens/self/rotate", "/api/v4/personal_access_tokens/58/rotate",
		"/api/v4/projects/9/access_tokens/self/rotate", "/api/v4/projects/9/repository/files/a", "/API/v4/user",
		"/api/graphql", "/api/graphql.json", "/api/graphqls",
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
			all = append(all, [2]string{method, path})
		}
	}
	return all
}

// A gateway keeps a policy and applies it to other routes without asking
// again. If this fails, a cached answer lets somebody do what their scopes do
// not open, or keeps them from what they do open.
func TestPoliciesStayRightForEveryRoute(t *testing.T) {
	catalog := scope.GitLab()
	auth, bearerOf := withScopes(t, catalog)
	rapid.Check(t, func(rt *rapid.T) {
		var set scope.Set
		for _, definition := range catalog.Scopes {
			if rapid.Bool().Draw(rt, string(definition.Name)) {
				set = append(set, definition.Name)
			}
		}
		asked := rapid.SampledFrom(routes()).Draw(rt, "asked")
		answer := decide(t, auth, restEvent(bearerOf(set), asked[0], asked[1]))
		policy := answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument
		for _, route := range routes() {
			got := evaluate(policy, apiARN+"/prod/"+route[0]+route[1])
			if want := catalog.Allows(set, scope.Everywhere(), route[0], route[1]); got != want {
				rt.Fatalf("%v asked for %v: %v passes = %t, want %t", set, asked, route, got, want)
			}
			if evaluate(policy, apiARN+"/other/"+route[0]+route[1]) {
				rt.Fatalf("%v: passes on another stage", set)
			}
		}
	})
}

// withScopes returns an authorizer whose one token has the scopes that its
// bearer was asked for.
func withScopes(tb testing.TB, catalog *scope.Catalog) (*authorizer.Authorizer, func(scope.Set) string) {
	tb.Helper()
	w := newWorld(tb)
	w.catalog = catalog
	return w.authorizer(tb, false), func(set scope.Set) string {
		w.tokens["owner"].Scopes = set
		return w.bearers["owner"]
	}
}

// A kept policy cannot look at the spelling of a path, so it denies those that
// are read in two ways.
func TestKeptPoliciesDenyAmbiguousPaths(t *testing.T) {
	auth, bearerOf := withScopes(t, scope.GitLab())
	answer := decide(t, auth, restEvent(bearerOf(scope.Set{scope.API}), "GET", "/orders"))
	policy := answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument
	for _, path := range []string{
		"//", "//orders", "/orders//42", "/orders/", "/orders/./42", "/orders/../admin", "/orders/.", "/orders/..", "/..",
		"/orders%2f42", "/orders%2F42", "/orders/%2e%2e/admin", "/orders/%2E", "/orders%5c42", "/orders%5C42", `/orders\42`,
		"/orders/%252e", "/orders;a=b/42", "/orders%3b", "/orders%3F", "/orders%23", "/orders%00",
	} {
		if evaluate(policy, apiARN+"/prod/GET"+path) {
			t.Errorf("%s passes", path)
		}
	}
	for _, path := range []string{"/", "/orders", "/orders/a.b", "/.well-known/x", "/orders/%20"} {
		if !evaluate(policy, apiARN+"/prod/GET"+path) {
			t.Errorf("%s does not pass", path)
		}
	}
}

func TestLoosePathsAreLeftToTheAuthorizer(t *testing.T) {
	catalog := *scope.GitLab()
	catalog.LoosePaths = []string{"/projects/*"}
	auth, bearerOf := withScopes(t, &catalog)
	bearer := bearerOf(scope.Set{scope.API})
	for path, want := range map[string]bool{
		"/projects/acme%2Fweb": true, "/projects/9/": true, "/orders/": false, "/orders/acme%2Fweb": false,
		"/projects/%2e%2e/orders": false, "/projects/../orders": false,
	} {
		answer := decide(t, auth, restEvent(bearer, "GET", path))
		if got := passes(t, answer, "GET", path); got != want {
			t.Errorf("%s passes = %t, want %t", path, got, want)
		}
	}
}

// API Gateway refuses an authorizer's answer that is too long.
func TestPoliciesFit(t *testing.T) {
	catalog := scope.GitLab()
	var all scope.Set
	for _, definition := range catalog.Scopes {
		all = append(all, definition.Name)
	}
	auth, bearerOf := withScopes(t, catalog)
	answer := decide(t, auth, restEvent(bearerOf(all), "GET", "/orders"))
	out, err := json.Marshal(answer)
	check(t, err)
	const limit = 8 << 10
	if len(out) > limit {
		t.Errorf("answer has %d bytes, more than %d", len(out), limit)
	}
}

// FuzzAuthorizerEvent holds that nothing but the one good bearer, in a place
// where bearers are read, ever passes.
func FuzzAuthorizerEvent(f *testing.F) {
	w := newWorld(f)
	good := maps.Clone(w.bearers)
	for _, name := range []string{"expired", "revoked", "blocked", "sleeper"} {
		delete(good, name)
	}
	for _, format := range formats {
		for _, path := range []string{"/orders", "/orders/%2e%2e/x", "//", "/orders;a/b?c"} {
			for _, name := range []string{"owner", "profile", "expired", "revoked", "blocked"} {
				f.Add([]byte(raw(f, format.event(w.bearers[name], "GET", path))))
			}
			f.Add([]byte(raw(f, format.event(unknown, "GET", path))))
		}
	}
	event := restEvent("", "GET", "/orders")
	event["headers"], event["multiValueHeaders"] = nil, nil
	event["rawQueryString"] = "a=%zz&private_token=" + url.QueryEscape(w.bearers["owner"])
	f.Add([]byte(raw(f, event)))
	event["rawQueryString"] = nil
	event["headers"] = map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+w.bearers["owner"]))}
	f.Add([]byte(raw(f, event)))
	f.Add([]byte(`{"type":"TOKEN","methodArn":"*"}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		for _, simple := range []bool{false, true} {
			answer, err := w.authorizer(t, simple).Decide(t.Context(), event)
			if err != nil {
				if answer != nil {
					t.Errorf("answer %v beside an error", answer)
				}
				continue
			}
			allows := false
			switch answer := answer.(type) {
			case events.APIGatewayCustomAuthorizerResponse:
				allows = slices.ContainsFunc(answer.PolicyDocument.Statement, func(s events.IAMPolicyStatement) bool { return s.Effect == "Allow" })
			case events.APIGatewayV2CustomAuthorizerSimpleResponse:
				allows = answer.IsAuthorized
			default:
				t.Errorf("answer is a %T", answer)
			}
			if allows && !holdsAny(event, good) {
				t.Errorf("allowed without a bearer that is good: %s", event)
			}
			out, err := json.Marshal(answer)
			check(t, err)
			var asked authorizer.Event
			check(t, json.Unmarshal(event, &asked))
			for _, bearer := range w.bearers { // a policy repeats the ARN, and nothing else of an event
				if strings.Contains(string(out), bearer) && !strings.Contains(asked.MethodARN+asked.RouteARN, bearer) {
					t.Errorf("the answer to %s shows a bearer", event)
				}
			}
		}
	})
}

// holdsAny reports whether an event shows a bearer: in a string of it, in its
// percent escapes, or in base64.
func holdsAny(event []byte, bearers map[string]string) bool {
	var value any
	if json.Unmarshal(event, &value) != nil {
		return false
	}
	var texts []string
	var collect func(value any)
	collect = func(value any) {
		switch value := value.(type) {
		case string:
			texts = append(texts, value)
			if decoded, err := url.QueryUnescape(value); err == nil {
				texts = append(texts, decoded)
			}
			for pair := range strings.SplitSeq(value, "&") { // a query of which one part cannot be read
				if decoded, err := url.QueryUnescape(pair); err == nil {
					texts = append(texts, decoded)
				}
			}
			words := strings.Fields(value)
			if decoded, err := base64.StdEncoding.DecodeString(strings.Join(words[min(1, len(words)):], " ")); err == nil {
				texts = append(texts, string(decoded))
			}
		case []any:
			for _, element := range value {
				collect(element)
			}
		case map[string]any:
			for _, element := range value {
				collect(element)
			}
		}
	}
	collect(value)
	for _, bearer := range bearers {
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, bearer) }) {
			return true
		}
	}
	return false
}
