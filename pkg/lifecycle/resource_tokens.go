package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A ResourceSpec says what token of a project or group is wanted.
type ResourceSpec struct {
	Spec
	// Level of its bot; no level asks for token.Maintainer.
	Level token.Level
}

// A Gate says whether new tokens may be made for a resource now.
type Gate interface {
	// Allows returns nil, or token.ErrSwitchedOff when an administrator has
	// switched them off.
	Allows(ctx context.Context, resource principal.Resource) error
}

var (
	// ErrNotManager means that somebody who is a member of a resource has too
	// low a level there to manage its tokens, or is a bot that asks for one.
	ErrNotManager = fmt.Errorf("%w: not a manager of the resource", token.ErrForbidden)
	// ErrNoResourceToken means that a resource which is there has no token
	// with this id.
	ErrNoResourceToken = fmt.Errorf("%w: token of the resource", token.ErrNotFound)
	// ErrNotOfResource means that somebody presented a token that belongs to
	// no project or group for an operation of those that do.
	ErrNotOfResource = errors.New("presented token belongs to no resource")
	// ErrOwnerLevel means that somebody who is no owner asked for a token with
	// the level of one. It is the only level above that of a manager.
	ErrOwnerLevel = fmt.Errorf("%w: level above the caller's", token.ErrForbidden)
)

// errLevelAbove is for a manager who would get hold of a level above their own.
var errLevelAbove = &Fault{Reasons: []string{"Not eligible to rotate token with access level higher than the user"}}

// CreateForResource makes a token for the resource that ref names, and a bot
// that owns it. Errors: those of principal.FindAccess; ErrNotManager;
// token.ErrSwitchedOff; ErrOwnerLevel; *Fault for a token that cannot be.
func (i *Issuer) CreateForResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, spec ResourceSpec) (Issued, error) {
	if issued, err := i.Replay(ctx, by.Token, spec.Key); !errors.Is(err, token.ErrNotFound) {
		return issued, err // whatever has changed since the first reply
	}
	access, err := principal.FindAccess(ctx, i.Resources, by, kind, ref, i.Clock.Now())
	if err != nil {
		return Issued{}, err
	}
	// A bot's tokens would outlive what its own was made for.
	if by.User.Bot || !access.AtLeast(kind.ManageLevel()) {
		return Issued{}, ErrNotManager
	}
	if i.Gate != nil {
		if err := i.Gate.Allows(ctx, access.Resource); err != nil {
			return Issued{}, err
		}
	}
	if spec.Level == token.NoLevel {
		spec.Level = token.Maintainer
	}
	if !access.AtLeast(spec.Level) {
		return Issued{}, ErrOwnerLevel
	}
	bot := principal.User{
		Name: spec.Name, State: principal.Active, Bot: true,
		CreatedAt: i.Clock.Now(), CreatedBy: by.Asker(),
	}
	rules, err := i.rules(ctx)
	if err != nil {
		return Issued{}, err
	}
	spec.Spec = rules.withDefaults(spec.Spec)
	if err := i.check(bot, spec.Spec, rules.latest); err != nil {
		return Issued{}, err
	}
	issued, err := i.once(ctx, by.Token, spec.Key, i.prefixOf(kind.TokenKind(), rules), func(mint mint) (issued Issued, err error) {
		t := i.fresh(bot, by.Asker(), kind.TokenKind(), spec.Spec)
		t.Resource, t.Level = access.Resource.ID, spec.Level
		ctx := audit.Expect(ctx, t.CreatedAt, eventBy(by, t, audit.Issued))
		issued.Token, err = i.Bots.CreateResourceToken(ctx, access.Resource, bot, t, func(owner token.OwnerID) (digest secret.Digest, use *secret.Use, err error) {
			issued.Bearer, use, err = mint(owner)
			return i.Pepper.Digest(issued.Bearer), use, err
		})
		return issued, err
	})
	if errors.Is(err, token.ErrNotFound) {
		return Issued{}, kind.Missing()
	}
	return issued, err
}

// RotateOfResource ends a resource's token and issues its successor, for the
// same bot with the same level. Errors: those of principal.FindAccess and
// Rotate; ErrNotManager; ErrNoResourceToken.
func (i *Issuer) RotateOfResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, id token.ID, r Rotation) (Issued, error) {
	if issued, err := i.Replay(ctx, by.Token, r.Key); !errors.Is(err, token.ErrNotFound) {
		return issued, err
	}
	access, err := principal.FindAccess(ctx, i.Resources, by, kind, ref, i.Clock.Now())
	if err != nil {
		return Issued{}, err
	}
	if !access.AtLeast(kind.ManageLevel()) {
		return Issued{}, ErrNotManager
	}
	old, err := findOfResource(ctx, i.Reader, access.Resource, id)
	if err != nil {
		return Issued{}, err
	}
	if !access.AtLeast(old.Level) {
		return Issued{}, errLevelAbove
	}
	bot, err := ownerOf(ctx, i.Reader, old)
	if err != nil {
		return Issued{}, err
	}
	issued, err := i.rotate(ctx, by, bot, old, r)
	return issued, rotatedIsRevoked(err)
}

// RotateSelfOfResource ends the token that was presented, if it belongs to the
// resource that ref names, and issues its successor. Errors: ErrNotOfResource;
// those of principal.FindAccess; ErrNotManager for the token of another
// resource; those of RotateSelf.
func (i *Issuer) RotateSelfOfResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, r Rotation) (Issued, error) {
	if !by.Token.Kind.OfResource() {
		return Issued{}, ErrNotOfResource
	}
	access, err := principal.FindAccess(ctx, i.Resources, by, kind, ref, i.Clock.Now())
	if err != nil {
		return Issued{}, err
	}
	if by.Token.Resource != access.Resource.ID {
		return Issued{}, ErrNotManager
	}
	return i.RotateSelf(ctx, by, r)
}

// ListOfResource returns limit of a resource's tokens from offset on. Errors:
// those of principal.FindAccess; ErrNotManager.
func (l *Lister) ListOfResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, f Filter, s Sort, offset, limit int) (Listing, error) {
	access, err := l.manages(ctx, by, kind, ref)
	if err != nil {
		return Listing{}, err
	}
	tokens, err := l.Resources.TokensOfResource(ctx, access.Resource.ID)
	if err != nil {
		return Listing{}, err
	}
	bots := map[token.OwnerID]principal.User{}
	var ids []token.OwnerID
	for _, t := range tokens {
		if _, seen := bots[t.Owner]; !seen {
			bots[t.Owner] = principal.Ghost()
			ids = append(ids, t.Owner)
		}
	}
	if err := l.Resources.Users(ctx, ids, func(u principal.User) { bots[u.ID] = u }); err != nil {
		return Listing{}, err
	}
	now := l.Clock.Now()
	top := newTop(s, offset+limit)
	for _, t := range tokens {
		if v := viewOfBot(t, now, bots[t.Owner], by.Policy); f.matches(v) {
			top.add(v)
		}
	}
	return top.page(offset), nil
}

// GetOfResource returns one of a resource's tokens. Errors: those of
// principal.FindAccess; ErrNotManager; ErrNoResourceToken.
func (l *Lister) GetOfResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, id token.ID) (View, error) {
	access, err := l.manages(ctx, by, kind, ref)
	if err != nil {
		return View{}, err
	}
	t, err := findOfResource(ctx, l.Reader, access.Resource, id)
	if err != nil {
		return View{}, err
	}
	bot, err := ownerOf(ctx, l.Reader, t)
	if err != nil {
		return View{}, err
	}
	return viewOfBot(t, l.Clock.Now(), bot, by.Policy), nil
}

func (l *Lister) manages(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string) (principal.Access, error) {
	access, err := principal.FindAccess(ctx, l.Resources, by, kind, ref, l.Clock.Now())
	if err == nil && !access.AtLeast(kind.ManageLevel()) {
		return access, ErrNotManager
	}
	return access, err
}

// viewOfBot returns t as it stands at now. bot is its owner or the ghost.
func viewOfBot(t token.Token, now time.Time, bot principal.User, p token.Policy) View {
	v := ViewOf(t, now, bot.TokensValidFrom, p)
	v.Gone = bot.ID != t.Owner
	return v
}

// A NotManager is an ErrNotManager that names whose token was to be ended.
type NotManager struct{ Token token.Token }

// Error leaves out names, which a person chose.
func (n *NotManager) Error() string { return ErrNotManager.Error() }

// Unwrap returns ErrNotManager.
func (n *NotManager) Unwrap() error { return ErrNotManager }

// RevokeOfResource ends one of a resource's tokens, and its bot. Errors: those
// of principal.FindAccess; ErrNoResourceToken; *NotManager.
func (r *Revoker) RevokeOfResource(ctx context.Context, by principal.Principal, kind principal.ResourceKind, ref string, id token.ID) error {
	access, err := principal.FindAccess(ctx, r.Resources, by, kind, ref, r.Clock.Now())
	if err != nil {
		return err
	}
	t, err := findOfResource(ctx, r.Reader, access.Resource, id)
	if err != nil {
		return err
	}
	if !access.AtLeast(kind.ManageLevel()) {
		return &NotManager{t}
	}
	return r.end(ctx, t, token.ReasonRequest, sourceOf(by, t))
}

// findOfResource returns a resource's token in whatever state it is.
func findOfResource(ctx context.Context, reader TokenReader, res principal.Resource, id token.ID) (token.Token, error) {
	t, err := reader.Token(ctx, id)
	if errors.Is(err, token.ErrNotFound) || err == nil && t.Resource != res.ID {
		return token.Token{}, ErrNoResourceToken
	}
	return t, err
}

// ownerOf returns the owner of a token, the ghost when it was deleted:
// nothing that it owned is good any more.
func ownerOf(ctx context.Context, reader TokenReader, t token.Token) (principal.User, error) {
	bot, err := reader.User(ctx, t.Owner)
	if errors.Is(err, token.ErrNotFound) {
		return principal.Ghost(), nil
	}
	return bot, err
}
