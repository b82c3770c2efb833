package store

import (
	"context"
	"errors"

	"latchkey/pkg/token"
)

// LastUserID returns the highest user id that was given out, 0 before the
// first. Ids are given out one by one and without gaps, so counting down from it
// meets every user: a list in the order of ids needs no index.
func (t *Table) LastUserID(ctx context.Context) (token.OwnerID, error) {
	it, err := t.get(ctx, userSequenceKey())
	if errors.Is(err, token.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r := reader{item: it}
	last := token.OwnerID(r.number("last"))
	return last, r.err
}
