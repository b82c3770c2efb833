package restore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/restore"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// restoredTo is the second of the restore, and now is when somebody looks at the restored table.
var (
	restoredTo = storetest.Now.Add(time.Minute)
	now        = storetest.Now.Add(3 * time.Hour)
)

// copied copies a table, as a restore does.
func copied(tb testing.TB, f *storetest.Fixture) string {
	tb.Helper()
	name := storetest.Table(tb, f.Client)
	pages := dynamodb.NewScanPaginator(f.Client, &dynamodb.ScanInput{TableName: &f.Name, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		check(tb, err)
		for _, item := range page.Items {
			_, err := f.Client.PutItem(tb.Context(), &dynamodb.PutItemInput{TableName: &name, Item: item})
			check(tb, err)
		}
	}
	return name
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A loss is a table, and what it was at an earlier second.
type loss struct {
	*storetest.Fixture
	earlier string // the name of a copy
	kept    account.Account
	proj    project.Project
}

// newLoss makes tables between which something of every kind has ended.
func newLoss(tb testing.TB, client *dynamodb.Client) loss {
	tb.Helper()
	f := storetest.NewFixture(tb, client)
	var people [8]account.Account
	for i := range people {
		people[i] = f.AddAccount(tb)
	}
	inBulk, blocked, deactivated, deleted, lowered, removed, linked, kept := people[0], people[1], people[2], people[3], people[4], people[5], people[6], people[7]
	for _, p := range people {
		f.AddToken(tb, p)
	}
	revoked, rotated, overlapping, cleaned := f.AddToken(tb, kept), f.AddToken(tb, kept), f.AddToken(tb, kept), f.AddToken(tb, kept)
	f.AddToken(tb, inBulk)
	proj := f.AddProject(tb, project.KindProject)
	botToken := f.AddBot(tb, proj)
	f.AddBot(tb, proj)
	var members [3]project.Member
	for i, p := range []account.Account{lowered, removed, deleted} {
		members[i] = project.Member{Project: proj.ID, Account: p.ID, Level: project.Maintainer, CreatedAt: storetest.Now, CreatedBy: 1}
		check(tb, f.Store.AddMember(tb.Context(), members[i], project.Member{}, storetest.Event))
	}
	admin := f.Fresh(tb, lowered)
	admin.Admin = true
	check(tb, f.Store.UpdateAccount(tb.Context(), lowered, admin, storetest.Events))
	check(tb, f.Store.LinkIdentity(tb.Context(), linked, account.Identity{Issuer: "https://login.example.test", Subject: "linked"}, storetest.Event))
	check(tb, f.Store.SaveSettings(tb.Context(), settings.Application{Settings: settings.Settings{ExpiryIgnored: true, RetentionDays: 90, LastUsedInterval: time.Hour}, Revision: 1}, storetest.Events))

	l := loss{f, copied(tb, f), kept, proj}
	ctx := tb.Context()
	check(tb, f.Store.RevokeToken(ctx, storetest.Revoked(revoked), storetest.Event))
	for _, old := range []token.Token{rotated, storetest.Overlapping(overlapping, 20*time.Hour)} {
		_, err := f.Store.RotateToken(ctx, f.Fresh(tb, kept), old, f.Successor(tb, kept, old), nil, storetest.Event)
		check(tb, err)
	}
	f.Drop(tb, "TOKEN#"+cleaned.Digest.Key(), "TOKEN")
	check(tb, f.Store.RevokeToken(ctx, storetest.Revoked(botToken), storetest.Event))
	check(tb, f.Store.RevokeEverything(ctx, inBulk.ID, storetest.Event))
	check(tb, f.Store.SetAccountState(ctx, blocked.ID, account.Active, account.Blocked, storetest.Event))
	check(tb, f.Store.SetAccountState(ctx, deactivated.ID, account.Active, account.Deactivated, storetest.Event))
	check(tb, f.Store.DeleteAccount(ctx, f.Fresh(tb, deleted), storetest.Event))
	check(tb, f.Store.UpdateAccount(ctx, admin, lowered, storetest.Events))
	less := members[0]
	less.Level, less.ExpiresOn = project.Guest, clock.DayOf(now).AddDays(1)
	check(tb, f.Store.ChangeMember(ctx, members[0], less, project.Member{}, storetest.Events))
	check(tb, f.Store.RemoveMember(ctx, members[1], project.Member{}, storetest.Event))
	check(tb, f.Store.UnlinkIdentity(ctx, f.Fresh(tb, linked), storetest.Event))
	check(tb, f.Store.SaveSettings(ctx, settings.Application{Settings: settings.Settings{ImpersonationOff: true, RetentionDays: 90, LastUsedInterval: time.Hour}, Revision: 2}, storetest.Events))
	return l
}

// A death ends a client at one of its writes.
type death struct {
	next   dynamodb.HTTPClient
	at     int32 // the write at which it comes, 0 for never
	after  bool  // the write takes effect
	writes *atomic.Int32
}

var errDead = errors.New("the process is dead")

func (d death) Do(r *http.Request) (*http.Response, error) {
	write := strings.HasSuffix(r.Header.Get("X-Amz-Target"), "TransactWriteItems")
	n := d.writes.Load()
	if write {
		n = d.writes.Add(1)
	}
	if d.at == 0 || n < d.at {
		return d.next.Do(r)
	}
	if write && n == d.at && d.after {
		if reply, err := d.next.Do(r); err == nil {
			_ = reply.Body.Close()
		}
	}
	return nil, errDead
}

// on returns a restorer of a table whose client dies.
func (l loss) on(tb testing.TB, table string, at int32, after bool) (*restore.Restorer, *store.Table, *atomic.Int32) {
	tb.Helper()
	writes := &atomic.Int32{}
	client := dynamodb.New(l.Client.Options(), func(o *dynamodb.Options) {
		o.HTTPClient = death{o.HTTPClient, at, after, writes}
		o.RetryMaxAttempts, o.Retryer = 1, aws.NopRetryer{}
	})
	here := store.Open(client, table, store.Options{Shards: storetest.Shards, Retention: storetest.Retention})
	r, err := restore.New(restore.Parts{Reader: &here.Reader, Store: here, Old: &l.Store.Reader, Clock: clock.NewFake(now)})
	check(tb, err)
	return r, here, writes
}

// state is everything that a table says about who may do what, without events.
func state(tb testing.TB, client *dynamodb.Client, table string) map[string]any {
	tb.Helper()
	f := storetest.Fixture{Client: client, Name: table}
	all := f.Snapshot(tb)
	for k := range all {
		if strings.HasPrefix(k, "AUDIT#") {
			delete(all, k)
		}
	}
	return all
}

// inBothEngines runs a test in both engines. stride is larger where tables take long to copy.
func inBothEngines(t *testing.T, test func(t *testing.T, client *dynamodb.Client, stride int32)) {
	t.Helper()
	t.Run("in the embedded engine", func(t *testing.T) {
		t.Parallel()
		test(t, engine.New().Client(), 1)
	})
	t.Run("in DynamoDB Local", func(t *testing.T) {
		t.Parallel()
		test(t, storetest.Engine(t), 4)
	})
}

type walk func(context.Context, *restore.Restorer, restore.Order) (any, error)

func carryOver(ctx context.Context, r *restore.Restorer, o restore.Order) (any, error) {
	o.Before = restoredTo
	return r.CarryOver(ctx, o)
}

func endEverything(ctx context.Context, r *restore.Restorer, o restore.Order) (any, error) {
	o.Before = now.Add(time.Minute)
	return r.EndEverything(ctx, o)
}

// Breaks if a process that dies at any write leaves something that a repeated call does not end, ends
// something twice, or writes anything while it only counts.
func TestDeathAtEachStep(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]walk{"carry over": carryOver, "end everything": endEverything} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBothEngines(t, func(t *testing.T, client *dynamodb.Client, stride int32) {
				l := newLoss(t, client)
				quiet := copiedFrom(t, l)
				untouched := state(t, client, quiet)
				r, _, counted := l.on(t, quiet, 0, false)
				would, err := run(t.Context(), r, restore.Order{Count: true})
				check(t, err)
				if counted.Load() != 0 || !reflect.DeepEqual(state(t, client, quiet), untouched) {
					t.Errorf("a count makes %d writes", counted.Load())
				}
				did, err := run(t.Context(), r, restore.Order{})
				check(t, err)
				if would != did {
					t.Errorf("counted %+v and did %+v", would, did)
				}
				steps, want := counted.Load(), state(t, client, quiet)
				if steps < 8 {
					t.Fatalf("only %d writes", steps)
				}
				if _, err := run(t.Context(), r, restore.Order{}); err != nil || counted.Load() != steps {
					t.Errorf("a second run makes %d writes, %v", counted.Load()-steps, err)
				}
				for step := int32(1); step <= steps; step += stride {
					for _, after := range []bool{false, true} {
						table := copiedFrom(t, l)
						dying, _, _ := l.on(t, table, step, after)
						if _, err := run(t.Context(), dying, restore.Order{}); !errors.Is(err, fault.ErrUnavailable) {
							t.Fatalf("write %d: %v", step, err)
						}
						again, _, _ := l.on(t, table, 0, false)
						if _, err := run(t.Context(), again, restore.Order{}); err != nil {
							t.Errorf("after write %d, %t: %v", step, after, err)
						}
						if got := state(t, client, table); !reflect.DeepEqual(got, want) {
							t.Errorf("after write %d, %t: %s", step, after, difference(got, want))
						}
					}
				}
			})
		})
	}
}

// copiedFrom returns a fresh copy of the table as it was restored.
func copiedFrom(tb testing.TB, l loss) string {
	tb.Helper()
	return copied(tb, &storetest.Fixture{Client: l.Client, Name: l.earlier})
}

func difference(got, want map[string]any) string {
	var text []string
	for k, v := range want {
		if !reflect.DeepEqual(got[k], v) {
			text = append(text, fmt.Sprintf("%s is %v, want %v", k, got[k], v))
		}
	}
	for k := range got {
		if want[k] == nil {
			text = append(text, k+" is left")
		}
	}
	return strings.Join(text, "; ")
}

// Breaks if a comparison gives anybody more than the restored table does, ends what has not ended, or
// touches what was made since the restore.
func TestACarryOverOnlyEnds(t *testing.T) {
	t.Parallel()
	inBothEngines(t, func(t *testing.T, client *dynamodb.Client, _ int32) {
		l := newLoss(t, client)
		r, here, _ := l.on(t, l.earlier, 0, false)
		ctx := t.Context()
		// The restored table is stricter in one thing, and has others that the old one never had.
		since := l.Candidate(t, l.kept)
		since.CreatedAt = restoredTo
		owner, err := here.Account(ctx, l.kept.ID)
		check(t, err)
		since, err = here.CreateToken(ctx, owner, since, nil, storetest.Event)
		check(t, err)
		member := project.Member{Project: l.proj.ID, Account: l.kept.ID, Level: project.Owner, CreatedAt: restoredTo, CreatedBy: 1}
		check(t, here.AddMember(ctx, member, project.Member{}, storetest.Event))
		check(t, here.SetAccountState(ctx, l.kept.ID, account.Active, account.Blocked, storetest.Event))
		got, err := r.CarryOver(ctx, restore.Order{Before: restoredTo})
		check(t, err)
		want := restore.Carried{Tokens: 5, Rotated: 2, Bots: 1, Accounts: 1, Deleted: 1, Blocked: 2, Ranks: 1, Identities: 1, Members: 2, Last: got.Last, Done: true}
		if got != want {
			t.Errorf("carried %+v, want %+v", got, want)
		}
		s, err := here.Settings(ctx)
		check(t, err)
		if s.ExpiryIgnored || !s.ImpersonationOff || !s.SessionsFrom.After(now) || !s.TokensFrom.IsZero() {
			t.Errorf("the settings are %+v", s)
		}
		owner, err = here.Account(ctx, l.kept.ID)
		check(t, err)
		stored, err := here.TokenByDigest(ctx, since.Digest)
		check(t, err)
		if owner.State != account.Blocked || stored.RevokedIn(now, owner.TokensValidFrom) {
			t.Errorf("%+v of %+v", stored, owner)
		}
		if members, err := here.Memberships(ctx, l.kept.ID); err != nil || len(members) != 1 || members[0].Level != project.Owner {
			t.Errorf("members %+v, %v", members, err)
		}
	})
}

// Breaks if a restored table's stream tells people again of reuse that they were told of before the loss.
func TestACarryOverIsNoNewsOfReuse(t *testing.T) {
	t.Parallel()
	l := newLoss(t, engine.New().Client())
	ctx := t.Context()
	tokens, err := l.Store.TokensOfOwner(ctx, l.kept.ID)
	check(t, err)
	reused := storetest.Revoked(tokens[0])
	reused.RevokedReason = token.ReasonReuse
	check(t, l.Store.RevokeToken(ctx, reused, storetest.Event))
	r, here, _ := l.on(t, l.earlier, 0, false)
	_, err = r.CarryOver(ctx, restore.Order{Before: restoredTo})
	check(t, err)
	if stored, err := here.TokenByDigest(ctx, reused.Digest); err != nil || stored.RevokedReason != token.ReasonRequest {
		t.Errorf("revoked because of %q, %v", stored.RevokedReason, err)
	}
}

// Breaks if a wrong table ends every token, or an instant is guessed.
func TestOrdersThatAreRefused(t *testing.T) {
	t.Parallel()
	client := engine.New().Client()
	l := newLoss(t, client)
	r, here, writes := l.on(t, l.earlier, 0, false)
	empty := storetest.NewFixture(t, client)
	wrong, err := restore.New(restore.Parts{Reader: &here.Reader, Store: here, Old: &empty.Store.Reader, Clock: clock.NewFake(now)})
	check(t, err)
	none, err := restore.New(restore.Parts{Reader: &here.Reader, Store: here, Clock: clock.NewFake(now)})
	check(t, err)
	for name, test := range map[string]struct {
		call func() error
		want error
	}{
		"another table": {func() error { _, err := wrong.CarryOver(t.Context(), restore.Order{Before: restoredTo}); return err }, restore.ErrOtherTable},
		"no table":      {func() error { _, err := none.CarryOver(t.Context(), restore.Order{Before: restoredTo}); return err }, restore.ErrNoOldTable},
		"no instant":    {func() error { _, err := r.CarryOver(t.Context(), restore.Order{}); return err }, restore.ErrBefore},
		"an instant to come": {func() error {
			_, err := r.CarryOver(t.Context(), restore.Order{Before: now.Add(time.Second)})
			return err
		}, restore.ErrBefore},
		"going on without it": {func() error { _, err := r.EndEverything(t.Context(), restore.Order{After: 1}); return err }, restore.ErrBefore},
		"an instant a day ahead": {func() error {
			_, err := r.EndEverything(t.Context(), restore.Order{Before: now.Add(24 * time.Hour)})
			return err
		}, restore.ErrBefore},
	} {
		if err := test.call(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if writes.Load() != 0 {
		t.Errorf("%d writes", writes.Load())
	}
}

// Breaks if what ends after a restore cannot be found in the audit trail.
func TestWhatEndsIsInTheTrail(t *testing.T) {
	t.Parallel()
	l := newLoss(t, engine.New().Client())
	r, here, _ := l.on(t, l.earlier, 0, false)
	_, err := r.EndEverything(t.Context(), restore.Order{Request: "an-invocation"})
	check(t, err)
	seen := map[audit.Name]int{}
	check(t, here.EveryEvent(t.Context(), audit.Period{From: now.Add(-time.Second), To: now.Add(time.Second)}, func(e audit.Event) bool {
		if e.Source == audit.Console && e.RequestID == "an-invocation" {
			seen[e.Name]++
		}
		return true
	}))
	if seen[audit.SettingsUpdated] != 2 || seen[audit.TokensRevoked] != 8 || seen[audit.ProjectTokenRevoked] != 2 {
		t.Errorf("the trail has %v", seen)
	}
}
