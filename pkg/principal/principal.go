// Package principal says who is calling and by what right: the account, the
// token that authenticated it, and the states an account can be in.
//
// Start with From in a handler. A Principal is only ever made by a verified
// bearer; the package itself verifies nothing.
package principal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/token"
)

// A State is what an account may do.
type State string

// The states of an account.
const (
	Active      State = "active"
	Blocked     State = "blocked"
	Deactivated State = "deactivated"
)

var (
	// ErrInactive means that a good bearer belongs to an account that may
	// not use the API.
	ErrInactive = errors.New("account inactive")
	// ErrBlocked means that an administrator blocked the account.
	ErrBlocked = fmt.Errorf("%w: blocked", ErrInactive)
	// ErrDeactivated means that the account is dormant.
	ErrDeactivated = fmt.Errorf("%w: deactivated", ErrInactive)
)

// A User is an account: the profile of a person or a bot.
type User struct {
	ID        token.OwnerID
	Username  string
	Name      string
	Email     string // never logged
	State     State
	Admin     bool
	Bot       bool
	External  bool
	Note      string // for administrators only
	CreatedAt time.Time
	// CreatedBy is the administrator who made the account, 0 for the console.
	CreatedBy token.OwnerID
	// NextNumber is the number that the account's next token gets.
	NextNumber int64
	// TokensValidFrom is the first token number that has not been revoked in
	// bulk. A number and not an instant: it is exact however many tokens are
	// made within the second of the revocation.
	TokensValidFrom int64
}

// Usable returns nil when the account may use the API, otherwise a child of
// ErrInactive. A state it does not know is not usable.
func (u User) Usable() error {
	switch u.State {
	case Active:
		return nil
	case Blocked:
		return ErrBlocked
	case Deactivated:
		return ErrDeactivated
	default:
		return ErrInactive
	}
}

// A Principal is the authenticated caller of one request.
type Principal struct {
	// User is the account whose rights the request has.
	User User
	// Token is what was presented. Under sudo it is not User's.
	Token token.Token
	// Policy is what administrators have set for every token, as the check
	// knew it.
	Policy token.Policy
	// By is the administrator who acts as User by sudo and owns Token; nil
	// without sudo.
	By *User
}

// Holder returns the account that owns the presented token: the administrator
// under sudo, otherwise User. What is about the token itself is about its
// holder.
func (p Principal) Holder() User {
	if p.By != nil {
		return *p.By
	}
	return p.User
}

// Asker returns who really asks, whoever's rights the request has: the
// administrator under sudo, and with an impersonation token the administrator
// who made it, or 0 where that was the console.
func (p Principal) Asker() token.OwnerID {
	if p.Token.Kind == token.Impersonation {
		return p.Token.CreatedBy
	}
	return p.Holder().ID
}

// As returns p acting as target by sudo. Acting as oneself changes nothing.
func (p Principal) As(target User) Principal {
	holder := p.Holder()
	if target.ID == holder.ID {
		return Principal{User: holder, Token: p.Token, Policy: p.Policy}
	}
	return Principal{User: target, Token: p.Token, Policy: p.Policy, By: &holder}
}

// MayManage reports whether the principal may see and end t: it is the
// principal's own and not an impersonation token, or the principal is an
// administrator.
func (p Principal) MayManage(t token.Token) bool {
	return p.User.Admin || t.Owner == p.User.ID && t.Kind != token.Impersonation
}

type contextKey struct{}

// With returns a context that carries p.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From returns the principal of the request. It panics when there is none:
// a handler that asks for one must not be reachable without.
func From(ctx context.Context) Principal {
	p, ok := ctx.Value(contextKey{}).(Principal)
	if !ok {
		panic("principal: no verified caller in this context")
	}
	return p
}
