//go:build acceptance

package page_test

import (
	"fmt"
	"strings"

	"latchkey/pkg/settings"
)

// manage makes and revokes a token of a project, as a maintainer.
func (r *reader) manage() {
	r.Helper()
	r.press("Projects")
	r.judge("no projects")
	var group, project struct{ ID int64 }
	r.post("/api/v4/groups", `{"name":"Acme","path":"acme"}`, &group)
	r.post("/api/v4/projects", fmt.Sprintf(`{"name":"Web","path":"web","namespace_id":%d}`, group.ID), &project)
	r.post(fmt.Sprintf("/api/v4/groups/%d/members", group.ID), fmt.Sprintf(`{"user_id":%s,"access_level":50}`, r.account("kim")), &struct{}{})
	r.press("Projects")
	r.sees("acme/web")
	r.judge("projects")
	r.press("acme/web")
	r.sees("This project has no token that works")
	r.judge("empty list of a project")
	r.press("New token")
	r.fill("name", "deploy to staging")
	r.tick("access_level", "30")
	r.tick("expires", "30")
	r.tick("scopes[]", "read_api")
	r.judge("new token of a project")
	r.press("Create token")
	bearer := r.taken()
	if !strings.HasPrefix(bearer, "lkprj_") || !r.works(bearer) {
		r.Error("the project's token does not work")
	}
	r.press("I have stored it")
	r.seesNot(bearer)
	r.back()
	r.seesNot(bearer)
	r.judge("token of a project")
	r.open(fmt.Sprintf("/-/projects/%d/access_tokens", project.ID))
	r.judge("list of a project")
	r.press("Members")
	r.sees("deploy to staging", "bot")
	r.judge("members")
	r.press("“deploy to staging”")
	r.press("Rotate")
	r.judge("rotate of a project")
	r.tick("overlap", "0")
	r.press("Rotate token")
	next := r.taken()
	if r.works(bearer) || !r.works(next) {
		r.Error("rotation without an overlap")
	}
	r.press("I have stored it")
	r.press("Revoke…")
	r.judge("revoke of a project")
	r.press("Revoke token")
	if r.works(next) {
		r.Error("the project's revoked token works")
	}
	r.open(fmt.Sprintf("/-/groups/%d/access_tokens", group.ID))
	r.judge("list of a group")
}

// administer does what administrators do: impersonation, blocking, revoking everything of somebody, settings,
// features, the audit trail.
func (r *reader) administer() {
	r.Helper()
	id := r.account("kim")
	held := r.give(id, "laptop", `"api"`, "2026-03-30")
	r.signIn("Root")
	r.press("Administration")
	r.judge("users")
	r.fill("search", "kim")
	r.press("Show")
	r.press("@kim")
	r.sees("What belongs to it")
	r.judge("user")
	r.impersonate()
	r.open("/-/admin/tokens?owner=kim")
	r.sees("laptop")
	r.judge("all tokens")
	r.press("Works from anywhere no networks, not ended")
	r.sees("laptop")
	r.judge("tokens that work from anywhere")
	r.open("/-/admin/users/" + id)
	r.press("Block")
	r.sees("Blocked")
	if r.works(held) {
		r.Error("a blocked person's token works")
	}
	r.press("Unblock")
	if !r.works(held) {
		r.Error("unblocking does not bring the token back")
	}
	r.press("Revoke everything…")
	r.judge("revoke everything of somebody")
	r.fill("username", "kim")
	r.press("Revoke everything")
	if r.works(held) {
		r.Error("the token is still good")
	}
	r.set()
	r.press("Features")
	r.fill("name", "no_such_feature")
	r.press("Switch")
	r.sees("Nothing was switched")
	r.tick("force", "true")
	r.press("Switch")
	r.sees("no_such_feature")
	r.judge("features")
	r.press("Audit")
	r.sees("Download as CSV")
	r.judge("audit trail")
	r.press("Sign out")
	r.sees("You are signed out")
}

// impersonate makes and revokes an impersonation token, from a person's page on.
func (r *reader) impersonate() {
	r.Helper()
	r.press("Impersonation tokens")
	r.judge("impersonation tokens")
	r.press("New impersonation token")
	r.fill("name", "look into a ticket")
	r.tick("expires", "7")
	r.tick("scopes[]", "read_api")
	r.judge("new impersonation token")
	r.press("Create token")
	r.sees("Copy the new token")
	bearer := r.value("value")
	r.w.Logs.Secret(bearer)
	r.judge("impersonation token created")
	if !strings.HasPrefix(bearer, "lkimp_") || !r.works(bearer) {
		r.Error("the impersonation token does not work")
	}
	r.press("I have stored it")
	r.back()
	r.seesNot(bearer)
	r.sees("look into a ticket")
	r.judge("token of somebody")
	r.press("Revoke…")
	r.judge("revoke of somebody")
	r.press("Revoke token")
	if r.works(bearer) {
		r.Error("the revoked impersonation token works")
	}
}

// set lowers the limit on lifetimes, which asks again.
func (r *reader) set() {
	r.Helper()
	r.press("Settings")
	r.judge("settings")
	r.fill(settings.Lifetime, "90")
	r.press("Save")
	r.sees("Limit lifetimes to 90 days?")
	r.sees("If it started now, it would revoke")
	r.judge("settings that revoke")
	r.press("Save the new limit")
	r.sees("Saved")
	r.judge("settings saved")
}
