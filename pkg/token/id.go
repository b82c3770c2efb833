package token

import (
	"fmt"
	"strconv"
)

const (
	numberBits = 22
	// MaxNumber is how many tokens one owner can have in a lifetime.
	MaxNumber = 1<<numberBits - 1
	// MaxOwner is the largest owner id. With MaxNumber it keeps token ids
	// below 2^53, the largest integer that JSON clients in JavaScript read
	// exactly (RFC 8259 section 6).
	MaxOwner = 1<<31 - 1
)

// An OwnerID names a user, person or bot: 1 to MaxOwner.
type OwnerID int64

// String returns the decimal digits of the id.
func (o OwnerID) String() string { return strconv.FormatInt(int64(o), 10) }

// ParseOwnerID accepts the one spelling of an owner id that String writes.
// Anything else is ErrNotFound: no user has such an id.
func ParseOwnerID(s string) (OwnerID, error) {
	n, err := parseCanonical(s, MaxOwner)
	if err != nil {
		return 0, fmt.Errorf("owner id: %w", err)
	}
	return OwnerID(n), nil
}

// An ID is the public handle of a token: safe in logs, paths and mails. It is
// owner * 2^22 + number, so it names its owner, and an owner's ids ascend in
// the order of creation.
type ID int64

// NewID returns the id of an owner's n-th token. n starts at 1. Beyond
// MaxNumber it returns ErrOutOfNumbers.
func NewID(owner OwnerID, n int64) (ID, error) {
	if owner < 1 || owner > MaxOwner {
		return 0, fmt.Errorf("owner %d is outside 1 to %d", owner, MaxOwner)
	}
	if n < 1 || n > MaxNumber {
		return 0, ErrOutOfNumbers
	}
	return ID(int64(owner)<<numberBits + n), nil
}

// Owner returns whose token the id names.
func (id ID) Owner() OwnerID { return OwnerID(id >> numberBits) }

// Number returns which of its owner's tokens the id names.
func (id ID) Number() int64 { return int64(id) & MaxNumber }

// String returns the decimal digits of the id.
func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// ParseID accepts the one spelling of a token id that String writes. Anything
// else is ErrNotFound: no token has such an id.
func ParseID(s string) (ID, error) {
	n, err := parseCanonical(s, MaxOwner<<numberBits+MaxNumber)
	if err != nil {
		return 0, fmt.Errorf("token id: %w", err)
	}
	id := ID(n)
	if id.Owner() < 1 || id.Number() < 1 {
		return 0, fmt.Errorf("token id: %w", ErrNotFound)
	}
	return id, nil
}

// parseCanonical refuses signs, leading zeros, spaces and everything else
// that strconv would read as a second spelling.
func parseCanonical(s string, largest int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > largest || strconv.FormatInt(n, 10) != s {
		return 0, ErrNotFound
	}
	return n, nil
}
