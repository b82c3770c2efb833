package lifecycle

import (
	"context"
	"errors"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// A Rotation says what successor is wanted.
type Rotation struct {
	// ExpiresOn is the day from which it is dead; no day asks for a week, or
	// for none where tokens need no end.
	ExpiresOn token.Day
	Key       Key
}

// ErrAlreadyRevoked means that the token to rotate has ended.
var ErrAlreadyRevoked = &Fault{Reasons: []string{"Token already revoked"}}

// Rotate ends the token with this id and issues its successor: same owner,
// kind, name, description, scopes, resource and level. An expired token can be rotated, a revoked one
// cannot. Errors: token.ErrNotFound for a token that is not there or not the
// caller's, ErrAlreadyRevoked, *Fault for a day that cannot be, a child of
// principal.ErrInactive for an owner who may not use tokens, ErrImpersonated.
func (i *Issuer) Rotate(ctx context.Context, by principal.Principal, id token.ID, r Rotation) (Issued, error) {
	if issued, err := i.Replay(ctx, by.Token, r.Key); !errors.Is(err, token.ErrNotFound) {
		return issued, err
	}
	old, err := i.Reader.Token(ctx, id)
	if err != nil {
		return Issued{}, err
	}
	if !by.MayManage(old) {
		return Issued{}, token.ErrNotFound
	}
	owner := by.User
	if old.Owner != by.User.ID {
		if owner, err = ownerOf(ctx, i.Reader, old); err != nil {
			return Issued{}, err
		}
	}
	return i.rotate(ctx, by, owner, old, r)
}

// RotateSelf ends the token that was presented and issues its successor, for
// the same owner also under sudo. Errors are those of Rotate.
func (i *Issuer) RotateSelf(ctx context.Context, by principal.Principal, r Rotation) (Issued, error) {
	return i.rotate(ctx, by, by.Holder(), by.Token, r)
}

func (i *Issuer) rotate(ctx context.Context, by principal.Principal, owner principal.User, old token.Token, r Rotation) (Issued, error) {
	if !mayMake(by, old.Kind, old.Owner) {
		return Issued{}, ErrImpersonated
	}
	if old.RevokedIn(owner.TokensValidFrom) {
		return Issued{}, ErrAlreadyRevoked
	}
	rules, err := i.rules(ctx)
	if err != nil {
		return Issued{}, err
	}
	if r.ExpiresOn.IsZero() {
		r.ExpiresOn = rules.rotatedUntil()
	}
	if reason := i.expiryFault(r.ExpiresOn, rules.latest); reason != "" {
		return Issued{}, &Fault{Reasons: []string{expirySubject + " " + reason}}
	}
	if err := owner.Usable(); err != nil {
		return Issued{}, err
	}
	issued, err := i.once(ctx, by.Token, r.Key, i.prefixOf(old.Kind, rules), func(mint mint) (Issued, error) {
		bearer, use, err := mint(owner.ID)
		if err != nil {
			return Issued{}, err
		}
		next := token.Token{
			Kind: old.Kind, Owner: old.Owner,
			Name: old.Name, Description: old.Description, Scopes: old.Scopes,
			CreatedAt: i.Clock.Now(), CreatedBy: by.Asker(),
			ExpiresOn: r.ExpiresOn,
			Family:    old.Family, Previous: old.ID,
			Resource: old.Resource, Level: old.Level,
			Digest: i.Pepper.Digest(bearer),
		}
		event := eventBy(by, next, audit.Rotated)
		event.Previous = old.ID
		next, err = i.Store.RotateToken(audit.Expect(ctx, next.CreatedAt, event), owner, old, next, use)
		return Issued{Token: next, Bearer: bearer}, err
	})
	// A token whose bot has gone meanwhile has ended with it.
	if errors.Is(err, token.ErrRevoked) || old.Kind.OfResource() && errors.Is(err, token.ErrNotFound) {
		return Issued{}, ErrAlreadyRevoked
	}
	return issued, err
}

// rotatedUntil is the day on which a successor ends whose end nobody chose.
func (r rules) rotatedUntil() token.Day {
	week := r.today.AddDays(rotationDays)
	switch {
	case r.latest.IsZero():
		return token.Day{}
	case week.After(r.latest):
		return r.latest
	default:
		return week
	}
}
