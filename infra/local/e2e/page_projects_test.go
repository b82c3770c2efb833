package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/infra/local/identities"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

var projectBearers = regexp.MustCompile(`lkprj_[0-9A-Za-z]{30,}`)

// What people do on the pages of a project and a group passes the permissions of the function in the
// template, and is what the API shows.
func TestProjectPagesThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	w.Identities.Say(identities.Person{Subject: "kim", Claims: map[string]any{"name": "Kim", "email": "kim@example.test", "email_verified": true}})
	kim := &visitor{w, map[string]string{}}
	kim.signIn(t, "/-/projects")
	id := func(reply string) string {
		t.Helper()
		var made struct {
			ID int64 `json:"id"`
		}
		decode(t, strings.Trim(reply, "[]\n"), &made)
		return fmt.Sprint(made.ID)
	}
	admin := func(method, path, body string, status int) string {
		t.Helper()
		return want(t, w, localtest.AdminBearer, method, "/api/v4"+path, body, status)
	}
	person := id(admin(http.MethodGet, "/users?username=kim", "", http.StatusOK))
	group := id(admin(http.MethodPost, "/groups", `{"name":"Acme","path":"acme"}`, http.StatusCreated))
	proj := id(admin(http.MethodPost, "/projects", `{"name":"web","namespace_id":`+group+`}`, http.StatusCreated))
	page := func(path string) string {
		t.Helper()
		at, reply := kim.follow(t, w.URL+path)
		if at != w.URL+path || reply.Status != http.StatusOK {
			t.Fatalf("%s: at %s, %d %s", path, at, reply.Status, reply.Body)
		}
		for _, bearer := range projectBearers.FindAllString(reply.Body, -1) {
			w.Logs.Secret(bearer)
		}
		return reply.Body
	}
	act := func(path string, form url.Values) string {
		t.Helper()
		reply := kim.send(t, http.MethodPost, w.URL+path, form)
		if reply.Status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", path, reply.Status, reply.Body)
		}
		return reply.Header.Get("Location")
	}
	for _, around := range []string{"/projects/" + proj, "/groups/" + group} {
		tokens := "/-" + around + "/access_tokens"
		if at, reply := kim.follow(t, w.URL+tokens); reply.Status != http.StatusNotFound {
			t.Errorf("who is no member at %s: %d", at, reply.Status)
		}
		admin(http.MethodPost, around+"/members", `{"user_id":`+person+`,"access_level":50}`, http.StatusCreated)
		if !strings.Contains(page("/-/projects"), tokens) {
			t.Errorf("nothing leads to %s", tokens)
		}
		made := act(tokens, url.Values{"name": {"CI"}, "expires": {"30"}, "scopes[]": {"read_api"}, "access_level": {"30"}})
		if !projectBearers.MatchString(page(made)) {
			t.Errorf("%s shows no value", made)
		}
		next := act(strings.TrimSuffix(made, "/created")+"/rotate", url.Values{"expires": {"30"}, "overlap": {"900"}})
		page(next)
		page(tokens)
		one := strings.TrimSuffix(next, "/created")
		page(one)
		page(one + "/duplicate")
		if !strings.Contains(page("/-"+around+"/members"), one) {
			t.Error("the bot has no token")
		}
		token := one[strings.LastIndex(one, "/"):]
		if mailed := linkOf(t, around, token[1:]); mailed != one {
			t.Errorf("mails link to %s, and the page is at %s", mailed, one)
		}
		if wire := admin(http.MethodGet, around+"/access_tokens"+token, "", http.StatusOK); !strings.Contains(wire, `"active":true`) || !strings.Contains(wire, `"access_level":30`) {
			t.Errorf("the API shows %s", wire)
		}
		act(one+"/revoke", url.Values{"reach": {"family"}})
		if wire := admin(http.MethodGet, around+"/access_tokens"+token, "", http.StatusOK); !strings.Contains(wire, `"active":false`) || !strings.Contains(wire, `"access_level":null`) {
			t.Errorf("after the revocation the API shows %s", wire)
		}
	}
}

// linkOf is the path to which mails about a token of a project or group link.
func linkOf(t *testing.T, around, id string) string {
	t.Helper()
	kind, number, _ := strings.Cut(strings.TrimPrefix(around, "/"), "s/")
	proj, err := project.ParseID(number)
	if err != nil {
		t.Fatal(err)
	}
	one, err := token.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	return sweep.Token{ID: one, Project: project.Project{Kind: project.Kind(kind), ID: proj}}.Page(one)
}
