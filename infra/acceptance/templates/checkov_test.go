//go:build acceptance

package templates_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

const noQueue = "nothing waits in vain: API Gateway and Step Functions wait for the answer, endings runs again a minute later, the queue of leakmails has its own dead letters, failed events of bounces go to UnrecordedReturns (AWS::Lambda::EventInvokeConfig), and what events gives up goes to UnsentEvents (AWS::Lambda::EventSourceMapping)"

// exceptions are the checks that resources may fail, each with its reason. What is encrypted with the key of KmsKeyArn, if
// there is one, passes: checkov reads no conditions. The keys are of the form CHECK TYPE.
var exceptions = map[string]string{
	"CKV_AWS_116 AWS::Lambda::Function":  noQueue,
	"CKV_AWS_117 AWS::Lambda::Function":  "it calls only public endpoints of AWS, and a VPC would cost a NAT gateway or endpoints, and start time",
	"CKV_AWS_115 AWS::Lambda::Function":  "the state machine's ScanConcurrency bounds the scans, a FIFO queue with one message group bounds leakmails, bounces has as many events as mails come back, and events has one execution for each shard of the stream",
	"CKV_AWS_73 AWS::ApiGateway::Stage":  "tracing costs money and no alarm needs it; the parameter Tracing switches it on",
	"CKV_AWS_76 AWS::ApiGateway::Stage":  "it has access logs unless ManageApiLogging is none; the check does not read conditions",
	"CKV_AWS_120 AWS::ApiGateway::Stage": "an answer depends on the bearer and may be out of date in the next moment, so no cache may keep it",
}

type failure struct {
	Check    string `json:"check_id"`
	Name     string `json:"check_name"`
	File     string `json:"file_path"`
	Resource string `json:"resource"`
}

// judge returns what checkov finds in the templates of a folder, and how many checks passed.
func judge(t *testing.T, folder string) ([]failure, int) {
	t.Helper()
	program := filepath.Join(localtest.Root(t), ".tools", "checkov", "bin", "checkov")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: `make acceptance` installs it", err)
	}
	run := exec.CommandContext(t.Context(), program, "--directory", folder, "--framework", "cloudformation", "--compact", "--quiet", "--output", "json", "--skip-download")
	run.Dir = t.TempDir()
	run.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + run.Dir}
	said, err := run.Output()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1 is for findings
		t.Fatalf("%v: %s", err, said)
	}
	var report struct {
		Results struct {
			Failed []failure `json:"failed_checks"`
		} `json:"results"`
		Summary struct {
			Passed  int `json:"passed"`
			Unread  int `json:"parsing_errors"`
			Skipped int `json:"skipped"`
		} `json:"summary"`
	}
	if err := json.Unmarshal(said, &report); err != nil {
		t.Fatalf("%v: %.300s", err, said)
	}
	if report.Summary.Unread != 0 || report.Summary.Skipped != 0 {
		t.Errorf("%d files unread, %d checks skipped", report.Summary.Unread, report.Summary.Skipped)
	}
	return report.Results.Failed, report.Summary.Passed
}

// key is the form of the exceptions: checkov names a resource by its type and logical id.
func (f failure) key() string {
	kind, _, _ := strings.Cut(f.Resource, ".")
	return f.Check + " " + kind
}

// Breaks if a template gets a weakness that nobody has argued for. Nested templates are translated, too.
func TestCheckovFindsOnlyWhatIsArguedFor(t *testing.T) {
	t.Parallel()
	root, folder := localtest.Root(t), t.TempDir()
	translate := exec.CommandContext(t.Context(), filepath.Join(root, ".tools", "venv", "bin", "python"), "infra/translate.py", "template.yaml", folder)
	translate.Dir = root
	if out, err := translate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sources, err := filepath.Glob(filepath.Join(root, "infra", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if translated, err := filepath.Glob(filepath.Join(folder, "*.json")); err != nil || len(translated) != len(sources)+1 {
		t.Fatalf("%d templates are translated, and there are %d: %v", len(translated), len(sources)+1, err)
	}
	failed, passed := judge(t, folder)
	if passed == 0 {
		t.Fatal("no check has passed, so none was made")
	}
	unused := map[string]bool{}
	for key := range exceptions {
		unused[key] = true
	}
	for _, f := range failed {
		if _, argued := exceptions[f.key()]; !argued {
			t.Errorf("%s: %s: %s (%s)", f.File, f.Resource, f.Name, f.Check)
		}
		delete(unused, f.key())
	}
	for key := range unused {
		t.Errorf("the exception %s is not needed", key)
	}
}

// A planted fault proves that the test above could fail.
func TestCheckovFindsAPlantedFault(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const planted = `{"Resources": {"Planted": {"Type": "AWS::S3::Bucket", "Properties": {"AccessControl": "PublicRead"}}}}`
	if err := os.WriteFile(filepath.Join(folder, "planted.json"), []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	failed, _ := judge(t, folder)
	if !slices.ContainsFunc(failed, func(f failure) bool { return f.key() == "CKV_AWS_20 AWS::S3::Bucket" }) {
		t.Errorf("a bucket that everybody can read passes: %v", failed)
	}
}
