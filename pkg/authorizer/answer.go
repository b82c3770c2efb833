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

// answer returns the answer for a good bearer. It is a policy with everything that the token's
// scopes open within its reach. An ambiguous path stays refused in it: by the patterns that every policy
// denies, or else by its own name. Where it has none that a policy can hold, the answer is an error.
// Simple responses have no policy, so they answer this request only.
func (a *Authorizer) answer(simple bool, route gatewayRoute, caller principal.Principal) (any, error) {
	opens := a.policies.get(a.parts.Scopes, a.denied, caller, route.api)
	ambiguous, ofFront := route.check(a.parts.Scopes)
	err := ambiguous
	if err == nil && !opens.allows(route.method, route.path) {
		err = scope.ErrInsufficient
	}
	if err != nil && (simple || ambiguous != nil) {
		a.logRefusal(caller, err)
	}
	told := contextOf(caller)
	switch {
	case simple && ambiguous != nil:
		return deny(simple, route, err), nil
	case simple:
		return events.APIGatewayV2CustomAuthorizerSimpleResponse{IsAuthorized: err == nil, Context: told}, nil
	case a.parts.Kept.keeps():
		// The context is for every request with this bearer, so it cannot tell which scope one lacks.
		explain(told, scope.ErrInsufficient, nil)
	case err != nil:
		told["error"] = word(err)
		explain(told, err, a.parts.Scopes.Require(route.method, route.path).Listed)
	}
	policy := opens.policy
	switch {
	case ambiguous == nil, !ofFront && scope.Denied(a.denied, route.method, route.path):
	case !ofFront && scope.Nameable(route.path) && len(route.resource()) <= scope.MaxResource:
		policy = without(policy, route.resource())
	default:
		return nil, errUndecided
	}
	return events.APIGatewayCustomAuthorizerResponse{PrincipalID: caller.Account.ID.String(), PolicyDocument: policy, Context: told}, nil
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
