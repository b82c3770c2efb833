package sweep_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// scanAt runs the expired scan with an event of some time until it is done, and returns its counts.
func (w *world) scanAt(t *testing.T, at time.Time) (counts sweep.Counts) {
	t.Helper()
	s := w.scanner(sweep.Expired, func(s *sweep.Setup) { s.AnyTime = true })
	result, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: at})
	wantErr(t, err, nil)
	want(t, "done", result.Done, true)
	return result.Counts
}

// nights runs the expired scan of each night from one day to another, both days after today.
func (w *world) nights(t *testing.T, from, to int) (removed int) {
	t.Helper()
	for n := from; n <= to; n++ {
		removed += w.scanAt(t, atOne.AddDate(0, 0, n)).BotsRemoved
	}
	return removed
}

// A bot stays for as long as revoked tokens do after its token's expiry was announced, and is then
// removed at once.
func TestBotIsRemoved(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		id := staff(w, today)
		person := w.add(8, today)
		want(t, "removed in 90 nights", w.nights(t, 0, 89), 0)
		want(t, "mails", len(w.mails), 5)
		_, there := w.accts[bot]
		want(t, "the bot is there", there, true)
		counts := w.scanAt(t, atOne.AddDate(0, 0, 90))
		want(t, "removed", counts.BotsRemoved, 1)
		want(t, "mails", counts.Mails, 0)
		tok := w.tokens[digestOf(id)]
		want(t, "revoked at", tok.RevokedAt, atOne.AddDate(0, 0, 90))
		want(t, "reason", tok.RevokedReason, token.ReasonExpired)
		want(t, "removed in 20 nights more", w.nights(t, 91, 110), 0)
		want(t, "revoked", fmt.Sprint(w.revocations), fmt.Sprint(map[token.ID]int{id: 1}))
		want(t, "the person's token", w.tokens[digestOf(person)].RevokedAt.IsZero(), true)
	})
}

// The event's day says whether a bot's time is up.
func TestRemovalAtMidnight(t *testing.T) {
	t.Parallel()
	due := today.AddDays(90)
	for _, c := range []struct {
		name string
		at   time.Time
		want int
	}{
		{"the last second of the day before", due.Start().Add(-time.Second), 0},
		{"the first second of the day", due.Start(), 1},
		{"the second after", due.Start().Add(time.Second), 1},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			staff(w, today)
			w.scanAt(t, atOne)
			want(t, "removed", w.scanAt(t, c.at).BotsRemoved, c.want)
		})
	}
}

type ignoring struct{ err error }

func (i ignoring) ExpiryIgnored(context.Context) (bool, error) { return true, i.err }

// While expiry is not enforced, the tokens of bots work on. If this fails, one that
// still works is taken away (promise 6).
func TestNoBotIsRemovedWhileExpiryIsNotEnforced(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		staff(w, today)
		w.scanAt(t, atOne)
		event := sweep.Event{Time: today.AddDays(90).Start().Add(2 * time.Hour)}
		with := func(e sweep.Enforcement) (sweep.Result, error) {
			return w.scanner(sweep.Expired, func(s *sweep.Setup) { s.Enforcement, s.AnyTime = e, true }).Run(t.Context(), t.Context(), event)
		}
		result, err := with(ignoring{fault.ErrUnavailable})
		if result.Done || result.Counts.BotsRemoved != 0 || err == nil {
			t.Errorf("undecided: %+v, %v", result, err)
		}
		result, err = with(ignoring{})
		wantErr(t, err, nil)
		want(t, "removed", result.Counts.BotsRemoved, 0)
	})
}

// Breaks if the bot of a token with a short life stays for ever where expired tokens work.
func TestTheBotOfAShortLifeIsRemovedAlsoWhileExpiryIsNotEnforced(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		lasting := staff(w, today)
		brief := w.addBotOf(bot+1, own, today)
		w.change(brief, func(tok *token.Token) {
			tok.CreatedAt = today.Start().Add(-36 * time.Hour)
			tok.Life = 24 * time.Hour
		})
		w.scanAt(t, atOne)
		scan := func(days int) sweep.Counts {
			s := w.scanner(sweep.Expired, func(s *sweep.Setup) { s.Enforcement, s.AnyTime = ignoring{}, true })
			result, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: atOne.AddDate(0, 0, days)})
			wantErr(t, err, nil)
			return result.Counts
		}
		want(t, "removed a day before", scan(89).BotsRemoved, 0)
		counts := scan(90)
		want(t, "removed", counts.BotsRemoved, 1)
		want(t, "skipped", counts.Skipped["expiry_ignored"], 1)
		want(t, "reason", w.tokens[digestOf(brief)].RevokedReason, token.ReasonExpired)
		want(t, "the other one", w.tokens[digestOf(lasting)].RevokedReason, "")
	})
}

// What is not as the index says keeps its bot, and is counted under its reason.
func TestBotsThatStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, name string
		arrange      func(*world, token.ID)
	}{
		{"revoked", "a token that was rotated meanwhile", func(w *world, id token.ID) {
			w.change(id, func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonRotated })
		}},
		{"gone", "a token that clean-up has taken", func(w *world, id token.ID) { delete(w.tokens, digestOf(id)) }},
		{"malformed", "a record that cannot be read", func(w *world, id token.ID) {
			w.change(id, func(tok *token.Token) { tok.Owner = 0 })
		}},
		{"malformed", "an entry that cannot be read", func(w *world, id token.ID) { w.entries[0].broken = true }},
		{"moved", "a record of another token", func(w *world, id token.ID) { w.change(id, func(tok *token.Token) { tok.ID++ }) }},
		{"moved", "a person's token", func(w *world, id token.ID) {
			w.change(id, func(tok *token.Token) { tok.Kind, tok.Project, tok.Level = token.Personal, 0, 0 })
		}},
		{"moved", "a token that expires tomorrow", func(w *world, id token.ID) {
			w.change(id, func(tok *token.Token) { tok.ExpiresOn = today.AddDays(91) })
		}},
		{"moved", "a token that never expires", func(w *world, id token.ID) {
			w.change(id, func(tok *token.Token) { tok.ExpiresOn = clock.Day{} })
		}},
		{"", "a token that expires today", func(w *world, id token.ID) {
			w.change(id, func(tok *token.Token) { tok.ExpiresOn = today.AddDays(90) })
		}},
		{"", "a token whose bot is gone", func(w *world, _ token.ID) { delete(w.accts, bot) }},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			id := staff(w, today)
			other := w.addBotOf(bot+shards, web, today) // of the same shard, behind it
			w.scanAt(t, atOne)
			c.arrange(w, id)
			counts := w.scanAt(t, atOne.AddDate(0, 0, 90))
			skipped, removed := map[string]int{}, map[token.ID]int{other: 1}
			if c.reason != "" {
				skipped[c.reason] = 1
			} else {
				removed[id] = 1
			}
			want(t, "revoked", fmt.Sprint(w.revocations), fmt.Sprint(removed))
			want(t, "counted", counts.BotsRemoved, len(removed))
			want(t, "skipped", fmt.Sprint(counts.Skipped), fmt.Sprint(skipped))
		})
	}
}

// A bot whose tokens were revoked in bulk has nothing to announce, and is removed like the others.
func TestBotRevokedInBulk(t *testing.T) {
	t.Parallel()
	// Once it is posted, it is skipped for each of four people.
	for moment, skipped := range map[string]int{"before the scan": 2, "before the mail goes out": 5} {
		eachWorld(t, moment, func(t *testing.T, w *world) {
			id := staff(w, today)
			personal := w.add(8, today)
			revoke := func() {
				for _, acct := range []account.ID{bot, 8} {
					w.changeAccount(acct, func(u *account.Account) { u.TokensValidFrom = u.NextNumber })
				}
			}
			looks := 0
			w.fail = func(call string) error {
				if call == "Tokens" {
					if looks++; moment == "before the mail goes out" && looks == 2 {
						revoke()
					}
				}
				return nil
			}
			if moment == "before the scan" {
				revoke()
			}
			counts := w.scanAt(t, atOne)
			want(t, "mails", counts.Mails, 0)
			want(t, "revoked", counts.Skipped["revoked"], skipped)
			want(t, "personal token's marks", fmt.Sprint(w.marks(personal)), "[]")
			want(t, "removed", w.nights(t, 1, 90), 1)
			want(t, "revoked", w.revocations[id], 1)
		})
	}
	eachWorld(t, "together with one that is announced", func(t *testing.T, w *world) {
		id := staff(w, today)
		w.changeAccount(bot, func(u *account.Account) { u.TokensValidFrom = u.NextNumber })
		w.add(bot, today, func(tok *token.Token) { tok.Kind, tok.Project, tok.Level = token.Project, web, project.Maintainer })
		counts := w.scanAt(t, atOne)
		want(t, "mails and marked", fmt.Sprint(counts.Mails, counts.Marked), "4 2")
		want(t, "marks", fmt.Sprint(w.marks(id)), "[expired]")
	})
	eachWorld(t, "the scan before its expiry leaves it alone", func(t *testing.T, w *world) {
		id := staff(w, today)
		w.changeAccount(bot, func(u *account.Account) { u.TokensValidFrom = u.NextNumber })
		w.wantRun(t, sweep.Expiring)
		want(t, "marks", fmt.Sprint(w.marks(id)), "[]")
	})
}

// Days without a scan keep a bot no longer than until the next, and those that the index shows late
// until the day after.
func TestMissedRemovals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		keep int
		runs []int
		want int // the day on which it is removed, or -1
	}{
		{"the day after a missed one", 90, []int{0, 89, 91}, 91},
		{"a missed week", 90, []int{0, 88, 97}, 97},
		{"a missed year", 90, []int{0, 89, 454}, 454},
		{"the day of its announcement, after a long stop", 30, []int{-1, 60}, 60},
		{"the first scan of all", 30, []int{31}, 31},
		{"a day later, with the shortest time", 1, []int{0, 1}, 1},
		{"an older day's event, late, removes nothing", 90, []int{0, 90 - 1, 88}, -1},
		{"a late event of the day before its announcement", 90, []int{1, 0, 89, 90}, 90},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			w.keep = c.keep
			staff(w, today)
			removed := -1
			for _, n := range c.runs {
				if w.scanAt(t, atOne.AddDate(0, 0, n)).BotsRemoved > 0 {
					removed = n
				}
			}
			want(t, "removed on", removed, c.want)
		})
	}
	t.Run("an entry that the index shows late", func(t *testing.T) {
		t.Parallel()
		for late, wanted := range map[int]int{1: 1, 7: 1, 8: 0} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				staff(w, today)
				w.scanAt(t, atOne)
				hidden := w.entries
				w.entries = nil
				w.nights(t, 1, 89+late)
				w.entries = hidden
				want(t, fmt.Sprintf("removed %d days late", late), w.nights(t, 90+late, 90+late), wanted)
			})
		}
	})
}

// The time that bots stay may change; those that have expired keep their day.
func TestRetentionChanges(t *testing.T) {
	t.Parallel()
	for _, keep := range []int{1, 400} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			staff(w, today)
			w.scanAt(t, atOne)
			w.keep = keep
			want(t, "removed before", w.nights(t, 1, 89), 0)
			want(t, "removed", w.nights(t, 90, 90), 1)
		})
	}
}

// The window of a scan that was missed for long, a query a day.
func TestRemovalWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, last, first string
	}{
		{"a week before the day after the last finished one", "2031-05-06", "2031-04-30"},
		{"missed days", "2031-05-03", "2031-04-27"},
		{"a shard that never finished", "", "2031-03-30"},
		{"an old event", "2031-05-09", "2031-04-30"},
		{"a long stop", "2025-01-01", "2030-03-26"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []sweep.Kind{sweep.Expired, sweep.Expiring} {
				w := newWorld()
				if c.last != "" {
					w.finished[scanOf{kind, 0}] = day(c.last)
				}
				asked := &window{}
				shard := 0
				s := w.scanner(kind, func(s *sweep.Setup) { s.Index = asked })
				_, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: atOne, Shard: &shard})
				wantErr(t, err, nil)
				if kind == sweep.Expiring {
					want(t, "days of the scan before expiry", len(asked.bots), 0)
					continue
				}
				want(t, "first day", asked.bots[0], c.first)
				want(t, "days", len(asked.bots), day(c.first).DaysUntil(today)+1)
				want(t, "last day", asked.bots[len(asked.bots)-1], "2031-05-07")
			}
		})
	}
}

// crew adds n bots of shard 0 whose time is up at atOne.
func crew(w *world, n int) {
	addProjects(w)
	w.join(web, 9, project.Maintainer)
	for i := range account.ID(n) {
		id := w.addBotOf(bot+4*i, web, today.AddDays(-90))
		w.change(id, func(tok *token.Token) { tok.Notices = []string{"expired"} })
	}
	for i := range w.entries {
		w.entries[i].day, w.entries[i].bots = today, true
	}
}

// wantAllRemoved fails the test unless n bots were removed, each once.
func wantAllRemoved(t *testing.T, w *world, n int) {
	t.Helper()
	want(t, "removed", len(w.revocations), n)
	for id, times := range w.revocations {
		want(t, "removals of "+id.String(), times, 1)
	}
	want(t, "left in the index", len(w.entries), 0)
}

// Many bots are removed page by page, with the lease renewed, and progress counts them all.
func TestManyRemovals(t *testing.T) {
	t.Parallel()
	for _, pageSize := range []int{7, 50, 500} {
		eachWorld(t, fmt.Sprintf("pages of %d", pageSize), func(t *testing.T, w *world) {
			w.pageSize = pageSize
			crew(w, 230)
			w.after = func(call string) error {
				if call == "RevokeToken" {
					// sleep: bubble time, in which nobody waits
					time.Sleep(2 * time.Second) // 153 seconds in all, with three workers
				}
				return nil
			}
			for range 3 {
				result, err := w.run(t, sweep.Expired)
				wantErr(t, err, nil)
				if result.Done {
					break
				}
			}
			wantAllRemoved(t, w, 230)
			want(t, "sum", w.jobs[sweep.Job{Kind: sweep.Expired, Day: today, Shard: 0}].Counts.BotsRemoved, 230)
		})
	}
}

// When its time is nearly up a run stops after the batch in hand, and the next goes on.
func TestRemovalStops(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.pageSize = 500
		crew(w, 120)
		stop, cancel := context.WithCancel(t.Context())
		w.after = func(call string) error {
			if call == "RevokeToken" {
				cancel()
			}
			return nil
		}
		result, err := w.scanner(sweep.Expired).Run(t.Context(), stop, sweep.Event{Time: atOne})
		wantErr(t, err, nil)
		want(t, "done", result.Done, false)
		want(t, "removed", result.Counts.BotsRemoved, 50)
		want(t, "leases kept", len(w.leases), 0)
		_, finished := w.finished[scanOf{sweep.Expired, 0}]
		want(t, "finished", finished, false)
		w.after = nil
		want(t, "removed by the next", w.wantRun(t, sweep.Expired).BotsRemoved, 70)
		wantAllRemoved(t, w, 120)
	})
}

// A run that has lost its lease removes no further batch.
func TestRemovalLeaseLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		crew(w, 120)
		taken := leased{"another", atOne.Add(time.Hour)}
		w.after = func(call string) error {
			if call == "RevokeToken" {
				w.mu.Lock()
				w.leases[scanOf{sweep.Expired, 0}] = taken
				w.mu.Unlock()
			}
			return nil
		}
		result, err := w.run(t, sweep.Expired)
		wantErr(t, err, nil)
		want(t, "done", result.Done, false)
		want(t, "removed", result.Counts.BotsRemoved, 50)
		want(t, "lease", w.leases[scanOf{sweep.Expired, 0}], taken)
	})
}

// One bot that cannot be removed keeps no other of its batch, and a retry removes what is left.
func TestRemovalFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		err     error
		skipped string // when the scan goes on
	}{
		{"the table does not answer", fault.ErrUnavailable, ""},
		{"for an odd reason", errOdd, ""},
		{"items that make no sense", fault.ErrCorrupt, "malformed"},
		{"a record that went away", fault.ErrNotFound, "gone"},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			crew(w, 20)
			failures := 0
			w.fail = func(call string) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				if call == "RevokeToken" && failures == 0 {
					failures++
					return fmt.Errorf("%w: really", c.err)
				}
				return nil
			}
			result, err := w.run(t, sweep.Expired)
			want(t, "removed", result.Counts.BotsRemoved, 19)
			want(t, "done", result.Done, c.skipped != "")
			_, finished := w.finished[scanOf{sweep.Expired, 0}]
			want(t, "finished", finished, c.skipped != "")
			if c.skipped != "" {
				wantErr(t, err, nil)
				want(t, "skipped", fmt.Sprint(result.Counts.Skipped), fmt.Sprint(map[string]int{c.skipped: 1}))
				want(t, "removed the day after", w.nights(t, 1, 1), 1)
			} else {
				wantErr(t, err, c.err)
				want(t, "removed by the retry", w.wantRun(t, sweep.Expired).BotsRemoved, 1)
			}
			wantAllRemoved(t, w, 20)
		})
	}
}

// Mails that are left over keep no bot: an address that fails every night must not keep all bots for
// ever.
func TestUnsentMailsAndRemovals(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		crew(w, 3)
		id := w.add(8, today)
		broken := true
		w.sending = to(&broken, errOdd)
		result, err := w.run(t, sweep.Expired)
		wantErr(t, err, sweep.ErrUnsent)
		want(t, "removed", result.Counts.BotsRemoved, 3)
		want(t, "done", result.Done, false)
		_, finished := w.finished[scanOf{sweep.Expired, 0}]
		want(t, "finished", finished, false)
		broken = false
		w.wantRun(t, sweep.Expired)
		want(t, "told", w.told()[id], 1)
	})
}

// A run may die at any of its calls: each bot is removed once, and never before its expiry was told to
// everybody.
func TestDeathAtEveryRemoval(t *testing.T) {
	build := func() *world {
		w := newWorld()
		w.pageSize = 2
		crew(w, 5)
		w.join(web, 10, project.Maintainer)
		w.keep = 0 // so that one scan announces and removes
		for i := range account.ID(2) {
			w.addBotOf(bot+100+4*i, web, today)
		}
		return w
	}
	scan := func(t *testing.T, w *world) (sweep.Result, error) {
		return w.run(t, sweep.Expired, func(s *sweep.Setup) { s.Workers = 2 })
	}
	dieEverywhere(t, 60, build, scan, func(t *testing.T, w *world) func() {
		for id := range w.revocations {
			want(t, "announced", slices.Contains(w.marks(id), "expired"), true)
		}
		return func() {
			wantAllRemoved(t, w, 7)
			for _, owner := range []account.ID{bot + 100, bot + 104} {
				for _, acct := range []account.ID{9, 10} {
					want(t, "told", slices.ContainsFunc(w.mails, func(m sweep.Notice) bool {
						return m.Recipient.ID == acct && slices.ContainsFunc(m.Tokens, func(tok sweep.Token) bool { return tok.ID.Owner() == owner })
					}), true)
				}
			}
		}
	})
}

// Two runs at once remove each bot once.
func TestRemovalsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lagging = true // the index goes on to show what is removed
		crew(w, 60)
		results := make(chan error, 2)
		for range 2 {
			go func() {
				for {
					result, err := w.run(t, sweep.Expired)
					if err != nil || result.Done {
						results <- err
						return
					}
					// sleep: bubble time, in which nobody waits
					time.Sleep(time.Second)
				}
			}()
		}
		for range 2 {
			wantErr(t, <-results, nil)
		}
		want(t, "removed", len(w.revocations), 60)
		for id, times := range w.revocations {
			want(t, "removals of "+id.String(), times, 1)
		}
	})
}
