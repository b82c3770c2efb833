package gitlabapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// maxSudoTarget is the longest id or username that is looked up, in bytes.
const maxSudoTarget = 255

var errSudoNotAdmin = fmt.Errorf("%w: sudo without being an administrator", fault.ErrForbidden)

// A sudoMissing means that the account to act as does not exist. Error leaves out the target,
// because clients can write anything into it.
type sudoMissing struct{ target string }

func (*sudoMissing) Error() string { return "sudo to nobody" }

// reply repeats the target only while it is too short to be a misplaced bearer.
func (s *sudoMissing) reply(*call) *reply {
	if len(s.target) >= secret.MinLength {
		return userNotFound
	}
	return message(http.StatusNotFound, fmt.Sprintf("404 User with ID or username '%s' Not Found", s.target))
}

// actAs applies sudo and records its use or its refusal.
func (c *call) actAs(verified principal.Principal) (principal.Principal, error) {
	caller, err := c.sudo(verified)
	c.known = caller
	c.noteSudo(verified, caller, err)
	return caller, err
}

// sudo returns caller acting as the account that the request names, or caller itself if it names
// none. Only an administrator with the scope sudo may name one. A failure never falls back to the
// administrator's own rights, because that would do something other than requested.
//
// A target that may not use the API is refused with its own state, as if it had called itself.
// GitLab does not document this case.
func (c *call) sudo(caller principal.Principal) (principal.Principal, error) {
	target, wanted, err := c.sudoTarget()
	switch {
	case !wanted && err == nil:
		return caller, nil
	case !caller.Account.Admin:
		return caller, errSudoNotAdmin
	case !caller.Scopes.Has(scope.Sudo):
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

// sudoTarget returns the account that a request names by the parameter or the header, and whether it
// names one. Empty and null name nobody who exists: scripts send them when a variable is unset.
func (c *call) sudoTarget() (target string, wanted bool, err error) {
	named, headed := c.params.given("sudo"), len(c.r.Header.Values("Sudo")) > 0
	b := binder{params: c.params}
	target = b.text("sudo")
	if len(target) > maxSudoTarget {
		b.reject("sudo", "is invalid")
	}
	if err := b.fault(); err != nil || !headed {
		return target, named, err
	}
	header, err := apigateway.OnlyHeader(c.r.Header, "Sudo")
	switch {
	case err != nil:
		return "", true, err
	case !printable(header) || len(header) > maxSudoTarget:
		return "", true, paramError("header SUDO is invalid")
	case named && header != target:
		return "", true, paramError("sudo and the header SUDO name different users")
	}
	return header, true, nil
}
