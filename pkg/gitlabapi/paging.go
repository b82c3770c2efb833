package gitlabapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/listing"
)

const (
	defaultPerPage = 20
	maxPerPage     = 100
	// maxCounted is the longest list whose length is reported, as in GitLab.
	maxCounted = 10_000
)

// A paging is the page that a request asks for: by number, or behind a cursor.
type paging struct {
	page, perPage int
	keyset        bool
	cursor        string // "" for the first page
}

func (p paging) offset() int { return (p.page - 1) * p.perPage }

// paging reads page, per_page, pagination and cursor. A page below 1 is the first; a page has at most 100
// items. As in GitLab, another pagination than keyset is by number.
func (b *binder) paging() paging {
	page := b.integer("page", 1)
	perPage := b.integer("per_page", defaultPerPage)
	if perPage < 1 {
		b.reject("per_page", "does not have a valid value")
		perPage = defaultPerPage
	}
	cursor := b.text("cursor")
	return paging{
		page:    int(min(max(page, 1), listing.MaxOffset+2)), // the first page that every perPage refuses
		perPage: int(min(perPage, maxPerPage)),
		keyset:  b.text("pagination") == "keyset" || cursor != "",
		cursor:  cursor,
	}
}

// faultWith returns the faults of all parameters, or else an error for a page too deep in a list. It is for lists
// without cursors, and refuses them.
func (b *binder) faultWith(p paging) error {
	if p.cursor != "" {
		b.reject("cursor", "is invalid: this list has none")
	}
	if err := b.fault(); err != nil {
		return err
	}
	if p.offset() > listing.MaxOffset {
		return errOffset
	}
	return nil
}

// want is faultWith for lists with cursors, and returns the part that the caller wants. A handler reads all its
// parameters first, because a cursor belongs to those that were read.
func (c *call) want(p paging) (listing.Want, error) {
	if err := c.fault(); err != nil {
		return listing.Want{}, err
	}
	want := listing.ByNumber(p.offset(), p.perPage)
	switch {
	case p.keyset:
		want = listing.Want{Limit: p.perPage, ByPlace: true}
		if p.cursor != "" {
			var err error
			if want.Place, err = listing.PlaceOf(p.cursor, c.list()...); err != nil {
				return listing.Want{}, err
			}
		}
	case p.offset() > listing.MaxOffset:
		return listing.Want{}, errOffsetKeyset
	}
	return want, nil
}

// pages are the parameters that say which page of a list is wanted, and not which list.
var pages = []string{"page", "per_page", "pagination", "cursor"}

// list returns what a cursor belongs to: the path, and the parameters that were read with their values.
func (c *call) list() []string {
	list := []string{c.r.URL.EscapedPath()}
	names := slices.Clone(c.bound)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !c.params.given(name) || slices.Contains(pages, name) || slices.Contains(credentials, name) {
			continue
		}
		value, _ := json.Marshal(c.params[name]) // they come out of a query
		list = append(list, name, string(value))
	}
	return list
}

// part replies with a part of a list with cursors. The link to the next page has a cursor, also on a page by number,
// so that a client that follows links pays for its pages and not for those in front.
func (c *call) part(p paging, total int, next string, items any) error {
	link := ""
	if next != "" {
		link = c.link("next", map[string]string{
			"pagination": "keyset", "cursor": listing.Cursor(next, c.list()...), "per_page": strconv.Itoa(p.perPage), "page": "",
		})
	}
	if !p.keyset {
		return c.numbered(p, total, link, items)
	}
	if link != "" {
		c.header().Set("Link", link)
	}
	return c.json(http.StatusOK, items)
}

// page replies with one page of a list without cursors, which has total items.
func (c *call) page(p paging, total int, items any) error {
	next := ""
	if p.page*p.perPage < total {
		next = c.pageLink(p, "next", p.page+1)
	}
	return c.numbered(p, total, next, items)
}

// numbered replies with a page by number. next is the link to the one behind, or "". Links are absolute and repeat
// every parameter except credentials.
func (c *call) numbered(p paging, total int, next string, items any) error {
	pages := max((total+p.perPage-1)/p.perPage, 1)
	header := c.header()
	var links []string
	neighbour := func(name string, page int, link string) {
		header[name] = []string{""}
		if link != "" {
			header[name] = []string{strconv.Itoa(page)}
			links = append(links, link)
		}
	}
	header["X-Page"] = []string{strconv.Itoa(p.page)}
	header["X-Per-Page"] = []string{strconv.Itoa(p.perPage)}
	previous := ""
	if p.page > 1 && (total == listing.Uncounted || p.page-1 <= pages) {
		previous = c.pageLink(p, "prev", p.page-1)
	}
	neighbour("X-Prev-Page", p.page-1, previous)
	neighbour("X-Next-Page", p.page+1, next)
	links = append(links, c.pageLink(p, "first", 1))
	if total != listing.Uncounted && total <= maxCounted {
		header["X-Total"] = []string{strconv.Itoa(total)}
		header["X-Total-Pages"] = []string{strconv.Itoa(pages)}
		links = append(links, c.pageLink(p, "last", pages))
	}
	header.Set("Link", strings.Join(links, ", "))
	return c.json(http.StatusOK, items)
}

func (c *call) pageLink(p paging, rel string, page int) string {
	return c.link(rel, map[string]string{"page": strconv.Itoa(page), "per_page": strconv.Itoa(p.perPage)})
}

// credentials are the parameters that carry a bearer.
var credentials = []string{"private_token", "access_token", "bearer_token"}

// link returns a link to the same list with some parameters changed. An empty value takes a parameter away.
func (c *call) link(rel string, changed map[string]string) string {
	query, _ := parseForm(c.r.URL.RawQuery) // it has been read before
	for _, name := range credentials {
		query.Del(name)
	}
	for name, value := range changed {
		query.Set(name, value)
		if value == "" {
			query.Del(name)
		}
	}
	return fmt.Sprintf(`<%s%s?%s>; rel="%s"`, c.site, c.r.URL.EscapedPath(), query.Encode(), rel)
}
