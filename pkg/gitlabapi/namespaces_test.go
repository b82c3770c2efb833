package gitlabapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/directory"
	"latchkey/pkg/scope"
)

// Clients of tokens look these up. Each request stands with what its reply contains.
func TestLookUps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	for _, c := range []struct {
		target, bearer string
		status         int
		contains       string
	}{
		{"/users/2/memberships", "root", 200, `[{"source_id":1,"source_name":"Acme","source_type":"Namespace","access_level":50},{"source_id":2,`},
		{"/users/2/memberships?type=Project", "root", 200, `[{"source_id":4,"source_name":"Notes","source_type":"Project","access_level":50}]`},
		{"/users/2/memberships?type=Group", "root", 400, `type does not have a valid value`},
		{"/users/3/memberships", "root", 200, `[{"source_id":3,"source_name":"Web","source_type":"Project","access_level":30}]`},
		{"/users/999/memberships", "root", 404, `404 User Not Found`},
		{"/users/2/memberships", "owner", 403, `403 Forbidden`},
		{"/groups/1/descendant_groups", "owner", 200, `"full_path":"acme/sub"`},
		{"/groups/acme/descendant_groups?search=nothing", "owner", 200, `[]`},
		{"/groups/1/descendant_groups", "other", 404, `404 Group Not Found`},
		{"/groups/1/projects?include_subgroups=true", "owner", 200, `"path":"a-tool"`},
		{"/projects/5/groups", "owner", 200, `[{"id":1,"web_url":"https://tokens.example.test/groups/acme","name":"Acme","avatar_url":null,"full_name":"Acme","full_path":"acme"},{"id":2,`},
		{"/projects/5/groups?skip_groups[]=1", "owner", 200, `[{"id":2,"web_url":"https://tokens.example.test/groups/acme/sub","name":"Sub","avatar_url":null,"full_name":"Acme / Sub","full_path":"acme/sub"}]`},
		{"/projects/4/groups", "owner", 200, `[]`},
		{"/projects/4/groups", "other", 404, `404 Project Not Found`},
		{"/projects/3/users?search=OTHER", "owner", 200, `[{"id":3,"username":"other","public_email":null,"name":`},
		{"/projects/3/users", "root", 200, `"username":"reporter"`},
		{"/projects/4/users", "other", 404, `404 Project Not Found`},
		{"/projects/3/import", "owner", 200, `"import_status":"none"`},
		{"/projects/3/import", "profile", 403, `insufficient_scope`},
		{"/projects/3/deploy_tokens", "owner", 200, `[]`},
		{"/projects/3/deploy_tokens", "other", 403, `403 Forbidden`},
		{"/groups/1/deploy_tokens", "owner", 200, `[]`},
		{"/groups/1/deploy_tokens", "reporter", 403, `403 Forbidden`},
		{"/groups/6/deploy_tokens", "owner", 404, `404 Group Not Found`},
		{"/namespaces", "owner", 200, `[{"id":2147483650,"name":"The owner","path":"owner","kind":"user","full_path":"owner","parent_id":null,"avatar_url":null,"web_url":"https://tokens.example.test/owner"},{"id":1,`},
		{"/namespaces?search=acme", "owner", 200, `"full_path":"acme/sub","parent_id":1`},
		{"/namespaces?search=acme&top_level_only=true", "root", 200, `[{"id":1,"name":"Acme","path":"acme","kind":"group","full_path":"acme","parent_id":null,"avatar_url":null,"web_url":"https://tokens.example.test/groups/acme"}]`},
		{"/namespaces?per_page=2&page=2", "root", 200, `"path":"other"`},
		{"/namespaces?owned_only=true", "reporter", 200, `[{"id":2147483657,`},
		{"/namespaces/1", "owner", 200, `"kind":"group"`},
		{"/namespaces/acme%2Fsub", "owner", 200, `"full_path":"acme/sub"`},
		{"/namespaces/owner", "owner", 200, `"kind":"user"`},
		{"/namespaces/2147483650", "owner", 200, `"kind":"user"`},
		{"/namespaces/other", "owner", 404, `404 Namespace Not Found`},
		{"/namespaces/2147483651", "owner", 404, `404 Namespace Not Found`},
		{"/namespaces/foreign", "owner", 404, `404 Namespace Not Found`},
		{"/namespaces/other", "root", 200, `"kind":"user"`},
		{"/projects?order_by=similarity&search=a", "owner", 200, `[{"id":5,`},
		{"/projects?order_by=star_count", "owner", 200, `[{"id":5,`},
		{"/groups?order_by=similarity&search=sub", "owner", 200, `"path":"sub"`},
	} {
		got := throughLambda(t, w, request{function: "directory", method: "GET", target: "/api/v4" + c.target, bearer: c.bearer})
		if got.status != c.status || !strings.Contains(got.body, c.contains) {
			t.Errorf("%s as %s: %s\nwant %d %s", c.target, c.bearer, got, c.status, c.contains)
		}
	}
	// The closest match comes first, whatever its id.
	for _, name := range []string{"a-web", "web-b", "xwebx"} {
		if got := throughLambda(t, w, post("directory", projects, "owner", `{"name":"`+name+`","namespace_id":1}`)); got.status != 201 {
			t.Fatal(got)
		}
	}
	var found []struct{ Path string }
	check(t, json.Unmarshal([]byte(throughLambda(t, w, get("directory", projects+"?order_by=similarity&search=web", "owner")).body), &found))
	if fmt.Sprint(found) != "[{web} {web-b} {xwebx} {a-web}]" {
		t.Errorf("by similarity: %v", found)
	}
}

func TestAProjectForSomebody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team(t, w)
	create := func(target, bearer string) response {
		return throughLambda(t, w, post("directory", "/api/v4/projects/user/"+target, bearer, `{"name":"Given","namespace_id":1}`))
	}
	if got := create("3", "root"); got.status != 201 || got.field(t, "path_with_namespace") != "other/Given" {
		t.Error(got)
	}
	for _, c := range []struct {
		target, bearer string
		status         int
	}{{"999", "root", 404}, {"2147483647", "root", 404}, {"3", "owner", 403}, {"x", "root", 404}, {"3/4", "root", 404}, {"", "root", 405}} {
		if got := create(c.target, c.bearer); got.status != c.status {
			t.Errorf("for %q as %s: %s", c.target, c.bearer, got)
		}
	}
}

func TestChangeOfAProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	change := func(target, bearer, body string) response {
		t.Helper()
		return throughLambda(t, w, put(target, bearer, body))
	}
	if got := change(acme, "owner", `{"visibility":"public"}`); got.status != 200 {
		t.Error(got)
	}
	got := change(web, "owner", `{"name":"Web site","description":"d","visibility":"public","path":"web","wiki_enabled":false}`)
	if got.status != 200 || got.field(t, "name") != "Web site" || got.field(t, "description") != "d" || got.field(t, "visibility") != "public" {
		t.Error(got)
	}
	if again := throughLambda(t, w, get("directory", web, "owner")); again.body != got.body {
		t.Errorf("%s\nafter\n%s", again, got)
	}
	if got = change(web, "owner", `{"description":""}`); got.status != 200 || got.field(t, "description") != nil || got.field(t, "name") != "Web site" {
		t.Error(got)
	}
	if got = change(acme, "owner", `{"description":"of all","name":"ACME"}`); got.status != 200 || got.field(t, "full_name") != "ACME" {
		t.Error(got)
	}
	before := w.snapshot(t)
	for _, c := range []struct {
		name, target, bearer, body string
		status                     int
		contains                   string
	}{
		{"nothing", web, "owner", `{"wiki_enabled":true}`, 200, `"name":"Web site"`},
		{"the same again", web, "owner", `{"name":"Web site"}`, 200, `"name":"Web site"`},
		{"a developer", web, "other", `{"name":"n"}`, 403, "403 Forbidden"},
		{"a reporter", acme, "reporter", `{"name":"n"}`, 403, "403 Forbidden"},
		{"a stranger", projects + "/4", "other", `{"name":"n"}`, 404, "404 Project Not Found"},
		{"a token that only reads", web, "reading", `{"name":"n"}`, 403, "insufficient_scope"},
		{"a token of another project", web, "of notes", `{"name":"n"}`, 404, "404 Project Not Found"},
		{"another path", web, "owner", `{"path":"site"}`, 400, `{"path":["cannot be changed"]}`},
		{"a blank name", web, "owner", `{"name":" "}`, 400, `{"name":["can't be blank"]}`},
		{"a long description", acme, "owner", `{"description":"` + strings.Repeat("d", 501) + `"}`, 400, "is too long (maximum is 500 characters)"},
		{"a visibility that is none", web, "owner", `{"visibility":"secret"}`, 400, "visibility does not have a valid value"},
		{"a restriction that nothing keeps", acme, "owner", `{"name":"n","ip_restriction_ranges":"192.0.2.0/24"}`, 400, `{"ip_restriction_ranges":["is not supported"]}`},
		{"a factor that nobody has", acme, "owner", `{"require_two_factor_authentication":true}`, 400, `is not supported`},
		{"no restriction", acme, "owner", `{"ip_restriction_ranges":"","require_two_factor_authentication":false}`, 200, `"ACME"`},
	} {
		if got := change(c.target, c.bearer, c.body); got.status != c.status || !strings.Contains(got.body, c.contains) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if w.snapshot(t) != before {
		t.Error("a refused change changed something")
	}
	if got := throughLambda(t, w, post("directory", groups, "owner", `{"name":"n","path":"n","membership_lock":true}`)); got.status != http.StatusBadRequest {
		t.Error(got)
	}
	events := throughLambda(t, w, request{function: "settings", method: "GET", target: web + "/audit_events", bearer: "owner"})
	for _, text := range []string{"Changed name of project with id 3", "Changed description of project", "Changed visibility of project"} {
		if !strings.Contains(events.body, text) {
			t.Errorf("no %q in %s", text, events)
		}
	}
}

// Breaks if somebody who can make no group finds out names, or anybody those in a group that is hidden from them.
func TestExistenceOfNamespaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	w.user(t, "guest", func(c *directory.Candidate) { c.External = true })
	w.user(t, "single", func(c *directory.Candidate) { c.NoGroups = true })
	for _, name := range []string{"guest", "single"} {
		w.issue(t, name, name, scope.API)
	}
	for _, path := range []string{"foreign1", strings.Repeat("n", 255)} {
		if got := throughLambda(t, w, post("directory", groups, "root", `{"name":"n","path":"`+path+`"}`)); got.status != 201 {
			t.Fatal(got)
		}
	}
	const no = `{"exists":false,"suggests":[]}`
	yes := func(suggests string) string { return `{"exists":true,"suggests":["` + suggests + `"]}` }
	for _, c := range []struct{ target, bearer, want string }{
		{"foreign/exists", "other", yes("foreign2")}, {"ACME/exists", "other", yes("ACME1")}, {"root/exists", "other", yes("root1")},
		{"nothing/exists", "other", no}, {"sub/exists", "other", no}, {"web/exists", "owner", no}, {"1/exists", "owner", no},
		{"acme%2Fsub/exists", "owner", no}, {"acme%2Fsub/exists", "other", no}, {"-bad/exists", "owner", no}, {"%20/exists", "owner", no},
		{"project_3_bot/exists", "other", `{"exists":true,"suggests":[]}`}, {"project_9_bot/exists", "other", `{"exists":true,"suggests":[]}`},
		{"ghost/exists", "other", yes("ghost1")}, {strings.Repeat("n", 255) + "/exists", "other", `{"exists":true,"suggests":[]}`},
		{strings.Repeat("n", 256) + "/exists", "other", no},
		{"sub/exists?parent_id=1", "owner", yes("sub1")}, {"web/exists?parent_id=1", "owner", yes("web1")}, {"tool/exists?parent_id=1", "owner", no},
		{"acme/exists?parent_id=", "owner", yes("acme1")}, {"acme/exists?parent_id=0", "owner", no}, {"acme/exists?parent_id=-1", "owner", no},
		{"sub/exists?parent_id=1", "other", no}, {"sub/exists?parent_id=3", "owner", no}, {"sub/exists?parent_id=99", "root", no},
		{"sub/exists?parent_id=1", "root", yes("sub1")}, {"sub/exists?parent_id=1", "of web", no}, {"sub/exists?parent_id=1", "of acme", yes("sub1")},
		{"foreign/exists", "guest", no}, {"other/exists", "guest", no}, {"guest/exists", "guest", yes("guest1")},
		{"foreign/exists", "single", no}, {"single/exists", "single", yes("single1")},
		{"foreign/exists", "of web", no}, {"owner/exists", "of web", no}, {"acme/exists", "of acme", yes("acme1")}, {"foreign/exists", "of acme", no},
	} {
		got := throughLambda(t, w, get("directory", "/api/v4/namespaces/"+c.target, c.bearer))
		if got.status != 200 || strings.TrimSpace(got.body) != c.want {
			t.Errorf("%s as %s: %s\nwant %s", c.target, c.bearer, got, c.want)
		}
	}
	for target, status := range map[string]int{"acme/exists?parent_id=x": 400, "acme/exists?parentId=1": 400} {
		if got := throughLambda(t, w, get("directory", "/api/v4/namespaces/"+target, "owner")); got.status != status {
			t.Errorf("%s: %s", target, got)
		}
	}
	if got := throughLambda(t, w, get("directory", "/api/v4/namespaces/acme/exists", "profile")); got.status != 403 {
		t.Error(got)
	}
}

// As in GitLab, nothing is wider than the group that it lies in, at its creation and at each change.
func TestVisibilityStaysWithinThatOfTheGroupAbove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w) // everything in it is private
	create := func(target, body string) request { return post("directory", target, "owner", body) }
	of := func(target, visibility string) request {
		return put(target, "owner", `{"visibility":"`+visibility+`"}`)
	}
	const sub, notes = groups + "/acme%2Fsub", projects + "/owner%2Fnotes"
	for i, c := range []struct {
		request
		refusal string // "" for none
	}{
		{create(projects, `{"name":"wide","namespace_id":1,"visibility":"public"}`), "public is not allowed in a private group."},
		{create(groups, `{"name":"wide","path":"wide","parent_id":1,"visibility":"internal"}`), "internal is not allowed since the parent group has a private visibility."},
		{of(web, "internal"), "internal is not allowed in a private group."},
		{of(sub, "public"), "public is not allowed since the parent group has a private visibility."},
		{of(notes, "public"), ""}, // it lies in no group
		{of(acme, "internal"), ""},
		{of(sub, "public"), "public is not allowed since the parent group has a internal visibility."},
		{of(sub, "internal"), ""},
		{of(acme, "private"), "private is not allowed since there are sub-groups with higher visibility."},
		{of(web, "internal"), ""},
		{of(sub, "private"), ""},
		{of(acme, "private"), "private is not allowed since this group contains projects with higher visibility."},
		{put(acme, "owner", `{"visibility":"internal","description":"as before"}`), ""},
		{of(acme, "public"), ""},
		{create(projects, `{"name":"wide","namespace_id":1,"visibility":"public"}`), ""},
		{create(groups, `{"name":"wide","path":"wider","parent_id":1,"visibility":"public"}`), ""},
		{of(web, "private"), ""},
	} {
		before := w.snapshot(t)
		got := throughLambda(t, w, c.request)
		if refused := got.status == 400 && strings.TrimSpace(got.body) == `{"message":{"visibility_level":["`+c.refusal+`"]}}`; refused != (c.refusal != "") || !refused && got.status/100 != 2 {
			t.Errorf("%d. %s %s: %s\nwant %q", i, c.target, c.json, got, c.refusal)
		}
		if c.refusal != "" && w.snapshot(t) != before {
			t.Errorf("%d. refused and written", i)
		}
	}
	// What is too wide from before can still be changed otherwise.
	_, err := w.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(tableName), Key: attributes{"pk": text("PROJECT#1"), "sk": text("PROFILE")},
		UpdateExpression: aws.String("SET visibility = :v"), ExpressionAttributeValues: attributes{":v": text("private")},
	})
	check(t, err)
	for _, c := range []request{put(acme, "owner", `{"name":"n","visibility":"private"}`), put(groups+"/acme%2Fwider", "owner", `{"name":"n","visibility":"public"}`)} {
		if got := throughLambda(t, w, c); got.status != 200 || got.field(t, "name") != "n" {
			t.Errorf("%s: %s", c.target, got)
		}
	}
}

// Breaks if a script whose variable is unset is told that it renamed a project.
func TestAProjectKeepsAName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	for _, path := range []string{"/projects/3", "/groups/1"} {
		for _, form := range []string{"name=", "name=%20"} {
			got := throughHTTP(t, w, request{function: "directory", method: "PUT", target: "/api/v4" + path, bearer: "root", form: form})
			if got.status != 400 || !strings.Contains(got.body, `"name":["can't be blank"]`) {
				t.Errorf("PUT %s with %s: %d %s", path, form, got.status, got.body)
			}
		}
	}
}
