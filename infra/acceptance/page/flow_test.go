//go:build acceptance

package page_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	listPath = "/-/user_settings/personal_access_tokens"
	selfPath = "/api/v4/personal_access_tokens/self"
)

// visited are the templates whose pages were judged.
var visited sync.Map

// A person manages tokens from the first sign-in to the last sign-out. Every step works without a script too.
func TestEverythingWithAScript(t *testing.T)    { everything(sit(t, true)) }
func TestEverythingWithoutAScript(t *testing.T) { everything(sit(t, false)) }

func everything(r *reader) {
	r.open("/-/")
	r.sees("Sign in")
	r.judge("sign-in")
	r.signIn("Kim")
	r.sees("You have no token that works")
	r.judge("empty list")

	bearer := r.create()
	r.copies(bearer)
	r.goneAfterwards(bearer)
	r.validate()
}

// works reports whether the API takes a bearer.
func (r *reader) works(bearer string) bool {
	r.Helper()
	return r.w.Do(r, bearer, http.MethodGet, selfPath, "").Status == http.StatusOK
}

// create makes a token and returns its bearer, at the page that shows it.
func (r *reader) create() string {
	r.Helper()
	r.press("New token")
	r.judge("empty form")
	r.fill("name", "nightly export on build-3")
	r.fill("description", "reads the warehouse")
	r.tick("expires", "7")
	r.tick("scopes[]", "read_api")
	r.tick("scopes[]", "read_repository")
	r.press("Create token")
	r.sees("Copy your new token")
	bearer := r.value("value")
	r.w.Logs.Secret(bearer)
	if !strings.HasPrefix(bearer, "lkpat_") || !r.works(bearer) {
		r.Errorf("the new token does not work: %d characters", len(bearer))
	}
	r.sees("curl", "docker login", "export LATCHKEY_TOKEN='"+bearer+"'")
	return bearer
}

// copies copies the value with the button, which is there only with a script.
func (r *reader) copies(bearer string) {
	r.Helper()
	r.judge("created")
	if !r.script {
		if evaluate[bool](r, `[...document.querySelectorAll("[data-copy]")].some((e) => e.checkVisibility())`) {
			r.Error("a button to copy does nothing without a script")
		}
		return
	}
	r.tap("Copy")
	r.wait("the spoken feedback", `document.getElementById("spoken").textContent === "The token is copied."`)
	if clipboard := evaluate[string](r, `navigator.clipboard.readText()`); clipboard != bearer {
		r.Error("the clipboard does not hold the value")
	}
}

// goneAfterwards looks for the value after a reload and with Back.
func (r *reader) goneAfterwards(bearer string) {
	r.Helper()
	r.press("I have stored it")
	r.seesNot(bearer)
	r.back()
	r.seesNot(bearer)
	r.arrives(chromedp.Reload())
	r.seesNot(bearer)
	r.sees("nightly export on build-3")
}
