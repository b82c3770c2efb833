package store

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// DeleteAccount deletes an account's profile, note, username, address and identity in one transaction.
// Without the profile, all its tokens and sessions are invalid.
func (t *Table) DeleteAccount(ctx context.Context, u account.Account, deleted audit.Event) error {
	if err := checkEvents(deleted); err != nil {
		return err
	}
	// An identity that was linked in the meantime must not stay behind: nobody could use it again.
	condition, values := "username = :username AND attribute_not_exists(identity_issuer)", item{":username": text(u.Username)}
	if u.Identity != (account.Identity{}) {
		condition = "username = :username"
	}
	needed := []types.TransactWriteItem{
		t.remove(profileKey(u.ID), condition, values),
		t.remove(noteKey(u.ID), "", nil), // whether it has one or not, which may change meanwhile
	}
	reasons, err := t.transactLeaving(ctx, needed, t.removeNames(u), deleted, func(ctx context.Context) (bool, error) {
		_, err := t.Account(ctx, u.ID)
		if errors.Is(err, fault.ErrNotFound) {
			return true, nil
		}
		return false, err
	})
	if err != nil || reasons == nil {
		return err
	}
	if _, err := t.Account(ctx, u.ID); err != nil {
		return err
	}
	return fault.ErrMoved // it has another name now, or an identity
}

// leavePage is how many memberships one transaction ends. Each has two items and two for its event,
// of the 100 that TransactWriteItems takes.
const leavePage = 25

// LeaveAll ends every membership of an account in several transactions, and reports whether there
// was any. Each membership writes its own event, left for its project. After a failure the finished
// part stays, and a further call does the rest.
func (t *Table) LeaveAll(ctx context.Context, acct account.ID, left audit.Event) (some bool, err error) {
	if err := checkEvents(left); err != nil {
		return false, err
	}
	for attempt := 0; ; {
		out, err := t.client.Query(ctx, &dynamodb.QueryInput{
			TableName:              &t.name,
			KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :sk)"),
			ExpressionAttributeValues: item{
				":pk": text(accountPartition(acct)), ":sk": text(memberPrefix),
			},
			ConsistentRead: aws.Bool(true),
			Limit:          aws.Int32(leavePage),
		})
		if err != nil {
			return some, translate(err)
		}
		if len(out.Items) == 0 {
			return some, nil
		}
		some = true
		items, events, err := t.departures(ctx, acct, out.Items, left)
		if err != nil {
			return some, err
		}
		reasons, err := t.transact(ctx, items, events, t.gone(out.Items))
		if err != nil {
			return some, err
		}
		if reasons != nil { // another request ended a membership and wrote its event
			if err := pause(ctx, attempt); err != nil {
				return some, err
			}
			attempt++
		}
	}
}

// departures returns the writes and events that end memberships. It leaves out a malformed project
// or level of an event, because nothing may keep a membership from ending.
func (t *Table) departures(ctx context.Context, acct account.ID, memberships []item, left audit.Event) (items []types.TransactWriteItem, events []audit.Event, err error) {
	var ids []project.ID
	var keys []key
	for _, it := range memberships {
		pid, err := projectOfMembership(it)
		if err != nil {
			return nil, nil, err
		}
		ids, keys = append(ids, pid), append(keys, memberKey(pid, acct))
		items = append(items,
			t.remove(memberKey(pid, acct), "", nil),
			t.remove(membershipKey(pid, acct), "attribute_exists(pk)", nil))
	}
	members, err := t.getBatch(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	levels, kinds := map[project.ID]project.Level{}, map[project.ID]project.Kind{}
	for _, m := range t.readMembers(members) {
		levels[m.Project] = m.Level
	}
	if err := t.ProjectsByID(ctx, ids, func(proj project.Project) { kinds[proj.ID] = proj.Kind }); err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		events = append(events, left.Left(kinds[id], id, levels[id]))
	}
	return items, events, nil
}
