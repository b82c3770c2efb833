package token

import (
	"errors"
	"fmt"
)

// The error families. A parent decides the reply; the log shows the child.
var (
	// ErrInvalid means that a bearer is not good. Its children are told apart
	// in a reply only when the presented secret matched a record.
	ErrInvalid = errors.New("token invalid")
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

	// ErrInput means that the caller asked for something that cannot be.
	ErrInput = errors.New("input invalid")
	// ErrOutOfNumbers means that an owner has used up MaxNumber token ids.
	ErrOutOfNumbers = fmt.Errorf("%w: owner has used all token numbers", ErrInput)

	// ErrNotFound means that something is not there, or not the caller's to
	// see.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that something else was there first.
	ErrConflict = errors.New("conflict")
	// ErrTaken means that a value or a name is in use already.
	ErrTaken = fmt.Errorf("%w: taken", ErrConflict)
	// ErrUsernameTaken means that somebody else has the username.
	ErrUsernameTaken = fmt.Errorf("%w: username", ErrTaken)
	// ErrEmailTaken means that somebody else has the mail address.
	ErrEmailTaken = fmt.Errorf("%w: mail address", ErrTaken)
	// ErrPathTaken means that something else lies at the path.
	ErrPathTaken = fmt.Errorf("%w: path", ErrTaken)
	// ErrKeyUsed means that an idempotency key stands for a request already.
	ErrKeyUsed = fmt.Errorf("%w: idempotency key used", ErrConflict)
	// ErrSuperseded means that a token has a successor already, beside which it
	// works on for a while.
	ErrSuperseded = fmt.Errorf("%w: superseded", ErrConflict)
	// ErrMoved means that what a write relied on changed in the meantime.
	ErrMoved = fmt.Errorf("%w: changed in the meantime", ErrConflict)
	// ErrForbidden means that the caller is known and not allowed.
	ErrForbidden = errors.New("forbidden")
	// ErrSwitchedOff means that an administrator has switched off what was
	// asked for.
	ErrSwitchedOff = fmt.Errorf("%w: switched off", ErrForbidden)

	// ErrUnavailable means that it could not be decided or done now. Nothing
	// was allowed and nothing was half done.
	ErrUnavailable = errors.New("unavailable")
	// ErrCorrupt means that a stored item makes no sense. Nothing is ever
	// allowed because of it.
	ErrCorrupt = errors.New("stored item malformed")
)
