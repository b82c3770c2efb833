package token

import (
	"net/netip"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
)

// A Kind says what a token stands for.
type Kind string

// The kinds of token.
const (
	// Personal tokens act as the person who owns them.
	Personal Kind = "personal"
	// Impersonation tokens act as their owner too. Only administrators make, see and revoke them.
	Impersonation Kind = "impersonation"
	// Project tokens act as a bot that is a member of one project.
	Project Kind = "project"
	// Group tokens act as a bot that is a member of one group.
	Group Kind = "group"
)

// Kinds are all of them.
var Kinds = []Kind{Personal, Impersonation, Project, Group}

// OfProject reports whether tokens of this kind belong to a project or group.
func (k Kind) OfProject() bool { return k == Project || k == Group }

// A Reason says why a token was revoked.
type Reason string

// The reasons for which a token is revoked.
const (
	ReasonRequest Reason = "request" // somebody asked for it
	ReasonRotated Reason = "rotated" // a successor replaced it
	ReasonReuse   Reason = "reuse"   // an ancestor was presented for rotation
	ReasonExpired Reason = "expired" // a bot was removed some time after its token expired
	ReasonPolicy  Reason = "policy"  // it would have lived longer than administrators allow
	ReasonLeak    Reason = "leak"    // somebody reported its bearer as found in public
	ReasonParent  Reason = "parent"  // the token that made it ended
)

// The marks of reports and reuse of a token's bearer, in Token.Notices.
const (
	// MarkReported says that the audit trail has the first report of a token that had been rotated.
	MarkReported = "reported"
	// MarkBelow says that a report has ended everything below the token's chain.
	MarkBelow = "below"
	// MarkSpent says that reuse of the token has ended its family.
	MarkSpent = "spent"
	// MarkLeaked says that everybody concerned was told of a report.
	MarkLeaked = "leaked"
	// MarkReused says that everybody concerned was told of a revocation because of reuse.
	MarkReused = "reused"
)

// A Token is the record of one token: everything about it except the bearer.
type Token struct {
	ID          ID
	Kind        Kind
	Owner       account.ID
	Name        string
	Description string // "" is none
	// Scopes are those that it was given. EffectiveScopes says which of them count.
	Scopes    scope.Set
	CreatedAt time.Time
	// CreatedBy is the account that requested the token, or 0 for the console.
	CreatedBy account.ID
	// ExpiresOn is the UTC day from whose first second the token is expired. The zero Day means
	// never.
	ExpiresOn clock.Day
	// Life is how long a token with a short life works from CreatedAt, in whole seconds; 0 for every
	// other token. Its ExpiresOn is the first day that begins at or after its end. Compare ExpiresAt.
	Life time.Duration
	// RevokedAt is when the token itself was revoked, or the zero time.
	RevokedAt     time.Time
	RevokedReason Reason
	// WorksUntil is the instant from which a token that was rotated with an overlap is revoked. It
	// is the zero time for every other token.
	WorksUntil time.Time
	// SupersededAt is when a token with WorksUntil got its successor. Records from before there was
	// a rotation window lack it.
	SupersededAt time.Time
	// UntilUsed says that the first successful check of its successor ends the token before WorksUntil.
	UntilUsed bool
	// TakenOverAt is when that check happened, or the zero time. WorksUntil is then no later.
	TakenOverAt time.Time
	// EndsOnUse is the digest of the predecessor that the first successful check of this token ends,
	// or the zero Digest.
	EndsOnUse secret.Digest
	// Notices are the marks of announcements of its expiry and of reports of its bearer.
	Notices []string
	// LastUsedAt is the zero time for an unused token.
	LastUsedAt time.Time
	// LastUsedIPs are the addresses of its latest uses, newest first, at most MaxLastUsedIPs and
	// without duplicates.
	LastUsedIPs []netip.Addr
	// Family is the id of the first token of the rotation chain. A token that was never rotated is
	// its own family.
	Family ID
	// Previous is the id of the token that this one replaced, or 0.
	Previous ID
	// Parent is the token that was presented to make the first token of the chain, or 0: the console
	// and the page present none. ParentKind is its kind, and Depth how many tokens made each other
	// above this one.
	Parent     ID
	ParentKind Kind
	Depth      int
	// Made says that the token has made or rotated another one. With Childless, revoking it requires that
	// it has not; this is not stored.
	Made, Childless bool
	// Maker is the token that was presented to make this one. It is known only while that happens.
	Maker Maker
	// Project is the token's project or group, and Level its bot's level there; 0 for tokens of
	// people.
	Project project.ID
	Level   project.Level
	// Networks are where the token may be used; an empty list means everywhere.
	Networks Networks
	Digest   secret.Digest
	// Generation is that of the pepper that made Digest. In a stored record it may be "".
	Generation secret.Generation
}

// EffectiveScopes returns the scopes of the token that count while owner is as given: those that
// owner could be given today.
func (t Token) EffectiveScopes(catalog *scope.Catalog, owner account.Account) scope.Set {
	return catalog.Held(t.Scopes, scope.Owner{Admin: owner.Admin, Bot: t.Kind.OfProject()})
}

// Reach returns the limit of where the token may be used.
func (t Token) Reach() scope.Reach {
	switch t.Kind {
	case Personal, Impersonation:
		return scope.Everywhere()
	case Project:
		return scope.InProject(int64(t.Project))
	case Group:
		return scope.InGroup(int64(t.Project))
	}
	return scope.Reach{} // an unknown kind opens nothing
}

// A State is the state of a token at an instant.
type State string

// The states of a token. Expired takes precedence over Revoked, because time alone would have
// caused it.
const (
	Active  State = "active"
	Expired State = "expired"
	Revoked State = "revoked"
)

// StateAt returns the state of the token at now. validFrom is the owner's first token number that
// has not been revoked in bulk (0 if none was). With settings that ignore expiry, no token is
// expired.
func (t Token) StateAt(now time.Time, validFrom int64, p settings.Settings) State {
	switch {
	case t.ExpiredIn(now, p):
		return Expired
	case t.RevokedUnder(now, validFrom, p):
		return Revoked
	default:
		return Active
	}
}

// ExpiresAt returns the instant from which the token is expired, or the zero time for never.
func (t Token) ExpiresAt() time.Time {
	switch {
	case t.Life > 0:
		return t.CreatedAt.Truncate(time.Second).Add(t.Life).UTC()
	case t.ExpiresOn.IsZero():
		return time.Time{}
	default:
		return t.ExpiresOn.Start()
	}
}

// EndsUnder returns ExpiresAt, or the zero time for a token whose expiry the settings ignore. A short
// life always counts.
func (t Token) EndsUnder(p settings.Settings) time.Time {
	if p.ExpiryIgnored && t.Life == 0 {
		return time.Time{}
	}
	return t.ExpiresAt()
}

// ExpiredIn reports whether the token is expired at now under the settings.
func (t Token) ExpiredIn(now time.Time, p settings.Settings) bool {
	at := t.EndsUnder(p)
	return !at.IsZero() && !now.Before(at)
}

// Announced reports whether mails and headers announce the expiry of the token. Nobody needs to hear
// that a life of less than a day ends.
func (t Token) Announced() bool {
	return !t.ExpiresOn.IsZero() && (t.Life == 0 || t.Life >= 24*time.Hour)
}

// FirstDayFrom returns the first UTC day that begins at or after an instant.
func FirstDayFrom(at time.Time) clock.Day {
	day := clock.DayOf(at)
	if day.Start().Before(at) {
		return day.AddDays(1)
	}
	return day
}

// RevokedIn reports whether the token is revoked at now, by itself or in bulk; see StateAt for
// validFrom. A revoked token is revoked whatever now is, because the clock that wrote RevokedAt may
// be ahead.
func (t Token) RevokedIn(now time.Time, validFrom int64) bool {
	return !t.RevokedAt.IsZero() || t.ID.Number() < validFrom ||
		!t.WorksUntil.IsZero() && !now.Before(t.WorksUntil)
}

// RevokedUnder reports whether the token is revoked at now, by itself, in bulk, or with every token from
// before an instant in the settings.
func (t Token) RevokedUnder(now time.Time, validFrom int64, p settings.Settings) bool {
	return t.RevokedIn(now, validFrom) || t.CreatedAt.Before(p.TokensFrom)
}

// Outlives reports whether the token works longer than the last day of a limit allows, unless it is
// revoked. A token that was rotated does not, because its overlap ends within a day, the shortest limit.
func (t Token) Outlives(latest clock.Day) bool {
	return !t.Superseded() && (t.ExpiresOn.IsZero() || t.ExpiresOn.After(latest))
}

// Superseded reports whether a successor replaced the token, even if the token still works in its
// overlap.
func (t Token) Superseded() bool { return t.RevokedReason == ReasonRotated || !t.WorksUntil.IsZero() }

// RotatedAway reports whether a rotation, and nothing else, revoked the token or will revoke it.
func (t Token) RotatedAway() bool {
	return t.Superseded() && (t.RevokedAt.IsZero() || t.RevokedReason == ReasonRotated)
}

// RotatedWithin reports whether the token was rotated away, or the first check of its successor ended
// it, less than window before now.
func (t Token) RotatedWithin(window time.Duration, now time.Time) bool {
	at := t.SupersededAt
	if t.RevokedReason == ReasonRotated {
		at = t.RevokedAt
	}
	if !t.TakenOverAt.IsZero() {
		at = t.TakenOverAt // nobody could foresee this end
	}
	return t.RotatedAway() && !at.IsZero() && now.Before(at.Add(window))
}

// RevokedFrom returns the instant from which the token itself is revoked, which may be in the
// future, or the zero time.
func (t Token) RevokedFrom() time.Time {
	if t.RevokedAt.IsZero() || !t.WorksUntil.IsZero() && t.WorksUntil.Before(t.RevokedAt) {
		return t.WorksUntil
	}
	return t.RevokedAt
}

// EndsOn returns the UTC day from whose first second the token is inactive: the day on which it
// expires, or the first day after its overlap. The zero Day is never.
func (t Token) EndsOn() clock.Day {
	if t.WorksUntil.IsZero() {
		return t.ExpiresOn
	}
	last := clock.DayOf(t.WorksUntil).AddDays(1)
	if last.After(t.ExpiresOn) {
		return t.ExpiresOn
	}
	return last
}

// MaxLastUsedIPs is how many addresses of a token's uses are kept.
const MaxLastUsedIPs = 5

// MaxOverlap is the longest time that a token may work together with its successor.
const MaxOverlap = settings.MaxRotationOverlap

// The limits of a short life.
const (
	MinLife = time.Minute
	MaxLife = 7 * 24 * time.Hour
)
