//go:build acceptance

package binaries_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/infra/local/localtest"
)

// Breaks if a function grows, for example because the type of a client of AWS reaches an interface in a program with templates:
// the linker keeps every operation of the client then. A cold start loads all of it.
func TestSizes(t *testing.T) {
	t.Parallel()
	const megabyte = 1_000_000
	for name, most := range map[string]int64{"authorizer": 9 * megabyte, "web": 14 * megabyte} {
		file := filepath.Join(t.TempDir(), name)
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", "lambda.norpc", "-o", file, "./functions/"+name)
		build.Dir, build.Env = localtest.Root(t), append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(file)
		check(t, err)
		if info.Size() >= most {
			t.Errorf("%s has %d bytes, want less than %d", name, info.Size(), most)
		}
	}
}
