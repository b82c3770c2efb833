package store

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/sweep"
)

// Mails of a day: MAILS#<account> / <day>

// mailCountLife is how long the count of a day's mails is kept for operators.
const mailCountLife = 7 * 24 * time.Hour

func mailCountKey(to account.ID, day clock.Day) key {
	return keyOf("MAILS#"+to.String(), day.String())
}

// TakeMail counts one mail to an account on a UTC day and returns its number, from 1 to limit. If
// limit mails are taken, it returns sweep.ErrMailLimit and counts nothing. A lost reply may count a
// mail twice, so that an account gets fewer mails and never more.
func (t *Table) TakeMail(ctx context.Context, to account.ID, day clock.Day, limit int) (int, error) {
	for attempt := 0; ; attempt++ {
		it, err := t.get(ctx, mailCountKey(to, day))
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			return 0, err
		}
		r := attributes{item: it}
		taken := r.optionalNumber("taken")
		switch {
		case r.err != nil:
			return 0, r.err
		case taken >= int64(limit):
			return 0, sweep.ErrMailLimit
		}
		_, err = t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:           &t.name,
			Key:                 mailCountKey(to, day),
			UpdateExpression:    aws.String("SET taken = :next, delete_after = :delete"),
			ConditionExpression: aws.String("attribute_not_exists(taken) OR taken < :next"),
			ExpressionAttributeValues: item{
				":next": number(taken + 1), ":delete": epoch(day.Start().Add(mailCountLife)),
			},
		})
		var overtaken *types.ConditionalCheckFailedException
		switch {
		case err == nil:
			return int(taken) + 1, nil
		case !errors.As(err, &overtaken) || pause(ctx, attempt) != nil:
			return 0, translate(err)
		}
	}
}
