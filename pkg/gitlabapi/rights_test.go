package gitlabapi_test

import (
	"fmt"
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
	w.restrict(t, "office", inside+"/24")
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
