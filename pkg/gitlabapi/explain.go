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
