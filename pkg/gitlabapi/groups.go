package gitlabapi

import (
	"context"
	"net/http"

	"latchkey/pkg/directory"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

func (api *directoryAPI) groupRoutes() []route {
	return []route{
		{method: "GET", path: "/groups", handle: api.listGroups},
		{method: "POST", path: "/groups", handle: api.createGroup},
		{method: "GET", path: "/groups/{id}", handle: api.getGroup},
		{method: "GET", path: "/groups/{id}/subgroups", handle: api.listSubgroups},
	}
}

func (api *directoryAPI) createGroup(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	candidate := directory.GroupCandidate{
		Name: b.line("name", b.required("name")), Path: b.line("path", b.required("path")),
		Description: b.text("description"), Visibility: b.oneOf("visibility", visibilities...),
		Parent: b.projectID("parent_id"),
	}
	if err := b.fault(); err != nil {
		return err
	}
	if candidate.Parent == 0 && b.params.has("parent_id") {
		return project.ErrNoGroup // rather than at the root
	}
	by := principal.From(r.Context())
	view, err := api.directory.CreateGroup(r.Context(), by, candidate)
	if err != nil {
		return err
	}
	api.Log.Info("group created", made(r, view, by)...)
	writeJSON(w, http.StatusCreated, api.groupWire(r.Context(), view))
	return nil
}

func (api *directoryAPI) getGroup(w http.ResponseWriter, r *http.Request) error {
	view, err := api.directory.GetProject(r.Context(), principal.From(r.Context()), project.KindGroup, r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, api.groupWire(r.Context(), view))
	return nil
}

func (api *directoryAPI) listGroups(w http.ResponseWriter, r *http.Request) error {
	return api.writeGroups(w, r, api.directory.ListProjects)
}

func (api *directoryAPI) listSubgroups(w http.ResponseWriter, r *http.Request) error {
	return api.writeGroups(w, r, api.inGroup(r))
}

func (api *directoryAPI) writeGroups(w http.ResponseWriter, r *http.Request, list projectList) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	filter := directory.ProjectFilter{
		Kind: project.KindGroup, Search: b.text("search"), Visibility: b.oneOf("visibility", visibilities...),
		MinLevel: b.level("min_access_level"), TopLevel: b.truth("top_level_only"),
	}
	for _, id := range b.ids("skip_groups") {
		filter.Without = append(filter.Without, project.ID(id))
	}
	if all := b.boolean("all_available"); all != nil {
		filter.Mine = !*all
	}
	if b.truth("owned") {
		filter.MinLevel = project.Owner
	}
	order := directory.ProjectSort{By: directory.ProjectsByName, Ascending: b.oneOf("sort", "asc", "desc") != "desc"}
	switch b.oneOf("order_by", "name", "path", "id") {
	case "path":
		order.By = directory.ProjectsByPath
	case "id":
		order.By = directory.ProjectsByID
	}
	page := b.paging()
	if err := b.faultWith(page); err != nil {
		return err
	}
	views, total, err := list(r.Context(), principal.From(r.Context()), filter, order, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	api.writePageHeaders(w, r, page, total)
	wire := make([]groupJSON, len(views))
	for i, view := range views {
		wire[i] = api.groupWire(r.Context(), view)
	}
	writeJSON(w, http.StatusOK, wire)
	return nil
}

// organization is the one that everything lies in, in GitLab's terms.
const organization = 1

// groupJSON is a group on the wire.
type groupJSON struct {
	ID             int64   `json:"id"`
	WebURL         string  `json:"web_url"`
	Name           string  `json:"name"`
	Path           string  `json:"path"`
	Description    string  `json:"description"`
	Visibility     string  `json:"visibility"`
	AvatarURL      *string `json:"avatar_url"`
	FullName       string  `json:"full_name"`
	FullPath       string  `json:"full_path"`
	CreatedAt      string  `json:"created_at"`
	ParentID       *int64  `json:"parent_id"`
	OrganizationID int     `json:"organization_id"`
}

func (api *API) groupWire(ctx context.Context, v directory.View) groupJSON {
	return groupJSON{
		ID: int64(v.Project.ID), WebURL: api.projectURL(ctx, v),
		Name: v.Project.Name, Path: v.Project.Path, Description: v.Project.Description, Visibility: v.Project.Visibility,
		FullName: v.FullName(), FullPath: v.FullPath(), CreatedAt: timestamp(v.Project.CreatedAt),
		ParentID: optionalID(int64(v.Project.Parent())), OrganizationID: organization,
	}
}
