package gitlabapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/administration"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

const (
	features    = "/api/v4/features"
	featurePath = features + "/resource_access_token"
)

// projects are the group acme (80) with the projects acme/web (90) and
// acme/app (91).
func projectsAndGroups(tb testing.TB, w *world) {
	tb.Helper()
	for id, path := range map[string]string{"80": "acme", "90": "acme/web", "91": "acme/app"} {
		kind := "project"
		ancestors := []types.AttributeValue{&types.AttributeValueMemberN{Value: "80"}}
		if id == "80" {
			kind, ancestors = "group", nil
		}
		for _, item := range []attributes{
			{"pk": text("PATH#" + path), "sk": text("PATH"), "id": &types.AttributeValueMemberN{Value: id}},
			{
				"pk": text("PROJECT#" + id), "sk": text("PROFILE"), "kind": text(kind), "name": text(path), "path": text(path),
				"full_path": text(path), "visibility": text("private"), "ancestors": &types.AttributeValueMemberL{Value: ancestors},
				"created_at": &types.AttributeValueMemberN{Value: "1773907200"}, "created_by": &types.AttributeValueMemberN{Value: "1"},
			},
		} {
			_, err := w.client.PutItem(tb.Context(), &dynamodb.PutItemInput{TableName: aws.String(tableName), Item: item})
			check(tb, err)
		}
	}
}

// switches turns features as the bodies say before a case.
func switches(bodies ...string) func(testing.TB, *world) {
	return func(tb testing.TB, w *world) {
		tb.Helper()
		projectsAndGroups(tb, w)
		for _, body := range bodies {
			if got := throughLambda(tb, w, post("settings", featurePath, "root", body)); got.status != 201 {
				tb.Fatalf("%s: %s", body, got)
			}
		}
	}
}

func featureCases() []replyCase {
	var cases []replyCase
	add := func(name string, r request, before func(testing.TB, *world)) {
		cases = append(cases, replyCase{name: "feature " + name, request: r, before: before})
	}
	set := func(name, body string, before func(testing.TB, *world)) {
		add("set "+name, post("settings", featurePath, "root", body), before)
	}
	clearing := request{function: "settings", method: "DELETE", target: featurePath, bearer: "root"}

	add("list without any set", get("settings", features, "root"), nil)
	add("list", get("settings", features, "root"), switches(
		`{"value":false}`, `{"value":true,"project":"acme/web,acme/app"}`, `{"value":true,"user":"owner","group":"acme"}`, `{"value":false,"project":"acme/app"}`))
	add("list without a sufficient scope", get("settings", features, "profile"), nil)
	add("list as nobody special", get("settings", features, "owner"), nil)
	add("list without a credential", get("settings", features, ""), nil)
	add("definitions", get("settings", features+"/definitions", "root reading"), nil)

	set("on", `{"value":true}`, switches(`{"value":"false"}`))
	set("off", `{"value":"false"}`, nil)
	set("on for a project that is on anyway", `{"value":"true","project":"acme/web"}`, switches())
	set("on for a project alone", `{"value":"true","project":"ACME/Web"}`, switches(`{"value":false}`))
	set("off for a project alone", `{"value":"off","project":"acme/web"}`, switches())
	set("off for everything that has a name", `{"value":0,"project":" acme/web , acme/app,,acme/web","group":"acme","namespace":"acme,other","user":"owner,OTHER"}`, switches())
	set("as the Go client sends it", `{"value":true,"key":"","feature_group":"","user":"","group":"","namespace":"","project":"acme/web","repository":"","force":false}`, switches())
	set("nothing", "", nil)
	set("to no truth", `{"value":"maybe"}`, nil)
	set("to a percentage", `{"value":25}`, nil)
	set("to a percentage by key", `{"value":"true","key":"percentage_of_actors"}`, nil)
	set("by a bad key", `{"value":true,"key":"percentage"}`, nil)
	set("by key and target", `{"value":50,"key":"percentage_of_time","project":"acme/web","user":"owner"}`, switches())
	set("for a target of another kind", `{"value":true,"runner":"7"}`, nil)
	set("for a project that is not there", `{"value":true,"project":"acme/web,acme/none"}`, switches())
	set("for a project that is a group", `{"value":true,"project":"acme"}`, switches())
	set("for a user that is not there", `{"value":true,"user":"nobody"}`, nil)
	set("for what could be a bearer", `{"value":true,"user":"token-string-here123"}`, nil)
	set("for nothing but commas", `{"value":false,"project":" , "}`, nil)
	set("for too many", `{"value":true,"user":"`+strings.Repeat("u,", administration.MaxTargets)+`u"}`, nil)
	add("set without a definition", post("settings", features+"/other_flag", "root", `{"value":true}`), nil)
	add("set without a definition by force", post("settings", features+"/other_flag", "root", `{"value":true,"force":"true"}`), nil)
	add("set by a bad name", post("settings", features+"/a%20b", "root", `{"value":true,"force":true}`), nil)
	add("set as nobody special", post("settings", featurePath, "owner", `{}`), nil)
	add("set without a credential", post("settings", featurePath, "", `{"value":true}`), nil)
	add("set without a sufficient scope", post("settings", featurePath, "root reading", `{"value":true}`), nil)
	add("clear", clearing, switches(`{"value":false}`, `{"value":true,"project":"acme/web"}`))
	add("clear what was never set", clearing, nil)
	add("clear as nobody special", request{function: "settings", method: "DELETE", target: featurePath, bearer: "owner"}, nil)
	return cases
}

// What is set is what is asked, and clearing gives the default back, in the
// paths that python-gitlab sends.
func TestFeaturesDecide(t *testing.T) {
	w := newWorld(t)
	projectsAndGroups(t, w)
	gate := made(administration.NewGate(w.table))
	allowed := func() string {
		var s []string
		for _, id := range []project.ID{80, 90, 91} {
			proj, err := w.table.Project(context.Background(), id)
			check(t, err)
			err = gate.Allows(context.Background(), proj)
			if err != nil && !errors.Is(err, fault.ErrSwitchedOff) {
				t.Fatal(err)
			}
			s = append(s, fmt.Sprint(err == nil))
		}
		return strings.Join(s, " ")
	}
	for _, step := range []struct {
		method, target, body string
		want                 string // for acme, acme/web, acme/app
	}{
		{"GET", features + "/", "", "true true true"},
		{"POST", features + "//resource_access_token", `{"value":false}`, "false false false"},
		{"POST", featurePath, `{"value":true,"project":"acme/web"}`, "false true false"},
		{"POST", featurePath, `{"value":true,"group":"acme"}`, "true true false"}, // a group's switch is its own
		{"POST", featurePath, `{"value":true}`, "true true true"},
		{"POST", featurePath, `{"value":false,"namespace":"acme"}`, "false true true"},
		{"POST", featurePath, `{"value":false,"project":"acme/web,acme/app"}`, "false false false"},
		{"POST", featurePath, `{"value":false,"user":"root"}`, "false false false"},
		{"POST", featurePath + "x", `{"value":true,"force":true}`, "false false false"},
		{"DELETE", features + "//resource_access_token/", "", "true true true"},
		{"DELETE", featurePath, "", "true true true"},
	} {
		got := throughBoth(t, w, request{function: "settings", method: step.method, target: step.target, bearer: "root", json: step.body})
		if got.status >= 300 {
			t.Fatalf("%s %s: %s", step.method, step.target, got)
		}
		if now := allowed(); now != step.want {
			t.Errorf("after %s %s %s: %s, want %s", step.method, step.target, step.body, now, step.want)
		}
	}
	if got := throughBoth(t, w, get("settings", features, "root")); !strings.Contains(got.body, `"resource_access_tokenx"`) {
		t.Errorf("clearing one feature has taken another: %s", got)
	}
}

// Nothing of what an administrator writes gets into the logs but the names
// that the product gave.
func TestLogsOfFeatures(t *testing.T) {
	w := newWorld(t)
	w.logs.secret("canary")
	for _, r := range []request{
		post("settings", features+"/lkpat_canary", "root", `{"value":true,"force":true}`),
		post("settings", features+"/canary", "root", `{"value":"canary"}`),
		post("settings", features+"/canary", "root", `{"value":true}`),
		post("settings", featurePath, "root", `{"value":true,"project":"canary/canary","user":"canary@example.test"}`),
		post("settings", featurePath, "root", `{"value":true,"runner":"canary","key":"canary"}`),
		{function: "settings", method: "DELETE", target: features + "/canary", bearer: "root"},
		{function: "settings", method: "DELETE", target: features + "/canary%20canary", bearer: "root"},
	} {
		if got := throughHTTP(t, w, r); got.status >= 500 {
			t.Errorf("%s %s: %s", r.method, r.target, got)
		}
	}
	for _, line := range []string{`"msg":"feature switched"`, `"msg":"feature cleared"`} {
		if !strings.Contains(w.logs.String(), line) {
			t.Errorf("no %s in %s", line, w.logs.String())
		}
	}
	w.searchLogs(t)
	w.logs.reset()
	throughLambda(t, w, post("settings", featurePath, "root", `{"value":false}`))
	golden(t, "log of feature", w.logs.lines(t))
}
