package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"latchkey/infra/local/identities"
	"latchkey/infra/local/localtest"
)

// A visitor is a browser: it keeps cookies and follows no redirect by itself. The cookies are for https
// alone, which browsers do not ask of 127.0.0.1.
type visitor struct {
	w       *localtest.World
	cookies map[string]string
}

func (v *visitor) send(t *testing.T, method, target string, form url.Values) localtest.Reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if strings.HasPrefix(target, v.w.URL+"/-/") {
		for name, value := range v.cookies {
			request.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	reply := v.w.Send(t, request)
	for _, cookie := range (&http.Response{Header: reply.Header}).Cookies() {
		v.cookies[cookie.Name] = cookie.Value
		if cookie.MaxAge < 0 {
			delete(v.cookies, cookie.Name)
		}
	}
	return reply
}

// follow gets a page and goes where redirects lead. It returns the address and the page at the end.
func (v *visitor) follow(t *testing.T, target string) (string, localtest.Reply) {
	t.Helper()
	for range 5 {
		reply := v.send(t, http.MethodGet, target, nil)
		location := reply.Header.Get("Location")
		if location == "" {
			return target, reply
		}
		base, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		there, err := base.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		target = there.String()
	}
	t.Fatalf("too many redirects, to %s", target)
	return "", localtest.Reply{}
}

// signIn goes through the sign-in as the first person that the provider knows.
func (v *visitor) signIn(t *testing.T, path string) (string, localtest.Reply) {
	t.Helper()
	ask, _ := v.follow(t, v.w.URL+path)
	asked, err := url.Parse(ask)
	if err != nil || asked.Path != "/-/sign_in" {
		t.Fatalf("a stranger is led to %s", ask)
	}
	who, page := v.follow(t, v.w.URL+"/-/sign_in/start?"+asked.RawQuery)
	if !strings.Contains(page.Body, "Who are you?") {
		t.Fatalf("%s: %d %s", who, page.Status, page.Body)
	}
	return v.follow(t, who+"&person=0")
}

// The page, the gateway in front of it, the permissions of its function and the identity provider of the
// local run work together: somebody signs in for the first time, signs out, and comes back.
func TestSignInThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	const path = "/-/user_settings/personal_access_tokens?name=CI&scopes=read_api"
	w.Identities.Say(identities.Person{Subject: "kim", Claims: map[string]any{
		"name": "Kim", "preferred_username": "kim", "email": "kim@example.test", "email_verified": true,
	}})
	kim := &visitor{w, map[string]string{}}
	// The gateway hands on a query without its order.
	back := func(at string) bool {
		there, err := url.Parse(at)
		return err == nil && strings.HasPrefix(at, w.URL+"/-/user_settings/personal_access_tokens?") && there.Query().Encode() == "name=CI&scopes=read_api"
	}
	if at, page := kim.signIn(t, path); page.Status != http.StatusOK || !back(at) || !strings.Contains(page.Body, "@kim") {
		t.Fatalf("at %s: %d %s", at, page.Status, page.Body)
	}
	users := w.Do(t, localtest.AdminBearer, http.MethodGet, "/api/v4/users?username=kim", "")
	if !strings.Contains(users.Body, `"username":"kim"`) || !strings.Contains(users.Body, `"is_admin":false`) {
		t.Errorf("the new account: %s", users.Body)
	}
	stolen := &visitor{w, map[string]string{}}
	for name, value := range kim.cookies {
		stolen.cookies[name] = value
	}
	if out := kim.send(t, http.MethodPost, w.URL+"/-/sign_out", nil); out.Status != http.StatusSeeOther {
		t.Errorf("signing out: %d %s", out.Status, out.Body)
	}
	if at, _ := stolen.follow(t, w.URL+path); !strings.Contains(at, "/-/sign_in") {
		t.Errorf("a copy of the cookie is still good: at %s", at)
	}
	if at, page := kim.signIn(t, path); !back(at) || page.Status != http.StatusOK {
		t.Errorf("the second time at %s: %d", at, page.Status)
	}
	trail := w.Do(t, localtest.AdminBearer, http.MethodGet, "/api/v4/audit_events", "").Body
	for _, name := range []string{"user_created", "user_signed_in", "user_signed_out"} {
		if !strings.Contains(trail, `"event_name":"`+name+`"`) {
			t.Errorf("the audit trail lacks %s", name)
		}
	}
	// The administrator's account is linked by nobody but an operator.
	w.Identities.Say(identities.Person{Subject: "root", Claims: map[string]any{
		"name": "Root", "email": "root@example.test", "email_verified": true,
	}})
	root := &visitor{w, map[string]string{}}
	if _, page := root.signIn(t, path); page.Status != http.StatusForbidden {
		t.Errorf("an administrator is linked by mail: %d", page.Status)
	}
	payload := `{"action":"link_identity","username":"root","issuer":"` + w.Identities.Issuer() + `","subject":"root"}`
	if _, err := w.Functions["issue"].Invoke(t.Context(), []byte(payload)); err != nil {
		t.Error(err)
	}
	if _, page := root.signIn(t, path); page.Status != http.StatusOK || !strings.Contains(page.Body, "@root") {
		t.Errorf("an administrator who was linked by an operator: %d", page.Status)
	}
	if _, err := w.Functions["issue"].Invoke(t.Context(), []byte(`{"action":"unlink_identity","username":"root"}`)); err != nil {
		t.Error(err)
	}
	if at, _ := root.follow(t, w.URL+path); !strings.Contains(at, "/-/sign_in") {
		t.Errorf("the session of an unlinked account is still good: at %s", at)
	}
	if _, page := root.signIn(t, path); page.Status != http.StatusForbidden {
		t.Errorf("an identity that was unlinked signs in: %d", page.Status)
	}
}

// What people do on the page passes the permissions of its function in the template.
func TestActionsOfThePageThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	const path = "/-/user_settings/personal_access_tokens"
	w.Identities.Say(identities.Person{Subject: "kim", Claims: map[string]any{"name": "Kim", "email": "kim@example.test", "email_verified": true}})
	kim := &visitor{w, map[string]string{}}
	kim.signIn(t, path)
	act := func(path string, form url.Values) string {
		t.Helper()
		reply := kim.send(t, http.MethodPost, w.URL+path, form)
		if reply.Status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", path, reply.Status, reply.Body)
		}
		return reply.Header.Get("Location")
	}
	page := func(path string) string {
		t.Helper()
		at, reply := kim.follow(t, w.URL+path)
		if at != w.URL+path || reply.Status != http.StatusOK {
			t.Fatalf("%s: at %s, %d", path, at, reply.Status)
		}
		for _, bearer := range bearers.FindAllString(reply.Body, -1) {
			w.Logs.Secret(bearer)
		}
		return reply.Body
	}
	made := act(path, url.Values{"name": {"CI"}, "expires": {"30"}, "scopes[]": {"read_api"}})
	if !bearers.MatchString(page(made)) {
		t.Errorf("%s shows no value", made)
	}
	if at, again := kim.follow(t, w.URL+made); bearers.MatchString(again.Body) {
		t.Errorf("%s shows the value again", at)
	}
	one := strings.TrimSuffix(made, "/created")
	next := act(one+"/rotate", url.Values{"expires": {"30"}, "overlap": {"0"}})
	page(next)
	act(strings.TrimSuffix(next, "/created")+"/revoke", nil)
	page(path)
	page("/-/user_settings/token_calendar")
	if reply := kim.send(t, http.MethodPost, w.URL+path+"/revoke_all", url.Values{"username": {"kim"}}); reply.Status != http.StatusOK {
		t.Fatalf("revoking everything: %d %s", reply.Status, reply.Body)
	}
	if at, _ := kim.follow(t, w.URL+path); !strings.Contains(at, "/-/sign_in") {
		t.Errorf("signed in after everything was revoked: at %s", at)
	}
}

var bearers = regexp.MustCompile(`lkpat_[0-9A-Za-z]{30,}`)

// What administrators do on the page passes the permissions of its function in the template.
func TestActionsOfAdministratorsThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	w.Identities.Say(identities.Person{Subject: "root", Claims: map[string]any{"name": "Root", "email": "root@example.test", "email_verified": true}})
	payload := `{"action":"link_identity","username":"root","issuer":"` + w.Identities.Issuer() + `","subject":"root"}`
	if _, err := w.Functions["issue"].Invoke(t.Context(), []byte(payload)); err != nil {
		t.Fatal(err)
	}
	api := func(path, body string) string {
		t.Helper()
		var made struct {
			ID    int64
			Token string
		}
		reply := w.Do(t, localtest.AdminBearer, http.MethodPost, "/api/v4"+path, body)
		if err := json.Unmarshal([]byte(reply.Body), &made); err != nil || reply.Status != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, reply.Status, reply.Body)
		}
		if made.Token != "" {
			w.Logs.Secret(made.Token)
		}
		return strconv.FormatInt(made.ID, 10)
	}
	anna := api("/users", `{"username":"anna","name":"Anna","email":"anna@example.test","force_random_password":true}`)
	api("/groups", `{"name":"Acme","path":"acme"}`)
	bots := api("/groups/acme/access_tokens", `{"name":"ci","scopes":["read_api"],"access_level":20}`)
	root := &visitor{w, map[string]string{}}
	root.signIn(t, "/-/admin/users")
	act := func(path string, form url.Values, want int) localtest.Reply {
		t.Helper()
		reply := root.send(t, http.MethodPost, w.URL+path, form)
		if reply.Status != want {
			t.Fatalf("%s: %d %s", path, reply.Status, reply.Body)
		}
		return reply
	}
	page := func(path string) string {
		t.Helper()
		at, reply := root.follow(t, w.URL+path)
		if at != w.URL+path || reply.Status != http.StatusOK {
			t.Fatalf("%s: at %s, %d %s", path, at, reply.Status, reply.Body)
		}
		for _, bearer := range impersonationBearers.FindAllString(reply.Body, -1) {
			w.Logs.Secret(bearer)
		}
		return reply.Body
	}
	user := "/-/admin/users/" + anna
	for _, path := range []string{
		"/-/admin/users", "/-/admin/users?search=anna", user, user + "/revoke_all", user + "/impersonation_tokens", user + "/impersonation_tokens/new", "/-/admin/tokens",
		"/-/admin/tokens?owner=anna", "/-/admin/settings", "/-/admin/features", "/-/admin/audit", "/-/admin/audit?entity_type=User&entity_id=" + anna,
	} {
		page(path)
	}
	made := act(user+"/impersonation_tokens", url.Values{"name": {"look"}, "expires": {"7"}, "scopes[]": {"read_api"}}, http.StatusSeeOther).Header.Get("Location")
	if !impersonationBearers.MatchString(page(made)) {
		t.Errorf("%s shows no value", made)
	}
	act("/-/admin/tokens/"+strings.Split(made, "/")[6]+"/revoke", nil, http.StatusSeeOther)
	act("/-/admin/tokens/"+bots+"/revoke", nil, http.StatusSeeOther)
	page("/-/admin/tokens/" + bots)
	act(user+"/block", nil, http.StatusSeeOther)
	act(user+"/unblock", nil, http.StatusSeeOther)
	act(user+"/revoke_all", url.Values{"username": {"anna"}}, http.StatusSeeOther)
	for _, value := range []string{"true", "false"} {
		act("/-/admin/features", url.Values{"name": {"resource_access_token"}, "value": {value}, "for": {"some"}, "user": {"anna"}}, http.StatusSeeOther)
	}
	act("/-/admin/features/clear", url.Values{"name": {"resource_access_token"}}, http.StatusSeeOther)
	act("/-/admin/settings", url.Values{"revision": {"0"}, "lifetime_days": {"30"}, "confirmed": {"30"}}, http.StatusSeeOther)
	act("/-/admin/settings", url.Values{"revision": {"1"}, "was_lifetime_days": {"30"}, "confirmed": {"0"}}, http.StatusSeeOther)
	if _, file := root.follow(t, w.URL+"/-/admin/audit.csv"); file.Status != http.StatusOK || !strings.Contains(file.Body, "application_setting_updated") {
		t.Errorf("the file: %d", file.Status)
	}
}

var impersonationBearers = regexp.MustCompile(`lkimp_[0-9A-Za-z]{30,}`)
