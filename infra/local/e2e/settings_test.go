package e2e_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/settings"
	"latchkey/pkg/verify"
)

const settingsPath = "/api/v4/application/settings"

const impersonationOffBody = `{"error":"invalid_token","error_description":"Token is an impersonation token but impersonation was disabled."}`

// Every method of the official client's settings service works.
func TestEveryMethodOfTheSettingsService(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	admin := client(t, w, root.Bearer)
	settings := must[*gitlab.Settings](t)
	cases := map[string]func(*testing.T){
		"GetSettings": func(t *testing.T) {
			s := settings(admin.Settings.GetSettings())
			if s.ID != 1 || s.MaxPersonalAccessTokenLifetime != 0 || !s.RequirePersonalAccessTokenExpiry || !s.EnforcePATExpiration ||
				s.PersonalAccessTokenPrefix != "lkpat_" || s.InactiveResourceAccessTokensDeleteAfterDays != 90 {
				t.Errorf("settings %+v", s)
			}
		},
		"UpdateSettings": func(t *testing.T) {
			s := settings(admin.Settings.UpdateSettings(&gitlab.UpdateSettingsOptions{
				MaxPersonalAccessTokenLifetime: gitlab.Ptr[int64](60), RequirePersonalAccessTokenExpiry: gitlab.Ptr(false),
				EnforcePATExpiration: gitlab.Ptr(false), PersonalAccessTokenPrefix: gitlab.Ptr("acme-"),
				InactiveResourceAccessTokensDeleteAfterDays: gitlab.Ptr[int64](30), DisablePersonalAccessTokens: gitlab.Ptr(false),
			}))
			again := settings(admin.Settings.GetSettings())
			if !reflect.DeepEqual(s, again) {
				t.Errorf("answered %+v, then %+v", s, again)
			}
			if s.MaxPersonalAccessTokenLifetime != 60 || s.RequirePersonalAccessTokenExpiry || s.EnforcePATExpiration ||
				s.PersonalAccessTokenPrefix != "acme-" || s.InactiveResourceAccessTokensDeleteAfterDays != 30 {
				t.Errorf("settings %+v", s)
			}
			// The client cannot send null.
			s = settings(admin.Settings.UpdateSettings(&gitlab.UpdateSettingsOptions{MaxPersonalAccessTokenLifetime: gitlab.Ptr[int64](0)}))
			if s.MaxPersonalAccessTokenLifetime != 0 || s.PersonalAccessTokenPrefix != "acme-" {
				t.Errorf("settings %+v", s)
			}
			_, response, err := admin.Settings.UpdateSettings(&gitlab.UpdateSettingsOptions{MaxPersonalAccessTokenLifetime: gitlab.Ptr[int64](366)})
			if err == nil || response.StatusCode != http.StatusBadRequest || !strings.Contains(err.Error(), "max_personal_access_token_lifetime") {
				t.Errorf("366 days: %v", err)
			}
			dora := newAccount(t, w, "dora")
			_, response, err = client(t, w, dora.Bearer).Settings.UpdateSettings(&gitlab.UpdateSettingsOptions{PersonalAccessTokenPrefix: gitlab.Ptr("x")})
			if err == nil || response.StatusCode != http.StatusForbidden {
				t.Errorf("somebody else: %v", err)
			}
		},
	}
	service := reflect.TypeFor[gitlab.SettingsServiceInterface]()
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		run := cases[name]
		if run == nil {
			t.Errorf("the client's method %s has no case", name)
			continue
		}
		t.Run(name, run)
	}
}

// python-gitlab reads the object, sends what was changed with PUT and takes over what it gets; its
// object has no id in the path.
func TestSettingsInTheShapeOfPythonGitLab(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	read := func() (object map[string]any) {
		decode(t, want(t, w, root.Bearer, "GET", settingsPath, "", http.StatusOK), &object)
		return object
	}
	before := read()
	if before["id"] != float64(1) || before["max_personal_access_token_lifetime"] != nil {
		t.Errorf("settings %v", before)
	}
	var saved map[string]any
	decode(t, want(t, w, root.Bearer, "PUT", settingsPath, `{"inactive_resource_access_tokens_delete_after_days": 14, "require_personal_access_token_expiry": false}`, http.StatusOK), &saved)
	before["inactive_resource_access_tokens_delete_after_days"], before["require_personal_access_token_expiry"] = float64(14), false
	before["service_access_tokens_expiration_enforced"] = false
	if !reflect.DeepEqual(saved, before) || !reflect.DeepEqual(read(), before) {
		t.Errorf("saved %v, want %v", saved, before)
	}
}

func change(t *testing.T, w *localtest.World, bearer, body string) {
	t.Helper()
	want(t, w, bearer, "PUT", settingsPath, body, http.StatusOK)
}

// settle lets every function learn of a change of the settings.
func settle(w *localtest.World) { w.Clock.Set(w.Clock.Now().Add(verify.SettingsAge)) }

func dayOf(w *localtest.World, ahead int) string {
	return clock.DayOf(w.Clock.Now()).AddDays(ahead).String()
}

// subjects returns the subjects of the mails to an address.
func subjects(w *localtest.World, address string) (all []string) {
	for _, mail := range w.Mailbox.Mails() {
		if slices.Contains(mail.To, address) {
			all = append(all, mail.Subject)
		}
	}
	return all
}

// The whole way of a limit, through the functions with their permissions: it holds for new tokens at
// once and for the others three hours later.
func TestLimitOnLifetimes(t *testing.T) {
	t.Parallel()
	type made struct {
		personalToken
		beyond bool
	}
	build := func(t *testing.T) (*localtest.World, holder, map[string]made) {
		w := localtest.Start(t, localtest.Options{})
		anna := newAccount(t, w, "anna")
		withProject(t, w, map[int64]project.Level{anna.ID: project.Maintainer})
		all := map[string]made{
			"the administrator's": {personalToken{ID: root.TokenID, UserID: root.ID, Token: root.Bearer}, true},
			"far ahead":           {newToken(t, w, anna.ID, "far ahead", dayOf(w, 31)), true},
			"at the limit":        {newToken(t, w, anna.ID, "at the limit", dayOf(w, 30)), false},
			"impersonation":       {newImpersonation(t, w, anna.ID, "impersonation"), true},
		}
		change(t, w, root.Bearer, `{"require_personal_access_token_expiry":false}`)
		var endless, bot, short personalToken
		decode(t, want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", anna.ID), `{"name":"endless","scopes":["api"]}`, http.StatusCreated), &endless)
		decode(t, want(t, w, anna.Bearer, "POST", "/api/v4/projects/2/access_tokens", fmt.Sprintf(`{"name":"bot","scopes":["api"],"expires_at":%q}`, dayOf(w, 100)), http.StatusCreated), &bot)
		decode(t, want(t, w, anna.Bearer, "POST", "/api/v4/projects/2/access_tokens", fmt.Sprintf(`{"name":"short","scopes":["api"],"expires_at":%q}`, dayOf(w, 7)), http.StatusCreated), &short)
		if endless.ExpiresAt != "" {
			t.Fatalf("ends on %s", endless.ExpiresAt)
		}
		all["endless"], all["a project's"], all["a project's at the limit"] = made{endless, true}, made{bot, true}, made{short, false}
		for _, m := range all {
			want(t, w, m.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
		}
		return w, anna, all
	}

	t.Run("a change that stays", func(t *testing.T) {
		t.Parallel()
		w, anna, all := build(t)
		change(t, w, root.Bearer, `{"max_personal_access_token_lifetime":30}`)
		fresh := newToken(t, w, root.ID, "within", dayOf(w, 30), "api", "read_api", "read_user", "self_rotate", "sudo")
		if plans := w.Plans.All(); len(plans) != 1 || plans[0].Function != "lifetime" || !plans[0].At.Equal(localtest.Now.Add(settings.Grace)) {
			t.Fatalf("planned: %+v", plans)
		}
		w.Clock.Set(localtest.Now.Add(settings.Grace - time.Second))
		if runs := w.RunPlans(t); len(runs) > 0 {
			t.Errorf("a second before: %v", runs)
		}
		for name, m := range all {
			if reply := w.Do(t, m.Token, "GET", "/api/v4/personal_access_tokens/self", ""); reply.Status != http.StatusOK {
				t.Errorf("%s, a second before: %d", name, reply.Status)
			}
		}
		w.Clock.Set(localtest.Now.Add(settings.Grace))
		// anna's first token, from newAccount, is one more.
		if runs := w.RunPlans(t); len(runs) != 1 || !strings.HasPrefix(runs[0], `{"done":true,"tokens":6,`) {
			t.Errorf("run: %v", runs)
		}
		for name, m := range all {
			reply := w.Do(t, m.Token, "GET", "/api/v4/personal_access_tokens/self", "")
			if wanted := map[bool]int{true: http.StatusUnauthorized, false: http.StatusOK}[m.beyond]; reply.Status != wanted ||
				m.beyond && reply.Body != revokedBody+"\n" {
				t.Errorf("%s: %d %s", name, reply.Status, reply.Body)
			}
		}
		want(t, w, anna.Bearer, "GET", "/api/v4/user", "", http.StatusUnauthorized)
		want(t, w, fresh.Token, "GET", fmt.Sprintf("/api/v4/users/%d", all["a project's"].UserID), "", http.StatusNotFound) // the bot has gone
		got := subjects(w, "anna@example.test")
		if wanted := []string{"4 access tokens were revoked"}; !slices.Equal(got, wanted) { // one of the project, and her own
			t.Errorf("mails to anna: %q", got)
		}
		for _, mail := range w.Mailbox.Mails() {
			if strings.Contains(mail.Text, "impersonation") {
				t.Errorf("a mail tells of an impersonation token: %s", mail.Text)
			}
			if !strings.Contains(mail.Text, "30 days") {
				t.Errorf("a mail does not tell the limit: %s", mail.Text)
			}
		}
		var s struct {
			AppliesAt *string `json:"max_personal_access_token_lifetime_applies_at"`
		}
		decode(t, want(t, w, fresh.Token, "GET", settingsPath, "", http.StatusOK), &s)
		if s.AppliesAt != nil {
			t.Errorf("it still applies at %s", *s.AppliesAt)
		}
		if sent := len(w.Mailbox.Mails()); sent > 0 {
			mustConsole(t, w, "lifetime", map[string]any{"time": localtest.Now.Add(settings.Grace).Format(time.RFC3339)})
			mustConsole(t, w, "lifetime", map[string]any{"time": localtest.Now.Add(settings.Grace + time.Minute).Format(time.RFC3339)})
			if got := len(w.Mailbox.Mails()); got != sent {
				t.Errorf("%d mails were sent again", got-sent)
			}
		}
	})

	t.Run("a change that is taken back", func(t *testing.T) {
		t.Parallel()
		w, _, all := build(t)
		change(t, w, root.Bearer, `{"max_personal_access_token_lifetime":30}`)
		w.Clock.Set(localtest.Now.Add(settings.Grace - time.Second))
		change(t, w, root.Bearer, `{"max_personal_access_token_lifetime":null}`)
		if plans := w.Plans.All(); len(plans) > 0 {
			t.Errorf("planned: %+v", plans)
		}
		w.Clock.Set(localtest.Now.Add(settings.Grace))
		// Also when the scheduler could not be told in time.
		if reply := mustConsole(t, w, "lifetime", map[string]any{"time": w.Clock.Now().Format(time.RFC3339)}); reply != `{"done":true,"tokens":0,"mails":0,"failed":0}` {
			t.Errorf("run: %s", reply)
		}
		for name, m := range all {
			if reply := w.Do(t, m.Token, "GET", "/api/v4/personal_access_tokens/self", ""); reply.Status != http.StatusOK {
				t.Errorf("%s: %d %s", name, reply.Status, reply.Body)
			}
		}
	})
}

// A limit holds for every kind of new token at once, and for successors.
func TestLimitForNewTokens(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	withProject(t, w, map[int64]project.Level{anna.ID: project.Maintainer})
	old := newToken(t, w, anna.ID, "old", dayOf(w, 200))
	change(t, w, root.Bearer, `{"max_personal_access_token_lifetime":30}`)
	for _, c := range []struct {
		name, bearer, path, scopes string
		made, refused              int
	}{
		{"for somebody", root.Bearer, fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", anna.ID), `["api"]`, 201, 422},
		{"for oneself", anna.Bearer, "/api/v4/user/personal_access_tokens", `["api"]`, 201, 422},
		{"impersonation", root.Bearer, fmt.Sprintf("/api/v4/users/%d/impersonation_tokens", anna.ID), `["api"]`, 201, 400},
		{"a project's", anna.Bearer, "/api/v4/projects/2/access_tokens", `["api"]`, 201, 400},
		{"a successor", root.Bearer, fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", old.ID), `["api"]`, 200, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := func(ahead int) string {
				return fmt.Sprintf(`{"name":"n","scopes":%s,"expires_at":%q}`, c.scopes, dayOf(w, ahead))
			}
			reply := w.Do(t, c.bearer, "POST", c.path, body(31))
			if reply.Status != c.refused || !strings.Contains(reply.Body, dayOf(w, 30)) {
				t.Errorf("a day beyond: %d %s", reply.Status, reply.Body)
			}
			if reply := w.Do(t, c.bearer, "POST", c.path, body(30)); reply.Status != c.made {
				t.Errorf("at the limit: %d %s", reply.Status, reply.Body)
			}
		})
	}
}

// cleanUp deletes what DynamoDB's TTL may delete by now, at once and all of it.
func cleanUp(t *testing.T, w *localtest.World) (deleted int) {
	t.Helper()
	for _, it := range everyItem(t, w) {
		due, dated := it["delete_after"].(*types.AttributeValueMemberN)
		if !dated {
			continue
		}
		at, err := strconv.ParseInt(due.Value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if time.Unix(at, 0).After(w.Clock.Now()) {
			continue
		}
		_, err = w.Engine.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
			TableName: aws.String(w.Table), Key: item{"pk": it["pk"], "sk": it["sk"]},
		})
		if err != nil {
			t.Fatal(err)
		}
		deleted++
	}
	return deleted
}

// While ends are not enforced a token works on after its date, is told of all the same, and no
// clean-up takes it: this guards promise 6. Afterwards it is refused.
func TestEnforcementOffAndOn(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	keeper := newToken(t, w, root.ID, "keeper", dayOf(w, 365), "api", "read_api", "read_user")
	anna := newAccount(t, w, "anna")
	old := newToken(t, w, anna.ID, "old", dayOf(w, 1))
	gone := newToken(t, w, anna.ID, "gone", dayOf(w, 1))
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", gone.ID), "", http.StatusNoContent)
	self := func(at, body string) {
		t.Helper()
		reply := w.Do(t, old.Token, "GET", "/api/v4/personal_access_tokens/self", "")
		switch {
		case body == "" && reply.Status != http.StatusOK:
			t.Errorf("%s: %d %s", at, reply.Status, reply.Body)
		case body == "" && !strings.Contains(reply.Body, `"active":true`):
			t.Errorf("%s: it is not active: %s", at, reply.Body)
		case body != "" && reply.Body != body+"\n":
			t.Errorf("%s: %d %s", at, reply.Status, reply.Body)
		}
	}
	scan := func(function string, at time.Time) {
		t.Helper()
		w.Clock.Set(at)
		mustConsole(t, w, function, map[string]any{"time": at.Format(time.RFC3339)})
	}
	midnight := clock.DayOf(localtest.Now).AddDays(1).Start()
	change(t, w, keeper.Token, `{"enforce_pat_expiration":false}`)
	w.Clock.Set(midnight.Add(-time.Second))
	self("a second before its end", "")
	w.Clock.Set(midnight)
	self("at its end", "")
	for _, f := range formats {
		if answer, err := decide(t.Context(), w, f, "GET", "/orders", old.Token); err != nil || !answer.allowed {
			t.Errorf("authorizer, %s: %s, %v", f.name, answer.raw, err)
		}
	}
	if !listedAs("active")(t, w, old) || !listedAs("inactive")(t, w, old) {
		t.Error("it is not listed as active")
	}

	scan("expiring", midnight.Add(time.Hour))
	scan("expired", midnight.Add(2*time.Hour))
	if got := subjects(w, "anna@example.test"); len(got) != 2 || !strings.Contains(got[0]+got[1], "1 access token has expired") {
		t.Errorf("mails: %v", got)
	}
	// Longer than anything that has ended is kept.
	w.Clock.Set(midnight.AddDate(0, 0, 200))
	if deleted := cleanUp(t, w); deleted == 0 {
		t.Error("clean-up deleted nothing, which shows nothing")
	}
	self("long after", "")
	want(t, w, gone.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)

	change(t, w, keeper.Token, `{"enforce_pat_expiration":true}`)
	settle(w)
	self("enforced again", expiredBody)
	cleanUp(t, w)
	change(t, w, keeper.Token, `{"enforce_pat_expiration":false}`)
	settle(w)
	self("not enforced again", "")
	want(t, w, keeper.Token, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", old.ID), "", http.StatusNoContent)
	self("revoked", revokedBody)
	w.Clock.Set(w.Clock.Now().AddDate(0, 0, 90))
	cleanUp(t, w)
	self("revoked and cleaned up", unauthorizedBody)
}

// The switch reaches every function within the age of the settings.
func TestImpersonationSwitch(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	visit := newImpersonation(t, w, anna.ID, "visit")
	check := func(at, body string) {
		t.Helper()
		reply := w.Do(t, visit.Token, "GET", "/api/v4/user", "")
		if (body == "") != (reply.Status == http.StatusOK) || body != "" && reply.Body != body+"\n" {
			t.Errorf("%s: %d %s", at, reply.Status, reply.Body)
		}
		answer, err := decide(t.Context(), w, http2, "GET", "/orders", visit.Token)
		if err != nil || answer.allowed != (body == "") {
			t.Errorf("%s: the authorizer says %s, %v", at, answer.raw, err)
		}
		want(t, w, anna.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
	}
	check("before", "")
	change(t, w, root.Bearer, `{"impersonation_enabled":false}`)
	w.Clock.Set(w.Clock.Now().Add(verify.SettingsAge - time.Second))
	check("a second before the settings are old", "") // the worst that may be
	w.Clock.Set(w.Clock.Now().Add(time.Second))
	check("switched off", impersonationOffBody)
	body := `{"name":"n","scopes":["api"]}`
	refused := want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens", anna.ID), body, http.StatusForbidden)
	if !strings.Contains(refused, "Impersonation is disabled") {
		t.Errorf("creation is refused with %s", refused)
	}
	change(t, w, root.Bearer, `{"impersonation_enabled":true}`)
	settle(w)
	check("on again", "")
	change(t, w, root.Bearer, `{"impersonation_enabled":false}`)
	settle(w)
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens/%d", anna.ID, visit.ID), "", http.StatusNoContent)
	check("off and revoked", revokedBody)
}

// A last use is written again after the interval that is set.
func TestIntervalOfLastUses(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	lastUse := func() string {
		t.Helper()
		want(t, w, anna.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
		return tokensOf(t, w, anna.ID)[0].LastUsedAt
	}
	first := lastUse()
	w.Clock.Set(w.Clock.Now().Add(time.Hour))
	if got := lastUse(); got != first {
		t.Errorf("written after an hour, of a day: %s", got)
	}
	change(t, w, root.Bearer, `{"last_used_interval_seconds":3600}`)
	settle(w)
	if got := lastUse(); got == first {
		t.Error("not written after the hour that is set now")
	}
	second := lastUse()
	w.Clock.Set(w.Clock.Now().Add(time.Hour - time.Second))
	if got := lastUse(); got != second {
		t.Errorf("written a second before an hour: %s", got)
	}
	w.Clock.Set(w.Clock.Now().Add(time.Second))
	if got := lastUse(); got == second {
		t.Error("not written at the hour")
	}
}

// What has ended is kept for as long as is set.
func TestRetentionOfTheSettings(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	old := newToken(t, w, anna.ID, "old", dayOf(w, 100))
	change(t, w, root.Bearer, `{"inactive_resource_access_tokens_delete_after_days":7}`)
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", old.ID), "", http.StatusNoContent)
	ended := w.Clock.Now()
	w.Clock.Set(ended.AddDate(0, 0, 7).Add(-time.Second))
	cleanUp(t, w)
	if n := len(tokensOf(t, w, anna.ID)); n != 2 {
		t.Errorf("%d tokens a second before", n)
	}
	w.Clock.Set(ended.AddDate(0, 0, 7))
	cleanUp(t, w)
	if n := len(tokensOf(t, w, anna.ID)); n != 1 {
		t.Errorf("%d tokens after seven days", n)
	}
}

// The same setting says how long the bot of an expired token stays, from when its end was announced.
func TestRetentionOfBots(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	withProject(t, w, map[int64]project.Level{anna.ID: project.Maintainer})
	change(t, w, root.Bearer, `{"inactive_resource_access_tokens_delete_after_days":7}`)
	var bot personalToken
	decode(t, want(t, w, anna.Bearer, "POST", "/api/v4/projects/2/access_tokens", `{"name":"bot","scopes":["api"],"expires_at":"2026-03-25"}`, http.StatusCreated), &bot)
	profile := fmt.Sprintf("/api/v4/users/%d", bot.UserID)
	scan(t, w, "expired", "2026-03-25T02:00:00Z")
	change(t, w, root.Bearer, `{"inactive_resource_access_tokens_delete_after_days":30}`) // does not move it
	scan(t, w, "expired", "2026-03-31T02:00:00Z")
	want(t, w, root.Bearer, "GET", profile, "", http.StatusOK)
	scan(t, w, "expired", "2026-04-01T02:00:00Z")
	want(t, w, root.Bearer, "GET", profile, "", http.StatusNotFound)
}
