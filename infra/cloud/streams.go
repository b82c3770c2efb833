package cloud

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/clock"
)

// A StreamMapping is an AWS::Lambda::EventSourceMapping of the table's stream: it passes the records that
// a filter lets through to a function.
type StreamMapping struct {
	Function  string
	BatchSize int
	// Filters let a record through if one of them fits; none let everything through.
	Filters []Pattern
	// Retries is how often a record is delivered again, and Age how long; then it is given up.
	Retries int
	Age     time.Duration
	// Bisect halves a batch whose function failed.
	Bisect bool
	// Partial lets the function name the record from which it wants the rest again.
	Partial bool
	// DeadLetters is the ARN of the queue that is told which records were given up; "" tells nobody.
	DeadLetters string
}

// Streams is the part of Lambda that reads the stream of a table. It is safe for concurrent use.
type Streams []*follower

// A follower is a mapping with the place that it has reached in the stream.
type follower struct {
	mapping StreamMapping
	client  *dynamodb.Client
	table   string
	queues  *Queues
	clock   clock.Clock

	mu     sync.Mutex
	arn    string
	shards map[string]*shard
	order  []string
}

// A shard keeps what was read and not delivered.
type shard struct {
	iterator string // "" at its end
	pending  []pending
	attempts int // how often the first pending record was delivered in vain
	size     int // of the next batch, 0 for the mapping's
}

type pending struct {
	record   json.RawMessage
	sequence string
	seen     time.Time
}

// NewStreams returns the mappings of a template on a table. The client needs no permissions of a function.
func NewStreams(t *Template, client *dynamodb.Client, table string, queues *Queues, clock clock.Clock) (all Streams) {
	for _, mapping := range t.Streams {
		all = append(all, &follower{mapping: mapping, client: client, table: table, queues: queues, clock: clock, shards: map[string]*shard{}})
	}
	return all
}

// Deliver delivers what has been written, and returns how many records were delivered and how many
// deliveries failed. What follows a failure stays until the next call.
func (s Streams) Deliver(ctx context.Context, functions map[string]lambda.Handler, timeouts map[string]time.Duration) (delivered, failed int, err error) {
	var failures []error
	for _, r := range s {
		did, not, err := r.deliverAll(ctx, functions, timeouts)
		delivered, failed = delivered+did, failed+not
		failures = append(failures, err)
	}
	return delivered, failed, errors.Join(failures...)
}

func (r *follower) deliverAll(ctx context.Context, functions map[string]lambda.Handler, timeouts map[string]time.Duration) (delivered, failed int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(ctx); err != nil {
		return 0, 0, err
	}
	for _, id := range r.order {
		for sh := r.shards[id]; len(sh.pending) > 0 && ctx.Err() == nil; {
			done, ok := r.deliver(ctx, id, sh, functions[r.mapping.Function], cmp.Or(timeouts[r.mapping.Function], maxTimeout))
			if delivered += done; !ok {
				failed++
				break
			}
		}
	}
	return delivered, failed, nil
}

// deliver delivers the next batch of a shard, and returns how many of its records are done and whether all
// are.
func (r *follower) deliver(ctx context.Context, id string, sh *shard, handler lambda.Handler, timeout time.Duration) (done int, ok bool) {
	batch := sh.pending[:min(len(sh.pending), cmp.Or(sh.size, r.mapping.BatchSize))]
	records := make([]json.RawMessage, len(batch))
	for i, p := range batch {
		records[i] = p.record
	}
	out, err := call(ctx, r.mapping.Function, handler, timeout, newID(), encode(map[string]any{"Records": records}))
	var reply struct {
		BatchItemFailures []struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	done = len(batch)
	switch {
	case err != nil:
		done = 0
	case r.mapping.Partial && json.Unmarshal(out, &reply) == nil && len(reply.BatchItemFailures) > 0:
		// The lowest of them counts, and an unknown one means the whole batch (Lambda developer guide).
		for _, failure := range reply.BatchItemFailures {
			done = min(done, max(0, slices.IndexFunc(batch, func(p pending) bool { return p.sequence == failure.ItemIdentifier })))
		}
	}
	if done > 0 {
		sh.attempts = 0
	}
	sh.pending, sh.size = sh.pending[done:], 0
	if done == len(batch) {
		return done, true
	}
	sh.attempts++
	left := batch[done:]
	switch {
	case r.mapping.Bisect && err != nil && len(left) > 1:
		sh.size = len(left) / 2
	case sh.attempts > r.mapping.Retries || r.clock.Now().Sub(left[0].seen) > r.mapping.Age:
		r.giveUp(id, left)
		sh.pending, sh.attempts = sh.pending[len(left):], 0
	default:
		sh.size = len(left)
	}
	return done, false
}

// giveUp tells the dead letters which records were given up, and not what was in them (Lambda developer
// guide, "Retain discarded batches").
func (r *follower) giveUp(id string, left []pending) {
	if r.mapping.DeadLetters == "" {
		return
	}
	r.queues.send(Queue{ARN: r.mapping.DeadLetters}, string(encode(map[string]any{"DDBStreamBatchInfo": map[string]any{
		"shardId": id, "startSequenceNumber": left[0].sequence, "endSequenceNumber": left[len(left)-1].sequence, "batchSize": len(left), "streamArn": r.arn,
	}})))
}

// read reads what has been written since the last time.
func (r *follower) read(ctx context.Context) error {
	if r.arn == "" {
		table, err := r.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &r.table})
		if err != nil {
			return fmt.Errorf("find stream: %w", err)
		}
		if r.arn = aws.ToString(table.Table.LatestStreamArn); r.arn == "" {
			return fmt.Errorf("find stream: table %s has none", r.table)
		}
	}
	var described struct {
		StreamDescription struct {
			Shards []struct {
				ShardID string `json:"ShardId"`
			}
		}
	}
	if err := r.ask(ctx, "DescribeStream", map[string]any{"StreamArn": r.arn}, &described); err != nil {
		return err
	}
	for _, found := range described.StreamDescription.Shards {
		if r.shards[found.ShardID] != nil {
			continue
		}
		var at struct{ ShardIterator string }
		err := r.ask(ctx, "GetShardIterator", map[string]any{"StreamArn": r.arn, "ShardId": found.ShardID, "ShardIteratorType": "TRIM_HORIZON"}, &at)
		if err != nil {
			return err
		}
		r.shards[found.ShardID] = &shard{iterator: at.ShardIterator}
		r.order = append(r.order, found.ShardID)
	}
	for _, id := range r.order {
		if err := r.readShard(ctx, r.shards[id]); err != nil {
			return err
		}
	}
	return nil
}

func (r *follower) readShard(ctx context.Context, sh *shard) error {
	for sh.iterator != "" {
		var page struct {
			Records           []map[string]json.RawMessage
			NextShardIterator string
		}
		if err := r.ask(ctx, "GetRecords", map[string]any{"ShardIterator": sh.iterator}, &page); err != nil {
			return err
		}
		sh.iterator = page.NextShardIterator
		for _, record := range page.Records {
			p := pending{seen: r.clock.Now()}
			record["eventSourceARN"] = encode(r.arn)
			p.record = encode(record)
			var change struct{ SequenceNumber string }
			if err := json.Unmarshal(record["dynamodb"], &change); err != nil {
				return fmt.Errorf("read stream: %w", err)
			}
			if p.sequence = change.SequenceNumber; r.passes(p.record) {
				sh.pending = append(sh.pending, p)
			}
		}
		if len(page.Records) == 0 {
			return nil
		}
	}
	return nil
}

func (r *follower) passes(record json.RawMessage) bool {
	var document any
	if err := json.Unmarshal(record, &document); err != nil {
		return false
	}
	return len(r.mapping.Filters) == 0 || slices.ContainsFunc(r.mapping.Filters, func(p Pattern) bool { return p.Matches(document) })
}

// ask calls DynamoDB Streams at the address of the table's engine. Without the SDK's client, the function
// gets the records exactly as the engine wrote them.
func (r *follower) ask(ctx context.Context, operation string, in, out any) error {
	o, body := r.client.Options(), encode(in)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, aws.ToString(o.BaseEndpoint)+"/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	request.Header.Set("X-Amz-Target", "DynamoDBStreams_20120810."+operation)
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	credentials, err := o.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "dynamodb", o.Region, r.clock.Now()); err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	response, err := o.HTTPClient.Do(request)
	if err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("read stream: %s: status %d, %s (%w)", operation, response.StatusCode, raw, err)
	}
	return json.Unmarshal(raw, out)
}

// A Pattern is an event pattern of EventBridge, as filters of event source mappings have them.
type Pattern struct{ node any }

// ParsePattern reads a pattern. It refuses what it does not understand, because that would match
// something else here than in AWS.
func ParsePattern(text string) (Pattern, error) {
	var node map[string]any
	if err := json.Unmarshal([]byte(text), &node); err != nil {
		return Pattern{}, fmt.Errorf("pattern: %w", err)
	}
	return Pattern{node}, understands(node)
}

func understands(node any) error {
	switch n := node.(type) {
	case map[string]any:
		for _, below := range n {
			if err := understands(below); err != nil {
				return err
			}
		}
		return nil
	case []any:
		for _, one := range n {
			test, isTest := one.(map[string]any)
			_, isText := one.(string)
			_, prefix := test["prefix"].(string)
			if !isText && !isAbsence(n) && (!isTest || len(test) != 1 || !prefix) {
				return fmt.Errorf("pattern: %v is not understood: only texts, prefixes and a lone absence are", one)
			}
		}
		return nil
	}
	return fmt.Errorf("pattern: %v is neither an object nor a list", node)
}

// isAbsence reports whether a node is [{"exists": false}].
func isAbsence(node any) bool {
	return reflect.DeepEqual(node, []any{map[string]any{"exists": false}})
}

// absent reports whether all that a pattern asks of a value is that it is not there.
func absent(node any) bool {
	object, is := node.(map[string]any)
	if !is {
		return isAbsence(node)
	}
	for _, below := range object {
		if !absent(below) {
			return false
		}
	}
	return true
}

// Matches reports whether a document, as encoding/json decodes it, fits.
func (p Pattern) Matches(document any) bool { return matches(p.node, document) }

func matches(node, document any) bool {
	switch n := node.(type) {
	case map[string]any:
		object, is := document.(map[string]any)
		for name, below := range n {
			value, there := object[name]
			if !there && absent(below) {
				continue
			}
			if !is || !there || !matches(below, value) {
				return false
			}
		}
		return true
	case []any:
		text, is := document.(string)
		return is && !isAbsence(n) && slices.ContainsFunc(n, func(one any) bool {
			if test, prefix := one.(map[string]any); prefix {
				return strings.HasPrefix(text, test["prefix"].(string))
			}
			return one == text
		})
	}
	return false
}

// startStreams returns at once. Records are delivered every second until ctx ends.
func (s *scheduler) startStreams(ctx context.Context, streams Streams) {
	s.running.Go(func() {
		last := ""
		for sleep(ctx, again) {
			_, failed, err := streams.Deliver(ctx, s.functions, s.timeouts)
			reason := ""
			switch {
			case err != nil:
				reason = err.Error()
			case failed > 0:
				reason = "the function did not take a batch"
			}
			if reason != "" && reason != last && ctx.Err() == nil {
				s.log.Error("stream not delivered", "reason", reason)
			}
			last = reason
		}
	})
}

// addStream reads the event source mapping of the table's stream.
func (s *stack) addStream(r resource) error {
	p := r.Properties
	arn, known := s.resolve(&p.FunctionName)
	function, ours := strings.CutPrefix(arn, functionARN(""))
	if !known || !ours || p.StartingPosition != "TRIM_HORIZON" || p.BatchSize < 1 || p.RecordAge < 1 {
		return fmt.Errorf("event source mapping is not understood: function %q from %s", arn, p.StartingPosition)
	}
	m := StreamMapping{
		Function: function, BatchSize: p.BatchSize, Retries: p.RetryAttempts, Age: time.Duration(p.RecordAge) * time.Second,
		Bisect: p.Bisect, Partial: slices.Contains(p.ResponseTypes, "ReportBatchItemFailures"),
	}
	if !p.DestinationConfig.OnFailure.Destination.IsZero() {
		if m.DeadLetters, known = s.resolve(&p.DestinationConfig.OnFailure.Destination); !known {
			return fmt.Errorf("destination of the mapping of %s cannot be resolved", function)
		}
	}
	for _, filter := range p.FilterCriteria.Filters {
		pattern, err := ParsePattern(filter.Pattern)
		if err != nil {
			return err
		}
		m.Filters = append(m.Filters, pattern)
	}
	s.Streams = append(s.Streams, m)
	return nil
}
