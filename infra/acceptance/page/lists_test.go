//go:build acceptance

package page_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/settings"
)

// An administrator walks through lists of several pages, forwards and back, by links and by Back. Every link works
// without a script too.
func TestLongListsWithAScript(t *testing.T)    { longLists(sit(t, true)) }
func TestLongListsWithoutAScript(t *testing.T) { longLists(sit(t, false)) }

func longLists(r *reader) {
	const many, places = 210, 110 // three pages each
	for i := range many {
		var acct, group, project struct{ ID int64 }
		name := fmt.Sprintf("person-%03d", i)
		r.post("/api/v4/users", fmt.Sprintf(`{"username":%[1]q,"name":%[1]q,"email":"%[1]s@example.test","skip_confirmation":true,"force_random_password":true}`, name), &acct)
		r.give(fmt.Sprint(acct.ID), fmt.Sprintf("job %03d", i), `"read_api"`, fmt.Sprintf("2026-04-%02d", 1+i%30))
		if i >= places {
			continue
		}
		r.post("/api/v4/groups", fmt.Sprintf(`{"name":"Group %03[1]d","path":"group-%03[1]d"}`, i), &group)
		r.post("/api/v4/projects", fmt.Sprintf(`{"name":"Project %03[1]d","path":"project-%03[1]d","namespace_id":%[2]d}`, i, group.ID), &project)
	}
	r.open("/-/")
	r.signIn("Root")
	r.press("Administration")
	r.through("users", "Next page", "First page", many+1)
	r.open("/-/admin/users?sort=created_asc&kind=people")
	r.through("users, oldest first", "Next page", "First page", many+1)
	r.open("/-/admin/tokens")
	r.through("all tokens", "Next page", "First page", many+1)
	for _, tile := range []string{"Works from anywhere no networks, not ended", "Ends soon within 14 days", "Unused for 90 days, not ended", "Everything in every state"} {
		r.press(tile)
		r.judge(tile)
	}
	r.open("/-/admin/tokens?sort=name_asc")
	r.pagesBefore("tokens by name")
	r.press("Audit")
	r.through("events", "Older events", "Newest events", 2*many+2*places)
	r.preview(many + 1)
	r.press("Projects")
	r.through("groups", "More groups", "First page", places)
	r.through("projects", "More projects", "First page", places)
}

// preview looks at what a limit would revoke, before it is saved.
func (r *reader) preview(tokens int) {
	r.Helper()
	r.press("Settings")
	r.fill(settings.Lifetime, "1")
	r.press("Save")
	r.sees(fmt.Sprintf("it would revoke %d tokens", tokens))
	r.judge("limit for many")
	// Nothing leads back to the answer to a form, so the link must not leave it.
	link := evaluate[[]string](r, `(({pathname, search, target}) => [pathname + search, target])(`+named+`)`, "Look at the tokens that end from 2026-03-20 on")
	if link[1] != "_blank" {
		r.Errorf("the link to the tokens leaves the preview")
	}
	r.press("Change nothing")
	r.judge("settings unchanged")
	r.open(link[0])
	r.through("tokens beyond the limit", "Next page", "First page", tokens)
}

// rows are the links or the texts of the rows that are shown.
func (r *reader) rows() []string {
	r.Helper()
	return evaluate[[]string](r, `[...document.querySelectorAll("main tbody tr")].map((row) => row.innerText)`)
}

// through follows the link next to the end of the list, looks at the first, second and last page, and comes back.
// The list has at least so many rows.
func (r *reader) through(name, next, first string, least int) {
	r.Helper()
	r.judge(name)
	start := r.rows()
	seen := slices.Clone(start)
	var pages []string
	for r.has(next) {
		pages = append(pages, r.path())
		r.press(next)
		if len(pages) == 1 {
			r.judge(name + ", second page")
		}
		if !r.has(first) {
			r.Fatalf("%s: no link %q at %s", name, first, r.path())
		}
		seen = append(seen, r.rows()...)
	}
	r.judge(name + ", last page")
	if len(pages) < 2 || len(seen) < least {
		r.Errorf("%s has %d pages and %d rows", name, len(pages)+1, len(seen))
	}
	r.back()
	if at := r.path(); at != pages[len(pages)-1] {
		r.Errorf("%s: back leads to %s, want %s", name, at, pages[len(pages)-1])
	}
	r.press(first)
	if got := r.rows(); !slices.Equal(got, start) || strings.Contains(r.path(), "cursor=") || r.has(first) {
		r.Errorf("%s: %q leads to %s, with %d rows of %d", name, first, r.path(), len(got), len(start))
	}
}

// pagesBefore follows a list by numbers to its end and back.
func (r *reader) pagesBefore(name string) {
	r.Helper()
	start := r.rows()
	for r.has("Next page") {
		r.press("Next page")
	}
	r.judge(name + ", last page")
	for r.has("Previous page") {
		r.press("Previous page")
	}
	if got := r.rows(); !slices.Equal(got, start) {
		r.Errorf("%s: another first page than before", name)
	}
}

// has reports whether a link or button with these words is there.
func (r *reader) has(words string) bool {
	r.Helper()
	return evaluate[bool](r, "!!"+named, words)
}
