package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// The groups acme and acme/apps, and the projects acme/apps/web and that of account 70.
const (
	acme project.ID = iota + 1
	apps
	web
	own
)

// bot is the owner of the token that is due, in shard 0.
const bot account.ID = 40

// addProjects fills a world with what there is to work on. Nobody does yet.
func addProjects(w *world) {
	w.projects[acme] = project.Project{ID: acme, Kind: project.KindGroup, Path: "acme", FullPath: "acme"}
	w.projects[apps] = project.Project{ID: apps, Kind: project.KindGroup, Path: "apps", FullPath: "acme/apps", Ancestors: []project.ID{acme}}
	w.projects[web] = project.Project{ID: web, Kind: project.KindProject, Path: "web", FullPath: "acme/apps/web", Ancestors: []project.ID{acme, apps}}
	w.projects[own] = project.Project{ID: own, Kind: project.KindProject, Path: "tools", Owner: 70}
	w.addAccount(70)
}

// join makes user a member, and an account when there is none.
func (w *world) join(res project.ID, acct account.ID, level project.Level, changes ...func(*project.Member)) {
	if _, there := w.accts[acct]; !there {
		w.addAccount(acct)
	}
	m := project.Member{Project: res, Account: acct, Level: level}
	for _, change := range changes {
		change(&m)
	}
	w.members = append(w.members, m)
}

// addBot gives the bot a token for a project that expires on a day.
func (w *world) addBot(res project.ID, on clock.Day) token.ID { return w.addBotOf(bot, res, on) }

func (w *world) addBotOf(owner account.ID, res project.ID, on clock.Day) token.ID {
	w.addAccount(owner, func(u *account.Account) {
		u.Username, u.Bot, u.Email = fmt.Sprintf("project_%s_bot", res), true, fmt.Sprintf("project%s_bot@example.com", res)
	})
	w.join(res, owner, project.Maintainer, func(m *project.Member) { m.ExpiresOn = on })
	return w.add(owner, on, func(tok *token.Token) {
		tok.Kind, tok.Project, tok.Level = token.KindIn(w.projects[res].Kind), res, project.Maintainer
	})
}

// recipients returns who got mails, by ascending id.
func (w *world) recipients() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]account.ID, len(w.mails))
	for i, n := range w.mails {
		ids[i] = n.Recipient.ID
	}
	slices.Sort(ids)
	return strings.Trim(fmt.Sprint(ids), "[]")
}

// Those who manage a project's or group's tokens are told about them, and nobody else.
func TestManagersAreTold(t *testing.T) {
	t.Parallel()
	const day0 = "2031-05-07"
	until := func(s string) func(*project.Member) {
		return func(m *project.Member) { m.ExpiresOn = day(s) }
	}
	acct := func(id account.ID, change func(*account.Account)) func(*world) {
		return func(w *world) { w.addAccount(id, change) }
	}
	member := func(res project.ID, id account.ID, level project.Level, changes ...func(*project.Member)) func(*world) {
		return func(w *world) { w.join(res, id, level, changes...) }
	}
	for _, c := range []struct {
		name    string
		on      project.ID
		arrange []func(*world)
		want    string // ids of the recipients
		skipped string
		path    string
	}{
		{"maintainers and owners of a project", web, []func(*world){
			member(web, 12, project.Owner), member(web, 9, project.Maintainer), member(web, 10, project.Developer), member(web, 11, project.Guest), member(web, 100, project.Maintainer),
		}, "9 12 100", "", "acme/apps/web"},
		{"maintainers and owners of the groups above it", web, []func(*world){
			member(acme, 8, project.Owner), member(apps, 9, project.Maintainer), member(apps, 10, project.Developer),
		}, "8 9", "", "acme/apps/web"},
		{"the highest level counts, and everybody once", web, []func(*world){
			member(web, 9, project.Guest), member(apps, 9, project.Maintainer), member(acme, 9, project.Owner),
		}, "9", "", "acme/apps/web"},
		{"owners of a group, not its maintainers", apps, []func(*world){
			member(apps, 9, project.Owner), member(apps, 10, project.Maintainer), member(acme, 8, project.Owner), member(acme, 7, project.Maintainer),
		}, "8 9", "", "acme/apps"},
		{"members of a project below a group are no members of the group", apps, []func(*world){
			member(web, 9, project.Owner),
		}, "", "no_recipient", ""},
		{"nobody manages it", web, []func(*world){member(web, 9, project.Developer)}, "", "no_recipient", ""},
		{"nobody is in it", web, nil, "", "no_recipient", ""},
		{"a membership that ended yesterday", web, []func(*world){member(web, 9, project.Owner, until("2031-05-06"))}, "", "no_recipient", ""},
		{"a membership that ends today", web, []func(*world){member(web, 9, project.Owner, until(day0))}, "", "no_recipient", ""},
		{"a membership that ends tomorrow", web, []func(*world){member(web, 9, project.Owner, until("2031-05-08"))}, "9", "", "acme/apps/web"},
		{"a membership that ended, and an inherited one", web, []func(*world){
			member(web, 9, project.Owner, until(day0)), member(acme, 9, project.Maintainer),
		}, "9", "", "acme/apps/web"},
		{"a blocked manager is not told", web, []func(*world){
			acct(9, func(u *account.Account) { u.State = account.Blocked }), member(web, 9, project.Owner), member(web, 10, project.Owner),
		}, "10", "", "acme/apps/web"},
		{"a deactivated manager is not told", web, []func(*world){
			acct(9, func(u *account.Account) { u.State = account.Deactivated }), member(web, 9, project.Owner),
		}, "", "no_recipient", ""},
		{"a manager without an address is not told", web, []func(*world){
			acct(9, func(u *account.Account) { u.Email = "" }), member(web, 9, project.Owner),
		}, "", "no_recipient", ""},
		{"a manager whose mails come back is not told", web, []func(*world){
			acct(9, func(u *account.Account) { u.Unreachable = account.Bounced }), member(web, 9, project.Owner), member(web, 10, project.Owner),
		}, "10", "", "acme/apps/web"},
		{"no manager can be reached", web, []func(*world){
			acct(9, func(u *account.Account) { u.Unreachable = account.Complained }), member(web, 9, project.Owner), member(web, 10, project.Developer),
		}, "", "unreachable", ""},
		{"another bot is not told", web, []func(*world){
			acct(9, func(u *account.Account) { u.Bot = true }), member(web, 9, project.Owner),
		}, "", "no_recipient", ""},
		{"a manager whose account is gone is passed over", web, []func(*world){
			member(web, 9, project.Owner), member(web, 10, project.Owner), func(w *world) { delete(w.accts, 9) },
		}, "10", "", "acme/apps/web"},
		{"a manager whose profile cannot be read is passed over", web, []func(*world){
			acct(9, func(u *account.Account) { u.Username = "" }), member(web, 9, project.Owner), member(web, 10, project.Owner),
		}, "10", "", "acme/apps/web"},
		{"a member who cannot be read is passed over", web, []func(*world){
			member(web, 0, project.Owner), member(web, 10, project.Owner),
		}, "10", "", "acme/apps/web"},
		{"a blocked bot's token", web, []func(*world){
			func(w *world) { w.changeAccount(bot, func(u *account.Account) { u.State = account.Blocked }) }, member(web, 9, project.Owner),
		}, "9", "", "acme/apps/web"},
		{"a project that is gone", web, []func(*world){member(web, 9, project.Owner), func(w *world) { delete(w.projects, web) }}, "", "no_recipient", ""},
		{"a project that cannot be read", web, []func(*world){
			member(web, 9, project.Owner), func(w *world) { w.projects[web] = project.Project{} },
		}, "", "malformed", ""},
		{"a project in an account's namespace", own, []func(*world){member(own, 9, project.Maintainer), member(own, 70, project.Owner)}, "9 70", "", "user70/tools"},
		{"one whose owner is not its member", own, []func(*world){member(own, 9, project.Maintainer)}, "9", "", "user70/tools"},
		{"one whose owner is gone", own, []func(*world){member(own, 9, project.Maintainer), func(w *world) { delete(w.accts, 70) }}, "9", "", "ghost/tools"},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			addProjects(w)
			id := w.addBot(c.on, today.AddDays(4))
			for _, arrange := range c.arrange {
				arrange(w)
			}
			counts := w.wantRun(t, sweep.Expiring)
			want(t, "recipients", w.recipients(), c.want)
			skipped := map[string]int{}
			if c.skipped != "" {
				skipped[c.skipped] = 1
			}
			want(t, "skipped", fmt.Sprint(counts.Skipped), fmt.Sprint(skipped))
			want(t, "marked", slices.Contains(w.marks(id), "expiring-7"), c.skipped != "malformed")
			for _, n := range w.mails {
				want(t, "project", fmt.Sprint(n.Tokens[0].Project.Kind, n.Tokens[0].Project.FullPath), fmt.Sprint(w.projects[c.on].Kind, c.path))
				want(t, "owner", n.Tokens[0].ID.Owner(), bot)
				want(t, "tokens", fmt.Sprint(len(n.Tokens), n.Total, n.Tokens[0].ID), fmt.Sprint(1, 1, id))
				want(t, "address", n.Recipient.Email, "user"+n.Recipient.ID.String()+"@example.com")
			}
			mails := len(w.mails)
			w.wantRun(t, sweep.Expiring)
			want(t, "mails of a second run", len(w.mails), mails)
		})
	}
}

// The event's time, not the machine's, says whose membership is over.
func TestMembershipAtTheEventsTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"a second before its end", today.Start().Add(-time.Second), "9"},
		{"at its end", today.Start(), ""},
		{"a second after its end", today.Start().Add(time.Second), ""},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			addProjects(w)
			w.addBot(web, today.AddDays(4))
			w.join(web, 9, project.Maintainer, func(m *project.Member) { m.ExpiresOn = today })
			_, err := w.runAt(t, sweep.Expiring, sweep.Event{Time: c.at})
			wantErr(t, err, nil)
			want(t, "recipients", w.recipients(), c.want)
		})
	}
}

// People's own tokens cost nothing more because of bots.
func TestProjectsAreReadForBotsOnly(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		addProjects(w)
		populate(w, 30)
		w.wantRun(t, sweep.Expiring)
		want(t, "projects read", w.count("Project")+w.count("MembersIn"), 0)
	})
}

// staff adds a bot with four managers: 9, 10, 11 and 12.
func staff(w *world, on clock.Day) token.ID {
	addProjects(w)
	w.oneShard = true
	id := w.addBot(web, on)
	for acct := account.ID(9); acct <= 12; acct++ {
		w.join(web, acct, project.Maintainer)
	}
	return id
}

// toAccount fails mails to users.
func toAccount(err error, accts ...account.ID) func(sweep.Notice) error {
	return func(n sweep.Notice) error {
		if slices.Contains(accts, n.Recipient.ID) {
			return err
		}
		return nil
	}
}

// The token is marked when everybody has a post, and each post goes with its mail.
func TestMarksOfSeveralRecipients(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		id := staff(w, today.AddDays(4))
		var before []string
		w.sending = func(sweep.Notice) error {
			before = append(before, fmt.Sprint(w.marks(id), w.posts("expiring")))
			return nil
		}
		counts := w.wantRun(t, sweep.Expiring, oneWorker)
		want(t, "marks and posts before each mail", fmt.Sprint(before), "[[expiring-7] 4 [expiring-7] 3 [expiring-7] 2 [expiring-7] 1]")
		want(t, "posts", w.posts("expiring"), 0)
		want(t, "marks", fmt.Sprint(w.marks(id)), "[expiring-7]")
		want(t, "mails", counts.Mails, 4)
		want(t, "due and marked", fmt.Sprint(counts.Due, counts.Marked), "1 1")
	})
}

func oneWorker(s *sweep.Setup) { s.Workers = 1 }

// A recipient whose mail fails keeps no other back, and is told alone by the retry.
func TestOneRecipientFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fails []account.ID
		err   error
		want  string // recipients of the first run, and of the retry
	}{
		{"the first", []account.ID{9}, errOdd, "10 11 12|9"},
		{"one in the middle", []account.ID{11}, errOdd, "9 10 12|11"},
		{"the last", []account.ID{12}, errOdd, "9 10 11|12"},
		{"all but one", []account.ID{9, 10, 12}, errOdd, "11|9 10 12"},
		{"all", []account.ID{9, 10, 11, 12}, errOdd, "|9 10 11 12"},
		{"the first has a rejected address", []account.ID{9}, sweep.ErrRejected, "10 11 12|"},
		{"the last has a rejected address", []account.ID{12}, sweep.ErrRejected, "9 10 11|"},
		{"all have a rejected address", []account.ID{9, 10, 11, 12}, sweep.ErrRejected, "|"},
		{"the quota is used up at the third", []account.ID{11}, sweep.ErrQuota, "9 10|11 12"},
		{"the account is paused at the first", []account.ID{9}, sweep.ErrPaused, "|9 10 11 12"},
		{"throttled for ever at the last", []account.ID{12}, sweep.ErrThrottled, "9 10 11|12"},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			id := staff(w, today.AddDays(4))
			w.sending = toAccount(fmt.Errorf("%w: really", c.err), c.fails...)
			result, err := w.run(t, sweep.Expiring, oneWorker)
			failed := !errors.Is(c.err, sweep.ErrRejected)
			want(t, "failed", err != nil, failed)
			want(t, "done", result.Done, !failed)
			want(t, "posts left", len(w.boxesOf(id, c.fails...)) > 0, failed)
			first := w.recipients()
			w.mails, w.sending = nil, nil
			w.wantRun(t, sweep.Expiring)
			want(t, "recipients", first+"|"+w.recipients(), c.want)
			want(t, "posts", w.posts("expiring"), 0)
			w.mails = nil
			w.wantRun(t, sweep.Expiring)
			want(t, "recipients of a third run", w.recipients(), "")
		})
	}
}

// A project with as many managers as a company has people does not have the run try all of their
// addresses while the mail service fails one after the other.
func TestEveryRecipientFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		addProjects(w)
		w.addBot(web, today.AddDays(4))
		for acct := range account.ID(300) {
			w.join(web, 100+acct, project.Maintainer)
		}
		broken := true
		w.sending = to(&broken, errOdd)
		_, err := w.run(t, sweep.Expiring)
		wantErr(t, err, sweep.ErrUnsent)
		if tried := w.count("Send"); tried < 20 || tried > 20+3 {
			t.Errorf("%d mails were tried", tried)
		}
		broken = false
		w.wantRun(t, sweep.Expiring)
		want(t, "mails", len(w.mails), 300)
	})
}

// More managers than a lease has time for are told, each person once.
func TestManyManagers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		addProjects(w)
		id := w.addBot(web, today.AddDays(4))
		const people = 300
		for acct := range account.ID(people) {
			w.join(web, 100+acct, project.Maintainer)
		}
		w.rate = func() (float64, error) { return 1, nil }
		w.wantRun(t, sweep.Expiring)
		told := map[account.ID]int{}
		for _, n := range w.mails {
			told[n.Recipient.ID]++
		}
		want(t, "mails", len(w.mails), people)
		want(t, "people", len(told), people)
		want(t, "plain mark", slices.Contains(w.marks(id), "expiring-7"), true)
	})
}

// A mark of one recipient that the table refuses does not repeat the mail: this guards promise 3 of
// the architecture, which allows a repeated mail after a crash only.
func TestOwnMarksAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"the post to 9", "the post to 11", "expiring-7"} {
		for _, c := range []struct{ fails, runs int }{{4, 0}, {5, 1}, {45, 9}} {
			eachWorld(t, fmt.Sprintf("%s is refused %d times", refused, c.fails), func(t *testing.T, w *world) {
				id := staff(w, today.AddDays(4))
				left := c.fails
				w.refuseMark = func(mark string) error {
					if mark == refused && left > 0 {
						left--
						return fault.ErrUnavailable
					}
					return nil
				}
				w.refuseUnpost = func(p sweep.Post) error { return w.refuseMark("the post to " + p.To.String()) }
				for range c.runs {
					_, err := w.run(t, sweep.Expiring)
					wantErr(t, err, fault.ErrUnavailable)
				}
				w.wantRun(t, sweep.Expiring)
				want(t, "recipients", w.recipients(), "9 10 11 12")
				want(t, "plain mark", slices.Contains(w.marks(id), "expiring-7"), true)
			})
		}
	}
}

// What changes between two of the mails: this guards promise 4 of the architecture.
func TestChangesBetweenRecipients(t *testing.T) {
	t.Parallel()
	leave := func(acct account.ID) func(*world, token.ID) {
		return func(w *world, _ token.ID) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.members = slices.DeleteFunc(slices.Clone(w.members), func(m project.Member) bool { return m.Account == acct })
		}
	}
	for _, c := range []struct {
		name   string
		change func(*world, token.ID) // when 10 has been told
		want   string
	}{
		{"the token is revoked", func(w *world, id token.ID) { w.change(id, func(tok *token.Token) { tok.RevokedAt = atOne }) }, "9 10"},
		{"the next manager leaves", leave(11), "9 10 12"},
		{"the last manager leaves", leave(12), "9 10 11"},
		{"the managers left all leave", func(w *world, id token.ID) { leave(11)(w, id); leave(12)(w, id) }, "9 10"},
		{"one who was told leaves", leave(9), "9 10 11 12"},
		{"the next manager is blocked", func(w *world, _ token.ID) {
			w.changeAccount(11, func(u *account.Account) { u.State = account.Blocked })
		}, "9 10 12"},
		{"another manager comes, who is told of the next tokens", func(w *world, _ token.ID) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.join(web, 13, project.Owner)
		}, "9 10 11 12"},
		{"the bot is deleted, and with it its token", func(w *world, id token.ID) {
			w.mu.Lock()
			delete(w.accts, bot)
			w.mu.Unlock()
			w.change(id, func(tok *token.Token) { tok.RevokedAt = atOne })
		}, "9 10"},
	} {
		for _, moment := range []string{"when the mail is out", "as the next last look begins"} {
			eachWorld(t, c.name+" "+moment, func(t *testing.T, w *world) {
				id := staff(w, today.AddDays(4))
				looks := 0
				w.sent = func(n sweep.Notice) error {
					if moment == "when the mail is out" && n.Recipient.ID == 10 {
						c.change(w, id)
					}
					return nil
				}
				w.fail = func(call string) error {
					if call == "Tokens" {
						if looks++; moment == "as the next last look begins" && looks == 5 { // to post, of the batch, for 9, 10, 11
							c.change(w, id)
						}
					}
					return nil
				}
				w.wantRun(t, sweep.Expiring, oneWorker)
				want(t, "recipients", w.recipients(), c.want)
				want(t, "posts", w.posts("expiring"), 0)
			})
		}
	}
}

// A project that cannot be read now stops the run, and the retry loses nothing.
func TestProjectUnavailable(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"Project", "MembersIn"} {
		eachWorld(t, call, func(t *testing.T, w *world) {
			id := staff(w, today.AddDays(4))
			w.fail = failing(call, fault.ErrUnavailable)
			_, err := w.run(t, sweep.Expiring)
			wantErr(t, err, fault.ErrUnavailable)
			want(t, "marks", fmt.Sprint(w.marks(id)), "[]")
			w.fail = nil
			w.wantRun(t, sweep.Expiring)
			want(t, "recipients", w.recipients(), "9 10 11 12")
		})
	}
}

// Each of the two scans tells each manager once.
func TestKindsOfSeveralRecipients(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		staff(w, today)
		w.wantRun(t, sweep.Expiring)
		w.wantRun(t, sweep.Expired)
		want(t, "recipients", w.recipients(), "9 9 10 10 11 11 12 12")
	})
}

// A run may die at any of its calls, before or after the call took effect: everybody is told, and the
// only mails that are repeated are those whose mark the dead run could not write, at most one a
// worker. This guards promise 3 where a notice has several recipients.
func TestDeathBetweenRecipients(t *testing.T) {
	const bots, people, workers = 5, 3, 2
	build := func() *world {
		w := newWorld()
		addProjects(w)
		for n := range account.ID(bots) {
			w.addBotOf(40+4*n, web, today.AddDays(int(n)))
		}
		for acct := range account.ID(people) {
			w.join(web, 9+acct, project.Maintainer)
		}
		w.add(8, today) // a person among them
		return w
	}
	scan := func(t *testing.T, w *world) (sweep.Result, error) {
		return w.run(t, sweep.Expiring, func(s *sweep.Setup) { s.Workers = workers })
	}
	dieEverywhere(t, 100, build, scan, func(t *testing.T, w *world) func() {
		repeated := w.unmarkedMails()
		inFlight := map[account.ID]bool{}
		for who := range repeated {
			inFlight[who.acct] = true
		}
		if len(inFlight) > workers {
			t.Errorf("%d mails were in flight", len(inFlight))
		}
		return func() {
			got := map[told]int{}
			for _, m := range w.mails {
				for _, tok := range m.Tokens {
					got[told{tok.ID.Owner(), m.Recipient.ID}]++
				}
			}
			want(t, "bots and people", len(got), bots*people+1)
			for who, mails := range got {
				if repeats := map[bool]int{true: 1}[repeated[who]]; mails != 1+repeats {
					t.Errorf("%v: %d mails, of which %d may be repeated", who, mails, repeats)
				}
			}
		}
	})
}

// told is who was told of whose token.
type told struct{ owner, acct account.ID }

// unmarkedMails returns the mails that are out without a mark that says so.
func (w *world) unmarkedMails() map[told]bool {
	unmarked := map[told]bool{}
	for _, m := range w.mails {
		for _, tok := range m.Tokens {
			if len(w.boxesOf(tok.ID, m.Recipient.ID)) > 0 || !slices.Contains(w.marks(tok.ID), "expiring-7") {
				unmarked[told{tok.ID.Owner(), m.Recipient.ID}] = true
			}
		}
	}
	return unmarked
}

// A run that is out of time between two recipients goes on with the next.
func TestNoTimeForTheNextRecipient(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		staff(w, today.AddDays(4))
		w.rate = func() (float64, error) { return 1, nil }
		ctx, cancel := context.WithTimeout(t.Context(), 16500*time.Millisecond) // 15 seconds are for marks
		defer cancel()
		result, err := w.scanner(sweep.Expiring, oneWorker).Run(ctx, t.Context(), sweep.Event{Time: atOne})
		wantErr(t, err, nil)
		want(t, "done", result.Done, false)
		want(t, "recipients", w.recipients(), "9 10")
		w.wantRun(t, sweep.Expiring)
		want(t, "recipients", w.recipients(), "9 10 11 12")
	})
}
