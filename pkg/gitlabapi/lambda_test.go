package gitlabapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// What cannot become a request is refused in the same form as everything else,
// and the library below does not print it.
func TestEventsThatAreNoRequest(t *testing.T) {
	w := newWorld(t)
	var printed bytes.Buffer
	log.SetOutput(&printed)
	defer log.SetOutput(os.Stderr)
	before := w.snapshot(t)
	for _, c := range []struct {
		name   string
		change map[string]any
		want   string
	}{
		{"broken escape in the path", map[string]any{"path": "/api/v4/%zz"}, "path is invalid"},
		{"half an escape in the path", map[string]any{"path": "/api/v4/x%2"}, "path is invalid"},
		{"query in the path", map[string]any{"path": "/api/v4/users?private_token=canary-canary"}, "path is invalid"},
		{"fragment in the path", map[string]any{"path": "/api/v4/users#x"}, "path is invalid"},
		{"empty path", map[string]any{"path": ""}, "path is invalid"},
		{"no path", map[string]any{"path": nil}, "path is invalid"},
		{"relative path", map[string]any{"path": "api/v4/users"}, "path is invalid"},
		{"address as path", map[string]any{"path": "https://canary-canary.example/api/v4/users"}, "path is invalid"},
		{"control character in the path", map[string]any{"path": "/api/v4/\x01users"}, "path is invalid"},
		{"line break in the path", map[string]any{"path": "/api/v4/users\r\nX: y"}, "path is invalid"},
		{"broken base64", map[string]any{"body": "canary-canary!", "isBase64Encoded": true}, "body is invalid"},
		{"base64 for URLs", map[string]any{"body": "_-_-", "isBase64Encoded": true}, "body is invalid"},
		{"method with a space", map[string]any{"httpMethod": "GE T"}, "method is invalid"},
		{"method beyond ASCII", map[string]any{"httpMethod": "GÉT"}, "method is invalid"},
		{"method with a line break", map[string]any{"httpMethod": "GET\n"}, "method is invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.logs.reset()
			event := request{function: "revoke", method: "DELETE", target: ownToken, bearer: "owner"}.event(w)
			for name, value := range c.change {
				event[name] = value
			}
			got := invoke(t, w.consoles()["revoke"], "DELETE", event)
			if got.status != 400 || got.field(t, "error") != c.want {
				t.Errorf("%s", got)
			}
			checkReply(t, w, request{}, got)
			if lines := w.logs.String(); strings.Count(lines, "request finished") != 1 || strings.Contains(lines, "canary") {
				t.Errorf("logged: %s", lines)
			}
		})
	}
	if printed.Len() > 0 {
		t.Errorf("printed: %s", &printed)
	}
	if w.snapshot(t) != before {
		t.Error("refused and done")
	}
}

// An event with little in it is a request with little in it.
func TestEventsWithMissingFields(t *testing.T) {
	w := newWorld(t)
	function := gitlabapi.Lambda(w.function("tokens"), nil)
	bearer := w.bearers["owner"]
	for name, c := range map[string]struct {
		event map[string]any
		want  int
	}{
		"method and path":          {map[string]any{"httpMethod": "GET", "path": ownToken}, 401},
		"single headers":           {map[string]any{"httpMethod": "GET", "path": ownToken, "headers": map[string]any{"private-TOKEN": bearer}}, 200},
		"single headers, two ways": {map[string]any{"httpMethod": "GET", "path": ownToken, "headers": map[string]any{"private-token": bearer, "Private-Token": bearer}}, 400},
		"single query":             {map[string]any{"httpMethod": "GET", "path": ownToken, "queryStringParameters": map[string]any{"private_token": bearer}}, 200},
		"nulls": {map[string]any{
			"httpMethod": "GET", "path": ownToken, "headers": nil, "multiValueHeaders": nil, "queryStringParameters": nil,
			"multiValueQueryStringParameters": nil, "requestContext": nil, "body": nil, "isBase64Encoded": nil,
		}, 401},
		"lower-case method":   {map[string]any{"httpMethod": "get", "path": ownToken}, 401},
		"percent in the path": {map[string]any{"httpMethod": "GET", "path": everyToken + "/%25"}, 401},
		"space in the path":   {map[string]any{"httpMethod": "GET", "path": everyToken + "/ "}, 401},
		"unicode in the path": {map[string]any{"httpMethod": "GET", "path": everyToken + "/é"}, 401},
		"empty base64":        {map[string]any{"httpMethod": "GET", "path": ownToken, "isBase64Encoded": true}, 401},
	} {
		if got := invoke(t, function, "GET", c.event); got.status != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Only the gateway makes events with an httpMethod; what has none is not a
// request, and what is no console payload either is an error that names
// nothing of it.
func TestPayloadsThatAreNothing(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot(t)
	for _, payload := range []string{
		`null`, `{}`, `[]`, `5`, `"x"`, `{"action":""}`, `{"action":"create_token"} {}`,
		`{"path":"/api/v4/personal_access_tokens/self"}`, `{"httpMethod":"","path":"/"}`, `{"httpMethod":5}`, `{"httpMethod":"GET","headers":5}`,
		`{"Records":[]}`, `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"DELETE"}}}`,
		`{"action":"revoke_token"}`, `{"action":"revoke_token","value":"canary-canary-canary","id":5}`, `{"action":"revoke_token","value":["canary"]}`,
		`{"action":"revoke_token","id":"canary"}`, `{"action":"revoke_token","unknown":"canary"}`, `{"action":"revoke_everything"}`,
		`{"action":"revoke_token","value":"canary-canary-canary"}`, `{"action":"revoke_token","id":1}`, `{"action":"revoke_everything","username":"canary"}`,
		`{"action":"create_administrator"}`, `{"action":"create_administrator","username":"canary","email":"canary@example.test","scopes":["canary"]}`,
		`{"action":"create_administrator","username":"canary","email":"canary@example.test","expires_at":"canary"}`,
		`{"action":"create_administrator","username":"canary","email":"canary@example.test","scopes":[]}`,
		`{"action":"create_administrator","username":"canary","email":"canary"}`,
		`{"action":"create_administrator","username":"canary","email":"owner@example.test"}`,
		`{"action":"create_administrator","username":"owner","email":"canary@example.test"}`,
		`{"action":"create_token","username":"canary","name":"n","scopes":["api"]}`, `{"action":"create_token","username":"owner","name":"n"}`,
		`{"action":"create_token","username":"owner","name":"","scopes":["api"]}`,
		`{"action":"create_token","username":"owner","name":"canary\u0000","scopes":["api"]}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["sudo"]}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_on":"2026-04-01"}`, // not its name
		`{"action":"create_administrator","username":"canary","email":"canary@example.test","scope":["api"]}`,
		`{"action":"revoke_token","id":` + ownerToken + `,"dry_run":true}`,
		`{"action":"create_token","username":"blocked","name":"n","scopes":["api"]}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_at":"2026-03-19"}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"value":"canary-too-short"}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_in":59}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_in":0}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_in":604801}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_in":"60"}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_in":60,"expires_at":"2026-04-01"}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"value":"canary with spaces in it"}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"value":"lkpat_canary-canary-canary"}`,
		`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"value":"` + w.bearers["other"] + `"}`,
	} {
		for name, function := range w.consoles() {
			out, err := function.Invoke(t.Context(), []byte(payload))
			if err == nil {
				t.Errorf("%s with %s: %s", name, payload, out)
				continue
			}
			if strings.Contains(err.Error(), "canary") && !strings.Contains(err.Error(), `unknown field`) {
				t.Errorf("%s with %s: the error shows a value: %v", name, payload, err)
			}
		}
		without := gitlabapi.Lambda(w.function("tokens"), nil)
		if out, err := without.Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("a function without a console with %s: %s", payload, out)
		}
	}
	if w.snapshot(t) != before {
		t.Error("an invocation that failed has changed the table")
	}
	if strings.Contains(w.logs.String(), "canary") {
		t.Errorf("logged: %s", w.logs)
	}
}

func TestConsole(t *testing.T) {
	w := newWorld(t)
	call := func(function, payload string) map[string]any {
		t.Helper()
		out, err := w.consoles()[function].Invoke(t.Context(), []byte(payload))
		check(t, err)
		var reply map[string]any
		check(t, json.Unmarshal(out, &reply))
		return reply
	}
	works := func(bearer string) bool {
		w.bearers["tried"] = bearer
		w.logs.secret(bearer)
		return throughLambda(t, w, request{function: "tokens", method: "GET", target: ownToken, bearer: "tried"}).status == 200
	}
	made := call("issue", `{"action":"create_administrator","username":"second","email":"second@example.test"}`)
	account, _ := made["user"].(map[string]any)
	tok, _ := made["token"].(map[string]any)
	if account["is_admin"] != true || account["name"] != "second" || tok["name"] != "first token" || tok["expires_at"] != "2027-03-19" || !works(tok["token"].(string)) {
		t.Errorf("administrator: %v", made)
	}
	w.logs.secret("second@example.test")
	const chosen = "chosen-by-an-operator"
	made = call("issue", `{"action":"create_token","username":"OWNER","name":"n","description":"d","scopes":["api"],"expires_at":"2026-04-01","value":"`+chosen+`"}`)
	if made["token"] != chosen || made["user_id"] != 2.0 || made["expires_at"] != "2026-04-01" || made["description"] != "d" || !works(chosen) {
		t.Errorf("token with a chosen value: %v", made)
	}
	if done := call("revoke", `{"action":"revoke_token","value":"`+chosen+`"}`); done["revoked"] != true || done["id"] != made["id"] || works(chosen) {
		t.Errorf("revoked by value: %v", done)
	}
	made = call("issue", `{"action":"create_token","username":"owner","name":"n","scopes":["api"]}`)
	id, err := json.Marshal(made["id"])
	check(t, err)
	if done := call("revoke", `{"action":"revoke_token","id":`+string(id)+`}`); done["user_id"] != 2.0 || works(made["token"].(string)) {
		t.Errorf("revoked by id: %v", done)
	}
	made = call("issue", `{"action":"create_token","username":"owner","name":"n","scopes":["api"],"expires_in":60}`)
	if at := w.clock.Now().Truncate(time.Second).Add(time.Minute); made["expires_at_time"] != at.Format("2006-01-02T15:04:05.000Z") || !works(made["token"].(string)) {
		t.Errorf("token for a minute: %v", made)
	}
	w.clock.Advance(time.Minute)
	if works(made["token"].(string)) {
		t.Error("a token for a minute works after it")
	}
	if done := call("revoke", `{"action":"revoke_everything","username":"owner"}`); done["user_id"] != 2.0 || works(w.bearers["owner"]) || works(w.bearers["reading"]) {
		t.Errorf("revoked everything: %v", done)
	}
	if !works(w.bearers["other"]) {
		t.Error("revoking everything of one owner has ended another's token")
	}
}

// A panickingStore stands for every bug that is left.
type panickingStore struct{ value any }

func (p panickingStore) Check(context.Context, []secret.Digest, account.ID, *settings.Settings) (token.Token, account.Account, error) {
	panic(p.value)
}

func (panickingStore) EndOverlap(context.Context, token.Token, time.Time, audit.Event) error {
	return nil
}

func (panickingStore) MarkUsed(context.Context, secret.Digest, time.Time, time.Time, []netip.Addr) error {
	return nil
}

func TestPanicsAreAnswered(t *testing.T) {
	for name, value := range map[string]any{"text": "canary-canary", "error": errors.New("canary-canary"), "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			for door, send := range doors {
				w := newWorld(t)
				w.verifier = w.verifierOn(panickingStore{value})
				got := send(t, w, request{function: "tokens", method: "GET", target: ownToken, bearer: "owner"})
				if got.status != 500 || got.field(t, "message") != "500 Internal Server Error" {
					t.Errorf("through %s: %s", door, got)
				}
				checkReply(t, w, request{}, got)
				lines := w.logs.String()
				if !strings.Contains(lines, `"level":"ERROR"`) || !strings.Contains(lines, "lambda_test.go") || strings.Contains(lines, "canary") {
					t.Errorf("logged: %s", lines)
				}
			}
		})
	}
}

// Whatever a field holds, the caller is told and nothing is written; a fault
// of the caller's is never one of ours.
func TestWrongTypesInEveryField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.logs.secret("canary")
	values := []string{
		`{}`, `[]`, `[[]]`, `{"canary":"canary"}`, `["canary"]`, `"canary\u0000"`, `1e999`, `-1`, `1.5`, `"\ud800canary"`,
		`"` + strings.Repeat("canary", 5000) + `"`, `"2026-03-19"`, `"null"`, `[null]`, `123456789012345678901234567890`,
	}
	for _, c := range []struct {
		request
		base   map[string]string
		fields []string
	}{
		{request{function: "issue", target: ownTokens, bearer: "owner"}, map[string]string{"name": `"n"`, "scopes": `["api"]`},
			[]string{"name", "scopes", "description", "expires_at", "allowed_cidrs", "private_token", "sudo"}},
		{request{function: "issue", target: forOwner, bearer: "root"}, map[string]string{"name": `"n"`, "scopes": `["api"]`},
			[]string{"scopes", "expires_at", "private_token", "sudo"}},
		{request{function: "issue", target: ownToken + "/rotate", bearer: "rotating"}, nil, []string{"expires_at", "overlap_seconds", "sudo"}},
		{request{function: "tokens", target: anyToken, bearer: "root"}, nil, []string{"token", "private_token", "access_token", "sudo"}},
		{request{function: "directory", target: "/api/v4/users", bearer: "root"},
			map[string]string{"email": `"x@example.test"`, "name": `"n"`, "username": `"x"`, "password": `"p"`},
			[]string{"email", "admin", "external", "private_token"}},
	} {
		for _, field := range c.fields {
			for _, value := range values {
				fields := map[string]json.RawMessage{}
				for name, v := range c.base {
					fields[name] = json.RawMessage(v)
				}
				fields[field] = json.RawMessage(value)
				body, err := json.Marshal(fields)
				if err != nil { // 1e999 and such are for the handler to judge
					t.Fatal(err)
				}
				r := c.request
				r.method, r.json = "POST", string(body)
				if field == "access_token" { // counts only without a header
					r.bearer = ""
				}
				before := w.snapshot(t)
				got := throughLambda(t, w, r)
				if got.status >= 500 {
					t.Errorf("%s with %s: %.80s: %s", r.target, field, value, got)
				}
				if got.status < 300 && !strings.Contains("name description token", field) {
					t.Errorf("%s with %s: %.80s is served: %s", r.target, field, value, got)
				}
				if got.status >= 400 && w.snapshot(t) != before {
					t.Errorf("%s with %s: %.80s: refused and written", r.target, field, value)
				}
				if strings.Contains(got.header.Get("WWW-Authenticate")+got.body, "canary") && got.status >= 400 {
					t.Errorf("%s with %s: %.80s: the reply shows it: %s", r.target, field, value, got)
				}
			}
		}
	}
}

// A client can write anything into its headers; none of it gets into the logs.
func TestLogsShowNothingOfARequest(t *testing.T) {
	w := newWorld(t)
	w.logs.secret("canary")
	for _, r := range []request{
		{function: "tokens", method: "GET", target: "/api/v4/canary"},
		{function: "tokens", method: "GET", target: "/canary/../canary"},
		{function: "tokens", method: "GET", target: everyToken + "/canary", bearer: "owner"},
		{function: "tokens", method: "GET", target: everyToken + "?search=canary&state=canary&sort=canary", bearer: "owner"},
		{function: "tokens", method: "GET", target: ownToken + "?private_token=canary-canary-canary-canary"},
		{function: "tokens", method: "GET", target: ownToken, header: header("Authorization", "Bearer canary-canary-canary")},
		{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "lkpat_canary")},
		{function: "issue", method: "POST", target: ownTokens, bearer: "owner", body: "canary", header: header("Content-Type", "canary/canary")},
		{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: `{"name":"canary","scopes":["canary"]}`},
		{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: `{"name":"canary","description":"canary","scopes":["api"]}`},
		{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: validCreation, header: http.Header{keyHeader: {"canary"}, "User-Agent": {"canary"}}},
		{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: validCreation, header: http.Header{keyHeader: {"canary", "canary"}}},
		{function: "tokens", method: "POST", target: anyToken, bearer: "root", json: `{"token":"canary-canary-canary-canary"}`},
		{function: "directory", method: "POST", target: "/api/v4/users", bearer: "root", json: `{"email":"canary@example.test","name":"canary","username":"canary","password":"canary","note":"canary"}`},
		{function: "directory", method: "POST", target: "/api/v4/users", bearer: "root", json: `{"email":"canary@example.test","name":"canary","username":"canary","password":"canary","note":"canary"}`},
		{function: "directory", method: "GET", target: "/api/v4/users?username=canary&search=canary", bearer: "root"},
	} {
		w.logs.reset()
		if got := throughHTTP(t, w, r); got.status >= 500 {
			t.Errorf("%s %s: %s", r.method, r.target, got)
		}
		if n := strings.Count(w.logs.String(), "request finished"); n != 1 {
			t.Errorf("%s %s: %d lines at its end", r.method, r.target, n)
		}
		w.searchLogs(t)
	}
}

// A store that fails is our fault, and says so; what it was asked is not done.
func TestFailuresOfTheEngine(t *testing.T) {
	for name, cut := range map[string]func(string) bool{
		"every call": func(string) bool { return true },
		"writes":     func(op string) bool { return op == "TransactWriteItems" || op == "PutItem" || op == "UpdateItem" },
	} {
		for _, r := range []request{
			{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: validCreation},
			{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "rotating"},
			{function: "revoke", method: "DELETE", target: ownToken, bearer: "owner"},
			{function: "directory", method: "POST", target: "/api/v4/users/2/block", bearer: "root"},
		} {
			w := newWorld(t)
			before := w.snapshot(t)
			w.breakEngine(cut)
			got := throughLambda(t, w, r)
			if got.status != 503 || got.header.Get("Retry-After") != "1" || got.field(t, "message") != "503 Service Unavailable" {
				t.Errorf("%s fail, %s %s: %s", name, r.method, r.target, got)
			}
			if w.snapshot(t) != before {
				t.Errorf("%s fail, %s %s: 503 and done", name, r.method, r.target)
			}
			if !strings.Contains(w.logs.String(), `"level":"ERROR"`) {
				t.Errorf("%s fail, %s %s: no error logged", name, r.method, r.target)
			}
		}
	}
}
