package gitlabapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

const (
	inside     = "192.0.2.1" // where the world's gateway says that requests come from
	outside    = "203.0.113.9"
	restricted = `{"name":"n","scopes":["api"],"allowed_cidrs":["192.0.2.0/24","2001:DB8::1"]}`
)

// restrict makes a token of owner that is good from networks only.
func (w *world) restrict(tb testing.TB, name string, texts ...string) {
	tb.Helper()
	networks, err := token.ParseNetworks(texts)
	check(tb, err)
	user, err := w.table.Account(tb.Context(), w.users["owner"].ID)
	check(tb, err)
	issued, err := w.issuer.CreateByConsole(tb.Context(), "", user, lifecycle.Spec{
		Name: name, Scopes: scope.Set{scope.API, scope.SelfRotate}, ExpiresOn: clock.DayOf(now).AddDays(100), Networks: networks,
	}, "")
	check(tb, err)
	w.bearers[name], w.tokens[name] = issued.Bearer.Reveal(), issued.Token
	w.logs.secret(w.bearers[name])
}

// throughGateway sends a request that the gateway reports to be from an
// address.
func throughGateway(tb testing.TB, w *world, r request, from any) response {
	tb.Helper()
	event := r.event(w)
	told := event["requestContext"].(map[string]any)
	told["identity"] = map[string]any{"sourceIp": from}
	return throughGatewayOf(tb, w, "issue", event)
}

func throughGatewayOf(tb testing.TB, w *world, function string, event map[string]any) response {
	tb.Helper()
	return invoke(tb, gitlabapi.Lambda(w.function(function), nil), event["httpMethod"].(string), event)
}

func networkCases() []replyCase {
	var cases []replyCase
	add := func(name string, r request, before func(testing.TB, *world)) {
		cases = append(cases, replyCase{name: "networks " + name, request: r, before: before})
	}
	create := func(target, bearer, networks string) request {
		return post("issue", target, bearer, `{"name":"n","scopes":["api"],"allowed_cidrs":`+networks+`}`)
	}
	elsewhere := func(tb testing.TB, w *world) { w.restrict(tb, "restricted", "203.0.113.0/24") }
	add("create", post("issue", forOwner, "root", restricted), nil)
	add("create for self", post("issue", ownTokens, "owner", restricted), nil)
	add("create for impersonation", post("issue", impersonations, "root", restricted), nil)
	add("create for a project", post("issue", ofWeb, "owner", restricted), func(tb testing.TB, w *world) { w.withProjects(tb) })
	add("create from a form", request{
		function: "issue", method: "POST", target: forOwner, bearer: "root",
		form: "name=n&scopes=api&allowed_cidrs[]=10.0.0.0/8&allowed_cidrs[]=192.0.2.1",
	}, nil)
	add("create from a list with commas", create(forOwner, "root", `"10.0.0.0/8, 192.0.2.1"`), nil)
	add("create with an empty list", create(forOwner, "root", `[]`), nil)
	add("create with an empty text", create(forOwner, "root", `""`), nil)
	add("create with an empty text in a form", request{
		function: "issue", method: "POST", target: forOwner, bearer: "root", form: "name=n&scopes=api&allowed_cidrs[]=",
	}, nil)
	add("create with null", create(forOwner, "root", `null`), nil)
	add("create with what is no network", create(forOwner, "root", `["10.0.0.0/8","office"]`), nil)
	add("create with a number", create(forOwner, "root", `[10]`), nil)
	add("create with too many", create(forOwner, "root", `["10.0.0.0/8"`+strings.Repeat(`,"10.0.0.0/8"`, token.MaxNetworks)+`]`), nil)
	add("create for impersonation with what is no network", create(impersonations, "root", `["x"]`), nil)
	add("create for a project with what is no network", create(ofWeb, "owner", `["x"]`), func(tb testing.TB, w *world) { w.withProjects(tb) })
	add("use elsewhere", get("tokens", ownToken, "restricted"), elsewhere)
	add("rotate elsewhere", post("issue", ownToken+"/rotate", "restricted", ""), elsewhere)
	add("get", get("tokens", everyToken+"/8388616", "owner"), elsewhere)
	add("rotate by id", post("issue", everyToken+"/8388616/rotate", "owner", ""), elsewhere)
	return cases
}

// Breaks if a token is good outside of its networks at the management API, or
// a client can write where it comes from.
func TestTheGatewaysAddressDecides(t *testing.T) {
	w := newWorld(t)
	w.restrict(t, "restricted", "192.0.2.0/24", "2001:db8::/32")
	create := func(more string) request {
		return post("issue", ownTokens, "restricted", `{"name":"n","scopes":["api"]`+more+`}`)
	}
	for from, want := range map[any]int{
		inside: 201, "192.0.2.255": 201, "::ffff:192.0.2.1": 201, "2001:db8::1": 201,
		outside: 403, "192.0.3.0": 403, "2001:db9::": 403, "": 403, "192.0.2.1:443": 403, " 192.0.2.1": 403, nil: 403,
	} {
		if got := throughGateway(t, w, create(""), from); got.status != want {
			t.Errorf("from %v: %s", from, got)
		}
	}
	spoofed := create("")
	spoofed.header = http.Header{
		"X-Forwarded-For": {inside}, "X-Real-Ip": {inside}, "Forwarded": {"for=" + inside}, "True-Client-Ip": {inside},
		"Cf-Connecting-Ip": {inside}, "X-Client-Ip": {inside}, "X-Amzn-Source-Ip": {inside},
	}
	if got := throughGateway(t, w, spoofed, outside); got.status != 403 {
		t.Errorf("with headers: %s", got)
	}
	if got := throughGateway(t, w, create(`,"sourceIp":"`+inside+`","source_ip":"`+inside+`"`), outside); got.status != 403 {
		t.Errorf("with parameters: %s", got)
	}

	// A token for oneself stays where the presented one may be used.
	made := throughGateway(t, w, create(""), inside)
	w.learn(t, "made", made)
	if got := throughGateway(t, w, post("issue", ownTokens, "made", `{}`), outside); got.status != 403 {
		t.Errorf("a token that a restricted one has made: %s", got)
	}
	if got := throughGateway(t, w, create(`,"allowed_cidrs":["0.0.0.0/0"]`), inside); got.status != 400 || got.field(t, "error") != "allowed_cidrs has to lie within those of the presented token" {
		t.Errorf("a wider one: %s", got)
	}
	if got := throughGateway(t, w, create(`,"allowed_cidrs":"192.0.2.1"`), inside); got.status != 201 {
		t.Errorf("a narrower one: %s", got)
	}
}

// The reply to a rotation that was lost is for whoever made the rotation. An
// old bearer and its key from elsewhere are reuse.
func TestNoReplyAgainFromElsewhere(t *testing.T) {
	w := newWorld(t)
	w.restrict(t, "restricted", "192.0.2.0/24")
	rotate := post("issue", ownToken+"/rotate", "restricted", "")
	rotate.header = header(keyHeader, "k")
	first := throughGateway(t, w, rotate, inside)
	w.learn(t, "fresh", first)
	if again := throughGateway(t, w, rotate, inside); again.status != 200 || again.body != first.body {
		t.Fatalf("from the same network: %s", again)
	}
	if got := throughGateway(t, w, rotate, outside); got.status != 401 || !strings.Contains(got.body, "revoked") {
		t.Errorf("from elsewhere: %s", got)
	}
	if got := throughGateway(t, w, post("issue", ownToken+"/rotate", "fresh", ""), inside); got.status != 401 {
		t.Errorf("the successor gets %s", got)
	}
}

// The owner of a token that is used from elsewhere has to find out, and nobody may
// fill the trail with it.
func TestAttemptsFromElsewhereAreWrittenDown(t *testing.T) {
	w := newWorld(t)
	w.notes = trail.NewNotes(latest{w})
	w.restrict(t, "restricted", "192.0.2.0/24")
	attempt := func() {
		t.Helper()
		if got := throughGateway(t, w, post("issue", ownTokens, "restricted", `{}`), outside); got.status != 403 {
			t.Errorf("got %s", got)
		}
	}
	want := fmt.Sprintf("personal_access_token_address_refused policy account/2 by 0, with %d, from %s, in 11111111-2222-4333-8444-555555555555, token %[1]d, target restricted",
		w.tokens["restricted"].ID, outside)
	w.told(t)
	for _, omitted := range []string{"", ", omitted 2"} {
		for range 3 {
			attempt()
		}
		if got := w.told(t); !slices.Equal(got, []string{want + omitted}) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
		w.clock.Advance(time.Minute)
	}
	w.breakEngine(func(operation string) bool { return operation == "TransactWriteItems" })
	w.logs.reset()
	attempt()
	if logged := w.logs.String(); !strings.Contains(logged, `"msg":"event not recorded"`) {
		t.Errorf("logged %s", logged)
	}
}

func TestTheConsoleRestricts(t *testing.T) {
	w := newWorld(t)
	create := func(networks string) (string, error) {
		out, err := w.consoles()["issue"].Invoke(t.Context(), []byte(`{"action":"create_token","username":"owner","name":"n","scopes":["api"],"allowed_cidrs":`+networks+`}`))
		return string(out), err
	}
	if out, err := create(`["192.0.2.1"]`); err != nil || !strings.Contains(out, `"allowed_cidrs":["192.0.2.1/32"]`) {
		t.Errorf("%s, %v", out, err)
	}
	before := w.snapshot(t)
	for _, networks := range []string{`["office"]`, `[""]`, `[]`, `"192.0.2.1"`} {
		if out, err := create(networks); err == nil {
			t.Errorf("%s: %s", networks, out)
		}
	}
	if w.snapshot(t) != before {
		t.Error("refused and written")
	}
}

// An administrator looks for tokens that work from anywhere. A value that is not understood must
// not pass for "none are left".
func TestTokensWithoutNetworks(t *testing.T) {
	w := newWorld(t)
	list := func(query, bearer string) response {
		return throughLambda(t, w, request{function: "tokens", method: "GET", target: everyToken + "?" + query, bearer: bearer})
	}
	everyone, own := list("", "root").header.Get("X-Total"), list("", "owner").header.Get("X-Total")
	w.restrict(t, "tied", "192.0.2.0/24")
	for bearer, before := range map[string]string{"root": everyone, "owner": own} {
		if got := list("networks=none", bearer); got.header.Get("X-Total") != before {
			t.Errorf("%s: %s without networks, want %s", bearer, got.header.Get("X-Total"), before)
		}
		if got := list("networks=", bearer); got.header.Get("X-Total") == before {
			t.Errorf("%s: an empty filter hides the token with a network", bearer)
		}
		for _, bad := range []string{"192.0.2.0/24", "None", "any"} {
			if got := list("networks="+bad, bearer); got.status != 400 || got.field(t, "error") != "networks does not have a valid value" {
				t.Errorf("%s, networks=%s: %s", bearer, bad, got)
			}
		}
		if got := list("unused_since=soon", bearer); got.status != 400 {
			t.Errorf("%s: unused_since=soon: %s", bearer, got)
		}
	}
}
