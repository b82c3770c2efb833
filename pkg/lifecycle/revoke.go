package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Revoker revokes tokens. It is safe for concurrent use. Revoking a token
// again is no error.
type Revoker struct{ parts RevokerParts }

// RevokerParts hold the dependencies of a Revoker. All are required.
type RevokerParts struct {
	Store  RevokeStore
	Reader TokenReader
	// Projects finds the projects and groups of tokens.
	Projects principal.Projects
	Pepper   secret.Pepper
	Format   secret.Format
	Clock    clock.Clock
}

// NewRevoker returns a Revoker, or an error that names a missing part.
func NewRevoker(parts RevokerParts) (*Revoker, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Revoker{parts}, nil
}

// A Reach says how far a revocation reaches.
type Reach bool

const (
	// Alone revokes one token. A token that was rotated leaves its successor working.
	Alone Reach = false
	// Family revokes every working token of the rotation chain.
	Family Reach = true
)

// A Revocation is what a request to revoke one token did.
type Revocation struct {
	Token token.Token
	// Successor is the newest token of the chain if Token was rotated before the request and the
	// request did not reach its family, or 0. It may work.
	Successor token.ID
}

// Revoke revokes the token with this id. A token that does not exist or is hidden from the caller
// is fault.ErrNotFound. If a rotation comes first, it returns token.ErrSuperseded and revokes
// nothing.
func (r *Revoker) Revoke(ctx context.Context, by principal.Principal, id token.ID, reach Reach) (Revocation, error) {
	t, err := r.parts.Reader.Token(ctx, id)
	if err != nil {
		return Revocation{}, err
	}
	if !by.MayManage(t) {
		return Revocation{}, fault.ErrNotFound
	}
	return r.end(ctx, t, reach, audit.By(by, sourceOf(by, t)))
}

// RevokeSelf revokes the presented token. Errors are those of Revoke.
func (r *Revoker) RevokeSelf(ctx context.Context, by principal.Principal, reach Reach) (Revocation, error) {
	return r.end(ctx, by.Token, reach, audit.By(by, sourceOf(by, by.Token)))
}

// end revokes t, and with Family its chain, because somebody asked for it.
func (r *Revoker) end(ctx context.Context, t token.Token, reach Reach, from audit.Origin) (Revocation, error) {
	done := Revocation{Token: t}
	if reach == Family {
		return done, r.endFamily(ctx, t, token.ReasonRequest, from)
	}
	if t.Superseded() {
		// Look it up first: after the revocation, a fault would look as if nothing was revoked.
		newest, err := r.parts.Store.Newest(ctx, t.Family)
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			return Revocation{}, fmt.Errorf("find newest of family %s: %w", t.Family, err)
		}
		done.Successor = newest.ID
	}
	return done, r.revoke(ctx, t, token.ReasonRequest, from)
}

// RevokeValue revokes the token whose bearer is value. Only administrators may. Errors:
// fault.ErrForbidden and those of Revoke.
func (r *Revoker) RevokeValue(ctx context.Context, by principal.Principal, value string, reach Reach) (Revocation, error) {
	if !by.Account.Admin {
		return Revocation{}, fault.ErrForbidden
	}
	return r.revokeValue(ctx, by, value, reach)
}

// RevokeValueByConsole is RevokeValue for an operator.
func (r *Revoker) RevokeValueByConsole(ctx context.Context, requestID, value string) (Revocation, error) {
	return r.revokeValue(ctx, principal.Console(requestID), value, Alone)
}

func (r *Revoker) revokeValue(ctx context.Context, by principal.Principal, value string, reach Reach) (Revocation, error) {
	t, err := findValue(ctx, r.parts.Reader, r.parts.Format, r.parts.Pepper, value)
	if err != nil {
		return Revocation{}, err
	}
	return r.end(ctx, t, reach, audit.By(by, sourceOf(by, t)))
}

// RevokeByConsole is Revoke for an operator.
func (r *Revoker) RevokeByConsole(ctx context.Context, requestID string, id token.ID) (Revocation, error) {
	t, err := r.parts.Reader.Token(ctx, id)
	if err != nil {
		return Revocation{}, err
	}
	return r.end(ctx, t, Alone, audit.By(principal.Console(requestID), audit.Console))
}

// ErrBot means that the account is a bot, whose tokens cannot be revoked in bulk. Revoking its one
// token also deletes the bot.
var ErrBot = fmt.Errorf("%w: account is a bot", fault.ErrInput)

// RevokeEverything revokes all tokens of owner, including the presented one if it is theirs. The
// owner and administrators may. Errors: fault.ErrForbidden, fault.ErrNotFound for a missing owner,
// ErrBot.
func (r *Revoker) RevokeEverything(ctx context.Context, by principal.Principal, owner account.ID) error {
	if owner != by.Account.ID && !by.Account.Admin {
		return fault.ErrForbidden
	}
	acct, err := r.parts.Reader.Account(ctx, owner)
	if err != nil {
		return err
	}
	return r.revokeEverything(ctx, by, acct)
}

// RevokeEverythingByConsole revokes all tokens of owner, in one write. Errors: fault.ErrNotFound,
// ErrBot.
func (r *Revoker) RevokeEverythingByConsole(ctx context.Context, requestID string, owner account.Account) error {
	return r.revokeEverything(ctx, principal.Console(requestID), owner)
}

func (r *Revoker) revokeEverything(ctx context.Context, by principal.Principal, owner account.Account) error {
	if owner.Bot {
		return ErrBot
	}
	from := audit.By(by, sourceOf(by, token.Token{Owner: owner.ID}))
	event := audit.OfAccount(r.parts.Clock.Now(), from, audit.TokensRevoked, owner)
	event.Tokens = r.countWorking(ctx, by, owner)
	return r.parts.Store.RevokeEverything(ctx, owner.ID, event)
}

// countTimeout bounds the time for which counting delays a revocation.
const countTimeout = time.Second

// countWorking returns how many tokens of owner work, for the audit trail, or 0 if it cannot be
// found out in time. Revoking never depends on it.
func (r *Revoker) countWorking(ctx context.Context, by principal.Principal, owner account.Account) (count int) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	tokens, err := r.parts.Store.TokensOfOwner(ctx, owner.ID)
	if err != nil {
		return 0
	}
	for _, t := range tokens {
		if t.StateAt(r.parts.Clock.Now(), owner.TokensValidFrom, by.Settings) == token.Active {
			count++
		}
	}
	return count
}

// RevokeFamily revokes the working tokens in the chain of a token that was presented for rotation
// after its revocation. Either its owner or a thief holds a successor, and nobody can tell which.
// by is the sender, as far as known.
func (r *Revoker) RevokeFamily(ctx context.Context, by principal.Principal, presented token.Token) error {
	return r.endFamily(ctx, presented, token.ReasonReuse, audit.By(by, audit.Reuse))
}

// endFamily revokes the working tokens in the chain of t: the newest one and those in an overlap.
// If the chain rotates meanwhile, endFamily follows it to the newest token.
func (r *Revoker) endFamily(ctx context.Context, t token.Token, reason token.Reason, from audit.Origin) error {
	const tries = 8
	for range tries {
		newest, err := r.parts.Store.Newest(ctx, t.Family)
		if errors.Is(err, fault.ErrNotFound) {
			newest, err = t, nil // it was never rotated
		}
		switch {
		case err != nil:
			return fmt.Errorf("find newest of family %s: %w", t.Family, err)
		case newest.Superseded():
			continue // it was replaced between the two reads
		case reason == token.ReasonReuse && (newest.ID <= t.ID || !newest.RevokedAt.IsZero()):
			return r.revokeOverlaps(ctx, newest, reason, from) // a bearer that is reused was revoked
		}
		err = r.revoke(ctx, newest, reason, from)
		switch {
		case errors.Is(err, token.ErrSuperseded): // a rotation came first
		case err != nil:
			return fmt.Errorf("revoke newest of family %s: %w", t.Family, err)
		default:
			return r.revokeOverlaps(ctx, newest, reason, from)
		}
	}
	return fault.ErrUnavailable
}

// revokeOverlaps revokes the tokens before newest that work in an overlap. They cannot rotate
// again, so there will be no others. It stops at a token whose successor is older than the longest
// overlap, because that token and all before it are revoked.
func (r *Revoker) revokeOverlaps(ctx context.Context, newest token.Token, reason token.Reason, from audit.Origin) error {
	for t := newest; t.Previous != 0 && r.parts.Clock.Now().Sub(t.CreatedAt) <= token.MaxOverlap; {
		previous, err := r.parts.Reader.Token(ctx, t.Previous)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("find token %s: %w", t.Previous, err)
		}
		if err := r.revoke(ctx, previous, reason, from); err != nil {
			return fmt.Errorf("revoke token %s: %w", previous.ID, err)
		}
		t = previous
	}
	return nil
}

func (r *Revoker) revoke(ctx context.Context, t token.Token, reason token.Reason, from audit.Origin) error {
	// A bot without a working token must go, whatever the cause.
	withBot := t.Kind.OfProject() && !t.Superseded()
	if t.RevokedIn(r.parts.Clock.Now(), 0) && !withBot {
		return nil
	}
	t.RevokedAt, t.RevokedReason = r.parts.Clock.Now(), reason
	return r.parts.Store.RevokeToken(ctx, t, audit.OfToken(t.RevokedAt, from, t, audit.Revoked))
}

// ErrNotOurs means that no token has this value, and that the value does not have the form of a
// bearer.
var ErrNotOurs = fmt.Errorf("%w: value of another form", fault.ErrNotFound)

// findValue returns the token of a bearer in any state. White space around the value does not count:
// a value that was read from a file often ends with a line break.
func findValue(ctx context.Context, reader TokenReader, format secret.Format, pepper secret.Pepper, value string) (token.Token, error) {
	t, err := token.Token{}, fault.ErrNotFound
	value = strings.TrimSpace(value)
	if bearer, malformed := format.Parse(value); malformed == nil {
		t, err = tokenOf(ctx, reader, pepper, bearer)
	}
	ours := func(prefix string) bool { return prefix != "" && strings.HasPrefix(value, prefix) }
	if errors.Is(err, fault.ErrNotFound) && !slices.ContainsFunc(format.Prefixes, ours) {
		err = ErrNotOurs
	}
	return t, err
}

// tokenOf returns the token of a bearer in any state, whichever generation of the pepper made its
// digest. Absence is fault.ErrNotFound.
func tokenOf(ctx context.Context, reader TokenReader, pepper secret.Pepper, bearer secret.Bearer) (t token.Token, err error) {
	for n, digest := range pepper.Digests(bearer) {
		if t, err = reader.TokenByDigest(ctx, digest); !errors.Is(err, fault.ErrNotFound) {
			t.Generation = pepper.Generation(n)
			return t, err
		}
	}
	return token.Token{}, fault.ErrNotFound
}
