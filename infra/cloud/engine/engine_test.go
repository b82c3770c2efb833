package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

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

// The tests below are for the embedded engine only.

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
