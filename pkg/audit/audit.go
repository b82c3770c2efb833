// Package audit describes audit events: what happened, to whom, and by whom.
//
// Start with Event. A use case passes the events of a change to the store together with the change,
// and the store writes both in one transaction, so that neither exists without the other. An event
// is a complete value with its time, origin and subject; the store only adds ids that it assigns.
// An event never holds a bearer, a digest or a mail address; see Event.WithoutPrivate. The package
// does no I/O.
//
// The changes and their events:
//
//	token issued, rotated, revoked      one event of the token's kind
//	rotated token reported as leaked    one event of the token's kind
//	every token of an account revoked   TokensRevoked
//	account created, deleted            AccountCreated, AccountDeleted
//	account changed                     AccountUpdated for each attribute
//	account blocked, deactivated, ...   one event of the new state
//	identity linked to an account       IdentityLinked
//	identity taken from an account      IdentityUnlinked
//	sessions ended by signing out       SignedOut
//	project or group created            ProjectCreated, GroupCreated
//	project or group changed            ProjectUpdated, GroupUpdated for each attribute
//	project or group closed, deleted    ProjectClosed, GroupClosed, then ProjectDeleted, GroupDeleted
//	member added, removed               MemberAdded, MemberRemoved
//	member changed                      MemberUpdated for each attribute
//	settings changed                    SettingsUpdated for each setting
//	feature switched, forgotten         FeatureSet, FeatureDeleted
//
// A bot's account and membership live and end with its token, so the token's event covers them.
// ProjectCreated covers a project's first owner. Deleting an account writes a MemberRemoved for
// each of its projects, and deleting a project one for each of its members. Events about refusals, sudo and signing in belong to no change. The last use
// of a token, the marks of mails and the progress of scans change nobody's rights and have no event.
package audit

import (
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// A Name says what happened. Clients know it; it is GitLab's where GitLab has one.
type Name string

// The names of events.
const (
	TokenIssued          Name = "personal_access_token_issued"
	TokenRotated         Name = "personal_access_token_rotated"
	TokenRevoked         Name = "personal_access_token_revoked"
	TokensRevoked        Name = "personal_access_tokens_revoked"
	TokenReused          Name = "personal_access_token_reused"
	ImpersonationIssued  Name = "impersonation_token_issued"
	ImpersonationRotated Name = "impersonation_token_rotated"
	ImpersonationRevoked Name = "impersonation_token_revoked"
	ImpersonationReused  Name = "impersonation_token_reused"
	ProjectTokenIssued   Name = "project_access_token_created"
	ProjectTokenRotated  Name = "project_access_token_rotated"
	ProjectTokenRevoked  Name = "project_access_token_deleted"
	ProjectTokenReused   Name = "project_access_token_reused"
	GroupTokenIssued     Name = "group_access_token_created"
	GroupTokenRotated    Name = "group_access_token_rotated"
	GroupTokenRevoked    Name = "group_access_token_deleted"
	GroupTokenReused     Name = "group_access_token_reused"
	TokenRefused         Name = "personal_access_token_creation_failed"
	ImpersonationRefused Name = "impersonation_token_creation_failed"
	ProjectTokenRefused  Name = "project_access_token_creation_failed"
	GroupTokenRefused    Name = "group_access_token_creation_failed"
	TokenStrayed         Name = "personal_access_token_address_refused"
	ImpersonationStrayed Name = "impersonation_token_address_refused"
	ProjectTokenStrayed  Name = "project_access_token_address_refused"
	GroupTokenStrayed    Name = "group_access_token_address_refused"
	AccountCreated       Name = "user_created"
	AccountUpdated       Name = "user_updated"
	AccountDeleted       Name = "user_destroyed"
	AccountBlocked       Name = "user_blocked"
	AccountUnblocked     Name = "user_unblocked"
	AccountDeactivated   Name = "user_deactivated"
	AccountActivated     Name = "user_activated"
	ProjectCreated       Name = "project_created"
	GroupCreated         Name = "group_created"
	ProjectUpdated       Name = "project_updated"
	GroupUpdated         Name = "group_updated"
	ProjectClosed        Name = "project_deletion_marked"
	GroupClosed          Name = "group_deletion_marked"
	ProjectDeleted       Name = "project_destroyed"
	GroupDeleted         Name = "group_destroyed"
	MemberAdded          Name = "member_created"
	MemberUpdated        Name = "member_updated"
	MemberRemoved        Name = "member_destroyed"
	SettingsUpdated      Name = "application_setting_updated"
	FeatureSet           Name = "feature_flag_set"
	FeatureDeleted       Name = "feature_flag_deleted"
	SudoUsed             Name = "sudo_used"
	SudoRefused          Name = "sudo_refused"
	SignedIn             Name = "user_signed_in"
	SignInRefused        Name = "user_sign_in_refused"
	SignedOut            Name = "user_signed_out"
	IdentityLinked       Name = "user_identity_linked"
	IdentityUnlinked     Name = "user_identity_unlinked"

	TokenReported         Name = "personal_access_token_reported"
	ImpersonationReported Name = "impersonation_token_reported"
	ProjectTokenReported  Name = "project_access_token_reported"
	GroupTokenReported    Name = "group_access_token_reported"
)

// A Source says in what capacity something was done.
type Source string

// The sources.
const (
	Self    Source = "self"    // by the owner
	Admin   Source = "admin"   // by an administrator
	Manager Source = "manager" // by somebody who manages the project or group
	Policy  Source = "policy"  // by the limit on lifetimes, by the removal of a bot, or by a token's networks
	Reuse   Source = "reuse"   // an inactive token was presented for rotation
	Leak    Source = "leak"    // the value was reported as leaked
	Mail    Source = "mail"    // a mail to the account came back
	Console Source = "console" // by an operator with credentials of the AWS account
	// Session is Self without a token: by the owner, signed in to the page.
	Session Source = "session"
	// Provider is for what the identity provider says at a sign-in, such as an administrator's rank.
	Provider Source = "provider"
)

// An EntityType is the kind of an Entity.
type EntityType string

// The types of entity.
const (
	Account  EntityType = "account"
	Project  EntityType = "project"
	Group    EntityType = "group"
	Instance EntityType = "instance"
)

// InstanceID is the id of the one entity of the type Instance.
const InstanceID = 1

// An Entity is the owner of the trail that an event belongs to.
type Entity struct {
	Type EntityType
	ID   int64
}

// AccountEntity returns the entity of an account.
func AccountEntity(id account.ID) Entity { return Entity{Account, int64(id)} }

// ProjectEntity returns the entity of a project or group.
func ProjectEntity(kind token.Kind, id project.ID) Entity {
	if kind == token.Group {
		return Entity{Group, int64(id)}
	}
	return Entity{Project, int64(id)}
}

// TokenEntity returns the entity whose trail has the events of a token: the token's project or
// group, otherwise its owner.
func TokenEntity(t token.Token) Entity {
	if t.Kind.OfProject() {
		return ProjectEntity(t.Kind, t.Project)
	}
	return AccountEntity(t.Owner)
}

// A Deed is something done with a token.
type Deed int

// The deeds.
const (
	Issued Deed = iota
	Rotated
	Revoked
	Reused
	Refused  // could not be issued
	Strayed  // used from outside its networks
	Reported // as leaked, after its rotation
)

var tokenNames = map[token.Kind][7]Name{
	token.Personal:      {TokenIssued, TokenRotated, TokenRevoked, TokenReused, TokenRefused, TokenStrayed, TokenReported},
	token.Impersonation: {ImpersonationIssued, ImpersonationRotated, ImpersonationRevoked, ImpersonationReused, ImpersonationRefused, ImpersonationStrayed, ImpersonationReported},
	token.Project:       {ProjectTokenIssued, ProjectTokenRotated, ProjectTokenRevoked, ProjectTokenReused, ProjectTokenRefused, ProjectTokenStrayed, ProjectTokenReported},
	token.Group:         {GroupTokenIssued, GroupTokenRotated, GroupTokenRevoked, GroupTokenReused, GroupTokenRefused, GroupTokenStrayed, GroupTokenReported},
}

// NameOf returns the name of the event when deed is done with a token of this kind.
func NameOf(kind token.Kind, deed Deed) Name { return tokenNames[kind][deed] }

// Deed returns what the name says was done with a token of any kind. known is false for other events.
func (n Name) Deed() (done Deed, known bool) {
	for _, names := range tokenNames {
		if i := slices.Index(names[:], n); i >= 0 {
			return Deed(i), true
		}
	}
	return 0, false
}

// OfImpersonation reports whether the name is about impersonation tokens, which only administrators
// may know about.
func (n Name) OfImpersonation() bool {
	names := tokenNames[token.Impersonation]
	return slices.Contains(names[:], n)
}

// OfToken returns the event of a deed. The store fills in the id of a token that it creates.
func OfToken(at time.Time, from Origin, t token.Token, deed Deed) Event {
	return Event{At: at, Name: NameOf(t.Kind, deed), Entity: TokenEntity(t), Origin: from, Token: t.ID, Target: t.Name}
}

// OfAccount returns an event about an account.
func OfAccount(at time.Time, from Origin, name Name, acct account.Account) Event {
	return Event{At: at, Name: name, Entity: AccountEntity(acct.ID), Origin: from, Target: acct.Username}
}

// OfInstance returns an event about the whole installation.
func OfInstance(at time.Time, from Origin, name Name, target string) Event {
	return Event{At: at, Name: name, Entity: Entity{Instance, InstanceID}, Origin: from, Target: target}
}

// Left turns e, the event of an account that leaves all its projects, into the event of one of
// them, in which it had level.
func (e Event) Left(kind project.Kind, id project.ID, level project.Level) Event {
	e.Entity = ProjectEntity(token.KindIn(kind), id)
	e.Change, e.From = "level", LevelText(level)
	return e
}

// LevelText returns the text of a level in events, or "" for none.
func LevelText(level project.Level) string {
	if level == project.NoLevel {
		return ""
	}
	return strconv.Itoa(int(level))
}

// An Origin says where a request came from. The zero Origin stands for work that nobody requested.
type Origin struct {
	// Author is the account that the request ran as, or 0.
	Author account.ID
	// Asker is the administrator who acts as Author by sudo or an impersonation token, or 0.
	Asker account.ID
	// Presented is the token of the request.
	Presented token.ID
	RequestID string
	// Address is the client's address as the gateway reports it, or "".
	Address string
	Source  Source
}

// By returns the origin of a change that by requests in a capacity. Requests of the console have
// the source Console, and what people do on the page to what is their own has the source Session.
func By(by principal.Principal, source Source) Origin {
	from := Origin{Author: by.Account.ID, Presented: by.Token.ID, RequestID: by.Request.ID, Source: source}
	if asker := by.Asker(); asker != by.Account.ID {
		from.Asker = asker
	}
	if by.Request.Address.IsValid() {
		from.Address = by.Request.Address.String()
	}
	switch {
	case by.Request.Console:
		from.Source = Console
	case by.Request.Session && source == Self:
		from.Source = Session
	}
	return from
}

// A Period is the part of a trail between two instants, both included.
type Period struct {
	From, To time.Time
	// Behind is the Place of the event at which the part before ended, or "".
	Behind string
	// Expected is about how many of the events somebody will look at, or 0 if nobody knows. It decides what
	// the list costs, and not what it has.
	Expected int
}

// An Event is one thing that happened.
type Event struct {
	ID int64 // see IDs
	// Place is its place in the trail, which a store assigns: unlike ID, no other event has it.
	Place  string
	At     time.Time
	Name   Name
	Entity Entity
	Origin
	// Token is the token that it happened to, or 0, and Previous the token that it replaced.
	Token, Previous token.ID
	// Target is the name of what it happened to: a token's or setting's name, or a username.
	Target string
	// Change names the attribute that changed, and From and To its values if they are short.
	Change, From, To string
	// Omitted is how many refusals of the same name and presented token were not recorded before
	// this one.
	Omitted int
	// Tokens is how many working tokens TokensRevoked ended; 0 also means that they could not be
	// counted.
	Tokens int
}

// private matches texts that may be a mail address, a bearer or a digest, because people can type
// anything into a name.
var private = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^\s@]@[^\s@]|[0-9A-Za-z]{36}`) }) // not at the start

// WithoutPrivate returns e without texts that may be private(). The store calls it before it writes.
func (e Event) WithoutPrivate() Event {
	for _, text := range []*string{&e.Target, &e.From, &e.To} {
		if private().MatchString(*text) {
			*text = ""
		}
	}
	return e
}

// Complete reports whether e has a name, a time, a subject and a source. Ids that the store assigns
// may be missing.
func (e Event) Complete() bool {
	return e.Name != "" && !e.At.IsZero() && e.Entity.Type != "" && e.Source != ""
}

// Is reports whether the event is about this token.
func (e Event) Is(id token.ID) bool { return e.Token == id || e.Previous == id }

// Life is how long an event is kept.
const Life = 365 * 24 * time.Hour
