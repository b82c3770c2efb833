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
type Revoker struct {
	parts RevokerParts
	ender *Ender
}

// RevokerParts hold the dependencies of a Revoker. All are required.
type RevokerParts struct {
	Store  RevokeStore
	Reader TokenReader
	// Projects finds the projects and groups of tokens.
	Projects principal.Projects
	Pepper   secret.Pepper
	Format   secret.Format
	Clock    clock.Clock
	// Queue keeps what is to be ended until it has ended.
	Queue EndingQueue
	// Settings say whether expired tokens work.
	Settings SettingsReader
}

// NewRevoker returns a Revoker, or an error that names a missing part.
func NewRevoker(parts RevokerParts) (*Revoker, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	ender, err := NewEnder(EnderParts{Store: parts.Store, Reader: parts.Reader, Queue: parts.Queue, Settings: parts.Settings, Clock: parts.Clock})
	return &Revoker{parts, ender}, err
}

// A Reach says how far a revocation reaches.
type Reach int

const (
	// Own revokes the newest token of a chain, and what the chain made for its own account by the route for
	// that. A token that was rotated is revoked alone and leaves its successor
	// working.
	Own Reach = iota
	// Alone revokes one token.
	Alone
	// Family revokes every working token of the rotation chain, and everything that the chain made or
	// rotated. For somebody who is no administrator, that is without the tokens of other accounts: a rank
	// that was lost ends nothing of theirs.
	Family
	// Chain revokes every working token of the rotation chain and nothing else.
	Chain
)

// A Revocation is what a request to revoke one token did.
type Revocation struct {
	Token token.Token
	// Successor is the newest token of the chain if Token was rotated before the request and the
	// request did not reach its family, or 0. It may work.
	Successor token.ID
	// Below says that the request reached what the chain made, and Children counts the working tokens of
	// other chains that it revoked.
	Below    bool
	Children int
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
	return r.end(ctx, by, sourceOf(by, t), t, reach)
}

// RevokeSelf revokes the presented token. Errors are those of Revoke.
func (r *Revoker) RevokeSelf(ctx context.Context, by principal.Principal, reach Reach) (Revocation, error) {
	return r.end(ctx, by, sourceOf(by, by.Token), by.Token, reach)
}

// end revokes t, because somebody asked for it.
func (r *Revoker) end(ctx context.Context, by principal.Principal, source audit.Source, t token.Token, reach Reach) (Revocation, error) {
	done, from := Revocation{Token: t}, audit.By(by, source)
	if t.Superseded() && (reach == Own || reach == Alone) {
		// Look it up first: after the revocation, a fault would look as if nothing was revoked.
		newest, err := r.parts.Store.Newest(ctx, t.Family)
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			return Revocation{}, fmt.Errorf("find newest of family %s: %w", t.Family, err)
		}
		done.Successor = newest.ID
		reach = Alone
	}
	if reach == Alone {
		return done, r.ender.revoke(ctx, t, token.ReasonRequest, from)
	}
	ended, err := r.ender.end(ctx, t, reach.below(by), token.ReasonRequest, from)
	done.Below, done.Children = reach != Chain, ended.Children
	return done, err
}

// below returns how far the reach of a request by somebody goes into what a chain made.
func (r Reach) below(by principal.Principal) token.Reach {
	switch {
	case r == Family && by.Account.Admin:
		return token.ReachAll
	case r == Family:
		return token.ReachAccount
	case r == Own:
		return token.ReachOwn
	default:
		return token.ReachNone
	}
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
	return r.revokeValue(ctx, principal.Console(requestID), value, Own)
}

func (r *Revoker) revokeValue(ctx context.Context, by principal.Principal, value string, reach Reach) (Revocation, error) {
	t, err := findValue(ctx, r.parts.Reader, r.parts.Format, r.parts.Pepper, value)
	if err != nil {
		return Revocation{}, err
	}
	return r.end(ctx, by, sourceOf(by, t), t, reach)
}

// RevokeByConsole is Revoke for an operator.
func (r *Revoker) RevokeByConsole(ctx context.Context, requestID string, id token.ID) (Revocation, error) {
	t, err := r.parts.Reader.Token(ctx, id)
	if err != nil {
		return Revocation{}, err
	}
	return r.end(ctx, principal.Console(requestID), audit.Console, t, Own)
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

// countReserve is the part of the function's time that counting leaves for the revocation.
const countReserve = 20 * time.Second

// countWorking returns how many tokens of owner work, for the audit trail, or 0 if it cannot be
// found out in time. Revoking never depends on it.
func (r *Revoker) countWorking(ctx context.Context, by principal.Principal, owner account.Account) (count int) {
	ctx, cancel := clock.Early(ctx, countReserve)
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
// after its revocation, and what the chain made for its own account. Either its owner or a thief holds
// a successor, and nobody can tell which. by is the sender, as far as known. A family that reuse of this
// token has ended is not looked at again, because anybody who found the bearer may repeat the request.
func (r *Revoker) RevokeFamily(ctx context.Context, by principal.Principal, presented token.Token) error {
	if slices.Contains(presented.Notices, token.MarkSpent) {
		return nil
	}
	done, err := r.ender.end(ctx, presented, token.ReachOwn, token.ReasonReuse, audit.By(by, audit.Reuse))
	if err != nil || !done.Below {
		return err
	}
	return r.parts.Store.Mark(ctx, presented, token.MarkSpent, r.parts.Clock.Now())
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
