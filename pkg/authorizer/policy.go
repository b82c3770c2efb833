package authorizer

import (
	"slices"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

const (
	policyVersion = "2012-10-17"
	invoke        = "execute-api:Invoke"
)

// maxPolicies bounds the policies that a warm function caches. There is one for each API in front
// of it, each set of scopes, and each project or group of a token.
const maxPolicies = 512

// policies caches policies. They are the same for every token with the same scopes and reach, and
// making one costs more than the rest of a decision. Callers must not modify them.
type policies struct {
	mu   sync.RWMutex
	kept map[policyKey]opened
}

// A policyKey holds everything that a policy depends on apart from the catalog.
type policyKey struct {
	api    string
	scopes string
	reach  scope.Reach
}

// opened is what a token opens on an API and stage: as grants, except for what is withheld, and as a policy.
type opened struct {
	grants   []scope.Grant
	withheld []scope.Grant
	policy   events.APIGatewayCustomAuthorizerPolicy
}

func (p *policies) get(catalog *scope.Catalog, denied []string, caller principal.Principal, api string) opened {
	key := policyKey{api, caller.Scopes.String(), reach(caller.Token)}
	p.mu.RLock()
	made, kept := p.kept[key]
	p.mu.RUnlock()
	if kept {
		return made
	}
	made.grants, made.withheld = catalog.Grants(caller.Scopes, key.reach), catalog.Withheld(caller.Scopes, key.reach)
	made.policy = policyFor(made.grants, made.withheld, denied, api)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil || len(p.kept) >= maxPolicies {
		p.kept = map[policyKey]opened{}
	}
	p.kept[key] = made
	return made
}

// allows reports whether method on path is open.
func (o opened) allows(method, path string) bool {
	opens := func(g scope.Grant) bool { return g.Opens(method, path) }
	return slices.ContainsFunc(o.grants, opens) && !slices.ContainsFunc(o.withheld, opens)
}

// reach returns the limit of where a token may be used.
func reach(t token.Token) scope.Reach {
	switch t.Kind {
	case token.Personal, token.Impersonation:
		return scope.Everywhere()
	case token.Project:
		return scope.InProject(int64(t.Project))
	case token.Group:
		return scope.InGroup(int64(t.Project))
	}
	return scope.Reach{} // an unknown kind opens nothing
}

// policyFor returns a policy with everything that a token's grants open on an API and stage. It
// depends only on the token's scopes and reach and on the scope table, so it stays right when the
// gateway caches it for other routes. It also denies ambiguous paths, because a cached policy is
// applied without asking again.
func policyFor(grants, withheld []scope.Grant, denied []string, api string) events.APIGatewayCustomAuthorizerPolicy {
	if len(grants) == 0 {
		return denyEverything(api)
	}
	allow := statement("Allow", make([]string, 0, len(grants)))
	allow.Resource = appendResources(allow.Resource, api, grants)
	deny := statement("Deny", make([]string, 0, len(denied)+len(withheld)))
	for _, pattern := range denied {
		deny.Resource = append(deny.Resource, api+"/"+pattern)
	}
	deny.Resource = appendResources(deny.Resource, api, withheld)
	return events.APIGatewayCustomAuthorizerPolicy{Version: policyVersion, Statement: []events.IAMPolicyStatement{allow, deny}}
}

func appendResources(resources []string, api string, grants []scope.Grant) []string {
	for _, grant := range grants {
		for _, resource := range grant.Resources() {
			resources = append(resources, api+"/"+resource)
		}
	}
	return resources
}

func denyEverything(api string) events.APIGatewayCustomAuthorizerPolicy {
	return events.APIGatewayCustomAuthorizerPolicy{
		Version: policyVersion, Statement: []events.IAMPolicyStatement{statement("Deny", []string{api + "/*"})},
	}
}

// without returns a copy of policy that also denies one resource.
func without(policy events.APIGatewayCustomAuthorizerPolicy, resource string) events.APIGatewayCustomAuthorizerPolicy {
	policy.Statement = append(slices.Clone(policy.Statement), statement("Deny", []string{resource}))
	return policy
}

func statement(effect string, resources []string) events.IAMPolicyStatement {
	return events.IAMPolicyStatement{Effect: effect, Action: []string{invoke}, Resource: resources}
}
