package gitlabapi_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/pkg/gitlabapi"
)

// Terraform's user resource sets can_create_group and repeats the change until it reads it back.
func TestGroupCreationIsKeptAndHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team(t, w)
	send := func(r request) response { t.Helper(); return throughLambda(t, w, r) }
	user := func(method, target, form string, wanted any) response {
		t.Helper()
		got := send(request{function: "directory", method: method, target: target, bearer: "root", form: form})
		if got.field(t, "can_create_group") != wanted {
			t.Fatalf("%s %s with %s: %s", method, target, form, got)
		}
		return got
	}
	created := user("POST", "/api/v4/users", "username=cy&email=cy@example.test&name=Cy&reset_password=true&can_create_group=false", false)
	cy := fmt.Sprintf("/api/v4/users/%v", created.field(t, "id"))
	user("PUT", cy, "name=Cyd", false)
	user("PUT", cy, "can_create_group=true", true)
	user("PUT", cy, "can_create_group=false", false)
	issued := send(request{function: "issue", method: "POST", target: cy + "/personal_access_tokens", bearer: "root", form: "name=n&scopes[]=api"})
	w.bearers["cy"] = fmt.Sprint(issued.field(t, "token"))
	w.logs.secret(w.bearers["cy"])
	join := send(request{function: "directory", method: "POST", target: "/api/v4/groups/1/members", bearer: "root",
		form: fmt.Sprintf("user_id=%v&access_level=40", created.field(t, "id"))})
	if join.status != 201 {
		t.Fatal(join)
	}
	group := func(form string) int {
		return send(request{function: "directory", method: "POST", target: "/api/v4/groups", bearer: "cy", form: form}).status
	}
	if got := group("name=G&path=g"); got != 403 {
		t.Errorf("a group at the root: %d", got)
	}
	if got := group("name=G&path=g&parent_id=1"); got != 201 {
		t.Errorf("a group in another: %d", got)
	}
	user("PUT", cy, "can_create_group=true", true)
	if got := group("name=G&path=g"); got != 201 {
		t.Errorf("a group at the root, when it is allowed: %d", got)
	}
	events := send(request{function: "settings", method: "GET", target: cy + "/audit_events", bearer: "root"})
	if n := strings.Count(events.body, "Changed can_create_group of user"); n != 3 {
		t.Errorf("%d changes of can_create_group in the trail: %s", n, events)
	}
}

// What clients read from replies of GitLab is there.
func TestFieldsThatClientsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team(t, w)
	send := func(r request) response { t.Helper(); return throughLambda(t, w, r) }
	get := func(function, target string) response {
		return send(request{function: function, method: "GET", target: "/api/v4" + target, bearer: "root"})
	}
	if version, metadata := get("settings", "/version"), get("settings", "/metadata"); version.body != metadata.body || version.field(t, "enterprise") != false {
		t.Errorf("version is %s and metadata %s", version, metadata)
	}
	for _, target := range []string{"/groups/acme", "/projects/acme%2Fweb"} {
		if got := get("directory", target).field(t, "shared_with_groups"); fmt.Sprint(got) != "[]" || got == nil {
			t.Errorf("%s: shared_with_groups is %v", target, got)
		}
	}
	for kind, id := range map[string]int{"project": webID, "group": acmeID} {
		path := fmt.Sprintf("/api/v4/%ss/%d/access_tokens", kind, id)
		made := send(request{function: "issue", method: "POST", target: path, bearer: "root", form: "name=n&scopes[]=read_api&access_level=20"})
		one := fmt.Sprintf("/%.0f", made.field(t, "id"))
		rotated := send(request{function: "issue", method: "POST", target: path + one + "/rotate", bearer: "root"})
		one = fmt.Sprintf("/%.0f", rotated.field(t, "id"))
		var list []json.RawMessage
		all := send(request{function: "tokens", method: "GET", target: path, bearer: "root"})
		check(t, json.Unmarshal([]byte(all.body), &list))
		replies := []response{made, rotated, send(request{function: "tokens", method: "GET", target: path + one, bearer: "root"}), {body: string(list[0])}}
		for _, got := range replies {
			if got.field(t, "resource_type") != kind || got.field(t, "resource_id") != float64(id) || got.field(t, "granular") != false {
				t.Errorf("token of a %s: %s", kind, got)
			}
		}
		missing := send(request{function: "revoke", method: "DELETE", target: path + "/999", bearer: "root"})
		if missing.status != 404 || missing.field(t, "message") != fmt.Sprintf("404 %s Access Token Not Found", kind) {
			t.Errorf("DELETE of a missing token of a %s: %s", kind, missing)
		}
	}
	if self := get("tokens", "/personal_access_tokens/self"); self.field(t, "granular") != false {
		t.Error(self)
	}
	// As GitLab, the API keeps admin_mode for anybody. It counts for administrators only.
	mode := send(request{function: "issue", method: "POST", target: "/api/v4/users/2/personal_access_tokens", bearer: "root", form: "name=am&scopes[]=admin_mode"})
	if mode.status != 201 || fmt.Sprint(mode.field(t, "scopes"), mode.field(t, "effective_scopes")) != "[admin_mode] []" {
		t.Error(mode)
	}
}

// Clients send the settings of GitLab that they know. Those that Latchkey lacks are ignored, unless to accept
// them would be a lie about who may do what.
func TestForeignSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	change := func(body string) response {
		return throughLambda(t, w, request{function: "settings", method: "PUT", target: "/api/v4/application/settings", bearer: "root", json: body})
	}
	known := strings.Fields(gitlabapi.GitLabSettings)
	options := reflect.TypeFor[gitlab.UpdateSettingsOptions]()
	for i := range options.NumField() {
		name, _, _ := strings.Cut(options.Field(i).Tag.Get("json"), ",")
		if !slices.Contains(known, name) {
			t.Errorf("the official client's setting %s is not known", name)
		}
	}
	for body, status := range map[string]int{
		`{"signup_enabled":false}`:                                           200,
		`{"signup_enabled":false,"rotation_window_seconds":20}`:              200,
		`{"import_sources":["github"],"default_projects_limit":5}`:           200,
		`{"admin_mode":false,"domain_allowlist":[],"can_create_group":true}`: 200,
		`{"signup_enabled":null}`:                                            200,
		`{}`:                                                                 400,
		`{"max_personal_access_token_lifetim":30}`:                           400,
	} {
		if got := change(body); got.status != status {
			t.Errorf("%s: %s", body, got)
		}
	}
	before := w.snapshot(t)
	for name, value := range map[string]string{
		"admin_mode": "true", "can_create_group": "false", "deactivate_dormant_users": "true", "deletion_adjourned_period": "7",
		"disable_feed_token": "true", "disable_personal_access_tokens": "true", "domain_allowlist": `["example.test"]`, "domain_denylist": `["x.test"]`,
		"domain_denylist_enabled": "true", "email_restrictions": `"@x"`, "email_restrictions_enabled": "true", "instance_token_prefix": `"x"`,
		"lock_memberships_to_ldap": "true", "lock_memberships_to_saml": "true", "require_admin_approval_after_user_signup": "true",
		"require_admin_two_factor_authentication": "true", "require_two_factor_authentication": "true", "session_expire_delay": "60",
		"unique_ips_limit_enabled": "true", "user_default_external": "true",
	} {
		got := change(`{"rotation_window_seconds":30,"` + name + `":` + value + `}`)
		said, _ := got.field(t, "message").(map[string]any)
		if got.status != 400 || len(said) != 1 || !strings.HasPrefix(fmt.Sprint(said[name]), "[is not supported") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if w.snapshot(t) != before {
		t.Error("a refused change changed something")
	}
}
