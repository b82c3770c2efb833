//go:build acceptance

package page_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"latchkey/infra/local/localtest"
)

const (
	listPath = "/-/user_settings/personal_access_tokens"
	selfPath = "/api/v4/personal_access_tokens/self"
)

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
	first := r.create()
	r.copies(first)
	r.goneAfterwards(first)
	second := r.createFromALink()
	third := r.rotate(first)
	r.revoke(third)
	r.endsWithIt()
	r.list()
	feed := r.subscribe()
	r.manage()
	r.open("/-/nothing")
	r.judge("refusal")
	r.revokeEverything(second, feed)
	r.signOut()
	r.administer()
	r.missesNoTemplate()
	r.validate()
}

// works reports whether the API takes a bearer.
func (r *reader) works(bearer string) bool {
	r.Helper()
	return r.w.Do(r, bearer, http.MethodGet, selfPath, "").Status == http.StatusOK
}

// taken returns the bearer on the page that shows it.
func (r *reader) taken() string {
	r.Helper()
	r.sees("Copy your new token")
	bearer := r.value("value")
	r.w.Logs.Secret(bearer)
	if !strings.HasPrefix(bearer, "lkp") {
		r.Fatalf("the value has %d characters", len(bearer))
	}
	return bearer
}

const export = "nightly export on build-3"

// create makes a token and returns its bearer, at the page that shows it.
func (r *reader) create() string {
	r.Helper()
	r.press("New token")
	r.judge("empty form")
	r.fill("name", export)
	r.press("Create token") // without a scope
	r.sees("Nothing was made")
	r.judge("form with a mistake")
	r.fill("description", "reads the warehouse")
	r.tick("expires", "7")
	r.tick("scopes[]", "read_api")
	r.tick("scopes[]", "read_repository")
	if r.script {
		r.wait("the complaint to go", `!Array.from(document.querySelectorAll("#scopes .wrong")).some((text) => !text.hidden)`)
		r.wait("the line before the button", `document.getElementById("summary").textContent.includes("read_api, read_repository. It works until 2026-03-26")`)
	}
	r.judge("new token")
	r.press("Create token")
	bearer := r.taken()
	if !r.works(bearer) {
		r.Error("the new token does not work")
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

// goneAfterwards looks for the value after a reload and with Back. Breaks if Chromium keeps the page in memory.
func (r *reader) goneAfterwards(bearer string) {
	r.Helper()
	r.press("I have stored it")
	r.seesNot(bearer)
	r.back()
	r.seesNot(bearer)
	r.arrives(chromedp.Reload())
	r.seesNot(bearer)
	r.sees(export)
}

// createFromALink makes a token with the form that a link fills in.
func (r *reader) createFromALink() string {
	r.Helper()
	r.open(listPath + "?" + url.Values{
		"name": {"CI of web"}, "description": {"pushes images"}, "scopes": {"read_registry,write_registry,paint_it_black"},
		"expires_in_days": {"30"}, "allowed_cidrs": {"127.0.0.0/8"}, "colour": {"red"},
	}.Encode())
	r.sees("Not applied", "paint_it_black", "colour", "write_registry")
	r.judge("prefilled form")
	r.press("Create token")
	bearer := r.taken()
	r.press("I have stored it")
	r.sees("CI of web", "127.0.0.0/8", "pushes images")
	return bearer
}

// rotate rotates a token with an overlap of an hour and returns the new bearer.
func (r *reader) rotate(old string) string {
	r.Helper()
	r.press("Access tokens")
	r.press("“" + export + "”")
	r.judge("token that was used")
	r.press("Rotate")
	r.judge("rotate")
	r.tick("overlap", "3600")
	r.press("Rotate token")
	bearer := r.taken()
	if bearer == old || !r.works(old) || !r.works(bearer) {
		r.Error("the old and the new value do not both work")
	}
	r.w.Clock.Advance(time.Hour)
	if r.works(old) || !r.works(bearer) {
		r.Error("the overlap does not end")
	}
	r.press("I have stored it")
	r.sees("Sign in") // an hour without a visit ends a session
	r.signIn("Kim")
	r.sees("Its rotations", "What happened to it")
	r.judge("token")
	r.press("Duplicate")
	r.judge("duplicate")
	r.press("Cancel")
	return bearer
}

// revoke revokes the token with this bearer, and only after a question.
func (r *reader) revoke(bearer string) {
	r.Helper()
	r.press("“" + export + "”")
	r.press("Revoke…")
	r.sees("What stops")
	r.judge("revoke")
	r.press("Keep it")
	if !r.works(bearer) {
		r.Error("it is revoked before the answer")
	}
	r.press("Revoke…")
	r.press("Revoke token")
	r.sees("Revoked")
	if r.works(bearer) {
		r.Error("the revoked value works")
	}
}

// endsWithIt looks at a token that made others, and revokes it with them.
func (r *reader) endsWithIt() {
	r.Helper()
	maker := r.give(r.account("kim"), "machine", `"api"`, "2026-03-30")
	made := func(bearer, name string) (id int64, value string) {
		var token struct {
			ID    int64
			Token string
		}
		reply := r.w.Do(r, bearer, http.MethodPost, "/api/v4/user/personal_access_tokens", fmt.Sprintf(`{"name":%q,"scopes":["api"]}`, name))
		if err := json.Unmarshal([]byte(reply.Body), &token); err != nil || reply.Status != http.StatusCreated {
			r.Fatalf("make %s: %d", name, reply.Status)
		}
		r.w.Logs.Secret(token.Token)
		return token.ID, token.Token
	}
	id, child := made(maker, "child of machine")
	_, grandchild := made(child, "grandchild of machine")
	r.open(fmt.Sprintf("%s/%d", listPath, id))
	r.sees("Made by", "What it made", "grandchild of machine", "ends with it")
	r.judge("token with a maker")
	r.untilUsed()
	r.brief()
	r.open(listPath)
	r.press("“machine”")
	r.sees("What it made", "child of machine")
	r.press("Revoke…")
	r.sees("Tokens that it made end with it", "child of machine", "grandchild of machine")
	r.judge("revoke with children")
	if !r.works(child) || !r.works(grandchild) {
		r.Error("children end before the answer")
	}
	r.press("Revoke token")
	r.sees("Revoked")
	if r.works(maker) || r.works(child) || r.works(grandchild) {
		r.Error("a child works after its maker was revoked")
	}
}

// untilUsed rotates a token that goes on working until the new one is used.
func (r *reader) untilUsed() {
	r.Helper()
	old := r.give(r.account("kim"), "printer", `"read_api"`, "2026-04-20")
	var self struct{ ID int64 }
	r.must(json.Unmarshal([]byte(r.w.Do(r, old, http.MethodGet, selfPath, "").Body), &self))
	id := self.ID
	r.open(listPath)
	r.press("“printer”")
	r.press("Rotate")
	r.tick("overlap", "until_used")
	r.press("Rotate token")
	next := r.taken()
	r.open(fmt.Sprintf("%s/%d", listPath, id))
	r.sees("Its rotations", "until its successor is used for the first time")
	r.judge("token until its successor is used")
	if !r.works(old) || !r.works(next) || r.works(old) {
		r.Error("the old value does not end with the use of the new one")
	}
}

// brief looks at a token that works for minutes.
func (r *reader) brief() {
	r.Helper()
	var token struct {
		ID    int64
		Token string
	}
	r.post("/api/v4/users/"+r.account("kim")+"/personal_access_tokens", `{"name":"job 4711","scopes":["api"],"expires_in":3605}`, &token)
	r.w.Logs.Secret(token.Token)
	ends := r.w.Clock.Now().Truncate(time.Second).Add(3605 * time.Second)
	r.open(fmt.Sprintf("%s/%d", listPath, token.ID))
	r.sees("Short life", ends.Format("15:04:05 UTC"), "cannot be rotated")
	r.judge("token with a short life")
	r.press("Revoke…")
	r.seesNot("rotate the token")
	r.judge("revoke of a short life")
	r.open("/-/user_settings/token_calendar")
	r.sees("job 4711", "at "+ends.Format("15:04:05 UTC"))
	r.judge("calendar with a short life")
	if !r.works(token.Token) {
		r.Error("it does not work in its life")
	}
}

// list looks through a list with tokens in every state.
func (r *reader) list() {
	r.Helper()
	id := r.account("kim")
	for _, made := range []struct{ name, scopes, ends string }{
		{"laptop", `"api"`, "2026-03-21"}, {"release notes", `"read_api","read_user"`, "2026-03-30"},
		{"mirror of the warehouse", `"read_repository","write_repository","read_registry","write_registry"`, "2026-06-01"},
		{"dashboard in the hall", `"read_api"`, "2026-09-01"}, {"packages for the wiki", `"read_virtual_registry"`, "2027-01-05"},
	} {
		bearer := r.give(id, made.name, made.scopes, made.ends)
		if made.name != "laptop" {
			r.works(bearer)
		}
	}
	r.open(listPath)
	r.sees("laptop", "release notes", "within 14 days")
	r.judge("list")
	r.open(listPath + "?state=ended")
	r.sees(export, "Revoked")
	r.judge("list of what ended")
	r.open(listPath + "?sort=name_asc")
	if r.script {
		r.fill("search", "ware")
		r.wait("the filter", `[...document.querySelectorAll("#rows tbody tr")].filter((e) => e.checkVisibility()).length === 1`)
	} else {
		r.fill("search", "ware")
	}
	r.press("Search")
	r.sees("mirror of the warehouse")
	r.fill("search", "nothing like it")
	r.press("Search")
	r.sees("No name matches")
	r.judge("search without a match")
}

// give makes a token for somebody through the API and returns its bearer.
func (r *reader) give(user, name, scopes, ends string) string {
	r.Helper()
	var token struct{ Token string }
	r.post("/api/v4/users/"+user+"/personal_access_tokens", fmt.Sprintf(`{"name":%q,"scopes":[%s],"expires_at":%q}`, name, scopes, ends), &token)
	r.w.Logs.Secret(token.Token)
	return token.Token
}

// post makes something through the API, as the administrator.
func (r *reader) post(path, body string, made any) {
	r.Helper()
	reply := r.w.Do(r, localtest.AdminBearer, http.MethodPost, path, body)
	if err := json.Unmarshal([]byte(reply.Body), made); err != nil || reply.Status != http.StatusCreated {
		r.Fatalf("%s: %d", path, reply.Status)
	}
}

// account returns somebody's id.
func (r *reader) account(username string) string {
	r.Helper()
	var users []struct{ ID int64 }
	reply := r.w.Do(r, localtest.AdminBearer, http.MethodGet, "/api/v4/users?username="+username, "")
	if err := json.Unmarshal([]byte(reply.Body), &users); err != nil || len(users) != 1 {
		r.Fatalf("look for %s: %s", username, reply.Body)
	}
	return fmt.Sprint(users[0].ID)
}

// subscribe makes a calendar feed, reads it, and returns its bearer.
func (r *reader) subscribe() string {
	r.Helper()
	r.press("Calendar")
	r.sees("What ends when", "laptop")
	r.judge("calendar")
	r.press("Make a feed")
	r.sees("Your calendar feed")
	r.judge("feed")
	address, err := url.Parse(r.value("value"))
	r.must(err)
	bearer := address.Query().Get("feed_token")
	r.w.Logs.Secret(bearer)
	feed := r.w.Do(r, "", http.MethodGet, address.RequestURI(), "")
	if feed.Status != http.StatusOK || !strings.HasPrefix(feed.Body, "BEGIN:VCALENDAR") || !strings.Contains(feed.Body, "laptop") {
		r.Errorf("the feed: %d %s", feed.Status, feed.Body)
	}
	r.press("I have stored it")
	r.back()
	r.seesNot(bearer)
	return bearer
}

// revokeEverything revokes everything, for which the username must be typed.
func (r *reader) revokeEverything(bearers ...string) {
	r.Helper()
	r.open(listPath)
	r.press("Revoke everything…")
	r.judge("revoke everything")
	r.fill("username", "kom")
	if r.script {
		r.tap("Revoke everything")
		r.wait("the second question", `document.getElementById("username").validationMessage.startsWith("This is not your username.")`)
	} else {
		r.press("Revoke everything")
		r.sees("This is not your username.")
		r.judge("revoke everything with a mistake")
	}
	if !r.works(bearers[0]) {
		r.Error("a wrong name revokes")
	}
	r.fill("username", "kim")
	r.press("Revoke everything")
	r.sees("Everything is revoked")
	r.judge("everything revoked")
	for _, bearer := range bearers {
		if reply := r.w.Do(r, bearer, http.MethodGet, selfPath, ""); reply.Status != http.StatusUnauthorized {
			r.Errorf("a token is still good: %d", reply.Status)
		}
	}
}

// signOut signs in again and out, and looks for the pages with Back. Breaks if a browser keeps them.
func (r *reader) signOut() {
	r.Helper()
	r.press("Sign in again")
	r.signIn("Kim")
	r.sees("@kim")
	r.press("Calendar")
	r.press("Sign out")
	r.sees("You are signed out")
	r.judge("signed out")
	r.back()
	r.seesNot("@kim", "laptop")
	r.sees("Sign in with")
}
