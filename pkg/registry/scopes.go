package registry

import (
	"slices"
	"strings"

	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
)

// opened are the actions that each of GitLab's scopes opens. write_registry opens no pull, as in GitLab, so a
// push needs read_registry too.
var opened = map[scope.Scope][]Action{
	scope.API:           {Pull, Push, Delete, Every},
	scope.ReadAPI:       {Pull},
	scope.ReadRegistry:  {Pull},
	scope.WriteRegistry: {Push},
}

// root is where the paths of a registry begin.
const root = "/v2/"

// A step is one of the requests that an action consists of.
type step struct{ method, path string }

// steps are those of the actions, below /v2/<name>. What opens only some of an action's steps does not open
// it: a JWT cannot say which.
var steps = map[Action][]step{
	Pull:   {{"GET", "/manifests/latest"}, {"GET", "/blobs/sha256:0"}},
	Push:   {{"POST", "/blobs/uploads/"}, {"PATCH", "/blobs/uploads/0"}, {"PUT", "/blobs/uploads/0"}, {"PUT", "/manifests/latest"}},
	Delete: {{"DELETE", "/manifests/latest"}, {"DELETE", "/blobs/sha256:0"}},
}

// rulesOf returns the rules of a catalog that are about registries. A pattern such as `*` was written for
// other servers, so only those count that start with /v2/.
func rulesOf(catalog *scope.Catalog) *scope.Catalog {
	own := &scope.Catalog{}
	for _, rule := range catalog.Rules {
		if strings.HasPrefix(rule.Path, root) {
			own.Rules = append(own.Rules, rule)
		}
	}
	return own
}

// opens reports whether set opens an action on what has this name: by one of GitLab's scopes, or by the
// operator's rules.
func (j *Judge) opens(set scope.Set, action Action, name string) bool {
	if slices.ContainsFunc(set, func(s scope.Scope) bool { return slices.Contains(opened[s], action) }) {
		return true
	}
	parts, known := steps[action]
	return known && !slices.ContainsFunc(parts, func(part step) bool {
		return j.rules.Require(part.method, root+name+part.path).Met(set) != nil
	})
}

// Enter returns nil if a token of by opens anything at all in some registry, and scope.ErrInsufficient
// otherwise. It reads nothing.
func (j *Judge) Enter(by principal.Principal) error {
	if slices.ContainsFunc(by.Scopes, func(s scope.Scope) bool { return len(opened[s]) > 0 }) {
		return nil
	}
	for _, rule := range j.rules.Rules {
		if (scope.Requirement{Sufficient: rule.Scopes}).Met(by.Scopes) == nil {
			return nil
		}
	}
	return scope.ErrInsufficient
}
