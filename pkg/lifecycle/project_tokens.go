package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A ProjectSpec describes a token of a project or group to make.
type ProjectSpec struct {
	Spec
	// Level is the bot's level; the default is project.Maintainer.
	Level project.Level
}

// A Gate decides whether a project may have new tokens now.
type Gate interface {
	// Allows returns nil, or fault.ErrSwitchedOff if an administrator has switched new tokens off.
	Allows(ctx context.Context, proj project.Project) error
}

var (
	// ErrNotManager means that a member's level is too low to manage the tokens of a project, or
	// that a bot asks for one.
	ErrNotManager = fmt.Errorf("%w: not a manager of the project", fault.ErrForbidden)
	// ErrNoProjectToken means that an existing project has no token with this id.
	ErrNoProjectToken = fmt.Errorf("%w: token of the project", fault.ErrNotFound)
	// ErrNotOfProject means that the operation requires a token of a project or group, and the
	// presented token is personal.
	ErrNotOfProject = errors.New("presented token belongs to no project")
	// ErrOwnerLevel means that a member other than an owner asked for a token with the level of an
	// owner, the only level above a manager's.
	ErrOwnerLevel = fmt.Errorf("%w: level above the caller's", fault.ErrForbidden)
)

// ErrLevelAbove means that the token's level is above the manager's.
var ErrLevelAbove = fmt.Errorf("%w: level of the token above the caller's", fault.ErrInput)

// CreateForProject makes a token for the project ref, and a bot that owns it. The token stays within
// the scopes and networks of the presented one. Errors: those of principal.FindAccess; ErrNotManager;
// fault.ErrSwitchedOff; ErrOwnerLevel; ErrScopeBeyondCaller; ErrNetworksBeyondCaller; ErrUnfit.
func (i *Issuer) CreateForProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, spec ProjectSpec) (Issued, error) {
	return i.once(ctx, by.Token, spec.Key, func() (Issued, error) { return i.createForProject(ctx, by, kind, ref, spec) })
}

func (i *Issuer) createForProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, spec ProjectSpec) (Issued, error) {
	access, err := i.Opening(ctx, by, kind, ref)
	if err != nil {
		return Issued{}, err
	}
	if spec.Level == project.NoLevel {
		spec.Level = project.Maintainer
	}
	if !access.AtLeast(spec.Level) {
		return Issued{}, ErrOwnerLevel
	}
	if err := shallow(by.Token); err != nil {
		return Issued{}, err
	}
	if spec.Spec, err = i.confined(by, spec.Spec); err != nil {
		return Issued{}, err
	}
	bot := account.Account{
		Name: spec.Name, State: account.Active, Bot: true,
		CreatedAt: i.parts.Clock.Now(), CreatedBy: by.Asker(),
	}
	rules, err := i.rules(ctx)
	if err != nil {
		return Issued{}, err
	}
	spec.Spec = rules.withDefaults(spec.Spec)
	if err := i.check(bot, spec.Spec, rules.latest); err != nil {
		return Issued{}, err
	}
	issued, err := i.minted(by.Token, spec.Key, i.prefixOf(token.KindIn(kind), rules), func(mint mint) (_ Issued, err error) {
		t := childOf(by, i.fresh(bot, by.Asker(), token.KindIn(kind), spec.Spec))
		t.Project, t.Level, t.Generation = access.Project.ID, spec.Level, i.parts.Pepper.Generation(0)
		if err := withinLife(by, t, rules.Settings); err != nil {
			return Issued{}, err
		}
		var bearer secret.Bearer
		t, err = i.parts.Bots.CreateProjectToken(ctx, access.Project, bot, t, func(owner account.ID) (_ secret.Digest, use *secret.Use, err error) {
			bearer, use, err = mint(owner)
			return i.parts.Pepper.Digest(bearer), use, err
		}, eventBy(by, t.CreatedAt, t, audit.Issued))
		return i.issued(t, bot, bearer), err
	})
	if errors.Is(err, fault.ErrNotFound) {
		return Issued{}, kind.Missing()
	}
	return issued, err
}

// Opening returns by's access to the project ref, in which by may make tokens. The access also comes
// with fault.ErrSwitchedOff, because the tokens that exist can still be managed. Errors: those of
// principal.FindAccess; ErrNotManager; fault.ErrSwitchedOff.
func (i *Issuer) Opening(ctx context.Context, by principal.Principal, kind project.Kind, ref string) (principal.Access, error) {
	access, err := principal.FindAccess(ctx, i.parts.Projects, by, kind, ref, i.parts.Clock.Now())
	if err != nil {
		return principal.Access{}, err
	}
	// A token that a bot makes would outlive the bot's own token.
	if by.Account.Bot || !access.AtLeast(kind.ManageLevel()) {
		return principal.Access{}, ErrNotManager
	}
	return access, i.parts.Gate.Allows(ctx, access.Project)
}

// RotateOfProject revokes a project's token and issues its successor, with the same bot and level.
// Errors: those of principal.FindAccess and Rotate; ErrNotManager; ErrNoProjectToken;
// ErrLevelAbove.
func (i *Issuer) RotateOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, id token.ID, r Rotation) (Issued, error) {
	return i.once(ctx, by.Token, r.Key, func() (Issued, error) {
		access, err := principal.FindAccess(ctx, i.parts.Projects, by, kind, ref, i.parts.Clock.Now())
		if err != nil {
			return Issued{}, err
		}
		if !access.AtLeast(kind.ManageLevel()) {
			return Issued{}, ErrNotManager
		}
		old, err := findOfProject(ctx, i.parts.Reader, access.Project, id)
		if err != nil {
			return Issued{}, err
		}
		if !access.AtLeast(old.Level) {
			return Issued{}, ErrLevelAbove
		}
		bot, err := ownerOf(ctx, i.parts.Reader, old)
		if err != nil {
			return Issued{}, err
		}
		return i.rotateByID(ctx, by, bot, old, r)
	})
}

// RotateSelfOfProject revokes the presented token, if it belongs to the project ref, and issues its
// successor. Errors: ErrNotOfProject; those of principal.FindAccess; ErrNotManager for the token of
// another project; those of RotateSelf.
func (i *Issuer) RotateSelfOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, r Rotation) (Issued, error) {
	if !by.Token.Kind.OfProject() {
		return Issued{}, ErrNotOfProject
	}
	access, err := principal.FindAccess(ctx, i.parts.Projects, by, kind, ref, i.parts.Clock.Now())
	if err != nil {
		return Issued{}, err
	}
	if by.Token.Project != access.Project.ID {
		return Issued{}, ErrNotManager
	}
	return i.RotateSelf(ctx, by, r)
}

// ListOfProject returns a part by number of a project's tokens. Errors: those of principal.FindAccess;
// ErrNotManager.
func (l *Lister) ListOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, f Filter, s Sort, offset, limit int) (listing.Part[View], error) {
	views, err := l.AllOfProject(ctx, by, kind, ref)
	if err != nil {
		return listing.Part[View]{}, err
	}
	top := newTop(s, offset+limit)
	for _, v := range views {
		if f.matches(v) {
			top.add(v)
		}
	}
	return top.page(offset), nil
}

// AllOfProject returns all tokens of a project by ascending id. Errors are those of ListOfProject.
func (l *Lister) AllOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string) ([]View, error) {
	access, err := l.manages(ctx, by, kind, ref)
	if err != nil {
		return nil, err
	}
	tokens, err := l.parts.Projects.TokensOfProject(ctx, access.Project.ID)
	if err != nil {
		return nil, err
	}
	bots := map[account.ID]account.Account{}
	var ids []account.ID
	for _, t := range tokens {
		if _, seen := bots[t.Owner]; !seen {
			bots[t.Owner] = account.Ghost()
			ids = append(ids, t.Owner)
		}
	}
	if err := l.parts.Projects.Accounts(ctx, ids, func(u account.Account) { bots[u.ID] = u }); err != nil {
		return nil, err
	}
	now := l.parts.Clock.Now()
	views := make([]View, len(tokens))
	for i, t := range tokens {
		views[i] = l.viewOfBot(t, now, bots[t.Owner], by)
	}
	return views, nil
}

// SelectOfProject lists what s selects of a project's tokens. Errors are those of ListOfProject.
func (l *Lister) SelectOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, s Selection) (Selected, error) {
	views, err := l.AllOfProject(ctx, by, kind, ref)
	if err != nil {
		return Selected{}, err
	}
	return s.from(views, l.parts.Clock.Now()), nil
}

// ChainOfProject returns a project's tokens of a rotation chain, the oldest first. Errors are those of
// ListOfProject.
func (l *Lister) ChainOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, family token.ID) ([]View, error) {
	views, err := l.AllOfProject(ctx, by, kind, ref)
	return slices.DeleteFunc(views, func(v View) bool { return v.Token.Family != family }), err
}

// GetOfProject returns a token of a project. Errors: those of principal.FindAccess; ErrNotManager;
// ErrNoProjectToken.
func (l *Lister) GetOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, id token.ID) (View, error) {
	access, err := l.manages(ctx, by, kind, ref)
	if err != nil {
		return View{}, err
	}
	t, err := findOfProject(ctx, l.parts.Reader, access.Project, id)
	if err != nil {
		return View{}, err
	}
	bot, err := ownerOf(ctx, l.parts.Reader, t)
	if err != nil {
		return View{}, err
	}
	return l.viewOfBot(t, l.parts.Clock.Now(), bot, by), nil
}

func (l *Lister) manages(ctx context.Context, by principal.Principal, kind project.Kind, ref string) (principal.Access, error) {
	access, err := principal.FindAccess(ctx, l.parts.Projects, by, kind, ref, l.parts.Clock.Now())
	if err == nil && !access.AtLeast(kind.ManageLevel()) {
		return access, ErrNotManager
	}
	return access, err
}

// viewOfBot returns t with its state at now. bot is its owner or the ghost.
func (l *Lister) viewOfBot(t token.Token, now time.Time, bot account.Account, by principal.Principal) View {
	v := l.viewOf(t, now, bot, by)
	v.Gone = bot.ID != t.Owner
	return v
}

// A NotManager is an ErrNotManager with the token that was to be revoked.
type NotManager struct{ Token token.Token }

// Error leaves out names, because people choose them.
func (n *NotManager) Error() string { return ErrNotManager.Error() }

func (n *NotManager) Unwrap() error { return ErrNotManager }

// RevokeOfProject revokes a token of a project and deletes its bot. Errors: those of
// principal.FindAccess; ErrNoProjectToken; *NotManager; token.ErrSuperseded as for Revoke.
func (r *Revoker) RevokeOfProject(ctx context.Context, by principal.Principal, kind project.Kind, ref string, id token.ID, reach Reach) (Revocation, error) {
	access, err := principal.FindAccess(ctx, r.parts.Projects, by, kind, ref, r.parts.Clock.Now())
	if err != nil {
		return Revocation{}, err
	}
	t, err := findOfProject(ctx, r.parts.Reader, access.Project, id)
	if err != nil {
		return Revocation{}, err
	}
	if !access.AtLeast(kind.ManageLevel()) {
		return Revocation{}, &NotManager{t}
	}
	return r.end(ctx, by, sourceOf(by, t), t, reach)
}

// findOfProject returns a token of a project in any state.
func findOfProject(ctx context.Context, reader TokenReader, proj project.Project, id token.ID) (token.Token, error) {
	t, err := reader.Token(ctx, id)
	if errors.Is(err, fault.ErrNotFound) || err == nil && t.Project != proj.ID {
		return token.Token{}, ErrNoProjectToken
	}
	return t, err
}

// ownerOf returns the owner of a token. For a deleted owner it is the ghost, whose tokens are all
// invalid.
func ownerOf(ctx context.Context, reader TokenReader, t token.Token) (account.Account, error) {
	bot, err := reader.Account(ctx, t.Owner)
	if errors.Is(err, fault.ErrNotFound) {
		return account.Ghost(), nil
	}
	return bot, err
}
