package lifecycle

import (
	"context"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// An Examiner says for an operator what a token opens and why, without its bearer. It changes nothing, and
// a token that is examined does not count as used. It is safe for concurrent use.
type Examiner struct{ parts ExaminerParts }

// ExaminerParts hold the dependencies of an Examiner. All are required.
type ExaminerParts struct {
	Reader   TokenReader
	Settings SettingsReader
	Scopes   *scope.Catalog
	Clock    clock.Clock
}

// NewExaminer returns an Examiner, or an error that names a missing part.
func NewExaminer(parts ExaminerParts) (*Examiner, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Examiner{parts}, nil
}

// Scopes returns the catalog by which tokens are judged.
func (e *Examiner) Scopes() *scope.Catalog { return e.parts.Scopes }

// An Examination is a token as a check sees it.
type Examination struct {
	Token token.Token
	// Scopes are its effective scopes.
	Scopes scope.Set
	// Refused is why a check refuses its bearer whatever the request is: token.ErrExpired, ErrRevoked,
	// ErrImpersonation or a child of account.ErrInactive; nil if it does not. The token's networks are
	// left to the check.
	Refused error
}

// Examine returns the token with an id, or fault.ErrNotFound.
func (e *Examiner) Examine(ctx context.Context, id token.ID) (Examination, error) {
	t, err := e.parts.Reader.Token(ctx, id)
	if err != nil {
		return Examination{}, err
	}
	owner, err := ownerOf(ctx, e.parts.Reader, t)
	if err != nil {
		return Examination{}, err
	}
	settings, err := e.parts.Settings.TokenSettings(ctx)
	if err != nil {
		return Examination{}, err
	}
	examined := Examination{Token: t, Scopes: t.EffectiveScopes(e.parts.Scopes, owner), Refused: owner.Usable()}
	switch state := t.StateAt(e.parts.Clock.Now(), owner.TokensValidFrom, settings); {
	case state == token.Expired:
		examined.Refused = token.ErrExpired
	case state == token.Revoked:
		examined.Refused = token.ErrRevoked
	case settings.ImpersonationOff && t.Kind == token.Impersonation:
		examined.Refused = token.ErrImpersonation
	}
	return examined, nil
}
