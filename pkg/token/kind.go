package token

import "latchkey/pkg/project"

// KindIn is the kind of the tokens that belong to a project of this kind.
func KindIn(k project.Kind) Kind {
	if k == project.KindGroup {
		return Group
	}
	return Project
}
