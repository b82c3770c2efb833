package scope

import (
	"fmt"
	"slices"

	"latchkey/pkg/exactjson"
)

// A GraphQL is an endpoint at which the method does not tell reading from changing: a query and a mutation
// both come by GET or POST. So a rule opens GET and HEAD there only to tokens to which the rules open POST
// as well.
type GraphQL struct {
	// Path is a pattern like that of a rule.
	Path string `json:"path"`
	// ReadScopes open queries, and no mutations, to whoever can see which of the two a request is; see
	// Catalog.AllowsQuery.
	ReadScopes []Scope `json:"read_scopes"`
	// BackendJudges says that the backend refuses mutations to callers who have no other scopes than
	// ReadScopes. Then ReadScopes open the endpoint to everything, because the backend gets the scopes.
	BackendJudges bool `json:"backend_judges,omitempty"`
}

func (c *Catalog) checkGraphQL(places *exactjson.Places, known map[Scope]bool) {
	for i, endpoint := range c.GraphQL {
		at := fmt.Sprintf("graphql[%d]", i)
		if !validPattern(endpoint.Path) || len(endpoint.Path) > maxPatternLength {
			places.Fault(at+".path", "graphql path %q: not a pattern of up to %d characters that starts with / or *", endpoint.Path, maxPatternLength)
		}
		if len(endpoint.ReadScopes) == 0 {
			places.Fault(at+".read_scopes", "graphql path %q has no read_scopes", endpoint.Path)
		}
		for j, s := range endpoint.ReadScopes {
			if s == AnyScope || !known[s] {
				places.Fault(fmt.Sprintf("%s.read_scopes[%d]", at, j), "graphql path %q names scope %q, which is not listed", endpoint.Path, s)
			}
		}
	}
}

// GraphQLAt returns the GraphQL endpoint at path, if there is one.
func (c *Catalog) GraphQLAt(path string) (GraphQL, bool) {
	for _, endpoint := range c.GraphQL {
		if Match(endpoint.Path, path) {
			return endpoint, true
		}
	}
	return GraphQL{}, false
}

func (g GraphQL) reads(set Set) bool { return slices.ContainsFunc(g.ReadScopes, set.Has) }

// AllowsQuery reports whether set opens a request to path within reach that is a GraphQL query, and no
// mutation, as the caller has seen. The path must have passed CheckPath.
func (c *Catalog) AllowsQuery(set Set, reach Reach, path string) bool {
	endpoint, found := c.GraphQLAt(path)
	return found && endpoint.reads(set) && c.reaches(reach, path) || c.Allows(set, reach, "POST", path)
}

// Withheld returns what the rules open to set only by mistake: GET and HEAD at GraphQL endpoints where set
// does not open POST. It has precedence over Grants.
func (c *Catalog) Withheld(set Set, reach Reach) []Grant { return c.withheld(c.Grants(set, reach)) }

func (c *Catalog) withheld(grants []Grant) (held []Grant) {
	for _, endpoint := range c.GraphQL {
		if slices.ContainsFunc(grants, func(g Grant) bool { return g.Opens("POST", endpoint.Path) }) {
			continue
		}
		for _, method := range []string{"GET", "HEAD"} {
			if slices.ContainsFunc(grants, func(g Grant) bool { return (g.Method == "*" || g.Method == method) && meet(g.Path, endpoint.Path) }) {
				held = append(held, Grant{method, endpoint.Path})
			}
		}
	}
	return held
}

// judged returns the grants to set at the endpoints whose backend judges.
func (c *Catalog) judged(set Set) (grants []Grant) {
	for _, endpoint := range c.GraphQL {
		if endpoint.BackendJudges && endpoint.reads(set) {
			grants = append(grants, Grant{"GET", endpoint.Path}, Grant{"HEAD", endpoint.Path}, Grant{"POST", endpoint.Path})
		}
	}
	return grants
}
