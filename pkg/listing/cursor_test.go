package listing_test

import (
	"errors"
	"strings"
	"testing"

	"latchkey/pkg/listing"
)

// Breaks if a cursor leads somewhere in a list that did not make it.
func TestACursorFitsOneList(t *testing.T) {
	t.Parallel()
	const place = "17:Zoë"
	cursor := listing.Cursor(place, "/users", "search", `["a"]`)
	if strings.Trim(cursor, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("%q needs escapes in a query", cursor)
	}
	if got, err := listing.PlaceOf(cursor, "/users", "search", `["a"]`); got != place || err != nil {
		t.Errorf("the list that made it: %q, %v", got, err)
	}
	for name, c := range map[string]struct {
		cursor string
		list   []string
	}{
		"another path":                   {cursor, []string{"/projects", "search", `["a"]`}},
		"another filter":                 {cursor, []string{"/users", "search", `["b"]`}},
		"one filter less":                {cursor, []string{"/users"}},
		"one filter more":                {cursor, []string{"/users", "search", `["a"]`, "sort", `["asc"]`}},
		"the same letters, cut in two":   {cursor, []string{"/users", "searc", `h["a"]`}},
		"a place of another list":        {listing.Cursor(place), []string{"/users", "search", `["a"]`}},
		"a letter changed":               {flip(cursor), []string{"/users", "search", `["a"]`}},
		"with other spare bits":          {cursor[:len(cursor)-1] + string(cursor[len(cursor)-1]+1), []string{"/users", "search", `["a"]`}},
		"with a line break":              {cursor + "\n", []string{"/users", "search", `["a"]`}},
		"padded":                         {cursor + "=", []string{"/users", "search", `["a"]`}},
		"with a letter more":             {cursor + "A", []string{"/users", "search", `["a"]`}},
		"no cursor":                      {"", []string{"/users", "search", `["a"]`}},
		"a checksum without a place":     {listing.Cursor("", "/users"), []string{"/users"}},
		"as long as no place makes them": {listing.Cursor(strings.Repeat("x", listing.MaxCursor), "/users"), []string{"/users"}},
	} {
		if got, err := listing.PlaceOf(c.cursor, c.list...); !errors.Is(err, listing.ErrCursor) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// flip changes the last letter of a cursor that stands for whole bytes.
func flip(cursor string) string {
	i := len(cursor) - 3
	if cursor[i] == 'A' {
		return cursor[:i] + "B" + cursor[i+1:]
	}
	return cursor[:i] + "A" + cursor[i+1:]
}

func FuzzPlaceOf(f *testing.F) {
	f.Add(listing.Cursor("1", "/users"))
	f.Add("")
	f.Fuzz(func(t *testing.T, cursor string) {
		place, err := listing.PlaceOf(cursor, "/users")
		if err == nil && listing.Cursor(place, "/users") != cursor { // one spelling only
			t.Errorf("%q and %q name the same place", cursor, listing.Cursor(place, "/users"))
		}
	})
}
