package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/infra/local/seed"
)

// What `make run SEED=1` prints works, and starting again on the same engine makes nothing twice.
func TestSeededWorld(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	get := func(bearer, path string, want ...string) string {
		t.Helper()
		reply := w.Do(t, bearer, http.MethodGet, "/api/v4"+path, "")
		if reply.Status != http.StatusOK {
			t.Fatalf("GET %s: %d %s", path, reply.Status, reply.Body)
		}
		for _, words := range want {
			if !strings.Contains(reply.Body, words) {
				t.Errorf("GET %s: no %s in %s", path, words, reply.Body)
			}
		}
		return reply.Body
	}
	const project = "/projects/acme%2Fweb"
	var before, bot string
	for start := range 2 {
		bearers, err := seed.Make(t.Context(), w.URL, localtest.AdminBearer, "2027-03-19")
		if err != nil {
			t.Fatal(err)
		}
		for _, bearer := range []string{bearers.Developer, bearers.Maintainer, bearers.Project} {
			w.Logs.Secret(bearer)
		}
		get(bearers.Developer, "/user", `"username":"developer"`)
		get(bearers.Maintainer, "/user", `"username":"maintainer"`)
		get(bearers.Developer, "/groups/acme", `"full_path":"acme"`)
		get(bearers.Developer, project, `"path_with_namespace":"acme/web"`)
		get(bearers.Maintainer, project+"/access_tokens", `"name":"make run"`, `"access_level":30`)
		get(bearers.Project, project, `"path_with_namespace":"acme/web"`)
		self := get(bearers.Project, "/user", `"bot":true`)
		if start == 1 && self != bot {
			t.Errorf("the project's token has another bot: %s, was %s", self, bot)
		}
		bot = self
		members := get(bearers.Maintainer, project+"/members/all", `"username":"developer"`, `"username":"maintainer"`, `_bot"`)
		if start == 1 && members != before {
			t.Errorf("members %s, were %s", members, before)
		}
		before = members
		if n := strings.Count(get(bearers.Developer, "/personal_access_tokens?state=active"), `"name":`); n != 1 {
			t.Errorf("developer has %d tokens after start %d", n, start+1)
		}
	}
}
