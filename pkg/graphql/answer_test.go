package graphql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"latchkey/pkg/graphql"
)

// Breaks if one request makes the function look something up as often as its client has names for it.
func TestALaterIsAskedOnce(t *testing.T) {
	asked := 0
	count := graphql.Later(func(context.Context) (any, error) {
		asked++
		return 7, nil
	})
	query := graphql.Object{"__typename": "Query", "me": graphql.Object{"__typename": "User", "id": 2, "groups": count}}
	if data, err := graphql.Answer(t.Context(), "{me{id}}", "", query); err != nil || asked != 0 {
		t.Errorf("not asked for: %v, %v, asked %d times", data, err, asked)
	}
	many := strings.Builder{}
	for i := range 1_000 {
		fmt.Fprintf(&many, "a%d:groups ", i)
	}
	if _, err := graphql.Answer(t.Context(), "{me{"+many.String()+"}}", "", query); err != nil || asked != 1 {
		t.Errorf("under a thousand names: %v, asked %d times", err, asked)
	}
	const everywhere = "{me{groups more:groups ...f} you:me{groups}} fragment f on User{less:groups}"
	want := map[string]any{"me": map[string]any{"groups": 7, "more": 7, "less": 7}, "you": map[string]any{"groups": 7}}
	if data, err := graphql.Answer(t.Context(), everywhere, "", query); err != nil || asked != 1 || !reflect.DeepEqual(data, want) {
		t.Errorf("%v, %v, asked %d times", data, err, asked)
	}
}

func TestWhatALaterMissesIsTheError(t *testing.T) {
	broken := errors.New("broken")
	query := graphql.Object{"__typename": "Query", "n": graphql.Later(func(context.Context) (any, error) { return nil, broken })}
	if _, err := graphql.Answer(t.Context(), "{n}", "", query); !errors.Is(err, broken) || graphql.ErrorOf(err) != nil {
		t.Error(err)
	}
}

// Breaks if a client reads one field for another, because two fields have one place in the answer.
func TestTwoFieldsInOnePlace(t *testing.T) {
	user := graphql.Object{"__typename": "User", "id": 2, "name": "n"}
	query := graphql.Object{"__typename": "Query", "me": user, "you": user}
	for document, conflict := range map[string]string{
		"{me{a:id a:name}}":                             "Field 'a' has a field conflict: id or name?",
		"{me{id name:id}}":                              "",
		"{me{name:id name}}":                            "Field 'name' has a field conflict: id or name?",
		"{me{id} me:you{id}}":                           "Field 'me' has a field conflict: me or you?",
		"{a:me{id} a:__typename}":                       "Field 'a' has a field conflict: me or __typename?",
		"{me{...f a:id}} fragment f on User{a:name}":    "Field 'a' has a field conflict: name or id?",
		"{me{a:id}me{a:name}}":                          "Field 'a' has a field conflict: id or name?",
		"{me{a:id a:id ...f}} fragment f on User{a:id}": "",
		"{me{a:id} you{a:name} all:me{a:name}}":         "",
	} {
		_, err := graphql.Answer(t.Context(), document, "", query)
		if (conflict == "") != (err == nil) || err != nil && err.Error() != conflict {
			t.Errorf("%s: %v, want %q", document, err, conflict)
		}
	}
}

// Breaks if the size of an answer grows without end. Each limit is tried at it and one above it.
func TestAnswersEnd(t *testing.T) {
	deepest := graphql.Object{"__typename": "T", "x": 1}
	deepest["t"] = deepest
	nested := func(levels int) string { return strings.Repeat("{t", levels) + "{x}" + strings.Repeat("}", levels) }
	wide := func(fields int) string { return "{" + strings.Repeat("x ", fields) + "}" }
	for _, test := range []struct {
		document string
		ends     bool
	}{{nested(16), true}, {nested(17), false}, {wide(2_000), true}, {wide(2_001), false}} {
		if _, err := graphql.Answer(t.Context(), test.document, "", deepest); (err == nil) != test.ends {
			t.Errorf("%.20s…: %v", test.document, err)
		}
	}
}

// Whatever a document is, it gets data of the fields that it names, or a problem.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"{me{id}}", "query A{me{a:id ...f}} fragment f on User{b:name ... on User{id} ...{name}}", "{me{...f}} fragment f on User{...f}",
		"{me{a:id a:name}}", "mutation{x}", "query A{me{id}} query B{me{name}}", "query($x:[Int!]=[1]){me(x:$x){id @include(if:true)}}",
		"{me{none}} # \"", "{n me}", "{__typename me{__typename}}", "subscription{me{id}}", "fragment f on User{id}",
	} {
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, document, operation string) {
		query := graphql.Object{
			"__typename": "Query", "n": nil,
			"me": graphql.Object{"__typename": "User", "id": 2, "name": graphql.Later(func(context.Context) (any, error) { return "n", nil })},
		}
		data, err := graphql.Answer(t.Context(), document, operation, query)
		if err != nil && graphql.ErrorOf(err) == nil {
			t.Errorf("%q: %v", document, err)
		}
		if encoded, failure := json.Marshal(data); err == nil && (failure != nil || len(encoded) > 100*len(document)+2) {
			t.Errorf("%q: %d bytes, %v", document, len(encoded), failure)
		}
	})
}
