package gitlabapi

import (
	"latchkey/pkg/directory"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
)

// associations lists the groups and projects that the presented token can
// reach. It pages both lists alike; the headers count the projects.
func (api *tokensAPI) associations(c *call) error {
	least := c.level("min_access_level")
	page := c.paging()
	if err := c.faultWith(page); err != nil {
		return err
	}
	reached, err := api.directory.Associations(c.ctx, c.by, least, listing.ByNumber(page.offset(), page.perPage))
	if err != nil {
		return err
	}
	return c.page(page, reached.Projects.Total, associationsJSON{
		Groups: each(reached.Groups.Entries, c.associatedGroupWire), Projects: each(reached.Projects.Entries, c.associatedProjectWire),
	})
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

func (s site) associatedGroupWire(v directory.View) associatedGroupJSON {
	return associatedGroupJSON{
		ID: int64(v.Project.ID), WebURL: s.projectURL(v), Name: v.Project.Name,
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

func (s site) associatedProjectWire(v directory.View) associatedProjectJSON {
	return associatedProjectJSON{
		ID: int64(v.Project.ID), Description: optional(v.Project.Description),
		Name: v.Project.Name, NameWithNamespace: v.FullName(),
		Path: v.Project.Path, PathWithNamespace: v.FullPath(), CreatedAt: timestamp(v.Project.CreatedAt),
		AccessLevels: accessLevelsJSON{optionalLevel(v.Direct), optionalLevel(v.Inherited)},
		Visibility:   v.Project.Visibility, WebURL: s.projectURL(v), Namespace: s.namespaceWire(v),
	}
}

func optionalLevel(level project.Level) *int {
	if level == project.NoLevel {
		return nil
	}
	number := int(level)
	return &number
}
