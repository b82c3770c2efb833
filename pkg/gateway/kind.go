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

// Insufficient is the refusal of a token whose scopes do not open a request. It wraps
// scope.ErrInsufficient.
type Insufficient struct {
	// Required are the scopes that would, none if they are not known.
	Required scope.Set
}

func (*Insufficient) Error() string { return scope.ErrInsufficient.Error() }

func (*Insufficient) Unwrap() error { return scope.ErrInsufficient }
