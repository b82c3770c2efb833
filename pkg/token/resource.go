package token

import (
	"fmt"
	"strconv"
)

// A ResourceID names a project or a group: 1 to MaxOwner. Projects and groups
// share one sequence, so an id is one or the other.
type ResourceID int64

// String returns the decimal digits of the id.
func (r ResourceID) String() string { return strconv.FormatInt(int64(r), 10) }

// ParseResourceID accepts the one spelling of an id that String writes.
// Anything else is ErrNotFound: nothing has such an id.
func ParseResourceID(s string) (ResourceID, error) {
	n, err := parseCanonical(s, MaxOwner)
	if err != nil {
		return 0, fmt.Errorf("resource id: %w", err)
	}
	return ResourceID(n), nil
}

// A Level is what a member of a project or group may do there. A higher level
// includes the lower ones.
type Level int

// The levels, with GitLab's numbers. NoLevel is that of somebody who is no
// member.
const (
	NoLevel    Level = 0
	Guest      Level = 10
	Planner    Level = 15
	Reporter   Level = 20
	Developer  Level = 30
	Maintainer Level = 40
	Owner      Level = 50
)

// Levels are those that a member or a token can have.
var Levels = []Level{Guest, Planner, Reporter, Developer, Maintainer, Owner}
