package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ask calls DynamoDB Streams.
func (b bench) ask(operation string, in map[string]any) (out map[string]any, status int) {
	b.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	o := b.client.Options()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, aws.ToString(o.BaseEndpoint)+"/", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	credentials, err := o.Credentials.Retrieve(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("X-Amz-Target", "DynamoDBStreams_20120810."+operation)
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	// DynamoDB Local reads who asks from the header, and checks no signature.
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/20260319/%s/dynamodb/aws4_request, SignedHeaders=host, Signature=0", credentials.AccessKeyID, o.Region))
	response, err := o.HTTPClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		b.Fatalf("%v: %s", err, raw)
	}
	return out, response.StatusCode
}

// iterator returns a place in the table's stream.
func (b bench) iterator(kind string) any {
	b.Helper()
	described, err := b.client.DescribeTable(b.Context(), &dynamodb.DescribeTableInput{TableName: &b.table})
	if err != nil {
		b.Fatal(err)
	}
	arn := aws.ToString(described.Table.LatestStreamArn)
	found, _ := b.ask("DescribeStream", map[string]any{"StreamArn": arn})
	description := found["StreamDescription"].(map[string]any)
	if description["StreamViewType"] != "NEW_AND_OLD_IMAGES" || description["TableName"] != b.table || len(description["Shards"].([]any)) != 1 {
		b.Errorf("described as %v", description)
	}
	shard := description["Shards"].([]any)[0].(map[string]any)
	at, _ := b.ask("GetShardIterator", map[string]any{"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": kind})
	return at["ShardIterator"]
}

// read returns the records after an iterator, in words, and the next iterator.
func (b bench) read(iterator any, limit int) (lines []string, next any) {
	b.Helper()
	page, status := b.ask("GetRecords", map[string]any{"ShardIterator": iterator, "Limit": limit})
	if status != http.StatusOK {
		b.Fatalf("GetRecords: %v", page)
	}
	last := ""
	for _, one := range page["Records"].([]any) {
		record := one.(map[string]any)
		change := record["dynamodb"].(map[string]any)
		sequence := change["SequenceNumber"].(string)
		if padded := fmt.Sprintf("%040s", sequence); padded <= last || len(sequence) < 21 || strings.Trim(sequence, "0123456789") != "" {
			b.Errorf("sequence number %s after %s", sequence, last)
		} else {
			last = padded
		}
		if record["eventSource"] != "aws:dynamodb" || record["eventID"] == "" || change["StreamViewType"] != "NEW_AND_OLD_IMAGES" || change["ApproximateCreationDateTime"].(float64) < 1e9 {
			b.Errorf("record %v", record)
		}
		line := fmt.Sprint(record["eventName"])
		for _, image := range []string{"Keys", "OldImage", "NewImage"} {
			if change[image] == nil {
				continue
			}
			text, err := json.Marshal(change[image]) // in the order of the names
			if err != nil {
				b.Fatal(err)
			}
			line += fmt.Sprintf(" %s=%s", image, strings.ReplaceAll(string(text), b.partition, "P"))
		}
		lines = append(lines, line)
	}
	return lines, page["NextShardIterator"]
}

// Breaks if the local cloud shows functions/events other records than DynamoDB does.
func TestTheStreamHasEveryChange(t *testing.T) {
	onBoth(t, func(b bench) {
		b.put(with(b.key("a"), row{"v": n(1), "set": ss("x", "y"), "list": list(s("l"), yes(true))}))
		b.put(with(b.key("a"), row{"v": n(1), "set": ss("y", "x"), "list": list(s("l"), yes(true))})) // changes nothing
		for _, err := range []error{
			b.update(b.key("a"), "SET v = :v", row{":v": n(2)}),
			b.update(b.key("a"), "SET v = :v", row{":v": n(2)}), // nor does this
			b.update(b.key("new"), "SET v = :v", row{":v": n(3)}),
		} {
			if err != nil {
				b.Fatal(err)
			}
		}
		_, err := b.client.TransactWriteItems(b.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Delete: &types.Delete{TableName: &b.table, Key: b.key("new")}},
			{ConditionCheck: &types.ConditionCheck{TableName: &b.table, Key: b.key("a"), ConditionExpression: aws.String("attribute_exists(pk)")}},
		}})
		if err != nil {
			b.Fatal(err)
		}
		_, err = b.client.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: &b.table, Item: b.key("a"), ConditionExpression: aws.String("attribute_not_exists(pk)")})
		b.refused(err, failed)
		_, err = b.client.DeleteItem(b.Context(), &dynamodb.DeleteItemInput{TableName: &b.table, Key: b.key("gone")})
		if err != nil {
			b.Fatal(err)
		}
		const keys, was = `{"pk":{"S":"P"},"sk":{"S":"a"}}`, `{"list":{"L":[{"S":"l"},{"BOOL":true}]},"pk":{"S":"P"},"set":{"SS":["x","y"]},"sk":{"S":"a"},"v":{"N":"1"}}`
		fresh := strings.ReplaceAll(keys, `"a"`, `"new"`)
		made := fresh[:len(fresh)-1] + `,"v":{"N":"3"}}`
		want := []string{
			"INSERT Keys=" + keys + " NewImage=" + was,
			"MODIFY Keys=" + keys + " OldImage=" + was + " NewImage=" + strings.ReplaceAll(was, `"1"`, `"2"`),
			"INSERT Keys=" + fresh + " NewImage=" + made,
			"REMOVE Keys=" + fresh + " OldImage=" + made,
		}
		// DynamoDB Local forgets where an empty stream begins while others grow.
		got, next := b.read(b.iterator("TRIM_HORIZON"), 3)
		rest, next := b.read(next, 100)
		if got = append(got, rest...); !slices.Equal(got, want) {
			b.Errorf("the stream has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if none, _ := b.read(next, 100); len(none) != 0 {
			b.Errorf("read twice: %v", none)
		}
		latest := b.iterator("LATEST")
		b.put(b.key("late"))
		if got, _ := b.read(latest, 100); len(got) != 1 || !strings.HasPrefix(got[0], "INSERT") {
			b.Errorf("after the latest: %v", got)
		}
		if out, status := b.ask("DescribeStream", map[string]any{"StreamArn": "arn:aws:dynamodb:eu-central-1:000000000000:table/none/stream/2026-01-01T00:00:00.000"}); status != http.StatusBadRequest {
			b.Errorf("a stream that does not exist: %v", out)
		}
	})
}

// A test prepares a world once; what happens in a copy is nobody else's.
func TestCopiesHaveStreamsOfTheirOwn(t *testing.T) {
	e, b := world(t, 3)
	first := b.iterator("TRIM_HORIZON")
	copied := b.of(e.Clone())
	b.put(b.key("here"))
	copied.put(copied.key("there"))
	for what, bench := range map[string]bench{"here": b, "there": copied} {
		if got, _ := bench.read(first, 100); len(got) != 4 || !strings.Contains(got[3], what) {
			t.Errorf("%s: %v", what, got)
		}
	}
}
