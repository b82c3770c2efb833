package lifecycle

import (
	"context"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// An IssueStore writes new tokens together with their events, into which it puts
// their ids. When it returns an error, nothing was written.
type IssueStore interface {
	// CreateToken writes t as owner's next token and returns it with its id.
	// use is the idempotency key it was made under, or nil. It returns a
	// child of account.ErrInactive when the owner is not active,
	// fault.ErrTaken when the bearer is in use, token.ErrKeyUsed when the key
	// is, fault.ErrMoved when the owner's tokens were revoked in the
	// meantime, fault.ErrNotFound when the owner is gone.
	CreateToken(ctx context.Context, owner account.Account, t token.Token, use *secret.Use, issued audit.Event) (token.Token, error)
	// RotateToken revokes old, at old.WorksUntil where that is set and at once
	// otherwise, and writes next in its place, all or nothing. The errors are
	// those of CreateToken, token.ErrRevoked when old had been revoked already,
	// and token.ErrSuperseded when it had another successor with an overlap.
	RotateToken(ctx context.Context, owner account.Account, old, next token.Token, use *secret.Use, rotated audit.Event) (token.Token, error)
	// Use returns what is stored of an idempotency key, or fault.ErrNotFound.
	Use(ctx context.Context, handle string) (secret.Use, error)
}

// A BotStore makes the tokens of projects and groups.
type BotStore interface {
	// CreateProjectToken writes a new bot and t as its token, all or nothing,
	// and returns t with its id. It gives the bot its id, username and
	// address, and asks mint for the bearer of that id, as often as it has to
	// try. It returns fault.ErrNotFound when the project is gone, and
	// fault.ErrTaken and token.ErrKeyUsed as CreateToken does.
	CreateProjectToken(ctx context.Context, proj project.Project, bot account.Account, t token.Token,
		mint func(bot account.ID) (secret.Digest, *secret.Use, error), issued audit.Event) (token.Token, error)
}

// A RevokeStore revokes tokens, and writes the event with the change. Every method
// may be called again safely.
type RevokeStore interface {
	// RevokeToken writes RevokedAt and RevokedReason of t. A token that
	// was revoked earlier keeps its own; that is no error. The bot of a project's or
	// group's token is deleted with it, unless the token has a successor.
	// fault.ErrNotFound when there is no record.
	RevokeToken(ctx context.Context, t token.Token, revoked audit.Event) error
	// RevokeEverything revokes all tokens that the owner has, in one write.
	RevokeEverything(ctx context.Context, owner account.ID, revoked audit.Event) error
	// TokensByDigest returns those of the tokens that there are, in whatever
	// state and in no order, strongly consistent. The digests differ.
	TokensByDigest(ctx context.Context, digests []secret.Digest) ([]token.Token, error)
	// Newest returns the newest token of a rotation chain, or
	// fault.ErrNotFound for a token that was never rotated.
	Newest(ctx context.Context, first token.ID) (token.Token, error)
}

// A TokenReader finds single tokens and accounts, strongly consistent.
// Absence is fault.ErrNotFound.
type TokenReader interface {
	Token(ctx context.Context, id token.ID) (token.Token, error)
	TokenByDigest(ctx context.Context, digest secret.Digest) (token.Token, error)
	Account(ctx context.Context, id account.ID) (account.Account, error)
}

// A ListStore lists tokens, strongly consistent.
type ListStore interface {
	// TokensOfOwner returns all tokens of an owner by ascending id.
	TokensOfOwner(ctx context.Context, owner account.ID) ([]token.Token, error)
	// PageOfOwner returns a part of them, and how many there are in all.
	PageOfOwner(ctx context.Context, owner account.ID, page token.Page) ([]token.Token, int, error)
	// EveryToken hands every token there is to each, in no order, with its
	// owner's TokensValidFrom.
	EveryToken(ctx context.Context, each func(token.Token, int64)) error
}

// A ProjectReader finds projects and groups and lists their tokens, strongly
// consistent.
type ProjectReader interface {
	principal.Projects
	// TokensOfProject returns all tokens of a project by ascending id.
	TokensOfProject(ctx context.Context, pid project.ID) ([]token.Token, error)
	// Accounts hands the accounts of ids to each, in no order. Absent ones are
	// passed over.
	Accounts(ctx context.Context, ids []account.ID, each func(account.Account)) error
}

// A SettingsReader has what administrators have set for every token, strongly
// consistent.
type SettingsReader interface {
	TokenSettings(ctx context.Context) (settings.Settings, error)
}
