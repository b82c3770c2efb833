package gitlabapi_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"latchkey/pkg/gitlabapi"
)

var changing = regexp.MustCompile(`"(time|request_id)":"[^"]*"|"duration_ms":[0-9]+`)

// lines returns what was logged, with what differs from run to run taken out.
func (l *logs) lines(tb testing.TB) string {
	tb.Helper()
	text := l.String()
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			tb.Errorf("a line that is no JSON: %s", line)
		}
	}
	return changing.ReplaceAllStringFunc(text, func(field string) string {
		name, _, _ := strings.Cut(field, ":")
		return name + `:"<` + strings.Trim(name, `"`) + `>"`
	})
}

// What operators' filters and alarms look for stays as it is.
func TestLogLines(t *testing.T) {
	for name, c := range map[string]struct {
		request
		before func(testing.TB, *world)
	}{
		"issue":            {request: post("issue", forOwner, "root", validCreation)},
		"issue for self":   {request: post("issue", ownTokens, "owner", validCreation)},
		"rotate":           {request: post("issue", everyToken+"/"+readingToken+"/rotate", "owner", "")},
		"rotate self":      {request: post("issue", ownToken+"/rotate", "rotating", "")},
		"reuse":            {request: post("issue", ownToken+"/rotate", "revoked", "")},
		"revoke":           {request: remove(everyToken+"/"+otherToken, "root")},
		"revoke self":      {request: remove(ownToken, "registry")},
		"revoke all":       {request: remove(ownTokens, "owner")},
		"revoke all of":    {request: remove(forOwner+"?sudo=1", "root")},
		"create account":   {request: post("directory", "/api/v4/users", "root", `{"email":"new@example.test","name":"n","username":"new","password":"p"}`)},
		"block":            {request: post("directory", "/api/v4/users/2/block", "root", "")},
		"block again":      {request: post("directory", "/api/v4/users/4/block", "root", "")},
		"unblock":          {request: post("directory", "/api/v4/users/4/unblock", "root", "")},
		"read":             {request: get("tokens", ownToken, "owner")},
		"no credential":    {request: get("tokens", ownToken, "")},
		"unknown":          {request: request{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "no-such-bearer-anywhere")}},
		"expired":          {request: get("tokens", ownToken, "expired")},
		"revoked":          {request: get("tokens", ownToken, "revoked")},
		"blocked":          {request: get("tokens", ownToken, "blocked")},
		"too little scope": {request: get("tokens", everyToken, "registry")},
		"no administrator": {request: post("issue", forOwner, "owner", validCreation)},
		"bad parameters":   {request: post("issue", ownTokens, "owner", "{}")},
		"broken rules":     {request: post("issue", ownTokens, "owner", `{"name":" ","scopes":["api"]}`)},
		"no route":         {request: get("", "/api/v4/nothing", "")},
		"engine away": {get("tokens", ownToken, "owner"), func(_ testing.TB, w *world) {
			w.breakEngine(func(string) bool { return true })
		}},
		"malformed record": {get("tokens", ownToken, "owner"), func(tb testing.TB, w *world) { w.set(tb, "owner", "expires_on", "soon") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.before != nil {
				c.before(t, w)
			}
			throughLambda(t, w, c.request)
			golden(t, "log of "+name, w.logs.lines(t))
		})
	}
}

func TestLogLinesOfTheConsole(t *testing.T) {
	w := newWorld(t)
	for _, call := range [][2]string{
		{"issue", `{"action":"create_administrator","username":"second","email":"second@example.test"}`},
		{"issue", `{"action":"create_token","username":"owner","name":"n","scopes":["api"],"value":"chosen-by-an-operator"}`},
		{"revoke", `{"action":"revoke_token","value":"chosen-by-an-operator"}`},
		{"revoke", `{"action":"revoke_everything","username":"owner"}`},
	} {
		_, err := w.consoles()[call[0]].Invoke(t.Context(), []byte(call[1]))
		check(t, err)
	}
	w.logs.secret("chosen-by-an-operator")
	golden(t, "log of the console", w.logs.lines(t))
}

// Every refusal is counted once, under the code that dashboards show.
func TestRefusalsAreCountedOnce(t *testing.T) {
	for name, want := range map[string]string{
		"expired": "BearersRefused expired", "revoked": "BearersRefused revoked", "blocked": "BearersRefused owner", "sleeper": "BearersRefused owner", "": "BearersRefused missing",
	} {
		w := newWorld(t)
		throughLambda(t, w, get("tokens", ownToken, name))
		if len(w.counts.total) != 1 || w.counts.total[want] != 1 {
			t.Errorf("%q: %v", name, w.counts.total)
		}
	}
	w := newWorld(t)
	throughLambda(t, w, post("issue", ownTokens, "owner", validCreation))
	throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", ""))
	throughLambda(t, w, remove(ownToken, "registry"))
	for _, want := range []string{"TokensIssued created", "TokensIssued rotated", "TokensRevoked request"} {
		if w.counts.total[want] != 1 {
			t.Errorf("%s: %v", want, w.counts.total)
		}
	}
}

// Many invocations at once do not see each other's replies.
func TestInvocationsAtOnce(t *testing.T) {
	w := newWorld(t)
	function := gitlabapi.Lambda(w.function("directory"), nil)
	payloads := map[string][]byte{}
	for _, name := range []string{"owner", "other", "root"} {
		payloads[name] = raw(t, get("directory", "/api/v4/user", name).event(w))
	}
	done := make(chan string)
	const each = 30
	for name, payload := range payloads {
		for range each {
			go func() {
				out, err := function.Invoke(t.Context(), payload)
				if err != nil || !strings.Contains(string(out), `\"username\":\"`+name+`\"`) {
					done <- name + " got " + string(out)
					return
				}
				done <- ""
			}()
		}
	}
	for range each * len(payloads) {
		if fault := <-done; fault != "" {
			t.Error(fault)
		}
	}
}
