//go:build acceptance

package binaries_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/infra/local/localtest"
)

// Breaks if nobody can check what was deployed, because the same commit gives another package in another folder. The
// packages are those of `make build`, but for this machine.
func TestTwoClonesGiveTheSamePackage(t *testing.T) {
	t.Parallel()
	root := localtest.Root(t)
	var packages [][]byte
	for _, name := range []string{"one", "another"} {
		clone := filepath.Join(t.TempDir(), name)
		run(t, root, "git", "clone", "--quiet", "--no-hardlinks", ".", clone)
		folder := filepath.Join(clone, "build", "authorizer")
		run(t, clone, "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "lambda.norpc", "-o", filepath.Join(folder, "bootstrap"), "./functions/authorizer")
		run(t, clone, "go", "run", "./infra/tools/pack", folder)
		packed, err := os.ReadFile(folder + ".zip")
		check(t, err)
		packages = append(packages, packed)
	}
	if len(packages[0]) == 0 || !bytes.Equal(packages[0], packages[1]) {
		t.Errorf("packages of %d and %d bytes differ", len(packages[0]), len(packages[1]))
	}
}

func run(t *testing.T, folder, program string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir, command.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
}
