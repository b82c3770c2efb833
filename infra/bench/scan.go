package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/notify"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

var (
	scanDay = clock.DayOf(storetest.Now)
	scanAt  = sweep.Event{Time: scanDay.Start().Add(time.Hour)}
)

// scans checks that the cost of a scan depends only on the number of due tokens.
func scans(ctx context.Context, r *report) error {
	if err := notices(ctx, r); err != nil {
		return err
	}
	if err := memoryOfScan(ctx, r); err != nil {
		return err
	}
	return flat(ctx, r)
}

// flat compares scans of two tables with equally many due tokens. One table holds a hundred
// times as many tokens in total. The scan spends most of its time on marks, and the noise of the
// machine would hide a difference in the median, so flat compares the best turn of each table.
func flat(ctx context.Context, r *report) error {
	const owners, tokensEach, times, turns = 400, 5, 100, 9
	engine, err := dynamodblocal.Start(ctx)
	if err != nil {
		return err
	}
	defer engine.Stop()
	var requests atomic.Int64
	client := dynamodblocal.Client(engine.Endpoint(), store.Configure(""), countRequests(&requests))
	due := storetest.Crowd{Owners: owners, TokensEach: tokensEach, First: 1, On: func(owner account.ID, n int) clock.Day {
		return scanDay.AddDays((int(owner) + n) % 8)
	}}
	rest := storetest.Crowd{Owners: owners * (times - 1), TokensEach: tokensEach, First: owners + 1, On: func(owner account.ID, n int) clock.Day {
		return scanDay.AddDays(8 + (int(owner)+n)%350)
	}}
	small, err := newScanTable(ctx, client, "small", due)
	if err != nil {
		return err
	}
	start := time.Now()
	large, err := newScanTable(ctx, client, "large", due, rest)
	if err != nil {
		return err
	}
	r.note("%d tokens loaded in %v", owners*tokensEach*times, time.Since(start).Round(time.Second))

	tables := []*scanTable{small, large}
	best := []time.Duration{math.MaxInt64, math.MaxInt64}
	asked := []int64{0, 0}
	for turn := range turns + 1 {
		for i := range tables {
			c := (i + turn) % len(tables)
			if err := tables[c].reset(ctx, due); err != nil {
				return err
			}
			before, start := requests.Load(), time.Now()
			if err := scanAll(ctx, tables[c], owners); err != nil {
				return err
			}
			if turn > 0 { // the first turn warms up
				best[c] = min(best[c], time.Since(start))
				asked[c] += requests.Load() - before
			}
		}
	}
	r.note("2,000 tokens due of 2,000: %v, of 200,000: %v; requests %d and %d", best[0], best[1], asked[0]/turns, asked[1]/turns)
	r.atMost("scan_flat_ratio", float64(best[1])/float64(best[0]), 1.10)
	r.atMost("scan_requests_ratio", float64(asked[1])/float64(asked[0]), 1.01)
	return nil
}

type scanTable struct {
	*store.Table
	client *dynamodb.Client
	name   string
	loader *storetest.Loader
}

func newScanTable(ctx context.Context, client *dynamodb.Client, name string, crowds ...storetest.Crowd) (*scanTable, error) {
	path, err := tabledef.Path()
	if err != nil {
		return nil, err
	}
	if err := tabledef.Create(ctx, client, path, name); err != nil {
		return nil, err
	}
	// Loading is not measured, so it may take as long as it needs.
	patient := dynamodblocal.Client(*client.Options().BaseEndpoint, func(o *dynamodb.Options) { o.RetryMaxAttempts = 10 })
	loader, err := storetest.NewLoader(ctx, patient, name, store.DefaultShards)
	if err != nil {
		return nil, err
	}
	for _, crowd := range crowds {
		if err := loader.Crowd(ctx, crowd); err != nil {
			return nil, err
		}
	}
	return &scanTable{
		Table:  store.Open(client, name, store.Options{Shards: store.DefaultShards, Retention: time.Hour}),
		client: client, name: name, loader: loader,
	}, nil
}

// reset removes the marks from a crowd's tokens and the progress of the scan.
func (t *scanTable) reset(ctx context.Context, crowd storetest.Crowd) error {
	err := t.loader.Tokens(ctx, crowd.Tokens())
	for shard := range store.DefaultShards {
		for _, job := range []string{"expiring", "expiring-posts"} {
			_, deleteErr := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName: aws.String(t.name),
				Key:       itemKey(fmt.Sprintf("SCAN#%s#%s", job, scanDay), fmt.Sprintf("SHARD#%02d", shard)),
			})
			err = errors.Join(err, deleteErr)
		}
	}
	return err
}

type scannable interface {
	sweep.Index
	sweep.Records
	sweep.Projects
	sweep.Ledger
	sweep.Posts
	sweep.Allowance
}

func setup(table scannable) sweep.Setup {
	return sweep.Setup{
		Kind: sweep.Expiring, Index: table, Records: table, Projects: table, Ledger: table,
		Posts: table, Allowance: table, DailyMails: 10,
		Mailer: rendering{}, Clock: clock.NewFake(scanAt.Time), Days: sweep.Days{7},
		Shards: store.DefaultShards, Concurrency: 1, Workers: 8, Malformed: func(error) {},
	}
}

// scanAll runs a scan that must send the given number of mails.
func scanAll(ctx context.Context, table scannable, mails int) error {
	s, err := sweep.NewScanner(setup(table))
	if err != nil {
		return err
	}
	result, err := s.Run(ctx, ctx, scanAt)
	if err == nil && (!result.Done || result.Counts.Mails != mails) {
		err = fmt.Errorf("scan is done: %v, with %d mails and not %d", result.Done, result.Counts.Mails, mails)
	}
	return err
}

// rendering is a mailer that renders every mail and sends none.
type rendering struct{}

func (rendering) Send(_ context.Context, n sweep.Notice) error {
	_, err := notify.Render(n, "https://tokens.example.com")
	return err
}

func (rendering) Rate(context.Context) (float64, error) { return 1e9, nil }

const benchTokensEach = 5

// notices measures how many mails a second a scan decides on and renders when the table and the
// mail service answer at once.
func notices(ctx context.Context, r *report) error {
	const owners, turns = 8000, 5
	best := time.Duration(math.MaxInt64)
	for range turns {
		start := time.Now()
		if err := scanAll(ctx, synthetic{owners: owners}, owners); err != nil {
			return err
		}
		best = min(best, time.Since(start))
	}
	r.atLeast("scan_notices_per_second", owners/best.Seconds(), 2000)
	return nil
}

// memoryOfScan measures the extra memory of a scan for ten times as many due tokens.
func memoryOfScan(ctx context.Context, r *report) error {
	few, err := peak(ctx, 10_000/benchTokensEach)
	if err != nil {
		return err
	}
	many, err := peak(ctx, 100_000/benchTokensEach)
	if err != nil {
		return err
	}
	const mb = 1 << 20
	r.note("peak heap with 10,000 tokens due: %.1f MB, with 100,000: %.1f MB", float64(few)/mb, float64(many)/mb)
	r.atMost("scan_memory_growth_mb", max(0, float64(many)-float64(few))/mb, 10)
	return nil
}

func peak(ctx context.Context, owners int) (uint64, error) {
	return peakOf(func() error {
		return scanAll(ctx, synthetic{owners: owners}, owners)
	})
}

// peakOf returns the largest size of the heap during work. It collects garbage often, so that
// garbage hardly counts.
func peakOf(work func() error) (uint64, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	finished, most := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		highest := uint64(0)
		for {
			metrics.Read(sample)
			highest = max(highest, sample[0].Value.Uint64())
			select {
			case <-tick.C:
			case <-finished:
				most <- highest
				return
			}
		}
	}()
	err := work()
	close(finished)
	return <-most, err
}

// synthetic is a table that makes its items on demand and stores nothing. Its owners count from 1,
// and each has tokens on five of eight days. It keeps no marks, so it can be scanned once.
type synthetic struct {
	sweep.Projects  // none, because there are no bots
	sweep.Allowance // for mails about them
	owners          int
}

// Due returns pages of the same size as the store's.
func (s synthetic) Due(_ context.Context, q sweep.Query) (sweep.Page, error) {
	var page sweep.Page
	next := 1
	if q.Next != "" {
		n, err := strconv.Atoi(q.Next)
		if err != nil {
			return page, err
		}
		next = n
	}
	days := scanDay.DaysUntil(q.Day)
	for owner := max(next, int(q.After)+1); owner <= s.owners; owner++ {
		if owner%store.DefaultShards != q.Shard {
			continue
		}
		number := (days + owner) % 8 // five of the eight days
		if number >= benchTokensEach {
			continue
		}
		if len(page.Entries) == 500 {
			page.Next = strconv.Itoa(owner)
			break
		}
		id, err := token.NewID(account.ID(owner), int64(number)+1)
		if err != nil {
			return page, err
		}
		page.Entries = append(page.Entries, sweep.Entry{ID: id, Digest: secret.DigestFromKey(id.String())})
	}
	return page, nil
}

func (s synthetic) Tokens(_ context.Context, digests []secret.Digest, each func(token.Token, error)) error {
	for _, digest := range digests {
		id, err := token.ParseID(digest.Key())
		if err != nil {
			return err
		}
		days := (int(id.Number()-1) - int(id.Owner())) % 8
		each(token.Token{
			ID: id, Kind: token.Personal, Owner: id.Owner(), Name: "token " + id.String(), Scopes: scope.Set{scope.API, scope.ReadUser},
			ExpiresOn: scanDay.AddDays((days + 8) % 8), Family: id, Digest: digest,
		}, nil)
	}
	return nil
}

func (s synthetic) Owners(_ context.Context, ids []account.ID, each func(account.Account, error)) error {
	for _, id := range ids {
		each(account.Account{ID: id, Username: "u", Name: "User " + id.String(), Email: "u" + id.String() + "@example.com", State: account.Active, NextNumber: 9}, nil)
	}
	return nil
}

func (synthetic) Mark(context.Context, token.Token, string, time.Time) error { return nil }

func (synthetic) Post(context.Context, sweep.Box, sweep.Post, time.Time) error { return nil }

func (synthetic) Unpost(context.Context, sweep.Box, int, sweep.Post) error { return nil }

func (synthetic) Posted(context.Context, sweep.PostQuery) (sweep.PostPage, error) {
	return sweep.PostPage{}, nil
}

func (synthetic) Acquire(context.Context, sweep.Job, string, time.Time, time.Time) (sweep.Progress, error) {
	return sweep.Progress{}, nil
}

func (synthetic) Save(context.Context, sweep.Job, string, sweep.Progress, time.Time) error {
	return nil
}

func (synthetic) Finished(context.Context, sweep.Kind, int) (clock.Day, error) {
	return clock.Day{}, fault.ErrNotFound
}

func (synthetic) Begun(context.Context, sweep.Job) (bool, error) { return true, nil }

func (synthetic) SetFinished(context.Context, sweep.Job) error { return nil }
