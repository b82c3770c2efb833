package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// UpdateProject replaces the item of a project that still equals before and is open.
func (t *Table) UpdateProject(ctx context.Context, before, after project.Project, updated []audit.Event) error {
	condition := isOpen + " AND #name = :name AND visibility = :visibility AND attribute_not_exists(description)"
	values := item{":name": text(before.Name), ":visibility": text(before.Visibility)}
	if before.Description != "" {
		condition = isOpen + " AND #name = :name AND visibility = :visibility AND description = :description"
		values[":description"] = text(before.Description)
	}
	put := t.put(projectItem(after), condition, values)
	put.Put.ExpressionAttributeNames = map[string]string{"#name": "name"} // a reserved word
	reasons, err := t.transact(ctx, []types.TransactWriteItem{put}, updated, func(ctx context.Context) (bool, error) {
		stored, err := t.Project(ctx, after.ID)
		return sameProject(stored, after), err
	})
	if err == nil && reasons != nil {
		err = fault.ErrMoved
	}
	return err
}
