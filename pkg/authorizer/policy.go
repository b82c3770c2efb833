package authorizer

import (
	"strings"
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
	kept map[policyKey]events.APIGatewayCustomAuthorizerPolicy
}

// A policyKey holds everything that a policy depends on apart from the catalog.
type policyKey struct {
	api    string
	scopes string
	reach  scope.Reach
}

func (p *policies) get(catalog *scope.Catalog, caller principal.Principal, api string) events.APIGatewayCustomAuthorizerPolicy {
	key := policyKey{api, caller.Scopes.String(), reach(caller.Token)}
	p.mu.RLock()
	policy, kept := p.kept[key]
	p.mu.RUnlock()
	if kept {
		return policy
	}
	policy = policyFor(catalog.Grants(caller.Scopes, key.reach), len(catalog.LoosePaths) > 0, api)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil || len(p.kept) >= maxPolicies {
		p.kept = map[policyKey]events.APIGatewayCustomAuthorizerPolicy{}
	}
	p.kept[key] = policy
	return policy
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
// applied without asking again. The catalog's loose paths leave some of them to the authorizer.
func policyFor(grants []scope.Grant, loose bool, api string) events.APIGatewayCustomAuthorizerPolicy {
	if len(grants) == 0 {
		return denyEverything(api)
	}
	patterns := scope.AmbiguousPatterns
	if loose {
		patterns = scope.DotPatterns
	}
	allowed := resources(api, len(grants), func(i int) (method, path string) {
		return grants[i].Method, grants[i].Path
	})
	denied := resources(api, len(patterns), func(i int) (method, path string) {
		return "", patterns[i]
	})
	return events.APIGatewayCustomAuthorizerPolicy{
		Version: policyVersion,
		Statement: []events.IAMPolicyStatement{
			{Effect: "Allow", Action: []string{invoke}, Resource: allowed},
			{Effect: "Deny", Action: []string{invoke}, Resource: denied},
		},
	}
}

func denyEverything(api string) events.APIGatewayCustomAuthorizerPolicy {
	return events.APIGatewayCustomAuthorizerPolicy{
		Version:   policyVersion,
		Statement: []events.IAMPolicyStatement{{Effect: "Deny", Action: []string{invoke}, Resource: []string{api + "/*"}}},
	}
}

// everyMethod are the methods that API Gateway has routes for.
var everyMethod = []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

// resources writes methods and path patterns as the resources of a policy.
func resources(api string, n int, grant func(int) (method, path string)) []string {
	list := make([]string, 0, n)
	for i := range n {
		method, path := grant(i)
		if method == "*" && path[0] == '/' {
			// A wildcard matches slashes too: `*/user` would open /any/user.
			for _, each := range everyMethod {
				list = append(list, api+"/"+each+path)
			}
			continue
		}
		if method != "" && path[0] == '*' {
			// Every path starts with a slash, so a leading wildcard either matches that slash or
			// nothing.
			if rest := strings.TrimLeft(path, "*"); strings.HasPrefix(rest, "/") {
				list = append(list, api+"/"+method+rest)
			}
			method += "/"
		}
		list = append(list, api+"/"+method+path)
	}
	return list
}
