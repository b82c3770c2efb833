package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// MembersIn implements sweep.Teams: one Query for each resource, which grows
// with its members.
func (t *Table) MembersIn(ctx context.Context, resources []token.ResourceID, each func(principal.Member, error)) error {
	for _, id := range resources {
		pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
			TableName:                 &t.name,
			KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :sk)"),
			ExpressionAttributeValues: item{":pk": text(resourcePartition(id)), ":sk": text(memberPrefix)},
			ConsistentRead:            aws.Bool(true),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return translate(err)
			}
			for _, it := range page.Items {
				each(readMember(it))
			}
		}
	}
	return nil
}
