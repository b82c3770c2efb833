package sweep_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// Nothing is left out because somebody forgot it: a scan without Enforcement would take bots away whose
// tokens still work.
func TestNothingIsMadeWithoutADependency(t *testing.T) {
	t.Parallel()
	w := newWorld()
	whole := sweep.Setup{
		Records: w, Projects: w, Ledger: w, Mailer: w, Clock: w, Index: w, Revoker: w, Enforcement: w, Limits: w, Accounts: w,
		Posts: w, Allowance: w, DailyMails: dailyMails, Days: sweep.Days{7}, Shards: shards, Concurrency: 1, Workers: 1, Malformed: func(error) {},
	}
	kinds := []sweep.Kind{sweep.Expiring, sweep.Expired, sweep.Lifetime}
	for _, c := range []struct {
		name string
		cut  func(*sweep.Setup)
		fits string // the kinds that do without
	}{
		{"nothing", func(*sweep.Setup) {}, "expiring expired lifetime"},
		{"records", func(s *sweep.Setup) { s.Records = nil }, ""},
		{"projects", func(s *sweep.Setup) { s.Projects = nil }, ""},
		{"a mailer", func(s *sweep.Setup) { s.Mailer = nil }, ""},
		{"mails, on purpose", func(s *sweep.Setup) { s.Mailer = sweep.NoMails }, "lifetime"},
		{"a clock", func(s *sweep.Setup) { s.Clock = nil }, ""},
		{"workers", func(s *sweep.Setup) { s.Workers = 0 }, ""},
		{"a report of malformed records", func(s *sweep.Setup) { s.Malformed = nil }, ""},
		{"a ledger", func(s *sweep.Setup) { s.Ledger = nil }, ""},
		{"shards", func(s *sweep.Setup) { s.Shards = 0 }, ""},
		{"concurrency", func(s *sweep.Setup) { s.Concurrency = 0 }, ""},
		{"posts", func(s *sweep.Setup) { s.Posts = nil }, ""},
		{"an allowance", func(s *sweep.Setup) { s.Allowance = nil }, ""},
		{"mails a day", func(s *sweep.Setup) { s.DailyMails = 0 }, ""},
		{"an index", func(s *sweep.Setup) { s.Index = nil }, "lifetime"},
		{"notice days", func(s *sweep.Setup) { s.Days = nil }, "expired lifetime"},
		{"a revoker", func(s *sweep.Setup) { s.Revoker = nil }, "expiring"},
		{"enforcement", func(s *sweep.Setup) { s.Enforcement = nil }, "expiring lifetime"},
		{"limits", func(s *sweep.Setup) { s.Limits = nil }, "expiring expired"},
		{"accounts", func(s *sweep.Setup) { s.Accounts = nil }, "expiring expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var fits []string
			for _, kind := range kinds {
				s := whole
				s.Kind = kind
				c.cut(&s)
				if _, err := sweep.NewScanner(s); err == nil {
					fits = append(fits, string(kind))
				} else {
					wantErr(t, err, sweep.ErrSetup)
				}
			}
			want(t, "made", strings.Join(fits, " "), c.fits)
		})
	}
	_, err := sweep.NewScanner(whole)
	wantErr(t, err, sweep.ErrSetup) // of no kind
}

// All of an owner's days come in one mail, soonest first, however the pages fall.
func TestOneMailPerOwner(t *testing.T) {
	t.Parallel()
	for _, pageSize := range []int{1, 2, 3, 100} {
		eachWorld(t, fmt.Sprintf("pages of %d", pageSize), func(t *testing.T, w *world) {
			w.pageSize = pageSize
			tokens := map[account.ID][]token.ID{}
			total := 0
			for owner := account.ID(1); owner <= 25; owner++ {
				for left := 7; left >= 0; left-- { // the furthest is made first
					if (int(owner)+left)%3 != 0 {
						tokens[owner] = append([]token.ID{w.add(owner, today.AddDays(left))}, tokens[owner]...)
						total++
					}
				}
				w.add(owner, today.AddDays(8))
				w.add(owner, today.AddDays(-1))
			}
			counts := w.wantRun(t, sweep.Expiring)
			want(t, "mails", len(w.mails), len(tokens))
			for _, n := range w.mails {
				var got []token.ID
				for _, tok := range n.Tokens {
					got = append(got, tok.ID)
				}
				if !slices.Equal(got, tokens[n.Tokens[0].ID.Owner()]) {
					t.Errorf("owner %s is told of %v, want %v", n.Tokens[0].ID.Owner(), got, tokens[n.Tokens[0].ID.Owner()])
				}
				want(t, "total", n.Total, len(got))
				want(t, "address", n.Recipient.Email, "user"+n.Tokens[0].ID.Owner().String()+"@example.com")
			}
			wanted := sweep.Counts{Examined: total, Due: total, Mails: 25, Marked: total}
			want(t, "counts", fmt.Sprint(counts), fmt.Sprint(wanted))

			counts = w.wantRun(t, sweep.Expiring)
			want(t, "mails of a second run", counts.Mails, 0)
			want(t, "calls of a second run", w.count("SetFinished"), 2*shards)
		})
	}
}

func TestNoticeContent(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		id := w.add(5, today.AddDays(3), func(tok *token.Token) { tok.LastUsedAt = atOne })
		w.wantRun(t, sweep.Expiring)
		want(t, "mails", len(w.mails), 1)
		want(t, "notice", fmt.Sprintf("%+v", w.mails[0]), fmt.Sprintf("%+v", sweep.Notice{
			Kind: sweep.Expiring, Recipient: w.accts[5], Today: today,
			Tokens: []sweep.Token{{ID: id, Name: "token " + id.String(), Scopes: w.tokens[digestOf(id)].Scopes, LastUsedAt: atOne, ExpiresOn: today.AddDays(3), Kind: sweep.Expiring}},
			Total:  1,
		}))
	})
}

// What is not to be announced after all is counted under its reason. A token whose owner gets no
// mail is marked all the same; one that may come back to life, or is not what the index says, is not.
func TestSkipped(t *testing.T) {
	t.Parallel()
	const owner = 9
	acct := func(change func(*account.Account)) func(*world, token.ID) {
		return func(w *world, _ token.ID) { w.changeAccount(owner, change) }
	}
	record := func(change func(*token.Token)) func(*world, token.ID) {
		return func(w *world, id token.ID) { w.change(id, change) }
	}
	for _, c := range []struct {
		reason, name string
		arrange      func(*world, token.ID)
		marked       bool
	}{
		{"revoked", "a revoked token", record(func(tok *token.Token) { tok.RevokedAt = atOne }), false},
		{"revoked", "a token whose overlap with its successor is over", record(func(tok *token.Token) { tok.WorksUntil = atOne }), false},
		{"rotated", "a token in its overlap with a successor", record(func(tok *token.Token) { tok.WorksUntil = atOne.Add(24 * time.Hour) }), false},
		{"revoked", "a token revoked in bulk", acct(func(u *account.Account) { u.TokensValidFrom = u.NextNumber }), false},
		{"moved", "a token whose day moved away", record(func(tok *token.Token) { tok.ExpiresOn = today.AddDays(90) }), false},
		{"moved", "a token whose day moved within the window", record(func(tok *token.Token) { tok.ExpiresOn = today.AddDays(2) }), false},
		{"moved", "a record of another token", record(func(tok *token.Token) { tok.ID++ }), false},
		{"gone", "a token that clean-up has taken", func(w *world, id token.ID) { delete(w.tokens, digestOf(id)) }, false},
		{"impersonation", "an impersonation token", record(func(tok *token.Token) { tok.Kind = token.Impersonation }), false},
		{"announced", "a token that the index does not know to be announced", record(func(tok *token.Token) { tok.Notices = []string{"expiring-7"} }), true},
		{"malformed", "a record that cannot be read", record(func(tok *token.Token) { tok.Owner = 0 }), false},
		{"malformed", "a profile that cannot be read", acct(func(u *account.Account) { u.Username = "" }), false},
		{"owner_gone", "an owner who is gone", func(w *world, _ token.ID) { delete(w.accts, owner) }, true},
		{"owner_inactive", "a blocked owner", acct(func(u *account.Account) { u.State = account.Blocked }), true},
		{"owner_inactive", "a deactivated owner", acct(func(u *account.Account) { u.State = account.Deactivated }), true},
		{"no_recipient", "an owner without an address", acct(func(u *account.Account) { u.Email = "" }), true},
		{"unreachable", "an owner whose mails come back", acct(func(u *account.Account) { u.Unreachable, u.UnreachableAt = account.Bounced, atOne }), true},
		{"no_recipient", "a bot without a project", acct(func(u *account.Account) { u.Bot = true }), true},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			id := w.add(owner, today.AddDays(4))
			others := []token.ID{w.add(owner-shards, today), w.add(owner+shards, today.AddDays(7)), w.add(owner+1, today)}
			c.arrange(w, id)
			malformed := 0
			counts := w.wantRun(t, sweep.Expiring, func(s *sweep.Setup) { s.Malformed = func(error) { malformed++ } })
			want(t, "skipped", fmt.Sprint(counts.Skipped), fmt.Sprint(map[string]int{c.reason: 1}))
			want(t, "reported as malformed", malformed > 0, c.reason == "malformed")
			want(t, "marked", slices.Contains(w.marks(id), "expiring-7"), c.marked)
			want(t, "told", w.told()[id], 0)
			for _, other := range others {
				want(t, "told of others", w.told()[other], 1)
			}
		})
	}
}

func TestMalformedIndexEntries(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.pageSize = 2
		var good []token.ID
		for owner := account.ID(1); owner <= 12; owner++ {
			w.add(owner, today.AddDays(1))
			good = append(good, w.add(owner+100, today.AddDays(1)))
		}
		for i := range w.entries {
			w.entries[i].broken = w.entries[i].entry.ID.Owner() <= 12
		}
		counts := w.wantRun(t, sweep.Expiring)
		want(t, "malformed", counts.Skipped["malformed"], 12)
		want(t, "examined", counts.Examined, 24)
		for _, id := range good {
			want(t, "told", w.told()[id], 1)
		}
	})
}

// A mail lists 100 tokens; the rest are counted in it and announced with it.
func TestManyTokensOfOneOwner(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tokens, listed int }{{99, 99}, {100, 100}, {101, 100}, {1234, 100}} {
		eachWorld(t, fmt.Sprintf("%d tokens", c.tokens), func(t *testing.T, w *world) {
			var ids []token.ID
			for i := range c.tokens {
				ids = append(ids, w.add(3, today.AddDays(7-i*8/c.tokens)))
			}
			other := w.add(7, today)
			counts := w.wantRun(t, sweep.Expiring)
			want(t, "mails", len(w.mails), 2)
			n := w.mails[slices.IndexFunc(w.mails, func(n sweep.Notice) bool { return n.Tokens[0].ID.Owner() == 3 })]
			want(t, "listed", len(n.Tokens), c.listed)
			want(t, "total", n.Total, c.tokens)
			want(t, "soonest", n.Tokens[0].ExpiresOn, today.AddDays(7-(c.tokens-1)*8/c.tokens))
			want(t, "in order", slices.IsSortedFunc(n.Tokens, func(a, b sweep.Token) int { return b.ExpiresOn.DaysUntil(a.ExpiresOn) }), true)
			for _, id := range append(ids, other) {
				want(t, "marks", fmt.Sprint(w.marks(id)), "[expiring-7]")
			}
			want(t, "marked", counts.Marked, c.tokens+1)
		})
	}
}

// Both scans announce a token that expires today: the marks are apart.
func TestKindsAreApart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		id := w.add(1, today)
		revoked := w.add(1, today)
		w.wantRun(t, sweep.Expiring)
		w.change(revoked, func(tok *token.Token) { tok.RevokedAt = atOne }) // between one o'clock and two
		w.wantRun(t, sweep.Expired)
		want(t, "marks", fmt.Sprint(w.marks(id)), "[expiring-7 expired]")
		want(t, "mails", len(w.mails), 2)
		want(t, "expired mail", w.mails[1].Total, 1)
		want(t, "revoked token", fmt.Sprint(w.marks(revoked)), "[expiring-7]")
	})
}

// An event with a shard leaves the others alone.
func TestOneShard(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for owner := account.ID(1); owner <= 20; owner++ {
			w.add(owner, today.AddDays(1))
		}
		for shard := range shards {
			result, err := w.runAt(t, sweep.Expiring, sweep.Event{Time: atOne, Shard: &shard})
			wantErr(t, err, nil)
			want(t, "done", result.Done, true)
			want(t, "mails", result.Counts.Mails, 5)
			want(t, "mails so far", len(w.mails), 5*(shard+1))
		}
		counts := w.wantRun(t, sweep.Expiring)
		want(t, "mails of a run over all", counts.Mails, 0)
	})
}

// Progress holds the sum of all attempts at a job, for somebody who asks what a night's run did.
func TestProgressSumsAttempts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for n := account.ID(0); n < 70; n++ {
			w.add(4+4*n, today)
		}
		for _, owner := range []account.ID{4 + 4*2, 4 + 4*65} { // one for each attempt
			w.changeAccount(owner, func(a *account.Account) { a.State = account.Blocked })
		}
		failing := true
		w.sending = func(n sweep.Notice) error {
			if failing && n.Tokens[0].ID.Owner() == 4+4*60 {
				return sweep.ErrQuota
			}
			return nil
		}
		shard := 0
		s := w.scanner(sweep.Expiring, func(s *sweep.Setup) { s.Workers = 1 })
		e := sweep.Event{Time: atOne, Shard: &shard}
		_, err := s.Run(t.Context(), t.Context(), e)
		wantErr(t, err, sweep.ErrQuota)
		job := sweep.Job{Kind: sweep.Expiring, Day: today, Shard: 0}
		want(t, "mails so far", w.jobs[job].Counts.Mails, 59)
		want(t, "done", w.jobs[job].Done, false)
		failing = false
		_, err = s.Run(t.Context(), t.Context(), e)
		wantErr(t, err, nil)
		want(t, "mails of both", w.jobs[job].Counts.Mails, 68)
		want(t, "skipped by both", w.jobs[job].Counts.Skipped["owner_inactive"], 2)
		want(t, "marked by both", w.jobs[job].Counts.Marked, 70)
		want(t, "failed", w.jobs[job].Counts.Failed, 1)
		want(t, "done", w.jobs[job].Done, true)
	})
}
