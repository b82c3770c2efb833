// Package docstest_test follows README.md and docs: it runs every block of shell, in the order of its
// page and in one shell for each page, against what `make run` starts, and compares what is printed with
// the block of text behind it. In such a block … stands for anything.
//
// A block that needs more than this machine says so in a comment in front of it, which readers
// do not see: <!-- needs AWS -->. Other commands that do not run are in a list here, with the reason.
package docstest_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// notRun are commands that pages show and this test does not run.
var notRun = map[string]string{
	"make test": "it would run this test again, and all others",
}

// languages are those that blocks may have.
var languages = []string{"sh", "text", "json", "yaml", "mermaid"}

func TestEveryCommandRuns(t *testing.T) {
	t.Parallel()
	program := build(t)
	used := map[string]bool{}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			for _, command := range commands(b) {
				used[command] = true
			}
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			follow(t, p, program)
		})
	}
	for command := range notRun {
		if !used[command] {
			t.Errorf("no page shows %q any more", command)
		}
	}
}

func follow(t *testing.T, p page, program string) {
	r := newReader(t, program)
	for _, b := range p.blocks {
		switch {
		case !slices.Contains(languages, b.language):
			t.Errorf("%s: a block in %q, which is not %s", b.at(p), b.language, strings.Join(languages, ", "))
		case b.language == "json" && !json.Valid([]byte(b.content)):
			t.Errorf("%s: not JSON", b.at(p))
		case b.language == "yaml":
			if err := yaml.Unmarshal([]byte(b.content), new(yaml.Node)); err != nil {
				t.Errorf("%s: %v", b.at(p), err)
			}
		case b.language == "text" && strings.HasPrefix(b.content, "Subject: "):
			if !slices.Contains(mails(t), b.content) {
				t.Errorf("%s: a mail that is none of those in pkg/notify", b.at(p))
			}
		case b.language == "sh" && b.needs != "":
			if said, err := r.command("bash", "-n", "-c", b.content).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", b.at(p), err, said)
			}
		}
		if b.language != "sh" || b.needs != "" || !slices.ContainsFunc(commands(b), func(c string) bool { return notRun[c] == "" }) {
			continue
		}
		if variables, ok := starts(b); ok {
			r.start(variables)
			continue
		}
		compare(t, b.at(p), b.output, r.run(b.at(p), b))
	}
}

// mails are what the mails look like that tests compare.
func mails(t *testing.T) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), "pkg", "notify", "testdata", "golden", "*.txt"))
	check(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		check(t, err)
		texts = append(texts, string(content))
	}
	return texts
}

// starts returns the variables of a block that is one `make run`.
func starts(b block) ([]string, bool) {
	all := commands(b)
	if len(all) != 1 {
		return nil, false
	}
	words := makeRun.FindStringSubmatch(all[0])
	if words == nil {
		return nil, false
	}
	return strings.Fields(words[1]), true
}

// commands returns a block's lines without comments.
func commands(b block) (all []string) {
	if b.language != "sh" {
		return nil
	}
	for line := range strings.Lines(b.content) {
		line, _, _ = strings.Cut(line, " # ")
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}

// refusal is what a reader must not see where the page does not show it.
var refusal = regexp.MustCompile(`(?mi)^\{"(error|message|errorMessage)"`)

func compare(t *testing.T, where string, want *string, printed string) {
	t.Helper()
	printed = tidy(printed)
	if want == nil {
		if refusal.MatchString(printed) {
			t.Errorf("%s: prints a refusal that the page does not show:\n%s", where, printed)
		}
		return
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(tidy(*want)), "…", "(?s:.*?)")
	if !regexp.MustCompile("^" + pattern + "$").MatchString(printed) {
		t.Errorf("%s: the page shows\n%s\nand this was printed:\n%s", where, *want, printed)
	}
}

// tidy leaves out what nobody sees.
func tidy(s string) string {
	var kept []string
	for line := range strings.Lines(s) {
		kept = append(kept, strings.TrimRight(line, " \t\r\n"))
	}
	return strings.Trim(strings.Join(kept, "\n"), "\n")
}

// build makes the program that `make run` makes.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "local")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./infra/local/run")
	cmd.Dir = root(t)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return program
}

// A page on GitHub links to nothing that is not there.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := map[string]page{}
	for _, p := range pages(t) {
		all[p.name] = p
	}
	for _, p := range all {
		for _, link := range p.links {
			target, err := url.Parse(link)
			if err != nil || target.Scheme == "http" {
				t.Errorf("%s: link %s", p.name, link)
				continue
			}
			if target.Scheme != "" {
				continue // somebody else's
			}
			name := p.name
			if target.Path != "" {
				name = path.Join(path.Dir(p.name), target.Path)
			}
			if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(name))); err != nil {
				t.Errorf("%s: link to %s, which is not there", p.name, link)
			}
			if to, known := all[name]; target.Fragment != "" && (!known || !to.anchors[target.Fragment]) {
				t.Errorf("%s: link to %s, where no heading has that name", p.name, link)
			}
		}
	}
	contents := all["docs/README.md"]
	for name := range all {
		own, inDocs := strings.CutPrefix(name, "docs/")
		if inDocs && own != "README.md" && !slices.Contains(contents.links, own) {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
	if last := contents.links[len(contents.links)-1]; last != "gitlab-differences.md" {
		t.Errorf("docs/README.md ends with %s; the differences from GitLab come last", last)
	}
}

// GitHub drops the cells that a row has too many, and so would hide a row that got into the wrong table.
func TestTablesAreWhole(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		number, header := 0, 0
		for line := range strings.Lines(p.content) {
			number++
			bars := 0
			if strings.HasPrefix(line, "|") {
				bars = strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
			}
			if header != 0 && bars != 0 && bars != header {
				t.Errorf("%s:%d: %d cells under a header of %d", p.name, number, bars-1, header-1)
			}
			if header == 0 || bars == 0 {
				header = bars
			}
		}
	}
}

// maxReadme keeps the first page one that people read.
const maxReadme = 10_240

func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		if p.name == "README.md" && len(p.content) > maxReadme {
			t.Errorf("README.md has %d bytes, more than %d: move something to docs", len(p.content), maxReadme)
		}
	}
}

// A page names no target of make that is not there.
func TestTargetsOfMakeExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root(t), "Makefile"))
	check(t, err)
	target := regexp.MustCompile(`(?m)(?:^|\s)make ([a-z][a-z-]*)`)
	for _, p := range pages(t) {
		shown := slices.Clone(p.examples)
		for _, b := range p.blocks {
			shown = append(shown, commands(b)...)
		}
		for _, example := range shown {
			for _, words := range target.FindAllStringSubmatch(example, -1) {
				if !regexp.MustCompile(`(?m)^` + words[1] + `:`).Match(makefile) {
					t.Errorf("%s: `make %s`, which is no target", p.name, words[1])
				}
			}
		}
	}
}

// A promise that names a test which is gone has none that anybody finds.
func TestPromisesHaveTests(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, folder := range []string{"pkg", "infra"} {
		check(t, filepath.WalkDir(filepath.Join(root(t), folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, words := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(source), -1) {
				there[words[1]] = true
			}
			return err
		}))
	}
	promises := regexp.MustCompile(`(?m)^\d+\. `).Split(sectionsOf(pageNamed(t, "docs/architecture.md").content)["Promises"], -1)[1:]
	if len(promises) == 0 {
		t.Fatal("docs/architecture.md has no promises")
	}
	for i, promise := range promises {
		tests := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(promise, -1)
		if len(tests) == 0 {
			t.Errorf("promise %d names no test", i+1)
		}
		for _, words := range tests {
			if !there[words[1]] {
				t.Errorf("promise %d names %s, which is not there", i+1, words[1])
			}
		}
	}
}

// An operator finds every parameter, with the default that it has.
func TestParametersAreDescribed(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root(t), "template.yaml"))
	check(t, err)
	var template struct {
		Parameters map[string]struct {
			Default any `yaml:"Default"`
		} `yaml:"Parameters"`
	}
	check(t, yaml.Unmarshal(source, &template))
	if len(template.Parameters) == 0 {
		t.Fatal("template.yaml has no parameters")
	}
	all := pages(t)
	for name, parameter := range template.Parameters {
		value := fmt.Sprintf("`%v`", parameter.Default)
		if parameter.Default == "" {
			value = "none"
		}
		row := fmt.Sprintf("| `%s` | %s |", name, value)
		if !slices.ContainsFunc(all, func(p page) bool { return strings.Contains(p.content, row) }) {
			t.Errorf("no page of docs has the row %s", row)
		}
	}
}
