// Package explain puts into words which rule opens a request and why the others do not. Start with Request.
// It decides nothing: scope.Catalog.Explain does.
package explain

import (
	"strings"

	"latchkey/pkg/scope"
)

// An Explanation says why a request is open to a token or not. It is JSON for an operator.
type Explanation struct {
	Allowed bool   `json:"allowed"`
	Because string `json:"because"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	// TokenID and TokenKind are there if a token was asked about.
	TokenID   int64  `json:"token_id,omitempty"`
	TokenKind string `json:"token_kind,omitempty"`
	// Scopes are those that count.
	Scopes scope.Set `json:"scopes"`
	Rules  []Rule    `json:"rules"`
}

// A Rule is one of the rules that fit, or nearly do.
type Rule struct {
	Line    int           `json:"line,omitempty"` // of the rules file
	Methods []string      `json:"methods,omitempty"`
	Path    string        `json:"path"`
	Scopes  []scope.Scope `json:"scopes"`
	Fits    bool          `json:"fits"`
	Because string        `json:"because,omitempty"`
}

// Request explains a request by the rules of catalog.
func Request(catalog *scope.Catalog, set scope.Set, reach scope.Reach, method, path string) Explanation {
	e := catalog.Explain(set, reach, method, path)
	told := Explanation{
		Allowed: e.Open, Because: reasonWords[e.Reason], Method: method, Path: path, Scopes: append(scope.Set{}, set...), Rules: []Rule{},
	}
	for _, r := range e.Readings {
		var misses []string
		for _, miss := range r.Misses {
			misses = append(misses, missWords[miss])
		}
		told.Rules = append(told.Rules, Rule{
			Line: r.Line, Methods: r.Rule.Methods, Path: r.Rule.Path, Scopes: r.Rule.Scopes, Fits: len(misses) == 0, Because: strings.Join(misses, ", "),
		})
	}
	return told
}

var reasonWords = map[scope.Reason]string{
	scope.ByRule:        "a rule opens it",
	scope.ByBackend:     "rules open GET there, and judged_by_backend leaves it to the backend what a POST may do",
	scope.AmbiguousPath: "the path can be read in two ways, so no rule is applied to it",
	scope.NoRule:        "no rule opens it to these scopes",
	scope.OutOfReach:    "rules open it, but the path does not belong to the token's project or group",
	scope.OnlyReading:   "rules open only reading there, and a mutation of GraphQL can come by GET",
}

var missWords = map[scope.Miss]string{
	scope.MissScope:    "it is for other scopes",
	scope.MissMethod:   "it is for other methods",
	scope.MissNearPath: "its path is nearly this one",
}
