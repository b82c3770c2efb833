package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
)

type row = map[string]types.AttributeValue

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func n(v int) types.AttributeValue { return &types.AttributeValueMemberN{Value: strconv.Itoa(v)} }

func ss(v ...string) types.AttributeValue { return &types.AttributeValueMemberSS{Value: v} }

func key(pk, sk string) row { return row{"pk": s(pk), "sk": s(sk)} }

func with(base row, more ...row) row {
	out := maps.Clone(base)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}

// bench is a fresh table. With DYNAMODB_ENDPOINT set it is made on that engine instead, so that the
// expectations below can be held against another implementation of DynamoDB.
type bench struct {
	*testing.T
	client *dynamodb.Client
	table  string
}

func newBench(t *testing.T) bench {
	t.Helper()
	client := engine.New().Client(func(o *dynamodb.Options) {
		if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
			o.BaseEndpoint, o.HTTPClient = &endpoint, http.DefaultClient
		}
	})
	path, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.NewReplacer("/", "-", "'", "").Replace(t.Name())
	if err := tabledef.Create(t.Context(), client, path, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Error(err)
		}
	})
	return bench{t, client, name}
}

func (b bench) put(items ...row) {
	b.Helper()
	for _, it := range items {
		if _, err := b.client.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: &b.table, Item: it}); err != nil {
			b.Fatal(err)
		}
	}
}

func (b bench) get(k row) row {
	b.Helper()
	out, err := b.client.GetItem(b.Context(), &dynamodb.GetItemInput{TableName: &b.table, Key: k, ConsistentRead: aws.Bool(true)})
	if err != nil {
		b.Fatal(err)
	}
	return out.Item
}

func (b bench) update(k row, expression string, values row) error {
	_, err := b.client.UpdateItem(b.Context(), &dynamodb.UpdateItemInput{
		TableName: &b.table, Key: k, UpdateExpression: &expression, ExpressionAttributeValues: values,
	})
	return err
}

func same(t *testing.T, what string, got, want row) {
	t.Helper()
	ignore := cmpopts.IgnoreUnexported(types.AttributeValueMemberS{}, types.AttributeValueMemberN{},
		types.AttributeValueMemberSS{}, types.AttributeValueMemberL{}, types.AttributeValueMemberM{}, types.AttributeValueMemberBOOL{})
	if diff := cmp.Diff(want, got, ignore, cmpopts.EquateEmpty(), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestConditions(t *testing.T) {
	b := newBench(t)
	it := with(key("p", "s"), row{"n": n(10), "a": s("beta"), "tags": ss("x", "y"), "l": &types.AttributeValueMemberL{Value: []types.AttributeValue{n(1)}}})
	b.put(it)
	for expression, want := range map[string]bool{
		"attribute_exists(pk)":                  true,
		"attribute_not_exists(pk)":              false,
		"attribute_not_exists(zz)":              true,
		"n = :nine":                             false,
		"n > :nine":                             true,
		"n >= :ten AND n <= :ten":               true,
		"n BETWEEN :nine AND :ten":              true,
		"n < :nine OR a = :beta":                true,
		"NOT n < :nine":                         true,
		"NOT (n = :ten AND a = :beta)":          false,
		"begins_with(a, :be)":                   true,
		"begins_with(zz, :be)":                  false,
		"begins_with(n, :be)":                   false,
		"zz = :ten":                             false,
		"zz <> :ten":                            true,
		"zz < :ten":                             false,
		"a <> :ten":                             true,
		"a < :ten":                              false,
		"a IN (:be, :beta)":                     true,
		"zz IN (:be, :beta)":                    false,
		"contains(tags, :x)":                    true,
		"contains(tags, :be)":                   false,
		"contains(a, :et)":                      true,
		"contains(l, :one)":                     true,
		"size(tags) = :two":                     true,
		"size(a) > :two":                        true,
		"size(zz) > :two":                       false,
		"attribute_type(n, :N)":                 true,
		"l[0] = :one":                           true,
		"l[1] = :one":                           false,
		"attribute_not_exists(zz) OR zz < :ten": true,
		"attribute_exists(pk) AND (attribute_not_exists(zz) OR zz < :ten) AND n = :ten": true,
	} {
		t.Run(expression, func(t *testing.T) {
			values := row{}
			for name, v := range (row{":nine": n(9), ":ten": n(10), ":two": n(2), ":one": n(1), ":beta": s("beta"), ":be": s("be"), ":et": s("et"), ":x": s("x"), ":N": s("N")}) {
				if slices.Contains(strings.FieldsFunc(expression, func(r rune) bool { return strings.ContainsRune(" (),", r) }), name) {
					values[name] = v
				}
			}
			if len(values) == 0 {
				values = nil
			}
			_, err := b.client.PutItem(t.Context(), &dynamodb.PutItemInput{
				TableName: &b.table, Item: it, ConditionExpression: &expression, ExpressionAttributeValues: values,
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			})
			var failed *types.ConditionalCheckFailedException
			switch {
			case want && err != nil:
				t.Errorf("refused: %v", err)
			case !want && !errors.As(err, &failed):
				t.Errorf("err = %v, want a failed condition", err)
			case !want:
				same(t, "item in the error", failed.Item, it)
			}
		})
	}
}

func TestMalformedExpressionsAreRefused(t *testing.T) {
	b := newBench(t)
	for name, in := range map[string]dynamodb.UpdateItemInput{
		"reserved word":      {UpdateExpression: aws.String("SET name = :v"), ExpressionAttributeValues: row{":v": n(1)}},
		"undefined value":    {UpdateExpression: aws.String("SET a = :w"), ExpressionAttributeValues: row{":v": n(1)}},
		"unused value":       {UpdateExpression: aws.String("SET a = :v"), ExpressionAttributeValues: row{":v": n(1), ":w": n(1)}},
		"unused name":        {UpdateExpression: aws.String("REMOVE a"), ExpressionAttributeNames: map[string]string{"#b": "b"}},
		"key attribute":      {UpdateExpression: aws.String("SET sk = :v"), ExpressionAttributeValues: row{":v": s("x")}},
		"two sections":       {UpdateExpression: aws.String("SET a = :v SET b = :v"), ExpressionAttributeValues: row{":v": n(1)}},
		"overlapping paths":  {UpdateExpression: aws.String("SET a = :v REMOVE a"), ExpressionAttributeValues: row{":v": n(1)}},
		"absent operand":     {UpdateExpression: aws.String("SET a = b")},
		"sum of a string":    {UpdateExpression: aws.String("SET a = :v + :v"), ExpressionAttributeValues: row{":v": s("x")}},
		"path below nothing": {UpdateExpression: aws.String("SET a.b = :v"), ExpressionAttributeValues: row{":v": n(1)}},
		"empty expression":   {UpdateExpression: aws.String("")},
		"trailing words":     {UpdateExpression: aws.String("REMOVE a b")},
	} {
		t.Run(name, func(t *testing.T) {
			in.TableName, in.Key = &b.table, key("p", "s")
			if _, err := b.client.UpdateItem(t.Context(), &in); code(err) != "ValidationException" {
				t.Errorf("err = %v, want ValidationException", err)
			}
		})
	}
}

func TestUpdates(t *testing.T) {
	for name, test := range map[string]struct {
		before     row
		expression string
		values     row
		want       row
	}{
		"set copies from the item as it was": {row{"a": n(1), "b": n(2)}, "SET a = b, b = a", nil, row{"a": n(2), "b": n(1)}},
		"set keeps an existing value":        {row{"a": n(1)}, "SET a = if_not_exists(a, :v), b = if_not_exists(b, :v)", row{":v": n(7)}, row{"a": n(1), "b": n(7)}},
		"counter starts at its default":      {nil, "SET a = if_not_exists(a, :v) + :v", row{":v": n(1)}, row{"a": n(2)}},
		"add creates and sums":               {row{"a": n(1)}, "ADD a :v, b :v", row{":v": n(41)}, row{"a": n(42), "b": n(41)}},
		"large numbers stay exact":           {row{"a": n(9007199254740990)}, "ADD a :v", row{":v": n(3)}, row{"a": n(9007199254740993)}},
		"remove takes attributes away":       {row{"a": n(1), "b": n(2)}, "REMOVE a, zz", nil, row{"b": n(2)}},
		"sets grow and shrink":               {row{"a": ss("x"), "b": ss("x", "y")}, "ADD a :v DELETE b :v", row{":v": ss("y")}, row{"a": ss("x", "y"), "b": ss("x")}},
		"an emptied set is gone":             {row{"a": ss("x")}, "DELETE a :v", row{":v": ss("x")}, nil},
		"a new item gets its key":            {nil, "SET a = :v", row{":v": n(1)}, row{"a": n(1)}},
		"a map's field": {
			row{"a": &types.AttributeValueMemberM{Value: row{"x": n(1)}}}, "SET a.y = :v REMOVE a.x", row{":v": n(2)},
			row{"a": &types.AttributeValueMemberM{Value: row{"y": n(2)}}},
		},
		"list elements": {
			row{"a": &types.AttributeValueMemberL{Value: []types.AttributeValue{n(1), n(2), n(3)}}}, "REMOVE a[0], a[1]", nil,
			row{"a": &types.AttributeValueMemberL{Value: []types.AttributeValue{n(3)}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			k := key("p", "s")
			if test.before != nil {
				b.put(with(k, test.before))
			}
			if err := b.update(k, test.expression, test.values); err != nil {
				t.Fatal(err)
			}
			same(t, "item", b.get(k), with(k, test.want))
		})
	}
}

func TestReturnValues(t *testing.T) {
	b := newBench(t)
	k := key("p", "s")
	b.put(with(k, row{"a": n(1), "b": n(1)}))
	for _, test := range []struct {
		ask  types.ReturnValue
		want row
	}{
		{types.ReturnValueUpdatedNew, row{"a": n(2)}},
		{types.ReturnValueUpdatedOld, row{"a": n(2)}},
		{types.ReturnValueAllNew, with(k, row{"a": n(4), "b": n(1)})},
		{types.ReturnValueAllOld, with(k, row{"a": n(4), "b": n(1)})},
		{types.ReturnValueNone, nil},
	} {
		t.Run(string(test.ask), func(t *testing.T) {
			out, err := b.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: &b.table, Key: k, UpdateExpression: aws.String("ADD a :v"), ExpressionAttributeValues: row{":v": n(1)}, ReturnValues: test.ask,
			})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "attributes", out.Attributes, test.want)
		})
	}
}

func TestBatchGet(t *testing.T) {
	b := newBench(t)
	b.put(with(key("p", "1"), row{"a": n(1)}), with(key("p", "2"), row{"a": n(2)}))
	get := func(keys ...row) (*dynamodb.BatchGetItemOutput, error) {
		return b.client.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{b.table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
		})
	}
	t.Run("absent items are left out", func(t *testing.T) {
		out, err := get(key("p", "1"), key("p", "3"), key("p", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(out.Responses[b.table]); got != 2 {
			t.Errorf("%d items, want 2", got)
		}
	})
	t.Run("duplicates are refused", func(t *testing.T) {
		if _, err := get(key("p", "1"), key("p", "1")); code(err) != "ValidationException" {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("more than 100 keys are refused", func(t *testing.T) {
		var keys []row
		for i := range 101 {
			keys = append(keys, key("p", strconv.Itoa(i)))
		}
		if _, err := get(keys...); code(err) != "ValidationException" {
			t.Errorf("err = %v", err)
		}
		if _, err := get(keys[:100]...); err != nil {
			t.Errorf("100 keys: %v", err)
		}
	})
}

func TestTransactions(t *testing.T) {
	put := func(b bench, it row, condition string) types.TransactWriteItem {
		w := &types.Put{TableName: &b.table, Item: it, ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
		if condition != "" {
			w.ConditionExpression = &condition
		}
		return types.TransactWriteItem{Put: w}
	}
	run := func(b bench, token *string, items ...types.TransactWriteItem) error {
		_, err := b.client.TransactWriteItems(b.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: token})
		return err
	}
	increment := func(b bench, k row) types.TransactWriteItem {
		return types.TransactWriteItem{Update: &types.Update{TableName: &b.table, Key: k, UpdateExpression: aws.String("ADD a :v"), ExpressionAttributeValues: row{":v": n(1)}}}
	}

	t.Run("every failed condition is named at its place and nothing is written", func(t *testing.T) {
		b := newBench(t)
		old := with(key("p", "2"), row{"a": n(1)})
		b.put(old)
		err := run(b, nil,
			put(b, key("p", "1"), "attribute_not_exists(pk)"),
			put(b, key("p", "2"), "attribute_not_exists(pk)"),
			types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &b.table, Key: key("p", "3"), ConditionExpression: aws.String("attribute_exists(pk)")}},
			types.TransactWriteItem{Delete: &types.Delete{TableName: &b.table, Key: key("p", "4")}},
		)
		var cancelled *types.TransactionCanceledException
		if !errors.As(err, &cancelled) {
			t.Fatalf("err = %v", err)
		}
		var codes []string
		for _, reason := range cancelled.CancellationReasons {
			codes = append(codes, aws.ToString(reason.Code))
		}
		if want := []string{"None", "ConditionalCheckFailed", "ConditionalCheckFailed", "None"}; !slices.Equal(codes, want) {
			t.Errorf("reasons = %v, want %v", codes, want)
		}
		same(t, "old item", cancelled.CancellationReasons[1].Item, old)
		if got := b.get(key("p", "1")); got != nil {
			t.Errorf("written: %v", got)
		}
	})
	t.Run("an update that cannot be applied cancels the rest", func(t *testing.T) {
		b := newBench(t)
		b.put(with(key("p", "2"), row{"a": s("text")}))
		if err := run(b, nil, put(b, key("p", "1"), ""), increment(b, key("p", "2"))); err == nil {
			t.Error("accepted")
		}
		if got := b.get(key("p", "1")); got != nil {
			t.Errorf("written: %v", got)
		}
	})
	t.Run("the same token and request are done once", func(t *testing.T) {
		b := newBench(t)
		for range 2 {
			if err := run(b, aws.String("token"), increment(b, key("p", "1"))); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "counter", b.get(key("p", "1")), with(key("p", "1"), row{"a": n(1)}))
	})
	t.Run("the same token with another request is refused", func(t *testing.T) {
		b := newBench(t)
		if err := run(b, aws.String("token-2"), increment(b, key("p", "1"))); err != nil {
			t.Fatal(err)
		}
		if err := run(b, aws.String("token-2"), increment(b, key("p", "2"))); code(err) != "IdempotentParameterMismatchException" {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a cancelled transaction may be tried again under its token", func(t *testing.T) {
		b := newBench(t)
		b.put(key("p", "1"))
		w := put(b, key("p", "1"), "attribute_not_exists(pk)")
		if err := run(b, aws.String("token-3"), w); code(err) != "TransactionCanceledException" {
			t.Fatalf("err = %v", err)
		}
		if _, err := b.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &b.table, Key: key("p", "1")}); err != nil {
			t.Fatal(err)
		}
		if err := run(b, aws.String("token-3"), w); err != nil {
			t.Error(err)
		}
	})
	t.Run("one item twice is refused", func(t *testing.T) {
		b := newBench(t)
		if err := run(b, nil, increment(b, key("p", "1")), put(b, key("p", "1"), "")); code(err) != "ValidationException" {
			t.Errorf("err = %v", err)
		}
	})
}

func TestIndex(t *testing.T) {
	entry := func(i int) row {
		return with(key(fmt.Sprintf("TOKEN#%d", i), "TOKEN"), row{
			"expiry_bucket": s("2030-01-01#03"), "expiry_order": s(fmt.Sprintf("%03d", i)), "notices": ss("7"), "owner_id": n(i),
		})
	}
	query := func(b bench, limit int32, forward bool, start row) ([]row, row) {
		b.Helper()
		out, err := b.client.Query(b.Context(), &dynamodb.QueryInput{
			TableName: &b.table, IndexName: aws.String("expiry-index"), Limit: &limit, ScanIndexForward: &forward, ExclusiveStartKey: start,
			KeyConditionExpression: aws.String("expiry_bucket = :b"), ExpressionAttributeValues: row{":b": s("2030-01-01#03")},
		})
		if err != nil {
			b.Fatal(err)
		}
		return out.Items, out.LastEvaluatedKey
	}
	order := func(items []row) (out []string) {
		for _, it := range items {
			out = append(out, it["expiry_order"].(*types.AttributeValueMemberS).Value)
		}
		return out
	}

	t.Run("entries carry the projected attributes only", func(t *testing.T) {
		b := newBench(t)
		b.put(entry(1), key("USER#1", "PROFILE"))
		items, _ := query(b, 10, true, nil)
		want := entry(1)
		delete(want, "owner_id")
		if len(items) != 1 {
			t.Fatalf("%d entries, want 1", len(items))
		}
		same(t, "entry", items[0], want)
	})
	t.Run("pages meet without gap or overlap in both directions", func(t *testing.T) {
		b := newBench(t)
		for i := range 7 {
			b.put(entry(6 - i))
		}
		for _, forward := range []bool{true, false} {
			var all []string
			for items, start := query(b, 3, forward, nil); ; items, start = query(b, 3, forward, start) {
				all = append(all, order(items)...)
				if start == nil {
					break
				}
			}
			want := []string{"000", "001", "002", "003", "004", "005", "006"}
			if !forward {
				slices.Reverse(want)
			}
			if !slices.Equal(all, want) {
				t.Errorf("forward %v: %v", forward, all)
			}
		}
	})
	// A scan that stopped at a token which was then revoked would tell nobody after it.
	t.Run("a page continues after an entry that has gone", func(t *testing.T) {
		b := newBench(t)
		b.put(entry(1), entry(2), entry(3), entry(4))
		_, start := query(b, 2, true, nil)
		if err := b.update(key("TOKEN#2", "TOKEN"), "REMOVE expiry_bucket, expiry_order", nil); err != nil {
			t.Fatal(err)
		}
		items, _ := query(b, 2, true, start)
		if got := order(items); !slices.Equal(got, []string{"003", "004"}) {
			t.Errorf("second page = %v", got)
		}
	})
	t.Run("a changed key moves the entry", func(t *testing.T) {
		b := newBench(t)
		b.put(entry(1), entry(2))
		b.put(with(entry(1), row{"expiry_order": s("009")}))
		items, _ := query(b, 10, true, nil)
		if got := order(items); !slices.Equal(got, []string{"002", "009"}) {
			t.Errorf("entries = %v", got)
		}
	})
	t.Run("consistent reads are refused", func(t *testing.T) {
		b := newBench(t)
		_, err := b.client.Query(t.Context(), &dynamodb.QueryInput{
			TableName: &b.table, IndexName: aws.String("expiry-index"), ConsistentRead: aws.Bool(true),
			KeyConditionExpression: aws.String("expiry_bucket = :b"), ExpressionAttributeValues: row{":b": s("x")},
		})
		if code(err) != "ValidationException" {
			t.Errorf("err = %v", err)
		}
	})
}

func TestQuery(t *testing.T) {
	b := newBench(t)
	b.put(key("p", "PROFILE"), key("p", "TOKEN#1"), key("p", "TOKEN#2"), key("p", "TOKEN#3"), key("q", "TOKEN#9"))
	for condition, want := range map[string][]string{
		"pk = :p":                            {"PROFILE", "TOKEN#1", "TOKEN#2", "TOKEN#3"},
		"pk = :p AND begins_with(sk, :t)":    {"TOKEN#1", "TOKEN#2", "TOKEN#3"},
		"pk = :p AND sk > :two":              {"TOKEN#3"},
		"pk = :p AND sk <= :two":             {"PROFILE", "TOKEN#1", "TOKEN#2"},
		"pk = :p AND sk BETWEEN :t AND :two": {"TOKEN#1", "TOKEN#2"},
		"pk = :none AND begins_with(sk, :t)": nil,
		"sk = :two AND pk = :p":              {"TOKEN#2"},
	} {
		t.Run(condition, func(t *testing.T) {
			values := row{}
			for name, v := range (row{":p": s("p"), ":t": s("TOKEN#"), ":two": s("TOKEN#2"), ":none": s("zz")}) {
				if slices.Contains(strings.FieldsFunc(condition, func(r rune) bool { return strings.ContainsRune(" (),", r) }), name) {
					values[name] = v
				}
			}
			out, err := b.client.Query(t.Context(), &dynamodb.QueryInput{
				TableName: &b.table, KeyConditionExpression: &condition, ExpressionAttributeValues: values, ConsistentRead: aws.Bool(true),
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, it := range out.Items {
				got = append(got, it["sk"].(*types.AttributeValueMemberS).Value)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	for _, condition := range []string{"pk > :p", "begins_with(pk, :p)", "pk = :p AND other = :p", "pk = :p OR sk = :p"} {
		t.Run("refused: "+condition, func(t *testing.T) {
			_, err := b.client.Query(t.Context(), &dynamodb.QueryInput{
				TableName: &b.table, KeyConditionExpression: &condition, ExpressionAttributeValues: row{":p": s("p")},
			})
			if code(err) != "ValidationException" {
				t.Errorf("err = %v", err)
			}
		})
	}
	t.Run("a page ends at one megabyte", func(t *testing.T) {
		for i := range 5 {
			b.put(with(key("big", strconv.Itoa(i)), row{"blob": s(strings.Repeat("x", 300<<10))}))
		}
		out, err := b.client.Query(t.Context(), &dynamodb.QueryInput{
			TableName: &b.table, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: row{":p": s("big")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if out.Count != 4 || out.LastEvaluatedKey == nil {
			t.Errorf("%d items, last key %v; want 4 and a key", out.Count, out.LastEvaluatedKey)
		}
	})
}

func TestScan(t *testing.T) {
	b := newBench(t)
	for i := range 10 {
		b.put(with(key(strconv.Itoa(i), "TOKEN"), row{"a": n(i)}), key(strconv.Itoa(i), "OTHER"))
	}
	scan := func(in dynamodb.ScanInput) (seen []string, pages int) {
		in.TableName = &b.table
		for {
			out, err := b.client.Scan(t.Context(), &in)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, it := range out.Items {
				seen = append(seen, it["pk"].(*types.AttributeValueMemberS).Value+"/"+it["sk"].(*types.AttributeValueMemberS).Value)
			}
			if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
				return seen, pages
			}
		}
	}
	t.Run("the limit counts items before the filter", func(t *testing.T) {
		seen, pages := scan(dynamodb.ScanInput{
			Limit: aws.Int32(3), FilterExpression: aws.String("sk = :t AND a >= :v"), ExpressionAttributeValues: row{":t": s("TOKEN"), ":v": n(5)},
		})
		slices.Sort(seen)
		if want := []string{"5/TOKEN", "6/TOKEN", "7/TOKEN", "8/TOKEN", "9/TOKEN"}; !slices.Equal(seen, want) || pages != 7 {
			t.Errorf("%d pages with %v", pages, seen)
		}
	})
	t.Run("segments share the table out", func(t *testing.T) {
		var all []string
		for segment := range int32(3) {
			seen, _ := scan(dynamodb.ScanInput{Segment: aws.Int32(segment), TotalSegments: aws.Int32(3)})
			all = append(all, seen...)
		}
		slices.Sort(all)
		if len(all) != 20 || len(slices.Compact(all)) != 20 {
			t.Errorf("segments gave %v", all)
		}
	})
}

// If this fails, cases that got clones of one prepared world change each other's items.
func TestClone(t *testing.T) {
	e := engine.New()
	path, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	original := bench{t, e.Client(), "cloned"}
	if err := tabledef.Create(t.Context(), original.client, path, original.table); err != nil {
		t.Fatal(err)
	}
	item := func(sort string) row {
		return with(key("p", sort), row{"expiry_bucket": s("b"), "expiry_order": s(sort)})
	}
	original.put(item("1"), item("2"), item("3"))
	// seen lists the items of the table and of its index.
	seen := func(b bench) (seen []string) {
		for _, in := range []*dynamodb.QueryInput{
			{KeyConditionExpression: aws.String("pk = :v"), ExpressionAttributeValues: row{":v": s("p")}},
			{IndexName: aws.String("expiry-index"), KeyConditionExpression: aws.String("expiry_bucket = :v"), ExpressionAttributeValues: row{":v": s("b")}},
		} {
			in.TableName = &b.table
			out, err := b.client.Query(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range out.Items {
				seen = append(seen, it["sk"].(*types.AttributeValueMemberS).Value)
			}
		}
		return seen
	}
	clone := bench{t, e.Clone().Client(), original.table}
	for _, b := range []bench{original, clone} {
		if got, want := seen(b), []string{"1", "2", "3", "1", "2", "3"}; !slices.Equal(got, want) {
			t.Errorf("items %v, want %v", got, want)
		}
	}
	original.put(item("0"))
	if err := original.update(key("p", "2"), "REMOVE expiry_bucket SET a = :v", row{":v": n(1)}); err != nil {
		t.Fatal(err)
	}
	clone.put(item("4"))
	if _, err := clone.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &clone.table, Key: key("p", "1")}); err != nil {
		t.Fatal(err)
	}
	if got, want := seen(original), []string{"0", "1", "2", "3", "0", "1", "3"}; !slices.Equal(got, want) {
		t.Errorf("original: items %v, want %v", got, want)
	}
	if got, want := seen(clone), []string{"2", "3", "4", "2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("clone: items %v, want %v", got, want)
	}
	same(t, "an item that the original has changed", clone.get(key("p", "2")), item("2"))
}

func TestConcurrentUpdatesAreSerial(t *testing.T) {
	b := newBench(t)
	k := key("p", "s")
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 25 {
				if err := b.update(k, "ADD a :v", row{":v": n(1)}); err != nil {
					t.Error(err)
				}
				if _, err := b.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &b.table}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	same(t, "counter", b.get(k), with(k, row{"a": n(200)}))
}

func TestTables(t *testing.T) {
	b := newBench(t)
	t.Run("a missing table is named as such", func(t *testing.T) {
		_, err := b.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("absent-table"), Key: key("p", "s")})
		if code(err) != "ResourceNotFoundException" {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a table cannot be made twice", func(t *testing.T) {
		path, err := tabledef.Path()
		if err != nil {
			t.Fatal(err)
		}
		if err := tabledef.Create(t.Context(), b.client, path, b.table); code(err) != "ResourceInUseException" {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("time to live is on", func(t *testing.T) {
		out, err := b.client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &b.table})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.TimeToLiveDescription; got.TimeToLiveStatus != types.TimeToLiveStatusEnabled || *got.AttributeName != "delete_after" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a wrong key is refused", func(t *testing.T) {
		for name, k := range map[string]row{"half": {"pk": s("p")}, "more": with(key("p", "s"), row{"a": n(1)}), "type": {"pk": n(1), "sk": s("s")}, "empty": key("", "s")} {
			if _, err := b.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &b.table, Key: k}); code(err) != "ValidationException" {
				t.Errorf("%s: err = %v", name, err)
			}
		}
	})
	t.Run("an item above 400 KB is refused", func(t *testing.T) {
		_, err := b.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &b.table, Item: with(key("p", "s"), row{"a": s(strings.Repeat("x", 400<<10))})})
		if code(err) != "ValidationException" {
			t.Errorf("err = %v", err)
		}
	})
}

func TestServedOverHTTP(t *testing.T) {
	e := engine.New()
	server := httptest.NewServer(e)
	defer server.Close()
	path, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	remote := e.Client(func(o *dynamodb.Options) { o.BaseEndpoint, o.HTTPClient = &server.URL, server.Client() })
	if err := tabledef.Create(t.Context(), remote, path, "served"); err != nil {
		t.Fatal(err)
	}
	out, err := e.Client().ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if err != nil || !slices.Equal(out.TableNames, []string{"served"}) {
		t.Errorf("tables = %v, %v", out, err)
	}
}
