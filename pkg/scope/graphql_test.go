package scope_test

import (
	"strings"
	"testing"

	"latchkey/pkg/scope"
)

// Breaks if a token that may only read can send a mutation to a GraphQL endpoint where nobody can see
// the request: by POST, or in the query of a GET.
func TestGraphQLEndpoints(t *testing.T) {
	gitlab := scope.GitLab()
	load := func(more string) *scope.Catalog {
		c, err := scope.Load(strings.NewReader(`{"scopes":[{"name":"reading"},{"name":"posting"}], "rules":[
			{"methods":["GET"],"path":"*","scopes":["reading"]}, {"methods":["POST"],"path":"/q","scopes":["posting"]}],
			"project_paths":["/p/{id}/*","/q"]` + more + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return gitlab.With(c)
	}
	own, left := load(`,"graphql_paths":["/q"]`), load(`,"graphql_paths":["/q"],"judged_by_backend":["/q"]`)
	for _, test := range []struct {
		name         string
		catalog      *scope.Catalog
		scope        scope.Scope
		reach        scope.Reach
		method, path string
		want         bool
	}{
		{"writing, by POST", gitlab, scope.API, scope.Everywhere(), "POST", "/api/graphql", true},
		{"writing, by GET", gitlab, scope.API, scope.Everywhere(), "GET", "/api/graphql", true},
		{"reading, by POST", gitlab, scope.ReadAPI, scope.Everywhere(), "POST", "/api/graphql", false},
		{"reading, by GET", gitlab, scope.ReadAPI, scope.Everywhere(), "GET", "/api/graphql", false},
		{"reading, by HEAD", gitlab, scope.ReadAPI, scope.Everywhere(), "HEAD", "/api/graphql", false},
		{"reading, with a format", gitlab, scope.ReadAPI, scope.Everywhere(), "GET", "/api/graphql.json", false},
		{"reading what is called nearly so", gitlab, scope.ReadAPI, scope.Everywhere(), "GET", "/api/graphqlx", true},
		{"a project's token", gitlab, scope.API, scope.InProject(9), "POST", "/api/graphql", false},
		{"GitLab's endpoint beside an operator's", own, "reading", scope.Everywhere(), "GET", "/api/graphql", false},
		{"an operator's, reading", own, "reading", scope.Everywhere(), "GET", "/q", false},
		{"an operator's, posting and not getting", own, "posting", scope.Everywhere(), "GET", "/q", false},
		{"an operator's, posting", own, "posting", scope.Everywhere(), "POST", "/q", true},
		{"an operator's, in a project, reading", own, "reading", scope.InProject(9), "GET", "/q", false},
		{"left to the backend, reading by POST", left, "reading", scope.Everywhere(), "POST", "/q", true},
		{"left to the backend, reading by GET", left, "reading", scope.Everywhere(), "GET", "/q", true},
		{"left to the backend, reading by DELETE", left, "reading", scope.Everywhere(), "DELETE", "/q", false},
		{"left to the backend, in a project", left, "reading", scope.InProject(9), "POST", "/q", true},
		{"left to the backend, another endpoint", left, "reading", scope.Everywhere(), "POST", "/api/graphql", false},
	} {
		set := scope.Set{test.scope}
		if got := test.catalog.Allows(set, test.reach, test.method, test.path); got != test.want {
			t.Errorf("%s: Allows() = %t", test.name, got)
		}
		grants := test.catalog.Grants(set, test.reach)
		granted := false
		for _, g := range grants {
			granted = granted || (g.Method == "*" || g.Method == test.method) && scope.Match(g.Path, test.path)
		}
		if got := granted && !scope.Denied(test.catalog.Withheld(grants), test.method, test.path); got != test.want {
			t.Errorf("%s: a policy says %t", test.name, got)
		}
	}
}
