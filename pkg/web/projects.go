package web

import (
	"net/http"
	"net/url"

	"latchkey/pkg/directory"
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
	Query            *query
	Groups, Projects managedList
}

type managedList struct {
	Rows        []managedRow
	Total       int
	First, Next string // links, or ""
}

type managedRow struct {
	Name, FullPath string
	// Level is the caller's own, or "".
	Level           string
	Tokens, Members string // links
}

// managed lists where the person may manage tokens. Each list has pages of its own; behind the first page of
// one, the other is left out.
func (s *Site) managed(v *visit) error {
	q := v.query()
	page := managedPage{Path: v.base + managedPath, Search: q.text("search"), Query: q}
	for kind, list := range map[project.Kind]*managedList{project.KindGroup: &page.Groups, project.KindProject: &page.Projects} {
		if only := q.text("kind"); only != "" && only != string(kind) {
			continue
		}
		within := &query{Values: url.Values{"search": {page.Search}, "kind": {string(kind)}, cursorField: {q.text(cursorField)}}}
		want := v.want(within)
		q.Broken = append(q.Broken, within.Broken...)
		if len(q.Broken) > 0 {
			break
		}
		want.Limit = perManagedPage
		found, err := s.parts.Finder.Managed(v.ctx, v.by, kind, page.Search, want)
		if err != nil {
			return err
		}
		*list = managedList{Rows: v.managedRows(found.Entries), Total: found.Total}
		_, list.Next = v.around(within, found.Next)
		if want.ByPlace {
			list.First = page.Path + "?" + linkQuery(url.Values{"search": {page.Search}}, cursorField, "")
		}
	}
	return v.render(listStatus(q), "projects", "Projects and groups", page)
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
