package authorizer

import (
	"errors"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// answer returns the answer for a good bearer. It is a policy with everything that the token's
// scopes open within its reach, whatever this request is. Simple responses have no policy, so they
// answer this request only.
func (a *Authorizer) answer(simple bool, route gatewayRoute, caller principal.Principal) any {
	told := contextOf(caller)
	if !simple {
		return events.APIGatewayCustomAuthorizerResponse{
			PrincipalID:    caller.Account.ID.String(),
			PolicyDocument: a.policies.get(a.parts.Scopes, caller, route.api),
			Context:        told,
		}
	}
	allowed := a.parts.Scopes.Allows(caller.Scopes, reach(caller.Token), route.method, route.path)
	if !allowed {
		a.logRefusal(caller, scope.ErrInsufficient)
	}
	return events.APIGatewayV2CustomAuthorizerSimpleResponse{IsAuthorized: allowed, Context: told}
}

// deny returns the answer for a refused bearer. Its context carries an RFC 6750 error code for
// gateway responses.
func deny(simple bool, route gatewayRoute, err error) any {
	told := map[string]any{"error": word(err)}
	if simple {
		return events.APIGatewayV2CustomAuthorizerSimpleResponse{Context: told}
	}
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID:    "anonymous",
		PolicyDocument: denyEverything(route.api),
		Context:        told,
	}
}

// word returns the error code of a refusal.
func word(err error) string {
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
