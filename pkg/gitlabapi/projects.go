package gitlabapi

import (
	"context"
	"net/http"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

func (api *directoryAPI) projectRoutes() []route {
	return []route{
		{method: "GET", path: "/projects", handle: api.listProjects},
		{method: "POST", path: "/projects", handle: api.createProject},
		{method: "GET", path: "/projects/{id}", handle: api.getProject},
		{method: "GET", path: "/users/{user_id}/projects", handle: api.listProjectsOfUser},
		{method: "GET", path: "/groups/{id}/projects", handle: api.listProjectsInGroup},
	}
}

// firstNamespace is added to an account's id to make that of its namespace.
// Groups' namespaces have the groups' own ids, which are all below it.
const firstNamespace = account.MaxID + 1

// namespace returns the namespace that a parameter names; the zero Namespace
// when it is not given.
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

// visibilities are GitLab's. They are kept and shown, and open nothing.
var visibilities = []string{"private", "internal", "public"}

func (api *directoryAPI) createProject(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	candidate := directory.ProjectCandidate{
		Name: b.line("name", b.text("name")), Path: b.line("path", b.text("path")),
		Description: b.text("description"), Visibility: b.oneOf("visibility", visibilities...),
	}
	if !b.params.has("name") && !b.params.has("path") {
		b.faults = append(b.faults, "name, path are missing, at least one parameter must be provided")
	}
	namespace, missing := b.namespace("namespace_id")
	if err := b.fault(); err != nil {
		return err
	}
	if missing != nil {
		return missing
	}
	candidate.Namespace = namespace
	by := principal.From(r.Context())
	view, err := api.directory.CreateProject(r.Context(), by, candidate)
	if err != nil {
		return err
	}
	api.Log.Info("project created", made(r, view, by)...)
	writeJSON(w, http.StatusCreated, api.projectWire(r.Context(), view))
	return nil
}

// made returns the attributes of the line about a new project or group.
func made(r *http.Request, view directory.View, by principal.Principal) []any {
	return facts(r, "resource_id", int64(view.Project.ID), "created_by", int64(by.Account.ID))
}

func (api *directoryAPI) getProject(w http.ResponseWriter, r *http.Request) error {
	view, err := api.directory.GetProject(r.Context(), principal.From(r.Context()), project.KindProject, r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, api.projectWire(r.Context(), view))
	return nil
}

func (api *directoryAPI) listProjects(w http.ResponseWriter, r *http.Request) error {
	return api.writeProjects(w, r, api.directory.ListProjects)
}

func (api *directoryAPI) listProjectsInGroup(w http.ResponseWriter, r *http.Request) error {
	return api.writeProjects(w, r, api.inGroup(r))
}

// inGroup lists what lies in the group in the path.
func (api *directoryAPI) inGroup(r *http.Request) projectList {
	return func(ctx context.Context, by principal.Principal, f directory.ProjectFilter, s directory.ProjectSort, offset, limit int) ([]directory.View, int, error) {
		return api.directory.ListInGroup(ctx, by, r.PathValue("id"), f, s, offset, limit)
	}
}

func (api *directoryAPI) listProjectsOfUser(w http.ResponseWriter, r *http.Request) error {
	return api.writeProjects(w, r, func(ctx context.Context, by principal.Principal, f directory.ProjectFilter, s directory.ProjectSort, offset, limit int) (views []directory.View, total int, err error) {
		views, err = withUser(r, func(id account.ID) (found []directory.View, err error) {
			found, total, err = api.directory.ListOfAccount(ctx, by, id, f, s, offset, limit)
			return found, err
		})
		return views, total, err
	})
}

// A projectList returns a page of projects or groups, and how many there are.
type projectList func(ctx context.Context, by principal.Principal, f directory.ProjectFilter, s directory.ProjectSort, offset, limit int) ([]directory.View, int, error)

func (api *directoryAPI) writeProjects(w http.ResponseWriter, r *http.Request, list projectList) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	filter := directory.ProjectFilter{
		Kind: project.KindProject, Search: b.text("search"), Visibility: b.oneOf("visibility", visibilities...),
		Mine: b.truth("membership"), MinLevel: b.level("min_access_level"),
		After: b.projectID("id_after"), Before: b.projectID("id_before"),
		Nothing: b.truth("archived"), // nothing ever is
	}
	if b.truth("owned") {
		filter.MinLevel = project.Owner
	}
	// Nothing about a project changes or is counted as activity, so that its
	// last change is its creation.
	order := directory.ProjectSort{
		By: map[string]directory.ProjectSortKey{
			"name": directory.ProjectsByName, "path": directory.ProjectsByPath, "created_at": directory.ProjectsByCreation,
			"updated_at": directory.ProjectsByCreation, "last_activity_at": directory.ProjectsByCreation,
		}[b.oneOf("order_by", "id", "name", "path", "created_at", "updated_at", "last_activity_at")],
		Ascending: b.oneOf("sort", "asc", "desc") == "asc",
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
	wire := make([]projectJSON, len(views))
	for i, view := range views {
		wire[i] = api.projectWire(r.Context(), view)
	}
	writeJSON(w, http.StatusOK, wire)
	return nil
}

// level returns an optional level out of GitLab's numbers, NoLevel when it is
// not given.
func (b *binder) level(name string) project.Level {
	numbers := make([]string, len(project.Levels))
	for i, level := range project.Levels {
		numbers[i] = strconv.Itoa(int(level))
	}
	level, _ := strconv.Atoi(b.oneOf(name, numbers...)) // "" is no number, and no level
	return project.Level(level)
}

// projectID returns an optional id to compare with.
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

// notifiesGlobally is GitLab's number for who has not chosen a level of
// notifications.
const notifiesGlobally = 3

func permissionWire(level project.Level) *permissionJSON {
	if level == project.NoLevel {
		return nil
	}
	return &permissionJSON{int(level), notifiesGlobally}
}

func (api *API) projectWire(ctx context.Context, v directory.View) projectJSON {
	created := timestamp(v.Project.CreatedAt)
	return projectJSON{
		ID: int64(v.Project.ID), Description: optional(v.Project.Description),
		Name: v.Project.Name, NameWithNamespace: v.FullName(),
		Path: v.Project.Path, PathWithNamespace: v.FullPath(),
		CreatedAt: created, LastActivityAt: created, Topics: []string{},
		WebURL: api.projectURL(ctx, v), Namespace: api.namespaceWire(ctx, v),
		Visibility: v.Project.Visibility, CreatorID: optionalID(int64(v.Creator)),
		Permissions: permissionsJSON{permissionWire(v.Direct), permissionWire(v.Inherited)},
	}
}

// namespaceWire shows what a project lies in.
func (api *API) namespaceWire(ctx context.Context, v directory.View) namespaceJSON {
	if v.Owner.ID != 0 {
		return namespaceJSON{
			ID: firstNamespace + int64(v.Owner.ID), Name: v.Owner.Name, Path: v.Owner.Username, Kind: "user",
			FullPath: v.Owner.Username, WebURL: api.publicURL(ctx) + "/" + v.Owner.Username,
		}
	}
	group := directory.View{Project: v.Above[len(v.Above)-1]}
	return namespaceJSON{
		ID: int64(group.Project.ID), Name: group.Project.Name, Path: group.Project.Path, Kind: "group",
		FullPath: group.FullPath(), ParentID: optionalID(int64(group.Project.Parent())), WebURL: api.projectURL(ctx, group),
	}
}

func (api *API) projectURL(ctx context.Context, v directory.View) string {
	if v.Project.Kind == project.KindGroup {
		return api.publicURL(ctx) + "/groups/" + v.FullPath()
	}
	return api.publicURL(ctx) + "/" + v.FullPath()
}

// optionalID returns nil for 0, which no id is.
func optionalID(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}
