package store

import (
	"context"
	"errors"

	"latchkey/pkg/token"
)

// LastUserID returns the highest user id that was given out, 0 before the
// first. Ids are given out one by one, so counting down from it meets every user:
// a list in the order of ids needs no index.
func (t *Table) LastUserID(ctx context.Context) (token.OwnerID, error) {
	last, _, err := t.CountUsers(ctx)
	return last, err
}

// CountUsers returns the highest user id that was given out, and how many users
// there are: those below it, less those that were deleted.
func (t *Table) CountUsers(ctx context.Context) (last token.OwnerID, users int, err error) {
	it, err := t.get(ctx, userSequenceKey())
	if errors.Is(err, token.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	r := reader{item: it}
	last = token.OwnerID(r.number("last"))
	gone := r.optionalNumber("gone")
	if gone < 0 || gone > int64(last) {
		r.fault("gone")
	}
	return last, int(int64(last) - gone), r.err
}
