package engine_test

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/store/storetest"
)

// defaultHistories is the number of histories in a run without -rapid.checks. Each costs about 20 ms of
// processor time, most of it in DynamoDB Local.
const defaultHistories = "40"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", defaultHistories); err != nil {
		panic(err)
	}
	storetest.Main(m)
}

// The codes of errors that every operation can answer.
const (
	invalid   = "ValidationException"
	failed    = "ConditionalCheckFailedException"
	cancelled = "TransactionCanceledException"
)

// bench is a table on one engine. Cases of one test share the table and have a partition each.
type bench struct {
	*testing.T
	client    *dynamodb.Client
	table     string
	partition string
	local     bool // this is DynamoDB Local
}

func newBench(t *testing.T, client *dynamodb.Client, local bool) bench {
	t.Helper()
	return bench{T: t, client: client, table: storetest.Table(t, client), partition: rand.Text(), local: local}
}

// onBoth runs a test against the embedded engine and against DynamoDB Local, with the same assertions.
// Where DynamoDB Local is known to differ from AWS's documentation, the documentation decides: such a
// case says so in a comment and asserts what each of the two does.
func onBoth(t *testing.T, run func(b bench)) {
	t.Parallel()
	for name, b := range bothEngines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(b(t))
		})
	}
}

var bothEngines = map[string]func(t *testing.T) bench{
	"embedded engine": func(t *testing.T) bench { return newBench(t, engine.New().Client(), false) },
	"DynamoDB Local":  func(t *testing.T) bench { return newBench(t, storetest.Engine(t), true) },
}

// run runs one case in parallel to the others.
func (b bench) run(name string, do func(c bench)) {
	b.Run(name, func(t *testing.T) {
		t.Parallel()
		c := b
		c.T, c.partition = t, rand.Text()
		do(c)
	})
}

type row = map[string]types.AttributeValue

func s(v string) types.AttributeValue      { return &types.AttributeValueMemberS{Value: v} }
func num(v string) types.AttributeValue    { return &types.AttributeValueMemberN{Value: v} }
func n(v int) types.AttributeValue         { return num(strconv.Itoa(v)) }
func ss(v ...string) types.AttributeValue  { return &types.AttributeValueMemberSS{Value: v} }
func ns(v ...string) types.AttributeValue  { return &types.AttributeValueMemberNS{Value: v} }
func yes(v bool) types.AttributeValue      { return &types.AttributeValueMemberBOOL{Value: v} }
func nothing(v bool) types.AttributeValue  { return &types.AttributeValueMemberNULL{Value: v} }
func binary(v string) types.AttributeValue { return &types.AttributeValueMemberB{Value: []byte(v)} }
func object(v row) types.AttributeValue    { return &types.AttributeValueMemberM{Value: v} }
func list(v ...types.AttributeValue) types.AttributeValue {
	return &types.AttributeValueMemberL{Value: v}
}

func with(base row, more ...row) row {
	out := maps.Clone(base)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}

// key is a key in the case's partition.
func (b bench) key(sk string) row { return row{"pk": s(b.partition), "sk": s(sk)} }

func (b bench) put(items ...row) {
	b.Helper()
	for _, it := range items {
		if err := b.tryPut(it); err != nil {
			b.Fatal(err)
		}
	}
}

func (b bench) tryPut(it row) error {
	_, err := b.client.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: &b.table, Item: it})
	return err
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

// same compares an item with what it should be.
func (b bench) same(what string, got, want row) {
	b.Helper()
	if diff := cmp.Diff(texts(want), texts(got)); diff != "" {
		b.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// refused checks the code of an error.
func (b bench) refused(err error, want string) {
	b.Helper()
	if got := code(err); got != want {
		b.Errorf("err = %v, want %s", err, want)
	}
}

// refusedUnless checks for the documented code, or for the one that DynamoDB Local answers instead;
// "<nil>" stands for success.
func (b bench) refusedUnless(err error, documented, local string) {
	b.Helper()
	if b.local {
		documented = local
	}
	b.refused(err, documented)
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

// texts converts an item for comparison and for messages. Sets are sorted.
func texts(it row) map[string]string {
	out := map[string]string{}
	for name, v := range it {
		out[name] = text(v)
	}
	return out
}

func text(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return strconv.Quote(v.Value)
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberBOOL:
		return strconv.FormatBool(v.Value)
	case *types.AttributeValueMemberNULL:
		return "null"
	case *types.AttributeValueMemberB:
		return fmt.Sprintf("bytes %q", v.Value)
	case *types.AttributeValueMemberSS:
		return fmt.Sprintf("set %q", slices.Sorted(slices.Values(v.Value)))
	case *types.AttributeValueMemberNS:
		return fmt.Sprintf("numbers %q", slices.Sorted(slices.Values(v.Value)))
	case *types.AttributeValueMemberL:
		var parts []string
		for _, e := range v.Value {
			parts = append(parts, text(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *types.AttributeValueMemberM:
		return fmt.Sprint(texts(v.Value)) // in the order of the names
	}
	return fmt.Sprintf("%T", v)
}

// named returns the values that an expression refers to; DynamoDB refuses others.
func named(values row, expressions ...string) row {
	out := row{}
	for _, word := range strings.FieldsFunc(strings.Join(expressions, " "), func(r rune) bool { return strings.ContainsRune(" \t\r\n(),=<>+", r) }) {
		if v, ok := values[word]; ok {
			out[word] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// orNil returns nil for an empty expression, which a request must not have.
func orNil(expression string) *string {
	if expression == "" {
		return nil
	}
	return &expression
}
