package graphql_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/pkg/graphql"
)

func body(tb testing.TB, members map[string]any) string {
	tb.Helper()
	text, err := json.Marshal(members)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func post(body string) graphql.Request {
	return graphql.Request{Method: "POST", Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
}

func get(parameters ...string) graphql.Request {
	query := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		query.Add(parameters[i], parameters[i+1])
	}
	return graphql.Request{Method: "GET", Query: query.Encode()}
}

// Breaks if a token that may only read can write by GraphQL.
func TestReads(t *testing.T) {
	document := func(text string) graphql.Request { return post(body(t, map[string]any{"query": text})) }
	with := func(name string, value any) graphql.Request {
		return post(body(t, map[string]any{"query": "{me{id}}", name: value}))
	}
	typed := func(header, value string) graphql.Request {
		r := document("{me{id}}")
		r.Header.Set(header, value)
		return r
	}
	cut := document("{me{id}}")
	cut.Cut = true
	withQuery := document("{me{id}}")
	withQuery.Query = "query=mutation%7Bx%7D"
	twoTypes := document("{me{id}}")
	twoTypes.Header.Add("Content-Type", "text/plain")
	getWithBody := get("query", "{me{id}}")
	getWithBody.Body = []byte(`{"query":"mutation{x}"}`)
	getWithType := get("query", "{me{id}}")
	getWithType.Header = http.Header{"Content-Type": {"application/json"}}
	for name, test := range map[string]struct {
		request graphql.Request
		want    error
	}{
		"a query without its word":                            {document("{me{id}}"), nil},
		"a query with an alias called mutation":               {document("query mutation{mutation:me{id subscription:id}}"), nil},
		"several queries":                                     {document("query A{a} query B{b} fragment F on T{c}"), nil},
		"variables and a name":                                {post(body(t, map[string]any{"query": "query A($x:Int){a(x:$x)}", "operationName": "A", "variables": map[string]int{"x": 1}})), nil},
		"a word in a comment and in a text":                   {document("# mutation{x}\r\n{a(x:\"mutation{x}\")}"), nil},
		"extensions of nothing":                               {with("extensions", nil), nil},
		"a batch of queries":                                  {post(` [{"query":"{a}"},{"query":"query{b}"}] `), nil},
		"a charset":                                           {typed("Content-Type", "application/json; charset=UTF-8"), nil},
		"by GET":                                              {get("query", "{me{id}}", "operationName", "", "private_token", "x"), nil},
		"a mutation":                                          {document("mutation{x}"), graphql.ErrWrites},
		"a mutation behind a query that is selected":          {post(body(t, map[string]any{"query": "query A{a} mutation B{b}", "operationName": "A"})), graphql.ErrWrites},
		"a mutation with an alias called query":               {document("mutation query{query:x}"), graphql.ErrWrites},
		"a mutation after a comment":                          {document("#\nmutation{x}"), graphql.ErrWrites},
		"a mutation after a lone carriage return":             {document("query A{a} #\rmutation B{b}"), graphql.ErrWrites},
		"a lone carriage return, which ends no line for some": {document("{a\rb}"), graphql.ErrWrites},
		"a block string":                                      {document(`{a(x:"""b""")}`), graphql.ErrWrites},
		"a subscription":                                      {document("subscription{x}"), graphql.ErrWrites},
		"a batch with a mutation":                             {post(`[{"query":"{a}"},{"query":"mutation{b}"}]`), graphql.ErrWrites},
		"a batch in a batch":                                  {post(`[[{"query":"{a}"}]]`), graphql.ErrWrites},
		"an empty batch":                                      {post(`[]`), graphql.ErrWrites},
		"a batch of too many":                                 {post("[" + strings.Repeat(`{"query":"{a}"},`, 100) + `{"query":"{a}"}]`), graphql.ErrWrites},
		"a persisted query":                                   {post(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"aa"}}}`), graphql.ErrWrites},
		"a persisted query beside a query":                    {with("extensions", map[string]any{"persistedQuery": map[string]any{"sha256Hash": "aa"}}), graphql.ErrWrites},
		"an id":                                               {with("id", "7"), graphql.ErrWrites},
		"a document id":                                       {with("documentId", "7"), graphql.ErrWrites},
		"two queries, the last harmless":                      {post(`{"query":"mutation{x}","query":"{a}"}`), graphql.ErrWrites},
		"two queries, one in another spelling":                {post(`{"query":"{a}","\u0071uery":"mutation{x}"}`), graphql.ErrWrites},
		"two queries, one in capitals":                        {post(`{"query":"{a}","Query":"mutation{x}"}`), graphql.ErrWrites},
		"something behind the object":                         {post(`{"query":"{a}"}{"query":"mutation{x}"}`), graphql.ErrWrites},
		"a cut object":                                        {post(`{"query":"{a}"`), graphql.ErrWrites},
		"a query that is no text":                             {post(`{"query":["mutation{x}"]}`), graphql.ErrWrites},
		"no query":                                            {post(`{"variables":{}}`), graphql.ErrWrites},
		"an empty query":                                      {document(""), graphql.ErrWrites},
		"fragments only":                                      {document("fragment F on T{c}"), graphql.ErrWrites},
		"a document that does not parse":                      {document("{a"), graphql.ErrWrites},
		"a schema":                                            {document("type Query{a:Int}"), graphql.ErrWrites},
		"a block string, which ends early for some":           {document(`{a(x:"""" mutation{x} "")}`), graphql.ErrWrites},
		"a control character":                                 {document("{a}\x00mutation{x}"), graphql.ErrWrites},
		"a line separator, which some take for an end":        {document("query A{a} #\u2028mutation B{b}"), graphql.ErrWrites},
		"a byte order mark":                                   {document("\ufeff{a}"), graphql.ErrWrites},
		"very deep":                                           {document(strings.Repeat("{a", 5000) + strings.Repeat("}", 5000)), graphql.ErrWrites},
		"very long":                                           {document("{" + strings.Repeat("a ", 30000) + "}"), graphql.ErrWrites},
		"text that is not UTF-8":                              {post("{\"query\":\"{a} #\xff\"}"), graphql.ErrWrites},
		"a query parameter beside the body":                   {withQuery, graphql.ErrWrites},
		"another type":                                        {typed("Content-Type", "application/x-www-form-urlencoded"), graphql.ErrWrites},
		"another charset":                                     {typed("Content-Type", "application/json; charset=utf-16"), graphql.ErrWrites},
		"two types":                                           {twoTypes, graphql.ErrWrites},
		"a compressed body":                                   {typed("Content-Encoding", "gzip"), graphql.ErrWrites},
		"a form with files":                                   {typed("Content-Type", "multipart/form-data; boundary=x"), graphql.ErrWrites},
		"by GET, a mutation":                                  {get("query", "mutation{x}"), graphql.ErrWrites},
		"by GET, twice":                                       {get("query", "{a}", "query", "mutation{x}"), graphql.ErrWrites},
		"by GET, a hash":                                      {get("extensions", `{"persistedQuery":{}}`), graphql.ErrWrites},
		"by GET, a hash beside a query":                       {get("query", "{a}", "extensions", `{"persistedQuery":{}}`), graphql.ErrWrites},
		"by GET, with a separator that not all split":         {graphql.Request{Method: "GET", Query: "query={a};query=mutation{x}"}, graphql.ErrWrites},
		"by GET, nothing":                                     {get(), graphql.ErrWrites},
		"by PUT":                                              {graphql.Request{Method: "PUT"}, graphql.ErrWrites},
		"no body":                                             {post(""), graphql.ErrUnseen},
		"a part of the body":                                  {cut, graphql.ErrUnseen},
		"by GET, with a body":                                 {getWithBody, graphql.ErrUnseen},
		"by GET, with a body that nobody passed on":           {getWithType, graphql.ErrUnseen},
	} {
		if err := graphql.Reads(test.request); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// Whatever a request is, it gets an answer, and none with the word for a mutation in front passes.
func FuzzReads(f *testing.F) {
	f.Add(`{"query":"{a}"}`)
	f.Add(`[{"query":"mutation{a}"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		_ = graphql.Reads(post(text))
		if graphql.Reads(post(body(t, map[string]any{"query": "mutation{x} " + text}))) == nil {
			t.Errorf("%q behind a mutation passes", text)
		}
	})
}
