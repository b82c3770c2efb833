package token

import (
	"fmt"

	"latchkey/pkg/fault"
)

// The errors about bearers. A parent decides the reply; the log shows the child.
var (
	// ErrInvalid means that a bearer is not good. A reply distinguishes its children only if the
	// presented secret matched a record.
	ErrInvalid = fault.New(fault.Unauthenticated, "token invalid")
	// ErrMissing means that no bearer was presented.
	ErrMissing = fmt.Errorf("%w: none presented", ErrInvalid)
	// ErrUnknown means that no record belongs to the bearer, or that the value cannot be a bearer.
	ErrUnknown = fmt.Errorf("%w: unknown", ErrInvalid)
	// ErrExpired means that the token has expired.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalid)
	// ErrRevoked means that the token was revoked.
	ErrRevoked = fmt.Errorf("%w: revoked", ErrInvalid)
	// ErrImpersonation means that impersonation tokens are switched off.
	ErrImpersonation = fmt.Errorf("%w: impersonation is switched off", ErrInvalid)
	// ErrAddress means that the request came from outside the token's networks.
	ErrAddress = fmt.Errorf("%w: not from this address", ErrInvalid)

	// ErrOutOfNumbers means that an owner has used up MaxNumber token ids.
	ErrOutOfNumbers = fmt.Errorf("%w: owner has used all token numbers", fault.ErrInput)

	// ErrKeyUsed means that an idempotency key already belongs to a request.
	ErrKeyUsed = fmt.Errorf("%w: idempotency key used", fault.ErrConflict)
	// ErrSuperseded means that a token already has a successor.
	ErrSuperseded = fmt.Errorf("%w: superseded", fault.ErrConflict)
)
