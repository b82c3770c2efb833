package scope

import "slices"

// The methods with which a GraphQL endpoint is asked.
const get, post = "GET", "POST"

// IsGraphQL reports whether path is a GraphQL endpoint.
func (c *Catalog) IsGraphQL(path string) bool { return matchesAny(c.GraphQLPaths, path) }

// LeavesToBackend reports whether the backend itself judges requests for path by the scopes it is told.
func (c *Catalog) LeavesToBackend(path string) bool { return matchesAny(c.JudgedByBackend, path) }

// OpensReading reports whether set opens the reading of path within reach. On a GraphQL endpoint this is
// for who has read the request and found only queries in it.
func (c *Catalog) OpensReading(set Set, reach Reach, path string) bool {
	return c.opens(set, reach, get, path)
}

// leftToBackend returns what grants also open on the GraphQL endpoints whose backend judges.
func (c *Catalog) leftToBackend(grants []Grant) (more []Grant) {
	for _, path := range c.GraphQLPaths {
		if matchesAny(c.JudgedByBackend, path) && covered(grants, get, path) {
			more = append(more, Grant{post, path})
		}
	}
	return more
}

// Withheld returns the patterns of what a policy with grants has to deny, in the form of AmbiguousPatterns:
// reading GraphQL endpoints on which the grants do not open POST.
func (c *Catalog) Withheld(grants []Grant) (patterns []string) {
	for _, path := range c.GraphQLPaths {
		if covered(grants, post, path) {
			continue
		}
		for _, method := range methodsMeeting(grants, path) {
			patterns = append(patterns, Grant{method, path}.Resources()...)
		}
	}
	return patterns
}

func covered(grants []Grant, method, pattern string) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool {
		return (g.Method == "*" || g.Method == method) && Match(g.Path, pattern)
	})
}

// methodsMeeting returns the methods of the grants that open some path which pattern matches.
func methodsMeeting(grants []Grant, pattern string) (methods []string) {
	for _, grant := range grants {
		common, few := intersect(grant.Path, pattern)
		if (len(common) > 0 || !few) && !slices.Contains(methods, grant.Method) {
			methods = append(methods, grant.Method)
		}
	}
	return methods
}

// matchesAny reports whether one of patterns matches path. A pattern matches itself.
func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return Match(pattern, path) })
}
