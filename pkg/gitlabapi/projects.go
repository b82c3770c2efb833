package gitlabapi

import (
	"context"
	"net/http"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

func (api *directoryAPI) projectRoutes() []route {
	return []route{
		{method: "GET", path: "/projects", handle: api.listProjects},
		{method: "POST", path: "/projects", handle: api.createProject},
		{method: "GET", path: "/projects/{id}", handle: api.getProject},
		{method: "PUT", path: "/projects/{id}", handle: api.updateProject, kind: project.KindProject},
		{method: "GET", path: "/projects/{id}/import", handle: api.importStatus},
		{method: "GET", path: "/projects/{id}/groups", handle: api.listGroupsAbove},
		{method: "GET", path: "/projects/{id}/users", handle: api.listUsersOfProject},
		{method: "GET", path: "/projects/{id}/deploy_tokens", handle: api.listDeployTokens, kind: project.KindProject},
		{method: "POST", path: "/users/{user_id}/projects", handle: api.createProjectFor, adminOnly: true, words: []row{noUser}},
		{method: "GET", path: "/users/{user_id}/projects", handle: api.listProjectsOfUser, words: []row{noUser}},
		{method: "GET", path: "/groups/{id}/projects", handle: api.listProjectsInGroup},
	}
}

// firstNamespace plus an account's id is the id of the account's namespace. A group's namespace has
// the group's id, which is always lower.
const firstNamespace = account.MaxID + 1

// namespace returns an optional namespace, or the zero Namespace.
func (b *binder) namespace(name string) (directory.Namespace, error) {
	value, given := b.scalar(name)
	if !given || value == "" {
		return directory.Namespace{}, nil
	}
	switch id := b.integer(name, 0); {
	case id > firstNamespace && id < firstNamespace+account.MaxID+1:
		return directory.Namespace{Account: account.ID(id - firstNamespace)}, nil
	case id > 0 && id < firstNamespace:
		return directory.Namespace{Group: project.ID(id)}, nil
	default:
		return directory.Namespace{}, directory.ErrNoNamespace
	}
}

// createProjectFor serves POST /projects/user/{user_id}, see call.normalise.
func (api *directoryAPI) createProjectFor(c *call) error {
	owner, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return err
	}
	if _, err := api.directory.Get(c.ctx, c.by, owner); err != nil {
		return err
	}
	c.params["namespace_id"] = []any{strconv.FormatInt(firstNamespace+int64(owner), 10)}
	return api.createProject(c)
}

func (api *directoryAPI) createProject(c *call) error {
	candidate := directory.ProjectCandidate{
		Name: c.line("name", c.text("name")), Path: c.line("path", c.text("path")),
		Description: c.text("description"), Visibility: c.oneOf("visibility", project.Visibilities...),
	}
	if !c.params.has("name") && !c.params.has("path") {
		c.faults = append(c.faults, "name, path are missing, at least one parameter must be provided")
	}
	namespace, missing := c.namespace("namespace_id")
	if err := c.fault(); err != nil {
		return err
	}
	if missing != nil {
		return missing
	}
	if refused := c.pretended(honestGroup); refused != nil {
		return refused
	}
	candidate.Namespace = namespace
	view, err := api.directory.CreateProject(c.ctx, c.by, candidate)
	if err != nil {
		return err
	}
	api.Log.Info("project created", c.made(view)...)
	return c.json(http.StatusCreated, c.projectWire(view))
}

// made returns the log attributes of a new project or group.
func (c *call) made(view directory.View) []any {
	return c.facts("project_id", int64(view.Project.ID), "created_by", int64(c.by.Account.ID))
}

func (api *directoryAPI) getProject(c *call) error {
	view, err := api.directory.GetProject(c.ctx, c.by, project.KindProject, c.path("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.projectWire(view))
}

// updateProject changes a project or group. It ignores fields that only GitLab has, unless that would be
// a lie.
func (api *directoryAPI) updateProject(c *call) error {
	change := directory.ProjectChange{Path: c.optional("path")}
	if visibility := c.oneOf("visibility", project.Visibilities...); visibility != "" {
		change.Visibility = &visibility
	}
	if name, given := c.scalar("name"); given {
		c.line("name", name)
		change.Name = &name
	}
	if description, given := c.scalar("description"); given {
		change.Description = &description
	}
	refused := c.pretended(honestGroup)
	if err := c.fault(); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	view, err := api.directory.UpdateProject(c.ctx, c.by, c.route.kind, c.path("id"), change)
	if err != nil {
		return err
	}
	api.Log.Info("project changed", c.facts("project_id", int64(view.Project.ID), "changed_by", int64(c.by.Account.ID))...)
	if c.route.kind == project.KindGroup {
		return c.json(http.StatusOK, c.groupWire(view))
	}
	return c.json(http.StatusOK, c.projectWire(view))
}

// honestGroup are settings of GitLab's groups and projects about who may do what, with the only value
// that is true here.
var honestGroup = map[string]string{
	"ip_restriction_ranges": "", "allowed_email_domains_list": "", "require_two_factor_authentication": "false", "membership_lock": "false",
}

func (api *directoryAPI) listProjects(c *call) error { return c.projects(api.directory.ListProjects) }

func (api *directoryAPI) listProjectsInGroup(c *call) error {
	if c.truth("include_subgroups") {
		return c.projects(api.belowGroup(c))
	}
	return c.projects(api.inGroup(c))
}

// belowGroup lists what lies in the group in the path, however deep.
func (api *directoryAPI) belowGroup(c *call) projectList {
	return func(ctx context.Context, by principal.Principal, f directory.ProjectFilter, s directory.ProjectSort, want listing.Want) (listing.Part[directory.View], error) {
		return api.directory.ListBelow(ctx, by, c.path("id"), f, s, want)
	}
}

// inGroup lists what lies in the group in the path.
func (api *directoryAPI) inGroup(c *call) projectList {
	return func(ctx context.Context, by principal.Principal, f directory.ProjectFilter, s directory.ProjectSort, want listing.Want) (listing.Part[directory.View], error) {
		return api.directory.ListInGroup(ctx, by, c.path("id"), f, s, want)
	}
}

func (api *directoryAPI) listProjectsOfUser(c *call) error {
	return c.projects(func(ctx context.Context, by principal.Principal, f directory.ProjectFilter, s directory.ProjectSort, want listing.Want) (listing.Part[directory.View], error) {
		id, err := account.ParseID(c.path("user_id"))
		if err != nil {
			return listing.Part[directory.View]{}, err
		}
		return api.directory.ListOfAccount(ctx, by, id, f, s, want)
	})
}

// A projectList returns a part of the projects or groups.
type projectList func(ctx context.Context, by principal.Principal, f directory.ProjectFilter, s directory.ProjectSort, want listing.Want) (listing.Part[directory.View], error)

// projects replies with a page of list.
func (c *call) projects(list projectList) error {
	filter := directory.ProjectFilter{
		Kind: project.KindProject, Search: c.text("search"), Visibility: c.oneOf("visibility", project.Visibilities...),
		Mine: c.truth("membership"), MinLevel: c.level("min_access_level"),
		After: c.projectID("id_after"), Before: c.projectID("id_before"),
		Nothing: c.truth("archived"), // no project ever is archived
	}
	if c.truth("owned") {
		filter.MinLevel = project.Owner
	}
	// A project has no activity, so its last one is its creation, and it has no stars.
	order := directory.ProjectSort{
		By: map[string]directory.ProjectSortKey{
			"name": directory.ProjectsByName, "path": directory.ProjectsByPath, "created_at": directory.ProjectsByCreation,
			"updated_at": directory.ProjectsByCreation, "last_activity_at": directory.ProjectsByCreation, "similarity": directory.ProjectsBySimilarity,
		}[c.oneOf("order_by", "id", "name", "path", "created_at", "updated_at", "last_activity_at", "similarity", "star_count")],
		Ascending: c.oneOf("sort", "asc", "desc") == "asc",
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
	return c.part(page, part.Total, part.Next, each(part.Entries, c.projectWire))
}

// level returns an optional level by GitLab's number, or NoLevel.
func (b *binder) level(name string) project.Level {
	numbers := make([]string, len(project.Levels))
	for i, level := range project.Levels {
		numbers[i] = strconv.Itoa(int(level))
	}
	level, _ := strconv.Atoi(b.oneOf(name, numbers...)) // "" is NoLevel
	return project.Level(level)
}

func (b *binder) projectID(name string) project.ID {
	return project.ID(min(max(b.integer(name, 0), 0), account.MaxID+1))
}

// projectJSON is a project on the wire.
type projectJSON struct {
	ID                int64           `json:"id"`
	Description       *string         `json:"description"`
	Name              string          `json:"name"`
	NameWithNamespace string          `json:"name_with_namespace"`
	Path              string          `json:"path"`
	PathWithNamespace string          `json:"path_with_namespace"`
	CreatedAt         string          `json:"created_at"`
	DefaultBranch     *string         `json:"default_branch"`
	Topics            []string        `json:"topics"`
	WebURL            string          `json:"web_url"`
	AvatarURL         *string         `json:"avatar_url"`
	LastActivityAt    string          `json:"last_activity_at"`
	Namespace         namespaceJSON   `json:"namespace"`
	Archived          bool            `json:"archived"`
	Visibility        string          `json:"visibility"`
	CreatorID         *int64          `json:"creator_id"`
	Permissions       permissionsJSON `json:"permissions"`
	SharedWithGroups  []any           `json:"shared_with_groups"`
}

type namespaceJSON struct {
	ID        int64   `json:"id"`
	Name      string  `json:"name"`
	Path      string  `json:"path"`
	Kind      string  `json:"kind"`
	FullPath  string  `json:"full_path"`
	ParentID  *int64  `json:"parent_id"`
	AvatarURL *string `json:"avatar_url"`
	WebURL    string  `json:"web_url"`
}

type permissionsJSON struct {
	ProjectAccess *permissionJSON `json:"project_access"`
	GroupAccess   *permissionJSON `json:"group_access"`
}

type permissionJSON struct {
	AccessLevel       int `json:"access_level"`
	NotificationLevel int `json:"notification_level"`
}

const notifiesGlobally = 3

func permissionWire(level project.Level) *permissionJSON {
	if level == project.NoLevel {
		return nil
	}
	return &permissionJSON{int(level), notifiesGlobally}
}

func (s site) projectWire(v directory.View) projectJSON {
	created := timestamp(v.Project.CreatedAt)
	return projectJSON{
		ID: int64(v.Project.ID), Description: optional(v.Project.Description),
		Name: v.Project.Name, NameWithNamespace: v.FullName(),
		Path: v.Project.Path, PathWithNamespace: v.FullPath(),
		CreatedAt: created, LastActivityAt: created, Topics: []string{},
		WebURL: s.projectURL(v), Namespace: s.namespaceWire(v),
		Visibility: v.Project.Visibility, CreatorID: optionalID(int64(v.Creator)),
		Permissions: permissionsJSON{permissionWire(v.Direct), permissionWire(v.Inherited)}, SharedWithGroups: []any{},
	}
}

func (s site) namespaceWire(v directory.View) namespaceJSON {
	if v.Owner.ID != 0 {
		return namespaceJSON{
			ID: firstNamespace + int64(v.Owner.ID), Name: v.Owner.Name, Path: v.Owner.Username, Kind: "user",
			FullPath: v.Owner.Username, WebURL: string(s) + "/" + v.Owner.Username,
		}
	}
	group := directory.View{Project: v.Above[len(v.Above)-1]}
	return namespaceJSON{
		ID: int64(group.Project.ID), Name: group.Project.Name, Path: group.Project.Path, Kind: "group",
		FullPath: group.FullPath(), ParentID: optionalID(int64(group.Project.Parent())), WebURL: s.projectURL(group),
	}
}

func (s site) projectURL(v directory.View) string {
	if v.Project.Kind == project.KindGroup {
		return string(s) + "/groups/" + v.FullPath()
	}
	return string(s) + "/" + v.FullPath()
}

// optionalID returns nil for 0, which is no id.
func optionalID(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}
