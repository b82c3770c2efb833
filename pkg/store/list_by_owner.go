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

// PageOfOwner returns limit tokens of an owner from offset on, by id, and the total. It reads all
// pointers and only the records of the page.
func (t *Reader) PageOfOwner(ctx context.Context, owner account.ID, q token.Page) ([]token.Token, int, error) {
	pointers, err := t.pointers(ctx, accountPartition(owner))
	if err != nil {
		return nil, 0, err
	}
	if q.WithoutImpersonation {
		pointers = slices.DeleteFunc(pointers, func(p pointer) bool { return p.kind == token.Impersonation })
	}
	if q.Descending {
		slices.Reverse(pointers)
	}
	start := min(q.Offset, len(pointers))
	tokens, err := t.recordsOf(ctx, pointers[start:min(start+q.Limit, len(pointers))])
	if q.Descending {
		slices.Reverse(tokens)
	}
	return tokens, len(pointers), err
}

// pointers returns the pointers of one partition, an owner's or a project's.
func (t *Reader) pointers(ctx context.Context, partition string) ([]pointer, error) {
	pages := dynamodb.NewQueryPaginator(querier(t.client.Query), &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :sk)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": text(partition), ":sk": text(tokenPrefix),
		},
		// The keys are not needed: the partition is known, and the records have the ids.
		ProjectionExpression: aws.String("digest, kind"),
		ConsistentRead:       aws.Bool(true),
	})
	var pointers []pointer
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err)
		}
		for _, it := range page.Items {
			p, err := readPointer(it)
			if err != nil {
				t.passOver(err)
				continue
			}
			pointers = append(pointers, p)
		}
	}
	return pointers, nil
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
