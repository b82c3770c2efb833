package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"latchkey/infra/local/localtest"
)

// Somebody else's API behind the authorizer: what its owner can rely on.
func TestSampleAPIBehindTheAuthorizer(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	finn := newAccount(t, w, "finn")
	reader := newToken(t, w, finn.ID, "reader", "2026-09-01", "read_api")
	user := newToken(t, w, finn.ID, "user", "2026-09-01", "read_user")
	runner := newToken(t, w, finn.ID, "runner", "2026-09-01", "manage_runner")
	expired := newToken(t, w, finn.ID, "expired", "2026-03-20")
	revoked := newToken(t, w, finn.ID, "revoked", "2026-09-01")
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", revoked.ID), "", http.StatusNoContent)
	blocked := newAccount(t, w, "greta")
	want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", blocked.ID), "", http.StatusCreated)
	w.Clock.Set(instant("2026-03-20T00:00:00Z"))

	const yes, no = http.StatusOK, http.StatusForbidden
	api, bearer := finn.Bearer, func(value string) string { return "Bearer " + value }
	for name, test := range map[string]struct {
		method, path, authorization string
		status                      int
	}{
		"api token reads":                         {"GET", "/sample/orders", bearer(api), yes},
		"api token writes":                        {"POST", "/sample/orders", bearer(api), yes},
		"api token deletes":                       {"DELETE", "/sample/orders/42", bearer(api), yes},
		"read_api token reads":                    {"GET", "/sample/orders", bearer(reader.Token), yes},
		"read_api token asks for the head":        {"HEAD", "/sample/orders", bearer(reader.Token), yes},
		"read_api token writes":                   {"POST", "/sample/orders", bearer(reader.Token), no},
		"read_api token replaces":                 {"PUT", "/sample/orders/42", bearer(reader.Token), no},
		"read_api token changes":                  {"PATCH", "/sample/orders/42", bearer(reader.Token), no},
		"read_api token deletes":                  {"DELETE", "/sample/orders/42", bearer(reader.Token), no},
		"read_api token with a method in the URL": {"POST", "/sample/GET/orders", bearer(reader.Token), no},
		"read_user token reads":                   {"GET", "/sample/orders", bearer(user.Token), no},
		"read_user token with its path inside":    {"GET", "/sample/x/api/v4/user", bearer(user.Token), no},
		"token whose scope opens nothing":         {"GET", "/sample/orders", bearer(runner.Token), no},
		"expired token":                           {"GET", "/sample/orders", bearer(expired.Token), no},
		"revoked token":                           {"GET", "/sample/orders", bearer(revoked.Token), no},
		"token of a blocked account":              {"GET", "/sample/orders", bearer(blocked.Bearer), no},
		"unknown token":                           {"GET", "/sample/orders", bearer("no-such-token-anywhere"), no},
		"no token":                                {"GET", "/sample/orders", "", no},
		"password of Basic":                       {"GET", "/sample/orders", basic(api), yes},
		"password of Basic, wrong":                {"GET", "/sample/orders", basic(api + "x"), no},
		"scheme in another case":                  {"GET", "/sample/orders", "bEaReR " + api, yes},
		"case of the bearer changed":              {"GET", "/sample/orders", "Bearer LKPAT_" + api[6:], no},
		"another scheme":                          {"GET", "/sample/orders", "Digest " + api, no},
		"bearer alone":                            {"GET", "/sample/orders", api, no},

		// No spelling of a path may pass a rule that another spelling would not.
		"path in another case is another path": {"GET", "/sample/ORDERS", bearer(api), yes},
		"escape that is needed":                {"GET", "/sample/orders/a%20b", bearer(api), yes},
		"colon and comma":                      {"GET", "/sample/orders/a:b,c", bearer(api), yes},
		"encoded slash":                        {"GET", "/sample/orders/acme%2F42", bearer(api), no},
		"encoded slash, lower case":            {"GET", "/sample/orders/acme%2f42", bearer(api), no},
		"doubly encoded slash":                 {"GET", "/sample/orders/acme%252F42", bearer(api), no},
		"encoded backslash":                    {"GET", "/sample/orders/acme%5C42", bearer(api), no},
		"dot segment":                          {"GET", "/sample/./orders", bearer(api), no},
		"two dots":                             {"GET", "/sample/public/../orders", bearer(api), no},
		"two dots at the end":                  {"GET", "/sample/orders/..", bearer(api), no},
		"encoded dots":                         {"GET", "/sample/public/%2e%2e/orders", bearer(api), no},
		"half-encoded dots":                    {"GET", "/sample/public/.%2E/orders", bearer(api), no},
		"double slash":                         {"GET", "/sample//orders", bearer(api), no},
		"double slash later":                   {"GET", "/sample/orders//42", bearer(api), no},
		"slash at the end":                     {"GET", "/sample/orders/", bearer(api), no},
		"path parameter":                       {"GET", "/sample/orders;v=1/42", bearer(api), no},
		"encoded letter":                       {"GET", "/sample/%6Frders", bearer(api), no},
		"encoded question mark":                {"GET", "/sample/orders%3Fx", bearer(api), no},
		"encoded hash":                         {"GET", "/sample/orders%23x", bearer(api), no},
		"encoded zero byte":                    {"GET", "/sample/orders%00", bearer(api), no},
		"overlong slash":                       {"GET", "/sample/orders%C0%AF42", bearer(api), no},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Opaque is sent as it stands; Go's client would tidy some of these.
			r := &http.Request{Method: test.method, Header: http.Header{}, URL: &url.URL{Scheme: "http", Host: w.URL[len("http://"):], Opaque: test.path}}
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			response := w.Send(t, r.WithContext(t.Context()))
			if response.Status != test.status {
				t.Errorf("status %d, want %d: %s", response.Status, test.status, response.Body)
			}
		})
	}
	t.Run("the backend is told who calls, and not with what", func(t *testing.T) {
		response := w.Do(t, reader.Token, "GET", "/sample/orders/42?private_token=", "")
		var told struct {
			Path   string
			Caller map[string]string
		}
		decode(t, response.Body, &told)
		for key, value := range map[string]string{
			"user_id": fmt.Sprint(finn.ID), "username": "finn", "token_id": fmt.Sprint(reader.ID),
			"token_kind": "personal", "scopes": "read_api", "principalId": fmt.Sprint(finn.ID),
		} {
			if told.Caller[key] != value {
				t.Errorf("%s is %q, want %q", key, told.Caller[key], value)
			}
		}
		if len(told.Caller) != 6 || told.Path != "/orders/42" || response.Status != http.StatusOK {
			t.Errorf("status %d, path %s, caller %v", response.Status, told.Path, told.Caller)
		}
	})
}
