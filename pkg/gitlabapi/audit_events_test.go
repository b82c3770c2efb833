package gitlabapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/feature"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/settings"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
)

const (
	everyEvent  = "/api/v4/audit_events"
	ownEvents   = "/api/v4/user/audit_events"
	ownersTrail = "/api/v4/users/2/audit_events"
	websTrail   = "/api/v4/projects/acme%2Fweb/audit_events"
	acmesTrail  = "/api/v4/groups/acme/audit_events"
)

// story lets something happen, a second after the other, whose events lists
// show.
var story = stage(func(tb testing.TB, w *world) {
	tb.Helper()
	w.withProjects(tb)
	root, owner := w.as("root", w.tokens["root"]), w.as("owner", w.tokens["owner"])
	request := principal.Request{ID: "a-request", Address: netip.MustParseAddr("192.0.2.7")}
	root.Request, owner.Request = request, request
	next := func() context.Context {
		w.clock.Advance(time.Second)
		return tb.Context()
	}
	_, err := w.issuer.CreateFor(next(), root, w.users["owner"].ID, lifecycle.Spec{Name: "nightly", Scopes: w.tokens["owner"].Scopes[:1]})
	check(tb, err)
	_, err = w.issuer.Rotate(next(), owner, w.tokens["reading"].ID, lifecycle.Rotation{})
	check(tb, err)
	_, err = w.revoker.Revoke(next(), root.As(w.users["owner"]), w.tokens["registry"].ID, lifecycle.Alone)
	check(tb, err)
	impersonation, err := w.issuer.CreateImpersonation(next(), root, w.users["owner"].ID, lifecycle.Spec{Name: "look", Scopes: w.tokens["owner"].Scopes[:1]})
	check(tb, err)
	acting := w.as("owner", impersonation.Token)
	acting.Request = request
	_, err = w.issuer.CreateForProject(next(), acting, project.KindProject, "8", lifecycle.ProjectSpec{
		Spec: lifecycle.Spec{Name: "deploy", Scopes: w.tokens["owner"].Scopes[:1]}, Level: project.Developer,
	})
	check(tb, err)
	_, err = w.accounts.Block(next(), root, w.users["other"].ID)
	check(tb, err)
	off := false
	_, err = w.administration.Update(next(), root, settings.Change{ExpiryRequired: &off})
	check(tb, err)
	check(tb, w.accounts.Delete(next(), root, w.users["sleeper"].ID))
	w.clock.Advance(time.Second)
})

func auditCases() []replyCase {
	var cases []replyCase
	add := func(name, target, bearer string, before ...func(testing.TB, *world)) {
		c := replyCase{name: "audit " + name, request: get("settings", target, bearer), before: story}
		if len(before) > 0 {
			c.before = before[0]
		}
		cases = append(cases, c)
	}
	add("everything", everyEvent, "root")
	add("first page", everyEvent+"?per_page=2", "root reading")
	add("second page", everyEvent+"?per_page=2&page=2&created_after=2026-03-19T08:00:04Z", "root")
	add("last page", everyEvent+"?per_page=4&page=2&created_after=2026-03-19T08:00:01Z", "root")
	add("page behind the last", everyEvent+"?per_page=50&page=9", "root")
	add("between instants, both included", everyEvent+"?created_after=2026-03-19T08:00:02Z&created_before=2026-03-19T08:00:03Z", "root")
	add("before everything", everyEvent+"?created_before=2026-03-01", "root")
	add("of one type", everyEvent+"?entity_type=Project", "root")
	add("of the instance", everyEvent+"?entity_type=Gitlab%3A%3AAudit%3A%3AInstanceScope", "root")
	add("of one entity", everyEvent+"?entity_type=User&entity_id=3&per_page=1", "root")
	add("of a token", everyEvent+"?token_id="+readingToken, "root")
	add("of the token of a project", everyEvent+"?token_id=25165825", "root")
	add("of a token that is not there", everyEvent+"?token_id="+missingToken, "root")
	add("by an author", everyEvent+"?author_id=2", "root")
	add("by nobody", everyEvent+"?author_id=-1&per_page=1", "root")
	add("of a name", everyEvent+"?event_name=user_blocked", "root")
	add("of a name by somebody else", everyEvent+"?event_name=user_blocked&author_id=2", "root")
	add("of a name that is none", everyEvent+"?event_name=User_blocked", "root")
	add("with bad parameters", everyEvent+"?created_after=soon&created_before=x&token_id=0&author_id=-2&event_name=%00&entity_type=Robot&entity_id=-1&per_page=0&page=x", "root")
	add("of an entity of no type", everyEvent+"?entity_id=3", "root")
	add("too deep in a list", everyEvent+"?page=2000&per_page=100", "root")
	add("everything as nobody special", everyEvent, "owner")
	add("everything without a credential", everyEvent, "")
	add("everything without a sufficient scope", everyEvent, "profile")
	add("everything while the engine is away", everyEvent, "root", func(_ testing.TB, w *world) {
		w.breakEngine(func(operation string) bool { return operation == "Query" })
	})

	add("own", ownEvents+"?created_after=2026-03-19", "owner")
	add("own with the least scope", ownEvents+"?created_after=2026-03-19&per_page=1", "profile")
	add("own by an author", ownEvents+"?author_id=1", "owner")
	add("own of a name that only administrators see", ownEvents+"?event_name=impersonation_token_issued", "owner")
	add("own of a token", ownEvents+"?token_id="+readingToken, "owner")
	add("own without events", ownEvents+"?created_after=2026-03-19", "root")
	add("own without a sufficient scope", ownEvents, "registry")
	add("own with bad parameters", ownEvents+"?created_after=soon&per_page=0", "owner")

	add("of a user", ownersTrail+"?created_after=2026-03-19", "root")
	add("of a user who was deleted", "/api/v4/users/5/audit_events?per_page=1", "root")
	add("of a user who never was", "/api/v4/users/999/audit_events", "root")
	add("of no user", "/api/v4/users/x/audit_events", "root")
	add("of a user as nobody special", ownersTrail, "owner")

	add("of a project", websTrail, "owner")
	add("of a project, of a name by an author", websTrail+"?event_name=project_access_token_created&author_id=2", "owner")
	add("of a project as administrator", "/api/v4/projects/8/audit_events", "root")
	add("of a project at too low a level", websTrail, "other", func(tb testing.TB, w *world) { w.withProjects(tb) })
	add("of a project where one is no member", "/api/v4/projects/9/audit_events", "owner")
	add("of a project that is not there", "/api/v4/projects/99/audit_events", "owner")
	add("of a project that is a group", "/api/v4/projects/7/audit_events", "root")
	add("of a project with bad parameters", websTrail+"?created_before=x", "owner")
	add("of a group without events", acmesTrail, "root")
	add("of a group where one is no member", acmesTrail, "other", func(tb testing.TB, w *world) { w.withProjects(tb) })
	add("one event that is not there", everyEvent+"/321000000000001", "root")
	add("one event by no id", everyEvent+"/x", "root")
	add("one event as nobody special", everyEvent+"/x", "owner")
	add("one event of a project that is not there", websTrail+"/321000000000001", "owner")
	add("one event of a project where one is no member", "/api/v4/projects/9/audit_events/1", "owner")
	return cases
}

// told returns the events since the last call, oldest first, as lines.
func (w *world) told(tb testing.TB) []string {
	tb.Helper()
	var lines []string
	var last int64
	check(tb, w.table.EveryEvent(tb.Context(), audit.Period{From: now.AddDate(-1, 0, 0), To: now.AddDate(1, 0, 0)}, func(e audit.Event) bool {
		if e.ID <= w.lastEvent {
			return false
		}
		last = max(last, e.ID)
		line := fmt.Sprintf("%s %s %s/%d by %d", e.Name, e.Source, e.Entity.Type, e.Entity.ID, e.Author)
		for _, part := range []struct {
			word  string
			value any
			shown bool
		}{
			{"behind", e.Asker, e.Asker != 0}, {"with", e.Presented, e.Presented != 0}, {"from", e.Address, e.Address != ""},
			{"in", e.RequestID, e.RequestID != ""}, {"token", e.Token, e.Token != 0}, {"after", e.Previous, e.Previous != 0},
			{"target", e.Target, e.Target != ""}, {"change", e.Change + ":" + e.From + ":" + e.To, e.Change != ""},
			{"omitted", e.Omitted, e.Omitted != 0}, {"tokens", e.Tokens, e.Tokens != 0},
		} {
			if part.shown {
				line += fmt.Sprintf(", %s %v", part.word, part.value)
			}
		}
		lines = append(lines, line)
		return true
	}))
	w.lastEvent = max(last, w.lastEvent)
	slices.Reverse(lines)
	return lines
}

func withProjects(tb testing.TB, w *world) { w.withProjects(tb) }

// Every change says what it was, who did it and by what right; reading and what
// fails for other reasons say nothing.
func TestWhatIsWrittenDown(t *testing.T) {
	t.Parallel()
	const in = ", from 192.0.2.1, in 11111111-2222-4333-8444-555555555555"
	const asRoot, asOwner = ", with " + rootToken + in, ", with " + ownerToken + in
	asRootForOwner := ", behind 1" + asRoot
	for name, c := range map[string]struct {
		request
		header http.Header
		before func(testing.TB, *world)
		want   []string
	}{
		"create for a user": {request: post("issue", forOwner, "root", validCreation), want: []string{
			"personal_access_token_issued admin account/2 by 1" + asRoot + ", token 8388616, target nightly-export"}},
		"create for oneself": {request: post("issue", ownTokens, "owner", validCreation), want: []string{
			"personal_access_token_issued self account/2 by 2" + asOwner + ", token 8388616, target nightly-export"}},
		"create for oneself under sudo": {request: post("issue", ownTokens+"?sudo=owner", "root", `{"name":"n","scopes":["api"]}`), want: []string{
			"sudo_used admin account/2 by 1" + asRoot + ", target owner",
			"personal_access_token_issued admin account/2 by 2" + asRootForOwner + ", token 8388616, target n"}},
		"create with an address for a name": {request: post("issue", ownTokens, "owner", `{"name":"of owner@example.test","scopes":["api"]}`), want: []string{
			"personal_access_token_issued self account/2 by 2" + asOwner + ", token 8388616"}},
		"create for impersonation": {request: post("issue", "/api/v4/users/2/impersonation_tokens", "root", `{"name":"look","scopes":["api"]}`), want: []string{
			"impersonation_token_issued admin account/2 by 1" + asRoot + ", token 8388616, target look"}},
		"rotate oneself": {request: post("issue", ownToken+"/rotate", "rotating", ""), want: []string{
			"personal_access_token_rotated self account/2 by 2, with 8388612" + in + ", token 8388616, after 8388612, target of rotating"}},
		"rotate as administrator": {request: post("issue", everyToken+"/"+otherToken+"/rotate", "root", ""), want: []string{
			"personal_access_token_rotated admin account/3 by 1" + asRoot + ", token 12582914, after " + otherToken + ", target of other"}},
		"rotate with an impersonation token": {
			request: post("issue", ownToken+"/rotate", "impersonation", ""),
			before:  func(tb testing.TB, w *world) { w.impersonate(tb, "owner") },
			want:    []string{"impersonation_token_rotated admin account/2 by 2, behind 1, with 8388616" + in + ", token 8388617, after 8388616, target impersonation"}},
		"revoke one's own": {request: remove(everyToken+"/"+readingToken, "owner"), want: []string{
			"personal_access_token_revoked self account/2 by 2" + asOwner + ", token " + readingToken + ", target of reading"}},
		"revoke oneself": {request: remove(ownToken, "registry"), want: []string{
			"personal_access_token_revoked self account/2 by 2, with 8388613" + in + ", token 8388613, target of registry"}},
		"revoke as administrator": {request: remove(everyToken+"/"+otherToken, "root"), want: []string{
			"personal_access_token_revoked admin account/3 by 1" + asRoot + ", token " + otherToken + ", target of other"}},
		"revoke again": {request: remove(everyToken+"/"+revokedToken, "owner")},
		"use a token again after its end": {
			request: post("issue", ownToken+"/rotate", "rotating", ""),
			before: func(tb testing.TB, w *world) {
				throughLambda(tb, w, post("issue", ownToken+"/rotate", "rotating", ""))
			},
			want: []string{
				"personal_access_token_revoked reuse account/2 by 0, with 8388612" + in + ", token 8388616, target of rotating",
				"personal_access_token_reused reuse account/2 by 0, with 8388612" + in + ", token 8388612, target of rotating"}},
		"create for a project": {request: post("issue", ofWeb, "owner", wantedBot), before: func(tb testing.TB, w *world) { w.withProjects(tb) }, want: []string{
			"project_access_token_created manager project/8 by 2" + asOwner + ", token 25165825, target deploy-bot"}},
		"create for a group": {request: post("issue", ofAcme, "root", wantedBot), before: func(tb testing.TB, w *world) { w.withProjects(tb) }, want: []string{
			"group_access_token_created admin group/7 by 1" + asRoot + ", token 25165825, target deploy-bot"}},
		"rotate for a project": {request: post("issue", ofWeb+"/"+webToken+"/rotate", "owner", ""), before: botsOfWeb, want: []string{
			"project_access_token_rotated manager project/8 by 2" + asOwner + ", token 25165826, after 25165825, target web"}},
		"rotate a project's by itself": {request: post("issue", ownToken+"/rotate", "web", ""), before: botsOfWeb, want: []string{
			"project_access_token_rotated self project/8 by 6, with 25165825" + in + ", token 25165826, after 25165825, target web"}},
		"revoke for a project": {request: remove(ofWeb+"/"+webToken, "owner"), before: botsOfWeb, want: []string{
			"project_access_token_deleted manager project/8 by 2" + asOwner + ", token 25165825, target web"}},
		"revoke a group's by itself": {request: remove(ownToken, "acme"), before: botsOfWeb, want: []string{
			"group_access_token_deleted self group/7 by 8, with 33554433" + in + ", token 33554433, target acme"}},

		"create an account": {request: post("directory", "/api/v4/users", "root", `{"email":"new@example.test","name":"n","username":"new","password":"p"}`), want: []string{
			"user_created admin account/6 by 1" + asRoot + ", target new"}},
		"update an account": {
			request: request{function: "directory", method: "PUT", target: "/api/v4/users/3", bearer: "root",
				json: `{"email":"else@example.test","note":"a note","name":"New Name","admin":true}`},
			want: []string{
				"user_updated admin account/3 by 1" + asRoot + ", target other, change name:The other:New Name",
				"user_updated admin account/3 by 1" + asRoot + ", target other, change email::",
				"user_updated admin account/3 by 1" + asRoot + ", target other, change note::",
				"user_updated admin account/3 by 1" + asRoot + ", target other, change admin:false:true"}},
		"update nothing": {request: request{function: "directory", method: "PUT", target: "/api/v4/users/3", bearer: "root", json: `{"name":"The other"}`}},
		"block":          {request: post("directory", "/api/v4/users/3/block", "root", ""), want: []string{"user_blocked admin account/3 by 1" + asRoot + ", target other"}},
		"block again":    {request: post("directory", "/api/v4/users/4/block", "root", "")},
		"unblock":        {request: post("directory", "/api/v4/users/4/unblock", "root", ""), want: []string{"user_unblocked admin account/4 by 1" + asRoot + ", target blocked"}},
		"deactivate":     {request: post("directory", "/api/v4/users/3/deactivate", "root", ""), want: []string{"user_deactivated admin account/3 by 1" + asRoot + ", target other"}},
		"activate":       {request: post("directory", "/api/v4/users/5/activate", "root", ""), want: []string{"user_activated admin account/5 by 1" + asRoot + ", target sleeper"}},
		"activate again": {request: post("directory", "/api/v4/users/3/activate", "root", "")},
		"delete":         {request: request{function: "directory", method: "DELETE", target: "/api/v4/users/3", bearer: "root"}, want: []string{"user_destroyed admin account/3 by 1" + asRoot + ", target other"}},
		"delete a member of projects": {
			request: request{function: "directory", method: "DELETE", target: "/api/v4/users/3", bearer: "root"},
			before:  func(tb testing.TB, w *world) { w.withProjects(tb) },
			want: []string{"user_destroyed admin account/3 by 1" + asRoot + ", target other",
				"member_destroyed admin project/8 by 1" + asRoot + ", target other, change level:30:"}},
		"settings": {
			request: request{function: "settings", method: "PUT", target: "/api/v4/application/settings", bearer: "root",
				json: `{"require_personal_access_token_expiry":false,"personal_access_token_prefix":"acme_"}`},
			want: []string{
				"application_setting_updated admin instance/1 by 1" + asRoot + ", target expiry_required, change expiry_required:true:false",
				"application_setting_updated admin instance/1 by 1" + asRoot + ", target prefix, change prefix:lkpat_:acme_"}},

		"revoke everything of one's own": {request: remove("/api/v4/user/personal_access_tokens", "owner"), want: []string{
			"personal_access_tokens_revoked self account/2 by 2" + asOwner + ", target owner, tokens 5"}},
		"revoke everything as administrator": {request: remove("/api/v4/users/3/personal_access_tokens", "root"), want: []string{
			"personal_access_tokens_revoked admin account/3 by 1" + asRoot + ", target other, tokens 1"}},
		"rotate with an overlap": {request: post("issue", ownToken+"/rotate", "rotating", `{"overlap_seconds":60}`), want: []string{
			"personal_access_token_rotated self account/2 by 2, with 8388612" + in + ", token 8388616, after 8388612, target of rotating"}},

		"create a project": {request: post("directory", projects, "owner", `{"name":"Tools"}`), want: []string{
			"project_created self project/1 by 2" + asOwner + ", target owner/Tools"}},
		"create a project in a group": {request: post("directory", projects, "root", `{"name":"Tools","namespace_id":7}`), before: withProjects, want: []string{
			"project_created admin project/1 by 1" + asRoot + ", target acme/Tools"}},
		"create a group": {request: post("directory", groups, "owner", `{"name":"New","path":"new"}`), want: []string{
			"group_created self group/1 by 2" + asOwner + ", target new"}},
		"create a project where there is one": {request: post("directory", projects, "root", `{"name":"Web","path":"web","namespace_id":7}`), before: withProjects},
		"add a member": {request: post("directory", web+"/members", "owner", `{"username":"sleeper","access_level":20}`), before: withProjects, want: []string{
			"member_created manager project/8 by 2" + asOwner + ", target sleeper, change level::20"}},
		"add a member to a group": {request: post("directory", acme+"/members", "root", `{"user_id":5,"access_level":20}`), before: withProjects, want: []string{
			"member_created admin group/7 by 1" + asRoot + ", target sleeper, change level::20"}},
		"change a member": {request: put(web+"/members/3", "owner", `{"access_level":20,"expires_at":"2026-12-01"}`), before: withProjects, want: []string{
			"member_updated manager project/8 by 2" + asOwner + ", target other, change level:30:20",
			"member_updated manager project/8 by 2" + asOwner + ", target other, change expires_on::2026-12-01"}},
		"change nothing of a member": {request: put(web+"/members/3", "owner", `{"access_level":30}`), before: withProjects},
		"remove a member": {request: leave(web+"/members/3", "owner"), before: withProjects, want: []string{
			"member_destroyed manager project/8 by 2" + asOwner + ", target other, change level:30:"}},
		"leave": {request: leave(web+"/members/3", "other"), before: withProjects, want: []string{
			"member_destroyed self project/8 by 3, with " + otherToken + in + ", target other, change level:30:"}},
		"set a feature": {request: post("settings", "/api/v4/features/resource_access_token", "root", `{"value":false}`), want: []string{
			"feature_flag_set admin instance/1 by 1" + asRoot + ", target resource_access_token, change value::false for everybody"}},
		"set a feature for some": {request: post("settings", "/api/v4/features/resource_access_token", "root", `{"value":true,"user":"owner","project":"acme/web"}`), before: withProjects, want: []string{
			"feature_flag_set admin instance/1 by 1" + asRoot + ", target resource_access_token, change value::true for user 2, project 8"}},
		"delete a feature": {request: request{function: "settings", method: "DELETE", target: "/api/v4/features/resource_access_token", bearer: "root"},
			before: func(tb testing.TB, w *world) {
				check(tb, w.table.SetSwitches(tb.Context(), []feature.Switch{{Feature: feature.ProjectAccessToken}}, storetest.Event))
			}, want: []string{
				"feature_flag_deleted admin instance/1 by 1" + asRoot + ", target resource_access_token"}},
		"delete a feature that nobody has set": {request: request{function: "settings", method: "DELETE", target: "/api/v4/features/resource_access_token", bearer: "root"}},

		"sudo to look":              {request: get("directory", "/api/v4/user?sudo=3", "root"), want: []string{"sudo_used admin account/3 by 1" + asRoot + ", target other"}},
		"sudo to oneself":           {request: get("directory", "/api/v4/user?sudo=1", "root")},
		"sudo as nobody special":    {request: get("directory", "/api/v4/user?sudo=1", "owner"), want: []string{"sudo_refused self account/2 by 2" + asOwner}},
		"sudo without the scope":    {request: get("directory", "/api/v4/user?sudo=2", "root without sudo"), want: []string{"sudo_refused admin account/1 by 1, with 4194306" + in}},
		"sudo to nobody":            {request: get("directory", "/api/v4/user?sudo=token-string-here123", "root"), want: []string{"sudo_refused admin account/1 by 1" + asRoot}},
		"sudo to a blocked account": {request: get("directory", "/api/v4/user?sudo=blocked", "root"), want: []string{"sudo_refused admin account/1 by 1" + asRoot + ", target blocked"}},
		"sudo to create for others": {request: post("issue", forOwner+"?sudo=3", "root", validCreation), want: []string{
			"sudo_used admin account/3 by 1" + asRoot + ", target other",
			"personal_access_token_creation_failed admin account/3 by 3" + asRootForOwner}},
		"create for others as nobody special": {request: post("issue", "/api/v4/users/3/personal_access_tokens", "owner", validCreation), want: []string{"personal_access_token_creation_failed self account/2 by 2" + asOwner}},
		"create without the scope":            {request: post("issue", ownTokens, "reading", validCreation), want: []string{"personal_access_token_creation_failed self account/2 by 2, with " + readingToken + in}},
		"create for impersonation as nobody special": {request: post("issue", "/api/v4/users/2/impersonation_tokens", "owner", `{}`), want: []string{
			"impersonation_token_creation_failed self account/2 by 2" + asOwner}},
		"create for a project at too low a level": {request: post("issue", ofWeb, "other", wantedBot), before: func(tb testing.TB, w *world) { w.withProjects(tb) }, want: []string{
			"project_access_token_creation_failed self account/3 by 3, with " + otherToken + in}},
		"create above one's own level": {request: post("issue", ofWeb, "owner", `{"name":"n","scopes":["api"],"access_level":50}`), before: func(tb testing.TB, w *world) { w.withProjects(tb) }, want: []string{
			"project_access_token_creation_failed self account/2 by 2" + asOwner}},
		"create for a project without the scope": {request: post("issue", ofWeb, "reading", wantedBot), before: func(tb testing.TB, w *world) { w.withProjects(tb) }, want: []string{
			"project_access_token_creation_failed self account/2 by 2, with " + readingToken + in}},

		"create where there is nothing":    {request: post("issue", "/api/v4/projects/99/access_tokens", "owner", wantedBot)},
		"create while switched off":        {request: post("issue", ofWeb, "owner", wantedBot), before: switchedOff},
		"create with bad parameters":       {request: post("issue", ownTokens, "owner", `{}`)},
		"create against a rule":            {request: post("issue", ownTokens, "owner", `{"name":" ","scopes":["api"]}`)},
		"a wrong bearer":                   {request: request{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "no-such-bearer-anywhere")}},
		"a revoked bearer":                 {request: get("tokens", ownToken, "revoked")},
		"a blocked owner":                  {request: get("tokens", ownToken, "blocked")},
		"no credential":                    {request: get("tokens", ownToken, "")},
		"reading as nobody special":        {request: get("settings", everyEvent, "owner")},
		"reading":                          {request: get("settings", everyEvent, "root")},
		"revoking what is somebody else's": {request: remove(everyToken+"/"+otherToken, "owner")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.before != nil {
				c.before(t, w)
			}
			w.told(t)
			w.clock.Advance(time.Second) // told goes by ids, which are in order within one store only
			w.told(t)
			throughLambda(t, w, c.request)
			if got := w.told(t); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// A retry with its key gets the first reply again, and is no second event.
func TestARetryIsNoEvent(t *testing.T) {
	w := newWorld(t)
	w.told(t)
	r := post("issue", ownTokens, "owner", validCreation)
	r.header = header(keyHeader, "a-key")
	for range 3 {
		if got := throughLambda(t, w, r); got.status != 201 {
			t.Fatal(got)
		}
	}
	rotate := post("issue", ownToken+"/rotate", "rotating", "")
	rotate.header = header(keyHeader, "another-key")
	for range 3 {
		if got := throughLambda(t, w, rotate); got.status != 200 {
			t.Fatal(got)
		}
	}
	if got := w.told(t); len(got) != 2 {
		t.Errorf("events:\n%s", strings.Join(got, "\n"))
	}
}

// What an operator does has no author, and the id of the invocation.
func TestTheConsoleIsWrittenDown(t *testing.T) {
	w := newWorld(t)
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "an-invocation"})
	w.logs.secret("chosen-by-an-operator")
	for _, c := range []struct {
		function, payload string
		want              []string
	}{
		{"issue", `{"action":"create_administrator","username":"second","email":"second@example.test"}`, []string{
			"user_created console account/6 by 0, in an-invocation, target second",
			"personal_access_token_issued console account/6 by 0, in an-invocation, token 25165825, target first token"}},
		{"issue", `{"action":"create_token","username":"owner","name":"n","scopes":["api"],"value":"chosen-by-an-operator"}`, []string{
			"personal_access_token_issued console account/2 by 0, in an-invocation, token 8388616, target n"}},
		{"revoke", `{"action":"revoke_token","value":"chosen-by-an-operator"}`, []string{
			"personal_access_token_revoked console account/2 by 0, in an-invocation, token 8388616, target n"}},
		{"revoke", `{"action":"revoke_token","id":` + readingToken + `}`, []string{
			"personal_access_token_revoked console account/2 by 0, in an-invocation, token " + readingToken + ", target of reading"}},
		{"revoke", `{"action":"revoke_token","id":` + readingToken + `}`, nil},
		{"revoke", `{"action":"revoke_everything","username":"owner"}`, []string{
			"personal_access_tokens_revoked console account/2 by 0, in an-invocation, target owner, tokens 4"}},
	} {
		w.told(t)
		w.clock.Advance(time.Second)
		_, err := w.consoles()[c.function].Invoke(ctx, []byte(c.payload))
		check(t, err)
		if got := w.told(t); !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.payload, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// The address comes from the gateway alone. If this fails, whoever does harm
// chooses the address that the trail shows.
func TestTheAddressIsTheGateways(t *testing.T) {
	for reported, want := range map[string]string{
		"192.0.2.9": "192.0.2.9", "2001:db8::1": "2001:db8::1", "::ffff:192.0.2.9": "192.0.2.9",
		"": "", "nonsense": "", "192.0.2.9:443": "", "test-invoke-source-ip": "",
	} {
		w := newWorld(t)
		w.told(t)
		w.clock.Advance(time.Second)
		r := remove(ownToken, "registry")
		r.header = http.Header{"X-Forwarded-For": {"198.51.100.1"}, "Forwarded": {"for=198.51.100.1"}, "X-Real-Ip": {"198.51.100.1"}, "True-Client-Ip": {"198.51.100.1"}}
		event := r.event(w)
		event["requestContext"].(map[string]any)["identity"] = map[string]any{"sourceIp": reported}
		invoke(t, gitlabapi.Lambda(w.function("revoke"), nil), r.method, event)
		got := w.told(t)
		if len(got) != 1 || strings.Contains(got[0], "198.51.100.1") || strings.Contains(got[0], ", from ") != (want != "") ||
			want != "" && !strings.Contains(got[0], ", from "+want+",") {
			t.Errorf("%q: %q", reported, got)
		}
	}
}

// An event that belongs to no change never fails a request, and its loss shows
// in the log.
func TestARequestGoesOnWithoutItsEvent(t *testing.T) {
	w := newWorld(t)
	w.breakEngine(func(operation string) bool { return operation == "TransactWriteItems" })
	for _, c := range []struct {
		request
		status int
	}{
		{get("directory", "/api/v4/user?sudo=owner", "root"), 200},
		{get("directory", "/api/v4/user?sudo=root", "owner"), 403},
		{post("issue", forOwner, "owner", validCreation), 403},
	} {
		w.logs.reset()
		if got := throughLambda(t, w, c.request); got.status != c.status {
			t.Errorf("%s gets %s", c.target, got)
		}
		if logged := w.logs.String(); !strings.Contains(logged, `"msg":"event not recorded"`) {
			t.Errorf("%s logs %s", c.target, logged)
		}
	}
	// A change that cannot be written down does not take place.
	if got := throughLambda(t, w, remove(ownToken, "owner")); got.status != 503 {
		t.Errorf("got %s", got)
	}
	if got := throughLambda(t, w, get("tokens", ownToken, "owner")); got.status != 200 {
		t.Errorf("the token gets %s", got)
	}
}

// One event is read by the id that a list shows, where it belongs and nowhere
// else.
func TestOneEvent(t *testing.T) {
	w := newWorld(t)
	story(t, w)
	list := throughLambda(t, w, get("settings", everyEvent, "root"))
	var events []json.RawMessage
	check(t, json.Unmarshal([]byte(list.body), &events))
	webs := 0
	for _, raw := range events {
		var e struct {
			ID         int64
			EntityType string `json:"entity_type"`
			EntityID   int64  `json:"entity_id"`
		}
		check(t, json.Unmarshal(raw, &e))
		got := throughLambda(t, w, get("settings", fmt.Sprintf("%s/%d", everyEvent, e.ID), "root"))
		if got.status != 200 || strings.TrimSpace(got.body) != string(raw) {
			t.Errorf("got %s\nwant %s", got, raw)
		}
		ofWeb := e.EntityType == "Project" && e.EntityID == 8
		got = throughLambda(t, w, get("settings", fmt.Sprintf("%s/%d", websTrail, e.ID), "owner"))
		if ofWeb {
			webs++
		}
		if (got.status == 200) != ofWeb || got.status != 200 && got.status != 404 {
			t.Errorf("%s/%d among those of the project: %s", e.EntityType, e.EntityID, got)
		}
		if got := throughLambda(t, w, get("settings", fmt.Sprintf("%s/%d", acmesTrail, e.ID), "root")); got.status != 404 {
			t.Errorf("%s/%d among those of a group: %s", e.EntityType, e.EntityID, got)
		}
	}
	if webs != 1 {
		t.Errorf("%d events of the project", webs)
	}
}

// After a year an event is not shown any more, whether clean-up has taken it or
// not.
func TestEventsEndAfterAYear(t *testing.T) {
	w := newWorld(t)
	w.clock.Advance(time.Hour)
	throughLambda(t, w, remove(everyToken+"/"+readingToken, "owner"))
	end := w.clock.Now().Add(365 * 24 * time.Hour)
	first := throughLambda(t, w, get("settings", everyEvent+"?per_page=1", "root"))
	id := regexp.MustCompile(`"id":([0-9]{15,16})`).FindStringSubmatch(first.body)[1]
	by := principal.Principal{Account: w.users["root"]}
	for at, want := range map[time.Time]int{end.Add(-time.Second): 1, end: 0, end.Add(time.Second): 0} {
		w.clock.Set(at)
		page, err := w.trail.Every(t.Context(), by, trail.Query{Want: listing.ByNumber(0, 20)})
		check(t, err)
		var n int64
		_, err = fmt.Sscan(id, &n)
		check(t, err)
		_, err = w.trail.Get(t.Context(), by, n)
		if len(page.Events) != want || (err == nil) != (want == 1) || err != nil && !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("at %s: %d events, %v", at, len(page.Events), err)
		}
	}
}

// Promise 8: an owner sees what happened to their own account and tokens, and
// nothing of impersonation.
func TestOwnersSeeTheirOwn(t *testing.T) {
	w := newWorld(t)
	story(t, w)
	for _, name := range []string{"owner", "root", "profile"} {
		got := throughLambda(t, w, get("settings", ownEvents+"?per_page=100", name))
		var events []struct {
			EntityID   int64  `json:"entity_id"`
			EntityType string `json:"entity_type"`
			EventName  string `json:"event_name"`
		}
		check(t, json.Unmarshal([]byte(got.body), &events))
		if len(events) == 0 {
			t.Errorf("%s sees nothing", name)
		}
		for _, e := range events {
			if e.EntityType != "User" || e.EntityID != int64(w.tokens[name].Owner) || strings.HasPrefix(e.EventName, "impersonation") {
				t.Errorf("%s sees %+v", name, e)
			}
		}
		if strings.Contains(got.body, "presented_token_id") {
			t.Errorf("%s sees what requests were made with: %s", name, got)
		}
	}
}

// No event holds a bearer, a digest or a mail address, whatever people write
// where they choose names.
func TestEventsHoldNoSecrets(t *testing.T) {
	w := newWorld(t)
	story(t, w)
	bearer := w.bearers["other"]
	for _, r := range []request{
		post("issue", ownTokens, "owner", `{"name":"`+bearer+`","scopes":["api"]}`),
		post("issue", ownTokens, "owner", `{"name":"for owner@example.test","scopes":["api"]}`),
		get("directory", "/api/v4/user?sudo="+bearer, "root"),
		get("directory", "/api/v4/user?sudo=owner@example.test", "root"),
		post("issue", ownToken+"/rotate", "revoked", ""),
		post("directory", "/api/v4/users", "root", `{"email":"new@example.test","name":"new@example.test","username":"new","password":"p"}`),
		{function: "directory", method: "PUT", target: "/api/v4/users/2", bearer: "root", json: `{"email":"else@example.test","name":"me@example.test","note":"` + bearer + `"}`},
		{function: "directory", method: "PUT", target: "/api/v4/users/2", bearer: "root", json: `{"name":"` + bearer + `"}`},
		{function: "directory", method: "PUT", target: "/api/v4/users/2", bearer: "root", json: `{"name":"Plain"}`}, // lists show the present name
	} {
		throughLambda(t, w, r)
	}
	out, err := w.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(tableName)})
	check(t, err)
	trail := 0
	for _, item := range out.Items {
		line, err := json.Marshal(item)
		check(t, err)
		if !strings.Contains(string(line), `"AUDIT#`) {
			continue
		}
		trail++
		for _, secret := range append(w.logs.secrets, pepperKey, "@example.test", "a note") {
			if strings.Contains(string(line), secret) {
				t.Errorf("%q is in %s", secret, line)
			}
		}
		if anyBearer.Match(line) {
			t.Errorf("a bearer is in %s", line)
		}
	}
	if trail < 20 {
		t.Errorf("only %d items were searched", trail)
	}
	list := throughLambda(t, w, get("settings", everyEvent+"?per_page=100", "root"))
	for _, secret := range append(w.logs.secrets, "example.test\"") {
		if strings.Contains(list.body, secret) {
			t.Errorf("%q is in the list", secret)
		}
	}
}

// Breaks if a list looks at the whole trail for few events, or if one that ends early looks complete.
func TestAListLooksAtSoManyEventsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		want listing.Want
		most int
		err  error
	}{
		"page 1":          {listing.ByNumber(0, 20), listing.MaxByNumber, nil},
		"page 2":          {listing.ByNumber(20, 20), listing.MaxByNumber, listing.ErrDeep},
		"behind a cursor": {listing.Want{Limit: 20, ByPlace: true, Place: "1"}, listing.MaxByPlace, nil},
	} {
		looked := 0
		read := made(trail.New(trail.Parts{Store: endless{func() bool { looked++; return true }}, Reader: w.table, Projects: w.table, Clock: w.clock}))
		page, err := read.Every(t.Context(), principal.Principal{Account: account.Account{Admin: true}}, trail.Query{Type: audit.Project, Want: c.want})
		if !errors.Is(err, c.err) || (err == nil) != (page.Next != "") || looked != c.most {
			t.Errorf("%s: %d events, %+v, %v", name, looked, page, err)
		}
	}
}

// endless is a trail of events about accounts.
type endless struct{ more func() bool }

func (s endless) EveryEvent(_ context.Context, _ audit.Period, each func(audit.Event) bool) error {
	for s.more() && each(audit.Event{Entity: audit.AccountEntity(2), Place: "a place"}) {
	}
	return nil
}

func (s endless) Events(ctx context.Context, _ audit.Entity, in audit.Period, each func(audit.Event) bool) error {
	return s.EveryEvent(ctx, in, each)
}

func (endless) Event(context.Context, int64) (audit.Event, error) {
	return audit.Event{}, fault.ErrNotFound
}

var _ trail.Store = endless{}

// Deleting an account that then has no name is shown as the ghost's doing.
func TestDeletedAuthorsAreTheGhost(t *testing.T) {
	w := newWorld(t)
	root := w.as("root", w.tokens["root"])
	admin := true
	_, err := w.accounts.Update(t.Context(), root, w.users["other"].ID, directory.Change{Admin: &admin})
	check(t, err)
	throughLambda(t, w, remove(everyToken+"/"+readingToken, "other"))
	w.clock.Advance(time.Second)
	check(t, w.accounts.Delete(t.Context(), root, w.users["other"].ID))
	got := throughLambda(t, w, get("settings", ownEvents+"?token_id="+readingToken+"&per_page=1", "owner"))
	for _, want := range []string{fmt.Sprintf(`"author_id":%d,`, account.GhostID), `"author_name":"Ghost User"`, `"ip_address":null`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

// Breaks if whoever may do nothing can fill the trail, which is kept for a year, or if the trail
// does not say how often it was tried. Without a limit this wrote some 900 events.
func TestRefusalsCannotFloodTheTrail(t *testing.T) {
	c := newCrowd(t, throttle.Limits{})
	asAnother := get("tokens", ownToken, "owner")
	asAnother.header = header("Sudo", "root")
	unfit := post("issue", ownTokens, "reading", validCreation)
	away := get("tokens", ownToken, "restricted")
	c.restrict(t, "restricted", "192.0.2.0/24")
	reused := post("issue", ownToken+"/rotate", "revoked", "")
	attempts := map[string]request{"sudo_refused": asAnother, "personal_access_token_creation_failed": unfit,
		"personal_access_token_address_refused": away, "personal_access_token_reused": reused}
	c.told(t)
	for name, r := range attempts {
		for range 150 {
			if got := c.status(t, "198.51.100.7", r); got != 401 && got != 403 {
				t.Fatalf("%s: status %d", name, got)
			}
		}
	}
	if got := c.told(t); len(got) != len(attempts) {
		t.Errorf("%d events of %d kinds of refusals:\n%s", len(got), len(attempts), strings.Join(got, "\n"))
	}
	c.clock.Advance(time.Minute)
	for name, r := range attempts {
		c.status(t, "198.51.100.7", r)
		if got := c.told(t); len(got) != 1 || !strings.HasPrefix(got[0], name+" ") || !strings.HasSuffix(got[0], ", omitted 149") {
			t.Errorf("%s: then\n%s", name, strings.Join(got, "\n"))
		}
	}
	var listed []struct {
		Details struct {
			Omitted int `json:"omitted_events"`
		}
	}
	check(t, json.Unmarshal([]byte(c.send(t, home, get("settings", everyEvent+"?per_page=1", "root")).body), &listed))
	if len(listed) != 1 || listed[0].Details.Omitted != 149 {
		t.Errorf("listed %+v", listed)
	}
}
