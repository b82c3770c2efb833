package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var eventFile = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*\.json$`)

// schemas has the schemas of the events that Latchkey itself makes.
const schemas = "events/schemas"

// sampleEvents checks events/<function>/<case>.json. Each is JSON with a kebab-case name and
// belongs to a function, and each function has at least one.
func sampleEvents(m module) ([]fault, error) {
	var faults []fault
	tree := os.DirFS(m.root)
	samples := map[string]int{}
	err := fs.WalkDir(tree, "events", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == "events" {
			return nil // each function below lacks its sample then
		}
		if err == nil && name == schemas {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() {
			return err
		}
		report := func(message string) { faults = append(faults, fault{name, 1, message}) }
		parts := strings.Split(name, "/")
		if len(parts) != 3 || !eventFile.MatchString(path.Base(name)) {
			report("sample events are called events/<function>/<case>.json, the case in kebab-case")
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if !json.Valid(content) {
			report("not valid JSON")
		}
		if _, err := os.Stat(filepath.Join(m.root, "functions", parts[1])); err != nil {
			report("there is no functions/" + parts[1])
		}
		samples[parts[1]]++
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range m.files {
		if function := f.function(); path.Base(f.path) == "main.go" && function != "" && samples[function] == 0 {
			faults = append(faults, f.fault(f.syntax.Package, "events/%s has no sample event", function))
		}
	}
	return faults, nil
}
