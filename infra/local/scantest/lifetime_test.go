package scantest

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/settings"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

const limitDays = 30

// runAt is when the settings were changed so that a lifetime run was planned.
var runAt = now.Add(-time.Hour)

// An enforcement is one lifetime run with its table, before its cloud. Of each owner's tokens the first
// `beyond` live longer than the limit, the first of them by a day, and the next one not by a day.
type enforcement struct {
	*table
	*cloud
	owners   int
	beyond   int
	repeated map[account.ID]int
}

func newEnforcement(t *testing.T, from *template[struct{}], owners, tokensEach, beyond int) *enforcement {
	t.Helper()
	last := clock.DayOf(runAt).AddDays(limitDays)
	filled, _ := from.copy(t, func(f *storetest.Fixture) (none struct{}) {
		load(t, f, storetest.Crowd{Owners: owners, TokensEach: tokensEach, First: 1, On: func(_ account.ID, n int) clock.Day {
			if n < beyond {
				return last.AddDays(1 + n*100)
			}
			return last.AddDays(beyond - n)
		}}, true)
		err := f.Store.SaveSettings(t.Context(), settings.Application{
			Settings: settings.Settings{LifetimeDays: limitDays, LastUsedInterval: time.Hour, RetentionDays: 90},
			Run:      settings.Run{At: runAt}, Revision: 1,
		}, storetest.Events)
		if err != nil {
			t.Fatal(err)
		}
		return none
	})
	return &enforcement{table: filled, cloud: newCloud(t, "lifetime", filled), owners: owners, beyond: beyond, repeated: map[account.ID]int{}}
}

// look returns how many tokens were revoked by the run, how many of them and of the others were to be,
// and whose revoked tokens are not all marked, or are posted and not mailed.
func (e *enforcement) look(t *testing.T) (revoked, wrong int, unmarked map[account.ID]bool) {
	t.Helper()
	unmarked = map[account.ID]bool{}
	for owner := range e.untold(t, "lifetime") {
		unmarked[owner] = true
	}
	err := e.store.EveryToken(t.Context(), func(tok token.Token, _ account.Account) {
		ended := tok.RevokedReason == token.ReasonPolicy
		if ended {
			revoked++
		}
		if ended != (tok.ID.Number() <= int64(e.beyond)) {
			wrong++
		}
		if ended && !slices.Contains(tok.Notices, string(sweep.Lifetime)) {
			unmarked[tok.Owner] = true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return revoked, wrong, unmarked
}

// run invokes like the state machine, which comes again when the table does not answer in time: the
// machine that tests run on may be busy with others.
func (e *enforcement) run(t *testing.T, at time.Time) result {
	t.Helper()
	const retries = 8
	for again := 0; ; again++ {
		r := e.invoke(t, at)
		if !r.failed || again == retries || !strings.Contains(string(r.body), "TableUnavailable") {
			return r
		}
	}
}

// untilDone invokes until the run is done, and says how often the process was killed.
func (e *enforcement) untilDone(t *testing.T, at time.Time) (deaths int) {
	t.Helper()
	for range 20 {
		before := len(e.sent())
		r := e.run(t, at)
		switch {
		case r.killed:
			deaths++
			_, _, unmarked := e.look(t)
			inFlight := 0
			for owner := range unmarked {
				if slices.Contains(e.sent()[before:], addressOf(owner)) {
					e.repeated[owner]++
					inFlight++
				}
			}
			if inFlight > workers {
				t.Errorf("%d mails were in flight, with %d workers", inFlight, workers)
			}
			e.endLeases(t, "lifetime", "lifetime-posts", "lifetime-mails")
		case r.failed:
			t.Fatalf("the run failed: %s", r.body)
		case done(t, r):
			return deaths
		}
	}
	t.Fatal("the run does not end")
	return deaths
}

// check compares table and mails with what they should be.
func (e *enforcement) check(t *testing.T) {
	t.Helper()
	revoked, wrong, unmarked := e.look(t)
	if revoked != e.beyond*e.owners || wrong > 0 {
		t.Errorf("%d tokens were revoked, want %d; %d are wrong", revoked, e.beyond*e.owners, wrong)
	}
	if len(unmarked) > 0 {
		t.Errorf("%d owners were not told", len(unmarked))
	}
	got := map[string]int{}
	for _, address := range e.sent() {
		got[address]++
	}
	for i := range e.owners {
		owner := account.ID(1 + i)
		if wanted := 1 + e.repeated[owner]; got[addressOf(owner)] != wanted {
			t.Errorf("owner %s got %d mails, want %d", owner, got[addressOf(owner)], wanted)
		}
	}
	if log := e.log.String(); strings.Contains(log, "@example.com") || strings.Contains(log, "loaded-digest") {
		t.Error("the log shows an address or a digest")
	}
}

var small template[struct{}]

// A run without a death.
func TestQuietLifetimeRun(t *testing.T) {
	t.Parallel()
	e := newEnforcement(t, &small, owners, 4, 2)
	if deaths := e.untilDone(t, runAt); deaths > 0 {
		t.Errorf("%d deaths", deaths)
	}
	e.check(t)
	e.wantNothingNew(t)
}

// The process is killed at each kind of request, before it takes effect and after.
func TestLifetimeDeathAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		"GetItem", "acquire", "read profiles", "query the index", "read records", "revoke", "save", "set finished",
		"GetAccount", "SendEmail", "mark", "post", "query posts", "unpost",
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after it: %t", step, after), func(t *testing.T) {
				t.Parallel()
				e := newEnforcement(t, &small, owners, 4, 2)
				nth := 1
				switch step {
				case "SendEmail", "mark", "read records", "query the index", "revoke", "post", "unpost":
					nth = 7 // in the middle
				}
				e.killAt(after, func(s string, _, ofKind int) bool { return s == step && ofKind == nth })
				if deaths := e.untilDone(t, runAt); deaths != 1 {
					t.Errorf("%d deaths, of steps %v", deaths, e.steps)
				}
				e.check(t)
				e.wantNothingNew(t)
			})
		}
	}
}

// wantNothingNew starts the run again, and one of a change a minute later.
func (e *enforcement) wantNothingNew(t *testing.T) {
	t.Helper()
	before := len(e.sent())
	e.untilDone(t, runAt)
	e.untilDone(t, runAt.Add(time.Minute))
	if len(e.sent()) != before {
		t.Errorf("%d mails were sent again", len(e.sent())-before)
	}
}

// manyOwners have a hundred tokens each.
var manyOwners = flag.Int("owners", 10, "how many owners of a hundred tokens each the largest lifetime run finds")

// Many tokens, of which a twentieth are beyond the limit, and a process that is killed while it ends them,
// and again while it tells of them: exactly the right ones end, nobody is left out.
func TestLifetimeOfManyTokens(t *testing.T) {
	t.Parallel()
	e := newEnforcement(t, &template[struct{}]{}, *manyOwners, 100, 5)
	for _, c := range []struct {
		step string
		nth  int
	}{{"revoke", 2 * e.owners}, {"SendEmail", 2 * e.owners / 5}} {
		e.killAt(true, func(s string, _, ofKind int) bool { return s == c.step && ofKind == c.nth })
		before := len(e.sent())
		if r := e.run(t, runAt); !r.killed {
			t.Fatalf("it was not killed: %s", r.body)
		}
		if c.step == "revoke" {
			if n := len(e.sent()); n > 0 {
				t.Errorf("%d mails before all tokens had ended", n)
			}
			e.endLeases(t, "lifetime", "lifetime-posts", "lifetime-mails")
			continue
		}
		_, _, unmarked := e.look(t)
		inFlight := 0
		for _, address := range e.sent()[before:] {
			for owner := range unmarked {
				if address == addressOf(owner) {
					e.repeated[owner]++
					inFlight++
				}
			}
		}
		if inFlight > workers {
			t.Errorf("%d mails were in flight", inFlight)
		}
		e.endLeases(t, "lifetime", "lifetime-posts", "lifetime-mails")
	}
	if deaths := e.untilDone(t, runAt); deaths > 0 {
		t.Errorf("%d deaths more", deaths)
	}
	e.check(t)
}
