package fault

import "fmt"

// The families that belong to no noun.
var (
	// ErrInput means that the caller asked for something that cannot be.
	ErrInput = New(Invalid, "input invalid")
	// ErrNotFound means that something is not there, or not the caller's to
	// see.
	ErrNotFound = New(NotFound, "not found")
	// ErrConflict means that something else was there first.
	ErrConflict = New(Conflict, "conflict")
	// ErrTaken means that a value or a name is in use already.
	ErrTaken = fmt.Errorf("%w: taken", ErrConflict)
	// ErrMoved means that what a write relied on changed in the meantime.
	ErrMoved = fmt.Errorf("%w: changed in the meantime", ErrConflict)
	// ErrForbidden means that the caller is known and not allowed.
	ErrForbidden = New(Forbidden, "forbidden")
	// ErrSwitchedOff means that an administrator has switched off what was
	// asked for.
	ErrSwitchedOff = fmt.Errorf("%w: switched off", ErrForbidden)
	// ErrUnavailable means that it could not be decided or done now. Nothing
	// was allowed and nothing was half done.
	ErrUnavailable = New(Unavailable, "unavailable")
	// ErrCorrupt means that a stored item makes no sense. Nothing is ever
	// allowed because of it.
	ErrCorrupt = New(Internal, "stored item malformed")
)
