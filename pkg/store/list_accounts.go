package store

import (
	"context"
	"errors"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
)

// LastAccountID returns the highest account id that was given out, 0 before the
// first. Ids are given out one by one, so counting down from it meets every account:
// a list in the order of ids needs no index.
func (t *Reader) LastAccountID(ctx context.Context) (account.ID, error) {
	last, _, err := t.CountAccounts(ctx)
	return last, err
}

// CountAccounts returns the highest account id that was given out, and how many accounts
// there are: those below it, less those that were deleted.
func (t *Reader) CountAccounts(ctx context.Context) (last account.ID, accts int, err error) {
	it, err := t.get(ctx, accountSequenceKey())
	if errors.Is(err, fault.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	r := attributes{item: it}
	last = account.ID(r.number("last"))
	gone := r.optionalNumber("gone")
	if gone < 0 || gone > int64(last) {
		r.fault("gone")
	}
	return last, int(int64(last) - gone), r.err
}
