package scope_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/pkg/scope"
)

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", ""}

// requestPaths are routes of the API, neighbours of them, and others.
var requestPaths = []string{
	"/", "/api", "/api/v4", "/api/v4/user", "/api/v4/user/personal_access_tokens", "/api/v4/users", "/api/v4/users/58",
	"/api/v4/users/58/impersonation_tokens", "/api/v4/users/58/personal_access_tokens", "/api/v4/usersx", "/api/v4/use",
	"/api/v4/version", "/api/v4/metadata", "/api/v4/version/x",
	"/api/v4/personal_access_tokens", "/api/v4/personal_access_tokens/7", "/api/v4/personal_access_tokens/7/rotate",
	"/api/v4/personal_access_tokens/self", "/api/v4/personal_access_tokens/self/rotate",
	"/api/v4/personal_access_tokens/self/associations", "/api/v4/personal_access_tokens/selfx", "/api/v4/personal_access_tokens/self/x",
	"/api/v4/projects/90/access_tokens", "/api/v4/projects/90/access_tokens/7/rotate", "/api/v4/projects/90/access_tokens/self/rotate",
	"/api/v4/projects/acme%2Fweb/access_tokens/self/rotate", "/api/v4/groups/12/access_tokens/self/rotate",
	"/api/v4/groups/12/access_tokens/self", "/api/v4/projects/90/repository/files/a%2Fb", "/api/v4/projects/90/repository/files/",
	"/api/v4/projects/90/repository/files", "/api/v4/projects/90/issues", "/other/service", "/api/v4/admin/token", "*",
}

// smallSets are no scope, every scope alone and every pair.
func smallSets(c *scope.Catalog) []scope.Set {
	sets := []scope.Set{nil}
	for i, a := range c.Scopes {
		sets = append(sets, scope.Set{a.Name})
		for _, b := range c.Scopes[:i] {
			sets = append(sets, scope.Set{a.Name, b.Name})
		}
	}
	return sets
}

func names(c *scope.Catalog, want func(scope.Definition) bool) (out []string) {
	for _, d := range c.Scopes {
		if want(d) {
			out = append(out, string(d.Name))
		}
	}
	slices.Sort(out)
	return out
}

func TestGitLabCatalogHasTheScopesOfTheReference(t *testing.T) {
	c := scope.GitLab()
	everyKind := strings.Fields(`ai_features api create_runner k8s_proxy manage_runner read_api read_observability
		read_registry read_repository read_virtual_registry self_rotate write_observability write_registry
		write_repository write_virtual_registry`)
	administrators := strings.Fields("admin_mode read_service_ping sudo")
	personal := append([]string{"introspect", "read_calendar", "read_user"}, administrators...) // the first two are ours
	slices.Sort(personal)
	for name, test := range map[string]struct {
		want []string
		is   func(scope.Definition) bool
	}{
		"every kind":          {everyKind, func(d scope.Definition) bool { return !d.PersonalOnly }},
		"personal only":       {personal, func(d scope.Definition) bool { return d.PersonalOnly }},
		"administrators only": {administrators, func(d scope.Definition) bool { return d.AdminOnly }},
		"without description": {nil, func(d scope.Definition) bool { return d.Description == "" }},
	} {
		if got := names(c, test.is); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	for _, s := range []scope.Scope{scope.API, scope.ReadAPI, scope.ReadUser, scope.SelfRotate, scope.ReadCalendar, scope.Introspect, scope.Sudo} {
		if _, err := c.Parse([]string{string(s)}); err != nil {
			t.Errorf("%s has a constant and is not in the catalog", s)
		}
	}
}

func TestLoadReportsAllFaultsTogether(t *testing.T) {
	_, err := scope.Load(strings.NewReader(`{
		"scopes": [{"name": ""}, {"name": "a b"}, {"name": "*"}, {"name": "twice"}, {"name": "twice"}, {"name": "ok", "implies": ["gone", "*"]}],
		"rules": [
			{"path": "no-slash", "scopes": ["ok"]},
			{"path": "/query?", "scopes": ["ok"]},
			{"path": "/${aws:username}", "scopes": ["ok"]},
			{"path": "/none", "scopes": []},
			{"path": "/unknown", "scopes": ["missing"]},
			{"path": "/lower", "methods": ["get"], "scopes": ["ok"]},
			{"path": "/star", "methods": ["G*"], "scopes": ["ok"]},
			{"path": "/question", "methods": ["GE?"], "scopes": ["ok"]},
			{"path": "/two", "methods": ["GET/POST"], "scopes": ["ok"]},
			{"path": "/empty", "methods": [""], "scopes": ["ok"]}],
		"loose_paths": ["elsewhere", "/a\\b", "/a b"], "project_paths": ["/p{id}"], "group_paths": ["/g{id}"]}`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`scope ""`, `scope "a b"`, `scope "*"`, `scope "twice"`, `implies "gone"`, `implies "*"`,
		`"no-slash"`, `"/query?"`, `"/${aws:username}"`, "/none has no scopes", `"missing"`,
		`"get"`, `"G*"`, `"GE?"`, `"GET/POST"`, `rule for /empty: method ""`, `loose path "elsewhere"`, `loose path "/a\\b"`, `loose path "/a b"`,
		`project path "/p{id}"`, `group path "/g{id}"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not reported in:\n%v", want, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                    ``,
		"something else":             `[]`,
		"null":                       `null`,
		"no scopes":                  `{"rules": []}`,
		"an unknown field":           `{"scopes": [{"name": "a"}], "rule": []}`,
		"an unknown field of a rule": `{"scopes": [{"name": "a"}], "rules": [{"path": "/", "scopes": ["a"], "method": ["GET"]}]}`,
		"a second value":             `{"scopes": [{"name": "a"}]} {"scopes": [{"name": "b"}]}`,
		"rubbish behind":             `{"scopes": [{"name": "a"}]} x`,
		"a cut file":                 `{"scopes": [{"name": "a"}`,
		"a field twice":              `{"scopes": [{"name": "a"}], "rules": [], "rules": []}`,
		"a field of a rule twice":    `{"scopes": [{"name": "a"}], "rules": [{"path": "/x", "path": "/", "scopes": ["a"]}]}`,
		"another spelling of fields": `{"Scopes": [{"name": "a"}]}`,
		"null for every method":      `{"scopes": [{"name": "a"}], "rules": [{"path": "/", "methods": null, "scopes": ["a"]}]}`,
		"more than a megabyte":       `{"scopes": [{"name": "a"}]}` + strings.Repeat(" ", 1<<20),
	} {
		if c, err := scope.Load(strings.NewReader(text)); err == nil || c != nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := scope.Load(strings.NewReader(" {\"scopes\": [{\"name\": \"a\"}]}\n\n")); err != nil {
		t.Errorf("white space around is refused: %v", err)
	}
}

// Breaks if an operator has to look for the fault in a long file.
func TestLoadNamesLineAndColumn(t *testing.T) {
	for text, want := range map[string]string{
		"{\n  \"scopes\": [\n    {\"name\": \"a\"},\n    {\"name\": \"a\"}\n  ]\n}":                        `line 4, column 14: scope "a": empty, repeated`,
		"{\"scopes\": [{\"name\": \"a\", \"implies\": [\"a\",\n\"b\"]}]}":                                  `line 2, column 1: scope "a" implies "b"`,
		"{\"scopes\": [{\"name\": \"a\"}],\n \"rules\": [\n  {\"path\": \"x\", \"scopes\": [\"a\"]}]}":     `line 3, column 12: rule path "x"`,
		"{\"scopes\": [{\"name\": \"a\"}],\n \"rules\": [\n  {\"path\": \"/x\"}]}":                         `line 3, column 3: rule for /x has no scopes`,
		"{\"scopes\": [{\"name\": \"a\"}], \"rules\": [{\"path\": \"/x\", \"scopes\": [\"a\",\n \"b\"]}]}": `line 2, column 2: rule for /x names scope "b"`,
		"{\"scopes\": [{\"name\": \"a\"}],\n\"loose_paths\": [\"x\"]}":                                     `line 2, column 17: loose path "x"`,
		"{\"scopes\": [{\"name\": \"a\"}],\n\"project_paths\": [\"/a\",\n\"/p{id}\"]}":                     `line 3, column 1: project path "/p{id}"`,
		"{\"scopes\": [{\"name\": \"a\"}],\n\"graphql_paths\": [\"/g\",\n\"h\"]}":                          `line 3, column 1: graphql_paths: "h" is not a pattern`,
		"{\"scopes\": [{\"name\": \"a\"}],\n \"rule\": []}":                                                `line 2, column 2: key "rule" is unknown; there are scopes, rules,`,
		"{\"scopes\": [{\"name\": \"a\"}]}\n{}":                                                            `line 2, column 1: invalid character '{' after top-level value`,
	} {
		if _, err := scope.Load(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), "rules file: "+want) {
			t.Errorf("%s\n%v\nwant %s", text, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	c := scope.GitLab()
	tests := []struct {
		name  string
		names []string
		want  string
		err   error
	}{
		{"keeps the order", []string{"read_user", "api"}, "read_user api", nil},
		{"takes a name that is given twice once, where it came first", []string{"api", "read_user", "api"}, "api read_user", nil},
		{"refuses no names", nil, "", scope.ErrUnknown},
		{"refuses an empty name", []string{""}, "", scope.ErrUnknown},
		{"refuses an unknown name beside known ones", []string{"api", "root"}, "", scope.ErrUnknown},
		{"refuses another case", []string{"API"}, "", scope.ErrUnknown},
		{"refuses a space behind", []string{"api "}, "", scope.ErrUnknown},
		{"refuses two names in one", []string{"api read_user"}, "", scope.ErrUnknown},
		{"refuses the sign for any scope", []string{"*"}, "", scope.ErrUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, err := c.Parse(test.names)
			if !errors.Is(err, test.err) || set.String() != test.want {
				t.Errorf("Parse() = %q, %v, want %q, %v", set, err, test.want, test.err)
			}
		})
	}
}

func TestRequire(t *testing.T) {
	c := scope.GitLab()
	tests := []struct {
		name, method, path string
		sufficient         []string
		listed             string
	}{
		{"a read needs api or read_api", "GET", "/api/v4/personal_access_tokens", []string{"api", "read_api"}, "api read_api"},
		{"HEAD is a read", "HEAD", "/api/v4/personal_access_tokens", []string{"api", "read_api"}, "api read_api"},
		{"a write needs api, and the refusal names the scope for reading too", "POST", "/api/v4/users/58/personal_access_tokens", []string{"api"}, "read_user api read_api"},
		{"deleting needs api", "DELETE", "/api/v4/personal_access_tokens/7", []string{"api"}, "api read_api"},
		{"the own profile opens with read_user", "GET", "/api/v4/user", []string{"api", "read_api", "read_user"}, "read_user api read_api"},
		{"so do accounts", "GET", "/api/v4/users", []string{"api", "read_api", "read_user"}, "read_user api read_api"},
		{"so does one account", "GET", "/api/v4/users/58", []string{"api", "read_api", "read_user"}, "read_user api read_api"},
		{"so do impersonation tokens", "GET", "/api/v4/users/58/impersonation_tokens", []string{"api", "read_api", "read_user"}, "read_user api read_api"},
		{"so does the version", "GET", "/api/v4/version", []string{"api", "read_api", "read_user"}, "read_user api read_api"},
		{"so does the metadata", "GET", "/api/v4/metadata", []string{"api", "read_api", "read_user"}, "read_user api read_api"},
		{"creating for oneself needs api", "POST", "/api/v4/user/personal_access_tokens", []string{"api"}, "read_user api read_api"},
		{"a token sees itself with any scope", "GET", "/api/v4/personal_access_tokens/self", []string{"*", "api", "read_api"}, "api read_api"},
		{"a token ends itself with any scope", "DELETE", "/api/v4/personal_access_tokens/self", []string{"*", "api"}, "api read_api"},
		{"associations open with any scope", "GET", "/api/v4/personal_access_tokens/self/associations", []string{"*", "api", "read_api"}, "api read_api"},
		{"self is not written with any scope", "PUT", "/api/v4/personal_access_tokens/self", []string{"api"}, "api read_api"},
		{"rotating by id needs api", "POST", "/api/v4/personal_access_tokens/7/rotate", []string{"api"}, "api read_api"},
		{"another service needs api", "PUT", "/anything/else", []string{"api"}, "api read_api"},
	}
	for _, path := range []string{"/api/v4/personal_access_tokens/self/rotate", "/api/v4/projects/acme%2Fweb/access_tokens/self/rotate", "/api/v4/groups/12/access_tokens/self/rotate"} {
		// Named once each: the reference leaves open whether api is repeated.
		tests = append(tests, struct {
			name, method, path string
			sufficient         []string
			listed             string
		}{"a token rotates itself with self_rotate: " + path, "POST", path, []string{"api", "self_rotate"}, "api self_rotate read_api"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := c.Require(test.method, test.path)
			var sufficient []string
			for _, s := range r.Sufficient {
				sufficient = append(sufficient, string(s))
			}
			slices.Sort(sufficient)
			if !slices.Equal(sufficient, test.sufficient) {
				t.Errorf("Sufficient = %v, want %v", sufficient, test.sufficient)
			}
			if got := r.Listed.String(); got != test.listed {
				t.Errorf("Listed = %q, want %q", got, test.listed)
			}
			for _, d := range c.Scopes {
				want := slices.Contains(test.sufficient, string(d.Name)) || slices.Contains(test.sufficient, "*")
				err := r.Met(scope.Set{"ignored", d.Name})
				if (err == nil) != want || err != nil && !errors.Is(err, scope.ErrInsufficient) {
					t.Errorf("%s: Met() = %v, want %t", d.Name, err, want)
				}
			}
		})
	}
}

// Breaks if a person's script can make itself a token that is stronger than
// the one it holds.
func TestCovers(t *testing.T) {
	c := scope.GitLab()
	tests := []struct {
		name         string
		held, wanted scope.Set
		want         bool
	}{
		{"a scope covers itself", scope.Set{"read_user"}, scope.Set{"read_user"}, true},
		{"api covers reading", scope.Set{"api"}, scope.Set{"read_api", "read_user", "self_rotate", "k8s_proxy"}, true},
		{"api does not cover sudo", scope.Set{"api"}, scope.Set{"sudo"}, false},
		{"api does not cover administration", scope.Set{"api"}, scope.Set{"admin_mode"}, false},
		{"one uncovered scope is enough to refuse", scope.Set{"api"}, scope.Set{"read_api", "sudo"}, false},
		{"read_api does not cover api", scope.Set{"read_api"}, scope.Set{"api"}, false},
		{"read_user does not cover read_api", scope.Set{"read_user"}, scope.Set{"read_api"}, false},
		{"self_rotate covers nothing else", scope.Set{"self_rotate"}, scope.Set{"read_user"}, false},
		{"sudo does not cover api", scope.Set{"sudo"}, scope.Set{"api"}, false},
		{"two scopes cover what each does", scope.Set{"sudo", "read_api"}, scope.Set{"read_user", "sudo"}, true},
		{"no scope covers nothing", nil, scope.Set{"read_user"}, false},
		{"an unknown scope is not covered", scope.Set{"api"}, scope.Set{"root"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := c.Covers(test.held, test.wanted); got != test.want {
				t.Errorf("Covers(%s, %s) = %t", test.held, test.wanted, got)
			}
		})
	}
}

// The same promise, read from the table: what may be handed on opens nothing
// that its giver cannot open, and nothing that is for administrators.
func TestWhatIsCoveredOpensNothingMore(t *testing.T) {
	c := scope.GitLab()
	for _, held := range c.Scopes {
		for _, wanted := range c.Scopes {
			from, to := scope.Set{held.Name}, scope.Set{wanted.Name}
			if !c.Covers(from, to) {
				continue
			}
			if wanted.AdminOnly && !held.AdminOnly {
				t.Errorf("%s hands on %s", held.Name, wanted.Name)
			}
			for _, path := range requestPaths {
				for _, method := range methods {
					if c.Allows(to, scope.Everywhere(), method, path) && !c.Allows(from, scope.Everywhere(), method, path) {
						t.Errorf("%s hands on %s, which opens %s %s", held.Name, wanted.Name, method, path)
					}
				}
			}
		}
	}
}

func TestAdminOnly(t *testing.T) {
	c := scope.GitLab()
	if s, some := c.AdminOnly(scope.Set{"api", "admin_mode", "sudo", "read_service_ping"}); !some || s != "sudo" {
		t.Errorf("AdminOnly() = %q, %t, want the first that others cannot store", s, some)
	}
	if s, some := c.AdminOnly(scope.Set{"api", "root", "admin_mode"}); some {
		t.Errorf("AdminOnly() = %q", s)
	}
}

// Breaks if a scope counts for somebody who could not be given it today.
func TestHeld(t *testing.T) {
	c, all := scope.GitLab(), scope.Set{"sudo", "api", "read_user", "gone", "admin_mode", "read_service_ping"}
	for _, test := range []struct {
		name  string
		set   scope.Set
		owner scope.Owner
		want  string
	}{
		{"an administrator", all, scope.Owner{Admin: true}, "sudo api read_user admin_mode read_service_ping"},
		{"somebody else", all, scope.Owner{}, "api read_user"},
		{"a bot", all, scope.Owner{Bot: true}, "api"},
		{"nothing is left", scope.Set{"sudo"}, scope.Owner{}, ""},
		{"nothing is cut", scope.Set{"api"}, scope.Owner{}, "api"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := test.set.String()
			if got := c.Held(test.set, test.owner).String(); got != test.want {
				t.Errorf("Held() = %q, want %q", got, test.want)
			}
			if test.set.String() != before {
				t.Error("the set that was passed has changed")
			}
		})
	}
}

// Breaks if a token none of whose scopes count opens what every scope opens.
func TestAnEmptySetOpensNothing(t *testing.T) {
	c := scope.GitLab()
	if c.Allows(nil, scope.Everywhere(), "GET", "/api/v4/personal_access_tokens/self") || len(c.Grants(scope.Set{}, scope.Everywhere())) > 0 {
		t.Error("it opens something")
	}
}

// glob is a pattern of an IAM policy without `?`, by way of a regular expression.
func glob(t testing.TB, pattern string) *regexp.Regexp {
	t.Helper()
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
}

func grantsAllow(t testing.TB, c *scope.Catalog, set scope.Set, method, path string) bool {
	t.Helper()
	opens := func(g scope.Grant) bool {
		return (g.Method == "*" || g.Method == method) && glob(t, g.Path).MatchString(path)
	}
	grants := c.Grants(set, scope.Everywhere())
	return slices.ContainsFunc(grants, opens) && !scope.Denied(c.Withheld(grants), method, path)
}

// Breaks if a cached policy and the service itself would answer differently.
func TestGrantsAndAllowsAgree(t *testing.T) {
	c := scope.GitLab()
	for _, set := range smallSets(c)[:40] {
		for _, path := range requestPaths {
			for _, method := range methods {
				if got, want := c.Allows(set, scope.Everywhere(), method, path), grantsAllow(t, c, set, method, path); got != want {
					t.Fatalf("%s %s with %s: Allows is %t, the grants say %t", method, path, set, got, want)
				}
			}
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		set := scope.Set(rapid.SliceOfDistinct(rapid.SampledFrom(scopeNames(c)), rapid.ID[scope.Scope]).Draw(r, "set"))
		method := rapid.SampledFrom(methods).Draw(r, "method")
		path := rapid.SampledFrom(requestPaths).Draw(r, "path")
		if got, want := c.Allows(set, scope.Everywhere(), method, path), grantsAllow(t, c, set, method, path); got != want {
			r.Fatalf("%s %s with %s: Allows is %t, the grants say %t", method, path, set, got, want)
		}
	})
}

func scopeNames(c *scope.Catalog) (out []scope.Scope) {
	for _, d := range c.Scopes {
		out = append(out, d.Name)
	}
	return out
}

// A set of more scopes never opens less, so a token is not weakened by what is
// added to it.
func TestMoreScopesOpenMore(t *testing.T) {
	c := scope.GitLab()
	rapid.Check(t, func(r *rapid.T) {
		set := scope.Set(rapid.SliceOf(rapid.SampledFrom(scopeNames(c))).Draw(r, "set"))
		more := append(slices.Clone(set), rapid.SampledFrom(scopeNames(c)).Draw(r, "more"))
		method, path := rapid.SampledFrom(methods).Draw(r, "method"), rapid.SampledFrom(requestPaths).Draw(r, "path")
		if c.Allows(set, scope.Everywhere(), method, path) && !c.Allows(more, scope.Everywhere(), method, path) {
			r.Fatalf("%s opens %s %s, %s does not", set, method, path, more)
		}
	})
}

func TestWithJoinsScopesAndReplacesTheTable(t *testing.T) {
	own, err := scope.Load(strings.NewReader(`{
		"scopes": [{"name": "orders:read"}, {"name": "api", "description": "own"}],
		"rules": [{"path": "/orders/*", "methods": ["GET"], "scopes": ["orders:read"]}],
		"loose_paths": ["/orders/*"]}`))
	if err != nil {
		t.Fatal(err)
	}
	joined := scope.GitLab().With(own)
	if got, want := len(joined.Scopes), len(scope.GitLab().Scopes)+1; got != want {
		t.Errorf("%d scopes, want %d", got, want)
	}
	if _, err := joined.Parse([]string{"orders:read", "self_rotate", "api"}); err != nil {
		t.Error(err)
	}
	if !joined.Allows(scope.Set{"orders:read"}, scope.Everywhere(), "GET", "/orders/7") || joined.Allows(scope.Set{"orders:read"}, scope.Everywhere(), "POST", "/orders/7") {
		t.Error("the operator's table does not hold")
	}
	// Breaks if GitLab's rule that api opens everything stays in force.
	if joined.Allows(scope.Set{"api"}, scope.Everywhere(), "GET", "/orders/7") || joined.Allows(scope.Set{"api"}, scope.Everywhere(), "GET", "/api/v4/user") {
		t.Error("the shipped table still opens paths")
	}
	if joined.CheckPath("/orders/a%2Fb") != nil || joined.CheckPath("/others/a%2Fb") == nil {
		t.Error("the operator's loose paths do not hold")
	}
}

func FuzzScopeList(f *testing.F) {
	for _, list := range []string{"api", "api,read_user", "read_user,api,api", "", ",", "API", "api ", "*", "api,root", "sudo,admin_mode", "api\x00"} {
		f.Add(list)
	}
	c := scope.GitLab()
	f.Fuzz(func(t *testing.T, list string) {
		given := strings.Split(list, ",")
		set, err := c.Parse(given)
		known := true
		for _, name := range given {
			known = known && slices.Contains(scopeNames(c), scope.Scope(name))
		}
		if known != (err == nil) {
			t.Fatalf("Parse(%q) = %v, all known: %t", given, err, known)
		}
		if err != nil {
			if !errors.Is(err, scope.ErrUnknown) || set != nil {
				t.Errorf("Parse(%q) = %v, %v", given, set, err)
			}
			return
		}
		again, err := c.Parse(strings.Fields(set.String()))
		if err != nil || !slices.Equal(again, set) {
			t.Errorf("%q does not come back from its own form: %q, %v", set, again, err)
		}
		for i, s := range set {
			if slices.Contains(set[:i], s) || !slices.Contains(given, string(s)) {
				t.Errorf("Parse(%q) = %q", given, set)
			}
		}
		for _, name := range given {
			if !set.Has(scope.Scope(name)) {
				t.Errorf("Parse(%q) lost %q", given, name)
			}
		}
	})
}

func FuzzMatch(f *testing.F) {
	for _, pattern := range []string{"*", "**", "/a*", "*a", "/a*b*c", "a*a", "/api/v4/users/*", "", "*aa*aab", "/x", "*/*/*", "/a*b"} {
		for _, path := range []string{"", "/", "a", "/a", "/abc", "/a/b/c", "aab", "aaab", "/api/v4/users/58", "/axb\nc", "*", "\xff"} {
			f.Add(pattern, path)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if strings.ContainsFunc(pattern, func(r rune) bool { return r > '~' }) {
			return // Load keeps such patterns out
		}
		if got, want := scope.Match(pattern, path), glob(t, pattern).MatchString(path); got != want {
			t.Errorf("Match(%q, %q) = %t, want %t", pattern, path, got, want)
		}
		if !scope.Match(path, path) && !strings.Contains(path, "*") {
			t.Errorf("%q does not match itself", path)
		}
	})
}

func FuzzLoadCatalog(f *testing.F) {
	shipped, err := json.Marshal(scope.GitLab())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shipped)
	for _, text := range []string{
		`{"scopes":[{"name":"a"}]}`,
		`{"scopes":[{"name":"a","implies":["b"]},{"name":"b","admin_only":true}],"rules":[{"path":"/*","methods":["GET"],"scopes":["a","*"]}],"loose_paths":["/l/*"]}`,
		`{"scopes":[{"name":"a"}],"rules":[{"path":"/?","scopes":["a"]}]}`,
		`{"scopes":[{"name":"a"}]}x`, `{}`, `null`, `{"scopes":[{"name":"*"}]}`,
		`{"scopes":[{"name":"a"}],"rules":[{"path":"/*/b*","scopes":["a"]}],"project_paths":["/a/{id}/*"],"group_paths":["/{id}","*b*"]}`,
		`{"SCOPES":[{"name":"a"}],"scopes":[{"name":"b"}]}`,
		`{"scopes":[{"name":"a"},{"name":"b"}],"rules":[{"path":"*","methods":["GET"],"scopes":["a"]},{"path":"/g*","methods":["POST"],"scopes":["b"]}],"graphql_paths":["/g","/h/*"],"judged_by_backend":["/h/*"]}`,
		`{"scopes":[{"name":"a"}],"graphql_paths":["g"]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := scope.Load(bytes.NewReader(text))
		if err != nil {
			if c != nil {
				t.Error("a catalog comes with an error")
			}
			return
		}
		// The catalog is closed: nothing in it points outside.
		for i, d := range c.Scopes {
			set, err := c.Parse([]string{string(d.Name)})
			if err != nil || !c.Covers(set, set) || set.String() != string(d.Name) || strings.ContainsAny(string(d.Name), "* \t\n,") {
				t.Errorf("scope %q: %v", d.Name, err)
			}
			if slices.ContainsFunc(c.Scopes[:i], func(other scope.Definition) bool { return other.Name == d.Name }) {
				t.Errorf("scope %q is listed twice", d.Name)
			}
			for _, implied := range d.Implies {
				if _, err := c.Parse([]string{string(implied)}); err != nil {
					t.Errorf("%q implies %q: %v", d.Name, implied, err)
				}
			}
		}
		for _, rule := range c.Rules {
			if strings.ContainsAny(rule.Path+strings.Join(rule.Methods, ""), "?$") || len(rule.Scopes) == 0 {
				t.Errorf("rule %+v", rule)
			}
			for _, s := range rule.Scopes {
				if _, err := c.Parse([]string{string(s)}); err != nil && s != scope.AnyScope {
					t.Errorf("rule for %s names %q: %v", rule.Path, s, err)
				}
			}
		}
		for _, d := range c.Scopes[:min(3, len(c.Scopes))] {
			set := scope.Set{d.Name}
			patterns := []scope.Rule{}
			for _, path := range c.GraphQLPaths[:min(2, len(c.GraphQLPaths))] {
				patterns = append(patterns, scope.Rule{Path: path})
			}
			for _, rule := range append(patterns, c.Rules[:min(3, len(c.Rules))]...) {
				path := strings.ReplaceAll(rule.Path, "*", "x/y")
				for _, method := range append([]string{"GET", "POST", "*"}, rule.Methods...) {
					if got, want := c.Allows(set, scope.Everywhere(), method, path), grantsAllow(t, c, set, method, path); got != want {
						t.Errorf("%s %s with %s: Allows is %t, the grants say %t", method, path, set, got, want)
					}
				}
			}
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		second, err := scope.Load(bytes.NewReader(again))
		if err != nil {
			t.Fatalf("does not load again: %v\n%s", err, again)
		}
		third, err := json.Marshal(second)
		if err != nil || !bytes.Equal(again, third) || len(c.Rules) > 0 && !reflect.DeepEqual(c.Rules[0].Scopes, second.Rules[0].Scopes) {
			t.Errorf("changes when it is loaded again: %s, %s", again, third)
		}
	})
}

// Breaks if the catalog that ships has a fault. A function's start reads it without the checks of Load.
func TestShippedCatalogPassesEveryCheck(t *testing.T) {
	text, err := os.ReadFile("gitlab.json")
	if err != nil {
		t.Fatal(err)
	}
	checked, err := scope.Load(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got, want := asJSON(t, scope.GitLab()), asJSON(t, checked)
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func asJSON(t *testing.T, c *scope.Catalog) string {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
