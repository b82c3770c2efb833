package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// LastProjectID returns the highest assigned id, or 0. Ids have no gaps, so counting up to it
// reaches every project.
func (t *Reader) LastProjectID(ctx context.Context) (project.ID, error) {
	it, err := t.get(ctx, projectSequenceKey())
	if errors.Is(err, fault.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r := attributes{item: it}
	last := project.ID(r.number("last"))
	return last, r.err
}

// ProjectsByID passes the projects and groups of ids to each, in batches.
func (t *Reader) ProjectsByID(ctx context.Context, ids []project.ID, each func(project.Project)) error {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = projectKey(id)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	for _, it := range items {
		proj, err := readProject(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		each(proj)
	}
	return nil
}

// InGroup returns the direct children of a group, with one Query.
func (t *Reader) InGroup(ctx context.Context, group project.ID) ([]project.ID, error) {
	return t.named(ctx, projectPartition(group), childPrefix)
}

// InAccount returns the projects of an account's namespace, with one Query.
func (t *Reader) InAccount(ctx context.Context, owner account.ID) ([]project.ID, error) {
	return t.named(ctx, accountPartition(owner), childPrefix)
}

// named returns the project ids at the ends of sort keys of a partition, in order.
func (t *Reader) named(ctx context.Context, partition, prefix string) ([]project.ID, error) {
	items, err := t.query(ctx, partition, prefix)
	if err != nil {
		return nil, err
	}
	var ids []project.ID
	for _, it := range items {
		r := attributes{item: it}
		id, err := project.ParseID(strings.TrimLeft(strings.TrimPrefix(r.text("sk"), prefix), "0"))
		if err != nil {
			t.passOver(fmt.Errorf("%w: attribute sk", fault.ErrCorrupt))
			continue
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// query reads the items of a partition whose sort keys start with prefix, in order.
func (t *Reader) query(ctx context.Context, partition, prefix string) ([]item, error) {
	pages := dynamodb.NewQueryPaginator(querier(t.client.Query), &dynamodb.QueryInput{
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
