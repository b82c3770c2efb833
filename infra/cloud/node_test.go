package cloud_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// npmFolder is where `make tools` puts what infra/tools/npm names. It fails the test without it.
func npmFolder(tb testing.TB) string {
	tb.Helper()
	folder := filepath.Join(localtest.Root(tb), ".tools", "npm")
	if _, err := os.Stat(filepath.Join(folder, ".installed")); err != nil {
		tb.Fatalf("%v: `make tools` installs it", err)
	}
	return folder
}

// node returns a command with PATH and only this environment.
func node(tb testing.TB, environment []string, arguments ...string) *exec.Cmd {
	tb.Helper()
	command := exec.CommandContext(tb.Context(), localtest.Node(tb), arguments...)
	command.Env = append(environment, "PATH="+os.Getenv("PATH"))
	command.Stderr = testLog{tb}
	return command
}

// testLog shows what a program complains about in the log of its test.
type testLog struct{ tb testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.tb.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
