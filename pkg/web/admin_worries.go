package web

import (
	"net/url"

	"latchkey/pkg/clock"
)

// The days of the tiles about tokens to worry about; those of a person's own list are the same.
const (
	worryUnusedDays = 90
	worryEndingDays = 14
)

// worries are the tiles above the list of all tokens: filters for what an administrator should look at.
// They have no counts, because each would read every token.
func (v *visit) worries(q *query) []tile {
	today := clock.DayOf(v.now)
	unused := today.AddDays(-worryUnusedDays).Start().Format("2006-01-02T15:04:05")
	ending := today.AddDays(worryEndingDays + 1).String() // its day is excluded
	var tiles []tile
	for _, worry := range []struct {
		label, hint, mark, name, value, sort string
	}{
		{"Works from anywhere", "no networks, not ended", "soon", "networks", "none", ""},
		{"Unused", "for 90 days, not ended", "idle", "unused_since", unused, "last_used_asc"},
		{"Ends soon", "within 14 days", "soon", "expires_before", ending, "expires_asc"},
		{"Everything", "in every state", "good", "", "", ""},
	} {
		filter := url.Values{}
		if worry.name != "" {
			filter = url.Values{"state": {"active"}, worry.name: {worry.value}}
		}
		if worry.sort != "" {
			filter.Set("sort", worry.sort)
		}
		link := v.base + adminTokensPath
		if len(filter) > 0 {
			link += "?" + filter.Encode()
		}
		tiles = append(tiles, tile{Label: worry.label, Hint: worry.hint, Link: link, Mark: worry.mark, Current: q.is(filter)})
	}
	return tiles
}

// is reports whether a list is filtered by exactly this. Which page of it is shown does not count.
func (q *query) is(filter url.Values) bool {
	given := url.Values{}
	for name, values := range q.Values {
		if len(values) > 0 && values[0] != "" && name != "page" && name != "offset" && name != "cursor" {
			given.Set(name, values[0])
		}
	}
	return given.Encode() == filter.Encode()
}
