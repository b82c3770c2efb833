package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"latchkey/pkg/lifecycle"
)

const (
	defaultPerPage = 20
	maxPerPage     = 100
	// maxCounted is how many items a list may have and still tell how many.
	maxCounted = 10_000
)

// A paging is the page that a request asks for.
type paging struct{ page, perPage int }

func (p paging) offset() int { return (p.page - 1) * p.perPage }

// paging reads page and per_page. Pages below the first are the first, and
// pages are at most 100 long.
func (b *binder) paging() paging {
	page := b.integer("page", 1)
	perPage := b.integer("per_page", defaultPerPage)
	if perPage < 1 {
		b.reject("per_page", "does not have a valid value")
		perPage = defaultPerPage
	}
	return paging{
		page:    int(min(max(page, 1), lifecycle.MaxOffset+2)), // the first page that is refused whatever perPage
		perPage: int(min(perPage, maxPerPage)),
	}
}

// faultWith returns the faults of all parameters; without any, it refuses a
// page that starts too deep in a list.
func (b *binder) faultWith(p paging) error {
	if err := b.fault(); err != nil {
		return err
	}
	if p.offset() > lifecycle.MaxOffset {
		return errOffset
	}
	return nil
}

// writeHeaders writes the headers of a page out of total items. Links are
// absolute, from the public URL, and repeat every parameter but credentials.
func (api *API) writePageHeaders(w http.ResponseWriter, r *http.Request, p paging, total int) {
	pages := max((total+p.perPage-1)/p.perPage, 1)
	hasPrev := p.page > 1 && p.page-1 <= pages
	header := w.Header()
	set := func(name string, n int, there bool) {
		value := ""
		if there {
			value = strconv.Itoa(n)
		}
		header[name] = []string{value}
	}
	set("X-Page", p.page, true)
	set("X-Per-Page", p.perPage, true)
	set("X-Next-Page", p.page+1, p.page < pages)
	set("X-Prev-Page", p.page-1, hasPrev)

	var links []string
	link := func(rel string, page int) {
		links = append(links, fmt.Sprintf(`<%s>; rel="%s"`, api.pageURL(r, page, p.perPage), rel))
	}
	if hasPrev {
		link("prev", p.page-1)
	}
	if p.page < pages {
		link("next", p.page+1)
	}
	link("first", 1)
	if total <= maxCounted {
		set("X-Total", total, true)
		set("X-Total-Pages", pages, true)
		link("last", pages)
	}
	header.Set("Link", strings.Join(links, ", "))
}

func (api *API) pageURL(r *http.Request, page, perPage int) string {
	query := url.Values{}
	for name, values := range r.URL.Query() {
		switch name {
		case "private_token", "access_token", "bearer_token":
		default:
			query[name] = values
		}
	}
	query.Set("page", strconv.Itoa(page))
	query.Set("per_page", strconv.Itoa(perPage))
	return api.publicURL(r.Context()) + r.URL.EscapedPath() + "?" + query.Encode()
}
