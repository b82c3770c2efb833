package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/project"
	"latchkey/pkg/stream"
)

// busEvents delivers the stream and returns the events since the first n, each held to its schema.
func busEvents(tb testing.TB, w *localtest.World, from int) []stream.Event {
	tb.Helper()
	if _, failed := w.RunStream(tb); failed != 0 {
		tb.Fatalf("%d deliveries failed", failed)
	}
	all := w.Bus.Events()[from:]
	events := make([]stream.Event, len(all))
	for i, event := range all {
		localtest.CheckEvent(tb, event)
		decode(tb, string(event.Detail), &events[i])
		if event.Source != "latchkey" || event.Bus != "default" || len(event.Resources) != 1 || !strings.HasSuffix(event.Resources[0], ":table/"+w.Table) {
			tb.Errorf("%s from %q on the bus %q about %v", event.DetailType, event.Source, event.Bus, event.Resources)
		}
	}
	return events
}

// linesOf describes events without what differs between runs, in the order of their numbers.
func linesOf(events []stream.Event) (lines []string) {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b stream.Event) int { return strings.Compare(a.Number, b.Number) })
	for _, e := range events {
		line := fmt.Sprintf("%s %d", e.Type, e.Token.ID)
		for _, part := range []struct{ name, value string }{{"revoked", e.Token.RevokedAt}, {"for", string(e.Token.Reason)}, {"used", e.Token.LastUsed}} {
			if part.value != "" {
				line += " " + part.name + " " + part.value
			}
		}
		if e.Token.Previous != 0 {
			line += fmt.Sprintf(" after %d", e.Token.Previous)
		}
		if e.NoticeDays != 0 {
			line += fmt.Sprintf(" in %d days", e.NoticeDays)
		}
		lines = append(lines, line)
	}
	return lines
}

func wantEvents(tb testing.TB, w *localtest.World, from *int, lines ...string) []stream.Event {
	tb.Helper()
	events := busEvents(tb, w, *from)
	*from += len(events)
	got := linesOf(events)
	slices.Sort(got) // the numbers of different tokens say nothing about their order
	if slices.Sort(lines); !slices.Equal(got, lines) {
		tb.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
	return events
}

// Breaks if other systems do not hear what becomes of a token, or hear of something else.
func TestOtherSystemsHearWhatBecomesOfTokens(t *testing.T) {
	t.Parallel()
	inBothEngines(t, func(t *testing.T, w *localtest.World) {
		from := 0
		wantEvents(t, w, &from, fmt.Sprintf("token.created %d", root.TokenID))
		ann := newAccount(t, w, "ann", "api", "self_rotate")
		withProject(t, w, map[int64]project.Level{ann.ID: project.Maintainer})
		var bot resourceToken
		decode(t, want(t, w, ann.Bearer, "POST", "/api/v4/projects/2/access_tokens", `{"name":"deploy","scopes":["api"],"expires_at":"2026-03-26"}`, http.StatusCreated), &bot)
		short := newToken(t, w, ann.ID, "short", "2026-03-23")
		made := wantEvents(t, w, &from, fmt.Sprintf("token.created %d", ann.TokenID),
			fmt.Sprintf("token.created %d", bot.ID), fmt.Sprintf("token.created %d", short.ID))
		for _, e := range made {
			if int64(e.Token.ID) == bot.ID && (e.Token.Project != 2 || e.Token.Owner != bot.UserID || int64(e.Token.Parent) != ann.TokenID) {
				t.Errorf("the project's token: %+v", e.Token)
			}
		}

		// Neither a use nor a refusal is an event.
		want(t, w, ann.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
		const used = " used 2026-03-19T08:00:00Z"
		wantEvents(t, w, &from)

		var second, third personalToken
		decode(t, want(t, w, ann.Bearer, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusOK), &second)
		wantEvents(t, w, &from, fmt.Sprintf("token.revoked %d revoked 2026-03-19T08:00:00Z for rotated%s", ann.TokenID, used),
			fmt.Sprintf("token.rotated %d after %d", second.ID, ann.TokenID))

		// With an overlap, the old token ends later, and an administrator ends it before that.
		decode(t, want(t, w, second.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", `{"overlap_seconds":3600}`, http.StatusOK), &third)
		wantEvents(t, w, &from, fmt.Sprintf("token.revoked %d revoked 2026-03-19T09:00:00Z for rotated%s after %d", second.ID, used, ann.TokenID),
			fmt.Sprintf("token.rotated %d after %d", third.ID, second.ID))
		w.Clock.Advance(time.Minute)
		want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", second.ID), "", http.StatusNoContent)
		wantEvents(t, w, &from, fmt.Sprintf("token.revoked %d revoked 2026-03-19T08:01:00Z for request%s after %d", second.ID, used, ann.TokenID))

		// A thief presents the first one.
		want(t, w, ann.Bearer, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusUnauthorized)
		wantEvents(t, w, &from, fmt.Sprintf("token.reused %d revoked 2026-03-19T08:01:00Z for reuse after %d", third.ID, second.ID))

		// Reports of a token that works, and of one that had been rotated.
		leaked := newToken(t, w, ann.ID, "spilled", "2026-09-01")
		report := encode(t, map[string]any{"tokens": []string{leaked.Token, ann.Bearer}})
		for range 2 {
			want(t, w, "", "POST", "/api/v4/token_leaks", report, http.StatusNoContent)
		}
		wantEvents(t, w, &from, fmt.Sprintf("token.created %d", leaked.ID), fmt.Sprintf("token.leaked %d revoked 2026-03-19T08:01:00Z for leak", leaked.ID),
			fmt.Sprintf("token.leaked %d revoked 2026-03-19T08:00:00Z for rotated%s", ann.TokenID, used))

		for range 2 { // a scan that is repeated marks nothing again
			scan(t, w, "expiring", "2026-03-20T01:00:00Z")
		}
		wantEvents(t, w, &from, fmt.Sprintf("token.expiring %d in 7 days", bot.ID), fmt.Sprintf("token.expiring %d in 7 days", short.ID))
		scan(t, w, "expired", "2026-03-27T02:00:00Z")
		wantEvents(t, w, &from, fmt.Sprintf("token.expired %d", bot.ID), fmt.Sprintf("token.expired %d", short.ID))
		scan(t, w, "expired", "2026-06-30T02:00:00Z") // removes the bot, which is no event
		wantEvents(t, w, &from)
		if got := w.Do(t, root.Bearer, "GET", fmt.Sprintf("/api/v4/users/%d", bot.UserID), ""); got.Status != http.StatusNotFound {
			t.Errorf("the bot is still there: %d", got.Status)
		}

		checkPrivacy(t, w, ann.Bearer, bot.Token, second.Token, third.Token, leaked.Token)
		checkNumbers(t, w)
	})
}

// checkPrivacy searches all events for what must not be in them.
func checkPrivacy(tb testing.TB, w *localtest.World, bearers ...string) {
	tb.Helper()
	secrets := append(bearers, localtest.AdminBearer, "@example.test", "deploy", "spilled", "short", "ann's", "127.0.0.1")
	items, err := w.Engine.Scan(tb.Context(), &dynamodb.ScanInput{TableName: &w.Table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		tb.Fatal(err)
	}
	digests := 0
	for _, item := range items.Items {
		if digest, record := strings.CutPrefix(item["pk"].(*types.AttributeValueMemberS).Value, "TOKEN#"); record {
			secrets = append(secrets, digest)
			digests++
		}
	}
	if digests == 0 {
		tb.Fatal("no digests to look for")
	}
	for _, event := range w.Bus.Events() {
		for _, secret := range secrets {
			if strings.Contains(string(event.Detail), secret) {
				tb.Errorf("%s shows %q: %s", event.DetailType, secret, event.Detail)
			}
		}
	}
}

// checkNumbers checks that the numbers of a token or an account ascend in the order in which things happened,
// and that a second delivery repeats ids, numbers and everything else.
func checkNumbers(tb testing.TB, w *localtest.World) {
	tb.Helper()
	type subject struct{ token, account int64 } // of neither, all tokens
	first, last, ids := busEvents(tb, w, 0), map[subject]string{}, map[string]bool{}
	for _, e := range first { // the local bus keeps the order of each of them
		about := subject{int64(e.Token.ID), int64(e.Account.ID)}
		if e.Number <= last[about] || ids[e.ID] {
			tb.Errorf("%s of %v has the number %s after %s", e.Type, about, e.Number, last[about])
		}
		last[about], ids[e.ID] = e.Number, true
	}
	if _, failed := w.ReplayStream(tb); failed != 0 {
		tb.Fatalf("%d deliveries failed", failed)
	}
	again := w.Bus.Events()[len(first):]
	for i, event := range w.Bus.Events()[:len(first)] {
		if i >= len(again) || string(again[i].Detail) != string(event.Detail) {
			tb.Fatalf("delivered again, %s is another: %d of %d", event.DetailType, i, len(again))
		}
	}
}

// Breaks if nobody hears that the first use of a token has ended the one before it earlier than announced.
func TestOtherSystemsHearOfTheEndOfAnOverlap(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	ann := newAccount(t, w, "ann", "api", "self_rotate")
	var next personalToken
	decode(t, want(t, w, ann.Bearer, "POST", "/api/v4/personal_access_tokens/self/rotate", `{"overlap":"until_used"}`, http.StatusOK), &next)
	from := 1 // the administrator's
	wantEvents(t, w, &from, fmt.Sprintf("token.created %d", ann.TokenID), fmt.Sprintf("token.rotated %d after %d", next.ID, ann.TokenID),
		fmt.Sprintf("token.revoked %d revoked 2026-03-20T08:00:00Z for rotated used 2026-03-19T08:00:00Z", ann.TokenID))
	w.Clock.Advance(time.Minute)
	want(t, w, next.Token, "GET", "/api/v4/user", "", http.StatusOK)
	wantEvents(t, w, &from, fmt.Sprintf("token.revoked %d revoked 2026-03-19T08:01:00Z for rotated used 2026-03-19T08:00:00Z", ann.TokenID))
}

// Breaks if one record that cannot be read keeps other systems from hearing of all later changes, or if
// nobody learns of it.
func TestARecordThatCannotBeReadHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	ann := newAccount(t, w, "ann")
	broken := newToken(t, w, ann.ID, "broken", "2026-09-01")
	from := len(busEvents(t, w, 0))
	items, err := w.Engine.Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.Table})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items.Items {
		if id, is := item["id"].(*types.AttributeValueMemberN); is && id.Value == fmt.Sprint(broken.ID) {
			_, err = w.Engine.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: &w.Table, Key: map[string]types.AttributeValue{"pk": item["pk"], "sk": item["sk"]}, UpdateExpression: aws.String("REMOVE scopes"),
			})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	after := newToken(t, w, ann.ID, "after", "2026-09-01")
	w.Logs.Reset()
	wantEvents(t, w, &from, fmt.Sprintf("token.created %d", after.ID))
	if lines := w.Logs.String(); !strings.Contains(lines, `"EventsRefused":1`) || !strings.Contains(lines, "stream record passed over") || !strings.Contains(lines, "attribute scopes") {
		t.Errorf("logged %s", lines)
	}
}

// Breaks if an event is lost or forged anew because the bus did not take it at once, or if one that it
// never takes holds up the others.
func TestEventsThatTheBusDoesNotTake(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	ann := newAccount(t, w, "ann")
	busEvents(t, w, 0)
	var tokens []personalToken
	for n := range 12 { // more than one request of the bus
		tokens = append(tokens, newToken(t, w, ann.ID, fmt.Sprint("t", n), "2026-09-01"))
	}
	about := func(event cloud.BusEvent, n int) bool {
		return strings.Contains(string(event.Detail), fmt.Sprintf(`{"id":%d,`, tokens[n].ID))
	}
	busy := true
	w.Bus.Refuse = func(event cloud.BusEvent) string {
		switch {
		case busy && about(event, 4):
			return "ThrottlingException"
		case about(event, 7):
			return "InvalidArgument"
		}
		return ""
	}
	from := len(w.Bus.Events())
	if delivered, failed := w.RunStream(t); delivered != 4 || failed != 1 {
		t.Errorf("%d records delivered, %d deliveries failed", delivered, failed)
	}
	first := len(w.Bus.Events()) - from
	if delivered, failed := w.RunStream(t); delivered != 0 || failed != 1 || first != 8 { // what follows in the request is on the bus already
		t.Errorf("%d records delivered, %d deliveries failed, %d events at first", delivered, failed, first)
	}
	busy = false
	w.Logs.Reset()
	if delivered, failed := w.RunStream(t); delivered != 8 || failed != 0 {
		t.Errorf("%d records delivered, %d deliveries failed", delivered, failed)
	}
	ids, heard := map[int64]string{}, map[int64]bool{}
	for _, e := range busEvents(t, w, from) {
		if earlier := ids[int64(e.Token.ID)]; earlier != "" && earlier != e.ID {
			t.Errorf("the event about %d has the ids %s and %s", e.Token.ID, earlier, e.ID)
		}
		ids[int64(e.Token.ID)], heard[int64(e.Token.ID)] = e.ID, true
	}
	for n, token := range tokens {
		if heard[token.ID] != (n != 7) {
			t.Errorf("token %d: heard of %t", n, heard[token.ID])
		}
	}
	if lines := w.Logs.String(); !strings.Contains(lines, `"EventsRefused":1`) || !strings.Contains(lines, `"code":"InvalidArgument"`) {
		t.Errorf("logged %s", lines)
	}
}

// Breaks if a bus that takes nothing for half a day stops all later events, or if nobody is told which
// events were given up.
func TestEventsAreGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	broken := true
	w.Bus.Refuse = func(cloud.BusEvent) string {
		if broken {
			return "InternalFailure"
		}
		return ""
	}
	for range 3 {
		if _, failed := w.RunStream(t); failed != 1 {
			t.Fatalf("%d deliveries failed", failed)
		}
	}
	w.Clock.Advance(12 * time.Hour)
	if _, failed := w.RunStream(t); failed != 1 || len(unsent(w)) != 0 {
		t.Fatalf("given up after twelve hours, not beyond: %v", unsent(w))
	}
	w.Clock.Advance(time.Second)
	_, _ = w.RunStream(t)
	given := unsent(w)
	if len(given) != 1 || !strings.Contains(given[0], "SequenceNumber") || strings.Contains(given[0], "TOKEN#") {
		t.Fatalf("given up: %v", given)
	}
	broken = false
	ann := newAccount(t, w, "ann")
	from := 0
	wantEvents(t, w, &from, fmt.Sprintf("token.created %d", ann.TokenID))
}

// unsent returns the messages about events that were given up.
func unsent(w *localtest.World) (bodies []string) {
	for _, message := range w.Queues.Messages(cloud.ARN("sqs", "latchkey-Events-UnsentEvents")) {
		bodies = append(bodies, message.Body)
	}
	return bodies
}

// Breaks if events are lost when more happens than one call of the function or one request of the bus takes.
func TestAFloodOfEvents(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	ann := newAccount(t, w, "ann")
	from, lines := len(busEvents(t, w, 0)), []string{}
	for n := range 120 {
		token := newToken(t, w, ann.ID, fmt.Sprint("t", n), "2026-09-01")
		lines = append(lines, fmt.Sprintf("token.created %d", token.ID))
	}
	wantEvents(t, w, &from, lines...)
}
