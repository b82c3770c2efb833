package scope

import (
	"bytes"
	_ "embed" // Latchkey's own catalog is a file like an operator's
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"latchkey/pkg/exactjson"
)

// A Catalog is a closed list of scopes and the table of what each scope opens. It is immutable and
// safe for concurrent use.
type Catalog struct {
	Scopes []Definition `json:"scopes"`
	Rules  []Rule       `json:"rules,omitempty"`
	// LoosePaths are patterns of paths that may hold encoded slashes and dots and empty segments.
	// Elsewhere these are refused, because the gateway and the backend may read them in two ways.
	LoosePaths []string `json:"loose_paths,omitempty"`
	// ProjectPaths are patterns of the paths on which a project's tokens may be used, as far as
	// their scopes allow; {id} stands for the project's id. Without any, these tokens open nothing.
	ProjectPaths []string `json:"project_paths,omitempty"`
	// GroupPaths are the same for tokens of groups.
	GroupPaths []string `json:"group_paths,omitempty"`
	// GraphQLPaths are patterns of GraphQL endpoints. Method and path do not tell there what a request
	// does, so scopes that do not open POST open nothing; see OpensReading.
	GraphQLPaths []string `json:"graphql_paths,omitempty"`
	// JudgedByBackend are patterns of paths on which the backend itself refuses what the scopes that it is
	// told do not allow. There, whatever opens GET also opens POST on a GraphQL endpoint, and pulling code
	// opens a request for large files that nobody has read.
	JudgedByBackend []string `json:"judged_by_backend,omitempty"`

	// lines are those of the rules in their file.
	lines []int
}

// A Rule opens paths to tokens with any one of its scopes.
type Rule struct {
	// Methods are the methods of the rule; none means every method.
	Methods []string `json:"methods,omitempty"`
	// Path is a pattern in which `*` matches any run of characters, slashes included, exactly as in
	// the resource of an IAM policy, because policies contain it.
	Path string `json:"path"`
	// Scopes are the sufficient scopes, any one of them. AnyScope stands for every scope.
	Scopes []Scope `json:"scopes"`
}

// AnyScope in a rule stands for every scope of the catalog.
const AnyScope Scope = "*"

//go:embed gitlab.json
var gitlab []byte

// GitLab returns the catalog that ships with Latchkey: GitLab's scopes, and what they open below
// /api/v4 and on every API behind the authorizer. It is read once, because a function needs it twice
// before its first answer, and without the checks of Load, which take longer than the rest of a start's
// work; a test has made them.
func GitLab() *Catalog { return shipped() }

var shipped = sync.OnceValue(func() *Catalog {
	var c Catalog
	if err := json.Unmarshal(gitlab, &c); err != nil {
		panic("scope: the catalog in the binary is broken: " + err.Error())
	}
	return &c
})

// ruleLines returns the lines of the rules in their file.
func (c *Catalog) ruleLines() []int {
	if c == shipped() {
		return shippedLines()
	}
	return c.lines
}

var shippedLines = sync.OnceValue(func() []int {
	c, err := Load(bytes.NewReader(gitlab))
	if err != nil {
		panic("scope: the catalog in the binary is broken: " + err.Error())
	}
	return c.lines
})

// maxFile is the size of the largest rules file, in bytes. What fits into a policy needs a small part of it.
const maxFile = 1 << 20

// Load reads a rules file, which has the form of gitlab.json, from r. It refuses anything but one JSON value
// of exactly that form; see exactjson. Every fault has its line and column. Load reports together all scopes
// that are repeated or not listed, methods that are not upper-case letters, patterns that IAM would read
// differently, and rules and paths that do not fit into a policy. Warnings are no faults.
func Load(r io.Reader) (*Catalog, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("rules file: %w", err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("rules file: larger than %d bytes", maxFile)
	}
	var c Catalog
	places, err := exactjson.Decode(text, &c)
	if err != nil {
		return nil, fmt.Errorf("rules file: %w", err)
	}
	c.check(places)
	if places.Err() == nil {
		c.checkSize(places)
	}
	if err := places.Err(); err != nil {
		return nil, fmt.Errorf("rules file: %w", err)
	}
	for i := range c.Rules {
		c.lines = append(c.lines, places.Line(fmt.Sprintf("rules[%d]", i)))
	}
	return &c, nil
}

func (c *Catalog) check(places *exactjson.Places) {
	seen := map[Scope]bool{AnyScope: true}
	for i, s := range c.Scopes {
		if !validName(s.Name) || seen[s.Name] {
			places.Fault(fmt.Sprintf("scopes[%d].name", i), "scope %q: empty, repeated, or not made of letters, digits and _ : . -", s.Name)
		}
		seen[s.Name] = true
	}
	for i, s := range c.Scopes {
		for j, implied := range s.Implies {
			if implied == AnyScope || !seen[implied] {
				places.Fault(fmt.Sprintf("scopes[%d].implies[%d]", i, j), "scope %q implies %q, which is not listed", s.Name, implied)
			}
		}
	}
	for i, rule := range c.Rules {
		rule.check(places, fmt.Sprintf("rules[%d]", i), seen)
	}
	for i, path := range c.LoosePaths {
		if !validPattern(path) {
			places.Fault(fmt.Sprintf("loose_paths[%d]", i), "loose path %q: not a pattern that starts with / or *", path)
		}
	}
	c.checkReach(places, "project", c.ProjectPaths)
	c.checkReach(places, "group", c.GroupPaths)
	for what, paths := range map[string][]string{"graphql_paths": c.GraphQLPaths, "judged_by_backend": c.JudgedByBackend} {
		for i, path := range paths {
			if !validPattern(path) || len(path) > maxPatternLength {
				places.Fault(fmt.Sprintf("%s[%d]", what, i), "%s: %q is not a pattern of up to %d characters that starts with / or *", what, path, maxPatternLength)
			}
		}
	}
	if len(c.Scopes) == 0 {
		places.Fault("scopes", "no scopes")
	}
}

func (r Rule) check(places *exactjson.Places, at string, known map[Scope]bool) {
	if !validPattern(r.Path) {
		places.Fault(at+".path", "rule path %q: not a pattern that starts with / or *", r.Path)
	}
	if len(r.Path) > maxPatternLength {
		places.Fault(at+".path", "rule for %s: the path has %d characters, more than %d; API Gateway reads %d of a whole resource",
			r.Path, len(r.Path), maxPatternLength, MaxResource)
	}
	if len(r.Scopes) == 0 {
		places.Fault(at+".scopes", "rule for %s has no scopes", r.Path)
	}
	for i, s := range r.Scopes {
		if !known[s] {
			places.Fault(fmt.Sprintf("%s.scopes[%d]", at, i), "rule for %s names scope %q, which is not listed", r.Path, s)
		}
	}
	for i, method := range r.Methods {
		if !validMethod(method) {
			places.Fault(fmt.Sprintf("%s.methods[%d]", at, i), "rule for %s: method %q is not made of 1 to %d upper-case letters", r.Path, method, maxMethodLength)
		}
	}
}

// With returns a catalog with the scopes and the GraphQL endpoints of c and other, and otherwise only
// other's table and paths. An operator's catalog keeps the scopes that Latchkey's API needs and replaces
// GitLab's table.
func (c *Catalog) With(other *Catalog) *Catalog {
	joined := &Catalog{
		Rules: other.Rules, lines: other.lines, LoosePaths: other.LoosePaths,
		ProjectPaths: other.ProjectPaths, GroupPaths: other.GroupPaths,
		GraphQLPaths: slices.Concat(c.GraphQLPaths, other.GraphQLPaths), JudgedByBackend: other.JudgedByBackend,
	}
	joined.Scopes = append(joined.Scopes, other.Scopes...)
	for _, s := range c.Scopes {
		if _, twice := other.definition(s.Name); !twice {
			joined.Scopes = append(joined.Scopes, s)
		}
	}
	return joined
}

// validMethod excludes characters that an IAM policy would interpret, as validPattern does.
func validMethod(method string) bool {
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return method != "" && len(method) <= maxMethodLength
}

func validName(s Scope) bool {
	for _, c := range string(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_:.-", c)) {
			return false
		}
	}
	return s != ""
}

// validPattern excludes characters that an IAM policy would interpret: `?` matches one character,
// and `${` starts a variable.
func validPattern(path string) bool {
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "*") {
		return false
	}
	for _, c := range path {
		if c <= ' ' || c > '~' || strings.ContainsRune(`?$"\`, c) {
			return false
		}
	}
	return true
}

// A Requirement is what an endpoint requires of a token.
type Requirement struct {
	// Sufficient scopes: any one of them is enough. AnyScope stands for all.
	Sufficient Set
	// Listed are the scopes that a refusal names. As in GitLab, these are the scopes of every rule
	// for the path, including rules for other methods.
	Listed Set
}

// Require returns what the rules require for a request.
func (c *Catalog) Require(method, path string) Requirement {
	var r Requirement
	for _, rule := range c.Rules {
		if !Match(rule.Path, path) {
			continue
		}
		for _, s := range rule.Scopes {
			if !r.Listed.Has(s) && s != AnyScope {
				r.Listed = append(r.Listed, s)
			}
			if rule.covers(method) && !r.Sufficient.Has(s) {
				r.Sufficient = append(r.Sufficient, s)
			}
		}
	}
	return r
}

// Met returns nil if set satisfies the requirement, otherwise ErrInsufficient. An empty set
// satisfies none, not even AnyScope.
func (r Requirement) Met(set Set) error {
	if slices.ContainsFunc(r.Sufficient, func(s Scope) bool { return s == AnyScope && len(set) > 0 || set.Has(s) }) {
		return nil
	}
	return ErrInsufficient
}

func (r Rule) covers(method string) bool {
	return len(r.Methods) == 0 || slices.Contains(r.Methods, method)
}

// A Grant is a method (or `*`) and a path pattern that a token opens.
type Grant struct{ Method, Path string }

// Grants returns everything that set opens within reach, except that Withheld has precedence. It depends on
// no request, so a policy made from it is right for every route.
func (c *Catalog) Grants(set Set, reach Reach) []Grant {
	grants := make([]Grant, 0, 2*len(set))
	for _, rule := range c.Rules {
		if (Requirement{Sufficient: rule.Scopes}).Met(set) != nil {
			continue
		}
		if len(rule.Methods) == 0 {
			grants = append(grants, Grant{"*", rule.Path})
		}
		for _, method := range rule.Methods {
			grants = append(grants, Grant{method, rule.Path})
		}
	}
	grants = append(grants, c.leftToBackend(grants)...)
	if reach != Everywhere() {
		grants = c.confined(grants, reach)
	}
	// A policy has little room.
	return maximal(grants, func(a, b Grant) bool {
		return (a.Method == "*" || a.Method == b.Method) && Match(a.Path, b.Path)
	})
}

// Allows reports whether set opens method on path within reach, in agreement with Grants and Withheld.
// The path must have passed CheckPath.
func (c *Catalog) Allows(set Set, reach Reach, method, path string) bool {
	switch {
	case !matchesAny(c.GraphQLPaths, path):
		return c.opens(set, reach, method, path)
	case !matchesAny(c.JudgedByBackend, path):
		return c.opens(set, reach, post, path) && c.opens(set, reach, method, path)
	case method == post && c.opens(set, reach, get, path):
		return true
	}
	return c.opens(set, reach, method, path)
}

func (c *Catalog) opens(set Set, reach Reach, method, path string) bool {
	if reach == Everywhere() {
		return c.Require(method, path).Met(set) == nil
	}
	return slices.ContainsFunc(c.Grants(set, reach), func(g Grant) bool {
		return (g.Method == "*" || g.Method == method) && Match(g.Path, path)
	})
}

// Match reports whether path matches pattern, in which `*` matches any run of characters, slashes
// included.
func Match(pattern, path string) bool {
	before, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == path
	}
	if !strings.HasPrefix(path, before) {
		return false
	}
	path = path[len(before):]
	for {
		part, tail, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(path, part)
		}
		at := strings.Index(path, part)
		if at < 0 {
			return false
		}
		path, rest = path[at+len(part):], tail
	}
}
