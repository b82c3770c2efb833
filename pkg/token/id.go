package token

import (
	"fmt"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
)

const (
	numberBits = 22
	// MaxNumber is how many tokens one owner can have in total.
	MaxNumber = 1<<numberBits - 1
)

// An ID is the public handle of a token: safe in logs, paths and mails. It is owner * 2^22 +
// number, so it names its owner, and an owner's ids ascend in the order of creation.
type ID int64

// NewID returns the id of an owner's n-th token. n starts at 1. Beyond
// MaxNumber it returns ErrOutOfNumbers.
func NewID(owner account.ID, n int64) (ID, error) {
	if owner < 1 || owner > account.MaxID {
		return 0, fmt.Errorf("owner %d is outside 1 to %d", owner, account.MaxID)
	}
	if n < 1 || n > MaxNumber {
		return 0, ErrOutOfNumbers
	}
	return ID(int64(owner)<<numberBits + n), nil
}

// FirstID returns the lowest id that a token of owner can have whose number is n or higher. n may be one
// above MaxNumber.
func FirstID(owner account.ID, n int64) ID { return ID(int64(owner)<<numberBits + n) }

// Owner returns the owner of the token.
func (id ID) Owner() account.ID { return account.ID(id >> numberBits) }

// Number returns the number of the token among its owner's.
func (id ID) Number() int64 { return int64(id) & MaxNumber }

func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// ParseID accepts the one spelling of a token id that String writes. It returns fault.ErrNotFound
// for anything else, because no token has such an id.
func ParseID(s string) (ID, error) {
	n, err := account.ParseNumber(s, account.MaxID<<numberBits+MaxNumber)
	if err != nil {
		return 0, fmt.Errorf("token id: %w", err)
	}
	id := ID(n)
	if id.Owner() < 1 || id.Number() < 1 {
		return 0, fmt.Errorf("token id: %w", fault.ErrNotFound)
	}
	return id, nil
}
