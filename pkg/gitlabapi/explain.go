package gitlabapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"latchkey/pkg/account"
	"latchkey/pkg/explain"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

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

	// count_by_pepper, the number that the call before has answered
	After *int64 `json:"after"`
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
// or with scopes alone, and why. count_by_pepper counts the tokens that work by the generation of the
// pepper. Neither needs a bearer or changes anything.
func TokensConsole(examiner *lifecycle.Examiner, census *lifecycle.Census) Console {
	return func(ctx context.Context, _ principal.Principal, raw json.RawMessage) (any, error) {
		var p explainPayload
		if err := strict(raw, &p); err != nil {
			return nil, err
		}
		if p.Action == "count_by_pepper" {
			return countByPepper(ctx, census, p)
		}
		both := p.ProjectID != 0 || p.GroupID != 0 || len(p.Scopes) > 0
		if p.Action != "explain" || p.Method == "" || p.Path == "" || (p.ID != 0) == (len(p.Scopes) > 0) || p.ID != 0 && both || p.ProjectID != 0 && p.GroupID != 0 || p.After != nil {
			return nil, fmt.Errorf("%w (action is explain, with method and path, and either id or scopes, and project_id or group_id with scopes; or count_by_pepper, with after or alone)", ErrEvent)
		}
		if p.ID == 0 {
			set, err := examiner.Scopes().Parse(p.Scopes)
			if err != nil {
				return nil, consoleError(p.Action, badInput{fmt.Errorf("scopes: %w", err)})
			}
			return explain.Request(examiner.Scopes(), set, p.reach(), p.Method, p.Path), nil
		}
		examined, err := examiner.Examine(ctx, token.ID(p.ID))
		if err != nil {
			return nil, consoleError(p.Action, err)
		}
		told := explain.Request(examiner.Scopes(), examined.Scopes, examined.Token.Reach(), p.Method, p.Path)
		told.TokenID, told.TokenKind = p.ID, string(examined.Token.Kind)
		if examined.Refused != nil {
			told.Allowed, told.Because = false, refusalWords(examined.Refused)
		}
		return told, nil
	}
}

// countJSON is how many tokens work. Working has the names of generations of the pepper, and unnamed those
// from before generations had names.
type countJSON struct {
	Working map[secret.Generation]int `json:"working"`
	Unnamed int                       `json:"unnamed"`
	// After is for the next call. It is absent once all are counted.
	After int64 `json:"after,omitempty"`
}

func countByPepper(ctx context.Context, census *lifecycle.Census, p explainPayload) (any, error) {
	var after int64
	if p.After != nil {
		after = *p.After
	}
	alone := p.ID == 0 && len(p.Scopes) == 0 && p.ProjectID == 0 && p.GroupID == 0 && p.Method == "" && p.Path == ""
	if !alone || after < 0 || after > account.MaxID {
		return nil, fmt.Errorf("%w (count_by_pepper takes only after, the number that the call before has answered)", ErrEvent)
	}
	count, err := census.Count(ctx, account.ID(after))
	if err != nil {
		return nil, consoleError(p.Action, err)
	}
	told := countJSON{Working: count.Working, Unnamed: count.Working[""], After: int64(count.Last)}
	delete(told.Working, "")
	if count.Done {
		told.After = 0
	}
	return told, nil
}
