package gitlabapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/apigateway"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
)

// ofKind returns the reply to an error that has no row in the tables.
func ofKind(kind fault.Kind) *reply {
	switch kind {
	case fault.Invalid:
		return invalid
	case fault.Unauthenticated:
		return unauthorized
	case fault.Forbidden:
		return forbidden
	case fault.NotFound:
		return missing
	case fault.Conflict:
		return conflict
	case fault.Throttled:
		return tooMany
	case fault.Unavailable:
		return unavailable
	default:
		return broken
	}
}

// A reply is the status and the encoded body of a refusal.
type reply struct {
	status    int
	body      []byte
	challenge string // WWW-Authenticate, or ""; RFC 6750 section 3
}

const realm = `Bearer realm="Latchkey"`

// newReply returns a reply whose only challenge is that of a request without a good bearer.
func newReply(status int, body any) *reply {
	r := &reply{status: status, body: encode(body)}
	if status == http.StatusUnauthorized {
		r.challenge = realm
	}
	return r
}

func message(status int, text any) *reply {
	return newReply(status, map[string]any{"message": text})
}

func failure(status int, text string) *reply {
	return newReply(status, map[string]string{"error": text})
}

func badRequest(text string) *reply {
	return message(http.StatusBadRequest, "400 Bad request - "+text)
}

func invalidToken(description string) *reply {
	return &reply{
		http.StatusUnauthorized, encode(map[string]string{"error": "invalid_token", "error_description": description}),
		fmt.Sprintf(`%s, error="invalid_token", error_description="%s"`, realm, description),
	}
}

// Replies that do not depend on the request are encoded once.
var (
	invalid      = message(http.StatusBadRequest, "400 Bad request")
	unauthorized = message(http.StatusUnauthorized, "401 Unauthorized")
	forbidden    = message(http.StatusForbidden, "403 Forbidden")
	missing      = message(http.StatusNotFound, "404 Not Found")
	conflict     = message(http.StatusConflict, "409 Conflict: Resource lock")
	tooMany      = message(http.StatusTooManyRequests, map[string]string{
		"error": "This endpoint has been requested too many times. Try again later."})
	broken      = message(http.StatusInternalServerError, "500 Internal Server Error")
	unavailable = message(http.StatusServiceUnavailable, "503 Service Unavailable")

	badCursor = failure(http.StatusBadRequest,
		"cursor is invalid: take it from the next link of the same list, with the same filters and the same order")

	revokedToken = invalidToken("Token was revoked. You have to re-authorize from the user.")
	userNotFound = message(http.StatusNotFound, "404 User Not Found")
	notFound     = message(http.StatusNotFound, "404 Not found") // where GitLab looks up by key
)

// A row is the reply to an error and to every error that wraps it.
type row struct {
	err   error
	reply *reply
	// say makes a reply that depends on the call or the error. If it returns nil, the next row
	// decides.
	say func(c *call, err error) *reply
}

// in returns a row with the status of the error's kind.
func in(err error, text string) row {
	return row{err: err, reply: message(ofKind(fault.KindOf(err)).status, text)}
}

// rows are GitLab's words for errors, and ours where GitLab has none. The first
// row that fits decides, after the route's own.
var rows = []row{
	{err: fault.ErrUnavailable, reply: unavailable},
	{err: throttle.ErrThrottled, say: (*call).throttled},
	{err: token.ErrExpired, reply: invalidToken("Token is expired. You can either do re-authorization or token refresh.")},
	{err: token.ErrRevoked, reply: revokedToken},
	{err: token.ErrImpersonation, reply: invalidToken("Token is an impersonation token but impersonation was disabled.")},
	{err: token.ErrAddress, reply: message(http.StatusForbidden, "403 Forbidden - The token may not be used from this address")},
	in(account.ErrBlocked, "403 Forbidden - Your account has been blocked."),
	{err: account.ErrDeactivated, say: func(c *call, _ error) *reply {
		return message(http.StatusForbidden, "403 Forbidden - Your account has been deactivated by your "+
			"administrator. Please log back in from a web browser to reactivate your account at "+string(c.site))
	}},
	in(errSudoNotAdmin, "403 Forbidden - Must be admin to use sudo"),
	in(directory.ErrSelf, "403 Forbidden - The API initiating user cannot be blocked by the API"),
	in(directory.ErrDeactivated, "403 Forbidden - Deactivated users cannot be unblocked by the API"),
	in(directory.ErrSelfDeactivated, "403 Forbidden - The API initiating user cannot be deactivated by the API"),
	in(directory.ErrSelfDeleted, "403 Forbidden - The API initiating user cannot be deleted by the API"),
	in(directory.ErrBlockedAlready, "403 Forbidden - A blocked user must be unblocked to be activated or deactivated"),
	in(directory.ErrBot, "403 Forbidden - The account of a project or group access token ends with the token"),
	in(directory.ErrSoleOwner, "User cannot be removed while is the sole-owner of a group"),
	in(directory.ErrLastOwner, "403 Forbidden - The last owner of a group cannot leave it or be lowered"),
	in(directory.ErrNamespaceOwner, "403 Forbidden - The owner of the namespace remains the owner of its projects"),
	in(directory.ErrBotMember, "403 Forbidden - A bot's membership ends with its token only"),
	in(lifecycle.ErrForBot, "403 Forbidden - The bot of a project or group access token has no other tokens"),
	in(lifecycle.ErrImpersonated, "403 Forbidden - An impersonation token cannot make an ordinary token for its owner"),
	in(lifecycle.ErrWider, "403 Forbidden - The token to rotate has scopes or networks that the presented token lacks"),
	in(lifecycle.ErrImpersonationOff, "403 Forbidden - Impersonation is disabled"),
	in(project.ErrNoProject, "404 Project Not Found"),
	in(project.ErrNoGroup, "404 Group Not Found"),
	in(directory.ErrNoNamespace, "404 Namespace Not Found"),
	{err: directory.ErrNoAccount, reply: userNotFound},
	{err: directory.ErrNoMember, reply: notFound},
	in(lifecycle.ErrNoImpersonation, "404 Impersonation Token Not Found"),
	{err: directory.ErrAnotherPath, reply: badRequest("`full_path` is incorrect. Enter the complete path.")},
	{err: lifecycle.ErrNotOfProject, reply: message(http.StatusMethodNotAllowed, "405 Method Not Allowed")},
	in(account.ErrEmailTaken, "Email has already been taken"),
	in(account.ErrUsernameTaken, "Username has already been taken"),
	in(directory.ErrMemberExists, "Member already exists"),
	in(fault.ErrTaken, "409 Conflict"),
	{err: lifecycle.ErrChanged, reply: message(http.StatusPreconditionFailed, "412 Precondition Failed")},
	// Not "Resource lock": python-gitlab repeats such a request by itself, and the repeat would come
	// after the rotation window.
	{err: lifecycle.ErrAlreadyRotated, reply: message(http.StatusConflict, "409 Conflict: Token already rotated. Use its successor")},
	{err: token.ErrSuperseded, reply: message(http.StatusConflict, "409 Conflict: Token was rotated meanwhile. Nothing was revoked")},
	{err: lifecycle.ErrKeyReused, reply: message(http.StatusUnprocessableEntity, "Idempotency-Key was used for another request")},
	{err: token.ErrOutOfNumbers, reply: message(http.StatusUnprocessableEntity, "The owner has used up all token ids")},
	{err: token.ErrTooDeep, reply: failure(http.StatusBadRequest, fmt.Sprintf("The presented token cannot make tokens: it is number %d of tokens that made each other", token.MaxDepth+1))},
	{err: lifecycle.ErrScopeBeyondCaller, reply: failure(http.StatusBadRequest, "scopes does not have a valid value")},
	{err: lifecycle.ErrOutlives, reply: badRequest(outlives)},
	{err: lifecycle.ErrNetworksBeyondCaller, reply: failure(http.StatusBadRequest, "allowed_cidrs has to lie within those of the presented token")},
	{err: administration.ErrFeatureName, reply: failure(http.StatusBadRequest, "name is invalid")},
	{err: administration.ErrUndefined, reply: badRequest("The feature has no definition. With force=true it is stored all the same.")},
	{err: administration.ErrTooManyTargets, reply: badRequest(fmt.Sprintf("At most %d targets can be changed at once", administration.MaxTargets))},
	{err: lifecycle.ErrNoPlaces, reply: failure(http.StatusMethodNotAllowed, "Keyset pagination is not yet available for this type of request")},
	{err: listing.ErrCursor, reply: badCursor},
	{err: listing.ErrPlace, reply: badCursor},
	{err: listing.ErrDeep, reply: failure(http.StatusMethodNotAllowed, fmt.Sprintf(
		"The page lies behind more than %d entries to look through. Follow the next link of page 1, or narrow the list with filters.", listing.MaxByNumber))},
	{err: listing.ErrOrder, reply: failure(http.StatusMethodNotAllowed, fmt.Sprintf(
		"The list has more than %d entries to put in this order. Order it by id, or narrow the list with filters.", listing.MaxByNumber))},
	{err: fault.ErrInput, say: inSentences},
}

// Rows for the words of a route.
var (
	noUser = row{err: fault.ErrNotFound, reply: userNotFound}
	// hidden answers 401 to callers other than administrators, for missing tokens and for other
	// people's. As in GitLab, they cannot tell these apart.
	hidden = row{err: fault.ErrNotFound, say: func(c *call, _ error) *reply {
		if c.by.Account.Admin {
			return nil
		}
		return unauthorized
	}}
	// outranked hides a project's tokens from members who do not manage them.
	outranked = row{err: lifecycle.ErrNotManager, reply: unauthorized}
	// lostRace answers the loser of two rotations, whose token has been revoked.
	lostRace = row{err: lifecycle.ErrAlreadyRevoked, reply: revokedToken}
	// asBadRequest words broken rules as "400 Bad request - " and a sentence.
	asBadRequest = row{err: fault.ErrInput, say: func(_ *call, err error) *reply {
		if text := inSentence(err); text != "" {
			return badRequest(text)
		}
		return nil
	}}
)

// ofAnother returns a row for an error about another account than the caller's, for which the words
// about one's own account would be wrong.
func ofAnother(err error, said *reply) row {
	return row{err: err, say: func(c *call, _ error) *reply {
		owner, err := account.ParseID(c.path("user_id"))
		if id, invalid := token.ParseID(c.path("id")); err != nil && invalid == nil {
			owner = id.Owner()
		}
		if owner == c.by.Account.ID {
			return nil
		}
		return said
	}}
}

// inSentences words broken rules as most routes do: a token's rules in a sentence, all others by
// field.
func inSentences(_ *call, err error) *reply {
	if text := inSentence(err); text != "" {
		return message(http.StatusUnprocessableEntity, text)
	}
	if broken, ok := errors.AsType[fault.Breaches](err); ok {
		return message(http.StatusBadRequest, byField(broken, words))
	}
	if repeated, ok := errors.AsType[*apigateway.Repeated](err); ok {
		return failure(http.StatusBadRequest, repeated.Error())
	}
	return nil
}

type insufficientScope struct{ listed scope.Set }

func (*insufficientScope) Error() string { return scope.ErrInsufficient.Error() }
func (*insufficientScope) Unwrap() error { return scope.ErrInsufficient }

func (i *insufficientScope) reply(*call) *reply {
	return &reply{
		http.StatusForbidden, encode(map[string]string{
			"error":             "insufficient_scope",
			"error_description": "The request requires higher privileges than provided by the access token.",
			"scope":             i.listed.String(),
		}),
		fmt.Sprintf(`%s, error="insufficient_scope", scope="%s"`, realm, i.listed), // a scope's name has no quotes
	}
}

func (c *call) throttled(err error) *reply {
	if refusal, ok := errors.AsType[*throttle.Refusal](err); ok {
		c.api.Count("RequestsThrottled", refusal.Code)
		c.writeLimit(refusal)
	}
	return tooMany
}

// writeLimit says when to come back. Other replies do not have these headers, because the official
// Go client permanently slows down to the RateLimit-Limit of the first reply it gets.
func (c *call) writeLimit(refusal *throttle.Refusal) {
	h := c.header()
	h.Set("Retry-After", strconv.Itoa(refusal.Wait))
	h.Set("RateLimit-Limit", strconv.Itoa(refusal.Limit))
	h.Set("RateLimit-Observed", strconv.Itoa(refusal.Limit-refusal.Remaining))
	h.Set("RateLimit-Remaining", strconv.Itoa(refusal.Remaining))
	h.Set("RateLimit-Reset", strconv.FormatInt(c.now.Unix()+int64(refusal.Wait), 10))
}

// An inWords error belongs to the wire format and has its own reply.
type inWords interface {
	error
	reply(*call) *reply
}

// A wireError is an inWords error with a constant reply.
type wireError struct {
	text string // for the log
	said *reply
}

func (e *wireError) Error() string      { return e.text }
func (e *wireError) reply(*call) *reply { return e.said }

var (
	errNoRoute          = &wireError{"no such route", failure(http.StatusNotFound, "404 Not Found")}
	errMethodNotAllowed = &wireError{"method not allowed", failure(http.StatusMethodNotAllowed, "405 Not Allowed")}
	errAnonymousUsers   = &wireError{"anonymous list of users", message(http.StatusForbidden, "403 Forbidden - Not authorized to access /api/v4/users")}
	errAnonymousUser    = &wireError{"anonymous look at a user", message(http.StatusForbidden, "403 Forbidden - Not authorized!")}
	errOffset           = &wireError{"page beyond the last offset", failure(http.StatusMethodNotAllowed,
		fmt.Sprintf("Offset pagination has a maximum allowed offset of %d. Narrow the list with filters.", listing.MaxOffset))}
	errOffsetKeyset = &wireError{"page beyond the last offset, of a list with cursors", failure(http.StatusMethodNotAllowed,
		fmt.Sprintf("Offset pagination has a maximum allowed offset of %d. Remaining records can be retrieved using keyset pagination.", listing.MaxOffset))}
)

// errBadRequest returns an error that the client reads as it is.
func errBadRequest(text string) error { return &wireError{text, badRequest(text)} }

// refuse replies to an error. Nothing else picks the status of a failure.
func (c *call) refuse(err error) {
	if c.err == nil {
		c.err = err
	}
	said := c.replyTo(err)
	if c.route != nil && c.route.reads != nil {
		said = inGraphQL(said)
	}
	c.header().Set("Content-Type", "application/json")
	if said.challenge != "" {
		c.header().Set("WWW-Authenticate", said.challenge)
	}
	if said.status == http.StatusServiceUnavailable {
		c.header().Set("Retry-After", "1")
	}
	c.write(said.status, said.body)
}

func (c *call) replyTo(err error) *reply {
	if wire, ok := errors.AsType[inWords](err); ok {
		return wire.reply(c)
	}
	for _, table := range [][]row{c.words, rows} {
		for i := range table {
			if !errors.Is(err, table[i].err) {
				continue
			}
			if table[i].say == nil {
				return table[i].reply
			}
			if said := table[i].say(c, err); said != nil {
				return said
			}
		}
	}
	return ofKind(fault.KindOf(err))
}
