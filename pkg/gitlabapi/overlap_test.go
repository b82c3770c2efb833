package gitlabapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/project"
)

const anHour = `{"overlap_seconds":3600}`

// overlap rotates the token called name with an overlap of an hour, whose
// successor can call under the name of successor from then on.
func (w *world) overlap(tb testing.TB, name, successor string) response {
	tb.Helper()
	rotated := throughLambda(tb, w, post("issue", everyToken+"/"+w.tokens[name].ID.String()+"/rotate", "root", anHour))
	w.learn(tb, successor, rotated)
	return rotated
}

// learn lets somebody call with the bearer of a reply.
func (w *world) learn(tb testing.TB, name string, issued response) {
	tb.Helper()
	bearer, ok := issued.field(tb, "token").(string)
	if !ok {
		tb.Fatalf("no bearer in %s", issued)
	}
	w.bearers[name] = bearer
	w.logs.secret(bearer)
}

// wantWorking fails the test unless exactly these bearers work.
func (w *world) wantWorking(tb testing.TB, want map[string]bool) {
	tb.Helper()
	for name, works := range want {
		if got := throughLambda(tb, w, get("tokens", ownToken, name)); (got.status == 200) != works {
			tb.Errorf("%s works: %t; it gets %s", name, works, got)
		}
	}
}

func overlapCases() []replyCase {
	overlapping := func(tb testing.TB, w *world) { w.overlap(tb, "rotating", "fresh") }
	rotate := func(target, bearer, body string) request { return post("issue", target+"/rotate", bearer, body) }
	var cases []replyCase
	add := func(name string, r request, before func(testing.TB, *world)) {
		cases = append(cases, replyCase{name: "overlap " + name, request: r, before: before})
	}
	rotatingToken := everyToken + "/8388612"
	add("rotate self", rotate(ownToken, "rotating", anHour), nil)
	add("rotate by id for a day", rotate(rotatingToken, "owner", `{"overlap_seconds":"86400","expires_at":"2026-04-01"}`), nil)
	add("rotate for more than a day", rotate(ownToken, "owner", `{"overlap_seconds":86401}`), nil)
	add("rotate for less than nothing", rotate(ownToken, "owner", `{"overlap_seconds":-1}`), nil)
	add("rotate for no time", rotate(ownToken, "owner", `{"overlap_seconds":"an hour","expires_at":"x"}`), nil)
	add("get the old one", get("tokens", rotatingToken, "owner"), overlapping)
	add("get the new one", get("tokens", ownToken, "fresh"), overlapping)
	add("get the old one when it is over", get("tokens", rotatingToken, "owner"), func(tb testing.TB, w *world) {
		overlapping(tb, w)
		w.clock.Advance(time.Hour)
	})
	add("rotate by id again", rotate(rotatingToken, "owner", ""), overlapping)
	add("rotate self again", rotate(ownToken, "rotating", anHour), overlapping)
	add("revoke the old one", remove(rotatingToken, "owner"), overlapping)
	add("rotate a project's", rotate(ofWeb+"/"+webToken, "owner", anHour), botsOfWeb)
	add("list a project's", get("tokens", ofWeb+"?state=active", "owner"), func(tb testing.TB, w *world) {
		botsOfWeb(tb, w)
		throughLambda(tb, w, rotate(ofWeb+"/"+webToken, "owner", anHour))
	})
	add("rotate a project's again", rotate(ofWeb+"/"+webToken, "owner", ""), func(tb testing.TB, w *world) {
		botsOfWeb(tb, w)
		throughLambda(tb, w, rotate(ofWeb+"/"+webToken, "owner", anHour))
	})
	return cases
}

// Promise 1 with an overlap: the old bearer works to the second that was asked
// for, on every route that rotates, and nothing else ends for it.
func TestOverlapOnEveryRoute(t *testing.T) {
	ofProject := func(tb testing.TB, w *world) {
		w.withProjects(tb)
		w.bot(tb, "rotating", project.KindProject, 8, project.Developer)
	}
	ofGroup := func(tb testing.TB, w *world) {
		w.withProjects(tb)
		w.bot(tb, "rotating", project.KindGroup, 7, project.Maintainer)
	}
	for name, c := range map[string]struct {
		before func(testing.TB, *world)
		target string // ID is that of the token
		bearer string
	}{
		"self":           {nil, ownToken, "rotating"},
		"by id":          {nil, everyToken + "/ID", "owner"},
		"project's self": {ofProject, ofWeb + "/self", "rotating"},
		"project's":      {ofProject, ofWeb + "/ID", "owner"},
		"bot as any":     {ofProject, ownToken, "rotating"},
		"group's self":   {ofGroup, ofAcme + "/self", "rotating"},
		"group's":        {ofGroup, ofAcme + "/ID", "root"},
	} {
		for _, seconds := range []int{0, 1, 3600, 86400} {
			t.Run(fmt.Sprintf("%s for %d s", name, seconds), func(t *testing.T) {
				w := newWorld(t)
				if c.before != nil {
					c.before(t, w)
				}
				target := strings.Replace(c.target, "ID", w.tokens["rotating"].ID.String(), 1)
				rotated := throughLambda(t, w, post("issue", target+"/rotate", c.bearer, fmt.Sprintf(`{"overlap_seconds":%d}`, seconds)))
				if rotated.status != http.StatusOK {
					t.Fatalf("%s", rotated)
				}
				w.learn(t, "fresh", rotated)
				if seconds > 0 {
					w.clock.Advance(time.Duration(seconds-1) * time.Second)
					w.wantWorking(t, map[string]bool{"rotating": true, "fresh": true})
					w.clock.Advance(time.Second)
				}
				w.wantWorking(t, map[string]bool{"rotating": false, "fresh": true})
				w.clock.Advance(time.Second)
				w.wantWorking(t, map[string]bool{"rotating": false, "fresh": true})
			})
		}
	}
}

// Within the overlap the old token's rotation is refused and ends nothing;
// from its end on it is reuse. Breaks if a machine that has not learnt of its
// successor yet ends the family, or a thief of the old token does not.
func TestRotatingTheOldTokenIsReuseOnceItsOverlapIsOver(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		reuse bool
	}{{0, false}, {time.Hour - time.Second, false}, {time.Hour, true}, {time.Hour + time.Second, true}, {25 * time.Hour, true}} {
		for _, body := range []string{"", anHour} {
			t.Run(c.after.String()+" "+body, func(t *testing.T) {
				w := newWorld(t)
				w.overlap(t, "rotating", "fresh")
				w.clock.Advance(c.after)
				got := throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", body))
				if want := map[bool]int{false: 409, true: 401}[c.reuse]; got.status != want {
					t.Errorf("%s, want %d", got, want)
				}
				w.wantWorking(t, map[string]bool{"rotating": !c.reuse, "fresh": !c.reuse, "owner": true})
			})
		}
	}
	t.Run("also where it was revoked within its overlap", func(t *testing.T) {
		w := newWorld(t)
		w.overlap(t, "rotating", "fresh")
		throughLambda(t, w, remove(everyToken+"/8388612", "owner"))
		w.wantWorking(t, map[string]bool{"rotating": false, "fresh": true})
		if got := throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", "")); got.status != 401 {
			t.Errorf("%s", got)
		}
		w.wantWorking(t, map[string]bool{"rotating": false, "fresh": false})
	})
	t.Run("and takes the tokens that work beside their successors along", func(t *testing.T) {
		w := newWorld(t)
		first := throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", `{"overlap_seconds":60}`))
		w.learn(t, "second", first)
		w.learn(t, "third", throughLambda(t, w, post("issue", ownToken+"/rotate", "second", anHour)))
		w.clock.Advance(time.Minute)
		w.wantWorking(t, map[string]bool{"rotating": false, "second": true, "third": true})
		throughLambda(t, w, post("issue", ownToken+"/rotate", "rotating", ""))
		w.wantWorking(t, map[string]bool{"rotating": false, "second": false, "third": false})
	})
}

// Promise 9: the reply to a rotation with an overlap was lost, and the retry
// gets it, before the overlap is over and after.
func TestRetryOfARotationWithAnOverlap(t *testing.T) {
	for _, target := range []string{ownToken, everyToken + "/8388612", ofWeb + "/self"} {
		t.Run(target, func(t *testing.T) {
			w := newWorld(t)
			if target == ofWeb+"/self" {
				w.withProjects(t)
				w.bot(t, "rotating", project.KindProject, 8, project.Developer)
			}
			send := func(body string) response {
				caller := "rotating"
				if target == everyToken+"/8388612" {
					caller = "owner"
				}
				// A socket tells no address, whose record would be a write.
				return throughHTTP(t, w, request{function: "issue", method: "POST", target: target + "/rotate", bearer: caller, json: body, header: header(keyHeader, "k")})
			}
			first := send(anHour)
			w.learn(t, "fresh", first)
			written := w.snapshot(t)
			for _, late := range []time.Duration{0, time.Hour - time.Second, time.Second, 22 * time.Hour} {
				w.clock.Advance(late)
				if again := send(anHour); again.status != 200 || again.body != first.body {
					t.Errorf("%s later: %s\nfirst: %s", late, again, first)
				}
				for _, other := range []string{"", `{"overlap_seconds":3599}`, `{"overlap_seconds":3600,"expires_at":"2026-04-01"}`} {
					if got := send(other); got.status != 422 {
						t.Errorf("the key with %s: %s", other, got)
					}
				}
			}
			if w.snapshot(t) != written {
				t.Error("a retry has written")
			}
			w.wantWorking(t, map[string]bool{"fresh": true})
			w.clock.Advance(2 * time.Hour)
			want := map[bool]int{true: 400, false: 401}[target == everyToken+"/8388612"]
			if got := send(anHour); got.status != want {
				t.Errorf("after a day: %s", got)
			}
		})
	}
}

// A key without an overlap stands for the same request as before there were
// overlaps, so that a retry over an update of the service gets its reply.
func TestNoOverlapIsTheSameRequestHoweverItIsWritten(t *testing.T) {
	w := newWorld(t)
	send := func(body string) response {
		return throughLambda(t, w, request{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "rotating", json: body, header: header(keyHeader, "k")})
	}
	first := send("")
	for _, body := range []string{`{"overlap_seconds":0}`, `{"overlap_seconds":"0"}`, `{"overlap_seconds":null}`, `{"overlap_seconds":""}`} {
		if again := send(body); again.status != 200 || again.body != first.body {
			t.Errorf("%s: %s", body, again)
		}
	}
}

// A bot's old token ends alone; its newest takes the bot, and with it the old
// one that works beside it.
func TestRevokingWithinTheOverlapOfABot(t *testing.T) {
	for _, c := range []struct {
		name             string
		revoked          string
		oldWorks, newest bool
	}{{"old", "rotating", false, true}, {"newest", "fresh", false, false}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.withProjects(t)
			w.bot(t, "rotating", project.KindProject, 8, project.Developer)
			w.overlap(t, "rotating", "fresh")
			w.wantWorking(t, map[string]bool{"rotating": true, "fresh": true})
			if got := throughLambda(t, w, remove(ownToken, c.revoked)); got.status != 204 {
				t.Fatalf("%s", got)
			}
			w.wantWorking(t, map[string]bool{"rotating": c.oldWorks, "fresh": c.newest})
			if list := throughLambda(t, w, get("tokens", ofWeb+"?state=active", "owner")); strings.Contains(list.body, `"id":`) != c.newest {
				t.Errorf("listed: %s", list)
			}
		})
	}
}
