// Package principal describes the caller of a request: the account, the token that authenticated
// it, and the request's origin.
//
// Start with Principal. A caller's Principal comes from package verify, for a verified bearer, from
// Visitor, for a person who is signed in, or from Console, for an operator's invocation. FindAccess returns a principal's access to a project.
// The package itself verifies nothing.
package principal

import (
	"net/netip"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/scope"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Principal is the authenticated caller of one request.
type Principal struct {
	// Account is the account whose rights the request has.
	Account account.Account
	// Token is the presented token. Under sudo it does not belong to Account. It is zero without one;
	// see Request.
	Token token.Token
	// Scopes are the effective scopes of Token. They alone decide what the token opens.
	Scopes scope.Set
	// Settings are the administrators' settings as the check knew them.
	Settings settings.Settings
	// By is the administrator who acts as Account by sudo and owns Token, or nil.
	By *account.Account
	// Request is the request that the principal makes.
	Request Request
}

// A Request describes the principal's request, for the audit trail and for decisions that depend on
// the client's address.
type Request struct {
	// ID identifies the request in log lines and replies.
	ID string
	// Address is the client's address as the gateway reports it, or the zero Addr.
	Address netip.Addr
	// Console says that an operator with credentials of the AWS account invoked
	// the function. Account and Token are then zero.
	Console bool
	// Session says that a person is signed in to the page. Token is then zero, and limits nothing:
	// the person has all rights of Account.
	Session bool
}

// Console returns the principal of an operator's direct invocation.
func Console(requestID string) Principal {
	return Principal{Request: Request{ID: requestID, Console: true}}
}

// Visitor returns the principal of a request by somebody who is signed in to the page.
func Visitor(acct account.Account, set settings.Settings, request Request) Principal {
	request.Session = true
	return Principal{Account: acct, Settings: set, Request: request}
}

// Holder returns the account that owns the presented token: the administrator under sudo, otherwise
// Account. Operations on the token itself concern its holder.
func (p Principal) Holder() account.Account {
	if p.By != nil {
		return *p.By
	}
	return p.Account
}

// Asker returns the account that really asks: the administrator under sudo, the author of an
// impersonation token (0 for the console), otherwise Account.
func (p Principal) Asker() account.ID {
	if p.Token.Kind == token.Impersonation {
		return p.Token.CreatedBy
	}
	return p.Holder().ID
}

// WorksUntil returns when the presented token stops working if nobody revokes it: at the end of its
// overlap, or of its life while expiry counts. It is the zero time for a token that does not end.
func (p Principal) WorksUntil() time.Time {
	end, expiry := p.Token.WorksUntil, p.Token.EndsUnder(p.Settings)
	if end.IsZero() || !expiry.IsZero() && expiry.Before(end) {
		return expiry
	}
	return end
}

// As returns p acting as target by sudo. For the principal's own account it changes nothing.
func (p Principal) As(target account.Account) Principal {
	holder := p.Holder()
	if target.ID == holder.ID {
		p.Account, p.By = holder, nil
		return p
	}
	p.Account, p.By = target, &holder
	return p
}

// MayManage reports whether the principal may see and revoke t. Administrators may; others may for
// their own tokens except impersonation tokens.
func (p Principal) MayManage(t token.Token) bool {
	return p.Account.Admin || t.Owner == p.Account.ID && t.Kind != token.Impersonation
}
