package token

import (
	"cmp"
	"time"
)

// An Order is an order in which tokens are kept. Ids break ties, in the same direction.
type Order int

// The orders. Tokens that never expire come last in ByExpiry.
const (
	ByID Order = iota
	ByCreation
	ByExpiry
)

// Orders are all orders.
var Orders = []Order{ByID, ByCreation, ByExpiry}

// A Place is where a token stands in an order.
type Place struct {
	// At is the second since 1970 of its creation or of its end, or Unending; 0 in the order of ids.
	At int64
	ID ID
}

// Unending is the second at which tokens end that never expire. It lies behind the year 9999 and has
// twelve digits, like the seconds of all ends.
const Unending = 999_999_999_999

// PlaceOf returns the place of a token in the order.
func (o Order) PlaceOf(t Token) Place {
	switch o {
	case ByCreation:
		return Place{t.CreatedAt.Unix(), t.ID}
	case ByExpiry:
		return Place{endOf(t.ExpiresAt()), t.ID}
	default:
		return Place{ID: t.ID}
	}
}

func endOf(at time.Time) int64 {
	if at.IsZero() {
		return Unending
	}
	return at.Unix()
}

// Compare compares two places of one order.
func (p Place) Compare(q Place) int { return cmp.Or(cmp.Compare(p.At, q.At), cmp.Compare(p.ID, q.ID)) }

// A Span is a time from one second since 1970 to another, both included. The zero Span is all time.
type Span struct{ From, To int64 }

// Holds reports whether a second is in the span.
func (s Span) Holds(at int64) bool { return s == Span{} || s.From <= at && at <= s.To }

// A Walk says which tokens to read, and in which order.
type Walk struct {
	Order      Order
	Descending bool
	// Created and Ends narrow the walk. A walk through the tokens of all owners knows only the one that
	// belongs to its order.
	Created, Ends Span
	// Kind, if it is not "", and WithoutImpersonation narrow a walk through the tokens of one owner. A walk
	// through those of all owners does not know them.
	Kind                 Kind
	WithoutImpersonation bool
	// After is the place behind which the walk starts, or nil for the first one.
	After *Place
	// Skip is how many entries come before the first record that is read.
	Skip int
	// First is how many records are read first; after that, they are read by the hundred. Limit is how many
	// are read at most.
	First, Limit int
	// Count asks for the number of entries of one owner.
	Count bool
	// Now is the present. Entries whose clean-up is due count as gone.
	Now time.Time
}

// Behind reports whether a place comes behind After.
func (w Walk) Behind(p Place) bool {
	if w.After == nil {
		return true
	}
	if w.Descending {
		return p.Compare(*w.After) < 0
	}
	return p.Compare(*w.After) > 0
}

// Passes reports whether a walk through the tokens of one owner passes a kind.
func (w Walk) Passes(kind Kind) bool {
	return (w.Kind == "" || w.Kind == kind) && (!w.WithoutImpersonation || kind != Impersonation)
}

// Walked says how far a walk has come.
type Walked struct {
	// Last is the place of the last token that was passed on, or of the last entry that was read.
	Last Place
	// More says that other entries follow.
	More bool
	// Total is the number of all entries, if it is Counted: always if the walk has started at the beginning
	// and reached the end.
	Total   int
	Counted bool
}
