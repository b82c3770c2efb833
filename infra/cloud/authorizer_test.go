package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/clock"
)

const anyMethod = "arn:aws:execute-api:*:*:api1/prod/*"

// policy is an authorizer's answer in which `in` may be the statements' JSON.
func policy(statements string) string {
	return `{"principalId":"7","policyDocument":{"Version":"2012-10-17","Statement":[` + statements + `]},"context":{"user_id":"7","admin":true,"n":3}}`
}

func statement(effect, resource string) string {
	return `{"Effect":"` + effect + `","Action":"execute-api:Invoke","Resource":"` + resource + `"}`
}

// from denies everything at an instant, in the way of an operator.
func from(instant, operator string) string {
	return strings.TrimSuffix(statement("Deny", "*"), "}") + `,"Condition":{"` + operator + `":{"aws:CurrentTime":"` + instant + `"}}}`
}

func TestAuthorizerDecisions(t *testing.T) {
	denied, deniedExplicitly := `{"Message":"User is not authorized to access this resource"}`, `{"Message":"User is not authorized to access this resource with an explicit deny"}`
	failed := `{"message":"Internal server error"}`
	fail := func(message string) handler {
		return handlerFunc(func(context.Context, []byte) ([]byte, error) { return nil, errors.New(message) })
	}
	for name, test := range map[string]struct {
		authorizer handler
		status     int
		body       string
	}{
		"allow":                            {answering(policy(statement("Allow", anyMethod))), 200, "backend"},
		"allow for this path":              {answering(policy(statement("Allow", "arn:aws:execute-api:eu-central-1:000000000000:api1/prod/GET/x/a%2Fb"))), 200, "backend"},
		"allow with one character open":    {answering(policy(statement("Allow", "arn:aws:execute-api:*:*:api1/prod/GE?/x/*"))), 200, "backend"},
		"list of resources and actions":    {answering(policy(`{"Effect":"Allow","Action":["execute-api:*"],"Resource":["nothing","` + anyMethod + `"]}`)), 200, "backend"},
		"allow for another method":         {answering(policy(statement("Allow", "arn:aws:execute-api:*:*:api1/prod/POST/*"))), 403, denied},
		"allow for the decoded spelling":   {answering(policy(statement("Allow", "arn:aws:execute-api:*:*:api1/prod/GET/x/a/b"))), 403, denied},
		"another action":                   {answering(policy(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)), 403, denied},
		"deny beats allow":                 {answering(policy(statement("Allow", anyMethod) + "," + statement("Deny", anyMethod))), 403, deniedExplicitly},
		"deny from an instant in the past": {answering(policy(statement("Allow", anyMethod) + "," + from("2000-01-01T00:00:00Z", "DateGreaterThanEquals"))), 403, deniedExplicitly},
		"deny from an instant to come":     {answering(policy(statement("Allow", anyMethod) + "," + from("9999-01-01T00:00:00Z", "DateGreaterThanEquals"))), 200, "backend"},
		"another condition":                {answering(policy(statement("Allow", anyMethod) + "," + from("9999-01-01T00:00:00Z", "DateLessThan"))), 500, failed},
		"the error Unauthorized":           {fail("Unauthorized"), 401, `{"message":"Unauthorized"}`},
		"any other error":                  {fail("unauthorized"), 500, failed},
		"panic":                            {handlerFunc(func(context.Context, []byte) ([]byte, error) { panic("x") }), 500, failed},
		"not a policy":                     {answering(`{"isAuthorized":true}`), 500, failed},
		"no principal":                     {answering(strings.Replace(policy(statement("Allow", anyMethod)), `"7"`, `""`, 1)), 500, failed},
		"nested context":                   {answering(strings.Replace(policy(statement("Allow", anyMethod)), `"n":3`, `"n":[3]`, 1)), 500, failed},
		"no JSON":                          {answering("x"), 500, failed},
	} {
		t.Run(name, func(t *testing.T) {
			api := testAPI(map[string]handler{"f": answering(`{"statusCode":200,"body":"backend"}`)}, Route{"ANY", "/{proxy+}", "f"})
			api.Authorizer = &Authorizer{Kind: RequestAuthorizer, Handler: test.authorizer}
			got := send(t, mustGateway(t, api), "GET", "/x/a%2Fb", "", nil)
			if got.status != test.status || got.body != test.body {
				t.Errorf("%d %s, want %d %s", got.status, got.body, test.status, test.body)
			}
		})
	}
}

func TestAuthorizerEvents(t *testing.T) {
	var seen, backend map[string]any
	spy := handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		seen = nil
		return []byte(policy(statement("Allow", anyMethod))), json.Unmarshal(payload, &seen)
	})
	api := testAPI(map[string]handler{"f": recording("f", &backend)}, Route{"ANY", "/{proxy+}", "f"})
	const arn = "arn:aws:execute-api:eu-central-1:000000000000:api1/prod/POST/x/a%2Fb"

	t.Run("REQUEST has everything but the body", func(t *testing.T) {
		api.Authorizer = &Authorizer{Kind: RequestAuthorizer, Handler: spy}
		send(t, mustGateway(t, api), "POST", "/x/a%2Fb?q=1", "body", http.Header{"Private-Token": {"bearer"}})
		for field, want := range map[string]any{"type": "REQUEST", "methodArn": arn, "path": "/x/a%2Fb", "resource": "/{proxy+}", "httpMethod": "POST"} {
			if seen[field] != want {
				t.Errorf("%s = %v, want %v", field, seen[field], want)
			}
		}
		if seen["headers"].(map[string]any)["Private-Token"] != "bearer" || seen["queryStringParameters"].(map[string]any)["q"] != "1" {
			t.Errorf("event = %v", seen)
		}
		if _, ok := seen["body"]; ok {
			t.Error("the authorizer saw the body")
		}
	})
	t.Run("TOKEN has the one header", func(t *testing.T) {
		api.Authorizer = &Authorizer{Kind: TokenAuthorizer, Handler: spy, Headers: []string{"Authorization"}}
		g := mustGateway(t, api)
		send(t, g, "POST", "/x/a%2Fb", "", http.Header{"Authorization": {"Bearer b"}})
		if len(seen) != 3 || seen["type"] != "TOKEN" || seen["authorizationToken"] != "Bearer b" || seen["methodArn"] != arn {
			t.Errorf("event = %v", seen)
		}
		if got := send(t, g, "POST", "/x", "", nil); got.status != 401 {
			t.Errorf("without the header: %d", got.status)
		}
	})
	t.Run("the backend gets the context as text", func(t *testing.T) {
		got := backend["requestContext"].(map[string]any)["authorizer"].(map[string]any)
		for key, want := range map[string]any{"principalId": "7", "user_id": "7", "admin": "true", "n": "3"} {
			if got[key] != want {
				t.Errorf("%s = %#v, want %#v", key, got[key], want)
			}
		}
	})
	t.Run("a denial can show the context", func(t *testing.T) {
		api.Authorizer = &Authorizer{Kind: RequestAuthorizer, Handler: answering(policy(statement("Deny", "*")))}
		api.Responses = map[string]GatewayResponse{"ACCESS_DENIED": {Templates: map[string]string{"application/json": `{"user":"$context.authorizer.user_id"}`}}}
		if got := send(t, mustGateway(t, api), "GET", "/x", "", nil); got.status != 403 || got.body != `{"user":"7"}` {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// The cache time is how long a revoked token can still pass, so both its ends matter.
func TestAuthorizerCache(t *testing.T) {
	asked := 0
	counting := handlerFunc(func(context.Context, []byte) ([]byte, error) {
		asked++
		return []byte(policy(statement("Allow", "arn:aws:execute-api:*:*:api1/prod/GET/*"))), nil
	})
	fake := clock.NewFake(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	api := testAPI(map[string]handler{"f": answering(`{"statusCode":200}`)}, Route{"ANY", "/{proxy+}", "f"})
	api.Clock = fake
	api.Authorizer = &Authorizer{Kind: RequestAuthorizer, Handler: counting, Headers: []string{"Authorization"}, CacheTime: 300 * time.Second}
	g := mustGateway(t, api)
	var askedAfter []int
	for _, step := range []struct {
		method, bearer string
		wait           time.Duration
		status         int
	}{
		{"GET", "a", 0, 200},
		{"GET", "a", 299 * time.Second, 200},
		{"POST", "a", 0, 403}, // the cached policy is evaluated for the new method
		{"GET", "b", 0, 200},
		{"GET", "a", time.Second, 200},
	} {
		fake.Advance(step.wait)
		if got := send(t, g, step.method, "/x", "", http.Header{"Authorization": {step.bearer}}); got.status != step.status {
			t.Errorf("%s %s: %d, want %d", step.method, step.bearer, got.status, step.status)
		}
		askedAfter = append(askedAfter, asked)
	}
	if want := []int{1, 1, 1, 2, 3}; !slices.Equal(askedAfter, want) {
		t.Errorf("asked %v times, want %v", askedAfter, want)
	}
	t.Run("without a cache time each request asks", func(t *testing.T) {
		api.Authorizer = &Authorizer{Kind: RequestAuthorizer, Handler: counting}
		g, before := mustGateway(t, api), asked
		for range 3 {
			send(t, g, "GET", "/x", "", nil)
		}
		if asked-before != 3 {
			t.Errorf("asked %d times", asked-before)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "a/b", true}, {"a*", "a", true}, {"a*c", "a/b/c", true}, {"a*c", "a/b/d", false}, {"a?c", "abc", true},
		{"a?c", "ac", false}, {"", "a", false}, {"a", "", false}, {"**", "x", true}, {"*a*b", "xxaxxab", true}, {"a[b", "a[b", true},
	} {
		if got := glob(test.pattern, test.s); got != test.want {
			t.Errorf("glob(%q, %q) = %v", test.pattern, test.s, got)
		}
	}
}

// The event of an HTTP API: the path is decoded, and behind the stage unless that is $default.
func TestHTTPAuthorizerEvents(t *testing.T) {
	var seen map[string]any
	spy := handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		seen = nil
		return []byte(`{"isAuthorized":true,"context":{"user_id":"7"}}`), json.Unmarshal(payload, &seen)
	})
	for _, test := range []struct{ stage, base, target, rawPath, arn string }{
		{"prod", "", "/x/a%2Fb%20c", "/prod/x/a/b c", "prod/GET/x/a/b c"},
		{"prod", "", "/", "/prod/", "prod/GET/"},
		{"$default", "", "/x", "/x", "$default/GET/x"},
		{"prod", "/keys", "/keys/x", "/keys/x", "prod/GET/x"},
	} {
		api := testAPI(map[string]handler{"f": answering(`{"statusCode":200,"body":"backend"}`)}, Route{"ANY", "/{proxy+}", "f"}, Route{"ANY", "/", "f"})
		api.Stage, api.BasePath = test.stage, test.base
		api.Authorizer = &Authorizer{Kind: HTTPAuthorizer, Simple: true, Handler: spy, Headers: []string{"Authorization"}}
		got := send(t, mustGateway(t, api), "GET", test.target, "", http.Header{"Authorization": {"Bearer b"}})
		if got.status != 200 || seen["rawPath"] != test.rawPath || seen["routeArn"] != "arn:aws:execute-api:eu-central-1:000000000000:api1/"+test.arn {
			t.Errorf("%+v: %d, event %v", test, got.status, seen)
		}
		if seen["version"] != "2.0" || seen["type"] != "REQUEST" || seen["headers"].(map[string]any)["authorization"] != "Bearer b" || seen["identitySource"].([]any)[0] != "Bearer b" {
			t.Errorf("event %v", seen)
		}
	}
}

// A simple response is the answer to one request, and a gateway that keeps it applies it to others.
func TestHTTPAuthorizerKeepsByItsIdentitySource(t *testing.T) {
	reading := handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		return encode(map[string]any{"isAuthorized": strings.Contains(string(payload), `prod/GET/`)}), nil
	})
	for _, test := range []struct {
		context []string
		kept    bool
	}{{nil, true}, {[]string{"routeKey"}, true}, {[]string{"httpMethod", "path"}, false}} {
		api := testAPI(map[string]handler{"f": answering(`{"statusCode":200}`)}, Route{"ANY", "/{proxy+}", "f"})
		api.Authorizer = &Authorizer{
			Kind: HTTPAuthorizer, Simple: true, Handler: reading, Headers: []string{"Authorization"}, Context: test.context, CacheTime: time.Minute,
		}
		g := mustGateway(t, api)
		header := http.Header{"Authorization": {"b"}}
		if got := send(t, g, "GET", "/x", "", header); got.status != 200 {
			t.Errorf("by %v: %d", test.context, got.status)
		}
		got := send(t, g, "DELETE", "/y", "", header)
		if (got.status == 200) != test.kept || !test.kept && got.body != `{"message":"Forbidden"}` {
			t.Errorf("by %v: DELETE is answered %d %s", test.context, got.status, got.body)
		}
	}
}
