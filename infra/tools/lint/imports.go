package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

type layer int

const (
	unknown layer = iota
	domain
	useCase
	shared // by adapters
	adapter
	wiring // shared by the mains
)

// layers defines the direction of imports. A package imports only packages of lower layers, and a
// domain package also other domain packages. Every package below pkg needs an entry.
var layers = map[string]layer{
	"fault": domain, "clock": domain, "secret": domain, "scope": domain, "exactjson": domain, "listing": domain, "account": domain, "project": domain,
	"settings": domain, "feature": domain, "token": domain, "principal": domain, "audit": domain,
	"verify": useCase, "lifecycle": useCase, "directory": useCase, "administration": useCase, "trail": useCase, "sweep": useCase, "registry": useCase, "restore": useCase,
	"apigateway": shared, "explain": shared, "graphql": shared, "invocation": shared, "quote": shared, "throttle": shared,
	"authorizer": adapter, "gateway": adapter, "gitlabapi": adapter, "web": adapter, "store": adapter, "notify": adapter, "telemetry": adapter, "config": adapter,
	"schedule": adapter, "planner": adapter, "queue": adapter, "bounces": adapter, "stream": adapter,
	"compose": wiring,
}

// importDirection checks the direction of imports: functions, wiring, adapters, use cases, domain.
// Tests are exempt, because a use case is tested on a real store.
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

// forbidden returns why f must not import the package, or "".
func forbidden(f file, imported string) string {
	target, own := strings.CutPrefix(imported, modulePath+"/")
	if own && under(target, "infra") {
		return "what is deployed must not import infra"
	}
	if support := forTests(target); own && support != "" {
		return path.Base(support) + " is for tests"
	}
	if f.function() != "" {
		if !own || under(target, "pkg/compose") {
			return ""
		}
		return "a function imports pkg/compose and nothing else of ours"
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
	case level == shared && layers[to] >= shared:
		return "what adapters share imports only use cases and the domain, not pkg/" + to
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

// restricted lists foreign packages that only one of ours may import. The wiring builds the
// clients, so it may import all of them.
var restricted = []struct {
	module string
	owners []string
}{
	{"github.com/aws/aws-sdk-go-v2/service/dynamodb", []string{"pkg/store"}},
	{"github.com/aws/aws-sdk-go-v2/feature/dynamodb", []string{"pkg/store"}},
	{"github.com/aws/aws-sdk-go-v2/service/ses", []string{"pkg/notify"}},
	{"github.com/aws/aws-sdk-go-v2/service/sesv2", []string{"pkg/notify"}},
	{"github.com/aws/aws-sdk-go-v2/service/scheduler", []string{"pkg/planner"}},
	{"github.com/aws/aws-sdk-go-v2/service/sqs", []string{"pkg/queue/sender"}},
	{"github.com/aws/aws-sdk-go-v2/service/eventbridge", []string{"pkg/stream/bus"}},
	{"github.com/aws/aws-lambda-go/events", []string{"pkg/apigateway", "pkg/authorizer", "pkg/gitlabapi"}},
}

// restrictedModules keeps each wire format in one package, so that the other packages see domain
// values.
func restrictedModules(m module) ([]fault, error) {
	var faults []fault
	for _, f := range m.files {
		if !f.product() || layers[packageName(f.path)] == wiring {
			continue
		}
		for _, spec := range f.syntax.Imports {
			for _, r := range restricted {
				owned := slices.ContainsFunc(r.owners, func(owner string) bool { return under(f.path, owner) })
				if under(importPath(spec), r.module) && !owned {
					faults = append(faults, f.fault(spec.Pos(), "only %s and pkg/compose import %s", strings.Join(r.owners, ", "), r.module))
				}
			}
		}
	}
	return faults, nil
}

// deployable lists the modules and packages that deployed functions may contain. It names what may and not
// what may not, so that a new dependency of a test cannot get there unnoticed: it would add size to every
// cold start and code that was never reviewed for production.
var deployable = []string{
	modulePath + "/functions",
	modulePath + "/pkg",
	"github.com/aws/aws-lambda-go",
	"github.com/aws/aws-sdk-go-v2",
	"github.com/aws/smithy-go",
	"github.com/awslabs/aws-lambda-go-api-proxy",
	"github.com/caarlos0/env/v11",
	"github.com/coreos/go-oidc/v3",
	"github.com/emersion/go-ical",
	"github.com/go-jose/go-jose/v4",
	"github.com/teambition/rrule-go",
	"github.com/vektah/gqlparser/v2",
	"golang.org/x/net/idna", // mail addresses with international domains
	"golang.org/x/oauth2",
	"golang.org/x/sync",
	"golang.org/x/text", // what idna needs
	"golang.org/x/time",
}

// debugging lists packages of the standard library that belong to tests and to no function.
var debugging = []string{"testing", "net/http/httptest", "net/http/pprof", "expvar"}

// mayBeDeployed reports whether a function may contain a package.
func mayBeDeployed(name string) bool {
	within := func(dir string) bool { return under(name, dir) }
	first, _, _ := strings.Cut(name, "/")
	if !strings.Contains(first, ".") && first != modulePath {
		return !slices.ContainsFunc(debugging, within)
	}
	return slices.ContainsFunc(deployable, within)
}

// reserved lists packages that only some functions may link. In the others they would slow every
// cold start.
var reserved = map[string][]string{
	"github.com/aws/aws-sdk-go-v2/service/sesv2":       {"expired", "expiring", "leakmails", "lifetime"},
	"github.com/aws/aws-sdk-go-v2/service/scheduler":   {"settings", "web"},
	"github.com/aws/aws-sdk-go-v2/service/sqs":         {"leaks"},
	"github.com/aws/aws-sdk-go-v2/service/eventbridge": {"events"},
	modulePath + "/pkg/gitlabapi":                      {"directory", "issue", "leaks", "revoke", "settings", "tokens"},
	modulePath + "/pkg/bounces":                        {"bounces"},
	modulePath + "/pkg/stream":                         {"events"},
	modulePath + "/pkg/authorizer":                     {"authorizer"},
	modulePath + "/pkg/gateway":                        {"introspect"},
	"github.com/vektah/gqlparser/v2/parser":            {"introspect", "settings"},
	modulePath + "/pkg/queue":                          {"leakmails", "leaks"},
	modulePath + "/pkg/schedule":                       {"endings", "expired", "expiring", "lifetime"},
	modulePath + "/pkg/web":                            {"web"},
	"github.com/coreos/go-oidc/v3/oidc":                {"web"},
}

// reachableModules asks the go command which packages each function links, directly or not.
func reachableModules(m module) ([]fault, error) {
	mains, err := filepath.Glob(filepath.Join(m.root, "functions", "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var faults []fault
	for _, main := range mains {
		function := "functions/" + filepath.Base(filepath.Dir(main))
		list := exec.Command("go", "list", "-deps", "-buildvcs=false", "-tags", "lambda.norpc",
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
			if own := reserved[words[0]]; own != nil && !slices.Contains(own, path.Base(function)) {
				faults = append(faults, fault{function + "/main.go", 1,
					fmt.Sprintf("links %s, which is for %s", words[0], strings.Join(own, ", "))})
			}
			for _, imported := range words[1:] {
				// The own imports of what may not be there add nothing to its first mention.
				if !mayBeDeployed(imported) && mayBeDeployed(words[0]) {
					faults = append(faults, fault{function + "/main.go", 1,
						fmt.Sprintf("links %s, which is for tests and local runs, through %s", imported, words[0])})
				}
			}
		}
	}
	return faults, nil
}
