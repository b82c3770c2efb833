package gitlabapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"latchkey/pkg/lifecycle"
)

const (
	defaultPerPage = 20
	maxPerPage     = 100
	// maxCounted is the longest list whose length is reported, as in GitLab.
	maxCounted = 10_000
)

// A paging is the page that a request asks for.
type paging struct{ page, perPage int }

func (p paging) offset() int { return (p.page - 1) * p.perPage }

// paging reads page and per_page. A page below 1 is the first; a page has at most 100 items.
func (b *binder) paging() paging {
	page := b.integer("page", 1)
	perPage := b.integer("per_page", defaultPerPage)
	if perPage < 1 {
		b.reject("per_page", "does not have a valid value")
		perPage = defaultPerPage
	}
	return paging{
		page:    int(min(max(page, 1), lifecycle.MaxOffset+2)), // the first page that every perPage refuses
		perPage: int(min(perPage, maxPerPage)),
	}
}

// faultWith returns the faults of all parameters, or else an error for a page too deep in a list.
func (b *binder) faultWith(p paging) error {
	if err := b.fault(); err != nil {
		return err
	}
	if p.offset() > lifecycle.MaxOffset {
		return errOffset
	}
	return nil
}

// page replies with one page of total items. Links are absolute and repeat every
// parameter except credentials.
func (c *call) page(p paging, total int, items any) error {
	pages := max((total+p.perPage-1)/p.perPage, 1)
	links := c.neighbours(p, p.page < pages, p.page-1 <= pages)
	if total <= maxCounted {
		c.header()["X-Total"] = []string{strconv.Itoa(total)}
		c.header()["X-Total-Pages"] = []string{strconv.Itoa(pages)}
		links = append(links, c.pageLink(p, "last", pages))
	}
	c.header().Set("Link", strings.Join(links, ", "))
	return c.json(http.StatusOK, items)
}

// openPage replies with one page of a list that is never counted. more says that another page
// follows.
func (c *call) openPage(p paging, more bool, items any) error {
	c.header().Set("Link", strings.Join(c.neighbours(p, more, true), ", "))
	return c.json(http.StatusOK, items)
}

// neighbours writes the headers that every page has, and returns its links.
func (c *call) neighbours(p paging, hasNext, hasPrev bool) (links []string) {
	header := c.header()
	neighbour := func(name, rel string, page int, there bool) {
		header[name] = []string{""}
		if there {
			header[name] = []string{strconv.Itoa(page)}
			links = append(links, c.pageLink(p, rel, page))
		}
	}
	header["X-Page"] = []string{strconv.Itoa(p.page)}
	header["X-Per-Page"] = []string{strconv.Itoa(p.perPage)}
	neighbour("X-Prev-Page", "prev", p.page-1, hasPrev && p.page > 1)
	neighbour("X-Next-Page", "next", p.page+1, hasNext)
	return append(links, c.pageLink(p, "first", 1))
}

func (c *call) pageLink(p paging, rel string, page int) string {
	query, _ := parseForm(c.r.URL.RawQuery) // it has been read before
	for _, name := range []string{"private_token", "access_token", "bearer_token"} {
		query.Del(name)
	}
	query.Set("page", strconv.Itoa(page))
	query.Set("per_page", strconv.Itoa(p.perPage))
	return fmt.Sprintf(`<%s%s?%s>; rel="%s"`, c.site, c.r.URL.EscapedPath(), query.Encode(), rel)
}
