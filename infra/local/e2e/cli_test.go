package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// cliPath finds the AWS CLI: the one that AWS_CLI names, the project's own, or the machine's.
func cliPath(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("AWS_CLI"); path != "" {
		return path
	}
	own := filepath.Join(localtest.Root(tb), ".tools", "venv", "bin", "aws")
	if _, err := os.Stat(own); err == nil {
		return own
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		tb.Fatalf("no AWS CLI, run `make tools`: %v", err)
	}
	return path
}

// An invocation is what the CLI reports of one.
type invocation struct {
	StatusCode    int
	FunctionError string
	payload       string
}

// An invoker invokes a function with a payload from a file.
type invoker func(t *testing.T, w *localtest.World, function, payloadFile string) invocation

// invokeByCLI runs `aws lambda invoke` with a payload from a file, as an operator does.
func invokeByCLI(t *testing.T, w *localtest.World, function, payloadFile string) invocation {
	t.Helper()
	folder := t.TempDir()
	reply := filepath.Join(folder, "reply.json")
	cmd := exec.CommandContext(t.Context(), cliPath(t), "lambda", "invoke",
		"--endpoint-url", w.URL, "--function-name", function, "--payload", "fileb://"+payloadFile, "--output", "json", reply)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"AWS_DEFAULT_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_MAX_ATTEMPTS=1",
	}
	var output, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("aws lambda invoke: %v: %s", err, complaints.String())
	}
	var result invocation
	payload, err := os.ReadFile(reply)
	if err = errors.Join(err, json.Unmarshal(output.Bytes(), &result)); err != nil {
		t.Fatalf("%v: %s", err, output.String())
	}
	result.payload = string(payload)
	return result
}

// invokeByHTTP does the same without the CLI, which takes a second to start.
func invokeByHTTP(t *testing.T, w *localtest.World, function, payloadFile string) invocation {
	t.Helper()
	payload, err := os.ReadFile(payloadFile)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/2015-03-31/functions/"+function+"/invocations", bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", localtest.Signature)
	reply := w.Send(t, r)
	return invocation{reply.Status, reply.Header.Get("X-Amz-Function-Error"), reply.Body}
}

// sampleFile names a file of events/.
func sampleFile(tb testing.TB, function, name string) string {
	tb.Helper()
	return filepath.Join(localtest.Root(tb), "events", function, name+".json")
}

// An operator with credentials of the account and no token yet makes the first ones.
func TestOperatorCreatesTokensThroughTheCLI(t *testing.T) {
	t.Parallel()
	for sample, test := range map[string]struct {
		invoke invoker
		bearer string // "" for a generated one
		path   string // what the new bearer may get
		shows  string
	}{
		"console-create-administrator":           {invokeByCLI, "", "/api/v4/users?username=root", `"username":"root"`},
		"console-create-token":                   {invokeByHTTP, "", "/api/v4/personal_access_tokens/self", `"description":"pulls usage figures"`},
		"console-create-token-with-chosen-value": {invokeByHTTP, "token-string-here456", "/api/v4/user", `"username":"root"`},
	} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			result := test.invoke(t, w, "issue", sampleFile(t, "issue", sample))
			if result.StatusCode != http.StatusOK || result.FunctionError != "" {
				t.Fatalf("%+v", result)
			}
			var issued struct {
				Token json.RawMessage // the bearer, or a token beside a user
			}
			decode(t, result.payload, &issued)
			var token personalToken
			if err := json.Unmarshal(issued.Token, &token); err != nil {
				decode(t, string(issued.Token), &token.Token)
			}
			if test.bearer != "" && token.Token != test.bearer || test.bearer == "" && !strings.HasPrefix(token.Token, "lkpat_") {
				t.Fatal("the reply shows another bearer than was asked for")
			}
			w.Logs.Secret(token.Token)
			if body := want(t, w, token.Token, "GET", test.path, "", http.StatusOK); !strings.Contains(body, test.shows) {
				t.Errorf("%s: got %s", test.path, body)
			}
		})
	}
}

// With every sample that ends a token, the next request is refused.
func TestOperatorRevokesTokensThroughTheCLI(t *testing.T) {
	t.Parallel()
	for sample, test := range map[string]struct {
		invoke invoker
		reply  string
	}{
		"console-revoke-by-value":   {invokeByCLI, `{"revoked":true,"id":4194305,"user_id":1}`},
		"console-revoke-by-id":      {invokeByHTTP, `{"revoked":true,"id":4194305,"user_id":1}`},
		"console-revoke-everything": {invokeByHTTP, `{"revoked":true,"user_id":1}`},
	} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			want(t, w, localtest.AdminBearer, "GET", "/api/v4/user", "", http.StatusOK)
			result := test.invoke(t, w, "revoke", sampleFile(t, "revoke", sample))
			if result.StatusCode != http.StatusOK || result.FunctionError != "" || result.payload != test.reply {
				t.Errorf("%+v, want %s", result, test.reply)
			}
			if body := want(t, w, localtest.AdminBearer, "GET", "/api/v4/user", "", http.StatusUnauthorized); body != revokedBody+"\n" {
				t.Errorf("the refusal is %s", body)
			}
			if answer, err := decide(t.Context(), w, http2, "GET", "/orders", localtest.AdminBearer); answer.allowed || err != nil {
				t.Errorf("authorizer: %s, %v", answer.raw, err)
			}
		})
	}
}

// A payload that cannot be carried out is a function error whose message says why.
func TestOperatorIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	file := func(payload string) string {
		path := filepath.Join(t.TempDir(), "payload.json")
		if err := os.WriteFile(path, []byte(payload), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const words = "event is neither a request from API Gateway nor a console payload of this function; see events/ for samples"
	const settingsWords = " (action is set_feature with feature, value and optionally project or group, clear_feature with feature, or change_settings with settings)"
	for name, test := range map[string]struct{ function, payload, message string }{
		"unknown scope":  {"issue", sampleFile(t, "issue", "console-scope-unknown"), "create_token: scopes: scope unknown"},
		"misspelt field": {"issue", file(`{"action":"create_token","user":"root"}`), words + "\n" + `unknown field "user"`},
		"unknown action": {"revoke", file(`{"action":"revoke"}`), words + " (action is revoke_token with value or id, or revoke_everything with username)"},
		"value in use":   {"issue", file(fmt.Sprintf(`{"action":"create_token","username":"root","name":"x","scopes":["api"],"value":%q}`, localtest.AdminBearer)), "create_token: value: conflict: taken"},
		"value that is too short": {"issue", file(`{"action":"create_token","username":"root","name":"x","scopes":["api"],"value":"short"}`),
			"create_token: value: bearer malformed (20 to 255 printable ASCII characters without spaces, and no prefix of generated ones)"},
		"username of nobody":        {"issue", file(`{"action":"create_token","username":"nobody","name":"x","scopes":["api"]}`), "create_token: username: not found"},
		"setting out of its limits": {"settings", sampleFile(t, "settings", "console-impossible-setting-is-refused"), "change_settings: invalid max_personal_access_token_lifetime"},
		"setting that is none":      {"settings", sampleFile(t, "settings", "console-misspelt-setting-is-refused"), "change_settings: settings has a name that is no setting"},
		"no setting":                {"settings", file(`{"action":"change_settings"}`), words + settingsWords},
		"switch without a value":    {"settings", file(`{"action":"set_feature","feature":"resource_access_token"}`), words + settingsWords},
		"switch for two":            {"settings", file(`{"action":"set_feature","feature":"resource_access_token","value":true,"project":"a/b","group":"a"}`), words + settingsWords},
		"token that is not there":   {"revoke", file(`{"action":"revoke_token","id":4194399}`), "revoke_token: not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			invoke := invoker(invokeByHTTP)
			if name == "unknown scope" {
				invoke = invokeByCLI
			}
			result := invoke(t, w, test.function, test.payload)
			var failure struct{ ErrorMessage string }
			decode(t, result.payload, &failure)
			if result.FunctionError != "Unhandled" || failure.ErrorMessage != test.message {
				t.Errorf("%+v\nwant the message %q", result, test.message)
			}
		})
	}
}

// Breaks if an operator without a token cannot switch a feature for one group or change a setting, if such a
// change does something else than one by the API, or if it leaves no trace.
func TestOperatorChangesSettingsByConsole(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	want(t, w, localtest.AdminBearer, "POST", "/api/v4/groups", `{"name":"acme","path":"acme"}`, http.StatusCreated)
	invoke := func(sample string) string {
		result := invokeByHTTP(t, w, "settings", sampleFile(t, "settings", sample))
		if result.StatusCode != http.StatusOK || result.FunctionError != "" {
			t.Fatalf("%s: %+v", sample, result)
		}
		return result.payload
	}
	attempt := func(status int) {
		want(t, w, localtest.AdminBearer, "POST", "/api/v4/groups/acme/access_tokens", `{"name":"x","scopes":["api"],"access_level":30,"expires_at":"2026-04-19"}`, status)
	}
	attempt(http.StatusCreated)
	// The group of the sample is there by now.
	if got := invoke("console-set-feature-for-unknown-group-is-refused"); !strings.Contains(got, `"state":"conditional"`) || !strings.Contains(got, `"Group:`) {
		t.Errorf("switched for a group: %s", got)
	}
	attempt(http.StatusBadRequest)
	invoke("console-clear-feature")
	attempt(http.StatusCreated)
	invoke("console-set-feature")
	attempt(http.StatusBadRequest)
	shown := want(t, w, localtest.AdminBearer, "GET", "/api/v4/features", "", http.StatusOK)
	if !strings.Contains(shown, `"state":"off"`) {
		t.Errorf("features: %s", shown)
	}
	changed := invoke("console-change-settings")
	shown = want(t, w, localtest.AdminBearer, "GET", "/api/v4/application/settings", "", http.StatusOK)
	if strings.TrimSpace(shown) != strings.TrimSpace(changed) || !strings.Contains(shown, `"max_personal_access_token_lifetime":90`) {
		t.Errorf("changed to %s, shown as %s", changed, shown)
	}
	if planned := w.Plans.All(); len(planned) != 1 {
		t.Errorf("planned lifetime runs: %v", planned)
	}
	trail := want(t, w, localtest.AdminBearer, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK)
	if n := strings.Count(trail, `"source":"console"`); n < 4 {
		t.Errorf("%d events of the console in %s", n, trail)
	}
}
