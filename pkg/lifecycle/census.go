package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Census counts tokens for an operator. It is safe for concurrent use.
type Census struct{ parts CensusParts }

// CensusParts hold the dependencies of a Census. All are required.
type CensusParts struct {
	Store    CensusStore
	Settings SettingsReader
	Clock    clock.Clock
}

// A CensusStore reads what a Census counts.
type CensusStore interface {
	// CountAccounts returns the highest assigned id, or 0, and the number of accounts.
	CountAccounts(ctx context.Context) (last account.ID, accts int, err error)
	// Accounts passes the existing accounts of ids to each, in no order.
	Accounts(ctx context.Context, ids []account.ID, each func(account.Account)) error
	// TokensOfOwner returns every token of an owner, including the newest.
	TokensOfOwner(ctx context.Context, owner account.ID) ([]token.Token, error)
}

// NewCensus returns a Census, or an error that names a missing part.
func NewCensus(parts CensusParts) (*Census, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Census{parts}, nil
}

// A Count is how many tokens work, by the generation of the pepper that made their digests.
type Count struct {
	Working map[secret.Generation]int
	// Last is the highest account that was counted. Done says that there are no others.
	Last account.ID
	Done bool
}

const (
	// censusChunk is how many accounts are counted together (DynamoDB: BatchGetItem takes 100 keys).
	censusChunk = 100
	// censusWorkers is how many accounts are read at a time.
	censusWorkers = 16
	// answerReserve is the time that a call of a console leaves for its answer.
	answerReserve = 5 * time.Second
)

// withReserve returns a context that ends earlier than ctx, so that there is time for an answer.
func withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, limited := ctx.Deadline(); limited {
		return context.WithDeadline(ctx, end.Add(-answerReserve))
	}
	return ctx, func() {}
}

// Count counts the tokens that work, of the accounts after the given one. A token of a blocked account
// counts, because it works again when the account does. Five seconds before ctx ends, Count stops and
// returns what it has, for a next call that starts after Last.
func (c *Census) Count(ctx context.Context, after account.ID) (Count, error) {
	set, err := c.parts.Settings.TokenSettings(ctx)
	if err != nil {
		return Count{}, fmt.Errorf("read settings: %w", err)
	}
	highest, _, err := c.parts.Store.CountAccounts(ctx)
	if err != nil {
		return Count{}, fmt.Errorf("find last account: %w", err)
	}
	count := Count{Working: map[secret.Generation]int{}, Last: after}
	enough, cancel := withReserve(ctx)
	defer cancel()
	var mu sync.Mutex
	for count.Last < highest {
		if enough.Err() != nil && count.Last > after {
			return count, nil
		}
		ids := make([]account.ID, 0, censusChunk)
		for id := count.Last + 1; id <= highest && len(ids) < censusChunk; id++ {
			ids = append(ids, id)
		}
		var owners []account.Account
		if err := c.parts.Store.Accounts(ctx, ids, func(a account.Account) { owners = append(owners, a) }); err != nil {
			return Count{}, fmt.Errorf("read accounts: %w", err)
		}
		group, within := errgroup.WithContext(ctx)
		group.SetLimit(censusWorkers)
		for _, owner := range owners {
			group.Go(func() error {
				tokens, err := c.parts.Store.TokensOfOwner(within, owner.ID)
				if err != nil {
					return fmt.Errorf("read tokens of account %s: %w", owner.ID, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, t := range tokens {
					if t.StateAt(c.parts.Clock.Now(), owner.TokensValidFrom, set) == token.Active {
						count.Working[t.Generation]++
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return Count{}, err
		}
		count.Last = ids[len(ids)-1]
	}
	count.Done = true
	return count, nil
}
