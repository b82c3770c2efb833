package seed_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/seed"
)

// A server answers as Latchkey does, as far as seeding looks. empty says
// whether nothing is there yet.
type server struct {
	empty  bool
	asked  []string          // method, path and query, in order
	wrong  map[string]string // replies with 403 instead, by method and path
	garble string            // the step that is answered without JSON
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	step := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), "/api/v4")
	s.asked = append(s.asked, step)
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("PRIVATE-TOKEN") != "root's" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if refusal, wrong := s.wrong[step]; wrong {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintln(w, refusal)
		return
	}
	if step == s.garble {
		fmt.Fprint(w, "<html>")
		return
	}
	if token := strings.HasSuffix(step, "_tokens") || strings.HasSuffix(step, "/rotate"); token && r.Method == http.MethodPost && body["expires_at"] != "2027-03-04" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status, reply := http.StatusOK, any(map[string]any{"id": len(s.asked)})
	there := []map[string]any{{"id": 4, "name": "another"}, {"id": 7, "name": seed.TokenName, "username": r.URL.Query().Get("username")}}
	switch {
	case r.Method == http.MethodPost:
		status = http.StatusCreated
		reply = map[string]any{"id": len(s.asked), "username": body["username"], "token": "bearer by " + step}
	case strings.HasSuffix(step, "s") && s.empty:
		reply = []any{}
	case strings.HasSuffix(step, "s"):
		reply = there
		if strings.HasSuffix(step, "/users") {
			reply = there[1:]
		}
	case s.empty:
		status, reply = http.StatusNotFound, map[string]any{"message": "404 Not Found"}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply)
}

func (s *server) make(t *testing.T) (seed.Bearers, error) {
	t.Helper()
	running := httptest.NewServer(s)
	defer running.Close()
	return seed.Make(t.Context(), running.URL, "root's", "2027-03-04")
}

func TestMake(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		empty   bool
		bearers seed.Bearers
		writes  []string
	}{
		{
			"an empty world is filled", true,
			seed.Bearers{
				Developer: "bearer by POST /users/2/personal_access_tokens", Maintainer: "bearer by POST /users/4/personal_access_tokens",
				Project: "bearer by POST /projects/8/access_tokens",
			},
			[]string{
				"POST /users", "POST /users", "POST /groups", "POST /projects", "POST /groups/6/members", "POST /projects/8/members",
				"POST /users/2/personal_access_tokens", "POST /users/4/personal_access_tokens", "POST /projects/8/access_tokens",
			},
		},
		{
			"in a full one only bearers are new", false,
			seed.Bearers{
				Developer: "bearer by POST /personal_access_tokens/7/rotate", Maintainer: "bearer by POST /personal_access_tokens/7/rotate",
				Project: "bearer by POST /projects/4/access_tokens/7/rotate",
			},
			[]string{"POST /personal_access_tokens/7/rotate", "POST /personal_access_tokens/7/rotate", "POST /projects/4/access_tokens/7/rotate"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &server{empty: c.empty}
			got, err := s.make(t)
			if err != nil || got != c.bearers {
				t.Errorf("%+v, %v", got, err)
			}
			writes := slices.DeleteFunc(slices.Clone(s.asked), func(step string) bool { return strings.HasPrefix(step, "GET ") })
			if !reflect.DeepEqual(writes, c.writes) {
				t.Errorf("wrote %q, want %q", writes, c.writes)
			}
		})
	}
}

// Whoever starts it is told which step failed and why, and gets no half world.
func TestStepsThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server
		want []string
	}{
		"find a user":    {server{wrong: map[string]string{"GET /users": `{"message":"403 Forbidden"}`}}, []string{"find user developer", "403", "403 Forbidden"}},
		"create a user":  {server{empty: true, wrong: map[string]string{"POST /users": "no"}}, []string{"create user developer", "403", "no"}},
		"find a group":   {server{empty: true, wrong: map[string]string{"GET /groups/acme": "no"}}, []string{"find group acme", "403"}},
		"create a group": {server{empty: true, wrong: map[string]string{"POST /groups": "no"}}, []string{"create group acme", "403"}},
		"find a project": {server{wrong: map[string]string{"GET /projects/acme%2Fweb": "no"}}, []string{"find project acme/web", "403"}},
		"add a member":   {server{empty: true, wrong: map[string]string{"POST /groups/6/members": "no"}}, []string{"create member developer", "403"}},
		"find a token":   {server{wrong: map[string]string{"GET /personal_access_tokens": "no"}}, []string{"find token of developer", "403"}},
		"rotate a token": {server{wrong: map[string]string{"POST /projects/4/access_tokens/7/rotate": "no"}}, []string{"rotate token of acme/web", "403"}},
		"create a token": {server{empty: true, wrong: map[string]string{"POST /projects/8/access_tokens": "switched off"}}, []string{"create token of acme/web", "switched off"}},
		"a garbled list": {server{garble: "GET /users"}, []string{"find user developer", "not understood"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.make(t)
			if err == nil || got != (seed.Bearers{}) {
				t.Fatalf("%+v, %v", got, err)
			}
			for _, words := range c.want {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("err = %v does not say %q", err, words)
				}
			}
			if strings.Contains(err.Error(), "root's") {
				t.Errorf("err = %v shows the bearer", err)
			}
		})
	}

	t.Run("nothing is there to answer", func(t *testing.T) {
		t.Parallel()
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		if _, err := seed.Make(t.Context(), gone.URL, "root's", "2027-03-04"); err == nil || !strings.Contains(err.Error(), "find user developer") {
			t.Errorf("err = %v", err)
		}
	})
}
