package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Rotation describes the successor to make.
type Rotation struct {
	// ExpiresOn is the day from which it is expired. The default is a week, or never if expiry is
	// optional.
	ExpiresOn clock.Day
	// UsualLife lets the settings decide about the default of ExpiresOn.
	UsualLife bool
	// Overlap is how long the old token works together with its successor, in whole seconds up to
	// token.MaxOverlap; 0 revokes it at once.
	Overlap time.Duration
	// UsualOverlap takes the overlap of the settings instead.
	UsualOverlap bool
	// UntilUsed lets the old token work until the first successful check of its successor, at most
	// for token.MaxOverlap, instead.
	UntilUsed bool
	Key       Key
}

// ErrAlreadyRevoked means that the token to rotate has been revoked.
var ErrAlreadyRevoked = fmt.Errorf("%w: token already revoked", fault.ErrInput)

// ErrAlreadyRotated means that the presented token already has a successor, and works in its
// overlap or lost to another rotation a moment ago. It revokes nothing, because another process of
// the same client may have rotated first, or the client may not have received the new token yet.
var ErrAlreadyRotated = fmt.Errorf("%w: token already rotated", fault.ErrConflict)

// ErrWider means that the token to rotate has a scope or a network that the presented token lacks.
var ErrWider = fmt.Errorf("%w: token wider than the caller's", fault.ErrForbidden)

// ErrShortLived means that a token with a short life was to be rotated: a minute would become a week.
var ErrShortLived = fmt.Errorf("%w: rotation of a token with a short life", fault.ErrInput)

// ErrOutlives means that a token with a short life was used to request one that ends after it.
var ErrOutlives = fmt.Errorf("%w: token outlives the caller's", fault.ErrInput)

// withinLife returns ErrOutlives if the presented token has a short life and t, for its own account,
// a project or a group, ends after it. A day does not end t while p ignores expiry.
func withinLife(by principal.Principal, t token.Token, p settings.Settings) error {
	if by.Token.Life == 0 || t.Owner != by.Account.ID && t.Owner != by.Token.Owner && !t.Kind.OfProject() {
		return nil
	}
	if at := t.EndsUnder(p); at.IsZero() || at.After(by.Token.ExpiresAt()) {
		return ErrOutlives
	}
	return nil
}

// Rotate revokes the token with this id, at once or after an overlap, and issues its successor with
// the same owner, kind, name, description, networks, project and level, and those of its scopes that
// its owner may hold now. An expired token can be rotated; a revoked one and one with a successor
// cannot. Errors: fault.ErrNotFound for a token that does not exist or is hidden from the caller,
// ErrAlreadyRevoked, ErrUnfit for an invalid day or a token none of whose scopes count, ErrWider, a
// child of account.ErrInactive for an inactive owner, ErrImpersonated, ErrImpersonationOff. For the
// presented token they are those of RotateSelf.
func (i *Issuer) Rotate(ctx context.Context, by principal.Principal, id token.ID, r Rotation) (Issued, error) {
	return i.once(ctx, by.Token, r.Key, func() (Issued, error) {
		old, err := i.parts.Reader.Token(ctx, id)
		if err != nil {
			return Issued{}, err
		}
		if !by.MayManage(old) {
			return Issued{}, fault.ErrNotFound
		}
		owner := by.Account
		if old.Owner != by.Account.ID {
			if owner, err = ownerOf(ctx, i.parts.Reader, old); err != nil {
				return Issued{}, err
			}
		}
		return i.rotateByID(ctx, by, owner, old, r)
	})
}

// rotateByID reports another token than the presented one as revoked if it has a successor. Its
// caller needs to know only that the token can no longer be rotated.
func (i *Issuer) rotateByID(ctx context.Context, by principal.Principal, owner account.Account, old token.Token, r Rotation) (Issued, error) {
	issued, err := i.rotate(ctx, by, owner, old, r)
	if errors.Is(err, ErrAlreadyRotated) && old.ID != by.Token.ID {
		err = ErrAlreadyRevoked
	}
	return issued, err
}

// RotateSelf revokes the presented token and issues its successor, for the same owner also under
// sudo. Errors are those of Rotate, and ErrAlreadyRotated.
func (i *Issuer) RotateSelf(ctx context.Context, by principal.Principal, r Rotation) (Issued, error) {
	return i.once(ctx, by.Token, r.Key, func() (Issued, error) { return i.rotate(ctx, by, by.Holder(), by.Token, r) })
}

// CheckWindow returns ErrAlreadyRotated for a revoked token that was rotated so recently that
// presenting it for rotation is not reuse.
func (i *Issuer) CheckWindow(ctx context.Context, presented token.Token) error {
	rules, err := i.rules(ctx)
	if err != nil {
		return err
	}
	if presented.RotatedWithin(rules.RotationWindow, i.parts.Clock.Now()) {
		return ErrAlreadyRotated
	}
	return nil
}

func (i *Issuer) rotate(ctx context.Context, by principal.Principal, owner account.Account, old token.Token, r Rotation) (Issued, error) {
	if !mayMake(by, old.Kind, old.Owner) {
		return Issued{}, ErrImpersonated
	}
	// A successor has the scopes that count, and nothing that the presented token lacks. Other
	// people's tokens are not bound: an administrator can make any token for them anyway.
	scopes := old.EffectiveScopes(i.parts.Scopes, owner)
	if (old.Owner == by.Token.Owner || old.Kind.OfProject()) && i.within(by, scopes, old.Networks) != nil {
		return Issued{}, ErrWider
	}
	rules, err := i.rules(ctx)
	if err != nil {
		return Issued{}, err
	}
	now := i.parts.Clock.Now()
	switch {
	case old.RotatedAway():
		return Issued{}, ErrAlreadyRotated
	case old.RevokedUnder(now, owner.TokensValidFrom, rules.Settings):
		return Issued{}, ErrAlreadyRevoked
	case old.Life > 0:
		return Issued{}, ErrShortLived
	}
	if old.Kind == token.Impersonation && rules.ImpersonationOff {
		return Issued{}, ErrImpersonationOff
	}
	if r.ExpiresOn.IsZero() {
		r.ExpiresOn = rules.rotatedUntil(old, r.UsualLife)
	}
	if r.UsualOverlap {
		r.Overlap = rules.RotationOverlap
	}
	var broken fault.Breaches
	if len(scopes) == 0 {
		broken.Add("scopes", fault.NotInList, nil)
	}
	if i.checkExpiry(&broken, r.ExpiresOn, rules.latest); len(broken) > 0 {
		return Issued{}, unfit(broken)
	}
	if err := owner.Usable(); err != nil {
		return Issued{}, err
	}
	issued, err := i.minted(by.Token, r.Key, i.prefixOf(old.Kind, rules), func(mint mint) (Issued, error) {
		bearer, use, err := mint(owner.ID)
		if err != nil {
			return Issued{}, err
		}
		next := token.Token{
			Kind: old.Kind, Owner: old.Owner,
			Name: old.Name, Description: old.Description, Scopes: scopes,
			CreatedAt: now, CreatedBy: by.Asker(),
			ExpiresOn: r.ExpiresOn,
			Family:    old.Family, Previous: old.ID,
			Parent: old.Parent, ParentKind: old.ParentKind, Depth: old.Depth, Maker: makerOf(by),
			Project: old.Project, Level: old.Level, Networks: old.Networks,
		}
		i.seal(&next, bearer)
		if err := withinLife(by, next, rules.Settings); err != nil {
			return Issued{}, err
		}
		switch {
		case r.UntilUsed:
			old.WorksUntil, old.UntilUsed = now.Add(token.MaxOverlap), true
			next.EndsOnUse = old.Digest
		case r.Overlap > 0:
			old.WorksUntil = now.Add(r.Overlap)
		}
		rotated := eventBy(by, now, next, audit.Rotated)
		rotated.Previous = old.ID
		next, err = i.parts.Store.RotateToken(ctx, owner, old, next, use, rotated)
		return i.issued(next, owner, bearer), err
	})
	if errors.Is(err, token.ErrSuperseded) {
		return Issued{}, ErrAlreadyRotated
	}
	if errors.Is(err, token.ErrMakerEnded) {
		return Issued{}, err
	}
	// A token whose bot was deleted meanwhile was revoked with it.
	if errors.Is(err, token.ErrRevoked) || old.Kind.OfProject() && errors.Is(err, fault.ErrNotFound) {
		return Issued{}, ErrAlreadyRevoked
	}
	return issued, err
}

// rotatedUntil returns the default expiry day of old's successor. With usual, the settings may give
// it as many days as old was made for.
func (r rules) rotatedUntil(old token.Token, usual bool) clock.Day {
	until := r.today.AddDays(rotationDays)
	switch {
	case usual && r.RotationKeepsLife && old.ExpiresOn.IsZero():
		return r.latest
	case usual && r.RotationKeepsLife:
		until = r.today.AddDays(clock.DayOf(old.CreatedAt).DaysUntil(old.ExpiresOn))
	case r.latest.IsZero():
		return clock.Day{}
	}
	if until.After(r.latest) {
		return r.latest
	}
	return until
}
