package cloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"latchkey/pkg/clock"
)

type handler = lambda.Handler

func testAPI(functions map[string]handler, routes ...Route) API {
	return API{
		ID: "api1", Stage: "prod", Routes: routes, Functions: functions,
		Clock: clock.NewFake(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
}

func mustGateway(t *testing.T, api API) http.Handler {
	t.Helper()
	g, err := NewGateway(api)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestEvent(t *testing.T) {
	var event map[string]any
	g := mustGateway(t, testAPI(map[string]handler{"f": recording("f", &event)},
		Route{"POST", "/api/v4/projects/{id}/access_tokens", "f"}, Route{"ANY", "/{proxy+}", "f"}))
	send(t, g, "POST", "/api/v4/projects/acme%2Fweb/access_tokens?a=1&a=2&name%5B%5D=x%20y&flag", "{}", http.Header{
		"Private-Token": {"first", "second"}, "Content-Type": {"application/json"}, "User-Agent": {"test"},
	})
	t.Run("the whole shape", func(t *testing.T) {
		context := event["requestContext"].(map[string]any)
		for _, generated := range []string{"requestId", "extendedRequestId"} {
			if context[generated] == "" {
				t.Errorf("no %s", generated)
			}
			delete(context, generated)
		}
		for _, headers := range []string{"headers", "multiValueHeaders"} {
			delete(event[headers].(map[string]any), "X-Amzn-Trace-Id")
		}
		want := map[string]any{
			"resource":   "/api/v4/projects/{id}/access_tokens",
			"path":       "/api/v4/projects/acme%2Fweb/access_tokens",
			"httpMethod": "POST",
			"headers": map[string]any{
				"Private-Token": "second", "Content-Type": "application/json", "User-Agent": "test", "Host": "api.test",
				"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "80", "X-Forwarded-Proto": "http",
			},
			"multiValueHeaders": map[string]any{
				"Private-Token": []any{"first", "second"}, "Content-Type": []any{"application/json"}, "User-Agent": []any{"test"}, "Host": []any{"api.test"},
				"X-Forwarded-For": []any{"192.0.2.1"}, "X-Forwarded-Port": []any{"80"}, "X-Forwarded-Proto": []any{"http"},
			},
			"queryStringParameters":           map[string]any{"a": "2", "name[]": "x y", "flag": ""},
			"multiValueQueryStringParameters": map[string]any{"a": []any{"1", "2"}, "name[]": []any{"x y"}, "flag": []any{""}},
			"pathParameters":                  map[string]any{"id": "acme%2Fweb"},
			"stageVariables":                  nil,
			"body":                            "{}",
			"isBase64Encoded":                 false,
			"requestContext": map[string]any{
				"resourceId": "000000", "resourcePath": "/api/v4/projects/{id}/access_tokens", "httpMethod": "POST",
				"requestTime": "02/Jan/2030:03:04:05 +0000", "requestTimeEpoch": float64(1893553445000),
				"path": "/prod/api/v4/projects/acme%2Fweb/access_tokens", "accountId": accountID, "protocol": "HTTP/1.1", "stage": "prod",
				"domainPrefix": "api", "domainName": "api.test", "apiId": "api1",
				"identity": map[string]any{
					"sourceIp": "192.0.2.1", "userAgent": "test", "cognitoIdentityPoolId": nil, "accountId": nil, "cognitoIdentityId": nil, "caller": nil,
					"principalOrgId": nil, "accessKey": nil, "cognitoAuthenticationType": nil, "cognitoAuthenticationProvider": nil, "userArn": nil, "user": nil,
				},
			},
		}
		if diff := cmp.Diff(want, event); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	})
	t.Run("what is absent is null", func(t *testing.T) {
		send(t, g, "GET", "/some//odd/%2E%2e/path/", "", nil)
		for _, field := range []string{"queryStringParameters", "multiValueQueryStringParameters", "body", "stageVariables"} {
			if v, ok := event[field]; !ok || v != nil {
				t.Errorf("%s = %v", field, v)
			}
		}
		if got := event["pathParameters"].(map[string]any)["proxy"]; got != "some//odd/%2E%2e/path/" {
			t.Errorf("proxy = %v", got)
		}
		if got := event["path"]; got != "/some//odd/%2E%2e/path/" {
			t.Errorf("path = %v", got)
		}
	})
	t.Run("a DELETE keeps its body", func(t *testing.T) {
		send(t, g, "DELETE", "/x", `{"token":"t"}`, nil)
		if event["body"] != `{"token":"t"}` {
			t.Errorf("body = %v", event["body"])
		}
	})
	t.Run("only binary media types travel as base64", func(t *testing.T) {
		api := testAPI(map[string]handler{"f": recording("f", &event)}, Route{"ANY", "/{proxy+}", "f"})
		api.BinaryMediaTypes = []string{"image/png"}
		send(t, mustGateway(t, api), "POST", "/x", "\x00\xff", http.Header{"Content-Type": {"image/png"}})
		if event["body"] != base64.StdEncoding.EncodeToString([]byte("\x00\xff")) || event["isBase64Encoded"] != true {
			t.Errorf("body = %v, %v", event["body"], event["isBase64Encoded"])
		}
	})
}

func TestRouting(t *testing.T) {
	var event map[string]any
	functions := map[string]handler{}
	var routes []Route
	for name, route := range map[string]string{
		"literal": "GET /a/b", "literal-any": "ANY /a/b", "parameter": "GET /a/{x}", "greedy": "ANY /a/{rest+}", "deep": "GET /a/{x}/c", "root": "ANY /",
	} {
		functions[name] = recording(name, &event)
		method, path, _ := strings.Cut(route, " ")
		routes = append(routes, Route{method, path, name})
	}
	g := mustGateway(t, testAPI(functions, routes...))
	for request, want := range map[string]string{
		"GET /a/b":       "literal",
		"GET //a/b":      "literal",
		"GET /a/b/":      "literal",
		"PUT /a/b":       "literal-any",
		"GET /a/z":       "parameter",
		"GET /a/b%2Fc":   "parameter",
		"GET /a/%62":     "parameter",
		"GET /a/z/c":     "deep",
		"GET /a/z//c":    "greedy",
		"GET /a/b/c/d":   "greedy",
		"GET /a//b":      "greedy",
		"GET /":          "root",
		"POST /a/z":      "",
		"GET /a":         "",
		"GET /elsewhere": "",
		"GET /A/b":       "",
	} {
		t.Run(request, func(t *testing.T) {
			method, path, _ := strings.Cut(request, " ")
			got := send(t, g, method, path, "", nil)
			if want == "" {
				if got.status != 403 || got.body != `{"message":"Missing Authentication Token"}` {
					t.Errorf("%d %s, want the gateway's 403", got.status, got.body)
				}
			} else if got.body != want {
				t.Errorf("%d %s, want %s", got.status, got.body, want)
			}
		})
	}
	t.Run("a route without handler is an error", func(t *testing.T) {
		if _, err := NewGateway(testAPI(nil, Route{"GET", "/", "absent"})); err == nil {
			t.Error("no error")
		}
	})
}

func TestReplies(t *testing.T) {
	for name, test := range map[string]struct {
		reply  string
		status int
		body   string
		header map[string]string
	}{
		"headers of both kinds":     {`{"statusCode":201,"headers":{"X-One":"a","X-N":7},"multiValueHeaders":{"x-many":["b","c"]},"body":"ok"}`, 201, "ok", map[string]string{"X-One": "a", "X-N": "7", "X-Many": "b,c"}},
		"many values win":           {`{"statusCode":200,"headers":{"X-A":"1"},"multiValueHeaders":{"X-A":["2"]}}`, 200, "", map[string]string{"X-A": "2"}},
		"status as text":            {`{"statusCode":"204"}`, 204, "", nil},
		"kept headers are renamed":  {`{"statusCode":401,"headers":{"WWW-Authenticate":"Bearer","Date":"x"}}`, 401, "", map[string]string{"Www-Authenticate": "", "X-Amzn-Remapped-Www-Authenticate": "Bearer"}},
		"base64 without media type": {`{"statusCode":200,"body":"AAE=","isBase64Encoded":true}`, 200, "AAE=", nil},
		"no status":                 {`{"body":"x"}`, 502, `{"message":"Internal server error"}`, nil},
		"not JSON":                  {`oops`, 502, `{"message":"Internal server error"}`, nil},
		"body not text":             {`{"statusCode":200,"body":{"a":1}}`, 502, `{"message":"Internal server error"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := mustGateway(t, testAPI(map[string]handler{"f": answering(test.reply)}, Route{"ANY", "/{proxy+}", "f"}))
			got := send(t, g, "GET", "/x", "", nil)
			if got.status != test.status || got.body != test.body {
				t.Errorf("%d %q, want %d %q", got.status, got.body, test.status, test.body)
			}
			for name, want := range test.header {
				if value := strings.Join(got.header[name], ","); value != want {
					t.Errorf("%s = %q, want %q", name, value, want)
				}
			}
		})
	}
}

func TestGatewayResponses(t *testing.T) {
	shapes := productTemplate(t).Responses
	functions := map[string]handler{
		"fails":  handlerFunc(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("secret reason") }),
		"panics": handlerFunc(func(context.Context, []byte) ([]byte, error) { panic("secret reason") }),
		"fine":   answering(`{"statusCode":200}`),
	}
	routes := []Route{{"ANY", "/fails", "fails"}, {"ANY", "/panics", "panics"}, {"ANY", "/fine", "fine"}}
	for name, test := range map[string]struct {
		path       string
		body       string
		header     http.Header
		ownStatus  int
		own        string
		shapedCode int
		shaped     string
	}{
		"no such route":      {"/none", "", nil, 403, `{"message":"Missing Authentication Token"}`, 404, `{"error":"404 Not Found"}`},
		"body above 10 MB":   {"/fine", strings.Repeat("x", bodyLimit+1), nil, 413, `{"message":"Request Entity Too Large"}`, 413, `{"message":"413 Request Entity Too Large"}`},
		"event above 6 MB":   {"/fine", strings.Repeat("x", payloadLimit), nil, 413, `{"message":"Request Entity Too Large"}`, 413, `{"message":"413 Request Entity Too Large"}`},
		"headers too long":   {"/fine", "", http.Header{"X-Long": {strings.Repeat("x", headerLimit)}}, 431, `{"message":"Request Header Fields Too Large"}`, 431, `{"message":"Request Header Fields Too Large"}`},
		"function fails":     {"/fails", "", nil, 502, `{"message":"Internal server error"}`, 500, `{"message":"500 Internal Server Error"}`},
		"function panics":    {"/panics", "", nil, 502, `{"message":"Internal server error"}`, 500, `{"message":"500 Internal Server Error"}`},
		"large body is fine": {"/fine", strings.Repeat("x", 1<<20), nil, 200, "", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			api := testAPI(functions, routes...)
			if got := send(t, mustGateway(t, api), "POST", test.path, test.body, test.header); got.status != test.ownStatus || got.body != test.own {
				t.Errorf("API Gateway's own: %d %s", got.status, got.body)
			}
			api.Responses = shapes
			got := send(t, mustGateway(t, api), "POST", test.path, test.body, test.header)
			if got.status != test.shapedCode || got.body != test.shaped {
				t.Errorf("the template's: %d %s", got.status, got.body)
			}
			if got.status != 200 && (got.header.Get("X-Request-Id") == "" || got.header.Get("Content-Type") != "application/json") {
				t.Errorf("headers = %v", got.header)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	slow := handlerFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
		select {
		case <-time.After(time.Minute):
			return []byte(`{"statusCode":200}`), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	api := testAPI(map[string]handler{"slow": slow}, Route{"ANY", "/", "slow"})
	api.Responses = maps.Clone(productTemplate(t).Responses)
	t.Run("the gateway gives up after 29 seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			got := send(t, mustGateway(t, api), "POST", "/", "", nil)
			if took := time.Since(start); took != integrationTimeout {
				t.Errorf("took %s", took)
			}
			if got.status != 503 || got.body != `{"message":"503 Service Unavailable"}` || got.header.Get("Retry-After") != "1" {
				t.Errorf("%d %s %v", got.status, got.body, got.header)
			}
			time.Sleep(time.Minute) // sleep: bubble time, the function runs on and must end before the bubble
		})
	})
	t.Run("a function ends at its own timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			short := api
			short.Timeouts = map[string]time.Duration{"slow": 5 * time.Second}
			start := time.Now()
			got := send(t, mustGateway(t, short), "POST", "/", "", nil)
			if took := time.Since(start); took != 5*time.Second || got.status != 500 {
				t.Errorf("%d after %s", got.status, took)
			}
		})
	})
}

// A custom domain with a base path: events keep it, and routes and policies do not have it.
func TestBasePath(t *testing.T) {
	var event, asked map[string]any
	api := testAPI(map[string]handler{"f": recording("f", &event)}, Route{"ANY", "/x/{id}", "f"}, Route{"ANY", "/", "f"})
	api.BasePath = "/keys"
	api.Authorizer = &Authorizer{Kind: RequestAuthorizer, Handler: handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		asked = nil
		return []byte(policy(statement("Allow", anyMethod))), json.Unmarshal(payload, &asked)
	})}
	g := mustGateway(t, api)
	for _, test := range []struct {
		target string
		status int
		arn    string
	}{
		{"/keys/x/a%2Fb", 200, "GET/x/a%2Fb"},
		{"/keys", 200, "GET/"},
		{"/keys/", 200, "GET/"},
		{"/x/1", 403, ""},
		{"/keysx/x/1", 403, ""},
		{"/", 403, ""},
	} {
		got := send(t, g, "GET", test.target, "", nil)
		if got.status != test.status {
			t.Errorf("%s: %d %s", test.target, got.status, got.body)
		}
		if test.status != 200 {
			continue
		}
		shown := event["requestContext"].(map[string]any)["path"]
		if event["path"] != test.target || shown != test.target || asked["path"] != test.target || !strings.HasSuffix(asked["methodArn"].(string), "/prod/"+test.arn) {
			t.Errorf("%s: event has %v and %v, authorizer %v and %v", test.target, event["path"], shown, asked["path"], asked["methodArn"])
		}
	}
}
