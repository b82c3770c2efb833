package gitlabapi_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/scope"
)

// scopesPage is the table for people: which scope opens which request.
const scopesPage = "../../docs/scopes.md"

// A gate asks every route with tokens that have one scope each, as an
// administrator, whose rank hides nothing that the scope would refuse.
type gate struct {
	*world
	functions map[string]proxy.Handler
	good      map[string]bool // the tokens that no request has ended, by name
}

func newGate(tb testing.TB) *gate {
	w := newWorld(tb)
	return &gate{w, w.functions(), map[string]bool{}}
}

var anyPlace = regexp.MustCompile(`\{[^}]*\}`)

// concrete puts something that is not there into the places of a route. What
// is asked for is looked up after the scope is checked.
func concrete(route gitlabapi.Served) string {
	return anyPlace.ReplaceAllString(route.Path, "999999999")
}

// serving returns the function that serves a route: to the others it is one of
// another function, or none.
func (g *gate) serving(tb testing.TB, route gitlabapi.Served) http.Handler {
	tb.Helper()
	var found []http.Handler
	for _, function := range g.functions {
		recorder := httptest.NewRecorder()
		function.ServeHTTP(recorder, httptest.NewRequest(route.Method, concrete(route), nil))
		var body struct{ Error string }
		_ = json.Unmarshal(recorder.Body.Bytes(), &body) // what is no object is no routing error
		if body.Error != "404 Not Found" && body.Error != "405 Not Allowed" {
			found = append(found, function)
		}
	}
	if len(found) != 1 {
		tb.Fatalf("%v is served by %d of the world's functions", route, len(found))
	}
	return found[0]
}

// A verdict is what a request with one scope gets.
type verdict struct {
	refused bool // with insufficient_scope
	listed  string
}

// ask sends a request to a function. A token that the request before has ended
// is replaced first: what is asked about is the scope.
func (g *gate) ask(tb testing.TB, function http.Handler, method, path string, s scope.Scope, header http.Header) verdict {
	tb.Helper()
	name := "only " + string(s)
	if !g.good[name] {
		g.issue(tb, name, "root", s)
	}
	r := httptest.NewRequest(method, path, nil)
	if header != nil {
		r.Header = header.Clone()
	}
	r.Header.Set("PRIVATE-TOKEN", g.bearers[name])
	recorder := httptest.NewRecorder()
	function.ServeHTTP(recorder, r)
	var body struct{ Error, Scope string }
	_ = json.Unmarshal(recorder.Body.Bytes(), &body) // a list or nothing says that it was served
	g.good[name] = method != http.MethodDelete && method != http.MethodPost || recorder.Code >= http.StatusBadRequest
	switch {
	case recorder.Code >= http.StatusInternalServerError, body.Error == "invalid_token", body.Error == "404 Not Found":
		tb.Errorf("%s %s with %s: %d %s", method, path, s, recorder.Code, recorder.Body)
	case body.Error == "insufficient_scope" && recorder.Code != http.StatusForbidden:
		tb.Errorf("%s %s with %s: refused with %d", method, path, s, recorder.Code)
	}
	return verdict{body.Error == "insufficient_scope", body.Scope}
}

// methodsOf returns the methods that a route serves.
func methodsOf(route gitlabapi.Served) []string {
	if route.Method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{route.Method}
}

// documented is the table of GitLab's reference, section "Scopes", written out
// by hand: the scopes that open a request, or nil for any scope at all.
func documented(method, path string) []scope.Scope {
	read := method == http.MethodGet || method == http.MethodHead
	path = strings.TrimPrefix(path, "/api/v4")
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case path == "/api/graphql": // a request without a document; see TestCurrentUser
		return []scope.Scope{"api"}
	case path == "/personal_access_tokens/self" && (read || method == http.MethodDelete),
		path == "/personal_access_tokens/self/associations" && read:
		return nil
	case strings.HasSuffix(path, "access_tokens/self/rotate") && method == http.MethodPost:
		return []scope.Scope{"api", "self_rotate"}
	case read && slices.Contains([]string{"user", "users", "version", "metadata"}, first):
		return []scope.Scope{"api", "read_api", "read_user"}
	case read:
		return []scope.Scope{"api", "read_api"}
	default:
		return []scope.Scope{"api"}
	}
}

// If this fails, a scope opens something that it is not documented to open, or
// the running functions, the table for authorizers and the page for people say
// different things.
func TestScopesOfEveryRoute(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	var rows []scopeRow
	exceptions := map[string]int{}
	for _, route := range gitlabapi.EveryRoute() {
		function, path := g.serving(t, route), concrete(route)
		for _, method := range methodsOf(route) {
			row := scopeRow{methods: method, path: route.Path}
			want := documented(method, route.Path)
			exceptions[fmt.Sprint(want)]++
			requirement := g.catalog.Require(method, path)
			for _, d := range g.catalog.Scopes {
				got := g.ask(t, function, method, path, d.Name, nil)
				if opens := want == nil || slices.Contains(want, d.Name); opens == got.refused {
					t.Errorf("%s %s with %s: refused = %t; the reference says that it opens: %t", method, route.Path, d.Name, got.refused, opens)
				}
				if g.catalog.Allows(scope.Set{d.Name}, scope.Everywhere(), method, path) == got.refused {
					t.Errorf("%s %s with %s: refused = %t, and the authorizer does the opposite", method, route.Path, d.Name, got.refused)
				}
				if got.refused && got.listed != requirement.Listed.String() {
					t.Errorf("%s %s with %s: the refusal names %q, want %q", method, route.Path, d.Name, got.listed, requirement.Listed)
				}
				row.opens = append(row.opens, !got.refused)
			}
			if last := len(rows) - 1; method == http.MethodHead && slices.Equal(rows[last].opens, row.opens) {
				rows[last].methods = "GET, HEAD"
				continue
			}
			rows = append(rows, row)
		}
	}
	for kind, least := range map[string]int{"[]": 5, "[api self_rotate]": 1, "[api read_api read_user]": 2, "[api read_api]": 2, "[api]": 5} {
		if exceptions[kind] < least {
			t.Errorf("%d requests are opened by %s, want %d or more", exceptions[kind], kind, least)
		}
	}
	if len(exceptions) != 5 {
		t.Errorf("kinds of request: %v", exceptions)
	}
	page := pageOfScopes(g.catalog, rows)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		check(t, os.WriteFile(scopesPage, []byte(page), 0o600))
		return
	}
	kept, err := os.ReadFile(scopesPage)
	check(t, err)
	if page != string(kept) {
		t.Errorf("%s is not what the functions answer; make golden writes it anew:\n--- want\n%s\n--- got\n%s", scopesPage, kept, page)
	}
}

// An administrator's token that has nothing but sudo opens every route to act
// as somebody else, and no other scope does (GitLab's reference, "Sudo").
func TestSudoOpensEveryRouteAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	as := header("Sudo", g.users["owner"].ID.String())
	oneself := header("Sudo", g.users["root"].ID.String())
	for _, route := range gitlabapi.EveryRoute() {
		function, path := g.serving(t, route), concrete(route)
		for _, method := range methodsOf(route) {
			for _, d := range g.catalog.Scopes {
				got := g.ask(t, function, method, path, d.Name, as)
				if want := (verdict{true, "sudo"}); d.Name != scope.Sudo && got != want {
					t.Errorf("%s %s as another account with %s: %v", method, route.Path, d.Name, got)
				}
				if d.Name == scope.Sudo && got.refused {
					t.Errorf("%s %s as another account with sudo alone: %v", method, route.Path, got)
				}
			}
			alone, asOneself := g.ask(t, function, method, path, scope.Sudo, nil), g.ask(t, function, method, path, scope.Sudo, oneself)
			if alone != asOneself {
				t.Errorf("%s %s with sudo: %v, and as oneself %v", method, route.Path, alone, asOneself)
			}
		}
	}
}

// A scopeRow is a line of the page: what each scope of the catalog opens, in
// the catalog's order.
type scopeRow struct {
	methods, path string
	opens         []bool
}

// pageOfScopes writes the page. Scopes that open the same requests share a
// column, and the many that open little are named below.
func pageOfScopes(c *scope.Catalog, rows []scopeRow) string {
	slices.SortStableFunc(rows, func(a, b scopeRow) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.methods, b.methods)) })
	type column struct {
		scopes []string
		index  int
	}
	var columns []*column
	for i, d := range c.Scopes {
		at := slices.IndexFunc(columns, func(known *column) bool {
			return !slices.ContainsFunc(rows, func(r scopeRow) bool { return r.opens[known.index] != r.opens[i] })
		})
		if at < 0 {
			columns, at = append(columns, &column{index: i}), len(columns)
		}
		columns[at].scopes = append(columns[at].scopes, "`"+string(d.Name)+"`")
	}
	slices.SortStableFunc(columns, func(a, b *column) int { return cmp.Compare(len(a.scopes), len(b.scopes)) })
	var b strings.Builder
	b.WriteString("# Which scope opens what\n\n" +
		"`make golden` writes this page from what the running functions answer to a token with one scope. A token with\n" +
		"more scopes opens what any of them opens. A scope gives no rights that its owner does not have,\n" +
		"and counts only while the owner could be given it: see [what counts](api.md#make-a-token).\n\n| request |")
	for i, one := range columns {
		if i == len(columns)-1 {
			fmt.Fprintf(&b, " the %d others |", len(one.scopes))
			continue
		}
		b.WriteString(" " + strings.Join(one.scopes, ", ") + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s `%s` |", row.methods, row.path)
		for _, one := range columns {
			b.WriteString(map[bool]string{true: " yes |", false: " |"}[row.opens[one.index]])
		}
		b.WriteString("\n")
	}
	others := columns[len(columns)-1].scopes
	fmt.Fprintf(&b, "\nThe %d others are %s and %s.\n", len(others), strings.Join(others[:len(others)-1], ", "), others[len(others)-1])
	b.WriteString("\nTo act as another account with `sudo`, an administrator's token needs the scope `sudo` and no other, for\n" +
		"every request of the table. Without it, no other scope will do. What it makes for a project or group stays within\n" +
		"its own scopes all the same.\n")
	b.WriteString("\nA token without a sufficient scope is answered 403 `insufficient_scope`. The body and `WWW-Authenticate` (RFC 6750)\n" +
		"name the scopes that open the path.\n")
	b.WriteString("\n## Behind the authorizer\n\n" +
		"There, too, `api` opens every method and path and `read_api` every GET and HEAD, unless a\n" +
		"[rules file](authorizer.md#your-own-scopes) of your own says otherwise. A GraphQL endpoint (`/api/graphql`) needs `api`\n" +
		"for GET too, because a mutation can come by GET. The token of a project or group opens only what lies on these paths,\n" +
		"`{id}` being its own id:\n\n")
	fmt.Fprintf(&b, "| token of a | paths |\n|---|---|\n| project | `%s` |\n| group | `%s` |\n",
		strings.Join(c.ProjectPaths, "`, `"), strings.Join(c.GroupPaths, "`, `"))
	return b.String()
}
