package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/token"
)

// auditPuts are the items of the events that ctx expects of a transaction.
func (t *Table) auditPuts(ctx context.Context) (puts []types.TransactWriteItem) {
	for _, e := range audit.Expected(ctx) {
		for _, it := range eventItems(e) {
			puts = append(puts, t.put(it, "", nil))
		}
	}
	return puts
}

// Record writes events that belong to no change: refusals, and the use of
// sudo.
func (t *Table) Record(ctx context.Context, at time.Time, events ...audit.Event) error {
	ctx = audit.Expect(ctx, at, events...)
	_, err := t.transact(ctx, nil, func(context.Context) (bool, error) { return false, nil })
	return err
}

// auditPage is how many events one request reads.
const auditPage = 100

// Events hands the events of an entity from the instant from to the instant
// to, both included, to each, newest first, until it returns false. Events that
// make no sense are passed over.
func (t *Table) Events(ctx context.Context, entity audit.Entity, from, to time.Time, each func(audit.Event) bool) error {
	_, err := t.events(ctx, auditPartition(entity), from, to, each)
	return err
}

// EveryEvent does the same for the events of all entities. It makes a request
// a day, at least.
func (t *Table) EveryEvent(ctx context.Context, from, to time.Time, each func(audit.Event) bool) error {
	first := token.DayOf(from)
	for day := token.DayOf(to); !first.After(day); day = day.AddDays(-1) {
		more, err := t.events(ctx, auditDayPartition(day), from, to, each)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (t *Table) events(ctx context.Context, partition string, from, to time.Time, each func(audit.Event) bool) (more bool, err error) {
	pages := dynamodb.NewQueryPaginator(t.client, &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{
			":pk":   text(partition),
			":from": text(auditSort(audit.FirstID(from))),
			":to":   text(auditSort(audit.FirstID(to.Add(time.Second)))),
		},
		ConsistentRead:   aws.Bool(true),
		ScanIndexForward: aws.Bool(false),
		Limit:            aws.Int32(auditPage),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, translate(err)
		}
		for _, it := range page.Items {
			e, err := readEvent(it)
			if err != nil {
				t.passOver(err)
				continue
			}
			if !each(e) {
				return false, nil
			}
		}
	}
	return true, nil
}

// Event returns the event with this id, whatever its entity. Absence is
// token.ErrNotFound.
func (t *Table) Event(ctx context.Context, id int64) (audit.Event, error) {
	at := audit.TimeOf(id)
	found := audit.Event{}
	_, err := t.events(ctx, auditDayPartition(token.DayOf(at)), at, at, func(e audit.Event) bool {
		if e.ID == id {
			found = e
		}
		return e.ID > id
	})
	if err == nil && found.ID == 0 {
		err = token.ErrNotFound
	}
	return found, err
}
