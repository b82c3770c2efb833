package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// Breaks if an administrator sees another number of tokens before a limit is set than the run revokes, if
// a number that is cut off looks exact, or if counting revokes anything.
func TestPreviewOfALimitIsWhatTheRunRevokes(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	p := newPlace(t, w)
	p.ofResource(t, "project", "ci")
	p.ofResource(t, "group", "ci")
	newImpersonation(t, w, p.owner.ID, "support")
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", p.maintainer.ID), "", http.StatusNoContent)
	const path = "/api/v4/application/settings/preview?max_personal_access_token_lifetime=30"
	type preview struct {
		Revokes struct{ Personal, Impersonation, Project, Group int }
		AtLeast bool `json:"at_least"`
	}
	ask := func() (got preview) {
		decode(t, want(t, w, root.Bearer, "GET", path, "", http.StatusOK), &got)
		return got
	}
	working := func() (n int) {
		var active []personalToken
		for _, state := range []string{"personal_access_tokens", fmt.Sprintf("users/%d/impersonation_tokens", p.owner.ID)} {
			decode(t, want(t, w, root.Bearer, "GET", "/api/v4/"+state+"?state=active&per_page=100", "", http.StatusOK), &active)
			n += len(active)
		}
		return n
	}
	before, few := working(), ask()
	if few.AtLeast || few.Revokes.Impersonation != 1 || few.Revokes.Project != 1 || few.Revokes.Group != 1 || few.Revokes.Personal < 2 {
		t.Errorf("a preview is %+v", few)
	}
	var counted map[string]any
	decode(t, mustConsole(t, w, "lifetime", map[string]any{"action": "count_beyond_limit", "max_personal_access_token_lifetime": 30}), &counted)
	if fmt.Sprint(counted["personal"], counted["impersonation"], counted["project"], counted["group"], counted["done"]) !=
		fmt.Sprint(few.Revokes.Personal, few.Revokes.Impersonation, few.Revokes.Project, few.Revokes.Group, true) {
		t.Errorf("counted %v, previewed %+v", counted, few)
	}
	if after := working(); after != before {
		t.Errorf("%d of %d tokens work after the counts", after, before)
	}
	want(t, w, root.Bearer, "PUT", "/api/v4/application/settings", `{"max_personal_access_token_lifetime":30}`, http.StatusOK)
	w.Clock.Set(w.Clock.Now().Add(settings.Grace))
	w.RunPlans(t)
	// root's token has ended, too.
	var next personalToken
	decode(t, mustConsole(t, w, "issue", map[string]any{"action": "create_token", "username": "root", "name": "afterwards", "scopes": []string{"api"}}), &next)
	events := want(t, w, next.Token, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK)
	r := few.Revokes
	if revoked, previewed := strings.Count(events, `"source":"policy"`), r.Personal+r.Impersonation+r.Project+r.Group; revoked != previewed {
		t.Errorf("the run revoked %d tokens, and %d were previewed", revoked, previewed)
	}
}

// Breaks if the count is not exact up to 10,000, or says so beyond.
func TestPreviewCountsUpTo10000(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	crowd := storetest.Crowd{Owners: 101, TokensEach: 99, First: 2, On: func(account.ID, int) clock.Day { return clock.DayOf(w.Clock.Now()).AddDays(200) }}
	loader, err := storetest.NewLoader(t.Context(), w.Engine, w.Table, store.DefaultShards)
	if err = errors.Join(err, loader.Crowd(t.Context(), crowd), loader.Walkable(t.Context(), crowd)); err != nil {
		t.Fatal(err)
	}
	// Not by a request, whose time ends after seconds, on a slow machine too.
	table := store.Open(w.Engine, w.Table, store.Options{Shards: store.DefaultShards, Retention: 30 * 24 * time.Hour})
	census, err := lifecycle.NewCensus(lifecycle.CensusParts{Store: table, Settings: table, Clock: w.Clock})
	if err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{true, false} { // with root's, these are 10,000 tokens at first
		beyond, _, done, err := census.Beyond(t.Context(), clock.DayOf(w.Clock.Now()).AddDays(30), 0, administration.MostCounted)
		if err != nil || beyond[token.Personal] != 10_000 || done != all {
			t.Errorf("%v, all %t, %v; want all %t", beyond, done, err, all)
		}
		newToken(t, w, root.ID, "one more", "2026-09-01")
	}
	var counted struct {
		Personal int
		Done     bool
	}
	if decode(t, mustConsole(t, w, "lifetime", map[string]any{"action": "count_beyond_limit", "max_personal_access_token_lifetime": 30}), &counted); counted.Personal != 10_002 || !counted.Done {
		t.Errorf("the console counts %+v", counted)
	}
}
