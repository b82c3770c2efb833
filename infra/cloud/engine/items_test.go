package engine_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestValues(t *testing.T) {
	onBoth(t, func(b bench) {
		for name, test := range map[string]struct{ stored, read types.AttributeValue }{
			"text":                            {s("beta"), s("beta")},
			"empty text":                      {s(""), s("")},
			"text beyond ASCII":               {s("é😀\n\"\\<>&"), s("é😀\n\"\\<>&")},
			"truth":                           {yes(true), yes(true)},
			"untruth":                         {yes(false), yes(false)},
			"nothing":                         {nothing(true), nothing(true)},
			"nothing that is something":       {nothing(false), nil},
			"bytes":                           {binary("\x00\xff"), binary("\x00\xff")},
			"no bytes":                        {binary(""), binary("")},
			"set":                             {ss("b", "a", ""), ss("", "a", "b")},
			"empty set":                       {ss(), nil},
			"set with a member twice":         {ss("a", "b", "a"), nil},
			"set of numbers":                  {ns("3", "1.50", "20"), ns("1.5", "3", "20")},
			"set with one number twice":       {ns("1", "1.0"), nil},
			"set with something else":         {ns("1", "one"), nil},
			"list":                            {list(n(1), s("x"), list(), object(row{"a": s("")})), list(n(1), s("x"), list(), object(row{"a": s("")}))},
			"map":                             {object(row{"a": n(1), "b": object(row{})}), object(row{"a": n(1), "b": object(row{})})},
			"map with an unnamed field":       {object(row{"": n(1)}), nil},
			"list with an empty set":          {list(ss()), nil},
			"number":                          {num("10"), num("10")},
			"negative number":                 {num("-7"), num("-7")},
			"number with needless zeros":      {num("0010.500"), num("10.5")},
			"number with a sign":              {num("+1"), num("1")},
			"negative zero":                   {num("-0"), num("0")},
			"number that starts at the point": {num("-.5"), num("-0.5")},
			"number that ends at the point":   {num("5."), num("5")},
			"number with exponent":            {num("1.5E+3"), num("1500")},
			"number with small exponent":      {num("12e-3"), num("0.012")},
			"largest 64 bit number":           {num("9223372036854775807"), num("9223372036854775807")},
			"one beyond 64 bits":              {num("9223372036854775808"), num("9223372036854775808")},
			"38 digits":                       {num("12345678901234567890123456789012345678"), num("12345678901234567890123456789012345678")},
			"38 digits with zeros":            {num("123456789012345678901234567890123456780000"), num("123456789012345678901234567890123456780000")},
			"38 digits after the point":       {num("0.00012345678901234567890123456789012345678"), num("0.00012345678901234567890123456789012345678")},
			"digits far after the point":      {num("1." + strings.Repeat("0", 170) + "1"), nil},
			"39 digits":                       {num("123456789012345678901234567890123456789"), nil},
			"smallest number":                 {num("1e-130"), num("0." + strings.Repeat("0", 129) + "1")},
			"too small a number":              {num("1e-131"), nil},
			"largest number":                  {num("-9.99e125"), num("-999" + strings.Repeat("0", 123))},
			"too large a number":              {num("1e126"), nil},
			"much too large a number":         {num("1e999999999"), nil},
			"no number":                       {num("one"), nil},
			"not a number":                    {num("NaN"), nil},
			"empty number":                    {num(""), nil},
			"number in spaces":                {num(" 1"), nil},
			"hexadecimal number":              {num("0x10"), nil},
			"number with underscores":         {num("1_000"), nil},
			"fraction":                        {num("1/2"), nil},
			"number without exponent":         {num("1e"), nil},
		} {
			b.run(name, func(c bench) {
				err := c.tryPut(with(c.key("s"), row{"a": test.stored}))
				if test.read == nil {
					c.refused(err, invalid)
					return
				}
				if err != nil {
					c.Fatal(err)
				}
				c.same("item", c.get(c.key("s")), with(c.key("s"), row{"a": test.read}))
			})
		}
		b.run("attribute without a name", func(c bench) {
			c.refused(c.tryPut(with(c.key("s"), row{"": n(1)})), invalid)
		})
	})
}

func TestKeys(t *testing.T) {
	long := strings.Repeat("k", 2049)
	onBoth(t, func(b bench) {
		for name, test := range map[string]struct {
			pk, sk types.AttributeValue
			valid  bool
		}{
			"longest":                {s(long[:2048]), s(long[:1024]), true},
			"too long a partition":   {s(long), s("s"), false},
			"too long a sort key":    {s("p"), s(long[:1025]), false},
			"sort key beyond ASCII":  {s("p"), s("é😀"), true},
			"empty partition":        {s(""), s("s"), false},
			"empty sort key":         {s("p"), s(""), false},
			"number as partition":    {n(1), s("s"), false},
			"number as sort key":     {s("p"), n(1), false},
			"partition without sort": {s("p"), nil, false},
			"sort without partition": {nil, s("s"), false},
		} {
			b.run(name, func(c bench) {
				k := row{}
				for attribute, v := range (row{"pk": test.pk, "sk": test.sk}) {
					if v != nil {
						k[attribute] = v
					}
				}
				_, getErr := c.client.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: &c.table, Key: k})
				_, deleteErr := c.client.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: &c.table, Key: k})
				_, batchErr := c.client.BatchGetItem(c.Context(), &dynamodb.BatchGetItemInput{
					RequestItems: map[string]types.KeysAndAttributes{c.table: {Keys: []row{k}}},
				})
				for operation, err := range map[string]error{
					"PutItem": c.tryPut(k), "GetItem": getErr, "DeleteItem": deleteErr, "BatchGetItem": batchErr,
					"UpdateItem": c.update(k, "SET a = :v", row{":v": n(1)}),
				} {
					if test.valid && err != nil || !test.valid && code(err) != invalid {
						c.Errorf("%s: err = %v", operation, err)
					}
				}
			})
		}
		b.run("an item's key with another attribute is no key", func(c bench) {
			_, err := c.client.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: &c.table, Key: with(c.key("s"), row{"a": n(1)})})
			c.refused(err, invalid)
		})
		b.run("an item that is not there is no error", func(c bench) {
			if got := c.get(c.key("s")); got != nil {
				c.Errorf("got %v", got)
			}
			if _, err := c.client.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: &c.table, Key: c.key("s")}); err != nil {
				c.Error(err)
			}
		})
		b.run("a put replaces the whole item", func(c bench) {
			c.put(with(c.key("s"), row{"a": n(1), "b": n(2)}), with(c.key("s"), row{"b": n(3)}))
			c.same("item", c.get(c.key("s")), with(c.key("s"), row{"b": n(3)}))
		})
		for name, entry := range map[string]row{
			"empty partition of an index":        {"expiry_bucket": s("")},
			"empty sort key of an index":         {"expiry_bucket": s("b"), "expiry_order": s("")},
			"number as partition of an index":    {"expiry_bucket": n(1), "expiry_order": s("o")},
			"number as half a key of an index":   {"expiry_bucket": n(1)},
			"list as sort key of an index":       {"expiry_order": list()},
			"too long a partition of an index":   {"expiry_bucket": s(long), "expiry_order": s("o")},
			"too long a sort key of an index":    {"expiry_bucket": s("b"), "expiry_order": s(long[:1025])},
			"too long a half of an index's keys": {"expiry_order": s(long[:1025])},
		} {
			b.run(name, func(c bench) {
				c.refused(c.tryPut(with(c.key("s"), entry)), invalid)
				if got := c.get(c.key("s")); got != nil {
					c.Errorf("stored: %v", got)
				}
			})
		}
	})
}

// The limit of 400 KB counts the bytes of names and values, each type in its own way ("DynamoDB item sizes
// and formats", developer guide).
func TestItemSize(t *testing.T) {
	values, size := row{}, 0
	for name, v := range map[string]struct {
		v     types.AttributeValue
		bytes int
	}{
		"text":         {s("é"), 2},
		"even_number":  {num("1773907200"), 5},
		"odd_number":   {num("123"), 3},
		"round_number": {num("-100"), 3},
		"half_number":  {num("0.05"), 2},
		"zero":         {n(0), 1},
		"texts":        {ss("a", "bc"), 3},
		"numbers":      {ns("1", "23"), 4},
		"truth":        {yes(true), 1},
		"nested":       {list(s("a"), object(row{"x": s("a")}), nothing(true)), 3 + 2 + 7 + 2},
		"empty_list":   {list(), 3},
		"bytes":        {binary("abc"), 3},
	} {
		values[name] = v.v
		size += len(name) + v.bytes
	}
	onBoth(t, func(b bench) {
		it := with(b.key("s"), values)
		filler := 400<<10 - len("pk") - len(b.partition) - len("sk") - len("s") - size - len("filler")
		it["filler"] = s(strings.Repeat("x", filler))
		b.put(it)
		b.refused(b.update(b.key("s"), "SET a = :v", row{":v": s("")}), invalid)
		it["filler"] = s(strings.Repeat("x", filler+1))
		b.refused(b.tryPut(it), invalid)
	})
}

// The embedded engine deletes nothing by time to live, which in DynamoDB may lag for days: code that relies
// on it must fail here. DynamoDB Local may delete an expired item at any moment, so it has no such test.
func TestExpiredItemsStay(t *testing.T) {
	b := bothEngines["embedded engine"](t)
	it := with(b.key("s"), row{"delete_after": n(1)})
	b.put(it)
	b.same("item", b.get(b.key("s")), it)
}

func TestTables(t *testing.T) {
	define := func(name string) *dynamodb.CreateTableInput {
		attribute := func(name string) types.AttributeDefinition {
			return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
		}
		key := func(name string, kind types.KeyType) types.KeySchemaElement {
			return types.KeySchemaElement{AttributeName: &name, KeyType: kind}
		}
		return &dynamodb.CreateTableInput{
			TableName: &name, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{attribute("a"), attribute("b"), attribute("c"), attribute("d")},
			KeySchema:            []types.KeySchemaElement{key("a", types.KeyTypeHash), key("b", types.KeyTypeRange)},
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
				IndexName:  aws.String("index"),
				KeySchema:  []types.KeySchemaElement{key("c", types.KeyTypeHash), key("d", types.KeyTypeRange)},
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"e"}},
			}},
		}
	}
	onBoth(t, func(b bench) {
		b.run("a table is described as it was made", func(c bench) {
			in := define(c.partition)
			if _, err := c.client.CreateTable(c.Context(), in); err != nil {
				c.Fatal(err)
			}
			out, err := c.client.DescribeTable(c.Context(), &dynamodb.DescribeTableInput{TableName: in.TableName})
			if err != nil {
				c.Fatal(err)
			}
			table := out.Table
			if *table.TableName != *in.TableName || table.TableStatus != types.TableStatusActive || len(table.AttributeDefinitions) != 4 ||
				*table.KeySchema[0].AttributeName != "a" || *table.KeySchema[1].AttributeName != "b" {
				c.Errorf("table = %+v", table)
			}
			if index := table.GlobalSecondaryIndexes[0]; *index.IndexName != "index" || index.IndexStatus != types.IndexStatusActive ||
				*index.KeySchema[0].AttributeName != "c" || index.Projection.NonKeyAttributes[0] != "e" {
				c.Errorf("index = %+v", index)
			}
			_, err = c.client.CreateTable(c.Context(), in)
			c.refused(err, "ResourceInUseException")
			if _, err = c.client.DeleteTable(c.Context(), &dynamodb.DeleteTableInput{TableName: in.TableName}); err != nil {
				c.Error(err)
			}
			_, err = c.client.DescribeTable(c.Context(), &dynamodb.DescribeTableInput{TableName: in.TableName})
			c.refused(err, "ResourceNotFoundException")
			_, err = c.client.DeleteTable(c.Context(), &dynamodb.DeleteTableInput{TableName: in.TableName})
			c.refused(err, "ResourceNotFoundException")
		})
		for name, spoil := range map[string]func(*dynamodb.CreateTableInput){
			"too short a name":     func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("tt") },
			"a name with a space":  func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("a table") },
			"a key without a type": func(in *dynamodb.CreateTableInput) { in.AttributeDefinitions = in.AttributeDefinitions[1:] },
			"no partition key":     func(in *dynamodb.CreateTableInput) { in.KeySchema = in.KeySchema[1:] },
			"a type without a key": func(in *dynamodb.CreateTableInput) { in.GlobalSecondaryIndexes = nil },
			"one key twice":        func(in *dynamodb.CreateTableInput) { in.KeySchema = append(in.KeySchema, in.KeySchema[1]) },
			"an index without keys": func(in *dynamodb.CreateTableInput) {
				in.GlobalSecondaryIndexes[0].KeySchema = []types.KeySchemaElement{}
			},
		} {
			b.run(name, func(c bench) {
				in := define(c.partition)
				spoil(in)
				_, err := c.client.CreateTable(c.Context(), in)
				c.refused(err, invalid)
			})
		}
		b.run("time to live is on, and cannot be switched on again", func(c bench) { // tabledef.Create has
			_, err := c.client.UpdateTimeToLive(c.Context(), &dynamodb.UpdateTimeToLiveInput{
				TableName:               &c.table,
				TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("delete_after"), Enabled: aws.Bool(true)},
			})
			c.refused(err, invalid)
		})
		b.run("a table that is not there is named as such", func(c bench) {
			absent := c
			absent.table = "absent-table"
			_, getErr := c.client.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: &absent.table, Key: c.key("s")})
			_, queryErr := c.client.Query(c.Context(), &dynamodb.QueryInput{
				TableName: &absent.table, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: row{":p": s("p")},
			})
			_, batchErr := c.client.BatchGetItem(c.Context(), &dynamodb.BatchGetItemInput{
				RequestItems: map[string]types.KeysAndAttributes{c.table: {Keys: []row{c.key("s")}}, absent.table: {Keys: []row{c.key("s")}}},
			})
			for operation, err := range map[string]error{
				"GetItem": getErr, "Query": queryErr, "BatchGetItem": batchErr, "PutItem": absent.tryPut(c.key("s")),
				"TransactWriteItems": c.transact(nil, c.writePut(c.key("s"), ""), absent.writePut(c.key("s"), "")),
			} {
				if code(err) != "ResourceNotFoundException" {
					c.Errorf("%s: err = %v", operation, err)
				}
			}
		})
	})
}
