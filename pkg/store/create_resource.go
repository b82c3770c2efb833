package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// CreateResource implements directory.ResourceStore. Everything there is of a
// new project or group is written together with the next id, so ids have no
// gaps, no path is given out twice, and none is without its first member.
func (t *Table) CreateResource(ctx context.Context, res principal.Resource, owner token.OwnerID) (principal.Resource, error) {
	for attempt := 0; ; attempt++ {
		last, err := t.LastResourceID(ctx)
		if err != nil {
			return principal.Resource{}, err
		}
		if last == token.MaxOwner {
			return principal.Resource{}, fmt.Errorf("%w: all ids of projects and groups are given out", token.ErrInput)
		}
		res.ID = last + 1
		items := []types.TransactWriteItem{
			t.takeResourceID(res.ID),
			t.put(resourceItem(res), absent, nil),
			t.put(pathItem(res), absent, nil),
		}
		if child, listed := childKey(res); listed {
			items = append(items, t.put(child, absent, nil))
		}
		if owner != 0 {
			first := principal.Member{
				Resource: res.ID, User: owner, Level: token.Owner, CreatedAt: res.CreatedAt, CreatedBy: res.CreatedBy,
			}
			items = append(items, t.put(memberItem(first), absent, nil), t.put(membershipItem(first), absent, nil))
		}
		needed := len(items)
		if owner != 0 {
			items = append(items, t.exists(profileKey(owner)))
		}
		if res.Parent() != 0 {
			items = append(items, t.exists(resourceKey(res.Parent())))
		}
		named := len(items)
		if res.Owner == 0 && res.Parent() == 0 {
			items = append(items, t.lacks(usernameKey(res.Path)))
		}
		reasons, err := t.transact(audit.AboutResource(ctx, int64(res.ID)), items, func(ctx context.Context) (bool, error) {
			stored, err := t.Resource(ctx, res.ID)
			return sameResource(stored, res), err
		})
		switch {
		case err != nil:
			return principal.Resource{}, err
		case reasons == nil:
			return res, nil
		case failed(reasons, pathPosition), failed(reasons, named):
			return principal.Resource{}, token.ErrPathTaken
		}
		for i := needed; i < named; i++ {
			if failed(reasons, i) {
				return principal.Resource{}, token.ErrNotFound
			}
		}
		if err := pause(ctx, attempt); err != nil {
			return principal.Resource{}, err
		}
	}
}

// pathPosition is that of a path in a transaction that makes a resource.
const pathPosition = 2

// sameResource reports whether stored was made by the request that makes res.
func sameResource(stored, res principal.Resource) bool {
	return stored.ID == res.ID && stored.Kind == res.Kind && stored.Name == res.Name && stored.Path == res.Path &&
		stored.FullPath == res.FullPath && stored.Description == res.Description && stored.Visibility == res.Visibility &&
		slices.Equal(stored.Ancestors, res.Ancestors) && stored.Owner == res.Owner &&
		stored.CreatedAt.Equal(res.CreatedAt) && stored.CreatedBy == res.CreatedBy
}

// takeResourceID moves the counter to id from the one before it.
func (t *Table) takeResourceID(id token.ResourceID) types.TransactWriteItem {
	take := t.update(resourceSequenceKey(), "SET #last = :id", "attribute_not_exists(pk) OR #last = :before",
		item{":id": number(int64(id)), ":before": number(int64(id) - 1)})
	take.Update.ExpressionAttributeNames = map[string]string{"#last": "last"}
	return take
}

func pathItem(res principal.Resource) item {
	it := pathKey(pathOf(res))
	it["id"] = number(int64(res.ID))
	return it
}

// lacks makes a transaction depend on an item's not being there.
func (t *Table) lacks(k key) types.TransactWriteItem { return t.depends(k, absent) }

// exists makes a transaction depend on an item that it does not change.
func (t *Table) exists(k key) types.TransactWriteItem { return t.depends(k, "attribute_exists(pk)") }

func (t *Table) depends(k key, condition string) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &t.name, Key: k, ConditionExpression: &condition}}
}
