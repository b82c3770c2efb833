package store_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

var dueDay = clock.DayOf(storetest.Now).AddDays(7)

// due reads all pages of a query.
func due(t *testing.T, f *storetest.Fixture, s *store.Table, q sweep.Query) (entries []sweep.Entry, malformed, pages int) {
	t.Helper()
	for {
		page, err := s.Due(t.Context(), q)
		wantErr(t, f, err, nil)
		entries = append(entries, page.Entries...)
		malformed += page.Malformed
		pages++
		if q.Next = page.Next; q.Next == "" {
			return entries, malformed, pages
		}
	}
}

func ids(entries []sweep.Entry) []token.ID {
	all := make([]token.ID, len(entries))
	for i, e := range entries {
		all[i] = e.ID
	}
	return all
}

// shardOf finds the shard that holds an owner's tokens of dueDay.
func shardOf(t *testing.T, f *storetest.Fixture, owner account.ID) int {
	t.Helper()
	for shard := range storetest.Shards {
		entries, _, _ := due(t, f, f.Store, sweep.Query{Day: dueDay, Shard: shard, Without: "none"})
		if slices.ContainsFunc(entries, func(e sweep.Entry) bool { return e.ID.Owner() == owner }) {
			return shard
		}
	}
	t.Fatalf("owner %s is in no shard", owner)
	return 0
}

func TestDue(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	loader, err := storetest.NewLoader(t.Context(), f.Client, f.Name, storetest.Shards)
	wantErr(t, f, err, nil)
	crowd := storetest.Crowd{Owners: 40, TokensEach: 3, First: 95, On: func(_ account.ID, n int) clock.Day { return dueDay.AddDays(n / 2) }}
	wantErr(t, f, loader.Crowd(t.Context(), crowd), nil)

	t.Run("every token is in one shard of its day, by owner and id", func(t *testing.T) {
		for day, wanted := range map[clock.Day]int{dueDay: 80, dueDay.AddDays(1): 40, dueDay.AddDays(2): 0, dueDay.AddDays(-1): 0} {
			seen := map[token.ID]bool{}
			filled := 0
			for shard := range storetest.Shards {
				entries, malformed, _ := due(t, f, f.Store, sweep.Query{Day: day, Shard: shard, Without: "expiring-7"})
				wantEqual(t, "malformed", malformed, 0)
				wantEqual(t, "in order", slices.IsSorted(ids(entries)), true) // owner 99 before owner 100
				for _, e := range entries {
					seen[e.ID] = true
					tok, err := f.Store.TokenByDigest(t.Context(), e.Digest)
					wantErr(t, f, err, nil)
					wantEqual(t, "token of the digest", tok.ID, e.ID)
				}
				if len(entries) > 0 {
					filled++
				}
			}
			wantEqual(t, "tokens", len(seen), wanted)
			if wanted > 0 && filled < storetest.Shards/2 {
				t.Errorf("only %d shards are in use", filled)
			}
		}
	})

	const owner = account.ID(100)
	shard := shardOf(t, f, owner)
	query := sweep.Query{Day: dueDay, Shard: shard, Without: "expiring-7"}
	all, _, _ := due(t, f, f.Store, query)

	t.Run("pages join to the whole, however small", func(t *testing.T) {
		for _, limit := range []int{1, 2, 3} {
			proxy.Fail(storetest.On("Query", storetest.PageBy(limit)))
			entries, _, pages := due(t, f, f.Through(proxy.Client()), query)
			wantEqual(t, "ids", ids(entries), ids(all))
			if pages < len(all)/limit {
				t.Errorf("%d pages", pages)
			}
		}
		proxy.Fail(nil)
	})

	t.Run("owners up to and including the cursor are left out", func(t *testing.T) {
		for _, after := range []account.ID{0, 94, 95, 99, owner - 1, owner, owner + 1, 134, account.MaxID} {
			q := query
			q.After = after
			entries, _, _ := due(t, f, f.Store, q)
			wanted := slices.DeleteFunc(ids(all), func(id token.ID) bool { return id.Owner() <= after })
			wantEqual(t, fmt.Sprintf("ids after %s", after), ids(entries), wanted)
		}
	})

	t.Run("a place that cannot be read is refused", func(t *testing.T) {
		for _, next := range []string{"nonsense", `{}`, `7`, `["a"`} {
			q := query
			q.Next = next
			_, err := f.Store.Due(t.Context(), q)
			wantErr(t, f, err, fault.ErrCorrupt)
		}
	})

	t.Run("marks are told apart", func(t *testing.T) {
		marked := all[0]
		for _, mark := range []string{"expiring-70", "expiring", "expiring-7@2"} {
			wantErr(t, f, f.Store.Mark(t.Context(), token.Token{Digest: marked.Digest}, mark, storetest.Now), nil)
		}
		entries, _, _ := due(t, f, f.Store, query)
		wantEqual(t, "with other marks", ids(entries), ids(all))
		wantErr(t, f, f.Store.Mark(t.Context(), token.Token{Digest: marked.Digest}, "expiring-7", storetest.Now), nil)
		entries, _, _ = due(t, f, f.Store, query)
		wantEqual(t, "with the mark", ids(entries), ids(all[1:]))
		q := query
		q.Without = "expiring-30"
		entries, _, _ = due(t, f, f.Store, q)
		wantEqual(t, "without another mark", ids(entries), ids(all))
	})

	t.Run("what is revoked is not due", func(t *testing.T) {
		tok, err := f.Store.TokenByDigest(t.Context(), all[1].Digest)
		wantErr(t, f, err, nil)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
		entries, _, _ := due(t, f, f.Store, query)
		wantEqual(t, "ids", ids(entries), ids(all[2:]))
	})

	t.Run("malformed entries are counted and stop nothing", func(t *testing.T) {
		bucket := fmt.Sprintf("%s#%02d", dueDay, shard)
		orders := []string{"0000000101", "0000000101#", "0000000101#x", "101#00000000000424673281", "0000000101#0000000424673281#1", "zz zz", `zz"zz`, "0000000101#0000000424673280x"}
		for i, order := range orders {
			pk := fmt.Sprintf("TOKEN#odd one %d", i)
			f.Set(t, pk, "TOKEN", "expiry_order", storetest.S(order))
			f.Set(t, pk, "TOKEN", "expiry_bucket", storetest.S(bucket))
		}
		f.Set(t, "OTHER#1", "ELSE", "expiry_order", storetest.S("0000000101#0000000423624705"))
		f.Set(t, "OTHER#1", "ELSE", "expiry_bucket", storetest.S(bucket))
		for _, limit := range []int{1, 2, 500} {
			proxy.Fail(storetest.On("Query", storetest.PageBy(limit)))
			entries, malformed, _ := due(t, f, f.Through(proxy.Client()), query)
			wantEqual(t, "ids", ids(entries), ids(all[2:]))
			wantEqual(t, "malformed", malformed, len(orders)+1)
		}
		proxy.Fail(nil)
	})

	t.Run("what cannot be read is unavailable", func(t *testing.T) {
		for _, action := range []storetest.Action{
			storetest.LoseRequest, storetest.LoseReply, storetest.CutReply, busy("Query"),
			storetest.Answer(http.StatusOK, `<html>`), storetest.Answer(http.StatusInternalServerError, `{}`),
		} {
			proxy.Fail(storetest.On("Query", action))
			page, err := f.Through(proxy.Client()).Due(t.Context(), query)
			wantErr(t, f, err, fault.ErrUnavailable)
			wantEqual(t, "entries", len(page.Entries), 0)
		}
		proxy.Fail(nil)
	})
}

// Records and profiles that cannot be read come with their key, and keep no other back.
func TestDueRecords(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	var digests []secret.Digest
	var owners []account.ID
	for range 6 {
		u := f.AddAccount(t)
		owners = append(owners, u.ID)
		digests = append(digests, f.AddToken(t, u).Digest)
	}
	pk, sk := recordKey(digests[2])
	f.Set(t, pk, sk, "scopes", nil)
	f.Set(t, "USER#"+owners[3].String(), "PROFILE", "state", nil)
	stranger := f.Candidate(t, account.Account{ID: 9999}).Digest
	digests, owners = append(digests, stranger), append(owners, 9999)

	for name, rule := range map[string]storetest.Rule{
		"in one reply":              nil,
		"when some are left unread": storetest.First("BatchGetItem", storetest.LeaveUnread(2), storetest.LeaveUnread(0)),
	} {
		t.Run(name, func(t *testing.T) {
			proxy.Fail(rule)
			s := f.Through(proxy.Client())
			got := map[secret.Digest]error{}
			wantErr(t, f, s.Tokens(t.Context(), digests, func(tok token.Token, err error) { got[tok.Digest] = err }), nil)
			wantEqual(t, "tokens", len(got), 6)
			for i, digest := range digests[:6] {
				want := map[bool]error{true: fault.ErrCorrupt}[i == 2]
				wantErr(t, f, got[digest], want)
			}
			proxy.Fail(rule)
			accounts := map[account.ID]error{}
			wantErr(t, f, s.Owners(t.Context(), owners, func(u account.Account, err error) { accounts[u.ID] = err }), nil)
			wantEqual(t, "owners", len(accounts), 6)
			for i, owner := range owners[:6] {
				want := map[bool]error{true: fault.ErrCorrupt}[i == 3]
				wantErr(t, f, accounts[owner], want)
			}
		})
	}
	proxy.Fail(storetest.Always(storetest.LoseReply))
	s := f.Through(proxy.Client())
	wantErr(t, f, s.Tokens(t.Context(), digests, func(token.Token, error) { t.Error("a token came") }), fault.ErrUnavailable)
	wantErr(t, f, s.Owners(t.Context(), owners, func(account.Account, error) { t.Error("an owner came") }), fault.ErrUnavailable)
}

func TestMark(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	owner := f.AddAccount(t)
	notices := func(t *testing.T, tok token.Token) []string {
		t.Helper()
		stored, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
		wantErr(t, f, err, nil)
		slices.Sort(stored.Notices)
		return stored.Notices
	}
	bucket := func(t *testing.T, tok token.Token) any {
		t.Helper()
		return f.Item(t, "TOKEN#"+tok.Digest.Key(), "TOKEN")["expiry_bucket"]
	}

	t.Run("marks add up and a second one changes nothing", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		for _, mark := range []string{"expiring-30", "expiring-7", "expiring-7"} {
			wantErr(t, f, f.Store.Mark(t.Context(), tok, mark, storetest.Now), nil)
		}
		wantEqual(t, "marks", notices(t, tok), []string{"expiring-30", "expiring-7"})
		wantEqual(t, "in the index", bucket(t, tok) != nil, true)
	})

	t.Run("a mark for one recipient ends nothing", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		wantErr(t, f, f.Store.Mark(t.Context(), tok, string(sweep.Expired)+"@7", storetest.Now), nil)
		wantEqual(t, "marks", notices(t, tok), []string{"expired@7"})
		wantEqual(t, "in the index", bucket(t, tok) != nil, true)
	})

	t.Run("an announced end leaves the index, again and again", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		for range 2 {
			wantErr(t, f, f.Store.Mark(t.Context(), tok, string(sweep.Expired), storetest.Now), nil)
		}
		wantEqual(t, "marks", notices(t, tok), []string{"expired"})
		wantEqual(t, "bucket", bucket(t, tok), nil)
		wantEqual(t, "order", f.Item(t, "TOKEN#"+tok.Digest.Key(), "TOKEN")["expiry_order"], nil)
	})

	t.Run("an announced end of a bot's token goes on to the bot's last day", func(t *testing.T) {
		for _, kind := range []project.Kind{project.KindProject, project.KindGroup} {
			tok := f.PutBot(t, project.Project{ID: 3, Kind: kind}, dueDay)
			shard := shardOf(t, f, tok.Owner)
			end := sweep.Query{Day: dueDay.AddDays(90), Shard: shard, Bots: true}
			for range 2 {
				wantErr(t, f, f.Store.Mark(t.Context(), tok, string(sweep.Expired), storetest.Now), nil)
				wantEqual(t, "marks", notices(t, tok), []string{"expired"})
				wantEqual(t, "bucket", bucket(t, tok), any(fmt.Sprintf("END#%s#%02d", dueDay.AddDays(90), shard)))
			}
			entries, malformed, _ := due(t, f, f.Store, end)
			wantEqual(t, "entries of its last day", entries, []sweep.Entry{{ID: tok.ID, Digest: tok.Digest}})
			wantEqual(t, "malformed", malformed, 0)
			for name, change := range map[string]func(*sweep.Query){
				"tokens that end on that day": func(q *sweep.Query) { q.Bots = false },
				"the day before":              func(q *sweep.Query) { q.Day = q.Day.AddDays(-1) },
				"the day after":               func(q *sweep.Query) { q.Day = q.Day.AddDays(1) },
				"another shard":               func(q *sweep.Query) { q.Shard = (shard + 1) % storetest.Shards },
				"owners behind it":            func(q *sweep.Query) { q.After = tok.Owner },
				"without the mark":            func(q *sweep.Query) { q.Without = "expired" },
			} {
				q := end
				change(&q)
				entries, _, _ := due(t, f, f.Store, q)
				wantEqual(t, name, len(entries), 0)
			}
			// The announced day has nothing more to tell, whatever the mark.
			entries, _, _ = due(t, f, f.Store, sweep.Query{Day: dueDay, Shard: shard, Without: "none"})
			wantEqual(t, "in its day", slices.Contains(ids(entries), tok.ID), false)
			stored, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			stored.Notices = nil
			wantEqual(t, "token", stored, tok)

			wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
			entries, _, _ = due(t, f, f.Store, end)
			wantEqual(t, "entries once it is revoked", len(entries), 0)
		}
	})

	t.Run("other marks leave a bot's token where it is", func(t *testing.T) {
		tok := f.PutBot(t, project.Project{ID: 3, Kind: project.KindProject}, dueDay)
		before := bucket(t, tok)
		for _, mark := range []string{"expiring-7", "expired@7"} {
			wantErr(t, f, f.Store.Mark(t.Context(), tok, mark, storetest.Now), nil)
			wantEqual(t, "bucket", bucket(t, tok), before)
		}
	})

	t.Run("a bot's token that was revoked meanwhile does not come back", func(t *testing.T) {
		tok := f.PutBot(t, project.Project{ID: 3, Kind: project.KindProject}, dueDay)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.Mark(t.Context(), tok, string(sweep.Expired), storetest.Now), nil)
		wantUnchanged(t, f, before)
	})

	t.Run("a bot's record that is gone stays gone", func(t *testing.T) {
		tok := f.PutBot(t, project.Project{ID: 3, Kind: project.KindProject}, dueDay)
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.Mark(t.Context(), tok, string(sweep.Expired), storetest.Now), nil)
		wantUnchanged(t, f, before)
	})

	t.Run("a bot's end whose reply is lost is made good", func(t *testing.T) {
		for _, action := range []storetest.Action{storetest.LoseReply, storetest.CutReply, storetest.LoseRequest, busy("UpdateItem")} {
			tok := f.PutBot(t, project.Project{ID: 3, Kind: project.KindProject}, dueDay)
			proxy.Fail(storetest.First("UpdateItem", action))
			wantErr(t, f, f.Through(proxy.Client()).Mark(t.Context(), tok, string(sweep.Expired), storetest.Now), nil)
			wantEqual(t, "marks", notices(t, tok), []string{"expired"})
			wantEqual(t, "bucket", bucket(t, tok) != any(nil), true)
		}
	})

	t.Run("a mark changes nothing else", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		wantErr(t, f, f.Store.Mark(t.Context(), tok, "expiring-7", storetest.Now), nil)
		stored, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
		wantErr(t, f, err, nil)
		stored.Notices = nil
		wantEqual(t, "token", stored, tok)
	})

	t.Run("a record that is gone stays gone", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.Mark(t.Context(), tok, "expiring-7", storetest.Now), nil)
		wantErr(t, f, f.Store.Mark(t.Context(), tok, string(sweep.Expired), storetest.Now), nil)
		wantUnchanged(t, f, before)
	})

	t.Run("a revoked token stays revoked and out of the index", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
		wantErr(t, f, f.Store.Mark(t.Context(), tok, "expiring-7", storetest.Now), nil)
		stored, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
		wantErr(t, f, err, nil)
		wantEqual(t, "revoked at", stored.RevokedAt, storetest.Revoked(tok).RevokedAt)
		wantEqual(t, "bucket", bucket(t, tok), nil)
	})

	t.Run("a lost reply is made good", func(t *testing.T) {
		for _, action := range []storetest.Action{storetest.LoseReply, storetest.CutReply, storetest.LoseRequest, busy("UpdateItem")} {
			tok := f.AddToken(t, owner)
			proxy.Fail(storetest.First("UpdateItem", action))
			wantErr(t, f, f.Through(proxy.Client()).Mark(t.Context(), tok, "expiring-7", storetest.Now), nil)
			wantEqual(t, "marks", notices(t, tok), []string{"expiring-7"})
		}
	})

	t.Run("a mark that cannot be written is unavailable", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		proxy.Fail(storetest.On("UpdateItem", storetest.LoseRequest))
		wantErr(t, f, f.Through(proxy.Client()).Mark(t.Context(), tok, "expiring-7", storetest.Now), fault.ErrUnavailable)
		wantEqual(t, "marks", len(notices(t, tok)), 0)
	})

	t.Run("many at once all stay", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		var want []string
		for i := range 8 {
			want = append(want, fmt.Sprintf("expiring-%d", i))
		}
		for _, err := range together(8, func(i int) error { return f.Store.Mark(t.Context(), tok, want[i], storetest.Now) }) {
			wantErr(t, f, err, nil)
		}
		wantEqual(t, "marks", notices(t, tok), want)
	})

	t.Run("marks that are no set make the record malformed", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		for _, value := range []types.AttributeValue{storetest.S("expiring-7"), storetest.N("7")} {
			pk, sk := recordKey(tok.Digest)
			f.Set(t, pk, sk, "notices", value)
			_, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, fault.ErrCorrupt)
		}
	})
}
