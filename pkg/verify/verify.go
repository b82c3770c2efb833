// Package verify turns a bearer into a principal or refuses it. It is the only code that decides
// whether a bearer is good; the authorizer, the management API and everything else use it.
//
// Start with New and Verifier.Verify. The package promises:
//
// - A value that cannot be a bearer costs no I/O.
// - A bearer with an owner hint costs one round trip.
// - A check that cannot be decided returns an error and never a principal.
// - Tokens and accounts are never cached, so a revocation holds everywhere once it is answered.
//
// It caches only the administrators' settings, for SettingsAge, and refreshes them in the request
// of a check. It cuts a token's scopes to those that its owner may hold now; whether they suffice
// for a request, the caller judges.
package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Store reads the data for a decision, with consistent reads.
type Store interface {
	// Check returns the record of digest and its owner's profile. hint is the owner to read at the
	// same time, or 0. Unless set is nil, Check stores the settings there, from the same request,
	// even if there is no record. A missing record is fault.ErrNotFound. If the owner was deleted,
	// Check returns the record with fault.ErrNotFound. A second call is safe.
	Check(ctx context.Context, digests []secret.Digest, hint account.ID, set *settings.Settings) (token.Token, account.Account, error)
	// MarkUsed sets the record's last use to at, and its addresses to from, unless from is empty.
	// If the last use is later than before, it changes nothing and returns nil.
	MarkUsed(ctx context.Context, digest secret.Digest, at, before time.Time, from []netip.Addr) error
	// EndOverlap ends the predecessor that t names in EndsOnUse, at an instant and with its event, and
	// takes the mark from t. A second call is safe and ends nothing.
	EndOverlap(ctx context.Context, t token.Token, at time.Time, ended audit.Event) error
}

// markTimeout bounds the write of a last use, which must not delay a request for longer.
const markTimeout = 500 * time.Millisecond

// addressInterval is the least time between two records of a token's use from new addresses, so
// that a client with many addresses does not make every check a write.
const addressInterval = time.Minute

// SettingsAge is how long settings are cached, and so how long a change of them takes to apply
// everywhere. Revoking, blocking and revoking everything do not depend on settings and apply at
// once.
const SettingsAge = 10 * time.Second

// A Verifier decides whether bearers are good. It is safe for concurrent use.
type Verifier struct{ parts Parts }

// Parts hold the dependencies of a Verifier.
type Parts struct {
	Store  Store
	Pepper secret.Pepper
	Format secret.Format
	// Scopes decides which scopes of a token count.
	Scopes *scope.Catalog
	Clock  clock.Clock
	// Unmarked receives the error when a last use could not be recorded. It may be nil.
	Unmarked func(context.Context, token.ID, error) `optional:""`
	// Kept caches the settings. Without it, every check reads them.
	Kept *Kept `optional:""`
}

// New returns a Verifier, or an error that names a missing part.
func New(parts Parts) (*Verifier, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Verifier{parts}, nil
}

// Now returns the instant of the Verifier's clock.
func (v *Verifier) Now() time.Time { return v.parts.Clock.Now() }

// Kept caches the administrators' settings. The zero Kept is empty. It is safe for concurrent use.
type Kept struct {
	mu       sync.Mutex
	settings settings.Settings
	readAt   time.Time // zero for never
}

// get returns the settings, and whether they are too old at now. A clock that went backwards makes
// them too old.
func (k *Kept) get(now time.Time) (p settings.Settings, old bool) {
	if k == nil {
		return settings.Settings{}, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.readAt)
	return k.settings, k.readAt.IsZero() || age < 0 || age >= SettingsAge
}

func (k *Kept) set(p settings.Settings, now time.Time) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings, k.readAt = p, now
}

// errMalformed is the refusal of a value that cannot be a bearer. It is made once, because refusing
// such values has to cost next to nothing.
var errMalformed = fmt.Errorf("%w: %w", token.ErrUnknown, secret.ErrMalformed)

// A Refusal is the error for a bearer that matched a record and is not good. It tells which token
// it was; only code that may reveal that should unwrap it.
type Refusal struct {
	Token   token.Token
	Account account.Account
	Err     error // token.ErrExpired, ErrRevoked, ErrImpersonation or ErrAddress, or a child of account.ErrInactive
}

func (r *Refusal) Error() string { return fmt.Sprintf("token %s: %v", r.Token.ID, r.Err) }

func (r *Refusal) Unwrap() error { return r.Err }

// Verify decides whether value is a good bearer at this instant, presented from an address as the
// gateway reports it. The zero Addr is an unknown address.
//
// Errors:
//
//   - token.ErrMissing for an empty value;
//   - token.ErrUnknown for a value that is no bearer or belongs to no record;
//   - a *Refusal around token.ErrExpired or token.ErrRevoked (expired if both are true), around
//     token.ErrImpersonation while impersonation is switched off, around token.ErrAddress for an address
//     outside the token's networks, or around a child of account.ErrInactive;
//   - fault.ErrUnavailable or fault.ErrCorrupt if it could not be decided.
//
// A token none of whose scopes count is no refusal: its principal has no Scopes, which open nothing.
//
// Verify records a use of every token that is neither expired nor revoked and whose networks
// contain the address, at most once in the configured interval, or once a minute from addresses
// that are new to the token. The first good use of a token that was rotated "until used" ends its
// predecessor. A failure to record either changes nothing, and the next check tries again.
func (v *Verifier) Verify(ctx context.Context, value string, from netip.Addr) (principal.Principal, error) {
	if value == "" {
		return principal.Principal{}, token.ErrMissing
	}
	bearer, err := v.parts.Format.Parse(value)
	if err != nil {
		return principal.Principal{}, errMalformed
	}
	hint, _ := bearer.OwnerHint()
	digests := v.parts.Pepper.Digests(bearer)

	now := v.parts.Clock.Now()
	set, old := v.parts.Kept.get(now)
	var fresh *settings.Settings
	if old {
		fresh = new(settings.Settings)
	}
	t, acct, err := v.parts.Store.Check(ctx, digests, account.ID(hint), fresh)
	if fresh != nil && (err == nil || errors.Is(err, fault.ErrNotFound)) {
		set = *fresh
		v.parts.Kept.set(set, now)
	}
	switch {
	case errors.Is(err, fault.ErrNotFound) && t.ID != 0 && slices.Contains(digests, t.Digest):
		// A deleted owner's tokens are invalid.
		acct = account.Gone(t.Owner)
	case errors.Is(err, fault.ErrNotFound):
		return principal.Principal{}, token.ErrUnknown
	case err != nil:
		return principal.Principal{}, fmt.Errorf("check bearer: %w", err)
	}
	n := slices.Index(digests, t.Digest)
	if n < 0 || t.Owner != acct.ID {
		return principal.Principal{}, fmt.Errorf("check bearer: %w: record of another bearer or owner", fault.ErrCorrupt)
	}
	t.Generation = v.parts.Pepper.Generation(n)

	switch t.StateAt(now, acct.TokensValidFrom, set) {
	case token.Active:
	case token.Expired:
		return principal.Principal{}, &Refusal{t, acct, token.ErrExpired}
	default:
		return principal.Principal{}, &Refusal{t, acct, token.ErrRevoked}
	}
	if set.ImpersonationOff && t.Kind == token.Impersonation {
		return principal.Principal{}, &Refusal{t, acct, token.ErrImpersonation}
	}
	if !t.Networks.Allow(from) {
		return principal.Principal{}, &Refusal{t, acct, token.ErrAddress}
	}
	v.markUsed(ctx, t, now, set.LastUsedInterval, from)
	if err := acct.Usable(); err != nil {
		return principal.Principal{}, &Refusal{t, acct, err}
	}
	v.endOverlap(ctx, t, now, from)
	return principal.Principal{Account: acct, Token: t, Scopes: t.EffectiveScopes(v.parts.Scopes, acct), Settings: set}, nil
}

// endOverlap ends the predecessor of a token that is used for the first time. The predecessor ends by
// itself after token.MaxOverlap.
func (v *Verifier) endOverlap(ctx context.Context, t token.Token, now time.Time, from netip.Addr) {
	if t.EndsOnUse == (secret.Digest{}) || !now.Before(t.CreatedAt.Add(token.MaxOverlap)) {
		return
	}
	origin := audit.Origin{Author: t.Owner, Presented: t.ID, Source: audit.Self}
	if from.IsValid() {
		origin.Address = from.Unmap().WithZone("").String()
	}
	previous := t
	previous.ID = t.Previous
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	if err := v.parts.Store.EndOverlap(ctx, t, now, audit.OfToken(now, origin, previous, audit.Revoked)); err != nil && v.parts.Unmarked != nil {
		v.parts.Unmarked(ctx, t.ID, err)
	}
}

func (v *Verifier) markUsed(ctx context.Context, t token.Token, now time.Time, interval time.Duration, from netip.Addr) {
	from = from.Unmap().WithZone("")
	if from.IsValid() && !slices.Contains(t.LastUsedIPs, from) {
		interval = min(interval, addressInterval)
	}
	before := now.Add(-interval)
	if !t.LastUsedAt.IsZero() && t.LastUsedAt.After(before) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	if err := v.parts.Store.MarkUsed(ctx, t.Digest, now, before, newestFirst(from, t.LastUsedIPs)); err != nil && v.parts.Unmarked != nil {
		v.parts.Unmarked(ctx, t.ID, err)
	}
}

// newestFirst returns the addresses of a token's uses after a use from the address from, or none if
// from is unknown.
func newestFirst(from netip.Addr, earlier []netip.Addr) []netip.Addr {
	if !from.IsValid() {
		return nil
	}
	addresses := append(make([]netip.Addr, 0, token.MaxLastUsedIPs), from)
	for _, address := range earlier {
		if address != from && len(addresses) < token.MaxLastUsedIPs {
			addresses = append(addresses, address)
		}
	}
	return addresses
}
