//go:build acceptance

package page_test

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Breaks if somebody without a mouse cannot sign in, make, copy and revoke a token, or does not see where they
// are on the way.
func TestTheKeyboardAloneSuffices(t *testing.T) {
	r := sit(t, true)
	r.open("/-/")
	if r.tabTo("the first stop", `focused.innerText === "Skip to the content"`); r.stops != 1 {
		t.Errorf("skipping to the content is stop %d", r.stops)
	}
	r.enter()
	r.wait("the content", `document.activeElement.id === "main"`)
	r.tabTo("the sign-in", `focused.innerText.startsWith("Sign in with")`)
	r.goes(kb.Enter)
	r.tabTo("Kim", `focused.innerText === "Kim"`)
	r.goes(kb.Enter)
	r.tabTo("New token", `focused.innerText === "New token"`)
	r.goes(kb.Enter)

	r.tabTo("the name", `focused.name === "name"`)
	r.key("nightly export")
	r.tabTo("the expiry", `focused.name === "expires"`)
	r.key(kb.ArrowUp)
	r.wait("a shorter life", `document.activeElement.value === "7" && document.activeElement.checked`)
	r.tabTo("a scope", `focused.value === "read_api"`)
	r.key(" ")
	r.tabTo("the button", `focused.innerText === "Create token"`)
	r.goes(kb.Enter)

	bearer := r.taken()
	r.tabTo("Copy", `focused.dataset.copy === "value"`)
	r.enter()
	r.wait("the spoken feedback", `document.getElementById("spoken").textContent === "The token is copied."`)
	r.tabTo("the way on", `focused.innerText === "I have stored it"`)
	r.goes(kb.Enter)
	r.tabTo("Revoke…", `focused.innerText === "Revoke…"`)
	r.goes(kb.Enter)
	r.tabTo("Revoke token", `focused.innerText === "Revoke token"`)
	r.goes(kb.Enter)
	r.sees("Revoked")
	if reply := r.w.Do(t, bearer, http.MethodGet, selfPath, ""); reply.Status != http.StatusUnauthorized {
		t.Errorf("the token is still good: %d", reply.Status)
	}
	r.tabTo("Sign out", `focused.innerText === "Sign out"`)
	r.goes(kb.Enter)
	r.sees("You are signed out")
}

// key presses the keys for a text.
func (r *reader) key(keys string) {
	r.Helper()
	r.must(chromedp.Do(r.ctx, chromedp.KeyEvent(keys)))
}

func (r *reader) enter() { r.key(kb.Enter) }

// goes presses a key that leads to another page.
func (r *reader) goes(keys string) {
	r.Helper()
	r.arrives(chromedp.KeyEvent(keys))
}

// tabTo presses Tab until the focus is where it should be. Each stop on the way must be visible, in the window,
// and marked; the mark must not be the browser's faint one.
func (r *reader) tabTo(what, condition string) {
	r.Helper()
	const most = 60
	for r.stops = 1; r.stops <= most; r.stops++ {
		r.key(kb.Tab)
		stop := evaluate[struct {
			There, Seen bool
			Element     string
		}](r, `((focused) => {
			const box = focused.getClientRects()[0] ?? new DOMRect(), style = getComputedStyle(focused);
			const window = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
			const marked = focused.matches(":focus-visible") && style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2;
			return {There: !!(`+condition+`), Seen: focused.checkVisibility() && window && marked, Element: focused.outerHTML.slice(0, 120)};
		})(document.activeElement)`)
		if site := evaluate[bool](r, `location.pathname.startsWith("/-/")`); site && !stop.Seen {
			r.Errorf("on the way to %s at %s, the focus is not visible at %s", what, r.path(), stop.Element)
		}
		if stop.There {
			return
		}
	}
	r.Fatalf("%s cannot be reached at %s:\n%s", what, r.path(), r.text())
}

// Breaks if a printed audit trail wastes ink, loses what happened, or prints in dark colours.
func TestThePrintedAuditTrail(t *testing.T) {
	r := sit(t, true)
	r.open("/-/")
	r.signIn("Root")
	r.give("1", export, `"read_api"`, "2026-03-26")
	r.press("Administration")
	r.press("Tokens") // in the main navigation
	r.press("“" + export + "”")
	r.prints()
	r.open("/-/admin/audit")
	r.prints()
}

// prints looks at the page as it would be printed.
func (r *reader) prints() {
	r.Helper()
	for _, scheme := range []string{"light", "dark"} {
		r.look(wide, 800, scheme, "print")
		shown := func(selector string) bool {
			return evaluate[bool](r, `[...document.querySelectorAll(%s)].some((e) => e.checkVisibility())`, selector)
		}
		for _, screen := range []string{"nav", "main form", "button", ".button", ".skip"} {
			if shown(screen) {
				r.Errorf("%s, %s: %s is printed", r.path(), scheme, screen)
			}
		}
		for _, content := range []string{"h1", ".brand", ".deeds thead", ".deeds tbody tr", "footer time"} {
			if !shown(content) {
				r.Errorf("%s, %s: %s is not printed", r.path(), scheme, content)
			}
		}
		if ground := evaluate[string](r, `getComputedStyle(document.body).backgroundColor`); ground != "rgb(255, 255, 255)" {
			r.Errorf("%s, %s: the paper is %s", r.path(), scheme, ground)
		}
		evaluate[bool](r, axe(r.T)+"; true")
		r.unobjectionable(r.path() + ", printed, " + scheme)
	}
	r.look(wide, 800, "light", "screen")
	if pdf, err := chromedp.Run(r.ctx, chromedp.PrintToPDF()); err != nil || len(pdf) == 0 {
		r.Errorf("no PDF: %v", err)
	}
}
