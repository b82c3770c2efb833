package gitlabapi

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

// writePageHeaders writes the headers of a page out of total items. Links are
// absolute, from the public URL, and repeat every parameter but credentials.
func (api *API) writePageHeaders(w http.ResponseWriter, r *http.Request, p paging, total int) {
	pages := max((total+p.perPage-1)/p.perPage, 1)
	links := api.writeNeighbours(w, r, p, p.page < pages, p.page-1 <= pages)
	if total <= maxCounted {
		w.Header()["X-Total"] = []string{strconv.Itoa(total)}
		w.Header()["X-Total-Pages"] = []string{strconv.Itoa(pages)}
		links = append(links, api.pageLink(r, p, "last", pages))
	}
	w.Header().Set("Link", strings.Join(links, ", "))
}

// writeOpenPageHeaders does so for a list that nobody counts; more says that
// there is something behind the page.
func (api *API) writeOpenPageHeaders(w http.ResponseWriter, r *http.Request, p paging, more bool) {
	w.Header().Set("Link", strings.Join(api.writeNeighbours(w, r, p, more, true), ", "))
}

// writeNeighbours writes what every page says, and returns its links.
func (api *API) writeNeighbours(w http.ResponseWriter, r *http.Request, p paging, hasNext, hasPrev bool) (links []string) {
	header := w.Header()
	neighbour := func(name, rel string, page int, there bool) {
		header[name] = []string{""}
		if there {
			header[name] = []string{strconv.Itoa(page)}
			links = append(links, api.pageLink(r, p, rel, page))
		}
	}
	header["X-Page"] = []string{strconv.Itoa(p.page)}
	header["X-Per-Page"] = []string{strconv.Itoa(p.perPage)}
	neighbour("X-Prev-Page", "prev", p.page-1, hasPrev && p.page > 1)
	neighbour("X-Next-Page", "next", p.page+1, hasNext)
	return append(links, api.pageLink(r, p, "first", 1))
}

func (api *API) pageLink(r *http.Request, p paging, rel string, page int) string {
	return fmt.Sprintf(`<%s>; rel="%s"`, api.pageURL(r, page, p.perPage), rel)
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
