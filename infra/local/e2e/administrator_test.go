package e2e_test

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// operate runs a command of infra/operate.py with boto3, for a stack with these outputs, on the local cloud.
func operate(t *testing.T, w *localtest.World, command string, stack map[string]string, environ ...string) (string, error) {
	t.Helper()
	cloudformation := httptest.NewServer(stackAPI(stack))
	defer cloudformation.Close()
	root := localtest.Root(t)
	run := exec.CommandContext(t.Context(), python(t, root), filepath.Join(root, "infra", "operate.py"), command)
	run.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "PYTHONPATH=" + packages(t, root), "PYTHONDONTWRITEBYTECODE=1", "HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true",
		"AWS_DEFAULT_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_MAX_ATTEMPTS=1",
		"AWS_ENDPOINT_URL_LAMBDA=" + w.URL, "AWS_ENDPOINT_URL_CLOUDFORMATION=" + cloudformation.URL,
	}, environ...)
	out, err := run.CombinedOutput()
	return string(out), err
}

// python returns a link to the interpreter of the tools, next to a `sam` that prints its arguments:
// operate.py deploys with the one of its own folder.
func python(t *testing.T, root string) string {
	t.Helper()
	python, err := filepath.EvalSymlinks(filepath.Join(root, ".tools", "venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	link := filepath.Join(folder, "python")
	if err := errors.Join(os.Symlink(python, link), os.WriteFile(filepath.Join(folder, "sam"), []byte("#!/bin/sh\necho sam \"$@\"\n"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return link
}

// packages returns the folder with the tools' packages for Python.
func packages(t *testing.T, root string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, ".tools", "venv", "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages in %v, %v", found, err)
	}
	return found[0]
}

// stackAPI answers DescribeStacks of CloudFormation about one stack, or none if it has no outputs.
func stackAPI(outputs map[string]string) http.Handler {
	type member struct{ OutputKey, OutputValue string }
	type described struct {
		XMLName xml.Name `xml:"DescribeStacksResponse"`
		Name    string   `xml:"DescribeStacksResult>Stacks>member>StackName"`
		Outputs []member `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		if r.FormValue("Action") != "DescribeStacks" || outputs == nil {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id ` +
				`latchkey does not exist</Message></Error></ErrorResponse>`))
			return
		}
		reply := described{Name: r.FormValue("StackName")}
		for key, value := range outputs {
			reply.Outputs = append(reply.Outputs, member{key, value})
		}
		_ = xml.NewEncoder(w).Encode(reply)
	})
}

// Breaks if the command after a deployment makes no administrator, or shows a line that does not work.
func TestFirstAdministrator(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	stack := map[string]string{"IssueFunctionName": "issue", "ApiUrl": w.URL}
	out, err := operate(t, w, "administrator", stack, "EMAIL=ada@example.test", "ADMIN=ada")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	line := regexp.MustCompile(`(?m)^  curl .*$`).FindString(out)
	bearer := regexp.MustCompile(`lkpat_\w+`).FindString(out)
	if bearer == "" {
		t.Fatal("no bearer is shown")
	}
	w.Logs.Secret(bearer)
	command := exec.CommandContext(t.Context(), "sh", "-c", line)
	command.Env = append(os.Environ(), "LATCHKEY_TOKEN="+bearer)
	shown, err := command.Output()
	if err != nil || !strings.Contains(string(shown), `"username":"ada"`) || !strings.Contains(string(shown), `"is_admin":true`) {
		t.Errorf("the line %q shows %s, %v", strings.ReplaceAll(line, bearer, "…"), shown, err)
	}
	for name, test := range map[string]struct {
		stack   map[string]string
		environ []string
		says    string
	}{
		"a username that is taken": {stack, []string{"EMAIL=other@example.test", "ADMIN=ada"}, "No administrator was made: create_administrator: "},
		"no mail address":          {stack, nil, "Say whose address it is"},
		"no deployment":            {nil, []string{"EMAIL=ada@example.test"}, "There is no stack latchkey: run `make deploy` first."},
		"a function that is gone":  {map[string]string{"IssueFunctionName": "gone", "ApiUrl": w.URL}, []string{"EMAIL=ada@example.test"}, "AWS: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := operate(t, w, "administrator", test.stack, test.environ...); err == nil || !strings.HasPrefix(out, test.says) || strings.Contains(out, "Traceback") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
