package scope

import (
	"slices"
	"strings"
)

// A Reason says why a request is open or not.
type Reason string

// The reasons. The first two open a request.
const (
	ByRule        Reason = "rule"         // a rule opens it
	ByBackend     Reason = "backend"      // rules open GET there, and the backend judges the rest
	AmbiguousPath Reason = "path"         // the path can be read in two ways
	NoRule        Reason = "no_rule"      // no rule opens it to these scopes
	OutOfReach    Reason = "out_of_reach" // rules open it, but it does not belong to the token's project or group
	OnlyReading   Reason = "only_reading" // rules open GET at a GraphQL endpoint and not POST
)

// A Miss is a part of a rule that a request does not fit.
type Miss string

// The misses. A near path differs in case, or is that in front of a wildcard.
const (
	MissScope    Miss = "scope"
	MissMethod   Miss = "method"
	MissNearPath Miss = "path"
)

// A Reading is a rule with how a request fits it: in everything, if there are no misses.
type Reading struct {
	Rule Rule
	// Line is the rule's line in its file, or 0.
	Line   int
	Misses []Miss
}

// An Explanation says why Allows and CheckPath decide about a request as they do.
type Explanation struct {
	Open   bool
	Reason Reason
	// Readings are the rules that fit, or nearly do, in the order of the file: those for the path, and those
	// that miss nothing but a near path.
	Readings []Reading
}

// Explain returns the decision about a request and its reason.
func (c *Catalog) Explain(set Set, reach Reach, method, path string) Explanation {
	e := Explanation{Open: c.CheckPath(path) == nil && c.Allows(set, reach, method, path)}
	for i, rule := range c.Rules {
		misses, near := rule.misses(set, method, path)
		if !near {
			continue
		}
		line := 0
		if lines := c.ruleLines(); i < len(lines) {
			line = lines[i]
		}
		e.Readings = append(e.Readings, Reading{rule, line, misses})
	}
	fits := slices.ContainsFunc(e.Readings, func(r Reading) bool { return len(r.Misses) == 0 })
	switch {
	case c.CheckPath(path) != nil:
		e.Reason = AmbiguousPath
	case e.Open && fits:
		e.Reason = ByRule
	case e.Open:
		e.Reason = ByBackend
	case !fits && !(c.leavesPost(method, path) && c.Allows(set, Everywhere(), method, path)):
		e.Reason = NoRule
	case c.Allows(set, Everywhere(), method, path):
		e.Reason = OutOfReach
	default:
		e.Reason = OnlyReading
	}
	return e
}

// leavesPost reports whether the backend judges a POST at a GraphQL endpoint.
func (c *Catalog) leavesPost(method, path string) bool {
	return method == post && c.IsGraphQL(path) && c.LeavesToBackend(path)
}

// misses returns what of the rule a request does not fit, and whether it is near enough to be told.
func (r Rule) misses(set Set, method, path string) (misses []Miss, near bool) {
	if (Requirement{Sufficient: r.Scopes}).Met(set) != nil {
		misses = append(misses, MissScope)
	}
	if !r.covers(method) {
		misses = append(misses, MissMethod)
	}
	if Match(r.Path, path) {
		return misses, true
	}
	return append(misses, MissNearPath), len(misses) == 0 && nearly(r.Path, path)
}

// nearly reports whether somebody may take pattern for matching path.
func nearly(pattern, path string) bool {
	if Match(strings.ToLower(pattern), strings.ToLower(path)) {
		return true
	}
	parent, below := strings.CutSuffix(pattern, "/*")
	return below && Match(parent, path) || Match(pattern+"/*", path) || Match(pattern, strings.TrimSuffix(path, "/"))
}
