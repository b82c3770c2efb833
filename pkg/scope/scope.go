package scope

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Scope is one named permission.
type Scope string

// The scopes that Latchkey's own API knows by name.
const (
	API        Scope = "api"
	ReadAPI    Scope = "read_api"
	ReadUser   Scope = "read_user"
	SelfRotate Scope = "self_rotate"
	// ReadCalendar opens the calendar of expiry dates, and nothing of the API.
	ReadCalendar Scope = "read_calendar"
	// Introspect opens POST /oauth/introspect, and nothing of the API.
	Introspect Scope = "introspect"
	Sudo       Scope = "sudo"
	// ReadRegistry and WriteRegistry open container images; package registry has what they open.
	ReadRegistry  Scope = "read_registry"
	WriteRegistry Scope = "write_registry"
)

var (
	// ErrUnknown means that a name is not in the catalog.
	ErrUnknown = errors.New("scope unknown")
	// ErrInsufficient means that a token has none of the sufficient scopes.
	ErrInsufficient = errors.New("scope insufficient")
)

// A Set is a token's scopes in the order in which they were given, without duplicates.
type Set []Scope

// Has reports whether the set holds s.
func (set Set) Has(s Scope) bool { return slices.Contains(set, s) }

// String returns the names separated by spaces, as in RFC 6749 section 3.3.
func (set Set) String() string {
	var b strings.Builder
	for i, s := range set {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(s))
	}
	return b.String()
}

// A Definition describes one scope of a catalog.
type Definition struct {
	Name        Scope  `json:"name"`
	Description string `json:"description"`
	// Group is the heading under which a form lists the scope, or "".
	Group string `json:"group,omitempty"`
	// Risky scopes can change much or act for others; a form marks them.
	Risky bool `json:"risky,omitempty"`
	// PersonalOnly scopes are refused on project and group tokens.
	PersonalOnly bool `json:"personal_only,omitempty"`
	// AdminOnly scopes count only while the token's owner is an administrator. New tokens of other
	// accounts cannot have them, unless OthersMayStore is set.
	AdminOnly      bool `json:"admin_only,omitempty"`
	OthersMayStore bool `json:"others_may_store,omitempty"`
	// Implies are the scopes that a token with this one may pass on.
	Implies []Scope `json:"implies,omitempty"`
}

// Parse accepts one or more names of the catalog, in any order and with duplicates. It returns
// ErrUnknown otherwise.
func (c *Catalog) Parse(names []string) (Set, error) {
	set := make(Set, 0, len(names))
	for _, name := range names {
		s := Scope(name)
		if _, known := c.definition(s); !known {
			return nil, ErrUnknown
		}
		if !set.Has(s) {
			set = append(set, s)
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrUnknown)
	}
	return set, nil
}

// Knows reports whether every scope of set is in the catalog.
func (c *Catalog) Knows(set Set) bool {
	return !slices.ContainsFunc(set, func(s Scope) bool {
		_, known := c.definition(s)
		return !known
	})
}

// An Owner is what decides which scopes of a token count.
type Owner struct {
	Admin bool
	Bot   bool // of a project or group
}

// Held returns the scopes of set that owner may hold, in the same order. An unknown scope is
// nobody's. If nothing is cut, it returns set itself.
func (c *Catalog) Held(set Set, owner Owner) Set {
	for i, s := range set {
		if c.holds(owner, s) {
			continue
		}
		held := slices.Clone(set[:i])
		for _, s := range set[i+1:] {
			if c.holds(owner, s) {
				held = append(held, s)
			}
		}
		return held
	}
	return set
}

func (c *Catalog) holds(owner Owner, s Scope) bool {
	definition, known := c.definition(s)
	return known && (owner.Admin || !definition.AdminOnly) && !(owner.Bot && definition.PersonalOnly)
}

// AdminOnly returns the first scope of set that new tokens of other accounts cannot have.
func (c *Catalog) AdminOnly(set Set) (Scope, bool) {
	for _, s := range set {
		if definition, _ := c.definition(s); definition.AdminOnly && !definition.OthersMayStore {
			return s, true
		}
	}
	return "", false
}

// PersonalOnly reports whether set has a scope that tokens of projects and groups may not have.
func (c *Catalog) PersonalOnly(set Set) bool {
	return slices.ContainsFunc(set, func(s Scope) bool {
		definition, _ := c.definition(s)
		return definition.PersonalOnly
	})
}

// Covers reports whether a token with set may pass on wanted to a weaker token: every wanted scope
// is in the set or implied by one in it.
func (c *Catalog) Covers(set, wanted Set) bool {
	for _, w := range wanted {
		covered := slices.ContainsFunc(set, func(held Scope) bool {
			definition, _ := c.definition(held)
			return held == w || slices.Contains(definition.Implies, w)
		})
		if !covered {
			return false
		}
	}
	return true
}

func (c *Catalog) definition(s Scope) (Definition, bool) {
	for _, definition := range c.Scopes {
		if definition.Name == s {
			return definition, true
		}
	}
	return Definition{}, false
}
