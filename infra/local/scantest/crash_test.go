package scantest

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

const (
	shards     = 2
	owners     = 12
	tokensEach = 2
)

// now is when the tests began, to the second. The processes are on the machine's clock.
var now = time.Now().UTC().Truncate(time.Second)

// scanAt is the time of a night's event: a day ago, so that there can be one after it.
var scanAt = now.Add(-24 * time.Hour)

// A night is one scan with its table, before its cloud.
type night struct {
	*table
	*cloud
	mark string
	// repeated are the mails that each owner may have got once more: those in flight at a death.
	repeated map[account.ID]int
}

var nights = map[string]*template[struct{}]{"expiring": {}, "expired": {}}

func newNight(t *testing.T, function string) *night {
	t.Helper()
	first, mark := clock.DayOf(scanAt).AddDays(1), "expiring-7" // in the window of the next day's scan too
	if function == "expired" {
		first, mark = clock.DayOf(scanAt), "expired"
	}
	filled, _ := nights[function].copy(t, func(f *storetest.Fixture) (none struct{}) {
		load(t, f, storetest.Crowd{Owners: owners, TokensEach: tokensEach, First: 1, On: func(owner account.ID, i int) clock.Day {
			if function == "expired" {
				return first.AddDays(-i)
			}
			return first.AddDays((int(owner) + i) % 6)
		}}, false)
		finishEarlier(t, f, function)
		return none
	})
	return &night{table: filled, cloud: newCloud(t, function, filled), mark: mark, repeated: map[account.ID]int{}}
}

func addressOf(owner account.ID) string { return fmt.Sprintf("user-%s@example.com", owner) }

// unmarked returns how many tokens of each owner have no mark.
func (n *night) unmarked(t *testing.T) map[account.ID]int {
	t.Helper()
	unmarked := map[account.ID]int{}
	err := n.store.EveryToken(t.Context(), func(tok token.Token, _ account.Account) {
		if !slices.Contains(tok.Notices, n.mark) {
			unmarked[tok.Owner]++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return unmarked
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
			n.endLeases(t, n.function, n.function+"-posts") // so that the next call need not wait
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
	if r := n.invoke(t, scanAt); r.killed {
		n.noteInFlight(t, n.sent()[before:])
		n.endLeases(t, n.function, n.function+"-posts")
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
	n.untilDone(t, scanAt)
	n.untilDone(t, scanAt.Add(24*time.Hour)) // the next day's scan reaches the same tokens
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
			if deaths := n.untilDone(t, scanAt); deaths > 0 {
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
					if deaths := n.untilDone(t, scanAt); deaths != 1 {
						t.Errorf("%d deaths", deaths)
					}
					n.check(t)
				})
			}
		}
	}
}

var (
	randomNights = flag.Int("nights", 8, "how many nights have deaths at random requests")
	givenSeed    = flag.Uint64("seed", 0, "what those nights are drawn from, as an earlier run logged it; 0 for chance")
)

// The process is killed at any request, several times a night. The same seed draws the same requests; the
// process's own workers still race.
func TestDeathAnywhere(t *testing.T) {
	t.Parallel()
	seed := *givenSeed
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d", seed)
	for i := range *randomNights {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		function := []string{"expiring", "expired"}[i%2]
		deaths := 1 + random.IntN(3)
		t.Run(fmt.Sprintf("%s: night %d with %d deaths", function, i, deaths), func(t *testing.T) {
			t.Parallel()
			n := newNight(t, function)
			for range deaths {
				at, after := n.seen()+1+random.IntN(60), random.IntN(2) == 0
				n.killAt(after, func(_ string, n, _ int) bool { return n == at })
				n.untilDeath(t)
				t.Logf("death at request %d, after it: %v, mails then repeated: %v", at, after, n.repeated)
			}
			n.untilDone(t, scanAt)
			n.check(t)
		})
	}
}

// A scan that outlasts its function's time stops, says so, and goes on in the next call.
func TestDeadline(t *testing.T) {
	t.Parallel()
	n := newNight(t, "expiring")
	// Beyond the 45 seconds that the function keeps for what it has begun, there are two. The fifth mail
	// takes them; on a busy machine, what comes before it may.
	n.timeout, n.slowMail = 47*time.Second, 5
	if r := n.invoke(t, scanAt); r.killed || r.failed || done(t, r) {
		t.Fatalf("it did not stop in time: %s", r.body)
	}
	if mails := len(n.sent()); mails == owners {
		t.Error("nothing was left for the next call")
	}
	n.timeout = 15 * time.Minute
	n.untilDone(t, scanAt)
	n.check(t)
}
