package scope_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/pkg/scope"
)

const explained = `{
  "scopes": [{"name": "read"}, {"name": "write"}],
  "rules": [
    {"methods": ["GET"], "path": "/orders", "scopes": ["read", "write"]},
    {"methods": ["GET"], "path": "/orders/*", "scopes": ["read"]},
    {"methods": ["POST"], "path": "/orders", "scopes": ["write"]},
    {"path": "/any/*", "scopes": ["*"]},
    {"methods": ["GET"], "path": "*graphql", "scopes": ["read"]}
  ],
  "project_paths": ["/any/{id}/*", "/graphql"],
  "graphql_paths": ["/graphql", "/judged/graphql"],
  "judged_by_backend": ["/judged/graphql"]
}`

func TestExplainNamesTheRuleThatDecides(t *testing.T) {
	c, err := scope.Load(strings.NewReader(explained))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, set    string
		reach        scope.Reach
		method, path string
		want         string // the reason, and lines with misses
	}{
		{"a rule", "read", scope.Everywhere(), "GET", "/orders", "rule 4[] 5[path] 6[scope method]"},
		{"two readings", "write", scope.Everywhere(), "GET", "/orders", "rule 4[] 6[method]"},
		{"a missing scope", "read", scope.Everywhere(), "POST", "/orders", "no_rule 4[method] 6[scope]"},
		{"below a path without a wildcard", "write", scope.Everywhere(), "POST", "/orders/7", "no_rule 5[scope method] 6[path]"},
		{"the path in front of a wildcard", "read", scope.Everywhere(), "GET", "/any", "no_rule 7[path]"},
		{"another case", "read", scope.Everywhere(), "GET", "/Orders", "no_rule 4[path]"},
		{"nothing near", "read", scope.Everywhere(), "GET", "/elsewhere", "no_rule"},
		{"no scopes", "", scope.Everywhere(), "GET", "/any/1", "no_rule 7[scope]"},
		{"two readings of a path", "read", scope.Everywhere(), "GET", "/any/../orders", "path 7[]"},
		{"in a project", "read", scope.InProject(7), "GET", "/any/7/x", "rule 7[]"},
		{"in another project", "read", scope.InProject(7), "GET", "/any/8/x", "out_of_reach 7[]"},
		{"a query", "read", scope.Everywhere(), "GET", "/graphql", "only_reading 8[]"},
		{"a query in a project", "read", scope.InProject(7), "GET", "/graphql", "only_reading 8[]"},
		{"a mutation", "read", scope.Everywhere(), "POST", "/graphql", "no_rule 8[method]"},
		{"a mutation that the backend judges", "read", scope.Everywhere(), "POST", "/judged/graphql", "backend 8[method]"},
		{"the same, out of reach", "read", scope.InProject(7), "POST", "/judged/graphql", "out_of_reach 8[method]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var set scope.Set
			for name := range strings.FieldsSeq(test.set) {
				set = append(set, scope.Scope(name))
			}
			e := c.Explain(set, test.reach, test.method, test.path)
			got := string(e.Reason)
			for _, r := range e.Readings {
				got += fmt.Sprintf(" %d%v", r.Line, r.Misses)
			}
			if got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
			if open := e.Reason == scope.ByRule || e.Reason == scope.ByBackend; open != e.Open {
				t.Errorf("open is %t, and the reason %s", e.Open, e.Reason)
			}
		})
	}
	if joined := scope.GitLab().With(c).Explain(scope.Set{"read"}, scope.Everywhere(), "GET", "/orders"); joined.Readings[0].Line != 4 {
		t.Errorf("joined, the line is %d", joined.Readings[0].Line)
	}
}

// Breaks if the explanation tells another decision than the one that is made.
func TestExplainAgreesWithAllows(t *testing.T) {
	own, err := scope.Load(strings.NewReader(explained))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*scope.Catalog{scope.GitLab(), own} {
		paths := append([]string{"/graphql", "/judged/graphql", "/any/9/x", "/orders", "/orders/", "/api/graphql"}, requestPaths...)
		sets := smallSets(c)
		rapid.Check(t, func(r *rapid.T) {
			set := rapid.SampledFrom(sets).Draw(r, "set")
			reach := rapid.SampledFrom([]scope.Reach{scope.Everywhere(), scope.InProject(9), scope.InGroup(12), {}}).Draw(r, "reach")
			method, path := rapid.SampledFrom(methods).Draw(r, "method"), rapid.SampledFrom(paths).Draw(r, "path")
			e := c.Explain(set, reach, method, path)
			if want := c.CheckPath(path) == nil && c.Allows(set, reach, method, path); e.Open != want || e.Open != (e.Reason == scope.ByRule || e.Reason == scope.ByBackend) {
				r.Fatalf("%+v, want %t", e, want)
			}
		})
	}
}
