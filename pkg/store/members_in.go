package store

import (
	"context"

	"latchkey/pkg/project"
)

// MembersIn implements sweep.Projects: one Query for each project, which grows
// with its members.
func (t *Table) MembersIn(ctx context.Context, projects []project.ID, each func(project.Member, error)) error {
	for _, id := range projects {
		items, err := t.query(ctx, projectPartition(id), memberPrefix)
		if err != nil {
			return err
		}
		for _, it := range items {
			each(readMember(it))
		}
	}
	return nil
}
