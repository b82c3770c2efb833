// Package audit describes what happened, to whom and by whom: the events of the
// audit trail.
//
// Start with Event. A use case makes the events of a change and hands them to the
// store together with the change; the store writes both in one transaction, so
// that no change goes without its event and no event without its change. An event
// is a value that is complete: it says when, by whom and about what. Only an id
// that the store gives out is put in there. An event never holds a bearer, a
// digest or a mail address; see Event.WithoutPrivate. The package does no I/O.
//
// The changes and their events:
//
//	token issued, rotated, revoked      one event of the token's kind
//	every token of an account revoked   TokensRevoked
//	account created, deleted            AccountCreated, AccountDeleted
//	account changed                     AccountUpdated for each attribute
//	account blocked, deactivated, ...   one event of the new state
//	project or group created            ProjectCreated, GroupCreated
//	member added, removed               MemberAdded, MemberRemoved
//	member changed                      MemberUpdated for each attribute
//	settings changed                    SettingsUpdated for each setting
//	feature switched, forgotten         FeatureSet, FeatureDeleted
//
// The account and the membership of a bot live and end with its token, whose
// event covers them, and so does ProjectCreated for a project's first owner. An
// account that is deleted leaves every project with a MemberRemoved of its own.
// Record of refusals and of sudo belong to no change. The last use of a token,
// the marks of mails and the progress of scans change nobody's rights and have no
// event.
package audit

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// A Name says what happened. It is an id that clients know, GitLab's where it has
// one.
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
	MemberAdded          Name = "member_created"
	MemberUpdated        Name = "member_updated"
	MemberRemoved        Name = "member_destroyed"
	SettingsUpdated      Name = "application_setting_updated"
	FeatureSet           Name = "feature_flag_set"
	FeatureDeleted       Name = "feature_flag_deleted"
	SudoUsed             Name = "sudo_used"
	SudoRefused          Name = "sudo_refused"
)

// A Source says by what way something was done.
type Source string

// The sources.
const (
	Self    Source = "self"    // by the owner
	Admin   Source = "admin"   // by an administrator
	Manager Source = "manager" // by somebody who manages the project or group
	Policy  Source = "policy"  // by the limit on lifetimes, because a bot's time was over, or by a token's networks
	Reuse   Source = "reuse"   // a token that had ended was presented for rotation
	Leak    Source = "leak"    // its value was reported as leaked
	Console Source = "console" // by an operator with credentials of the AWS account
)

// An EntityType is what an event is about.
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

// An Entity is whose trail an event belongs to.
type Entity struct {
	Type EntityType
	ID   int64
}

// AccountEntity is the account with this id.
func AccountEntity(id account.ID) Entity { return Entity{Account, int64(id)} }

// ProjectEntity is the project or group with this id.
func ProjectEntity(kind token.Kind, id project.ID) Entity {
	if kind == token.Group {
		return Entity{Group, int64(id)}
	}
	return Entity{Project, int64(id)}
}

// TokenEntity is whose trail the events of a token belong to: the project's or
// group's that it is of, and otherwise its owner's.
func TokenEntity(t token.Token) Entity {
	if t.Kind.OfProject() {
		return ProjectEntity(t.Kind, t.Project)
	}
	return AccountEntity(t.Owner)
}

// A Deed is what is done with a token.
type Deed int

// The deeds.
const (
	Issued Deed = iota
	Rotated
	Revoked
	Reused
	Refused // to issue it
	Strayed // used from where it may not be
)

var tokenNames = map[token.Kind][6]Name{
	token.Personal:      {TokenIssued, TokenRotated, TokenRevoked, TokenReused, TokenRefused, TokenStrayed},
	token.Impersonation: {ImpersonationIssued, ImpersonationRotated, ImpersonationRevoked, ImpersonationReused, ImpersonationRefused, ImpersonationStrayed},
	token.Project:       {ProjectTokenIssued, ProjectTokenRotated, ProjectTokenRevoked, ProjectTokenReused, ProjectTokenRefused, ProjectTokenStrayed},
	token.Group:         {GroupTokenIssued, GroupTokenRotated, GroupTokenRevoked, GroupTokenReused, GroupTokenRefused, GroupTokenStrayed},
}

// NameOf is the name of what is done with a token of this kind.
func NameOf(kind token.Kind, deed Deed) Name { return tokenNames[kind][deed] }

// OfImpersonation reports whether the name is about impersonation tokens, of
// which only administrators know.
func (n Name) OfImpersonation() bool {
	names := tokenNames[token.Impersonation]
	return slices.Contains(names[:], n)
}

// OfToken is the event of something that is done with a token. The store puts in
// the id of one that is only made then.
func OfToken(at time.Time, from Origin, t token.Token, deed Deed) Event {
	return Event{At: at, Name: NameOf(t.Kind, deed), Entity: TokenEntity(t), Origin: from, Token: t.ID, Target: t.Name}
}

// OfAccount is the event of something that is done with an account.
func OfAccount(at time.Time, from Origin, name Name, acct account.Account) Event {
	return Event{At: at, Name: name, Entity: AccountEntity(acct.ID), Origin: from, Target: acct.Username}
}

// OfInstance is the event of something that holds for the whole installation.
func OfInstance(at time.Time, from Origin, name Name, target string) Event {
	return Event{At: at, Name: name, Entity: Entity{Instance, InstanceID}, Origin: from, Target: target}
}

// Left turns e, the event of an account that leaves whatever it is a member of,
// into that of the project in which it had a level.
func (e Event) Left(kind project.Kind, id project.ID, level project.Level) Event {
	e.Entity = ProjectEntity(token.KindIn(kind), id)
	e.Change, e.From = "level", LevelText(level)
	return e
}

// LevelText is how an event writes a level, "" for none.
func LevelText(level project.Level) string {
	if level == project.NoLevel {
		return ""
	}
	return strconv.Itoa(int(level))
}

// An Origin is where a request came from. The zero Origin is that of work
// nobody asked for.
type Origin struct {
	// Author is the account that the request ran as, 0 for none.
	Author account.ID
	// Asker is the administrator behind Author by sudo or by an impersonation
	// token, 0 for none.
	Asker account.ID
	// Presented is the token that the request was made with.
	Presented token.ID
	RequestID string
	// Address is the one that the gateway reports, "" where it is not known.
	Address string
	Source  Source
}

// By is where a change comes from that by asks for in a capacity. What the console
// asks for comes from the console.
func By(by principal.Principal, source Source) Origin {
	from := Origin{Author: by.Account.ID, Presented: by.Token.ID, RequestID: by.Request.ID, Source: source}
	if asker := by.Asker(); asker != by.Account.ID {
		from.Asker = asker
	}
	if by.Request.Address.IsValid() {
		from.Address = by.Request.Address.String()
	}
	if by.Request.Console {
		from.Source = Console
	}
	return from
}

// An Event is one thing that happened.
type Event struct {
	ID     int64 // see NewID
	At     time.Time
	Name   Name
	Entity Entity
	Origin
	// Token that it happened to, or 0, and the one that it took the place of.
	Token, Previous token.ID
	// Target is the name of what it happened to: a token's, an account's
	// username, a setting's.
	Target string
	// Change, From and To say what became of what, where that is short.
	Change, From, To string
}

// private is what may be a mail address, a bearer or a digest. People write
// what they like into names.
var private = regexp.MustCompile(`[^\s@]@[^\s@]|[0-9A-Za-z]{36}`)

// WithoutPrivate returns e without the texts that may hold what an event must
// not. The store asks for it before it writes.
func (e Event) WithoutPrivate() Event {
	for _, text := range []*string{&e.Target, &e.From, &e.To} {
		if private.MatchString(*text) {
			*text = ""
		}
	}
	return e
}

// Complete reports whether e says what happened, when, to what and by what way.
// Ids may be missing that the store gives out.
func (e Event) Complete() bool {
	return e.Name != "" && !e.At.IsZero() && e.Entity.Type != "" && e.Source != ""
}

// Is reports whether the event happened to the token with this id.
func (e Event) Is(id token.ID) bool { return e.Token == id || e.Previous == id }

// The layout of an id: the seconds since epoch, then a number. Ids ascend with
// time and stay below 2^53 (JSON clients in JavaScript). No clock here tells less
// than a second apart: within one, those are in order that one process made. The
// seconds last until 2059.
const (
	epoch      = 1735689600 // 2025-01-01T00:00:00Z
	numberBits = 23
	maxSeconds = 1 << 30
)

// FirstNumbers is how many numbers a process may start counting at. It can count
// as many again before its order is lost for the length of a second.
const FirstNumbers = 1 << (numberBits - 1)

// NewID returns the id of an event at an instant. number counts up from a random
// start.
func NewID(at time.Time, number uint32) int64 {
	return FirstID(at) | int64(number&(1<<numberBits-1))
}

// FirstID returns the lowest id of an instant, or of the nearest one that ids
// can name.
func FirstID(at time.Time) int64 { return min(max(at.Unix()-epoch, 0), maxSeconds) << numberBits }

// Life is how long an event is kept.
const Life = 365 * 24 * time.Hour
