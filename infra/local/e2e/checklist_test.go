package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/settings"
)

// scan runs one of the two scans as the schedule does, and returns the mails that it sent.
func scan(tb testing.TB, w *localtest.World, function, at string) (subjects, texts []string) {
	tb.Helper()
	w.Clock.Set(instant(at))
	before := len(w.Mailbox.Mails())
	if out, err := console(tb, w, function, encode(tb, map[string]string{"time": at})); err != nil || !strings.Contains(out, `"done":true`) {
		tb.Fatalf("%s at %s: %s, %v", function, at, out, err)
	}
	mails := w.Mailbox.Mails() // the newest first
	for _, mail := range mails[:len(mails)-before] {
		subjects, texts = append(subjects, mail.Subject), append(texts, mail.Text)
	}
	return subjects, texts
}

func told(texts []string, name string) (n int) {
	for _, text := range texts {
		n += strings.Count(text, name)
	}
	return n
}

// The edge cases that tokens like these are known for, one by one.
func TestEdgeCases(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) *localtest.World {
		t.Parallel()
		return localtest.Start(t, localtest.Options{})
	}

	t.Run("1: a token for today is refused, one for tomorrow works to the end of the day", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", ada.ID),
			`{"name":"today","scopes":["api"],"expires_at":"2026-03-19"}`, http.StatusUnprocessableEntity)
		tomorrow := newToken(t, w, ada.ID, "tomorrow", "2026-03-20")
		w.Clock.Set(instant("2026-03-19T23:59:59Z"))
		want(t, w, tomorrow.Token, "GET", "/api/v4/user", "", http.StatusOK)
		if v, err := decide(t.Context(), w, http2, "GET", "/orders", tomorrow.Token); err != nil || !v.allowed {
			t.Errorf("at the authorizer: %+v, %v", v, err)
		}
	})

	t.Run("2: it is dead at 00:00:00Z of its date, everywhere", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		token := newToken(t, w, ada.ID, "ends", "2026-03-20")
		w.Clock.Set(instant("2026-03-20T00:00:00Z"))
		want(t, w, token.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
		for _, f := range formats {
			if v, err := decide(t.Context(), w, f, "GET", "/orders", token.Token); err != nil || v.allowed {
				t.Errorf("%s: %+v, %v", f.name, v, err)
			}
		}
	})

	t.Run("3: the scan at 01:00 takes today to today and seven days, unrevoked, no impersonation, once", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		for name, on := range map[string]string{"on-the-20th": "2026-03-20", "on-the-27th": "2026-03-27", "on-the-28th": "2026-03-28", "gone-soon": "2026-03-25"} {
			made := newToken(t, w, ada.ID, name, on)
			if name == "gone-soon" {
				want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", made.ID), "", http.StatusNoContent)
			}
		}
		want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens", ada.ID),
			`{"name":"as-her","scopes":["api"],"expires_at":"2026-03-24"}`, http.StatusCreated)
		subjects, texts := scan(t, w, "expiring", "2026-03-20T01:00:00Z")
		if len(subjects) != 1 || told(texts, "on-the-20th") != 1 || told(texts, "on-the-27th") != 1 ||
			told(texts, "on-the-28th")+told(texts, "gone-soon")+told(texts, "as-her") != 0 {
			t.Errorf("mails %q: %q", subjects, texts)
		}
		if subjects, _ = scan(t, w, "expiring", "2026-03-20T01:00:00Z"); len(subjects) != 0 {
			t.Errorf("a second run sends %q", subjects)
		}
	})

	t.Run("4: the scan at 02:00 takes exactly today, also what was announced at 01:00", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		newToken(t, w, ada.ID, "ends-today", "2026-03-20")
		newToken(t, w, ada.ID, "ends-later", "2026-03-21")
		if _, texts := scan(t, w, "expiring", "2026-03-20T01:00:00Z"); told(texts, "ends-today") != 1 {
			t.Fatalf("at 01:00: %q", texts)
		}
		subjects, texts := scan(t, w, "expired", "2026-03-20T02:00:00Z")
		if len(subjects) != 1 || told(texts, "ends-today") != 1 || told(texts, "ends-later") != 0 {
			t.Errorf("at 02:00: %q: %q", subjects, texts)
		}
	})

	t.Run("5: of 101 tokens a mail names 100, and all are announced", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		for n := range 101 {
			newToken(t, w, ada.ID, fmt.Sprintf("token-%03d-", n), "2026-03-25")
		}
		subjects, texts := scan(t, w, "expiring", "2026-03-20T01:00:00Z")
		if len(subjects) != 1 || told(texts, "token-") != 100 {
			t.Errorf("%d mails name %d", len(subjects), told(texts, "token-"))
		}
		if subjects, _ = scan(t, w, "expiring", "2026-03-21T01:00:00Z"); len(subjects) != 0 {
			t.Errorf("the next day sends %q", subjects)
		}
	})

	t.Run("6: a blocked owner gets no mail, then or later", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		newToken(t, w, ada.ID, "ends", "2026-03-25")
		want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", ada.ID), "", http.StatusCreated)
		if subjects, _ := scan(t, w, "expiring", "2026-03-20T01:00:00Z"); len(subjects) != 0 {
			t.Errorf("blocked: %q", subjects)
		}
		want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/unblock", ada.ID), "", http.StatusCreated)
		if subjects, _ := scan(t, w, "expiring", "2026-03-21T01:00:00Z"); len(subjects) != 0 {
			t.Errorf("unblocked: %q", subjects)
		}
	})

	t.Run("6: the managers of a bot are told in its place", func(t *testing.T) {
		w := start(t)
		p := newPlace(t, w)
		name := "pipeline-of-web"
		must[*gitlab.ProjectAccessToken](t)(client(t, w, p.maintainer.Bearer).ProjectAccessTokens.CreateProjectAccessToken(
			p.project, &gitlab.CreateProjectAccessTokenOptions{Name: &name, Scopes: &[]string{"api"}, ExpiresAt: day("2026-03-25")}))
		// The maintainer, and the two owners of the group: one of them the administrator who made it.
		if subjects, texts := scan(t, w, "expiring", "2026-03-20T01:00:00Z"); len(subjects) != 3 || told(texts, name) != 3 {
			t.Errorf("expiring: %q: %q", subjects, texts)
		}
		if subjects, _ := scan(t, w, "expired", "2026-03-25T02:00:00Z"); len(subjects) != 3 {
			t.Errorf("expired: %q", subjects)
		}
	})

	t.Run("7: a token revoked between 01:00 and 02:00 is not announced as expired", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		token := newToken(t, w, ada.ID, "ends", "2026-03-20")
		if subjects, _ := scan(t, w, "expiring", "2026-03-20T01:00:00Z"); len(subjects) != 1 {
			t.Fatalf("at 01:00: %q", subjects)
		}
		want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", token.ID), "", http.StatusNoContent)
		if subjects, _ := scan(t, w, "expired", "2026-03-20T02:00:00Z"); len(subjects) != 0 {
			t.Errorf("at 02:00: %q", subjects)
		}
	})

	t.Run("8: revoking twice succeeds both times, and the token stays revoked", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		for range 2 {
			want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", ada.TokenID), "", http.StatusNoContent)
			want(t, w, ada.Bearer, "GET", "/api/v4/user", "", http.StatusUnauthorized)
		}
	})

	t.Run("9: a value is found whatever became of its token, and lets nobody in", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		revoked, expired := newToken(t, w, ada.ID, "revoked", "2026-05-01"), newToken(t, w, ada.ID, "expired", "2026-03-20")
		want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", revoked.ID), "", http.StatusNoContent)
		w.Clock.Set(instant("2026-03-20T00:00:00Z"))
		for _, token := range []personalToken{revoked, expired} {
			var found personalToken
			decode(t, want(t, w, root.Bearer, "POST", "/api/v4/admin/token", encode(t, map[string]string{"token": token.Token}), http.StatusOK), &found)
			if found.ID != token.ID || found.Active {
				t.Errorf("found %+v", found)
			}
			want(t, w, token.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
		}
	})

	t.Run("10: a chosen value has at least 20 characters", func(t *testing.T) {
		w := start(t)
		newAccount(t, w, "ada")
		for length, good := range map[int]bool{19: false, 20: true, 21: true, 255: true, 256: false} {
			_, err := console(t, w, "issue", encode(t, map[string]any{
				"action": "create_token", "username": "ada", "name": "chosen", "scopes": []string{"api"}, "value": strings.Repeat("v", length)}))
			if (err == nil) != good {
				t.Errorf("%d characters: %v", length, err)
			}
		}
	})

	t.Run("11 and 12: read_api reads and does not write; write_registry alone opens nothing", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		reads, pushes := newToken(t, w, ada.ID, "reads", "2026-05-01", "read_api"), newToken(t, w, ada.ID, "pushes", "2026-05-01", "write_registry")
		for _, c := range []struct {
			token  personalToken
			method string
			want   bool
		}{{reads, "GET", true}, {reads, "HEAD", true}, {reads, "POST", false}, {pushes, "GET", false}, {pushes, "POST", false}} {
			v, err := decide(t.Context(), w, http2, c.method, "/v2/acme/web/manifests/1", c.token.Token)
			if err != nil || v.allowed != c.want {
				t.Errorf("%s with %s: %+v, %v", c.method, c.token.Name, v, err)
			}
		}
	})

	t.Run("13: a read_user token elsewhere is refused for its scope and not as unknown", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		token := newToken(t, w, ada.ID, "profile", "2026-05-01", "read_user")
		want(t, w, token.Token, "GET", "/api/v4/personal_access_tokens", "", http.StatusForbidden)
	})

	t.Run("14: read_user sees its account, changes nothing, and sees no projects", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		token := newToken(t, w, ada.ID, "profile", "2026-05-01", "read_user")
		want(t, w, token.Token, "GET", "/api/v4/user", "", http.StatusOK)
		want(t, w, token.Token, "PUT", fmt.Sprintf("/api/v4/users/%d", ada.ID), `{"name":"x"}`, http.StatusForbidden)
		if body := want(t, w, token.Token, "GET", "/api/v4/projects", "", http.StatusForbidden); !strings.Contains(body, "insufficient_scope") {
			t.Errorf("projects: %s", body)
		}
	})

	t.Run("15: sudo wants an administrator, the scope and somebody to act as, and has that account's rights", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		plain := newToken(t, w, root.ID, "without", "2026-05-01", "api")
		want(t, w, ada.Bearer, "GET", "/api/v4/user?sudo=root", "", http.StatusForbidden)
		want(t, w, root.Bearer, "GET", "/api/v4/user?sudo=nobody", "", http.StatusNotFound)
		if body := want(t, w, plain.Token, "GET", "/api/v4/user?sudo=ada", "", http.StatusForbidden); !strings.Contains(body, `"scope":"sudo"`) {
			t.Errorf("without the scope: %s", body)
		}
		want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/users/%d?sudo=ada", root.ID), "", http.StatusNotFound)
	})

	t.Run("16: a second bot is ..._bot1, and a name that is free again is given again", func(t *testing.T) {
		w := start(t)
		p := newPlace(t, w)
		username := func(bearer string) string {
			return must[*gitlab.User](t)(client(t, w, bearer).Users.CurrentUser()).Username
		}
		first, second := p.projectToken(t, "first"), p.projectToken(t, "second")
		base := fmt.Sprintf("project_%d_bot", p.project)
		if a, b := username(first.Token), username(second.Token); a != base || b != base+"1" {
			t.Errorf("bots %s and %s", a, b)
		}
		want(t, w, p.maintainer.Bearer, "DELETE", fmt.Sprintf("/api/v4/projects/%d/access_tokens/%d", p.project, first.ID), "", http.StatusNoContent)
		if third := username(p.projectToken(t, "third").Token); third != base {
			t.Errorf("the third bot is %s", third)
		}
	})

	t.Run("17: a bot does not find another private project", func(t *testing.T) {
		w := start(t)
		p := newPlace(t, w)
		other := must[*gitlab.Project](t)(client(t, w, p.owner.Bearer).Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("Other"), NamespaceID: &p.group}))
		bot := p.projectToken(t, "bot")
		want(t, w, bot.Token, "GET", "/api/v4/projects/acme%2Fweb", "", http.StatusOK)
		want(t, w, bot.Token, "GET", "/api/v4/projects/acme%2Fother", "", http.StatusNotFound)
		for id, open := range map[int64]bool{p.project: true, other.ID: false} {
			for _, f := range formats {
				v, err := decide(t.Context(), w, f, "GET", fmt.Sprintf("/api/v4/projects/%d/members", id), bot.Token)
				if err != nil || v.allowed != open {
					t.Errorf("%s on project %d: %+v, %v", f.name, id, v, err)
				}
			}
		}
	})

	t.Run("18: what a bot did is the ghost's once its token is revoked", func(t *testing.T) {
		w := start(t)
		p := newPlace(t, w)
		bot := p.projectToken(t, "adds people")
		level := gitlab.DeveloperPermissions
		must[*gitlab.ProjectMember](t)(client(t, w, bot.Token).ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{Username: &p.outside.Username, AccessLevel: &level}))
		addedBy := func() string {
			return must[*gitlab.ProjectMember](t)(client(t, w, p.maintainer.Bearer).ProjectMembers.GetProjectMember(p.project, p.outside.ID)).CreatedBy.Username
		}
		if got := addedBy(); got != fmt.Sprintf("project_%d_bot", p.project) {
			t.Errorf("added by %s", got)
		}
		want(t, w, p.maintainer.Bearer, "DELETE", fmt.Sprintf("/api/v4/projects/%d/access_tokens/%d", p.project, bot.ID), "", http.StatusNoContent)
		if got := addedBy(); got != "ghost" {
			t.Errorf("added by %s", got)
		}
	})

	t.Run("18: so is what a bot did whose token ended long enough ago", func(t *testing.T) {
		w := start(t)
		p := newPlace(t, w)
		name, until := "until June", day("2026-06-01")
		bot := must[*gitlab.ProjectAccessToken](t)(client(t, w, p.maintainer.Bearer).ProjectAccessTokens.CreateProjectAccessToken(
			p.project, &gitlab.CreateProjectAccessTokenOptions{Name: &name, Scopes: &[]string{"api"}, ExpiresAt: until}))
		level := gitlab.DeveloperPermissions
		must[*gitlab.ProjectMember](t)(client(t, w, bot.Token).ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{Username: &p.outside.Username, AccessLevel: &level}))
		for _, step := range []struct {
			at    string
			there int
			added string
		}{
			{"2026-06-01T02:00:00Z", http.StatusOK, fmt.Sprintf("project_%d_bot", p.project)},
			{"2026-08-29T02:00:00Z", http.StatusOK, fmt.Sprintf("project_%d_bot", p.project)},
			{"2026-08-30T02:00:00Z", http.StatusNotFound, "ghost"}, // 90 days after the end
		} {
			scan(t, w, "expired", step.at)
			want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/users/%d", bot.UserID), "", step.there)
			added := must[*gitlab.ProjectMember](t)(client(t, w, root.Bearer).ProjectMembers.GetProjectMember(p.project, p.outside.ID)).CreatedBy.Username
			if added != step.added {
				t.Errorf("at %s: added by %s, want %s", step.at, added, step.added)
			}
		}
		want(t, w, bot.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
	})

	t.Run("19: a limit on lifetimes that is lowered and raised within three hours revokes nothing", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		long := newToken(t, w, ada.ID, "long", "2026-09-01")
		change(t, w, root.Bearer, `{"max_personal_access_token_lifetime":30}`)
		w.Clock.Set(w.Clock.Now().Add(settings.Grace - time.Second))
		change(t, w, root.Bearer, `{"max_personal_access_token_lifetime":365}`)
		for range 2 { // when the first run would have been, and when the second is
			w.Clock.Set(w.Clock.Now().Add(settings.Grace))
			w.RunPlans(t)
			want(t, w, long.Token, "GET", "/api/v4/user", "", http.StatusOK)
		}
		if mails := w.Mailbox.Mails(); len(mails) > 0 {
			t.Errorf("%d mails", len(mails))
		}
	})

	t.Run("20: while ends are not enforced an expired token works, is told of, and no limit ends it", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		ended := newToken(t, w, ada.ID, "ended", "2026-03-20")
		long := newToken(t, w, ada.ID, "long", "2026-09-01")
		change(t, w, root.Bearer, `{"enforce_pat_expiration":false,"max_personal_access_token_lifetime":30}`)
		if _, texts := scan(t, w, "expired", "2026-03-20T02:00:00Z"); told(texts, "ended") == 0 {
			t.Errorf("nobody is told: %q", texts)
		}
		w.RunPlans(t)
		mustConsole(t, w, "lifetime", map[string]any{"time": "2026-03-20T02:00:00Z"})
		for _, token := range []personalToken{ended, long} {
			want(t, w, token.Token, "GET", "/api/v4/user", "", http.StatusOK)
		}
		change(t, w, root.Bearer, `{"enforce_pat_expiration":true}`)
		settle(w)
		want(t, w, ended.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
		want(t, w, long.Token, "GET", "/api/v4/user", "", http.StatusOK)
	})

	t.Run("22: a value is shown once", func(t *testing.T) {
		w := start(t)
		ada := newAccount(t, w, "ada")
		for _, path := range []string{"/api/v4/personal_access_tokens/self", fmt.Sprintf("/api/v4/personal_access_tokens/%d", ada.TokenID), "/api/v4/personal_access_tokens"} {
			if body := want(t, w, ada.Bearer, "GET", path, "", http.StatusOK); strings.Contains(body, ada.Bearer) || strings.Contains(body, `"token":`) {
				t.Errorf("%s shows it: %s", path, body)
			}
		}
	})
}

// If this fails, two project tokens share an account, and ending one ends the other.
func TestProjectTokensMadeAtOnceHaveBotsOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	const many = 12
	made := make(chan personalToken, many)
	failed := make(chan error, many)
	for n := range many {
		go func() {
			token, _, err := client(t, p.World, p.maintainer.Bearer).ProjectAccessTokens.CreateProjectAccessToken(p.project,
				&gitlab.CreateProjectAccessTokenOptions{Name: gitlab.Ptr(fmt.Sprint("at once ", n)), Scopes: &[]string{"api"}})
			if err != nil {
				failed <- err
				return
			}
			made <- personalToken{ID: token.ID, UserID: token.UserID, Token: token.Token}
		}()
	}
	var bots []int64
	var names []string
	for range many {
		select {
		case err := <-failed:
			t.Error(err)
		case token := <-made:
			bots = append(bots, token.UserID)
			names = append(names, must[*gitlab.User](t)(client(t, p.World, token.Token).Users.CurrentUser()).Username)
		}
	}
	slices.Sort(bots)
	slices.Sort(names)
	if len(slices.Compact(bots)) != many || len(slices.Compact(names)) != many {
		t.Errorf("bots %v, names %v", bots, names)
	}
}
