package scope_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/pkg/scope"
)

// everyScope is the strongest set that a catalog has.
func everyScope(c *scope.Catalog) scope.Set { return scope.Set(scopeNames(c)) }

// Breaks if a project's token can be used on what is not the project's.
func TestReachOfTheShippedCatalog(t *testing.T) {
	c := scope.GitLab()
	project, group := scope.InProject(9), scope.InGroup(9)
	for _, test := range []struct {
		name, method, path string
		project, group     bool
	}{
		{"its project", "GET", "/api/v4/projects/9", true, false},
		{"below its project", "PUT", "/api/v4/projects/9/members/4", true, false},
		{"its own rotation", "POST", "/api/v4/projects/9/access_tokens/self/rotate", true, false},
		{"its group", "GET", "/api/v4/groups/9", false, true},
		{"below its group", "DELETE", "/api/v4/groups/9/access_tokens/5", false, true},
		{"itself", "GET", "/api/v4/personal_access_tokens/self", true, true},
		{"its end", "DELETE", "/api/v4/personal_access_tokens/self", true, true},
		{"its successor", "POST", "/api/v4/personal_access_tokens/self/rotate", true, true},
		{"what it is a member of", "HEAD", "/api/v4/personal_access_tokens/self/associations", true, true},
		{"its bot", "GET", "/api/v4/user", true, true},

		{"another one's", "GET", "/api/v4/projects/8", false, false},
		{"below another one", "GET", "/api/v4/projects/8/issues", false, false},
		{"an id that starts the same", "GET", "/api/v4/projects/90", false, false},
		{"below an id that starts the same", "GET", "/api/v4/projects/90/issues", false, false},
		{"an id that ends the same", "GET", "/api/v4/projects/19", false, false},
		{"an id that contains its own", "GET", "/api/v4/groups/191/x", false, false},
		{"its id inside another one", "GET", "/api/v4/projects/8/projects/9", false, false},
		{"its id elsewhere", "GET", "/api/v4/users/9", false, false},
		{"a path instead of the id", "GET", "/api/v4/projects/acme%2Fweb", false, false},
		{"all projects", "GET", "/api/v4/projects", false, false},
		{"all projects, with a slash", "GET", "/api/v4/projects/", false, false},
		{"all groups", "POST", "/api/v4/groups", false, false},
		{"people", "GET", "/api/v4/users", false, false},
		{"tokens of its bot", "POST", "/api/v4/user/personal_access_tokens", false, false},
		{"tokens by id", "GET", "/api/v4/personal_access_tokens/7", false, false},
		{"all tokens", "GET", "/api/v4/personal_access_tokens", false, false},
		{"near itself", "GET", "/api/v4/personal_access_tokens/selfx", false, false},
		{"another API", "GET", "/orders", false, false},
		{"another API that repeats its path", "GET", "/orders/api/v4/projects/9", false, false},
		{"another case", "GET", "/api/v4/Projects/9", false, false},
		{"the root", "GET", "/", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for reach, want := range map[scope.Reach]bool{
				project: test.project, group: test.group, scope.Everywhere(): true,
				{}: false, scope.InProject(0): false, scope.InGroup(-9): false,
			} {
				if got := c.Allows(everyScope(c), reach, test.method, test.path); got != want {
					t.Errorf("%v: Allows() = %t, want %t", reach, got, want)
				}
			}
			for reach, opens := range map[scope.Reach]bool{project: test.project, group: test.group} {
				// Reach adds nothing: a scope that does not open a path does not open it within either.
				for _, d := range c.Scopes {
					set := scope.Set{d.Name}
					want := opens && c.Allows(set, scope.Everywhere(), test.method, test.path)
					if got := c.Allows(set, reach, test.method, test.path); got != want {
						t.Errorf("%v with %s: Allows() = %t, want %t", reach, set, got, want)
					}
				}
			}
		})
	}
}

func TestNobodyReachesAnythingWithoutPaths(t *testing.T) {
	own, err := scope.Load(strings.NewReader(`{"scopes": [{"name": "x"}], "rules": [{"path": "*", "scopes": ["*"]}], "group_paths": ["/shop/{id}/*"]}`))
	if err != nil {
		t.Fatal(err)
	}
	joined := scope.GitLab().With(own)
	for _, path := range []string{"/", "/shop/9/x", "/api/v4/projects/9", "/api/v4/groups/9", "/api/v4/user"} {
		if joined.Allows(scope.Set{"x", "api"}, scope.InProject(9), "GET", path) {
			t.Errorf("a project's token opens %s", path)
		}
		if got, want := joined.Allows(scope.Set{"x"}, scope.InGroup(9), "GET", path), path == "/shop/9/x"; got != want {
			t.Errorf("a group's token opens %s: %t", path, got)
		}
	}
	if got := joined.Grants(scope.Set{"x"}, scope.InProject(9)); len(got) > 0 {
		t.Errorf("Grants() = %v", got)
	}
}

// Two patterns meet in exactly what both match. If this fails, a policy opens
// more, or less, than scope and project together.
func TestPatternsMeetInWhatBothMatch(t *testing.T) {
	pattern := rapid.StringMatching(`[/*](a|b|/|\*){0,7}`)
	paths := []string{"/"}
	for from := 0; len(paths[from]) < 6; from++ { // every path of up to six characters
		for _, next := range []string{"a", "b", "/"} {
			paths = append(paths, paths[from]+next)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		a, b := pattern.Draw(r, "a"), pattern.Draw(r, "b")
		c := &scope.Catalog{
			Scopes: []scope.Definition{{Name: "x"}},
			Rules:  []scope.Rule{{Path: a, Scopes: []scope.Scope{"x"}}}, ProjectPaths: []string{b},
		}
		grants := c.Grants(scope.Set{"x"}, scope.InProject(9))
		for _, path := range paths {
			want := scope.Match(a, path) && scope.Match(b, path)
			got := slices.ContainsFunc(grants, func(g scope.Grant) bool { return scope.Match(g.Path, path) })
			if got != want {
				r.Fatalf("%q is in %v: %t, want %t", path, grants, got, want)
			}
		}
		for i, g := range grants {
			for j, other := range grants {
				if i != j && scope.Match(g.Path, other.Path) {
					r.Fatalf("%q covers %q", g.Path, other.Path)
				}
			}
		}
	})
}

func TestHowPatternsMeet(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{"*", "*", "*"},
		{"*", "/a/*", "/a/*"},
		{"/a", "/a", "/a"},
		{"/a", "/b", ""},
		{"/a/*", "/a/b", "/a/b"},
		{"/a/*", "/a", ""},
		{"/a/*/c", "/a/9/*", "/a/9/*/c /a/9/c"}, // one slash serves both
		{"/*/b", "/a/*", "/a/*/b /a/b"},
		{"*a*", "*b*", "*a*b* *b*a*"},
		{"/*a*", "/*b*", "/*a*b* /*b*a*"},
		{"**", "/a***b", "/a*b"},
		{"/a*", "*a", "/a /a*a"},
	} {
		for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
			c := &scope.Catalog{Rules: []scope.Rule{{Path: pair[0], Scopes: []scope.Scope{scope.AnyScope}}}, ProjectPaths: pair[1:]}
			var got []string
			for _, g := range c.Grants(scope.Set{"x"}, scope.InProject(9)) {
				got = append(got, g.Path)
			}
			slices.Sort(got)
			if strings.Join(got, " ") != test.want {
				t.Errorf("%q and %q meet in %q, want %q", pair[0], pair[1], got, test.want)
			}
		}
	}
}

// Any table with any paths: what a token opens is what its scopes open and its
// reach holds, and policies say the same.
func TestReachOfAnyCatalog(t *testing.T) {
	pattern := rapid.StringMatching(`[/*](a|b|/|\*|9){0,6}`)
	place := rapid.SampledFrom([]string{"/{id}", "/{id}/*", "/a/{id}/b", "*/{id}/*", "/a", "*", "/b/*", "/{id}/{id}"})
	methods := []string{"GET", "POST"}
	rapid.Check(t, func(r *rapid.T) {
		c := &scope.Catalog{Scopes: []scope.Definition{{Name: "x"}, {Name: "y"}}, ProjectPaths: rapid.SliceOfN(place, 0, 4).Draw(r, "paths")}
		for range rapid.IntRange(0, 4).Draw(r, "rules") {
			c.Rules = append(c.Rules, scope.Rule{
				Methods: rapid.SliceOfNDistinct(rapid.SampledFrom(methods), 0, 2, rapid.ID).Draw(r, "methods"),
				Path:    pattern.Draw(r, "pattern"),
				Scopes:  []scope.Scope{rapid.SampledFrom([]scope.Scope{"x", "y", scope.AnyScope}).Draw(r, "scope")},
			})
		}
		set := scope.Set(rapid.SliceOfNDistinct(rapid.SampledFrom([]scope.Scope{"x", "y"}), 0, 2, rapid.ID).Draw(r, "set"))
		grants := c.Grants(set, scope.InProject(9))
		for range 20 {
			method := rapid.SampledFrom(methods).Draw(r, "method")
			path := rapid.StringMatching(`/(a|b|/|9|/9/|99){0,6}`).Draw(r, "path")
			inside := slices.ContainsFunc(c.ProjectPaths, func(p string) bool { return scope.Match(strings.ReplaceAll(p, "{id}", "9"), path) })
			want := inside && c.Allows(set, scope.Everywhere(), method, path)
			if got := c.Allows(set, scope.InProject(9), method, path); got != want {
				r.Fatalf("%s %s: Allows() = %t, want %t", method, path, got, want)
			}
			granted := slices.ContainsFunc(grants, func(g scope.Grant) bool {
				return (g.Method == "*" || g.Method == method) && glob(t, g.Path).MatchString(path)
			})
			if granted != want {
				r.Fatalf("%s %s: granted %t by %v, want %t", method, path, granted, grants, want)
			}
		}
	})
}

func TestLoadRefusesPathsOfProjects(t *testing.T) {
	one, other := "/*a*b*c*d*e*", "/*f*g*h*i*j*" // 252 orders
	for name, test := range map[string]struct {
		path, rule string
		want       string // part of the error, or "" where there is none
	}{
		"an id that is a segment":            {"/orders/{id}/*", "*", ""},
		"an id at the end":                   {"/orders/{id}", "*", ""},
		"an id twice":                        {"/{id}/orders/{id}", "*", ""},
		"no id":                              {"/orders", "*", ""},
		"everything":                         {"*", "*", ""},
		"an id beside a run":                 {"/orders/{id}*", "*", `"/orders/{id}*"`},
		"an id behind a run":                 {"/orders/*{id}", "*", "whole segment"},
		"an id beside a digit":               {"/orders/1{id}", "*", "whole segment"},
		"an id beside a letter":              {"/orders/p{id}", "*", "whole segment"},
		"two ids in a segment":               {"/orders/{id}{id}", "*", "whole segment"},
		"another place":                      {"/orders/{project}", "*", "whole segment"},
		"an open place":                      {"/orders/{id", "*", "whole segment"},
		"a closed place":                     {"/orders/id}", "*", "whole segment"},
		"an empty place":                     {"/orders/{}", "*", "whole segment"},
		"an id in another case":              {"/orders/{ID}", "*", "whole segment"},
		"a question mark":                    {"/orders/{id}?", "*", "whole segment"},
		"a question mark elsewhere":          {"/orders?/{id}", "*", "starts with / or *"},
		"a variable":                         {"/${aws:username}", "*", "whole segment"},
		"no slash in front":                  {"orders/{id}", "*", "starts with / or *"},
		"no path":                            {"", "*", "starts with / or *"},
		"more patterns than fit":             {one, other, `meets the rule path "` + other + `"`},
		"a pattern as long as fits":          {"/" + strings.Repeat("a", 299), "*", ""},
		"a pattern longer than fits":         {"/" + strings.Repeat("a", 300), "*", "too long"},
		"a rule that makes it too long":      {"/" + strings.Repeat("a", 199) + "*", "/*" + strings.Repeat("b", 199), "too long"},
		"a rule that just leaves it in":      {"/" + strings.Repeat("a", 149) + "*", "/*" + strings.Repeat("b", 149), ""},
		"an id that makes it longer":         {"/" + strings.Repeat("a", 290) + "/{id}", "*", "too long"},
		"two runs that meet in some ways":    {"/*a*b*", "/*c*d*", ""},
		"a long rule that it does not touch": {"/a/{id}", "/b" + strings.Repeat("b", 200), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{"project", "group"} {
				text := fmt.Sprintf(`{"scopes": [{"name": "x"}], "rules": [{"path": %q, "scopes": ["x"]}], "%s_paths": [%q]}`, test.rule, kind, test.path)
				c, err := scope.Load(strings.NewReader(text))
				switch {
				case test.want == "" && err != nil:
					t.Errorf("refused: %v", err)
				case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), kind+" path")):
					t.Errorf("error = %v, want one about a %s path and %q", err, kind, test.want)
				case err == nil && len(c.ProjectPaths)+len(c.GroupPaths) != 1:
					t.Errorf("paths are lost: %v", c)
				}
			}
		})
	}
}

// What Load would refuse opens nothing, should it get in another way.
func TestTooManyPatternsOpenNothing(t *testing.T) {
	c := &scope.Catalog{
		Rules:        []scope.Rule{{Path: "/*a*b*c*d*e*", Scopes: []scope.Scope{scope.AnyScope}}, {Path: "/ok", Scopes: []scope.Scope{scope.AnyScope}}},
		ProjectPaths: []string{"/*f*g*h*i*j*", "/ok"},
	}
	if got := c.Grants(scope.Set{"x"}, scope.InProject(9)); len(got) != 1 || got[0].Path != "/ok" {
		t.Errorf("Grants() = %v", got)
	}
	if c.Allows(scope.Set{"x"}, scope.InProject(9), "GET", "/abcdefghij") || !c.Allows(scope.Set{"x"}, scope.InProject(9), "GET", "/ok") {
		t.Error("Allows() says something else than the grants")
	}
}

func BenchmarkReachOfAProject(b *testing.B) {
	c := scope.GitLab()
	set := scope.Set{scope.API, scope.ReadAPI}
	for b.Loop() {
		c.Allows(set, scope.InProject(9), "GET", "/api/v4/projects/9/issues")
	}
}
