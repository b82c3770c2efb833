package web

import (
	"context"
	"encoding/csv"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// userAt is the page of a person, or one below it.
func (w *world) userAt(who string, more string) string {
	return adminUserPath(w.people[who].ID, more)
}

func adminAt(id token.ID, more ...string) string {
	return strings.Join(append([]string{adminTokensPath, id.String()}, more...), "/")
}

// impersonate makes an impersonation token of who.
func (w *world) impersonate(tb testing.TB, who, name string) lifecycle.Issued {
	tb.Helper()
	issued, err := w.issuer.CreateImpersonation(tb.Context(), w.as(tb, "root"), w.people[who].ID, lifecycle.Spec{Name: name, Scopes: scope.Set{"read_api"}})
	check(tb, err)
	w.secrets = append(w.secrets, issued.Bearer.Reveal(), issued.Token.Digest.Key())
	return issued
}

func (w *world) account(tb testing.TB, who string) account.Account {
	tb.Helper()
	acct, err := w.table.Account(tb.Context(), w.people[who].ID)
	check(tb, err)
	return acct
}

// happened are the names of all events, the newest first.
func (w *world) happened(tb testing.TB) (names []audit.Name) {
	tb.Helper()
	page, err := w.site.parts.Trail.Every(tb.Context(), w.as(tb, "root"), trail.Query{Want: listing.ByNumber(0, 1000)})
	check(tb, err)
	for _, e := range page.Events {
		names = append(names, e.Name)
	}
	return names
}

// adminTargets are all routes of administrators with paths of things that exist.
func adminTargets(w *world, tb testing.TB) (list []route) {
	tb.Helper()
	id := w.impersonate(tb, "ann", "shadow").Token.ID
	for _, rt := range w.site.adminRoutes() {
		rt.path = strings.NewReplacer("{user}", w.people["ann"].ID.String(), "{id}", id.String()).Replace(rt.path)
		list = append(list, rt)
	}
	if len(list) < 20 {
		tb.Fatalf("%d routes", len(list))
	}
	return list
}

// Breaks if anybody but an administrator sees or does anything, or learns which pages there are.
func TestPagesOfAdministratorsAreNotThereForOthers(t *testing.T) {
	w := newWorld(t)
	targets := adminTargets(w, t)
	before := w.dump(t)
	ann := w.signIn("ann")
	for _, rt := range targets {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete} {
			got := ann.send(t, method, rt.path, url.Values{"username": {"ann"}, "name": {"x"}})
			if got.status != http.StatusNotFound || got.header.Get("Allow") != "" {
				t.Errorf("%s %s: %d, Allow %q", method, rt.path, got.status, got.header.Get("Allow"))
			}
		}
		if got := w.signIn("").send(t, rt.method, rt.path, url.Values{}); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), signInPath) {
			t.Errorf("nobody, %s %s: %d", rt.method, rt.path, got.status)
		}
	}
	if w.dump(t) != before {
		t.Error("something has changed")
	}
	if page := ann.page(t, tokensPath); strings.Contains(page, adminPath) {
		t.Error("the navigation of others has the link")
	}
	if page := w.signIn("root").page(t, tokensPath); !strings.Contains(page, `href="`+adminPath+`"`) {
		t.Error("the navigation of an administrator has no link")
	}
}

// Breaks if a rank goes on while a form is open.
func TestARankThatWasTakenBetweenFormAndPost(t *testing.T) {
	w := newWorld(t)
	yes, no := true, false
	_, err := w.accounts.Update(t.Context(), w.as(t, "root"), w.people["bob"].ID, directory.Change{Admin: &yes})
	check(t, err)
	bob := w.signIn("bob")
	bob.page(t, w.userAt("ann", "/revoke_all"))
	bob.page(t, adminSettingsPath)
	_, err = w.accounts.Update(t.Context(), w.as(t, "root"), w.people["bob"].ID, directory.Change{Admin: &no})
	check(t, err)
	before := w.dump(t)
	for target, form := range map[string]url.Values{
		w.userAt("ann", "/revoke_all"): {"username": {"ann"}}, w.userAt("ann", "/block"): {}, adminSettingsPath: {"revision": {"0"}, settings.Retention: {"7"}, "was_" + settings.Retention: {"90"}},
		adminFeaturesPath: {"name": {"resource_access_token"}, "value": {"false"}, "for": {"everybody"}},
	} {
		if got := bob.send(t, http.MethodPost, target, form); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", target, got.status)
		}
	}
	if w.dump(t) != before {
		t.Error("something has changed")
	}
}

// Breaks if another site can act as an administrator, by a form or by fetch, or if a page of theirs can
// be kept, framed or run what is not ours.
func TestPagesOfAdministratorsAgainstOtherSites(t *testing.T) {
	w := newWorld(t)
	targets := adminTargets(w, t)
	before := w.dump(t)
	for _, rt := range targets {
		root := w.signIn("root")
		if rt.method == http.MethodPost {
			for name, header := range map[string]http.Header{
				"form":         {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Origin": {"https://evil.example"}},
				"fetch":        {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Origin": {"https://evil.example"}},
				"sibling":      {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://www.example.test"}},
				"null":         {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}},
				"older agents": {"Sec-Fetch-Site": nil, "Origin": {"https://evil.example"}},
			} {
				root.header = header
				got := root.send(t, http.MethodPost, rt.path, url.Values{"username": {"ann"}, "name": {"resource_access_token"}, "value": {"false"}, "for": {"everybody"}, "revision": {"0"}})
				if got.status != http.StatusForbidden {
					t.Errorf("%s to %s: %d", name, rt.path, got.status)
				}
			}
			continue
		}
		got := root.get(t, rt.path)
		if got.header.Get("Cache-Control") != "no-store" || !strings.Contains(got.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", rt.path, got.header)
		}
		for _, inline := range []string{" style=", "<style", " onclick=", " onsubmit=", "javascript:", "<script>"} {
			if strings.Contains(got.body, inline) {
				t.Errorf("%s has %q", rt.path, inline)
			}
		}
	}
	if w.dump(t) != before {
		t.Error("something has changed")
	}
}

var nasty = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.Bearer}}`, `=HYPERLINK("https://evil.example","x")`, `+1+1`, `-2+3`, `@SUM(A1)`, "\t=1", `javascript:alert(1)`, `a","b` + "\n=1", `' onmouseover='x`,
}

// Breaks if a name that somebody chose becomes markup on a page, or a formula in a file.
func TestNamesOnPagesOfAdministrators(t *testing.T) {
	w := newWorld(t)
	var ids []token.ID
	for _, name := range nasty {
		issued, err := w.issuer.CreateForSelf(t.Context(), w.as(t, "ann"), lifecycle.Spec{Name: name, Description: name, Scopes: scope.Set{"read_api"}})
		check(t, err)
		w.secrets = append(w.secrets, issued.Bearer.Reveal())
		ids = append(ids, issued.Token.ID, w.impersonate(t, "ann", name).Token.ID)
		_, err = w.accounts.Update(t.Context(), w.as(t, "root"), w.people["ann"].ID, directory.Change{Name: &name, Note: &name})
		check(t, err)
	}
	root := w.signIn("root")
	pages := []string{
		adminUsersPath, w.userAt("ann", ""), w.userAt("ann", "/revoke_all"), w.userAt("ann", "/impersonation_tokens"), adminTokensPath, adminAuditPath,
	}
	for _, id := range ids {
		pages = append(pages, adminAt(id), adminAt(id, "revoke"))
	}
	for _, text := range nasty {
		escaped := url.QueryEscape(text)
		pages = append(pages, adminUsersPath+"?search="+escaped, adminTokensPath+"?search="+escaped)
	}
	bad := []string{"<script>alert", "<img", "onerror=alert(1)>", "' onmouseover='"}
	for _, target := range pages {
		page := root.page(t, target)
		if !strings.Contains(target, "search=") && strings.Contains(page, "https://evil.example") {
			t.Errorf("%s shows a name without its quotation", target)
		}
		for _, b := range bad {
			if strings.Contains(page, b) {
				t.Errorf("%s has %s", target, b)
			}
		}
		if strings.Count(page, "<script") != 1 || regexp.MustCompile(`href="(javascript|https?):`).MatchString(page) {
			t.Errorf("%s has a script or a link of somebody else", target)
		}
	}
	link, none := "https://evil.example/x", ""
	made(w.accounts.Update(t.Context(), w.as(t, "root"), w.people["ann"].ID, directory.Change{Name: &link, Note: &none}))
	for _, target := range []string{adminUsersPath, w.userAt("ann", ""), w.userAt("ann", "/revoke_all")} {
		if page := root.page(t, target); strings.Contains(page, link) || !strings.Contains(page, "“hxxps") {
			t.Errorf("%s shows a person's name without its quotation", target)
		}
	}
	for _, text := range nasty { // what is wrong is shown again
		for _, parameter := range []string{"owner", "state", "created_after", "expires_after", "sort", "page", "author_id", "entity_id", "token_id", "event_name"} {
			for _, list := range []string{adminTokensPath, adminAuditPath, adminUsersPath} {
				got := root.get(t, list+"?"+parameter+"="+url.QueryEscape(text))
				for _, b := range bad {
					if strings.Contains(got.body, b) {
						t.Errorf("%s=%s has %s", parameter, text, b)
					}
				}
				if got.status != http.StatusOK && got.status != http.StatusUnprocessableEntity {
					t.Errorf("%s %s=%s: %d", list, parameter, text, got.status)
				}
			}
		}
		got := root.send(t, http.MethodPost, adminFeaturesPath, url.Values{"name": {text}, "value": {"true"}, "for": {"some"}, "user": {text}, "project": {text}})
		settled := root.send(t, http.MethodPost, adminSettingsPath, url.Values{"revision": {"0"}, settings.Prefix: {text}, settings.Retention: {text}, settings.Lifetime: {text}})
		typed := root.send(t, http.MethodPost, w.userAt("ann", "/revoke_all"), url.Values{"username": {text}})
		for _, got := range []reply{got, settled, typed} {
			if got.status != http.StatusUnprocessableEntity || strings.Contains(got.body, "<script>alert") || strings.Contains(got.body, "<img") {
				t.Errorf("a form with %s: %d", text, got.status)
			}
		}
	}

	file := root.get(t, adminCSVPath)
	if file.status != http.StatusOK || !strings.HasPrefix(file.header.Get("Content-Type"), "text/csv") || !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment") {
		t.Fatalf("%d %v", file.status, file.header)
	}
	reader := csv.NewReader(strings.NewReader(file.body))
	reader.FieldsPerRecord = len(csvColumns)
	rows, err := reader.ReadAll()
	check(t, err)
	if !strings.Contains(file.body, "\r\n") {
		t.Error("lines do not end as RFC 4180 wants")
	}
	var targets []string
	for _, r := range rows {
		targets = append(targets, r[slices.Index(csvColumns, "target")])
		for i, text := range r {
			if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
				t.Errorf("column %s is a formula: %q", csvColumns[i], text)
			}
		}
	}
	for _, name := range nasty {
		want := name
		if strings.ContainsRune("=+-@\t", rune(name[0])) {
			want = "'" + name
		}
		if !slices.Contains(targets, want) {
			t.Errorf("no row has %q", want)
		}
	}
}

func TestCells(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx", " =1": " =1", "a=1": "a=1", "é": "é",
	} {
		if got := cell(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// Breaks if a file leaves events out and does not say so.
func TestACutFileSaysSo(t *testing.T) {
	w := newWorld(t)
	event := audit.OfInstance(now, audit.By(w.as(t, "root"), audit.Admin), audit.SettingsUpdated, "prefix")
	for range (maxCSVRows + 5) / 40 {
		check(t, w.table.Record(t.Context(), slices.Repeat([]audit.Event{event}, 40)...))
	}
	root := w.signIn("root")
	rows := func(query string) ([][]string, reply) {
		got := root.get(t, adminCSVPath+query)
		list, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
		check(t, err)
		return list, got
	}
	list, got := rows("")
	if len(list) != 1+maxCSVRows && len(list) != 2+maxCSVRows {
		t.Fatalf("%d rows", len(list))
	}
	all := len(w.happenedAll(t))
	if all <= maxCSVRows {
		t.Fatalf("only %d events", all)
	}
	last := list[len(list)-1]
	next := regexp.MustCompile(`\?(cursor=[\w-]+)>; rel="next"`).FindStringSubmatch(got.header.Get("Link"))
	if next == nil {
		t.Fatalf("Link %q", got.header.Get("Link"))
	}
	if last[0] != "cut" || !strings.Contains(last[2], next[1]) || !strings.Contains(got.header.Get("Content-Disposition"), "-part.csv") {
		t.Errorf("the last row is %v, %s", last, got.header.Get("Content-Disposition"))
	}
	if got := root.get(t, adminCSVPath+"?cursor=x"); got.status != http.StatusBadRequest {
		t.Errorf("another cursor: %d", got.status)
	}
	rest, _ := rows("?" + next[1])
	if len(rest) != 1+all-maxCSVRows || rest[len(rest)-1][0] == "cut" {
		t.Errorf("%d rows in the second part, of %d events", len(rest)-1, all)
	}
}

func (w *world) happenedAll(tb testing.TB) []audit.Event {
	tb.Helper()
	page, err := w.site.parts.Trail.Every(tb.Context(), w.as(tb, "root"), trail.Query{Want: listing.ByNumber(0, 5000)})
	check(tb, err)
	return page.Events
}

func TestBlockAndUnblock(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	_, page := root.follow(t, w.userAt("ann", "/block"), nil)
	if w.account(t, "ann").State != account.Blocked || !strings.Contains(page, ">Unblock<") {
		t.Errorf("blocked: %s", text(page))
	}
	_, page = root.follow(t, w.userAt("ann", "/unblock"), nil)
	if w.account(t, "ann").State != account.Active || !strings.Contains(page, ">Block<") {
		t.Errorf("unblocked: %s", text(page))
	}
	got := root.send(t, http.MethodPost, w.userAt("root", "/block"), nil)
	if got.status != http.StatusForbidden || !strings.Contains(text(got.body), "You cannot block yourself.") || w.account(t, "root").State != account.Active {
		t.Errorf("oneself: %d %s", got.status, text(got.body))
	}
	_, err := w.accounts.Deactivate(t.Context(), w.as(t, "root"), w.people["bob"].ID)
	check(t, err)
	if got := root.send(t, http.MethodPost, w.userAt("bob", "/unblock"), nil); got.status != http.StatusForbidden || !strings.Contains(text(got.body), "deactivated and not blocked") {
		t.Errorf("a deactivated account: %d", got.status)
	}
	if got := root.send(t, http.MethodPost, adminUserPath(4711, "/block"), nil); got.status != http.StatusNotFound {
		t.Errorf("nobody: %d", got.status)
	}
	if names := w.happened(t); !slices.Contains(names, audit.AccountBlocked) || !slices.Contains(names, audit.AccountUnblocked) {
		t.Errorf("events %v", names)
	}
}

// Breaks if nobody learns that a person gets no mails, or nobody can change it.
func TestAnAddressThatMailsDoNotReach(t *testing.T) {
	w := newWorld(t)
	ann, root := w.signIn("ann"), w.signIn("root")
	for reason, why := range map[account.Unreachable]string{account.Bounced: "A mail came back for good.", account.Complained: "reported a mail as unwanted."} {
		before := w.account(t, "ann")
		after, changed := before.Returned(before.Email, w.clock.Now().Add(time.Minute), reason)
		if !changed {
			t.Fatal("the mail says nothing")
		}
		check(t, w.table.MarkUnreachable(t.Context(), before, after, audit.OfAccount(now, audit.Origin{Source: audit.Mail}, audit.AccountUpdated, before)))
		if page := text(ann.page(t, tokensPath)); !strings.Contains(page, "You get no mails about your tokens. ") || !strings.Contains(page, why) {
			t.Errorf("the person sees %s", page)
		}
		if page := text(root.page(t, w.userAt("ann", ""))); strings.Contains(page, "You get no mails") || !strings.Contains(page, why) || !strings.Contains(page, "The address works again") {
			t.Errorf("the administrator sees %s", page)
		}
		if got := ann.send(t, http.MethodPost, w.userAt("ann", "/reachable"), nil); got.status != http.StatusNotFound || w.account(t, "ann").Unreachable != reason {
			t.Errorf("the person takes the mark: %d", got.status)
		}
		_, page := root.follow(t, w.userAt("ann", "/reachable"), nil)
		if w.account(t, "ann").Unreachable != "" || strings.Contains(page, "The address works again") || strings.Contains(ann.page(t, tokensPath), "You get no mails") {
			t.Errorf("the mark stays: %s", text(page))
		}
		w.clock.Advance(time.Hour)
	}
}

func TestRevokeEverythingOfSomebody(t *testing.T) {
	w := newWorld(t)
	own, shadow := w.issue(t, "ann", "export", 5), w.impersonate(t, "ann", "shadow")
	root := w.signIn("root")
	page := text(root.page(t, w.userAt("ann", "/revoke_all")))
	for _, want := range []string{"“export”", "“shadow”", "signed out everywhere", "Tokens of projects and groups go on"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %s: %s", want, page)
		}
	}
	for _, wrong := range []string{"", "root", "an"} {
		got := root.send(t, http.MethodPost, w.userAt("ann", "/revoke_all"), url.Values{"username": {wrong}})
		if got.status != http.StatusUnprocessableEntity || w.account(t, "ann").TokensValidFrom != 0 {
			t.Errorf("typed %q: %d", wrong, got.status)
		}
	}
	root.follow(t, w.userAt("ann", "/revoke_all"), url.Values{"username": {"@ANN"}})
	acct := w.account(t, "ann")
	if acct.SessionNumber != 1 || own.Token.ID == shadow.Token.ID {
		t.Errorf("sessions go on: %+v", acct)
	}
	if left := made(w.site.parts.Lister.WorkingOf(t.Context(), w.as(t, "root"), acct.ID)); len(left) != 0 {
		t.Errorf("%d tokens work", len(left))
	}
	if got := root.get(t, w.userAt("root", "/revoke_all")); got.header.Get("Location") != tokensPath+"/revoke_all" {
		t.Errorf("one's own: %d to %s", got.status, got.header.Get("Location"))
	}
}

func TestImpersonationTokens(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	list := w.userAt("ann", "/impersonation_tokens")
	if page := root.page(t, list+"/new"); !strings.Contains(page, "As @ann,") || strings.Contains(page, `value="sudo"`) {
		t.Error("the form is not for ann, or offers what she may not have")
	}
	w.issue(t, "ann", "her own", 20)
	location, page := root.follow(t, list, newForm())
	bearer := regexp.MustCompile(`lkimp_[0-9A-Za-z]+`).FindString(page)
	if bearer == "" {
		t.Fatalf("no value: %s", text(page))
	}
	w.secrets = append(w.secrets, bearer)
	by, err := w.site.parts.Verifier.Verify(t.Context(), bearer, principal.Request{}.Address)
	if err != nil || by.Account.ID != w.people["ann"].ID || by.Asker() != w.people["root"].ID {
		t.Errorf("it acts as %s for %s, %v", by.Account.Username, by.Asker(), err)
	}
	if again := root.get(t, location); again.status != http.StatusSeeOther || strings.Contains(again.body, bearer) {
		t.Errorf("the value is shown again: %d", again.status)
	}
	if strings.Contains(location, bearer) || strings.Contains(w.dump(t), bearer) {
		t.Error("the value is in the address or in the table")
	}
	if page := root.page(t, list); !strings.Contains(page, "“nightly export”") || strings.Contains(page, "her own") {
		t.Error("the list does not have it, or has ann's own")
	}
	if page := root.page(t, list+"?state=inactive"); strings.Contains(page, "“nightly export”") {
		t.Error("it is among those that have ended")
	}
	if page := w.signIn("ann").page(t, tokensPath); strings.Contains(page, "nightly export") {
		t.Error("ann sees it")
	}
	_, page = root.follow(t, adminAt(by.Token.ID, "revoke"), nil)
	if !strings.Contains(text(page), "Revoked") {
		t.Errorf("after revoking: %s", text(page))
	}
	if _, err := w.site.parts.Verifier.Verify(t.Context(), bearer, principal.Request{}.Address); err == nil {
		t.Error("it works after its revocation")
	}
	for name, test := range map[string]struct {
		before func()
		form   url.Values
		status int
		says   string
	}{
		"no name": {func() {}, newForm(func(f url.Values) { f.Set("name", "") }), http.StatusUnprocessableEntity, "Give the token a name."},
		"a scope for administrators": {func() {}, newForm(func(f url.Values) { f["scopes[]"] = []string{"sudo"} }), http.StatusUnprocessableEntity,
			"is for administrators"},
		"networks": {func() {}, newForm(func(f url.Values) { f.Set("networks", "everywhere") }), http.StatusUnprocessableEntity, "The networks must be"},
	} {
		test.before()
		if got := root.send(t, http.MethodPost, list, test.form); got.status != test.status || !strings.Contains(text(got.body), test.says) {
			t.Errorf("%s: %d %s", name, got.status, text(got.body))
		}
	}
	made(w.accounts.Block(t.Context(), w.as(t, "root"), w.people["bob"].ID))
	if got := root.send(t, http.MethodPost, w.userAt("bob", "/impersonation_tokens"), newForm()); got.status != http.StatusForbidden || !strings.Contains(text(got.body), "The account is not active.") {
		t.Errorf("of a blocked account: %d", got.status)
	}
	no := false
	w.set(t, settings.Change{Impersonation: &no})
	if got := root.send(t, http.MethodPost, list, newForm()); got.status != http.StatusForbidden || !strings.Contains(text(got.body), "switched off") || !strings.Contains(got.body, `value="nightly export"`) {
		t.Errorf("switched off: %d", got.status)
	}
}

func TestAllTokens(t *testing.T) {
	w := newWorld(t)
	w.issue(t, "ann", "of ann", 5)
	w.clock.Advance(time.Hour)
	old := w.issue(t, "bob", "of bob", 200)
	w.impersonate(t, "bob", "shadow of bob")
	_, err := w.revoker.Revoke(t.Context(), w.as(t, "bob"), old.Token.ID, lifecycle.Alone)
	check(t, err)
	root := w.signIn("root")
	for query, want := range map[string]string{
		"":                                 "of ann, of bob, shadow of bob",
		"?owner=bob":                       "of bob, shadow of bob",
		"?owner=@BOB&sort=name_desc":       "shadow of bob, of bob",
		"?owner=2":                         "of ann",
		"?state=active":                    "of ann, shadow of bob",
		"?state=inactive":                  "of bob",
		"?revoked=true":                    "of bob",
		"?revoked=false":                   "of ann, shadow of bob",
		"?search=shadow":                   "shadow of bob",
		"?created_before=2026-03-19T08:30": "of ann",
		"?created_after=2026-03-19T08:30":  "of bob, shadow of bob",
		"?expires_before=2026-04-01":       "of ann",
		"?expires_after=2026-04-01":        "of bob, shadow of bob",
		"?last_used_after=2026-01-01":      "",
		"?last_used_before=2027-01-01":     "",
		"?unused_since=2026-03-19T08:30":   "of ann",
		"?networks=none":                   "of ann, of bob, shadow of bob",
		"?networks=":                       "of ann, of bob, shadow of bob",
		"?sort=id_desc":                    "shadow of bob, of bob, of ann",
		"?sort=expires_desc":               "shadow of bob, of bob, of ann",
		"?sort=created_asc":                "of ann, of bob, shadow of bob",
		"?sort=updated_asc":                "of ann, of bob, shadow of bob",
		"?sort=updated_desc":               "shadow of bob, of bob, of ann",
		"?sort=name_asc&page=2":            "",
	} {
		var got []string
		for _, m := range regexp.MustCompile(`<th scope="row"><a [^>]*>“([^”]*)”`).FindAllStringSubmatch(root.page(t, adminTokensPath+query), -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %s, want %s", query, strings.Join(got, ", "), want)
		}
	}
	networks, err := token.ParseNetworks([]string{"192.0.2.0/24"})
	check(t, err)
	tied, err := w.issuer.CreateForSelf(t.Context(), w.as(t, "ann"), lifecycle.Spec{
		Name: "tied", Scopes: scope.Set{"read_api"}, ExpiresOn: clock.DayOf(w.clock.Now()).AddDays(5), Networks: networks,
	})
	check(t, err)
	w.secrets = append(w.secrets, tied.Bearer.Reveal(), tied.Token.Digest.Key())
	for query, want := range map[string]bool{"": true, "?networks=none": false} {
		if got := root.page(t, adminTokensPath+query); strings.Contains(got, "“tied”") != want || !strings.Contains(got, "“of ann”") {
			t.Errorf("%s: a token with networks is listed: %t, want %t", query, !want, want)
		}
	}
	for _, query := range []string{"?owner=nobody", "?state=x", "?created_after=x", "?expires_after=x", "?unused_since=x", "?networks=x", "?sort=x", "?cursor=x", "?sort=name_asc&page=0", "?sort=name_asc&page=100000"} {
		if got := root.get(t, adminTokensPath+query); got.status != http.StatusUnprocessableEntity || strings.Contains(got.body, "“of ann”") {
			t.Errorf("%s: %d", query, got.status)
		}
	}
	page := text(root.page(t, adminAt(old.Token.ID)))
	if !strings.Contains(page, "@bob") || !strings.Contains(page, "token issued") || !strings.Contains(page, "token revoked") {
		t.Errorf("the token's page: %s", page)
	}
	if got := root.get(t, adminAt(4711<<22+1)); got.status != http.StatusNotFound {
		t.Errorf("a token that is not there: %d", got.status)
	}
}

func TestUsers(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	root.follow(t, w.userAt("bob", "/block"), nil)
	for query, want := range map[string]string{
		"": "bob ann root", "?search=ANN": "ann", "?search=ann@example.test": "ann", "?state=blocked": "bob", "?state=active": "ann root", "?state=inactive": "bob",
		"?kind=admins": "root", "?kind=bots": "", "?kind=people": "bob ann root", "?sort=username_asc": "ann bob root", "?sort=created_asc": "root ann bob",
		"?created_after=2027-01-01": "", "?search=nobody": "",
	} {
		var got []string
		for _, m := range regexp.MustCompile(`<th scope="row"><a [^>]*>@(\w+)<`).FindAllStringSubmatch(root.page(t, adminUsersPath+query), -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", query, strings.Join(got, " "), want)
		}
	}
}

// formOf is what a browser sends of the settings' form on a page.
func formOf(page string) url.Values {
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input [^>]*>`).FindAllString(page, -1) {
		attribute := func(name string) string {
			found := regexp.MustCompile(` ` + name + `="([^"]*)"`).FindStringSubmatch(m)
			if found == nil {
				return ""
			}
			return found[1]
		}
		if attribute("type") != "checkbox" || strings.Contains(m, " checked") {
			form.Set(attribute("name"), attribute("value"))
		}
	}
	return form
}

func (w *world) stored(tb testing.TB) settings.Application {
	tb.Helper()
	return made(w.settings.Settings(tb.Context(), w.as(tb, "root")))
}

func TestSettingsForm(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	first := root.page(t, adminSettingsPath)
	fields := settingFields(w.stored(t))
	if n := reflect.TypeFor[settings.Change]().NumField() - 1; len(fields) != n {
		t.Errorf("%d fields for %d settings", len(fields), n)
	}
	for _, f := range fields {
		if !strings.Contains(first, `name="`+f.Name+`"`) {
			t.Errorf("no field %s", f.Name)
		}
	}
	form := formOf(first)
	if _, page := root.follow(t, adminSettingsPath, form); w.stored(t).Revision != 0 || strings.Contains(page, "alert") {
		t.Error("an unchanged form changes something")
	}
	form.Set(settings.Prefix, "acme_")
	form.Set(settings.LastUsedInterval, "3600")
	form.Set(settings.Retention, "30")
	form.Set(settings.RotationWindow, "20")
	form.Del(settings.ExpiryRequired)
	form.Del(settings.ExpiryEnforced)
	form.Del(settings.Impersonation)
	_, page := root.follow(t, adminSettingsPath, form)
	got := w.stored(t)
	if got.Prefix != "acme_" || got.LastUsedInterval != time.Hour || got.RetentionDays != 30 || got.RotationWindow != 20*time.Second ||
		!got.ExpiryOptional || !got.ExpiryIgnored || !got.ImpersonationOff || got.LifetimeDays != 0 {
		t.Errorf("saved %+v", got)
	}
	if !strings.Contains(page, ">Saved.<") {
		t.Error("the page does not say that it saved")
	}
	for name, values := range map[string][]string{
		settings.Lifetime: {"0", "366", "-1", "x", "1e3", "99999999999999999999"}, settings.Retention: {"0", "3651", "", "x"},
		settings.LastUsedInterval: {"599", "2592001", ""}, settings.RotationWindow: {"61", "-1", "", "18446744074"}, settings.Prefix: {"a b", "acme", strings.Repeat("x", 21)},
	} {
		for _, value := range values {
			form := formOf(page)
			form.Set(name, value)
			again := root.send(t, http.MethodPost, adminSettingsPath, form)
			if again.status != http.StatusUnprocessableEntity || !strings.Contains(again.body, `href="#`+name+`"`) || !strings.Contains(again.body, `value="`+value+`"`) {
				t.Errorf("%s=%q: %d", name, value, again.status)
			}
		}
	}
	if after := w.stored(t); after.Revision != got.Revision {
		t.Error("a refused form changed something")
	}
}

// Breaks if a limit that ends tokens is saved before the page has said what it will do and when.
func TestALimitIsConfirmed(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	for _, days := range []int{30, 31, 60} { // the first of them is within the limit when the run starts
		w.issue(t, "ann", fmt.Sprintf("for %d days", days), days)
	}
	form := formOf(root.page(t, adminSettingsPath))
	form.Set(settings.Lifetime, "30")
	asked := root.send(t, http.MethodPost, adminSettingsPath, form)
	if asked.status != http.StatusOK || w.stored(t).LifetimeDays != 0 {
		t.Fatalf("not asked: %d", asked.status)
	}
	for _, want := range []string{"Limit lifetimes to 30 days?", "2026-03-19 11:00 UTC", "later than 2026-04-18 at 00:00 UTC", "Taking the limit away before that calls the run off", "If it started now, it would revoke 2 tokens", "2 personal"} {
		if !strings.Contains(text(asked.body), want) {
			t.Errorf("the question does not say %q: %s", want, text(asked.body))
		}
	}
	_, page := root.follow(t, adminSettingsPath, formOf(asked.body))
	if got := w.stored(t); got.LifetimeDays != 30 || !got.Run.At.Equal(now.Add(3*time.Hour)) || got.Prefix != "lkpat_" {
		t.Errorf("saved %+v", got)
	}
	if !strings.Contains(text(page), "A lifetime run is planned for in 3 hours · 2026-03-19 11:00 UTC") {
		t.Errorf("the page does not say when: %s", text(page))
	}
	form = formOf(page)
	form.Set(settings.Lifetime, "")
	asked = root.send(t, http.MethodPost, adminSettingsPath, form)
	if !strings.Contains(text(asked.body), "No token is revoked") || !strings.Contains(text(asked.body), "planned now is called off") {
		t.Errorf("taking it away: %s", text(asked.body))
	}
	root.follow(t, adminSettingsPath, formOf(asked.body))
	if got := w.stored(t); got.LifetimeDays != 0 || !got.Run.At.IsZero() {
		t.Errorf("taken away: %+v", got)
	}
	form = formOf(root.page(t, adminSettingsPath)) // the answer to one question is none to another
	form.Set(settings.Lifetime, "7")
	form.Set("confirmed", "30")
	if root.send(t, http.MethodPost, adminSettingsPath, form); w.stored(t).LifetimeDays != 0 {
		t.Error("saved without being asked")
	}
	const ignored = "Expired tokens are not refused now."
	if page := text(root.send(t, http.MethodPost, adminSettingsPath, form).body); strings.Contains(page, ignored) {
		t.Errorf("with expiry enforced: %s", page)
	}
	no := false
	w.set(t, settings.Change{ExpiryEnforced: &no})
	form = formOf(root.page(t, adminSettingsPath))
	form.Set(settings.Lifetime, "7")
	if page := text(root.send(t, http.MethodPost, adminSettingsPath, form).body); !strings.Contains(page, ignored) {
		t.Errorf("with expiry ignored: %s", page)
	}
}

// Breaks if a form that was open for long undoes what somebody else has set.
func TestAStaleSettingsForm(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	form := formOf(root.page(t, adminSettingsPath))
	prefix, days := "acme_", 10
	w.set(t, settings.Change{Prefix: &prefix, RetentionDays: &days})
	form.Set(settings.RotationWindow, "30")
	form.Set(settings.Retention, "20")
	got := root.send(t, http.MethodPost, adminSettingsPath, form)
	if got.status != http.StatusConflict || w.stored(t).RotationWindow != 0 || !strings.Contains(text(got.body), "Somebody else has changed the settings") || !strings.Contains(text(got.body), "Now it is 10 days.") {
		t.Fatalf("%d %s", got.status, text(got.body))
	}
	root.follow(t, adminSettingsPath, formOf(got.body))
	if s := w.stored(t); s.Prefix != "acme_" || s.RetentionDays != 20 || s.RotationWindow != 30*time.Second {
		t.Errorf("%+v", s)
	}
}

func TestFeatures(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	set := func(more url.Values) url.Values {
		form := url.Values{"name": {"resource_access_token"}, "value": {"false"}, "for": {"everybody"}}
		for name, values := range more {
			form[name] = values
		}
		return form
	}
	if page := root.page(t, adminFeaturesPath); !strings.Contains(page, "resource_access_token") || !strings.Contains(page, "on by default") {
		t.Error("the feature is not listed")
	}
	_, page := root.follow(t, adminFeaturesPath, set(nil))
	if !strings.Contains(page, `<span class="badge over">Off</span>`) {
		t.Errorf("switched off: %s", text(page))
	}
	_, page = root.follow(t, adminFeaturesPath, set(url.Values{"value": {"true"}, "for": {"some"}, "user": {"ann, bob"}}))
	if !strings.Contains(text(page), "On for some") || !strings.Contains(text(page), "user 2, user 3") {
		t.Errorf("for some: %s", text(page))
	}
	before := w.dump(t)
	for says, form := range map[string]url.Values{
		"Name at least one":                 set(url.Values{"for": {"some"}, "user": {" , "}}),
		"You chose everybody, and named":    set(url.Values{"user": {"ann"}}),
		"Choose on or off.":                 set(url.Values{"value": {"50"}}),
		"Choose for whom.":                  set(url.Values{"for": nil}),
		"Nothing uses a feature":            set(url.Values{"name": {"other"}}),
		"A name may have up to 255":         set(url.Values{"name": {"a b"}}),
		"“nobody” is not there.":            set(url.Values{"for": {"some"}, "user": {"nobody"}}),
		"“acme/web” is not there.":          set(url.Values{"for": {"some"}, "project": {"acme/web"}}),
		"You may name 98 at most in one go": set(url.Values{"for": {"some"}, "user": {strings.Repeat("ann,", 99)}}),
	} {
		got := root.send(t, http.MethodPost, adminFeaturesPath, form)
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(text(got.body), says) {
			t.Errorf("%s: %d %s", says, got.status, text(got.body))
		}
	}
	if w.dump(t) != before {
		t.Error("a refused form changed something")
	}
	_, page = root.follow(t, adminFeaturesPath+"/clear", url.Values{"name": {"resource_access_token"}})
	if !strings.Contains(page, `<span class="badge good">On</span>`) {
		t.Errorf("cleared: %s", text(page))
	}
	if got := root.send(t, http.MethodPost, adminFeaturesPath+"/clear", url.Values{"name": {"a b"}}); got.status != http.StatusBadRequest {
		t.Errorf("a bad name: %d", got.status)
	}
}

func TestAuditTrailPage(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	id := w.issue(t, "ann", "export", 5).Token.ID
	root.follow(t, w.userAt("bob", "/block"), nil)
	no := false
	w.set(t, settings.Change{Impersonation: &no})
	for query, want := range map[string]int{
		"": 6, "?event_name=user_blocked": 1, "?author_id=ann": 1, "?author_id=1": 2, "?author_id=-1": 3, "?entity_type=User&entity_id=3": 2,
		"?entity_type=Gitlab::Audit::InstanceScope": 1, "?token_id=" + id.String(): 1, "?created_after=2026-03-19T09:00": 0, "?created_before=2026-03-19T09:00": 6,
	} {
		page := root.page(t, adminAuditPath+query)
		if got := strings.Count(page, `<td data-label="When">`); got != want {
			t.Errorf("%s: %d events, want %d", query, got, want)
		}
		rows := made(csv.NewReader(strings.NewReader(root.get(t, adminCSVPath+query).body)).ReadAll())
		if len(rows) != want+1 {
			t.Errorf("%s: %d rows, want %d", query, len(rows)-1, want)
		}
	}
	if page := text(root.page(t, adminAuditPath)); !strings.Contains(page, "192.0.2.7") || !strings.Contains(page, "“true” → “false”") || !strings.Contains(page, "@root") {
		t.Errorf("%s", page)
	}
	for _, query := range []string{"?author_id=nobody", "?entity_id=3", "?entity_type=x", "?token_id=x", "?created_after=x", "?cursor=x"} {
		if got := root.get(t, adminAuditPath+query); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", query, got.status)
		}
		if got := root.get(t, adminCSVPath+query); got.status != http.StatusBadRequest {
			t.Errorf("%s as a file: %d", query, got.status)
		}
	}
}

// Breaks if one long note makes the page of its account as long.
func TestALongNoteIsCut(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{maxShownNote, maxShownNote + 1} {
		note := strings.Repeat("é", n)
		made(w.accounts.Update(t.Context(), w.as(t, "root"), w.people["ann"].ID, directory.Change{Note: &note}))
		page := w.signIn("root").page(t, w.userAt("ann", ""))
		if strings.Count(page, "é") != maxShownNote || strings.Contains(page, "é…") != (n > maxShownNote) {
			t.Errorf("%d of %d characters", strings.Count(page, "é"), n)
		}
	}
}

// Breaks if the trail shows what an administrator did with an impersonation token as the act of its owner alone.
func TestTheTrailNamesWhoActedThroughAToken(t *testing.T) {
	w := newWorld(t)
	by := made(w.site.parts.Verifier.Verify(t.Context(), w.impersonate(t, "ann", "shadow").Bearer.Reveal(), principal.Request{}.Address))
	made(w.revoker.Revoke(t.Context(), by, w.issue(t, "ann", "export", 5).Token.ID, lifecycle.Alone))
	if page := text(w.signIn("root").page(t, adminAuditPath+"?author_id=ann")); !strings.Contains(page, "@ann, through account "+w.people["root"].ID.String()) {
		t.Errorf("%s", page)
	}
}

// Breaks if an administrator believes that a rotated token is gone while its successor works.
func TestRevokingARotatedTokenShowsItsSuccessor(t *testing.T) {
	w := newWorld(t)
	old := w.issue(t, "ann", "export", 20)
	next := made(w.issuer.Rotate(t.Context(), w.as(t, "ann"), old.Token.ID, lifecycle.Rotation{Overlap: time.Hour, ExpiresOn: clock.DayOf(now).AddDays(20)}))
	w.secrets = append(w.secrets, next.Bearer.Reveal())
	root := w.signIn("root")
	if location, _ := root.follow(t, adminAt(old.Token.ID, "revoke"), nil); location != adminAt(next.Token.ID) {
		t.Errorf("revoking one leads to %s", location)
	}
	if location, _ := root.follow(t, adminAt(old.Token.ID, "revoke"), url.Values{"reach": {wholeChain}}); location != adminAt(old.Token.ID) {
		t.Errorf("revoking the chain leads to %s", location)
	}
}

// What ends soon is said on every page, for administrators too.
func TestTheBannerIsOnEveryPage(t *testing.T) {
	w := newWorld(t)
	id := w.issue(t, "root", "export", 5).Token.ID
	root := w.signIn("root")
	const says = "A token of yours ends within 14 days"
	for _, target := range []string{
		tokensPath, tokensPath + "/new", tokensPath + "/revoke_all", endsPath, at(id), at(id, "rotate"), at(id, "revoke"), at(id, "duplicate"),
		adminUsersPath, w.userAt("ann", ""), adminTokensPath, adminAt(id), adminSettingsPath, adminFeaturesPath, adminAuditPath,
	} {
		if page := root.page(t, target); strings.Count(page, says) != 1 {
			t.Errorf("%s says it %d times", target, strings.Count(page, says))
		}
	}
	if page := w.signIn("ann").page(t, tokensPath); strings.Contains(page, "within 14 days</strong>") {
		t.Error("it says so to somebody without such a token")
	}
	if got := root.get(t, "/-/nothing"); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
}

func TestSizesOfPagesOfAdministrators(t *testing.T) {
	w := newWorld(t)
	for i := range 103 {
		issued, err := w.issuer.CreateForSelf(t.Context(), w.as(t, "ann"), lifecycle.Spec{
			Name: fmt.Sprintf("nightly export of the shop's orders, %d", i), Scopes: scope.Set{"read_api", "read_repository", "write_repository"},
		})
		check(t, err)
		w.secrets = append(w.secrets, issued.Bearer.Reveal())
	}
	for i := range 100 {
		made(w.accounts.CreateByConsole(t.Context(), "", directory.Candidate{
			Username: fmt.Sprintf("somebody.with.a.name%d", i), Name: fmt.Sprintf("Somebody With A Name %d", i), Email: fmt.Sprintf("p%d@example.test", i),
		}))
	}
	root := w.signIn("root")
	const most = 60_000
	for _, target := range []string{adminUsersPath, adminTokensPath, adminAuditPath, w.userAt("ann", "/revoke_all"), w.userAt("ann", ""), adminSettingsPath, adminFeaturesPath} {
		page := root.page(t, target)
		if len(page) > most || target == adminTokensPath && strings.Count(page, "<tr>") != 101 {
			t.Errorf("%s has %d bytes", target, len(page))
		}
		t.Logf("%s: %d bytes", target, len(page))
	}

	// The rest of the tokens lies behind a cursor, which names this list only.
	next := regexp.MustCompile(`<a href="([^"]*cursor=[^"]*)" rel="next">`).FindStringSubmatch(root.page(t, adminTokensPath))
	if next == nil {
		t.Fatal("there is no next page")
	}
	behind := html.UnescapeString(next[1])
	page := root.page(t, behind)
	if rows := strings.Count(page, "<tr>"); rows < 2 || rows > 100 || !strings.Contains(page, `rel="first"`) || strings.Contains(page, `rel="next"`) {
		t.Errorf("behind the cursor: %d rows", rows)
	}
	if got := root.get(t, behind+"&sort=id_desc"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("the cursor of another list: %d", got.status)
	}
}

// failing cannot list the tokens of an owner.
type failing struct{ lifecycle.ListStore }

func (failing) TokensOfOwner(context.Context, account.ID) ([]token.Token, error) {
	return nil, fault.ErrUnavailable
}

// Breaks if a new value is lost because its page could not find out what else ends soon.
func TestAPageIsThereWithoutItsBanner(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	location := root.send(t, http.MethodPost, tokensPath, newForm()).header.Get("Location")
	pepper := made(secret.NewPepper("a pepper for tests, of 33 letters"))
	w.site.parts.Lister = made(lifecycle.NewLister(lifecycle.ListerParts{
		Store: failing{w.table}, Reader: w.table, Projects: w.table, Scopes: scope.GitLab(), Pepper: pepper, Format: secret.Format{Prefixes: []string{"lkpat_"}}, Clock: w.clock,
	}))
	if w.bearerIn(root.page(t, location)) == "" {
		t.Error("the value is lost")
	}
	root.page(t, adminFeaturesPath)
	if !strings.Contains(w.logs.String(), "banner left out") {
		t.Error("the log does not say so")
	}
}

// nameless cannot read accounts in batches.
type nameless struct{ directory.Reader }

func (nameless) Accounts(context.Context, []account.ID, func(account.Account)) error {
	return fault.ErrUnavailable
}

// Breaks if the value of an impersonation token is lost because its page could not find out whose it is.
func TestANewValueIsShownWithoutTheNameOfItsOwner(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	location := root.send(t, http.MethodPost, w.userAt("ann", "/impersonation_tokens"), newForm()).header.Get("Location")
	finder := made(directory.NewFinder(directory.FinderParts{Reader: nameless{w.table}, Projects: w.table, Clock: w.clock}))
	w.site.parts.Directory = made(directory.New(finder, w.table))
	bearer := regexp.MustCompile(`lkimp_[0-9A-Za-z]+`).FindString(root.page(t, location))
	if bearer == "" {
		t.Error("the value is lost")
	}
	w.secrets = append(w.secrets, bearer)
}

// Breaks if the page that asks before everything is revoked names tokens that nobody uses in place of
// those that are used.
func TestWhatWasUsedLastComesFirst(t *testing.T) {
	at := func(id token.ID, at time.Time) lifecycle.View {
		return lifecycle.View{Token: token.Token{ID: id, LastUsedAt: at}}
	}
	// The order of a list puts what was never used first.
	views := []lifecycle.View{at(1, time.Time{}), at(2, time.Time{}), at(3, now), at(4, now.Add(-time.Hour))}
	var got []token.ID
	for _, v := range usedLast(views, 3) {
		got = append(got, v.Token.ID)
	}
	if !slices.Equal(got, []token.ID{3, 4, 1}) {
		t.Errorf("%v", got)
	}
}

// Breaks if the list of events says "somebody unknown" of what Latchkey did itself.
func TestWhatNobodyDidHasWords(t *testing.T) {
	for _, source := range []audit.Source{audit.Policy, audit.Reuse, audit.Leak, audit.Mail, audit.Console, audit.Provider} {
		if got := authorOf(audit.Event{Origin: audit.Origin{Source: source}}, trail.Page{}); got == "somebody unknown" {
			t.Errorf("%s: %s", source, got)
		}
	}
}

// Breaks if a tile shows other tokens than it says, or a token that is new as one that nobody uses.
func TestTilesOfTokensToLookAt(t *testing.T) {
	w := newWorld(t)
	root := w.signIn("root")
	networks, err := token.ParseNetworks([]string{"192.0.2.0/24"})
	check(t, err)
	issue := func(name string, days int, networks token.Networks) {
		_, err := w.issuer.CreateForSelf(t.Context(), w.as(t, "ann"), lifecycle.Spec{
			Name: name, Scopes: scope.Set{scope.ReadAPI}, ExpiresOn: clock.DayOf(w.clock.Now()).AddDays(days), Networks: networks,
		})
		check(t, err)
	}
	w.clock.Set(now.AddDate(0, 0, -91))
	issue("old and unused", 191, networks)
	w.clock.Set(now)
	issue("new and open", 100, nil)
	issue("new and ending", 14, networks)
	issue("ending a day later", 15, networks)
	names := []string{"old and unused", "new and open", "new and ending", "ending a day later"}
	page := root.page(t, adminTokensPath)
	for label, wanted := range map[string][]string{
		"Works from anywhere": {"new and open"}, "Unused": {"old and unused"}, "Ends soon": {"new and ending"}, "Everything": names,
	} {
		tile := regexp.MustCompile(`<a class="tile [a-z]+" href="([^"]+)"[^>]*><span>` + label + `<`).FindStringSubmatch(page)
		if tile == nil {
			t.Fatalf("no tile %s in %s", label, page)
		}
		list := root.page(t, html.UnescapeString(tile[1]))
		for _, name := range names {
			if shown := strings.Contains(list, name); shown != slices.Contains(wanted, name) {
				t.Errorf("%s: %s is shown: %t", label, name, shown)
			}
		}
		if current := regexp.MustCompile(`aria-current="true"><span>([^<]+)`).FindStringSubmatch(list); current == nil || current[1] != label {
			t.Errorf("behind %s, the current tile is %v", label, current)
		}
	}
}
