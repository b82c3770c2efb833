package scope_test

import (
	"strings"
	"testing"

	"latchkey/pkg/scope"
)

func graphQL(t *testing.T) *scope.Catalog {
	t.Helper()
	c, err := scope.Load(strings.NewReader(`{
		"scopes": [{"name": "read"}, {"name": "all"}, {"name": "none"}],
		"rules": [{"path": "*", "scopes": ["all"]}, {"path": "*", "methods": ["GET", "HEAD"], "scopes": ["read"]}],
		"project_paths": ["/in/{id}/*"],
		"graphql": [{"path": "/graphql", "read_scopes": ["read"]}, {"path": "/in/*", "read_scopes": ["read"]}, {"path": "/judging", "read_scopes": ["read"], "backend_judges": true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Breaks if a token that may only read can change something with GET /graphql?query=mutation…, or with a
// body that nobody looked into.
func TestReadingAtAGraphQLEndpointIsOpenedOnlyToWhoeverMayPost(t *testing.T) {
	c := graphQL(t)
	for _, test := range []struct {
		set         scope.Set
		reach       scope.Reach
		path        string
		allows      string // methods
		allowsQuery bool
	}{
		{scope.Set{"all"}, scope.Everywhere(), "/graphql", "GET HEAD POST", true},
		{scope.Set{"read"}, scope.Everywhere(), "/graphql", "", true},
		{scope.Set{"none"}, scope.Everywhere(), "/graphql", "", false},
		{scope.Set{"read", "all"}, scope.Everywhere(), "/graphql", "GET HEAD POST", true},
		{scope.Set{"read"}, scope.Everywhere(), "/judging", "GET HEAD POST", true},
		{scope.Set{"none"}, scope.Everywhere(), "/judging", "", false},
		{scope.Set{"read"}, scope.Everywhere(), "/other", "GET HEAD", false},
		{scope.Set{"read"}, scope.Everywhere(), "/graphql/x", "GET HEAD", false},
		{scope.Set{"read"}, scope.InProject(7), "/graphql", "", false},
		{scope.Set{"read"}, scope.InProject(7), "/judging", "", false},
		{scope.Set{"all"}, scope.InProject(7), "/graphql", "", false},
		{scope.Set{"read"}, scope.InProject(7), "/in/7/graphql", "", true},
		{scope.Set{"all"}, scope.InProject(7), "/in/8/graphql", "", false},
		{scope.Set{"read"}, scope.InProject(7), "/in/8/graphql", "", false},
	} {
		var allowed []string
		for _, method := range []string{"GET", "HEAD", "POST"} {
			if c.Allows(test.set, test.reach, method, test.path) {
				allowed = append(allowed, method)
			}
		}
		if got := strings.Join(allowed, " "); got != test.allows {
			t.Errorf("%s within %v on %s: %q, want %q", test.set, test.reach, test.path, got, test.allows)
		}
		if got := c.AllowsQuery(test.set, test.reach, test.path); got != test.allowsQuery {
			t.Errorf("%s within %v: AllowsQuery(%s) = %t", test.set, test.reach, test.path, got)
		}
	}
	if held := c.Withheld(scope.Set{"none"}, scope.Everywhere()); len(held) > 0 {
		t.Errorf("withheld from a token without rights: %v", held)
	}
}

func TestGitLabsGraphQLIsNotReadByGet(t *testing.T) {
	c := scope.GitLab()
	for _, path := range []string{"/api/graphql", "/api/graphql.json"} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			if c.Allows(scope.Set{scope.ReadAPI}, scope.Everywhere(), method, path) || !c.Allows(scope.Set{scope.API}, scope.Everywhere(), method, path) {
				t.Errorf("%s %s is open to read_api, or not to api", method, path)
			}
		}
		if !c.AllowsQuery(scope.Set{scope.ReadAPI}, scope.Everywhere(), path) {
			t.Errorf("read_api opens no query on %s", path)
		}
	}
}
