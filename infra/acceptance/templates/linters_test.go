//go:build acceptance

package templates_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// `make lint` runs gosec and staticcheck through golangci-lint. Breaks if its configuration leaves one out.
func TestLintFindsAPlantedFault(t *testing.T) {
	t.Parallel()
	program := os.Getenv("GOLANGCI_LINT")
	if program == "" {
		t.Fatal("GOLANGCI_LINT is not set: `make acceptance` sets it")
	}
	for linter, planted := range map[string]string{
		"gosec":       "package planted\n\nimport \"crypto/md5\"\n\n// Sum is weak.\nfunc Sum(b []byte) [16]byte { return md5.Sum(b) }\n",
		"staticcheck": "package planted\n\nimport \"strings\"\n\n// Same compares with itself.\nfunc Same(a string) bool { return strings.ToLower(a) == strings.ToLower(a) }\n",
	} {
		t.Run(linter, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for name, content := range map[string]string{"go.mod": "module latchkey\n\ngo 1.26\n", "pkg/planted/planted.go": "// Package planted has a fault.\n" + planted} {
				file := filepath.Join(folder, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			run := exec.CommandContext(t.Context(), program, "run", "--allow-parallel-runners", "--config", filepath.Join(localtest.Root(t), ".golangci.yml"), "./...")
			run.Dir = folder
			out, err := run.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "("+linter+")") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
