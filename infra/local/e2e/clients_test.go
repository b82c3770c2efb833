package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// Each of these requests is one that a client made which nobody here wrote, and that was once answered in a way
// in which the client could not go on. If one fails, people cannot use that client any more.
func TestRequestsOfRealClients(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	send := func(method, path, contentType, body string) localtest.Reply {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, w.URL+"/api/v4"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("PRIVATE-TOKEN", root.Bearer)
		if body != "" {
			r.Header.Set("Content-Type", contentType)
		}
		return w.Send(t, r)
	}
	form := func(method, path, body string) localtest.Reply {
		t.Helper()
		return send(method, path, "application/x-www-form-urlencoded", body)
	}
	var acme, web struct{ ID int64 }
	decode(t, form("POST", "/groups", "name=Acme&path=acme").Body, &acme)
	decode(t, form("POST", "/projects", fmt.Sprintf("name=Web&path=web&namespace_id=%d", acme.ID)).Body, &web)
	newAccount(t, w, "someone")
	var upload bytes.Buffer
	parts := multipart.NewWriter(&upload)
	for name, value := range map[string]string{"username": "ev1", "email": "ev1@x.test", "name": "ev1", "password": "ignored ignored"} {
		if err := parts.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := parts.CreateFormFile("avatar", "avatar.txt")
	if err == nil {
		_, err = file.Write([]byte("hi"))
	}
	if err != nil || parts.Close() != nil {
		t.Fatal("no form", err)
	}
	inAcme, inWeb := fmt.Sprintf("/groups/%d", acme.ID), fmt.Sprintf("/projects/%d", web.ID)
	for _, c := range []struct {
		what     string
		reply    localtest.Reply
		status   int
		contains string
	}{
		{"glab repeats its parameters", form("GET", "/personal_access_tokens?state=active&state=active", ""), 200, `"active":true`},
		{"a file for a picture", send("POST", "/users", parts.FormDataContentType(), upload.String()), 201, `"username":"ev1"`},
		{"a description with a semicolon", form("POST", "/users/1/personal_access_tokens", "name=s&scopes[]=api&description=a; b"), 201, `"description":"a; b"`},
		{"Terraform's user", form("POST", "/users", "username=c&email=c@x.test&name=c&password=Abcdefg12345&can_create_group=false"), 201, `"can_create_group":false`},
		{"the version", form("GET", "/version", ""), 200, `"enterprise":false,"kas":{`},
		{"a group", form("GET", "/groups/acme", ""), 200, `"shared_with_groups":[]`},
		{"a project", form("GET", "/projects/acme%2Fweb", ""), 200, `"shared_with_groups":[]`},
		{"a missing token of a project", form("DELETE", "/projects/acme%2Fweb/access_tokens/999", ""), 404, `{"message":"404 project Access Token Not Found"}`},
		{"a missing token of a group", form("DELETE", "/groups/acme/access_tokens/999", ""), 404, `{"message":"404 group Access Token Not Found"}`},
		{"a token of a project", form("POST", "/projects/acme%2Fweb/access_tokens", "name=ev&scopes[]=read_api&access_level=20"), 201, fmt.Sprintf(`"resource_type":"project","resource_id":%d`, web.ID)},
		{"a setting of GitLab", form("PUT", "/application/settings", "signup_enabled=false"), 200, `"id":1`},
		{"admin_mode for anybody", form("POST", "/users/2/personal_access_tokens", "name=am&scopes[]=admin_mode"), 201, `"scopes":["admin_mode"]`},
		{"fine-grained scopes", form("POST", "/users/1/personal_access_tokens", "name=g&scopes[]=api&granular_scopes[][access]=user"), 400, `granular_scopes is not supported`},
		{"memberships", form("GET", "/users/1/memberships", ""), 200, `"source_name":"Acme"`},
		{"groups in a group", form("GET", inAcme+"/descendant_groups", ""), 200, `[]`},
		{"groups above a project", form("GET", inWeb+"/groups", ""), 200, `"full_path":"acme"`},
		{"users of a project", form("GET", inWeb+"/users", ""), 200, `"username":"root"`},
		{"namespaces", form("GET", "/namespaces", ""), 200, `"kind":"user"`},
		{"a search for namespaces", form("GET", "/namespaces?search=acme", ""), 200, `"kind":"group"`},
		{"deploy tokens", form("GET", inAcme+"/deploy_tokens", ""), 200, `[]`},
		{"a change of a project", form("PUT", inWeb, "description=x"), 200, `"description":"x"`},
		{"a change of a group", form("PUT", inAcme, "description=x"), 200, `"description":"x"`},
		{"a project for somebody", form("POST", "/projects/user/2", "name=given"), 201, `"path_with_namespace":"someone/given"`},
		{"the import of a project", form("GET", inWeb+"/import", ""), 200, `"import_status":"none"`},
		{"an order by similarity", form("GET", "/projects?search=web&order_by=similarity", ""), 200, `"path":"web"`},
		{"a deletion of a project", form("DELETE", inWeb, ""), 202, `{"message":"202 Accepted"}`},
		{"a deletion of a group", form("DELETE", inAcme, ""), 202, `{"message":"202 Accepted"}`},
		{"a list after that", form("GET", "/projects?"+url.Values{"search": {"web"}}.Encode(), ""), 200, `[]`},
	} {
		if c.reply.Status != c.status || !strings.Contains(c.reply.Body, c.contains) {
			t.Errorf("%s: %d %s\nwant %d %s", c.what, c.reply.Status, c.reply.Body, c.status, c.contains)
		}
	}
	// Terraform's provider asks GraphQL who it is.
	const query, answer = `{"query":"query {currentUser {name, bot, groupCount, id, namespace{id}, publicEmail, username}}"}`, `"id":"gid://gitlab/User/1"`
	if got := w.Do(t, root.Bearer, "POST", "/api/graphql", query); got.Status != 200 || !strings.Contains(got.Body, answer) {
		t.Errorf("GraphQL: %d %s", got.Status, got.Body)
	}
	if got := w.Do(t, root.Bearer, "POST", "/api/graphql", `{"query":"{projects{nodes{id}}}"}`); got.Status != 200 || !strings.HasPrefix(got.Body, `{"errors":[`) {
		t.Errorf("GraphQL: %d %s", got.Status, got.Body)
	}
	var version, metadata json.RawMessage
	decode(t, form("GET", "/version", "").Body, &version)
	decode(t, form("GET", "/metadata", "").Body, &metadata)
	if !bytes.Equal(version, metadata) {
		t.Errorf("version is %s and metadata %s", version, metadata)
	}
}
