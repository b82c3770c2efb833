package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

func newForm(change ...func(url.Values)) url.Values {
	form := url.Values{"name": {"nightly export"}, "expires": {"30"}, "scopes[]": {"read_api", "read_repository"}}
	for _, f := range change {
		f(form)
	}
	return form
}

// Breaks if a value can be seen a second time, or lies anywhere but on the one page that shows it.
func TestANewValueIsShownOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.signIn("ann")
	location, page := ann.follow(t, tokensPath, newForm())
	bearer := w.bearerIn(page)
	if bearer == "" {
		t.Fatalf("no value on %s", text(page))
	}
	if !strings.Contains(page, `value="`+bearer+`" readonly autocomplete="off"`) {
		t.Error("the field can be changed or is remembered by the browser")
	}
	for _, snippet := range []string{"export LATCHKEY_TOKEN=", "curl --header", "git remote set-url", "docker login", "_authToken"} {
		if !strings.Contains(page, snippet) {
			t.Errorf("no snippet with %s", snippet)
		}
	}
	if strings.Contains(location, bearer) || strings.Contains(w.dump(t), bearer) {
		t.Error("the value is in the address or in the table")
	}
	if _, err := w.site.parts.Verifier.Verify(t.Context(), bearer, made(netip.ParseAddr("192.0.2.7"))); err != nil {
		t.Errorf("the value does not work: %v", err)
	}
	// Breaks if Chromium keeps the page for Back: a cookie must change after it.
	if ann.cookies[shownCookie] == "" {
		t.Error("nothing says that a value was shown")
	}
	if style := ann.get(t, "/-/assets/page.css"); ann.cookies[shownCookie] != "" || style.status != http.StatusOK {
		t.Error("the cookie does not change after the page")
	}
	for range 2 { // reload, and Back
		got := ann.get(t, location)
		if got.status != http.StatusSeeOther || strings.Contains(got.body, bearer) || got.header.Get("Location") != strings.TrimSuffix(location, "/created") {
			t.Errorf("again: %d to %s", got.status, got.header.Get("Location"))
		}
	}
	if page := ann.page(t, strings.TrimSuffix(location, "/created")); strings.Contains(page, bearer) {
		t.Error("the token's page has the value")
	}
}

// Breaks if the banner pushes a new value down, which nobody sees twice.
func TestNothingDistractsFromANewValue(t *testing.T) {
	w := newWorld(t)
	ann := w.signIn("ann")
	const banner = "within 14 days"
	location, page := ann.follow(t, tokensPath, newForm(func(f url.Values) { f.Set("expires", "7") }))
	if w.bearerIn(page) == "" || strings.Contains(text(page), banner) {
		t.Errorf("the banner is on %s", text(page))
	}
	if after := ann.page(t, strings.TrimSuffix(location, "/created")); !strings.Contains(text(after), banner) {
		t.Errorf("no banner on %s", text(after))
	}
}

// Breaks if a value is lost when somebody makes two tokens at the same time.
func TestTwoNewValuesAtATime(t *testing.T) {
	w := newWorld(t)
	ann := w.signIn("ann")
	var locations []string
	for range 2 {
		locations = append(locations, ann.send(t, http.MethodPost, tokensPath, newForm()).header.Get("Location"))
	}
	first, second := w.bearerIn(ann.page(t, locations[0])), w.bearerIn(ann.page(t, locations[1]))
	if first == "" || second == "" || first == second {
		t.Error("a value is lost")
	}
}

// Breaks if the cookie that carries a value opens it for others, for another token, or for long.
func TestTheHandOverIsForOnePersonOneTokenAndShort(t *testing.T) {
	w := newWorld(t)
	ann := w.signIn("ann")
	got := ann.send(t, http.MethodPost, tokensPath, newForm())
	location := got.header.Get("Location")
	name := handOverCookie + strings.Split(location, "/")[4]
	sealed := ann.cookies[name]
	cookie := got.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=120"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie has no %s: %s", want, strings.Replace(cookie, sealed, "…", 1))
		}
	}
	other := w.issue(t, "ann", "other", 5).Token.ID
	show := func(who, target string, cookie string) reply {
		b := w.signIn(who)
		b.cookies[handOverCookie+strings.Split(target, "/")[4]] = cookie
		return b.get(t, target)
	}
	for name, got := range map[string]reply{
		"bob":            show("bob", location, sealed),
		"another token":  show("ann", at(other, "created"), sealed),
		"a cut cookie":   show("ann", location, sealed[:len(sealed)-4]),
		"a bent cookie":  show("ann", location, sealed[:len(sealed)-9]+"AAAA"+sealed[len(sealed)-5:]),
		"without cookie": w.signIn("ann").get(t, location),
	} {
		if got.status == http.StatusOK || w.bearerIn(got.body) != "" {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if head := ann.send(t, http.MethodHead, location, nil); head.body != "" || ann.cookies[name] == "" {
		t.Error("a HEAD request used the value up")
	}
	w.clock.Advance(handOverLife - time.Second)
	if got := show("ann", location, sealed); got.status != http.StatusOK {
		t.Errorf("a second before the end: %d", got.status)
	}
	w.clock.Advance(time.Second)
	if got := show("ann", location, sealed); got.status == http.StatusOK {
		t.Error("the cookie works after its end")
	}
}

func TestCreate(t *testing.T) {
	set := func(name string, values ...string) func(url.Values) {
		return func(form url.Values) { form[name] = values }
	}
	for _, test := range []struct {
		name    string
		who     string
		form    url.Values
		settled func(*testing.T, *world)
		status  int
		want    string // on the page
		expires clock.Day
	}{
		{name: "a preset", form: newForm(), status: 303, expires: clock.DayOf(now).AddDays(30)},
		{name: "the longest", form: newForm(set("expires", "longest")), status: 303, expires: clock.DayOf(now).AddDays(365)},
		{name: "a day of one's own", form: newForm(set("expires", "day"), set("expires_on", "2026-03-20")), status: 303, expires: clock.DayOf(now).AddDays(1)},
		{name: "the day counts only if it is chosen", form: newForm(set("expires_on", "2026-03-20")), status: 303, expires: clock.DayOf(now).AddDays(30)},
		{name: "more scopes than any token of the person has", form: newForm(set("scopes[]", "api")), status: 303, expires: clock.DayOf(now).AddDays(30)},
		{name: "networks", form: newForm(set("networks", "192.0.2.0/24, 2001:db8::/32")), status: 303, expires: clock.DayOf(now).AddDays(30)},
		{name: "no name", form: newForm(set("name", "  ")), status: 422, want: "Give the token a name."},
		{name: "a name that is too long", form: newForm(set("name", strings.Repeat("é", 256))), status: 422, want: "may have 255 characters"},
		{name: "a description that is too long", form: newForm(set("description", strings.Repeat("d", 256))), status: 422, want: "may have 255 characters"},
		{name: "no scope", form: newForm(set("scopes[]")), status: 422, want: "Choose at least one scope."},
		{name: "a scope that does not exist", form: newForm(set("scopes[]", "everything")), status: 422, want: "One of the scopes does not exist."},
		{name: "a scope for administrators", form: newForm(set("scopes[]", "sudo")), status: 422, want: "The scope sudo is for administrators."},
		{name: "the same for an administrator", who: "root", form: newForm(set("scopes[]", "sudo")), status: 303, expires: clock.DayOf(now).AddDays(30)},
		{name: "today", form: newForm(set("expires", "day"), set("expires_on", "2026-03-19")), status: 422, want: "must be after 2026-03-19"},
		{name: "no day", form: newForm(set("expires", "day")), status: 422, want: "Choose when the token ends."},
		{name: "no day and no name", form: newForm(set("expires", "day"), set("name", "")), status: 422, want: "Give the token a name. Choose when the token ends."},
		{name: "too many days", form: newForm(set("expires", "366")), status: 422, want: "must end on 2027-03-19 or earlier"},
		{name: "no choice", form: newForm(set("expires")), status: 422, want: "Choose when the token ends."},
		{name: "more days than a number holds", form: newForm(set("expires", "99999999999999999999")), status: 422, want: "Choose when the token ends."},
		{name: "never, if an end is required", form: newForm(set("expires", "never")), status: 303, expires: clock.DayOf(now).AddDays(365)},
		{name: "never, if it is optional", form: newForm(set("expires", "never")), status: 303, settled: optional},
		{name: "a network with bits behind its length", form: newForm(set("networks", "192.0.2.1/24")), status: 422, want: "Did you mean 192.0.2.0/24?"},
		{name: "no networks", form: newForm(set("networks", "everywhere")), status: 422, want: "The networks must be"},
		{name: "a limit", form: newForm(set("expires", "30")), settled: limit(10), status: 422, want: "must end on 2026-03-29 or earlier"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			if test.settled != nil {
				test.settled(t, w)
			}
			if test.who == "" {
				test.who = "ann"
			}
			b := w.signIn(test.who)
			got := b.send(t, http.MethodPost, tokensPath, test.form)
			if got.status != test.status || !strings.Contains(text(got.body), test.want) {
				t.Fatalf("%d, want %d with %q\n%s", got.status, test.status, test.want, text(got.body))
			}
			if test.status != http.StatusSeeOther {
				if !strings.Contains(got.body, `value="`+test.form.Get("name")+`"`) {
					t.Error("the input is lost")
				}
				for _, s := range test.form["scopes[]"] {
					if s != "everything" && s != "sudo" && !strings.Contains(got.body, `value="`+s+`" checked`) {
						t.Errorf("the scope %s is lost", s)
					}
				}
				if views := made(w.site.parts.Lister.AllOwn(t.Context(), w.as(t, test.who))); len(views) != 0 {
					t.Errorf("a token was made: %+v", views)
				}
				return
			}
			w.bearerIn(b.page(t, got.header.Get("Location")))
			views := made(w.site.parts.Lister.AllOwn(t.Context(), w.as(t, test.who)))
			if len(views) != 1 || views[0].Token.ExpiresOn != test.expires || views[0].Token.CreatedBy != w.people[test.who].ID {
				t.Errorf("made %+v", views)
			}
		})
	}
}

func optional(t *testing.T, w *world) {
	no := false
	w.set(t, settings.Change{ExpiryRequired: &no})
}

func limit(days int) func(*testing.T, *world) {
	return func(t *testing.T, w *world) { w.set(t, settings.Change{LifetimeDays: &days}) }
}

func (w *world) set(t *testing.T, change settings.Change) {
	t.Helper()
	if _, err := w.settings.Update(t.Context(), w.as(t, "root"), change); err != nil {
		t.Fatal(err)
	}
}

// Presets that administrators do not allow are not there.
func TestPresets(t *testing.T) {
	values := regexp.MustCompile(`name="expires" value="(\w+)"( checked)?`)
	for _, test := range []struct {
		name    string
		settled func(*testing.T, *world)
		want    string
	}{
		{"without a limit", func(*testing.T, *world) {}, "1h 8h 7 30* 90 longest day"},
		{"a limit of 30 days", limit(30), "1h 8h 7 longest* day"},
		{"a limit of 31 days", limit(31), "1h 8h 7 30* longest day"},
		{"a limit of a week", limit(7), "1h 8h longest* day"},
		{"a limit of a day", limit(1), "1h 8h longest* day"},
		{"an end is optional", optional, "1h 8h 7 30* 90 day never"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.settled(t, w)
			var got []string
			for _, m := range values.FindAllStringSubmatch(w.signIn("ann").page(t, tokensPath+"/new"), -1) {
				got = append(got, m[1]+strings.Replace(m[2], " checked", "*", 1))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s, want %s", strings.Join(got, " "), test.want)
			}
		})
	}
}

func TestPrefill(t *testing.T) {
	for _, test := range []struct {
		name, query string
		has, hasNot []string
	}{
		{"GitLab's link", "?name=Example+Access+token&scopes=api,%20read_user,,read_registry",
			[]string{`value="Example Access token"`, `value="api" checked`, `value="read_user" checked`, `value="read_registry" checked`, "A link filled this form in"},
			[]string{"Not applied", `value="read_api" checked`}},
		{"a description", "?description=for+CI", []string{`value="for CI"`}, nil},
		{"days", "?expires_in_days=90", []string{`value="90" checked`}, []string{"Not applied"}},
		{"other days", "?expires_in_days=45", []string{`value="45" checked`, "45 days"}, []string{"Not applied"}},
		{"too many days", "?expires_in_days=400", []string{"Not applied: the lifetime in days “400”", `value="30" checked`}, nil},
		{"days that are none", "?expires_in_days=never", []string{"Not applied: the lifetime in days “never”"}, nil},
		{"networks", "?allowed_cidrs=192.0.2.0/24,2001:db8::1", []string{"192.0.2.0/24\n2001:db8::1/128</textarea>"}, []string{"Not applied"}},
		{"networks that are none", "?allowed_cidrs=home", []string{"Not applied: the networks “home”"}, nil},
		{"an unknown scope", "?scopes=api,everything", []string{`value="api" checked`, "Not applied: the scope “everything”"}, nil},
		{"a scope that the person cannot have", "?scopes=sudo", []string{"Not applied: the scope “sudo”"}, []string{`value="sudo"`}},
		{"an unknown parameter", "?name=x&expires_at=2027-01-01", []string{"Not applied: the parameter “expires_at”"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			page := w.signIn("ann").page(t, tokensPath+test.query)
			for _, want := range test.has {
				if !strings.Contains(page, want) && !strings.Contains(text(page), want) {
					t.Errorf("no %q in\n%s", want, text(page))
				}
			}
			for _, not := range test.hasNot {
				if strings.Contains(page, not) {
					t.Errorf("%q is there", not)
				}
			}
			if views := made(w.site.parts.Lister.AllOwn(t.Context(), w.as(t, "ann"))); len(views) != 0 {
				t.Error("opening a link made a token")
			}
		})
	}
}

// hostile are texts that would do something if a page passed them on as they are.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `{{.Page}}`, `{{printf "%s" "x"}}`,
	`javascript:alert(1)`, `</title><script>`, `--><script>`, "a\r\nSet-Cookie: who=root", "\u202egnp.exe", `${7*7}`, `</textarea><script>`,
}

// Breaks if somebody else's text becomes part of a page.
func TestHostileTexts(t *testing.T) {
	w := newWorld(t)
	ann := w.signIn("ann")
	tag, value := regexp.MustCompile(`<[a-z][^<>]*>`), regexp.MustCompile(`="[^"]*"`)
	bad := regexp.MustCompile(`(?i)^<(script .*alert|img|svg [^v])|\son\w+|(?:href|src|action)="(?:javascript|data):`)
	clean := func(t *testing.T, what, page string) {
		t.Helper()
		for _, element := range tag.FindAllString(page, -1) {
			if bad.MatchString(value.ReplaceAllString(element, "=")) || bad.MatchString(element) && !strings.Contains(element, "value=") {
				t.Errorf("%s has %s", what, element)
			}
		}
		if strings.Count(page, "<script") != 1 || strings.Count(page, "</textarea>") > 1 || strings.Count(page, "</title>") > 1+strings.Count(page, "<title>")+strings.Count(page, `<title id=`) {
			t.Errorf("%s: an element was opened or closed", what)
		}
	}
	for _, evil := range hostile {
		for _, name := range append(linkParameters, "anything", evil) {
			got := ann.get(t, tokensPath+"?name=x&"+url.Values{name: {evil}}.Encode())
			if got.status != http.StatusOK || got.header.Get("Set-Cookie") != "" {
				t.Fatalf("%s=%q: %d", name, evil, got.status)
			}
			clean(t, name+"="+evil, got.body)
		}
		for _, name := range []string{"state", "search", "sort", "after"} {
			clean(t, name+"="+evil, ann.page(t, tokensPath+"?"+url.Values{name: {evil}}.Encode()))
		}
		form := url.Values{"name": {evil}, "description": {evil}, "scopes[]": {evil}, "networks": {evil}, "expires": {evil}, "expires_on": {evil}}
		clean(t, "form with "+evil, ann.send(t, http.MethodPost, tokensPath, form).body)
		location, page := ann.follow(t, tokensPath, newForm(func(f url.Values) { f.Set("name", evil); f.Set("description", evil) }))
		w.bearerIn(page)
		clean(t, "created "+evil, page)
		one := strings.TrimSuffix(location, "/created")
		for _, target := range []string{tokensPath, one, one + "/rotate", one + "/revoke", one + "/duplicate", tokensPath + "/revoke_all", endsPath} {
			page := ann.page(t, target)
			clean(t, target+" with "+evil, page)
			if strings.Contains(page, "\u202e") && !strings.HasSuffix(target, "/duplicate") {
				t.Errorf("%s turns the direction of text around", target)
			}
		}
	}
}

// Breaks if somebody can see or change another person's token by its id.
func TestTokensOfOthersAreNotThere(t *testing.T) {
	w := newWorld(t)
	own := w.issue(t, "ann", "ann's", 20).Token.ID
	theirs := w.issue(t, "bob", "bob's secret project", 20)
	impersonation := made(w.issuer.CreateImpersonation(t.Context(), w.as(t, "root"), w.people["ann"].ID, lifecycle.Spec{
		Name: "watching ann", Scopes: []scope.Scope{"api"}, ExpiresOn: clock.DayOf(now).AddDays(20),
	}))
	w.secrets = append(w.secrets, impersonation.Bearer.Reveal())
	ids := map[string]string{
		"another person's": theirs.Token.ID.String(), "an impersonation token": impersonation.Token.ID.String(),
		"none": "8388700", "no number": "abc", "a negative number": "-1", "another spelling": "0" + own.String(), "too high": "99999999999999999999", "an escape": "%31",
	}
	before := w.dump(t)
	for what, id := range ids {
		for _, who := range []string{"ann", "root"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				for _, page := range []string{"", "/created", "/duplicate", "/rotate", "/revoke"} {
					got := w.signIn(who).send(t, method, tokensPath+"/"+id+page, url.Values{"expires": {"7"}, "overlap": {"0"}})
					if method == http.MethodPost && (page != "/rotate" && page != "/revoke") {
						continue
					}
					if got.status != http.StatusNotFound || strings.Contains(got.body, "secret project") || strings.Contains(got.body, "watching") {
						t.Errorf("%s, %s %s of %s: %d", who, method, page, what, got.status)
					}
				}
			}
		}
		page := w.signIn("ann").page(t, tokensPath+"?after="+id)
		if strings.Contains(page, "secret project") || strings.Contains(page, "watching") {
			t.Errorf("the list shows %s", what)
		}
	}
	if w.dump(t) != before {
		t.Error("something was changed")
	}
	for _, target := range []string{tokensPath, endsPath, tokensPath + "/revoke_all"} {
		for _, who := range []string{"ann", "root"} {
			if page := w.signIn(who).page(t, target); strings.Contains(page, "secret project") || strings.Contains(page, "watching") {
				t.Errorf("%s shows %s another's token", target, who)
			}
		}
	}
}

func TestGroupsOrderAndPages(t *testing.T) {
	w := newWorld(t)
	w.clock.Set(now.AddDate(0, 0, -100))
	w.issue(t, "ann", "long unused", 300)
	used := w.issue(t, "ann", "old and used", 300)
	w.issue(t, "ann", "expired", 20)
	w.clock.Set(now)
	if _, err := w.site.parts.Verifier.Verify(t.Context(), used.Bearer.Reveal(), made(netip.ParseAddr("198.51.100.9"))); err != nil {
		t.Fatal(err)
	}
	w.issue(t, "ann", "in 14 days", 14)
	w.issue(t, "ann", "in 15 days", 15)
	w.issue(t, "ann", "tomorrow", 1)
	gone := w.issue(t, "ann", "revoked one", 50)
	ann := w.signIn("ann")
	if location := ann.send(t, http.MethodPost, at(gone.Token.ID, "revoke"), nil).header.Get("Location"); location != at(gone.Token.ID) {
		t.Errorf("to %s", location)
	}
	names := func(query string) string {
		var got []string
		for _, m := range regexp.MustCompile(`<th scope="row"><a [^>]*>“([^”]*)”`).FindAllStringSubmatch(ann.page(t, tokensPath+query), -1) {
			got = append(got, m[1])
		}
		return strings.Join(got, ", ")
	}
	for query, want := range map[string]string{
		"":                        "tomorrow, in 14 days, in 15 days, long unused, old and used",
		"?state=active":           "tomorrow, in 14 days, in 15 days, long unused, old and used",
		"?state=anything":         "tomorrow, in 14 days, in 15 days, long unused, old and used",
		"?state=ending":           "tomorrow, in 14 days",
		"?state=unused":           "long unused",
		"?state=ended":            "revoked one, expired",
		"?sort=name_asc":          "in 14 days, in 15 days, long unused, old and used, tomorrow",
		"?sort=name_desc":         "tomorrow, old and used, long unused, in 15 days, in 14 days",
		"?sort=last_used_asc":     "old and used, long unused, in 14 days, in 15 days, tomorrow",
		"?sort=nothing":           "tomorrow, in 14 days, in 15 days, long unused, old and used",
		"?search=UNUSED":          "long unused",
		"?state=ended&search=exp": "expired",
	} {
		if got := names(query); got != want {
			t.Errorf("%s: %s\nwant %s", query, got, want)
		}
	}
	page := text(ann.page(t, tokensPath))
	for _, want := range []string{"5 Active", "2 Ending", "1 Unused", "2 Ended", "2 tokens of yours end within 14 days", "198.51.100.9"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if page := text(ann.page(t, tokensPath+"?state=ended")); !strings.Contains(page, "Revoked by you") || !strings.Contains(page, "Expired") {
		t.Errorf("no reasons in %s", page)
	}
}

// The pages of a list follow each other without gaps, also when the last token of one has gone.
func TestKeysetPages(t *testing.T) {
	w := newWorld(t)
	for n := range 130 {
		w.issue(t, "ann", fmt.Sprintf("token %03d", n), 20+n)
	}
	ann := w.signIn("ann")
	page := ann.page(t, tokensPath+"?sort=name_asc")
	next := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(page)
	if next == nil || strings.Count(page, `scope="row"`) != perPage {
		t.Fatalf("%d rows, next %v", strings.Count(page, `scope="row"`), next)
	}
	link := strings.ReplaceAll(next[1], "&amp;", "&")
	second := ann.page(t, link)
	if strings.Count(second, `scope="row"`) != 30 || !strings.Contains(second, "token 100") || !strings.Contains(second, `rel="first"`) {
		t.Errorf("second page: %s", text(second))
	}
	after := made(token.ParseID(made(url.Parse(link)).Query().Get("after")))
	made(w.revoker.Revoke(t.Context(), w.as(t, "ann"), after, lifecycle.Alone))
	if again := ann.page(t, link); strings.Count(again, `scope="row"`) != 30 {
		t.Errorf("after a revocation: %d rows", strings.Count(again, `scope="row"`))
	}
}

func TestReasonsOfEndedTokens(t *testing.T) {
	day := clock.DayOf(now)
	base := token.Token{ID: 1<<22 + 5, ExpiresOn: day.AddDays(30), RevokedAt: now.Add(-time.Hour)}
	with := func(reason token.Reason) token.Token { t := base; t.RevokedReason = reason; return t }
	bulk, over := base, base
	bulk.RevokedAt = time.Time{}
	over.RevokedAt, over.WorksUntil = time.Time{}, now.Add(-time.Minute)
	late := with(token.ReasonRequest)
	late.ExpiresOn = day.AddDays(-1)
	for _, test := range []struct {
		name  string
		token token.Token
		from  int64
		by    *deed
		want  string
	}{
		{"by oneself", with(token.ReasonRequest), 0, &deed{Who: "you"}, "Revoked by you"},
		{"by somebody else", with(token.ReasonRequest), 0, &deed{Who: "@root"}, "Revoked by @root"},
		{"by somebody who is not known any more", with(token.ReasonRequest), 0, nil, "Revoked"},
		{"rotated", with(token.ReasonRotated), 0, nil, "Rotated"},
		{"after an overlap", over, 0, nil, "Rotated"},
		{"reuse", with(token.ReasonReuse), 0, nil, "Revoked: used again"},
		{"leak", with(token.ReasonLeak), 0, nil, "Revoked: leaked"},
		{"policy", with(token.ReasonPolicy), 0, nil, "Revoked by policy"},
		{"in bulk", bulk, 9, nil, "Revoked with all others"},
		{"expired before it was revoked", late, 0, &deed{Who: "you"}, "Expired"},
	} {
		view := viewOf(test.token, now, test.from)
		if got := stateOf(view, now, test.by); got.Words != test.want || got.Mark != "over" {
			t.Errorf("%s: %+v, want %s", test.name, got, test.want)
		}
	}
}

func viewOf(t token.Token, at time.Time, validFrom int64) lifecycle.View {
	return lifecycle.View{
		Token: t, Active: t.StateAt(at, validFrom, settings.Settings{}) == token.Active, Revoked: t.RevokedIn(at, validFrom),
	}
}

// A second before, at and after each limit of a mark.
func TestMarks(t *testing.T) {
	ends := clock.DayOf(now).AddDays(40)
	for _, test := range []struct {
		before time.Duration
		want   string
	}{
		{14*24*time.Hour + time.Second, "good"}, {14 * 24 * time.Hour, "good"}, {14*24*time.Hour - time.Second, "soon"},
		{3*24*time.Hour + time.Second, "soon"}, {3 * 24 * time.Hour, "soon"}, {3*24*time.Hour - time.Second, "near"}, {time.Second, "near"}, {0, "over"},
	} {
		at := ends.Start().Add(-test.before)
		tok := token.Token{ID: 1<<22 + 5, ExpiresOn: ends}
		view := viewOf(tok, at, 0)
		if got := stateOf(view, at, nil); got.Mark != test.want {
			t.Errorf("%s before: %+v, want %s", test.before, got, test.want)
		}
		if in := view.In(lifecycle.Ending, at); in != (test.want == "soon" || test.want == "near") {
			t.Errorf("%s before: ending %t", test.before, in)
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		59 * time.Second: "less than a minute", time.Minute: "1 minute", 119 * time.Minute: "119 minutes", 2 * time.Hour: "2 hours",
		48*time.Hour - time.Second: "47 hours", 48 * time.Hour: "2 days", 400 * 24 * time.Hour: "400 days",
	} {
		if got := length(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestRotate(t *testing.T) {
	w := newWorld(t)
	old := w.issue(t, "ann", "deploy", 20)
	ann := w.signIn("ann")
	if form := ann.page(t, at(old.Token.ID, "rotate")); !strings.Contains(form, `value="20" checked`) || !strings.Contains(form, `value="900" checked`) {
		t.Errorf("the form proposes something else: %s", text(form))
	}
	bad := ann.send(t, http.MethodPost, at(old.Token.ID, "rotate"), url.Values{"expires": {"day"}, "overlap": {"90000"}})
	if bad.status != http.StatusUnprocessableEntity || !strings.Contains(text(bad.body), "Choose how long") || !strings.Contains(text(bad.body), "Choose when") {
		t.Errorf("%d: %s", bad.status, text(bad.body))
	}
	location, page := ann.follow(t, at(old.Token.ID, "rotate"), url.Values{"expires": {"90"}, "overlap": {"3600"}})
	bearer := w.bearerIn(page)
	works := func(value string) bool {
		_, err := w.site.parts.Verifier.Verify(t.Context(), value, made(netip.ParseAddr("192.0.2.7")))
		return err == nil
	}
	if !works(bearer) || !works(old.Bearer.Reveal()) {
		t.Error("one of the two does not work in the overlap")
	}
	page = text(ann.page(t, at(old.Token.ID)))
	for _, want := range []string{"Replaced", "Its rotations", "Rotated: " + old.Token.ID.String() + " was replaced by"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if got := ann.get(t, at(old.Token.ID, "rotate")); got.status != http.StatusSeeOther || strings.Contains(ann.page(t, at(old.Token.ID)), at(old.Token.ID, "rotate")) {
		t.Errorf("the form for a second rotation: %d", got.status)
	}
	if got := ann.send(t, http.MethodPost, at(old.Token.ID, "rotate"), url.Values{"expires": {"90"}, "overlap": {"0"}}); got.status != http.StatusConflict {
		t.Errorf("a second press of the button: %d", got.status)
	}
	w.clock.Advance(time.Hour)
	if works(old.Bearer.Reveal()) || !works(bearer) {
		t.Error("the wrong one works after the overlap")
	}
	location = strings.TrimSuffix(location, "/created")
	_, page = ann.follow(t, location+"/rotate", url.Values{"expires": {"7"}, "overlap": {"0"}})
	w.bearerIn(page)
	if works(bearer) {
		t.Error("without an overlap the old one still works")
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	id := w.issue(t, "ann", "deploy", 20, "api", "write_repository").Token.ID
	ann := w.signIn("ann")
	page := text(ann.page(t, at(id, "revoke")))
	for _, want := range []string{"Revoke “deploy”?", "write_repository", "It was never used"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if _, page := ann.follow(t, at(id, "revoke"), nil); !strings.Contains(text(page), "Revoked by you") {
		t.Errorf("the token's page says: %s", text(page))
	}
	if got := ann.send(t, http.MethodPost, at(id, "revoke"), nil); got.status != http.StatusSeeOther {
		t.Errorf("again: %d", got.status)
	}
	if got := ann.get(t, at(id, "revoke")); got.status != http.StatusSeeOther {
		t.Errorf("the form of a revoked token: %d", got.status)
	}
}

// Breaks if somebody believes that a rotated token is gone while its successor works.
func TestRevokeAChain(t *testing.T) {
	for _, test := range []struct {
		name string
		form url.Values
		left bool
	}{{"alone", nil, true}, {"the whole chain", url.Values{"reach": {"family"}}, false}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			old := w.issue(t, "ann", "deploy", 20)
			next := made(w.issuer.Rotate(t.Context(), w.as(t, "ann"), old.Token.ID, lifecycle.Rotation{Overlap: time.Hour, ExpiresOn: clock.DayOf(now).AddDays(20)}))
			w.secrets = append(w.secrets, next.Bearer.Reveal())
			ann := w.signIn("ann")
			if page := ann.page(t, at(old.Token.ID, "revoke")); !strings.Contains(page, `name="reach" value="family" checked`) || !strings.Contains(text(page), "Its successor works") {
				t.Errorf("the form says: %s", text(page))
			}
			ann.follow(t, at(old.Token.ID, "revoke"), test.form)
			if view := made(w.site.parts.Lister.GetOwn(t.Context(), w.as(t, "ann"), next.Token.ID)); view.Active != test.left {
				t.Errorf("the successor is active: %t", view.Active)
			}
		})
	}
}

func TestRevokeEverything(t *testing.T) {
	w := newWorld(t)
	for n := range 25 {
		w.issue(t, "ann", fmt.Sprintf("token %d", n), 20)
	}
	bobs := w.issue(t, "bob", "bob's", 20)
	ann := w.signIn("ann")
	if page := text(ann.page(t, tokensPath+"/revoke_all")); !strings.Contains(page, "of 25 that work") {
		t.Errorf("the form says: %s", page)
	}
	for _, given := range []string{"", "bob", "ann ann", "ann@example.test"} {
		got := ann.send(t, http.MethodPost, tokensPath+"/revoke_all", url.Values{"username": {given}})
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(text(got.body), "Nothing was revoked") {
			t.Errorf("%q: %d", given, got.status)
		}
	}
	got := ann.send(t, http.MethodPost, tokensPath+"/revoke_all", url.Values{"username": {" @Ann "}})
	if got.status != http.StatusOK || !strings.Contains(text(got.body), "Everything is revoked") || strings.Contains(got.body, "Sign out") {
		t.Errorf("%d: %s", got.status, text(got.body))
	}
	for _, view := range made(w.site.parts.Lister.AllOwn(t.Context(), w.as(t, "ann"))) {
		if view.Active {
			t.Errorf("%s still works", view.Token.ID)
		}
	}
	if view := made(w.site.parts.Lister.AllOwn(t.Context(), w.as(t, "bob"))); !view[0].Active || view[0].Token.ID != bobs.Token.ID {
		t.Error("another person's token was revoked")
	}
}

// A token keeps scopes that its owner may not use any more, and the page says so.
func TestScopesWithoutEffect(t *testing.T) {
	w := newWorld(t)
	id := w.issue(t, "root", "administering", 20, "api", "sudo").Token.ID
	root := w.signIn("root")
	if page := text(root.page(t, at(id))); strings.Contains(page, "no effect") || !strings.Contains(page, "sudo risky") {
		t.Errorf("an administrator's page says: %s", page)
	}
	no := false
	if _, err := w.accounts.Update(t.Context(), w.as(t, "root"), w.people["root"].ID, directory.Change{Admin: &no}); err != nil {
		t.Fatal(err)
	}
	if page := text(root.page(t, at(id))); !strings.Contains(page, "sudo no effect") {
		t.Errorf("the page says: %s", page)
	}
}

func TestDuplicate(t *testing.T) {
	w := newWorld(t)
	check(t, w.give(t, "ann", lifecycle.Spec{
		Name: "CI", Description: "for builds", Scopes: []scope.Scope{"read_api", "read_registry"}, ExpiresOn: clock.DayOf(now).AddDays(45),
		Networks: made(token.ParseNetworks([]string{"192.0.2.0/24"})),
	}))
	page := w.signIn("ann").page(t, tokensPath+"/8388609/duplicate")
	for _, want := range []string{`value="CI"`, `value="for builds"`, `value="read_registry" checked`, `value="45" checked`, "192.0.2.0/24</textarea>"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, text(page))
		}
	}
}

func (w *world) give(t *testing.T, who string, spec lifecycle.Spec) error {
	issued, err := w.issuer.CreateForSelf(t.Context(), w.as(t, who), spec)
	w.secrets = append(w.secrets, issued.Bearer.Reveal())
	return err
}

func TestEmptyListsSayWhatToDo(t *testing.T) {
	w := newWorld(t)
	ann := w.signIn("ann")
	for query, want := range map[string]string{
		"": "Make your first token", "?state=ending": "Nothing ends within 14 days", "?state=unused": "used within 90 days",
		"?state=ended": "Nothing has ended yet", "?search=nothing": "No name matches",
	} {
		if page := text(ann.page(t, tokensPath+query)); !strings.Contains(page, want) {
			t.Errorf("%s: no %q in %s", query, want, page)
		}
	}
}

// Without its script, a page of a hundred tokens is at most 60 kB, uncompressed.
func TestSizes(t *testing.T) {
	w := newWorld(t)
	for n := range 120 {
		check(t, w.give(t, "ann", lifecycle.Spec{
			Name: fmt.Sprintf("nightly export of the warehouse, %03d", n), Scopes: []scope.Scope{"read_api", "read_repository", "read_registry", "write_registry"},
			Description: "started by the scheduler on build-3", ExpiresOn: clock.DayOf(now).AddDays(2 + n%50),
		}))
	}
	const most = 60_000
	ann := w.signIn("ann")
	for _, target := range []string{tokensPath, tokensPath + "/new", endsPath, at(8388609), tokensPath + "/revoke_all"} {
		size := len(ann.page(t, target))
		if size > most {
			t.Errorf("%s has %d bytes", target, size)
		}
		t.Logf("%s: %d bytes", target, size)
	}
	if size := len(ann.page(t, "/-/assets/page.css")); size >= 20_000 {
		t.Errorf("the style has %d bytes", size)
	}
}
