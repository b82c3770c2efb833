package token

import "latchkey/pkg/project"

// KindIn returns the kind of the tokens of a project of this kind.
func KindIn(k project.Kind) Kind {
	if k == project.KindGroup {
		return Group
	}
	return Project
}
