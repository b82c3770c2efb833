package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// LastResourceID implements directory.Tree: the highest id that was given out,
// 0 before the first. Ids have no gaps, so counting up to it meets everything.
func (t *Table) LastResourceID(ctx context.Context) (token.ResourceID, error) {
	it, err := t.get(ctx, resourceSequenceKey())
	if errors.Is(err, token.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r := reader{item: it}
	last := token.ResourceID(r.number("last"))
	return last, r.err
}

// ResourcesByID implements directory.Tree, in batches.
func (t *Table) ResourcesByID(ctx context.Context, ids []token.ResourceID, each func(principal.Resource)) error {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = resourceKey(id)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	for _, it := range items {
		res, err := readResource(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		each(res)
	}
	return nil
}

// InGroup implements directory.Tree with one Query.
func (t *Table) InGroup(ctx context.Context, group token.ResourceID) ([]token.ResourceID, error) {
	return t.named(ctx, resourcePartition(group), childPrefix)
}

// InAccount implements directory.Tree with one Query.
func (t *Table) InAccount(ctx context.Context, owner token.OwnerID) ([]token.ResourceID, error) {
	return t.named(ctx, userPartition(owner), childPrefix)
}

// named returns the ids of resources that sort keys of a partition end in, in
// their order.
func (t *Table) named(ctx context.Context, partition, prefix string) ([]token.ResourceID, error) {
	items, err := t.query(ctx, partition, prefix)
	if err != nil {
		return nil, err
	}
	var ids []token.ResourceID
	for _, it := range items {
		r := reader{item: it}
		id, err := token.ParseResourceID(strings.TrimLeft(strings.TrimPrefix(r.text("sk"), prefix), "0"))
		if err != nil {
			t.passOver(fmt.Errorf("%w: attribute sk", token.ErrCorrupt))
			continue
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// query reads the items of a partition whose sort keys start with prefix, in
// their order.
func (t *Table) query(ctx context.Context, partition, prefix string) ([]item, error) {
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :sk)"),
		ExpressionAttributeValues: item{":pk": text(partition), ":sk": text(prefix)},
		ConsistentRead:            aws.Bool(true),
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
