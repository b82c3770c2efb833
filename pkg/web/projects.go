package web

import (
	"net/http"
	"net/url"
	"strconv"

	"latchkey/pkg/directory"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
)

// managedPath lists the projects and groups in which somebody may manage tokens. GitLab has its
// projects there.
const managedPath = "/-/projects"

// projectRoutes are the pages about projects and groups.
func (s *Site) projectRoutes() []route {
	routes := []route{{method: http.MethodGet, path: managedPath, handle: s.managed}}
	for kind, path := range projectsPath {
		one := path + "/{project}"
		routes = append(routes, route{method: http.MethodGet, path: one + "/members", handle: s.members, kind: kind})
		routes = append(routes, s.tokenRoutesOf(kind, one+"/access_tokens")...)
	}
	return routes
}

// perManagedPage is how many groups, and how many projects, one page of the list shows.
const perManagedPage = 50

// A managedPage lists projects and groups.
type managedPage struct {
	Path             string
	Search           string
	Groups, Projects managedList
	Next, First      string // links, or ""
}

type managedList struct {
	Rows  []managedRow
	Total int
}

type managedRow struct {
	Name, FullPath string
	// Level is the caller's own, or "".
	Level           string
	Tokens, Members string // links
}

// managed lists where the person may manage tokens.
func (s *Site) managed(v *visit) error {
	query := v.r.URL.Query()
	page := managedPage{Path: v.base + managedPath, Search: query.Get("search")}
	pages := pagerOf(query, perManagedPage)
	found, err := s.parts.Finder.Managed(v.ctx, v.by, page.Search, pages.offset(), perManagedPage)
	if err != nil {
		return err
	}
	page.Groups = managedList{v.managedRows(found.Groups), found.GroupsTotal}
	page.Projects = managedList{v.managedRows(found.Projects), found.ProjectsTotal}
	page.First, page.Next = pages.links(page.Path, page.Search, max(found.GroupsTotal, found.ProjectsTotal))
	return v.render(http.StatusOK, "projects", "Projects and groups", page)
}

func (v *visit) managedRows(views []directory.View) (rows []managedRow) {
	for _, view := range views {
		r := managedRow{Name: view.Project.Name, FullPath: view.FullPath()}
		if level := max(view.Direct, view.Inherited); level != project.NoLevel {
			r.Level = levelWords(level)
		}
		around := v.base + projectPath(view.Project)
		r.Tokens, r.Members = around+"/access_tokens", around+"/members"
		rows = append(rows, r)
	}
	return rows
}

// A pager finds the pages of a list that is counted through.
type pager struct{ number, size int }

// pagerOf reads the parameter page; anything but a page that there can be is the first.
func pagerOf(query url.Values, size int) pager {
	number, err := strconv.Atoi(query.Get("page"))
	if err != nil || number < 1 || number > listing.MaxOffset/size {
		number = 1
	}
	return pager{number, size}
}

func (p pager) offset() int { return (p.number - 1) * p.size }

// links are those to the first and the next page of a list with total rows, or "".
func (p pager) links(path, search string, total int) (first, next string) {
	link := func(number int) string {
		q := url.Values{"page": {strconv.Itoa(number)}}
		if search != "" {
			q.Set("search", search)
		}
		return path + "?" + q.Encode()
	}
	if p.number > 1 {
		first = link(1)
	}
	if total > p.number*p.size {
		next = link(p.number + 1)
	}
	return first, next
}
