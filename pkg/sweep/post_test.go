package sweep_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// addProject adds a project of its own with one bot, whose token ends on today plus left days.
func (w *world) addProject(id project.ID, owner account.ID, left int, managers ...account.ID) token.ID {
	w.projects[id] = project.Project{ID: id, Kind: project.KindProject, Path: "p" + id.String(), FullPath: "evil/p" + id.String()}
	for _, manager := range managers {
		w.join(id, manager, project.Maintainer)
	}
	return w.addBotOf(owner, id, today.AddDays(left))
}

// A stranger makes projects and adds people to them. If this fails, each project is a mail to each of
// them.
func TestOneMailToAPersonWithManyProjects(t *testing.T) {
	t.Parallel()
	for _, kind := range []sweep.Kind{sweep.Expiring, sweep.Expired} {
		eachWorld(t, string(kind), func(t *testing.T, w *world) {
			own := w.add(9, today)
			ids := []token.ID{own}
			for n := range 30 { // in every shard
				ids = append(ids, w.addProject(project.ID(100+n), account.ID(1000+n), 0, 9, 10, 11))
			}
			counts := w.wantRun(t, kind)
			want(t, "recipients", w.recipients(), "9 10 11")
			want(t, "due and marked", fmt.Sprint(counts.Due, counts.Marked), "31 31")
			for _, n := range w.mails {
				var listed []token.ID
				for _, tok := range n.Tokens {
					listed = append(listed, tok.ID)
					want(t, "project", tok.Project.FullPath != "", tok.ID != own)
				}
				wanted := ids
				if n.Recipient.ID != 9 {
					wanted = ids[1:]
				}
				want(t, "first", listed[0], wanted[0]) // a person's own tokens
				slices.Sort(listed)
				want(t, "listed", fmt.Sprint(listed), fmt.Sprint(slices.Sorted(slices.Values(wanted))))
				want(t, "total", n.Total, len(wanted))
			}
			want(t, "posts", w.posts(sweep.Box(kind)), 0)
			w.wantRun(t, kind)
			want(t, "mails of a second run", len(w.mails), 3)
		})
	}
}

// The same after a lifetime run, whose shards are others.
func TestOneMailAfterALifetimeRun(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.add(9, today.AddDays(limitDays+1))
		for n := range 30 {
			w.addProject(project.ID(100+n), account.ID(1000+n), limitDays+1, 9, 10, 11)
		}
		w.wantRun(t, sweep.Lifetime)
		want(t, "recipients", w.recipients(), "9 10 11")
		for _, n := range w.mails {
			want(t, "total", n.Total, map[bool]int{true: 31, false: 30}[n.Recipient.ID == 9])
		}
	})
}

// A person with more tokens than a mail lists sees their own, and some of each project: a flood in one
// project does not hide another.
func TestAFloodHidesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		late := w.addProject(5, 500, 7, 9)
		w.addProject(3, 600, 0, 9)
		for n := range 300 {
			w.addBotOf(account.ID(700+n), 3, today)
		}
		own := w.add(9, today.AddDays(7))
		w.wantRun(t, sweep.Expiring)
		want(t, "mails", len(w.mails), 1)
		n := w.mails[0]
		want(t, "total", n.Total, 303)
		want(t, "listed", len(n.Tokens), sweep.MaxListed)
		want(t, "first", n.Tokens[0].ID, own)
		want(t, "of the other project", slices.ContainsFunc(n.Tokens, func(tok sweep.Token) bool { return tok.ID == late }), true)
		want(t, "posts", w.posts("expiring"), 0)
	})
}

// The tenth mail of a day about tokens of projects says that the rest comes with the next scan, which
// sends it in one mail. A person's own tokens are never held back. If this fails, strangers can fill
// somebody's mailbox, or keep somebody from learning of their own tokens.
func TestDailyLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		taken    int
		now      string // what the mail of the Expired scan has: own, project, last
		tomorrow string // and that of the next Expiring scan
	}{
		{dailyMails - 2, "own project", ""},
		{dailyMails - 1, "own project last", ""},
		{dailyMails, "own", "project last"},
		{dailyMails + 1, "own", "project last"},
	} {
		eachWorld(t, fmt.Sprintf("%d mails before", c.taken), func(t *testing.T, w *world) {
			w.add(9, today)
			id := w.addProject(3, 600, 0, 9, 10)
			w.taken[9] = c.taken
			counts := w.wantRun(t, sweep.Expired)
			want(t, "others", w.recipients(), "9 10")
			contents := func() string {
				for _, n := range w.mails {
					if n.Recipient.ID == 9 {
						return describe(n)
					}
				}
				return ""
			}
			want(t, "mail", contents(), c.now)
			held := c.tomorrow != ""
			want(t, "held back", len(w.boxesOf(id, 9)) == 1 && w.posts(sweep.Held) == 1, held)
			want(t, "counted", counts.Skipped["held_back"] == 1, held)

			w.mails = nil
			w.wantRun(t, sweep.Expired) // does not send it either
			want(t, "mails of a second run", len(w.mails), 0)
			_, err := w.runAt(t, sweep.Expiring, sweep.Event{Time: atOne.AddDate(0, 0, 1)}, func(s *sweep.Setup) { s.AnyTime = true })
			wantErr(t, err, nil)
			want(t, "mail of the next scan", contents(), c.tomorrow)
			want(t, "held back", w.posts(sweep.Held), 0)
		})
	}
}

// describe says what a notice has.
func describe(n sweep.Notice) string {
	var has []string
	for _, tok := range n.Tokens {
		if tok.Project.ID == 0 {
			has = append(has, "own")
		} else {
			has = append(has, "project")
		}
	}
	if n.Last {
		has = append(has, "last")
	}
	return fmt.Sprint(has)[1 : len(fmt.Sprint(has))-1]
}

// What was held back for several reasons comes in the one mail of the Expiring scan, however many mails
// the person has got. What was revoked meanwhile, or is not the person's any more, is left out.
func TestHeldBackIsSentTogether(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		hold := func(id token.ID, kind sweep.Kind) {
			tok := w.tokens[digestOf(id)]
			post := sweep.Post{To: 9, Token: id, Digest: tok.Digest, Kind: kind, ExpiresOn: tok.ExpiresOn}
			wantErr(t, w.Post(t.Context(), sweep.Held, post, atOne), nil)
		}
		due := w.addProject(3, 600, 4, 9)
		leaked := w.addProject(4, 604, 100, 9)
		w.change(leaked, func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonLeak })
		hold(leaked, sweep.Leaked)
		expired := w.addProject(5, 608, -1, 9)
		hold(expired, sweep.Expired)
		revoked := w.addProject(6, 612, -1, 9)
		w.change(revoked, func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonRequest })
		hold(revoked, sweep.Expired)
		others := w.addProject(7, 616, -1, 10)
		hold(others, sweep.Expired)
		gone := w.addProject(8, 620, -1, 9)
		hold(gone, sweep.Leaked)
		delete(w.tokens, digestOf(gone))
		w.taken[9] = dailyMails

		w.wantRun(t, sweep.Expiring)
		want(t, "recipients", w.recipients(), "9")
		var got []string
		for _, tok := range w.mails[0].Tokens {
			got = append(got, fmt.Sprintf("%s %s", tok.ID, tok.Kind))
		}
		want(t, "listed", fmt.Sprint(got), fmt.Sprintf("[%s expiring %s leaked %s expired]", due, leaked, expired))
		want(t, "posts", w.posts(sweep.Held)+w.posts("expiring"), 0)
	})
}

// A shard that somebody else posts may have tokens of anybody, so no mail goes out before.
func TestMailsWaitForEveryShard(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.addProject(3, 601, 0, 8) // of shard 1
		own := w.add(8, today)
		w.leases[scanOf{"expiring-posts", 1}] = leased{"somebody", atOne.Add(time.Minute)}
		first := 0
		result, err := w.runAt(t, sweep.Expiring, sweep.Event{Time: atOne, Shard: &first})
		wantErr(t, err, nil)
		want(t, "done", result.Done, false)
		want(t, "mails", len(w.mails), 0)
		delete(w.leases, scanOf{"expiring-posts", 1})
		w.wantRun(t, sweep.Expiring)
		want(t, "mails", len(w.mails), 1)
		want(t, "first", w.mails[0].Tokens[0].ID, own)
		want(t, "total", w.mails[0].Total, 2)
	})
	eachWorld(t, "and not if it fails", func(t *testing.T, w *world) {
		w.add(8, today)
		w.add(9, today)
		w.fail = failing("Posted", errors.New("odd"))
		_, err := w.run(t, sweep.Expiring)
		if err == nil {
			t.Error("no error")
		}
		want(t, "mails", len(w.mails), 0)
		w.fail = nil
		w.wantRun(t, sweep.Expiring)
		want(t, "mails", len(w.mails), 2)
	})
}

// One person's tokens do not fill the memory. Those beyond the bound come with the next scan.
func TestMorePostsThanAMailTakes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const bound = 5000
		w.pageSize = 1000
		w.addProject(3, 600, 0, 9)
		for n := range bound + 2 {
			w.addBotOf(account.ID(700+n), 3, today)
		}
		w.wantRun(t, sweep.Expiring)
		want(t, "mails", fmt.Sprint(len(w.mails), w.mails[0].Total), fmt.Sprint(1, bound))
		want(t, "left", w.posts("expiring"), 3)
		_, err := w.runAt(t, sweep.Expiring, sweep.Event{Time: atOne.Add(24 * time.Hour)}, func(s *sweep.Setup) { s.AnyTime = true })
		wantErr(t, err, nil)
		want(t, "mails", fmt.Sprint(len(w.mails), w.mails[1].Total), fmt.Sprint(2, 3))
	})
}
