package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

const rotatedSuffix = "#ROTATED"

// childItem places the chain of made below the chain of its maker. It has no end: a child's own
// children can outlive it, and the walk from its maker finds them through this item only.
func childItem(made token.Token) item {
	sort := childPrefix + padded(made.Family)
	if made.Previous != 0 {
		sort += rotatedSuffix
	}
	it := keyOf(familyPartition(made.Maker.Family), sort)
	it["digest"] = text(made.Digest.Key())
	it["kind"] = text(string(made.Kind))
	if made.Maker.Own {
		it["own"] = boolean(true)
	}
	return it
}

func readChild(it item) (token.Child, error) {
	r := attributes{item: it}
	id, rotated := strings.CutSuffix(strings.TrimPrefix(r.text("sk"), childPrefix), rotatedSuffix)
	first, err := strconv.ParseInt(id, 10, 64)
	c := token.Child{
		Family: token.ID(first), Digest: secret.DigestFromKey(r.text("digest")), Kind: token.Kind(r.text("kind")),
		Own: r.flag("own"), Rotated: rotated,
	}
	if err != nil || c.Family.Owner() < 1 || c.Family.Number() < 1 {
		r.fault("sk")
	}
	return c, r.err
}

// makerItems make the transaction that writes made require that the presented token still works. They
// mark that token, so that nobody ends it as one that has made nothing, and place made below its chain.
// A token that rotates itself is held by its own condition.
func (t *Table) makerItems(made token.Token) []types.TransactWriteItem {
	if made.Maker.ID == 0 || made.Maker.ID == made.Previous {
		return nil
	}
	items := []types.TransactWriteItem{t.update(tokenKey(made.Maker.Digest), "SET made = :true",
		unrevoked+" AND (attribute_not_exists(works_until) OR works_until > :now AND attribute_not_exists(taken_over_at))",
		item{":true": boolean(true), ":now": epoch(made.CreatedAt)})}
	if made.Maker.Family != made.Family {
		items = append(items, t.put(childItem(made), "", nil))
	}
	return items
}

// Children returns what the chain that started with first made and rotated, in the order of ids. It
// reads all pages and skips malformed items.
func (t *Reader) Children(ctx context.Context, first token.ID) ([]token.Child, error) {
	pages := dynamodb.NewQueryPaginator(querier(t.client.Query), &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :sk)"),
		ExpressionAttributeValues: item{":pk": text(familyPartition(first)), ":sk": text(childPrefix)},
		ConsistentRead:            aws.Bool(true),
	})
	var children []token.Child
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err)
		}
		for _, it := range page.Items {
			c, err := readChild(it)
			if err != nil {
				t.passOver(err)
				continue
			}
			children = append(children, c)
		}
	}
	return children, nil
}
