package store

import (
	"context"

	"latchkey/pkg/project"
)

// MembersIn hands the members of projects to each: one Query for each project, which grows
// with its members.
func (t *Reader) MembersIn(ctx context.Context, projects []project.ID, each func(project.Member, error)) error {
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
