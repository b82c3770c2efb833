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
	Sudo       Scope = "sudo"
)

var (
	// ErrUnknown means that a name is not in the catalog.
	ErrUnknown = errors.New("scope unknown")
	// ErrInsufficient means that a token lacks every scope that would do.
	ErrInsufficient = errors.New("scope insufficient")
)

// A Set is a token's scopes in the order in which they were given, without
// repetition.
type Set []Scope

// Has reports whether the set holds s.
func (set Set) Has(s Scope) bool { return slices.Contains(set, s) }

// String returns the names with spaces between them, the form of RFC 6749
// section 3.3.
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
	// PersonalOnly scopes are refused on project and group tokens.
	PersonalOnly bool `json:"personal_only,omitempty"`
	// AdminOnly scopes are refused on tokens of anybody else.
	AdminOnly bool `json:"admin_only,omitempty"`
	// Implies are the scopes that somebody with this one may hand on.
	Implies []Scope `json:"implies,omitempty"`
}

// Parse accepts names that are all in the catalog, at least one, in any order.
// A name given twice counts once. It returns ErrUnknown otherwise.
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

// AdminOnly returns the first scope of set that only an administrator's token
// may hold.
func (c *Catalog) AdminOnly(set Set) (Scope, bool) {
	for _, s := range set {
		if definition, _ := c.definition(s); definition.AdminOnly {
			return s, true
		}
	}
	return "", false
}

// PersonalOnly reports whether set has a scope that no token of a project or
// group may hold.
func (c *Catalog) PersonalOnly(set Set) bool {
	return slices.ContainsFunc(set, func(s Scope) bool {
		definition, _ := c.definition(s)
		return definition.PersonalOnly
	})
}

// Covers reports whether somebody who holds set may hand wanted on to a
// weaker token: every wanted scope is in the set or implied by one that is.
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
