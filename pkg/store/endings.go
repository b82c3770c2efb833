package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/token"
)

// Ending: ENDING / <tid>#<reach>, a chain whose end has begun or is about to. It holds ids only.

const endingPartition = "ENDING"

func endingKey(e lifecycle.Unfinished) key {
	return keyOf(endingPartition, padded(e.Token)+"#"+string(e.Reach))
}

// AddEnding keeps an ending until EndingDone.
func (t *Table) AddEnding(ctx context.Context, e lifecycle.Unfinished) error {
	it := endingKey(e)
	it["token"] = number(int64(e.Token))
	it["reach"] = text(string(e.Reach))
	it["reason"] = text(string(e.Reason))
	it["at"] = epoch(e.At)
	it["source"] = text(string(e.From.Source))
	for name, id := range map[string]int64{"author": int64(e.From.Author), "asker": int64(e.From.Asker), "presented": int64(e.From.Presented)} {
		if id != 0 {
			it[name] = number(id)
		}
	}
	if e.From.RequestID != "" {
		it["request"] = text(e.From.RequestID)
	}
	_, err := t.posts.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: it})
	if err != nil {
		return translate(err)
	}
	return nil
}

// EndingDone forgets an ending.
func (t *Table) EndingDone(ctx context.Context, e lifecycle.Unfinished) error {
	_, err := t.posts.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: endingKey(e)})
	if err != nil {
		return translate(err)
	}
	return nil
}

// Endings returns the endings that were added before an instant. It skips malformed ones.
func (t *Reader) Endings(ctx context.Context, before time.Time) ([]lifecycle.Unfinished, error) {
	pages := dynamodb.NewQueryPaginator(querier(t.client.Query), &dynamodb.QueryInput{
		TableName: &t.name, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": text(endingPartition)},
	})
	var endings []lifecycle.Unfinished
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err)
		}
		for _, it := range page.Items {
			r := attributes{item: it}
			e := lifecycle.Unfinished{
				Token: token.ID(r.number("token")), Reach: token.Reach(r.text("reach")), Reason: token.Reason(r.text("reason")), At: r.instant("at"),
				From: audit.Origin{
					Source: audit.Source(r.text("source")), Author: account.ID(r.optionalNumber("author")), Asker: account.ID(r.optionalNumber("asker")),
					Presented: token.ID(r.optionalNumber("presented")), RequestID: r.optionalText("request"),
				},
			}
			if r.err != nil {
				t.passOver(r.err)
				continue
			}
			if e.At.Before(before) {
				endings = append(endings, e)
			}
		}
	}
	return endings, nil
}
