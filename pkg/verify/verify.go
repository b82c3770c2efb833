// Package verify turns a bearer into a principal, or refuses it. It is the
// only code that decides whether a bearer is good; the authorizer, the
// management API and everything else ask it.
//
// Start with New and Verifier.Verify. The package promises: a value that
// cannot be a bearer costs no I/O; a bearer with an owner hint costs one round
// trip; what cannot be decided is an error and never a principal; nothing about
// tokens and accounts is kept, so that a revocation that has been answered holds
// everywhere. What administrators have set for all tokens is kept for PolicyAge,
// and read again in the request of the check that finds it too old. The package
// does not judge scopes: what a good bearer may do is the caller's to ask.
package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Store reads what a decision needs, strongly consistent.
type Store interface {
	// Check returns the record of digest and the profile of its owner. hint
	// is the owner to read at the same time, or 0. Unless it is nil, policy is
	// set to what administrators have set, read in the same request, also when
	// there is no record. A missing record is token.ErrNotFound; a record whose
	// owner was deleted comes back beside it. It may be called again safely.
	Check(ctx context.Context, digest secret.Digest, hint token.OwnerID, policy *token.Policy) (token.Token, principal.User, error)
	// MarkUsed sets the record's last use to at, unless it is already later
	// than before; then it changes nothing and returns nil.
	MarkUsed(ctx context.Context, digest secret.Digest, at, before time.Time) error
}

// markTimeout bounds the write of a last use. It is bookkeeping, and must
// never cost a request more than this.
const markTimeout = 500 * time.Millisecond

// PolicyAge is how long a check goes by the settings that an earlier one read,
// and so how long a change of them may take to hold everywhere. Revoking,
// blocking and revoking everything do not depend on settings: they hold at once.
const PolicyAge = 10 * time.Second

// A Verifier decides whether bearers are good. It is safe for concurrent use.
type Verifier struct {
	Store  Store
	Pepper secret.Pepper
	Format secret.Format
	Clock  clock.Clock
	// Unmarked is told when a last use could not be recorded. It may be nil.
	Unmarked func(context.Context, token.ID, error)
	// Kept is what earlier checks read of the settings. Without it, every check
	// reads them.
	Kept *Kept
}

// Kept is what administrators have set for all tokens, as a check read it last.
// The zero Kept holds nothing yet. It is safe for concurrent use.
type Kept struct {
	mu     sync.Mutex
	policy token.Policy
	readAt time.Time // zero for never
}

// get returns the policy, and whether it is too old to go by. A clock that went
// backwards makes it too old.
func (k *Kept) get(now time.Time) (p token.Policy, old bool) {
	if k == nil {
		return token.Policy{}, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.readAt)
	return k.policy, k.readAt.IsZero() || age < 0 || age >= PolicyAge
}

func (k *Kept) set(p token.Policy, now time.Time) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.policy, k.readAt = p, now
}

// A Refusal is the error for a bearer that matched a record and is not good
// all the same. It tells which token it was; only code that knows why it may
// tell should unwrap it.
type Refusal struct {
	Token token.Token
	User  principal.User
	Err   error // token.ErrExpired, token.ErrRevoked, token.ErrImpersonation or a child of principal.ErrInactive
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("token %s: %v", r.Token.ID, r.Err) }

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Err }

// Verify decides whether value is a good bearer at this instant.
//
// Errors: token.ErrMissing for an empty value; token.ErrUnknown for one that
// is no bearer or belongs to no record; a *Refusal around token.ErrExpired or
// token.ErrRevoked (expired where both are true), around token.ErrImpersonation
// while impersonation is switched off, or around a child of
// principal.ErrInactive; token.ErrUnavailable or token.ErrCorrupt when it
// could not be decided. A use is recorded for every token that is neither
// expired nor revoked, at most once in the interval that is set, and a failure to
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

	now := v.Clock.Now()
	policy, old := v.Kept.get(now)
	var fresh *token.Policy
	if old {
		fresh = new(token.Policy)
	}
	t, user, err := v.Store.Check(ctx, digest, token.OwnerID(hint), fresh)
	if fresh != nil && (err == nil || errors.Is(err, token.ErrNotFound)) {
		policy = *fresh
		v.Kept.set(policy, now)
	}
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

	switch t.StateAt(now, user.TokensValidFrom, policy) {
	case token.Active:
	case token.Expired:
		return principal.Principal{}, &Refusal{t, user, token.ErrExpired}
	default:
		return principal.Principal{}, &Refusal{t, user, token.ErrRevoked}
	}
	if policy.ImpersonationOff && t.Kind == token.Impersonation {
		return principal.Principal{}, &Refusal{t, user, token.ErrImpersonation}
	}
	v.markUsed(ctx, t, now, policy.LastUsedInterval)
	if err := user.Usable(); err != nil {
		return principal.Principal{}, &Refusal{t, user, err}
	}
	return principal.Principal{User: user, Token: t, Policy: policy}, nil
}

func (v *Verifier) markUsed(ctx context.Context, t token.Token, now time.Time, interval time.Duration) {
	before := now.Add(-interval)
	if !t.LastUsedAt.IsZero() && t.LastUsedAt.After(before) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	if err := v.Store.MarkUsed(ctx, t.Digest, now, before); err != nil && v.Unmarked != nil {
		v.Unmarked(ctx, t.ID, err)
	}
}
