package engine_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// query asks for a page. The expressions may refer to values and to :p, the partition.
func (b bench) query(in dynamodb.QueryInput, values row) (*dynamodb.QueryOutput, error) {
	in.TableName = &b.table
	in.ExpressionAttributeValues = named(with(row{":p": s(b.partition)}, values),
		aws.ToString(in.KeyConditionExpression), aws.ToString(in.FilterExpression), aws.ToString(in.ProjectionExpression))
	return b.client.Query(b.Context(), &in)
}

// the returns one attribute of each item.
func the(attribute string, items []row) []string {
	values := []string{}
	for _, it := range items {
		if v, ok := it[attribute].(*types.AttributeValueMemberS); ok {
			values = append(values, v.Value)
		}
	}
	return values
}

func TestKeyConditions(t *testing.T) {
	values := row{":t": s("TOKEN#"), ":one": s("TOKEN#1"), ":two": s("TOKEN#2"), ":three": s("TOKEN#3"), ":other": s("other"), ":empty": s(""), ":number": n(1)}
	sorted := []string{"PROFILE", "TOKEN#1", "TOKEN#2", "TOKEN#20", "TOKEN#3", "TOKEN$", "é", "\uffff", "😀"} // bytes of UTF-8 decide
	tokens := sorted[1:5]
	onBoth(t, func(b bench) {
		for _, sk := range slices.Backward(sorted) {
			b.put(b.key(sk))
		}
		b.put(row{"pk": s(b.partition + "x"), "sk": s("TOKEN#9")})
		for condition, want := range map[string][]string{
			"pk = :p":                              sorted,
			"pk = :other":                          {},
			"pk = :p AND begins_with(sk, :t)":      tokens,
			"pk = :p AND begins_with(sk, :two)":    {"TOKEN#2", "TOKEN#20"},
			"pk = :p AND begins_with(sk, :other)":  {},
			"pk = :p AND sk BETWEEN :one AND :two": {"TOKEN#1", "TOKEN#2"},
			"pk = :p AND sk BETWEEN :two AND :two": {"TOKEN#2"},
			"pk = :p AND sk BETWEEN :t AND :three": tokens,
			"pk = :p AND sk = :two":                {"TOKEN#2"},
			"pk = :p AND sk < :two":                sorted[:2],
			"pk = :p AND sk <= :two":               sorted[:3],
			"pk = :p AND sk > :two":                sorted[3:],
			"pk = :p AND sk >= :two":               sorted[2:],
			"sk = :two AND pk = :p":                {"TOKEN#2"},
			"(pk = :p) AND (sk = :two)":            {"TOKEN#2"},
			"(pk = :p and sk = :two)":              {"TOKEN#2"},
		} {
			b.run(condition, func(c bench) {
				c.partition = b.partition
				for _, forward := range []bool{true, false} {
					out, err := c.query(dynamodb.QueryInput{KeyConditionExpression: &condition, ConsistentRead: aws.Bool(true), ScanIndexForward: &forward}, values)
					if err != nil {
						c.Fatal(err)
					}
					want := slices.Clone(want)
					if !forward {
						slices.Reverse(want)
					}
					if got := the("sk", out.Items); !slices.Equal(got, want) || int(out.Count) != len(want) || int(out.ScannedCount) != len(want) || out.LastEvaluatedKey != nil {
						c.Errorf("forward %v: %d of %d items %q to %v, want %q", forward, out.Count, out.ScannedCount, got, out.LastEvaluatedKey, want)
					}
				}
			})
		}
		for _, condition := range []string{
			"", "sk = :two", "pk > :p", "pk BETWEEN :p AND :p", "begins_with(pk, :p)", "pk = sk", "pk = :number", "pk = :empty", "NOT pk = :p",
			"pk = :p OR sk = :two", "pk = :p AND pk = :p", "pk = :p AND sk = :two AND sk = :two", "pk = :p AND sk > :one AND sk < :two",
			"pk = :p AND other = :two", "pk = :p AND NOT sk = :two", "pk = :p AND contains(sk, :two)", "pk = :p AND attribute_exists(sk)",
			"pk = :p AND sk", "pk = :p AND sk = pk", "pk = :p AND begins_with(sk, sk)", "pk = :p AND begins_with(:two, sk)", "((pk = :p)) AND sk = :two",
			"pk = :p AND sk = :number", "pk = :p AND sk > :number", "pk = :p AND sk > :empty", "pk = :p AND begins_with(sk, :empty)", "pk = :p AND begins_with(sk, :number)",
			"pk = :p AND sk BETWEEN :two AND :one", "pk = :p AND sk BETWEEN :empty AND :two", "pk = :p AND sk BETWEEN :number AND :two",
		} {
			b.run("refused: "+condition, func(c bench) {
				_, err := c.query(dynamodb.QueryInput{KeyConditionExpression: &condition}, values)
				c.refused(err, invalid)
			})
		}
		b.run("refused: none", func(c bench) {
			_, err := c.query(dynamodb.QueryInput{}, nil)
			c.refused(err, invalid)
		})
	})
}

func TestStartKeys(t *testing.T) {
	const from, upTo, prefix, between = "pk = :p AND sk > :two", "pk = :p AND sk < :four", "pk = :p AND begins_with(sk, :t)", "pk = :p AND sk BETWEEN :two AND :four"
	values := row{":t": s("T"), ":two": s("T2"), ":four": s("T4")}
	onBoth(t, func(b bench) {
		b.put(b.key("A"), b.key("T1"), b.key("T2"), b.key("T3"), b.key("T4"), b.key("T5"), b.key("Z"))
		for name, test := range map[string]struct {
			condition string
			start     row
			backward  bool
			want      []string // nil where it is refused
		}{
			"an item's":                              {"pk = :p", b.key("T4"), false, []string{"T5", "Z"}},
			"an item's, backward":                    {"pk = :p", b.key("T2"), true, []string{"T1", "A"}},
			"of an item that is not there":           {"pk = :p", b.key("T4x"), false, []string{"T5", "Z"}},
			"of an item that is not there, backward": {"pk = :p", b.key("T1x"), true, []string{"T1", "A"}},
			"the last":                               {"pk = :p", b.key("Z"), false, []string{}},
			"beyond the last":                        {"pk = :p", b.key("ZZ"), false, []string{}},
			"before the first, backward":             {"pk = :p", b.key("0"), true, []string{}},
			"within a lower bound":                   {from, b.key("T4"), false, []string{"T5", "Z"}},
			"within a lower bound, backward":         {from, b.key("T5"), true, []string{"T4", "T3"}},
			"at a lower bound":                       {from, b.key("T2"), false, nil},
			"below a lower bound":                    {from, b.key("T1"), false, nil},
			"within an upper bound":                  {upTo, b.key("T2"), false, []string{"T3"}},
			"at an upper bound, backward":            {upTo, b.key("T4"), true, nil},
			"above an upper bound":                   {upTo, b.key("T5"), false, nil},
			"within a prefix":                        {prefix, b.key("T4"), false, []string{"T5"}},
			"at a prefix":                            {prefix, b.key("T"), false, []string{"T1", "T2", "T3", "T4", "T5"}},
			"before a prefix":                        {prefix, b.key("A"), false, nil},
			"beyond a prefix":                        {prefix, b.key("Z"), true, nil},
			"between bounds":                         {between, b.key("T3"), false, []string{"T4"}},
			"at the bounds, backward":                {between, b.key("T4"), true, []string{"T3", "T2"}},
			"at the upper bound":                     {between, b.key("T4"), false, nil},
			"at the lower bound, backward":           {between, b.key("T2"), true, nil},
			"at the end of an upper bound":           {"pk = :p AND sk <= :four", b.key("T4"), false, nil},
			"at the end of a lower bound, backward":  {"pk = :p AND sk >= :two", b.key("T2"), true, nil},
			"outside the bounds":                     {between, b.key("T5"), true, nil},
			"of another partition":                   {"pk = :p", with(b.key("T4"), row{"pk": s("other")}), false, nil},
			"half a key":                             {"pk = :p", row{"pk": s(b.partition)}, false, nil},
			"more than a key":                        {"pk = :p", with(b.key("T4"), row{"a": s("x")}), false, nil},
			"another key":                            {"pk = :p", row{"pk": s(b.partition), "a": s("T4")}, false, nil},
			"a number":                               {"pk = :p", with(b.key("T4"), row{"sk": n(1)}), false, nil},
			"an empty text":                          {"pk = :p", b.key(""), false, nil},
			"nothing":                                {"pk = :p", row{}, false, nil},
		} {
			b.run(name, func(c bench) {
				c.partition = b.partition
				out, err := c.query(dynamodb.QueryInput{
					KeyConditionExpression: &test.condition, ExclusiveStartKey: test.start, ScanIndexForward: aws.Bool(!test.backward),
				}, values)
				switch {
				case test.want == nil:
					c.refused(err, invalid)
				case err != nil:
					c.Error(err)
				case !slices.Equal(the("sk", out.Items), test.want):
					c.Errorf("got %q, want %q", the("sk", out.Items), test.want)
				}
			})
		}
	})
}

func TestPages(t *testing.T) {
	onBoth(t, func(b bench) {
		all := []string{}
		for i := range 7 {
			all = append(all, strconv.Itoa(i))
			b.put(with(b.key(all[i]), row{"a": n(i), "even": yes(i%2 == 0)}))
		}
		for _, limit := range []int32{0, 1, 3, 7, 8} {
			b.run(fmt.Sprintf("limit %d", limit), func(c bench) {
				c.partition = b.partition
				for _, forward := range []bool{true, false} {
					in := dynamodb.QueryInput{KeyConditionExpression: aws.String("pk = :p"), Limit: &limit, ScanIndexForward: &forward}
					if limit == 0 {
						_, err := c.query(in, nil)
						c.refused(err, invalid)
						return
					}
					got, pages := []string{}, 0
					for {
						out, err := c.query(in, nil)
						if err != nil {
							c.Fatal(err)
						}
						pages++
						got = append(got, the("sk", out.Items)...)
						if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
							break
						}
					}
					want := slices.Clone(all)
					if !forward {
						slices.Reverse(want)
					}
					// A page that is full has a key, even when nothing follows.
					if wantPages := len(all)/int(limit) + 1; !slices.Equal(got, want) || pages != wantPages {
						c.Errorf("forward %v: %d pages with %q, want %d with %q", forward, pages, got, wantPages, want)
					}
				}
			})
		}
		for condition, more := range map[string]bool{
			"pk = :p AND sk <= :two": false, "pk = :p AND sk < :three": true, "pk = :p AND sk BETWEEN :none AND :two": false, "pk = :p AND sk BETWEEN :none AND :three": true,
		} {
			b.run("a full page with a key if something could follow: "+condition, func(c bench) {
				c.partition = b.partition
				out, err := c.query(dynamodb.QueryInput{KeyConditionExpression: &condition, Limit: aws.Int32(3)}, row{":none": s("0"), ":two": s("2"), ":three": s("3")})
				if err != nil {
					c.Fatal(err)
				}
				if out.Count != 3 || (out.LastEvaluatedKey != nil) != more {
					c.Errorf("%d items to %v", out.Count, out.LastEvaluatedKey)
				}
			})
		}
		b.run("the limit counts items before the filter", func(c bench) {
			c.partition = b.partition
			out, err := c.query(dynamodb.QueryInput{
				KeyConditionExpression: aws.String("pk = :p"), FilterExpression: aws.String("even = :yes"), Limit: aws.Int32(3),
			}, row{":yes": yes(true)})
			if err != nil {
				c.Fatal(err)
			}
			c.same("last key", out.LastEvaluatedKey, c.key("2"))
			if got := the("sk", out.Items); out.Count != 2 || out.ScannedCount != 3 || !slices.Equal(got, []string{"0", "2"}) {
				c.Errorf("%d of %d items %q, want 2 of 3", out.Count, out.ScannedCount, got)
			}
		})
		b.run("a page ends at one megabyte", func(c bench) {
			for i := range 5 {
				c.put(with(c.key(strconv.Itoa(i)), row{"blob": s(strings.Repeat("x", 300<<10))}))
			}
			for _, only := range []*string{nil, aws.String("sk")} { // a projection saves no reading
				out, err := c.query(dynamodb.QueryInput{KeyConditionExpression: aws.String("pk = :p"), ProjectionExpression: only}, nil)
				if err != nil {
					c.Fatal(err)
				}
				c.same("last key", out.LastEvaluatedKey, c.key("3"))
				if out.Count != 4 {
					c.Errorf("%d items, want 4", out.Count)
				}
			}
		})
	})
}

func TestFiltersAndProjections(t *testing.T) {
	values := row{":kind": s("k1"), ":sk": s("1")}
	onBoth(t, func(b bench) {
		for i := range 3 {
			b.put(with(b.key(strconv.Itoa(i)), row{"digest": s(fmt.Sprintf("d%d", i)), "kind": s(fmt.Sprintf("k%d", i)), "more": n(i)}))
		}
		b.put(b.key("bare"))
		for name, test := range map[string]struct {
			filter, projection string
			names              map[string]string
			want               []row // nil where it is refused
		}{
			"projection leaves the rest out":      {"", "digest, kind", nil, []row{{"digest": s("d0"), "kind": s("k0")}, {"digest": s("d1"), "kind": s("k1")}, {"digest": s("d2"), "kind": s("k2")}, {}}},
			"projection by alias":                 {"", "#k", map[string]string{"#k": "kind"}, []row{{"kind": s("k0")}, {"kind": s("k1")}, {"kind": s("k2")}, {}}},
			"projection of nothing that is there": {"", "zz", nil, []row{{}, {}, {}, {}}},
			"filter sees what is projected away":  {"kind = :kind", "sk", nil, []row{{"sk": s("1")}}},
			"filter for the absent":               {"attribute_not_exists(kind)", "sk", nil, []row{{"sk": s("bare")}}},
			"filter by the sort key":              {"sk = :sk", "", nil, nil},
			"filter by the partition key":         {"attribute_exists(pk)", "", nil, nil},
			"projection of a reserved word":       {"", "name", nil, nil},
			"projection of one attribute twice":   {"", "kind, digest, kind", nil, nil},
			"projection that trails off":          {"", "kind,", nil, nil},
			"projection with an unused name":      {"", "digest", map[string]string{"#k": "kind"}, nil},
			"malformed filter":                    {"kind = ", "", nil, nil},
		} {
			b.run(name, func(c bench) {
				c.partition = b.partition
				out, err := c.query(dynamodb.QueryInput{
					KeyConditionExpression: aws.String("pk = :p"), FilterExpression: orNil(test.filter), ProjectionExpression: orNil(test.projection),
					ExpressionAttributeNames: test.names,
				}, values)
				if test.want == nil {
					c.refused(err, invalid)
					return
				}
				if err != nil {
					c.Fatal(err)
				}
				if len(out.Items) != len(test.want) {
					c.Fatalf("%d items, want %d", len(out.Items), len(test.want))
				}
				for i := range test.want {
					c.same(fmt.Sprintf("item %d", i), out.Items[i], test.want[i])
				}
			})
		}
		b.run("empty expressions are refused", func(c bench) {
			_, err := c.query(dynamodb.QueryInput{KeyConditionExpression: aws.String("pk = :p"), FilterExpression: aws.String("")}, nil)
			c.refused(err, invalid)
			_, err = c.query(dynamodb.QueryInput{KeyConditionExpression: aws.String("pk = :p"), ProjectionExpression: aws.String("")}, nil)
			c.refused(err, invalid)
		})
	})
}

func TestIndex(t *testing.T) {
	onBoth(t, func(b bench) {
		entry := func(c bench, i int) row {
			return row{
				"pk": s(fmt.Sprintf("TOKEN#%s%d", c.partition, i)), "sk": s("TOKEN"), "expiry_bucket": s(c.partition), "expiry_order": s(fmt.Sprintf("%03d", i)),
				"notices": ss("7"), "owner_id": n(i),
			}
		}
		key := func(it row) row { return row{"pk": it["pk"], "sk": it["sk"]} }
		query := func(c bench, in dynamodb.QueryInput, values row) (*dynamodb.QueryOutput, error) {
			in.IndexName = aws.String("expiry-index")
			if in.KeyConditionExpression == nil {
				in.KeyConditionExpression = aws.String("expiry_bucket = :p")
			}
			return c.query(in, values)
		}
		order := func(c bench, in dynamodb.QueryInput, values row) []string {
			c.Helper()
			out, err := query(c, in, values)
			if err != nil {
				c.Fatal(err)
			}
			return the("expiry_order", out.Items)
		}
		want := func(c bench, got []string, want ...string) {
			c.Helper()
			if !slices.Equal(got, want) {
				c.Errorf("got %q, want %q", got, want)
			}
		}
		b.run("entries carry the projected attributes only", func(c bench) {
			c.put(entry(c, 1), c.key("PROFILE"))
			out, err := query(c, dynamodb.QueryInput{}, nil)
			if err != nil || len(out.Items) != 1 {
				c.Fatalf("%v, %v", out, err)
			}
			projected := entry(c, 1)
			delete(projected, "owner_id")
			c.same("entry", out.Items[0], projected)
		})
		b.run("an item with half of the key is not in it", func(c bench) {
			c.put(with(c.key("1"), row{"expiry_bucket": s(c.partition)}), with(c.key("2"), row{"expiry_order": s("001")}))
			want(c, order(c, dynamodb.QueryInput{}, nil))
		})
		b.run("pages meet without gap or overlap in both directions", func(c bench) {
			for i := range 7 {
				c.put(entry(c, 6-i))
			}
			for _, forward := range []bool{true, false} {
				var all []string
				in := dynamodb.QueryInput{Limit: aws.Int32(3), ScanIndexForward: &forward}
				for {
					out, err := query(c, in, nil)
					if err != nil {
						c.Fatal(err)
					}
					all = append(all, the("expiry_order", out.Items)...)
					if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
						break
					}
					if len(in.ExclusiveStartKey) != 4 {
						c.Errorf("key of a page: %v, want both keys", texts(in.ExclusiveStartKey))
					}
				}
				ascending := []string{"000", "001", "002", "003", "004", "005", "006"}
				if !forward {
					slices.Reverse(ascending)
				}
				want(c, all, ascending...)
			}
		})
		b.run("the sort key has bounds", func(c bench) {
			c.put(entry(c, 1), entry(c, 2), entry(c, 3))
			from := aws.String("expiry_bucket = :p AND expiry_order > :after")
			want(c, order(c, dynamodb.QueryInput{KeyConditionExpression: from}, row{":after": s("001#~")}), "002", "003")
		})
		b.run("the filter sees what is projected", func(c bench) {
			c.put(with(entry(c, 1), row{"notices": ss("7", "30")}), with(entry(c, 2), row{"notices": ss("60")}), entry(c, 3))
			if err := c.update(key(entry(c, 3)), "REMOVE notices", nil); err != nil {
				c.Fatal(err)
			}
			out, err := query(c, dynamodb.QueryInput{FilterExpression: aws.String("attribute_not_exists(notices) OR NOT contains(notices, :mark)")}, row{":mark": s("7")})
			if err != nil {
				c.Fatal(err)
			}
			want(c, the("expiry_order", out.Items), "002", "003")
			if out.Count != 2 || out.ScannedCount != 3 {
				c.Errorf("%d of %d items, want 2 of 3", out.Count, out.ScannedCount)
			}
		})
		b.run("marking an entry keeps its place", func(c bench) {
			c.put(entry(c, 1), entry(c, 2))
			if err := c.update(key(entry(c, 1)), "ADD notices :mark", row{":mark": ss("30")}); err != nil {
				c.Fatal(err)
			}
			out, err := query(c, dynamodb.QueryInput{Limit: aws.Int32(1)}, nil)
			if err != nil || text(out.Items[0]["notices"]) != `set ["30" "7"]` {
				c.Errorf("%v, %v", out, err)
			}
		})
		// A scan that stopped at a token which was then revoked would tell nobody after it.
		b.run("a page continues after an entry that has gone", func(c bench) {
			c.put(entry(c, 1), entry(c, 2), entry(c, 3), entry(c, 4))
			out, err := query(c, dynamodb.QueryInput{Limit: aws.Int32(2)}, nil)
			if err != nil {
				c.Fatal(err)
			}
			if err := c.update(key(entry(c, 2)), "REMOVE expiry_bucket, expiry_order", nil); err != nil {
				c.Fatal(err)
			}
			want(c, order(c, dynamodb.QueryInput{ExclusiveStartKey: out.LastEvaluatedKey}, nil), "003", "004")
			want(c, order(c, dynamodb.QueryInput{ExclusiveStartKey: out.LastEvaluatedKey, ScanIndexForward: aws.Bool(false)}, nil), "001")
		})
		b.run("a changed key moves the entry", func(c bench) {
			c.put(entry(c, 1), entry(c, 2), with(entry(c, 1), row{"expiry_order": s("009")}))
			want(c, order(c, dynamodb.QueryInput{}, nil), "002", "009")
			c.put(with(entry(c, 2), row{"expiry_bucket": s(c.partition + "x")}))
			want(c, order(c, dynamodb.QueryInput{}, nil), "009")
		})
		b.run("a deleted item takes its entry along", func(c bench) {
			c.put(entry(c, 1), entry(c, 2))
			if err := c.transact(nil, c.writeDelete(key(entry(c, 1)), "")); err != nil {
				c.Fatal(err)
			}
			want(c, order(c, dynamodb.QueryInput{}, nil), "002")
		})
		// Keys of an index need not be unique ("Using global secondary indexes", developer guide), and no order is
		// documented for equal ones. The two engines have different orders; neither may lose an entry.
		for _, bound := range []string{"", " AND expiry_order <= :same", " AND expiry_order BETWEEN :same AND :same", " AND expiry_order >= :same"} {
			b.run("entries with equal keys are all there, page by page"+bound, func(c bench) {
				for i := range 5 {
					c.put(with(entry(c, i), row{"expiry_order": s("same")}))
				}
				seen := map[string]bool{}
				in := dynamodb.QueryInput{Limit: aws.Int32(2), KeyConditionExpression: aws.String("expiry_bucket = :p" + bound), ScanIndexForward: aws.Bool(!strings.Contains(bound, ">="))}
				for {
					out, err := query(c, in, row{":same": s("same")})
					if err != nil {
						c.Fatal(err)
					}
					for _, pk := range the("pk", out.Items) {
						if seen[pk] {
							c.Errorf("%s twice", pk)
						}
						seen[pk] = true
					}
					if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
						break
					}
				}
				if len(seen) != 5 {
					c.Errorf("%d entries, want 5", len(seen))
				}
			})
		}
		for name, in := range map[string]dynamodb.QueryInput{
			"a consistent read":                      {ConsistentRead: aws.Bool(true)},
			"a filter by its partition key":          {FilterExpression: aws.String("expiry_bucket = :p")},
			"a filter by its sort key":               {FilterExpression: aws.String("attribute_exists(expiry_order)")},
			"a filter by what it does not have":      {FilterExpression: aws.String("attribute_exists(owner_id)")},
			"a projection of what it does not have":  {ProjectionExpression: aws.String("owner_id")},
			"the table's key":                        {KeyConditionExpression: aws.String("pk = :p")},
			"a start key of the table":               {ExclusiveStartKey: row{"pk": s("p"), "sk": s("s")}},
			"a start key of another partition":       {ExclusiveStartKey: row{"pk": s("p"), "sk": s("s"), "expiry_bucket": s("other"), "expiry_order": s("001")}},
			"a start key with an empty text":         {ExclusiveStartKey: row{"pk": s("p"), "sk": s(""), "expiry_bucket": s("other"), "expiry_order": s("001")}},
			"a start key with an attribute too many": {ExclusiveStartKey: row{"pk": s("p"), "sk": s("s"), "expiry_bucket": s("other"), "expiry_order": s("001"), "a": s("x")}},
		} {
			b.run("refused: "+name, func(c bench) {
				_, err := query(c, in, nil)
				c.refused(err, invalid)
			})
		}
		b.run("a filter by the table's key is none by its own", func(c bench) {
			c.put(entry(c, 1), entry(c, 2))
			want(c, order(c, dynamodb.QueryInput{FilterExpression: aws.String("pk = :pk")}, row{":pk": entry(c, 2)["pk"]}), "002")
		})
		b.run("an index that is not there is refused", func(c bench) {
			_, err := c.query(dynamodb.QueryInput{IndexName: aws.String("other"), KeyConditionExpression: aws.String("pk = :p")}, nil)
			c.refused(err, invalid)
			_, err = c.query(dynamodb.QueryInput{IndexName: aws.String(""), KeyConditionExpression: aws.String("pk = :p")}, nil)
			c.refused(err, invalid)
		})
	})
}

func TestScan(t *testing.T) {
	onBoth(t, func(b bench) {
		var all []string
		for i := range 10 {
			pk := strconv.Itoa(i)
			b.put(row{"pk": s(pk), "sk": s("TOKEN"), "a": n(i)}, row{"pk": s(pk), "sk": s("OTHER")})
			all = append(all, pk+"/OTHER", pk+"/TOKEN")
		}
		scan := func(c bench, in dynamodb.ScanInput) (seen []string, pages int, scanned int32) {
			c.Helper()
			in.TableName = &c.table
			for {
				out, err := c.client.Scan(c.Context(), &in)
				if err != nil {
					c.Fatal(err)
				}
				pages++
				scanned += out.ScannedCount
				for _, it := range out.Items {
					seen = append(seen, the("pk", []row{it})[0]+"/"+the("sk", []row{it})[0])
				}
				if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
					slices.Sort(seen)
					return seen, pages, scanned
				}
			}
		}
		b.run("every item is seen", func(c bench) {
			if seen, pages, scanned := scan(c, dynamodb.ScanInput{ConsistentRead: aws.Bool(true)}); !slices.Equal(seen, all) || pages != 1 || scanned != 20 {
				c.Errorf("%d items in %d pages: %q", scanned, pages, seen)
			}
		})
		for limit, want := range map[int32]int{3: 7, 10: 3, 20: 2, 21: 1} {
			b.run(fmt.Sprintf("pages of %d meet without gap or overlap", limit), func(c bench) {
				if seen, pages, _ := scan(c, dynamodb.ScanInput{Limit: &limit}); !slices.Equal(seen, all) || pages != want {
					c.Errorf("%d pages, want %d: %q", pages, want, seen)
				}
			})
		}
		b.run("the limit counts items before the filter", func(c bench) {
			seen, pages, scanned := scan(c, dynamodb.ScanInput{
				Limit: aws.Int32(3), FilterExpression: aws.String("sk = :t AND a >= :v"), ExpressionAttributeValues: row{":t": s("TOKEN"), ":v": n(5)},
			})
			if want := []string{"5/TOKEN", "6/TOKEN", "7/TOKEN", "8/TOKEN", "9/TOKEN"}; !slices.Equal(seen, want) || pages != 7 || scanned != 20 {
				c.Errorf("%d pages with %d items: %q", pages, scanned, seen)
			}
		})
		for name, in := range map[string]dynamodb.ScanInput{
			"no limit":         {Limit: aws.Int32(0)},
			"half a start key": {ExclusiveStartKey: row{"pk": s("1")}},
			"an unused value":  {ExpressionAttributeValues: row{":v": n(1)}},
			"reserved word":    {FilterExpression: aws.String("attribute_exists(name)")},
		} {
			b.run("refused: "+name, func(c bench) {
				in.TableName = &c.table
				_, err := c.client.Scan(c.Context(), &in)
				c.refused(err, invalid)
			})
		}
	})
}
