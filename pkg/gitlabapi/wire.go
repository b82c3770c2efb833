package gitlabapi

import (
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// tokenJSON is a personal access token on the wire. Only here is the expiry day called expires_at.
type tokenJSON struct {
	ID          int64    `json:"id"`
	Name        string   `json:"name"`
	Revoked     bool     `json:"revoked"`
	CreatedAt   string   `json:"created_at"`
	Description *string  `json:"description"`
	Scopes      []string `json:"scopes"`
	// EffectiveScopes are those of the scopes that count while the owner is what it is now.
	EffectiveScopes []string `json:"effective_scopes"`
	UserID          int64    `json:"user_id"`
	LastUsedAt      *string  `json:"last_used_at"`
	Active          bool     `json:"active"`
	ExpiresAt       *string  `json:"expires_at"`
	// ExpiresAtTime is present for a token with a short life.
	ExpiresAtTime *string  `json:"expires_at_time,omitempty"`
	LastUsedIPs   []string `json:"last_used_ips"`
	// AllowedCIDRs is absent for a token without networks.
	AllowedCIDRs []string `json:"allowed_cidrs,omitempty"`
	// SupersededUntil is present while the token works together with its successor.
	SupersededUntil *string `json:"superseded_until,omitempty"`
	// ParentID is present for a token that another one made, if the caller may see that one.
	ParentID int64 `json:"parent_id,omitempty"`
	// SupersededUntilUsed is true while the first use of the successor would end that earlier.
	SupersededUntilUsed bool  `json:"superseded_until_used,omitempty"`
	Impersonation       *bool `json:"impersonation,omitempty"`
	// Granular is false, because no token has fine-grained scopes.
	Granular bool   `json:"granular"`
	Token    string `json:"token,omitempty"`
}

func tokenWire(v lifecycle.View) tokenJSON {
	t := v.Token
	wire := tokenJSON{
		ID: int64(t.ID), Name: t.Name, Revoked: v.Revoked,
		CreatedAt: timestamp(t.CreatedAt), Description: optional(t.Description),
		Scopes: texts(t.Scopes), EffectiveScopes: texts(v.Scopes), UserID: int64(t.Owner),
		LastUsedAt: optionalTimestamp(t.LastUsedAt), Active: v.Active,
		ExpiresAt: optionalDay(t.ExpiresOn), LastUsedIPs: make([]string, len(t.LastUsedIPs)),
		AllowedCIDRs: t.Networks.Texts(), ParentID: int64(v.Parent),
	}
	if t.Life > 0 {
		wire.ExpiresAtTime = optionalTimestamp(t.ExpiresAt())
	}
	for i, address := range t.LastUsedIPs {
		wire.LastUsedIPs[i] = address.String()
	}
	if v.Active {
		wire.SupersededUntil, wire.SupersededUntilUsed = optionalTimestamp(t.WorksUntil), t.UntilUsed
	}
	return wire
}

// issuedWire shows the bearer. No other reply does.
func issuedWire(issued lifecycle.Issued) tokenJSON {
	wire := tokenWire(lifecycle.View{Token: issued.Token, Scopes: issued.Scopes, Active: true})
	wire.Token = reveal(issued.Bearer)
	return wire
}

func texts(set scope.Set) []string { return each(set, func(s scope.Scope) string { return string(s) }) }

func reveal(b secret.Bearer) string { return b.Reveal() }

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func optionalTimestamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return optional(timestamp(t))
}

func optionalDay(d clock.Day) *string {
	if d.IsZero() {
		return nil
	}
	return optional(d.String())
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// basicUserJSON is what everybody sees of an account.
type basicUserJSON struct {
	ID          int64   `json:"id"`
	Username    string  `json:"username"`
	PublicEmail *string `json:"public_email"`
	Name        string  `json:"name"`
	State       string  `json:"state"`
	Locked      bool    `json:"locked"`
	AvatarURL   *string `json:"avatar_url"`
	WebURL      string  `json:"web_url"`
}

// userJSON is an account on the wire. The caller's rights decide which fields it has.
type userJSON struct {
	basicUserJSON
	*userDetail
	*userOwn
	*userAdmin
}

type userDetail struct {
	CreatedAt string `json:"created_at"`
	Bot       bool   `json:"bot"`
}

type userOwn struct {
	Email            string   `json:"email"`
	ConfirmedAt      *string  `json:"confirmed_at"`
	LastActivityOn   *string  `json:"last_activity_on"`
	Identities       []string `json:"identities"`
	External         bool     `json:"external"`
	CanCreateGroup   bool     `json:"can_create_group"`
	CanCreateProject bool     `json:"can_create_project"`
	TwoFactorEnabled bool     `json:"two_factor_enabled"`
	CommitEmail      string   `json:"commit_email"`
	// These are Latchkey's own, and only there while mails do not reach the address.
	Unreachable   account.Unreachable `json:"unreachable,omitempty"`
	UnreachableAt *string             `json:"unreachable_at,omitempty"`
}

type userAdmin struct {
	IsAdmin     bool           `json:"is_admin"`
	Note        *string        `json:"note"`
	NamespaceID int64          `json:"namespace_id"`
	CreatedBy   *basicUserJSON `json:"created_by"`
}

// A site is the URL at which clients reach the API. Every link starts with it.
type site string

func (s site) basicUserWire(u account.Account) *basicUserJSON {
	return &basicUserJSON{
		ID: int64(u.ID), Username: u.Username, Name: u.Name, State: string(u.State),
		WebURL: string(s) + "/" + u.Username,
	}
}

// authorWire shows an author, or nobody for the console.
func (s site) authorWire(authors map[account.ID]account.Account, id account.ID) *basicUserJSON {
	author, known := authors[id]
	if !known {
		return nil
	}
	return s.basicUserWire(author)
}

// userWire shows an account to its owner, or with more fields to an administrator.
func (s site) userWire(u account.Account, admin bool) userJSON {
	mayCreate := u.State == account.Active && !u.Bot && !u.External
	wire := userJSON{
		basicUserJSON: *s.basicUserWire(u),
		userDetail:    &userDetail{CreatedAt: timestamp(u.CreatedAt), Bot: u.Bot},
		userOwn: &userOwn{
			Email: u.Email, ConfirmedAt: optional(timestamp(u.CreatedAt)), Identities: []string{},
			External: u.External, CommitEmail: u.Email, CanCreateGroup: mayCreate && !u.NoGroups, CanCreateProject: mayCreate,
			Unreachable: u.Unreachable, UnreachableAt: optionalTimestamp(u.UnreachableAt),
		},
	}
	if admin {
		wire.userAdmin = &userAdmin{IsAdmin: u.Admin, Note: optional(u.Note), NamespaceID: firstNamespace + int64(u.ID)}
	}
	return wire
}
