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

// CloseProject marks a project as being deleted. From then on, no transaction can put a project, a member
// or a token into it. A project that is closing already stays as it is, without another event.
func (t *Table) CloseProject(ctx context.Context, id project.ID, closed audit.Event) error {
	mark := t.update(projectKey(id), "SET closing = :closing", isOpen, item{":closing": boolean(true)})
	closing := func(ctx context.Context) (bool, error) {
		proj, err := t.Project(ctx, id)
		return proj.Closing, err
	}
	reasons, err := t.transact(ctx, []types.TransactWriteItem{mark}, []audit.Event{closed}, closing)
	if err == nil && reasons != nil && len(reasons[0].Item) == 0 {
		return fault.ErrNotFound
	}
	return err
}

// DismissMembers ends every membership of a closing project except that of but, in several transactions.
// Each writes its own event, dismissed with the member's username and level. After a failure the finished
// part stays, and a further call does the rest.
func (t *Table) DismissMembers(ctx context.Context, id project.ID, but account.ID, dismissed audit.Event) error {
	if err := checkEvents(dismissed); err != nil {
		return err
	}
	for attempt := 0; ; {
		page, err := t.memberPage(ctx, id, but)
		if err != nil || len(page) == 0 {
			return err
		}
		items, events, err := t.dismissals(ctx, page, dismissed)
		if err != nil {
			return err
		}
		reasons, err := t.transact(ctx, items, events, t.gone(page))
		if err != nil {
			return err
		}
		if reasons != nil { // another request ended a membership and wrote its event
			if err := pause(ctx, attempt); err != nil {
				return err
			}
			attempt++
		}
	}
}

// memberPage returns the keys of up to leavePage members, without but.
func (t *Table) memberPage(ctx context.Context, id project.ID, but account.ID) (page []item, err error) {
	out, err := t.client.Query(ctx, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :sk)"),
		ExpressionAttributeValues: item{":pk": text(projectPartition(id)), ":sk": text(memberPrefix)},
		ConsistentRead:            aws.Bool(true),
		Limit:                     aws.Int32(leavePage),
	})
	if err != nil {
		return nil, translate(err)
	}
	for _, it := range out.Items {
		if m, err := readMemberKey(it); err != nil || m.Account != but {
			page = append(page, it)
		}
	}
	return page, nil
}

// dismissals returns the writes and events that end memberships. A malformed member ends too, because
// nothing may keep a project from being deleted.
func (t *Table) dismissals(ctx context.Context, members []item, dismissed audit.Event) (items []types.TransactWriteItem, events []audit.Event, err error) {
	var ids []account.ID
	for _, it := range members {
		if m, err := readMemberKey(it); err == nil {
			ids = append(ids, m.Account)
		}
	}
	names := map[account.ID]string{}
	if err := t.Accounts(ctx, ids, func(acct account.Account) { names[acct.ID] = acct.Username }); err != nil {
		return nil, nil, err
	}
	for _, it := range members {
		items = append(items, t.remove(keyIn(it), "attribute_exists(pk)", nil))
		event := dismissed
		if m, err := readMemberKey(it); err == nil {
			items = append(items, t.remove(membershipKey(m.Project, m.Account), "", nil))
			event.Target = names[m.Account]
			if event.Target == "" {
				event.Target = m.Account.String() // the account is gone; no username has only digits
			}
		}
		if m, err := readMember(it); err == nil {
			event.Change, event.From = "level", audit.LevelText(m.Level)
		}
		events = append(events, event)
	}
	return items, events, nil
}

// DeleteProject removes a closing project, its path and its place in its namespace, with the membership of
// last, who may have none. It returns fault.ErrNotFound if it is gone, and fault.ErrMoved if it is open.
func (t *Table) DeleteProject(ctx context.Context, proj project.Project, last account.ID, deleted []audit.Event) error {
	items := []types.TransactWriteItem{
		t.remove(projectKey(proj.ID), "attribute_exists(closing)", nil),
		t.remove(pathKey(pathOf(proj)), "attribute_not_exists(pk) OR id = :id", item{":id": number(int64(proj.ID))}),
	}
	if child, listed := childKey(proj); listed {
		items = append(items, t.remove(child, "", nil))
	}
	if last != 0 {
		items = append(items, t.remove(memberKey(proj.ID, last), "", nil), t.remove(membershipKey(proj.ID, last), "", nil))
	}
	gone := func(ctx context.Context) (bool, error) {
		_, err := t.Project(ctx, proj.ID)
		if errors.Is(err, fault.ErrNotFound) {
			return true, nil
		}
		return false, err
	}
	reasons, err := t.transact(ctx, items, deleted, gone)
	if err != nil || reasons == nil {
		return err
	}
	if _, err := t.Project(ctx, proj.ID); err != nil {
		return err
	}
	return fault.ErrMoved
}
