package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/secret"
)

// MarkUsed implements verify.Store. The condition lets one of many concurrent
// uses write, and keeps a record that clean-up has taken from coming back.
func (t *Table) MarkUsed(ctx context.Context, digest secret.Digest, at, before time.Time) error {
	return t.tryWrite(ctx, &dynamodb.UpdateItemInput{
		TableName:           &t.name,
		Key:                 tokenKey(digest),
		UpdateExpression:    aws.String("SET last_used_at = :at"),
		ConditionExpression: aws.String("attribute_exists(pk) AND (attribute_not_exists(last_used_at) OR last_used_at <= :before)"),
		ExpressionAttributeValues: item{
			":at": epoch(at), ":before": epoch(before),
		},
	})
}
