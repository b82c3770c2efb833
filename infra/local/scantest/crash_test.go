package scantest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

const (
	shards     = 2
	owners     = 24
	tokensEach = 2
)

// A night is one scan with its table, before its cloud.
type night struct {
	*storetest.Fixture
	*cloud
	at    time.Time // of the event: a day ago, so that there can be one after it
	mark  string
	crowd storetest.Crowd
	// repeated are the mails that each owner may have got once more: those in flight at a death.
	repeated map[account.ID]int
}

func newNight(t *testing.T, function string) *night {
	t.Helper()
	f := storetest.NewFixture(t, storetest.Engine(t))
	at := time.Now().UTC().Add(-24 * time.Hour)
	n := &night{Fixture: f, cloud: newCloud(t, function, f), at: at, repeated: map[account.ID]int{}}
	first := clock.DayOf(at).AddDays(1) // in the window of the next day's scan too
	n.mark = "expiring-7"
	if function == "expired" {
		first, n.mark = clock.DayOf(at), "expired"
	}
	n.crowd = storetest.Crowd{Owners: owners, TokensEach: tokensEach, First: 1, On: func(owner account.ID, i int) clock.Day {
		if function == "expired" {
			return first.AddDays(-i)
		}
		return first.AddDays((int(owner) + i) % 6)
	}}
	loader, err := storetest.NewLoader(t.Context(), f.Client, f.Name, shards)
	if err != nil {
		t.Fatal(err)
	}
	if err := loader.Crowd(t.Context(), n.crowd); err != nil {
		t.Fatal(err)
	}
	return n
}

func addressOf(owner account.ID) string { return fmt.Sprintf("user-%s@example.com", owner) }

// unmarked returns how many tokens of each owner have no mark.
func (n *night) unmarked(t *testing.T) map[account.ID]int {
	t.Helper()
	unmarked := map[account.ID]int{}
	err := n.Store.EveryToken(t.Context(), func(tok token.Token, _ int64) {
		if !slices.Contains(tok.Notices, n.mark) {
			unmarked[tok.Owner]++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return unmarked
}

// endLeases makes the leases of dead runs end, as two minutes would: the processes are on the
// machine's clock, which a test cannot move.
func (n *night) endLeases(t *testing.T) {
	t.Helper()
	for shard := range shards {
		_, err := n.Client.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
			TableName: &n.Name,
			Key: map[string]types.AttributeValue{
				"pk": storetest.S("SCAN#" + n.function), "sk": storetest.S(fmt.Sprintf("SHARD#%02d", shard)),
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

// untilDone invokes until the scan is done, and says how often the process was killed. kill is asked
// in every life.
func (n *night) untilDone(t *testing.T, at time.Time) (deaths int) {
	t.Helper()
	for range 20 {
		before := len(n.sent())
		r := n.invoke(t, at)
		switch {
		case r.killed:
			deaths++
			n.noteInFlight(t, n.sent()[before:])
			n.endLeases(t) // so that the next call need not wait
		case r.failed:
			t.Fatalf("the scan failed: %s", r.body)
		case done(t, r):
			return deaths
		}
	}
	t.Fatal("the scan does not end")
	return deaths
}

// untilDeath invokes once, which the process does not survive, unless the scan is done before.
func (n *night) untilDeath(t *testing.T) {
	t.Helper()
	before := len(n.sent())
	if r := n.invoke(t, n.at); r.killed {
		n.noteInFlight(t, n.sent()[before:])
		n.endLeases(t)
	}
}

func done(t *testing.T, r result) bool {
	t.Helper()
	var reply struct {
		Done *bool
	}
	if err := json.Unmarshal(r.body, &reply); err != nil || reply.Done == nil {
		t.Fatalf("reply is %s", r.body)
	}
	return *reply.Done
}

// noteInFlight finds the mails that were out when the process died and whose tokens it had not all
// marked: each will be sent once more, and no other.
func (n *night) noteInFlight(t *testing.T, sent []string) {
	t.Helper()
	unmarked := n.unmarked(t)
	inFlight := 0
	for owner := account.ID(1); owner <= owners; owner++ {
		if unmarked[owner] > 0 && slices.Contains(sent, addressOf(owner)) {
			n.repeated[owner]++
			inFlight++
		}
	}
	if inFlight > workers {
		t.Errorf("%d mails were in flight, with %d workers", inFlight, workers)
	}
}

// check compares what the mail service has recorded with what it should have.
func (n *night) check(t *testing.T) {
	t.Helper()
	if unmarked := n.unmarked(t); len(unmarked) > 0 {
		t.Errorf("owners with tokens that were not announced: %v", unmarked)
	}
	got := map[string]int{}
	for _, address := range n.sent() {
		got[address]++
	}
	for owner := account.ID(1); owner <= owners; owner++ {
		if wanted := 1 + n.repeated[owner]; got[addressOf(owner)] != wanted {
			t.Errorf("owner %s got %d mails, want %d", owner, got[addressOf(owner)], wanted)
		}
	}
	before := len(n.sent())
	n.untilDone(t, n.at)
	n.untilDone(t, n.at.Add(24*time.Hour)) // the next day's scan reaches the same tokens
	if len(n.sent()) != before {
		t.Errorf("%d mails were sent again", len(n.sent())-before)
	}
	if log := n.log.String(); strings.Contains(log, "@example.com") || strings.Contains(log, "loaded-digest") {
		t.Error("the log shows an address or a digest")
	}
}

// A night without a death, which also says what there is to die at.
func TestQuietNight(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"expiring", "expired"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			n := newNight(t, function)
			if deaths := n.untilDone(t, n.at); deaths > 0 {
				t.Errorf("%d deaths", deaths)
			}
			t.Logf("%d requests: %v", n.seen(), n.steps)
			if len(n.sent()) != owners {
				t.Errorf("%d mails", len(n.sent()))
			}
			n.check(t)
		})
	}
}

// The process is killed at each kind of request, before it takes effect and after. This guards
// promise 3 of the architecture with the program that is deployed.
func TestDeathAtEachStep(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"expiring", "expired"} {
		for _, step := range []string{
			"acquire", "GetItem", "query the index", "read records", "read profiles", "GetAccount", "SendEmail", "mark", "save", "set finished",
		} {
			for _, after := range []bool{false, true} {
				name := function + ": before " + step
				if after {
					name = function + ": after " + step
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					n := newNight(t, function)
					nth := 1
					switch step {
					case "SendEmail", "mark", "read records", "read profiles":
						nth = 5 // in the middle of a batch
					}
					n.killAt(after, func(s string, _, ofKind int) bool { return s == step && ofKind == nth })
					if deaths := n.untilDone(t, n.at); deaths != 1 {
						t.Errorf("%d deaths", deaths)
					}
					n.check(t)
				})
			}
		}
	}
}

// seedVariable repeats the nights of a run that logged it. The process's own workers still race.
const seedVariable = "SCANTEST_SEED"

// The process is killed at any request, several times a night.
func TestDeathAnywhere(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if again := os.Getenv(seedVariable); again != "" {
		var err error
		if seed, err = strconv.ParseUint(again, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	for i := range 24 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		function := []string{"expiring", "expired"}[i%2]
		deaths := 1 + random.IntN(3)
		t.Run(fmt.Sprintf("%s: night %d with %d deaths", function, i, deaths), func(t *testing.T) {
			t.Parallel()
			n := newNight(t, function)
			for range deaths {
				at, after := n.seen()+1+random.IntN(110), random.IntN(2) == 0
				n.killAt(after, func(_ string, n, _ int) bool { return n == at })
				n.untilDeath(t)
				t.Logf("death at request %d, after it: %v, mails then repeated: %v", at, after, n.repeated)
			}
			n.untilDone(t, n.at)
			n.check(t)
		})
	}
}

// A scan that outlasts its function's time stops, says so, and goes on in the next call.
func TestDeadline(t *testing.T) {
	t.Parallel()
	n := newNight(t, "expiring")
	n.rate = 10 // of which the 24 mails need two seconds and more
	n.timeout = 45*time.Second + 700*time.Millisecond
	calls := 0
	for ; calls < 10; calls++ {
		r := n.invoke(t, n.at)
		if r.killed || r.failed {
			t.Fatalf("the scan failed: %s", r.body)
		}
		if done(t, r) {
			break
		}
	}
	if calls < 1 || calls > 5 {
		t.Errorf("it was done after %d calls that were not", calls)
	}
	if len(n.sent()) != owners {
		t.Errorf("%d mails", len(n.sent()))
	}
	n.check(t)
}
