package gitlabapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/project"
)

// This file holds what clients of tokens look up about projects and groups besides themselves.

func (api *directoryAPI) namespaceRoutes() []route {
	return []route{
		{method: "GET", path: "/namespaces", handle: api.listNamespaces},
		{method: "GET", path: "/namespaces/{id}", handle: api.getNamespace},
		{method: "GET", path: "/namespaces/{id}/exists", handle: api.namespaceExists},
		{method: "GET", path: "/users/{user_id}/memberships", handle: api.listMemberships, adminOnly: true, words: []row{noUser}},
	}
}

func (api *directoryAPI) listNamespaces(c *call) error {
	filter := directory.NamespaceFilter{Search: c.text("search"), Owned: c.truth("owned_only"), TopLevel: c.truth("top_level_only")}
	page := c.paging()
	want, err := c.want(page)
	if err != nil {
		return err
	}
	part, err := api.directory.ListNamespaces(c.ctx, c.by, filter, want)
	if err != nil {
		return err
	}
	return c.part(page, part.Total, part.Next, each(part.Entries, c.namespaceOf))
}

func (api *directoryAPI) getNamespace(c *call) error {
	ref, owner := c.path("id"), account.ID(0)
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil && id > firstNamespace && id <= firstNamespace+account.MaxID {
		owner = account.ID(id - firstNamespace)
	}
	view, err := api.directory.GetNamespace(c.ctx, c.by, ref, owner)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.namespaceOf(view))
}

// existenceJSON says whether a path is taken, and names others that are not.
type existenceJSON struct {
	Exists   bool     `json:"exists"`
	Suggests []string `json:"suggests"`
}

func (api *directoryAPI) namespaceExists(c *call) error {
	parent := c.projectID("parent_id")
	if err := c.fault(); err != nil {
		return err
	}
	wire := existenceJSON{Suggests: []string{}}
	if parent == 0 && c.params.has("parent_id") { // nothing has such a parent
		return c.json(http.StatusOK, wire)
	}
	taken, free, err := api.directory.NameTaken(c.ctx, c.by, c.path("id"), parent)
	if err != nil {
		return err
	}
	if wire.Exists = taken; free != "" {
		wire.Suggests = append(wire.Suggests, free)
	}
	return c.json(http.StatusOK, wire)
}

func (s site) namespaceOf(v directory.NamespaceView) namespaceJSON {
	if v.Owner.ID != 0 {
		return s.namespaceWire(directory.View{Owner: v.Owner})
	}
	// It is the namespace of what lies in it.
	return s.namespaceWire(directory.View{Above: []project.Project{v.Group.Project}})
}

// membershipJSON is a membership on the wire.
type membershipJSON struct {
	SourceID    int64  `json:"source_id"`
	SourceName  string `json:"source_name"`
	SourceType  string `json:"source_type"`
	AccessLevel int    `json:"access_level"`
}

// sourceTypes are GitLab's names for projects and groups in memberships.
var sourceTypes = map[project.Kind]string{project.KindProject: "Project", project.KindGroup: "Namespace"}

func (api *directoryAPI) listMemberships(c *call) error {
	kind := map[string]project.Kind{"Project": project.KindProject, "Namespace": project.KindGroup}[c.oneOf("type", "Project", "Namespace")]
	page := c.paging()
	if err := c.faultWith(page); err != nil {
		return err
	}
	id, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return err
	}
	memberships, total, err := api.directory.ListMemberships(c.ctx, c.by, id, kind, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	return c.page(page, total, each(memberships, func(m directory.Membership) membershipJSON {
		return membershipJSON{int64(m.Project.ID), m.Project.Name, sourceTypes[m.Project.Kind], int(m.Level)}
	}))
}

// groupAboveJSON is a group above a project, as its members see it.
type groupAboveJSON struct {
	ID        int64   `json:"id"`
	WebURL    string  `json:"web_url"`
	Name      string  `json:"name"`
	AvatarURL *string `json:"avatar_url"`
	FullName  string  `json:"full_name"`
	FullPath  string  `json:"full_path"`
}

func (api *directoryAPI) listGroupsAbove(c *call) error {
	search, without := strings.ToLower(c.text("search")), c.ids("skip_groups")
	page := c.paging()
	if err := c.faultWith(page); err != nil {
		return err
	}
	view, err := api.directory.GetProject(c.ctx, c.by, project.KindProject, c.path("id"))
	if err != nil {
		return err
	}
	groups := []groupAboveJSON{}
	for i, group := range view.Above {
		if v := (directory.View{Project: group, Above: view.Above[:i]}); strings.Contains(strings.ToLower(group.Name+" "+group.FullPath), search) && !slices.Contains(without, int64(group.ID)) {
			groups = append(groups, groupAboveJSON{ID: int64(group.ID), WebURL: c.projectURL(v), Name: group.Name, FullName: v.FullName(), FullPath: v.FullPath()})
		}
	}
	return c.page(page, len(groups), groups[min(page.offset(), len(groups)):min(page.offset()+page.perPage, len(groups))])
}

func (api *directoryAPI) listUsersOfProject(c *call) error {
	filter := directory.MemberFilter{Search: c.text("search"), Inherited: true}
	for _, id := range c.ids("skip_users") {
		filter.Without = append(filter.Without, account.ID(id))
	}
	page := c.paging()
	if err := c.faultWith(page); err != nil {
		return err
	}
	views, total, err := api.directory.ListMembers(c.ctx, c.by, project.KindProject, c.path("id"), filter, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	return c.page(page, total, each(views, func(v directory.MemberView) *basicUserJSON { return c.basicUserWire(v.Account) }))
}

// listDeployTokens lists nothing, because there are no deploy tokens.
func (api *directoryAPI) listDeployTokens(c *call) error {
	c.truth("active")
	page := c.paging()
	if err := c.faultWith(page); err != nil {
		return err
	}
	if err := api.directory.CheckManager(c.ctx, c.by, c.route.kind, c.path("id")); err != nil {
		return err
	}
	return c.page(page, 0, []any{})
}

// importJSON says that a project was not imported, in the form that clients parse.
type importJSON struct {
	ID                int64   `json:"id"`
	Description       *string `json:"description"`
	Name              string  `json:"name"`
	NameWithNamespace string  `json:"name_with_namespace"`
	Path              string  `json:"path"`
	PathWithNamespace string  `json:"path_with_namespace"`
	CreatedAt         string  `json:"created_at"`
	ImportStatus      string  `json:"import_status"`
	ImportType        *string `json:"import_type"`
	CorrelationID     *string `json:"correlation_id"`
	FailedRelations   []any   `json:"failed_relations"`
	ImportError       *string `json:"import_error"`
}

func (api *directoryAPI) importStatus(c *call) error {
	v, err := api.directory.GetProject(c.ctx, c.by, project.KindProject, c.path("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, importJSON{
		ID: int64(v.Project.ID), Description: optional(v.Project.Description), Name: v.Project.Name, NameWithNamespace: v.FullName(),
		Path: v.Project.Path, PathWithNamespace: v.FullPath(), CreatedAt: timestamp(v.Project.CreatedAt), ImportStatus: "none", FailedRelations: []any{},
	})
}
