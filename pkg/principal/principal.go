// Package principal says who is calling and by what right: the account, the
// token that authenticated it, and the states an account can be in.
//
// A Principal is only ever made by a verified bearer, or for an operator's
// invocation by Console; the package itself verifies nothing.
package principal

import (
	"net/netip"

	"latchkey/pkg/account"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Principal is the authenticated caller of one request.
type Principal struct {
	// Account is the account whose rights the request has.
	Account account.Account
	// Token is what was presented. Under sudo it is not Account's.
	Token token.Token
	// Settings are what administrators have set for every token, as the check
	// knew them.
	Settings settings.Settings
	// By is the administrator who acts as Account by sudo and owns Token; nil
	// without sudo.
	By *account.Account
	// Request is the request that the principal makes.
	Request Request
}

// A Request is what is known of the request that a principal makes, for the audit
// trail and for decisions that depend on where a client is.
type Request struct {
	// ID is what log lines and replies name the request by.
	ID string
	// Address is the client's as the gateway reports it, the zero Addr where it
	// is not known.
	Address netip.Addr
	// Console says that an operator with credentials of the AWS account invoked
	// the function. Account and Token are then zero.
	Console bool
}

// Console returns the principal of an operator's direct invocation.
func Console(requestID string) Principal {
	return Principal{Request: Request{ID: requestID, Console: true}}
}

// Holder returns the account that owns the presented token: the administrator
// under sudo, otherwise Account. What is about the token itself is about its
// holder.
func (p Principal) Holder() account.Account {
	if p.By != nil {
		return *p.By
	}
	return p.Account
}

// Asker returns who really asks, whoever's rights the request has: the
// administrator under sudo, and with an impersonation token the administrator
// who made it, or 0 where that was the console.
func (p Principal) Asker() account.ID {
	if p.Token.Kind == token.Impersonation {
		return p.Token.CreatedBy
	}
	return p.Holder().ID
}

// As returns p acting as target by sudo. Acting as oneself changes nothing.
func (p Principal) As(target account.Account) Principal {
	holder := p.Holder()
	if target.ID == holder.ID {
		p.Account, p.By = holder, nil
		return p
	}
	p.Account, p.By = target, &holder
	return p
}

// MayManage reports whether the principal may see and end t: it is the
// principal's own and not an impersonation token, or the principal is an
// administrator.
func (p Principal) MayManage(t token.Token) bool {
	return p.Account.Admin || t.Owner == p.Account.ID && t.Kind != token.Impersonation
}
