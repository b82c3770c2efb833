//go:build acceptance

package deployment_test

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/infra/local/localtest"
)

// Breaks if a deployment asks something, leaves a package or a nested template behind, or takes the role with which
// the API Gateway of the account logs away from others.
func TestDeploy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		role   string // of the account
		denied string // a method for which the account's setting is out of bounds
		exists bool   // the stack
		given  string // in samconfig.toml
		wants  string // ManageApiLogging of the change set: a value, "kept", or "" for the template's default
	}{
		"first deployment in an account without a role": {"", "", false, "", ""},
		"first deployment in an account with a role":    {"arn:aws:iam::123456789012:role/others", "", false, "", "false"},
		"first deployment by somebody who may not look": {"", http.MethodGet, false, "", "none"},
		"first deployment by somebody who may not set":  {"", http.MethodPatch, false, "", "none"},
		"a role, and an answer":                         {"arn:aws:iam::123456789012:role/others", "", false, `"ManageApiLogging=true",`, "true"},
		"a later deployment":                            {"arn:aws:iam::123456789012:role/latchkey", "", true, "", "kept"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, folder := localtest.Root(t), t.TempDir()
			packages := copyProject(t, root, folder, test.given)
			account := &account{role: test.role, denied: test.denied, exists: test.exists, uploads: map[string]bool{}}
			server := httptest.NewServer(account)
			defer server.Close()
			command := exec.CommandContext(t.Context(), filepath.Join(root, ".tools", "sam", "bin", "python"), filepath.Join(folder, "infra", "operate.py"), "deploy")
			command.Dir = folder
			command.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "AWS_EC2_METADATA_DISABLED=true", "SAM_CLI_TELEMETRY=0", "AWS_DEFAULT_REGION=eu-central-1",
				"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_MAX_ATTEMPTS=1", "AWS_ENDPOINT_URL=" + server.URL,
			}
			out, err := command.CombinedOutput() // without an input: a question would end it
			if err != nil {
				t.Fatalf("%v: %s\nunanswered: %q", err, out, account.unknown)
			}
			for _, content := range packages {
				if !account.uploads[fmt.Sprintf("%x", md5.Sum(content))] {
					t.Errorf("a package was not uploaded: %q", content)
				}
			}
			if account.created != 1 || account.executed != 1 {
				t.Errorf("%d change sets made, %d executed", account.created, account.executed)
			}
			if account.logging != test.wants {
				t.Errorf("ManageApiLogging %q, want %q", account.logging, test.wants)
			}
			if want := []string{"CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM"}; !slices.Equal(account.capabilities, want) {
				t.Errorf("capabilities %q", account.capabilities)
			}
			if len(account.unknown) > 0 {
				t.Errorf("asked AWS for %q", account.unknown)
			}
		})
	}
}

// Breaks if somebody who runs `sam build` out of habit gets an error, or packages that make has not built.
func TestSAMBuild(t *testing.T) {
	t.Parallel()
	root, folder := localtest.Root(t), t.TempDir()
	packages := copyProject(t, root, folder, "")
	command := exec.CommandContext(t.Context(), filepath.Join(root, ".tools", "sam", "bin", "sam"), "build")
	command.Dir = folder
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "SAM_CLI_TELEMETRY=0", "AWS_DEFAULT_REGION=eu-central-1"}
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	named := 0
	err := filepath.WalkDir(filepath.Join(folder, ".aws-sam"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "template.yaml" {
			template, failure := os.ReadFile(path)
			err = errors.Join(err, failure)
			for line := range strings.Lines(string(template)) {
				if uri, found := strings.CutPrefix(strings.TrimSpace(line), "CodeUri: "); found {
					named++
					_, failure := os.Stat(filepath.Join(filepath.Dir(path), uri))
					err = errors.Join(err, failure)
				}
			}
		}
		return err
	})
	if err != nil || named < len(packages) {
		t.Errorf("%d of %d packages are named, %v", named, len(packages), err)
	}
}

// copyProject copies what a deployment reads, with a line in parameter_overrides and a package for each function, and
// returns the packages.
func copyProject(t *testing.T, root, folder, given string) (packages [][]byte) {
	t.Helper()
	files := []string{"template.yaml", "samconfig.toml", "infra/operate.py", "infra/scan.asl.json"}
	nested, err := filepath.Glob(filepath.Join(root, "infra", "*.yaml"))
	for _, path := range nested {
		files = append(files, filepath.Join("infra", filepath.Base(path)))
	}
	err = errors.Join(err, os.MkdirAll(filepath.Join(folder, "infra"), 0o755), os.MkdirAll(filepath.Join(folder, "build"), 0o755))
	for _, name := range files {
		content, failure := os.ReadFile(filepath.Join(root, name))
		if name == "samconfig.toml" {
			content = []byte(strings.Replace(string(content), "parameter_overrides = [", "parameter_overrides = ["+given, 1))
		}
		err = errors.Join(err, failure, os.WriteFile(filepath.Join(folder, name), content, 0o644))
	}
	functions, failure := filepath.Glob(filepath.Join(root, "functions", "*"))
	err = errors.Join(err, failure)
	for _, function := range functions {
		var b bytes.Buffer
		archive := zip.NewWriter(&b)
		file, failure := archive.Create("bootstrap")
		err = errors.Join(err, failure)
		_, failure = io.WriteString(file, filepath.Base(function))
		err = errors.Join(err, failure, archive.Close(), os.WriteFile(filepath.Join(folder, "build", filepath.Base(function)+".zip"), b.Bytes(), 0o644))
		packages = append(packages, b.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// An account stands for the parts of AWS that a deployment asks. It deploys nothing.
type account struct {
	role   string
	denied string
	exists bool

	mu                sync.Mutex
	uploads           map[string]bool // MD5 of everything
	created, executed int
	logging           string
	capabilities      []string
	unknown           []string
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.URL.Path == "/account" && r.Method == a.denied:
		w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/account":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"cloudwatchRoleArn":%q}`, a.role)
	case r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		a.uploads[fmt.Sprintf("%x", md5.Sum(payload(r, body)))] = true
		w.Header().Set("ETag", `"etag"`)
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case r.URL.Path == "/2015-03-31/functions/issue/invocations":
		fmt.Fprint(w, `{"done":true}`) // the directory of tokens is complete
	case r.Method == http.MethodPost && r.URL.Path == "/":
		_ = r.ParseForm()
		a.formation(w, r)
	default:
		a.unknown = append(a.unknown, r.Method+" "+r.URL.String())
		w.WriteHeader(http.StatusNotFound)
	}
}

// payload returns what was uploaded: S3's clients may send it in chunks, each behind its size.
func payload(r *http.Request, body []byte) []byte {
	if !strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		return body
	}
	var whole []byte
	for rest := string(body); ; {
		line, after, found := strings.Cut(rest, "\r\n")
		size := 0
		if _, err := fmt.Sscanf(line, "%x", &size); !found || err != nil || size == 0 || size > len(after) {
			return whole
		}
		whole, rest = append(whole, after[:size]...), strings.TrimPrefix(after[size:], "\r\n")
	}
}

// formation answers the query API of CloudFormation.
func (a *account) formation(w http.ResponseWriter, r *http.Request) {
	action, stack := r.Form.Get("Action"), r.Form.Get("StackName")
	const id = "arn:aws:cloudformation:eu-central-1:123456789012:stack/latchkey/1"
	reply := map[string]string{}
	switch action {
	case "DescribeStacks":
		switch {
		case stack == "aws-sam-cli-managed-default":
			reply["Stacks"] = describe(stack, "CREATE_COMPLETE", `<Outputs><member><OutputKey>SourceBucket</OutputKey><OutputValue>packages</OutputValue></member></Outputs>`+
				`<Tags><member><Key>ManagedStackSource</Key><Value>AwsSamCli</Value></member></Tags>`)
		case a.exists || a.executed > 0:
			status := "CREATE_COMPLETE"
			if a.exists && a.executed > 0 {
				status = "UPDATE_COMPLETE"
			}
			reply["Stacks"] = describe("latchkey", status, "<Parameters><member><ParameterKey>ManageApiLogging</ParameterKey><ParameterValue>true</ParameterValue></member></Parameters>"+
				"<Outputs><member><OutputKey>IssueFunctionName</OutputKey><OutputValue>issue</OutputValue></member></Outputs>")
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id latchkey does not exist</Message></Error></ErrorResponse>`)
			return
		}
	case "CreateChangeSet":
		a.created++
		a.read(r)
		reply["Id"], reply["StackId"] = "arn:aws:cloudformation:eu-central-1:123456789012:changeSet/c/1", id
	case "DescribeChangeSet":
		reply["Status"], reply["ExecutionStatus"], reply["StackId"] = "CREATE_COMPLETE", "AVAILABLE", id
		reply["Changes"] = "<member><Type>Resource</Type><ResourceChange><Action>Add</Action><LogicalResourceId>Api</LogicalResourceId><ResourceType>AWS::ApiGateway::RestApi</ResourceType></ResourceChange></member>"
	case "ExecuteChangeSet":
		a.executed++
	case "DescribeStackEvents":
		status, at := "REVIEW_IN_PROGRESS", "2026-03-19T08:00:00Z"
		if a.executed > 0 {
			status, at = "CREATE_COMPLETE", "2026-03-19T09:00:00Z"
			if a.exists {
				status = "UPDATE_COMPLETE"
			}
		}
		reply["StackEvents"] = "<member><StackId>" + id + "</StackId><EventId>" + status + "</EventId><StackName>latchkey</StackName><LogicalResourceId>latchkey</LogicalResourceId>" +
			"<PhysicalResourceId>" + id + "</PhysicalResourceId><ResourceType>AWS::CloudFormation::Stack</ResourceType><Timestamp>" + at + "</Timestamp><ResourceStatus>" + status + "</ResourceStatus></member>"
	case "GetTemplateSummary":
		reply["Parameters"] = "<member><ParameterKey>ManageApiLogging</ParameterKey></member>"
	default:
		a.unknown = append(a.unknown, action)
	}
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, "<%sResponse><%sResult>", action, action)
	for _, name := range slices.Sorted(maps.Keys(reply)) {
		fmt.Fprintf(w, "<%s>%s</%s>", name, reply[name], name)
	}
	fmt.Fprintf(w, "</%sResult></%sResponse>", action, action)
}

func describe(name, status, more string) string {
	return "<member><StackName>" + name + "</StackName><StackId>arn:aws:cloudformation:eu-central-1:123456789012:stack/" + name +
		"/1</StackId><CreationTime>2026-03-19T08:00:00Z</CreationTime><StackStatus>" + status + "</StackStatus>" + more + "</member>"
}

// read notes what a change set is made with.
func (a *account) read(r *http.Request) {
	for i := 1; r.Form.Has(fmt.Sprintf("Capabilities.member.%d", i)); i++ {
		a.capabilities = append(a.capabilities, r.Form.Get(fmt.Sprintf("Capabilities.member.%d", i)))
	}
	slices.Sort(a.capabilities)
	for i := 1; ; i++ {
		name := fmt.Sprintf("Parameters.member.%d.", i)
		switch key := r.Form.Get(name + "ParameterKey"); {
		case key == "":
			return
		case key == "ManageApiLogging" && r.Form.Get(name+"UsePreviousValue") == "true":
			a.logging = "kept"
		case key == "ManageApiLogging":
			a.logging = r.Form.Get(name + "ParameterValue")
		}
	}
}
