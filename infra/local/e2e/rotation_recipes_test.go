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
	"latchkey/pkg/project"
)

// The calls of docs/rotation.md, in the order in which the tools make them, with the client that three of them link and
// with its own retries. They were read in the sources of the tools, and for AWS in its documentation.

// recipeWorld has the settings that the page advises.
func recipeWorld(t *testing.T) *localtest.World {
	t.Helper()
	w := localtest.Start(t, localtest.Options{})
	change(t, w, root.Bearer, `{"rotation_overlap_seconds":3600,"rotation_lifetime":"same","personal_access_token_prefix":"glpat-"}`)
	settle(w)
	return w
}

// toolClient is the client as tools make it, which repeats some refusals by itself, without the pauses.
func toolClient(t *testing.T, w *localtest.World, bearer string) *gitlab.Client {
	t.Helper()
	c, err := gitlab.NewClient(bearer, gitlab.WithBaseURL(w.URL), gitlab.WithCustomBackoff(func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 0 }))
	noError(t, err)
	return c
}

// repliedTo returns the status of a reply, and keeps its bearer out of logs.
func repliedTo(t *testing.T, w *localtest.World, bearer string, reply *gitlab.Response) int {
	t.Helper()
	if reply == nil {
		t.Fatal("no reply")
	}
	if bearer != "" {
		w.Logs.Secret(bearer)
	}
	return reply.StatusCode
}

// nothingReused fails the test if a family was ended as reused.
func nothingReused(t *testing.T, w *localtest.World) {
	t.Helper()
	if trail := want(t, w, root.Bearer, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK); strings.Contains(trail, "_reused") {
		t.Error("a family was ended as reused")
	}
}

// worksOnly fails the test unless one bearer is good or not, and another one is good.
func worksOnly(t *testing.T, w *localtest.World, old string, good bool, next string) {
	t.Helper()
	if passes(t, w, old) != good || !passes(t, w, next) {
		t.Errorf("the old token passes: %t, want %t; the new one: %t", passes(t, w, old), good, passes(t, w, next))
	}
}

// Breaks if a rotation by AWS Secrets Manager, or a step that it repeats, ends the secret's own token.
func TestSecretsManagerRotates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ around, by string }{
		"a person's token, by itself": {"", ""}, "a person's token, with an administrator's secret": {"", "admin"},
		"a project's token, by itself": {"/projects/2", ""}, "a project's token, with an administrator's secret": {"/projects/2", "admin"},
		"a group's token, by itself": {"/groups/1", ""}, "a group's token, with an administrator's secret": {"/groups/1", "admin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := recipeWorld(t)
			anna := newAccount(t, w, "anna")
			withProject(t, w, map[int64]project.Level{anna.ID: project.Owner})
			want(t, w, root.Bearer, "POST", "/api/v4/groups/1/members", fmt.Sprintf(`{"user_id":%d,"access_level":50}`, anna.ID), http.StatusCreated)
			old, tokens := newToken(t, w, anna.ID, "secret", "2026-04-10", "api"), "/api/v4/personal_access_tokens"
			if c.around != "" {
				tokens = "/api/v4" + c.around + "/access_tokens"
				decode(t, want(t, w, anna.Bearer, "POST", tokens, `{"name":"secret","scopes":["self_rotate","api"],"expires_at":"2026-04-10"}`, http.StatusCreated), &old)
			}
			bearer, id := old.Token, "self"
			if c.by == "admin" {
				bearer, id = anna.Bearer, fmt.Sprint(old.ID)
			}
			rotate := func() localtest.Reply {
				return w.Do(t, bearer, "POST", tokens+"/"+id+"/rotate", `{"expires_at":"2026-04-18"}`)
			}
			want(t, w, old.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
			var next personalToken
			made := rotate()
			decode(t, made.Body, &next)
			if made.Status != http.StatusOK || next.ExpiresAt != "2026-04-18" {
				t.Fatalf("%d %s", made.Status, made.Body)
			}
			for _, after := range []time.Duration{0, rotationWindow, 59 * time.Minute} { // a step that is repeated
				w.Clock.Set(localtest.Now.Add(11*time.Second + after))
				if got := rotate(); got.Status != http.StatusConflict && got.Status != http.StatusBadRequest {
					t.Errorf("repeated after %s: %d %s", after, got.Status, got.Body)
				}
				worksOnly(t, w, old.Token, true, next.Token)
			}
			want(t, w, next.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
			w.Clock.Advance(time.Hour)
			worksOnly(t, w, old.Token, false, next.Token)
			nothingReused(t, w)
		})
	}
}

// Breaks if an apply that fails after the rotation, and is made again, ends the token or is called reuse.
func TestTerraformRotates(t *testing.T) {
	t.Parallel()
	w := recipeWorld(t)
	anna := newAccount(t, w, "anna")
	provider := toolClient(t, w, root.Bearer)
	create := func() *gitlab.PersonalAccessToken {
		t.Helper()
		made, reply, err := provider.Users.CreatePersonalAccessToken(anna.ID, &gitlab.CreatePersonalAccessTokenOptions{Name: gitlab.Ptr("ci"), Scopes: gitlab.Ptr([]string{"read_api"}), ExpiresAt: day("2026-06-17")})
		noError(t, err)
		repliedTo(t, w, made.Token, reply)
		return made
	}
	old := create()
	read := func(id int64) *gitlab.PersonalAccessToken {
		t.Helper()
		got, _, err := provider.PersonalAccessTokens.GetSinglePersonalAccessTokenByID(id)
		noError(t, err)
		return got
	}
	if got := read(old.ID); !got.Active || got.ExpiresAt.String() != "2026-06-17" {
		t.Errorf("read %+v", got)
	}
	w.Clock.Advance(65 * 24 * time.Hour) // rotate_before_days is near
	next, reply, err := provider.PersonalAccessTokens.RotatePersonalAccessToken(old.ID, &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: day("2026-08-21")})
	noError(t, err)
	repliedTo(t, w, next.Token, reply)
	// The state was not stored: the next plan reads the old id, and rotates it again.
	for range 2 {
		read(old.ID)
		if _, reply, err := provider.PersonalAccessTokens.RotatePersonalAccessToken(old.ID, &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: day("2026-08-21")}); repliedTo(t, w, "", reply) != http.StatusBadRequest {
			t.Errorf("rotated again: %v", err)
		}
		w.Clock.Advance(time.Hour)
	}
	worksOnly(t, w, old.Token, false, next.Token)
	if got := read(old.ID); got.Active || !got.Revoked { // so the provider makes another one
		t.Errorf("the old one reads %+v", got)
	}
	worksOnly(t, w, old.Token, false, create().Token)
	noErrorOf(t)(provider.PersonalAccessTokens.RevokePersonalAccessTokenByID(next.ID))
	nothingReused(t, w)
}

func noErrorOf(t *testing.T) func(*gitlab.Response, error) {
	t.Helper()
	return func(_ *gitlab.Response, err error) { t.Helper(); noError(t, err) }
}

// Breaks if the secrets engine of Vault and OpenBao loses its own token, or a lease, by a rotation of its configuration.
func TestVaultRotates(t *testing.T) {
	t.Parallel()
	w := recipeWorld(t)
	anna := newAccount(t, w, "anna")
	configured := newToken(t, w, root.ID, "vault", "2026-04-18", "api")
	engine := toolClient(t, w, configured.Token)
	current := func(engine *gitlab.Client) *gitlab.PersonalAccessToken {
		t.Helper()
		got, _, err := engine.PersonalAccessTokens.GetSinglePersonalAccessToken()
		noError(t, err)
		return got
	}
	if _, _, err := engine.Metadata.GetMetadata(); err != nil || current(engine).ID != configured.ID {
		t.Errorf("it writes the configuration: %v", err)
	}
	lease := func(engine *gitlab.Client) *gitlab.PersonalAccessToken {
		t.Helper()
		users, _, err := engine.Users.ListUsers(&gitlab.ListUsersOptions{Username: gitlab.Ptr("anna")})
		noError(t, err)
		made, reply, err := engine.Users.CreatePersonalAccessToken(users[0].ID, &gitlab.CreatePersonalAccessTokenOptions{
			Name: gitlab.Ptr("lease"), Scopes: gitlab.Ptr([]string{"read_api"}), ExpiresAt: day("2026-03-21"),
		})
		noError(t, err)
		repliedTo(t, w, made.Token, reply)
		return made
	}
	first := lease(engine)
	rotate := func(engine *gitlab.Client) (*gitlab.PersonalAccessToken, int) {
		t.Helper()
		own := current(engine)
		_, _, err := engine.Users.GetUser(own.UserID, gitlab.GetUsersOptions{})
		noError(t, err)
		next, reply, err := engine.PersonalAccessTokens.RotatePersonalAccessToken(own.ID, &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: own.ExpiresAt})
		if err != nil {
			return nil, repliedTo(t, w, "", reply)
		}
		return next, repliedTo(t, w, next.Token, reply)
	}
	next, _ := rotate(engine)
	// Another node of the cluster has the old configuration: it leases, and may rotate too.
	second := lease(engine)
	for range 2 {
		if _, status := rotate(engine); status != http.StatusConflict {
			t.Errorf("the second node's rotation is answered %d", status)
		}
		w.Clock.Advance(20 * time.Minute)
	}
	worksOnly(t, w, configured.Token, true, next.Token)
	w.Clock.Advance(20 * time.Minute)
	worksOnly(t, w, configured.Token, false, next.Token)
	renewed := toolClient(t, w, next.Token)
	for _, lease := range []*gitlab.PersonalAccessToken{first, second, lease(renewed)} {
		if !passes(t, w, lease.Token) {
			t.Error("a lease ended with the rotation")
		}
		noErrorOf(t)(renewed.PersonalAccessTokens.RevokePersonalAccessTokenByID(lease.ID))
		if passes(t, w, lease.Token) {
			t.Error("a lease outlives its end")
		}
	}
	if anna.ID == 0 || !passes(t, w, anna.Bearer) {
		t.Error("the account's own token ended")
	}
	nothingReused(t, w)
}

// Breaks if `glab token rotate` rotates another token than the one that it is told, or ends the family when it is
// repeated.
func TestGlabRotates(t *testing.T) {
	t.Parallel()
	w := recipeWorld(t)
	anna := newAccount(t, w, "anna")
	made := newToken(t, w, anna.ID, "ci", "2026-04-10", "api")
	glab := toolClient(t, w, anna.Bearer)
	rotate := func() (found int, next *gitlab.PersonalAccessToken) {
		t.Helper()
		me, _, err := glab.Users.CurrentUser()
		noError(t, err)
		options := &gitlab.ListPersonalAccessTokensOptions{ListOptions: gitlab.ListOptions{PerPage: 100}, UserID: &me.ID}
		tokens, err := gitlab.ScanAndCollect(func(p gitlab.PaginationOptionFunc) ([]*gitlab.PersonalAccessToken, *gitlab.Response, error) {
			return glab.PersonalAccessTokens.ListPersonalAccessTokens(options, p)
		})
		noError(t, err)
		tokens = slices.DeleteFunc(tokens, func(t *gitlab.PersonalAccessToken) bool { return !t.Active || t.Name != "ci" })
		if len(tokens) != 1 {
			return len(tokens), nil
		}
		next, reply, err := glab.PersonalAccessTokens.RotatePersonalAccessToken(tokens[0].ID, &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: day("2026-04-18")})
		noError(t, err)
		repliedTo(t, w, next.Token, reply)
		return 1, next
	}
	_, next := rotate()
	worksOnly(t, w, made.Token, true, next.Token)
	if found, _ := rotate(); found != 2 { // so glab asks for the id, and does nothing
		t.Errorf("in the overlap it finds %d tokens", found)
	}
	w.Clock.Advance(time.Hour)
	_, last := rotate()
	worksOnly(t, w, next.Token, true, last.Token)
	worksOnly(t, w, made.Token, false, last.Token)
	nothingReused(t, w)
}

// Breaks if the Go client cannot read a reply with a field of ours, or changes what it says in GitLab's own fields.
func TestOurFieldsAreAdditiveForTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	c := client(t, w, anna.Bearer)
	child := makes(t, w, anna.Bearer, "child")
	next := rotated(t, w, child.Token, `{"overlap":"until_used"}`)
	life := brief(t, w, anna.ID, 60, "read_api")
	for id, want := range map[int64]gitlab.PersonalAccessToken{
		child.ID: {Name: "child", Active: true, Scopes: []string{"api"}}, next.ID: {Name: "child", Active: true, Scopes: []string{"api"}},
		life.ID: {Name: "brief", Active: true, Scopes: []string{"read_api"}, ExpiresAt: day("2026-03-20")},
	} {
		got := must[*gitlab.PersonalAccessToken](t)(c.PersonalAccessTokens.GetSinglePersonalAccessTokenByID(id))
		if got.ID != id || got.UserID != anna.ID || got.Name != want.Name || got.Active != want.Active || !slices.Equal(got.Scopes, want.Scopes) || want.ExpiresAt != nil && got.ExpiresAt.String() != want.ExpiresAt.String() {
			t.Errorf("token %d reads %+v", id, got)
		}
	}
	if list := must[[]*gitlab.PersonalAccessToken](t)(c.PersonalAccessTokens.ListPersonalAccessTokens(nil)); len(list) != 4 {
		t.Errorf("%d tokens in the list", len(list))
	}
	// What it does not offer goes along as an option of its request.
	reply := must[*gitlab.PersonalAccessToken](t)(c.PersonalAccessTokens.RotatePersonalAccessToken(next.ID, nil, gitlab.WithHeader("Idempotency-Key", "go")))
	w.Logs.Secret(reply.Token)
	if again := must[*gitlab.PersonalAccessToken](t)(c.PersonalAccessTokens.RotatePersonalAccessToken(next.ID, nil, gitlab.WithHeader("Idempotency-Key", "go"))); again.Token != reply.Token {
		t.Error("a repeat with the key gets another token")
	}
}
