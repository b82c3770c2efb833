package gitlabapi_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"latchkey/pkg/directory"
	"latchkey/pkg/scope"
)

// demoted is a world in which deputy was an administrator until now, with the tokens "both" (sudo,
// read_service_ping, api), "sudo" and "mode".
func demoted(tb testing.TB) *world {
	tb.Helper()
	w := newWorld(tb)
	w.user(tb, "deputy", func(c *directory.Candidate) { c.Admin = true })
	w.issue(tb, "both", "deputy", scope.Sudo, "read_service_ping", scope.API, scope.SelfRotate)
	w.issue(tb, "sudo", "deputy", scope.Sudo)
	w.issue(tb, "mode", "deputy", "admin_mode", scope.ReadAPI)
	no := false
	var err error
	w.users["deputy"], err = w.accounts.Update(tb.Context(), w.as("root", w.tokens["root"]), w.users["deputy"].ID, directory.Change{Admin: &no})
	check(tb, err)
	return w
}

// Breaks if a scope that only administrators may hold opens something after a demotion, or comes
// back by rotation.
func TestADemotedAdministratorsScopesCountNoLonger(t *testing.T) {
	cut := func(w *world) string {
		var self []string
		for _, name := range []string{"both", "mode"} {
			got := throughLambda(t, w, request{function: "tokens", method: "GET", target: ownToken, bearer: name})
			self = append(self, fmt.Sprint(got.status, got.field(t, "scopes"), got.field(t, "effective_scopes")))
		}
		return strings.Join(self, "; ")
	}
	w := demoted(t)
	want := "200 [sudo read_service_ping api self_rotate] [api self_rotate]; 200 [admin_mode read_api] [read_api]"
	if got := cut(w); got != want {
		t.Errorf("self: %s\nwant: %s", got, want)
	}
	yes := true
	_, err := w.accounts.Update(t.Context(), w.as("root", w.tokens["root"]), w.users["deputy"].ID, directory.Change{Admin: &yes})
	check(t, err)
	want = "200 [sudo read_service_ping api self_rotate] [sudo read_service_ping api self_rotate]; 200 [admin_mode read_api] [admin_mode read_api]"
	if got := cut(w); got != want {
		t.Errorf("self of an administrator again: %s\nwant: %s", got, want)
	}

	w = demoted(t)
	for _, r := range []request{
		{function: "tokens", method: "GET", target: ownToken},
		{function: "revoke", method: "DELETE", target: ownToken},
		{function: "directory", method: "GET", target: "/api/v4/user"},
	} {
		r.bearer = "sudo"
		if got := throughLambda(t, w, r); got.status != 403 || got.field(t, "error") != "insufficient_scope" {
			t.Errorf("%s with a token none of whose scopes count: %s", r.target, got)
		}
	}
	got := throughLambda(t, w, request{function: "tokens", method: "GET", target: everyToken + "?user_id=6", bearer: "root"})
	if !strings.Contains(got.body, `"scopes":["sudo"],"effective_scopes":[]`) {
		t.Errorf("the list of an administrator: %s", got)
	}
	next := throughLambda(t, w, request{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "both"})
	if fmt.Sprint(next.field(t, "scopes"), next.field(t, "effective_scopes")) != "[api self_rotate] [api self_rotate]" {
		t.Errorf("successor: %s", next)
	}
}

// As GitLab does. It counts only while the owner is an administrator.
func TestAdminModeMayBeStoredForAnybody(t *testing.T) {
	w := newWorld(t)
	got := throughLambda(t, w, request{function: "issue", method: "POST", target: forOwner, bearer: "root", json: `{"name":"n","scopes":["admin_mode","read_api"]}`})
	if got.status != 201 || fmt.Sprint(got.field(t, "scopes"), got.field(t, "effective_scopes")) != "[admin_mode read_api] [read_api]" {
		t.Errorf("got %s", got)
	}
	got = throughLambda(t, w, request{function: "issue", method: "POST", target: forOwner, bearer: "root", json: `{"name":"n","scopes":["sudo"]}`})
	if got.status != 400 && got.status != 422 {
		t.Errorf("got %s", got)
	}
}

// Breaks if a token with networks obtains one without, by any request of its own account.
func TestATokenWithNetworksStaysInThem(t *testing.T) {
	w := newWorld(t)
	w.restrict(t, "office", "192.0.2.0/24")
	w.withProjects(t)
	for _, r := range []request{
		{target: everyToken + "/" + ownerToken + "/rotate"},
		{target: "/api/v4/projects/8/access_tokens", json: `{"name":"n","scopes":["api"],"allowed_cidrs":["0.0.0.0/0"]}`},
		{target: ownTokens, json: `{"name":"n","scopes":["api"],"allowed_cidrs":["0.0.0.0/0"]}`},
	} {
		r.function, r.method, r.bearer = "issue", "POST", "office"
		got := throughLambda(t, w, r)
		if want := map[bool]int{true: 403, false: 400}[r.json == ""]; got.status != want {
			t.Errorf("%s is answered %s", r.target, got)
		}
	}
	got := throughLambda(t, w, request{function: "issue", method: "POST", target: "/api/v4/projects/8/access_tokens", bearer: "office", json: `{"name":"n","scopes":["api"]}`})
	if got.status != 201 || fmt.Sprint(got.field(t, "allowed_cidrs")) != "[192.0.2.0/24]" {
		t.Errorf("a token of a project: %s", got)
	}
}

// Breaks if whoever manages a project learns from where its other members work.
func TestEventsOfAProjectShowNoAddressOfOthers(t *testing.T) {
	w := newWorld(t)
	w.withProjects(t)
	create := post("issue", "/api/v4/projects/8/access_tokens", "", `{"name":"n","scopes":["api"]}`)
	for _, by := range []string{"root", "owner"} {
		create.bearer = by
		if got := throughLambda(t, w, create); got.status != 201 {
			t.Fatalf("got %s", got)
		}
	}
	ids := regexp.MustCompile(`"id":([0-9]+),"author_id":([0-9]+)`)
	for by, want := range map[string]map[string]any{
		"owner": {"1": nil, "2": inside},
		"root":  {"1": inside, "2": inside},
	} {
		list := throughLambda(t, w, get("settings", "/api/v4/projects/8/audit_events", by))
		found := ids.FindAllStringSubmatch(list.body, -1)
		if len(found) != 2 {
			t.Fatalf("got %s", list)
		}
		for _, event := range found {
			one := throughLambda(t, w, get("settings", "/api/v4/projects/8/audit_events/"+event[1], by))
			details, _ := one.field(t, "details").(map[string]any)
			if details["ip_address"] != want[event[2]] {
				t.Errorf("%s sees %v of account %s", by, details["ip_address"], event[2])
			}
		}
		if shown, all := strings.Count(list.body, inside), map[string]int{"owner": 1, "root": 2}[by]; shown != all {
			t.Errorf("the list of %s shows %d addresses, want %d", by, shown, all)
		}
	}
}

// A note may be long, and only administrators read it.
func TestALongNote(t *testing.T) {
	w := newWorld(t)
	note := strings.Repeat("n", 60_000)
	if got := throughLambda(t, w, request{function: "directory", method: "PUT", target: "/api/v4/users/1", bearer: "root", json: `{"note":"` + note + `"}`}); got.status != 200 || got.field(t, "note") != note {
		t.Fatalf("status %d", got.status)
	}
	for target, want := range map[string]int{"/user": 60_000, "/users/1": 60_000, "/users?username=root": 10_000, "/users": 10_000} {
		got := throughLambda(t, w, get("directory", "/api/v4"+target, "root"))
		if shown := strings.Count(got.body, "nnnnnnnnnn") * 10; got.status != 200 || shown != want {
			t.Errorf("%s: %d with %d characters of the note, want %d", target, got.status, shown, want)
		}
	}
}
