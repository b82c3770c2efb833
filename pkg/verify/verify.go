// Package verify turns a bearer into a principal, or refuses it. It is the
// only code that decides whether a bearer is good; the authorizer, the
// management API and everything else ask it.
//
// Start with New and Verifier.Verify. The package promises: a value that
// cannot be a bearer costs no I/O; a bearer with an owner hint costs one round
// trip; what cannot be decided is an error and never a principal; nothing is
// cached, so that a revocation that has been answered holds everywhere. It
// does not judge scopes: what a good bearer may do is the caller's to ask.
package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Store reads what a decision needs, strongly consistent.
type Store interface {
	// Check returns the record of digest and the profile of its owner. hint
	// is the owner to read at the same time, or 0. A missing record is
	// token.ErrNotFound; a record whose owner was deleted comes back beside it.
	// It may be called again safely.
	Check(ctx context.Context, digest secret.Digest, hint token.OwnerID) (token.Token, principal.User, error)
	// MarkUsed sets the record's last use to at, unless it is already later
	// than before; then it changes nothing and returns nil.
	MarkUsed(ctx context.Context, digest secret.Digest, at, before time.Time) error
}

// markTimeout bounds the write of a last use. It is bookkeeping, and must
// never cost a request more than this.
const markTimeout = 500 * time.Millisecond

// A Verifier decides whether bearers are good. It is safe for concurrent use.
type Verifier struct {
	Store  Store
	Pepper secret.Pepper
	Format secret.Format
	Clock  clock.Clock
	// LastUsedInterval is how long a recorded last use stands before a
	// further use is recorded; at least a second.
	LastUsedInterval time.Duration
	// Unmarked is told when a last use could not be recorded. It may be nil.
	Unmarked func(context.Context, token.ID, error)
}

// A Refusal is the error for a bearer that matched a record and is not good
// all the same. It tells which token it was; only code that knows why it may
// tell should unwrap it.
type Refusal struct {
	Token token.Token
	User  principal.User
	Err   error // token.ErrExpired, token.ErrRevoked or a child of principal.ErrInactive
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("token %s: %v", r.Token.ID, r.Err) }

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Err }

// Verify decides whether value is a good bearer at this instant.
//
// Errors: token.ErrMissing for an empty value; token.ErrUnknown for one that
// is no bearer or belongs to no record; a *Refusal around token.ErrExpired or
// token.ErrRevoked (expired where both are true) or around a child of
// principal.ErrInactive; token.ErrUnavailable or token.ErrCorrupt when it
// could not be decided. A use is recorded for every token that is neither
// expired nor revoked, at most once in LastUsedInterval, and a failure to
// record it changes nothing.
func (v *Verifier) Verify(ctx context.Context, value string) (principal.Principal, error) {
	if value == "" {
		return principal.Principal{}, token.ErrMissing
	}
	bearer, err := v.Format.Parse(value)
	if err != nil {
		return principal.Principal{}, fmt.Errorf("%w: %w", token.ErrUnknown, err)
	}
	hint, _ := bearer.OwnerHint()
	digest := v.Pepper.Digest(bearer)

	t, user, err := v.Store.Check(ctx, digest, token.OwnerID(hint))
	switch {
	case errors.Is(err, token.ErrNotFound) && t.ID != 0 && t.Digest == digest:
		// Whoever is deleted takes their tokens along.
		user = principal.User{ID: t.Owner, NextNumber: token.MaxNumber + 1, TokensValidFrom: token.MaxNumber + 1}
	case errors.Is(err, token.ErrNotFound):
		return principal.Principal{}, token.ErrUnknown
	case err != nil:
		return principal.Principal{}, fmt.Errorf("check bearer: %w", err)
	}
	if t.Digest != digest || t.Owner != user.ID {
		return principal.Principal{}, fmt.Errorf("check bearer: %w: record of another bearer or owner", token.ErrCorrupt)
	}

	now := v.Clock.Now()
	switch t.StateAt(now, user.TokensValidFrom) {
	case token.Active:
	case token.Expired:
		return principal.Principal{}, &Refusal{t, user, token.ErrExpired}
	default:
		return principal.Principal{}, &Refusal{t, user, token.ErrRevoked}
	}
	v.markUsed(ctx, t, now)
	if err := user.Usable(); err != nil {
		return principal.Principal{}, &Refusal{t, user, err}
	}
	return principal.Principal{User: user, Token: t}, nil
}

func (v *Verifier) markUsed(ctx context.Context, t token.Token, now time.Time) {
	before := now.Add(-v.LastUsedInterval)
	if !t.LastUsedAt.IsZero() && t.LastUsedAt.After(before) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	if err := v.Store.MarkUsed(ctx, t.Digest, now, before); err != nil && v.Unmarked != nil {
		v.Unmarked(ctx, t.ID, err)
	}
}
