package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// overlapReadBack is short, because a check waits for it.
const overlapReadBack = 500 * time.Millisecond

// EndOverlap ends the predecessor of next at an instant, because next was used. One transaction sets
// taken_over_at and turns until_used over, so that a record that lost one of the two is refused, takes the mark
// from next and writes the event. A predecessor that was ended or deleted
// before has no event, and next just loses its mark.
//
// It names no attribute that revokes: whoever checks bearers may call it, and must be able neither to
// revoke a token nor to undo a revocation.
func (t *Journal) EndOverlap(ctx context.Context, next token.Token, at time.Time, ended audit.Event) error {
	previous := text(next.EndsOnUse.Key())
	taken := types.TransactWriteItem{Update: &types.Update{
		TableName: &t.name, Key: tokenKey(next.EndsOnUse),
		UpdateExpression:          aws.String("SET taken_over_at = :at, until_used = :over"),
		ConditionExpression:       aws.String("attribute_exists(pk) AND until_used = :used AND attribute_not_exists(taken_over_at)"),
		ExpressionAttributeValues: item{":at": epoch(at), ":used": boolean(true), ":over": boolean(false)},
	}}
	const unmark, marked = "REMOVE ends_on_use", "ends_on_use = :previous"
	used := types.TransactWriteItem{Update: &types.Update{
		TableName: &t.name, Key: tokenKey(next.Digest), UpdateExpression: aws.String(unmark),
		ConditionExpression: aws.String(marked), ExpressionAttributeValues: item{":previous": previous},
	}}
	reasons, err := t.transact(ctx, []types.TransactWriteItem{taken, used}, []audit.Event{ended},
		func(ctx context.Context) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, overlapReadBack)
			defer cancel()
			stored, err := t.TokenByDigest(ctx, next.Digest)
			return stored.EndsOnUse == (secret.Digest{}), err
		})
	if err != nil || !failed(reasons, 0) {
		return err
	}
	return t.tryWrite(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.name, Key: tokenKey(next.Digest), UpdateExpression: aws.String(unmark),
		ConditionExpression: aws.String(marked), ExpressionAttributeValues: item{":previous": previous},
	})
}
