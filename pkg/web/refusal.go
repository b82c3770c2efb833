package web

import (
	"errors"
	"net/http"
	"strconv"

	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/throttle"
)

// A refusal is the page for an error.
type refusal struct {
	status      int
	Title, Text string
}

// kindOf returns the kind whose page fits an error. For two refusals of rotations, that is not the kind
// that gives them GitLab's status in the API.
func kindOf(err error) fault.Kind {
	switch {
	case errors.Is(err, lifecycle.ErrAlreadyRevoked): // by somebody else, or by a second press of the button
		return fault.Conflict
	case errors.Is(err, lifecycle.ErrLevelAbove):
		return fault.Forbidden
	default:
		return fault.KindOf(err)
	}
}

// refusalOf returns the page for an error, and its status. Only the kind of the error decides.
func refusalOf(err error) refusal {
	switch kindOf(err) {
	case fault.Invalid:
		return refusal{http.StatusBadRequest, "This request is not valid", "Something in the request cannot be right. Go back, and check what you entered."}
	case fault.Unauthenticated:
		return refusal{http.StatusUnauthorized, "You are not signed in", "Sign in to go on."}
	case fault.Forbidden:
		return refusal{http.StatusForbidden, "You may not do this", "Nothing was changed. If you came here through a link or a button on another site, open the page here and try again."}
	case fault.NotFound:
		return refusal{http.StatusNotFound, "There is nothing here", "The page does not exist, or it is not yours to see. A token that ended long ago is no longer listed either."}
	case fault.Conflict:
		return refusal{http.StatusConflict, "Somebody else was faster", "What you wanted to change has changed in the meantime. Nothing was done twice. Look at it again."}
	case fault.Throttled:
		return refusal{http.StatusTooManyRequests, "Too many requests", "Nothing was changed. Wait a minute, and try again."}
	case fault.Unavailable:
		return refusal{http.StatusServiceUnavailable, "This cannot be done now", "Nothing was changed. Try again in a moment."}
	default:
		return refusal{http.StatusInternalServerError, "Something went wrong here", "The mistake is ours. If it happens again, tell your administrator the number of this request."}
	}
}

// refuse replies with the page for an error.
func (v *visit) refuse(err error) {
	v.err = err
	page := refusalOf(err)
	if errors.Is(err, errMethod) {
		page.status = http.StatusMethodNotAllowed
	}
	v.wait(err)
	if err := v.render(page.status, "refusal", page.Title, page); err != nil {
		v.status = http.StatusInternalServerError
		http.Error(v.w, "500 Internal Server Error", v.status)
	}
}

// wait tells the browser how long to wait after a limit was reached.
func (v *visit) wait(err error) {
	if limit := (*throttle.Refusal)(nil); errors.As(err, &limit) {
		v.header().Set("Retry-After", strconv.Itoa(limit.Wait))
	}
}
