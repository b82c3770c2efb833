// Package fault has the kinds of errors, so that an adapter can turn any error into a reply without
// knowing its package.
//
// Start with KindOf. Every package declares its own errors and derives them from the families here,
// with New or by wrapping: `fmt.Errorf("%w: project", fault.ErrNotFound)` has the kind NotFound. An
// error without a family is Internal and never allows anything. The texts are for logs; adapters
// have the words for people and clients.
package fault

import "errors"

// A Kind says what a caller can do about an error.
type Kind int

// The kinds of error.
const (
	// Internal errors are ours to fix. It is the kind of every error without a family.
	Internal Kind = iota
	// Invalid input can never succeed.
	Invalid
	// Unauthenticated callers presented no good bearer.
	Unauthenticated
	// Forbidden means that a known caller may not do this.
	Forbidden
	// NotFound means that something does not exist or is hidden from the caller.
	NotFound
	// Conflict means that something else was there first.
	Conflict
	// Throttled callers may try again later.
	Throttled
	// Unavailable means that the request could not be decided or done now. Nothing was allowed, and
	// the caller may repeat the request.
	Unavailable
)

// A family is the root of the errors of a kind.
type family struct {
	kind Kind
	text string
}

func (f *family) Error() string { return f.text }

// New returns an error of a kind. Errors that wrap it have the same kind.
func New(kind Kind, text string) error { return &family{kind, text} }

// KindOf returns the kind of the first family that err wraps.
func KindOf(err error) Kind {
	if f, ok := errors.AsType[*family](err); ok {
		return f.kind
	}
	return Internal
}
