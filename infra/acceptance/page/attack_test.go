//go:build acceptance

package page_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Breaks if a page of another site can act for whoever is signed in, read a page, or show it in a frame.
func TestAnotherSiteGetsNothing(t *testing.T) {
	r := sit(t, true)
	r.open("/-/")
	r.signIn("Kim")
	bearer := r.create()
	r.press("I have stored it")
	tokenPath := r.path()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><title>evil</title><link rel="icon" href="data:,">
<form method="post" action="%[1]s%[2]s/revoke"><button>Win a prize</button></form>
<form method="post" action="%[1]s%[3]s"><input name="name" value="forged"><input name="expires" value="7"><input name="scopes[]" value="api"><button>Win two prizes</button></form>
<iframe src="%[1]s%[3]s"></iframe>`, r.w.URL, tokenPath, listPath)
	}))
	t.Cleanup(evil.Close)
	there := strings.Replace(evil.URL, "127.0.0.1", "localhost", 1) // another site, not only another origin
	for _, prize := range []string{"Win a prize", "Win two prizes"} {
		r.arrives(chromedp.Navigate(there))
		if status := r.press(prize); status != http.StatusForbidden {
			t.Errorf("%s: %d", prize, status)
		}
	}
	r.arrives(chromedp.Navigate(there))
	for _, mode := range []string{"no-cors", "cors"} {
		got := evaluate[string](r, `fetch(%s, {method: "POST", mode: %s, credentials: "include", headers: {"Content-Type": "application/x-www-form-urlencoded"},
			body: "reach=family"}).then((reply) => reply.type, () => "refused")`, r.w.URL+tokenPath+"/revoke", mode)
		if got != "refused" && got != "opaque" {
			t.Errorf("a fetch reads a reply of the type %s", got)
		}
	}
	if framed := evaluate[bool](r, `(() => { try { return !!document.querySelector("iframe").contentDocument?.body.innerText } catch { return false } })()`); framed {
		t.Error("a frame can be read")
	}
	r.mu.Lock()
	complaints := strings.Join(r.faults, "\n")
	r.faults = nil
	r.mu.Unlock()
	if !strings.Contains(complaints, "frame-ancestors") && !strings.Contains(complaints, "X-Frame-Options") {
		t.Errorf("the browser did not refuse the frame: %s", complaints)
	}
	if !r.works(bearer) {
		t.Error("another site revoked the token")
	}
	r.open(listPath)
	r.sees("@kim", export)
	r.seesNot("forged")
}
