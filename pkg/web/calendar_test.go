package web

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"

	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
)

// events parses a feed as a calendar program does.
func events(t *testing.T, feed string) []ical.Event {
	t.Helper()
	calendar, err := ical.NewDecoder(strings.NewReader(feed)).Decode()
	if err != nil {
		t.Fatalf("%v\n%s", err, feed)
	}
	return calendar.Events()
}

func (w *world) feedToken(t *testing.T, who string) string {
	t.Helper()
	return w.issue(t, who, "Calendar feed", 365, scope.ReadCalendar).Bearer.Reveal()
}

func feedTarget(bearer string) string {
	return feedPath + "?" + url.Values{feedParameter: {bearer}}.Encode()
}

// Breaks if a feed has another day than the token, at a year's end or in a leap year.
func TestAFeedOf500TokensAcrossAYearsEnd(t *testing.T) {
	w := newWorld(t)
	w.clock.Set(time.Date(2027, 11, 20, 23, 59, 59, 0, time.UTC)) // 2028 is a leap year
	want := map[string]int{}
	for n := range 500 {
		days := 1 + n%120
		w.issue(t, "ann", fmt.Sprintf("token %d", n), days)
		want[clock.DayOf(w.clock.Now()).AddDays(days).String()]++
	}
	bearer := w.feedToken(t, "ann")
	want[clock.DayOf(w.clock.Now()).AddDays(365).String()]++
	got := w.signIn("").get(t, feedTarget(bearer))
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/calendar; charset=utf-8" {
		t.Fatalf("%d %s", got.status, got.header.Get("Content-Type"))
	}
	seen := map[string]bool{}
	for _, event := range events(t, got.body) {
		start, err := event.DateTimeStart(time.UTC)
		check(t, err)
		end, err := event.DateTimeEnd(time.UTC)
		check(t, err)
		day := start.Format("2006-01-02")
		summary, _ := event.Props.Text(ical.PropSummary)
		if n := want[day]; n > 1 && summary != fmt.Sprintf("%d tokens expire", n) || n == 1 && !strings.HasPrefix(summary, "Token “") || n == 0 {
			t.Errorf("%s: %q, want %d tokens", day, summary, n)
		}
		if end.Sub(start) != 24*time.Hour || event.Props.Get(ical.PropDateTimeStart).ValueType() != ical.ValueDate {
			t.Errorf("%s: not a whole day, to %s", day, end)
		}
		uid, _ := event.Props.Text(ical.PropUID)
		if seen[uid] || !strings.Contains(uid, day) {
			t.Errorf("%s: uid %q", day, uid)
		}
		seen[uid] = true
		delete(want, day)
	}
	if len(want) > 0 || !seen["expiry-2027-12-31-2@latchkey"] || !seen["expiry-2028-01-01-2@latchkey"] || !seen["expiry-2028-02-29-2@latchkey"] {
		t.Errorf("without events: %v", want)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(got.body, "\r\n"), "\r\n") {
		if len(line) > 75 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
}

// Breaks if a feed opens with more than the narrow token, or shows what is not its owner's.
func TestWhoReadsAFeed(t *testing.T) {
	w := newWorld(t)
	w.issue(t, "bob", "bob's secret", 30)
	feed := w.feedToken(t, "ann")
	wide := w.issue(t, "ann", "wide", 30, "api").Bearer.Reveal()
	both := w.issue(t, "ann", "both", 30, scope.ReadCalendar, "read_api").Bearer.Reveal()
	impersonation := made(w.issuer.CreateImpersonation(t.Context(), w.as(t, "root"), w.people["ann"].ID, lifecycle.Spec{
		Name: "watching", Scopes: feedScopes, ExpiresOn: clock.DayOf(now).AddDays(20),
	})).Bearer.Reveal()
	revoked := w.issue(t, "ann", "revoked", 30, scope.ReadCalendar)
	made(w.revoker.Revoke(t.Context(), w.as(t, "ann"), revoked.Token.ID, lifecycle.Alone))
	rootFeed := w.feedToken(t, "root")
	w.secrets = append(w.secrets, impersonation)
	for _, test := range []struct {
		name, bearer string
		status       int
	}{
		{"its token", feed, 200}, {"an administrator's", rootFeed, 200}, {"none", "", 401}, {"an unknown one", "lkpat_nothing", 401},
		{"a revoked one", revoked.Bearer.Reveal(), 401}, {"a token for everything", wide, 403}, {"one for more than the calendar", both, 403},
		{"an impersonation token", impersonation, 403},
	} {
		for _, basic := range []bool{false, true} {
			b := w.signIn("")
			target := feedTarget(test.bearer)
			if basic {
				target = feedPath
				b.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("calendar:"+test.bearer)))
			}
			got := b.get(t, target)
			if got.status != test.status || strings.Contains(got.body, "secret") || strings.Contains(got.body, "watching") || strings.Contains(got.body, "lkpat_") {
				t.Errorf("%s, basic %t: %d, want %d\n%s", test.name, basic, got.status, test.status, got.body)
			}
			if challenged := got.header.Get("WWW-Authenticate") != ""; challenged != (test.status == 401) {
				t.Errorf("%s: challenge %t", test.name, challenged)
			}
		}
	}
	if got := w.signIn("ann").get(t, feedPath); got.status != http.StatusUnauthorized {
		t.Errorf("a session without a token: %d", got.status)
	}
}

func TestSubscribe(t *testing.T) {
	w := newWorld(t)
	w.issue(t, "ann", "export; a,b \\ c\nd", 30)
	ann := w.signIn("ann")
	location, page := ann.follow(t, endsPath, nil)
	bearer := w.bearerIn(page)
	address := regexp.MustCompile(`value="(https:[^"]*)"`).FindStringSubmatch(page)
	if address == nil || bearer == "" || !strings.Contains(page, "Your calendar feed") {
		t.Fatalf("no address on %s", text(page))
	}
	if got := ann.get(t, location); got.status != http.StatusSeeOther {
		t.Errorf("the address is shown again: %d", got.status)
	}
	found := events(t, w.signIn("").get(t, strings.TrimPrefix(address[1], siteURL)).body)
	if len(found) != 2 {
		t.Fatalf("%d events", len(found))
	}
	if summary, _ := found[0].Props.Text(ical.PropSummary); summary != `Token “export; a,b \ c d” expires` {
		t.Errorf("summary %q", summary)
	}
	if page := text(ann.page(t, endsPath)); !strings.Contains(page, "One feed exists") {
		t.Errorf("the page says: %s", page)
	}
}

// Names in a feed are not parts of it.
func TestHostileNamesInAFeed(t *testing.T) {
	w := newWorld(t)
	for n, evil := range append(hostile, "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:ours", "x\\nATTACH:https://evil.example", "https://evil.example/x") {
		w.issue(t, "ann", evil, 10+n)
	}
	feed := w.signIn("").get(t, feedTarget(w.feedToken(t, "ann"))).body
	found := events(t, feed)
	feed = strings.ReplaceAll(feed, "\r\n ", "")
	if len(found) != len(hostile)+4 || strings.Count(feed, "\r\nSUMMARY:") != len(found) || strings.Contains(feed, "\r\nATTACH") || strings.Contains(feed, "https://evil") {
		t.Errorf("%d events\n%s", len(found), feed)
	}
}

func TestAFeedWithoutEnds(t *testing.T) {
	w := newWorld(t)
	optional(t, w)
	check(t, w.give(t, "ann", lifecycle.Spec{Name: "endless", Scopes: scope.Set{"read_api"}}))
	issued := made(w.issuer.CreateForSelf(t.Context(), w.as(t, "ann"), lifecycle.Spec{Name: "feed", Scopes: feedScopes}))
	w.secrets = append(w.secrets, issued.Bearer.Reveal())
	got := w.signIn("").get(t, feedTarget(issued.Bearer.Reveal()))
	if got.status != http.StatusOK || len(events(t, got.body)) != 0 {
		t.Errorf("%d\n%s", got.status, got.body)
	}
}

// Breaks if people are told another day or time than that at which a token with a short life ends.
func TestWhenAShortLifeEnds(t *testing.T) {
	w := newWorld(t)
	brief := made(w.issuer.CreateForSelf(t.Context(), w.as(t, "ann"), lifecycle.Spec{Name: "brief", Scopes: scope.Set{"read_api"}, Life: time.Hour}))
	days := made(w.issuer.CreateForSelf(t.Context(), w.as(t, "ann"), lifecycle.Spec{Name: "for days", Scopes: scope.Set{"read_api"}, Life: 30*time.Hour + time.Second}))
	w.secrets = append(w.secrets, brief.Bearer.Reveal(), days.Bearer.Reveal())
	ends := days.Token.ExpiresAt()
	drawn := w.signIn("ann").page(t, endsPath)
	page := text(drawn)
	for _, part := range []string{
		brief.Token.ExpiresAt().Format("Monday, 2006-01-02") + " in 60 minutes “brief” at " + brief.Token.ExpiresAt().Format("15:04:05 UTC"),
		ends.Format("Monday, 2006-01-02") + " in 30 hours “for days” at " + ends.Format("15:04:05 UTC"),
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page does not say %q: %s", part, page)
		}
	}
	if title := "“for days” ends on " + ends.Format("2006-01-02 at 15:04:05 UTC"); !strings.Contains(drawn, title) {
		t.Errorf("the drawing does not say %q", title)
	}
	if list := text(w.signIn("ann").page(t, tokensPath)); !strings.Contains(list, "A token of yours ends within 14 days , the first in 30 hours") {
		t.Errorf("the banner says: %s", list)
	}
	feed := w.signIn("").get(t, feedTarget(w.feedToken(t, "ann")))
	all := events(t, feed.body)
	if len(all) != 2 { // and the feed's own
		t.Fatalf("%d events: %s", len(all), feed.body)
	}
	start, err := all[0].DateTimeStart(time.UTC)
	check(t, err)
	description, err := all[0].Props.Text(ical.PropDescription)
	check(t, err)
	if start.Format("2006-01-02") != ends.Format("2006-01-02") || !strings.Contains(description, "“for days” at "+ends.Format("15:04:05 UTC")) {
		t.Errorf("%s: %s", start, description)
	}
}

func TestWhatEndsWhen(t *testing.T) {
	w := newWorld(t)
	optional(t, w)
	for n := range 12 {
		w.issue(t, "ann", fmt.Sprintf("same day %d", n), 20)
	}
	w.issue(t, "ann", "tomorrow", 1)
	w.issue(t, "ann", "last of the page", 60)
	w.issue(t, "ann", "after it", 61)
	rotated := w.issue(t, "ann", "rotated", 30)
	made(w.issuer.Rotate(t.Context(), w.as(t, "ann"), rotated.Token.ID, lifecycle.Rotation{Overlap: time.Hour, ExpiresOn: clock.DayOf(now).AddDays(40)}))
	check(t, w.give(t, "ann", lifecycle.Spec{Name: "endless", Scopes: scope.Set{"read_api"}}))
	page := w.signIn("ann").page(t, endsPath)
	for want, times := range map[string]int{
		`<path class="mark near"`: 2, `<circle class="mark good"`: 7 + 2 + 1, `<path class="mark more"`: 1, "<title>5 further tokens</title>": 1,
		"15 tokens of yours end within the next 60 days": 1, "One token ends after 2026-05-18": 1, "One token never ends": 1,
		"“last of the page”": 2, "“after it”": 0, "“rotated”": 2, "Friday, 2026-03-20": 1,
	} {
		if got := strings.Count(page, want); got != times {
			t.Errorf("%q is there %d times, want %d", want, got, times)
		}
	}
	if page := text(w.signIn("bob").page(t, endsPath)); !strings.Contains(page, "Nothing ends within 60 days") {
		t.Errorf("an empty page says: %s", page)
	}
}
