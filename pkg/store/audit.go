package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
)

// errNoEvent means that a change has no complete event. Every method that changes something checks
// its events before it makes a request.
var errNoEvent = errors.New("change without a complete audit event")

func checkEvents(events ...audit.Event) error {
	if len(events) == 0 || slices.ContainsFunc(events, func(e audit.Event) bool { return !e.Complete() || entityTypes[e.Entity.Type] == "" }) {
		return errNoEvent
	}
	return nil
}

// Record writes events that belong to no change: refusals, and the use of sudo.
func (t *Journal) Record(ctx context.Context, events ...audit.Event) error {
	_, err := t.transact(ctx, nil, events, func(context.Context) (bool, error) { return false, nil })
	return err
}

const (
	// leastEvents is the least number of events that a query asks for. They cost about one read unit, so
	// fewer would not be cheaper.
	leastEvents = 8
	// auditPage is how many a query asks for at most, or if nobody knows how many are needed.
	auditPage = 100
)

// Events passes the events of an entity in a period, newest first, until each returns false. It skips
// malformed events.
func (t *Reader) Events(ctx context.Context, entity audit.Entity, in audit.Period, each func(audit.Event) bool) error {
	return t.walkEvents(ctx, in, []string{auditPartition(entity)}, each)
}

// EveryEvent does the same for the events of all entities. It reads from all shards, so that it costs
// at least 16 requests, but no more from each than it is about to pass on.
func (t *Reader) EveryEvent(ctx context.Context, in audit.Period, each func(audit.Event) bool) error {
	shards := make([]string, auditShards)
	for i := range shards {
		shards[i] = auditShardPartition(i)
	}
	return t.walkEvents(ctx, in, shards, each)
}

func (t *Reader) walkEvents(ctx context.Context, in audit.Period, partitions []string, each func(audit.Event) bool) error {
	// A fraction of a second is after its start.
	first, end := auditSort(audit.FirstID(in.From.Add(time.Second-1))), auditSort(audit.FirstID(in.To.Add(time.Second)))
	if in.Behind != "" {
		end = min(end, in.Behind)
	}
	if first > end {
		return nil // the engine refuses an empty range
	}
	limit := auditPage
	if in.Expected > 0 {
		limit = min(shareOf(in.Expected, len(partitions))+leastEvents, auditPage)
	}
	read := func(it item) (audit.Event, bool) {
		e, err := readEvent(it)
		if err != nil {
			t.passOver(err)
			return e, false
		}
		return e, in.Behind == "" || e.Place < in.Behind // the engine's range includes its ends
	}
	m := merge[audit.Event]{before: func(a, b audit.Event) bool { return a.Place > b.Place }}
	for _, partition := range partitions {
		m.strands = append(m.strands, &strand[audit.Event]{ask: t.client.Query, most: auditPage, read: read, query: &dynamodb.QueryInput{
			TableName:              &t.name,
			KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
			ExpressionAttributeValues: item{
				":pk":   text(partition),
				":from": text(first),
				":to":   text(end),
			},
			ConsistentRead:   aws.Bool(true),
			ScanIndexForward: aws.Bool(false),
			Limit:            aws.Int32(int32(limit)),
		}})
	}
	for {
		e, some, err := m.next(ctx)
		if err != nil || !some || !each(e) {
			return err
		}
	}
}

// Event returns the event with this id, of any entity. Absence is fault.ErrNotFound.
func (t *Reader) Event(ctx context.Context, id int64) (audit.Event, error) {
	out, err := t.client.Query(ctx, &dynamodb.QueryInput{
		TableName:                 &t.name,
		KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :id)"),
		ExpressionAttributeValues: item{":pk": text(auditShardPartition(auditShard(id))), ":id": text(auditSort(id) + "#")},
		ConsistentRead:            aws.Bool(true),
	})
	switch {
	case err != nil:
		return audit.Event{}, translate(err)
	case len(out.Items) == 0:
		return audit.Event{}, fault.ErrNotFound
	default:
		return readEvent(out.Items[0])
	}
}
