package gitlabapi_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/audit"
	"latchkey/pkg/listing"
)

var nextLink = regexp.MustCompile(`<https://tokens\.example\.test([^>]*)>; rel="next"`)

// next returns the target of the link to the next page, or "".
func (r response) next() string {
	found := nextLink.FindStringSubmatch(r.header.Get("Link"))
	if found == nil {
		return ""
	}
	return found[1]
}

// walk follows links to the end, and returns the ids of all pages.
func (w *world) walk(t *testing.T, function, target, bearer string) (ids []int, pages int) {
	t.Helper()
	for target != "" {
		got := throughLambda(t, w, get(function, target, bearer))
		if got.status != http.StatusOK {
			t.Fatalf("%s: %s", target, got)
		}
		ids = append(ids, got.ids(t)...)
		pages++
		target = got.next()
	}
	return ids, pages
}

// happen adds n events about the account of owner.
func (w *world) happen(t *testing.T, n int) {
	t.Helper()
	event := audit.OfAccount(w.clock.Now(), audit.Origin{Source: audit.Admin}, "user_updated", w.users["owner"])
	for some := range slices.Chunk(slices.Repeat([]audit.Event{event}, n), 40) {
		check(t, w.table.Record(t.Context(), some...))
	}
}

// Breaks if a client that follows links misses an event, sees one twice or pays for those in front, or if the
// next link of a page by number cannot be followed.
func TestLinksLeadThroughAList(t *testing.T) {
	w := newWorld(t)
	w.happen(t, 60)
	all := throughLambda(t, w, get("settings", everyEvent+"?per_page=100", "root")).ids(t)
	for _, query := range []string{"?per_page=7", "?per_page=7&pagination=keyset", "?per_page=7&page=1", "?per_page=7&pagination=legacy"} {
		if got, pages := w.walk(t, "settings", everyEvent+query, "root"); !slices.Equal(got, all) || pages != (len(all)+6)/7 {
			t.Errorf("%s: %d events on %d pages, want %d", query, len(got), pages, len(all))
		}
	}
	var byNumber []int
	for page := "1"; page != ""; {
		got := throughLambda(t, w, get("settings", everyEvent+"?per_page=7&page="+page, "root"))
		byNumber = append(byNumber, got.ids(t)...)
		page = got.header.Get("X-Next-Page")
	}
	if !slices.Equal(byNumber, all) {
		t.Errorf("by number: %d events, want %d", len(byNumber), len(all))
	}
	first := throughLambda(t, w, get("settings", everyEvent+"?per_page=7&event_name=user_updated&private_token="+url.QueryEscape(w.bearers["root"]), ""))
	query, err := url.ParseQuery(strings.TrimPrefix(first.next(), everyEvent+"?"))
	check(t, err)
	if query.Get("pagination") != "keyset" || query.Get("per_page") != "7" || query.Get("event_name") != "user_updated" || query.Has("page") || query.Has("private_token") {
		t.Errorf("the link has %v", query)
	}
	second := throughLambda(t, w, get("settings", first.next(), "root"))
	for _, name := range []string{"X-Page", "X-Next-Page", "X-Prev-Page", "X-Per-Page", "X-Total"} {
		if second.header.Get(name) != "" {
			t.Errorf("behind a cursor: %s %q", name, second.header.Get(name))
		}
	}
	// The page's own length may change, and a page number means nothing next to a cursor.
	wider := throughLambda(t, w, get("settings", strings.Replace(first.next(), "per_page=7", "per_page=9&page=400000", 1), "root"))
	if got := wider.ids(t); !slices.Equal(got[:7], second.ids(t)) || len(got) != 9 {
		t.Errorf("a longer page: %v", got)
	}
}

// Breaks if a cursor of one list starts another, which would leave entries out.
func TestACursorBelongsToItsList(t *testing.T) {
	w := newWorld(t)
	w.happen(t, 40)
	next := throughLambda(t, w, get("settings", everyEvent+"?per_page=7&event_name=user_updated", "root")).next()
	cursor := regexp.MustCompile(`cursor=([\w-]+)`).FindStringSubmatch(next)[1]
	edited := "A" + cursor[1:]
	if cursor[0] == 'A' {
		edited = "B" + cursor[1:]
	}
	for name, target := range map[string]string{
		"without its filter":   strings.Replace(next, "&event_name=user_updated", "", 1),
		"with another filter":  strings.Replace(next, "user_updated", "user_created", 1),
		"with one filter more": next + "&author_id=1",
		"with another path":    strings.Replace(next, everyEvent, "/api/v4/users/2/audit_events", 1),
		"edited":               strings.Replace(next, cursor, edited, 1),
		"as a text":            strings.Replace(next, cursor, "next", 1),
		"longer than any":      strings.Replace(next, cursor, strings.Repeat(cursor, 100), 1),
		"given twice":          next + "&cursor=" + edited,
	} {
		got := throughBoth(t, w, get("settings", target, "root"))
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, "cursor is ") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := throughBoth(t, w, get("settings", next+"&unknown=filter", "root")); got.status != http.StatusOK {
		t.Errorf("with a parameter that means nothing: %s", got)
	}
	// A cursor grants nothing: the caller's right is checked on every page.
	if got := throughBoth(t, w, get("settings", next, "owner")); got.status != http.StatusForbidden {
		t.Errorf("for somebody else: %s", got)
	}
	place, err := listing.PlaceOf(cursor)
	if err == nil {
		t.Errorf("a cursor of no list: %q", place)
	}
	if got := throughBoth(t, w, get("directory", "/api/v4/projects/1/members?cursor="+cursor, "root")); got.status != http.StatusBadRequest {
		t.Errorf("at a list without cursors: %s", got)
	}
}
