//go:build acceptance

package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"latchkey/infra/local"
	"latchkey/infra/local/identities"
	"latchkey/infra/local/localtest"
)

const (
	// lifetime is how long a test may take, and patience a page. They end waits that would never end.
	lifetime = 25 * time.Minute
	patience = 5 * time.Minute
)

// A reader is a person with Chromium. Its methods fail the test when a step cannot be done. Waits are for
// states: of the page that loads, of what it shows.
type reader struct {
	*testing.T
	w   *localtest.World
	ctx context.Context
	// script says whether the browser runs scripts.
	script bool

	mu sync.Mutex
	// faults are what the browser complained about, and requests to other places.
	faults []string
	// document is the request of the page that is shown, and refused the address of a page whose status
	// is an error, which Chromium reports too.
	document network.RequestID
	refused  string

	// sources is the folder of the pages that were judged, and kept their number.
	sources string
	kept    int
	// judged are the templates of these pages.
	judged map[string]bool
	// stops is how often Tab was pressed for the last place.
	stops int
}

// sit starts Latchkey with two people, Kim and the administrator Root, and a browser.
func sit(t *testing.T, script bool) *reader {
	t.Helper()
	w := localtest.Start(t, localtest.Options{})
	person := func(subject, name string) identities.Person {
		return identities.Person{Subject: subject, Claims: map[string]any{
			"name": name, "preferred_username": subject, "email": subject + "@example.test", "email_verified": true,
		}}
	}
	w.Identities.Say(person("kim", "Kim"), person("root", "Root"))
	if err := local.Link(t.Context(), w.Cloud, "root", w.Identities, "root"); err != nil {
		t.Fatal(err)
	}
	r := &reader{T: t, w: w, script: script}
	r.launch()
	return r
}

// launch starts Chromium, which ends with the test.
func (r *reader) launch() {
	r.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		r.Fatalf("%v: `make acceptance` installs it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(r.TempDir()),
		chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en"),
		chromedp.Env("TZ=Europe/Berlin"))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses its sandbox to root
	}
	limited, stop := context.WithTimeout(context.Background(), lifetime) // longer than the test's, for the clean-up
	allocator, kill := chromedp.NewExecAllocator(limited, options...)
	ctx, leave := chromedp.NewContext(allocator)
	r.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			r.Errorf("close the browser: %v", err)
		}
		leave()
		kill()
		stop()
	})
	r.ctx = ctx
	r.must(chromedp.Do(ctx))
	r.must(chromedp.Listen(ctx, r.hear))
	call(r, audits.Enable, struct{}{})
	r.scripts(r.script)
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		r.allow(name)
	}
}

func (r *reader) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// hear notes what the browser complains about. It runs on the goroutine that reads the browser's messages.
func (r *reader) hear(event any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		// Chromium draws its own date field with data:, which the site's policy forbids its pages.
		if !strings.HasPrefix(e.Request.URL, r.w.URL+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			r.faults = append(r.faults, "request to "+e.Request.URL)
		}
		if e.Type == network.ResourceTypeDocument {
			r.document = e.RequestID
		}
	case *network.EventResponseReceived:
		if e.RequestID == r.document && e.Response.Status >= 400 {
			r.refused = e.Response.URL
		}
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceNetwork && e.Entry.URL == r.refused {
			return
		}
		r.faults = append(r.faults, fmt.Sprintf("%s, %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		r.faults = append(r.faults, fmt.Sprintf("console, %s", e.Type))
	case *runtime.EventExceptionThrown:
		r.faults = append(r.faults, "exception: "+e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		raw, _ := json.Marshal(e.Issue.Details)
		r.faults = append(r.faults, fmt.Sprintf("issue: %s %s", e.Issue.Code, raw))
	}
}

// evaluate evaluates a JavaScript expression in the page. A promise is awaited.
func evaluate[T any](r *reader, format string, args ...any) T {
	r.Helper()
	quoted := make([]any, len(args))
	for i, arg := range args {
		raw, err := json.Marshal(arg)
		r.must(err)
		quoted[i] = string(raw)
	}
	expression := format
	if len(quoted) > 0 {
		expression = fmt.Sprintf(format, quoted...)
	}
	value, err := chromedp.Run(r.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		r.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// wait waits until an expression is true.
func (r *reader) wait(what, format string, args ...any) {
	r.Helper()
	for !evaluate[bool](r, format, args...) {
		if r.ctx.Err() != nil {
			r.Fatalf("waited for %s: %v", what, r.ctx.Err())
		}
	}
}

// arrives runs steps that lead to another page, waits until it has loaded, and returns its status.
func (r *reader) arrives(steps ...chromedp.Action[chromedp.Void]) int {
	r.Helper()
	ctx, stop := context.WithTimeout(r.ctx, patience)
	defer stop()
	response, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		r.Fatalf("go to another page from %s: %v", r.path(), err)
	}
	if response == nil { // from the cache of whole pages
		return 0
	}
	return int(response.Status)
}

// back goes back, to a page that may come from the browser's memory without a request.
func (r *reader) back() {
	r.Helper()
	ctx, stop := context.WithTimeout(r.ctx, patience)
	defer stop()
	_, err := chromedp.Run(ctx, chromedp.WaitEvent(page.FrameNavigated, func(e page.EventFrameNavigated) bool { return e.Frame.ParentID == "" },
		chromedp.Evaluate[chromedp.Void]("history.back()")))
	if err != nil {
		r.Fatalf("go back from %s: %v", r.path(), err)
	}
	r.wait("the page", `document.readyState === "complete"`)
}

// open goes to a path of the site.
func (r *reader) open(path string) int {
	r.Helper()
	return r.arrives(chromedp.Navigate(r.w.URL + path))
}

// path is where the browser is, with the query.
func (r *reader) path() string {
	r.Helper()
	location, err := chromedp.Run(r.ctx, chromedp.Location())
	r.must(err)
	return strings.TrimPrefix(location, r.w.URL)
}

// A point is the middle of an element in the window.
type point struct {
	X, Y  float64
	Fault string
}

// middle is the JavaScript that scrolls to an element and returns its point. Something else on top of it is a
// fault, because a click would hit that.
const middle = `((element) => {
	if (!element) return {Fault: "is not there"};
	element.scrollIntoView({block: "center", behavior: "instant"});
	const box = element.getClientRects()[0];
	if (!box || !element.checkVisibility()) return {Fault: "is not visible"};
	const x = box.x + box.width / 2, y = box.y + box.height / 2;
	const top = document.elementFromPoint(x, y);
	if (!top || !(element.contains(top) || top.contains(element))) return {Fault: "is covered by " + top?.outerHTML};
	return {X: x, Y: y};
})`

// at returns where an element is.
func (r *reader) at(what, format string, args ...any) chromedp.Action[chromedp.Void] {
	r.Helper()
	p := evaluate[point](r, middle+"("+format+")", args...)
	if p.Fault != "" {
		r.Fatalf("at %s: %s %s\n%s", r.path(), what, p.Fault, r.text())
	}
	return chromedp.MouseClickXY(p.X, p.Y)
}

// named finds a link or button by its words.
const named = `[...document.querySelectorAll("main a, main button, header a, header button, a, button")]
	.find((e) => e.checkVisibility() && e.innerText.trim().replace(/\s+/g, " ") === %s)`

// press clicks a link or button that leads to another page, and returns its status.
func (r *reader) press(words string) int {
	r.Helper()
	return r.arrives(r.at(words, named, words))
}

// tap clicks a button that stays on the page.
func (r *reader) tap(words string) {
	r.Helper()
	r.must(chromedp.Do(r.ctx, r.at(words, named, words)))
}

// fill types into a field.
func (r *reader) fill(name, value string) {
	r.Helper()
	const field = `document.querySelector("main [name=" + CSS.escape(%s) + "]")`
	r.must(chromedp.Do(r.ctx, r.at("the field "+name, field, name)))
	evaluate[bool](r, field+`.select() || true`, name)
	call(r, input.InsertText, input.InsertTextParams{Text: value})
}

// tick clicks a radio button or a checkbox.
func (r *reader) tick(name, value string) {
	r.Helper()
	const box = `document.querySelector("main [name=" + CSS.escape(%s) + "][value=" + CSS.escape(%s) + "]")`
	r.must(chromedp.Do(r.ctx, r.at(name+"="+value, box, name, value)))
	if !evaluate[bool](r, box+".checked", name, value) {
		r.Fatalf("%s=%s is not ticked", name, value)
	}
}

// value returns the value of a field by its id.
func (r *reader) value(id string) string {
	r.Helper()
	return evaluate[string](r, `document.getElementById(%s)?.value ?? ""`, id)
}

// text is what the page shows.
func (r *reader) text() string {
	r.Helper()
	return evaluate[string](r, `document.body.innerText`)
}

// sees fails the test unless the page shows all of these.
func (r *reader) sees(words ...string) {
	r.Helper()
	for _, w := range words {
		if text := r.text(); !strings.Contains(text, w) {
			r.Fatalf("%s does not show %q:\n%s", r.path(), w, text)
		}
	}
}

// seesNot fails the test if the page has one of these anywhere.
func (r *reader) seesNot(words ...string) {
	r.Helper()
	for _, w := range words {
		if evaluate[bool](r, `document.documentElement.outerHTML.includes(%[1]s) ||
			[...document.querySelectorAll("input, textarea")].some((e) => e.value.includes(%[1]s))`, w) {
			r.Errorf("%s still has %q", r.path(), w)
		}
	}
}

// signIn signs somebody in, from any page that asks for it.
func (r *reader) signIn(name string) {
	r.Helper()
	r.press("Sign in with " + evaluate[string](r, `document.querySelector("main .main").innerText.replace("Sign in with ", "")`))
	r.sees("Who are you?")
	r.press(name)
}

// scripts lets the browser run scripts, or forbids it.
func (r *reader) scripts(allowed bool) {
	r.Helper()
	call(r, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allowed})
}

// allow grants a permission to the site.
func (r *reader) allow(name string) {
	r.Helper()
	_, err := chromedp.CallBrowser(r.ctx, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, Origin: r.w.URL,
	})
	r.must(err)
}

// call runs a command of the browser's protocol on the page.
func call[P, R any](r *reader, command cdp.Command[P, R], parameters P) R {
	r.Helper()
	result, err := chromedp.Call(r.ctx, command, parameters)
	r.must(err)
	return result
}
