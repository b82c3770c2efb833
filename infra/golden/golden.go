// Package golden compares the output of a test with a file under testdata/golden. `make golden`
// rewrites the files. Start with Check.
package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Check fails the test if got differs from the golden file with this name.
func Check(tb testing.TB, name, got string) {
	tb.Helper()
	path := filepath.Join("testdata", "golden", strings.NewReplacer(" ", "-", "'", "").Replace(name)+".txt")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if got != string(want) {
		tb.Errorf("%s:\n--- want\n%s\n--- got\n%s", path, want, got)
	}
}
