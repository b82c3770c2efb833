package store

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
)

// readBackTimeout bounds the read that finds out whether a write with a lost reply was committed.
// It runs even after the request's own deadline.
const readBackTimeout = 2 * time.Second

// The cancellation reasons that this package distinguishes (DynamoDB API reference,
// TransactWriteItems).
const (
	conditionFailed     = "ConditionalCheckFailed"
	transactionConflict = "TransactionConflict"
)

// transact writes a change and its events, all or nothing; see write.
func (t *Journal) transact(ctx context.Context, items []types.TransactWriteItem, events []audit.Event, done func(context.Context) (bool, error)) ([]types.CancellationReason, error) {
	if err := checkEvents(events...); err != nil {
		return nil, err
	}
	items = slices.Clip(items)
	for _, e := range events {
		for _, it := range t.eventItems(e) {
			items = append(items, t.put(it, "", nil))
		}
	}
	return t.write(ctx, items, done)
}

// write writes items all or nothing. It retries after a collision with another transaction, and
// returns failed conditions as reasons, by position. If the outcome is unknown, it calls done,
// which reads whether the write was committed.
//
// All attempts share one client request token, so that the engine repeats the reply of a committed
// attempt instead of testing the conditions against its own items (TransactWriteItems: idempotency,
// for 10 minutes).
func (t *Journal) write(ctx context.Context, items []types.TransactWriteItem, done func(context.Context) (bool, error)) ([]types.CancellationReason, error) {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: aws.String(rand.Text())}
	for attempt := 0; ; attempt++ {
		_, err := t.client.TransactWriteItems(ctx, in)
		if err == nil {
			return nil, nil
		}
		var canceled *types.TransactionCanceledException
		if !errors.As(err, &canceled) {
			return nil, t.readBack(ctx, err, done)
		}
		collided := false
		for _, reason := range canceled.CancellationReasons {
			switch code(reason) {
			case conditionFailed:
				return canceled.CancellationReasons, nil
			case transactionConflict:
				collided = true
			}
		}
		// An earlier attempt may have been committed with a lost reply. Any later attempt may then
		// be refused for any reason.
		if !collided || pause(ctx, attempt) != nil {
			return nil, t.readBack(ctx, err, done)
		}
	}
}

// readBack returns nil if the write behind err was committed after all.
func (t *Journal) readBack(ctx context.Context, err error, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	if took, readErr := done(ctx); readErr == nil && took {
		return nil
	}
	return translate(err)
}

// gone reads whether all items are deleted.
func (t *Reader) gone(items []item) func(context.Context) (bool, error) {
	keys := make([]key, len(items))
	for i, it := range items {
		keys[i] = keyIn(it)
	}
	return func(ctx context.Context) (bool, error) {
		left, err := t.getBatch(ctx, keys)
		return len(left) == 0, err
	}
}

func code(reason types.CancellationReason) string {
	if reason.Code == nil {
		return ""
	}
	return *reason.Code
}

func failed(reasons []types.CancellationReason, position int) bool {
	return position < len(reasons) && code(reasons[position]) == conditionFailed
}

func (t *Journal) put(it item, condition string, values item) types.TransactWriteItem {
	put := &types.Put{TableName: &t.name, Item: it, ExpressionAttributeValues: values}
	if condition != "" {
		put.ConditionExpression = &condition
	}
	return types.TransactWriteItem{Put: put}
}

// update changes an item. If there is a condition and it fails, the engine returns the existing item.
func (t *Table) update(k key, expression, condition string, values item) types.TransactWriteItem {
	update := &types.Update{TableName: &t.name, Key: k, UpdateExpression: &expression, ExpressionAttributeValues: values}
	if condition != "" {
		update.ConditionExpression = &condition
		update.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	return types.TransactWriteItem{Update: update}
}

const absent = "attribute_not_exists(pk)"
