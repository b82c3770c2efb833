package gitlabapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
)

const leaks = "/api/v4/token_leaks"

// leakOf is a report of values.
func leakOf(tb testing.TB, values ...string) request {
	tb.Helper()
	body, err := json.Marshal(map[string]any{"tokens": values})
	check(tb, err)
	return post("leaks", leaks, "", string(body))
}

// leakForm is the same report as a form.
func leakForm(values ...string) request {
	return request{function: "leaks", method: "POST", target: leaks, form: url.Values{"tokens[]": values}.Encode()}
}

// chosen gives an account a token with a value of its own.
func (w *world) chosen(tb testing.TB, name, owner, value string) {
	tb.Helper()
	issued, err := w.issuer.CreateByConsole(tb.Context(), "", w.users[owner], lifecycle.Spec{
		Name: name, Scopes: scope.Set{scope.API}, ExpiresOn: clock.DayOf(now).AddDays(100),
	}, value)
	check(tb, err)
	w.bearers[name], w.tokens[name] = value, issued.Token
	w.logs.secret(value)
}

// reasons returns why each of the world's tokens has ended, "" while it has not.
func (w *world) reasons(tb testing.TB) map[string]string {
	tb.Helper()
	reasons := map[string]string{}
	for name, tok := range w.tokens {
		got, err := w.table.Token(tb.Context(), tok.ID)
		check(tb, err)
		reasons[name] = string(got.RevokedReason)
	}
	return reasons
}

// What is reported ends, in every form of a request, and nothing else does.
func TestReportedTokensEnd(t *testing.T) {
	const commas, odd = "chosen,value,of,twenty", "~!@#$%^&*(),;[]{}\"'\\|<>?/=+_-"
	for name, report := range map[string]func(values ...string) request{
		"JSON": func(values ...string) request { return leakOf(t, values...) },
		"form": leakForm,
		"query": func(values ...string) request {
			return request{function: "leaks", method: "POST", target: leaks + "?" + url.Values{"tokens[]": values}.Encode()}
		},
	} {
		for through, door := range doors {
			t.Run(name+" through "+through, func(t *testing.T) {
				w := newWorld(t)
				w.chosen(t, "odd", "other", odd)
				w.chosen(t, "commas", "other", commas)
				w.issue(t, "new", "other", scope.API)
				want := w.reasons(t)
				for _, leaked := range []string{"root", "owner", "reading", "expired", "blocked", "odd", "commas"} {
					want[leaked] = "leak"
				}
				got := door(t, w, report(
					w.bearers["owner"], "somebody-elses-token-here", w.bearers["root"], w.bearers["owner"], "", "x",
					w.bearers["revoked"], w.bearers["blocked"], w.bearers["expired"], w.bearers["reading"], odd,
					commas, w.bearers["other"][1:], w.bearers["sleeper"]+"x",
				))
				if got.status != http.StatusNoContent || got.body != "" {
					t.Errorf("%s", got)
				}
				if after := w.reasons(t); fmt.Sprint(after) != fmt.Sprint(want) {
					t.Errorf("ended %v, want %v", after, want)
				}
				if got := w.counts.total["TokensRevoked leak"]; got != 7 {
					t.Errorf("counted %d tokens, want 7", got)
				}
				if again := door(t, w, report(w.bearers["owner"])); again.status != http.StatusNoContent || w.counts.total["TokensRevoked leak"] != 7 {
					t.Errorf("again: %s", again)
				}
			})
		}
	}
}

// Breaks if a stranger can find out by a report which values are ours.
func TestTheReplyToAReportGivesNothingAway(t *testing.T) {
	w := newWorld(t)
	w.chosen(t, "chosen", "other", "token-string-here123")
	want := throughBoth(t, newWorld(t), leakOf(t, "nothing-of-ours-in-here")).String()
	golden(t, "leak report", want)
	for name, r := range map[string]request{
		"a good one":           leakOf(t, w.bearers["owner"]),
		"one that has ended":   leakOf(t, w.bearers["revoked"]),
		"one that has expired": leakOf(t, w.bearers["expired"]),
		"a chosen one":         leakOf(t, "token-string-here123"),
		"an administrator's":   leakOf(t, w.bearers["root"]),
		"a malformed one":      leakOf(t, "lkpat_000000000000000000000000000000000000"),
		"an empty one":         leakOf(t, ""),
		"a very long one":      leakOf(t, strings.Repeat("x", 10_000)),
		"control characters":   leakOf(t, "\x00\x01", "a\nb"),
		"the same many times":  leakOf(t, slices.Repeat([]string{w.bearers["other"]}, 1000)...),
		"with a source":        post("leaks", leaks, "", `{"tokens":["x"],"source":"https://git.example.test/acme"}`),
		"text that is no UTF8": leakForm("\xff\xfe"),
		"a lone text":          post("leaks", leaks, "", `{"tokens":"x"}`),
		"with a good bearer":   post("leaks", leaks, "other", `{"tokens":["x"]}`),
		"with a wrong bearer":  post("leaks", leaks, "revoked", `{"tokens":["x"]}`),
	} {
		if got := throughLambda(t, w, r).String(); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	if got := w.counts.total["BearersRefused revoked"]; got != 0 {
		t.Error("a credential was looked at")
	}
}

func TestReportsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	full := func(n int) string {
		return `{"tokens":[` + strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat(`\"`, 255)+`",`, n), ",") + `]}`
	}
	json := func(body string) request { return post("leaks", leaks, "", body) }
	padded := func(size int) request {
		const body = `{"tokens":["x"]}`
		return json(body + strings.Repeat(" ", size-len(body)))
	}
	before := w.snapshot(t)
	for _, test := range []struct {
		name   string
		r      request
		status int
		says   string
	}{
		{"a thousand of the longest", json(full(1000)), 204, ""},
		{"one more", json(full(1001)), 400, "tokens is too long (maximum is 1000 values)"},
		{"a thousand, in two places", request{function: "leaks", method: "POST", target: leaks + "?tokens[]=x", json: full(1000)}, 400,
			"tokens is too long (maximum is 1000 values)"},
		{"a body of the largest size", padded(512 << 10), 204, ""},
		{"a byte more", padded(512<<10 + 1), 400, "body is too large (maximum is 524288 bytes)"},
		{"none", json(`{}`), 400, "tokens is missing"},
		{"null", json(`{"tokens":null}`), 400, "tokens is missing"},
		{"an empty list", json(`{"tokens":[]}`), 400, "tokens is missing"},
		{"no body", json(""), 400, "tokens is missing"},
		{"a number", json(`{"tokens":[7]}`), 400, "tokens is invalid"},
		{"a list in the list", json(`{"tokens":[["x"]]}`), 400, "tokens is invalid"},
		{"null in the list", json(`{"tokens":["x",null]}`), 400, "tokens is invalid"},
		{"an object", json(`{"tokens":{"a":"x"}}`), 400, "tokens is invalid"},
		{"no JSON", json(`{"tokens":`), 400, "body is not a valid JSON object"},
		{"a list instead of an object", json(`["x"]`), 400, "body is not a valid JSON object"},
		{"a source of the longest", json(`{"tokens":["x"],"source":"` + strings.Repeat("s", 255) + `"}`), 204, ""},
		{"a longer source", json(`{"tokens":["x"],"source":"` + strings.Repeat("s", 256) + `"}`), 400, "source is too long (maximum is 255 bytes)"},
		{"a source with a line break", json(`{"tokens":["x"],"source":"a\nb"}`), 400, "source is invalid"},
		{"a source that is no text", json(`{"tokens":["x"],"source":{}}`), 400, "source is invalid"},
		{"two faults", json(`{"source":"a\nb"}`), 400, "tokens is missing, source is invalid"},
		{"another method", request{function: "leaks", method: "GET", target: leaks}, 405, "405 Not Allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := throughBoth(t, w, test.r)
			if got.status != test.status || test.says != "" && got.field(t, "error") != test.says {
				t.Errorf("%s", got)
			}
		})
	}
	if w.snapshot(t) != before {
		t.Error("something was written")
	}
}

// Breaks if a failure is hidden, or one of the tokens keeps the others alive.
func TestAReportThatFails(t *testing.T) {
	report := func(w *world) request {
		return leakOf(t, w.bearers["owner"], "x", w.bearers["other"], w.bearers["root"])
	}
	ended := func(w *world) (n int) {
		for _, reason := range w.reasons(t) {
			if reason == "leak" {
				n++
			}
		}
		return n
	}
	t.Run("to be looked up", func(t *testing.T) {
		w := newWorld(t)
		down := true
		w.breakEngine(func(operation string) bool { return down && operation == "BatchGetItem" })
		golden(t, "leak report while the engine is away", throughBoth(t, w, report(w)).String())
		foreign := throughBoth(t, w, leakOf(t, "x"))
		if foreign.status != 503 {
			t.Errorf("of nothing that is ours: %s", foreign)
		}
		down = false
		if n := ended(w); n != 0 {
			t.Errorf("%d tokens ended", n)
		}
	})
	t.Run("to end one", func(t *testing.T) {
		w := newWorld(t)
		failures := 1
		w.breakEngine(func(operation string) bool {
			cut := operation == "TransactWriteItems" && failures > 0
			if cut {
				failures--
			}
			return cut
		})
		if got := throughLambda(t, w, report(w)); got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("%s", got)
		}
		if n := ended(w); n != 2 {
			t.Errorf("%d tokens ended, want 2 of 3", n)
		}
		if got := throughLambda(t, w, report(w)); got.status != 204 || ended(w) != 3 {
			t.Errorf("again: %s, %d tokens ended", got, ended(w))
		}
	})
}

func TestAnAddressMaySendSoManyReports(t *testing.T) {
	c := newCrowd(t, throttle.Limits{LeakReports: 2, WrongBearers: 1})
	report := leakOf(t, c.bearers["owner"])
	for i, r := range []request{post("leaks", leaks, "", "{}"), leakOf(t, "x")} { // what is refused counts too
		if got := c.status(t, home, r); got != []int{400, 204}[i] {
			t.Fatalf("status %d", got)
		}
	}
	before := c.asked.Load()
	golden(t, "too many leak reports", c.send(t, home, report).String())
	if c.asked.Load() != before {
		t.Error("the values were looked up")
	}
	if got := c.status(t, away, report); got != 204 {
		t.Errorf("another address: %d", got)
	}
	c.clock.Set(now.Add(29 * time.Second))
	if got := c.status(t, home, report); got != 429 {
		t.Errorf("a second early: %d", got)
	}
	c.clock.Set(now.Add(30 * time.Second))
	if got := c.status(t, home, report); got != 204 {
		t.Errorf("in time: %d", got)
	}
	if got := c.status(t, home, get("tokens", ownToken, "other")); got != 200 {
		t.Errorf("reported values count as tries: %d", got)
	}
	if got := c.counts.total["RequestsThrottled leak_reports"]; got != 2 {
		t.Errorf("%d refusals were counted as such, of 2", got)
	}
}

// A slowClient is an engine that takes its time, and may be away then.
type slowClient struct {
	takes time.Duration
	away  bool
	next  dynamodb.HTTPClient
}

func (c slowClient) Do(r *http.Request) (*http.Response, error) {
	time.Sleep(c.takes) // sleep: in a bubble, whose time passes at once
	if c.away {
		return nil, errors.New("connection reset")
	}
	return c.next.Do(r)
}

// Breaks if the time of a reply tells whether values are ours. In the bubble, time
// passes only while the table or the mail service takes its own.
func TestTheTimeOfAReplyGivesNothingAway(t *testing.T) {
	const values, short = 40, 2 * time.Millisecond
	step := gitlabapi.LeakStep(values)
	for _, c := range []struct {
		name  string
		ours  int           // of the values
		takes time.Duration // a request to the table, and the mail about a token
		away  bool          // the table
		limit time.Duration // of the invocation
		want  time.Duration
	}{
		{"none of ours", 0, short, false, time.Hour, step},
		{"one of ours", 1, short, false, time.Hour, step},
		{"nothing but ours", values, short, false, time.Hour, step},
		{"none of ours, in no time", 0, 0, false, time.Hour, step},
		{"nothing but ours, in no time", values, 0, false, time.Hour, step},
		{"none of ours, just in time", 0, step - 1, false, time.Hour, step},
		{"none of ours, just too late", 0, step + 1, false, time.Hour, 2 * step},
		{"nothing but ours, much too late", values, step / 20, false, time.Hour, 3 * step},
		{"none of ours, looked up in vain", 0, short, true, time.Hour, step},
		{"nothing but ours, looked up in vain", values, short, true, time.Hour, step},
		{"none of ours, by the deadline", 0, short, false, step / 2, step / 2},
		{"nothing but ours, by the deadline", values, short, false, step / 2, step / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			reported := make([]string, values)
			for i := range reported {
				reported[i] = fmt.Sprintf("lkpat_%036d", i)
				if name := fmt.Sprintf("leaked %d", i); i < c.ours {
					w.issue(t, name, "other", scope.API)
					reported[i] = w.bearers[name]
				}
			}
			w.connect(dynamodb.New(w.client.Options(), func(o *dynamodb.Options) {
				o.RetryMaxAttempts = 1
				o.HTTPClient = slowClient{c.takes, c.away, o.HTTPClient}
			}))
			w.leakStep, w.messenger = gitlabapi.LeakStep, &messenger{takes: c.takes}
			event := raw(t, leakOf(t, reported...).event(w))
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				watch := clock.StartStopwatch()
				_, err := gitlabapi.Lambda(w.function("leaks"), nil).Invoke(ctx, event)
				check(t, err)
				if took := watch.Elapsed(); took != c.want {
					t.Errorf("took %s, want %s", took, c.want)
				}
			})
			if ended := w.counts.total["TokensRevoked leak"]; ended != c.ours && !c.away {
				t.Errorf("%d tokens ended, of %d", ended, c.ours)
			}
		})
	}
}

// A messenger keeps what it was to tell.
type messenger struct {
	told      [][]token.ID
	publicURL string
	takes     time.Duration // a token's mail
	fail      error
}

func (m *messenger) Leaked(_ context.Context, tokens []token.Token, publicURL string) (int, error) {
	var ids []token.ID
	for _, t := range tokens {
		time.Sleep(m.takes) // sleep: in a bubble, whose time passes at once
		ids = append(ids, t.ID)
	}
	m.told, m.publicURL = append(m.told, ids), publicURL
	return len(ids), m.fail
}

// What cannot be told has ended all the same: the reply is that of every report,
// and the same report made again tries again.
func TestOwnersAreToldOfLeaks(t *testing.T) {
	w := newWorld(t)
	m := &messenger{fail: errors.New("mail service away")}
	w.messenger = m
	report := leakOf(t, w.bearers["owner"], w.bearers["revoked"], "x", w.bearers["other"])
	for range 2 {
		if got := throughLambda(t, w, report); got.status != 204 {
			t.Errorf("%s", got)
		}
		m.fail = nil
	}
	both := []token.ID{w.tokens["owner"].ID, w.tokens["other"].ID}
	if !reflect.DeepEqual(m.told, [][]token.ID{both, both}) || m.publicURL != publicURL {
		t.Errorf("told %v at %s, want %v twice", m.told, m.publicURL, both)
	}
	if throughLambda(t, w, leakOf(t, "x", w.bearers["revoked"])); len(m.told) != 2 {
		t.Error("told of nothing")
	}
	if !strings.Contains(w.logs.String(), "mail service away") || w.counts.total["LeakMails failed"] != 1 || w.counts.total["LeakMails sent"] != 4 {
		t.Errorf("counted %v, logged %s", w.counts.total, w.logs)
	}
	w.publicURL = ""
	if throughLambda(t, w, leakOf(t, w.bearers["root"])); m.publicURL != "https://api.example.test/prod" {
		t.Errorf("without a public URL the mail links to %s", m.publicURL)
	}
}

// The audit trail says what ended because of a report, from where and found
// where.
func TestReportsAreRecorded(t *testing.T) {
	w := newWorld(t)
	body := `{"tokens":["` + w.bearers["owner"] + `","x"],"source":"https://git.example.test/acme"}`
	if got := throughLambda(t, w, post("leaks", leaks, "", body)); got.status != 204 {
		t.Fatalf("%s", got)
	}
	var events []audit.Event
	check(t, w.table.Events(t.Context(), audit.AccountEntity(w.users["owner"].ID), now, now, func(e audit.Event) bool {
		events = append(events, e)
		return true
	}))
	want := audit.Event{
		At: now, Name: audit.TokenRevoked, Entity: audit.AccountEntity(w.users["owner"].ID), Token: w.tokens["owner"].ID, Target: "of owner",
		Change: "found_in", To: "https://git.example.test/acme",
		Origin: audit.Origin{RequestID: "11111111-2222-4333-8444-555555555555", Address: "192.0.2.1", Source: audit.Leak},
	}
	if len(events) == 1 {
		want.ID = events[0].ID
	}
	if len(events) != 1 || events[0] != want {
		t.Errorf("recorded %+v, want %+v", events, want)
	}
}
