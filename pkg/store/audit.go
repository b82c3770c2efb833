package store

import (
	"context"
	"errors"
	"slices"
	"sync"
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

// auditPage is how many events one request reads.
const auditPage = 100

// Events passes the events of an entity in a period, newest first, until each returns false. It skips
// malformed events.
func (t *Reader) Events(ctx context.Context, entity audit.Entity, in audit.Period, each func(audit.Event) bool) error {
	walk := t.walkEvents(auditPartition(entity), in)
	for {
		e, more, err := walk.next(ctx)
		if err != nil || !more || !each(e) {
			return err
		}
	}
}

// EveryEvent does the same for the events of all entities. It first reads from all shards
// concurrently, then continues with the shards that have the newest events.
func (t *Reader) EveryEvent(ctx context.Context, in audit.Period, each func(audit.Event) bool) error {
	walks := make([]*eventWalk, auditShards)
	errs := make([]error, auditShards)
	var reading sync.WaitGroup
	for i := range walks {
		walks[i] = t.walkEvents(auditShardPartition(i), in)
		reading.Go(func() { errs[i] = walks[i].step(ctx) })
	}
	reading.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for {
		var newest *eventWalk
		for _, walk := range walks {
			if !walk.over && (newest == nil || walk.head.ID > newest.head.ID) {
				newest = walk
			}
		}
		if newest == nil || !each(newest.head) {
			return nil
		}
		if err := newest.step(ctx); err != nil {
			return err
		}
	}
}

// An eventWalk iterates over the events of a partition, newest first.
type eventWalk struct {
	table  *Reader
	pages  *dynamodb.QueryPaginator // nil for an empty range
	behind string                   // the place to start behind, or ""
	page   []item
	head   audit.Event // the current event
	over   bool        // whether the walk has ended
}

func (t *Reader) walkEvents(partition string, in audit.Period) *eventWalk {
	// A fraction of a second is after its start.
	first, end := auditSort(audit.FirstID(in.From.Add(time.Second-1))), auditSort(audit.FirstID(in.To.Add(time.Second)))
	if in.Behind != "" {
		end = min(end, in.Behind)
	}
	if first > end {
		return &eventWalk{table: t} // the engine refuses an empty range
	}
	return &eventWalk{table: t, behind: in.Behind, pages: dynamodb.NewQueryPaginator(querier(t.client.Query), &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{
			":pk":   text(partition),
			":from": text(first),
			":to":   text(end),
		},
		ConsistentRead:   aws.Bool(true),
		ScanIndexForward: aws.Bool(false),
		Limit:            aws.Int32(auditPage),
	})}
}

// step moves to the next event.
func (w *eventWalk) step(ctx context.Context) (err error) {
	var more bool
	w.head, more, err = w.next(ctx)
	w.over = !more
	return err
}

func (w *eventWalk) next(ctx context.Context) (e audit.Event, more bool, err error) {
	for {
		for len(w.page) > 0 {
			e, err := readEvent(w.page[0])
			w.page = w.page[1:]
			switch {
			case err != nil:
				w.table.passOver(err)
			case w.behind == "" || e.Place < w.behind: // the engine's range includes its ends
				return e, true, nil
			}
		}
		if w.pages == nil || !w.pages.HasMorePages() {
			return audit.Event{}, false, nil
		}
		page, err := w.pages.NextPage(ctx)
		if err != nil {
			return audit.Event{}, false, translate(err)
		}
		w.page = page.Items
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
