package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup" // bounds what runs at once; the extended standard library's

	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// leakWorkers is how many tokens of a report are ended at a time: a thousand
// are done in a second or two, and the table's other users notice little.
const leakWorkers = 16

// ReportLeaked ends every token whose bearer is among values, whatever the rest
// of them are, and returns those that it ended by ascending id. Nobody has to
// be known for that: who has a bearer can end it anyway. Values of every form
// are looked up, so that how long it takes to look tells nothing about them; a
// value given twice counts once.
//
// One that cannot be ended does not keep the others from it. The error is then
// token.ErrUnavailable beside the tokens that ended, and the same report may be
// made again.
func (r *Revoker) ReportLeaked(ctx context.Context, values []string) ([]token.Token, error) {
	digests := make([]secret.Digest, 0, len(values))
	seen := make(map[secret.Digest]bool, len(values))
	for _, value := range values {
		if digest := r.Pepper.DigestOfReported(value); !seen[digest] {
			seen[digest] = true
			digests = append(digests, digest)
		}
	}
	found, err := r.Store.TokensByDigest(ctx, digests)
	if err != nil {
		return nil, fmt.Errorf("look up %d reported values: %w", len(digests), err)
	}
	return r.endLeaked(ctx, found)
}

func (r *Revoker) endLeaked(ctx context.Context, found []token.Token) ([]token.Token, error) {
	var (
		mu       sync.Mutex
		ended    []token.Token
		failures []error
		group    errgroup.Group
	)
	group.SetLimit(leakWorkers)
	for _, t := range found {
		if !t.RevokedAt.IsZero() {
			continue
		}
		group.Go(func() error {
			err := r.end(ctx, t, token.ReasonLeak)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				ended = append(ended, t)
			case !errors.Is(err, token.ErrNotFound): // clean-up took it in the meantime
				failures = append(failures, fmt.Errorf("token %s: %w", t.ID, err))
			}
			return nil
		})
	}
	_ = group.Wait() // failures are collected, not the first one alone
	slices.SortFunc(ended, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	if len(failures) > 0 {
		return ended, fmt.Errorf("%w: %d reported tokens not ended: %w", token.ErrUnavailable, len(failures), errors.Join(failures...))
	}
	return ended, nil
}
