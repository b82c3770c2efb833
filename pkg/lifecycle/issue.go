package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

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

const (
	// MaxNameLength is the longest name, in characters.
	MaxNameLength = 255
	// MaxDescriptionLength is the longest description, in characters.
	MaxDescriptionLength = 255

	// rotationDays is the default lifetime of a rotated token.
	rotationDays = 7
)

// An Issuer makes and rotates tokens. It is safe for concurrent use.
type Issuer struct{ parts IssuerParts }

// IssuerParts hold the dependencies of an Issuer. All are required.
type IssuerParts struct {
	Store  IssueStore
	Reader TokenReader
	// Projects finds the projects and groups of tokens, and Bots makes these tokens.
	Projects principal.Projects
	Bots     BotStore
	// Gate decides whether a project may have a new token.
	Gate   Gate
	Scopes *scope.Catalog
	Pepper secret.Pepper
	Format secret.Format
	// Settings has the administrators' settings, including the prefix of new personal tokens.
	Settings SettingsReader
	// ImpersonationPrefix is the prefix of new impersonation tokens.
	ImpersonationPrefix string
	// ProjectPrefix is the prefix of new tokens of projects and groups.
	ProjectPrefix string
	Clock         clock.Clock
	// Random yields secrets; crypto/rand.Reader outside of tests.
	Random io.Reader
}

// NewIssuer returns an Issuer, or an error that names a missing part.
func NewIssuer(parts IssuerParts) (*Issuer, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Issuer{parts}, nil
}

// Scopes returns the catalog of scopes.
func (i *Issuer) Scopes() *scope.Catalog { return i.parts.Scopes }

// CheckChosen returns secret.ErrMalformed or secret.ErrReserved for a value that no token may have.
func (i *Issuer) CheckChosen(value string) error {
	_, err := i.parts.Format.Choose(value)
	return err
}

// A Spec describes a token to make.
type Spec struct {
	Name        string
	Description string
	Scopes      scope.Set
	// ExpiresOn is the day from which it is expired; no day asks for the default.
	ExpiresOn clock.Day
	// Life asks for a short life instead, in whole seconds from token.MinLife to token.MaxLife.
	Life time.Duration
	// Networks are where it may be used. The default is the networks of the presented token, or
	// everywhere where an administrator makes a token for an account.
	Networks token.Networks
	// Key is the client's idempotency key, or the zero Key.
	Key Key
}

// A Key is an idempotency key with everything that a retry must repeat to get the first reply
// again. The zero Key is none.
type Key struct {
	Key  string
	Body []byte
}

// Issued is a new token and its bearer. No other value holds a new bearer.
type Issued struct {
	Token  token.Token
	Bearer secret.Bearer
	// Scopes are its effective scopes.
	Scopes scope.Set
}

// ErrUnfit means that the requested token breaks a rule. It wraps fault.Breaches.
var ErrUnfit = fmt.Errorf("%w: token", fault.ErrInput)

// ErrScopeBeyondCaller means that the presented token does not cover a requested scope.
var ErrScopeBeyondCaller = fmt.Errorf("%w: scope beyond the caller's", fault.ErrInput)

// ErrNetworksBeyondCaller means that the requested token could be used from networks that the
// presented token excludes.
var ErrNetworksBeyondCaller = fmt.Errorf("%w: networks beyond the caller's", fault.ErrInput)

// ErrImpersonated means that an impersonation token was used to request an ordinary token. It would
// outlive the impersonation and pass for the owner's own.
var ErrImpersonated = fmt.Errorf("%w: with an impersonation token", fault.ErrForbidden)

// ErrForBot means that another token was requested for a bot, which has exactly one.
var ErrForBot = fmt.Errorf("%w: owner is a bot", fault.ErrForbidden)

// ErrImpersonationOff means that an administrator has switched impersonation off: its tokens are
// refused, and none are issued.
var ErrImpersonationOff = fmt.Errorf("%w: impersonation", fault.ErrSwitchedOff)

// CreateFor makes a token for owner. Only administrators may. Errors: fault.ErrForbidden,
// fault.ErrNotFound for a missing owner, ErrUnfit, a child of account.ErrInactive for an inactive
// owner, ErrForBot, ErrImpersonated.
func (i *Issuer) CreateFor(ctx context.Context, by principal.Principal, owner account.ID, spec Spec) (Issued, error) {
	return i.createFor(ctx, by, owner, token.Personal, spec)
}

// CreateImpersonation makes a token with which administrators act as owner, who never sees it.
// Errors are those of CreateFor, and ErrImpersonationOff.
func (i *Issuer) CreateImpersonation(ctx context.Context, by principal.Principal, owner account.ID, spec Spec) (Issued, error) {
	return i.createFor(ctx, by, owner, token.Impersonation, spec)
}

func (i *Issuer) createFor(ctx context.Context, by principal.Principal, owner account.ID, kind token.Kind, spec Spec) (Issued, error) {
	if !by.Account.Admin {
		return Issued{}, fault.ErrForbidden
	}
	if !mayMake(by, kind, owner) {
		return Issued{}, ErrImpersonated
	}
	return i.once(ctx, by.Token, spec.Key, func() (Issued, error) {
		if err := shallow(by.Token); err != nil {
			return Issued{}, err
		}
		acct, err := i.parts.Reader.Account(ctx, owner)
		switch {
		case err != nil:
			return Issued{}, err
		case acct.Bot:
			return Issued{}, ErrForBot
		}
		rules, err := i.rules(ctx)
		if err != nil {
			return Issued{}, err
		}
		if kind == token.Impersonation && rules.ImpersonationOff {
			return Issued{}, ErrImpersonationOff
		}
		spec = rules.withDefaults(spec)
		if err := i.check(acct, spec, rules.latest); err != nil {
			return Issued{}, err
		}
		return i.create(ctx, by, acct, kind, spec, rules, false)
	})
}

// mayMake reports whether the presented token lets by receive the bearer of a new token of this
// kind for owner.
func mayMake(by principal.Principal, kind token.Kind, owner account.ID) bool {
	return by.Token.Kind != token.Impersonation || kind == token.Impersonation ||
		owner != by.Account.ID && owner != by.Token.Owner
}

// CreateForSelf makes a token for the caller that is no stronger than the presented one in scopes,
// expiry and networks. Under sudo it is for the account that the caller acts as. Somebody who is
// signed in to the page presents no token, so only the rules for the account apply. Errors are those
// of CreateFor, ErrScopeBeyondCaller and ErrNetworksBeyondCaller.
func (i *Issuer) CreateForSelf(ctx context.Context, by principal.Principal, spec Spec) (Issued, error) {
	if !mayMake(by, token.Personal, by.Account.ID) {
		return Issued{}, ErrImpersonated
	}
	if by.Account.Bot {
		return Issued{}, ErrForBot
	}
	return i.once(ctx, by.Token, spec.Key, func() (Issued, error) {
		if err := shallow(by.Token); err != nil {
			return Issued{}, err
		}
		spec, err := i.confined(by, spec)
		if err != nil {
			return Issued{}, err
		}
		rules, err := i.rules(ctx)
		if err != nil {
			return Issued{}, err
		}
		if ends := by.Token.EndsOn(); rules.latest.After(ends) {
			rules.latest = ends
		}
		spec = rules.withDefaults(spec)
		if err := i.check(by.Account, spec, rules.latest); err != nil {
			return Issued{}, err
		}
		return i.create(ctx, by, by.Account, token.Personal, spec, rules, by.Account.ID == by.Token.Owner)
	})
}

// shallow returns token.ErrTooDeep if t may make no other token.
func shallow(t token.Token) error {
	if t.Depth >= token.MaxDepth {
		return token.ErrTooDeep
	}
	return nil
}

// makerOf returns the presented token as the maker of what is asked for.
func makerOf(by principal.Principal) token.Maker {
	return token.Maker{ID: by.Token.ID, Family: by.Token.Family, Digest: by.Token.Digest}
}

// childOf places a new token below the presented one. Without one it is a root.
func childOf(by principal.Principal, t token.Token) token.Token {
	if by.Token.ID != 0 {
		t.Parent, t.ParentKind, t.Depth, t.Maker = by.Token.ID, by.Token.Kind, by.Token.Depth+1, makerOf(by)
	}
	return t
}

// confined returns spec with the networks of the presented token unless it asks for others, and
// refuses what goes beyond the presented token.
func (i *Issuer) confined(by principal.Principal, spec Spec) (Spec, error) {
	if len(spec.Networks) == 0 {
		spec.Networks = by.Token.Networks
	}
	return spec, i.within(by, spec.Scopes, spec.Networks)
}

// within returns ErrScopeBeyondCaller or ErrNetworksBeyondCaller for a token that could do what the
// presented one cannot hand on. Somebody who is signed in to the page presents none.
func (i *Issuer) within(by principal.Principal, scopes scope.Set, networks token.Networks) error {
	switch {
	case by.Request.Session:
		return nil
	case !i.parts.Scopes.Covers(by.Scopes, scopes):
		return ErrScopeBeyondCaller
	case !networks.Within(by.Token.Networks):
		return ErrNetworksBeyondCaller
	}
	return nil
}

// Check returns ErrUnfit with every rule that a token for owner would break. It serves callers who
// must know before the owner exists.
func (i *Issuer) Check(ctx context.Context, owner account.Account, spec Spec) error {
	rules, err := i.rules(ctx)
	if err != nil {
		return err
	}
	return i.check(owner, rules.withDefaults(spec), rules.latest)
}

// CheckValue returns fault.ErrTaken if a token already has this value.
func (i *Issuer) CheckValue(ctx context.Context, value string) error {
	_, err := findValue(ctx, i.parts.Reader, i.parts.Format, i.parts.Pepper, value)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return nil
	case err != nil:
		return err
	default:
		return fault.ErrTaken
	}
}

// rules are the limits for tokens made now.
type rules struct {
	settings.Settings
	now   time.Time
	today clock.Day
	// latest is the last day on which a token may expire; no day is never.
	latest clock.Day
}

// rules reads the settings again, because an administrator expects a change to apply at once.
func (i *Issuer) rules(ctx context.Context) (rules, error) {
	p, err := i.parts.Settings.TokenSettings(ctx)
	if err != nil {
		return rules{}, fmt.Errorf("read settings: %w", err)
	}
	now := i.parts.Clock.Now()
	r := rules{Settings: p, now: now.Truncate(time.Second), today: clock.DayOf(now)}
	if latest, limited := p.Latest(r.today); limited {
		r.latest = latest
	}
	return r, nil
}

// withDefaults fills in the latest allowed day if none is requested.
func (r rules) withDefaults(spec Spec) Spec {
	switch {
	case spec.Life != 0:
		spec.ExpiresOn = token.FirstDayFrom(r.now.Add(spec.Life))
	case spec.ExpiresOn.IsZero():
		spec.ExpiresOn = r.latest
	}
	return spec
}

// CreateByConsole makes a token for owner, with a value of the operator's choice or a generated one
// for "". Errors are those of CreateFor, secret.ErrMalformed or secret.ErrReserved for an invalid
// value, and fault.ErrTaken for one in use.
func (i *Issuer) CreateByConsole(ctx context.Context, requestID string, owner account.Account, spec Spec, value string) (Issued, error) {
	rules, err := i.rules(ctx)
	if err != nil {
		return Issued{}, err
	}
	spec = rules.withDefaults(spec)
	if err := i.check(owner, spec, rules.latest); err != nil {
		return Issued{}, err
	}
	if owner.Bot {
		return Issued{}, ErrForBot
	}
	if err := owner.Usable(); err != nil {
		return Issued{}, err
	}
	var bearer secret.Bearer
	if value == "" {
		bearer, err = secret.New(rules.Prefix, int64(owner.ID), i.parts.Random)
	} else {
		bearer, err = i.parts.Format.Choose(value)
	}
	if err != nil {
		return Issued{}, fmt.Errorf("%w: %w", fault.ErrInput, err)
	}
	t := i.fresh(owner, 0, token.Personal, spec)
	i.seal(&t, bearer)
	event := eventBy(principal.Console(requestID), t.CreatedAt, t, audit.Issued)
	t, err = i.parts.Store.CreateToken(ctx, owner, t, nil, event, i.parts.Pepper.Digests(bearer)[1:]...)
	return i.issued(t, owner, bearer), err
}

// issued returns a new token of owner with its bearer.
func (i *Issuer) issued(t token.Token, owner account.Account, bearer secret.Bearer) Issued {
	return Issued{Token: t, Bearer: bearer, Scopes: t.EffectiveScopes(i.parts.Scopes, owner)}
}

// seal makes bearer that of t.
func (i *Issuer) seal(t *token.Token, bearer secret.Bearer) {
	t.Digest, t.Generation = i.parts.Pepper.Digest(bearer), i.parts.Pepper.Generation(0)
}

func (i *Issuer) today() clock.Day { return clock.DayOf(i.parts.Clock.Now()) }

// check reports every rule that spec breaks. latest is the last day on which the token may expire;
// no day is never.
func (i *Issuer) check(owner account.Account, spec Spec, latest clock.Day) error {
	var broken fault.Breaches
	switch {
	case strings.TrimSpace(spec.Name) == "":
		broken.Add("name", fault.Blank, nil)
	case utf8.RuneCountInString(spec.Name) > MaxNameLength:
		broken.Add("name", fault.TooLong, MaxNameLength)
	}
	switch {
	case len(spec.Scopes) == 0:
		broken.Add("scopes", fault.Blank, nil)
	case !i.parts.Scopes.Knows(spec.Scopes), owner.Bot && i.parts.Scopes.PersonalOnly(spec.Scopes):
		broken.Add("scopes", fault.NotInList, nil)
	}
	if utf8.RuneCountInString(spec.Description) > MaxDescriptionLength {
		broken.Add("description", fault.TooLong, MaxDescriptionLength)
	}
	if s, some := i.parts.Scopes.AdminOnly(spec.Scopes); some && !owner.Admin {
		broken.Add("scopes", fault.AdminsOnly, s)
	}
	if spec.Life != 0 && (spec.Life < token.MinLife || spec.Life > token.MaxLife) {
		broken.Add("expires_in", fault.OutOfRange, fault.Range{Least: int(token.MinLife.Seconds()), Most: int(token.MaxLife.Seconds())})
	} else {
		i.checkExpiry(&broken, spec.ExpiresOn, latest)
	}
	return unfit(broken)
}

func unfit(broken fault.Breaches) error {
	if len(broken) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnfit, broken)
}

// checkExpiry refuses days beyond the limit, and days on which the token would already be expired.
// GitLab accepts the latter, and its users asked for a check.
func (i *Issuer) checkExpiry(broken *fault.Breaches, on, latest clock.Day) {
	switch {
	case !on.After(i.today()):
		broken.Add("expires_on", fault.TooEarly, i.today())
	case on.After(latest):
		broken.Add("expires_on", fault.TooLate, latest)
	}
}

// fresh returns the requested token, without a bearer.
func (i *Issuer) fresh(owner account.Account, by account.ID, kind token.Kind, spec Spec) token.Token {
	t := token.Token{
		Kind:        kind,
		Owner:       owner.ID,
		Name:        spec.Name,
		Description: spec.Description,
		Scopes:      spec.Scopes,
		CreatedAt:   i.parts.Clock.Now(),
		CreatedBy:   by,
		ExpiresOn:   spec.ExpiresOn,
		Life:        spec.Life,
		Networks:    spec.Networks,
	}
	if t.Life > 0 {
		t.ExpiresOn = token.FirstDayFrom(t.ExpiresAt())
	}
	return t
}

// create makes a token. own says that by makes it for its own account by the route for that.
func (i *Issuer) create(ctx context.Context, by principal.Principal, owner account.Account, kind token.Kind, spec Spec, rules rules, own bool) (Issued, error) {
	if err := owner.Usable(); err != nil {
		return Issued{}, err
	}
	return i.minted(by.Token, spec.Key, i.prefixOf(kind, rules), func(mint mint) (Issued, error) {
		bearer, use, err := mint(owner.ID)
		if err != nil {
			return Issued{}, err
		}
		t := childOf(by, i.fresh(owner, by.Asker(), kind, spec))
		t.Maker.Own = own
		if err := withinLife(by, t, rules.Settings); err != nil {
			return Issued{}, err
		}
		i.seal(&t, bearer)
		t, err = i.parts.Store.CreateToken(ctx, owner, t, use, eventBy(by, t.CreatedAt, t, audit.Issued))
		return i.issued(t, owner, bearer), err
	})
}

func (i *Issuer) prefixOf(kind token.Kind, rules rules) string {
	switch {
	case kind == token.Impersonation:
		return i.parts.ImpersonationPrefix
	case kind.OfProject():
		return i.parts.ProjectPrefix
	default:
		return rules.Prefix
	}
}

// A mint makes the bearer of a request for an owner, and the stored use of the request's
// idempotency key, if it has one.
type mint func(owner account.ID) (secret.Bearer, *secret.Use, error)

// once returns what caller got under key before, whatever has changed since then, or else the result of
// act. An earlier request with the key may still be under way when act begins, and act may find a change that
// came after it. So a failure of act counts only if the key has made nothing.
func (i *Issuer) once(ctx context.Context, caller token.Token, key Key, act func() (Issued, error)) (Issued, error) {
	if issued, err := i.Replay(ctx, caller, key); !errors.Is(err, fault.ErrNotFound) {
		return issued, err
	}
	issued, failure := act()
	if failure == nil {
		return issued, nil
	}
	if issued, err := i.Replay(ctx, caller, key); !errors.Is(err, fault.ErrNotFound) {
		return issued, err
	}
	return Issued{}, failure
}

// minted runs write with a mint of new bearers.
func (i *Issuer) minted(caller token.Token, key Key, prefix string, write func(mint) (Issued, error)) (Issued, error) {
	if key.Key == "" {
		return write(func(owner account.ID) (secret.Bearer, *secret.Use, error) {
			bearer, err := secret.New(prefix, int64(owner), i.parts.Random)
			if err != nil {
				return secret.Bearer{}, nil, fmt.Errorf("make bearer: %w", err)
			}
			return bearer, nil, nil
		})
	}
	nonce, err := secret.NewNonce(i.parts.Random)
	if err != nil {
		return Issued{}, fmt.Errorf("make nonce: %w", err)
	}
	request := secret.Request{Caller: caller.Digest, Generation: caller.Generation, Key: key.Key, Body: key.Body}
	return write(func(owner account.ID) (secret.Bearer, *secret.Use, error) {
		use := secret.Use{
			Handle: i.parts.Pepper.Handle(request), Fingerprint: i.parts.Pepper.Fingerprint(request),
			Nonce: nonce, Prefix: prefix, Owner: int64(owner), At: i.parts.Clock.Now(),
		}
		bearer, err := i.parts.Pepper.Derive(request, nonce, use.Prefix, use.Owner)
		if err != nil {
			return secret.Bearer{}, nil, fmt.Errorf("derive bearer: %w", err)
		}
		return bearer, &use, nil
	})
}

// ErrKeyReused means that an idempotency key was used for another request.
var ErrKeyReused = fmt.Errorf("%w: idempotency key stands for another request", fault.ErrConflict)

// Replay returns the result that caller got under key within the last 24 hours. It returns
// fault.ErrNotFound if there is none, and ErrKeyReused if the key belongs to another request.
// The caller may be inactive by now, so that a token that has rotated itself can ask for a lost reply.
func (i *Issuer) Replay(ctx context.Context, caller token.Token, key Key) (Issued, error) {
	if key.Key == "" {
		return Issued{}, fault.ErrNotFound
	}
	request := secret.Request{Caller: caller.Digest, Generation: caller.Generation, Key: key.Key, Body: key.Body}
	use, err := i.parts.Store.Use(ctx, i.parts.Pepper.Handle(request))
	if err != nil {
		return Issued{}, err
	}
	if !use.Good(i.parts.Clock.Now()) {
		return Issued{}, fault.ErrNotFound
	}
	if use.Fingerprint != i.parts.Pepper.Fingerprint(request) {
		return Issued{}, ErrKeyReused
	}
	bearer, err := i.parts.Pepper.Derive(request, use.Nonce, use.Prefix, use.Owner)
	if err != nil {
		return Issued{}, fmt.Errorf("derive bearer again: %w", err)
	}
	t, err := tokenOf(ctx, i.parts.Reader, i.parts.Pepper, bearer)
	if err != nil {
		return Issued{}, err
	}
	t.LastUsedIPs = nil
	t.LastUsedAt, t.RevokedAt, t.RevokedReason = time.Time{}, time.Time{}, ""
	t.WorksUntil, t.SupersededAt, t.TakenOverAt, t.UntilUsed = time.Time{}, time.Time{}, time.Time{}, false
	owner, err := ownerOf(ctx, i.parts.Reader, t)
	return i.issued(t, owner, bearer), err
}
