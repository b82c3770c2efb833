//go:build acceptance

package proxies_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/proxies"
)

// findings are what the page shows, by proxy.
type findings map[string]*column

// A column is what one proxy does.
type column struct {
	version string
	mu      sync.Mutex
	cells   map[[2]string][]string // by kind and row, the words in the order of the corpus
}

func (f findings) column(t *testing.T, program proxies.Program) *column {
	t.Helper()
	version, err := program.Version(t.Context())
	check(t, err)
	f[program.Name] = &column{version: version, cells: map[[2]string][]string{}}
	return f[program.Name]
}

func (c *column) add(kind, row, word string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cell := [2]string{kind, row}
	if !slices.Contains(c.cells[cell], word) {
		c.cells[cell] = append(c.cells[cell], word)
	}
}

const (
	begin = "<!-- What follows is written by `UPDATE_GOLDEN=1 make acceptance`. -->\n"
	end   = "<!-- End of what is written. -->\n"
)

var date = regexp.MustCompile(`20\d\d-\d\d-\d\d`)

// compare fails the test unless docs/proxies.md shows these findings, whatever day it names. With UPDATE_GOLDEN=1 it
// writes them.
func (f findings) compare(t *testing.T, forged []forgery) {
	t.Helper()
	table, err := tabledef.Path()
	check(t, err)
	path := filepath.Join(filepath.Dir(table), "..", "docs", "proxies.md")
	raw, err := os.ReadFile(path)
	check(t, err)
	before, rest, found := strings.Cut(string(raw), begin)
	shown, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the findings", path)
	}
	got := f.tables(forged)
	if date.ReplaceAllString(shown, "") == date.ReplaceAllString(got, "") {
		return
	}
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		check(t, os.WriteFile(path, []byte(before+begin+got+end+after), 0o600))
		return
	}
	t.Errorf("docs/proxies.md shows other findings; UPDATE_GOLDEN=1 writes these:\n%s", got)
}

func (f findings) tables(forged []forgery) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nTried on %s: %d forged lines × %d request targets, each through", time.Now().UTC().Format(time.DateOnly), len(forged), len(targets))
	for i, program := range proxies.All() {
		fmt.Fprintf(&b, "%s %s %s", []string{"", ",", ",", " and"}[i], title(program.Name), f[program.Name].version)
	}
	b.WriteString(".\n\n")
	var groups []string
	for _, one := range forged {
		if !slices.Contains(groups, one.group) {
			groups = append(groups, one.group)
		}
	}
	f.table(&b, "forgery", "a client sends", groups, func(row string) string { return row })
	f.table(&b, "target", "a client asks for", targets, func(row string) string {
		if row == "" {
			return "(nothing)"
		}
		return code(row)
	})
	return b.String()
}

func (f findings) table(b *strings.Builder, kind, head string, rows []string, show func(string) string) {
	fmt.Fprintf(b, "| %s |", head)
	for _, program := range proxies.All() {
		fmt.Fprintf(b, " %s |", title(program.Name))
	}
	b.WriteString("\n|---|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |", show(row))
		for _, program := range proxies.All() {
			fmt.Fprintf(b, " %s |", strings.Join(f[program.Name].cells[[2]string{kind, row}], ", "))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// title is a proxy's name in a sentence.
func title(name string) string {
	if name == proxies.Nginx.Name {
		return name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
