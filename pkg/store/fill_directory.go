package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/errgroup" // bounds concurrent work; maintained by the Go team

	"latchkey/pkg/account"
	"latchkey/pkg/token"
)

// enterWorkers is how many entries are written at a time.
const enterWorkers = 16

// EnterTokens writes the entries of the first hundred tokens of an owner behind one, and the dates of their
// pointers. It returns the last of these tokens, or the one that it was given, their number, and whether
// others follow. It may run while tokens are made and revoked, and again: it changes nothing but the digest
// of an entry, and takes the time of clean-up from a record that has one. A record that gets one later
// gives it to its entries in the same transaction.
func (t *Table) EnterTokens(ctx context.Context, owner account.ID, after token.ID) (last token.ID, entered int, more bool, err error) {
	first, err := token.NewID(owner, 1)
	if err != nil {
		return after, 0, false, err
	}
	out, err := t.client.Query(ctx, &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{
			":pk": text(accountPartition(owner)), ":from": text(pointerSort(max(first, after+1))), ":to": text(pointerSort(maxPlaceID)),
		},
		ConsistentRead: aws.Bool(true),
		Limit:          aws.Int32(maxBatchGet),
	})
	if err != nil {
		return after, 0, false, translate(err)
	}
	keys := make([]key, 0, len(out.Items))
	last = after
	for _, it := range out.Items {
		r := attributes{item: it}
		place, _ := placeIn(token.ByID, r.text("sk"))
		last = place.ID
		p, err := readPointer(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		keys = append(keys, tokenKey(p.digest()))
	}
	records, err := t.getBatch(ctx, keys)
	if err != nil {
		return after, 0, false, err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(enterWorkers)
	for _, record := range records {
		tok, err := readToken(record)
		if err != nil {
			t.passOver(err)
			continue
		}
		entered++
		for _, it := range entryItems(tok, record) {
			group.Go(func() error { return t.fill(within, it) })
		}
		group.Go(func() error {
			it := pointerItem(tok)
			return t.tryWrite(within, &dynamodb.UpdateItemInput{
				TableName: &t.name, Key: keyIn(it), UpdateExpression: aws.String("SET created_at = :created, ends_at = :ends"),
				ConditionExpression:       aws.String("attribute_exists(pk)"),
				ExpressionAttributeValues: item{":created": it["created_at"], ":ends": it["ends_at"]},
			})
		})
	}
	return last, entered, len(out.LastEvaluatedKey) > 0, group.Wait()
}

// fill writes the digest of an entry, and the time of its clean-up if there is one.
func (t *Table) fill(ctx context.Context, it item) error {
	set, values := "SET digest = :digest", item{":digest": it["digest"]}
	if ends, temporary := it["delete_after"]; temporary {
		set += ", delete_after = :delete"
		values[":delete"] = ends
	}
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.name, Key: keyIn(it), UpdateExpression: &set, ExpressionAttributeValues: values,
	})
	if err != nil {
		return translate(err)
	}
	return nil
}

// CompleteDirectory notes that every token has its entries.
func (t *Table) CompleteDirectory(ctx context.Context, now time.Time) error {
	_, err := t.posts.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: directoryCompleteItem(now)})
	if err != nil {
		return translate(err)
	}
	return nil
}
