package scope

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Reach is where a token may be used at most, whatever its scopes are. The
// zero Reach is nowhere, so that what nobody has thought of is refused.
type Reach struct {
	of reachKind
	id int64
}

type reachKind byte

const (
	nowhere reachKind = iota
	everywhere
	project
	group
)

// Everywhere is the reach of a token that belongs to a person.
func Everywhere() Reach { return Reach{of: everywhere} }

// InProject is the reach of a token that belongs to the project with this id:
// the catalog's ProjectPaths. It is nowhere for an id below 1.
func InProject(id int64) Reach { return in(project, id) }

// InGroup is the same for a group and the catalog's GroupPaths.
func InGroup(id int64) Reach { return in(group, id) }

func in(kind reachKind, id int64) Reach {
	if id < 1 {
		return Reach{}
	}
	return Reach{of: kind, id: id}
}

// idPlace is where the paths of projects and groups have the id.
const idPlace = "{id}"

func fill(path string, id int64) string {
	return strings.ReplaceAll(path, idPlace, strconv.FormatInt(id, 10))
}

// within returns the patterns of the paths that lie in the reach of a project
// or group.
func (c *Catalog) within(reach Reach) []string {
	var paths []string
	switch reach.of {
	case project:
		paths = c.ProjectPaths
	case group:
		paths = c.GroupPaths
	}
	filled := make([]string, len(paths))
	for i, path := range paths {
		filled[i] = fill(path, reach.id)
	}
	return filled
}

// validResourcePath wants the id to be a whole segment: beside a `*` or a
// digit, the id 9 would open what belongs to 90 as well.
func validResourcePath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment != idPlace && strings.ContainsAny(segment, "{}") {
			return false
		}
	}
	return validPattern(path)
}

// checkReach returns the faults of the paths of projects or groups. Where they
// meet a rule in too many ways, the rule would open nothing to their tokens,
// and the operator is told before anybody is refused.
func (c *Catalog) checkReach(what string, paths []string) (faults []error) {
	for _, path := range paths {
		if !validResourcePath(path) {
			faults = append(faults, fmt.Errorf("%s path %q: not a pattern that starts with / or *, in which {id} is a whole segment", what, path))
		}
	}
	if len(faults) > 0 {
		return faults
	}
	for _, path := range paths {
		for _, rule := range c.Rules {
			_, short := intersect(rule.Path, fill(path, 1))
			_, long := intersect(rule.Path, fill(path, math.MaxInt64))
			if !short || !long {
				faults = append(faults, fmt.Errorf("%s path %q: meets the rule path %q in too many or too long patterns", what, path, rule.Path))
			}
		}
	}
	return faults
}

// confined returns what is left of grants within reach, without what other
// grants open anyhow: a policy has little room.
func (c *Catalog) confined(grants []Grant, reach Reach) []Grant {
	var all []Grant
	within := c.within(reach)
	for _, grant := range grants {
		for _, path := range within {
			patterns, _ := intersect(grant.Path, path) // none when there are too many
			for _, pattern := range patterns {
				all = append(all, Grant{grant.Method, pattern})
			}
		}
	}
	return maximal(all, func(a, b Grant) bool {
		return (a.Method == "*" || a.Method == b.Method) && Match(a.Path, b.Path)
	})
}

const (
	// maxPatterns is how many patterns two may meet in.
	maxPatterns = 64
	// maxPatternLength leaves room for what stands in front of a path in a
	// resource of a policy, of which API Gateway reads 512 characters
	// (API Gateway Developer Guide, "Output from an API Gateway Lambda
	// authorizer").
	maxPatternLength = 300
	// maxComparisons bounds the time that a hopeless pair takes. Two patterns
	// that meet in maxPatterns need a small part of it.
	maxComparisons = 1 << 18
)

// intersect returns the patterns that together match exactly what both a and b
// match. It reports false, and returns none, when they are more than
// maxPatterns or take too long to find, or when one of them is longer than
// maxPatternLength.
//
// No pattern says "and", and a policy's statement that says what is not meant
// (NotResource) is not documented for the policies of authorizers; so the set
// is written out.
func intersect(a, b string) ([]string, bool) {
	if len(a) > maxPatternLength || len(b) > maxPatternLength {
		return nil, false
	}
	m := meeting{a: single(a), b: single(b), known: map[[2]int][]string{}}
	patterns := m.from(0, 0)
	if m.tooMany || slices.ContainsFunc(patterns, func(p string) bool { return len(p) > maxPatternLength }) {
		return nil, false
	}
	return patterns, true
}

// single makes one run of those that stand side by side.
func single(pattern string) string {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	return pattern
}

// A meeting finds the patterns of what two patterns match.
type meeting struct {
	a, b     string
	known    map[[2]int][]string
	compared int
	tooMany  bool
}

// from returns the patterns of what the rest of a from i and the rest of b
// from j match.
func (m *meeting) from(i, j int) []string {
	if m.tooMany {
		return nil
	}
	a, b := m.a[i:], m.b[j:]
	if a == "" || b == "" {
		if strings.Trim(a+b, "*") == "" {
			return []string{""}
		}
		return nil
	}
	switch {
	case a == "*": // most rules are for any path, or any below one
		return []string{b}
	case b == "*":
		return []string{a}
	case a[0] != '*' && b[0] != '*':
		n := 0
		for n < min(len(a), len(b)) && a[n] == b[n] && a[n] != '*' {
			n++
		}
		if n == 0 {
			return nil
		}
		return each(a[:n], m.from(i+n, j+n))
	}
	at := [2]int{i, j}
	if patterns, known := m.known[at]; known {
		return patterns
	}
	var patterns []string
	switch {
	case a[0] == '*' && b[0] == '*':
		// One of the two runs ends first, and whatever is in it, the other
		// may have too.
		patterns = each("*", append(slices.Clone(m.from(i+1, j)), m.from(i, j+1)...))
	case a[0] == '*':
		patterns = append(slices.Clone(m.from(i+1, j)), each(b[:1], m.from(i, j+1))...)
	default:
		patterns = append(slices.Clone(m.from(i, j+1)), each(a[:1], m.from(i+1, j))...)
	}
	m.compared += len(patterns) * len(patterns)
	if m.compared <= maxComparisons {
		patterns = maximal(patterns, Match)
	}
	if m.compared > maxComparisons || len(patterns) > maxPatterns {
		m.tooMany = true
		return nil
	}
	m.known[at] = patterns
	return patterns
}

// each puts first in front of every pattern. Two runs side by side are one.
func each(first string, patterns []string) []string {
	out := make([]string, len(patterns))
	for i, pattern := range patterns {
		if first == "*" {
			pattern = strings.TrimLeft(pattern, "*")
		}
		out[i] = first + pattern
	}
	return out
}

// maximal drops what is covered by another one, and all but the first of those
// that cover each other. A pattern covers one that it matches as a text,
// because only a `*` matches a `*`.
func maximal[T any](all []T, covers func(a, b T) bool) []T {
	var kept []T
	for i, one := range all {
		redundant := false
		for j, other := range all {
			if i != j && covers(other, one) && (j < i || !covers(one, other)) {
				redundant = true
				break
			}
		}
		if !redundant {
			kept = append(kept, one)
		}
	}
	return kept
}
