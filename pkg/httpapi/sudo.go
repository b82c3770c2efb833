package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// maxSudoTarget is the longest id or username that is looked up, in bytes.
const maxSudoTarget = 255

var errSudoNotAdmin = fmt.Errorf("%w: sudo without being an administrator", fault.ErrForbidden)

// A sudoMissing says that nobody is there whom an administrator wants to act
// as. Error leaves out what was asked for, because a client can write anything
// into it.
type sudoMissing struct{ target string }

func (*sudoMissing) Error() string { return "sudo to nobody" }

// reply repeats what was asked for only while it is too short to be a bearer
// that was put in the wrong place.
func (s *sudoMissing) reply(*call) *reply {
	if len(s.target) >= secret.MinLength {
		return userNotFound
	}
	return message(http.StatusNotFound, fmt.Sprintf("404 User with ID or username '%s' Not Found", s.target))
}

// actAs returns the caller that a call runs as, and notes what came of the wish
// to act as somebody else.
func (c *call) actAs(verified principal.Principal) (principal.Principal, error) {
	caller, err := c.sudo(verified)
	c.known = caller
	c.noteSudo(verified, caller, err)
	return caller, err
}

// sudo returns the caller that a request runs as: the account that it names,
// where an administrator presents a token with the scope sudo, or else the
// caller itself. It never falls back to the administrator's own rights: that
// would do something that was not asked for.
//
// An account that may not use the API is refused with its own state, as if it
// had called itself; GitLab does not document what it does then.
func (c *call) sudo(caller principal.Principal) (principal.Principal, error) {
	target, wanted, err := c.sudoTarget()
	switch {
	case !wanted && err == nil:
		return caller, nil
	case !caller.Account.Admin:
		return caller, errSudoNotAdmin
	case !caller.Token.Scopes.Has(scope.Sudo):
		return caller, &insufficientScope{listed: scope.Set{scope.Sudo}}
	case err != nil:
		return caller, err
	}
	var acct account.Account
	if strings.Trim(target, "0123456789") == "" {
		var id account.ID
		if id, err = account.ParseID(target); err == nil {
			acct, err = c.api.Accounts.Account(c.ctx, id)
		}
	} else {
		acct, err = c.api.Accounts.AccountByName(c.ctx, target)
	}
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return caller, &sudoMissing{target}
	case err != nil:
		return caller, fmt.Errorf("sudo: %w", err)
	}
	return caller.As(acct), acct.Usable()
}

// sudoTarget returns whom a request wants to act as, and whether it wants to
// act as anybody. The parameter comes before the header; one that is empty
// counts as absent.
func (c *call) sudoTarget() (target string, wanted bool, err error) {
	b := binder{params: c.params}
	target, _ = b.scalar("sudo")
	if len(target) > maxSudoTarget {
		b.reject("sudo", "is invalid")
	}
	if target != "" || b.fault() != nil {
		return target, true, b.fault()
	}
	values := c.r.Header.Values("Sudo")
	if strings.TrimSpace(strings.Join(values, "")) == "" {
		return "", false, nil
	}
	target, err = onlyHeader(c.r.Header, "Sudo")
	if err == nil && (!printable(target) || len(target) > maxSudoTarget) {
		err = paramError("header SUDO is invalid")
	}
	return target, true, err
}
