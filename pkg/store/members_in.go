package store

import (
	"context"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// MembersIn implements sweep.Teams: one Query for each resource, which grows
// with its members.
func (t *Table) MembersIn(ctx context.Context, resources []token.ResourceID, each func(principal.Member, error)) error {
	for _, id := range resources {
		items, err := t.query(ctx, resourcePartition(id), memberPrefix)
		if err != nil {
			return err
		}
		for _, it := range items {
			each(readMember(it))
		}
	}
	return nil
}
