package restore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// An Ended is what EndEverything has done, or would do.
type Ended struct {
	// Before is the instant before which the tokens were made.
	Before time.Time
	// Tokens counts the working tokens that ended, Accounts the people who had a token, working or expired,
	// and Bots those that were removed with theirs.
	Tokens, Accounts, Bots int
	// Last is the last account that is done. Done says that there are no others.
	Last account.ID
	Done bool
}

// EndEverything ends every token that was made before an instant, and every session that began before it.
// The instant is by default a minute from now.
//
// The first thing that it writes are the settings. From then on, as soon as an instance has read them, no
// check passes an earlier token and no visit an earlier session, however far the walk has come. The walk
// makes the end lasting in each account, and removes bots. Errors: ErrBefore for an instant that is more
// than an hour away, or that is missing in a call that goes on.
func (r *Restorer) EndEverything(ctx context.Context, o Order) (Ended, error) {
	now := r.parts.Clock.Now()
	switch {
	case o.Before.IsZero() && o.After == 0:
		o.Before = now.Add(lead)
	case o.Before.IsZero(), o.Before.After(now.Add(maxLead)):
		return Ended{}, ErrBefore
	}
	o.Before = o.Before.Truncate(time.Second).UTC()
	err := r.tighten(ctx, o, func(s *settings.Application) {
		s.TokensFrom, s.SessionsFrom = later(s.TokensFrom, o.Before), later(s.SessionsFrom, o.Before)
	})
	if err != nil {
		return Ended{}, err
	}
	stored, err := r.parts.Reader.Settings(ctx)
	if err != nil {
		return Ended{}, fmt.Errorf("read settings: %w", err)
	}
	stored.TokensFrom = time.Time{} // what works without this end
	var mu sync.Mutex
	done := Ended{Before: o.Before}
	done.Last, done.Done, err = r.parts.Reader.EachAccount(ctx, o.After, func(ctx context.Context, owner account.Account) error {
		one, err := r.endOf(ctx, o, owner, stored.Settings)
		mu.Lock()
		defer mu.Unlock()
		done.Tokens, done.Accounts, done.Bots = done.Tokens+one.Tokens, done.Accounts+one.Accounts, done.Bots+one.Bots
		return err
	})
	return done, err
}

// endOf ends the tokens of one account. Bots go with their token.
func (r *Restorer) endOf(ctx context.Context, o Order, owner account.Account, set settings.Settings) (done Ended, err error) {
	var from int64 // the first number that stays
	err = r.eachToken(ctx, owner.ID, func(tokens []token.Token) error {
		for _, t := range tokens {
			if t.RevokedIn(o.Before, owner.TokensValidFrom) || !t.CreatedAt.Before(o.Before) {
				continue
			}
			if t.StateAt(r.parts.Clock.Now(), owner.TokensValidFrom, set) == token.Active {
				done.Tokens++
			}
			from = max(from, t.ID.Number()+1) // also of an expired token, because expiry can be switched off
			if !owner.Bot || t.Superseded() {
				continue
			}
			done.Bots++
			if err := r.revoke(ctx, o, t, token.ReasonRequest); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || owner.Bot || from <= owner.TokensValidFrom {
		return done, err
	}
	done.Accounts++
	if o.Count {
		return done, nil
	}
	event := audit.OfAccount(r.parts.Clock.Now(), o.from(), audit.TokensRevoked, owner)
	event.Tokens = done.Tokens
	return done, r.parts.Store.RaiseValidFrom(ctx, owner.ID, from, event)
}
