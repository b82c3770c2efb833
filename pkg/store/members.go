package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// Members returns the direct members of a project by ascending account id, with one Query. It
// includes deleted accounts and expired memberships.
func (t *Reader) Members(ctx context.Context, pid project.ID) ([]project.Member, error) {
	items, err := t.query(ctx, projectPartition(pid), memberPrefix)
	if err != nil {
		return nil, err
	}
	return t.readMembers(items), nil
}

// Memberships returns the direct memberships of an account by ascending project id. It reads their
// names first, and then the items.
func (t *Reader) Memberships(ctx context.Context, acct account.ID) ([]project.Member, error) {
	ids, err := t.named(ctx, accountPartition(acct), memberPrefix)
	if err != nil {
		return nil, err
	}
	members, err := t.MembershipsIn(ctx, acct, ids)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b project.Member) int { return cmp.Compare(a.Project, b.Project) })
	return members, nil
}

// MembershipsIn returns the direct memberships of an account in some projects, in no order.
func (t *Reader) MembershipsIn(ctx context.Context, acct account.ID, ids []project.ID) ([]project.Member, error) {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = memberKey(id, acct)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return nil, err
	}
	return t.readMembers(items), nil
}

func (t *Reader) readMembers(items []item) []project.Member {
	var members []project.Member
	for _, it := range items {
		m, err := readMember(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		members = append(members, m)
	}
	return members
}

// AddMember writes both items of a member. It requires that the account exists and the project is open.
func (t *Table) AddMember(ctx context.Context, m, over project.Member, added audit.Event) error {
	add := t.put(memberItem(m), absent, nil)
	if over != (project.Member{}) {
		condition, names, values := unchanged(over)
		add = t.put(memberItem(m), condition, values)
		add.Put.ExpressionAttributeNames = names
	}
	reasons, err := t.transact(ctx, []types.TransactWriteItem{
		add,
		t.put(membershipItem(m), "", nil),
		t.exists(profileKey(m.Account)),
		t.open(m.Project),
	}, []audit.Event{added}, t.holds(m))
	switch {
	case err != nil || reasons == nil:
		return err
	case failed(reasons, 0):
		return fault.ErrTaken
	case failed(reasons, 3):
		return project.ErrNoProject
	default:
		return fault.ErrNotFound
	}
}

// ChangeMember changes a member that still equals before.
func (t *Table) ChangeMember(ctx context.Context, before, after, remaining project.Member, changed []audit.Event) error {
	condition, names, values := unchanged(before)
	change := t.put(memberItem(after), condition, values)
	change.Put.ExpressionAttributeNames = names
	return t.writeMember(ctx, []types.TransactWriteItem{change}, remaining, changed, t.holds(after))
}

// RemoveMember deletes both items of a membership that still equals m.
func (t *Table) RemoveMember(ctx context.Context, m, remaining project.Member, removed audit.Event) error {
	condition, names, values := unchanged(m)
	remove := t.remove(memberKey(m.Project, m.Account), condition, values)
	remove.Delete.ExpressionAttributeNames = names
	return t.writeMember(ctx, []types.TransactWriteItem{remove, t.remove(membershipKey(m.Project, m.Account), "", nil)}, remaining, []audit.Event{removed},
		func(ctx context.Context) (bool, error) {
			_, err := t.get(ctx, memberKey(m.Project, m.Account))
			if errors.Is(err, fault.ErrNotFound) {
				return true, nil
			}
			return false, err
		})
}

// writeMember writes items while remaining is unchanged, unless it is the zero Member. A failed
// condition is fault.ErrMoved.
func (t *Table) writeMember(ctx context.Context, items []types.TransactWriteItem, remaining project.Member, events []audit.Event,
	done func(context.Context) (bool, error)) error {
	if remaining != (project.Member{}) {
		condition, names, values := unchanged(remaining)
		still := t.depends(memberKey(remaining.Project, remaining.Account), condition)
		still.ConditionCheck.ExpressionAttributeNames, still.ConditionCheck.ExpressionAttributeValues = names, values
		items = append(items, still)
	}
	reasons, err := t.transact(ctx, items, events, done)
	if err == nil && reasons != nil {
		return fault.ErrMoved
	}
	return err
}

// holds reads whether the stored member equals m.
func (t *Reader) holds(m project.Member) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		it, err := t.get(ctx, memberKey(m.Project, m.Account))
		if err != nil {
			return false, err
		}
		stored, err := readMember(it)
		return stored.Level == m.Level && stored.ExpiresOn == m.ExpiresOn &&
			stored.CreatedAt.Equal(m.CreatedAt) && stored.CreatedBy == m.CreatedBy, err
	}
}

// unchanged is the condition that a member's item equals m.
func unchanged(m project.Member) (condition string, names map[string]string, values item) {
	it := memberItem(m)
	return "#level = :level AND expires_on = :expires_on AND created_at = :created_at AND created_by = :created_by",
		map[string]string{"#level": "level"}, // a reserved word
		item{":level": it["level"], ":expires_on": it["expires_on"], ":created_at": it["created_at"], ":created_by": it["created_by"]}
}
