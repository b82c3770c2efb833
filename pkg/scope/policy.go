package scope

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"latchkey/pkg/exactjson"
)

const (
	// MaxResource is how many characters of a policy's resource API Gateway reads (Developer Guide,
	// "Output from an API Gateway Lambda authorizer").
	MaxResource = 512
	// maxPolicy keeps a whole answer below 8 KB, the only size that is documented for one (Developer
	// Guide, "Quotas for configuring and running a WebSocket API"). The rest is for its context.
	maxPolicy = 8<<10 - 800
	// frontLength is that of `arn:<partition>:execute-api:<region>:<account>:<api>/<stage>/` with a
	// stage of 14 characters. The longest stage makes it 195.
	frontLength = 80
	// maxMethodLength leaves room for maxPatternLength behind the longest front.
	maxMethodLength = 16
)

// everyMethod matches the methods that API Gateway has routes for. No other method fits `??T`, which
// is GET and PUT.
var everyMethod = []string{"??T", "DELETE", "HEAD", "OPTIONS", "PATCH", "POST"}

// Resources returns the grant in the form of IAM resources, which follow `<api>/<stage>/`.
func (g Grant) Resources() []string {
	if g.Path[0] == '/' {
		if g.Method != "*" {
			return []string{g.Method + g.Path}
		}
		// A wildcard matches slashes too: `*/user` would open /any/user.
		all := make([]string, len(everyMethod))
		for i, method := range everyMethod {
			all[i] = method + g.Path
		}
		return all
	}
	// Every path starts with a slash, so a leading wildcard either matches that slash or nothing.
	all := []string{g.Method + "/" + g.Path}
	if rest := strings.TrimLeft(g.Path, "*"); strings.HasPrefix(rest, "/") {
		all = append(all, g.Method+rest)
	}
	return all
}

// DotPatterns match the paths with a plain dot segment. Like all patterns here, they have the form of
// IAM resources, which follow `<api>/<stage>/`: `?` stands for any character.
var DotPatterns = []string{"*/./*", "*/../*", "*/.", "*/.."}

var (
	// asciiPatterns match what the characters of ASCII can do to a path.
	asciiPatterns = slices.Concat(DotPatterns, []string{
		"*//*", "*/?*/", "*;*", "*\\*",
		"*%2f*", "*%2F*", "*%2e*", "*%2E*", "*%5c*", "*%5C*", "*%25*", "*%3b*", "*%3B*", "*%3f*", "*%3F*", "*%23*",
		"*%0*", "*%1*", "*%7f*", "*%7F*", // control characters: some readers drop them or end there
		"*%u*", "*%U*", // %u002e of IIS
	})

	// AmbiguousPatterns match only paths that CheckPath refuses, and of those every one in which some
	// reader finds a slash, a dot or an end that others do not. The last two patterns also match
	// some code points from U+40000 that are not assigned.
	AmbiguousPatterns = slices.Concat(asciiPatterns, []string{
		// Longer forms of ASCII characters, which RFC 3629 section 3 forbids.
		"*%c0*", "*%C0*", "*%c1*", "*%C1*", "*%e0%8*", "*%E0%8*", "*%f?%80%8*", "*%F?%80%8*",
	})

	// KeptPatterns are for policies that a gateway keeps, because nobody checks the paths to which it
	// applies them. They match every escape beyond ASCII, also in paths with one reading: no pattern
	// tells whether escapes spell UTF-8, and `.%80.` is a dot segment for readers who drop the rest.
	// What they do not match, such as an escaped letter, stays within what a rule's wildcard opens.
	KeptPatterns = slices.Concat(asciiPatterns, []string{
		"*%8*", "*%9*", "*%a*", "*%A*", "*%b*", "*%B*", "*%c*", "*%C*", "*%d*", "*%D*", "*%e*", "*%E*", "*%f*", "*%F*",
	})
)

// Denied reports whether one of patterns matches method on path.
func Denied(patterns []string, method, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return glob(pattern, method+path) })
}

// glob matches as IAM does: `*` stands for any run of characters, and `?` for any one.
func glob(pattern, s string) bool {
	star, mark, p, i := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0: // let the last star take one character more
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Nameable reports whether a policy can name path itself, without naming others. Only plain ASCII
// may stand there, and nothing that IAM interprets.
func Nameable(path string) bool { return validPattern(path) && !strings.Contains(path, "*") }

// checkSize adds a fault if the policy of a token with every scope is too large. It names the rule
// that makes it so.
func (c *Catalog) checkSize(places *exactjson.Places) {
	var every Set
	for _, s := range c.Scopes {
		every = append(every, s.Name)
	}
	for _, reach := range []Reach{Everywhere(), InProject(math.MaxInt32), InGroup(math.MaxInt32)} {
		size := func(rules int) int {
			part := *c
			part.Rules = c.Rules[:rules]
			grants := part.Grants(every, reach)
			return policySize(grants, part.Withheld(grants))
		}
		if all := size(len(c.Rules)); all > maxPolicy {
			first := sort.Search(len(c.Rules)-1, func(i int) bool { return size(i+1) > maxPolicy })
			places.Fault(fmt.Sprintf("rules[%d]", first), "rule for %s: with it, the policy of a token with every scope has %d characters, more than %d; "+
				"let wildcards open more with fewer rules", c.Rules[first].Path, all, maxPolicy)
			return
		}
	}
}

func policySize(grants []Grant, withheld []string) (size int) {
	const quotesAndComma = 3
	count := func(resource string) { size += frontLength + len(resource) + quotesAndComma }
	for _, grant := range grants {
		for _, resource := range grant.Resources() {
			count(resource)
		}
	}
	for _, pattern := range slices.Concat(KeptPatterns, withheld) {
		count(pattern)
	}
	return size
}

// Warnings name the patterns that open more than they seem to: behind a part of a segment, `*` opens
// other segments too.
func (c *Catalog) Warnings() (all []string) {
	warn := func(what, path string) {
		for i := 1; i < len(path); i++ {
			if path[i] == '*' && path[i-1] != '/' && path[i-1] != '*' {
				all = append(all, fmt.Sprintf("%s %s: opens %s too; list %s and %s/* to open one segment and what lies below it",
					what, path, path[:i]+"-internal"+path[i+1:], path[:i], path[:i]))
				return
			}
		}
	}
	for _, rule := range c.Rules {
		warn("rule for", rule.Path)
	}
	for _, path := range c.LoosePaths {
		warn("loose path", path)
	}
	for _, path := range c.ProjectPaths {
		warn("project path", path)
	}
	for _, path := range c.GroupPaths {
		warn("group path", path)
	}
	return all
}
