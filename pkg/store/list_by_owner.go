package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/token"
)

// TokensOfOwner returns every token of an owner by ascending id, including the newest. It skips
// pointers whose record clean-up has taken.
func (t *Reader) TokensOfOwner(ctx context.Context, owner account.ID) ([]token.Token, error) {
	pointers, err := t.pointers(ctx, accountPartition(owner))
	if err != nil {
		return nil, err
	}
	return t.recordsOf(ctx, pointers)
}

// pointers returns the pointers of one partition, an owner's or a project's.
func (t *Reader) pointers(ctx context.Context, partition string) ([]pointer, error) {
	items, err := t.pointerItems(ctx, partition, "digest, kind") // the records have the ids
	if err != nil {
		return nil, err
	}
	var pointers []pointer
	for _, it := range items {
		p, err := readPointer(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		pointers = append(pointers, p)
	}
	return pointers, nil
}

// pointerItems returns these attributes of the pointers of one partition.
func (t *Reader) pointerItems(ctx context.Context, partition, attributes string) ([]item, error) {
	pages := dynamodb.NewQueryPaginator(querier(t.client.Query), &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :sk)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": text(partition), ":sk": text(tokenPrefix),
		},
		ProjectionExpression: &attributes,
		ConsistentRead:       aws.Bool(true),
	})
	var items []item
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err)
		}
		items = append(items, page.Items...)
	}
	return items, nil
}

// recordsOf reads the records of pointers, by ascending id.
func (t *Reader) recordsOf(ctx context.Context, pointers []pointer) ([]token.Token, error) {
	keys := make([]key, len(pointers))
	for i, p := range pointers {
		keys[i] = tokenKey(p.digest())
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return nil, err
	}
	tokens := make([]token.Token, 0, len(items))
	for _, it := range items {
		tok, err := readToken(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		tokens = append(tokens, tok)
	}
	slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	return tokens, nil
}
