package gitlabapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// An ExplanationJSON says why a request is open to a token or not, in words for an operator.
type ExplanationJSON struct {
	Allowed bool   `json:"allowed"`
	Because string `json:"because"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	// TokenID and TokenKind are there if a token was asked about.
	TokenID   int64  `json:"token_id,omitempty"`
	TokenKind string `json:"token_kind,omitempty"`
	// Scopes are those that count.
	Scopes scope.Set           `json:"scopes"`
	Rules  []explainedRuleJSON `json:"rules"`
}

type explainedRuleJSON struct {
	Line    int           `json:"line,omitempty"` // of the rules file
	Methods []string      `json:"methods,omitempty"`
	Path    string        `json:"path"`
	Scopes  []scope.Scope `json:"scopes"`
	Fits    bool          `json:"fits"`
	Because string        `json:"because,omitempty"`
}

// Explain explains a request by the rules of catalog.
func Explain(catalog *scope.Catalog, set scope.Set, reach scope.Reach, method, path string) ExplanationJSON {
	e := catalog.Explain(set, reach, method, path)
	told := ExplanationJSON{
		Allowed: e.Open, Because: reasonWords[e.Reason], Method: method, Path: path, Scopes: append(scope.Set{}, set...), Rules: []explainedRuleJSON{},
	}
	for _, r := range e.Readings {
		var misses []string
		for _, miss := range r.Misses {
			misses = append(misses, missWords[miss])
		}
		told.Rules = append(told.Rules, explainedRuleJSON{
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

// refusalWords are for tokens that a check refuses whatever the request is.
func refusalWords(err error) string {
	switch {
	case errors.Is(err, token.ErrExpired):
		return "the token has expired"
	case errors.Is(err, token.ErrRevoked):
		return "the token was revoked"
	case errors.Is(err, token.ErrImpersonation):
		return "impersonation is switched off"
	case errors.Is(err, account.ErrInactive):
		return "the token's owner is blocked or deactivated"
	default:
		return "the token is refused"
	}
}

// An explainPayload is the console payload of tokens: a request, and either the id of a token or scopes.
type explainPayload struct {
	Action    string   `json:"action"`
	ID        int64    `json:"id"`
	Scopes    []string `json:"scopes"`
	ProjectID int64    `json:"project_id"`
	GroupID   int64    `json:"group_id"`
	Method    string   `json:"method"`
	Path      string   `json:"path"`
}

// reach returns where a token that has the scopes of the payload may be used.
func (p explainPayload) reach() scope.Reach {
	switch {
	case p.ProjectID != 0:
		return scope.InProject(p.ProjectID)
	case p.GroupID != 0:
		return scope.InGroup(p.GroupID)
	}
	return scope.Everywhere()
}

// TokensConsole returns the console of tokens. explain says what the rules make of a request with a token,
// or with scopes alone, and why. It needs no bearer and changes nothing.
func TokensConsole(examiner *lifecycle.Examiner) Console {
	return func(ctx context.Context, _ principal.Principal, raw json.RawMessage) (any, error) {
		var p explainPayload
		if err := strict(raw, &p); err != nil {
			return nil, err
		}
		both := p.ProjectID != 0 || p.GroupID != 0 || len(p.Scopes) > 0
		if p.Action != "explain" || p.Method == "" || p.Path == "" || (p.ID != 0) == (len(p.Scopes) > 0) || p.ID != 0 && both || p.ProjectID != 0 && p.GroupID != 0 {
			return nil, fmt.Errorf("%w (action is explain, with method and path, and either id or scopes; project_id or group_id with scopes)", ErrEvent)
		}
		if p.ID == 0 {
			set, err := examiner.Scopes().Parse(p.Scopes)
			if err != nil {
				return nil, consoleError(p.Action, badInput{fmt.Errorf("scopes: %w", err)})
			}
			return Explain(examiner.Scopes(), set, p.reach(), p.Method, p.Path), nil
		}
		examined, err := examiner.Examine(ctx, token.ID(p.ID))
		if err != nil {
			return nil, consoleError(p.Action, err)
		}
		told := Explain(examiner.Scopes(), examined.Scopes, examined.Token.Reach(), p.Method, p.Path)
		told.TokenID, told.TokenKind = p.ID, string(examined.Token.Kind)
		if examined.Refused != nil {
			told.Allowed, told.Because = false, refusalWords(examined.Refused)
		}
		return told, nil
	}
}
