package gitlabapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/apigateway"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// Errors of the wire format. They say no more than a status and a text.
var (
	errNoRoute          = errors.New("no such route")
	errMethodNotAllowed = errors.New("method not allowed")
	// errHidden is what somebody gets who may not know whether a token is
	// there: GitLab answers 401 for a foreign and for a missing one.
	errHidden           = errors.New("not the caller's to see")
	errNotFoundLower    = fmt.Errorf("%w: by key", fault.ErrNotFound)
	errUserNotFound     = fmt.Errorf("%w: user", fault.ErrNotFound)
	errValueNotFound    = fmt.Errorf("%w: value", fault.ErrNotFound)
	errTypeNotSupported = errors.New("value of an unknown type")
	errAnonymousUsers   = errors.New("anonymous list of users")
	errAnonymousUser    = errors.New("anonymous look at a user")
	errOffset           = errors.New("page beyond the last offset")
	errPercentage       = errors.New("percentages are not supported, only true and false")
)

// errNotPermitted is for an owner who may not have a token: the words for
// account.ErrInactive are about the caller's own account.
var errNotPermitted = &lifecycle.Fault{Reasons: []string{"Not permitted to create"}}

// badRequest marks a rule that is answered in the words "400 Bad request".
type badRequest struct{ err error }

func (b *badRequest) Error() string { return b.err.Error() }
func (b *badRequest) Unwrap() error { return b.err }

type insufficientScope struct{ listed scope.Set }

func (*insufficientScope) Error() string { return scope.ErrInsufficient.Error() }
func (*insufficientScope) Unwrap() error { return scope.ErrInsufficient }

// A reply is the status and the body of a refusal.
type reply struct {
	status int
	body   any
}

func messageBody(text any) map[string]any { return map[string]any{"message": text} }

func message(status int, text any) reply { return reply{status, messageBody(text)} }

func invalidToken(description string) reply {
	return reply{http.StatusUnauthorized, map[string]any{"error": "invalid_token", "error_description": description}}
}

// replyTo is the one table from errors to replies; nothing else chooses the
// status of a failure. The first row that fits decides.
func (api *API) replyTo(ctx context.Context, err error) reply {
	for _, row := range []struct {
		err   error
		reply reply
	}{
		{errNoRoute, reply{http.StatusNotFound, map[string]any{"error": "404 Not Found"}}},
		{errMethodNotAllowed, reply{http.StatusMethodNotAllowed, map[string]any{"error": "405 Not Allowed"}}},
		{throttle.ErrThrottled, message(http.StatusTooManyRequests, map[string]string{
			"error": "This endpoint has been requested too many times. Try again later."})},
		{errHidden, message(http.StatusUnauthorized, "401 Unauthorized")},
		{lifecycle.ErrNotOfProject, message(http.StatusMethodNotAllowed, "405 Method Not Allowed")},
		{errSudoNotAdmin, message(http.StatusForbidden, "403 Forbidden - Must be admin to use sudo")},
		{errAnonymousUsers, message(http.StatusForbidden, "403 Forbidden - Not authorized to access /api/v4/users")},
		{errAnonymousUser, message(http.StatusForbidden, "403 Forbidden - Not authorized!")},
		{errTypeNotSupported, message(http.StatusUnprocessableEntity, "Token type not supported.")},
		{errOffset, reply{http.StatusMethodNotAllowed, map[string]any{"error": fmt.Sprintf(
			"Offset pagination has a maximum allowed offset of %d. Narrow the list with filters.", lifecycle.MaxOffset)}}},
		{trail.ErrTooFar, reply{http.StatusMethodNotAllowed, map[string]any{
			"error": "Too many audit events to look through. Narrow the list with created_after and created_before."}}},
		{fault.ErrUnavailable, message(http.StatusServiceUnavailable, "503 Service Unavailable")},
		{token.ErrExpired, invalidToken("Token is expired. You can either do re-authorization or token refresh.")},
		{token.ErrRevoked, invalidToken("Token was revoked. You have to re-authorize from the user.")},
		{token.ErrImpersonation, invalidToken("Token is an impersonation token but impersonation was disabled.")},
		{token.ErrAddress, message(http.StatusForbidden, "403 Forbidden - The token may not be used from this address")},
		{token.ErrInvalid, message(http.StatusUnauthorized, "401 Unauthorized")},
		{account.ErrBlocked, message(http.StatusForbidden, "403 Forbidden - Your account has been blocked.")},
		{account.ErrDeactivated, message(http.StatusForbidden, "403 Forbidden - Your account has been deactivated by your "+
			"administrator. Please log back in from a web browser to reactivate your account at "+api.publicURL(ctx))},
		{account.ErrInactive, message(http.StatusForbidden, "403 Forbidden")},
		{directory.ErrSelf, message(http.StatusForbidden, "403 Forbidden - The API initiating user cannot be blocked by the API")},
		{directory.ErrDeactivated, message(http.StatusForbidden, "403 Forbidden - Deactivated users cannot be unblocked by the API")},
		{directory.ErrSelfDeactivated, message(http.StatusForbidden, "403 Forbidden - The API initiating user cannot be deactivated by the API")},
		{directory.ErrSelfDeleted, message(http.StatusForbidden, "403 Forbidden - The API initiating user cannot be deleted by the API")},
		{directory.ErrBlockedAlready, message(http.StatusForbidden, "403 Forbidden - A blocked user must be unblocked to be activated or deactivated")},
		{directory.ErrBot, message(http.StatusForbidden, "403 Forbidden - The account of a project or group access token ends with the token")},
		{directory.ErrSoleOwner, message(http.StatusConflict, "User cannot be removed while is the sole-owner of a group")},
		{lifecycle.ErrForBot, message(http.StatusForbidden, "403 Forbidden - The bot of a project or group access token has no other tokens")},
		{lifecycle.ErrImpersonated, message(http.StatusForbidden, "403 Forbidden - An impersonation token cannot make an ordinary token for its owner")},
		{directory.ErrLastOwner, message(http.StatusForbidden, "403 Forbidden - The last owner of a group cannot leave it or be lowered")},
		{directory.ErrNamespaceOwner, message(http.StatusForbidden, "403 Forbidden - The owner of the namespace remains the owner of its projects")},
		{directory.ErrBotMember, message(http.StatusForbidden, "403 Forbidden - A bot's membership ends with its token only")},
		{lifecycle.ErrImpersonationOff, message(http.StatusForbidden, "403 Forbidden - Impersonation is disabled")},
		{fault.ErrForbidden, message(http.StatusForbidden, "403 Forbidden")},
		{errUserNotFound, message(http.StatusNotFound, "404 User Not Found")},
		{project.ErrNoProject, message(http.StatusNotFound, "404 Project Not Found")},
		{project.ErrNoGroup, message(http.StatusNotFound, "404 Group Not Found")},
		{directory.ErrNoNamespace, message(http.StatusNotFound, "404 Namespace Not Found")},
		{directory.ErrNoAccount, message(http.StatusNotFound, "404 User Not Found")},
		{directory.ErrNoMember, message(http.StatusNotFound, "404 Not found")},
		{errNotFoundLower, message(http.StatusNotFound, "404 Not found")},
		{errValueNotFound, message(http.StatusNotFound, map[string]string{"error": "Not found"})},
		{lifecycle.ErrNoImpersonation, message(http.StatusNotFound, "404 Impersonation Token Not Found")},
		{fault.ErrNotFound, message(http.StatusNotFound, "404 Not Found")},
		{lifecycle.ErrKeyReused, message(http.StatusUnprocessableEntity, "Idempotency-Key was used for another request")},
		{account.ErrEmailTaken, message(http.StatusConflict, "Email has already been taken")},
		{account.ErrUsernameTaken, message(http.StatusConflict, "Username has already been taken")},
		{directory.ErrMemberExists, message(http.StatusConflict, "Member already exists")},
		{fault.ErrTaken, message(http.StatusConflict, "409 Conflict")},
		{lifecycle.ErrChanged, message(http.StatusPreconditionFailed, "412 Precondition Failed")},
		{fault.ErrConflict, message(http.StatusConflict, "409 Conflict: Resource lock")},
		{lifecycle.ErrScopeBeyondCaller, reply{http.StatusBadRequest, map[string]any{"error": "scopes does not have a valid value"}}},
		{administration.ErrFeatureName, reply{http.StatusBadRequest, map[string]any{"error": "name is invalid"}}},
		{administration.ErrUndefined, message(http.StatusBadRequest, "400 Bad request - The feature has no definition. With force=true it is stored all the same.")},
		{administration.ErrTooManyTargets, message(http.StatusBadRequest, fmt.Sprintf("400 Bad request - At most %d targets can be changed at once", administration.MaxTargets))},
		{lifecycle.ErrNetworksBeyondCaller, reply{http.StatusBadRequest, map[string]any{"error": "allowed_cidrs has to lie within those of the presented token"}}},
		{token.ErrOutOfNumbers, message(http.StatusUnprocessableEntity, "The owner has used up all token ids")},
	} {
		if errors.Is(err, row.err) {
			return row.reply
		}
	}
	return replyInWords(err)
}

// replyInWords is the part of the table whose texts depend on the error.
func replyInWords(err error) reply {
	var (
		repeated    *apigateway.Repeated
		scopes      *insufficientScope
		param       *paramFault
		contentType *unsupportedType
		bad         *badRequest
		sudo        *sudoMissing
		absent      *tokenMissing
		deletion    *cannotDelete
		record      *fieldFaults
		rules       *lifecycle.Fault
		target      *administration.NoTarget
		fields      fault.Faults
	)
	switch {
	case errors.As(err, &repeated):
		return reply{http.StatusBadRequest, map[string]any{"error": repeated.Error()}}
	case errors.As(err, &scopes):
		return reply{http.StatusForbidden, map[string]any{
			"error":             "insufficient_scope",
			"error_description": "The request requires higher privileges than provided by the access token.",
			"scope":             scopes.listed.String(),
		}}
	case errors.As(err, &param):
		return reply{http.StatusBadRequest, map[string]any{"error": param.text}}
	case errors.As(err, &contentType):
		return reply{http.StatusUnsupportedMediaType, map[string]any{
			"error": fmt.Sprintf("The provided content-type '%s' is not supported.", contentType.contentType),
		}}
	case errors.As(err, &sudo):
		return message(http.StatusNotFound, sudo.words())
	case errors.As(err, &absent):
		return message(http.StatusNotFound, absent.words())
	case errors.As(err, &deletion):
		return message(http.StatusBadRequest, "400 Bad request - "+deletion.words())
	case errors.As(err, &target):
		return message(http.StatusBadRequest, noTargetWords(target))
	case errors.As(err, &bad):
		return message(http.StatusBadRequest, "400 Bad request - "+bad.Error())
	case errors.As(err, &record):
		return message(http.StatusBadRequest, record.fields)
	case errors.As(err, &rules):
		return message(http.StatusUnprocessableEntity, rules.Error())
	case errors.As(err, &fields):
		return message(http.StatusBadRequest, map[string][]string(fields))
	default:
		return message(http.StatusInternalServerError, "500 Internal Server Error")
	}
}

func (api *API) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if rec := recordOf(r.Context()); rec.err == nil {
		rec.err = err
	}
	reply := api.replyTo(r.Context(), err)
	switch reply.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", challenge(reply.body))
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusTooManyRequests:
		if refusal := (*throttle.Refusal)(nil); errors.As(err, &refusal) {
			api.Count("RequestsThrottled", refusal.Code)
			writeLimit(w.Header(), refusal, api.Clock.Now())
		}
	}
	writeJSON(w, reply.status, reply.body)
}

// writeLimit says when to come back. No other reply has these headers: the
// official Go client slows itself down for good to the RateLimit-Limit of the
// first reply it gets.
func writeLimit(h http.Header, refusal *throttle.Refusal, now time.Time) {
	h.Set("Retry-After", strconv.Itoa(refusal.Wait))
	h.Set("RateLimit-Limit", strconv.Itoa(refusal.Limit))
	h.Set("RateLimit-Observed", strconv.Itoa(refusal.Limit-refusal.Remaining))
	h.Set("RateLimit-Remaining", strconv.Itoa(refusal.Remaining))
	h.Set("RateLimit-Reset", strconv.FormatInt(now.Unix()+int64(refusal.Wait), 10))
}

// challenge is the header that RFC 6750 section 3 wants beside a 401.
func challenge(body any) string {
	const realm = `Bearer realm="Latchkey"`
	fields, _ := body.(map[string]any)
	if fields["error"] == nil {
		return realm
	}
	return fmt.Sprintf(`%s, error="%s", error_description="%s"`, realm, fields["error"], fields["error_description"])
}

// writeJSON writes a reply. Nothing can be done about a client that is gone.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
}
