package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// ofProject makes a token of a project or group over HTTP.
func (p place) ofResource(tb testing.TB, kind, name string, scopes ...string) personalToken {
	tb.Helper()
	if len(scopes) == 0 {
		scopes = []string{"api", "self_rotate"}
	}
	path, by := p.tokensOf(kind)
	var token personalToken
	decode(tb, want(tb, p.World, by, "POST", path, encode(tb, map[string]any{"name": name, "scopes": scopes, "expires_at": "2026-09-01"}), http.StatusCreated), &token)
	return token
}

// tokensOf is where the tokens of a kind are, and the bearer of somebody who manages them.
func (p place) tokensOf(kind string) (path, by string) {
	if kind == "group" {
		return fmt.Sprintf("/api/v4/groups/%d/access_tokens", p.group), p.owner.Bearer
	}
	return fmt.Sprintf("/api/v4/projects/%d/access_tokens", p.project), p.maintainer.Bearer
}

// checksOf are the places where the token of a project can be presented: the authorizer on a path of
// the project, and the API.
func (p place) checksOf(kind, bearer string) []check {
	path := fmt.Sprintf("/api/v4/%ss/%d/members", kind, map[string]int64{"project": p.project, "group": p.group}[kind])
	at := func(f format, method string) check {
		return func(ctx context.Context) (bool, error) {
			v, err := decide(ctx, p.World, f, method, path, bearer)
			return v.allowed, err
		}
	}
	return []check{at(http2, "GET"), at(formats[0], "POST"), checksOf(p.World, bearer)[2]}
}

// Promise 1 for tokens of projects and groups. If this fails, somebody who has ended a pipeline's
// leaked token is still robbed with it.
func TestNoTokenOfAResourcePassesOnceItsEndIsAnswered(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	const personal = "/api/v4/personal_access_tokens/%d"
	for name, end := range map[string]func(testing.TB, string, personalToken){
		"revoked by a manager": func(tb testing.TB, kind string, token personalToken) {
			path, by := p.tokensOf(kind)
			want(tb, p.World, by, "DELETE", fmt.Sprintf("%s/%d", path, token.ID), "", http.StatusNoContent)
		},
		"revoked by an administrator": func(tb testing.TB, _ string, token personalToken) {
			want(tb, p.World, root.Bearer, "DELETE", fmt.Sprintf(personal, token.ID), "", http.StatusNoContent)
		},
		"revoked by itself": func(tb testing.TB, _ string, token personalToken) {
			want(tb, p.World, token.Token, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
		},
		"revoked by value": func(tb testing.TB, _ string, token personalToken) {
			want(tb, p.World, root.Bearer, "DELETE", "/api/v4/admin/token", encode(tb, map[string]string{"token": token.Token}), http.StatusNoContent)
		},
		"revoked from the console": func(tb testing.TB, _ string, token personalToken) {
			mustConsole(tb, p.World, "revoke", map[string]any{"action": "revoke_token", "id": token.ID})
		},
		"rotated by a manager": func(tb testing.TB, kind string, token personalToken) {
			path, by := p.tokensOf(kind)
			want(tb, p.World, by, "POST", fmt.Sprintf("%s/%d/rotate", path, token.ID), "", http.StatusOK)
		},
		"rotated by itself": func(tb testing.TB, kind string, token personalToken) {
			path, _ := p.tokensOf(kind)
			want(tb, p.World, token.Token, "POST", path+"/self/rotate", "", http.StatusOK)
		},
		"rotated by itself like any token": func(tb testing.TB, _ string, token personalToken) {
			want(tb, p.World, token.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusOK)
		},
		"bot blocked": func(tb testing.TB, _ string, token personalToken) {
			want(tb, p.World, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", token.UserID), "", http.StatusCreated)
		},
	} {
		for _, kind := range []string{"project", "group"} {
			t.Run(kind+": "+name, func(t *testing.T) {
				token := p.ofResource(t, kind, name)
				hammer(t, p.checksOf(kind, token.Token), func() { end(t, kind, token) })
			})
		}
	}
	t.Run("the successor ends when the one before it is presented again", func(t *testing.T) {
		old := p.ofResource(t, "project", "family")
		var next personalToken
		path, _ := p.tokensOf("project")
		decode(t, want(t, p.World, old.Token, "POST", path+"/self/rotate", "", http.StatusOK), &next)
		p.Clock.Advance(rotationWindow)
		hammer(t, p.checksOf("project", next.Token), func() {
			want(t, p.World, old.Token, "POST", path+"/self/rotate", "", http.StatusUnauthorized)
		})
	})
}

// Promise 8 for projects, groups, their members and tokens. If this fails, anybody with a token can find
// out what projects there are, who works on them, and with what tokens.
func TestForeignAndMissingResourcesLookTheSame(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	projectBot, groupBot := p.ofResource(t, "project", "of the project"), p.ofResource(t, "group", "of the group")
	// Somebody else's: otto has a project of his own, with a token.
	var own struct{ ID int64 }
	decode(t, want(t, p.World, p.outside.Bearer, "POST", "/api/v4/projects", `{"name":"Own"}`, http.StatusCreated), &own)
	var foreignBot personalToken
	decode(t, want(t, p.World, p.outside.Bearer, "POST", fmt.Sprintf("/api/v4/projects/%d/access_tokens", own.ID),
		`{"name":"elsewhere","scopes":["api"]}`, http.StatusCreated), &foreignBot)

	foreignProjects := []string{fmt.Sprint(p.project), url.PathEscape(projectPath), "ACME%2Fweb"}
	missing := []string{"4711", "0", "9007199254740993", "no%2Fthing", "x%2Fy%2Fz"}
	foreignGroups, missingGroups := []string{fmt.Sprint(p.group), "acme", "ACME"}, []string{"4711", "nothing", "no%2Fthing"}

	callers := map[string]string{
		"somebody who is no member":         p.outside.Bearer,
		"the bot of another project":        foreignBot.Token,
		"anonymous":                         "",
		"a token that reads, of a stranger": newToken(t, p.World, p.outside.ID, "reads", "2026-09-01", "read_api").Token,
	}
	look := func(t *testing.T, who, bearer, method, path, body string, asked []string) {
		t.Helper()
		var first, firstAsked string
		for _, id := range asked {
			request, err := http.NewRequestWithContext(t.Context(), method, p.URL+fmt.Sprintf(path, id), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("PRIVATE-TOKEN", bearer)
			request.Header.Set("Content-Type", "application/json")
			reply := p.Send(t, request)
			looks := appearance(reply, id)
			if reply.Status < 300 {
				t.Errorf("%s, %s: status %d: %s", who, id, reply.Status, reply.Body)
			}
			if first == "" {
				first, firstAsked = looks, id
			}
			if looks != first {
				t.Errorf("%s can tell %s\n%s\nfrom %s\n%s", who, id, looks, firstAsked, first)
			}
		}
	}
	const token = `{"name":"x","scopes":["api"]}`
	for _, kind := range []struct {
		name            string
		foreign, absent []string
	}{{"projects", foreignProjects, missing}, {"groups", foreignGroups, missingGroups}} {
		for _, request := range []struct{ method, path, body string }{
			{"GET", "", ""}, {"HEAD", "", ""},
			{"GET", "/access_tokens", ""}, {"POST", "/access_tokens", token}, {"POST", "/access_tokens", `{}`},
			{"GET", fmt.Sprintf("/access_tokens/%d", projectBot.ID), ""}, {"GET", "/access_tokens/1", ""},
			{"DELETE", fmt.Sprintf("/access_tokens/%d", groupBot.ID), ""},
			{"POST", fmt.Sprintf("/access_tokens/%d/rotate", projectBot.ID), ""},
			{"POST", "/access_tokens/self/rotate", ""},
			{"GET", "/members", ""}, {"GET", "/members/all", ""}, {"GET", fmt.Sprintf("/members/%d", p.maintainer.ID), ""},
			{"POST", "/members", fmt.Sprintf(`{"user_id":%d,"access_level":30}`, p.outside.ID)}, {"POST", "/members", `{}`},
			{"PUT", fmt.Sprintf("/members/%d", p.maintainer.ID), `{"access_level":10}`},
			{"DELETE", fmt.Sprintf("/members/%d", p.maintainer.ID), ""},
		} {
			t.Run(kind.name+" "+request.method+" "+request.path, func(t *testing.T) {
				t.Parallel()
				for who, bearer := range callers {
					look(t, who, bearer, request.method, "/api/v4/"+kind.name+"/%s"+request.path, request.body, append(slices.Clone(kind.foreign), kind.absent...))
				}
			})
		}
	}

	// Lists hold what one is a member of, and a namespace that is not one's own is none.
	for _, path := range []string{"/api/v4/projects", "/api/v4/groups", "/api/v4/projects?search=web", "/api/v4/groups?search=acme"} {
		if body := want(t, p.World, p.outside.Bearer, "GET", path, "", http.StatusOK); strings.Contains(body, "acme") {
			t.Errorf("%s: %s", path, body)
		}
	}
	for who, bearer := range callers {
		look(t, who, bearer, "POST", "/api/v4/projects?namespace_id=%s", `{"name":"x"}`, []string{fmt.Sprint(p.group), "4711", fmt.Sprint(1<<31 + p.owner.ID), fmt.Sprint(1<<31 + 4711)})
	}
	// Members of a project learn nothing of another's tokens by their ids, which the reply repeats.
	mine := fmt.Sprintf("/api/v4/projects/%d/access_tokens/", own.ID)
	for _, method := range []string{"GET", "DELETE"} {
		masked := func(id int64) string {
			return strings.ReplaceAll(appearance(p.Do(t, p.outside.Bearer, method, mine+fmt.Sprint(id), ""), ""), fmt.Sprint(id), "…")
		}
		for _, id := range []int64{projectBot.ID, groupBot.ID, root.TokenID} {
			if foreign, missing := masked(id), masked(id+1000); foreign != missing { // as many digits
				t.Errorf("%s: a foreign token\n%s\nand a missing one\n%s", method, foreign, missing)
			}
		}
	}
	for _, bot := range []personalToken{projectBot, groupBot} {
		want(t, p.World, bot.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
	}
}
