package scope

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/exactjson"
)

// A Reach limits where a token may be used, whatever its scopes are. The zero Reach is nowhere, so
// that an unset one refuses.
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

// Everywhere is the reach of a person's token.
func Everywhere() Reach { return Reach{of: everywhere} }

// InProject is the reach of a token of the project with this id: the catalog's ProjectPaths. For an
// id below 1 it is nowhere.
func InProject(id int64) Reach { return in(project, id) }

// InGroup is the reach of a token of the group with this id: the catalog's GroupPaths.
func InGroup(id int64) Reach { return in(group, id) }

func in(kind reachKind, id int64) Reach {
	if id < 1 {
		return Reach{}
	}
	return Reach{of: kind, id: id}
}

// idSegment stands for the id in the paths of projects and groups.
const idSegment = "{id}"

func fill(path string, id int64) string {
	return strings.ReplaceAll(path, idSegment, strconv.FormatInt(id, 10))
}

// within returns the patterns of the paths within the reach of a project or group.
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

// validProjectPath requires the id to be a whole segment. Next to a `*` or a digit, the id 9 would
// also match what belongs to 90.
func validProjectPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment != idSegment && strings.ContainsAny(segment, "{}") {
			return false
		}
	}
	return validPattern(path)
}

// checkReach adds the faults of the paths of projects or groups. If a path and a rule intersect
// in too many patterns, the rule would open nothing to their tokens. The operator learns this
// before any token is refused.
func (c *Catalog) checkReach(places *exactjson.Places, what string, paths []string) {
	valid := true
	at := func(i int) string { return fmt.Sprintf("%s_paths[%d]", what, i) }
	for i, path := range paths {
		if !validProjectPath(path) {
			valid = false
			places.Fault(at(i), "%s path %q: not a pattern that starts with / or *, in which {id} is a whole segment", what, path)
		}
	}
	if !valid {
		return
	}
	for i, path := range paths {
		for _, rule := range c.Rules {
			_, short := intersect(rule.Path, fill(path, 1))
			_, long := intersect(rule.Path, fill(path, math.MaxInt64))
			if !short || !long {
				places.Fault(at(i), "%s path %q: meets the rule path %q in too many or too long patterns", what, path, rule.Path)
			}
		}
	}
}

// confined returns the part of grants within reach.
func (c *Catalog) confined(grants []Grant, reach Reach) []Grant {
	var all []Grant
	within := c.within(reach)
	for _, grant := range grants {
		for _, path := range within {
			patterns, _ := intersect(grant.Path, path) // none if there are too many
			for _, pattern := range patterns {
				all = append(all, Grant{grant.Method, pattern})
			}
		}
	}
	return all
}

const (
	// maxPatterns is the most patterns of an intersection.
	maxPatterns = 64
	// maxPatternLength leaves room for the longest text before a path in a policy's resource, which
	// may have MaxResource characters.
	maxPatternLength = 300
	// maxComparisons bounds the time for a hopeless pair. Pairs that intersect in maxPatterns need
	// a small part of it.
	maxComparisons = 1 << 18
)

// intersect returns the patterns that together match exactly what both a and b match. It reports
// false, and returns none, if there are more than maxPatterns, if one is longer than
// maxPatternLength, or if the search takes too long.
//
// No pattern means "and", and NotResource is not documented for the policies of authorizers, so the
// intersection is enumerated.
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

// single replaces adjacent wildcards by one.
func single(pattern string) string {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	return pattern
}

// A meeting computes the intersection of two patterns.
type meeting struct {
	a, b     string
	known    map[[2]int][]string
	compared int
	tooMany  bool
}

// from returns the intersection of the rest of a from i and the rest of b from j.
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
	case a == "*": // most rules are for any path, or any path below one
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
		// One of the two wildcards ends first. The other may have matched everything that it
		// matched.
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

// each puts first in front of every pattern, and merges adjacent wildcards.
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

// maximal drops patterns that others cover, and keeps the first of patterns that cover each other.
// A pattern covers another if it matches the other's text, because only a `*` matches a `*`.
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
