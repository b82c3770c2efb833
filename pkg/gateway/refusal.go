package gateway

import (
	"errors"
	"net/http"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
)

// A Refusal is why a request may not pass. A Kind returns one, as an error, where RefusalOf would not say
// what the clients of the kind expect. It wraps Err.
type Refusal struct {
	Status int
	// Reason is the word for it in X-Auth-Reason.
	Reason string
	// Message is the sentence for people, in GitLab's words.
	Message string
	// Wait is the number of seconds after which to try again, or 0.
	Wait int
	// Required are the scopes that would do, if that is the reason and they are known.
	Required scope.Set
	Err      error
}

func (r *Refusal) Error() string { return r.Err.Error() }

func (r *Refusal) Unwrap() error { return r.Err }

// undecided reports whether an error means that nothing was decided, whatever else it says.
func undecided(err error) bool {
	if errors.Is(err, fault.ErrUnavailable) || errors.Is(err, fault.ErrCorrupt) {
		return true
	}
	kind := fault.KindOf(err)
	return kind == fault.Internal && !errors.Is(err, scope.ErrInsufficient) || kind == fault.Unavailable
}

// refusals are the known reasons. The first that fits decides.
var refusals = [...]struct {
	err     error
	refusal Refusal
}{
	{token.ErrMissing, Refusal{Status: http.StatusUnauthorized, Reason: "token_missing", Message: "401 Unauthorized"}},
	{token.ErrExpired, Refusal{Status: http.StatusUnauthorized, Reason: "token_expired",
		Message: "Token is expired. You can either do re-authorization or token refresh."}},
	{token.ErrRevoked, Refusal{Status: http.StatusUnauthorized, Reason: "token_revoked",
		Message: "Token was revoked. You have to re-authorize from the user."}},
	{token.ErrImpersonation, Refusal{Status: http.StatusUnauthorized, Reason: "impersonation_disabled",
		Message: "Token is an impersonation token but impersonation was disabled."}},
	{token.ErrAddress, Refusal{Status: http.StatusForbidden, Reason: "address_not_allowed",
		Message: "403 Forbidden - The token may not be used from this address"}},
	{token.ErrInvalid, Refusal{Status: http.StatusUnauthorized, Reason: "invalid_token", Message: "401 Unauthorized"}},
	{account.ErrBlocked, Refusal{Status: http.StatusForbidden, Reason: "account_inactive",
		Message: "403 Forbidden - Your account has been blocked."}},
	{account.ErrInactive, Refusal{Status: http.StatusForbidden, Reason: "account_inactive",
		Message: "403 Forbidden - Your account has been deactivated by your administrator."}},
	{scope.ErrInsufficient, Refusal{Status: http.StatusForbidden, Reason: "insufficient_scope",
		Message: "The request requires higher privileges than provided by the access token."}},
	{scope.ErrAmbiguousPath, Refusal{Status: http.StatusBadRequest, Reason: "ambiguous_path", Message: "400 Bad request"}},
	{errDescription, Refusal{Status: http.StatusBadRequest, Reason: "request_not_described", Message: "400 Bad request"}},
	{errSteered, Refusal{Status: http.StatusBadRequest, Reason: "request_described_twice", Message: "400 Bad request"}},
	{errAlias, Refusal{Status: http.StatusBadRequest, Reason: "identity_header", Message: "400 Bad request"}},
	{errOverride, Refusal{Status: http.StatusBadRequest, Reason: "override_header", Message: "400 Bad request"}},
}

// byKind are the reasons of other errors.
var byKind = map[fault.Kind]Refusal{
	fault.Invalid:         {Status: http.StatusBadRequest, Reason: "invalid_request", Message: "400 Bad request"},
	fault.Unauthenticated: {Status: http.StatusUnauthorized, Reason: "invalid_token", Message: "401 Unauthorized"},
	fault.Forbidden:       {Status: http.StatusForbidden, Reason: "forbidden", Message: "403 Forbidden"},
	fault.NotFound:        {Status: http.StatusNotFound, Reason: "not_found", Message: "404 Not Found"},
}

// RefusalOf returns what an error means to a proxy. What was not decided is a 503.
func RefusalOf(err error) Refusal {
	if undecided(err) {
		return Refusal{Status: http.StatusServiceUnavailable, Reason: "undecided", Message: "503 Service Unavailable", Wait: 1, Err: err}
	}
	if limited, throttled := errors.AsType[*throttle.Refusal](err); throttled {
		return Refusal{
			Status: http.StatusTooManyRequests, Reason: "throttled", Wait: limited.Wait, Err: err,
			Message: "This endpoint has been requested too many times. Try again later.",
		}
	}
	if own, found := errors.AsType[*Refusal](err); found {
		return *own
	}
	for _, known := range refusals {
		if errors.Is(err, known.err) {
			refusal := known.refusal
			refusal.Err = err
			if missing, found := errors.AsType[*Insufficient](err); found {
				refusal.Required = missing.Required
			}
			return refusal
		}
	}
	refusal, known := byKind[fault.KindOf(err)]
	if !known {
		refusal = byKind[fault.Forbidden]
	}
	refusal.Err = err
	return refusal
}

// json returns the body of a refusal on an API, in GitLab's two shapes.
func (r Refusal) json() string {
	switch r.Reason {
	case "token_expired", "token_revoked", "impersonation_disabled":
		return encode(map[string]string{"error": "invalid_token", "error_description": r.Message})
	case "insufficient_scope":
		body := map[string]string{"error": r.Reason, "error_description": r.Message}
		if len(r.Required) > 0 {
			body["scope"] = r.Required.String()
		}
		return encode(body)
	case "throttled":
		return encode(map[string]any{"message": map[string]string{"error": r.Message}})
	}
	return encode(map[string]string{"message": r.Message})
}
