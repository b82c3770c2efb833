package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each case is a whole small module; a rule that cannot fail checks nothing, so every rule has a
// case for each way to break it and one next to it that is right.
var cases = []struct {
	name  string
	rule  rule
	files map[string]string
	want  []string // file:line and a part of the message
}{
	// importDirection
	{"domain packages may import each other", importDirection, map[string]string{
		"pkg/token/t.go": "package token\nimport (\n\"time\"\n\"latchkey/pkg/scope\"\n)",
	}, nil},
	{"domain imports a use case", importDirection, map[string]string{
		"pkg/token/t.go": "package token\nimport \"latchkey/pkg/verify\"",
	}, []string{"pkg/token/t.go:2: domain packages import only each other"}},
	{"domain imports a foreign module", importDirection, map[string]string{
		"pkg/secret/s.go": "package secret\nimport \"golang.org/x/crypto/hkdf\"",
	}, []string{"pkg/secret/s.go:2: domain packages import only the standard library"}},
	{"use case imports the domain", importDirection, map[string]string{
		"pkg/sweep/s.go": "package sweep\nimport (\n\"latchkey/pkg/token\"\n\"golang.org/x/sync/errgroup\"\n)",
	}, nil},
	{"use case imports another use case", importDirection, map[string]string{
		"pkg/sweep/s.go": "package sweep\nimport \"latchkey/pkg/trail\"",
	}, []string{"pkg/sweep/s.go:2: use cases import only the domain, not pkg/trail"}},
	{"use case imports an adapter", importDirection, map[string]string{
		"pkg/verify/v.go": "package verify\nimport \"latchkey/pkg/store\"",
	}, []string{"pkg/verify/v.go:2: use cases import only the domain, not pkg/store"}},
	{"use case imports a foreign module", importDirection, map[string]string{
		"pkg/verify/v.go": "package verify\nimport \"github.com/aws/smithy-go\"",
	}, []string{"pkg/verify/v.go:2: use cases import only the domain and the standard library"}},
	{"use case's test imports an adapter", importDirection, map[string]string{
		"pkg/verify/v_test.go": "package verify_test\nimport (\n\"latchkey/pkg/store\"\n\"latchkey/pkg/store/storetest\"\n)",
	}, nil},
	{"adapter imports a use case and its own parts", importDirection, map[string]string{
		"pkg/gitlabapi/h.go": "package gitlabapi\nimport (\n\"latchkey/pkg/lifecycle\"\n\"latchkey/pkg/gitlabapi/pages\"\n)",
	}, nil},
	{"adapter imports another adapter", importDirection, map[string]string{
		"pkg/web/w.go": "package web\nimport \"latchkey/pkg/telemetry\"",
	}, []string{"pkg/web/w.go:2: adapters must not import each other: pkg/telemetry"}},
	{"adapter imports what adapters share", importDirection, map[string]string{
		"pkg/authorizer/a.go": "package authorizer\nimport \"latchkey/pkg/throttle\"",
	}, nil},
	{"what adapters share imports an adapter", importDirection, map[string]string{
		"pkg/throttle/t.go": "package throttle\nimport \"latchkey/pkg/store\"",
	}, []string{"pkg/throttle/t.go:2: what adapters share imports only use cases and the domain, not pkg/store"}},
	{"adapter imports the mains' wiring", importDirection, map[string]string{
		"pkg/gitlabapi/h.go": "package gitlabapi\nimport \"latchkey/pkg/compose\"",
	}, []string{"pkg/gitlabapi/h.go:2: only mains import pkg/compose"}},
	{"wiring imports adapters", importDirection, map[string]string{
		"pkg/compose/c.go": "package compose\nimport (\n\"latchkey/pkg/gitlabapi\"\n\"latchkey/pkg/store\"\n)",
	}, nil},
	{"package in no layer", importDirection, map[string]string{
		"pkg/novel/n.go": "package novel\nimport \"fmt\"",
	}, []string{"pkg/novel/n.go:2: pkg/novel belongs to no layer"}},
	{"pkg imports infra", importDirection, map[string]string{
		"pkg/store/s.go": "package store\nimport \"latchkey/infra/cloud/tabledef\"",
	}, []string{"pkg/store/s.go:2: what is deployed must not import infra"}},
	{"storetest imports infra", importDirection, map[string]string{
		"pkg/store/storetest/s.go": "package storetest\nimport \"latchkey/infra/cloud/tabledef\"",
	}, nil},
	{"product imports storetest", importDirection, map[string]string{
		"pkg/store/s.go": "package store\nimport \"latchkey/pkg/store/storetest\"",
	}, []string{"pkg/store/s.go:2: storetest is for tests"}},
	{"product imports telemetrytest", importDirection, map[string]string{
		"pkg/authorizer/a.go": "package authorizer\nimport \"latchkey/pkg/telemetry/telemetrytest\"",
	}, []string{"pkg/authorizer/a.go:2: telemetrytest is for tests"}},
	{"pkg imports a function", importDirection, map[string]string{
		"pkg/web/w.go": "package web\nimport \"latchkey/functions/web\"",
	}, []string{"pkg/web/w.go:2: pkg must not import functions/web"}},
	{"function imports the wiring and foreign packages", importDirection, map[string]string{
		"functions/issue/main.go": "package main\nimport (\n\"latchkey/pkg/compose\"\n\"latchkey/pkg/compose/leaks\"\n\"github.com/aws/aws-lambda-go/lambda\"\n)",
	}, nil},
	{"function imports what the wiring wires", importDirection, map[string]string{
		"functions/issue/main.go": "package main\nimport (\n\"latchkey/pkg/store\"\n\"latchkey/pkg/config\"\n)",
	}, []string{
		"functions/issue/main.go:3: a function imports pkg/compose and nothing else of ours",
		"functions/issue/main.go:4: a function imports pkg/compose and nothing else of ours",
	}},
	{"function imports another function", importDirection, map[string]string{
		"functions/issue/main.go": "package main\nimport \"latchkey/functions/revoke\"",
	}, []string{"functions/issue/main.go:2: a function imports pkg/compose and nothing else of ours"}},
	{"function imports infra", importDirection, map[string]string{
		"functions/issue/main.go": "package main\nimport \"latchkey/infra/cloud/engine\"",
	}, []string{"functions/issue/main.go:2: what is deployed must not import infra"}},

	// restrictedModules
	{"owners, wiring and tests import the clients", restrictedModules, map[string]string{
		"pkg/store/s.go":         "package store\nimport \"github.com/aws/aws-sdk-go-v2/service/dynamodb/types\"",
		"pkg/notify/n.go":        "package notify\nimport \"github.com/aws/aws-sdk-go-v2/service/sesv2\"",
		"pkg/gitlabapi/h.go":     "package gitlabapi\nimport \"github.com/aws/aws-lambda-go/events\"",
		"pkg/verify/v_test.go":   "package verify\nimport \"github.com/aws/aws-sdk-go-v2/service/dynamodb\"",
		"pkg/compose/leaks/l.go": "package leaks\nimport \"github.com/aws/aws-sdk-go-v2/service/sesv2\"",
	}, nil},
	{"somebody else imports the clients", restrictedModules, map[string]string{
		"pkg/config/c.go":         "package config\nimport \"github.com/aws/aws-sdk-go-v2/service/dynamodb/types\"",
		"pkg/store/s.go":          "package store\nimport \"github.com/aws/aws-sdk-go-v2/service/sesv2\"",
		"pkg/web/w.go":            "package web\nimport \"github.com/aws/aws-lambda-go/events\"",
		"functions/issue/main.go": "package main\nimport \"github.com/aws/aws-sdk-go-v2/service/dynamodb\"",
	}, []string{
		"functions/issue/main.go:2: only pkg/store and pkg/compose import",
		"pkg/config/c.go:2: only pkg/store and pkg/compose import",
		"pkg/store/s.go:2: only pkg/notify and pkg/compose import",
		"pkg/web/w.go:2: only pkg/apigateway, pkg/authorizer, pkg/gitlabapi and pkg/compose import",
	}},

	// reachableModules
	{"function links a test-only module", reachableModules, map[string]string{
		"go.mod":                  "module latchkey\ngo 1.26\nrequire pgregory.net/rapid v0.0.0\nreplace pgregory.net/rapid => ./rapid",
		"rapid/go.mod":            "module pgregory.net/rapid",
		"rapid/r.go":              "package rapid\nimport _ \"fmt\"",
		"pkg/store/s.go":          "package store\nimport _ \"pgregory.net/rapid\"",
		"pkg/clock/c.go":          "package clock\nimport _ \"time\"",
		"pkg/trail/t.go":          "package trail\nimport _ \"testing/fstest\"",
		"infra/cloud/c.go":        "package cloud",
		"functions/issue/main.go": "package main\nimport _ \"latchkey/pkg/store\"\nfunc main() {}",
		"functions/clean/main.go": "package main\nimport _ \"latchkey/pkg/clock\"\nfunc main() {}",
		"functions/leaks/main.go": "package main\nimport _ \"latchkey/infra/cloud\"\nfunc main() {}",
		"functions/web/main.go":   "package main\nimport _ \"latchkey/pkg/trail\"\nfunc main() {}",
	}, []string{
		"functions/issue/main.go:1: links pgregory.net/rapid, which is for tests and local runs, through latchkey/pkg/store",
		"functions/leaks/main.go:1: links latchkey/infra/cloud, which is for tests and local runs, through latchkey/functions/leaks",
		"functions/web/main.go:1: links testing/fstest, which is for tests and local runs, through latchkey/pkg/trail",
	}},

	{"function links what is another one's", reachableModules, map[string]string{
		"go.mod":                       "module latchkey\ngo 1.26",
		"pkg/gitlabapi/g.go":           "package gitlabapi",
		"pkg/compose/c.go":             "package compose\nimport _ \"latchkey/pkg/gitlabapi\"",
		"functions/issue/main.go":      "package main\nimport _ \"latchkey/pkg/compose\"\nfunc main() {}",
		"functions/authorizer/main.go": "package main\nimport _ \"latchkey/pkg/compose\"\nfunc main() {}",
	}, []string{"functions/authorizer/main.go:1: links latchkey/pkg/gitlabapi, which is for directory, issue, leaks, revoke, settings, tokens"}},

	// requestData
	{"a context carries deadlines", requestData, map[string]string{
		"pkg/web/w.go": "package web\nimport \"context\"\nvar ctx, cancel = context.WithCancel(context.Background())\nvar n = slog.Value(1)",
	}, nil},
	{"a context carries request data", requestData, map[string]string{
		"pkg/web/w.go":      "package web\nimport \"context\"\nvar ctx = context.WithValue(context.Background(), key{}, 1)",
		"pkg/verify/v.go":   "package verify\nvar caller = r.Context().Value(key{})",
		"pkg/verify/v2.go":  "package verify\nvar caller = ctx.Value(key{})",
		"infra/local/l.go":  "package local\nimport \"context\"\nvar ctx = context.WithValue(context.Background(), key{}, 1)",
		"pkg/web/w_test.go": "package web\nimport \"context\"\nvar ctx = context.WithValue(context.Background(), key{}, 1)",
	}, []string{
		"pkg/verify/v.go:2: request data in a context",
		"pkg/verify/v2.go:2: request data in a context",
		"pkg/web/w.go:3: request data in a context",
	}},

	// clockReads
	{"the clock reads the time", clockReads, map[string]string{
		"pkg/clock/c.go":       "package clock\nimport \"time\"\nvar now = time.Now",
		"pkg/verify/v_test.go": "package verify\nimport \"time\"\nvar start = time.Now()",
		"infra/bench/b.go":     "package main\nimport \"time\"\nvar start = time.Now()",
		"pkg/store/s.go":       "package store\nimport \"time\"\nvar day = time.Unix(0, 0)",
	}, nil},
	{"others read the time", clockReads, map[string]string{
		"pkg/store/s.go":          "package store\nimport \"time\"\nvar a = time.Now()\nvar b = time.Since(a)",
		"pkg/web/w.go":            "package web\nimport stdtime \"time\"\nvar now = stdtime.Now",
		"functions/issue/main.go": "package main\nimport \"time\"\nfunc main() { time.Until(time.Time{}) }",
	}, []string{
		"functions/issue/main.go:3: time.Until outside pkg/clock",
		"pkg/store/s.go:3: time.Now outside pkg/clock",
		"pkg/store/s.go:4: time.Since outside pkg/clock",
		"pkg/web/w.go:3: time.Now outside pkg/clock",
	}},
	{"a product sleeps, with a reason or without", clockReads, map[string]string{
		"pkg/clock/c.go": "package clock\nimport \"time\"\nfunc f() { time.Sleep(1) }",
		"pkg/web/w.go":   "package web\nimport \"time\"\nfunc f() { time.Sleep(1) } // sleep: a pause",
	}, []string{
		"pkg/clock/c.go:3: time.Sleep: wait for what you need",
		"pkg/web/w.go:3: time.Sleep: wait for what you need",
	}},
	{"a test or a local run sleeps without a reason", clockReads, map[string]string{
		"pkg/web/w_test.go":        "package web\nimport (\n\"testing/synctest\"\n\"time\"\n)\nfunc f() { synctest.Test(nil, nil); time.Sleep(1) }",
		"infra/local/l.go":         "package local\nimport \"time\"\nvar f = time.Sleep",
		"pkg/store/storetest/e.go": "package storetest\nimport \"time\"\nfunc f() {\n// sleep: too far up\n\ntime.Sleep(1)\n// sleep: below\n}",
		"pkg/store/s_test.go":      "package store\nimport \"time\"\nfunc f() {\ntime.Sleep(1) // a pause\ntime.Sleep(1) // sleep:\n}",
	}, []string{
		"pkg/web/w_test.go:6: time.Sleep without a reason",
		"infra/local/l.go:3: time.Sleep without a reason",
		"pkg/store/storetest/e.go:6: time.Sleep without a reason",
		"pkg/store/s_test.go:4: time.Sleep without a reason",
		"pkg/store/s_test.go:5: time.Sleep without a reason",
	}},
	{"a test says why it sleeps", clockReads, map[string]string{
		"pkg/web/w_test.go": "package web\nimport \"time\"\nfunc f() {\ntime.Sleep(1) // sleep: the lease ends\n\n// sleep: the lease ends\ntime.Sleep(1)\n}",
	}, nil},

	// functionMains
	{"a main of 15 lines", functionMains, map[string]string{
		"functions/issue/main.go":      "package main\nfunc main() {}" + strings.Repeat("\n", 14),
		"functions/issue/main_test.go": "package main\nvar golden = 1" + strings.Repeat("\n", 99),
	}, nil},
	{"a main of 16 lines", functionMains, map[string]string{
		"functions/issue/main.go": "package main\nfunc main() {}" + strings.Repeat("\n", 15),
	}, []string{"functions/issue/main.go:1: 16 lines"}},
	{"a main split in two", functionMains, map[string]string{
		"functions/issue/main.go": "package main\nfunc main() { wire() }" + strings.Repeat("\n", 8),
		"functions/issue/wire.go": "package main\nfunc wire() {}" + strings.Repeat("\n", 8),
	}, []string{"functions/issue/main.go:1: 18 lines"}},
	{"init and a package-level client", functionMains, map[string]string{
		"functions/issue/main.go": "package main\nvar client = 1\nfunc init() {}\nfunc main() {}",
	}, []string{"functions/issue/main.go:2: package-level variable", "functions/issue/main.go:3: init in a function"}},

	// exits
	{"mains, telemetry and tests may exit", exits, map[string]string{
		"pkg/telemetry/t.go":      "package telemetry\nimport \"os\"\nfunc Fatal() { os.Exit(1) }",
		"pkg/store/s_test.go":     "package store\nimport \"os\"\nfunc f() { os.Exit(1) }",
		"functions/issue/main.go": "package main\nimport \"os\"\nfunc main() { os.Exit(1) }",
	}, nil},
	{"a package exits", exits, map[string]string{
		"pkg/config/c.go": "package config\nimport (\n\"log\"\n\"os\"\n)\nfunc f() {\nlog.Fatalf(\"\")\nos.Exit(1)\n}",
	}, []string{"pkg/config/c.go:7: log.Fatalf", "pkg/config/c.go:8: os.Exit"}},

	// hiddenTests
	{"a test is skipped", hiddenTests, map[string]string{
		"pkg/store/s_test.go":      "package store\nfunc f(t *testing.T) {\nt.Skip()\nt.SkipNow()\n}",
		"pkg/store/storetest/e.go": "package storetest\nfunc f(tb testing.TB) { tb.Skipf(\"\") }",
	}, []string{
		"pkg/store/s_test.go:3: Skip:",
		"pkg/store/s_test.go:4: SkipNow:",
		"pkg/store/storetest/e.go:2: Skipf:",
	}},
	{"a test is behind a build tag", hiddenTests, map[string]string{
		"pkg/store/s_test.go": "//go:build integration\n\npackage store",
	}, []string{"pkg/store/s_test.go:1: a build tag hides these tests"}},
	{"acceptance tests have their own build tag", hiddenTests, map[string]string{
		"infra/acceptance/git/a_test.go": "//go:build acceptance\n\npackage git_test",
		"infra/acceptance/git/b_test.go": "package git_test",
		"infra/acceptance/git/c_test.go": "//go:build linux\n\npackage git_test",
		"pkg/store/s_test.go":            "//go:build acceptance\n\npackage store",
	}, []string{
		"infra/acceptance/git/b_test.go:1: no //go:build acceptance",
		"infra/acceptance/git/c_test.go:1: a build tag hides these tests",
		"infra/acceptance/git/c_test.go:3: no //go:build acceptance",
		"pkg/store/s_test.go:1: a build tag hides these tests",
	}},
	{"a product file has a build tag", hiddenTests, map[string]string{
		"infra/local/l.go": "//go:build linux\n\npackage local",
	}, nil},

	// packageNames
	{"vague packages", packageNames, map[string]string{
		"pkg/helpers/h.go":  "package assist",
		"infra/x/x.go":      "package util",
		"infra/x/y.go":      "package util",
		"infra/x/x_test.go": "package util_test",
		"pkg/token/t.go":    "package token",
	}, []string{"infra/x/x.go:1: infra/x (package util)", "pkg/helpers/h.go:1: pkg/helpers"}},

	// sampleEvents
	{"a function with a sample event", sampleEvents, map[string]string{
		"functions/issue/main.go":               "package main",
		"events/issue/name-is-missing-400.json": "{}",
		"events/schemas/token.created.json":     "{}",
	}, nil},
	{"a function without sample events", sampleEvents, map[string]string{
		"functions/issue/main.go": "package main",
	}, []string{"functions/issue/main.go:1: events/issue has no sample event"}},
	{"badly made sample events", sampleEvents, map[string]string{
		"functions/issue/main.go": "package main",
		"events/issue/ok.json":    "{}",
		"events/issue/bad.json":   "{",
		"events/issue/Case.json":  "{}",
		"events/issue/note.txt":   "",
		"events/gone/ok.json":     "{}",
		"events/top.json":         "{}",
	}, []string{
		"events/gone/ok.json:1: there is no functions/gone",
		"events/issue/Case.json:1: sample events are called",
		"events/issue/bad.json:1: not valid JSON",
		"events/issue/note.txt:1: sample events are called",
		"events/top.json:1: sample events are called",
	}},
}

func TestRules(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, err := load(write(t, c.files))
			if err != nil {
				t.Fatal(err)
			}
			faults, err := c.rule(m)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, faults, c.want)
		})
	}
}

func TestCheckAppliesEveryRuleInReadingOrder(t *testing.T) {
	faults, err := check(write(t, map[string]string{
		"pkg/util/u.go":  "package util\nimport \"fmt\"",
		"pkg/token/t.go": "package token\nimport \"time\"\nvar now = time.Now",
		"events/x.json":  "{}",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"events/x.json:1: sample events are called",
		"pkg/token/t.go:3: time.Now",
		"pkg/util/u.go:1: pkg/util",
		"pkg/util/u.go:2: pkg/util belongs to no layer",
	}
	if len(faults) != len(want) {
		t.Fatalf("check() = %v, want %q", faults, want)
	}
	for i, f := range faults {
		if !strings.HasPrefix(f.String(), want[i]) {
			t.Errorf("fault %d = %s, want %s", i, f, want[i])
		}
	}
}

func TestFileThatDoesNotParseIsAnError(t *testing.T) {
	if _, err := check(write(t, map[string]string{"pkg/token/t.go": "package"})); err == nil {
		t.Error("check() = nil, want the parser's error")
	}
}

// compare wants as many faults as prefixes, each fault starting with its prefix, in any order.
func compare(t *testing.T, faults []fault, want []string) {
	t.Helper()
	unmet := map[string]bool{}
	for _, prefix := range want {
		unmet[prefix] = true
	}
	for _, f := range faults {
		met := false
		for prefix := range unmet {
			if strings.HasPrefix(f.String(), prefix) {
				delete(unmet, prefix)
				met = true
				break
			}
		}
		if !met {
			t.Errorf("unexpected: %s", f)
		}
	}
	for prefix := range unmet {
		t.Errorf("missing: %s", prefix)
	}
}

// write makes a module of the files in a folder of its own and returns the folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		target := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Breaks if a deployed function contains a library of tests or of the local run. The rule of `make lint`, so that
// `make test` shows it as well.
func TestFunctionsContainOnlyWhatMayBeDeployed(t *testing.T) {
	faults, err := reachableModules(module{root: filepath.Join("..", "..", "..")})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}
