package lifecycle

import (
	"context"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// An IssueStore writes new tokens together with their events, and puts the new ids into the events.
// After an error nothing is written.
type IssueStore interface {
	// CreateToken writes t as owner's next token and returns it with its id. use is the use of its
	// idempotency key, or nil. No token may have a digest of without. Errors: a child of account.ErrInactive for an inactive owner,
	// fault.ErrTaken for a bearer in use, token.ErrKeyUsed for a key in use, fault.ErrMoved if the
	// owner's tokens were revoked meanwhile, fault.ErrNotFound for a deleted owner.
	CreateToken(ctx context.Context, owner account.Account, t token.Token, use *secret.Use, issued audit.Event, without ...secret.Digest) (token.Token, error)
	// RotateToken revokes old, at old.WorksUntil if set and otherwise at once, and writes next, all
	// or nothing. Errors are those of CreateToken, token.ErrSuperseded if old already had another
	// successor, and token.ErrRevoked if it was revoked otherwise.
	RotateToken(ctx context.Context, owner account.Account, old, next token.Token, use *secret.Use, rotated audit.Event) (token.Token, error)
	// Use returns the stored use of an idempotency key, or fault.ErrNotFound.
	Use(ctx context.Context, handle string) (secret.Use, error)
}

// A BotStore makes the tokens of projects and groups.
type BotStore interface {
	// CreateProjectToken writes a new bot and t as its token, all or nothing, and returns t with
	// its id. It assigns the bot's id, username and address, and calls mint for a bearer with that
	// id, once for each try. Errors: fault.ErrNotFound for a deleted project, and fault.ErrTaken
	// and token.ErrKeyUsed as for CreateToken.
	CreateProjectToken(ctx context.Context, proj project.Project, bot account.Account, t token.Token,
		mint func(bot account.ID) (secret.Digest, *secret.Use, error), issued audit.Event) (token.Token, error)
}

// A RevokeStore revokes tokens and writes the event with the change. A second call of any method is
// safe.
type RevokeStore interface {
	// RevokeToken writes RevokedAt and RevokedReason of t. A token that was revoked earlier keeps
	// its own; that is no error. A token that was rotated since t was read stays as it is, and the
	// error is token.ErrSuperseded. If t is Childless and has made a token, it stays as well, and the error
	// is token.ErrMade. The bot of a project's or group's token is deleted with it, unless
	// the token has a successor. It returns fault.ErrNotFound without a record.
	RevokeToken(ctx context.Context, t token.Token, revoked audit.Event) error
	// ReportToken records the first report of a token that had been rotated, with the mark
	// token.MarkReported. first is false, and nothing is written, if that was done before. It returns
	// fault.ErrNotFound without a record.
	ReportToken(ctx context.Context, t token.Token, reported audit.Event) (first bool, err error)
	// Mark adds a mark to the token's notices.
	Mark(ctx context.Context, t token.Token, mark string, now time.Time) error
	// RevokeEverything revokes all tokens of the owner, in one write.
	RevokeEverything(ctx context.Context, owner account.ID, revoked audit.Event) error
	// TokensOfOwner returns all tokens of an owner by ascending id.
	TokensOfOwner(ctx context.Context, owner account.ID) ([]token.Token, error)
	// TokensByDigest returns the existing tokens, in any state and in no order, with consistent
	// reads. The digests must differ.
	TokensByDigest(ctx context.Context, digests []secret.Digest) ([]token.Token, error)
	// Children returns what the chain that started with first made and rotated.
	Children(ctx context.Context, first token.ID) ([]token.Child, error)
	// Newest returns the newest token of a rotation chain, or fault.ErrNotFound for a token that
	// was never rotated.
	Newest(ctx context.Context, first token.ID) (token.Token, error)
}

// An EndingQueue keeps endings until they are finished, so that no crash leaves a child alive. A second
// call of any method is safe.
type EndingQueue interface {
	AddEnding(ctx context.Context, e Unfinished) error
	EndingDone(ctx context.Context, e Unfinished) error
	// Endings returns those that were added before an instant.
	Endings(ctx context.Context, before time.Time) ([]Unfinished, error)
}

// A TokenReader finds single tokens and accounts with consistent reads. Absence is
// fault.ErrNotFound.
type TokenReader interface {
	Token(ctx context.Context, id token.ID) (token.Token, error)
	TokenByDigest(ctx context.Context, digest secret.Digest) (token.Token, error)
	Account(ctx context.Context, id account.ID) (account.Account, error)
}

// A ListStore lists tokens with consistent reads.
type ListStore interface {
	// TokensOfOwner returns all tokens of an owner by ascending id.
	TokensOfOwner(ctx context.Context, owner account.ID) ([]token.Token, error)
	// WalkOwner passes them to each, until it returns false.
	WalkOwner(ctx context.Context, owner account.ID, w token.Walk, each func(token.Token) bool) (token.Walked, error)
	// WalkTokens does the same with the tokens of all owners, of whom it knows only the id, Admin and
	// TokensValidFrom. It may miss tokens until DirectoryComplete says that it misses none.
	WalkTokens(ctx context.Context, w token.Walk, each func(token.Token, account.Account) bool) (token.Walked, error)
	DirectoryComplete(ctx context.Context) (bool, error)
	// TokensByDigest, Children and Newest are those of RevokeStore.
	TokensByDigest(ctx context.Context, digests []secret.Digest) ([]token.Token, error)
	Children(ctx context.Context, first token.ID) ([]token.Child, error)
	Newest(ctx context.Context, first token.ID) (token.Token, error)
	// EveryToken passes every token to each, in no order, with its owner, of whom it knows only the
	// id, Admin and TokensValidFrom.
	EveryToken(ctx context.Context, each func(token.Token, account.Account)) error
}

// A ProjectReader finds projects and groups and lists their tokens, with consistent reads.
type ProjectReader interface {
	principal.Projects
	// TokensOfProject returns all tokens of a project by ascending id.
	TokensOfProject(ctx context.Context, pid project.ID) ([]token.Token, error)
	// Accounts passes the existing accounts to each, in no order.
	Accounts(ctx context.Context, ids []account.ID, each func(account.Account)) error
}

// A SettingsReader reads the administrators' settings, with consistent reads.
type SettingsReader interface {
	TokenSettings(ctx context.Context) (settings.Settings, error)
}
