package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// Revoke revokes the token with this id. A token that does not exist or is hidden from the caller
// is fault.ErrNotFound.
func (r *Revoker) Revoke(ctx context.Context, by principal.Principal, id token.ID) error {
	t, err := r.parts.Reader.Token(ctx, id)
	if err != nil {
		return err
	}
	if !by.MayManage(t) {
		return fault.ErrNotFound
	}
	return r.revoke(ctx, t, token.ReasonRequest, audit.By(by, sourceOf(by, t)))
}

// RevokeSelf revokes the presented token.
func (r *Revoker) RevokeSelf(ctx context.Context, by principal.Principal) error {
	return r.revoke(ctx, by.Token, token.ReasonRequest, audit.By(by, sourceOf(by, by.Token)))
}

// RevokeValue revokes the token whose bearer is value. Only administrators may. Errors:
// fault.ErrForbidden, fault.ErrNotFound.
func (r *Revoker) RevokeValue(ctx context.Context, by principal.Principal, value string) (token.ID, error) {
	if !by.Account.Admin {
		return 0, fault.ErrForbidden
	}
	return r.revokeValue(ctx, by, value)
}

// RevokeValueByConsole is RevokeValue for an operator.
func (r *Revoker) RevokeValueByConsole(ctx context.Context, requestID, value string) (token.ID, error) {
	return r.revokeValue(ctx, principal.Console(requestID), value)
}

func (r *Revoker) revokeValue(ctx context.Context, by principal.Principal, value string) (token.ID, error) {
	t, err := findValue(ctx, r.parts.Reader, r.parts.Format, r.parts.Pepper, value)
	if err != nil {
		return 0, err
	}
	return t.ID, r.revoke(ctx, t, token.ReasonRequest, audit.By(by, sourceOf(by, t)))
}

// RevokeByConsole is Revoke for an operator.
func (r *Revoker) RevokeByConsole(ctx context.Context, requestID string, id token.ID) error {
	t, err := r.parts.Reader.Token(ctx, id)
	if err != nil {
		return err
	}
	return r.revoke(ctx, t, token.ReasonRequest, audit.By(principal.Console(requestID), audit.Console))
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
	return r.parts.Store.RevokeEverything(ctx, owner.ID, audit.OfAccount(r.parts.Clock.Now(), from, audit.TokensRevoked, owner))
}

// RevokeFamily revokes the working tokens in the chain of a token that was presented for rotation
// after its revocation. Either its owner or a thief holds a successor, and nobody can tell which.
// The working tokens are the newest one and those in an overlap. If the chain rotates meanwhile,
// RevokeFamily follows it to the newest token. by is the sender, as far as known.
func (r *Revoker) RevokeFamily(ctx context.Context, by principal.Principal, presented token.Token) error {
	const tries = 8
	from := audit.By(by, audit.Reuse)
	for range tries {
		newest, err := r.parts.Store.Newest(ctx, presented.Family)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("find newest of family %s: %w", presented.Family, err)
		case newest.Superseded():
			continue // it was replaced between the two reads
		case newest.ID <= presented.ID, !newest.RevokedAt.IsZero():
			return r.revokeOverlaps(ctx, newest, from)
		}
		if err := r.revoke(ctx, newest, token.ReasonReuse, from); err != nil {
			return fmt.Errorf("revoke newest of family %s: %w", presented.Family, err)
		}
		// A rotation may have come first. Repeat until the newest token is revoked for good.
	}
	return fault.ErrUnavailable
}

// revokeOverlaps revokes the tokens before newest that work in an overlap. They cannot rotate
// again, so there will be no others. It stops at a token whose successor is older than the longest
// overlap, because that token and all before it are revoked.
func (r *Revoker) revokeOverlaps(ctx context.Context, newest token.Token, from audit.Origin) error {
	for t := newest; t.Previous != 0 && r.parts.Clock.Now().Sub(t.CreatedAt) <= token.MaxOverlap; {
		previous, err := r.parts.Reader.Token(ctx, t.Previous)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("find token %s: %w", t.Previous, err)
		}
		if err := r.revoke(ctx, previous, token.ReasonReuse, from); err != nil {
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
		t, err = reader.TokenByDigest(ctx, pepper.Digest(bearer))
	}
	ours := func(prefix string) bool { return prefix != "" && strings.HasPrefix(value, prefix) }
	if errors.Is(err, fault.ErrNotFound) && !slices.ContainsFunc(format.Prefixes, ours) {
		err = ErrNotOurs
	}
	return t, err
}
