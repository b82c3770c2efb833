package store

import (
	"context"

	"latchkey/pkg/project"
)

// MembersIn passes the members of projects to each, with one Query for each project.
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
