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

// readBackTimeout bounds the read that finds out whether a write whose answer
// was lost took place. It runs on even when the request's own time is up.
const readBackTimeout = 2 * time.Second

// The codes of a transaction's cancellation reasons that this package reads
// (DynamoDB API reference, TransactWriteItems).
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

// write writes items all or nothing. A collision with another transaction
// is tried again; failed conditions come back as reasons, by position. When
// the outcome is unknown, done decides: it reads whether the write took place.
//
// All attempts carry one client request token, so that the engine answers for
// one that was committed and whose answer was lost, instead of meeting its own
// items in the conditions of the next (TransactWriteItems: idempotency, for 10
// minutes).
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
		// An earlier attempt may have been committed and its answer lost: the
		// SDK's retries, and ours, may then be refused for any reason.
		if !collided || pause(ctx, attempt) != nil {
			return nil, t.readBack(ctx, err, done)
		}
	}
}

// readBack returns nil when the write behind err took place after all.
func (t *Journal) readBack(ctx context.Context, err error, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	if took, readErr := done(ctx); readErr == nil && took {
		return nil
	}
	return translate(err)
}

// gone reads whether none of items is there any more.
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

// update changes an item; the item as it was comes back when the condition
// fails.
func (t *Table) update(k key, expression, condition string, values item) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &t.name, Key: k,
		UpdateExpression: &expression, ConditionExpression: &condition,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

const absent = "attribute_not_exists(pk)"
