package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup" // bounds concurrent work; maintained by the Go team

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
)

const (
	// walkers is how many accounts are worked on at a time. With ten milliseconds for each, that is more
	// than a thousand accounts a second.
	walkers = 16
	// walkReserve is the time that a walk leaves for what is in hand, and for the answer.
	walkReserve = 5 * time.Second
)

// EachAccount passes the existing accounts after the given one to each, 16 at a time and in no exact
// order. Five seconds before ctx ends it begins no others. It returns the last account up to which all
// are done, for a next call, and whether there are no others. The first error ends the walk.
func (t *Reader) EachAccount(ctx context.Context, after account.ID, each func(context.Context, account.Account) error) (last account.ID, done bool, err error) {
	highest, err := t.LastAccountID(ctx)
	if err != nil {
		return after, false, fmt.Errorf("find last account: %w", err)
	}
	enough, cancel := clock.Early(ctx, walkReserve)
	defer cancel()
	for last = after; last < highest; {
		ids := make([]account.ID, 0, maxBatchGet)
		for id := last + 1; id <= highest && len(ids) < maxBatchGet; id++ {
			ids = append(ids, id)
		}
		var owners []account.Account
		if err := t.Accounts(ctx, ids, func(a account.Account) { owners = append(owners, a) }); err != nil {
			return last, false, fmt.Errorf("read accounts: %w", err)
		}
		slices.SortFunc(owners, func(a, b account.Account) int { return cmp.Compare(a.ID, b.ID) })
		reached := ids[len(ids)-1]
		group, within := errgroup.WithContext(ctx)
		group.SetLimit(walkers)
		for _, owner := range owners {
			if enough.Err() != nil {
				reached = owner.ID - 1
				break
			}
			group.Go(func() error {
				if err := each(within, owner); err != nil {
					return fmt.Errorf("account %s: %w", owner.ID, err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return last, false, err
		}
		if last = reached; last < ids[len(ids)-1] {
			return last, false, nil
		}
	}
	return last, true, nil
}
