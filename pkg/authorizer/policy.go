package authorizer

import (
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
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

// opened is what a token opens on an API and stage: as grants, and as a policy.
type opened struct {
	grants []scope.Grant
	// withheld are patterns of what the grants would open and do not.
	withheld []string
	policy   events.APIGatewayCustomAuthorizerPolicy
}

func (p *policies) get(catalog *scope.Catalog, denied []string, caller principal.Principal, api string) opened {
	key := policyKey{api, caller.Scopes.String(), caller.Token.Reach()}
	p.mu.RLock()
	made, kept := p.kept[key]
	p.mu.RUnlock()
	if kept {
		return made
	}
	made.grants = catalog.Grants(caller.Scopes, key.reach)
	made.withheld = catalog.Withheld(made.grants)
	made.policy = policyFor(made.grants, slices.Concat(denied, made.withheld), api)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil || len(p.kept) >= maxPolicies {
		p.kept = map[policyKey]opened{}
	}
	p.kept[key] = made
	return made
}

// allows reports whether the grants open method on path.
func (o opened) allows(method, path string) bool {
	return !scope.Denied(o.withheld, method, path) && slices.ContainsFunc(o.grants, func(g scope.Grant) bool {
		return (g.Method == "*" || g.Method == method) && scope.Match(g.Path, path)
	})
}

// policyFor returns a policy with everything that a token's grants open on an API and stage. It
// depends only on the token's scopes and reach and on the scope table, so it stays right when the
// gateway caches it for other routes. It also denies ambiguous paths, because a cached policy is
// applied without asking again.
func policyFor(grants []scope.Grant, denied []string, api string) events.APIGatewayCustomAuthorizerPolicy {
	if len(grants) == 0 {
		return denyEverything(api)
	}
	allow := statement("Allow", make([]string, 0, len(grants)))
	for _, grant := range grants {
		for _, resource := range grant.Resources() {
			allow.Resource = append(allow.Resource, api+"/"+resource)
		}
	}
	deny := statement("Deny", make([]string, 0, len(denied)))
	for _, pattern := range denied {
		deny.Resource = append(deny.Resource, api+"/"+pattern)
	}
	return events.APIGatewayCustomAuthorizerPolicy{Version: policyVersion, Statement: []events.IAMPolicyStatement{allow, deny}}
}

func denyEverything(api string) events.APIGatewayCustomAuthorizerPolicy {
	return events.APIGatewayCustomAuthorizerPolicy{
		Version: policyVersion, Statement: []events.IAMPolicyStatement{statement("Deny", []string{api + "/*"})},
	}
}

// maxKept is the longest time for which API Gateway keeps an answer (API Gateway quotas, "Lambda authorizer
// cache TTL").
const maxKept = time.Hour

// An endingResponse is the answer for a token that ends while a gateway keeps it. The library's types know no
// conditions.
type endingResponse struct {
	PrincipalID    string         `json:"principalId"`
	PolicyDocument endingPolicy   `json:"policyDocument"`
	Context        map[string]any `json:"context,omitempty"`
}

type endingPolicy struct {
	Version   string
	Statement []any
}

type endingStatement struct {
	events.IAMPolicyStatement
	Condition map[string]map[string]string
}

// endingAt returns an answer that denies everything from an instant on, because a gateway looks at a kept
// policy for every request. A denial that a gateway did not understand would change nothing.
func endingAt(response events.APIGatewayCustomAuthorizerResponse, api string, end time.Time) endingResponse {
	policy := endingPolicy{Version: response.PolicyDocument.Version}
	for _, s := range response.PolicyDocument.Statement {
		policy.Statement = append(policy.Statement, s)
	}
	policy.Statement = append(policy.Statement, endingStatement{
		statement("Deny", []string{api + "/*"}),
		map[string]map[string]string{"DateGreaterThanEquals": {"aws:CurrentTime": end.UTC().Format(time.RFC3339)}},
	})
	return endingResponse{response.PrincipalID, policy, response.Context}
}

// without returns a copy of policy that also denies one resource.
func without(policy events.APIGatewayCustomAuthorizerPolicy, resource string) events.APIGatewayCustomAuthorizerPolicy {
	policy.Statement = append(slices.Clone(policy.Statement), statement("Deny", []string{resource}))
	return policy
}

func statement(effect string, resources []string) events.IAMPolicyStatement {
	return events.IAMPolicyStatement{Effect: effect, Action: []string{invoke}, Resource: resources}
}
