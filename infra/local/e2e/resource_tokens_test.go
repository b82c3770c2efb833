package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/account"
	"latchkey/pkg/project"
	"latchkey/pkg/store/storetest"
)

// A resourceToken is what tests read of the reply about a project's or group's token.
type resourceToken struct {
	personalToken
	AccessLevel *int `json:"access_level"`
}

// withProject makes the group acme (1) and in it the project web (2), with members of these levels.
func withProject(tb testing.TB, w *localtest.World, members map[int64]project.Level) {
	tb.Helper()
	storetest.PutProject(tb, w.Engine, w.Table, project.Project{ID: 1, Kind: project.KindGroup, Name: "Acme", Path: "acme", FullPath: "acme"})
	storetest.PutProject(tb, w.Engine, w.Table, project.Project{
		ID: 2, Kind: project.KindProject, Name: "Web", Path: "web", FullPath: "acme/web", Ancestors: []project.ID{1},
	})
	for user, level := range members {
		storetest.PutMember(tb, w.Engine, w.Table, project.Member{Project: 2, Account: account.ID(user), Level: level})
	}
}

// The life of a project's token, through the gateway's routes and under the permissions of the
// template. If this fails, a function lacks an action that it needs, or a path does not reach it.
func TestLifeOfAProjectsToken(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna, bert := newAccount(t, w, "anna"), newAccount(t, w, "bert")
	withProject(t, w, map[int64]project.Level{anna.ID: project.Maintainer, bert.ID: project.Developer})
	const tokens = "/api/v4/projects/acme%2Fweb/access_tokens"
	next := func(bearer, path, body string, status int) (made resourceToken) {
		t.Helper()
		decode(t, want(t, w, bearer, "POST", path, body, status), &made)
		if !strings.HasPrefix(made.Token, "lkprj_") || made.AccessLevel == nil || *made.AccessLevel != 30 {
			t.Fatalf("made %+v", made)
		}
		return made
	}
	create := func() resourceToken {
		t.Helper()
		return next(anna.Bearer, tokens, `{"name":"deploy","scopes":["api","self_rotate"],"access_level":30}`, http.StatusCreated)
	}
	listed := func() (list []resourceToken) {
		t.Helper()
		decode(t, want(t, w, anna.Bearer, "GET", tokens+"/?per_page=100", "", http.StatusOK), &list)
		return list
	}

	first := create()
	want(t, w, first.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
	want(t, w, bert.Bearer, "GET", tokens, "", http.StatusUnauthorized)
	second := next(anna.Bearer, fmt.Sprintf("%s/%d/rotate", tokens, first.ID), "", http.StatusOK)
	want(t, w, first.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized)
	third := next(second.Token, "/api/v4/projects/2/access_tokens/self/rotate", "", http.StatusOK)
	if second.UserID != first.UserID || third.UserID != first.UserID {
		t.Errorf("the bots are %d, %d and %d", first.UserID, second.UserID, third.UserID)
	}
	want(t, w, anna.Bearer, "DELETE", fmt.Sprintf("%s/%d", tokens, third.ID), "", http.StatusNoContent)
	want(t, w, third.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized)
	want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/users/%d", first.UserID), "", http.StatusNotFound)

	// A token that is used twice ends its successor, and the function that finds out may do that.
	fourth := create()
	if fourth.UserID == first.UserID {
		t.Error("the id of a bot is given out again")
	}
	fifth := next(fourth.Token, tokens+"/self/rotate", "", http.StatusOK)
	w.Clock.Advance(rotationWindow)
	want(t, w, fourth.Token, "POST", tokens+"/self/rotate", "", http.StatusUnauthorized)
	want(t, w, fifth.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized)

	want(t, w, root.Bearer, "POST", "/api/v4/groups/acme/access_tokens", `{"name":"g","scopes":["api"],"access_level":50}`, http.StatusCreated)
	list := listed()
	if len(list) != 5 {
		t.Errorf("%d tokens are listed", len(list))
	}
	for _, tok := range list {
		if tok.Active || tok.AccessLevel != nil {
			t.Errorf("listed as %+v", tok)
		}
	}
}
