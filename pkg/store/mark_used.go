package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/secret"
)

// MarkUsed records a last use. Its condition lets only one of many concurrent uses write, so that
// none overwrites an address with an older list. It also keeps a deleted record from coming back.
// The expiry index contains none of these attributes.
func (t *Journal) MarkUsed(ctx context.Context, digest secret.Digest, at, before time.Time, from []netip.Addr) error {
	expression, values := "SET last_used_at = :at", item{":at": epoch(at), ":before": epoch(before)}
	if len(from) > 0 {
		texts := make([]string, len(from))
		for i, address := range from {
			texts[i] = address.String()
		}
		expression += ", last_used_ips = :from"
		values[":from"] = listOf(texts)
	}
	return t.tryWrite(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       tokenKey(digest),
		UpdateExpression:          &expression,
		ConditionExpression:       aws.String("attribute_exists(pk) AND (attribute_not_exists(last_used_at) OR last_used_at <= :before)"),
		ExpressionAttributeValues: values,
	})
}
