package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/infra/local/seed"
)

// A feature that is switched off refuses new tokens from the answer on, and takes nothing from those
// that are there.
func TestSwitchedOffFeatureRefusesNewTokensOnly(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	bearers, err := seed.Make(t.Context(), w.URL, localtest.AdminBearer, "2027-03-19")
	if err != nil {
		t.Fatal(err)
	}
	send := func(bearer, method, path, body string, want int, words ...string) {
		t.Helper()
		w.Logs.Secret(bearer)
		reply := w.Do(t, bearer, method, "/api/v4"+path, body)
		if reply.Status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, reply.Status, reply.Body, want)
		}
		for _, word := range words {
			if !strings.Contains(reply.Body, word) {
				t.Errorf("%s %s: no %q in %s", method, path, word, reply.Body)
			}
		}
	}
	set := func(body string) {
		t.Helper()
		send(localtest.AdminBearer, http.MethodPost, "/features/resource_access_token", body, http.StatusCreated)
	}
	const (
		project, group = "/projects/acme%2Fweb/access_tokens", "/groups/acme/access_tokens"
		wanted         = `{"name":"n","scopes":["api"],"expires_at":"2026-06-01"}`
	)
	create := func(path string, allowed bool) {
		t.Helper()
		if allowed {
			send(localtest.AdminBearer, http.MethodPost, path, wanted, http.StatusCreated)
			return
		}
		send(localtest.AdminBearer, http.MethodPost, path, wanted, http.StatusBadRequest, "400 Bad request - ", "switched off")
	}

	create(project, true)
	set(`{"value":"false","project":"acme/web"}`)
	create(project, false)
	create(group, true)
	set(`{"value":"false"}`)
	create(group, false)
	set(`{"value":"true","project":"acme/web"}`)
	create(project, true)
	create(group, false)

	set(`{"value":"false","project":"acme/web"}`)
	send(bearers.Maintainer, http.MethodPost, project, wanted, http.StatusBadRequest, "switched off")
	send(bearers.Developer, http.MethodPost, project, wanted, http.StatusBadRequest, "does not have permission") // who may not is told just that
	send(bearers.Project, http.MethodGet, "/projects/acme%2Fweb", "", http.StatusOK)
	send(bearers.Maintainer, http.MethodGet, project, "", http.StatusOK, `"name":"make run"`)
	send(bearers.Project, http.MethodPost, project+"/self/rotate", "", http.StatusOK, `"token":"lkprj_`)

	send(localtest.AdminBearer, http.MethodDelete, "/features/resource_access_token", "", http.StatusNoContent)
	create(project, true)
	create(group, true)
}
