// Command release makes the files of a release from folders with binaries that pack has packed: the package of
// each function, what is in it as CycloneDX JSON, and SHA256SUMS, which `sha256sum --check` reads. The first
// argument is the folder to make, the second one the version.
//
// What is in a binary comes from the binary itself, where the go command notes each module that it links. So
// the list needs no tool and cannot name what is not there. It names no time, so that it is the same
// wherever it is made.
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
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

// contents lists what was linked into a function's binary.
func contents(function, version string, packed [sha256.Size]byte, info *debug.BuildInfo) ([]byte, error) {
	components := []cyclonedx.Component{library("std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		components = append(components, library(module.Path, module.Version, module.Sum))
	}
	listed := cyclonedx.NewBOM()
	listed.Components = &components
	listed.Metadata = &cyclonedx.Metadata{Component: &cyclonedx.Component{
		Type: cyclonedx.ComponentTypeApplication, BOMRef: "latchkey/" + function, Name: "latchkey/" + function, Version: version,
		Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: fmt.Sprintf("%x", packed)}},
	}}
	var out bytes.Buffer
	err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(listed, cyclonedx.SpecVersion1_5)
	return out.Bytes(), err
}

// library describes a module. sum is that of go.sum, which is no hash of a file.
func library(path, version, sum string) cyclonedx.Component {
	purl := "pkg:golang/" + path + "@" + version
	c := cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, BOMRef: purl, Name: path, Version: version, PackageURL: purl}
	if sum != "" {
		c.Properties = &[]cyclonedx.Property{{Name: "go.sum", Value: sum}}
	}
	return c
}
