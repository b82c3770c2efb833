package docstest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark" // parses Markdown as GitHub does; no dependencies
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// A page is one Markdown file, cut up.
type page struct {
	name     string // from the project's root
	content  string
	blocks   []block
	anchors  map[string]bool // of its headings, as GitHub makes them
	links    []string
	examples []string // spans of code within the text
}

// A block is a fenced block of code.
type block struct {
	language string
	content  string
	line     int
	// needs is what a reader has and this test has not, from the comment in
	// front of the block: "AWS" for <!-- needs AWS -->.
	needs string
	// output is what the block prints, from a block of text right behind it.
	output *string
}

func (b block) at(p page) string { return fmt.Sprintf("%s:%d", p.name, b.line) }

// root is the folder that holds go.mod.
func root(tb testing.TB) string {
	tb.Helper()
	folder, err := os.Getwd()
	check(tb, err)
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			tb.Fatal("no go.mod above this test")
		}
		folder = filepath.Dir(folder)
	}
}

// pages returns everything that a reader is sent to.
func pages(tb testing.TB) (all []page) {
	tb.Helper()
	docs, err := filepath.Glob(filepath.Join(root(tb), "docs", "*.md"))
	check(tb, err)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} {
		docs = append(docs, filepath.Join(root(tb), name))
	}
	for _, path := range docs {
		name, err := filepath.Rel(root(tb), path)
		check(tb, err)
		content, err := os.ReadFile(path)
		check(tb, err)
		all = append(all, parse(tb, filepath.ToSlash(name), string(content)))
	}
	return all
}

var needs = regexp.MustCompile(`^<!-- needs (.+?) -->\s*$`)

func parse(tb testing.TB, name, content string) page {
	tb.Helper()
	source := []byte(content)
	p := page{name: name, content: content, anchors: map[string]bool{}}
	document := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	var last ast.Node // the block of shell that the next node may be the output of
	check(tb, ast.Walk(document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := node.(type) {
		case *ast.Heading:
			p.addAnchor(plain(n, source))
		case *ast.Link:
			p.links = append(p.links, string(n.Destination))
		case *ast.Image:
			p.links = append(p.links, string(n.Destination))
		case *ast.CodeSpan:
			p.examples = append(p.examples, plain(n, source))
		case *ast.FencedCodeBlock:
			b := block{language: string(n.Language(source)), content: lines(n, source), line: strings.Count(content[:n.Pos()], "\n") + 1}
			if comment, ok := n.PreviousSibling().(*ast.HTMLBlock); ok {
				if words := needs.FindStringSubmatch(lines(comment, source)); words != nil {
					b.needs = words[1]
				}
			}
			if b.language == "text" && last != nil && n.PreviousSibling() == last {
				p.blocks[len(p.blocks)-1].output = &b.content
				return ast.WalkContinue, nil
			}
			last = nil
			if b.language == "sh" {
				last = n
			}
			p.blocks = append(p.blocks, b)
		case *ast.CodeBlock:
			tb.Errorf("%s: indented code: fence it and name its language: %s", name, lines(n, source))
		}
		return ast.WalkContinue, nil
	}))
	return p
}

func lines(node ast.Node, source []byte) string {
	var b strings.Builder
	for i := range node.Lines().Len() {
		line := node.Lines().At(i)
		b.Write(line.Value(source))
	}
	return b.String()
}

// plain returns the text of a node without its markup.
func plain(node ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// addAnchor names a heading as GitHub does: lower case, a hyphen for each space,
// without other punctuation, and with a number where the name is taken.
func (p *page) addAnchor(heading string) {
	anchor := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
	for n := 0; ; n++ {
		name := anchor
		if n > 0 {
			name = fmt.Sprintf("%s-%d", anchor, n)
		}
		if !p.anchors[name] {
			p.anchors[name] = true
			return
		}
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
