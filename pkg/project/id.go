package project

import (
	"fmt"
	"strconv"

	"latchkey/pkg/account"
)

// An ID names a project or a group: 1 to account.MaxID. Projects and groups
// share one sequence, so an id is one or the other.
type ID int64

func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// ParseID accepts the one spelling of an id that String writes. It returns fault.ErrNotFound for
// anything else, because nothing has such an id.
func ParseID(s string) (ID, error) {
	n, err := account.ParseNumber(s, account.MaxID)
	if err != nil {
		return 0, fmt.Errorf("project id: %w", err)
	}
	return ID(n), nil
}
