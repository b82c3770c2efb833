package scantest

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/settings"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

const limitDays = 30

// An enforcement is one lifetime run with its table, before its cloud. Of each owner's tokens the first
// `beyond` live longer than the limit, the first of them by a day, and the next one not by a day.
type enforcement struct {
	*storetest.Fixture
	*cloud
	at       time.Time
	crowd    storetest.Crowd
	beyond   int
	repeated map[account.ID]int
}

func newEnforcement(t *testing.T, f *storetest.Fixture, owners, tokensEach, beyond int) *enforcement {
	t.Helper()
	at := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	e := &enforcement{Fixture: f, cloud: newCloud(t, "lifetime", f), at: at, beyond: beyond, repeated: map[account.ID]int{}}
	last := clock.DayOf(at).AddDays(limitDays)
	e.crowd = storetest.Crowd{Owners: owners, TokensEach: tokensEach, First: 1, On: func(owner account.ID, n int) clock.Day {
		switch {
		case n < beyond:
			return last.AddDays(1 + n*100)
		default:
			return last.AddDays(beyond - n)
		}
	}}
	loader, err := storetest.NewLoader(t.Context(), f.Client, f.Name, shards)
	if err == nil {
		err = errors.Join(loader.Crowd(t.Context(), e.crowd), loader.Walkable(t.Context(), e.crowd))
	}
	if err == nil {
		err = f.Store.SaveSettings(t.Context(), settings.Application{
			Settings: settings.Settings{LifetimeDays: limitDays, LastUsedInterval: time.Hour, RetentionDays: 90},
			Run:      settings.Run{At: at}, Revision: 1,
		}, storetest.Events)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *enforcement) endLeases(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"lifetime", "lifetime-mails"} {
		for shard := range shards {
			_, err := e.Client.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
				TableName: &e.Name,
				Key: map[string]types.AttributeValue{
					"pk": storetest.S("SCAN#" + kind), "sk": storetest.S(fmt.Sprintf("SHARD#%02d", shard)),
				},
				UpdateExpression:          aws.String("SET leased_until = :past"),
				ConditionExpression:       aws.String("attribute_exists(leased_until)"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":past": storetest.N("1")},
			})
			var none *types.ConditionalCheckFailedException
			if err != nil && !errors.As(err, &none) {
				t.Fatal(err)
			}
		}
	}
}

// look returns how many tokens were revoked by the run, how many of them and of the others were to be,
// and whose revoked tokens are not all marked.
func (e *enforcement) look(t *testing.T) (revoked, wrong int, unmarked map[account.ID]bool) {
	t.Helper()
	unmarked = map[account.ID]bool{}
	err := e.Store.EveryToken(t.Context(), func(tok token.Token, _ int64) {
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
			e.endLeases(t)
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
	if revoked != e.beyond*e.crowd.Owners || wrong > 0 {
		t.Errorf("%d tokens were revoked, want %d; %d are wrong", revoked, e.beyond*e.crowd.Owners, wrong)
	}
	if len(unmarked) > 0 {
		t.Errorf("%d owners were not told", len(unmarked))
	}
	got := map[string]int{}
	for _, address := range e.sent() {
		got[address]++
	}
	for i := range e.crowd.Owners {
		owner := e.crowd.First + account.ID(i)
		if wanted := 1 + e.repeated[owner]; got[addressOf(owner)] != wanted {
			t.Errorf("owner %s got %d mails, want %d", owner, got[addressOf(owner)], wanted)
		}
	}
	if log := e.log.String(); strings.Contains(log, "@example.com") || strings.Contains(log, "loaded-digest") {
		t.Error("the log shows an address or a digest")
	}
}

// The process is killed at each kind of request, before it takes effect and after.
func TestLifetimeDeathAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		"none", "GetItem", "acquire", "read profiles", "query the index", "read records", "revoke", "save", "set finished",
		"GetAccount", "SendEmail", "mark",
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after it: %t", step, after), func(t *testing.T) {
				t.Parallel()
				e := newEnforcement(t, storetest.NewFixture(t, storetest.Engine(t)), owners, 4, 2)
				nth := 1
				switch step {
				case "SendEmail", "mark", "read records", "query the index", "revoke":
					nth = 7 // in the middle
				}
				e.killAt(after, func(s string, _, ofKind int) bool { return s == step && ofKind == nth })
				if deaths, wanted := e.untilDone(t, e.at), map[bool]int{true: 1}[step != "none"]; deaths != wanted {
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
	e.untilDone(t, e.at)
	e.untilDone(t, e.at.Add(time.Minute))
	if len(e.sent()) != before {
		t.Errorf("%d mails were sent again", len(e.sent())-before)
	}
}

// A hundred thousand tokens, of which a twentieth are beyond the limit, and a process that is killed while
// it ends them, and again while it tells of them: exactly the right ones end, nobody is left out.
func TestLifetimeOfAHundredThousandTokens(t *testing.T) {
	t.Parallel()
	embedded := engine.New()
	server := httptest.NewServer(embedded)
	t.Cleanup(server.Close)
	e := newEnforcement(t, storetest.NewFixture(t, embedded.Client()), 1000, 100, 5)
	e.engine, e.patience = server.URL, 10*time.Minute
	for _, c := range []struct {
		step string
		nth  int
	}{{"revoke", 2000}, {"SendEmail", 400}} {
		e.killAt(true, func(s string, _, ofKind int) bool { return s == c.step && ofKind == c.nth })
		before := len(e.sent())
		if r := e.run(t, e.at); !r.killed {
			t.Fatalf("it was not killed: %s", r.body)
		}
		if c.step == "revoke" {
			if n := len(e.sent()); n > 0 {
				t.Errorf("%d mails before all tokens had ended", n)
			}
			e.endLeases(t)
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
		e.endLeases(t)
	}
	if deaths := e.untilDone(t, e.at); deaths > 0 {
		t.Errorf("%d deaths more", deaths)
	}
	e.check(t)
}
