package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup" // bounds the workers

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// removalLookBack is how many days further than for mails the expired scan
// looks back for bots. The index lags, so an entry may appear after its day was
// scanned, and one that could not be read is worth another look. Days without
// entries cost one query each.
const removalLookBack = 7

// Bots removes bots.
type Bots interface {
	// RevokeToken ends a token of a project or group, and its bot with it. A
	// token that has been revoked before stays as it is, and its bot too: it
	// may have another token since. Absence is fault.ErrNotFound.
	RevokeToken(ctx context.Context, ended token.Token, revoked audit.Event) error
}

// Enforcement says whether tokens work on after their end, strongly consistent.
type Enforcement interface {
	ExpiryIgnored(ctx context.Context) (bool, error)
}

// removeBots removes the bots whose tokens ended long enough ago. Each one that
// is removed leaves the index, so the next run goes on by itself. It returns
// false when there is more to do; save is called often enough for the lease.
func (r *run) removeBots(slots []slot, save func() error) (bool, error) {
	if r.Enforcement != nil {
		ignored, err := r.Enforcement.ExpiryIgnored(r.ctx)
		if err != nil {
			return false, err
		}
		if ignored {
			return true, nil // their tokens still work
		}
	}
	for day := slots[0].day.AddDays(-removalLookBack); !day.After(r.job.Day); day = day.AddDays(1) {
		q := Query{Day: day, Shard: r.job.Shard, Bots: true}
		for more := true; more; more = q.Next != "" {
			if r.stop.Err() != nil {
				return false, nil //nolint:nilerr // the time is up, which is no fault
			}
			page, err := r.Index.Due(r.ctx, q)
			if err != nil {
				return false, err
			}
			r.counts.Examined += len(page.Entries) + page.Malformed
			r.counts.skip(malformed, page.Malformed)
			if done, err := r.removePage(page.Entries, save); !done || err != nil {
				return false, err
			}
			q.Next = page.Next
		}
	}
	return true, nil
}

func (r *run) removePage(entries []Entry, save func() error) (bool, error) {
	for batch := range slices.Chunk(entries, batchOwners) {
		if r.stop.Err() != nil {
			return false, nil
		}
		if err := r.removeBatch(batch); err != nil {
			return false, err
		}
		if err := save(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// removeBatch looks at the records of a batch and ends those that are as the
// index says. It goes on after a fault: the bots have nothing in common.
func (r *run) removeBatch(batch []Entry) error {
	ended, err := r.endedBots(batch)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var faults error
	workers := errgroup.Group{}
	workers.SetLimit(r.Workers)
	for _, t := range ended {
		workers.Go(func() error {
			err := r.Bots.RevokeToken(r.ctx, t, audit.OfToken(t.RevokedAt, audit.Origin{Source: audit.Policy}, t, audit.Revoked))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				r.counts.Ended++
			case errors.Is(err, fault.ErrNotFound):
				r.counts.skip(gone, 1)
			case errors.Is(err, fault.ErrCorrupt):
				r.malformed(err)
				r.counts.skip(malformed, 1)
			default:
				faults = errors.Join(faults, fmt.Errorf("remove the bot of token %s: %w", t.ID, err))
			}
			return nil
		})
	}
	_ = workers.Wait() // faults are collected
	return faults
}

// endedBots returns the tokens of a batch that are to be ended, as they are then.
func (r *run) endedBots(batch []Entry) ([]token.Token, error) {
	digests, ids := make([]secret.Digest, len(batch)), make(map[secret.Digest]token.ID, len(batch))
	for i, e := range batch {
		digests[i], ids[e.Digest] = e.Digest, e.ID
	}
	var ended []token.Token
	seen := 0
	err := r.Records.Tokens(r.ctx, digests, func(t token.Token, err error) {
		seen++
		if err != nil {
			r.malformed(err)
			r.counts.skip(malformed, 1)
			return
		}
		if reason := notRemoved(t, ids[t.Digest], r.job.Day); reason != "" {
			r.counts.skip(reason, 1)
			return
		}
		t.RevokedAt, t.RevokedReason = r.at, token.ReasonExpired
		ended = append(ended, t)
	})
	r.counts.skip(gone, len(batch)-seen)
	return ended, err
}

// notRemoved says why the bot of an index entry is not to be removed after all,
// or "". The day on which it is was set when its end was announced: to change
// how long bots stay changes nothing for those that have ended.
func notRemoved(t token.Token, id token.ID, today clock.Day) string {
	switch {
	case !t.RevokedAt.IsZero(): // rotated, for one: the bot lives on with another token
		return revoked
	case t.ID != id, !t.Kind.OfProject(), t.ExpiresOn.IsZero(), t.ExpiresOn.After(today):
		return "moved"
	default:
		return ""
	}
}
