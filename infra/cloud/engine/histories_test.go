package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// The embedded engine answers random histories of requests like the store's, valid and invalid, as DynamoDB
// Local does. If this fails, code that works with `make run` can fail in AWS, or the other way round. A
// failure prints the shortest history that shows it, and the seed to run it again.
func TestHistories(t *testing.T) {
	t.Parallel()
	embedded, local := bothEngines["embedded engine"](t), bothEngines["DynamoDB Local"](t)
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		runs++
		h := &history{T: r, run: runs}
		start := h.start()
		for _, b := range []bench{embedded, local} {
			if reply := start(b); reply.Code != "" {
				r.Fatal(reply.Code)
			}
		}
		for range rapid.IntRange(1, 8).Draw(r, "length") {
			send := h.request()
			got, want := send(embedded), send(local)
			if differAsDocumented(got, want) {
				continue
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(reply{})); diff != "" {
				r.Fatalf("the embedded engine answers otherwise (-DynamoDB Local +embedded):\n%s", diff)
			}
			h.last = want.last
		}
	})
}

// differAsDocumented says whether two replies to a transaction differ because AWS's documentation decides
// against DynamoDB Local: about an update that cannot be applied, or one item twice. TestTransactions has
// both cases.
func differAsDocumented(embedded, local reply) bool {
	alone := []reason{{Code: "ValidationError", Item: map[string]string{}}}
	inapplicable := embedded.Code == cancelled && (local.Code == invalid || cmp.Equal(local.Reasons, alone)) &&
		slices.ContainsFunc(embedded.Reasons, func(r reason) bool { return r.Code == "ValidationError" })
	oneItemTwice := embedded.Code == invalid && local.Code == cancelled
	return inapplicable || oneItemTwice
}

// reply is the part of a reply that is compared. Messages are left out, and sets, batches and scans are
// sorted.
type reply struct {
	Code     string // of an error
	Reasons  []reason
	Items    []map[string]string
	Counts   [2]int32 // passed and examined
	LastKey  map[string]string
	Pages    int
	last     row
	unsorted bool
}

type reason struct {
	Code string
	Item map[string]string
}

func (r *reply) fail(err error) {
	if err == nil {
		return
	}
	r.Code = code(err)
	var failure *types.ConditionalCheckFailedException
	if errors.As(err, &failure) {
		r.add(failure.Item)
	}
	var cancellation *types.TransactionCanceledException
	if errors.As(err, &cancellation) {
		for _, c := range cancellation.CancellationReasons {
			r.Reasons = append(r.Reasons, reason{aws.ToString(c.Code), texts(c.Item)})
		}
	}
}

func (r *reply) add(items ...row) {
	for _, it := range items {
		r.Items = append(r.Items, texts(it))
	}
	if r.unsorted {
		slices.SortFunc(r.Items, func(a, b map[string]string) int { return strings.Compare(a["pk"]+a["sk"], b["pk"]+b["sk"]) })
	}
}

// history draws requests. A request is drawn completely before both engines get it.
type history struct {
	*rapid.T
	run, transactions int
	last              row // key of the last page
}

type request func(b bench) reply

var (
	partitions = []string{"USER#1", "USER#2"}
	sortKeys   = []string{"PROFILE", "TOKEN#1", "TOKEN#2", "TOKEN#20", "TOKEN$", "é"}
	// The keys of the index are not among them: DynamoDB Local lets an update set them to a number.
	attributeNames = []string{"n", "m", "s", "tags", "flag", "l", "zz"}
	// "state" is a reserved word.
	aliases = map[string]string{"#state": "state", "#alias": "n"}
)

func pick[T any](h *history, what string, from ...T) T {
	return rapid.SampledFrom(from).Draw(h.T, what)
}

func (h *history) chance(what string, of int) bool {
	return rapid.IntRange(1, of).Draw(h.T, what) == of
}

// start puts or deletes every item that a history can have, so that nothing of the one before is left.
func (h *history) start() request {
	var requests []types.WriteRequest
	for _, pk := range partitions {
		for _, sk := range sortKeys {
			k := row{"pk": s(pk), "sk": s(sk)}
			if h.chance("there", 2) {
				requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: h.item(k)}})
			} else {
				requests = append(requests, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: k}})
			}
		}
	}
	return h.write(requests)
}

func (h *history) request() request {
	name := pick(h, "request", "put", "put", "update", "update", "delete", "transaction", "transaction", "transaction", "get", "batch get", "batch write", "query", "query", "index", "scan")
	return map[string]func() request{
		"put": h.put, "update": h.update, "delete": h.remove, "transaction": h.transaction, "get": h.get, "batch get": h.batchGet,
		"batch write": h.batchWrite, "query": h.query, "index": h.index, "scan": h.scan,
	}[name]()
}

func (h *history) key() row {
	return row{"pk": s(pick(h, "pk", partitions...)), "sk": s(pick(h, "sk", sortKeys...))}
}

func (h *history) item(k row) row {
	it := maps.Clone(k)
	for range rapid.IntRange(0, 4).Draw(h.T, "attributes") {
		it[pick(h, "attribute", append(attributeNames, "state")...)] = h.value()
	}
	if h.chance("indexed", 2) {
		it["expiry_bucket"], it["expiry_order"] = s(pick(h, "bucket", "b1", "b2")), s(h.order(it))
		if h.chance("announced", 2) {
			it["notices"] = ss(pick(h, "notice", "7", "30"))
		}
		if h.chance("half indexed", 8) {
			delete(it, "expiry_order")
		}
	}
	return it
}

// newItem draws an item to put, and sometimes an invalid one.
func (h *history) newItem() row {
	it := h.item(h.key())
	if h.chance("badly indexed", 16) {
		it["expiry_bucket"] = pick(h, "bad bucket", s(""), n(1))
	}
	return it
}

// order draws a sort key of the index that no other item has: equal ones have no documented order.
func (h *history) order(k row) string {
	return pick(h, "order", "1", "2") + "#" + the("pk", []row{k})[0] + the("sk", []row{k})[0]
}

func (h *history) value() types.AttributeValue {
	return pick(h, "value",
		n(0), n(1), n(2), num("10"), num("-1"), num("1.5"), num("200"), s("a"), s("ab"), s("b"), s(""), s("TOKEN#2"), s("é"),
		ss("a"), ss("a", "ab"), yes(true), yes(false), list(), list(s("a"), n(1)), object(row{"a": n(1)}), nothing(true))
}

// expressions collects the names and values of the expressions of one request.
type expressions struct {
	*history
	values row
	names  map[string]string
}

func (h *history) expressions() *expressions {
	return &expressions{history: h, values: row{}, names: map[string]string{}}
}

func (e *expressions) literal(v types.AttributeValue) string {
	name := fmt.Sprintf(":v%d", len(e.values))
	e.values[name] = v
	return name
}

// scalar draws a literal that most comparisons accept, and sometimes any operand.
func (e *expressions) scalar() string {
	if e.chance("any value", 12) {
		return e.operand()
	}
	return e.literal(pick(e.history, "scalar", n(0), n(1), n(2), num("10"), num("1.5"), s("a"), s("ab"), s("b"), s("")))
}

// target draws an attribute for an update to change, and sometimes a key, which is refused.
func (e *expressions) target() string {
	if e.chance("key as target", 24) {
		return "sk"
	}
	return pick(e.history, "target", attributeNames...)
}

func (e *expressions) attribute() string {
	name := pick(e.history, "name", append(attributeNames, "n", "s", "#state", "#alias", "pk", "sk")...)
	if alias, ok := aliases[name]; ok {
		e.names[name] = alias
	}
	return name
}

func (e *expressions) operand() string {
	if e.chance("attribute as operand", 4) {
		return e.attribute()
	}
	return e.literal(e.value())
}

// condition draws a condition that nests up to depth operators.
func (e *expressions) condition(depth int) string {
	if depth > 0 {
		switch pick(e.history, "operator", "", "", "AND", "AND", "OR", "OR", "NOT", "()") {
		case "AND":
			return e.condition(depth-1) + " AND " + e.condition(depth-1)
		case "OR":
			return e.condition(depth-1) + " OR " + e.condition(depth-1)
		case "NOT":
			return "NOT " + e.condition(depth-1)
		case "()":
			return "(" + e.condition(depth-1) + ")"
		}
	}
	a := e.attribute()
	switch p := pick(e.history, "predicate", "there", "not there", "=", "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with", "contains"); p {
	case "there":
		return "attribute_exists(" + a + ")"
	case "not there":
		return "attribute_not_exists(" + a + ")"
	case "BETWEEN":
		if e.chance("any bounds", 3) {
			return a + " BETWEEN " + e.scalar() + " AND " + e.scalar()
		}
		return a + " BETWEEN " + e.literal(n(1)) + " AND " + e.literal(num("10"))
	case "begins_with":
		return "begins_with(" + a + ", " + e.literal(pick(e.history, "prefix", s("a"), s("TOKEN#2"), s(""), s("USER#1"), n(1))) + ")"
	case "contains", "=":
		if p == "=" {
			return a + " = " + e.operand()
		}
		return "contains(" + a + ", " + e.operand() + ")"
	default:
		return a + " " + p + " " + e.scalar()
	}
}

// maybeCondition draws a condition, often one of the store's, or none.
func (e *expressions) maybeCondition() string {
	switch pick(e.history, "condition", "none", "drawn", "drawn", "there", "not there", "unended", "stale", "state") {
	case "drawn":
		return e.condition(3)
	case "there":
		return there
	case "not there":
		return absent
	case "unended":
		return there + " AND attribute_not_exists(zz)"
	case "stale":
		return "attribute_not_exists(n) OR n <= " + e.literal(n(1)) + " OR s = " + e.literal(s("a"))
	case "state":
		e.names["#state"] = "state"
		return "#state = " + e.literal(s("a")) + " AND n = " + e.literal(n(1))
	default:
		return ""
	}
}

// changes draws an update expression for an item.
func (e *expressions) changes(k row) string {
	var sets, removes, adds []string
	for range rapid.IntRange(1, 4).Draw(e.T, "changes") {
		switch pick(e.history, "change", "set", "set", "set", "copy", "sum", "remove", "add", "index", "no index", "announce") {
		case "set":
			sets = append(sets, e.target()+" = "+e.literal(e.value()))
		case "copy":
			sets = append(sets, e.target()+" = "+e.attribute())
		case "sum":
			sets = append(sets, e.target()+" = "+pick(e.history, "summand", "n", "n", "m")+" + "+e.scalar())
		case "remove":
			removes = append(removes, e.target())
		case "add":
			adds = append(adds, e.target()+" "+e.literal(pick(e.history, "sum", n(1), n(-1), ss("b"), ss("a", "c"), s("a"))))
		case "index":
			sets = append(sets, "expiry_bucket = "+e.literal(s(pick(e.history, "bucket", "b1", "b2", ""))), "expiry_order = "+e.literal(s(e.order(k))))
		case "no index":
			removes = append(removes, "expiry_bucket", "expiry_order")
		case "announce":
			adds = append(adds, "notices "+e.literal(ss(pick(e.history, "notice", "7", "30"))))
		}
	}
	var sections []string
	for verb, parts := range map[string][]string{"SET ": sets, "REMOVE ": removes, "ADD ": adds} {
		if len(parts) > 0 {
			sections = append(sections, verb+strings.Join(parts, ", "))
		}
	}
	slices.Sort(sections) // a map has no order, and a seed must give the same history again
	return strings.Join(sections, " ")
}

// used returns the names and values; an empty map is nil, because a request must not have one.
func (e *expressions) used() (map[string]string, row) {
	names, values := e.names, e.values
	if len(names) == 0 {
		names = nil
	}
	if len(values) == 0 {
		values = nil
	}
	return names, values
}

func (h *history) oldItem() types.ReturnValuesOnConditionCheckFailure {
	return pick(h, "on failure", old, old, types.ReturnValuesOnConditionCheckFailureNone)
}

func (h *history) put() request {
	e := h.expressions()
	in := dynamodb.PutItemInput{Item: h.newItem(), ConditionExpression: orNil(e.maybeCondition()), ReturnValuesOnConditionCheckFailure: h.oldItem()}
	in.ExpressionAttributeNames, in.ExpressionAttributeValues = e.used()
	h.Logf("put %v if %q with %v", texts(in.Item), aws.ToString(in.ConditionExpression), texts(e.values))
	return func(b bench) (out reply) {
		in := in
		in.TableName = &b.table
		_, err := b.client.PutItem(b.Context(), &in)
		out.fail(err)
		return out
	}
}

func (h *history) update() request {
	e, k := h.expressions(), h.key()
	in := dynamodb.UpdateItemInput{
		Key: k, UpdateExpression: aws.String(e.changes(k)), ConditionExpression: orNil(e.maybeCondition()), ReturnValuesOnConditionCheckFailure: h.oldItem(),
	}
	in.ExpressionAttributeNames, in.ExpressionAttributeValues = e.used()
	h.Logf("update %v by %q if %q with %v", texts(k), *in.UpdateExpression, aws.ToString(in.ConditionExpression), texts(e.values))
	return func(b bench) (out reply) {
		in := in
		in.TableName = &b.table
		_, err := b.client.UpdateItem(b.Context(), &in)
		out.fail(err)
		return out
	}
}

func (h *history) remove() request {
	e := h.expressions()
	in := dynamodb.DeleteItemInput{Key: h.key(), ConditionExpression: orNil(e.maybeCondition()), ReturnValuesOnConditionCheckFailure: h.oldItem()}
	in.ExpressionAttributeNames, in.ExpressionAttributeValues = e.used()
	h.Logf("delete %v if %q with %v", texts(in.Key), aws.ToString(in.ConditionExpression), texts(e.values))
	return func(b bench) (out reply) {
		in := in
		in.TableName = &b.table
		_, err := b.client.DeleteItem(b.Context(), &in)
		out.fail(err)
		return out
	}
}

func (h *history) transaction() request {
	h.transactions++
	token := fmt.Sprintf("%d-%d-", h.run, h.transactions)
	var items []func(table *string) types.TransactWriteItem
	for range rapid.IntRange(1, 4).Draw(h.T, "items") {
		items = append(items, h.transactionItem())
	}
	again := h.chance("again", 4)
	h.Logf("transaction, sent twice: %v", again)
	return func(b bench) (out reply) {
		in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String(token + b.table[len(b.table)-20:])}
		for _, item := range items {
			in.TransactItems = append(in.TransactItems, item(&b.table))
		}
		_, err := b.client.TransactWriteItems(b.Context(), in)
		if again {
			_, err = b.client.TransactWriteItems(b.Context(), in)
		}
		out.fail(err)
		return out
	}
}

func (h *history) transactionItem() func(table *string) types.TransactWriteItem {
	e, k := h.expressions(), h.key()
	onFailure := h.oldItem()
	switch pick(h, "write", "put", "put", "update", "update", "delete", "check") {
	case "put":
		w := types.Put{Item: h.newItem(), ConditionExpression: orNil(e.maybeCondition()), ReturnValuesOnConditionCheckFailure: onFailure}
		w.ExpressionAttributeNames, w.ExpressionAttributeValues = e.used()
		h.Logf("- put %v if %q with %v", texts(w.Item), aws.ToString(w.ConditionExpression), texts(e.values))
		return func(table *string) types.TransactWriteItem {
			w := w
			w.TableName = table
			return types.TransactWriteItem{Put: &w}
		}
	case "update":
		w := types.Update{Key: k, UpdateExpression: aws.String(e.changes(k)), ConditionExpression: orNil(e.maybeCondition()), ReturnValuesOnConditionCheckFailure: onFailure}
		w.ExpressionAttributeNames, w.ExpressionAttributeValues = e.used()
		h.Logf("- update %v by %q if %q with %v", texts(k), *w.UpdateExpression, aws.ToString(w.ConditionExpression), texts(e.values))
		return func(table *string) types.TransactWriteItem {
			w := w
			w.TableName = table
			return types.TransactWriteItem{Update: &w}
		}
	case "delete":
		w := types.Delete{Key: k, ConditionExpression: orNil(e.maybeCondition()), ReturnValuesOnConditionCheckFailure: onFailure}
		w.ExpressionAttributeNames, w.ExpressionAttributeValues = e.used()
		h.Logf("- delete %v if %q with %v", texts(k), aws.ToString(w.ConditionExpression), texts(e.values))
		return func(table *string) types.TransactWriteItem {
			w := w
			w.TableName = table
			return types.TransactWriteItem{Delete: &w}
		}
	default:
		w := types.ConditionCheck{Key: k, ConditionExpression: aws.String(e.condition(3)), ReturnValuesOnConditionCheckFailure: onFailure}
		w.ExpressionAttributeNames, w.ExpressionAttributeValues = e.used()
		h.Logf("- check %v if %q with %v", texts(k), *w.ConditionExpression, texts(e.values))
		return func(table *string) types.TransactWriteItem {
			w := w
			w.TableName = table
			return types.TransactWriteItem{ConditionCheck: &w}
		}
	}
}

func (h *history) get() request {
	k := h.key()
	h.Logf("get %v", texts(k))
	return func(b bench) (out reply) {
		got, err := b.client.GetItem(b.Context(), &dynamodb.GetItemInput{TableName: &b.table, Key: k, ConsistentRead: aws.Bool(true)})
		if out.fail(err); err == nil {
			out.add(got.Item)
		}
		return out
	}
}

func (h *history) keys() (keys []row) {
	for range rapid.IntRange(1, 4).Draw(h.T, "keys") {
		keys = append(keys, h.key())
	}
	return keys
}

func (h *history) batchGet() request {
	keys := h.keys()
	for _, k := range keys {
		h.Logf("get %v with others", texts(k))
	}
	return func(b bench) (out reply) {
		got, err := b.client.BatchGetItem(b.Context(), &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{b.table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
		})
		out.unsorted = true
		if out.fail(err); err == nil {
			out.add(got.Responses[b.table]...)
			out.Pages = len(got.UnprocessedKeys)
		}
		return out
	}
}

func (h *history) batchWrite() request {
	var requests []types.WriteRequest
	for range rapid.IntRange(1, 3).Draw(h.T, "writes") {
		if h.chance("delete", 3) {
			requests = append(requests, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: h.key()}})
		} else {
			requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: h.newItem()}})
		}
	}
	return h.write(requests)
}

func (h *history) write(requests []types.WriteRequest) request {
	for _, r := range requests {
		if r.PutRequest != nil {
			h.Logf("write %v", texts(r.PutRequest.Item))
		} else {
			h.Logf("delete %v", texts(r.DeleteRequest.Key))
		}
	}
	return func(b bench) (out reply) {
		_, err := b.client.BatchWriteItem(b.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{b.table: requests}})
		out.fail(err)
		return out
	}
}

// bounds draws a condition on a sort key.
func (e *expressions) bounds(name string, of ...string) string {
	bound := func() string { return e.literal(s(pick(e.history, "bound", of...))) }
	switch op := pick(e.history, "bounds", "", "begins_with", "BETWEEN", "=", "<", "<=", ">", ">="); op {
	case "":
		return ""
	case "begins_with":
		return " AND begins_with(" + name + ", " + bound() + ")"
	case "BETWEEN":
		return " AND " + name + " BETWEEN " + bound() + " AND " + bound()
	default:
		return " AND " + name + " " + op + " " + bound()
	}
}

func (h *history) query() request {
	e := h.expressions()
	in := dynamodb.QueryInput{ConsistentRead: aws.Bool(h.chance("consistent", 2))}
	in.KeyConditionExpression = aws.String("pk = " + e.literal(s(pick(h, "pk", partitions...))) + e.bounds("sk", "A", "PROFILE", "TOKEN#", "TOKEN#2", "TOKEN~", "é", ""))
	if h.chance("projection", 3) {
		in.ProjectionExpression = aws.String(strings.Join(rapid.SliceOfN(rapid.SampledFrom(append(attributeNames, "sk")), 1, 3).Draw(h.T, "projection"), ", "))
	}
	if h.chance("start", 4) {
		in.ExclusiveStartKey = h.key()
	}
	return h.page(e, in)
}

func (h *history) index() request {
	e := h.expressions()
	in := dynamodb.QueryInput{IndexName: aws.String("expiry-index")}
	bucket := pick(h, "bucket", "b1", "b2")
	in.KeyConditionExpression = aws.String("expiry_bucket = " + e.literal(s(bucket)) + e.bounds("expiry_order", h.order(h.key()), h.order(h.key()), "1", "1#~", "1#USER#1TOKEN#2", "2", "2#USER#2", "3"))
	if h.chance("unannounced", 3) {
		in.FilterExpression = aws.String("attribute_not_exists(notices) OR NOT contains(notices, " + e.literal(s("7")) + ")")
	}
	if h.chance("start", 4) {
		in.ExclusiveStartKey = h.key()
		maps.Copy(in.ExclusiveStartKey, row{"expiry_bucket": s(bucket), "expiry_order": s(h.order(in.ExclusiveStartKey))})
	}
	return h.page(e, in)
}

// page draws what queries have in common.
func (h *history) page(e *expressions, in dynamodb.QueryInput) request {
	if in.FilterExpression == nil && h.chance("filter", 3) {
		in.FilterExpression = aws.String(e.condition(2))
	}
	if h.chance("limit", 2) {
		in.Limit = aws.Int32(int32(rapid.IntRange(1, 4).Draw(h.T, "limit")))
	}
	if in.ExclusiveStartKey == nil && h.last != nil && h.chance("next page", 2) {
		in.ExclusiveStartKey = h.last
	}
	in.ScanIndexForward = aws.Bool(h.chance("forward", 2))
	in.ExpressionAttributeNames, in.ExpressionAttributeValues = e.used()
	h.Logf("query %s by %q, filter %q, projection %q, from %v, limit %d, forward %v, with %v", aws.ToString(in.IndexName), *in.KeyConditionExpression,
		aws.ToString(in.FilterExpression), aws.ToString(in.ProjectionExpression), texts(in.ExclusiveStartKey), aws.ToInt32(in.Limit), *in.ScanIndexForward, texts(e.values))
	return func(b bench) (out reply) {
		in := in
		in.TableName = &b.table
		got, err := b.client.Query(b.Context(), &in)
		if out.fail(err); err == nil {
			out.add(got.Items...)
			out.Counts, out.LastKey, out.last = [2]int32{got.Count, got.ScannedCount}, texts(got.LastEvaluatedKey), got.LastEvaluatedKey
		}
		return out
	}
}

// scan reads all pages, because each engine has an order of its own.
func (h *history) scan() request {
	e := h.expressions()
	in := dynamodb.ScanInput{ConsistentRead: aws.Bool(true)}
	if h.chance("limit", 3) {
		in.Limit = aws.Int32(int32(rapid.IntRange(2, 5).Draw(h.T, "limit")))
	}
	if h.chance("filter", 2) {
		in.FilterExpression = aws.String(e.condition(2))
	}
	in.ExpressionAttributeNames, in.ExpressionAttributeValues = e.used()
	h.Logf("scan, filter %q with %v, limit %d", aws.ToString(in.FilterExpression), texts(e.values), aws.ToInt32(in.Limit))
	return func(b bench) (out reply) {
		in := in
		in.TableName = &b.table
		out.unsorted = true
		for {
			got, err := b.client.Scan(b.Context(), &in)
			if out.fail(err); err != nil {
				return out
			}
			out.Pages++
			out.add(got.Items...)
			out.Counts[0] += got.Count
			out.Counts[1] += got.ScannedCount
			if in.ExclusiveStartKey = got.LastEvaluatedKey; in.ExclusiveStartKey == nil {
				return out
			}
		}
	}
}
