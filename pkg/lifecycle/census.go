package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Census counts tokens. It is safe for concurrent use.
type Census struct{ parts CensusParts }

// CensusParts hold the dependencies of a Census. All are required.
type CensusParts struct {
	Store    CensusStore
	Settings SettingsReader
	Clock    clock.Clock
}

// A CensusStore reads what a Census counts.
type CensusStore interface {
	// EachAccount passes the existing accounts after the given one to each, several at a time and in no
	// exact order, and ends before ctx does. It returns the last account up to which all are done, and
	// whether there are no others. The first error ends it.
	EachAccount(ctx context.Context, after account.ID, each func(context.Context, account.Account) error) (last account.ID, done bool, err error)
	// PageOfTokens returns the next tokens of an owner by ascending id, and the next page. page and
	// next are "" for the first page and after the last. It skips unreadable tokens.
	PageOfTokens(ctx context.Context, owner account.ID, page string) (tokens []token.Token, next string, err error)
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

// Count counts the tokens that work, of the accounts after the given one. A token of a blocked account
// counts, because it works again when the account does. Five seconds before ctx ends, Count stops and
// returns what it has, for a next call that starts after Last.
func (c *Census) Count(ctx context.Context, after account.ID) (Count, error) {
	set, err := c.settings(ctx)
	if err != nil {
		return Count{}, err
	}
	count := Count{Working: map[secret.Generation]int{}}
	count.Last, count.Done, err = c.each(ctx, after, set, func(t token.Token) error {
		count.Working[t.Generation]++
		return nil
	})
	return count, err
}

// errEnough ends a count that may not go on.
var errEnough = errors.New("enough")

// Beyond counts by kind the tokens that a lifetime run would revoke whose limit has latest as its last
// day, of the accounts after the given one. It returns the last account up to which all are counted, and
// whether there are no others. It stops in time as Count does, and once it has counted most of them, unless
// most is 0.
func (c *Census) Beyond(ctx context.Context, latest clock.Day, after account.ID, most int) (beyond map[token.Kind]int, last account.ID, done bool, err error) {
	set, err := c.settings(ctx)
	if err != nil {
		return nil, after, false, err
	}
	set.ExpiryIgnored = true // a run revokes expired tokens, too
	total := 0
	beyond = map[token.Kind]int{}
	last, done, err = c.each(ctx, after, set, func(t token.Token) error {
		if !t.Outlives(latest) {
			return nil
		}
		if most > 0 && total == most {
			return errEnough
		}
		total++
		beyond[t.Kind]++
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return beyond, last, done, err
}

func (c *Census) settings(ctx context.Context) (settings.Settings, error) {
	set, err := c.parts.Settings.TokenSettings(ctx)
	if err != nil {
		return set, fmt.Errorf("read settings: %w", err)
	}
	return set, nil
}

// each passes the working tokens of the accounts after the given one to count, one at a time.
func (c *Census) each(ctx context.Context, after account.ID, set settings.Settings, count func(token.Token) error) (last account.ID, done bool, err error) {
	var mu sync.Mutex
	return c.parts.Store.EachAccount(ctx, after, func(ctx context.Context, owner account.Account) error {
		for page, more := "", true; more; more = page != "" {
			tokens, next, err := c.parts.Store.PageOfTokens(ctx, owner.ID, page)
			if err != nil {
				return fmt.Errorf("read tokens: %w", err)
			}
			mu.Lock()
			for _, t := range tokens {
				if err == nil && t.StateAt(c.parts.Clock.Now(), owner.TokensValidFrom, set) == token.Active {
					err = count(t)
				}
			}
			mu.Unlock()
			if err != nil {
				return err
			}
			page = next
		}
		return nil
	})
}
