//go:build acceptance

package clients_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// installed returns a program of the clients that make installs.
func installed(tb testing.TB, program string) string {
	tb.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", ".tools", "clients", "bin", program))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("%v: `make acceptance` installs it", err)
	}
	return path
}

// checks are those of the script, in its order. One that it does not get to fails.
var checks = []string{
	"look up oneself and the version", "make an account with a picture", "keep who may make groups", "make groups and projects",
	"change a project and a group", "change settings", "look up", "make tokens", "refuse what is not supported", "list in pages",
	"delete a project", "delete a group with everything in it",
}

// Promise 7: python-gitlab works unchanged as a library.
func TestPythonLibrary(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	run := exec.CommandContext(t.Context(), installed(t, "python"), filepath.Join("testdata", "library.py"))
	run.Env = []string{"PATH=" + os.Getenv("PATH"), "LATCHKEY_URL=" + w.URL, "LATCHKEY_TOKEN=" + localtest.AdminBearer}
	var complaints strings.Builder
	run.Stderr = &complaints
	out, err := run.Output()
	if err != nil {
		t.Errorf("the script ended early: %v: %s", err, complaints.String())
	}
	said := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !slices.Contains(checks, name) {
			t.Errorf("the check %q is not expected", name)
		}
		said[name] = reason
	}
	for _, check := range checks {
		t.Run(check, func(t *testing.T) {
			if reason, got := said[check]; !got {
				t.Error("the script did not get here")
			} else if reason != "ok" {
				t.Error(reason)
			}
		})
	}
}

// Promise 7: python-gitlab works unchanged as a command.
func TestPythonCommand(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	gitlab := func(wanted bool, args ...string) (parsed any) {
		t.Helper()
		run := exec.CommandContext(t.Context(), installed(t, "gitlab"), append([]string{"--server-url", w.URL, "--private-token", localtest.AdminBearer, "--output", "json"}, args...)...)
		run.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
		out, err := run.CombinedOutput()
		if (err == nil) != wanted {
			t.Fatalf("gitlab %s: %v: %s", strings.Join(args, " "), err, out)
		}
		if err := json.Unmarshal(out, &parsed); err != nil {
			return strings.TrimSpace(string(out))
		}
		return parsed
	}
	field := func(parsed any, name string) any {
		t.Helper()
		if list, some := parsed.([]any); some && len(list) > 0 {
			parsed = list[0]
		}
		object, _ := parsed.(map[string]any)
		return object[name]
	}
	wanted := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	wanted("user", field(gitlab(true, "current-user", "get"), "username"), "root")
	wanted("group", field(gitlab(true, "group", "create", "--name", "Acme", "--path", "acme"), "full_path"), "acme")
	wanted("project", field(gitlab(true, "project", "create", "--name", "web", "--namespace-id", "1"), "path_with_namespace"), "acme/web")
	gitlab(true, "project", "update", "--id", "2", "--description", "a; b")
	wanted("description", field(gitlab(true, "project", "get", "--id", "2"), "description"), "a; b")
	gitlab(true, "group", "update", "--id", "1", "--description", "of all")
	wanted("namespace", field(gitlab(true, "namespace", "list", "--search", "acme"), "full_path"), "acme")
	wanted("membership", field(gitlab(true, "user-membership", "list", "--user-id", "1"), "source_name"), "Acme")
	wanted("user of the project", field(gitlab(true, "project-user", "list", "--project-id", "2"), "username"), "root")
	wanted("deploy tokens", len(gitlab(true, "project-deploy-token", "list", "--project-id", "2").([]any)), 0)
	made := gitlab(true, "project-access-token", "create", "--project-id", "2", "--name", "ci", "--scopes", "read_api", "--access-level", "20")
	wanted("kind of the token", field(made, "resource_type"), "project")
	gitlab(false, "project-access-token", "delete", "--project-id", "2", "--id", "999")
	gitlab(true, "group", "delete", "--id", "1")
	gitlab(false, "project", "get", "--id", "2")
}
