package scantest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
)

// A table is what a scan works on: a copy of one that was filled once.
type table struct {
	name   string
	engine *engine.Engine
	client *dynamodb.Client
	store  *store.Table
	// secrets are what the processes may not log, besides what a Loader makes.
	secrets string
}

// A template is a table that is filled when it is first needed, with T for what the tests need to know of it.
type template[T any] struct {
	once   sync.Once
	filled *table
	with   T
}

// copy returns a copy of the table that fill has filled.
func (p *template[T]) copy(t *testing.T, fill func(*storetest.Fixture) T) (*table, T) {
	t.Helper()
	p.once.Do(func() {
		e := engine.New()
		f := storetest.NewFixture(t, e.Client())
		f.Store = open(f.Client, f.Name)
		p.with = fill(f)
		p.filled = &table{name: f.Name, engine: e.Clone(), secrets: f.Secrets()} // f's own ends with this test
	})
	if p.filled == nil {
		t.Fatal("the table could not be filled")
	}
	copied := *p.filled
	copied.engine = p.filled.engine.Clone()
	copied.client = copied.engine.Client()
	copied.store = open(copied.client, copied.name)
	return &copied, p.with
}

// open opens the table as the process does.
func open(client *dynamodb.Client, name string) *store.Table {
	return store.Open(client, name, store.Options{Shards: shards, Retention: retentionDays * 24 * time.Hour})
}

// load fills a table with a crowd. Only the lifetime run walks from owner to owner.
func load(t *testing.T, f *storetest.Fixture, c storetest.Crowd, walkable bool) {
	t.Helper()
	loader, err := storetest.NewLoader(t.Context(), f.Client, f.Name, shards)
	if err == nil {
		err = loader.Crowd(t.Context(), c)
	}
	if err == nil && walkable {
		err = loader.Walkable(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// finishEarlier makes the table one that was scanned until three days before scanAt, so that the scans do
// not look through a month for what they may have missed.
func finishEarlier(t *testing.T, f *storetest.Fixture, function string) {
	t.Helper()
	for shard := range shards {
		job := sweep.Job{Kind: sweep.Kind(function), Day: clock.DayOf(scanAt).AddDays(-3), Shard: shard}
		if err := f.Store.SetFinished(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
}

// untold returns how many tokens the people are still to be told about, by the posts of a box.
func (tab *table) untold(t *testing.T, box string) map[account.ID]int {
	t.Helper()
	untold := map[account.ID]int{}
	for shard := range shards {
		for q := (sweep.PostQuery{Box: sweep.Box(box), Shard: shard}); ; {
			page, err := tab.store.Posted(t.Context(), q)
			if err != nil {
				t.Fatalf("posts of shard %d: %v", shard, err)
			}
			for _, p := range page.Posts {
				untold[p.To]++
			}
			if q.Next = page.Next; q.Next == "" {
				break
			}
		}
	}
	return untold
}

// endLeases makes the leases of dead runs end, as two minutes would: the processes are on the
// machine's clock, which a test cannot move.
func (tab *table) endLeases(t *testing.T, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		for shard := range shards {
			_, err := tab.client.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
				TableName: &tab.name,
				Key: map[string]types.AttributeValue{
					"pk": storetest.S("SCAN#" + kind), "sk": storetest.S(fmt.Sprintf("SHARD#%02d", shard)),
				},
				UpdateExpression:          aws.String("SET leased_until = :past"),
				ConditionExpression:       aws.String("attribute_exists(leased_until)"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":past": storetest.N("1")},
			})
			var none *types.ConditionalCheckFailedException
			if err != nil && !errors.As(err, &none) {
				t.Fatal(err)
			}
		}
	}
}
