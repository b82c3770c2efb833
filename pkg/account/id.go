package account

import (
	"fmt"
	"strconv"

	"latchkey/pkg/fault"
)

// MaxID is the largest account id. With token.MaxNumber it keeps token ids below
// 2^53, the largest integer that JSON clients in JavaScript read exactly (RFC
// 8259 section 6).
const MaxID = 1<<31 - 1

// An ID names an account: 1 to MaxID. 0 is no account.
type ID int64

func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// ParseID accepts the one spelling of an account id that String writes. It returns
// fault.ErrNotFound for anything else, because no account has such an id.
func ParseID(s string) (ID, error) {
	n, err := ParseNumber(s, MaxID)
	if err != nil {
		return 0, fmt.Errorf("account id: %w", err)
	}
	return ID(n), nil
}

// ParseNumber parses an id from 1 to largest. It returns fault.ErrNotFound for signs, leading
// zeros, spaces and everything else that strconv accepts as a second spelling.
func ParseNumber(s string, largest int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > largest || strconv.FormatInt(n, 10) != s {
		return 0, fault.ErrNotFound
	}
	return n, nil
}
