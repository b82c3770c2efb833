package lifecycle

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// A Filler enters the tokens that an earlier release made into the directory, from which administrators' lists
// are read. It is safe for concurrent use, and while tokens are made and ended.
type Filler struct{ parts FillerParts }

// FillerParts hold the dependencies of a Filler. All are required.
type FillerParts struct {
	Store FillStore
	Clock clock.Clock
}

// A FillStore writes the entries of tokens. A second call of any method is safe.
type FillStore interface {
	DirectoryComplete(ctx context.Context) (bool, error)
	CompleteDirectory(ctx context.Context, now time.Time) error
	// CountAccounts returns the highest assigned id, or 0, and the number of accounts.
	CountAccounts(ctx context.Context) (last account.ID, accts int, err error)
	// EnterTokens enters some of an owner's tokens, in the order of their ids, from the first one behind
	// after on. It returns the last of these or after, how many they were, and whether others follow. Each
	// token that is made meanwhile is entered with its creation.
	EnterTokens(ctx context.Context, owner account.ID, after token.ID) (last token.ID, entered int, more bool, err error)
}

// NewFiller returns a Filler, or an error that names a missing part.
func NewFiller(parts FillerParts) (*Filler, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Filler{parts}, nil
}

// Filled is how far the directory is filled.
type Filled struct {
	// Entered is how many tokens the call has entered.
	Entered int
	// Last is the id up to which all tokens have their entries. Done says that there are no others.
	Last token.ID
	Done bool
}

// Complete reports whether all tokens are in the directory.
func (f *Filler) Complete(ctx context.Context) (bool, error) {
	return f.parts.Store.DirectoryComplete(ctx)
}

const (
	// fillChunk is how many owners are filled at a time.
	fillChunk = 16
	// fillReserve is the time that a call leaves for what is in hand, and for the answer.
	fillReserve = 5 * time.Second
)

// Fill enters the tokens behind an id, and notes at the end that the directory is complete. Five seconds
// before ctx ends, Fill stops, for a next call that starts behind Last. All functions must be of a release
// that enters new tokens.
func (f *Filler) Fill(ctx context.Context, after token.ID) (Filled, error) {
	highest, _, err := f.parts.Store.CountAccounts(ctx)
	if err != nil {
		return Filled{}, fmt.Errorf("find last account: %w", err)
	}
	enough, cancel := clock.Early(ctx, fillReserve)
	defer cancel()
	late := func() bool { return enough.Err() != nil }
	filled := Filled{Last: after}
	for first := max(after.Owner(), 1); first <= highest; first += fillChunk {
		if late() && filled.Last > after {
			return filled, nil
		}
		last := min(first+fillChunk-1, highest)
		if done, err := f.fill(ctx, late, first, last, after, &filled); err != nil || !done {
			return filled, err
		}
		if filled.Last, err = token.NewID(last, token.MaxNumber); err != nil {
			return filled, err
		}
	}
	if err := f.parts.Store.CompleteDirectory(ctx, f.parts.Clock.Now()); err != nil {
		return filled, fmt.Errorf("note that the directory is complete: %w", err)
	}
	filled.Done = true
	return filled, nil
}

// fill enters the tokens of the owners from first to last: of all at the same time as many as one call enters,
// then the others, until it is late. It reports whether it has finished.
func (f *Filler) fill(ctx context.Context, late func() bool, first, last account.ID, after token.ID, filled *Filled) (bool, error) {
	type step struct {
		last    token.ID
		entered int
		more    bool
	}
	enter := func(ctx context.Context, owner account.ID, after token.ID) (s step, err error) {
		s.last, s.entered, s.more, err = f.parts.Store.EnterTokens(ctx, owner, after)
		if err != nil {
			err = fmt.Errorf("enter tokens of account %s: %w", owner, err)
		}
		return s, err
	}
	steps := make([]step, last-first+1)
	group, within := errgroup.WithContext(ctx)
	for i := range steps {
		group.Go(func() (err error) {
			steps[i], err = enter(within, first+account.ID(i), after)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	for _, s := range steps {
		filled.Entered += s.entered
	}
	for i, s := range steps {
		for s.more {
			filled.Last = s.last
			if late() {
				return false, nil
			}
			var err error
			if s, err = enter(ctx, first+account.ID(i), s.last); err != nil {
				return false, err
			}
			filled.Entered += s.entered
		}
	}
	return true, nil
}
