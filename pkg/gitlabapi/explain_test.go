package gitlabapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"latchkey/pkg/explain"
	"latchkey/pkg/fault"
)

// An operator sees what a token opens, and why not, without its bearer. Breaks if the explanation says
// another thing than a check, or counts as a use.
func TestExplainByConsole(t *testing.T) {
	w := newWorld(t)
	botsOfWeb(t, w)
	byID := func(name, method, path string) string {
		return fmt.Sprintf(`{"action":"explain","id":%d,"method":%q,"path":%q}`, w.tokens[name].ID, method, path)
	}
	before := w.snapshot(t)
	for payload, want := range map[string]struct {
		allowed bool
		because string
		also    string // a part of the reply
	}{
		byID("owner", "DELETE", "/api/v4/user/x"):                                                          {true, "a rule opens it", `"token_kind":"personal"`},
		byID("reading", "GET", "/api/v4/user/x"):                                                           {true, "a rule opens it", `"fits":true`},
		byID("reading", "DELETE", "/api/v4/user/x"):                                                        {false, "no rule opens it to these scopes", `"because":"it is for other methods"`},
		byID("reading", "GET", "/api/graphql"):                                                             {false, "rules open only reading there, and a mutation of GraphQL can come by GET", ""},
		byID("reading", "GET", "/api/v4/user/"):                                                            {false, "the path can be read in two ways, so no rule is applied to it", ""},
		byID("web", "GET", "/api/v4/groups"):                                                               {false, "rules open it, but the path does not belong to the token's project or group", `"token_kind":"project"`},
		byID("expired", "GET", "/"):                                                                        {false, "the token has expired", `"rules":[{`},
		byID("revoked", "GET", "/"):                                                                        {false, "the token was revoked", ""},
		byID("blocked", "GET", "/"):                                                                        {false, "the token's owner is blocked or deactivated", ""},
		byID("sleeper", "GET", "/"):                                                                        {false, "the token's owner is blocked or deactivated", ""},
		`{"action":"explain","scopes":["read_user"],"method":"GET","path":"/api/v4/users"}`:                {true, "a rule opens it", `"scopes":["read_user"]`},
		`{"action":"explain","scopes":["read_user"],"method":"GET","path":"/elsewhere"}`:                   {false, "no rule opens it to these scopes", `"because":"it is for other scopes"`},
		`{"action":"explain","scopes":["api"],"project_id":9,"method":"GET","path":"/api/v4/projects/9"}`:  {true, "a rule opens it", ""},
		`{"action":"explain","scopes":["api"],"project_id":9,"method":"GET","path":"/api/v4/projects/90"}`: {false, "rules open it, but the path does not belong to the token's project or group", ""},
		`{"action":"explain","scopes":["api"],"group_id":9,"method":"GET","path":"/api/v4/groups/9/x"}`:    {true, "a rule opens it", ""},
	} {
		out, err := w.consoles()["tokens"].Invoke(t.Context(), []byte(payload))
		check(t, err)
		var got explain.Explanation
		check(t, json.Unmarshal(out, &got))
		if got.Allowed != want.allowed || got.Because != want.because || !strings.Contains(string(out), want.also) {
			t.Errorf("%s\n%s\nwant %+v", payload, out, want)
		}
	}
	if w.snapshot(t) != before {
		t.Error("an explanation has changed the table")
	}
}

func TestExplainRefusesOtherPayloads(t *testing.T) {
	w := newWorld(t)
	for _, payload := range []string{
		`{"action":"explain"}`,
		`{"action":"explain","method":"GET","path":"/"}`,
		`{"action":"explain","id":1,"path":"/"}`,
		`{"action":"explain","id":1,"method":"GET"}`,
		`{"action":"explain","id":1,"scopes":["api"],"method":"GET","path":"/"}`,
		`{"action":"explain","id":1,"project_id":9,"method":"GET","path":"/"}`,
		`{"action":"explain","scopes":["api"],"project_id":9,"group_id":9,"method":"GET","path":"/"}`,
		`{"action":"explain","scopes":["api"],"method":"GET","path":"/","value":"x"}`,
		`{"action":"explain","scopes":["root"],"method":"GET","path":"/"}`,
		`{"action":"other","scopes":["api"],"method":"GET","path":"/"}`,
	} {
		if out, err := w.consoles()["tokens"].Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%s: %s", payload, out)
		}
	}
	_, err := w.consoles()["tokens"].Invoke(t.Context(), []byte(`{"action":"explain","id":4194399,"method":"GET","path":"/"}`))
	if err == nil || !strings.Contains(err.Error(), "NotFound") && !strings.Contains(err.Error(), fault.ErrNotFound.Error()) {
		t.Errorf("an unknown id: %v", err)
	}
}
