package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestConditions(t *testing.T) {
	attributes := row{
		"n": n(10), "a": s("beta"), "tags": ss("x", "y"), "l": list(n(1), s("one")), "flag": yes(true), "nul": nothing(true),
		"bin": binary("beta"), "m": object(row{"x": n(1)}), "numbers": ns("9", "10"), "half": num("0.5"), "one": n(1),
	}
	values := row{
		":nine": n(9), ":ten": num("10.0"), ":one": n(1), ":third": num("0.3"), ":beta": s("beta"), ":be": s("be"), ":et": s("et"), ":x": s("x"), ":empty": s(""),
		":xy": ss("y", "x"), ":yes": yes(true), ":null": nothing(true), ":raw": binary("be"), ":l": list(n(1), s("one")), ":m": object(row{"x": n(1)}), ":l2": list(n(1), s("two")), ":m2": object(row{"x": n(2)}), ":nine_text": s("9"),
	}
	const holds, fails, refused = "holds", "fails", "is refused"
	onBoth(t, func(b bench) {
		it := with(b.key("s"), attributes)
		b.put(it)
		for expression, want := range map[string]string{
			"attribute_exists(pk)":                   holds,
			"attribute_exists(zz)":                   fails,
			"attribute_not_exists(pk)":               fails,
			"attribute_not_exists(zz)":               holds,
			"attribute_exists (#alias)":              holds,
			"attribute_exists(nul)":                  holds,
			"attribute_exists(:x)":                   refused,
			"attribute_exists(a, n)":                 refused,
			"ATTRIBUTE_EXISTS(a)":                    refused,
			"attribute_exists(#unnamed)":             refused,
			"nonsense(a)":                            refused,
			"n = :nine":                              fails,
			"n = :ten":                               holds,
			":ten = n":                               holds,
			":ten = :nine":                           fails,
			"n > :nine":                              holds,
			"n >= :ten AND n <= :ten":                holds,
			"n < :ten":                               fails,
			"half > :third":                          holds,
			"a >= :be":                               holds,
			"a > bin":                                fails,
			"bin >= :raw":                            holds,
			"a < :ten":                               fails,
			"NOT a < :ten":                           holds,
			"zz = :ten":                              fails,
			"zz < :ten":                              fails,
			"NOT zz < :ten":                          holds,
			"zz = yy":                                fails,
			"tags = :xy":                             holds,
			"flag = :yes":                            holds,
			"nul = :null":                            holds,
			"nul = :yes":                             fails,
			"l = :l":                                 holds,
			"m = :m":                                 holds,
			"l = :l2":                                fails,
			"m = :m2":                                fails,
			"n = n":                                  refused,
			"n = #n":                                 refused,
			"n < :xy":                                refused,
			"zz < :yes":                              refused,
			"n > :null":                              refused,
			"n <= :l":                                refused,
			"tags < n":                               fails,
			"n BETWEEN :nine AND :ten":               holds,
			"n BETWEEN :ten AND :ten":                holds,
			"n BETWEEN :be AND :x":                   fails,
			"zz BETWEEN :nine AND :ten":              fails,
			":ten BETWEEN :nine AND n":               holds,
			"n BETWEEN :ten AND :nine":               refused,
			"n BETWEEN :nine AND :beta":              refused,
			"n BETWEEN :yes AND :yes":                refused,
			"n BETWEEN :nine AND n":                  refused,
			"a BETWEEN :empty AND :x":                holds,
			"begins_with(a, :be)":                    holds,
			"begins_with(a, :empty)":                 holds,
			"begins_with(:beta, a)":                  holds,
			"begins_with(a, :et)":                    fails,
			"begins_with(zz, :be)":                   fails,
			"begins_with(n, :be)":                    fails,
			"begins_with(a, n)":                      fails,
			"begins_with(n, one)":                    fails,
			"begins_with(bin, :raw)":                 holds,
			"begins_with(bin, :be)":                  fails,
			"begins_with(zz, :nine)":                 refused,
			"begins_with(:nine, a)":                  refused,
			"begins_with(a, a)":                      refused,
			"begins_with(a)":                         refused,
			"contains(tags, :x)":                     holds,
			"contains(tags, :be)":                    fails,
			"contains(tags, :nine)":                  fails,
			"contains(tags, :xy)":                    fails,
			"contains(tags, a)":                      fails,
			"contains(numbers, :ten)":                holds,
			"contains(numbers, :nine_text)":          fails,
			"contains(a, :et)":                       holds,
			"contains(a, :empty)":                    holds,
			"contains(a, :nine)":                     fails,
			"contains(n, :one)":                      fails,
			"contains(n, half)":                      fails,
			"contains(bin, :raw)":                    holds,
			"contains(l, :one)":                      holds,
			"contains(l, :et)":                       fails,
			"contains(flag, :yes)":                   fails,
			"contains(zz, :x)":                       fails,
			"NOT contains(zz, :x)":                   holds,
			"contains(a, a)":                         refused,
			"n < :nine OR a = :beta":                 holds,
			"NOT n < :nine":                          holds,
			"NOT NOT n = :ten":                       holds,
			"not a = :beta and n = :ten":             fails,
			"NOT (n = :ten AND a = :be)":             holds,
			"NOT n = :ten AND a = :be":               fails,
			"n=:ten AND(a=:beta)":                    holds,
			"(n = :ten)":                             holds,
			"((n = :ten) AND (a = :be))":             fails,
			"((n = :ten) OR a = :be)":                holds,
			"((n = :ten))":                           refused,
			"NOT ((n = :ten))":                       refused,
			"(((n = :ten) OR a = :beta))":            refused,
			"n\t=\r\n:ten":                           holds,
			"a = :beta OR n = :nine AND zz = :ten":   holds,
			"(a = :beta OR n = :nine) AND zz = :ten": fails,
			"attribute_not_exists(zz) OR zz < :ten":  holds,
			"attribute_not_exists(tags) OR NOT contains(tags, :x)":                           fails,
			"attribute_exists(pk) AND (attribute_not_exists(zz) OR zz <= :ten) AND n = :ten": holds,
			"attribute_exists(pk) AND attribute_not_exists(zz) AND n = :nine":                fails,
			"pk = :x AND sk = :x": fails,
			"A = :beta":           fails, // names have case
			"a = :undefined":      refused,
			"a = beta'":           refused,
			"n = 10":              refused,
			"a == :beta":          refused,
			"a != :beta":          refused,
			"a = :beta AND":       refused,
			"AND a = :beta":       refused,
			"(a = :beta":          refused,
			"a = :beta)":          refused,
			"a":                   refused,
			":yes":                refused,
			"  ":                  refused,
			"name = :beta":        refused, // reserved
			"Level = :beta":       refused,
			"#alias = :beta":      holds,
			"_a = :beta":          refused,
			"a-b = :beta":         refused,
		} {
			b.run(expression, func(c bench) {
				c.partition = b.partition
				aliases := map[string]string{}
				for alias, name := range map[string]string{"#alias": "a", "#n": "n"} {
					if strings.Contains(expression, alias) {
						aliases[alias] = name
					}
				}
				if len(aliases) == 0 {
					aliases = nil
				}
				_, err := c.client.PutItem(c.Context(), &dynamodb.PutItemInput{
					TableName: &c.table, Item: it, ConditionExpression: &expression,
					ExpressionAttributeNames: aliases, ExpressionAttributeValues: named(values, expression),
					ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
				})
				got := holds
				var failure *types.ConditionalCheckFailedException
				switch {
				case errors.As(err, &failure):
					got = fails
					c.same("item in the error", failure.Item, it)
				case code(err) == invalid:
					got = refused
				case err != nil:
					c.Fatal(err)
				}
				if got != want {
					c.Errorf("it %s, want that it %s: %v", got, want, err)
				}
			})
		}
	})
}

func TestConditionsOfSingleWrites(t *testing.T) {
	onBoth(t, func(b bench) {
		b.run("an absent item fails with no item", func(c bench) {
			_, err := c.client.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{
				TableName: &c.table, Key: c.key("s"), ConditionExpression: aws.String("attribute_exists(pk)"),
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			})
			var failure *types.ConditionalCheckFailedException
			if !errors.As(err, &failure) || failure.Item != nil {
				c.Errorf("err = %v with %v", err, failure)
			}
		})
		b.run("the item is not in the error unless asked for", func(c bench) {
			c.put(c.key("s"))
			_, err := c.client.PutItem(c.Context(), &dynamodb.PutItemInput{
				TableName: &c.table, Item: c.key("s"), ConditionExpression: aws.String("attribute_not_exists(pk)"),
			})
			var failure *types.ConditionalCheckFailedException
			if !errors.As(err, &failure) || failure.Item != nil {
				c.Errorf("err = %v with %v", err, failure)
			}
		})
		b.run("a failed condition comes before an update that cannot be applied", func(c bench) {
			_, err := c.client.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{
				TableName: &c.table, Key: c.key("s"), UpdateExpression: aws.String("SET a = zz"), ConditionExpression: aws.String("attribute_exists(pk)"),
			})
			c.refused(err, failed)
		})
		b.run("nothing is written when a condition fails", func(c bench) {
			it := with(c.key("s"), row{"a": n(1)})
			c.put(it)
			_, err := c.client.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{
				TableName: &c.table, Key: c.key("s"), UpdateExpression: aws.String("SET a = :v"), ConditionExpression: aws.String("a = :v"),
				ExpressionAttributeValues: row{":v": n(2)},
			})
			c.refused(err, failed)
			c.same("item", c.get(c.key("s")), it)
		})
		for name, in := range map[string]dynamodb.PutItemInput{
			"empty expression":             {ConditionExpression: aws.String("")},
			"unused value":                 {ConditionExpression: aws.String("attribute_exists(pk)"), ExpressionAttributeValues: row{":v": n(1)}},
			"unused name":                  {ConditionExpression: aws.String("attribute_exists(pk)"), ExpressionAttributeNames: map[string]string{"#n": "n"}},
			"no values":                    {ConditionExpression: aws.String("attribute_exists(pk)"), ExpressionAttributeValues: row{}},
			"no names":                     {ConditionExpression: aws.String("attribute_exists(pk)"), ExpressionAttributeNames: map[string]string{}},
			"empty name":                   {ConditionExpression: aws.String("attribute_exists(#n)"), ExpressionAttributeNames: map[string]string{"#n": ""}},
			"values without an expression": {ExpressionAttributeValues: row{":v": n(1)}},
			"names without an expression":  {ExpressionAttributeNames: map[string]string{"#n": "n"}},
			"unknown choice of old values": {ReturnValuesOnConditionCheckFailure: "SOME_OLD"},
		} {
			b.run(name, func(c bench) {
				in.TableName, in.Item = &c.table, c.key("s")
				_, err := c.client.PutItem(c.Context(), &in)
				c.refused(err, invalid)
			})
		}
	})
}

func TestUpdates(t *testing.T) {
	values := row{
		":one": n(1), ":two": n(2), ":minus": n(-3), ":half": num("1.5"), ":most": num(strings.Repeat("9", 38)), ":x": s("x"), ":empty": s(""),
		":yz": ss("z", "y"), ":numbers": ns("1", "2"), ":l": list(n(1)), ":m": object(row{"a": n(1), "b": ss("x")}), ":yes": yes(true), ":null": nothing(true),
	}
	onBoth(t, func(b bench) {
		for name, test := range map[string]struct {
			before     row // nil for no item
			expression string
			after      row // nil where it is refused
		}{
			"set writes values of every type": {row{"a": n(1)}, "SET a = :x, b = :m, c = :l, d = :yes, e = :null, f = :empty, g = :yz",
				row{"a": s("x"), "b": values[":m"], "c": values[":l"], "d": yes(true), "e": nothing(true), "f": s(""), "g": ss("y", "z")}},
			"set copies from the item as it was":    {row{"a": n(1), "b": n(2)}, "SET a = b, b = a", row{"a": n(2), "b": n(1)}},
			"set copies what the same update sums":  {row{"a": n(1)}, "SET a = a + :one, b = a", row{"a": n(2), "b": n(1)}},
			"set copies what the same update adds":  {row{"a": n(1)}, "ADD a :one SET b = a", row{"a": n(2), "b": n(1)}},
			"set copies what the same update takes": {row{"a": n(1)}, "REMOVE a SET b = a", row{"b": n(1)}},
			"set copies to itself":                  {row{"a": n(1)}, "SET a = a", row{"a": n(1)}},
			"set copies a key":                      {row{}, "SET a = sk", row{"a": s("s")}},
			"sum of attribute and value":            {row{"a": n(1)}, "SET b = a + :one", row{"a": n(1), "b": n(2)}},
			"sum of value and attribute":            {row{"a": n(1)}, "SET a = :minus + a", row{"a": n(-2)}},
			"sum of attributes":                     {row{"a": n(1), "b": n(2)}, "SET c = a + b", row{"a": n(1), "b": n(2), "c": n(3)}},
			"sum of values":                         {nil, "SET a = :one + :half", row{"a": num("2.5")}},
			"sum of large numbers stays exact":      {row{"a": num("9007199254740990")}, "SET a = a + :two", row{"a": num("9007199254740992")}},
			"sum with round digits":                 {nil, "SET a = :most + :one", row{"a": num("1" + strings.Repeat("0", 38))}},
			"sum with too many digits":              {nil, "SET a = :most + :two", nil},
			"sum of three":                          {nil, "SET a = :one + :one + :one", nil},
			"sum of an absent attribute":            {row{"a": n(1)}, "SET b = zz + :one", nil},
			"sum of a text":                         {row{"a": s("x")}, "SET b = a + :one", nil},
			"sum of a literal text":                 {row{"a": n(1)}, "SET b = a + :x", nil},
			"add creates and sums":                  {row{"a": n(1)}, "ADD a :two, b :two", row{"a": n(3), "b": n(2)}},
			"add subtracts":                         {row{"a": n(1)}, "ADD a :minus", row{"a": n(-2)}},
			"add with too many digits":              {row{"a": n(2)}, "ADD a :most", nil},
			"add to a text":                         {row{"a": s("x")}, "ADD a :one", nil},
			"add grows sets":                        {row{"a": ss("x", "y")}, "ADD a :yz, b :yz", row{"a": ss("x", "y", "z"), "b": ss("y", "z")}},
			"add grows sets of numbers":             {row{"a": ns("2", "10")}, "ADD a :numbers", row{"a": ns("1", "2", "10")}},
			"add of a set to a number":              {row{"a": n(1)}, "ADD a :yz", nil},
			"add of a number to a set":              {row{"a": ss("x")}, "ADD a :one", nil},
			"add of numbers to a set of texts":      {row{"a": ss("x")}, "ADD a :numbers", nil},
			"add of a text":                         {nil, "ADD a :x", nil},
			"add of a list":                         {nil, "ADD a :l", nil},
			"add of a truth":                        {nil, "ADD a :yes", nil},
			"add of an attribute":                   {row{"a": n(1)}, "ADD a a", nil},
			"remove takes attributes away":          {row{"a": n(1), "b": n(2)}, "REMOVE a, zz", row{"b": n(2)}},
			"remove from nothing makes an item":     {nil, "REMOVE a", row{}},
			"sections in any order and case":        {row{"a": n(1)}, "remove a add n :one Set b = :x", row{"n": n(1), "b": s("x")}},
			"a new item gets its key":               {nil, "SET a = :one", row{"a": n(1)}},
			"no expression makes an item":           {nil, "", row{}},
			"no expression changes no item":         {row{"a": n(1)}, "", row{"a": n(1)}},
			"the index's keys come and go":          {row{"expiry_bucket": s("b"), "expiry_order": s("o")}, "SET expiry_order = :x REMOVE expiry_bucket", row{"expiry_order": s("x")}},
			"empty key of an index":                 {row{"a": n(1)}, "SET expiry_bucket = :empty", nil},
			"truth as key of an index":              {row{"a": n(1)}, "SET expiry_bucket = :yes", nil},
			"set as key of an index":                {row{"a": n(1)}, "ADD expiry_order :yz", nil},
			"absent operand":                        {row{"a": n(1)}, "SET b = zz", nil},
			"absent operand of an absent item":      {nil, "SET b = zz", nil},
			"reserved word":                         {nil, "SET name = :one", nil},
			"undefined value":                       {nil, "SET a = :undefined", nil},
			"key attribute":                         {nil, "SET sk = :x", nil},
			"removal of a key attribute":            {row{"a": n(1)}, "REMOVE pk", nil},
			"one section twice":                     {nil, "SET a = :one SET b = :one", nil},
			"one attribute twice":                   {nil, "SET a = :one, a = :one", nil},
			"one attribute in two sections":         {nil, "SET a = :one REMOVE a", nil},
			"one attribute removed twice":           {row{"a": n(1)}, "REMOVE a, a", nil},
			"unknown section":                       {nil, "UPDATE a = :one", nil},
			"section without changes":               {nil, "SET", nil},
			"change without a value":                {nil, "SET a = ", nil},
			"change without a sign":                 {nil, "SET a :one", nil},
			"trailing comma":                        {nil, "REMOVE a,", nil},
			"trailing words":                        {nil, "REMOVE a b", nil},
			"value as target":                       {nil, "SET :x = :one", nil},
			"predicate as value":                    {nil, "SET a = attribute_exists(b)", nil},
			"condition as value":                    {nil, "SET a = b AND c", nil},
			"white space alone":                     {nil, "  ", nil},
		} {
			b.run(name, func(c bench) {
				k := c.key("s")
				var before row
				if test.before != nil {
					before = with(k, test.before)
					c.put(before)
				}
				_, err := c.client.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{
					TableName: &c.table, Key: k, UpdateExpression: orNil(test.expression), ExpressionAttributeValues: named(values, test.expression),
				})
				if test.after == nil {
					c.refused(err, invalid)
					c.same("item", c.get(k), before)
					return
				}
				if err != nil {
					c.Fatal(err)
				}
				c.same("item", c.get(k), with(k, test.after))
			})
		}
		// "Leading and trailing zeroes are trimmed" ("Data types", developer guide). DynamoDB Local trims them in a put
		// but not in an update.
		b.run("set writes numbers without needless zeros", func(c bench) {
			if err := c.update(c.key("s"), "SET a = :v", row{":v": num("01.50")}); err != nil {
				c.Fatal(err)
			}
			want := num("1.5")
			if c.local {
				want = num("01.50")
			}
			c.same("item", c.get(c.key("s")), with(c.key("s"), row{"a": want}))
		})
		// The keys of an index have a declared type (CreateTable, API reference: AttributeDefinitions), and
		// TransactWriteItems documents the error "The update expression attempted to update the secondary index key
		// to unsupported type". DynamoDB Local accepts a number here, although it refuses a truth value.
		b.run("number as key of an index", func(c bench) {
			c.refusedUnless(c.update(c.key("s"), "SET expiry_bucket = :v", row{":v": n(1)}), invalid, "<nil>")
		})
	})
}

// DynamoDB Local lets some words pass that "Reserved words in DynamoDB" (developer guide) lists, so this
// test is for the embedded engine only.
func TestReservedWords(t *testing.T) {
	b := bothEngines["embedded engine"](t)
	for _, word := range []string{"CONVERT", "size", "Cursor"} {
		b.refused(b.update(b.key("s"), "REMOVE "+word, nil), invalid)
	}
	if err := b.update(b.key("s"), "REMOVE digest", nil); err != nil {
		b.Error(err)
	}
}

// The embedded engine refuses the features of DynamoDB that the product does not use, and the message
// names the engine. If it answered such a request wrongly, code could pass its tests here and fail in AWS.
func TestWhatIsNotSupportedIsRefused(t *testing.T) {
	b := bothEngines["embedded engine"](t)
	b.put(with(b.key("s"), row{"a": n(1), "l": list(n(1)), "m": object(row{"x": n(1)}), "tags": ss("x")}))
	values := row{":one": n(1), ":x": s("x"), ":p": s(b.partition), ":l": list(n(1)), ":tags": ss("x")}
	check := func(name, wantCode string, do func() error) {
		b.Run(name, func(t *testing.T) {
			if err := do(); code(err) != wantCode || !strings.Contains(err.Error(), "embedded engine") {
				t.Errorf("err = %v, want %s of the embedded engine", err, wantCode)
			}
		})
	}
	for _, condition := range []string{
		"a <> :one", "a IN (:one)", "size(a) = :one", "attribute_type(a, :x)", "m.x = :one", "l[0] = :one", "(a) = :one", "attribute_exists(m.x)",
	} {
		check("condition "+condition, invalid, func() error {
			_, err := b.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
				TableName: &b.table, Key: b.key("s"), ConditionExpression: &condition, ExpressionAttributeValues: named(values, condition),
			})
			return err
		})
	}
	for _, expression := range []string{
		"SET a = a - :one", "SET a = if_not_exists(a, :one)", "SET l = list_append(l, :l)", "SET m.x = :one", "SET l[0] = :one", "REMOVE l[0]", "DELETE tags :tags", "SET b = (a)",
	} {
		check("update "+expression, invalid, func() error { return b.update(b.key("s"), expression, named(values, expression)) })
	}
	query := func(change func(*dynamodb.QueryInput)) func() error {
		in := &dynamodb.QueryInput{TableName: &b.table, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: row{":p": values[":p"]}}
		change(in)
		return func() error {
			_, err := b.client.Query(t.Context(), in)
			return err
		}
	}
	check("parts of attributes in a projection", invalid, query(func(in *dynamodb.QueryInput) { in.ProjectionExpression = aws.String("m.x") }))
	check("Select", invalid, query(func(in *dynamodb.QueryInput) { in.Select = types.SelectCount }))
	check("KeyConditions", invalid, query(func(in *dynamodb.QueryInput) {
		in.KeyConditions = map[string]types.Condition{"pk": {ComparisonOperator: "EQ"}}
	}))
	check("operands of a key condition in the other order", invalid, query(func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String(":p = pk") }))
	check("consumed capacity", invalid, query(func(in *dynamodb.QueryInput) { in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal }))
	check("segments of a scan", invalid, func() error {
		_, err := b.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &b.table, Segment: aws.Int32(0), TotalSegments: aws.Int32(2)})
		return err
	})
	check("scan of an index", invalid, func() error {
		_, err := b.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &b.table, IndexName: aws.String("expiry-index")})
		return err
	})
	check("projection of one item", invalid, func() error {
		_, err := b.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &b.table, Key: b.key("s"), ProjectionExpression: aws.String("a")})
		return err
	})
	check("returned values", invalid, func() error {
		_, err := b.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: &b.table, Key: b.key("s"), ReturnValues: types.ReturnValueAllNew})
		return err
	})
	check("sets of bytes", invalid, func() error {
		return b.tryPut(with(b.key("s"), row{"a": &types.AttributeValueMemberBS{Value: [][]byte{{1}}}}))
	})
	check("time to live switched off", invalid, func() error {
		_, err := b.client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
			TableName: &b.table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("delete_after"), Enabled: aws.Bool(false)},
		})
		return err
	})
	create := func(change func(*dynamodb.CreateTableInput)) func() error {
		in := &dynamodb.CreateTableInput{
			TableName: aws.String("other"), BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("a"), AttributeType: "S"}, {AttributeName: aws.String("b"), AttributeType: "S"}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("a"), KeyType: "HASH"}, {AttributeName: aws.String("b"), KeyType: "RANGE"}},
		}
		change(in)
		return func() error {
			_, err := b.client.CreateTable(t.Context(), in)
			return err
		}
	}
	check("provisioned table", invalid, create(func(in *dynamodb.CreateTableInput) { in.BillingMode = types.BillingModeProvisioned }))
	check("table without sort key", invalid, create(func(in *dynamodb.CreateTableInput) {
		in.AttributeDefinitions, in.KeySchema = in.AttributeDefinitions[:1], in.KeySchema[:1]
	}))
	check("keys that are numbers", invalid, create(func(in *dynamodb.CreateTableInput) { in.AttributeDefinitions[1].AttributeType = "N" }))
	check("index of whole items", invalid, create(func(in *dynamodb.CreateTableInput) {
		in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{
			IndexName: aws.String("index"), KeySchema: slices.Clone(in.KeySchema), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}}
	}))
	check("local index", invalid, create(func(in *dynamodb.CreateTableInput) {
		in.LocalSecondaryIndexes = []types.LocalSecondaryIndex{{IndexName: aws.String("index"), KeySchema: in.KeySchema, Projection: &types.Projection{}}}
	}))
	check("stream", invalid, create(func(in *dynamodb.CreateTableInput) {
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true)}
	}))
	const unknown = "UnknownOperationException"
	check("ListTables", unknown, func() error {
		_, err := b.client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
		return err
	})
	check("DescribeTimeToLive", unknown, func() error {
		_, err := b.client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &b.table})
		return err
	})
	check("TransactGetItems", unknown, func() error {
		_, err := b.client.TransactGetItems(t.Context(), &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
			{Get: &types.Get{TableName: &b.table, Key: b.key("s")}},
		}})
		return err
	})
	check("ExecuteStatement", unknown, func() error {
		_, err := b.client.ExecuteStatement(t.Context(), &dynamodb.ExecuteStatementInput{Statement: aws.String("SELECT * FROM t")})
		return err
	})
}
