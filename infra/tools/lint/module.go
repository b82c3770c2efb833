package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// modulePath is the first part of every import path of our own.
const modulePath = "latchkey"

// module is the source tree, parsed.
type module struct {
	root  string
	files []file
}

// file is one Go file.
type file struct {
	path   string // from the module's root, with slashes
	syntax *ast.File
	fset   *token.FileSet
	lines  int
}

// fault is one broken rule.
type fault struct {
	path    string
	line    int
	message string
}

func (f fault) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.message) }

func (f fault) compare(other fault) int {
	return cmp.Or(cmp.Compare(f.path, other.path), cmp.Compare(f.line, other.line), cmp.Compare(f.message, other.message))
}

// load parses every Go file below root, whatever its build constraints. Like the go command, it
// ignores testdata, vendor and hidden folders.
func load(root string) (module, error) {
	m := module{root: root}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if name != root && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f := file{fset: token.NewFileSet(), lines: bytes.Count(source, []byte("\n"))}
		if f.syntax, err = parser.ParseFile(f.fset, name, source, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f.path = filepath.ToSlash(relative)
		m.files = append(m.files, f)
		return nil
	})
	return m, err
}

func (f file) dir() string  { return path.Dir(f.path) }
func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f file) fault(at token.Pos, format string, args ...any) fault {
	return fault{f.path, f.fset.Position(at).Line, fmt.Sprintf(format, args...)}
}

// under reports whether the slash-separated name is dir or lies below it.
func under(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}

// function returns the function's name if the file belongs to functions/<name>, otherwise "".
func (f file) function() string {
	rest, ok := strings.CutPrefix(f.path, "functions/")
	if !ok || !strings.Contains(rest, "/") {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// product reports whether the file can become part of a function. Files of infra and test support
// cannot.
func (f file) product() bool {
	return !f.isTest() && (under(f.path, "pkg") || under(f.path, "functions")) && forTests(f.path) == ""
}

// forTests returns the test-support package below pkg that has name or contains it, or "".
func forTests(name string) string {
	for _, support := range []string{"pkg/store/storetest", "pkg/telemetry/telemetrytest"} {
		if under(name, support) {
			return support
		}
	}
	return ""
}

func importPath(spec *ast.ImportSpec) string {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the Go parser never accepts this
	}
	return name
}

// localName returns the name by which the file refers to the package, "" if it does not import it.
func (f file) localName(pkg string) string {
	for _, spec := range f.syntax.Imports {
		if importPath(spec) != pkg {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}

// uses returns every mention of pkg.name for the given names. A mention without a call counts too,
// because a function can be passed as a value.
func (f file) uses(pkg string, names ...string) []*ast.SelectorExpr {
	local := f.localName(pkg)
	if local == "" {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if ident, ok := selector.X.(*ast.Ident); ok && ident.Name == local {
			for _, name := range names {
				if selector.Sel.Name == name {
					found = append(found, selector)
				}
			}
		}
		return true
	})
	return found
}
