package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// The last second of a token that expires on 20 March, and its first two dead ones.
var aroundMidnight = []struct {
	at    string
	alive bool
}{
	{"2026-03-19T23:59:59Z", true},
	{"2026-03-20T00:00:00Z", false},
	{"2026-03-20T00:00:01Z", false},
}

// A channel is a way in which a token's end shows: it reports whether the token is good.
type channel func(*testing.T, *localtest.World, personalToken) bool

// throughAPI sends what request returns and expects aliveStatus, or the words for an expired token.
func throughAPI(aliveStatus int, request func(w *localtest.World, bearer string) (*http.Request, error)) channel {
	return func(t *testing.T, w *localtest.World, token personalToken) bool {
		t.Helper()
		r, err := request(w, token.Token)
		if err != nil {
			t.Fatal(err)
		}
		response := w.Send(t, r.WithContext(t.Context()))
		dead := response.Status == http.StatusUnauthorized && response.Body == expiredBody+"\n"
		if !dead && response.Status != aliveStatus {
			t.Errorf("status %d: %s", response.Status, response.Body)
		}
		return !dead
	}
}

func withHeader(method, path, name, format string) func(*localtest.World, string) (*http.Request, error) {
	return func(w *localtest.World, bearer string) (*http.Request, error) {
		r, err := http.NewRequest(method, w.URL+path, nil)
		if err == nil {
			r.Header.Set(name, fmt.Sprintf(format, bearer))
		}
		return r, err
	}
}

func withQuery(path string) func(*localtest.World, string) (*http.Request, error) {
	return func(w *localtest.World, bearer string) (*http.Request, error) {
		return http.NewRequest("GET", w.URL+path+url.QueryEscape(bearer), nil)
	}
}

func listedAs(state string) channel {
	return func(t *testing.T, w *localtest.World, token personalToken) bool {
		t.Helper()
		var list []personalToken
		decode(t, want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/personal_access_tokens?state=%s&user_id=%d", state, token.UserID), "", http.StatusOK), &list)
		for _, listed := range list {
			if listed.ID == token.ID {
				if listed.Active != (state == "active") {
					t.Errorf("listed as %s with active %t", state, listed.Active)
				}
				return state == "active"
			}
		}
		return state != "active"
	}
}

var channels = map[string]channel{
	"PRIVATE-TOKEN":                 throughAPI(200, withHeader("GET", "/api/v4/user", "PRIVATE-TOKEN", "%s")),
	"Authorization: Bearer":         throughAPI(200, withHeader("GET", "/api/v4/user", "Authorization", "Bearer %s")),
	"private_token in the query":    throughAPI(200, withQuery("/api/v4/user?private_token=")),
	"access_token in the query":     throughAPI(200, withQuery("/api/v4/user?access_token=")),
	"look at itself":                throughAPI(200, withHeader("GET", "/api/v4/personal_access_tokens/self", "PRIVATE-TOKEN", "%s")),
	"version, for anybody's scopes": throughAPI(200, withHeader("GET", "/api/v4/version", "PRIVATE-TOKEN", "%s")),
	"private_token in a form": throughAPI(400, func(w *localtest.World, bearer string) (*http.Request, error) { // without a name it makes no token
		r, err := http.NewRequest("POST", w.URL+"/api/v4/user/personal_access_tokens", strings.NewReader(url.Values{"private_token": {bearer}}.Encode()))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return r, err
	}),
	"rotate itself":    throughAPI(200, withHeader("POST", "/api/v4/personal_access_tokens/self/rotate", "PRIVATE-TOKEN", "%s")),
	"revoke itself":    throughAPI(204, withHeader("DELETE", "/api/v4/personal_access_tokens/self", "PRIVATE-TOKEN", "%s")),
	"listed as active": listedAs("active"), "listed as inactive": listedAs("inactive"),
	"seen by id": func(t *testing.T, w *localtest.World, token personalToken) bool {
		var seen personalToken
		decode(t, want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/personal_access_tokens/%d", token.ID), "", http.StatusOK), &seen)
		return seen.Active
	},
	"identified by value": func(t *testing.T, w *localtest.World, token personalToken) bool {
		var seen personalToken
		decode(t, want(t, w, root.Bearer, "POST", "/api/v4/admin/token", encode(t, map[string]string{"token": token.Token}), http.StatusOK), &seen)
		return seen.Active
	},
	"sample API": func(t *testing.T, w *localtest.World, token personalToken) bool {
		response := w.Do(t, token.Token, "GET", "/sample/orders", "")
		if response.Status != http.StatusOK && response.Status != http.StatusForbidden {
			t.Errorf("status %d: %s", response.Status, response.Body)
		}
		return response.Status == http.StatusOK
	},
}

// A token is dead from 00:00:00Z of its day, at every door in the same second.
func TestTokensEndAtMidnightUTC(t *testing.T) {
	t.Parallel()
	for _, response := range []string{"simple", "policy"} {
		all := map[string]channel{}
		for _, f := range formats {
			all["authorizer, "+f.name] = func(t *testing.T, w *localtest.World, token personalToken) bool {
				answer, err := decide(t.Context(), w, f, "GET", "/orders", token.Token)
				if err != nil {
					t.Error(err)
				}
				if strings.Contains(answer.raw, "isAuthorized") != (response == "simple" && strings.HasSuffix(f.name, "2.0")) {
					t.Errorf("the answer is of the wrong kind: %s", answer.raw)
				}
				return answer.allowed
			}
		}
		if response == "simple" {
			for name, c := range channels {
				all[name] = c
			}
		}
		for name, good := range all {
			t.Run(name+", "+response+" responses", func(t *testing.T) {
				t.Parallel()
				w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"AuthorizerHttpApiResponse": response}})
				user := newAccount(t, w, "ada")
				for _, moment := range aroundMidnight {
					w.Clock.Set(localtest.Now)
					token := newToken(t, w, user.ID, "ends", "2026-03-20", "api", "self_rotate")
					w.Clock.Set(instant(moment.at))
					if got := good(t, w, token); got != moment.alive {
						t.Errorf("at %s it is good: %t, want %t", moment.at, got, moment.alive)
					}
				}
			})
		}
	}
}

// Another credential can rotate a token whose day has come; the token itself cannot.
func TestExpiredTokenIsRotatedByAnother(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	user := newAccount(t, w, "ada")
	for _, moment := range aroundMidnight {
		for name, by := range map[string]string{"owner": user.Bearer, "administrator": root.Bearer} {
			w.Clock.Set(localtest.Now)
			old := newToken(t, w, user.ID, "ends", "2026-03-20")
			w.Clock.Set(instant(moment.at))
			path := fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", old.ID)
			var next personalToken
			decode(t, want(t, w, by, "POST", path, "", http.StatusOK), &next)
			week := map[bool]string{true: "2026-03-26", false: "2026-03-27"}[moment.alive]
			if next.ExpiresAt != week {
				t.Errorf("%s at %s: successor ends on %s, want %s", name, moment.at, next.ExpiresAt, week)
			}
			want(t, w, next.Token, "GET", "/api/v4/user", "", http.StatusOK)
			want(t, w, old.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
		}
	}
}

// What "today" is turns at midnight UTC, on every way to make a token.
func TestDaysThatATokenMayEndOn(t *testing.T) {
	t.Parallel()
	const dead = "Expiration date must be after %s, because a token is dead from 00:00 UTC of that date"
	ways := map[string]func(t *testing.T, w *localtest.World, user holder, on string) (refusal string){
		"create for a user": func(t *testing.T, w *localtest.World, user holder, on string) string {
			response := w.Do(t, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", user.ID),
				encode(t, map[string]any{"name": "x", "scopes": []string{"api"}, "expires_at": on}))
			return refusalOf(t, response, http.StatusCreated, http.StatusUnprocessableEntity)
		},
		"create for oneself": func(t *testing.T, w *localtest.World, user holder, on string) string {
			response := w.Do(t, user.Bearer, "POST", "/api/v4/user/personal_access_tokens",
				encode(t, map[string]any{"name": "x", "scopes": []string{"api"}, "expires_at": on}))
			return refusalOf(t, response, http.StatusCreated, http.StatusUnprocessableEntity)
		},
		"rotate": func(t *testing.T, w *localtest.World, user holder, on string) string {
			old := newToken(t, w, user.ID, "old", "2026-09-01")
			response := w.Do(t, root.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", old.ID), encode(t, map[string]any{"expires_at": on}))
			refusal := refusalOf(t, response, http.StatusOK, http.StatusBadRequest)
			return strings.TrimPrefix(refusal, "400 Bad request - ")
		},
		"console": func(t *testing.T, w *localtest.World, user holder, on string) string {
			_, err := console(t, w, "issue", encode(t, map[string]any{"action": "create_token", "username": user.Username, "name": "x", "scopes": []string{"api"}, "expires_at": on}))
			if err == nil {
				return ""
			}
			return strings.TrimPrefix(err.Error(), "create_token: ")
		},
	}
	for name, issue := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			user := newAccount(t, w, "ada")
			for _, test := range []struct{ now, on, refusal string }{
				{"2026-03-19T23:59:59Z", "2026-03-18", fmt.Sprintf(dead, "2026-03-19")},
				{"2026-03-19T23:59:59Z", "2026-03-19", fmt.Sprintf(dead, "2026-03-19")},
				{"2026-03-19T23:59:59Z", "2026-03-20", ""},
				{"2026-03-20T00:00:00Z", "2026-03-19", fmt.Sprintf(dead, "2026-03-20")},
				{"2026-03-20T00:00:00Z", "2026-03-20", fmt.Sprintf(dead, "2026-03-20")},
				{"2026-03-20T00:00:00Z", "2026-03-21", ""},
			} {
				w.Clock.Set(instant(test.now))
				if got := issue(t, w, user, test.on); got != test.refusal {
					t.Errorf("at %s for %s: refusal %q, want %q", test.now, test.on, got, test.refusal)
				}
			}
			// The limit turns with the day, too. A token for oneself is held to the presented one's.
			if name == "create for oneself" {
				return
			}
			for _, test := range []struct{ now, on, refusal string }{
				{"2026-03-19T23:59:59Z", "2027-03-19", ""},
				{"2026-03-19T23:59:59Z", "2027-03-20", "Expiration date must be before 2027-03-19"},
				{"2026-03-20T00:00:00Z", "2027-03-20", ""},
				{"2026-03-20T00:00:00Z", "2027-03-21", "Expiration date must be before 2027-03-20"},
			} {
				w.Clock.Set(instant(test.now))
				if got := issue(t, w, user, test.on); got != test.refusal {
					t.Errorf("at %s for %s: refusal %q, want %q", test.now, test.on, got, test.refusal)
				}
			}
		})
	}
}

// refusalOf returns the message of a refusal, or "" for the status of success.
func refusalOf(t *testing.T, reply localtest.Reply, success, refused int) string {
	t.Helper()
	switch reply.Status {
	case success:
		return ""
	case refused:
		var refusal struct{ Message string }
		decode(t, reply.Body, &refusal)
		return refusal.Message
	default:
		t.Errorf("status %d: %s", reply.Status, reply.Body)
		return "?"
	}
}
