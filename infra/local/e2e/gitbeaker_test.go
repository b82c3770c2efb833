package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// servesProjectTokens is for as long as nothing serves the tokens of projects and groups.
const servesResourceTokens = true

// resourceChecks are those of a project's tokens and of a group's.
var resourceChecks = []string{
	"create", "create with a level", "create by path", "create as one who may", "create against the rules", "create without the right",
	"show", "list", "show the bot among the members", "open nothing else",
	"rotate", "rotate oneself", "rotate oneself twice within a moment ends nothing", "rotate against the rules",
	"revoke", "revoke oneself", "revoke without the right",
	"every method",
}

// Promise 7: an independent client, JavaScript's @gitbeaker/rest, works unchanged. The script makes the calls
// and says what came of each check; a check that it did not get to is missing here and fails.
func TestJavaScriptClient(t *testing.T) {
	t.Parallel()
	sections := map[string][]string{
		"personal": {
			"create", "create with fields of Latchkey's own", "create by somebody who may not", "create against the rules",
			"show one", "show oneself", "show oneself with an Authorization header", "show in camel case", "show what is not there",
			"refuse bearers that are none",
			"list page by page", "list with filters", "list one's own only",
			"rotate", "rotate oneself", "rotate oneself twice within a moment ends nothing", "rotate against the rules",
			"revoke", "revoke oneself", "revoke what is not there",
			"every method",
		},
		"impersonation": {
			"create", "create against the rules", "show", "list", "revoke", "remove",
			"keep to administrators and to the user", "every method",
		},
	}
	sections["directory"] = []string{"change a project and a group", "look up", "make a project for somebody", "delete"}
	if servesResourceTokens {
		sections["projects"], sections["groups"] = resourceChecks, resourceChecks
	}
	for section, checks := range sections {
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			said := gitbeaker(t, w, section)
			for _, check := range checks {
				t.Run(check, func(t *testing.T) {
					switch outcome, got := said[check]; {
					case !got:
						t.Error("the script did not get here")
					case outcome != "":
						t.Error(outcome)
					}
				})
			}
			for check := range said {
				if !slices.Contains(checks, check) {
					t.Errorf("the check %q is not expected", check)
				}
			}
		})
	}
}

// gitbeaker runs a section of the script and returns what is wrong for each of its checks, "" if nothing is.
func gitbeaker(t *testing.T, w *localtest.World, section string) map[string]string {
	t.Helper()
	folder := filepath.Join(localtest.Root(t), ".tools", "npm")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "@gitbeaker", "rest")); err != nil {
		t.Fatalf("%v: `make tools` installs it", err)
	}
	run := exec.CommandContext(t.Context(), localtest.Node(t), filepath.Join("testdata", "gitbeaker.mjs"), folder, section)
	run.Env = []string{"PATH=" + os.Getenv("PATH"), "LATCHKEY_URL=" + w.URL, "LATCHKEY_TOKEN=" + root.Bearer}
	var complaints strings.Builder
	run.Stderr = &complaints
	out, err := run.Output()
	if err != nil {
		t.Errorf("the script ended early: %v: %s", err, complaints.String())
	}
	said := map[string]string{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			said[name] = ""
			continue
		}
		failed, ok := strings.CutPrefix(line, "not ok ")
		name, reason, _ := strings.Cut(failed, "\t")
		if !ok {
			t.Errorf("not a line of a check: %s", line)
			continue
		}
		said[name] = "not ok: " + reason
	}
	return said
}
