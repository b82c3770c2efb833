package token

import (
	"fmt"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
)

// MaxDepth is how many tokens can make each other in a row.
const MaxDepth = 8

// ErrTooDeep means that a token would be deeper than MaxDepth.
var ErrTooDeep = fmt.Errorf("%w: token too deep", fault.ErrInput)

// ErrMakerEnded means that the presented token was revoked before what it asked for was written.
var ErrMakerEnded = fmt.Errorf("%w: before its request was done", ErrRevoked)

// ErrMade means that a token has made another one since somebody looked.
var ErrMade = fmt.Errorf("%w: has made a token", fault.ErrConflict)

// A Maker is the token that is presented to make or rotate another one. The transaction of the change
// requires that it still works. The zero Maker is none.
type Maker struct {
	ID, Family ID
	Digest     secret.Digest
	// Own says that it makes a token for its own account by the route for that. Such a token ends with
	// its maker's chain.
	Own bool
}

// A Child is a rotation chain that some token of another chain made or rotated.
type Child struct {
	// Family is the first token of the chain, and Digest finds one of its records.
	Family ID
	Digest secret.Digest
	Kind   Kind
	// Own is that of the Maker.
	Own bool
	// Rotated says that the other chain rotated a token of this one and has perhaps not made it.
	Rotated bool
}

// A Reach says how far the end of a chain reaches into what the chain made.
type Reach string

// The reaches.
const (
	// ReachNone ends nothing that the chain made.
	ReachNone Reach = ""
	// ReachOwn ends what the chain made for its own account by the route for that, and what those made
	// in the same way.
	ReachOwn Reach = "own"
	// ReachAccount ends everything below that belongs to the same owner or to a project or group: what a report
	// of a leak may end, and somebody who is no administrator.
	ReachAccount Reach = "account"
	// ReachAll ends everything below.
	ReachAll Reach = "all"
)

// Ends reports whether the end of a chain of owner ends this child.
func (r Reach) Ends(owner account.ID, c Child) bool {
	switch r {
	case ReachOwn:
		return c.Own
	case ReachAccount:
		return c.Kind.OfProject() || c.Family.Owner() == owner
	case ReachAll:
		return true
	default:
		return false
	}
}
