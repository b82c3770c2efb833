// Package listing says which part of a long list somebody wants, what a part holds, and where the next
// one starts.
//
// Start with Want, Picker and Part. A part is named by the number of entries in front of it, or by the place at
// which the part before ended. A place is a text of the list that made it; a Cursor is the same for
// clients, and fits only one list with its filters and its order. Neither grants anything: whoever lists
// checks the caller's rights for each part.
package listing

import (
	"fmt"

	"latchkey/pkg/fault"
)

const (
	// MaxOffset is the most entries in front of a part by number.
	MaxOffset = 50_000
	// MaxByNumber is how many entries that do not match a list looks at for a part by number. It is also
	// the length of the longest list in an order for which all entries have to be read.
	MaxByNumber = 10_000
	// MaxByPlace is how many entries a list examines for a part by place.
	MaxByPlace = 1_000
)

// A Want names the part of a list that somebody wants.
type Want struct {
	// Offset is the number of entries in front of it; 0 for a part by place.
	Offset int
	// Limit is the most entries in it, from 1 on.
	Limit int
	// ByPlace asks for the part behind Place, or for the first one if Place is empty.
	ByPlace bool
	Place   string
}

// ByNumber returns the Want of limit entries behind offset others.
func ByNumber(offset, limit int) Want { return Want{Offset: offset, Limit: limit} }

// Uncounted is the Total of a list that nobody has counted.
const Uncounted = -1

// A Part is a part of a list.
type Part[T any] struct {
	// Entries may be fewer than wanted although others follow, if the list has examined as many as it may.
	Entries []T
	// Next is the place behind the part, or "" at the end of the list.
	Next string
	// Total is the number of all matches, or Uncounted.
	Total int
}

var (
	// ErrPlace means that a list has no such place.
	ErrPlace = fmt.Errorf("%w: no such place in the list", fault.ErrInput)
	// ErrCursor means that a cursor belongs to another list, or is none.
	ErrCursor = fmt.Errorf("%w: no cursor of this list", fault.ErrInput)
	// ErrDeep means that a part by number lies behind more entries than a list examines. Following places
	// from the first part leads there.
	ErrDeep = fmt.Errorf("%w: too many entries to look through", fault.ErrInput)
	// ErrOrder means that a list has too many entries for an order for which all have to be read.
	ErrOrder = fmt.Errorf("%w: too many entries to put in this order", fault.ErrInput)
)
