package registry

import (
	"regexp"
	"slices"
	"strings"

	"latchkey/pkg/project"
)

// An Action is something to do with a repository, with the name that registries use.
type Action string

// The actions. Every stands for all of them, and for reading the catalog.
const (
	Pull   Action = "pull"
	Push   Action = "push"
	Delete Action = "delete"
	Every  Action = "*"
)

// A Type is a type of resource.
type Type string

// The types. The only resource of type Instance is Catalog.
const (
	Repository Type = "repository"
	Instance   Type = "registry"
)

// Catalog is the list of all repositories.
const Catalog = "catalog"

// An Access is a resource and what may be done with it.
type Access struct {
	Type    Type
	Name    string
	Actions []Action
}

// maxNameLength is the longest name of a repository, in bytes (registry 2.8 and 3.x,
// reference.NameTotalLengthMax).
const maxNameLength = 255

// namePattern is that of the OCI Distribution Specification 1.1, "Pulling manifests".
var namePattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

func validName(name string) bool { return len(name) <= maxNameLength && namePattern.MatchString(name) }

// ParseScope reads a scope of the token endpoint, `type:name:action,action`. ok is false for one that
// names nothing that anybody could have; the name may hold colons.
func ParseScope(text string) (wanted Access, ok bool) {
	kind, rest, _ := strings.Cut(text, ":")
	end := strings.LastIndexByte(rest, ':')
	if end < 0 {
		return Access{}, false
	}
	wanted = Access{Type: Type(kind), Name: rest[:end]}
	for action := range strings.SplitSeq(rest[end+1:], ",") {
		if _, known := levels[Action(action)]; known && !slices.Contains(wanted.Actions, Action(action)) {
			wanted.Actions = append(wanted.Actions, Action(action))
		}
	}
	return wanted, wanted.valid()
}

func (a Access) valid() bool {
	switch {
	case len(a.Actions) == 0:
		return false
	case a.Type == Repository:
		return validName(a.Name)
	default:
		return a.Type == Instance && a.Name == Catalog
	}
}

// Merge joins the accesses to one resource, in the order of their first ones.
func Merge(wanted []Access) []Access {
	merged := make([]Access, 0, len(wanted))
	for _, access := range wanted {
		at := slices.IndexFunc(merged, func(a Access) bool { return a.Type == access.Type && a.Name == access.Name })
		if at < 0 {
			at = len(merged)
			merged = append(merged, Access{Type: access.Type, Name: access.Name})
		}
		for _, action := range access.Actions {
			if !slices.Contains(merged[at].Actions, action) {
				merged[at].Actions = append(merged[at].Actions, action)
			}
		}
	}
	return merged
}

// levels are the lowest levels of members that may do something.
var levels = map[Action]project.Level{
	Pull: project.Reporter, Push: project.Developer, Delete: project.Maintainer, Every: project.Maintainer,
}
