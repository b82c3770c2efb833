package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// CreateProject makes a project or group. It writes everything about it together with the next id,
// so ids have no gaps, paths are unique, and no project lacks its first member.
func (t *Table) CreateProject(ctx context.Context, proj project.Project, owner account.ID, created audit.Event) (project.Project, error) {
	if err := checkEvents(created); err != nil {
		return project.Project{}, err
	}
	for attempt := 0; ; attempt++ {
		last, err := t.LastProjectID(ctx)
		if err != nil {
			return project.Project{}, err
		}
		if last == account.MaxID {
			return project.Project{}, fmt.Errorf("%w: all ids of projects and groups are given out", fault.ErrInput)
		}
		proj.ID = last + 1
		created.Entity.ID = int64(proj.ID)
		items := []types.TransactWriteItem{
			t.takeProjectID(proj.ID),
			t.put(projectItem(proj), absent, nil),
			t.put(pathItem(proj), absent, nil),
		}
		if child, listed := childKey(proj); listed {
			items = append(items, t.put(child, absent, nil))
		}
		if owner != 0 {
			first := project.Member{
				Project: proj.ID, Account: owner, Level: project.Owner, CreatedAt: proj.CreatedAt, CreatedBy: proj.CreatedBy,
			}
			items = append(items, t.put(memberItem(first), absent, nil), t.put(membershipItem(first), absent, nil))
		}
		needed := len(items)
		if owner != 0 {
			items = append(items, t.exists(profileKey(owner)))
		}
		if proj.Parent() != 0 {
			items = append(items, t.open(proj.Parent()))
		}
		named := len(items)
		if proj.Owner == 0 && proj.Parent() == 0 {
			items = append(items, t.lacks(usernameKey(proj.Path)))
		}
		reasons, err := t.transact(ctx, items, []audit.Event{created}, func(ctx context.Context) (bool, error) {
			stored, err := t.Project(ctx, proj.ID)
			return sameProject(stored, proj), err
		})
		switch {
		case err != nil:
			return project.Project{}, err
		case reasons == nil:
			return proj, nil
		case failed(reasons, pathPosition), failed(reasons, named):
			return project.Project{}, project.ErrPathTaken
		}
		for i := needed; i < named; i++ {
			if failed(reasons, i) {
				return project.Project{}, fault.ErrNotFound
			}
		}
		if err := pause(ctx, attempt); err != nil {
			return project.Project{}, err
		}
	}
}

// pathPosition is the position of the path's item in the transaction.
const pathPosition = 2

// sameProject reports whether the request that makes proj made stored.
func sameProject(stored, proj project.Project) bool {
	return stored.ID == proj.ID && stored.Kind == proj.Kind && stored.Name == proj.Name && stored.Path == proj.Path &&
		stored.FullPath == proj.FullPath && stored.Description == proj.Description && stored.Visibility == proj.Visibility &&
		slices.Equal(stored.Ancestors, proj.Ancestors) && stored.Owner == proj.Owner &&
		stored.CreatedAt.Equal(proj.CreatedAt) && stored.CreatedBy == proj.CreatedBy
}

// takeProjectID moves the counter from the previous id to id.
func (t *Table) takeProjectID(id project.ID) types.TransactWriteItem {
	take := t.update(projectSequenceKey(), "SET #last = :id", "attribute_not_exists(pk) OR #last = :before",
		item{":id": number(int64(id)), ":before": number(int64(id) - 1)})
	take.Update.ExpressionAttributeNames = map[string]string{"#last": "last"}
	return take
}

func pathItem(proj project.Project) item {
	it := pathKey(pathOf(proj))
	it["id"] = number(int64(proj.ID))
	return it
}

// lacks makes a transaction require that an item does not exist.
func (t *Table) lacks(k key) types.TransactWriteItem { return t.depends(k, absent) }

// exists makes a transaction require that an item exists.
func (t *Table) exists(k key) types.TransactWriteItem { return t.depends(k, "attribute_exists(pk)") }

// open makes a transaction require that a project exists and is not being deleted.
func (t *Table) open(id project.ID) types.TransactWriteItem { return t.depends(projectKey(id), isOpen) }

const isOpen = "attribute_exists(pk) AND attribute_not_exists(closing)"

func (t *Table) depends(k key, condition string) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &t.name, Key: k, ConditionExpression: &condition}}
}
