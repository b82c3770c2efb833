package gitlabapi_test

import (
	"context"
	"encoding/json"
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
	"latchkey/pkg/fault"
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
					" "+w.bearers["owner"]+"\r\n", "somebody-elses-token-here", w.bearers["root"]+"\n", w.bearers["owner"], "x",
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

// Every report that was dealt with has the same reply.
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
			"tokens is given more than once"},
		{"a body of the largest size", padded(512 << 10), 204, ""},
		{"a byte more", padded(512<<10 + 1), 400, "body is too large (maximum is 524288 bytes)"},
		{"none", json(`{}`), 400, "tokens is missing"},
		{"an empty value", json(`{"tokens":[""]}`), 400, "tokens has an empty value"},
		{"an empty value among others", leakOf(t, w.bearers["owner"], ""), 400, "tokens has an empty value"},
		{"an empty value in a form", leakForm(""), 400, "tokens has an empty value"},
		{"an empty lone value", json(`{"tokens":""}`), 400, "tokens has an empty value"},
		{"a value of nothing but white space", leakOf(t, w.bearers["owner"], " \t\r\n\u00a0"), 400, "tokens has an empty value"},
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
		foreign := throughBoth(t, w, leakOf(t, "somebody-elses-token-here"))
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

// A queue keeps what it is given.
type queue struct {
	got  [][]token.ID
	fail error
}

func (q *queue) Add(_ context.Context, ids []token.ID) error {
	if q.fail != nil {
		return q.fail
	}
	q.got = append(q.got, ids)
	return nil
}

// Breaks if a mail is lost: a report whose ids were not queued is no success, and the same report made
// again queues them. What was reported has ended all the same.
func TestOwnersAreToldOfLeaks(t *testing.T) {
	w := newWorld(t)
	q := &queue{fail: fmt.Errorf("%w: queue away", fault.ErrUnavailable)}
	w.queue = q
	report := leakOf(t, w.bearers["owner"], w.bearers["revoked"], "x", w.bearers["other"])
	golden(t, "leak report while the queue is away", throughLambda(t, w, report).String())
	if reasons := w.reasons(t); reasons["owner"] != "leak" || reasons["other"] != "leak" {
		t.Errorf("ended %v", reasons)
	}
	q.fail = nil
	for range 2 {
		if got := throughLambda(t, w, report); got.status != 204 {
			t.Errorf("%s", got)
		}
	}
	both := []token.ID{w.tokens["owner"].ID, w.tokens["other"].ID}
	if !reflect.DeepEqual(q.got, [][]token.ID{both, both}) {
		t.Errorf("queued %v, want %v twice", q.got, both)
	}
	check(t, w.table.Mark(t.Context(), w.tokens["owner"], token.MarkLeaked, now))
	throughLambda(t, w, report)
	if throughLambda(t, w, leakOf(t, "x", w.bearers["revoked"])); !reflect.DeepEqual(q.got[2:], [][]token.ID{both[1:]}) {
		t.Errorf("then queued %v, want %v", q.got[2:], both[1:])
	}
}

// Breaks if a report can cost more than it must: a thousand values take ten batch reads, and what
// cannot be a bearer none.
func TestAReportCostsAtMostTenReads(t *testing.T) {
	w := newWorld(t)
	var asked []string
	w.breakEngine(func(operation string) bool {
		asked = append(asked, operation)
		return false
	})
	var possible, impossible []string
	for i := range 1000 {
		possible = append(possible, fmt.Sprintf("a-possible-value-of-%04d", i))
		impossible = append(impossible, fmt.Sprintf("lkpat_%036d", i))
	}
	for name, test := range map[string]struct {
		values []string
		want   []string
	}{
		"a thousand that could be ours":          {possible, slices.Repeat([]string{"BatchGetItem"}, 10)},
		"a thousand that cannot be ours":         {impossible, nil},
		"a thousand short ones":                  {slices.Repeat([]string{"x"}, 1000), nil},
		"a thousand times the same, with spaces": {append(slices.Repeat([]string{"a-possible-value-of-0000 "}, 999), "a-possible-value-of-0000"), []string{"BatchGetItem"}},
	} {
		asked = nil
		if got := throughLambda(t, w, leakOf(t, test.values...)); got.status != 204 || !slices.Equal(asked, test.want) {
			t.Errorf("%s: %s, asked %v, want %v", name, got, asked, test.want)
		}
	}
}

// A slowClient is an engine whose transactions take almost a second.
type slowClient struct{ next dynamodb.HTTPClient }

func (c slowClient) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
		time.Sleep(900 * time.Millisecond) // sleep: in a bubble, whose time passes at once
	}
	return c.next.Do(r)
}

// Breaks if a report can outlive its function, which would leave its sender without an answer: with
// little time left, it ends what it can, answers 503, and goes on when it is repeated. Time passes only
// in the bubble.
func TestAReportThatTakesTooLongIsContinued(t *testing.T) {
	const tokens = 100
	w := newWorld(t)
	q := &queue{}
	w.queue = q
	var values []string
	for i := range tokens {
		name := fmt.Sprintf("leaked %d", i)
		w.issue(t, name, "other", scope.API)
		values = append(values, w.bearers[name])
	}
	w.connect(dynamodb.New(w.client.Options(), func(o *dynamodb.Options) {
		o.HTTPClient = slowClient{o.HTTPClient}
	}))
	event := raw(t, leakOf(t, values...).event(w))
	statuses, ended := []int{}, []int{}
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			const timeout = 10 * time.Second
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			out, err := gitlabapi.Lambda(w.function("leaks"), nil).Invoke(ctx, event)
			check(t, err)
			check(t, ctx.Err())
			var reply struct{ StatusCode int }
			check(t, json.Unmarshal(out, &reply))
			statuses, ended = append(statuses, reply.StatusCode), append(ended, w.counts.total["TokensRevoked leak"])
		})
	}
	// 16 at a time, in the 4 seconds that are left of 10.
	if !slices.Equal(statuses, []int{503, 204, 204}) || !slices.Equal(ended, []int{64, tokens, tokens}) {
		t.Errorf("answered %v, ended %v of %d", statuses, ended, tokens)
	}
	if len(q.got) != 3 || len(q.got[0]) != 64 || len(q.got[1]) != tokens {
		t.Errorf("queued %d times, %v", len(q.got), q.got)
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
	check(t, w.table.Events(t.Context(), audit.AccountEntity(w.users["owner"].ID), audit.Period{From: now, To: now}, func(e audit.Event) bool {
		events = append(events, e)
		return true
	}))
	want := audit.Event{
		At: now, Name: audit.TokenRevoked, Entity: audit.AccountEntity(w.users["owner"].ID), Token: w.tokens["owner"].ID, Target: "of owner",
		Change: "found_in", To: "https://git.example.test/acme",
		Origin: audit.Origin{RequestID: "11111111-2222-4333-8444-555555555555", Address: "192.0.2.1", Source: audit.Leak},
	}
	if len(events) == 1 {
		want.ID, want.Place = events[0].ID, events[0].Place
	}
	if len(events) != 1 || events[0] != want {
		t.Errorf("recorded %+v, want %+v", events, want)
	}
}
