package project

// A Level is what a member may do in a project or group. A higher level includes the lower ones.
type Level int

// The levels, with GitLab's numbers. NoLevel is no membership.
const (
	NoLevel    Level = 0
	Guest      Level = 10
	Planner    Level = 15
	Reporter   Level = 20
	Developer  Level = 30
	Maintainer Level = 40
	Owner      Level = 50
)

// Levels are the levels that a member or a token can have.
var Levels = []Level{Guest, Planner, Reporter, Developer, Maintainer, Owner}
