package gateway

import (
	"context"

	"latchkey/pkg/scope"
)

// A Kind is what lies behind a proxy, and who may do what there.
type Kind interface {
	// Scheme is the authentication scheme that clients of the kind understand, Bearer or Basic.
	Scheme() string
	// Judge returns nil if the caller may make the request, or why not. Its errors have a kind of package
	// fault; RefusalOf says what they become. It refuses every path that can be read in two ways.
	Judge(ctx context.Context, q Question) error
	// Body returns the media type and text of a refusal. The question may be incomplete.
	Body(q Question, refusal Refusal) (mediaType, text string)
}

// An apiKind is an API whose paths the scope table knows.
type apiKind struct{ scopes *scope.Catalog }

func (apiKind) Scheme() string { return "Bearer" }

func (k apiKind) Judge(_ context.Context, q Question) error {
	if err := k.scopes.CheckPath(q.Path); err != nil {
		return err
	}
	if !k.scopes.Allows(q.By.Scopes, q.By.Token.Reach(), q.Method, q.Path) {
		return &Insufficient{Required: k.scopes.Require(q.Method, q.Path).Listed}
	}
	return nil
}

func (apiKind) Body(_ Question, refusal Refusal) (mediaType, text string) {
	return "application/json", refusal.json()
}

// Insufficient is the refusal of a token whose scopes do not open a request. It wraps
// scope.ErrInsufficient.
type Insufficient struct {
	// Required are the scopes that would, none if they are not known.
	Required scope.Set
}

func (*Insufficient) Error() string { return scope.ErrInsufficient.Error() }

func (*Insufficient) Unwrap() error { return scope.ErrInsufficient }
