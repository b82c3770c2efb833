package scantest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

const (
	projectBots = 3
	groupBots   = 1
)

// A crew is who and what is in a botNight's table.
type crew struct {
	bots []token.Token
	// managed is how many of the bots each address is told about.
	managed map[string]int
}

// A botNight is one scan of a table in which bots' tokens are due only, and its cloud.
type botNight struct {
	*night
	crew
	// twice are mails that each address may have got once more.
	twice map[string]int
}

var botNights = map[string]*template[crew]{"expiring": {}, "expired": {}}

func newBotNight(t *testing.T, function string) *botNight {
	t.Helper()
	on, mark := clock.DayOf(scanAt).AddDays(3), "expiring-7"
	if function == "expired" {
		on, mark = clock.DayOf(scanAt), "expired"
	}
	filled, crew := botNights[function].copy(t, func(f *storetest.Fixture) crew {
		finishEarlier(t, f, function)
		return newCrew(t, f, on)
	})
	return &botNight{night: &night{table: filled, cloud: newCloud(t, function, filled), mark: mark}, crew: crew, twice: map[string]int{}}
}

// newCrew fills a table with a group, a project in it, their bots, whose tokens end on a day, and people
// of all sorts.
func newCrew(t *testing.T, f *storetest.Fixture, on clock.Day) crew {
	t.Helper()
	c := crew{managed: map[string]int{}}
	group := project.Project{ID: 1, Kind: project.KindGroup, Name: "Acme", Path: "acme", FullPath: "acme"}
	web := project.Project{ID: 2, Kind: project.KindProject, Name: "Web", Path: "web", FullPath: "acme/web", Ancestors: []project.ID{1}}
	storetest.PutProject(t, f.Client, f.Name, group)
	storetest.PutProject(t, f.Client, f.Name, web)
	member := func(res project.ID, level project.Level, bots int) account.Account {
		u := f.AddAccount(t)
		storetest.PutMember(t, f.Client, f.Name, project.Member{Project: res, Account: u.ID, Level: level})
		c.managed[u.Email] = bots
		return u
	}
	for range 3 {
		member(2, project.Maintainer, projectBots)
	}
	member(1, project.Owner, projectBots+groupBots)
	member(1, project.Maintainer, projectBots)
	member(2, project.Developer, 0)
	blocked := member(2, project.Owner, 0)
	if err := f.Store.SetAccountState(t.Context(), blocked.ID, account.Active, account.Blocked, storetest.Event); err != nil {
		t.Fatal(err)
	}
	for i := range projectBots + groupBots {
		res := web
		if i >= projectBots {
			res = group
		}
		c.bots = append(c.bots, f.PutBot(t, res, on))
	}
	return c
}

// marks returns the addresses whose mail is certainly out, by the posts that are left, and how many
// tokens are not posted to everybody yet.
func (n *botNight) marks(t *testing.T) (known map[string]int, open int) {
	t.Helper()
	known = map[string]int{}
	for _, bot := range n.bots {
		tok, err := n.store.TokenByDigest(t.Context(), bot.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(tok.Notices, n.mark) {
			open++
		}
	}
	untold := n.untold(t, n.function)
	for id := account.ID(1); int(id) <= len(n.managed); id++ {
		u, err := n.store.Account(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if n.managed[u.Email] > 0 && untold[id] == 0 && open == 0 {
			known[u.Email] = 1
		}
	}
	return known, open
}

// untilTold invokes until the scan is done, and notes at each death which mails are out without a
// mark: those may be repeated, and no others.
func (n *botNight) untilTold(t *testing.T, at time.Time) (deaths int) {
	t.Helper()
	for range 20 {
		r := n.invoke(t, at)
		switch {
		case r.killed:
			deaths++
			known, _ := n.marks(t)
			inFlight := 0
			for address := range n.managed {
				if out := count(n.sent(), address) - n.twice[address] - known[address]; out > 0 {
					n.twice[address] += out
					inFlight += out
				}
			}
			if inFlight > workers {
				t.Errorf("%d mails were in flight, with %d workers", inFlight, workers)
			}
			n.endLeases(t, n.function, n.function+"-posts")
		case r.failed:
			t.Fatalf("the scan failed: %s", r.body)
		case done(t, r):
			return deaths
		}
	}
	t.Fatal("the scan does not end")
	return deaths
}

func count(all []string, one string) (n int) {
	for _, other := range all {
		if other == one {
			n++
		}
	}
	return n
}

// check compares the mails with what they should be, lets the next night's scan run, and sees that it
// tells nobody again and that the bots are gone then, and not before.
func (n *botNight) check(t *testing.T) {
	t.Helper()
	if _, open := n.marks(t); open > 0 {
		t.Errorf("%d tokens were not posted", open)
	}
	if untold := n.untold(t, n.function); len(untold) > 0 {
		t.Errorf("people were not told: %v", untold)
	}
	sent := n.sent()
	for address, bots := range n.managed {
		if got := count(sent, address); got != min(bots, 1)+n.twice[address] {
			t.Errorf("a manager of %d bots got %d mails, of which %d may be repeated", bots, got, n.twice[address])
		}
	}
	n.wantReasons(t, "")
	if n.untilTold(t, scanAt); n.function == "expired" {
		n.wantReasons(t, "")
	}
	n.untilTold(t, scanAt.Add(retentionDays*24*time.Hour))
	if again := len(n.sent()) - len(sent); again != 0 {
		t.Errorf("%d mails were sent again", again)
	}
	if n.function == "expired" {
		n.wantReasons(t, token.ReasonExpired)
	} else {
		n.wantReasons(t, "")
	}
	log := n.log.String()
	for _, made := range strings.Split(n.secrets, ", ") {
		if strings.Contains(log, made) {
			t.Error("the log shows an address, a bearer or a digest")
		}
	}
}

// wantReasons fails the test unless all bots' tokens were ended for a reason, or not.
func (n *botNight) wantReasons(t *testing.T, reason token.Reason) {
	t.Helper()
	for _, bot := range n.bots {
		tok, err := n.store.TokenByDigest(t.Context(), bot.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if tok.RevokedReason != reason {
			t.Errorf("token %s was ended for %q, want %q", tok.ID, tok.RevokedReason, reason)
		}
	}
}

// A night without a death, which also says what there is to die at.
func TestQuietNightOfBots(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"expiring", "expired"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			n := newBotNight(t, function)
			if deaths := n.untilTold(t, scanAt); deaths > 0 {
				t.Errorf("%d deaths", deaths)
			}
			t.Logf("%d requests: %v", n.seen(), n.steps)
			n.check(t)
		})
	}
}

// The process is killed at each kind of request between and behind the mails of one notice. This
// guards promise 3 of the architecture where several people are told of a token.
func TestDeathBetweenRecipients(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"expiring", "expired"} {
		for _, step := range []string{
			"read the resource", "read members", "read records", "read profiles", "post", "mark", "query posts", "count the mail", "SendEmail", "unpost", "save",
		} {
			for _, after := range []bool{false, true} {
				for _, nth := range []int{1, 4} {
					if (step == "save" || step == "query posts") && nth > 1 {
						continue
					}
					t.Run(fmt.Sprintf("%s: %s %d, after it: %v", function, step, nth, after), func(t *testing.T) {
						t.Parallel()
						n := newBotNight(t, function)
						n.killAt(after, func(s string, _, ofKind int) bool { return s == step && ofKind == nth })
						if deaths := n.untilTold(t, scanAt); deaths != 1 {
							t.Errorf("%d deaths", deaths)
						}
						n.check(t)
					})
				}
			}
		}
	}
}

// The process is killed while it removes bots: the next call removes the others.
func TestDeathBetweenRemovals(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"query ended bots", "revoke", "set finished"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after it: %v", step, after), func(t *testing.T) {
				t.Parallel()
				n := newBotNight(t, "expired")
				n.untilTold(t, scanAt)
				seen := n.steps[step] // the process is idle
				n.killAt(after, func(s string, _, ofKind int) bool { return s == step && ofKind == seen+2 })
				if deaths := n.untilTold(t, scanAt.Add(24*time.Hour)); deaths != 1 {
					t.Errorf("%d deaths", deaths)
				}
				n.wantReasons(t, token.ReasonExpired)
				n.wantEvents(t)
			})
		}
	}
}

// wantEvents fails the test unless the removal of each bot is one event, of nobody's.
func (n *botNight) wantEvents(t *testing.T) {
	t.Helper()
	for _, bot := range n.bots {
		var events []audit.Event
		err := n.store.Events(t.Context(), audit.TokenEntity(bot), audit.Period{From: scanAt, To: scanAt.AddDate(1, 0, 0)}, func(e audit.Event) bool {
			if e.Token == bot.ID {
				events = append(events, e)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != 1 || events[0].Name != audit.NameOf(bot.Kind, audit.Revoked) || events[0].Source != audit.Policy || events[0].Author != 0 {
			t.Errorf("token %s: events %+v", bot.ID, events)
		}
	}
}
