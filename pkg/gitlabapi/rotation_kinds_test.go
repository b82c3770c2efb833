package gitlabapi_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/pkg/settings"
)

// selfRotation is a rotation by the token itself.
func selfRotation(name, body string) request { return post("issue", ownToken+"/rotate", name, body) }

// Breaks if an old token outlives the first use of its successor, or ends before it.
func TestOverlapUntilUsed(t *testing.T) {
	const untilUsed = `{"overlap":"until_used"}`
	t.Run("the first use of the new token ends the old one", func(t *testing.T) {
		w := newWorld(t)
		w.window(t, 10*time.Second)
		w.learn(t, "fresh", throughLambda(t, w, selfRotation("rotating", untilUsed)))
		got := throughLambda(t, w, get("tokens", ownToken, "rotating"))
		if got.status != 200 || got.field(t, "superseded_until_used") != true {
			t.Errorf("before the use: %s", got)
		}
		w.clock.Advance(time.Hour)
		w.wantWorking(t, map[string]bool{"rotating": true})
		w.wantWorking(t, map[string]bool{"fresh": true})
		w.wantWorking(t, map[string]bool{"rotating": false, "fresh": true})
		trail := throughLambda(t, w, get("settings", "/api/v4/audit_events?per_page=100", "root"))
		if n := strings.Count(trail.body, `"event_type":"personal_access_token_revoked"`); n != 1 {
			t.Errorf("%d events of the end: %s", n, trail.body)
		}
		// The window for a repeated rotation starts at that use.
		if got := throughLambda(t, w, selfRotation("rotating", "")); got.status != 409 {
			t.Errorf("just after the use: %s", got)
		}
		w.clock.Advance(10 * time.Second)
		if got := throughLambda(t, w, selfRotation("rotating", "")); got.status != 401 {
			t.Errorf("after the window: %s", got)
		}
		w.wantWorking(t, map[string]bool{"fresh": false})
	})
	t.Run("an unused successor ends it after a day", func(t *testing.T) {
		w := newWorld(t)
		throughLambda(t, w, selfRotation("rotating", untilUsed))
		w.clock.Advance(24*time.Hour - time.Second)
		w.wantWorking(t, map[string]bool{"rotating": true})
		w.clock.Advance(time.Second)
		w.wantWorking(t, map[string]bool{"rotating": false})
	})
	t.Run("it excludes seconds, and knows no other kind", func(t *testing.T) {
		w := newWorld(t)
		for _, body := range []string{`{"overlap":"until_used","overlap_seconds":1}`, `{"overlap":"until_used","overlap_seconds":0}`, `{"overlap":"used"}`, `{"expires_in":60}`} {
			if got := throughLambda(t, w, selfRotation("rotating", body)); got.status != 400 {
				t.Errorf("%s: %s", body, got)
			}
		}
		w.wantWorking(t, map[string]bool{"rotating": true})
	})
}

// Breaks if the settings do not decide about a rotation that says nothing, or win over one that does.
func TestUsualRotation(t *testing.T) {
	w := newWorld(t)
	w.setting(t, settings.Change{RotationOverlap: ptr(time.Hour), RotationLifetime: ptr(settings.Same)})
	made := throughLambda(t, w, post("issue", forOwner, "root", `{"name":"yearly","scopes":["api"],"expires_at":"2026-06-01"}`))
	w.learn(t, "first", made)
	w.clock.Advance(48 * time.Hour)
	second := throughLambda(t, w, selfRotation("first", ""))
	w.learn(t, "second", second)
	if got := second.field(t, "expires_at"); got != "2026-06-03" {
		t.Errorf("the successor expires at %v", got)
	}
	w.clock.Advance(time.Hour - time.Second)
	w.wantWorking(t, map[string]bool{"first": true, "second": true})
	w.clock.Advance(time.Second)
	w.wantWorking(t, map[string]bool{"first": false, "second": true})
	w.learn(t, "third", throughLambda(t, w, selfRotation("second", `{"overlap_seconds":0}`)))
	w.wantWorking(t, map[string]bool{"second": false, "third": true})
}

// Breaks if a token with a short life works a second longer than it may, or makes one that does.
func TestShortLife(t *testing.T) {
	w := newWorld(t)
	no := false
	w.setting(t, settings.Change{ExpiryEnforced: &no})
	made := throughLambda(t, w, post("issue", forOwner, "root", `{"name":"job","scopes":["api"],"expires_in":3600}`))
	w.learn(t, "job", made)
	until := w.clock.Now().Truncate(time.Second).Add(time.Hour)
	if got := made.field(t, "expires_at_time"); got != until.Format("2006-01-02T15:04:05.000Z") {
		t.Errorf("it ends at %v, want %s", got, until)
	}
	for body, want := range map[string]int{
		`{"name":"x","scopes":["api"],"expires_in":59}`:                           400,
		`{"name":"x","scopes":["api"],"expires_in":604801}`:                       400,
		`{"name":"x","scopes":["api"],"expires_in":60,"expires_at":"2026-04-01"}`: 400,
		`{"name":"x","scopes":["api"],"expires_in":604800}`:                       201,
		`{"name":"x","scopes":["api"],"expires_in":"60"}`:                         201,
	} {
		if got := throughLambda(t, w, post("issue", forOwner, "root", body)); got.status != want {
			t.Errorf("%s: %s", body, got)
		}
	}
	for body, want := range map[string]int{
		`{"name":"x","scopes":["api"],"expires_in":3600}`: 201, `{"name":"x","scopes":["api"],"expires_in":3601}`: 400, `{"name":"x","scopes":["api"]}`: 400,
	} {
		if got := throughLambda(t, w, post("issue", ownTokens, "job", body)); got.status != want {
			t.Errorf("made by it, %s: %s", body, got)
		}
	}
	if got := throughLambda(t, w, selfRotation("job", "")); got.status != 400 || !strings.Contains(got.body, "expires_in cannot be rotated") {
		t.Errorf("rotated: %s", got)
	}
	if got := throughLambda(t, w, post("issue", everyToken+"/8388612/rotate", "job", "")); got.status != 400 {
		t.Errorf("rotates another one: %s", got)
	}
	w.clock.Advance(time.Hour - time.Second)
	w.wantWorking(t, map[string]bool{"job": true})
	w.clock.Advance(time.Second)
	w.wantWorking(t, map[string]bool{"job": false})
}
