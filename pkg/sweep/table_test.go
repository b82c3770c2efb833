package sweep_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/notify"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// tableShards are few: a scan asks for every day of every shard.
const tableShards = 4

// A deployment is a scan on a table with a mailer that records.
type deployment struct {
	*storetest.Fixture
	mails *notify.Recorder
	crowd storetest.Crowd
}

// deploy fills a table in an embedded engine, and returns a proxy before it as well.
func deploy(t *testing.T, owners, tokensEach int) (*deployment, *storetest.Proxy) {
	t.Helper()
	embedded := engine.New()
	server := httptest.NewServer(embedded)
	t.Cleanup(server.Close)
	return deployOn(t, embedded.Client(), owners, tokensEach), storetest.NewProxy(t, server.URL)
}

// deployOn fills a table with owners of tokens that expire today and later.
func deployOn(t *testing.T, client *dynamodb.Client, owners, tokensEach int) *deployment {
	t.Helper()
	f := storetest.NewFixture(t, client)
	loader, err := storetest.NewLoader(t.Context(), f.Client, f.Name, tableShards)
	wantErr(t, err, nil)
	crowd := storetest.Crowd{Owners: owners, TokensEach: tokensEach, First: 1, On: func(owner account.ID, n int) clock.Day {
		return today.AddDays((int(owner) + n) % 8)
	}}
	wantErr(t, loader.Crowd(t.Context(), crowd), nil)
	return &deployment{f, &notify.Recorder{Speed: func() (float64, error) { return 1e6, nil }}, crowd}
}

func (d *deployment) scanner(t *testing.T, table *store.Table, kind sweep.Kind, at time.Time) *sweep.Scanner {
	t.Helper()
	s, err := sweep.NewScanner(sweep.Setup{
		Kind: kind, Records: table, Projects: table, Ledger: table, Mailer: d.mails, Clock: clock.NewFake(at),
		Index: table, Revoker: table, Enforcement: table, Posts: table, Allowance: table, DailyMails: dailyMails, Days: sweep.Days{7}, Shards: tableShards, Concurrency: 1, Workers: 8,
		AnyTime: true, Malformed: func(err error) { t.Error(err) },
	})
	wantErr(t, err, nil)
	return s
}

// untilDone calls like the state machine, which comes again when there is more to do or a fault.
func untilDone(t *testing.T, s *sweep.Scanner, e sweep.Event) {
	t.Helper()
	for range 100 {
		result, err := s.Run(t.Context(), t.Context(), e)
		if err == nil && result.Done {
			return
		}
	}
	t.Error("the scan does not end")
}

// check compares the recorded mails and the stored marks with the crowd. except are tokens that must
// be in no mail.
func (d *deployment) check(t *testing.T, mark string, except ...token.ID) {
	t.Helper()
	told, mails := map[token.ID]int{}, map[account.ID]int{}
	for _, n := range d.mails.Sent() {
		mails[n.Tokens[0].ID.Owner()]++
		for _, tok := range n.Tokens {
			told[tok.ID]++
		}
	}
	marked := map[token.ID]bool{}
	wantErr(t, d.Store.EveryToken(t.Context(), func(tok token.Token, _ account.Account) {
		marked[tok.ID] = slices.Contains(tok.Notices, mark)
	}), nil)
	wrong := 0
	for tok := range d.crowd.Tokens() {
		wanted := 1
		if slices.Contains(except, tok.ID) {
			wanted = 0
		}
		if told[tok.ID] != wanted || marked[tok.ID] != (wanted == 1) {
			if wrong++; wrong < 10 {
				t.Errorf("token %s: told of %d times, marked %v", tok.ID, told[tok.ID], marked[tok.ID])
			}
		}
	}
	for owner, n := range mails {
		if n != 1 {
			t.Errorf("owner %s got %d mails", owner, n)
		}
	}
	if wrong > 0 {
		t.Errorf("%d tokens are wrong", wrong)
	}
}

// Two triggers at once, and both again: one mail an owner, every token in it. This guards promise 3
// of the architecture, on DynamoDB Local.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	const owners, tokensEach = 440, 2 // more than two batches a shard
	d := deployOn(t, storetest.Engine(t), owners, tokensEach)
	for again := range 2 {
		var triggers sync.WaitGroup
		for range 2 {
			triggers.Go(func() {
				s := d.scanner(t, d.Store, sweep.Expiring, atOne)
				var shards sync.WaitGroup
				for shard := range tableShards { // at a time, as the state machine does
					shards.Go(func() { untilDoneOrLeased(t, s, shard) })
				}
				shards.Wait()
			})
		}
		triggers.Wait()
		untilDone(t, d.scanner(t, d.Store, sweep.Expiring, atOne), sweep.Event{Time: atOne})
		want(t, "mails", len(d.mails.Sent()), owners)
		if again == 1 {
			d.check(t, "expiring-7")
		}
	}
}

// untilDoneOrLeased works on a shard until it is done or somebody else's.
func untilDoneOrLeased(t *testing.T, s *sweep.Scanner, shard int) {
	result, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: atOne, Shard: &shard})
	if err != nil {
		t.Errorf("shard %d: %v", shard, err)
	}
	if !result.Done && result.Counts.Mails > 0 {
		t.Errorf("shard %d was given up in the middle", shard)
	}
}

// A throttled table slows a scan down and loses no notice. A read or write that fails for good ends
// the run; the retry goes on. Mails are not repeated, because marks are tried for longer than a
// throttle lasts.
func TestThrottledTable(t *testing.T) {
	t.Parallel()
	d, proxy := deploy(t, 120, 2)
	for _, operation := range []string{"Query", "BatchGetItem", "UpdateItem", "TransactWriteItems", "GetItem"} {
		var n atomic.Int64
		proxy.Fail(func(op string, _ int) storetest.Action {
			if op == operation && n.Add(1)%5 < 2 { // two of five
				return busy
			}
			return nil
		})
		kind := sweep.Expiring
		if operation == "GetItem" {
			kind = sweep.Expired // which asks for the last finished day
		}
		untilDone(t, d.scanner(t, d.Through(proxy.Client()), kind, atOne), sweep.Event{Time: atOne.AddDate(0, 0, -1)})
	}
	proxy.Fail(nil)
	untilDone(t, d.scanner(t, d.Store, sweep.Expiring, atOne), sweep.Event{Time: atOne})
	d.mails = onlyKind(t, d.mails, sweep.Expiring)
	d.checkAtLeast(t)
}

var busy = storetest.Refuse("ProvisionedThroughputExceededException", "no")

// onlyKind returns a recorder with one kind of the mails of another.
func onlyKind(t *testing.T, all *notify.Recorder, kind sweep.Kind) *notify.Recorder {
	t.Helper()
	one := &notify.Recorder{}
	for _, n := range all.Sent() {
		if n.Kind == kind {
			wantErr(t, one.Send(context.Background(), n), nil)
		}
	}
	return one
}

// checkAtLeast fails the test when a token was in no mail, or in more than one. The mails of two days
// may be two to one owner.
func (d *deployment) checkAtLeast(t *testing.T) {
	t.Helper()
	told := map[token.ID]int{}
	for _, n := range d.mails.Sent() {
		for _, tok := range n.Tokens {
			told[tok.ID]++
		}
	}
	for tok := range d.crowd.Tokens() {
		if told[tok.ID] != 1 {
			t.Errorf("token %s was told of %d times", tok.ID, told[tok.ID])
		}
	}
}

// A table that is away for good ends the run with an error, and the retry loses nothing.
func TestTableGoesAway(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"Query", "BatchGetItem", "TransactWriteItems"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			d, proxy := deploy(t, 120, 2)
			for n := 1; n < 30; n += 3 {
				proxy.Fail(func(op string, seen int) storetest.Action {
					if op == operation && seen >= n {
						return storetest.LoseRequest
					}
					return nil
				})
				_, err := d.scanner(t, d.Through(proxy.Client()), sweep.Expiring, atOne).Run(t.Context(), t.Context(), sweep.Event{Time: atOne})
				if err != nil {
					wantErr(t, err, fault.ErrUnavailable)
				}
			}
			s := d.scanner(t, d.Store, sweep.Expiring, atOne.Add(2*time.Minute)) // leases that could not be given back are over
			untilDone(t, s, sweep.Event{Time: atOne})
			d.check(t, "expiring-7")
		})
	}
}

// What others do while a scan is under way: this guards promise 4.
func TestChangesInTheTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(t *testing.T, d *deployment, owner account.Account, first, second token.Token)
		except int // how many of the owner's two tokens are not announced
		marked bool
	}{
		{"a token is revoked", func(t *testing.T, d *deployment, _ account.Account, first, _ token.Token) {
			first.CreatedAt = atOne
			wantErr(t, d.Store.RevokeToken(t.Context(), storetest.Revoked(first), storetest.Event), nil)
		}, 1, false},
		{"everything is revoked", func(t *testing.T, d *deployment, owner account.Account, _, _ token.Token) {
			wantErr(t, d.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
		}, 2, false},
		{"the owner is deleted", func(t *testing.T, d *deployment, owner account.Account, _, _ token.Token) {
			d.Drop(t, "USER#"+owner.ID.String(), "PROFILE")
		}, 2, true},
		{"the owner is blocked", func(t *testing.T, d *deployment, owner account.Account, _, _ token.Token) {
			wantErr(t, d.Store.SetAccountState(t.Context(), owner.ID, account.Active, account.Blocked, storetest.Event), nil)
		}, 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, _ := deploy(t, 3, 2)
			var owner account.Account
			var tokens []token.Token
			for u := range d.crowd.Accounts() {
				owner = u
			}
			for tok := range d.crowd.Tokens() {
				if tok.Owner == owner.ID {
					tokens = append(tokens, tok)
				}
			}
			var once sync.Once
			d.mails.Fail = func(n sweep.Notice) error {
				if n.Tokens[0].ID.Owner() == owner.ID && n.Total == 2 {
					thrown := false
					once.Do(func() {
						thrown = true
						c.change(t, d, owner, tokens[0], tokens[1])
					})
					if thrown {
						return sweep.ErrThrottled // the mail waits, and meanwhile things change
					}
				}
				return nil
			}
			untilDone(t, d.scanner(t, d.Store, sweep.Expiring, atOne), sweep.Event{Time: atOne})
			told := map[token.ID]int{}
			for _, n := range d.mails.Sent() {
				for _, tok := range n.Tokens {
					told[tok.ID]++
				}
			}
			for i, tok := range tokens {
				wanted := 0
				if i >= c.except {
					wanted = 1
				}
				want(t, "told", told[tok.ID], wanted)
				stored, err := d.Store.TokenByDigest(t.Context(), tok.Digest)
				wantErr(t, err, nil)
				want(t, "marked", len(stored.Notices) == 1, c.marked || wanted == 1)
			}
			want(t, "mails of others", len(d.mails.Sent()), 2+(2-c.except+1)/2)
		})
	}
}

// A table as it is after a year without scans: tokens that expired long ago, and the scans' own items.
func TestExpiredOnATable(t *testing.T) {
	t.Parallel()
	d, _ := deploy(t, 80, 3)
	untilDone(t, d.scanner(t, d.Store, sweep.Expired, atOne), sweep.Event{Time: atOne.AddDate(0, 0, 7)})
	d.check(t, "expired")
	for left := range 8 {
		for shard := range tableShards {
			page, err := d.Store.Due(t.Context(), sweep.Query{Day: today.AddDays(left), Shard: shard, Without: "none"})
			wantErr(t, err, nil)
			want(t, "left in the index", len(page.Entries), 0)
		}
	}
	untilDone(t, d.scanner(t, d.Store, sweep.Expired, atOne), sweep.Event{Time: atOne.AddDate(0, 0, 8)})
	want(t, "mails", len(d.mails.Sent()), 80)
}
