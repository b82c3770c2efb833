// Package fault says what kinds of error there are, so that an adapter can turn
// any error of the product into an answer without knowing where it came from.
//
// Start with KindOf. Every package declares its own errors and derives them from
// the families here, by New or by wrapping: `fmt.Errorf("%w: project",
// fault.ErrNotFound)` is of the kind NotFound. An error without a family is
// Internal, and nothing is ever allowed because of it. The texts are for logs;
// adapters have words of their own for people and clients.
package fault

import "errors"

// A Kind says what a caller can do about an error.
type Kind int

// The kinds of error.
const (
	// Internal errors are ours to mend. It is the kind of every error that names
	// none.
	Internal Kind = iota
	// Invalid input can never work, whoever sends it.
	Invalid
	// Unauthenticated callers presented no good bearer.
	Unauthenticated
	// Forbidden is what a known caller may not do.
	Forbidden
	// NotFound is what is not there, or not the caller's to see.
	NotFound
	// Conflict means that something else was there first.
	Conflict
	// Throttled callers may do the same later.
	Throttled
	// Unavailable means that it could not be decided or done now. Nothing was
	// allowed, and the same request may be made again.
	Unavailable
)

// A family is the error that others of a kind wrap.
type family struct {
	kind Kind
	text string
}

// Error implements error.
func (f *family) Error() string { return f.text }

// New returns an error of a kind. Errors that wrap it are of the same kind.
func New(kind Kind, text string) error { return &family{kind, text} }

// KindOf returns the kind of the first family that err wraps.
func KindOf(err error) Kind {
	if f, ok := errors.AsType[*family](err); ok {
		return f.kind
	}
	return Internal
}
