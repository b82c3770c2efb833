package gitlabapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const graphqlPath = "/api/graphql"

func ask(bearer, document string) request {
	body, _ := json.Marshal(map[string]any{"query": document, "variables": map[string]any{}})
	return request{method: "POST", target: graphqlPath, bearer: bearer, json: string(body)}
}

// Terraform's provider looks itself up like this.
func TestCurrentUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	const terraform = "query {currentUser {name, bot, groupCount, id, namespace{id}, publicEmail, username}}"
	const owner = `{"data":{"currentUser":{"bot":false,"groupCount":2,"id":"gid://gitlab/User/2","name":"The owner","namespace":{"id":"gid://gitlab/Namespaces::UserNamespace/2147483650"},"publicEmail":null,"username":"owner"}}}`
	const insufficient = `"errors":[{"message":"The request requires higher privileges than provided by the access token."}]`
	const unauthorized = `"errors":[{"message":"`
	get := request{method: "GET", target: graphqlPath + "?query=" + url.QueryEscape(terraform), bearer: "reading"}
	form := request{method: "POST", target: graphqlPath, bearer: "owner", form: "query=" + url.QueryEscape("{currentUser{id}}")}
	named := ask("owner", "")
	named.json = `{"query":"query A {currentUser{id}} query B {currentUser{username}}","operationName":"B"}`
	deep := "{currentUser{id}}"
	for i := range 40 {
		deep += fmt.Sprintf(" fragment f%d on User {...f%d ...f%d}", i, i+1, i+1)
	}
	deep = strings.Replace(deep, "{id}", "{...f0}", 1) + " fragment f40 on User {id}"
	for name, c := range map[string]struct {
		request
		status int
		want   string // the whole body, of a refusal a part of it
	}{
		"Terraform's query":                   {ask("owner", terraform), 200, owner},
		"a token that reads":                  {ask("reading", terraform), 200, owner},
		"a token that reads, by GET":          {get, 200, owner},
		"a form":                              {form, 200, `{"data":{"currentUser":{"id":"gid://gitlab/User/2"}}}`},
		"an operation by its name":            {named, 200, `{"data":{"currentUser":{"username":"owner"}}}`},
		"an alias, fragments and types":       {ask("owner", "query Q {__typename me: currentUser {...n ... on User {__typename}}} fragment n on User {who: username}"), 200, `{"data":{"__typename":"Query","me":{"__typename":"User","who":"owner"}}}`},
		"an administrator":                    {ask("root", "{currentUser{username state webUrl}}"), 200, `{"data":{"currentUser":{"state":"active","username":"root","webUrl":"https://tokens.example.test/root"}}}`},
		"a field that is not there":           {ask("owner", "{currentUser{id secrets}}"), 200, `{"errors":[{"message":"Field 'secrets' doesn't exist on type 'User'"}]}`},
		"another question":                    {ask("owner", `{project(fullPath:"acme/web"){id}}`), 200, `{"errors":[{"message":"Field 'project' doesn't exist on type 'Query'"}]}`},
		"the schema":                          {ask("owner", "{__schema{types{name}}}"), 200, `{"errors":[{"message":"Field '__schema' doesn't exist on type 'Query'"}]}`},
		"an argument":                         {ask("owner", "{currentUser(id:1){id}}"), 200, `{"errors":[{"message":"Field 'currentUser' doesn't accept arguments"}]}`},
		"a directive":                         {ask("owner", "{currentUser{id @skip(if:true)}}"), 200, `{"errors":[{"message":"Directives are not supported"}]}`},
		"no selection":                        {ask("owner", "{currentUser}"), 200, `{"errors":[{"message":"Field 'currentUser' must have selections"}]}`},
		"a selection of a text":               {ask("owner", "{currentUser{id{x}}}"), 200, `{"errors":[{"message":"Selections can't be made on field 'id'"}]}`},
		"a fragment of another type":          {ask("owner", "{currentUser{... on Project{id}}}"), 200, `{"errors":[{"message":"Fragment on another type than User"}]}`},
		"a missing fragment":                  {ask("owner", "{currentUser{...x}}"), 200, `{"errors":[{"message":"No such fragment"}]}`},
		"a fragment in itself":                {ask("owner", "{currentUser{...x}} fragment x on User {...x}"), 200, `{"errors":[{"message":"The query is too large"}]}`},
		"fragments that multiply":             {ask("owner", deep), 200, `{"errors":[{"message":"The query is too large"}]}`},
		"half a query":                        {ask("owner", "{currentUser{"), 200, `{"errors":[{"message":"The query cannot be read"}]}`},
		"a mutation":                          {ask("owner", "mutation {createNote{id}}"), 200, `{"errors":[{"message":"Schema is not configured for mutations"}]}`},
		"a mutation with a token that reads":  {ask("reading", "mutation {createNote{id}}"), 403, insufficient},
		"both with a token that reads":        {ask("reading", "query A {currentUser{id}} mutation B {x{id}}"), 403, insufficient},
		"a hash with a token that reads":      {request{method: "POST", target: graphqlPath, bearer: "reading", json: `{"query":"{currentUser{id}}","extensions":{"persistedQuery":{}}}`}, 403, insufficient},
		"a token that reads its profile only": {ask("profile", terraform), 403, insufficient},
		"a token of a project":                {ask("of web", terraform), 403, insufficient},
		"a token that was revoked":            {ask("revoked", terraform), 401, unauthorized},
		"nobody":                              {ask("", terraform), 401, unauthorized},
		"no query":                            {request{method: "POST", target: graphqlPath, bearer: "owner", json: `{}`}, 400, `"errors":[{"message":"query is missing"}]`},
		"a batch":                             {request{method: "POST", target: graphqlPath, bearer: "owner", json: `[{"query":"{currentUser{id}}"}]`}, 400, `"errors":[{"message":"body is not a valid JSON object"}]`},
		"a query that is given twice":         {request{method: "POST", target: graphqlPath, bearer: "owner", json: `{"query":"{a}","query":"{b}"}`}, 400, `"errors":[{"message":"query is given more than once"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := throughLambda(t, w, c.request)
			if got.status != c.status || !strings.Contains(got.body, c.want) || c.status == 200 && strings.TrimSpace(got.body) != c.want {
				t.Errorf("%s\nwant %d %s", got, c.status, c.want)
			}
		})
	}
}

// A look-up is a use of the token, and a base path leads to it too.
func TestGraphQLCountsAsUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issue(t, "unused", "owner", "api")
	last := func() any {
		tok, err := w.table.Token(t.Context(), w.tokens["unused"].ID)
		check(t, err)
		return tok.LastUsedAt.IsZero()
	}
	if last() != true {
		t.Fatal("it was used")
	}
	r := ask("unused", "{currentUser{id}}")
	r.target = "/tokens" + graphqlPath
	if got := throughLambda(t, w, r); got.status != http.StatusOK {
		t.Fatal(got)
	}
	if last() == true {
		t.Error("the use was not recorded")
	}
}
