package store

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// SetUserState implements directory.Store: one write, which every check that
// starts after it sees.
func (t *Table) SetUserState(ctx context.Context, id token.OwnerID, from, to principal.State) error {
	return t.updateUser(ctx, id, "SET #state = :to", "#state = :from",
		map[string]string{"#state": "state"},
		item{":from": text(string(from)), ":to": text(string(to))},
		func(u principal.User) bool { return u.State == to })
}

// RevokeEverything implements lifecycle.Store: one write, however many tokens
// the owner has. The next token's number becomes the first valid one. The read
// before it tells, should the answer be lost, whether the write took place,
// also when a token was made right after it.
func (t *Table) RevokeEverything(ctx context.Context, owner token.OwnerID) error {
	before, err := t.User(ctx, owner)
	if err != nil {
		return err
	}
	return t.updateUser(ctx, owner, "SET tokens_valid_from = next_number", "attribute_exists(pk)", nil, nil,
		func(u principal.User) bool { return u.TokensValidFrom >= before.NextNumber })
}

// updateUser changes a profile. A condition that fails is token.ErrNotFound
// when there is no profile, and token.ErrMoved when it is not as expected and
// not as wanted either.
func (t *Table) updateUser(ctx context.Context, id token.OwnerID, expression, condition string,
	names map[string]string, values item, wanted func(principal.User) bool) error {
	isWanted := func(ctx context.Context) (bool, error) {
		u, err := t.User(ctx, id)
		return wanted(u), err
	}
	refused, err := t.updateOne(ctx, types.Update{
		TableName:                 &t.name,
		Key:                       profileKey(id),
		UpdateExpression:          &expression,
		ConditionExpression:       &condition,
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
	}, isWanted)
	if err != nil || !refused {
		return err
	}
	done, err := isWanted(ctx)
	switch {
	case err != nil:
		return err
	case done:
		return nil
	default:
		return token.ErrMoved
	}
}

// updateOne changes one item, with the audit events that ctx expects in the same
// transaction if there are any. refused says that the condition failed; wanted
// reads whether a change whose answer was lost took place.
func (t *Table) updateOne(ctx context.Context, update types.Update, wanted func(context.Context) (bool, error)) (refused bool, err error) {
	if len(audit.Expected(ctx)) > 0 {
		reasons, err := t.transact(ctx, []types.TransactWriteItem{{Update: &update}}, wanted)
		return failed(reasons, 0), err
	}
	err = t.updateFree(ctx, &dynamodb.UpdateItemInput{
		TableName:                 update.TableName,
		Key:                       update.Key,
		UpdateExpression:          update.UpdateExpression,
		ConditionExpression:       update.ConditionExpression,
		ExpressionAttributeNames:  update.ExpressionAttributeNames,
		ExpressionAttributeValues: update.ExpressionAttributeValues,
	})
	var condition *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return false, nil
	case errors.As(err, &condition):
		return true, nil
	default:
		return false, t.readBack(ctx, err, wanted)
	}
}

// updateFree writes when no transaction is under way on the item. Somebody who
// makes tokens all the time must not be able to put off being blocked.
func (t *Table) updateFree(ctx context.Context, in *dynamodb.UpdateItemInput) error {
	for attempt := 0; ; attempt++ {
		_, err := t.client.UpdateItem(ctx, in)
		var collision *types.TransactionConflictException
		if !errors.As(err, &collision) || pause(ctx, attempt) != nil {
			return err
		}
	}
}
