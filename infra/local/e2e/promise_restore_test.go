package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local/identities"
	"latchkey/infra/local/localtest"
)

// walk invokes a payload of lifetime until it is done, and returns the sums of its counts. A busy engine may
// interrupt a call, which an operator then repeats: what that call had ended is in no count, and the sums
// say that they are interrupted.
func walk(tb testing.TB, w *localtest.World, payload map[string]any) map[string]float64 {
	tb.Helper()
	sums := map[string]float64{}
	for range 20 {
		out, err := console(tb, w, "lifetime", encode(tb, payload))
		if err != nil && strings.Contains(err.Error(), "unavailable") {
			sums["interrupted"] = 1
			continue
		}
		if err != nil {
			tb.Fatal(err)
		}
		var reply map[string]any
		decode(tb, out, &reply)
		for name, value := range reply {
			if n, number := value.(float64); number && name != "after" {
				sums[name] += n
			}
		}
		if reply["done"] == true {
			return sums
		}
		payload["after"] = reply["after"]
		if before, some := reply["made_before"]; some {
			payload["made_before"] = before
		}
	}
	tb.Fatal("the walk does not end")
	return nil
}

// A restored is a Latchkey of before and one on the table that was restored, and what has ended between the
// restored second and the loss.
type restored struct {
	old, now *localtest.World
	ended    map[string]string // bearers by how they ended
	kept     map[string]string
	second   string
	lowered  holder
}

// newRestored makes the worlds. In the restored one everything works that has ended.
func newRestored(t *testing.T, w *localtest.World) restored {
	t.Helper()
	p := newPlace(t, w)
	r := restored{old: w, ended: map[string]string{}, kept: map[string]string{}}
	account := func(name string) holder { return newAccount(t, w, name) }
	users := map[string]holder{}
	for _, name := range []string{"in-bulk", "blocked", "deactivated", "deleted", "lowered", "removed"} {
		users[name] = account(name)
	}
	revoked := newToken(t, w, root.ID, "revoked", "2026-09-01")
	rotated := newToken(t, w, root.ID, "rotated", "2026-09-01", "api", "self_rotate")
	impersonation := newImpersonation(t, w, users["lowered"].ID, "impersonation")
	bot, keptBot := p.ofResource(t, "project", "ended"), p.ofResource(t, "group", "kept")
	kept := account("kept")
	member := fmt.Sprintf("/api/v4/groups/%d/members", p.group)
	for _, name := range []string{"lowered", "removed"} {
		want(t, w, root.Bearer, "POST", member, encode(t, map[string]any{"user_id": users[name].ID, "access_level": 40}), http.StatusCreated)
	}
	want(t, w, root.Bearer, "PUT", fmt.Sprintf("/api/v4/users/%d", users["lowered"].ID), `{"admin":true}`, http.StatusOK)

	w.Clock.Set(w.Clock.Now().Add(time.Minute))
	r.second = w.Clock.Now().Format(time.RFC3339)
	table := w.Copy(t)
	w.Clock.Set(w.Clock.Now().Add(time.Minute))

	path := func(name, more string) string { return fmt.Sprintf("/api/v4/users/%d%s", users[name].ID, more) }
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", revoked.ID), "", http.StatusNoContent)
	want(t, w, rotated.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusOK)
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens/%d", users["lowered"].ID, impersonation.ID), "", http.StatusNoContent)
	tokens, by := p.tokensOf("project")
	want(t, w, by, "DELETE", fmt.Sprintf("%s/%d", tokens, bot.ID), "", http.StatusNoContent)
	want(t, w, root.Bearer, "DELETE", path("in-bulk", "/personal_access_tokens"), "", http.StatusNoContent)
	want(t, w, root.Bearer, "POST", path("blocked", "/block"), "", http.StatusCreated)
	want(t, w, root.Bearer, "POST", path("deactivated", "/deactivate"), "", http.StatusCreated)
	want(t, w, root.Bearer, "DELETE", path("deleted", ""), "", http.StatusNoContent)
	want(t, w, root.Bearer, "PUT", path("lowered", ""), `{"admin":false}`, http.StatusOK)
	want(t, w, root.Bearer, "PUT", fmt.Sprintf("%s/%d", member, users["lowered"].ID), `{"access_level":10}`, http.StatusOK)
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("%s/%d", member, users["removed"].ID), "", http.StatusNoContent)

	for name, bearer := range map[string]string{
		"revoked": revoked.Token, "rotated": rotated.Token, "impersonation": impersonation.Token, "bot": bot.Token,
		"in bulk": users["in-bulk"].Bearer, "blocked": users["blocked"].Bearer, "deactivated": users["deactivated"].Bearer, "deleted": users["deleted"].Bearer,
	} {
		r.ended[name] = bearer
	}
	for name, bearer := range map[string]string{"root": root.Bearer, "kept": kept.Bearer, "bot of a group": keptBot.Token, "lowered": users["lowered"].Bearer, "removed": users["removed"].Bearer} {
		r.kept[name] = bearer
	}
	r.lowered = users["lowered"]
	r.now = w.Restored(t, table)
	r.check(t, "restored", r.ended, true)
	r.check(t, "restored", r.kept, true)
	if got := r.now.Do(t, users["lowered"].Bearer, "GET", "/api/v4/application/settings", ""); got.Status != http.StatusOK {
		t.Fatalf("the lost rank is not restored: %d", got.Status)
	}
	return r
}

// check asks in every way whether the bearers work in the restored world.
func (r restored) check(t *testing.T, when string, bearers map[string]string, allowed bool) {
	t.Helper()
	for name, bearer := range bearers {
		for number, ask := range checksOf(r.now, bearer) {
			if strings.Contains(name, "bot") && number < 2 {
				continue // its reach has no orders
			}
			if got, err := ask(t.Context()); err != nil || got != allowed {
				t.Errorf("%s: %s, check %d: allowed %t, %v", when, name, number, got, err)
			}
		}
	}
}

// settled lets instances forget the settings that they know.
func (r restored) settled() { r.now.Clock.Set(r.now.Clock.Now().Add(time.Minute)) }

// Breaks if a token, a person, a rank or a member that had ended works again after a restore although the
// table of before still says that it has ended, or if anything else ends.
func TestCarryOverEndsWhatHadEnded(t *testing.T) {
	t.Parallel()
	inBothEngines(t, func(t *testing.T, w *localtest.World) {
		r := newRestored(t, w)
		payload := func(more map[string]any) map[string]any {
			whole := map[string]any{"action": "carry_over", "restored_to": r.second}
			for name, value := range more {
				whole[name] = value
			}
			return whole
		}
		if _, err := console(t, r.old, "lifetime", encode(t, payload(nil))); err == nil || !strings.Contains(err.Error(), "OldTable") {
			t.Errorf("without an old table: %v", err)
		}
		if _, err := console(t, r.now, "lifetime", `{"action":"carry_over"}`); err == nil || !strings.Contains(err.Error(), "restored_to") {
			t.Errorf("without an instant: %v", err)
		}
		counted := walk(t, r.now, payload(map[string]any{"count": true}))
		r.check(t, "counted", r.ended, true)
		carried := walk(t, r.now, payload(nil))
		wanted := map[string]float64{
			"tokens": 4, "tokens_rotated": 1, "bots": 1, "users_revoked_in_bulk": 1, "users_deleted": 1, "users_blocked": 2, "users_lowered": 1, "memberships": 2, "identities": 0,
		}
		whole := counted["interrupted"]+carried["interrupted"] == 0
		if whole && (fmt.Sprint(counted) != fmt.Sprint(wanted) || fmt.Sprint(carried) != fmt.Sprint(wanted)) {
			t.Errorf("counted %v and carried %v, want %v", counted, carried, wanted)
		}
		r.settled()
		r.check(t, "carried over", r.ended, false)
		r.check(t, "carried over", r.kept, true)
		if got := r.now.Do(t, r.kept["lowered"], "GET", "/api/v4/application/settings", ""); got.Status != http.StatusForbidden {
			t.Errorf("a lost rank: %d %s", got.Status, got.Body)
		}
		if got := r.now.Do(t, r.kept["removed"], "GET", "/api/v4/groups/1/members", ""); got.Status == http.StatusOK && strings.Contains(got.Body, `"removed"`) {
			t.Errorf("a removed member: %s", got.Body)
		}
		again := walk(t, r.now, payload(nil))
		for name, n := range again {
			if n != 0 && name != "interrupted" {
				t.Errorf("carried over again: %s %v", name, n)
			}
		}
		events := want(t, r.now, root.Bearer, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK)
		if n := strings.Count(events, `"event_name":"user_blocked","event_type"`); n != 1 {
			t.Errorf("%d events of a blocked user in %s", n, events)
		}
	})
}

// Breaks if any token or session from before a restore opens anything once every one was ended, or if nobody
// gets in afterwards.
func TestEverythingEndsAfterARestore(t *testing.T) {
	t.Parallel()
	inBothEngines(t, func(t *testing.T, w *localtest.World) {
		w.Identities.Say(identities.Person{Subject: "kim", Claims: map[string]any{
			"name": "Kim", "preferred_username": "kim", "email": "kim@example.test", "email_verified": true,
		}})
		kim := &visitor{w, map[string]string{}}
		const page = "/-/user_settings/personal_access_tokens"
		if at, _ := kim.signIn(t, page); !strings.HasSuffix(at, page) {
			t.Fatalf("signed in at %s", at)
		}
		r := newRestored(t, w)
		kim.w = r.now
		if at, _ := kim.follow(t, r.now.URL+page); !strings.HasSuffix(at, page) {
			t.Fatalf("the session is not restored: at %s", at)
		}
		counted := walk(t, r.now, map[string]any{"action": "end_every_token", "count": true})
		r.check(t, "counted", r.kept, true)

		// One call is enough for no check to pass, whatever becomes of the walk.
		var first struct {
			MadeBefore string `json:"made_before"`
		}
		decode(t, mustConsole(t, r.now, "lifetime", map[string]any{"action": "end_every_token", "after": 2147483647, "made_before": r.now.Clock.Now().Add(time.Minute).Format(time.RFC3339)}), &first)
		r.settled()
		r.check(t, "the settings alone", r.ended, false)
		r.check(t, "the settings alone", r.kept, false)
		if at, _ := kim.follow(t, r.now.URL+page); !strings.Contains(at, "/-/sign_in") {
			t.Errorf("the session opens %s", at)
		}
		// Not even an administrator's new bearer revives one by rotation.
		payload := map[string]any{"action": "create_token", "username": "root", "name": "afterwards", "scopes": []string{"api"}}
		var anew personalToken
		decode(t, mustConsole(t, r.now, "issue", payload), &anew)
		want(t, r.now, anew.Token, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", r.lowered.TokenID), "", http.StatusBadRequest)
		// The settings keep the end when an administrator changes them.
		want(t, r.now, anew.Token, "PUT", "/api/v4/application/settings", `{"rotation_window_seconds":5}`, http.StatusOK)
		r.settled()
		r.check(t, "with changed settings", r.kept, false)

		ended := walk(t, r.now, map[string]any{"action": "end_every_token", "made_before": first.MadeBefore})
		if whole := counted["interrupted"]+ended["interrupted"] == 0; whole && (fmt.Sprint(counted) != fmt.Sprint(ended) || ended["bots"] != 2 || ended["tokens"] < float64(len(r.ended)+len(r.kept))) {
			t.Errorf("counted %v and ended %v", counted, ended)
		}
		r.check(t, "ended", r.ended, false)
		r.check(t, "ended", r.kept, false)
		for name, n := range walk(t, r.now, map[string]any{"action": "end_every_token", "made_before": first.MadeBefore}) {
			if n != 0 && name != "interrupted" {
				t.Errorf("ended again: %s %v", name, n)
			}
		}
		list := want(t, r.now, anew.Token, "GET", "/api/v4/personal_access_tokens?state=active", "", http.StatusOK)
		var active []personalToken
		if decode(t, list, &active); len(active) != 1 || active[0].ID != anew.ID {
			t.Errorf("active are %s", list)
		}
		want(t, r.now, anew.Token, "POST", "/api/v4/users/1/personal_access_tokens", `{"name":"next","scopes":["api"]}`, http.StatusCreated)
		if got := want(t, r.now, anew.Token, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK); !strings.Contains(got, "tokens_from") {
			t.Errorf("the end of everything has no event: %s", got)
		}
	})
}

// Breaks if an operator is told that something has ended when it was only counted, or cannot go on after a
// failure.
func TestStepsOfARestore(t *testing.T) {
	t.Parallel()
	r := newRestored(t, localtest.Start(t, localtest.Options{}))
	stack := map[string]string{"LifetimeFunctionName": "lifetime"}
	for _, step := range []struct {
		environ []string
		refused bool
		says    []string
	}{
		{[]string{"STEP=carry-over"}, true, []string{"Say which step", "RESTORED_TO"}},
		{[]string{"STEP=carry-over", "RESTORED_TO=yesterday"}, true, []string{"restored_to must be the instant"}},
		{[]string{"STEP=compare", "RESTORED_TO=" + r.second}, false, []string{"Nothing was changed", "tokens: 4", "users deleted: 1"}},
		{[]string{"STEP=carry-over", "RESTORED_TO=" + r.second}, false, []string{"This has ended", "tokens: 4", "users deleted: 1"}},
		{[]string{"STEP=count"}, false, []string{"Nothing was changed", "bots: 1"}},
		{[]string{"STEP=end"}, false, []string{"This has ended", "bots: 1", "made at 2026-03-19T08:0"}},
		{[]string{"STEP=end", "MADE_BEFORE=2026-03-19T08:04:00Z"}, false, []string{"tokens: 0", "made at 2026-03-19T08:04:00Z"}},
	} {
		out, err := operate(t, r.now, "restore", stack, step.environ...)
		if (err != nil) != step.refused {
			t.Errorf("%v: %v %s", step.environ, err, out)
		}
		for _, says := range step.says {
			if !strings.Contains(out, says) {
				t.Errorf("%v does not say %q: %s", step.environ, says, out)
			}
		}
	}
}
