package fault

import "fmt"

// The families that belong to no other package.
var (
	// ErrInput means that the request can never succeed as it is.
	ErrInput = New(Invalid, "input invalid")
	// ErrNotFound means that something does not exist or is hidden from the caller.
	ErrNotFound = New(NotFound, "not found")
	// ErrConflict means that something else was there first.
	ErrConflict = New(Conflict, "conflict")
	// ErrTaken means that a value or a name is already in use.
	ErrTaken = fmt.Errorf("%w: taken", ErrConflict)
	// ErrMoved means that data that a write depends on has changed.
	ErrMoved = fmt.Errorf("%w: changed in the meantime", ErrConflict)
	// ErrForbidden means that the caller is known and not allowed.
	ErrForbidden = New(Forbidden, "forbidden")
	// ErrSwitchedOff means that an administrator has switched the feature off.
	ErrSwitchedOff = fmt.Errorf("%w: switched off", ErrForbidden)
	// ErrUnavailable means that the request could not be decided or done now. Nothing was allowed
	// or half done.
	ErrUnavailable = New(Unavailable, "unavailable")
	// ErrCorrupt means that a stored item is malformed. It never allows anything.
	ErrCorrupt = New(Internal, "stored item malformed")
)
