package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"

	// bounds concurrent work

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// removalLookBack is how many additional days the Expired scan looks back for bots. The index lags,
// so an entry may appear after its day was scanned, and an unreadable entry is worth another look.
// A day without entries costs one query.
const removalLookBack = 7

// Enforcement says whether expired tokens work, with consistent reads.
type Enforcement interface {
	ExpiryIgnored(ctx context.Context) (bool, error)
}

// removeBots removes the bots whose tokens expired long enough ago. A removed bot leaves the index,
// so the next attempt continues without a cursor.
func (a *attempt) removeBots(ctx context.Context) error {
	var err error
	if a.expiryIgnored, err = a.Enforcement.ExpiryIgnored(ctx); err != nil {
		return err
	}
	for day := a.firstDay.AddDays(-removalLookBack); !day.After(a.job.Day); day = day.AddDays(1) {
		q := Query{Day: day, Shard: a.job.Shard, Bots: true}
		for more := true; more; more = q.Next != "" {
			if a.late = a.stopped(); a.late {
				return nil
			}
			page, err := a.page(ctx, q)
			if err != nil {
				return err
			}
			for batch := range slices.Chunk(page.Entries, batchOwners) {
				if a.late = a.stopped(); a.late {
					return nil
				}
				if err := a.removeBatch(ctx, batch); err != nil {
					return err
				}
				if err := a.save(ctx); err != nil {
					a.late = errors.Is(err, ErrLeaseLost)
					return leaseOnly(err)
				}
			}
			q.Next = page.Next
		}
	}
	return nil
}

// removeBatch looks at the records of a batch and revokes those that agree with the index. A fault
// does not stop it, because bots are independent.
func (a *attempt) removeBatch(ctx context.Context, batch []Entry) error {
	tokens, err := a.removable(ctx, batch)
	if err != nil {
		return err
	}
	return parallel(a.Workers, tokens, func(t token.Token) error {
		err := a.Revoker.RevokeToken(ctx, t, audit.OfToken(t.RevokedAt, audit.Origin{Source: audit.Policy}, t, audit.Revoked))
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case err == nil:
			a.counts.BotsRemoved++
		case errors.Is(err, fault.ErrNotFound), errors.Is(err, token.ErrSuperseded):
			a.counts.skip(gone, 1)
		case errors.Is(err, fault.ErrCorrupt):
			a.Malformed(err)
			a.counts.skip(malformed, 1)
		default:
			return fmt.Errorf("remove the bot of token %s: %w", t.ID, err)
		}
		return nil
	})
}

// removable returns the tokens of a batch whose bots are to be removed, in their revoked form.
func (a *attempt) removable(ctx context.Context, batch []Entry) (tokens []token.Token, err error) {
	digests, ids := make([]secret.Digest, len(batch)), make(map[secret.Digest]token.ID, len(batch))
	for i, e := range batch {
		digests[i], ids[e.Digest] = e.Digest, e.ID
	}
	seen := 0
	err = a.Records.Tokens(ctx, digests, func(t token.Token, err error) {
		seen++
		if err != nil {
			a.Malformed(err)
			a.counts.skip(malformed, 1)
			return
		}
		if reason := notRemoved(t, ids[t.Digest], a.job.Day, a.expiryIgnored); reason != "" {
			a.counts.skip(reason, 1)
			return
		}
		t.RevokedAt, t.RevokedReason = a.at, token.ReasonExpired
		tokens = append(tokens, t)
	})
	a.counts.skip(gone, len(batch)-seen)
	return tokens, err
}

// notRemoved returns why the bot of an index entry stays, or "". Its day was set when the expiry
// was announced; later changes of the retention do not move it.
//
// A token with a short life has ended also while expiry is ignored; the others still work.
func notRemoved(t token.Token, id token.ID, today clock.Day, expiryIgnored bool) string {
	switch {
	case !t.RevokedAt.IsZero(): // rotated, for example: the bot has another token
		return revoked
	case t.ID != id, !t.Kind.OfProject(), t.ExpiresOn.IsZero(), t.ExpiresOn.After(today):
		return moved
	case expiryIgnored && t.Life == 0:
		return ignored
	default:
		return ""
	}
}
