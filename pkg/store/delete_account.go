package store

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
)

// DeleteAccount implements directory.Store: profile, username and address go in
// one transaction, and with the profile every token of the account is dead.
func (t *Table) DeleteAccount(ctx context.Context, u account.Account) error {
	needed := []types.TransactWriteItem{
		t.remove(profileKey(u.ID), "username = :username", item{":username": text(u.Username)}),
	}
	reasons, err := t.transactLeaving(ctx, needed, t.removeNames(u), func(ctx context.Context) (bool, error) {
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
	return fault.ErrMoved // it has another name now
}

// leavePage is how many memberships one transaction ends: two items each, of
// the 100 that TransactWriteItems takes.
const leavePage = 50

// LeaveAll implements directory.Store: it ends every membership that user has,
// a page at a time, and reports whether there was any. What is written stays
// when it fails half-way; a further call does the rest.
func (t *Table) LeaveAll(ctx context.Context, acct account.ID) (some bool, err error) {
	for {
		out, err := t.client.Query(ctx, &dynamodb.QueryInput{
			TableName:              &t.name,
			KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :sk)"),
			ExpressionAttributeValues: item{
				":pk": text(userPartition(acct)), ":sk": text(memberPrefix),
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
		var items []types.TransactWriteItem
		for _, it := range out.Items {
			pid, err := projectOfMembership(it)
			if err != nil {
				return some, err
			}
			items = append(items,
				t.remove(memberKey(pid, acct), "", nil),
				t.remove(membershipKey(pid, acct), "", nil))
		}
		if _, err := t.transact(ctx, items, func(context.Context) (bool, error) { return false, nil }); err != nil {
			return some, err
		}
	}
}
