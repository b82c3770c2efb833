package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

var (
	// ErrNoImpersonation means that an existing owner has no impersonation token with this id.
	// Ordinary tokens do not count.
	ErrNoImpersonation = fmt.Errorf("%w: impersonation token", fault.ErrNotFound)
	// ErrChanged means that a token has changed since the caller's instant.
	ErrChanged = fmt.Errorf("%w: changed since", fault.ErrConflict)
)

// GetImpersonation returns owner's impersonation token with this id. Only administrators may.
// Errors: fault.ErrForbidden, fault.ErrNotFound for a missing owner, its child ErrNoImpersonation
// for a missing token.
func (l *Lister) GetImpersonation(ctx context.Context, by principal.Principal, owner account.ID, id token.ID) (View, error) {
	t, acct, err := findImpersonation(ctx, l.parts.Reader, by, owner, id)
	if err != nil {
		return View{}, err
	}
	return l.viewOf(t, l.parts.Clock.Now(), acct, by), nil
}

// RevokeImpersonation revokes owner's impersonation token with this id. If the token has changed
// since unchangedSince, it returns ErrChanged; the zero time sets no condition. Other errors are
// those of Lister.GetImpersonation, and token.ErrSuperseded as for Revoke.
func (r *Revoker) RevokeImpersonation(ctx context.Context, by principal.Principal, owner account.ID, id token.ID, unchangedSince time.Time, reach Reach) (Revocation, error) {
	t, _, err := findImpersonation(ctx, r.parts.Reader, by, owner, id)
	if err != nil {
		return Revocation{}, err
	}
	if !unchangedSince.IsZero() && (t.CreatedAt.After(unchangedSince) || t.RevokedAt.After(unchangedSince)) {
		return Revocation{}, ErrChanged
	}
	return r.end(ctx, by, sourceOf(by, t), t, reach)
}

func findImpersonation(ctx context.Context, reader TokenReader, by principal.Principal, owner account.ID, id token.ID) (token.Token, account.Account, error) {
	if !by.Account.Admin {
		return token.Token{}, account.Account{}, fault.ErrForbidden
	}
	acct, err := reader.Account(ctx, owner)
	if err != nil {
		return token.Token{}, account.Account{}, err
	}
	if id.Owner() != owner {
		return token.Token{}, account.Account{}, ErrNoImpersonation
	}
	t, err := reader.Token(ctx, id)
	switch {
	case errors.Is(err, fault.ErrNotFound), err == nil && t.Kind != token.Impersonation:
		return token.Token{}, account.Account{}, ErrNoImpersonation
	case err != nil:
		return token.Token{}, account.Account{}, err
	}
	return t, acct, nil
}
