package gitlabapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/project"
	"latchkey/pkg/settings"
)

const alreadyRotated = `{"message":"409 Conflict: Token already rotated. Use its successor"}`

// window sets the rotation window.
func (w *world) window(tb testing.TB, length time.Duration) {
	tb.Helper()
	w.setting(tb, settings.Change{RotationWindow: &length})
}

// Two processes of an honest client rotate one token within a second. Breaks if the second locks
// both out, or if a thief's second use is forgiven after the window.
func TestSecondUseForRotation(t *testing.T) {
	const overlapOfASecond = `{"overlap_seconds":1}`
	for _, c := range []struct {
		name   string
		window time.Duration
		first  string // body of the first rotation
		after  time.Duration
		want   int
	}{
		{"at once", 10 * time.Second, "", 0, 409},
		{"a second before the window ends", 10 * time.Second, "", 9 * time.Second, 409},
		{"at the end of the window", 10 * time.Second, "", 10 * time.Second, 401},
		{"a second after the window", 10 * time.Second, "", 11 * time.Second, 401},
		{"without a window", 0, "", 0, 401},
		{"in an overlap without a window", 0, anHour, time.Hour - time.Second, 409},
		{"after an overlap without a window", 0, anHour, time.Hour, 401},
		{"after an overlap and within the window", time.Minute, overlapOfASecond, 59 * time.Second, 409},
		{"after an overlap and the window", time.Minute, overlapOfASecond, time.Minute, 401},
	} {
		targets := []string{ownToken}
		if c.first != anHour { // in its overlap it still has rights for the others
			targets = append(targets, everyToken+"/8388612", everyToken+"/5", ofWeb+"/self")
		}
		for _, again := range targets {
			t.Run(c.name+" at "+again, func(t *testing.T) {
				w := newWorld(t)
				w.withProjects(t)
				w.window(t, c.window)
				w.learn(t, "fresh", throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", c.first)))
				w.clock.Advance(c.after)
				got := throughLambda(t, w, post("issue", again+"/rotate", "rotating", ""))
				if got.status != c.want || c.want == 409 && strings.TrimSpace(got.body) != alreadyRotated {
					t.Errorf("%s, want %d", got, c.want)
				}
				if got.header.Get("Retry-After") != "" || strings.Contains(got.body, "Resource lock") {
					t.Errorf("clients would repeat it by themselves: %s", got)
				}
				w.wantWorking(t, map[string]bool{"fresh": c.want == 409, "owner": true})
			})
		}
	}
}

// A retry under the key of the first try is a retry, whatever else holds; another key is another try.
func TestKeyOfTheFirstTryComesBeforeTheWindow(t *testing.T) {
	for _, body := range []string{"", anHour} {
		w := newWorld(t)
		w.window(t, 10*time.Second)
		send := func(key string) response {
			return throughLambda(t, w, request{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "rotating", json: body, header: header(keyHeader, key)})
		}
		first := send("k")
		w.learn(t, "fresh", first)
		if again := send("k"); again.status != 200 || again.body != first.body {
			t.Errorf("the retry gets %s", again)
		}
		if got := send("another"); got.status != 409 || strings.TrimSpace(got.body) != alreadyRotated {
			t.Errorf("another try gets %s", got)
		}
		w.wantWorking(t, map[string]bool{"fresh": true})
	}
}

// No process of an honest client is where the token may not be used.
func TestNoWindowForThoseOutsideTheNetworks(t *testing.T) {
	w := newWorld(t)
	w.window(t, time.Minute)
	w.restrict(t, "restricted", "192.0.2.0/24")
	rotate := post("issue", ownToken+"/rotate", "restricted", "")
	w.learn(t, "fresh", throughGateway(t, w, rotate, inside))
	if got := throughGateway(t, w, rotate, inside); got.status != 409 {
		t.Errorf("from inside: %s", got)
	}
	if got := throughGateway(t, w, rotate, outside); got.status != 401 {
		t.Errorf("from outside: %s", got)
	}
	if got := throughGateway(t, w, post("issue", ownToken+"/rotate", "fresh", ""), inside); got.status != 401 {
		t.Errorf("the successor gets %s", got)
	}
}

// Breaks if a caller takes access for ended while a successor works. The token is one of each kind,
// rotated with and without an overlap.
func TestRevokingATokenThatWasRotated(t *testing.T) {
	personal := func(testing.TB, *world) {}
	ofProject := func(tb testing.TB, w *world) {
		w.withProjects(tb)
		w.bot(tb, "rotating", project.KindProject, 8, project.Developer)
	}
	impersonation := func(tb testing.TB, w *world) {
		w.impersonate(tb, "owner")
		w.tokens["rotating"], w.bearers["rotating"] = w.tokens["impersonation"], w.bearers["impersonation"]
	}
	for _, c := range []struct {
		name, target string
		prepare      func(testing.TB, *world)
	}{
		{"by id", everyToken + "/ID", personal},
		{"of a project", ofWeb + "/ID", ofProject},
		{"a bot's among all", everyToken + "/ID", ofProject},
		{"of impersonation", "/api/v4/users/2/impersonation_tokens/ID", impersonation},
		{"by value", anyToken, personal},
	} {
		for _, body := range []string{"", anHour} {
			for _, family := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s family %t", c.name, body, family), func(t *testing.T) {
					w := newWorld(t)
					c.prepare(t, w)
					old := w.tokens["rotating"].ID
					remove := remove(strings.Replace(c.target, "ID", old.String(), 1), "root")
					if c.target == anyToken {
						remove.json = `{"token":"` + w.bearers["rotating"] + `"}`
					}
					if family {
						remove.target += "?family=true"
					}
					w.learn(t, "second", throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", body)))
					w.learn(t, "third", throughLambda(t, w, post("issue", ownToken+"/rotate", "second", body)))
					third := throughLambda(t, w, get("tokens", ownToken, "third")).field(t, "id")
					for range 2 {
						got := throughLambda(t, w, remove)
						want := fmt.Sprintf("%.0f", third)
						if family {
							want = ""
						}
						if got.status != http.StatusNoContent || got.header.Get("X-Latchkey-Successor") != want {
							t.Errorf("%s, want successor %q", got, want)
						}
						w.wantWorking(t, map[string]bool{"rotating": false, "second": body != "" && !family, "third": !family})
					}
				})
			}
		}
	}
	t.Run("of one that was not rotated names none, and its family is itself", func(t *testing.T) {
		w := newWorld(t)
		for _, target := range []string{everyToken + "/8388612", ownToken + "?family=true"} {
			bearer := "owner"
			if strings.HasPrefix(target, ownToken) {
				bearer = "reading"
			}
			if got := throughLambda(t, w, remove(target, bearer)); got.status != 204 || got.header.Get("X-Latchkey-Successor") != "" {
				t.Errorf("%s: %s", target, got)
			}
		}
		w.wantWorking(t, map[string]bool{"rotating": false, "reading": false, "owner": true})
	})
	t.Run("by itself in its overlap", func(t *testing.T) {
		for family, want := range map[string]bool{"": true, "?family=true": false} {
			w := newWorld(t)
			w.overlap(t, "rotating", "fresh")
			got := throughLambda(t, w, remove(ownToken+family, "rotating"))
			if got.status != 204 || (got.header.Get("X-Latchkey-Successor") != "") != want {
				t.Errorf("%s", got)
			}
			w.wantWorking(t, map[string]bool{"rotating": false, "fresh": want})
		}
	})
	t.Run("with a family that is no truth value revokes nothing", func(t *testing.T) {
		w := newWorld(t)
		if got := throughLambda(t, w, remove(everyToken+"/8388612?family=all", "owner")); got.status != 400 {
			t.Errorf("%s", got)
		}
		w.wantWorking(t, map[string]bool{"rotating": true})
	})
}

// A revocation that read the token before a rotation ended it. Breaks if its caller is told that the
// token has ended while its successor works.
func TestRevocationThatLosesToARotation(t *testing.T) {
	for _, body := range []string{"", anHour} {
		for _, target := range []string{everyToken + "/8388612", ownToken} {
			t.Run(target+body, func(t *testing.T) {
				w := newWorld(t)
				bearer := "owner"
				if target == ownToken {
					bearer = "rotating"
				}
				w.beforeWrite(t, func() {
					w.learn(t, "fresh", throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", body)))
				})
				got := throughLambda(t, w, remove(target, bearer))
				if want := `{"message":"409 Conflict: Token was rotated meanwhile. Nothing was revoked"}`; got.status != 409 || strings.TrimSpace(got.body) != want || got.header.Get("Retry-After") != "" {
					t.Errorf("%s", got)
				}
				w.wantWorking(t, map[string]bool{"fresh": true, "rotating": body != ""})
				if again := throughLambda(t, w, remove(everyToken+"/8388612", "owner")); again.status != 204 || again.header.Get("X-Latchkey-Successor") == "" {
					t.Errorf("asked again: %s", again)
				}
			})
		}
	}
	t.Run("follows the rotation when it is of the family", func(t *testing.T) {
		w := newWorld(t)
		w.beforeWrite(t, func() {
			w.learn(t, "fresh", throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", anHour)))
		})
		if got := throughLambda(t, w, remove(everyToken+"/8388612?family=true", "owner")); got.status != 204 {
			t.Errorf("%s", got)
		}
		w.wantWorking(t, map[string]bool{"fresh": false, "rotating": false})
	})
}

// The loser of two rotations that were checked at the same time learns the same, and its own
// revocation looks like one.
func TestRotationThatLosesARace(t *testing.T) {
	for name, c := range map[string]struct {
		first request
		want  string
	}{
		"to a rotation":                 {post("issue", ownToken+"/rotate", "rotating", ""), "409"},
		"to a rotation with an overlap": {post("issue", ownToken+"/rotate", "rotating", anHour), "409"},
		"to one by id":                  {post("issue", everyToken+"/8388612/rotate", "owner", ""), "409"},
		"to a revocation":               {remove(everyToken+"/8388612", "owner"), "401"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.window(t, 0) // it has nothing to do with it
			var first response
			w.beforeWrite(t, func() { first = throughLambda(t, w, c.first) })
			got := throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", ""))
			if fmt.Sprint(got.status) != c.want || c.want == "409" && strings.TrimSpace(got.body) != alreadyRotated {
				t.Errorf("%s, want %s", got, c.want)
			}
			if c.want == "409" {
				w.learn(t, "fresh", first)
				w.wantWorking(t, map[string]bool{"fresh": true})
			}
		})
	}
}
