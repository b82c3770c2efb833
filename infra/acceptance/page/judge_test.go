//go:build acceptance

package page_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"

	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/local/localtest"
)

// tools is where `make acceptance` installs the judges.
func tools(t *testing.T, path ...string) string {
	t.Helper()
	table, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	found := filepath.Join(append([]string{filepath.Dir(filepath.Dir(table)), ".tools", "browser", "node_modules"}, path...)...)
	if _, err := os.Stat(found); err != nil {
		t.Fatalf("%v: `make acceptance` installs it", err)
	}
	return found
}

const (
	wide, narrow, phone = 1280, 320, 390 // pixels
	// most is the size of a page without script, in bytes.
	most = 60_000
)

// judge looks at the page that is shown: what the browser complained about on the way, the source, and the look
// in both schemes, wide and as narrow as it gets.
func (r *reader) judge(name string) {
	r.Helper()
	r.mu.Lock()
	faults, document := r.faults, r.document
	r.faults = nil
	r.mu.Unlock()
	for _, fault := range faults {
		r.Errorf("%s: %s", name, fault)
	}
	source := call(r, network.GetResponseBody, network.GetResponseBodyParams{RequestID: document}).Body
	if len(source) > most {
		r.Errorf("%s has %d bytes", name, len(source))
	}
	r.keep(name, source)
	r.scripts(true) // for axe; the page's own script stays out
	evaluate[bool](r, axe(r.T)+"; true")
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{wide, narrow} {
			r.look(width, 800, scheme, "screen")
			r.unobjectionable(fmt.Sprintf("%s, %s, %d pixels", name, scheme, width))
			if across := evaluate[int64](r, "document.documentElement.scrollWidth"); across > width {
				r.Errorf("%s is %d pixels wide on a screen of %d", name, across, width)
			}
			for _, cut := range evaluate[[]string](r, `[...document.querySelectorAll("main table:not(.unseen) :is(th, td) *")].filter((e) => e.checkVisibility() && !e.closest(".unseen") &&
				e.getBoundingClientRect().right > e.closest("table").getBoundingClientRect().right).slice(0, 3).map((e) => e.outerHTML)`) {
				r.Errorf("%s on a screen of %d: a table cuts %s off", name, width, cut)
			}
		}
	}
	r.pictures(name)
	r.look(wide, 800, "light", "screen")
	r.scripts(r.script)
	if r.judged == nil {
		r.judged = map[string]bool{}
	}
	r.judged[evaluate[string](r, "document.body.dataset.page")] = true
}

// missesNoTemplate fails the test unless a page of every template was judged.
func (r *reader) missesNoTemplate() {
	r.Helper()
	files, err := filepath.Glob("../../../pkg/web/templates/*.html")
	r.must(err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		r.must(err)
		if name := strings.TrimSuffix(filepath.Base(file), ".html"); strings.Contains(string(content), `{{define "page"}}`) && !r.judged[name] {
			r.Errorf("no page of the template %s was judged", name)
		}
	}
}

// look sets the window, the scheme of colours and the medium, and waits until the page has them.
func (r *reader) look(width, height int64, scheme, medium string) {
	r.Helper()
	call(r, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
	call(r, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium, Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	r.wait("the look", `innerWidth === %s && matchMedia("(prefers-color-scheme: " + %s + ")").matches && matchMedia(%s).matches`, width, scheme, medium)
}

// unobjectionable fails the test for everything that axe-core finds, at any level.
func (r *reader) unobjectionable(where string) {
	r.Helper()
	for _, found := range evaluate[[]string](r, `axe.run(document, {resultTypes: ["violations"]}).then((results) =>
		results.violations.flatMap((v) => v.nodes.map((n) => v.id + " (" + v.impact + "): " + n.html + " " + n.failureSummary)))`) {
		r.Errorf("%s: axe-core: %s", where, found)
	}
}

// axe is the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(tools(t, "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// keep keeps the source of a page for html-validate, which looks at all of a test at its end.
func (r *reader) keep(name string, source []byte) {
	r.Helper()
	if r.sources == "" {
		r.sources = r.TempDir()
	}
	file := filepath.Join(r.sources, fmt.Sprintf("%02d-%s.html", r.kept, strings.ReplaceAll(name, " ", "-")))
	r.kept++
	r.must(os.WriteFile(file, source, 0o600))
}

// validate fails the test for everything that html-validate finds in the pages that were kept.
func (r *reader) validate() {
	r.Helper()
	config, err := filepath.Abs("testdata/htmlvalidate.json")
	r.must(err)
	command := exec.CommandContext(r.Context(), localtest.Node(r), tools(r.T, "html-validate", "bin", "html-validate.mjs"),
		"--config", config, "--formatter", "json", r.sources)
	out, err := command.Output()
	var files []struct {
		FilePath string
		Source   string
		Messages []struct {
			RuleID, Message string
			Line, Column    int
		}
	}
	if wrong := json.Unmarshal(out, &files); wrong != nil {
		r.Fatalf("html-validate: %v, %v\n%s", err, wrong, out)
	}
	if err != nil && len(files) == 0 {
		r.Fatalf("html-validate: %v", err)
	}
	for _, f := range files {
		lines := strings.Split(f.Source, "\n")
		for _, m := range f.Messages {
			line := ""
			if m.Line > 0 && m.Line <= len(lines) {
				line = lines[m.Line-1]
			}
			r.Errorf("%s:%d:%d: html-validate: %s: %s\n%s", filepath.Base(f.FilePath), m.Line, m.Column, m.RuleID, m.Message, line)
		}
	}
}
