package store

import (
	"context"
	"errors"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
)

// LastAccountID returns the highest assigned account id, or 0. Ids have no gaps when assigned, so
// counting down from it reaches every account and a list by id needs no index.
func (t *Reader) LastAccountID(ctx context.Context) (account.ID, error) {
	last, _, err := t.CountAccounts(ctx)
	return last, err
}

// CountAccounts returns the highest assigned account id and the number of accounts: all ids minus
// the deleted accounts.
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
