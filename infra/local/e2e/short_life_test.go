package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/project"
)

// brief makes a token with a short life as the administrator.
func brief(t *testing.T, w *localtest.World, owner int64, seconds int, scopes ...string) personalToken {
	t.Helper()
	var made personalToken
	decode(t, want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", owner),
		encode(t, map[string]any{"name": "brief", "scopes": scopes, "expires_in": seconds}), http.StatusCreated), &made)
	return made
}

// Breaks if a token with a short life passes anywhere from its second on, or fails in the second before, while expired
// tokens work otherwise.
func TestAShortLifeEndsAtItsSecondEverywhere(t *testing.T) {
	t.Parallel()
	inBothEngines(t, func(t *testing.T, w *localtest.World) {
		t.Helper()
		change(t, w, root.Bearer, `{"enforce_pat_expiration":false}`)
		settle(w)
		anna, server := newAccount(t, w, "anna"), newAccount(t, w, "server", "introspect")
		withProject(t, w, map[int64]project.Level{anna.ID: project.Developer})
		const life = 3600
		api, feed := brief(t, w, anna.ID, life, "api", "read_registry"), brief(t, w, anna.ID, life, "read_calendar")
		ends := w.Clock.Now().Truncate(time.Second).Add(life * time.Second)
		var bot resourceToken
		decode(t, want(t, w, root.Bearer, "POST", "/api/v4/projects/2/access_tokens", fmt.Sprintf(`{"name":"bot","scopes":["api"],"expires_in":%d}`, life), http.StatusCreated), &bot)
		if api.ExpiresAtTime != ends.Format("2006-01-02T15:04:05.000Z") || api.ExpiresAt != "2026-03-20" {
			t.Errorf("it ends at %s, on %s", api.ExpiresAtTime, api.ExpiresAt)
		}
		introspected := func() string {
			return introspects(t, w, server.Bearer, url.Values{"token": {api.Token}}).Body
		}
		ok := func(reply localtest.Reply) bool { return reply.Status == http.StatusOK }
		channels := map[string]func() bool{
			"the API":        func() bool { return ok(w.Do(t, api.Token, "GET", "/api/v4/user", "")) },
			"the API, a bot": func() bool { return ok(w.Do(t, bot.Token, "GET", "/api/v4/user", "")) },
			"GraphQL": func() bool {
				return ok(w.Do(t, api.Token, "POST", "/api/graphql", `{"query":"{currentUser{username}}"}`))
			},
			"introspection": func() bool { return strings.Contains(introspected(), `"active":true`) },
			"the calendar feed": func() bool {
				return ok(w.Do(t, "", "GET", "/-/user_settings/personal_access_tokens.ics?feed_token="+feed.Token, ""))
			},
			"forward-auth": func() bool {
				return ok(asks(t, w, "GET", "/auth/nginx", "Private-Token", api.Token, "X-Original-Method", "GET", "X-Original-URI", "/orders"))
			},
			"Git":                    func() bool { return ok(pulling[0].by(t, w, api.Token)) },
			"the registry, by a JWT": func() bool { return jwtOf(t, w, api.Token, "repository:acme/web/api:pull") == "acme/web/api:pull" },
			"the registry, by itself": func() bool {
				return ok(asks(t, w, "GET", "/auth/nginx/registry", "Authorization", basic(api.Token), "X-Original-Method", "GET", "X-Original-URI", "/v2/"))
			},
			"the list of those that work": func() bool {
				list := want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/personal_access_tokens?state=active&user_id=%d", anna.ID), "", http.StatusOK)
				return strings.Contains(list, fmt.Sprintf(`"id":%d,`, api.ID))
			},
		}
		for _, f := range formats {
			channels["the authorizer, "+f.name] = func() bool {
				answer, err := decide(t.Context(), w, f, "GET", "/orders", api.Token)
				noError(t, err)
				return answer.allowed
			}
		}
		all := func(at time.Time, good bool) {
			t.Helper()
			w.Clock.Set(at)
			for name, passes := range channels {
				if passes() != good {
					t.Errorf("%s before its end, %s: passes is %t", ends.Sub(at), name, !good)
				}
			}
		}
		w.Clock.Set(ends.Add(-time.Second))
		if told := introspected(); !strings.Contains(told, fmt.Sprintf(`"exp":%d,`, ends.Unix())) {
			t.Errorf("introspection says %s", told)
		}
		if exp := jwtEnd(t, w, api.Token); exp != ends.Unix() {
			t.Errorf("a JWT ends %d seconds after its token", exp-ends.Unix())
		}
		all(ends.Add(-time.Second), true)
		all(ends, false)
		if told := introspected(); strings.TrimSpace(told) != `{"active":false}` {
			t.Errorf("introspection says %s", told)
		}
	})
}

// jwtEnd returns when a JWT for a bearer ends.
func jwtEnd(t *testing.T, w *localtest.World, bearer string) int64 {
	t.Helper()
	var reply struct{ Token string }
	decode(t, asks(t, w, "GET", "/jwt/auth?service="+local.RegistryService, "Authorization", basic(bearer)).Body, &reply)
	w.Logs.Secret(reply.Token)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(reply.Token, ".")[1])
	noError(t, err)
	var claims struct{ Exp int64 }
	noError(t, json.Unmarshal(payload, &claims))
	return claims.Exp
}

// Breaks if a token with a short life can get a longer one for its own account, a project or a group, by any route.
func TestNothingOutlivesAShortLife(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	bert := newAccount(t, w, "bert")
	withProject(t, w, map[int64]project.Level{root.ID: project.Owner})
	const life = 3 * 24 * 3600
	short := brief(t, w, root.ID, life, "api", "sudo")
	other := newToken(t, w, root.ID, "another one", "2026-09-01")
	var bot resourceToken
	decode(t, want(t, w, root.Bearer, "POST", "/api/v4/projects/2/access_tokens", `{"name":"bot","scopes":["api"]}`, http.StatusCreated), &bot)
	var seconds, days []string // the routes that make, and those that rotate
	for _, path := range []string{
		"/user/personal_access_tokens", "/user/personal_access_tokens?sudo=bert", "/users/1/personal_access_tokens", "/users/1/impersonation_tokens",
		"/projects/2/access_tokens", "/groups/1/access_tokens",
	} {
		seconds = append(seconds, "/api/v4"+path)
	}
	for _, path := range []string{
		fmt.Sprintf("/personal_access_tokens/%d/rotate", other.ID), fmt.Sprintf("/projects/2/access_tokens/%d/rotate", bot.ID),
	} {
		days = append(days, "/api/v4"+path)
	}
	refused := func(path, body string) {
		t.Helper()
		got := w.Do(t, short.Token, "POST", path, body)
		if got.Status != http.StatusBadRequest {
			t.Errorf("%s with %s: %d %s", path, body, got.Status, got.Body)
		}
	}
	named := func(rest string) string { return `{"name":"x","scopes":["api"]` + rest + `}` }
	w.Clock.Advance(time.Hour)
	left := life - 3600
	for _, path := range seconds {
		refused(path, named(""))
		refused(path, named(`,"expires_at":"2026-03-23"`))
		refused(path, named(fmt.Sprintf(`,"expires_in":%d`, left+1)))
		want(t, w, short.Token, "POST", path, named(fmt.Sprintf(`,"expires_in":%d`, left)), http.StatusCreated)
		want(t, w, short.Token, "POST", path, named(`,"expires_at":"2026-03-22"`), http.StatusCreated)
	}
	for _, path := range days {
		for _, rest := range []string{"", `"overlap":"until_used"`, `"overlap_seconds":60`, `"expires_at":"2026-03-23"`, `"expires_at":"2026-03-23","overlap":"until_used"`} {
			refused(path, "{"+rest+"}")
		}
	}
	refused(selfRotation, "")
	refused(fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", short.ID), "")
	// For other accounts an administrator's token makes what it likes, and each is in the trail.
	want(t, w, short.Token, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", bert.ID), named(""), http.StatusCreated)

	// A repeat under a key gets the first reply, and nothing once the token has ended.
	again := func(body string) localtest.Reply {
		request, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+seconds[0], strings.NewReader(body))
		noError(t, err)
		request.Header.Set("PRIVATE-TOKEN", short.Token)
		request.Header.Set("Idempotency-Key", "one")
		request.Header.Set("Content-Type", "application/json")
		return w.Send(t, request)
	}
	first, repeated := again(named(`,"expires_in":60`)), again(named(`,"expires_in":60`))
	if first.Status != http.StatusCreated || repeated.Body != first.Body || again(named(`,"expires_in":61`)).Status != http.StatusUnprocessableEntity || again(named("")).Status != http.StatusUnprocessableEntity {
		t.Errorf("repeated: %d %s", repeated.Status, repeated.Body)
	}

	// While expired tokens work, a day ends nothing.
	change(t, w, root.Bearer, `{"enforce_pat_expiration":false}`)
	settle(w)
	for _, path := range seconds {
		refused(path, named(`,"expires_at":"2026-03-21"`))
		want(t, w, short.Token, "POST", path, named(`,"expires_in":60`), http.StatusCreated)
	}
	for _, path := range days {
		refused(path, `{"expires_at":"2026-03-21"}`)
	}
	change(t, w, root.Bearer, `{"enforce_pat_expiration":true}`)
	settle(w)
	for _, path := range days {
		want(t, w, short.Token, "POST", path, `{"expires_at":"2026-03-22"}`, http.StatusOK)
	}
	w.Clock.Set(localtest.Now.Add(life * time.Second))
	if got := again(named(`,"expires_in":60`)); got.Status != http.StatusUnauthorized {
		t.Errorf("repeated after its end: %d %s", got.Status, got.Body)
	}
}
