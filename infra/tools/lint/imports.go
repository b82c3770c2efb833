package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

type layer int

const (
	unknown layer = iota
	domain
	useCase
	adapter
	wiring // what the mains have in common
)

// layers names every package below pkg. A new one must be put somewhere on purpose.
var layers = map[string]layer{
	"token": domain, "audit": domain, "scope": domain, "secret": domain, "principal": domain, "clock": domain,
	"lifecycle": useCase, "verify": useCase, "sweep": useCase, "directory": useCase, "policy": useCase,
	"httpapi": adapter, "web": adapter, "store": adapter, "notify": adapter, "telemetry": adapter, "config": adapter,
	"schedule": adapter, "planner": adapter,
	"compose": wiring,
}

// importDirection keeps arrows pointing down: functions and their wiring, adapters, use cases,
// domain. Tests may
// reach further, for a use case is tested on a real store.
func importDirection(m module) ([]fault, error) {
	var faults []fault
	for _, f := range m.files {
		if !f.product() {
			continue
		}
		for _, spec := range f.syntax.Imports {
			if reason := forbidden(f, importPath(spec)); reason != "" {
				faults = append(faults, f.fault(spec.Pos(), "%s", reason))
			}
		}
	}
	return faults, nil
}

// forbidden says why f must not import the package, or "".
func forbidden(f file, imported string) string {
	target, own := strings.CutPrefix(imported, modulePath+"/")
	if own && under(target, "infra") {
		return "what is deployed must not import infra"
	}
	if own && under(target, "pkg/store/storetest") {
		return "storetest is for tests"
	}
	if function := f.function(); function != "" {
		if own && under(target, "functions") && !under(target, "functions/"+function) {
			return "a function must not import another function"
		}
		return ""
	}
	from := packageName(f.path)
	level := layers[from]
	if level == unknown {
		return fmt.Sprintf("pkg/%s belongs to no layer: name it in the import checker", from)
	}
	if !own {
		external := strings.Contains(strings.Split(imported, "/")[0], ".")
		switch {
		case level == domain && external:
			return "domain packages import only the standard library"
		case level == useCase && external && !under(imported, "golang.org/x"):
			return "use cases import only the domain and the standard library"
		}
		return ""
	}
	to := packageName(target)
	switch {
	case !under(target, "pkg"):
		return "pkg must not import " + target
	case from == to:
		return ""
	case layers[to] == wiring:
		return "only mains import pkg/" + to
	case level == domain && layers[to] != domain:
		return "domain packages import only each other, not pkg/" + to
	case level == useCase && layers[to] != domain:
		return "use cases import only the domain, not pkg/" + to
	case level == adapter && layers[to] == adapter:
		return "adapters must not import each other: pkg/" + to
	}
	return ""
}

// packageName returns the second part of pkg/<name>/...
func packageName(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// restricted lists foreign packages that one of ours keeps to itself. Mains build the clients, so
// they may import all of them.
var restricted = []struct{ module, owner string }{
	{"github.com/aws/aws-sdk-go-v2/service/dynamodb", "pkg/store"},
	{"github.com/aws/aws-sdk-go-v2/feature/dynamodb", "pkg/store"},
	{"github.com/aws/aws-sdk-go-v2/service/ses", "pkg/notify"},
	{"github.com/aws/aws-sdk-go-v2/service/sesv2", "pkg/notify"},
	{"github.com/aws/aws-sdk-go-v2/service/scheduler", "pkg/planner"},
	{"github.com/aws/aws-lambda-go/events", "pkg/httpapi"},
}

// restrictedModules keeps each wire format in one package, so that the others see domain values.
func restrictedModules(m module) ([]fault, error) {
	var faults []fault
	for _, f := range m.files {
		if !f.product() || f.function() != "" || layers[packageName(f.path)] == wiring {
			continue
		}
		for _, spec := range f.syntax.Imports {
			for _, r := range restricted {
				if under(importPath(spec), r.module) && !under(f.path, r.owner) {
					faults = append(faults, f.fault(spec.Pos(), "only %s and mains import %s", r.owner, r.module))
				}
			}
		}
	}
	return faults, nil
}

// testOnly lists what must never be part of a deployed function: it would add size to every cold
// start and code that was never reviewed for production.
var testOnly = []string{
	"testing",
	"github.com/truora/minidyn",
	"gitlab.com/gitlab-org/api/client-go",
	"github.com/google/btree",
	"github.com/google/go-cmp",
	"pgregory.net/rapid",
	"go.yaml.in/yaml",
	"gopkg.in/yaml.v3",
}

// reachableModules asks the go command what each function links in, directly or not.
func reachableModules(m module) ([]fault, error) {
	mains, err := filepath.Glob(filepath.Join(m.root, "functions", "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var faults []fault
	for _, main := range mains {
		function := "functions/" + filepath.Base(filepath.Dir(main))
		list := exec.Command("go", "list", "-deps", "-tags", "lambda.norpc",
			"-f", `{{.ImportPath}} {{join .Imports " "}}`, "./"+function)
		list.Dir = m.root
		// As deployed; another platform can import other packages.
		list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
		var stderr bytes.Buffer
		list.Stderr = &stderr
		output, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", function, err, stderr.Bytes())
		}
		for line := range strings.Lines(string(output)) {
			words := strings.Fields(line)
			for _, imported := range words[1:] {
				for _, banned := range testOnly {
					// A test-only module's own imports add nothing to its first mention.
					if under(imported, banned) && !under(words[0], banned) {
						faults = append(faults, fault{function + "/main.go", 1,
							fmt.Sprintf("links %s, which is for tests and local runs, through %s", imported, words[0])})
					}
				}
			}
		}
	}
	return faults, nil
}
