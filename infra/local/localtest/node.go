package localtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/infra/cloud/tabledef"
)

// Node returns the path of Node. It prefers the one that `make tools` installs where the machine's
// own is missing or too old. It fails the test when there is none.
func Node(tb testing.TB) string {
	tb.Helper()
	table, err := tabledef.Path()
	if err != nil {
		tb.Fatal(err)
	}
	installed := filepath.Join(filepath.Dir(filepath.Dir(table)), ".tools", "node", "bin", "node")
	if _, err := os.Stat(installed); err == nil {
		return installed
	}
	node, err := exec.LookPath("node")
	if err != nil {
		tb.Fatalf("%v: `make tools` installs it", err)
	}
	return node
}
