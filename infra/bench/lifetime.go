package main

import (
	"context"
	"fmt"
	"math"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"time"

	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/infra/cloud/engine"
	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

const benchLimitDays = 30

// lifetimes measures how many tokens a second one shard of a lifetime run revokes and announces
// when the table and the mail service answer at once. It also measures the extra memory for ten
// times as many tokens.
func lifetimes(ctx context.Context, r *report) error {
	const owners, turns = 8000, 5
	best := time.Duration(math.MaxInt64)
	for range turns {
		start := time.Now()
		if err := enforceAll(ctx, newOverlong(owners), 1, owners*benchTokensEach); err != nil {
			return err
		}
		best = min(best, time.Since(start))
	}
	r.atLeast("lifetime_tokens_per_second", owners*benchTokensEach/best.Seconds(), 1000)

	few, err := peakOf(func() error {
		return enforceAll(ctx, newOverlong(10_000/benchTokensEach), 1, 10_000)
	})
	if err != nil {
		return err
	}
	many, err := peakOf(func() error {
		return enforceAll(ctx, newOverlong(100_000/benchTokensEach), 1, 100_000)
	})
	if err != nil {
		return err
	}
	const mb = 1 << 20
	r.note("peak heap with 10,000 tokens beyond the limit: %.1f MB, with 100,000: %.1f MB", float64(few)/mb, float64(many)/mb)
	r.atMost("lifetime_memory_growth_mb", max(0, float64(many)-float64(few))/mb, 10)
	return lifetimeOnEngine(ctx, r) // last, because its engine is in this heap
}

// lifetimeOnEngine runs on the store and an engine in this process. Both share the processors with
// the run.
func lifetimeOnEngine(ctx context.Context, r *report) error {
	const owners = 2000
	crowd := storetest.Crowd{Owners: owners, TokensEach: benchTokensEach, First: 1, On: func(account.ID, int) clock.Day {
		return scanDay.AddDays(benchLimitDays + 1)
	}}
	server := httptest.NewServer(engine.New())
	defer server.Close()
	table, err := newScanTable(ctx, dynamodblocal.Client(server.URL, store.Configure("")), "lifetime", crowd)
	if err != nil {
		return err
	}
	if err := table.loader.Walkable(ctx, crowd); err != nil {
		return err
	}
	start := time.Now()
	if err := enforceAll(ctx, table, store.DefaultShards, owners*benchTokensEach); err != nil {
		return err
	}
	r.note("with the store and the embedded engine: %.0f tokens a second", owners*benchTokensEach/time.Since(start).Seconds())
	return nil
}

// enforceAll runs all shards, which must revoke the given number of tokens and tell their owners.
func enforceAll(ctx context.Context, table revocable, shards, tokens int) error {
	with := setup(table)
	with.Kind, with.Limits, with.Accounts, with.Revoker, with.Shards = sweep.Lifetime, alwaysLimited{}, table, table, shards
	s, err := sweep.NewScanner(with)
	if err != nil {
		return err
	}
	result, err := s.Run(ctx, ctx, sweep.Event{Time: scanAt.Time})
	if err == nil && (!result.Done || result.Counts.Revoked != tokens || result.Counts.Mails != tokens/benchTokensEach) {
		err = fmt.Errorf("lifetime run is done: %v, with %d tokens and %d mails", result.Done, result.Counts.Revoked, result.Counts.Mails)
	}
	return err
}

type revocable interface {
	scannable
	sweep.Accounts
	sweep.Revoker
}

type alwaysLimited struct{}

func (alwaysLimited) LifetimeRun(context.Context) (int, time.Time, error) {
	return benchLimitDays, time.Unix(1, 0), nil
}

// overlong is a table like synthetic, with one shard, in which every token exceeds the limit. It
// counts revocations and does not record which tokens were revoked.
type overlong struct {
	synthetic
	revoked atomic.Int64
}

func newOverlong(owners int) *overlong { return &overlong{synthetic: synthetic{owners: owners}} }

func (p *overlong) token(id token.ID) token.Token {
	t := token.Token{
		ID: id, Kind: token.Personal, Owner: id.Owner(), Name: "token " + id.String(), Scopes: scope.Set{scope.API, scope.ReadUser},
		ExpiresOn: scanDay.AddDays(benchLimitDays + int(id.Number())), Family: id, Digest: secret.DigestFromKey(id.String()),
	}
	if p.revoked.Load() == int64(p.owners*benchTokensEach) {
		t.RevokedAt, t.RevokedReason = scanAt.Time, token.ReasonPolicy
	}
	return t
}

func (p *overlong) Tokens(_ context.Context, digests []secret.Digest, each func(token.Token, error)) error {
	for _, digest := range digests {
		id, err := token.ParseID(digest.Key())
		if err != nil {
			return err
		}
		each(p.token(id), nil)
	}
	return nil
}

func (p *overlong) LastAccountID(context.Context) (account.ID, error) {
	return account.ID(p.owners), nil
}

func (p *overlong) PageOfTokens(_ context.Context, owner account.ID, _ string) ([]token.Token, string, error) {
	tokens := make([]token.Token, benchTokensEach)
	for n := range tokens {
		id, err := token.NewID(owner, int64(n)+1)
		if err != nil {
			return nil, "", err
		}
		tokens[n] = p.token(id)
	}
	return tokens, "", nil
}

// Posted makes the posts that the run would have written: one for each token, to its owner.
func (p *overlong) Posted(_ context.Context, q sweep.PostQuery) (page sweep.PostPage, err error) {
	const ownersOnPage = 100
	first := int(q.After) + 1
	if q.Next != "" {
		if first, err = strconv.Atoi(q.Next); err != nil {
			return page, err
		}
	}
	last := min(p.owners, first+ownersOnPage-1)
	for owner := first; owner <= last; owner++ {
		for n := range benchTokensEach {
			id, err := token.NewID(account.ID(owner), int64(n)+1)
			if err != nil {
				return page, err
			}
			page.Posts = append(page.Posts, sweep.Post{
				To: id.Owner(), Token: id, Digest: secret.DigestFromKey(id.String()), Kind: sweep.Lifetime, ExpiresOn: p.token(id).ExpiresOn,
			})
		}
	}
	if last < p.owners {
		page.Next = strconv.Itoa(last + 1)
	}
	return page, nil
}

func (p *overlong) RevokeToken(context.Context, token.Token, audit.Event) error {
	p.revoked.Add(1)
	return nil
}
