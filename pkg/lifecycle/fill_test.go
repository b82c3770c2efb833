package lifecycle_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/token"
)

// A fillStore has owners with numbers of tokens, and enters a hundred at a time.
type fillStore struct {
	mu       sync.Mutex
	tokens   map[account.ID]int64
	highest  account.ID
	entered  map[token.ID]bool
	complete bool
	err      error
}

func (s *fillStore) DirectoryComplete(context.Context) (bool, error) { return s.complete, s.err }

func (s *fillStore) CompleteDirectory(context.Context, time.Time) error {
	s.complete = true
	return nil
}

func (s *fillStore) CountAccounts(context.Context) (account.ID, int, error) {
	return s.highest, len(s.tokens), nil
}

func (s *fillStore) EnterTokens(_ context.Context, owner account.ID, after token.ID) (last token.ID, entered int, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for last = after; ; entered++ {
		id, err := token.NewID(owner, 1)
		if err != nil {
			return last, entered, false, err
		}
		id = max(id, last+1)
		if id.Owner() != owner || id.Number() > s.tokens[owner] {
			return last, entered, false, s.err
		}
		if entered == 100 {
			return last, entered, true, s.err
		}
		s.entered[id] = true
		last = id
	}
}

// Breaks if a directory counts as complete that lacks a token, or an owner with many tokens stops the filling.
func TestFillingGoesOnWhereItStopped(t *testing.T) {
	s := &fillStore{tokens: map[account.ID]int64{}, highest: 50, entered: map[token.ID]bool{}}
	all := 0
	for id := account.ID(1); id <= 50; id += 3 { // the others were deleted, or have no tokens
		s.tokens[id] = int64(id)
	}
	s.tokens[19], s.tokens[50] = 730, 100
	for _, n := range s.tokens {
		all += int(n)
	}
	filler, err := lifecycle.NewFiller(lifecycle.FillerParts{Store: s, Clock: clock.NewFake(now)})
	checkErr(t, err, nil)
	calls, after := 0, token.ID(0)
	for {
		calls++
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than a call keeps for its answer
		filled, err := filler.Fill(ctx, after)
		cancel()
		checkErr(t, err, nil)
		if filled.Done {
			break
		}
		if s.complete || filled.Last <= after {
			t.Fatalf("complete %t, from %s to %s", s.complete, after, filled.Last)
		}
		after = filled.Last
	}
	if len(s.entered) != all || !s.complete || calls < 8 {
		t.Errorf("%d of %d tokens in %d calls, complete %t", len(s.entered), all, calls, s.complete)
	}
	complete, err := filler.Complete(t.Context())
	checkErr(t, err, nil)
	if !complete {
		t.Error("it is not complete")
	}
	s.complete, s.err = false, errors.New("the engine fails")
	if _, err := filler.Fill(t.Context(), 0); !errors.Is(err, s.err) || s.complete {
		t.Errorf("complete %t, %v", s.complete, err)
	}
}
