package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The writes of a transaction. All ask for the old item when their condition fails.

const old = types.ReturnValuesOnConditionCheckFailureAllOld

func (b bench) writePut(it row, condition string) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: &b.table, Item: it, ConditionExpression: orNil(condition), ReturnValuesOnConditionCheckFailure: old}}
}

func (b bench) writeUpdate(k row, expression, condition string, values row) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &b.table, Key: k, UpdateExpression: &expression, ConditionExpression: orNil(condition),
		ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: old,
	}}
}

func (b bench) writeDelete(k row, condition string) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &b.table, Key: k, ConditionExpression: orNil(condition), ReturnValuesOnConditionCheckFailure: old}}
}

func (b bench) check(k row, condition string) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &b.table, Key: k, ConditionExpression: &condition, ReturnValuesOnConditionCheckFailure: old}}
}

func (b bench) increment(k row) types.TransactWriteItem {
	return b.writeUpdate(k, "ADD a :v", "", row{":v": n(1)})
}

func (b bench) transact(token *string, items ...types.TransactWriteItem) error {
	_, err := b.client.TransactWriteItems(b.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: token})
	return err
}

// reasons are the codes of a cancellation, in the order of the items.
func reasons(err error) (codes []string) {
	var cancellation *types.TransactionCanceledException
	if errors.As(err, &cancellation) {
		for _, reason := range cancellation.CancellationReasons {
			codes = append(codes, aws.ToString(reason.Code))
		}
	}
	return codes
}

const (
	there  = "attribute_exists(pk)"
	absent = "attribute_not_exists(pk)"
)

func TestTransactions(t *testing.T) {
	onBoth(t, func(b bench) {
		b.run("all kinds of writes take place together", func(c bench) {
			c.put(with(c.key("2"), row{"a": n(1)}), c.key("3"), c.key("4"))
			err := c.transact(nil, c.writePut(with(c.key("1"), row{"a": s("")}), absent), c.increment(c.key("2")), c.writeDelete(c.key("3"), there), c.check(c.key("4"), there))
			if err != nil {
				c.Fatal(err)
			}
			c.same("put", c.get(c.key("1")), with(c.key("1"), row{"a": s("")}))
			c.same("updated", c.get(c.key("2")), with(c.key("2"), row{"a": n(2)}))
			c.same("checked", c.get(c.key("4")), c.key("4"))
			if got := c.get(c.key("3")); got != nil {
				c.Errorf("not deleted: %v", got)
			}
		})
		b.run("every failed condition is named at its place, with the old item, and nothing is written", func(c bench) {
			before := with(c.key("2"), row{"a": n(1), "tags": ss("x")})
			c.put(before, c.key("5"))
			err := c.transact(nil,
				c.writePut(c.key("1"), absent),
				c.writePut(c.key("2"), absent),
				c.check(c.key("3"), there),
				c.writeDelete(c.key("4"), ""),
				c.writeDelete(c.key("5"), "attribute_exists(a)"),
				c.writeUpdate(c.key("6"), "SET a = :v", "a = :v", row{":v": n(1)}),
			)
			if want := []string{"None", "ConditionalCheckFailed", "ConditionalCheckFailed", "None", "ConditionalCheckFailed", "ConditionalCheckFailed"}; !slices.Equal(reasons(err), want) {
				c.Fatalf("reasons = %v, want %v: %v", reasons(err), want, err)
			}
			var cancellation *types.TransactionCanceledException
			errors.As(err, &cancellation)
			for i, want := range []row{nil, before, nil, nil, c.key("5"), nil} {
				c.same(fmt.Sprintf("item of reason %d", i), cancellation.CancellationReasons[i].Item, want)
			}
			if got := c.get(c.key("1")); got != nil {
				c.Errorf("written: %v", got)
			}
		})
		b.run("old items are not in the reasons unless asked for", func(c bench) {
			c.put(c.key("1"))
			w := c.writePut(c.key("1"), absent)
			w.Put.ReturnValuesOnConditionCheckFailure = ""
			err := c.transact(nil, w)
			var cancellation *types.TransactionCanceledException
			if !errors.As(err, &cancellation) || cancellation.CancellationReasons[0].Item != nil {
				c.Errorf("err = %v with %v", err, cancellation)
			}
		})
		// An update that cannot be applied is a documented reason, "ValidationError", in a list that has a reason for
		// each item (TransactWriteItems, API reference: TransactionCanceledException). DynamoDB Local refuses the
		// whole request with a ValidationException instead.
		for name, w := range map[string]func(c bench) types.TransactWriteItem{
			"an operand of another type": func(c bench) types.TransactWriteItem { return c.increment(c.key("2")) },
			"an absent operand": func(c bench) types.TransactWriteItem {
				return c.writeUpdate(c.key("2"), "SET b = zz", "", nil)
			},
			"too large an item": func(c bench) types.TransactWriteItem {
				return c.writeUpdate(c.key("2"), "SET b = :v", "", row{":v": s(strings.Repeat("x", 400<<10))})
			},
			"too many digits": func(c bench) types.TransactWriteItem {
				return c.writeUpdate(c.key("2"), "SET b = c + :v", "", row{":v": num(strings.Repeat("9", 38))})
			},
			"an empty key of an index": func(c bench) types.TransactWriteItem {
				return c.writeUpdate(c.key("2"), "SET expiry_bucket = :v", "", row{":v": s("")})
			},
			"a key of an index that is no text": func(c bench) types.TransactWriteItem {
				return c.writeUpdate(c.key("2"), "SET expiry_bucket = :v", "", row{":v": yes(true)})
			},
		} {
			b.run("an update that cannot be applied cancels the rest: "+name, func(c bench) {
				c.put(with(c.key("2"), row{"a": s("text"), "c": n(2)}))
				err := c.transact(nil, c.writePut(c.key("1"), ""), w(c), c.check(c.key("3"), there))
				c.refusedUnless(err, cancelled, invalid)
				if want := []string{"None", "ValidationError", "ConditionalCheckFailed"}; !c.local && !slices.Equal(reasons(err), want) {
					c.Errorf("reasons = %v, want %v", reasons(err), want)
				}
				if got := c.get(c.key("1")); got != nil {
					c.Errorf("written: %v", got)
				}
			})
		}
		// The same holds for an update of a key, where DynamoDB Local leaves out the reasons of the other items.
		b.run("an update of a key cancels the rest", func(c bench) {
			err := c.transact(nil, c.writePut(c.key("1"), ""), c.writeUpdate(c.key("2"), "SET sk = :v", "", row{":v": s("x")}))
			want := []string{"None", "ValidationError"}
			if c.local {
				want = []string{"ValidationError"}
			}
			if !slices.Equal(reasons(err), want) {
				c.Errorf("reasons = %v, want %v: %v", reasons(err), want, err)
			}
		})
		for name, w := range map[string]func(c bench) types.TransactWriteItem{
			"a put under a number":    func(c bench) types.TransactWriteItem { return c.writePut(with(c.key("2"), row{"sk": n(1)}), "") },
			"a delete under a number": func(c bench) types.TransactWriteItem { return c.writeDelete(with(c.key("2"), row{"sk": n(1)}), "") },
			"a check under a number": func(c bench) types.TransactWriteItem {
				return c.check(with(c.key("2"), row{"sk": n(1)}), there)
			},
			"a put with a number as key of the index": func(c bench) types.TransactWriteItem {
				return c.writePut(with(c.key("2"), row{"expiry_bucket": n(1)}), "")
			},
		} {
			b.run("a key of another type is the reason of its item: "+name, func(c bench) {
				err := c.transact(nil, w(c), c.writePut(c.key("1"), ""), c.check(c.key("3"), there))
				if want := []string{"ValidationError", "None", "ConditionalCheckFailed"}; !slices.Equal(reasons(err), want) {
					c.Errorf("reasons = %v, want %v: %v", reasons(err), want, err)
				}
			})
		}
		for name, items := range map[string]func(c bench) []types.TransactWriteItem{
			"no items": func(bench) []types.TransactWriteItem { return []types.TransactWriteItem{} },
			"an item that is nothing": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{{}}
			},
			"an item that is two": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{{Put: c.writePut(c.key("1"), "").Put, Delete: c.writeDelete(c.key("1"), "").Delete}}
			},
			"one item put twice": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), ""), c.writePut(c.key("1"), "")}
			},
			"one item checked and put": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.check(c.key("1"), absent), c.writePut(with(c.key("1"), row{"a": n(1)}), "")}
			},
			"a check without a condition": func(c bench) []types.TransactWriteItem { return []types.TransactWriteItem{c.check(c.key("1"), "")} },
			"a malformed update": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.writeUpdate(c.key("2"), "SET a = ", "", nil)}
			},
			"a sum that can never be": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.writeUpdate(c.key("2"), "SET a = a + :v", "", row{":v": s("x")})}
			},
			"a malformed condition": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.writePut(c.key("2"), "name = pk")}
			},
			"an unused value": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writeUpdate(c.key("1"), "REMOVE a", "", row{":v": n(1)})}
			},
			"half a key": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.writeDelete(row{"pk": s(c.partition)}, "")}
			},
			"an item without its key": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.writePut(row{"pk": s(c.partition)}, "")}
			},
			"an empty key": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.check(c.key(""), there)}
			},
			"an empty key of the index": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.writePut(with(c.key("2"), row{"expiry_bucket": s("")}), "")}
			},
			"too large an item": func(c bench) []types.TransactWriteItem {
				return []types.TransactWriteItem{c.writePut(c.key("1"), there), c.writePut(with(c.key("2"), row{"a": s(strings.Repeat("x", 400<<10))}), "")}
			},
			"more than 100 items": func(c bench) (items []types.TransactWriteItem) {
				for i := range 101 {
					items = append(items, c.writePut(c.key(strconv.Itoa(i)), ""))
				}
				return items
			},
			"more than 4 MB": func(c bench) (items []types.TransactWriteItem) {
				for i := range 11 {
					items = append(items, c.writePut(with(c.key(strconv.Itoa(i)), row{"a": s(strings.Repeat("x", 390<<10))}), ""))
				}
				return items
			},
		} {
			b.run("the whole is refused for "+name, func(c bench) {
				c.refused(c.transact(nil, items(c)...), invalid)
				if got := c.get(c.key("1")); got != nil {
					c.Errorf("written: %v", got)
				}
			})
		}
		// No two actions may target the same item (TransactWriteItems, API reference), whatever their conditions.
		// DynamoDB Local checks that after the conditions, and evaluates each of them after the writes before it.
		b.run("the whole is refused for one item checked, in vain, and updated", func(c bench) {
			c.refusedUnless(c.transact(nil, c.check(c.key("1"), there), c.increment(c.key("1"))), invalid, cancelled)
		})
		b.run("100 items are not too many", func(c bench) {
			var items []types.TransactWriteItem
			for i := range 100 {
				items = append(items, c.writePut(c.key(strconv.Itoa(i)), absent))
			}
			if err := c.transact(nil, items...); err != nil {
				c.Fatal(err)
			}
			c.same("last", c.get(c.key("99")), c.key("99"))
		})
	})
}

func TestClientRequestTokens(t *testing.T) {
	onBoth(t, func(b bench) {
		b.run("the same token and request are done once", func(c bench) {
			// So many attributes that the SDK writes them in another order each time.
			w := c.writeUpdate(c.key("1"), "ADD a :a, b :b, c :c, d :d", "", row{":a": n(1), ":b": n(1), ":c": n(1), ":d": ss("x", "y")})
			for range 3 {
				if err := c.transact(&c.partition, w); err != nil {
					c.Fatal(err)
				}
			}
			c.same("item", c.get(c.key("1")), with(c.key("1"), row{"a": n(1), "b": n(1), "c": n(1), "d": ss("x", "y")}))
		})
		b.run("it is done once although its condition does not hold any more", func(c bench) {
			for range 2 {
				if err := c.transact(&c.partition, c.writePut(c.key("1"), absent)); err != nil {
					c.Fatal(err)
				}
			}
		})
		b.run("without a token it is done each time", func(c bench) {
			// The SDK sends a token of its own for each call.
			for range 2 {
				if err := c.transact(nil, c.increment(c.key("1"))); err != nil {
					c.Fatal(err)
				}
			}
			c.same("item", c.get(c.key("1")), with(c.key("1"), row{"a": n(2)}))
		})
		b.run("the same token with another request is refused", func(c bench) {
			if err := c.transact(&c.partition, c.increment(c.key("1"))); err != nil {
				c.Fatal(err)
			}
			c.refused(c.transact(&c.partition, c.increment(c.key("2"))), "IdempotentParameterMismatchException")
		})
		b.run("a cancelled transaction may be tried again under its token", func(c bench) {
			c.put(c.key("1"))
			w := c.writePut(c.key("1"), absent)
			c.refused(c.transact(&c.partition, w), cancelled)
			if err := c.transact(nil, c.writeDelete(c.key("1"), "")); err != nil {
				c.Fatal(err)
			}
			if err := c.transact(&c.partition, w); err != nil {
				c.Error(err)
			}
		})
		b.run("36 characters are the longest token", func(c bench) {
			longest := strings.Repeat("t", 36-len(c.partition)) + c.partition
			if err := c.transact(&longest, c.increment(c.key("1"))); err != nil {
				c.Error(err)
			}
			longest += "t"
			c.refused(c.transact(&longest, c.increment(c.key("1"))), invalid)
		})
	})
}

func TestBatchGet(t *testing.T) {
	onBoth(t, func(b bench) {
		get := func(c bench, keys ...row) ([]string, error) {
			out, err := c.client.BatchGetItem(c.Context(), &dynamodb.BatchGetItemInput{
				RequestItems: map[string]types.KeysAndAttributes{c.table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
			})
			if err != nil {
				return nil, err
			}
			if len(out.UnprocessedKeys) > 0 {
				c.Errorf("unprocessed: %v", out.UnprocessedKeys)
			}
			found := []string{}
			for _, it := range out.Responses[c.table] {
				found = append(found, text(it["sk"])+text(it["a"]))
			}
			slices.Sort(found) // they come in no order
			return found, nil
		}
		b.run("absent items are left out", func(c bench) {
			c.put(with(c.key("1"), row{"a": n(1)}), with(c.key("2"), row{"a": n(2)}))
			found, err := get(c, c.key("3"), c.key("2"), c.key("1"))
			if want := []string{`"1"1`, `"2"2`}; err != nil || !slices.Equal(found, want) {
				c.Errorf("found %q, %v, want %q", found, err, want)
			}
			if found, err = get(c, c.key("3")); err != nil || len(found) > 0 {
				c.Errorf("found %q, %v, want nothing", found, err)
			}
		})
		b.run("one key twice is refused", func(c bench) {
			_, err := get(c, c.key("1"), c.key("2"), c.key("1"))
			c.refused(err, invalid)
		})
		b.run("no keys are refused", func(c bench) {
			_, err := get(c, []row{}...)
			c.refused(err, invalid)
			_, err = c.client.BatchGetItem(c.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{}})
			c.refused(err, invalid)
		})
		b.run("one bad key spoils the batch", func(c bench) {
			_, err := get(c, c.key("1"), c.key(""))
			c.refused(err, invalid)
			_, err = get(c, c.key("1"), with(c.key("2"), row{"sk": n(1)}))
			c.refused(err, invalid)
		})
		b.run("100 keys are not too many, 101 are", func(c bench) {
			c.put(with(c.key("99"), row{"a": n(1)}))
			var keys []row
			for i := range 101 {
				keys = append(keys, c.key(strconv.Itoa(i)))
			}
			if found, err := get(c, keys[:100]...); err != nil || len(found) != 1 {
				c.Errorf("found %q, %v, want one", found, err)
			}
			_, err := get(c, keys...)
			c.refused(err, invalid)
		})
	})
}

// Keys beyond 16 MB come back unprocessed (BatchGetItem, API reference). DynamoDB Local does the same, but
// takes one and a half seconds of processor time for it, so this test is for the embedded engine only.
func TestBatchGetEndsAt16MB(t *testing.T) {
	const items, size = 43, 395 << 10
	b := bothEngines["embedded engine"](t)
	var keys []row
	for i := range items {
		keys = append(keys, b.key(strconv.Itoa(i)))
		b.put(with(keys[i], row{"a": s(strings.Repeat("x", size))}))
	}
	in := &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{b.table: {Keys: keys, ConsistentRead: aws.Bool(true)}}}
	out, err := b.client.BatchGetItem(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	left := out.UnprocessedKeys[b.table]
	if found := len(out.Responses[b.table]); found != 41 || len(left.Keys) != 2 || !aws.ToBool(left.ConsistentRead) {
		t.Errorf("%d items and %d keys, want 41 and 2 to read as before", found, len(left.Keys))
	}
	in.RequestItems = out.UnprocessedKeys
	if out, err = b.client.BatchGetItem(t.Context(), in); err != nil || len(out.Responses[b.table]) != 2 || len(out.UnprocessedKeys) > 0 {
		t.Errorf("the rest: %d items, %v", len(out.Responses[b.table]), err)
	}
}

func TestBatchWrite(t *testing.T) {
	onBoth(t, func(b bench) {
		put := func(it row) types.WriteRequest { return types.WriteRequest{PutRequest: &types.PutRequest{Item: it}} }
		remove := func(k row) types.WriteRequest {
			return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: k}}
		}
		write := func(c bench, requests ...types.WriteRequest) error {
			_, err := c.client.BatchWriteItem(c.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{c.table: requests}})
			return err
		}
		b.run("puts and deletes", func(c bench) {
			c.put(c.key("1"), with(c.key("2"), row{"a": n(1)}))
			if err := write(c, put(with(c.key("3"), row{"a": n(3)})), remove(c.key("1")), put(c.key("2")), remove(c.key("4"))); err != nil {
				c.Fatal(err)
			}
			if got := c.get(c.key("1")); got != nil {
				c.Errorf("not deleted: %v", got)
			}
			c.same("replaced", c.get(c.key("2")), c.key("2"))
			c.same("put", c.get(c.key("3")), with(c.key("3"), row{"a": n(3)}))
		})
		b.run("25 are not too many", func(c bench) {
			var requests []types.WriteRequest
			for i := range 26 {
				requests = append(requests, put(c.key(strconv.Itoa(i))))
			}
			if err := write(c, requests[:25]...); err != nil {
				c.Error(err)
			}
			c.refused(write(c, requests...), invalid)
		})
		for name, requests := range map[string]func(c bench) []types.WriteRequest{
			"nothing":          func(bench) []types.WriteRequest { return []types.WriteRequest{} },
			"an empty request": func(bench) []types.WriteRequest { return []types.WriteRequest{{}} },
			"two requests in one": func(c bench) []types.WriteRequest {
				return []types.WriteRequest{{PutRequest: put(c.key("1")).PutRequest, DeleteRequest: remove(c.key("2")).DeleteRequest}}
			},
			"one item twice": func(c bench) []types.WriteRequest { return []types.WriteRequest{put(c.key("1")), remove(c.key("1"))} },
			"a bad key":      func(c bench) []types.WriteRequest { return []types.WriteRequest{put(c.key("1")), put(c.key(""))} },
			"a bad index key": func(c bench) []types.WriteRequest {
				return []types.WriteRequest{put(c.key("1")), put(with(c.key("2"), row{"expiry_bucket": n(1)}))}
			},
			"too large an item": func(c bench) []types.WriteRequest {
				return []types.WriteRequest{put(c.key("1")), put(with(c.key("2"), row{"a": s(strings.Repeat("x", 400<<10))}))}
			},
		} {
			b.run("refused with nothing written: "+name, func(c bench) {
				c.refused(write(c, requests(c)...), invalid)
				if got := c.get(c.key("1")); got != nil {
					c.Errorf("written: %v", got)
				}
			})
		}
	})
}
