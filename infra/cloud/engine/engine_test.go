package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
)

func TestConcurrentUpdatesAreSerial(t *testing.T) {
	const workers, each = 4, 10
	onBoth(t, func(b bench) {
		k := b.key("s")
		var done sync.WaitGroup
		for range workers {
			done.Go(func() {
				for range each {
					if err := b.update(k, "ADD a :v", row{":v": n(1)}); err != nil {
						b.Error(err)
					}
					if _, err := b.client.Scan(b.Context(), &dynamodb.ScanInput{TableName: &b.table}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		done.Wait()
		b.same("counter", b.get(k), with(k, row{"a": n(workers * each)}))
	})
}

// The tests below are for the embedded engine only: how it is reached, and clones.

func TestServedOverHTTP(t *testing.T) {
	e := engine.New()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	remote := newBench(t, e.Client(func(o *dynamodb.Options) { o.BaseEndpoint, o.HTTPClient = &server.URL, server.Client() }), false)
	remote.put(with(remote.key("s"), row{"a": n(1)}))
	near := remote
	near.client = e.Client()
	near.same("item", near.get(near.key("s")), with(near.key("s"), row{"a": n(1)}))
	near.refused(remote.tryPut(remote.key("")), invalid)
}

// As over a network: a call that is cancelled on its way, here by what wraps the HTTP client, is not sent.
func TestACancelledCallDoesNotReachTheEngine(t *testing.T) {
	e := engine.New()
	b := newBench(t, e.Client(), false)
	ctx, cancel := context.WithCancel(t.Context())
	client := e.Client(func(o *dynamodb.Options) { o.HTTPClient = cancelling{o.HTTPClient, cancel} })
	_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &b.table, Item: b.key("s")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if got := b.get(b.key("s")); got != nil {
		t.Errorf("written: %v", got)
	}
}

type cancelling struct {
	next   dynamodb.HTTPClient
	cancel func()
}

func (c cancelling) Do(r *http.Request) (*http.Response, error) {
	c.cancel()
	return c.next.Do(r)
}

// Nobody should come to rely on a sorted scan: DynamoDB visits partitions in the order of their hashes.
func TestScansAreNotSorted(t *testing.T) {
	b := bothEngines["embedded engine"](t)
	for i := range 20 {
		b.put(row{"pk": s(fmt.Sprintf("%02d", i)), "sk": s("s")})
	}
	out, err := b.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &b.table})
	if err != nil {
		t.Fatal(err)
	}
	if got := the("pk", out.Items); len(got) != 20 || slices.IsSorted(got) {
		t.Errorf("scanned %q", got)
	}
}

// The SDK cannot send these requests.
func TestMalformedRequestsAreRefused(t *testing.T) {
	const table = "table"
	e := engine.New()
	if err := tabledef.Create(t.Context(), e.Client(), definition(t), table); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ operation, body, want string }{
		{"GetItem", `{"TableName":`, "SerializationException"},
		{"GetItem", `{"TableName":1}`, "SerializationException"},
		{"GetItem", `{"TableName":"table","Segment":1}`, `the embedded engine does not support the parameter \"Segment\"`},
		{"GetItem", `{"TableName":"table","Key":{"a":{}}}`, "exactly one of the datatypes"},
		{"GetItem", `{"TableName":"table","Key":{"a":{"S":"x","N":"1"}}}`, "exactly one of the datatypes"},
		{"GetItem", `{"TableName":"table","Key":{"a":{"N":1}}}`, "SerializationException"},
		{
			"TransactWriteItems", `{"TransactItems":[{"ConditionCheck":{"TableName":"` + table + `","Key":{"pk":{"S":"p"},"sk":{"S":"s"}}}}]}`,
			"must not be empty",
		},
	} {
		request := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(test.body))
		request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+test.operation)
		reply := httptest.NewRecorder()
		e.ServeHTTP(reply, request)
		if reply.Code != 400 || !strings.Contains(reply.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want %s", test.body, reply.Code, reply.Body, test.want)
		}
	}
}

func definition(t *testing.T) string {
	t.Helper()
	path, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// world is an engine with a table whose items are all in the index.
func world(t *testing.T, items int) (*engine.Engine, bench) {
	e := engine.New()
	b := newBench(t, e.Client(), false)
	for i := range items {
		b.put(with(b.key(fmt.Sprintf("%03d", i)), row{"expiry_bucket": s("b" + strconv.Itoa(i%2)), "expiry_order": s(fmt.Sprintf("%03d", i)), "a": n(i)}))
	}
	return e, b
}

// of returns the bench with a client of another engine.
func (b bench) of(e *engine.Engine) bench {
	b.client = e.Client()
	return b
}

// If this fails, cases that got clones of one prepared world change each other's items.
func TestClone(t *testing.T) {
	const items = 50
	index := func(b bench) []string {
		b.Helper()
		out, err := b.query(dynamodb.QueryInput{IndexName: aws.String("expiry-index"), KeyConditionExpression: aws.String("expiry_bucket = :b")}, row{":b": s("b0")})
		if err != nil {
			b.Fatal(err)
		}
		return the("expiry_order", out.Items)
	}
	rows := func(b bench) int {
		b.Helper()
		out, err := b.query(dynamodb.QueryInput{KeyConditionExpression: aws.String("pk = :p")}, nil)
		if err != nil {
			b.Fatal(err)
		}
		return len(out.Items)
	}
	// change deletes, updates and adds items, uses a token and makes a second table.
	change := func(b bench) {
		b.Helper()
		if err := b.transact(aws.String("token"), b.writeDelete(b.key("000"), there), b.increment(b.key("001")), b.writePut(b.key("new"), absent)); err != nil {
			b.Fatal(err)
		}
		if err := b.update(b.key("002"), "SET expiry_order = :v", row{":v": s("zzz")}); err != nil {
			b.Fatal(err)
		}
		other := newBench(b.T, b.client, false)
		if other.table == b.table {
			b.Fatal("no other table")
		}
	}
	checkUnchanged := func(b bench) {
		b.Helper()
		if got := rows(b); got != items {
			b.Errorf("%d items, want %d", got, items)
		}
		if got := index(b); len(got) != items/2 || got[0] != "000" || got[items/2-1] != "048" {
			b.Errorf("index = %q", got)
		}
		b.same("changed item", b.get(b.key("001")), with(b.key("001"), row{"a": n(1), "expiry_bucket": s("b1"), "expiry_order": s("001")}))
	}
	checkChanged := func(b bench) {
		b.Helper()
		if got := rows(b); got != items {
			b.Errorf("%d items, want one less and one more", got)
		}
		if got := index(b); len(got) != items/2-1 || got[0] != "004" || got[len(got)-1] != "zzz" {
			b.Errorf("index = %q", got)
		}
		if got := b.get(b.key("000")); got != nil {
			b.Errorf("not deleted: %v", got)
		}
		b.same("changed item", b.get(b.key("001")), with(b.key("001"), row{"a": n(2), "expiry_bucket": s("b1"), "expiry_order": s("001")}))
	}
	t.Run("writes to the clone do not show in the original", func(t *testing.T) {
		e, original := world(t, items)
		clone := original.of(e.Clone())
		checkUnchanged(clone)
		change(clone)
		checkChanged(clone)
		checkUnchanged(original)
	})
	t.Run("writes to the original do not show in the clone", func(t *testing.T) {
		e, original := world(t, items)
		clone := original.of(e.Clone())
		change(original)
		checkChanged(original)
		checkUnchanged(clone)
	})
	t.Run("clones and their clones do not show in each other", func(t *testing.T) {
		e, original := world(t, items)
		first := e.Clone()
		change(original.of(first))
		second := original.of(first.Clone())
		checkChanged(second)
		change2 := second.update(second.key("001"), "SET a = :v", row{":v": n(-1)})
		if change2 != nil {
			t.Fatal(change2)
		}
		checkChanged(original.of(first))
		checkUnchanged(original)
		checkUnchanged(original.of(e.Clone()))
	})
	t.Run("a table that one deletes stays in the other", func(t *testing.T) {
		e, original := world(t, items)
		clone := original.of(e.Clone())
		if _, err := clone.client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &clone.table}); err != nil {
			t.Fatal(err)
		}
		clone.refused(clone.tryPut(clone.key("s")), "ResourceNotFoundException")
		checkUnchanged(original)
	})
	t.Run("a table that one makes is not in the other", func(t *testing.T) {
		e, original := world(t, items)
		clone := original.of(e.Clone())
		if err := tabledef.Create(t.Context(), clone.client, definition(t), "other"); err != nil {
			t.Fatal(err)
		}
		original.table = "other"
		original.refused(original.tryPut(original.key("s")), "ResourceNotFoundException")
	})
	t.Run("what was done under a token before is done in both, what after in one", func(t *testing.T) {
		e, original := world(t, items)
		if err := original.transact(aws.String("before"), original.increment(original.key("001"))); err != nil {
			t.Fatal(err)
		}
		clone := original.of(e.Clone())
		for _, b := range []bench{original, clone, clone} {
			for _, token := range []string{"before", "after"} {
				if err := b.transact(&token, b.increment(b.key("001"))); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, b := range []bench{original, clone} {
			b.same("item", b.get(b.key("001")), with(b.key("001"), row{"a": n(3), "expiry_bucket": s("b1"), "expiry_order": s("001")}))
		}
	})
}

// Every transaction changes two items alike. They are alike in every clone, whenever it is made, and stay
// as they are while the original changes.
func TestCloneOfAnEngineInUse(t *testing.T) {
	e, b := world(t, 50)
	b.put(b.key("x"), b.key("y"))
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := b.transact(nil, b.increment(b.key("x")), b.increment(b.key("y"))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for range 50 {
		clone := b.of(e.Clone())
		x := text(clone.get(clone.key("x"))["a"])
		if err := clone.transact(nil, clone.writePut(with(clone.key("x"), row{"a": s("clone")}), "")); err != nil {
			t.Error(err)
		}
		if y := text(clone.get(clone.key("y"))["a"]); x != y {
			t.Fatalf("half a transaction in a clone: %s and %s", x, y)
		}
	}
	close(stop)
	writing.Wait()
	if x, y := text(b.get(b.key("x"))["a"]), text(b.get(b.key("y"))["a"]); x != y {
		t.Errorf("half a transaction: %s and %s", x, y)
	}
}
