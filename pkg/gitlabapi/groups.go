package gitlabapi

import (
	"net/http"

	"latchkey/pkg/directory"
	"latchkey/pkg/project"
)

func (api *directoryAPI) groupRoutes() []route {
	return []route{
		{method: "GET", path: "/groups", handle: api.listGroups},
		{method: "POST", path: "/groups", handle: api.createGroup},
		{method: "GET", path: "/groups/{id}", handle: api.getGroup},
		{method: "PUT", path: "/groups/{id}", handle: api.updateProject, kind: project.KindGroup},
		{method: "GET", path: "/groups/{id}/subgroups", handle: api.listSubgroups},
		{method: "GET", path: "/groups/{id}/descendant_groups", handle: api.listDescendants},
		{method: "GET", path: "/groups/{id}/deploy_tokens", handle: api.listDeployTokens, kind: project.KindGroup},
	}
}

func (api *directoryAPI) createGroup(c *call) error {
	candidate := directory.GroupCandidate{
		Name: c.line("name", c.required("name")), Path: c.line("path", c.required("path")),
		Description: c.text("description"), Visibility: c.oneOf("visibility", project.Visibilities...),
		Parent: c.projectID("parent_id"),
	}
	refused := c.pretended(honestGroup)
	if err := c.fault(); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	if candidate.Parent == 0 && c.params.has("parent_id") {
		return project.ErrNoGroup // and not a group at the root
	}
	view, err := api.directory.CreateGroup(c.ctx, c.by, candidate)
	if err != nil {
		return err
	}
	api.Log.Info("group created", c.made(view)...)
	return c.json(http.StatusCreated, c.groupWire(view))
}

func (api *directoryAPI) getGroup(c *call) error {
	view, err := api.directory.GetProject(c.ctx, c.by, project.KindGroup, c.path("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.groupWire(view))
}

func (api *directoryAPI) listGroups(c *call) error { return c.groups(api.directory.ListProjects) }

func (api *directoryAPI) listSubgroups(c *call) error { return c.groups(api.inGroup(c)) }

func (api *directoryAPI) listDescendants(c *call) error { return c.groups(api.belowGroup(c)) }

// groups replies with a page of list.
func (c *call) groups(list projectList) error {
	filter := directory.ProjectFilter{
		Kind: project.KindGroup, Search: c.text("search"), Visibility: c.oneOf("visibility", project.Visibilities...),
		MinLevel: c.level("min_access_level"), TopLevel: c.truth("top_level_only"),
	}
	for _, id := range c.ids("skip_groups") {
		filter.Without = append(filter.Without, project.ID(id))
	}
	if all := c.boolean("all_available"); all != nil {
		filter.Mine = !*all
	}
	if c.truth("owned") {
		filter.MinLevel = project.Owner
	}
	order := directory.ProjectSort{By: directory.ProjectsByNameOrID, Ascending: c.oneOf("sort", "asc", "desc") != "desc"}
	switch c.oneOf("order_by", "name", "path", "id", "similarity") {
	case "name":
		order.By = directory.ProjectsByName
	case "similarity":
		order.By = directory.ProjectsBySimilarity
	case "path":
		order.By = directory.ProjectsByPath
	case "id":
		order.By = directory.ProjectsByID
	}
	page := c.paging()
	want, err := c.want(page)
	if err != nil {
		return err
	}
	part, err := list(c.ctx, c.by, filter, order, want)
	if err != nil {
		return err
	}
	return c.part(page, part.Total, part.Next, each(part.Entries, c.groupWire))
}

// organization is the id of the only organization, in GitLab's terms.
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
	// SharedWithGroups is empty, because nothing is shared with groups.
	SharedWithGroups []any `json:"shared_with_groups"`
}

func (s site) groupWire(v directory.View) groupJSON {
	return groupJSON{
		ID: int64(v.Project.ID), WebURL: s.projectURL(v),
		Name: v.Project.Name, Path: v.Project.Path, Description: v.Project.Description, Visibility: v.Project.Visibility,
		FullName: v.FullName(), FullPath: v.FullPath(), CreatedAt: timestamp(v.Project.CreatedAt),
		ParentID: optionalID(int64(v.Project.Parent())), OrganizationID: organization,
		SharedWithGroups: []any{},
	}
}
