package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
)

// Breaks if somebody who checks a release compares it with sums of something else, or if two people who make
// the same release get other files.
func TestRelease(t *testing.T) {
	t.Parallel()
	build := filepath.Join(t.TempDir(), "issue")
	check(t, os.Mkdir(build, 0o755))
	own, err := os.Executable() // a binary with a list of its modules
	check(t, err)
	check(t, os.Symlink(own, filepath.Join(build, "bootstrap")))
	check(t, os.WriteFile(build+".zip", []byte("packed"), 0o600))
	made := map[string]string{}
	for range 2 {
		folder := filepath.Join(t.TempDir(), "release")
		check(t, release(folder, "v1.2.3-rc.1", []string{build}))
		for _, name := range []string{"issue.zip", "issue.cdx.json", "SHA256SUMS"} {
			content, err := os.ReadFile(filepath.Join(folder, name))
			check(t, err)
			if before, again := made[name]; again && before != string(content) {
				t.Errorf("%s is another one the second time", name)
			}
			made[name] = string(content)
		}
	}
	want := fmt.Sprintf("%x  issue.zip\n%x  issue.cdx.json\n", sha256.Sum256([]byte("packed")), sha256.Sum256([]byte(made["issue.cdx.json"])))
	if made["issue.zip"] != "packed" || made["SHA256SUMS"] != want {
		t.Errorf("sums are %q, want %q", made["SHA256SUMS"], want)
	}
	for _, version := range []string{"", "1.2.3", "v1.2", "v01.2.3", "v1.2.3-dirty", "v1.2.3/.."} {
		if folder := filepath.Join(t.TempDir(), "release"); !errors.Is(release(folder, version, []string{build}), errVersion) {
			t.Errorf("a release with the version %q", version)
		}
	}
}

// Breaks if a list of contents names another module, version or package than was linked.
func TestContents(t *testing.T) {
	t.Parallel()
	out, err := contents("issue", "v1.2.3", sha256.Sum256([]byte("packed")), &debug.BuildInfo{GoVersion: "go1.26.0", Deps: []*debug.Module{
		{Path: "example.test/one", Version: "v1.0.0", Sum: "h1:one"},
		{Path: "example.test/two", Version: "v2.0.0", Replace: &debug.Module{Path: "example.test/fork", Version: "v2.0.1", Sum: "h1:fork"}},
	}})
	check(t, err)
	var listed cyclonedx.BOM
	check(t, cyclonedx.NewBOMDecoder(bytes.NewReader(out), cyclonedx.BOMFileFormatJSON).Decode(&listed))
	var got []string
	for _, c := range *listed.Components {
		properties := []cyclonedx.Property{}
		if c.Properties != nil {
			properties = *c.Properties
		}
		got = append(got, fmt.Sprint(c.PackageURL, properties))
	}
	want := "pkg:golang/std@1.26.0[] pkg:golang/example.test/one@v1.0.0[{go.sum h1:one}] pkg:golang/example.test/fork@v2.0.1[{go.sum h1:fork}]"
	if strings.Join(got, " ") != want {
		t.Errorf("lists %s, want %s", got, want)
	}
	if !bytes.Contains(out, fmt.Appendf(nil, "%x", sha256.Sum256([]byte("packed")))) || listed.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("the list does not name its package: %s", out)
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
