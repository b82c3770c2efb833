package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// LifetimeRun returns the limit on lifetimes and the start of its run. While expiry is not
// enforced, the start is the zero time.
func (t *Reader) LifetimeRun(ctx context.Context) (days int, from time.Time, err error) {
	s, err := t.Settings(ctx)
	if err != nil || s.ExpiryIgnored {
		return s.LifetimeDays, time.Time{}, err
	}
	return s.LifetimeDays, s.Run.At, nil
}

// ExpiryIgnored reports whether expired tokens work.
func (t *Reader) ExpiryIgnored(ctx context.Context) (bool, error) {
	p, err := t.TokenSettings(ctx)
	return p.ExpiryIgnored, err
}

// Begun reports whether a job has saved any progress.
func (t *Reader) Begun(ctx context.Context, job sweep.Job) (bool, error) {
	_, err := t.get(ctx, jobKey(job))
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// PageOfTokens returns a page of an account's tokens, as many as one request reads.
func (t *Reader) PageOfTokens(ctx context.Context, owner account.ID, page string) ([]token.Token, string, error) {
	in := &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :sk)"),
		ExpressionAttributeValues: item{
			":pk": text(accountPartition(owner)), ":sk": text(tokenPrefix),
		},
		ConsistentRead: aws.Bool(true),
		Limit:          aws.Int32(maxBatchGet),
	}
	if page != "" {
		in.ExclusiveStartKey = keyOf(accountPartition(owner), page)
	}
	out, err := t.client.Query(ctx, in)
	if err != nil {
		return nil, "", translate(err)
	}
	pointers := make([]pointer, 0, len(out.Items))
	for _, it := range out.Items {
		p, err := readPointer(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		pointers = append(pointers, p)
	}
	next := ""
	if len(out.LastEvaluatedKey) > 0 {
		r := attributes{item: out.LastEvaluatedKey}
		if next = r.text("sk"); r.err != nil {
			return nil, "", r.err
		}
	}
	tokens, err := t.recordsOf(ctx, pointers)
	if err != nil {
		return nil, "", err
	}
	return tokens, next, nil
}

// retentionAge is how long a cached retention is used. It only decides how long revoked tokens stay
// visible, so a late change does no harm.
const retentionAge = 10 * time.Second

// A keptRetention caches the administrators' retention. It is safe for concurrent use.
type keptRetention struct {
	mu     sync.Mutex
	value  time.Duration
	readAt time.Time
}

// at returns the retention, or 0 for the operator's, and whether it is too old at now.
func (k *keptRetention) at(now time.Time) (value time.Duration, old bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.readAt)
	return k.value, k.readAt.IsZero() || age < 0 || age >= retentionAge
}

func (k *keptRetention) set(value time.Duration, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value, k.readAt = value, now
}

// retaining returns t with the administrators' retention at now. If that cannot be read, the
// operator's retention applies, because nothing may keep a token from being revoked.
func (t *Table) retaining(ctx context.Context, now time.Time) *Table {
	value, old := t.retention.at(now)
	if old {
		s, err := t.Settings(ctx)
		if err != nil {
			return t
		}
		value = time.Duration(s.RetentionDays) * 24 * time.Hour
		t.retention.set(value, now)
	}
	if value == 0 {
		return t
	}
	changed := *t
	changed.opts.Retention = value
	return &changed
}
