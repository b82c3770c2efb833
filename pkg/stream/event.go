package stream

import (
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// A Type says what became of a token, of an account or of all tokens. It is also the detail type of the
// event.
type Type string

// The types of events. docs/events.md and events/schemas describe them.
const (
	Created  Type = "token.created"
	Rotated  Type = "token.rotated"
	Revoked  Type = "token.revoked"
	Expiring Type = "token.expiring"
	Expired  Type = "token.expired"
	Reused   Type = "token.reused"
	Leaked   Type = "token.leaked"

	AccountRevoked     Type = "account.tokens_revoked"
	AccountBlocked     Type = "account.blocked"
	AccountUnblocked   Type = "account.unblocked"
	AccountDeactivated Type = "account.deactivated"
	AccountActivated   Type = "account.activated"
	AccountDeleted     Type = "account.deleted"

	RevokedEverywhere Type = "tokens.revoked_everywhere"
)

// An Event is the detail of an event on the bus.
type Event struct {
	// ID is the same each time that the event is put.
	ID string `json:"id"`
	// Number ascends with the changes of a token, of an account, and of the settings. It has as many
	// digits in every event, so it can be compared as text.
	Number string `json:"number"`
	Type   Type   `json:"type"`
	// Time is when the change was written, in whole seconds (RFC 3339, UTC).
	Time string `json:"time"`
	// NoticeDays is which of the notice days an Expiring event belongs to.
	NoticeDays int `json:"notice_days,omitempty"`
	// An event is about one of these three.
	Token   Record  `json:"token,omitzero"`
	Account Profile `json:"account,omitzero"`
	// MadeBefore is the instant before which a RevokedEverywhere event revokes every token.
	MadeBefore string `json:"made_before,omitempty"`

	// Table is the ARN of the table, by which a bus tells deployments apart.
	Table string `json:"-"`

	at       time.Time
	sequence string
}

// At returns the instant of Time.
func (e Event) At() time.Time { return e.at }

// A Record is a token as it is after the change. It has nothing that people chose as a text, because that
// may be anything, and no address.
type Record struct {
	ID        token.ID   `json:"id"`
	Kind      token.Kind `json:"kind"`
	Owner     int64      `json:"owner_id"`
	Project   int64      `json:"project_id,omitempty"`
	Group     int64      `json:"group_id,omitempty"`
	Scopes    scope.Set  `json:"scopes"`
	CreatedAt string     `json:"created_at"`
	CreatedBy int64      `json:"created_by_id,omitempty"`
	Family    token.ID   `json:"family_id"`
	Previous  token.ID   `json:"previous_id,omitempty"`
	Parent    token.ID   `json:"parent_id,omitempty"`
	ExpiresOn string     `json:"expires_on,omitempty"`
	ExpiresAt string     `json:"expires_at,omitempty"`
	LastUsed  string     `json:"last_used_at,omitempty"`
	// RevokedAt may be in the future: the end of an overlap.
	RevokedAt string       `json:"revoked_at,omitempty"`
	Reason    token.Reason `json:"revoked_reason,omitempty"`
}

func recordOf(t token.Token) Record {
	r := Record{
		ID: t.ID, Kind: t.Kind, Owner: int64(t.Owner), Scopes: t.Scopes, CreatedAt: instant(t.CreatedAt), CreatedBy: int64(t.CreatedBy),
		Family: t.Family, Previous: t.Previous, Parent: t.Parent, ExpiresAt: instant(t.ExpiresAt()), LastUsed: instant(t.LastUsedAt),
		RevokedAt: instant(t.RevokedFrom()), Reason: t.RevokedReason,
	}
	switch t.Kind {
	case token.Project:
		r.Project = int64(t.Project)
	case token.Group:
		r.Group = int64(t.Project)
	}
	if t.ExpiresOn != (clock.Day{}) {
		r.ExpiresOn = t.ExpiresOn.String()
	}
	if r.Reason == "" && t.Superseded() {
		r.Reason = token.ReasonRotated
	}
	return r
}

// A Profile is what of an account decides about its tokens, as it is after the change. A deleted account
// has neither a state nor tokens that work.
type Profile struct {
	ID    account.ID    `json:"id"`
	Bot   bool          `json:"bot,omitempty"`
	State account.State `json:"state,omitempty"`
	// TokensFrom is the lowest id that was not revoked in bulk. A check compares numbers; within an
	// account, the ids have the same order.
	TokensFrom token.ID `json:"tokens_from_id,omitempty"`
}

func profileOf(a account.Account) Profile {
	p := Profile{ID: a.ID, Bot: a.Bot, State: a.State}
	if a.TokensValidFrom > 0 {
		p.TokensFrom = token.FirstID(a.ID, a.TokensValidFrom)
	}
	return p
}

// instant formats an instant; the zero time is "".
func instant(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}
