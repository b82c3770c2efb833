package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/settings"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// A desk is what a messenger works with: a world, and what only a messenger needs.
type desk struct {
	*world
	taken map[account.ID]int // mails of the day
	limit int
	held  []string
	trail []audit.Event

	children map[token.ID][]token.Child
	settings settings.Settings
}

// TokenSettings implements sweep.Settings.
func (d *desk) TokenSettings(context.Context) (set settings.Settings, err error) {
	err = d.call("TokenSettings", func() { set = d.settings })
	return set, err
}

func newDesk(w *world) *desk { return &desk{world: w, taken: map[account.ID]int{}, limit: 10} }

// TokensByID implements sweep.Reports.
func (d *desk) TokensByID(_ context.Context, ids []token.ID, each func(token.Token, error)) error {
	var found []token.Token
	err := d.call("TokensByID", func() {
		for _, id := range ids {
			if tok, there := d.tokens[digestOf(id)]; there {
				found = append(found, tok)
			}
		}
	})
	if err == nil {
		for _, tok := range found {
			each(tok, nil)
		}
	}
	return err
}

// Children implements sweep.Reports.
func (d *desk) Children(_ context.Context, first token.ID) (children []token.Child, err error) {
	err = d.call("Children", func() { children = d.children[first] })
	return children, err
}

// Newest implements sweep.Reports.
func (d *desk) Newest(_ context.Context, first token.ID) (newest token.Token, err error) {
	err = d.call("Newest", func() {
		for _, tok := range d.tokens {
			if tok.Family == first && tok.ID != first && tok.ID > newest.ID {
				newest = tok
			}
		}
	})
	if err == nil && newest.ID == 0 {
		err = fault.ErrNotFound
	}
	return newest, err
}

// Events implements sweep.Reports.
func (d *desk) Events(_ context.Context, entity audit.Entity, in audit.Period, each func(audit.Event) bool) error {
	return d.call("Events", func() {
		for _, e := range d.trail {
			if e.Entity == entity && !e.At.Before(in.From) && !e.At.After(in.To) && !each(e) {
				return
			}
		}
	})
}

// TakeMail implements sweep.Allowance.
func (d *desk) TakeMail(_ context.Context, to account.ID, day clock.Day, limit int) (number int, err error) {
	if day != today {
		panic("counted on " + day.String())
	}
	full := false
	err = d.call("TakeMail", func() {
		if full = d.taken[to] >= limit; !full {
			d.taken[to]++
		}
		number = d.taken[to]
	})
	if err == nil && full {
		return 0, sweep.ErrMailLimit
	}
	return number, err
}

// Post implements sweep.Posts.
func (d *desk) Post(_ context.Context, box sweep.Box, p sweep.Post, _ time.Time) error {
	return d.call("Post", func() {
		d.held = append(d.held, fmt.Sprintf("%s %s: %s %s", box, p.To, d.tokens[p.Digest].Name, p.Kind))
	})
}

func (d *desk) parts() sweep.MessengerParts {
	return sweep.MessengerParts{
		Records: d, Reports: d, Projects: d, Settings: d, Allowance: d, DailyMails: d.limit, Posts: d, Mailer: d, Clock: d, Workers: 2, Malformed: func(error) {},
	}
}

func (d *desk) tell(t *testing.T, ids ...token.ID) (int, error) {
	t.Helper()
	m, err := sweep.NewMessenger(d.parts())
	if err != nil {
		t.Fatal(err)
	}
	return m.Leaked(t.Context(), ids)
}

func TestNoMessengerIsMadeWithoutADependency(t *testing.T) {
	t.Parallel()
	whole := newDesk(newWorld()).parts()
	v := reflect.ValueOf(whole)
	for i := range v.NumField() {
		cut := reflect.New(v.Type()).Elem()
		cut.Set(v)
		cut.Field(i).SetZero()
		_, err := sweep.NewMessenger(cut.Interface().(sweep.MessengerParts))
		wantErr(t, err, sweep.ErrSetup)
	}
}

// leaked adds a token of an account that a report has revoked.
func (w *world) leaked(owner account.ID, changes ...func(*token.Token)) token.ID {
	report := func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonLeak }
	return w.add(owner, clock.Day{}, append([]func(*token.Token){report}, changes...)...)
}

func ofTheProject(kind token.Kind, id project.ID) func(*token.Token) {
	return func(tok *token.Token) { tok.Kind, tok.Project = kind, id }
}

// sentTo lists the mails: to whom, about what, of which project.
func (w *world) sentTo() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, n := range w.mails {
		line := fmt.Sprintf("%s:", n.Recipient.ID)
		for _, tok := range n.Tokens {
			line += " " + tok.Name
			if tok.Project.ID != 0 {
				line += fmt.Sprintf(" of %s %s", tok.Project.Kind, tok.Project.FullPath)
			}
			if tok.Kind != sweep.Leaked {
				line += fmt.Sprintf(" (%s)", tok.Kind)
			}
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

func named(name string) func(*token.Token) { return func(tok *token.Token) { tok.Name = name } }

// Everybody who owns or looks after what has leaked gets one mail about it, and
// nobody else does.
func TestLeaksAreAnnounced(t *testing.T) {
	t.Parallel()
	impersonation := func(by account.ID) func(*token.Token) {
		return func(tok *token.Token) { tok.Kind, tok.CreatedBy = token.Impersonation, by }
	}
	for _, test := range []struct {
		name    string
		arrange func(w *world) []token.ID
		want    []string
	}{
		{"an owner, of all of theirs", func(w *world) []token.ID {
			return []token.ID{w.leaked(5, named("b")), w.leaked(6, named("c")), w.leaked(5, named("a"))}
		}, []string{"5: b a", "6: c"}},
		{"nobody of nothing", func(*world) []token.ID { return nil }, nil},
		{"an owner who was told already", func(w *world) []token.ID {
			return []token.ID{w.leaked(5, named("old"), func(tok *token.Token) { tok.Notices = []string{"expiring/7", "leaked"} }), w.leaked(5, named("new"))}
		}, []string{"5: new"}},
		{"whoever made an impersonation token, and not its owner", func(w *world) []token.ID {
			w.addAccount(9)
			return []token.ID{w.leaked(5, named("of 5"), impersonation(9)), w.leaked(9, named("own")), w.leaked(6, named("of nobody"), impersonation(0))}
		}, []string{"9: of 5 own"}},
		{"the managers of a project whose bot is gone, once for all its bots", func(w *world) []token.ID {
			addProjects(w)
			w.join(web, 7, project.Maintainer)
			w.join(web, 8, project.Developer)
			w.join(acme, 9, project.Owner)
			ids := []token.ID{w.leaked(40, named("x"), ofTheProject(token.Project, web)), w.leaked(41, named("y"), ofTheProject(token.Project, web)), w.leaked(7, named("own"))}
			delete(w.accts, 40)
			delete(w.accts, 41)
			return ids
		}, []string{"7: own x of project acme/apps/web y of project acme/apps/web", "9: x of project acme/apps/web y of project acme/apps/web"}},
		{"a person with own tokens and those of two projects, once", func(w *world) []token.ID {
			addProjects(w)
			w.join(web, 7, project.Maintainer)
			w.join(own, 7, project.Maintainer)
			return []token.ID{
				w.leaked(40, named("x"), ofTheProject(token.Project, web)), w.leaked(7, named("own")), w.leaked(41, named("z"), ofTheProject(token.Project, own)),
			}
		}, []string{"7: own x of project acme/apps/web z of project user70/tools"}},
		{"nobody of a token that nobody reported", func(w *world) []token.ID {
			return []token.ID{
				w.add(5, day("2031-06-01")), w.add(5, day("2031-06-01"), func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonRequest }), 99<<22 + 1,
			}
		}, nil},
		{"an owner of a token that had been rotated", func(w *world) []token.ID {
			return []token.ID{w.leaked(5, named("r"), func(tok *token.Token) { tok.RevokedReason = token.ReasonRotated }), w.leaked(5, named("l"))}
		}, []string{"5: l r (replaced)"}},
		{"the owners of a group", func(w *world) []token.ID {
			addProjects(w)
			w.join(apps, 7, project.Maintainer)
			w.join(apps, 8, project.Owner)
			return []token.ID{w.leaked(40, named("x"), ofTheProject(token.Group, apps))}
		}, []string{"8: x of group acme/apps"}},
		{"nobody of a project that nobody manages, or that is gone", func(w *world) []token.ID {
			addProjects(w)
			delete(w.projects, own)
			return []token.ID{w.leaked(40, ofTheProject(token.Project, web)), w.leaked(41, ofTheProject(token.Project, own))}
		}, nil},
		{"nobody who is blocked, gone or without an address", func(w *world) []token.ID {
			w.addAccount(5, func(u *account.Account) { u.State = account.Blocked })
			w.addAccount(6, func(u *account.Account) { u.State = account.Deactivated })
			w.addAccount(7, func(u *account.Account) { u.Email = "" })
			ids := []token.ID{w.leaked(5), w.leaked(6), w.leaked(7), w.leaked(8)}
			delete(w.accts, 8)
			return ids
		}, nil},
	} {
		eachWorld(t, test.name, func(t *testing.T, w *world) {
			d := newDesk(w)
			ids := test.arrange(w)
			for range 2 { // a second call tells nothing twice
				mails, err := d.tell(t, ids...)
				if err != nil {
					t.Error(err)
				}
				if sent := w.sentTo(); mails != 0 && mails != len(test.want) || !slices.Equal(sent, test.want) {
					t.Errorf("sent %d: %v, want %v", mails, sent, test.want)
				}
			}
			for _, n := range w.mails {
				if n.Kind != sweep.Leaked || n.Last || n.Today.String() != "2031-05-07" || n.Total != len(n.Tokens) {
					t.Errorf("notice %+v", n)
				}
			}
		})
	}
}

// Breaks if people are not told of reuse, if they are told of other ends, or if a mail calls working what reuse is just
// about to end.
func TestReuseIsAnnounced(t *testing.T) {
	t.Parallel()
	eachWorld(t, "reuse", func(t *testing.T, w *world) {
		addProjects(w)
		w.join(web, 7, project.Maintainer)
		w.join(web, 9, project.Maintainer)
		d := newDesk(w)
		ended := func(reason token.Reason) func(*token.Token) {
			return func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = atOne, reason }
		}
		reused := ended(token.ReasonReuse)
		id := w.add(5, day("2031-06-01"), named("newest"), reused, func(tok *token.Token) { tok.Previous, tok.WorksUntil = 5<<22+1, time.Time{} })
		d.children = map[token.ID][]token.Child{}
		child := func(of token.ID, name string, own bool) token.ID {
			c := w.add(5, day("2031-06-01"), named(name))
			d.children[of] = append(d.children[of], token.Child{Family: c, Digest: digestOf(c), Kind: token.Personal, Own: own})
			return c
		}
		mine := child(id, "mine", true)
		child(mine, "mine too", true)
		child(mine, "theirs", false)
		child(child(id, "for others", false), "of that", true)
		ids := []token.ID{
			id, w.add(40, day("2031-06-01"), named("x"), reused, ofTheProject(token.Project, web), func(tok *token.Token) { tok.Notices = []string{"leaked@7"} }),
			w.add(6, day("2031-06-01"), named("asked"), ended(token.ReasonRequest)),
			w.add(6, day("2031-06-01"), named("found"), ended(token.ReasonLeak)), w.add(6, day("2031-06-01"), named("told"), reused, func(tok *token.Token) { tok.Notices = []string{"reused"} }),
			w.add(6, day("2031-06-01"), named("works")),
		}
		m, err := sweep.NewMessenger(d.parts())
		wantErr(t, err, nil)
		for range 2 { // a second call tells nothing twice
			_, err := m.Reused(t.Context(), ids)
			wantErr(t, err, nil)
			want(t, "sent", strings.Join(w.sentTo(), ", "), "5: newest (reused), 7: x of project acme/apps/web (reused), 9: x of project acme/apps/web (reused)")
		}
		for _, n := range w.mails {
			if n.Kind != sweep.Reused || n.Tokens[0].Rotation != nil {
				t.Errorf("notice %+v", n)
			}
			if n.Recipient.ID != 5 {
				continue
			}
			for what, list := range map[string][]token.ID{"mine, mine too": n.Tokens[0].Made.Ended, "for others, theirs, of that": n.Tokens[0].Made.Working} {
				var names []string
				for _, id := range list {
					names = append(names, w.tokens[digestOf(id)].Name)
				}
				want(t, "made", strings.Join(names, ", "), what)
			}
		}
		mails, err := m.Leaked(t.Context(), ids[2:])
		wantErr(t, err, nil)
		want(t, "mails about leaks", mails, 1) // a mark about reuse says nothing about a leak
	})
}

// Breaks if a mail calls a token working that has ended, by its second, its day, or with all others, or the reverse.
func TestWhatALeakedTokenMadeIsCalledWorkingOnlyWhileItWorks(t *testing.T) {
	t.Parallel()
	for ignored, working := range map[bool]string{false: "brief lasting", true: "brief lasting over"} {
		eachWorld(t, fmt.Sprint("expired tokens work: ", ignored), func(t *testing.T, w *world) {
			d := newDesk(w)
			d.settings.ExpiryIgnored = ignored
			now := d.Now()
			id := w.leaked(5)
			add := func(name string, changes ...func(*token.Token)) {
				child := w.add(5, day("2031-06-01"), append(changes, named(name))...)
				w.change(id, func(tok *token.Token) { tok.Made = true })
				if d.children == nil {
					d.children = map[token.ID][]token.Child{}
				}
				d.children[id] = append(d.children[id], token.Child{Family: child, Digest: digestOf(child), Kind: token.Personal})
			}
			life := func(left time.Duration) func(*token.Token) {
				return func(tok *token.Token) {
					tok.CreatedAt, tok.Life = now.Add(left-time.Hour), time.Hour
					tok.ExpiresOn = token.FirstDayFrom(tok.ExpiresAt())
				}
			}
			add("in bulk")
			w.changeAccount(5, func(u *account.Account) { u.TokensValidFrom = u.NextNumber })
			add("dead", life(0))
			add("brief", life(time.Second))
			add("lasting")
			add("over", func(tok *token.Token) { tok.ExpiresOn = today })
			add("revoked", func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = now, token.ReasonParent })
			_, err := d.tell(t, id)
			wantErr(t, err, nil)
			var names []string
			for _, n := range w.mails[0].Tokens[0].Made.Working {
				names = append(names, w.tokens[digestOf(n)].Name)
			}
			slices.Sort(names)
			want(t, "working", strings.Join(names, " "), working)
			want(t, "ended", len(w.mails[0].Tokens[0].Made.Ended), 6-len(names))
		})
	}
}

func TestAMailAboutManyLeaksListsSome(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d := newDesk(w)
		var ids []token.ID
		for range sweep.MaxListed + 1 {
			ids = append(ids, w.leaked(5))
		}
		mails, err := d.tell(t, ids...)
		if n := w.mails[0]; err != nil || mails != 1 || len(n.Tokens) != sweep.MaxListed || n.Total != sweep.MaxListed+1 {
			t.Errorf("%d mails, one of %d tokens that counts %d, %v", mails, len(n.Tokens), n.Total, err)
		}
		for _, id := range ids {
			if !slices.Contains(w.marks(id), "leaked") {
				t.Errorf("token %s is not marked", id)
			}
		}
	})
}

// What fails keeps no other mail back, and the same report made again makes up
// for it.
func TestLeaksThatCannotBeAnnounced(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, test := range []struct {
		name  string
		first error // of the first mail to account 5
		fails bool
		again []string
	}{
		{"an error of no known kind", broken, true, []string{"5: x", "6: y"}},
		{"a sender that is not verified", sweep.ErrSender, true, []string{"5: x", "6: y"}},
		{"a quota that is used up", sweep.ErrQuota, true, []string{"5: x", "6: y"}},
		{"a dead address is finished work", sweep.ErrRejected, false, []string{"6: y"}},
	} {
		eachWorld(t, test.name, func(t *testing.T, w *world) {
			d, failing := newDesk(w), true
			w.sending = func(n sweep.Notice) error {
				if failing && n.Recipient.ID == 5 {
					return test.first
				}
				return nil
			}
			ids := []token.ID{w.leaked(5, named("x")), w.leaked(6, named("y"))}
			mails, err := d.tell(t, ids...)
			if mails != 1 || (err != nil) != test.fails || test.fails && !errors.Is(err, test.first) {
				t.Errorf("%d mails, %v", mails, err)
			}
			if err != nil && strings.Contains(err.Error(), "@") {
				t.Errorf("the error has an address: %v", err)
			}
			failing = false
			if _, err := d.tell(t, ids...); err != nil || !slices.Equal(w.sentTo(), test.again) {
				t.Errorf("then sent %v, %v, want %v", w.sentTo(), err, test.again)
			}
		})
	}
	for _, call := range []string{"TokensByID", "Owners", "Project", "MembersIn", "Newest", "Events", "TakeMail", "Mark"} {
		eachWorld(t, call+" fails", func(t *testing.T, w *world) {
			d := newDesk(w)
			addProjects(w)
			w.join(web, 7, project.Maintainer)
			ids := []token.ID{
				w.leaked(40, named("x"), ofTheProject(token.Project, web)),
				w.leaked(40, named("r"), ofTheProject(token.Project, web), func(tok *token.Token) { tok.RevokedReason = token.ReasonRotated }),
			}
			w.fail = failing(call, fault.ErrUnavailable)
			if _, err := d.tell(t, ids...); !errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			w.revive()
			if _, err := d.tell(t, ids...); err != nil || len(w.sentTo()) == 0 {
				t.Errorf("then sent %v, %v", w.sentTo(), err)
			}
		})
	}
}

// An account in good standing may still send only so fast.
func TestLeaksAreAnnouncedAsFastAsTheAccountMaySend(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		refused int
		mails   int
		waits   time.Duration
	}{
		{"at once", 0, 1, 0},
		{"after one refusal", 1, 1, time.Second},
		{"after four", 4, 1, 15 * time.Second},
		{"not after five", 5, 0, 15 * time.Second},
	} {
		eachWorld(t, test.name, func(t *testing.T, w *world) {
			left := test.refused
			w.sending = func(sweep.Notice) error {
				if left > 0 {
					left--
					return sweep.ErrThrottled
				}
				return nil
			}
			start := time.Now()
			mails, err := newDesk(w).tell(t, w.leaked(5))
			if mails != test.mails || errors.Is(err, sweep.ErrThrottled) != (test.mails == 0) || time.Since(start) != test.waits {
				t.Errorf("%d mails after %v, %v", mails, time.Since(start), err)
			}
		})
	}
}

// Breaks if one person whose mail fails makes everybody else get theirs again and again.
func TestAFailingRecipientRepeatsNothingForTheOthers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d := newDesk(w)
		addProjects(w)
		for _, id := range []account.ID{7, 8, 9} {
			w.join(web, id, project.Maintainer)
		}
		broken := errors.New("connection reset")
		failing := true
		w.sending = func(n sweep.Notice) error {
			if failing && n.Recipient.ID == 8 {
				return broken
			}
			return nil
		}
		ids := []token.ID{w.leaked(40, named("x"), ofTheProject(token.Project, web)), w.leaked(8, named("own"))}
		want1 := []string{"7: x of project acme/apps/web", "9: x of project acme/apps/web"}
		for range 3 {
			_, err := d.tell(t, ids...)
			wantErr(t, err, broken)
			if sent := w.sentTo(); !slices.Equal(sent, want1) {
				t.Fatalf("sent %v, want %v", sent, want1)
			}
		}
		if marks := w.marks(ids[0]); slices.Contains(marks, "leaked") || len(marks) != 2 {
			t.Errorf("marks %v", marks)
		}
		failing = false
		mails, err := d.tell(t, ids...)
		wantErr(t, err, nil)
		want(t, "mails", mails, 1)
		want(t, "all", fmt.Sprint(w.sentTo()), fmt.Sprint([]string{want1[0], "8: own x of project acme/apps/web", want1[1]}))
		for _, id := range ids {
			if !slices.Contains(w.marks(id), "leaked") {
				t.Errorf("token %s is not marked", id)
			}
		}
	})
}

// Breaks if a stranger who makes somebody a maintainer can have Latchkey mail that person without end,
// or if that holds a mail about the person's own tokens back.
func TestMailsAboutTokensOfProjectsHaveADailyLimit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d := newDesk(w)
		d.limit = 3
		addProjects(w)
		w.join(web, 7, project.Maintainer)
		for n := range 5 {
			bot := w.leaked(40, named(fmt.Sprintf("x%d", n)), ofTheProject(token.Project, web))
			ids := []token.ID{bot, w.leaked(7, named(fmt.Sprintf("own%d", n)))}
			mails, err := d.tell(t, ids...)
			wantErr(t, err, nil)
			want(t, "mails", mails, 1)
			for _, id := range ids {
				if !slices.Contains(w.marks(id), "leaked") {
					t.Errorf("token %s is not marked", id)
				}
			}
			if last := w.mails[n].Last; last != (n == 2) {
				t.Errorf("mail %d is the last: %t", n, last)
			}
		}
		only := w.leaked(40, named("only"), ofTheProject(token.Project, web))
		mails, err := d.tell(t, only)
		wantErr(t, err, nil)
		want(t, "mails about tokens of projects alone", mails, 0)
		const of = " of project acme/apps/web"
		want(t, "sent", strings.Join(w.sentTo(), "; "), "7: own0 x0"+of+"; 7: own1 x1"+of+"; 7: own2 x2"+of+"; 7: own3; 7: own4")
		want(t, "held back", strings.Join(d.held, "; "), "held 7: x3 leaked; held 7: x4 leaked; held 7: only leaked")
	})
}

// The mail about a rotated token says who rotated it, when, from where, and what works in its place.
// Breaks if somebody who found a token and rotated it stays unknown, or if people learn the addresses
// of others.
func TestTheMailSaysWhoRotatedAReportedToken(t *testing.T) {
	t.Parallel()
	rotatedAt := atOne.Add(-time.Hour)
	for _, test := range []struct {
		name   string
		change func(d *desk, old, next *token.Token, e *audit.Event)
		want   sweep.Rotation // with the number of the newest token
	}{
		{"with the token itself", func(_ *desk, old, _ *token.Token, e *audit.Event) { e.Presented = old.ID },
			sweep.Rotation{At: rotatedAt, By: "user5", ByID: 5, Itself: true, From: "192.0.2.7", Newest: 2}},
		{"with another of the owner's", func(*desk, *token.Token, *token.Token, *audit.Event) {},
			sweep.Rotation{At: rotatedAt, By: "user5", ByID: 5, From: "192.0.2.7", Newest: 2}},
		{"by somebody else", func(d *desk, _, _ *token.Token, e *audit.Event) {
			d.addAccount(9)
			e.Author = 9
		}, sweep.Rotation{At: rotatedAt, By: "user9", ByID: 9, Newest: 2}},
		{"by somebody who is gone", func(_ *desk, _, _ *token.Token, e *audit.Event) { e.Author = 9 },
			sweep.Rotation{At: rotatedAt, ByID: 9, Newest: 2}},
		{"longer ago than the trail goes back", func(_ *desk, _, _ *token.Token, e *audit.Event) { e.Previous = 0 },
			sweep.Rotation{At: rotatedAt, Newest: 2}},
		{"and its successor has ended", func(_ *desk, _, next *token.Token, _ *audit.Event) {
			next.RevokedAt, next.RevokedReason = atOne, token.ReasonRequest
		}, sweep.Rotation{At: rotatedAt, By: "user5", ByID: 5, From: "192.0.2.7"}},
		{"with an overlap, in which the report ended it", func(_ *desk, old, next *token.Token, _ *audit.Event) {
			old.RevokedReason, old.RevokedAt, old.WorksUntil = token.ReasonLeak, atOne, atOne.Add(time.Hour)
		}, sweep.Rotation{At: rotatedAt, By: "user5", ByID: 5, From: "192.0.2.7", Newest: 2}},
		{"with an overlap that is over", func(_ *desk, old, _ *token.Token, _ *audit.Event) {
			old.RevokedReason, old.RevokedAt, old.WorksUntil = "", time.Time{}, atOne.Add(-time.Minute)
		}, sweep.Rotation{At: rotatedAt, By: "user5", ByID: 5, From: "192.0.2.7", Newest: 2}},
		{"with an overlap, too long ago in its chain to look for", func(_ *desk, old, next *token.Token, _ *audit.Event) {
			old.RevokedReason, old.RevokedAt, old.WorksUntil = "", time.Time{}, atOne.Add(-time.Minute)
			old.SupersededAt, next.Previous = rotatedAt, 0
		}, sweep.Rotation{At: rotatedAt, By: "user5", ByID: 5, From: "192.0.2.7", Newest: 2}},
	} {
		eachWorld(t, test.name, func(t *testing.T, w *world) {
			d := newDesk(w)
			w.addAccount(5)
			old := w.add(5, day("2031-06-01"), named("old"))
			next := w.add(5, day("2031-06-01"), named("next"))
			e := audit.Event{
				At: rotatedAt, Name: audit.TokenRotated, Entity: audit.AccountEntity(5), Token: next, Previous: old,
				Origin: audit.Origin{Author: 5, Address: "192.0.2.7", Source: audit.Self},
			}
			o, n := w.tokens[digestOf(old)], w.tokens[digestOf(next)]
			o.RevokedAt, o.RevokedReason = rotatedAt, token.ReasonRotated
			n.Family, n.Previous, n.CreatedAt = old, old, rotatedAt
			test.change(d, &o, &n, &e)
			w.tokens[digestOf(old)], w.tokens[digestOf(next)] = o, n
			d.trail = []audit.Event{{At: rotatedAt, Name: audit.TokenRotated, Entity: audit.AccountEntity(5), Previous: 1}, e}
			mails, err := d.tell(t, old)
			wantErr(t, err, nil)
			want(t, "mails", mails, 1)
			wanted := test.want
			if wanted.Newest != 0 {
				wanted.Newest = next
			}
			if got := w.mails[0].Tokens[0].Rotation; got == nil || *got != wanted {
				t.Errorf("%+v, want %+v", got, wanted)
			}
		})
	}
}

// Time that runs out leaves the rest to another delivery.
func TestAMessengerStopsInTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d := newDesk(w)
		ids := []token.ID{w.leaked(5), w.leaked(6), w.leaked(7), w.leaked(8)}
		ctx, cancel := context.WithCancel(t.Context())
		w.sent = func(sweep.Notice) error {
			cancel()
			return nil
		}
		parts := d.parts()
		parts.Workers = 1
		m, err := sweep.NewMessenger(parts)
		wantErr(t, err, nil)
		mails, err := m.Leaked(ctx, ids)
		wantErr(t, err, context.Canceled)
		want(t, "mails", mails, 1)
		w.sent = nil
		mails, err = d.tell(t, ids...)
		wantErr(t, err, nil)
		want(t, "mails of the next call", mails, 3)
	})
}
