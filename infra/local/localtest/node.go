package localtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/infra/cloud/tabledef"
)

// Root returns the folder of template.yaml.
func Root(tb testing.TB) string {
	tb.Helper()
	table, err := tabledef.Path()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Dir(filepath.Dir(table))
}

// Node returns the path of Node. It prefers the one that `make tools` installs where the machine's
// own is missing or too old. It fails the test when there is none.
func Node(tb testing.TB) string {
	tb.Helper()
	installed := filepath.Join(Root(tb), ".tools", "node", "bin", "node")
	if _, err := os.Stat(installed); err == nil {
		return installed
	}
	node, err := exec.LookPath("node")
	if err != nil {
		tb.Fatalf("%v: `make tools` installs it", err)
	}
	return node
}
