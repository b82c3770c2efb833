package token

import (
	"fmt"

	"latchkey/pkg/fault"
)

// The error families. A parent decides the reply; the log shows the child.
var (
	// ErrInvalid means that a bearer is not good. Its children are told apart
	// in a reply only when the presented secret matched a record.
	ErrInvalid = fault.New(fault.Unauthenticated, "token invalid")
	// ErrMissing means that no bearer was presented.
	ErrMissing = fmt.Errorf("%w: none presented", ErrInvalid)
	// ErrUnknown means that no record belongs to the bearer, or that the
	// value cannot be a bearer at all.
	ErrUnknown = fmt.Errorf("%w: unknown", ErrInvalid)
	// ErrExpired means that the token's day has come.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalid)
	// ErrRevoked means that somebody ended the token.
	ErrRevoked = fmt.Errorf("%w: revoked", ErrInvalid)
	// ErrImpersonation means that impersonation tokens are switched off.
	ErrImpersonation = fmt.Errorf("%w: impersonation is switched off", ErrInvalid)
	// ErrAddress means that the token may not be used from where it was.
	ErrAddress = fmt.Errorf("%w: not from this address", ErrInvalid)

	// ErrOutOfNumbers means that an owner has used up MaxNumber token ids.
	ErrOutOfNumbers = fmt.Errorf("%w: owner has used all token numbers", fault.ErrInput)

	// ErrKeyUsed means that an idempotency key stands for a request already.
	ErrKeyUsed = fmt.Errorf("%w: idempotency key used", fault.ErrConflict)
	// ErrSuperseded means that a token has a successor already, beside which it
	// works on for a while.
	ErrSuperseded = fmt.Errorf("%w: superseded", fault.ErrConflict)
)
