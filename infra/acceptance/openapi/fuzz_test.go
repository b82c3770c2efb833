//go:build acceptance

package openapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// endsItself are requests that end the token which the fuzzer presents. After one of them, it would only see 401.
var endsItself = []string{
	"post_personal_access_tokens_self_rotate", "delete_personal_access_tokens_self", "delete_user_personal_access_tokens",
	"post_projects_project_access_tokens_self_rotate", "post_groups_project_access_tokens_self_rotate",
}

// Whatever the document allows or almost allows, no request gets a 5xx, and every answer is one that it describes. If
// this fails, a client can make Latchkey fail with a request of its own.
func TestFuzzerFindsNoServerErrorAndNothingThatIsNotDescribed(t *testing.T) {
	t.Parallel()
	program, err := filepath.Abs("../../../.tools/schemathesis/bin/schemathesis")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: `make acceptance` installs it", err)
	}
	document, err := filepath.Abs("../../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := localtest.Start(t, localtest.Options{})
	arguments := []string{
		"run", document, "--url", w.URL, "--header", "PRIVATE-TOKEN: " + localtest.AdminBearer,
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
		"--phases", "coverage,fuzzing", "--max-examples", "20", "--workers", "1", "--seed", "1",
		"--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all", "--no-color", "--warnings", "off",
	}
	for _, operation := range endsItself {
		arguments = append(arguments, "--exclude-operation-id", operation)
	}
	run := exec.CommandContext(t.Context(), program, arguments...)
	run.Dir = t.TempDir()
	run.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + run.Dir}
	said, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "passed") {
		t.Errorf("%v: %s", err, said)
	}
	if reply := w.Do(t, localtest.AdminBearer, "GET", "/api/v4/user", ""); reply.Status != 200 {
		t.Errorf("the fuzzer's token no longer works, so it has seen little: %d", reply.Status)
	}
}
