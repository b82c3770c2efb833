// Package store keeps Latchkey's records in its one DynamoDB table.
//
// Start with Open, and pass on only the part of a Table that is needed: its Reader reads, and its
// Journal also writes uses and refusals. OpenJournal opens no more than that. There is one file for each access pattern and one key file
// for each kind of item; infra/table.yaml defines the table. The package promises that every read
// of the table is strongly consistent, that writes that belong together are one transaction, that a
// committed write is reported as done even if its reply was lost, and that SDK errors leave it only
// as errors of package fault. It is safe for concurrent use. It decides nothing about tokens except
// in conditions of writes.
//
// A change takes its audit events as an argument and writes them in the same transaction; package
// audit lists the events of each change. Without a complete event nothing is written. MarkUsed,
// Mark and the progress of scans change nobody's rights and have no event.
package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/settings"
)

// DefaultShards is the default number of parts of one day in the expiry index. The number may grow
// and never shrink, because entries stay in their shard.
const DefaultShards = 16

// Options configure a Table.
type Options struct {
	// Shards of the expiry index, at least 1.
	Shards int
	// Retention is how long a revoked token stays before clean-up may take it.
	Retention time.Duration
	// Defaults apply until administrators change a setting.
	Defaults settings.Settings
	// Malformed receives the error of each malformed item that a list skips, because one item must
	// not hide all others. It may be nil.
	Malformed func(error)
}

func (t *Reader) passOver(err error) {
	if t.opts.Malformed != nil {
		t.opts.Malformed(err)
	}
}

// A Reader reads Latchkey's table and cannot write to it.
type Reader struct {
	client calls
	name   string
	opts   Options
	// complete remembers that the directory of tokens is complete; see DirectoryComplete.
	complete *atomic.Bool
}

// A Journal is a Reader that also records last uses and the events that belong to no change.
type Journal struct {
	Reader
	events *audit.IDs
	// instant is clock.Instant.
	instant func() time.Time
}

// A Table is a Journal that also makes changes, each with its events.
type Table struct {
	Journal
	posts     postCalls
	retention *keptRetention
}

// A Source opens tables with one client. Like the tables it holds functions of the client and not the client,
// because a type that holds a client keeps all its operations in a function with a template.
type Source struct {
	table   func(name string, opts Options) *Table
	journal func(name string, opts Options) *Journal
}

// From returns a source of tables.
func From(client *dynamodb.Client) Source {
	return Source{
		func(name string, opts Options) *Table { return Open(client, name, opts) },
		func(name string, opts Options) *Journal { return OpenJournal(client, name, opts) },
	}
}

// Table returns the table called name; see Open.
func (s Source) Table(name string, opts Options) *Table { return s.table(name, opts) }

// Journal is Table for functions that change nothing but last uses.
func (s Source) Journal(name string, opts Options) *Journal { return s.journal(name, opts) }

// Open returns the table called name. It makes no request.
func Open(client *dynamodb.Client, name string, opts Options) *Table {
	return &Table{
		Journal:   *OpenJournal(client, name, opts),
		posts:     postCalls{client.PutItem, client.DeleteItem},
		retention: &keptRetention{},
	}
}

// OpenJournal is Open for functions that change nothing but last uses.
func OpenJournal(client *dynamodb.Client, name string, opts Options) *Journal {
	return &Journal{Reader: Reader{client: callsOf(client), name: name, opts: opts, complete: &atomic.Bool{}}, events: audit.NewIDs(), instant: clock.Instant}
}

const maxBatchGet = 100 // BatchGetItem: 100 items

type (
	item = map[string]types.AttributeValue
	key  = map[string]types.AttributeValue
)

func keyOf(pk, sk string) key {
	return key{"pk": text(pk), "sk": text(sk)}
}

func keyIn(it item) key { return key{"pk": it["pk"], "sk": it["sk"]} }

// get reads one item. Absence is fault.ErrNotFound.
func (t *Reader) get(ctx context.Context, k key) (item, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.name, Key: k, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, translate(err)
	}
	if len(out.Item) == 0 {
		return nil, fault.ErrNotFound
	}
	return out.Item, nil
}

// getBatch reads any number of items in pages of 100, in no order, and leaves out absent ones.
func (t *Reader) getBatch(ctx context.Context, keys []key) ([]item, error) {
	items := make([]item, 0, len(keys))
	for start := 0; start < len(keys); start += maxBatchGet {
		page := keys[start:min(start+maxBatchGet, len(keys))]
		found, err := t.getPage(ctx, page)
		if err != nil {
			return nil, err
		}
		items = append(items, found...)
	}
	return items, nil
}

// getPage reads up to 100 items in one request, and repeats it for keys that the engine left
// unread.
func (t *Reader) getPage(ctx context.Context, keys []key) ([]item, error) {
	pending := types.KeysAndAttributes{Keys: keys, ConsistentRead: aws.Bool(true)}
	var items []item
	for attempt := 0; ; attempt++ {
		out, err := t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{t.name: pending},
		})
		if err != nil {
			return nil, translate(err)
		}
		items = append(items, out.Responses[t.name]...)
		left, some := out.UnprocessedKeys[t.name]
		if !some || len(left.Keys) == 0 {
			return items, nil
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, fmt.Errorf("%w: engine left keys unread", fault.ErrUnavailable)
		}
		pending.Keys = left.Keys
	}
}

// maxAttempts bounds every loop around a request that can lose a race. It lets 16 concurrent
// creations for one owner finish within two seconds.
const maxAttempts = 16

// The longest pause after the first attempt, and after the last.
const (
	firstPause   = 5 * time.Millisecond
	longestPause = 160 * time.Millisecond
)

// pause waits for a random time that grows with the attempt. It fails after the last attempt and
// when the context ends.
func pause(ctx context.Context, attempt int) error {
	if attempt+1 >= maxAttempts {
		return fault.ErrUnavailable
	}
	limit := min(firstPause<<attempt, longestPause)
	timer := time.NewTimer(rand.N(limit)) //nolint:gosec // jitter, not a secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, ctx.Err())
	case <-timer.C:
		return nil
	}
}

// translate turns an SDK error into fault.ErrUnavailable. The text has only the kind of the error,
// because messages of the service (such as ValidationException) may repeat the request with its
// digests and mail addresses. For the same reason the SDK's error does not leave the package.
func translate(err error) error {
	operation := "request"
	var sdk *smithy.OperationError
	if errors.As(err, &sdk) {
		operation = sdk.Operation()
	}
	var canceled *types.TransactionCanceledException
	var api smithy.APIError
	var unsent *smithyhttp.RequestSendError
	var status *smithyhttp.ResponseError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %s: %w", fault.ErrUnavailable, operation, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s: %w", fault.ErrUnavailable, operation, context.DeadlineExceeded)
	case errors.As(err, &canceled):
		codes := make([]string, len(canceled.CancellationReasons))
		for i, reason := range canceled.CancellationReasons {
			codes[i] = code(reason)
		}
		return fmt.Errorf("%w: %s: %s %v", fault.ErrUnavailable, operation, canceled.ErrorCode(), codes)
	case errors.As(err, &api):
		return fmt.Errorf("%w: %s: %s", fault.ErrUnavailable, operation, api.ErrorCode())
	case errors.As(err, &unsent):
		return fmt.Errorf("%w: %s: %v", fault.ErrUnavailable, operation, unsent)
	case errors.As(err, &status):
		return fmt.Errorf("%w: %s: reply with status %d not understood", fault.ErrUnavailable, operation, status.HTTPStatusCode())
	default:
		return fmt.Errorf("%w: %s: not sent", fault.ErrUnavailable, operation)
	}
}
