package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// streamTarget starts the X-Amz-Target of DynamoDB Streams, which is a service of its own.
const streamTarget = "DynamoDBStreams_20120810."

// viewType is the only kind of stream that the embedded engine makes.
const viewType = "NEW_AND_OLD_IMAGES"

type streamSpecification struct {
	StreamEnabled  bool
	StreamViewType string
}

// A stream has what was written to a table, oldest first, in one shard. DynamoDB keeps records for a
// day; this keeps the newest ones.
type stream struct {
	arn     string
	trimmed int // how many of the oldest records are gone
	records []change
}

// change is one write that changed an item. Items are never modified, so it shares them.
type change struct {
	at            time.Time
	before, after item // nil for none
}

// keptChanges bounds the memory of an engine that runs for long. It is more than a test writes before it
// reads.
const keptChanges = 1 << 16

// shardID is the id of the one shard of each stream.
const shardID = "shardId-00000000000000000000-00000001"

// note appends a write, unless it changed nothing (developer guide, "Change data capture for DynamoDB
// Streams").
func (s *stream) note(at time.Time, before, after item) {
	if before != nil && after != nil && maps.EqualFunc(before, after, equal) || before == nil && after == nil {
		return
	}
	if len(s.records) == 2*keptChanges {
		s.records = slices.Clone(s.records[keptChanges:])
		s.trimmed += keptChanges
	}
	s.records = append(s.records, change{at, before, after})
}

func (s *stream) clone() *stream {
	if s == nil {
		return nil
	}
	copied := *s
	copied.records = slices.Clip(s.records) // an append by either copies
	return &copied
}

func newStream(table string) *stream {
	return &stream{arn: "arn:aws:dynamodb:" + region + ":000000000000:table/" + table + "/stream/2026-01-01T00:00:00.000"}
}

// sequence is the sequence number of a record, which has 21 to 40 digits.
func sequence(n int) string { return "1" + fmt.Sprintf("%020d", n) }

type streamRecord struct {
	EventID      string       `json:"eventID"`
	EventName    string       `json:"eventName"`
	EventVersion string       `json:"eventVersion"`
	EventSource  string       `json:"eventSource"`
	Region       string       `json:"awsRegion"`
	Change       streamChange `json:"dynamodb"`
}

type streamChange struct {
	ApproximateCreationDateTime int64
	Keys                        item
	NewImage                    item `json:",omitempty"`
	OldImage                    item `json:",omitempty"`
	SequenceNumber              string
	SizeBytes                   int
	StreamViewType              string
}

func (t *table) record(n int) streamRecord {
	c := t.stream.records[n-t.stream.trimmed]
	name, of := "MODIFY", c.after
	switch {
	case c.before == nil:
		name = "INSERT"
	case c.after == nil:
		name, of = "REMOVE", c.before
	}
	sum := sha256.Sum256([]byte(t.stream.arn + sequence(n)))
	keys := t.items.keyOf(of)
	const idBytes = 16
	return streamRecord{
		EventID: hex.EncodeToString(sum[:idBytes]), EventName: name, EventVersion: "1.1", EventSource: "aws:dynamodb", Region: region,
		Change: streamChange{c.at.Unix(), keys, c.after, c.before, sequence(n), keys.bytes() + c.before.bytes() + c.after.bytes(), viewType},
	}
}

// streamed returns the table whose stream has this ARN.
func (e *Engine) streamed(arn string) (*table, error) {
	for _, t := range e.tables {
		if t.stream != nil && t.stream.arn == arn {
			return t, nil
		}
	}
	return nil, &apiError{Type: "ResourceNotFoundException", Message: "Requested resource not found: Stream: " + arn + " not found"}
}

type describeStreamInput struct {
	StreamArn             string
	ExclusiveStartShardID string `json:"ExclusiveStartShardId"`
}

type describeStreamReply struct{ StreamDescription streamDescription }

type streamDescription struct {
	StreamArn, StreamStatus, StreamViewType, TableName string
	Shards                                             []shardDescription
}

type shardDescription struct {
	ShardID             string `json:"ShardId"`
	SequenceNumberRange struct{ StartingSequenceNumber string }
}

func (e *Engine) describeStream(in describeStreamInput) (out describeStreamReply, err error) {
	t, err := e.streamed(in.StreamArn)
	if err != nil {
		return out, err
	}
	d := streamDescription{StreamArn: t.stream.arn, StreamStatus: "ENABLED", StreamViewType: viewType, TableName: t.created.TableName}
	if in.ExclusiveStartShardID == "" {
		shard := shardDescription{ShardID: shardID}
		shard.SequenceNumberRange.StartingSequenceNumber = sequence(0)
		d.Shards = append(d.Shards, shard)
	}
	return describeStreamReply{d}, nil
}

type shardIteratorInput struct {
	StreamArn         string
	ShardID           string `json:"ShardId"`
	ShardIteratorType string
}

type shardIteratorReply struct{ ShardIterator string }

func (e *Engine) getShardIterator(in shardIteratorInput) (out shardIteratorReply, err error) {
	t, err := e.streamed(in.StreamArn)
	switch {
	case err != nil:
		return out, err
	case in.ShardID != shardID:
		return out, &apiError{Type: "ResourceNotFoundException", Message: "Requested resource not found: Shard: " + in.ShardID + " not found"}
	case in.ShardIteratorType == "TRIM_HORIZON":
		return shardIteratorReply{iterator(t.stream.arn, 0)}, nil
	case in.ShardIteratorType == "LATEST":
		return shardIteratorReply{iterator(t.stream.arn, t.stream.trimmed+len(t.stream.records))}, nil
	}
	return out, invalid("the embedded engine does not support the ShardIteratorType %q", in.ShardIteratorType)
}

// iterator is the place in front of the record n.
func iterator(arn string, n int) string { return strconv.Itoa(n) + "|" + arn }

type getRecordsInput struct {
	ShardIterator string
	Limit         int
}

type getRecordsReply struct {
	Records           []streamRecord
	NextShardIterator string
}

func (e *Engine) getRecords(in getRecordsInput) (out getRecordsReply, err error) {
	const most = 1000 // GetRecords, API reference
	place, arn, _ := strings.Cut(in.ShardIterator, "|")
	n, malformed := strconv.Atoi(place)
	t, err := e.streamed(arn)
	switch {
	case malformed != nil:
		return out, invalid("Invalid ShardIterator")
	case err != nil:
		return out, err
	case in.Limit < 0 || in.Limit > most:
		return out, invalid("Limit must be from 1 to %d", most)
	}
	if in.Limit == 0 {
		in.Limit = most
	}
	n = max(n, t.stream.trimmed)
	end := min(n+in.Limit, t.stream.trimmed+len(t.stream.records))
	out.Records = []streamRecord{}
	for ; n < end; n++ {
		out.Records = append(out.Records, t.record(n))
	}
	out.NextShardIterator = iterator(arn, n)
	return out, nil
}
