package main

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/token"
	"path"
	"strings"
)

// clockReads keeps reads of the current time in one package, so that a test can choose any instant.
// Product code never sleeps. A sleep in tests and local runs needs a comment with its reason.
func clockReads(m module) ([]fault, error) {
	var faults []fault
	for _, f := range m.files {
		if f.product() && !under(f.path, "pkg/clock") {
			for _, use := range f.uses("time", "Now", "Since", "Until") {
				faults = append(faults, f.fault(use.Pos(), "time.%s outside pkg/clock: take a clock", use.Sel.Name))
			}
		}
		reasons := f.sleepReasons()
		for _, use := range f.uses("time", "Sleep") {
			line := f.fset.Position(use.Pos()).Line
			switch {
			case f.product():
				faults = append(faults, f.fault(use.Pos(), "time.Sleep: wait for what you need, not for time"))
			case !reasons[line] && !reasons[line-1]:
				faults = append(faults, f.fault(use.Pos(), "time.Sleep without a reason: wait for what you need, not for time, "+
					"or say why with `// sleep: reason` on this line or the line above"))
			}
		}
	}
	return faults, nil
}

// requestData keeps the data of a request in values that a reader can follow. A context carries
// only deadlines and cancellation.
func requestData(m module) ([]fault, error) {
	const reason = "request data in a context: pass it on as a value"
	var faults []fault
	for _, f := range m.files {
		if !f.product() || !under(f.path, "pkg") {
			continue
		}
		for _, use := range f.uses("context", "WithValue") {
			faults = append(faults, f.fault(use.Pos(), reason))
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok && len(call.Args) == 1 {
				if selector, ok := call.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == "Value" && isContext(selector.X) {
					faults = append(faults, f.fault(call.Pos(), reason))
				}
			}
			return true
		})
	}
	return faults, nil
}

// isContext guesses whether an expression is a context: ctx, or the result of a method Context.
func isContext(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.HasSuffix(strings.ToLower(x.Name), "ctx")
	case *ast.SelectorExpr:
		return strings.HasSuffix(strings.ToLower(x.Sel.Name), "ctx")
	case *ast.CallExpr:
		selector, ok := x.Fun.(*ast.SelectorExpr)
		return ok && selector.Sel.Name == "Context"
	}
	return false
}

// sleepReasons returns the lines on which a comment gives the reason of a sleep.
func (f file) sleepReasons() map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.syntax.Comments {
		for _, comment := range group.List {
			if reason, ok := strings.CutPrefix(comment.Text, "// sleep:"); ok && strings.TrimSpace(reason) != "" {
				lines[f.fset.Position(comment.Pos()).Line] = true
			}
		}
	}
	return lines
}

// mainLines is the most lines of a function's own code, all its files together, so that splitting a
// main does not help.
const mainLines = 15

// functionMains keeps a main to its name and what it starts: no init, no package-level state.
func functionMains(m module) ([]fault, error) {
	var faults []fault
	lines := map[string]int{}
	for _, f := range m.files {
		function := f.function()
		if function == "" || f.isTest() {
			continue
		}
		lines[function] += f.lines
		for _, declaration := range f.syntax.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					faults = append(faults, f.fault(d.Pos(), "init in a function: wire in pkg/compose"))
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					faults = append(faults, f.fault(d.Pos(), "package-level variable in a function: build it in pkg/compose"))
				}
			}
		}
	}
	for function, n := range lines {
		if n > mainLines {
			faults = append(faults, fault{"functions/" + function + "/main.go", 1,
				fmt.Sprintf("%d lines; a function's own code has at most %d", n, mainLines)})
		}
	}
	return faults, nil
}

// exits lets only mains exit the process. telemetry.Fatal is for their start, and storetest.Main
// for TestMain.
func exits(m module) ([]fault, error) {
	var faults []fault
	for _, f := range m.files {
		if !f.product() || !under(f.path, "pkg") || under(f.path, "pkg/telemetry") {
			continue
		}
		for _, use := range append(f.uses("os", "Exit"), f.uses("log", "Fatal", "Fatalf", "Fatalln")...) {
			faults = append(faults, f.fault(use.Pos(), "%s.%s below pkg: return an error", use.X, use.Sel.Name))
		}
	}
	return faults, nil
}

// acceptanceTag is the build tag of the tests below infra/acceptance, and of no others: `make acceptance` runs them.
const acceptanceTag = "//go:build acceptance"

// hiddenTests finds tests that a plain `go test ./...` would not run, and acceptance tests that it would.
func hiddenTests(m module) ([]fault, error) {
	var faults []fault
	for _, f := range m.files {
		if !f.isTest() && forTests(f.path) == "" {
			continue
		}
		acceptance, tagged := under(f.path, "infra/acceptance"), false
		for _, group := range f.syntax.Comments {
			for _, comment := range group.List {
				switch {
				case comment.Pos() > f.syntax.Package || !constraint.IsGoBuild(comment.Text):
				case acceptance && comment.Text == acceptanceTag:
					tagged = true
				default:
					faults = append(faults, f.fault(comment.Pos(), "a build tag hides these tests"))
				}
			}
		}
		if acceptance && !tagged {
			faults = append(faults, f.fault(f.syntax.Package, "no %s: `make test` would run this", acceptanceTag))
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
				switch selector.Sel.Name {
				case "Skip", "Skipf", "SkipNow":
					faults = append(faults, f.fault(call.Pos(), "%s: a test that cannot run fails", selector.Sel.Name))
				}
			}
			return true
		})
	}
	return faults, nil
}

// vague are package names that do not say what the package provides.
var vague = map[string]bool{
	"util": true, "utils": true, "common": true, "types": true, "models": true, "helper": true, "helpers": true,
}

// packageNames reports each badly named package once, by its clause or by its folder.
func packageNames(m module) ([]fault, error) {
	var faults []fault
	seen := map[string]bool{}
	for _, f := range m.files {
		name := strings.TrimSuffix(f.syntax.Name.Name, "_test")
		if seen[f.dir()] || !vague[name] && !vague[path.Base(f.dir())] {
			continue
		}
		seen[f.dir()] = true
		faults = append(faults, f.fault(f.syntax.Package, "%s (package %s): name a package for what it provides", f.dir(), name))
	}
	return faults, nil
}
