package gitlabapi

import (
	"context"
	"net/http"

	"latchkey/pkg/directory"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// associations lists the groups and projects that the presented token can
// reach. The page is one of each; the headers are about the projects.
func (api *tokensAPI) associations(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	least := b.level("min_access_level")
	page := b.paging()
	if err := b.faultWith(page); err != nil {
		return err
	}
	reached, err := api.directory.Associations(r.Context(), principal.From(r.Context()), least, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	wire := associationsJSON{
		Groups: make([]associatedGroupJSON, len(reached.Groups)), Projects: make([]associatedProjectJSON, len(reached.Projects)),
	}
	for i, view := range reached.Groups {
		wire.Groups[i] = api.associatedGroupWire(r.Context(), view)
	}
	for i, view := range reached.Projects {
		wire.Projects[i] = api.associatedProjectWire(r.Context(), view)
	}
	api.writePageHeaders(w, r, page, reached.ProjectsTotal)
	writeJSON(w, http.StatusOK, wire)
	return nil
}

type associationsJSON struct {
	Groups   []associatedGroupJSON   `json:"groups"`
	Projects []associatedProjectJSON `json:"projects"`
}

type associatedGroupJSON struct {
	ID             int64  `json:"id"`
	WebURL         string `json:"web_url"`
	Name           string `json:"name"`
	ParentID       *int64 `json:"parent_id"`
	OrganizationID int    `json:"organization_id"`
	AccessLevels   int    `json:"access_levels"`
	Visibility     string `json:"visibility"`
}

func (api *API) associatedGroupWire(ctx context.Context, v directory.View) associatedGroupJSON {
	return associatedGroupJSON{
		ID: int64(v.Project.ID), WebURL: api.projectURL(ctx, v), Name: v.Project.Name,
		ParentID: optionalID(int64(v.Project.Parent())), OrganizationID: organization,
		AccessLevels: int(max(v.Direct, v.Inherited)), Visibility: v.Project.Visibility,
	}
}

type associatedProjectJSON struct {
	ID                int64            `json:"id"`
	Description       *string          `json:"description"`
	Name              string           `json:"name"`
	NameWithNamespace string           `json:"name_with_namespace"`
	Path              string           `json:"path"`
	PathWithNamespace string           `json:"path_with_namespace"`
	CreatedAt         string           `json:"created_at"`
	AccessLevels      accessLevelsJSON `json:"access_levels"`
	Visibility        string           `json:"visibility"`
	WebURL            string           `json:"web_url"`
	Namespace         namespaceJSON    `json:"namespace"`
}

type accessLevelsJSON struct {
	ProjectAccessLevel *int `json:"project_access_level"`
	GroupAccessLevel   *int `json:"group_access_level"`
}

func (api *API) associatedProjectWire(ctx context.Context, v directory.View) associatedProjectJSON {
	return associatedProjectJSON{
		ID: int64(v.Project.ID), Description: optional(v.Project.Description),
		Name: v.Project.Name, NameWithNamespace: v.FullName(),
		Path: v.Project.Path, PathWithNamespace: v.FullPath(), CreatedAt: timestamp(v.Project.CreatedAt),
		AccessLevels: accessLevelsJSON{optionalLevel(v.Direct), optionalLevel(v.Inherited)},
		Visibility:   v.Project.Visibility, WebURL: api.projectURL(ctx, v), Namespace: api.namespaceWire(ctx, v),
	}
}

func optionalLevel(level project.Level) *int {
	if level == project.NoLevel {
		return nil
	}
	number := int(level)
	return &number
}
