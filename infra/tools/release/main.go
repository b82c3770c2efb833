// Command release makes the files of a release from folders with binaries that pack has packed: the package of
// each function, what is in it as CycloneDX JSON, and SHA256SUMS, which `sha256sum --check` reads. The first
// argument is the folder to make, the second one the version.
//
// What is in a binary comes from the binary itself, where the go command notes each module that it links. So
// the list needs no tool and cannot name what is not there. It names no time, so that it is the same
// wherever it is made.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "release: usage: release FOLDER VERSION BUILD...")
		os.Exit(2)
	}
	if err := release(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// versions are semantic, without the build metadata that file names and URLs cannot have (semver.org, 2.0.0).
var versions = regexp.MustCompile(`^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$`)

var errVersion = errors.New("a version looks like v1.2.3 or v1.2.3-rc.1; give the commit such a tag")

func release(folder, version string, builds []string) error {
	if !versions.MatchString(version) || strings.HasSuffix(version, "-dirty") { // so git calls changes that no commit has
		return fmt.Errorf("%q: %w", version, errVersion)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	write := func(name string, content []byte) error {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
		return os.WriteFile(filepath.Join(folder, name), content, 0o644)
	}
	for _, build := range builds {
		function := filepath.Base(build)
		packed, err := os.ReadFile(filepath.Clean(build) + ".zip")
		if err != nil {
			return err
		}
		info, err := buildinfo.ReadFile(filepath.Join(build, "bootstrap"))
		if err != nil {
			return err
		}
		listed, err := contents(function, version, sha256.Sum256(packed), info)
		if err != nil {
			return err
		}
		if err := errors.Join(write(function+".zip", packed), write(function+".cdx.json", listed)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// A document is a bill of materials (CycloneDX 1.5, JSON).
type document struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// contents lists what was linked into a function's binary.
func contents(function, version string, packed [sha256.Size]byte, info *debug.BuildInfo) ([]byte, error) {
	listed := document{
		Format: "CycloneDX", Spec: "1.5", Version: 1,
		Metadata: metadata{component{
			Type: "application", Ref: "latchkey/" + function, Name: "latchkey/" + function, Version: version,
			Hashes: []hash{{"SHA-256", fmt.Sprintf("%x", packed)}},
		}},
		Components: []component{library("std", strings.TrimPrefix(info.GoVersion, "go"), "")},
	}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		listed.Components = append(listed.Components, library(module.Path, module.Version, module.Sum))
	}
	out, err := json.MarshalIndent(listed, "", "  ")
	return append(out, '\n'), err
}

// library describes a module. sum is that of go.sum, which is no hash of a file.
func library(path, version, sum string) component {
	purl := "pkg:golang/" + path + "@" + version
	c := component{Type: "library", Ref: purl, Name: path, Version: version, PURL: purl}
	if sum != "" {
		c.Properties = []property{{"go.sum", sum}}
	}
	return c
}
