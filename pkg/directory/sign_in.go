package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/settings"
)

// A Person is who an identity provider says has signed in, from a verified ID token.
type Person struct {
	Identity account.Identity
	// Email counts only with EmailVerified. It is never logged.
	Email         string
	EmailVerified bool
	// Username and Name are wishes for a new account.
	Username, Name string
	// Admin is what the operator's claim for administrators says. It counts only with
	// SignInParts.ClaimRanks.
	Admin bool
}

// A SignInStore changes accounts for people who sign in. Absence is fault.ErrNotFound.
type SignInStore interface {
	// CreateAccount is that of AccountStore, and also returns account.ErrIdentityTaken.
	CreateAccount(ctx context.Context, u account.Account, created audit.Event) (account.Account, error)
	// UpdateAccount is that of AccountStore.
	UpdateAccount(ctx context.Context, before, after account.Account, updated []audit.Event) error
	// LinkIdentity lets an identity sign in as an account without one. Errors:
	// account.ErrIdentityTaken, and fault.ErrMoved if the account has an identity or differs from
	// before in name, mail address, state or rank.
	LinkIdentity(ctx context.Context, before account.Account, identity account.Identity, linked audit.Event) error
	// UnlinkIdentity takes before's identity from it and ends its sessions. Errors: fault.ErrNotFound,
	// and fault.ErrMoved if the account has another identity or none.
	UnlinkIdentity(ctx context.Context, before account.Account, unlinked audit.Event) error
	// EndSessions raises the account's SessionNumber if it is before. A second call is safe.
	EndSessions(ctx context.Context, id account.ID, before int64, ended audit.Event) error
	// Record writes events that belong to no change.
	Record(ctx context.Context, events ...audit.Event) error
}

// A RefusalTrail records that somebody was not signed in. It may leave out repeated refusals.
type RefusalTrail interface {
	Refusal(ctx context.Context, event audit.Event) error
}

// A SignInReader reads accounts consistently. Absence is fault.ErrNotFound.
type SignInReader interface {
	AccountByIdentity(ctx context.Context, identity account.Identity) (account.Account, error)
	// AccountByEmail and AccountByName find in any case.
	AccountByEmail(ctx context.Context, email string) (account.Account, error)
	AccountByName(ctx context.Context, username string) (account.Account, error)
	AccountAndSettings(ctx context.Context, id account.ID) (account.Account, settings.Settings, error)
}

// SignIns decide as which account a person signs in, and who a session belongs to. They are safe for
// concurrent use.
type SignIns struct{ parts SignInParts }

// SignInParts hold the dependencies of SignIns.
type SignInParts struct {
	Store  SignInStore
	Reader SignInReader
	Trail  RefusalTrail
	Clock  clock.Clock
	// Creates says that a person without an account gets one.
	Creates bool `optional:""`
	// ClaimRanks says that the provider's claim gives and takes the rank of administrators. Otherwise
	// signing in changes no rank.
	ClaimRanks bool `optional:""`
}

// NewSignIns returns SignIns, or an error that names a missing part.
func NewSignIns(parts SignInParts) (*SignIns, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &SignIns{parts}, nil
}

// The reasons why nobody is signed in. Their family is fault.ErrForbidden.
var (
	// ErrStranger means that the person has no account and gets none.
	ErrStranger = fmt.Errorf("%w: stranger", fault.ErrForbidden)
	// ErrUnverified means that the provider does not vouch for the person's mail address, so nothing
	// may be decided by it.
	ErrUnverified = fmt.Errorf("%w: mail address unverified", fault.ErrForbidden)
	// ErrOperatorLinks means that the account with the person's mail address is an administrator's.
	// Only an operator can link its identity.
	ErrOperatorLinks = fmt.Errorf("%w: account of an administrator", fault.ErrForbidden)
	// ErrOtherIdentity means that the account with the person's mail address has another identity.
	ErrOtherIdentity = fmt.Errorf("%w: account has another identity", fault.ErrForbidden)
)

// SignIn returns the account as which person signs in, after the changes that a sign-in makes.
//
// The identity alone finds the account. A person whose identity no account has gets the account with
// their verified mail address, if it has no identity and is neither an administrator's nor a bot's,
// or else a new account, if the operator allows that.
//
// Errors: ErrStranger, ErrUnverified, ErrOperatorLinks, ErrOtherIdentity, a child of
// account.ErrInactive, fault.ErrConflict when others change the account at the same time.
func (s *SignIns) SignIn(ctx context.Context, request principal.Request, person Person) (account.Account, error) {
	if person.Identity.Issuer == "" || person.Identity.Subject == "" {
		return account.Account{}, fmt.Errorf("%w: no identity", fault.ErrInput)
	}
	var err error
	for range changeTries {
		var acct account.Account
		if acct, err = s.signIn(ctx, request, person); !errors.Is(err, fault.ErrMoved) && !errors.Is(err, account.ErrIdentityTaken) {
			return acct, err
		}
	}
	return account.Account{}, err
}

func (s *SignIns) signIn(ctx context.Context, request principal.Request, person Person) (account.Account, error) {
	acct, err := s.find(ctx, request, person)
	if err != nil {
		return account.Account{}, err
	}
	now := s.parts.Clock.Now()
	by := principal.Visitor(acct, settings.Settings{}, request)
	if err := acct.Usable(); err != nil {
		return account.Account{}, s.refuse(ctx, request, acct, err)
	}
	if s.parts.ClaimRanks && acct.Admin != person.Admin {
		ranked := acct
		ranked.Admin = person.Admin
		if err := s.parts.Store.UpdateAccount(ctx, acct, ranked, changes(now, audit.By(by, audit.Provider), acct, ranked)); err != nil {
			return account.Account{}, err
		}
		acct = ranked
	}
	if err := s.parts.Store.Record(ctx, audit.OfAccount(now, audit.By(by, audit.Self), audit.SignedIn, acct)); err != nil {
		return account.Account{}, err
	}
	return acct, nil
}

// find returns the account of person, and links or makes one if it may.
func (s *SignIns) find(ctx context.Context, request principal.Request, person Person) (account.Account, error) {
	acct, err := s.parts.Reader.AccountByIdentity(ctx, person.Identity)
	if !errors.Is(err, fault.ErrNotFound) {
		return acct, err
	}
	if !person.EmailVerified || person.Email == "" {
		return account.Account{}, ErrUnverified
	}
	given := person.Email
	if address, rule := mailAddress(given); rule == "" {
		person.Email = address
	}
	acct, err = s.parts.Reader.AccountByEmail(ctx, person.Email)
	if errors.Is(err, fault.ErrNotFound) && person.Email != given { // from before addresses had one form
		acct, err = s.parts.Reader.AccountByEmail(ctx, given)
	}
	switch {
	case errors.Is(err, fault.ErrNotFound) && s.parts.Creates:
		return s.create(ctx, request, person)
	case errors.Is(err, fault.ErrNotFound):
		return account.Account{}, ErrStranger
	case err != nil:
		return account.Account{}, err
	case acct.Bot, !sameAddress(acct.Email, person.Email) && !sameAddress(acct.Email, given):
		return account.Account{}, ErrStranger
	case acct.Identity != (account.Identity{}):
		return account.Account{}, s.refuse(ctx, request, acct, ErrOtherIdentity)
	case acct.Admin:
		return account.Account{}, s.refuse(ctx, request, acct, ErrOperatorLinks)
	case acct.Usable() != nil:
		return account.Account{}, s.refuse(ctx, request, acct, acct.Usable())
	}
	return s.link(ctx, principal.Visitor(acct, settings.Settings{}, request), acct, person.Identity)
}

// sameAddress compares mail addresses in any case of ASCII letters. The table's look-up folds more:
// "K", the sign for kelvin, becomes "k", although another mailbox may have it.
func sameAddress(a, b string) bool {
	lower := func(s string) string {
		return strings.Map(func(c rune) rune {
			if 'A' <= c && c <= 'Z' {
				return c + 'a' - 'A'
			}
			return c
		}, s)
	}
	return lower(a) == lower(b)
}

func (s *SignIns) link(ctx context.Context, by principal.Principal, acct account.Account, identity account.Identity) (account.Account, error) {
	event := audit.OfAccount(s.parts.Clock.Now(), audit.By(by, audit.Provider), audit.IdentityLinked, acct)
	if err := s.parts.Store.LinkIdentity(ctx, acct, identity, event); err != nil {
		return account.Account{}, err
	}
	acct.Identity = identity
	return acct, nil
}

// refuse records that somebody could not sign in as acct, and returns why.
func (s *SignIns) refuse(ctx context.Context, request principal.Request, acct account.Account, why error) error {
	from := audit.By(principal.Principal{Request: request}, audit.Provider)
	event := audit.OfAccount(s.parts.Clock.Now(), from, audit.SignInRefused, acct)
	if err := s.parts.Trail.Refusal(ctx, event); err != nil {
		return errors.Join(why, err)
	}
	return why
}

// create makes an account for person. Of the wished username it keeps what is allowed, and adds a
// number if it is taken.
func (s *SignIns) create(ctx context.Context, request principal.Request, person Person) (account.Account, error) {
	now := s.parts.Clock.Now()
	wish, _, _ := strings.Cut(person.Username, "@") // some providers have mail addresses for names
	if wish == "" {
		wish, _, _ = strings.Cut(person.Email, "@")
	}
	name := strings.TrimSpace(person.Name)
	if name == "" || utf8.RuneCountInString(name) > maxNameLength {
		name = username(wish, 1)
	}
	err := account.ErrUsernameTaken
	for n := 1; n <= usernameTries && errors.Is(err, account.ErrUsernameTaken); n++ {
		c := Candidate{Username: username(wish, n), Name: name, Email: person.Email}
		if err := c.check(); err != nil {
			return account.Account{}, err
		}
		acct := account.Account{
			Username: c.Username, Name: c.Name, Email: c.Email, Identity: person.Identity,
			State: account.Active, CreatedAt: now, NextNumber: 1,
		}
		from := audit.By(principal.Principal{Request: request}, audit.Provider)
		if acct, err = s.parts.Store.CreateAccount(ctx, acct, audit.OfAccount(now, from, audit.AccountCreated, acct)); err == nil {
			return acct, nil
		}
	}
	if errors.Is(err, account.ErrEmailTaken) { // somebody made it in the meantime
		err = fmt.Errorf("%w: %w", fault.ErrMoved, err)
	}
	return account.Account{}, err
}

// usernameTries is how many people with the same wish get a name.
const usernameTries = 100

// username returns the nth candidate for a username: wish without forbidden characters, and from the
// second on with a number.
func username(wish string, n int) string {
	name := strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
			return c
		case c == ' ':
			return '.'
		}
		return -1
	}, wish)
	name = strings.Trim(name, "-._")
	if len(name) > maxNameLength/2 {
		name = strings.Trim(name[:maxNameLength/2], "-._")
	}
	if !validUsername(name) || reservedPath(name) {
		name = "user" + strings.Trim("-"+strings.ReplaceAll(name, ".", "-"), "-")
	}
	if n > 1 {
		name = fmt.Sprintf("%s%d", name, n)
	}
	return name
}

// Resume returns the principal of a session. Errors: account.ErrSessionEnded, a child of
// account.ErrInactive, fault.ErrUnavailable, fault.ErrCorrupt.
func (s *SignIns) Resume(ctx context.Context, session account.Session, request principal.Request) (principal.Principal, error) {
	now := s.parts.Clock.Now()
	if !now.Before(session.EndsAt()) { // without a read
		return principal.Principal{}, fmt.Errorf("%w: too old", account.ErrSessionEnded)
	}
	acct, set, err := s.parts.Reader.AccountAndSettings(ctx, session.Account)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return principal.Principal{}, fmt.Errorf("%w: account deleted", account.ErrSessionEnded)
	case err != nil:
		return principal.Principal{}, fmt.Errorf("resume session: %w", err)
	}
	if err := session.Check(acct, now, set.SessionsFrom); err != nil {
		return principal.Principal{}, err
	}
	return principal.Visitor(acct, set, request), nil
}

// SignOut ends all sessions of a visitor, in every browser, and so every copy of a cookie.
func (s *SignIns) SignOut(ctx context.Context, by principal.Principal) error {
	event := audit.OfAccount(s.parts.Clock.Now(), audit.By(by, audit.Self), audit.SignedOut, by.Account)
	return s.parts.Store.EndSessions(ctx, by.Account.ID, by.Account.SessionNumber, event)
}

// LinkByConsole links an identity to the account of a username for an operator. It is the only way to
// link an administrator's. Errors: fault.ErrNotFound, fault.ErrInput, ErrBot, ErrOtherIdentity,
// account.ErrIdentityTaken, fault.ErrMoved.
func (s *SignIns) LinkByConsole(ctx context.Context, requestID, name string, identity account.Identity) (account.Account, error) {
	if !validIssuer(identity.Issuer) || identity.Subject == "" || len(identity.Subject) > maxSubject {
		return account.Account{}, fmt.Errorf("%w: identity", fault.ErrInput)
	}
	acct, err := s.parts.Reader.AccountByName(ctx, name)
	switch {
	case err != nil:
		return account.Account{}, err
	case acct.Bot:
		return account.Account{}, ErrBot
	case acct.Identity == identity:
		return acct, nil
	case acct.Identity != (account.Identity{}):
		return account.Account{}, ErrOtherIdentity
	}
	return s.link(ctx, principal.Console(requestID), acct, identity)
}

// UnlinkByConsole takes its identity from the account of a username for an operator, and ends its
// sessions. Nobody can sign in as the account until an identity is linked to it again, which the next
// sign-in with its verified mail address does for anybody but an administrator. Its tokens go on
// working. An account without an identity stays as it is. Errors: fault.ErrNotFound, fault.ErrMoved.
func (s *SignIns) UnlinkByConsole(ctx context.Context, requestID, name string) (account.Account, error) {
	acct, err := s.parts.Reader.AccountByName(ctx, name)
	if err != nil || acct.Identity == (account.Identity{}) {
		return acct, err
	}
	event := audit.OfAccount(s.parts.Clock.Now(), audit.By(principal.Console(requestID), audit.Console), audit.IdentityUnlinked, acct)
	if err := s.parts.Store.UnlinkIdentity(ctx, acct, event); err != nil {
		return account.Account{}, err
	}
	acct.Identity = account.Identity{}
	return acct, nil
}

// maxSubject is the length of the longest subject (OpenID Connect Core 1.0 section 2).
const maxSubject = 255

func validIssuer(issuer string) bool {
	return (strings.HasPrefix(issuer, "https://") || strings.HasPrefix(issuer, "http://127.0.0.1:")) && !strings.ContainsAny(issuer, "#? ")
}
