package authorizer

import (
	"errors"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// answer returns the answer for a good bearer.
func (a *Authorizer) answer(simple bool, route gatewayRoute, caller principal.Principal) (any, error) {
	opens := a.policies.get(a.parts.Scopes, a.denied, caller, route.api)
	ambiguous := route.check(a.parts.Scopes)
	reason := ambiguous
	if reason == nil && !opens.allows(route.method, route.path) {
		reason = scope.ErrInsufficient
	}
	if reason != nil && (simple || ambiguous != nil) {
		a.logRefusal(caller, reason)
	}
	if simple {
		return simply(route, caller, reason), nil
	}
	policy, err := a.refusing(ambiguous, route, opens.policy)
	if err != nil {
		return nil, err
	}
	response := events.APIGatewayCustomAuthorizerResponse{
		PrincipalID: caller.Account.ID.String(), PolicyDocument: policy, Context: a.explained(route, caller, reason),
	}
	if end := caller.WorksUntil(); a.parts.Kept.keeps() && !end.IsZero() && end.Before(a.parts.Clock.Now().Add(maxKept)) {
		return endingAt(response, route.api, end), nil
	}
	return response, nil
}

// simply returns a simple response for a good bearer. It has no policy, so it answers this request
// only.
func simply(route gatewayRoute, caller principal.Principal, reason error) any {
	if errors.Is(reason, scope.ErrAmbiguousPath) {
		return deny(true, route, reason)
	}
	return events.APIGatewayV2CustomAuthorizerSimpleResponse{IsAuthorized: reason == nil, Context: contextOf(caller)}
}

// refusing returns a token's policy, which has everything that its scopes open within its reach, so
// that it refuses an ambiguous path: by the patterns that every policy denies, or else by its own name.
// Where it has none that a policy can hold, the answer is an error. The same goes for what stands in
// front of a resource where answers are kept: that resource itself has one reading.
func (a *Authorizer) refusing(ambiguous error, route gatewayRoute, policy events.APIGatewayCustomAuthorizerPolicy) (events.APIGatewayCustomAuthorizerPolicy, error) {
	resource := route.api + "/" + route.method + route.path
	switch {
	case ambiguous == nil:
		return policy, nil
	case a.parts.Kept.keeps() && errors.Is(ambiguous, errFront):
		return policy, errUndecided
	case scope.Denied(a.denied, route.method, route.path):
		return policy, nil
	case scope.Nameable(route.path) && len(resource) <= scope.MaxResource:
		return without(policy, resource), nil
	}
	return policy, errUndecided
}

// explained returns the context of a policy for a good bearer. reason is why the policy refuses this
// request, or nil. A kept context is for every request with the bearer, so it cannot tell the reason.
func (a *Authorizer) explained(route gatewayRoute, caller principal.Principal, reason error) map[string]any {
	told := contextOf(caller)
	switch {
	case a.parts.Kept.keeps():
		explain(told, scope.ErrInsufficient, nil)
	case reason != nil:
		told["error"] = word(reason)
		explain(told, reason, a.parts.Scopes.Require(route.method, route.path).Listed)
	}
	return told
}

// deny returns the answer for a refused bearer. Its context has an error code, and what a gateway
// response needs.
func deny(simple bool, route gatewayRoute, err error) any {
	told := map[string]any{"error": word(err)}
	if simple {
		return events.APIGatewayV2CustomAuthorizerSimpleResponse{Context: told}
	}
	explain(told, err, nil)
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID:    "anonymous",
		PolicyDocument: denyEverything(route.api),
		Context:        told,
	}
}

// explain adds the body and the challenge of a refusal to a context: GitLab's words, and RFC 6750
// section 3. required are the scopes that open the path, none if they are not known.
func explain(told map[string]any, err error, required scope.Set) {
	const realm = `Bearer realm="Latchkey"`
	body, challenge := `{"message":"401 Unauthorized"}`, realm
	switch {
	case errors.Is(err, scope.ErrInsufficient):
		body = `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token."`
		challenge += `, error="insufficient_scope"`
		if len(required) > 0 { // names of scopes have no quotes
			body += `,"scope":"` + required.String() + `"`
			challenge += `, scope="` + required.String() + `"`
		}
		body += "}"
	case fault.KindOf(err) == fault.Invalid:
		body = `{"message":"400 Bad request"}`
	case errors.Is(err, token.ErrAddress):
		body = `{"message":"403 Forbidden - The token may not be used from this address"}`
	case errors.Is(err, account.ErrBlocked):
		body = `{"message":"403 Forbidden - Your account has been blocked."}`
	case errors.Is(err, account.ErrInactive):
		body = `{"message":"403 Forbidden - Your account has been deactivated by your administrator."}`
	}
	told["refusal_body"], told["refusal_challenge"] = body, challenge
}

// word returns the error code of a refusal.
func word(err error) string {
	if errors.Is(err, scope.ErrInsufficient) {
		return "insufficient_scope"
	}
	switch fault.KindOf(err) {
	case fault.Forbidden:
		return "account_inactive"
	case fault.Invalid:
		return "invalid_request"
	}
	if errors.Is(err, token.ErrAddress) {
		return "address_not_allowed"
	}
	return "invalid_token"
}

// contextOf returns the context about the caller for the backend. All values are strings, because
// REST APIs pass on nothing else unchanged.
func contextOf(caller principal.Principal) map[string]any {
	told := map[string]any{
		"user_id":    caller.Account.ID.String(),
		"username":   caller.Account.Username,
		"token_id":   caller.Token.ID.String(),
		"token_kind": string(caller.Token.Kind),
		"scopes":     caller.Scopes.String(),
	}
	if caller.Token.Kind == token.Impersonation {
		told["impersonator_id"] = caller.Token.CreatedBy.String()
	}
	if caller.Token.Kind.OfProject() {
		told[string(caller.Token.Kind)+"_id"] = caller.Token.Project.String()
		told["access_level"] = strconv.Itoa(int(caller.Token.Level))
	}
	return told
}
