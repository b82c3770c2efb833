package store

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/sweep"
)

// Acquire takes the lease of a job and returns its progress.
func (t *Table) Acquire(ctx context.Context, job sweep.Job, holder string, now, until time.Time) (sweep.Progress, error) {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:           &t.name,
		Key:                 scanKey(job.Kind, job.Shard),
		UpdateExpression:    aws.String("SET holder = :holder, leased_until = :until"),
		ConditionExpression: aws.String("attribute_not_exists(leased_until) OR leased_until <= :now OR holder = :holder"),
		ExpressionAttributeValues: item{
			":holder": text(holder), ":until": epoch(until), ":now": epoch(now),
		},
	})
	var held *types.ConditionalCheckFailedException
	leased := err == nil
	if err != nil && !errors.As(err, &held) {
		return sweep.Progress{}, translate(err)
	}
	p, err := t.progress(ctx, job)
	switch {
	case err != nil:
		return sweep.Progress{}, err
	case !leased && !p.Done:
		return sweep.Progress{}, sweep.ErrLeased
	case leased && p.Done:
		return p, t.tryWrite(ctx, t.releaseLease(job, holder))
	}
	return p, nil
}

// progress returns the progress of a job. A job without any is at its start.
func (t *Reader) progress(ctx context.Context, job sweep.Job) (sweep.Progress, error) {
	it, err := t.get(ctx, jobKey(job))
	if errors.Is(err, fault.ErrNotFound) {
		return sweep.Progress{}, nil
	}
	if err != nil {
		return sweep.Progress{}, err
	}
	return readProgress(it)
}

func (t *Table) releaseLease(job sweep.Job, holder string) *dynamodb.UpdateItemInput {
	return &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       scanKey(job.Kind, job.Shard),
		UpdateExpression:          aws.String("REMOVE leased_until, holder"),
		ConditionExpression:       aws.String("holder = :holder"),
		ExpressionAttributeValues: item{":holder": text(holder)},
	}
}

// Save saves the progress of a job. Both writes are one transaction, so that a run without its
// lease changes nothing.
func (t *Table) Save(ctx context.Context, job sweep.Job, holder string, p sweep.Progress, until time.Time) error {
	expression, values := "SET leased_until = :until", item{":holder": text(holder), ":until": epoch(until)}
	release := p.Done || until.IsZero()
	if release {
		expression, values = "REMOVE leased_until, holder", item{":holder": text(holder)}
	}
	lease := t.update(scanKey(job.Kind, job.Shard), expression, "holder = :holder", values)
	reasons, err := t.write(ctx, []types.TransactWriteItem{lease, t.setProgress(job, p)}, func(ctx context.Context) (bool, error) {
		it, err := t.get(ctx, scanKey(job.Kind, job.Shard))
		r := attributes{item: it}
		ours := r.optionalText("holder") == holder
		return ours != release && (release || r.optionalNumber("leased_until") == until.Unix()), errors.Join(err, r.err)
	})
	if err == nil && failed(reasons, 0) {
		return sweep.ErrLeaseLost
	}
	return err
}

func (t *Table) setProgress(job sweep.Job, p sweep.Progress) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &t.name, Key: jobKey(job),
		UpdateExpression:         aws.String("SET #cursor = :cursor, #done = :done, #counts = :counts, unmarked = :unmarked, delete_after = :delete"),
		ExpressionAttributeNames: map[string]string{"#cursor": "cursor", "#done": "done", "#counts": "counts"},
		ExpressionAttributeValues: item{
			":cursor": number(int64(p.Cursor)), ":done": boolean(p.Done), ":counts": countsValue(p.Counts),
			":unmarked": debtsValue(p.Unmarked), ":delete": epoch(job.Day.Start().Add(progressLife)),
		},
	}}
}

// Finished returns the last finished day of a kind of job.
func (t *Reader) Finished(ctx context.Context, kind sweep.Kind, shard int) (clock.Day, error) {
	it, err := t.get(ctx, scanKey(kind, shard))
	if err != nil {
		return clock.Day{}, err
	}
	if _, finished := it["finished_on"]; !finished {
		return clock.Day{}, fault.ErrNotFound // leased for the first time
	}
	r := attributes{item: it}
	day, err := clock.ParseDay(r.text("finished_on"))
	if err != nil {
		r.fault("finished_on")
	}
	return day, r.err
}

// SetFinished records the day of a finished job.
func (t *Table) SetFinished(ctx context.Context, job sweep.Job) error {
	return t.tryWrite(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       scanKey(job.Kind, job.Shard),
		UpdateExpression:          aws.String("SET finished_on = :day"),
		ConditionExpression:       aws.String("attribute_not_exists(finished_on) OR finished_on < :day"),
		ExpressionAttributeValues: item{":day": text(job.Day.String())},
	})
}

// tryWrite makes a change and ignores a failed condition, which means that nothing needs changing.
func (t *Journal) tryWrite(ctx context.Context, in *dynamodb.UpdateItemInput) error {
	_, err := t.client.UpdateItem(ctx, in)
	var needless *types.ConditionalCheckFailedException
	if err == nil || errors.As(err, &needless) {
		return nil
	}
	return translate(err)
}
